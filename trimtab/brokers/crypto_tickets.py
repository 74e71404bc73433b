"""Markets, and what an exchange takes as an order: its precision and its smallest amounts.

Everything is rounded down, towards trading less; what is then too small is refused and never made larger.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ccxt.base.decimal_to_precision import DECIMAL_PLACES, TICK_SIZE

from trimtab.brokers.broker import Refused
from trimtab.brokers.crypto_exchange import Ticket, number, spelled
from trimtab.core.money import ATTO, down_to, plain, up_to
from trimtab.core.run import Order, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """How fine amounts are, in one of ccxt's three ways to say so: by a tick, by places or by digits."""

    mode: int
    value: Decimal | None

    def near(self, amount: Decimal) -> Decimal:
        """The smallest difference between two amounts of this size; that of 18 places if none is known."""
        if self.value is None or (self.mode == TICK_SIZE and self.value <= 0):
            return ATTO
        if self.mode == TICK_SIZE:
            return self.value
        digits = int(self.value)
        return Decimal(1).scaleb(-digits if self.mode == DECIMAL_PLACES else amount.adjusted() + 1 - digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A coin against the quote; `least` is the smallest order in the coin, `least_cost` in the quote."""

    name: str
    id: str
    base: str
    quote: str
    active: bool
    amounts: Precision
    prices: Precision
    least: Decimal | None
    least_cost: Decimal | None


def market_in(raw: Mapping[str, Any], mode: int) -> Market | None:
    """A market as ccxt describes it; None if its figures cannot be read: it is then not traded."""
    try:
        return Market(
            name=raw["symbol"],
            id=raw["id"],
            base=raw["base"],
            quote=raw["quote"],
            active=raw["active"] is not False,
            amounts=Precision(mode=mode, value=_maybe(raw["precision"]["amount"])),
            prices=Precision(mode=mode, value=_maybe(raw["precision"]["price"])),
            least=_maybe(raw["limits"]["amount"]["min"]),
            least_cost=_maybe(raw["limits"]["cost"]["min"]),
        )
    except (ArithmeticError, TypeError, ValueError):
        return None


def _maybe(text: object) -> Decimal | None:
    # Precision by places is a whole number in ccxt's own tables.
    return None if text is None else number(str(text))


def limit_price(order: Order, market: Market) -> Decimal | None:
    """The worst price of an order in the exchange's increments, which is not worse."""
    if order.worst_price is None:
        return None
    rounded = down_to if order.side is Side.BUY else up_to
    return rounded(order.worst_price, market.prices.near(order.worst_price))


def ticket(order: Order, market: Market, *, price: Decimal | None, id_length: int | None) -> Ticket | Refused:
    """What to send; with `price`, an amount of money is sent as as much of the base as it buys at that."""
    limit = limit_price(order, market)
    client_order_id = None if id_length is None else spelled(order.client_order_id, id_length)
    per_unit = limit or price
    if order.notional is not None and per_unit is None:
        if market.least_cost is not None and order.notional < market.least_cost:
            return _too_small(order.notional, market.least_cost, currency=market.quote)
        return Ticket(
            market=market.name, side=order.side, cost=plain(order.notional), client_order_id=client_order_id
        )
    amount = order.quantity
    if amount is None:
        assert order.notional is not None, "quantity or notional"
        assert per_unit is not None, "money without a price was sent as money"
        amount = order.notional / per_unit
    finest = market.amounts.near(amount)
    amount = down_to(amount, finest)
    least = market.least or finest
    if amount < least:
        return _too_small(amount, least, currency=market.base)
    return Ticket(
        market=market.name,
        side=order.side,
        amount=plain(amount),
        price=None if limit is None else plain(limit),
        client_order_id=client_order_id,
    )


def _too_small(amount: Decimal, least: Decimal, *, currency: str) -> Refused:
    return Refused(f"{plain(amount)} {currency} is less than the smallest order of {plain(least)} {currency}")
