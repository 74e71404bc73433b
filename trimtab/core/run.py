"""Runs, orders and executions as values, and the tables of what may follow what.

What a run should do next is decided in `decide`; here is only what a run can be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid5

# Order ids are names in this namespace; it must never change, or a restarted worker would not
# recognise orders that an earlier version has sent.
ORDER_NAMESPACE = UUID("6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21")


class RunKind(StrEnum):
    FULL_REBALANCE = "full_rebalance"
    INVEST_CASH = "invest_cash"
    PARTIAL_LIQUIDATION = "partial_liquidation"


class Initiator(StrEnum):
    SYSTEM = "system"
    API = "api"


class RunState(StrEnum):
    QUEUED = "QUEUED"
    PLANNED = "PLANNED"
    SELLING = "SELLING"
    BUYING = "BUYING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def is_open(self) -> bool:
        return bool(TRANSITIONS[self])

    @property
    def is_news(self) -> bool:
        """Whether the outside is told of it: that a run sells or buys is only how far its work has come."""
        return self not in {RunState.SELLING, RunState.BUYING}


TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.PLANNED, RunState.CANCELED, RunState.FAILED}),
    # COMPLETED from PLANNED: there was nothing to send, or nothing that might be sent.
    RunState.PLANNED: frozenset(
        {
            RunState.SELLING,
            RunState.BUYING,
            RunState.COMPLETED,
            RunState.CANCELED,
            RunState.FAILED,
            RunState.TIMED_OUT,
        }
    ),
    # COMPLETED from SELLING: a plan without buys.
    RunState.SELLING: frozenset(
        {RunState.BUYING, RunState.COMPLETED, RunState.CANCELED, RunState.FAILED, RunState.TIMED_OUT}
    ),
    RunState.BUYING: frozenset({RunState.COMPLETED, RunState.CANCELED, RunState.FAILED, RunState.TIMED_OUT}),
    RunState.COMPLETED: frozenset(),
    RunState.CANCELED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.TIMED_OUT: frozenset(),
}


FINAL_STATES = frozenset(state for state in RunState if not state.is_open)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt to bring an account to its targets.

    `stop` is the final state a run is being wound down to, once somebody or something asked for it.
    `version` counts its changes; every writer names the version it has seen.
    """

    id: str
    shard: int
    tenant_id: str
    account_id: str
    strategy_id: str
    strategy_version: int
    kind: RunKind
    initiator: Initiator
    cause: str
    created_at: datetime
    updated_at: datetime
    enrollment_id: str | None = None
    amount: Decimal | None = None
    slot: str | None = None
    state: RunState = RunState.QUEUED
    stop: RunState | None = None
    adjusted: bool = False
    orders_sent: int = 0
    reason: str | None = None
    version: int = 1
    deadline_at: datetime | None = None
    finished_at: datetime | None = None

    def when(self, state: RunState, *, strategy_version: int, at: datetime) -> Self:
        """This run as it was when it came into a state that it has had: its end was not known before."""
        then = replace(self, state=state, strategy_version=strategy_version, updated_at=at)
        return replace(then, reason=None, finished_at=None) if state.is_open else then


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerPolicy:
    """How long after a run that ended in one of the states `after` a client may ask for the next (notes
    on Glider's contract, 4.5 and 9.5-7).
    """

    cooldown: timedelta
    after: frozenset[RunState]

    def wait(self, finished_at: datetime | None, now: datetime) -> timedelta:
        """How long from `now`; zero or less if a run may be asked for."""
        return timedelta(0) if finished_at is None else finished_at + self.cooldown - now


class Side(StrEnum):
    SELL = "sell"
    BUY = "buy"

    def is_worse(self, price: Decimal, than: Decimal) -> bool:
        """Whether this side would rather trade at the second price."""
        return price > than if self is Side.BUY else price < than


class OrderState(StrEnum):
    """SENDING: the intent is durable and the broker's answer is not known."""

    SENDING = "SENDING"
    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REFUSED = "REFUSED"
    ABANDONED = "ABANDONED"

    @property
    def is_open(self) -> bool:
        return self in {OrderState.SENDING, OrderState.OPEN}

    @property
    def may_change(self) -> bool:
        """Whether the broker may yet say something new of the order, its run ended or not."""
        return bool(ORDER_TRANSITIONS[self])


ORDER_TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    OrderState.SENDING: frozenset(set(OrderState) - {OrderState.SENDING}),
    OrderState.OPEN: frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REFUSED}),
    # A fill that was under way when the cancel was confirmed: it happens.
    OrderState.CANCELED: frozenset({OrderState.FILLED}),
    OrderState.FILLED: frozenset(),
    OrderState.REFUSED: frozenset(),
    # The broker has shown it after all.
    OrderState.ABANDONED: frozenset(
        {OrderState.OPEN, OrderState.FILLED, OrderState.CANCELED, OrderState.REFUSED}
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is or was sent for one leg: exactly one of `quantity` and `notional` is given.

    `sent_at` is the time of the last intent commit, before the request left; `reported_at` when the broker
    last changed it, as far as it is known. It must not execute beyond
    `worst_price` (dollars), nor if it would move the market by more than `impact_bps_max`.
    """

    client_order_id: str
    run_id: str
    leg: int
    generation: int
    account_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    state: OrderState
    sent_at: datetime
    worst_price: Decimal | None = None
    impact_bps_max: int | None = None
    broker_order_id: str | None = None
    filled_quantity: Decimal = Decimal(0)
    filled_value: Decimal = Decimal(0)
    reason: str | None = None
    asset_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    reported_at: datetime | None = None

    def __post_init__(self) -> None:
        assert (self.quantity is None) != (self.notional is None), "quantity or notional, not both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution: `quantity` at `price`; unique by (broker, execution_id).

    One that `corrects` another takes shares back, with a negative quantity, or gives more.
    """

    execution_id: str
    client_order_id: str
    quantity: Decimal
    price: Decimal
    at: datetime
    corrects: str | None = None


def order_id(tenant_id: str, run_id: str, *, leg: int, generation: int) -> str:
    """The client order id: a name for the intent, never for its price, quantity, time or attempt."""
    return str(uuid5(ORDER_NAMESPACE, f"{tenant_id}:{run_id}:{leg}:{generation}"))
