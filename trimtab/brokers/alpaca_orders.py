"""Orders on Alpaca's wire: what is sent for one, and what an answer about one says that is new.

Alpaca tells what was executed of an order in all, not what each execution was. An execution here is what
the whole has grown by since what is known, and is named after the whole: so it is the same one whoever
tells of it and however often. A whole that has shrunk is a correction, unless the answer is simply older.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from trimtab.brokers.alpaca_json import (
    DECIMAL_PLACES,
    cut_in,
    exact_in,
    instant_in,
    object_in,
    required,
    text_in,
)
from trimtab.brokers.broker import OrderReport
from trimtab.core.errors import BrokerDown
from trimtab.core.money import ZERO, plain, round_nearest
from trimtab.core.run import Execution, Order, OrderState, Side

log = logging.getLogger(__name__)

# All statuses of the contract. Ours are orders of one day: one that is done for the day is over, and what
# is executed of it all the same comes as a late fill.
STATES: Mapping[str, OrderState] = {
    "new": OrderState.OPEN,
    "partially_filled": OrderState.OPEN,
    "filled": OrderState.FILLED,
    "done_for_day": OrderState.CANCELED,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.CANCELED,
    "replaced": OrderState.CANCELED,
    "pending_cancel": OrderState.OPEN,
    "pending_replace": OrderState.OPEN,
    "accepted": OrderState.OPEN,
    "pending_new": OrderState.OPEN,
    "accepted_for_bidding": OrderState.OPEN,
    "stopped": OrderState.OPEN,
    "rejected": OrderState.REFUSED,
    "suspended": OrderState.OPEN,
    "calculated": OrderState.OPEN,
    "held": OrderState.OPEN,
    "pending_review": OrderState.OPEN,
}
_SIDES = {"buy": Side.BUY, "buy_minus": Side.BUY, "sell": Side.SELL, "sell_plus": Side.SELL}
_SIDES |= {"sell_short": Side.SELL, "sell_short_exempt": Side.SELL}
DOLLAR = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireOrder:
    """An order as Alpaca shows it; `price` is the average of what was executed."""

    id: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    status: str
    filled: Decimal
    price: Decimal | None
    filled_at: datetime | None
    updated_at: datetime

    @property
    def state(self) -> OrderState:
        """A status that nobody has heard of is one of an order that may still trade. An end that is not
        yet told in full, filled without shares or shares without a price, is none yet.
        """
        state = STATES.get(self.status, OrderState.OPEN)
        if self.status not in STATES:
            log.warning("order %s has the unknown status %s", self.client_order_id, self.status)
        if not self.is_priced and (self.filled > 0 or state is OrderState.FILLED):
            return OrderState.OPEN
        return OrderState.CANCELED if state is OrderState.REFUSED and self.is_priced else state

    @property
    def is_priced(self) -> bool:
        return self.filled > 0 and self.price is not None and self.price > 0

    @property
    def whole(self) -> tuple[Decimal, Decimal] | None:
        """Shares and dollars executed in all; None while that is not told in full."""
        if self.filled == 0:
            return None if STATES.get(self.status) is OrderState.FILLED else (ZERO, ZERO)
        return None if self.price is None or self.price <= 0 else (self.filled, self.filled * self.price)


def body_of(order: Order) -> dict[str, str]:
    """What is sent. An order that must not execute beyond a price is a limit order, with the limit
    rounded to what an exchange takes, against us never.
    """
    body = {
        "symbol": order.symbol,
        "side": order.side.value,
        "time_in_force": "day",
        "client_order_id": order.client_order_id,
    }
    if order.quantity is not None:
        body["qty"] = plain(order.quantity)
    else:
        assert order.notional is not None
        body["notional"] = plain(order.notional)
    if not order.worst_price:
        return body | {"type": "market"}
    return body | {"type": "limit", "limit_price": plain(_limit(order.worst_price, order.side))}


def _limit(worst: Decimal, side: Side) -> Decimal:
    """Cents; hundredths of a cent below a dollar."""
    tick = Decimal("0.01") if worst >= DOLLAR else Decimal("0.0001")
    return worst.quantize(tick, rounding=ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)


def wire_order(value: object) -> WireOrder:
    """Raises BrokerDown, naming the field that cannot be read."""
    found = object_in(value, "order")
    filled = exact_in(found, "filled_qty") or ZERO
    if filled < 0:
        raise BrokerDown(f"the broker's filled_qty is negative: {plain(filled)}")
    side = text_in(found, "side")
    return WireOrder(
        id=text_in(found, "id"),
        client_order_id=text_in(found, "client_order_id"),
        symbol=text_in(found, "symbol"),
        side=required(_SIDES.get(side), "side"),
        quantity=exact_in(found, "qty"),
        notional=exact_in(found, "notional"),
        status=text_in(found, "status"),
        filled=filled,
        price=cut_in(found, "filled_avg_price"),
        filled_at=instant_in(found, "filled_at"),
        updated_at=required(
            instant_in(found, "updated_at") or instant_in(found, "submitted_at"), "updated_at"
        ),
    )


def report_of(order: Order, seen: WireOrder) -> OrderReport:
    """What the broker says of an order of ours, with the executions that are new."""
    report = OrderReport(
        client_order_id=order.client_order_id,
        broker_order_id=seen.id,
        account_id=order.account_id,
        symbol=seen.symbol,
        side=seen.side,
        quantity=seen.quantity,
        notional=seen.notional,
        state=order.state,
        filled=order.filled_quantity,
        executions=(),
        reason=None,
        updated_at=order.reported_at or seen.updated_at,
    )
    if _is_older(order, seen):
        return report
    whole = seen.whole
    return replace(
        report,
        state=seen.state,
        filled=order.filled_quantity if whole is None else seen.filled,
        executions=() if whole is None else _executions(order, seen, dollars=whole[1]),
        reason=f"the broker says {seen.status}" if seen.state is OrderState.REFUSED else None,
        updated_at=seen.updated_at,
    )


def _is_older(order: Order, seen: WireOrder) -> bool:
    """Whether this says less than is known, and does not come after it."""
    shrunk = seen.filled < order.filled_quantity
    return shrunk and order.reported_at is not None and seen.updated_at <= order.reported_at


def _executions(order: Order, seen: WireOrder, *, dollars: Decimal) -> tuple[Execution, ...]:
    """By how much the whole differs from what is known; nothing if it does not."""
    change = seen.filled - order.filled_quantity
    if change == 0:
        return ()
    name = f"{seen.id}:{plain(seen.filled)}"
    corrects = None
    if change < 0:
        corrects = f"{seen.id}:{plain(order.filled_quantity)}"
        name = f"{name}:{seen.updated_at.isoformat()}"
    execution = Execution(
        execution_id=name,
        client_order_id=order.client_order_id,
        quantity=change,
        price=_price(order, seen, change=change, dollars=dollars),
        at=seen.filled_at or seen.updated_at,
        corrects=corrects,
    )
    return (execution,)


def _price(order: Order, seen: WireOrder, *, change: Decimal, dollars: Decimal) -> Decimal:
    """The price that makes the whole add up, as far as a rounded average lets it be known: never nothing,
    and never one that the order's own limit forbids.
    """
    average = order.filled_value / order.filled_quantity if seen.price is None else seen.price
    if order.filled_quantity == 0:
        return average
    price = round_nearest((dollars - order.filled_value) / change, DECIMAL_PLACES)
    if price <= 0:
        return average
    worst = order.worst_price
    return worst if worst is not None and order.side.is_worse(price, worst) else price
