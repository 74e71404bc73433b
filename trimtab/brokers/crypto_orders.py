"""From an exchange's orders and trades to reports: what they changed in the account, to the last digit.

An exchange takes its fee from what was bought, from what was paid, or in a third coin. What is reported is
what moved: the quantity is net of a fee in it, and the price is what was really paid or received for a
unit. So positions are the sum of executions, and proceeds are money that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from trimtab.brokers.broker import PRICE_PLACES, OrderReport
from trimtab.brokers.crypto_exchange import number
from trimtab.core.money import ZERO, divide_down, plain
from trimtab.core.run import Execution, Order, OrderState, Side

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# ccxt's words; whatever else it may say, the order is not known to have ended.
STATES = {
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.CANCELED,
    "rejected": OrderState.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What executions changed: units of the base gained or given, and units of the quote paid or received."""

    quantity: Decimal
    value: Decimal

    @property
    def price(self) -> Decimal:
        """Per unit, rounded down where it has no end: no buy shows more than the money that it had."""
        return divide_down(self.value, self.quantity, to_places=PRICE_PLACES)


def moved(of: Mapping[str, Any], *, amount: str, side: Side, market: str) -> Moved:
    """What a trade, or all of an order so far, moved after fees; `amount` names its gross quantity."""
    base, _, quote = market.partition("/")
    fees = {currency: _fee(of, currency) for currency in (base, quote)}
    sign = -1 if side is Side.BUY else 1
    return Moved(
        quantity=number(of[amount]) + sign * fees[base], value=number(of["cost"]) - sign * fees[quote]
    )


def _fee(of: Mapping[str, Any], currency: str) -> Decimal:
    fees = of.get("fees") or [of["fee"]] if of.get("fee") or of.get("fees") else []
    taken = [fee for fee in fees if fee.get("currency") == currency and fee.get("cost") is not None]
    return sum((number(fee["cost"]) for fee in taken), ZERO)


def instant(milliseconds: int | None, otherwise: datetime) -> datetime:
    return otherwise if milliseconds is None else EPOCH + timedelta(milliseconds=milliseconds)


def executions_of(order: Order, trades: Sequence[Mapping[str, Any]], *, market: str) -> tuple[Execution, ...]:
    """One for each trade; ids of trades are unique within a market only."""
    executions = []
    for trade in trades:
        change = moved(trade, amount="amount", side=order.side, market=market)
        executions.append(
            Execution(
                execution_id=f"{market}:{trade['order']}:{trade['id']}",
                client_order_id=order.client_order_id,
                quantity=change.quantity,
                price=change.price,
                at=instant(trade["timestamp"], order.sent_at),
            )
        )
    return tuple(executions)


def rest_of(order: Order, found: Mapping[str, Any], *, market: str) -> tuple[Execution, ...]:
    """What has been executed since it was last known, where the exchange shows no trades: at most one
    execution, named for how far it came.
    """
    change = moved(found, amount="filled", side=order.side, market=market)
    since = Moved(quantity=change.quantity - order.filled_quantity, value=change.value - order.filled_value)
    if since.quantity <= 0:
        return ()
    return (
        Execution(
            execution_id=f"{market}:{found['id']}:{plain(change.quantity)}",
            client_order_id=order.client_order_id,
            quantity=since.quantity,
            price=since.price,
            at=instant(found.get("lastTradeTimestamp") or found.get("timestamp"), order.sent_at),
        ),
    )


def report(
    order: Order, found: Mapping[str, Any], *, trades: Sequence[Mapping[str, Any]] | None, market: str
) -> OrderReport:
    """The order as the exchange shows it; without `trades` it shows none of any order.

    An order that has ended shows as open until all its trades show: what is final is not asked for again.
    """
    if trades is None:
        executions = rest_of(order, found, market=market)
        filled = order.filled_quantity + sum((e.quantity for e in executions), ZERO)
        complete = True
    else:
        executions = executions_of(order, trades, market=market)
        filled = sum((e.quantity for e in executions), ZERO)
        shown = sum((number(trade["amount"]) for trade in trades), ZERO)
        complete = shown >= filled_of(found)
    state = STATES.get(found.get("status") or "", OrderState.OPEN)
    reason = found["status"] if state in {OrderState.CANCELED, OrderState.REFUSED} else None
    taken = None if order.quantity is None else number(found["amount"])
    if state is OrderState.FILLED and order.quantity is not None and taken != order.quantity:
        state, reason = OrderState.CANCELED, f"the exchange takes only {found['amount']} of it"
    return OrderReport(
        client_order_id=order.client_order_id,
        broker_order_id=str(found["id"]),
        account_id=order.account_id,
        symbol=order.symbol,
        side=Side(found["side"]),
        quantity=taken,
        notional=order.notional,
        state=state if complete else OrderState.OPEN,
        filled=filled,
        executions=executions,
        reason=reason,
        updated_at=instant(
            found.get("lastUpdateTimestamp") or found.get("lastTradeTimestamp") or found.get("timestamp"),
            order.sent_at,
        ),
    )


def filled_of(found: Mapping[str, Any]) -> Decimal:
    """How much of the base an order has executed before fees; 0 where the exchange does not say yet."""
    return ZERO if found.get("filled") is None else number(found["filled"])
