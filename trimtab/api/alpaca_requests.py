"""The bodies of Alpaca's Rebalancing API: what each may look like, and the core value that is made of it.

Fields are read in the order in which the notes on the contract list the checks: types, shapes, ids.
What a strategy may say is the core's to judge; its limits are shown here beside the shapes.
"""

from collections.abc import Callable
from typing import Any

from trimtab.api.alpaca_shapes import (
    BadValue,
    Cases,
    Choice,
    Field,
    Given,
    Id,
    ListOf,
    MalformedId,
    Named,
    Record,
    Refused,
    Shape,
    Text,
    Whole,
    filled,
    optional,
    required,
)
from trimtab.api.alpaca_values import (
    DayOfMonth,
    DayOfYear,
    Dollars,
    Kind,
    Marker,
    NewName,
    NoDollars,
    Nothing,
    OtherName,
    Percent,
)
from trimtab.api.alpaca_wire import WEEKDAYS
from trimtab.core.enrollment import TradeMarker
from trimtab.core.errors import Malformed
from trimtab.core.run import RunKind
from trimtab.core.strategy import (
    COOLDOWN_DAYS_MAX,
    DESCRIPTION_MAX,
    TARGETS_MAX,
    Annually,
    AssetTarget,
    BandKind,
    CalendarRule,
    CashTarget,
    Definition,
    DriftBand,
    Monthly,
    OnIneligible,
    OnUpdate,
    Quarterly,
    StrategyStatus,
    StrategyTarget,
    Target,
    Weekly,
)
from trimtab.engine.actions import RunRequest
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.engine.strategy_actions import StrategyChange, StrategyDraft

SYMBOL_MAX = 64
CONDITIONS_MAX = 50


def _not_permitted(kind: str) -> Field:
    return optional(Refused(lambda path: BadValue(f"{path}: not permitted for {kind}")))


_NO_SYMBOL = optional(Refused(lambda path: Malformed(path, "invalid value")))
_PERCENT = filled(Percent(of_whole=True), "More than 0, at most two decimal places.")

WEIGHT = Named(
    "PortfolioWeightRequest",
    Cases(
        tag="type",
        told=filled(Choice(("cash", "asset", "portfolio"), blank=True)),
        cases={
            "cash": Record(
                fields={
                    "symbol": _NO_SYMBOL,
                    "percent": filled(
                        Percent(of_whole=True, or_zero=True),
                        "At most two decimal places; a line of 0 is dropped.",
                    ),
                },
                make=lambda given: CashTarget(percent=given["percent"]),
            ),
            "asset": Record(
                fields={"symbol": filled(Text(SYMBOL_MAX, least=1)), "percent": _PERCENT},
                make=lambda given: AssetTarget(symbol=given["symbol"], percent=given["percent"]),
            ),
            "portfolio": Record(
                fields={
                    "symbol": _NO_SYMBOL,
                    "percent": _PERCENT,
                    "portfolio_id": Field(
                        shape=Id("portfolio_id"), missing=lambda _path: MalformedId("portfolio_id")
                    ),
                },
                make=lambda given: StrategyTarget(
                    strategy_id=given["portfolio_id"], percent=given["percent"]
                ),
            ),
        },
    ),
)


def _calendar_rule(day: Shape, make: Callable[[Any], CalendarRule]) -> Record:
    return Record(fields={"day": filled(day)}, make=lambda given: make(given["day"]))


CONDITION = Named(
    "RebalancingConditionRequest",
    Cases(
        tag="type",
        told=filled(Choice(("drift_band", "calendar", "on_portfolio_update"), blank=True)),
        cases={
            "drift_band": Record(
                fields={
                    "sub_type": filled(Choice(tuple(BandKind))),
                    "day": _not_permitted("drift_band"),
                    "percent": filled(
                        Percent(of_whole=False),
                        "How far a line may drift, in percent of the account (absolute) or of its target "
                        "(relative). More than 0, at most two decimal places.",
                    ),
                },
                make=lambda given: DriftBand(kind=BandKind(given["sub_type"]), percent=given["percent"]),
            ),
            "calendar": Cases(
                tag="sub_type",
                told=filled(Choice(("weekly", "monthly", "quarterly", "annually"))),
                first={"percent": _not_permitted("calendar")},
                cases={
                    "weekly": _calendar_rule(
                        Choice(WEEKDAYS, blank=True), lambda day: Weekly(weekday=WEEKDAYS.index(day))
                    ),
                    "monthly": _calendar_rule(DayOfMonth(), lambda day: Monthly(day=day)),
                    "quarterly": _calendar_rule(DayOfMonth(), lambda day: Quarterly(day=day)),
                    "annually": _calendar_rule(DayOfYear(), lambda day: Annually(month=day[0], day=day[1])),
                },
            ),
            "on_portfolio_update": Record(
                fields={
                    "percent": _not_permitted("on_portfolio_update"),
                    "day": _not_permitted("on_portfolio_update"),
                    "sub_type": optional(Nothing("on_portfolio_update")),
                },
                make=lambda _given: OnUpdate(),
            ),
        },
    ),
)


def _weights(least: int) -> ListOf:
    # One more than the core takes: a cash line of zero is dropped before it counts.
    return ListOf(WEIGHT, most=TARGETS_MAX + 1, most_taken=TARGETS_MAX, least=least)


# A calendar rule, an absolute band, a relative one, and updates: the core takes one of each.
CONDITION_KINDS = 4
_SUM = "They sum to exactly 100, and name each asset, portfolio and the cash once."
_CONDITIONS = Field(
    shape=ListOf(CONDITION, most=CONDITIONS_MAX, most_taken=CONDITION_KINDS),
    alias="rebalancing_conditions",
    says="Any met one is enough. At most one is of type calendar, and one of each other kind.",
)
_DESCRIPTION = optional(Text(DESCRIPTION_MAX))
_COOLDOWN = optional(
    Whole(0, COOLDOWN_DAYS_MAX), "Days after a full rebalance in which no condition calls for another."
)
_ON_INELIGIBLE = optional(
    Choice(tuple(OnIneligible)),
    "What happens when one of its assets stops being eligible: the portfolio stops until it is adjusted "
    "(needs_adjustment, the vendor's rule and the default), or only that line is held (freeze_line).",
)

_WEIGHTS_EXAMPLE = [
    {"type": "cash", "percent": "5"},
    {"type": "asset", "symbol": "SPY", "percent": "60"},
    {"type": "asset", "symbol": "TLT", "percent": "35"},
]
_CONDITIONS_EXAMPLE = [
    {"type": "drift_band", "sub_type": "absolute", "percent": "5"},
    {"type": "calendar", "sub_type": "quarterly", "day": "15"},
]
_ID_EXAMPLE = "0f5f2f0e-0c56-4c0e-9a0e-6a4a4b0c7a11"

DRAFT = Named(
    "PortfolioCreateRequest",
    Record(
        fields={
            "name": required(NewName()),
            "description": _DESCRIPTION,
            "weights": required(_weights(1), _SUM),
            "rebalance_conditions": _CONDITIONS,
            "cooldown_days": _COOLDOWN,
            "on_ineligible": _ON_INELIGIBLE,
        }
    ),
    examples=(
        {
            "name": "Core",
            "description": "Stocks and bonds",
            "weights": _WEIGHTS_EXAMPLE,
            "cooldown_days": 7,
            "rebalance_conditions": _CONDITIONS_EXAMPLE,
        },
    ),
)
CHANGE = Named(
    "PortfolioUpdateRequest",
    Record(
        fields={
            "status": optional(
                Choice((StrategyStatus.ACTIVE.value,)),
                "Makes a portfolio that needs adjustment active again.",
            ),
            "name": Field(shape=OtherName(), told_null=True),
            "description": _DESCRIPTION,
            "weights": optional(_weights(1), f"In place of all weights. {_SUM}"),
            "rebalance_conditions": _CONDITIONS,
            "cooldown_days": _COOLDOWN,
            "on_ineligible": _ON_INELIGIBLE,
        },
        make=lambda given: StrategyChange(
            name=given.get("name"),
            description=given.get("description"),
            targets=_with_something(given.get("weights")),
            conditions=given.get("rebalance_conditions"),
            cooldown_days=given.get("cooldown_days"),
            on_ineligible=_on_ineligible(given),
            reactivate="status" in given,
        ),
    ),
    examples=({"weights": _WEIGHTS_EXAMPLE}, {"rebalance_conditions": []}),
)
SUBSCRIPTION = Named(
    "SubscriptionCreateRequest",
    Record(
        missed_first=True,
        fields={
            "trade_marker": optional(Marker(), "`discretionary` if it is left out."),
            "account_id": required(Id("account_id")),
            "portfolio_id": required(Id("portfolio_id")),
        },
        make=lambda given: EnrollRequest(
            account_id=given["account_id"],
            strategy_id=given["portfolio_id"],
            trade_marker=given.get("trade_marker", TradeMarker.DISCRETIONARY),
        ),
    ),
    examples=({"account_id": _ID_EXAMPLE, "portfolio_id": _ID_EXAMPLE},),
)


def _run(kind: RunKind, amount: Field) -> Record:
    return Record(
        fields={
            "weights": optional(
                _weights(0),
                f"{_SUM} Only for an account without a subscription; else the portfolio's are meant.",
            ),
            "amount": amount,
        },
        make=lambda given: RunRequest(
            account_id=given["account_id"],
            kind=kind,
            targets=_with_something(given.get("weights")) or (),
            amount=given.get("amount"),
        ),
    )


RUN = Named(
    "RunCreateRequest",
    Cases(
        tag="type",
        told=required(Kind()),
        first={"account_id": required(Id("account_id"))},
        cases={
            RunKind.FULL_REBALANCE: _run(RunKind.FULL_REBALANCE, optional(NoDollars())),
            RunKind.INVEST_CASH: _run(RunKind.INVEST_CASH, optional(Dollars(), "The most to invest.")),
            RunKind.PARTIAL_LIQUIDATION: _run(
                RunKind.PARTIAL_LIQUIDATION, required(Dollars(), "How much cash to raise.")
            ),
        },
    ),
    examples=(
        {"account_id": _ID_EXAMPLE, "type": "full_rebalance", "weights": _WEIGHTS_EXAMPLE},
        {"account_id": _ID_EXAMPLE, "type": "partial_liquidation", "amount": "500"},
    ),
)
BODIES = (WEIGHT, CONDITION, DRAFT, CHANGE, SUBSCRIPTION, RUN)


def draft_of(given: Given, *, calendar: str) -> StrategyDraft:
    return StrategyDraft(
        name=given["name"],
        description=given.get("description", ""),
        definition=Definition(
            targets=_with_something(given["weights"]) or (),
            conditions=given.get("rebalance_conditions", ()),
            cooldown_days=given.get("cooldown_days", 0),
        ),
        calendar=calendar,
        on_ineligible=_on_ineligible(given) or OnIneligible.NEEDS_ADJUSTMENT,
    )


def _on_ineligible(given: Given) -> OnIneligible | None:
    sent = given.get("on_ineligible")
    return None if sent is None else OnIneligible(sent)


def _with_something(targets: tuple[Target, ...] | None) -> tuple[Target, ...] | None:
    """The vendor drops a cash weight of zero without a word."""
    if targets is None:
        return None
    return tuple(t for t in targets if not (isinstance(t, CashTarget) and t.percent == 0))
