"""The shapes of Alpaca's Rebalancing API going out: core values as that wire shows them.

Decimals are strings without trailing zeros, instants RFC 3339 in UTC, and every key is always there.
Field names and enum values are the seed's; where it and the official client differ, the client decides.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec

from trimtab.api.body import instant_text
from trimtab.core.enrollment import Enrollment
from trimtab.core.money import plain, round_down
from trimtab.core.plan import Skip
from trimtab.core.run import Order, OrderState, Run, RunState
from trimtab.core.strategy import (
    Annually,
    AssetTarget,
    BandKind,
    CashTarget,
    Condition,
    DriftBand,
    Monthly,
    OnUpdate,
    Quarterly,
    Strategy,
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


class ConditionOut(msgspec.Struct, kw_only=True):
    type: str
    sub_type: str | None
    percent: str | None = None
    day: str | None = None


class PortfolioOut(msgspec.Struct, kw_only=True):
    id: str
    name: str
    description: str
    status: str
    cooldown_days: int
    created_at: str
    updated_at: str
    weights: list[dict[str, str | None]]
    rebalance_conditions: list[ConditionOut]


class SubscriptionOut(msgspec.Struct, kw_only=True):
    id: str
    account_id: str
    portfolio_id: str
    last_rebalanced_at: str | None
    trade_marker: str
    created_at: str
    updated_at: str


class SubscriptionsOut(msgspec.Struct, kw_only=True):
    subscriptions: list[SubscriptionOut]
    next_page_token: str | None


class OrderOut(msgspec.Struct, kw_only=True):
    id: str
    client_order_id: str
    created_at: str
    updated_at: str
    submitted_at: str
    filled_at: str | None
    expired_at: None = None
    canceled_at: str | None
    failed_at: str | None
    replaced_at: None = None
    replaced_by: None = None
    replaces: None = None
    asset_id: str | None
    symbol: str
    asset_class: str = "us_equity"
    notional: str | None
    qty: str | None
    filled_qty: str
    filled_avg_price: str | None
    order_class: str = ""
    order_type: str = "market"
    type: str = "market"
    side: str
    time_in_force: str = "day"
    limit_price: None = None
    stop_price: None = None
    status: str
    extended_hours: bool = False
    legs: None = None
    trail_percent: None = None
    trail_price: None = None
    hwm: None = None
    subtag: None = None
    source: None = None


class SkippedOrderOut(msgspec.Struct, kw_only=True):
    symbol: str
    side: str
    notional: str
    currency: str = "USD"
    reason: str
    reason_details: str


class RunOut(msgspec.Struct, kw_only=True):
    id: str
    type: str
    amount: str | None
    initiated_from: str
    initiated_by: str
    status: str
    reason: str | None
    account_id: str
    portfolio_id: str
    weights: list[dict[str, str | None]]
    orders: list[OrderOut]
    failed_orders: list[OrderOut]
    skipped_orders: list[SkippedOrderOut]
    completed_at: str | None
    canceled_at: str | None
    created_at: str
    updated_at: str


class RunsOut(msgspec.Struct, kw_only=True):
    runs: list[RunOut]
    next_page_token: str | None


def weight_out(target: Target) -> dict[str, str | None]:
    """The symbol is always there, null for what has none."""
    match target:
        case CashTarget(percent=percent):
            return {"type": "cash", "symbol": None, "percent": plain(percent)}
        case AssetTarget(symbol=symbol, percent=percent):
            return {"type": "asset", "symbol": symbol, "percent": plain(percent)}
        case StrategyTarget(strategy_id=strategy_id, percent=percent):
            # Beyond the vendor: seen only by clients that have sent it.
            return {
                "type": "portfolio",
                "symbol": None,
                "portfolio_id": strategy_id,
                "percent": plain(percent),
            }
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
        status=strategy.status.value,
        cooldown_days=definition.cooldown_days,
        created_at=instant_text(strategy.created_at),
        updated_at=instant_text(strategy.updated_at),
        weights=[weight_out(target) for target in definition.targets],
        rebalance_conditions=[condition_out(condition) for condition in definition.conditions],
    )


def subscription_out(enrollment: Enrollment) -> SubscriptionOut:
    return SubscriptionOut(
        id=enrollment.id,
        account_id=enrollment.account_id,
        portfolio_id=enrollment.strategy_id,
        last_rebalanced_at=_optional_instant(enrollment.last_rebalanced_at),
        trade_marker=enrollment.trade_marker.value,
        created_at=instant_text(enrollment.created_at),
        updated_at=instant_text(enrollment.updated_at),
    )


def run_out(run: Run, *, targets: Sequence[Target], orders: Sequence[Order], skips: Sequence[Skip]) -> RunOut:
    canceled = run.state is RunState.CANCELED
    completed = run.state is RunState.COMPLETED
    return RunOut(
        id=run.id,
        type=run.kind.value,
        amount=None if run.amount is None else plain(run.amount),
        initiated_from=run.initiator.value,
        initiated_by=run.initiator.value,
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
        side=order.side.value,
        status="partially_filled" if partly else ORDER_STATUSES[order.state],
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
        side=skip.side.value,
        notional=plain(skip.notional),
        reason=skip.reason.value,
        reason_details=skip.details,
    )


def _optional_instant(at: datetime | None) -> str | None:
    return None if at is None else instant_text(at)
