"""The shapes of Alpaca's Rebalancing API going out: core values as that wire shows them.

Decimals are strings without trailing zeros, instants RFC 3339 in UTC, and every key is always there.
Field names and enum values are the seed's; where it and the official client differ, the client decides.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, assert_never

import msgspec

from trimtab.api.body import instant_text
from trimtab.core.enrollment import Enrollment, TradeMarker
from trimtab.core.money import plain, round_down
from trimtab.core.run import Initiator, Order, OrderState, Run, RunKind, RunState, Side
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.strategy import (
    COOLDOWN_DAYS_MAX,
    Annually,
    AssetTarget,
    BandKind,
    CashTarget,
    Condition,
    DriftBand,
    Monthly,
    OnIneligible,
    OnUpdate,
    Quarterly,
    Strategy,
    StrategyStatus,
    StrategyTarget,
    Target,
    Weekly,
)
from trimtab.store.runs import RunFilter

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
PRICE_PLACES = 9

# How each status is told from a run: its states, and whether something was adjusted or sent.
STATUSES: dict[str, RunFilter] = {
    "QUEUED": RunFilter(states=frozenset({RunState.QUEUED})),
    "IN_PROGRESS": RunFilter(states=frozenset({RunState.PLANNED, RunState.SELLING, RunState.BUYING})),
    "CANCELED": RunFilter(states=frozenset({RunState.CANCELED}), sent=False),
    "CANCELED_MID_RUN": RunFilter(states=frozenset({RunState.CANCELED}), sent=True),
    "ERROR": RunFilter(states=frozenset({RunState.FAILED})),
    "TIMEOUT": RunFilter(states=frozenset({RunState.TIMED_OUT})),
    "COMPLETED_ADJUSTED": RunFilter(states=frozenset({RunState.COMPLETED}), adjusted=True),
    "COMPLETED_SUCCESS": RunFilter(states=frozenset({RunState.COMPLETED}), adjusted=False),
}

ORDER_STATUSES = {
    OrderState.SENDING: "pending_new",
    OrderState.OPEN: "accepted",
    OrderState.FILLED: "filled",
    OrderState.CANCELED: "canceled",
    OrderState.REFUSED: "rejected",
    OrderState.ABANDONED: "rejected",
}
PARTLY_FILLED = "partially_filled"


def _text(**schema: object) -> msgspec.Meta:
    """How a text is shown in the document: nothing is checked by it."""
    return msgspec.Meta(extra_json_schema=dict(schema))


Uuid = Annotated[str, _text(format="uuid", examples=["0f5f2f0e-0c56-4c0e-9a0e-6a4a4b0c7a11"])]
Instant = Annotated[str, _text(format="date-time", examples=["2026-11-16T15:04:05.123456Z"])]
DecimalText = Annotated[str, _text(pattern=r"^-?[0-9]+(?:\.[0-9]*[1-9])?$", examples=["33.33"])]
Token = Annotated[str, _text(minLength=1, examples=["MTAwMA=="])]


class WeightOut(msgspec.Struct, kw_only=True):
    """`portfolio_id` is there for type `portfolio` only."""

    type: Literal["cash", "asset", "portfolio"]
    symbol: str | None
    portfolio_id: Uuid | msgspec.UnsetType = msgspec.UNSET
    percent: DecimalText


class ConditionOut(msgspec.Struct, kw_only=True):
    type: Literal["drift_band", "calendar", "on_portfolio_update"]
    sub_type: Literal["absolute", "relative", "weekly", "monthly", "quarterly", "annually"] | None
    percent: DecimalText | None = None
    day: Annotated[str, _text(examples=["Monday", "15", "02-29"])] | None = None


class PortfolioOut(msgspec.Struct, kw_only=True):
    id: Uuid
    name: Annotated[str, _text(examples=["Core"])]
    description: str
    status: StrategyStatus
    cooldown_days: Annotated[int, _text(minimum=0, maximum=COOLDOWN_DAYS_MAX)]
    created_at: Instant
    updated_at: Instant
    weights: list[WeightOut]
    rebalance_conditions: list[ConditionOut]
    on_ineligible: OnIneligible


class SubscriptionOut(msgspec.Struct, kw_only=True):
    id: Uuid
    account_id: Uuid
    portfolio_id: Uuid
    last_rebalanced_at: Instant | None
    trade_marker: TradeMarker
    created_at: Instant
    updated_at: Instant


class SubscriptionsOut(msgspec.Struct, kw_only=True):
    subscriptions: list[SubscriptionOut]
    next_page_token: Token | None


class OrderOut(msgspec.Struct, kw_only=True):
    id: str
    client_order_id: Uuid
    created_at: Instant
    updated_at: Instant
    submitted_at: Instant
    filled_at: Instant | None
    expired_at: None = None
    canceled_at: Instant | None
    failed_at: Instant | None
    replaced_at: None = None
    replaced_by: None = None
    replaces: None = None
    asset_id: str | None
    symbol: str
    asset_class: Literal["us_equity"] = "us_equity"
    notional: DecimalText | None
    qty: DecimalText | None
    filled_qty: DecimalText
    filled_avg_price: DecimalText | None
    order_class: Literal[""] = ""
    order_type: Literal["market"] = "market"
    type: Literal["market"] = "market"
    side: Side
    time_in_force: Literal["day"] = "day"
    limit_price: None = None
    stop_price: None = None
    status: Annotated[str, _text(enum=sorted({PARTLY_FILLED, *ORDER_STATUSES.values()}))]
    extended_hours: bool = False
    legs: None = None
    trail_percent: None = None
    trail_price: None = None
    hwm: None = None
    subtag: None = None
    source: None = None


class SkippedOrderOut(msgspec.Struct, kw_only=True):
    symbol: str
    side: Side
    notional: DecimalText
    currency: Literal["USD"] = "USD"
    reason: SkipReason
    reason_details: str


class RunOut(msgspec.Struct, kw_only=True):
    id: Uuid
    type: RunKind
    amount: DecimalText | None
    initiated_from: Initiator
    initiated_by: Initiator
    status: Annotated[str, _text(enum=list(STATUSES))]
    reason: Annotated[str | None, _text(description="What its orders do not tell of how it ended.")]
    account_id: Uuid
    portfolio_id: Uuid
    weights: list[WeightOut]
    orders: list[OrderOut]
    failed_orders: list[OrderOut]
    skipped_orders: list[SkippedOrderOut]
    completed_at: Instant | None
    canceled_at: Instant | None
    created_at: Instant
    updated_at: Instant


class RunsOut(msgspec.Struct, kw_only=True):
    runs: list[RunOut]
    next_page_token: Token | None


def weight_out(target: Target) -> WeightOut:
    """The symbol is always there, null for what has none."""
    match target:
        case CashTarget(percent=percent):
            return WeightOut(type="cash", symbol=None, percent=plain(percent))
        case AssetTarget(symbol=symbol, percent=percent):
            return WeightOut(type="asset", symbol=symbol, percent=plain(percent))
        case StrategyTarget(strategy_id=strategy_id, percent=percent):
            # Beyond the vendor: seen only by clients that have sent it.
            return WeightOut(type="portfolio", symbol=None, portfolio_id=strategy_id, percent=plain(percent))
        case _:
            assert_never(target)


def condition_out(condition: Condition) -> ConditionOut:
    match condition:
        case DriftBand(kind=kind, percent=percent):
            return ConditionOut(type="drift_band", sub_type=BandKind(kind).value, percent=plain(percent))
        case Weekly(weekday=weekday):
            return ConditionOut(type="calendar", sub_type="weekly", day=WEEKDAYS[weekday])
        case Monthly(day=day):
            return ConditionOut(type="calendar", sub_type="monthly", day=str(day))
        case Quarterly(day=day):
            return ConditionOut(type="calendar", sub_type="quarterly", day=str(day))
        case Annually(month=month, day=day):
            return ConditionOut(type="calendar", sub_type="annually", day=f"{month:02d}-{day:02d}")
        case OnUpdate():
            return ConditionOut(type="on_portfolio_update", sub_type=None)
        case _:
            assert_never(condition)


def portfolio_out(strategy: Strategy) -> PortfolioOut:
    definition = strategy.definition
    return PortfolioOut(
        id=strategy.id,
        name=strategy.name,
        description=strategy.description,
        status=strategy.status,
        cooldown_days=definition.cooldown_days,
        created_at=instant_text(strategy.created_at),
        updated_at=instant_text(strategy.updated_at),
        weights=[weight_out(target) for target in definition.targets],
        rebalance_conditions=[condition_out(condition) for condition in definition.conditions],
        on_ineligible=strategy.on_ineligible,
    )


def subscription_out(enrollment: Enrollment) -> SubscriptionOut:
    return SubscriptionOut(
        id=enrollment.id,
        account_id=enrollment.account_id,
        portfolio_id=enrollment.strategy_id,
        last_rebalanced_at=_optional_instant(enrollment.last_rebalanced_at),
        trade_marker=enrollment.trade_marker,
        created_at=instant_text(enrollment.created_at),
        updated_at=instant_text(enrollment.updated_at),
    )


def run_out(run: Run, *, targets: Sequence[Target], orders: Sequence[Order], skips: Sequence[Skip]) -> RunOut:
    canceled = run.state is RunState.CANCELED
    completed = run.state is RunState.COMPLETED
    return RunOut(
        id=run.id,
        type=run.kind,
        amount=None if run.amount is None else plain(run.amount),
        initiated_from=run.initiator,
        initiated_by=run.initiator,
        status=status_of(run),
        reason=run.reason,
        account_id=run.account_id,
        portfolio_id=run.strategy_id,
        weights=[weight_out(target) for target in targets],
        orders=[_order_out(order) for order in orders if _was_accepted(order)],
        failed_orders=[_order_out(order) for order in orders if _was_refused(order)],
        skipped_orders=[_skipped_out(skip) for skip in skips],
        completed_at=_optional_instant(run.finished_at if completed else None),
        canceled_at=_optional_instant(run.finished_at if canceled else None),
        created_at=instant_text(run.created_at),
        updated_at=instant_text(run.updated_at),
    )


def status_of(run: Run) -> str:
    """The run's status: the only one whose filter it passes."""
    return next(name for name, wanted in STATUSES.items() if _passes(run, wanted))


def _passes(run: Run, wanted: RunFilter) -> bool:
    assert wanted.states is not None, "every status names its states"
    return (
        run.state in wanted.states
        and wanted.adjusted in {None, run.adjusted}
        and wanted.sent in {None, run.orders_sent > 0}
    )


def _was_accepted(order: Order) -> bool:
    return order.state in {OrderState.OPEN, OrderState.FILLED, OrderState.CANCELED}


def _was_refused(order: Order) -> bool:
    return order.state in {OrderState.REFUSED, OrderState.ABANDONED}


def _order_out(order: Order) -> OrderOut:
    created = _optional_instant(order.created_at) or instant_text(order.sent_at)
    updated = _optional_instant(order.updated_at) or created
    partly = order.state is OrderState.OPEN and order.filled_quantity > 0
    return OrderOut(
        # An order that the broker never accepted has no id there: ours stands in.
        id=order.broker_order_id or order.client_order_id,
        client_order_id=order.client_order_id,
        created_at=created,
        updated_at=updated,
        submitted_at=created,
        filled_at=updated if order.state is OrderState.FILLED else None,
        canceled_at=updated if order.state is OrderState.CANCELED else None,
        failed_at=updated if _was_refused(order) else None,
        asset_id=order.asset_id,
        symbol=order.symbol,
        notional=None if order.notional is None else plain(order.notional),
        qty=None if order.quantity is None else plain(order.quantity),
        filled_qty=plain(order.filled_quantity),
        filled_avg_price=_average_price(order),
        side=order.side,
        status=PARTLY_FILLED if partly else ORDER_STATUSES[order.state],
    )


def _average_price(order: Order) -> str | None:
    """Dollars per share, cut to nine places where it does not end before."""
    if order.filled_quantity == 0:
        return None
    average: Decimal = order.filled_value / order.filled_quantity
    return plain(round_down(average, PRICE_PLACES))


def _skipped_out(skip: Skip) -> SkippedOrderOut:
    return SkippedOrderOut(
        symbol=skip.symbol,
        side=skip.side,
        notional=plain(skip.notional),
        reason=skip.reason,
        reason_details=skip.details,
    )


def _optional_instant(at: datetime | None) -> str | None:
    return None if at is None else instant_text(at)
