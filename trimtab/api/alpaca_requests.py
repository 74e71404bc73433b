"""The shapes of Alpaca's Rebalancing API coming in: a request body as core values.

Problems are named one at a time, in the vendor's words, in the order in which the notes on the
contract list the checks: decoding, types, shapes. What a strategy may say is the core's to judge.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from trimtab.api.alpaca_wire import WEEKDAYS
from trimtab.api.body import Number, Object, decimal_in, integer_in, is_storable, text_in, uuid_of
from trimtab.core.enrollment import TradeMarker
from trimtab.core.errors import Malformed, TrimtabError
from trimtab.core.money import CENT_PLACES, places
from trimtab.core.run import RunKind
from trimtab.core.strategy import (
    DESCRIPTION_MAX,
    NAME_MAX,
    TARGETS_MAX,
    Annually,
    AssetTarget,
    BandKind,
    CalendarRule,
    CashTarget,
    Condition,
    Definition,
    DriftBand,
    Monthly,
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
CONDITION_KEYS = ("rebalance_conditions", "rebalancing_conditions")
DAY_OF_MONTH = re.compile(r"0?[1-9]|[12][0-9]|3[01]", re.ASCII)
MONTH_AND_DAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", re.ASCII)


@dataclass
class Required(TrimtabError):
    """A field that must be there is not."""

    path: str

    def __str__(self) -> str:
        verb = "are" if self.path.endswith("weights") else "is"
        return f"{self.path} {verb} required"


@dataclass
class MalformedId(TrimtabError):
    """An id that is not a UUID."""

    name: str

    def __str__(self) -> str:
        return f"invalid {self.name}"


@dataclass
class InvalidTradeMarker(TrimtabError):
    def __str__(self) -> str:
        return "invalid trade_marker"


@dataclass
class BadValue(TrimtabError):
    """A value of the right type that this API does not take; `text` is the whole message."""

    text: str

    def __str__(self) -> str:
        return self.text


def id_in(value: object, name: str) -> str:
    """A UUID in a path or body. Raises MalformedId."""
    found = uuid_of(value) if isinstance(value, str) else None
    if found is None:
        raise MalformedId(name)
    return found


def draft_in(body: Object, *, calendar: str) -> StrategyDraft:
    name = text_in(body.get("name") or "", "name", longest=NAME_MAX)
    if not name.strip():
        raise Required("name")
    description = body.get("description")
    if body.get("weights") is None:
        raise Required("weights")
    cooldown = body.get("cooldown_days")
    return StrategyDraft(
        name=name,
        description=""
        if description is None
        else text_in(description, "description", longest=DESCRIPTION_MAX),
        definition=Definition(
            targets=_targets_in(body["weights"]),
            conditions=_conditions_in(body) or (),
            cooldown_days=0 if cooldown is None else _cooldown_in(cooldown),
        ),
        calendar=calendar,
    )


def change_in(body: Object) -> StrategyChange:
    """A PATCH: what is absent stays as it is; `{}` changes nothing."""
    name = body.get("name")
    description = body.get("description")
    weights = body.get("weights")
    cooldown = body.get("cooldown_days")
    status = body.get("status")
    if status not in (None, StrategyStatus.ACTIVE.value):
        raise Malformed("status", "invalid value")
    if "name" in body and not (isinstance(name, str) and name.strip()):
        raise Malformed("name", "value is empty" if name in (None, "") else "invalid value")
    return StrategyChange(
        name=None if name is None else text_in(name, "name", longest=NAME_MAX),
        description=None
        if description is None
        else text_in(description, "description", longest=DESCRIPTION_MAX),
        targets=None if weights is None else _targets_in(weights),
        conditions=_conditions_in(body),
        cooldown_days=None if cooldown is None else _cooldown_in(cooldown),
        reactivate=status is not None,
    )


def _cooldown_in(value: object) -> int:
    days = integer_in(value, "cooldown_days")
    if days < 0:
        raise BadValue("cooldown_days must be >= 0")
    return days


def _list_in(value: object, path: str, *, longest: int) -> list[Object]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Malformed(path, "invalid value")
    if len(value) > longest:
        raise BadValue(f"{path}: at most {longest}")
    return value


def _targets_in(value: object) -> tuple[Target, ...]:
    weights = _list_in(value, "weights", longest=TARGETS_MAX + 1)
    targets = [_target_in(weight, f"weights[{i}]") for i, weight in enumerate(weights)]
    # The vendor drops a cash weight of zero without a word.
    return tuple(t for t in targets if not (isinstance(t, CashTarget) and t.percent == 0))


def _target_in(weight: Object, path: str) -> Target:
    kind = weight.get("type")
    if kind not in ("cash", "asset", "portfolio"):
        raise Malformed(f"{path}.type", "value is empty" if kind in (None, "") else "invalid value")
    symbol = weight.get("symbol")
    if kind == "asset":
        if symbol is None or symbol == "":
            raise Malformed(f"{path}.symbol", "value is empty")
        symbol = text_in(symbol, f"{path}.symbol", longest=SYMBOL_MAX)
    elif symbol is not None:
        raise Malformed(f"{path}.symbol", "invalid value")
    percent = decimal_in(weight.get("percent"), f"{path}.percent")
    if isinstance(symbol, str):
        return AssetTarget(symbol=symbol, percent=percent)
    if kind == "cash":
        return CashTarget(percent=percent)
    return StrategyTarget(strategy_id=id_in(weight.get("portfolio_id"), "portfolio_id"), percent=percent)


def _conditions_in(body: Object) -> tuple[Condition, ...] | None:
    """The conditions under either of their two names; None if neither is there."""
    given = [body[key] for key in CONDITION_KEYS if body.get(key) is not None]
    if not given:
        return None
    if len(given) > 1 and given[0] != given[1]:
        raise BadValue("rebalance_conditions and rebalancing_conditions differ: send one")
    conditions = _list_in(given[0], "rebalance_conditions", longest=CONDITIONS_MAX)
    return tuple(_condition_in(c, f"rebalance_conditions[{i}]") for i, c in enumerate(conditions))


def _condition_in(condition: Object, path: str) -> Condition:
    kind, sub_type = condition.get("type"), condition.get("sub_type")
    percent, day = condition.get("percent"), condition.get("day")
    if kind == "drift_band":
        if sub_type not in ("absolute", "relative"):
            raise Malformed(f"{path}.sub_type", "value is empty" if sub_type is None else "invalid value")
        _refuse(day, f"{path}.day", kind="drift_band")
        return DriftBand(
            kind=BandKind.ABSOLUTE if sub_type == "absolute" else BandKind.RELATIVE,
            percent=decimal_in(percent, f"{path}.percent"),
        )
    if kind == "calendar":
        _refuse(percent, f"{path}.percent", kind="calendar")
        return _calendar_rule_in(sub_type, day, path=path)
    if kind == "on_portfolio_update":
        _refuse(percent, f"{path}.percent", kind="on_portfolio_update")
        _refuse(day, f"{path}.day", kind="on_portfolio_update")
        _refuse(sub_type or None, f"{path}.sub_type", kind="on_portfolio_update")
        return OnUpdate()
    raise Malformed(f"{path}.type", "value is empty" if kind in (None, "") else "invalid value")


def _refuse(value: object, path: str, *, kind: str) -> None:
    if value is not None:
        raise BadValue(f"{path}: not permitted for {kind}")


def _calendar_rule_in(sub_type: object, day: object, *, path: str) -> CalendarRule:
    if sub_type not in ("weekly", "monthly", "quarterly", "annually"):
        raise Malformed(f"{path}.sub_type", "value is empty" if sub_type is None else "invalid value")
    if day is None or day == "":
        raise Malformed(f"{path}.day", "value is empty")
    if not isinstance(day, str):
        raise Malformed(f"{path}.day", "invalid value")
    if sub_type == "weekly" and day in WEEKDAYS:
        return Weekly(weekday=WEEKDAYS.index(day))
    if sub_type == "annually" and not isinstance(day, Number) and MONTH_AND_DAY.fullmatch(day):
        return Annually(month=int(day[:2]), day=int(day[3:]))
    if DAY_OF_MONTH.fullmatch(day):
        if sub_type == "monthly":
            return Monthly(day=int(day))
        if sub_type == "quarterly":
            return Quarterly(day=int(day))
    raise Malformed(f"{path}.day", "invalid value")


def subscription_in(body: Object) -> EnrollRequest:
    for name in ("account_id", "portfolio_id"):
        if body.get(name) is None:
            raise Required(name)
    marker = body.get("trade_marker")
    if marker not in (None, *TradeMarker):
        raise InvalidTradeMarker
    return EnrollRequest(
        account_id=id_in(body["account_id"], "account_id"),
        strategy_id=id_in(body["portfolio_id"], "portfolio_id"),
        trade_marker=TradeMarker.DISCRETIONARY if marker is None else TradeMarker(str(marker)),
    )


def run_in(body: Object) -> RunRequest:
    if body.get("account_id") is None:
        raise Required("account_id")
    account_id = id_in(body["account_id"], "account_id")
    if body.get("type") is None:
        raise Required("type")
    if body["type"] not in tuple(RunKind):
        raise BadValue("type must be full_rebalance or invest_cash")
    kind = RunKind(str(body["type"]))
    weights = body.get("weights")
    return RunRequest(
        account_id=account_id,
        kind=kind,
        targets=() if weights is None else _targets_in(weights),
        amount=_amount_in(body.get("amount"), kind),
    )


def _amount_in(value: object, kind: RunKind) -> Decimal | None:
    """Dollars: what to raise, or the most to invest; a full rebalance takes none."""
    if value is None:
        if kind is RunKind.PARTIAL_LIQUIDATION:
            raise Required("amount")
        return None
    amount = decimal_in(value, "amount must be a decimal")
    if kind is RunKind.FULL_REBALANCE:
        raise BadValue("amount: not permitted for full_rebalance")
    if amount <= 0:
        raise BadValue("amount must be greater than 0")
    if places(amount) > CENT_PLACES:
        raise BadValue("amount: at most two decimal places")
    return amount


def text_query(value: str | None, path: str) -> str | None:
    """A filter text; one that could not have been stored matches nothing that was."""
    if value is not None and not is_storable(value):
        raise Malformed(path, "invalid value")
    return value or None
