"""From an order of ours to what an exchange takes: its precision and its smallest amounts.

Everything is rounded down, towards trading less; what is then too small is refused and never made larger.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ccxt.base.decimal_to_precision import DECIMAL_PLACES, TICK_SIZE

from trimtab.brokers.broker import Refused
from trimtab.brokers.crypto_exchange import Ticket, number, spelled
from trimtab.core.money import ATTO, down_to, plain, up_to
from trimtab.core.run import Order, Side


def increment(precision: str | None, mode: int, *, value: Decimal) -> Decimal:
    """The smallest difference between two amounts near `value`, by one of ccxt's three ways to say so; if
    the exchange says nothing, that of 18 places.
    """
    if precision is None:
        return ATTO
    if mode == TICK_SIZE:
        return number(precision)
    digits = int(precision)
    return Decimal(1).scaleb(-digits if mode == DECIMAL_PLACES else value.adjusted() + 1 - digits)


def limit_price(order: Order, market: Mapping[str, Any], *, mode: int) -> Decimal | None:
    """The worst price of an order in the exchange's steps, none of which is worse."""
    if order.worst_price is None:
        return None
    tick = increment(market["precision"]["price"], mode, value=order.worst_price)
    return (down_to if order.side is Side.BUY else up_to)(order.worst_price, tick)


def ticket(
    order: Order, market: Mapping[str, Any], *, mode: int, price: Decimal | None, id_length: int | None
) -> Ticket | Refused:
    """What to send; with `price`, an amount of money is sent as as much of the base as it buys at that."""
    name, base, quote = market["symbol"], market["base"], market["quote"]
    limit = limit_price(order, market, mode=mode)
    client_order_id = None if id_length is None else spelled(order.client_order_id, id_length)
    per_unit = limit or price
    if order.notional is not None and per_unit is None:
        smallest = market["limits"]["cost"]["min"]
        if smallest is not None and order.notional < number(smallest):
            return Refused(
                f"{plain(order.notional)} {quote} is less than the smallest order of {smallest} {quote}"
            )
        return Ticket(
            market=name, side=order.side, cost=plain(order.notional), client_order_id=client_order_id
        )
    amount = order.quantity
    if amount is None:
        assert order.notional is not None, "quantity or notional"
        assert per_unit is not None, "money without a price was sent as money"
        amount = order.notional / per_unit
    amount = down_to(amount, increment(market["precision"]["amount"], mode, value=amount))
    smallest = market["limits"]["amount"]["min"]
    if amount <= 0 or (smallest is not None and amount < number(smallest)):
        least = smallest or market["precision"]["amount"]
        return Refused(f"{plain(amount)} {base} is less than the smallest order of {least} {base}")
    return Ticket(
        market=name,
        side=order.side,
        amount=plain(amount),
        price=None if limit is None else plain(limit),
        client_order_id=client_order_id,
    )
