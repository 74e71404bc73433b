"""What may never be sent: the last look that every order passes, whoever planned it.

A pure predicate over one order and the world at the moment of sending. It knows nothing of how the
order came about, so that a fault in planning does not reach the broker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from trimtab.core.corporate import CorporateAction, describe
from trimtab.core.money import CENT_PLACES, HUNDRED, plain, round_down
from trimtab.core.plan import Plan
from trimtab.core.run import Order, Side
from trimtab.core.skip import SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What no order may exceed, whatever was planned: dollars an order, orders a run, orders a minute of one
    tenant, percent between the plan's price and the present one, age of the present price. None: no such cap.

    20 % is wider than any single-stock pause band (10 % for large funds), narrower than a misplaced decimal.
    """

    order_max: Decimal | None = None
    run_orders_max: int | None = None
    minute_orders_max: int | None = None
    collar_percent: Decimal = Decimal(20)
    price_age_max: timedelta = timedelta(seconds=60)


NO_CAPS = Caps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The world at the moment of sending: present prices and how old they are, frozen symbols, the corporate
    actions since the plan, and how many orders the run has had.
    """

    prices: Mapping[str, Decimal]
    frozen_symbols: frozenset[str]
    prices_age: timedelta = timedelta(0)
    actions: Sequence[CorporateAction] = ()
    run_orders: int = 0
    caps: Caps = NO_CAPS


@dataclass(frozen=True, slots=True)
class Stopped:
    reason: SkipReason
    details: str


def gate(order: Order, plan: Plan, *, at: Moment) -> Stopped | None:
    """Why this order must not be sent now; None if it may. The amounts of a plan are of shares that are not
    there any more after a corporate action.
    """
    if order.symbol in at.frozen_symbols:
        return Stopped(SkipReason.FROZEN, f"{order.symbol} is frozen")
    for action in at.actions:
        if action.symbol == order.symbol:
            return Stopped(SkipReason.CORPORATE_ACTION, describe(action))
    price = at.prices.get(order.symbol)
    if price is None or price <= 0:
        return Stopped(SkipReason.NO_PRICE, f"{order.symbol} has no current price")
    return (
        _too_old(order, at)
        or _too_far(order, price, planned=plan.prices[order.symbol], caps=at.caps)
        or _over_limit(order, plan)
        or _over_cap(order, price, at=at)
    )


def _too_old(order: Order, at: Moment) -> Stopped | None:
    if at.prices_age <= at.caps.price_age_max:
        return None
    seconds = int(at.prices_age.total_seconds())
    return Stopped(SkipReason.NO_PRICE, f"the price of {order.symbol} is {seconds} seconds old")


def _too_far(order: Order, price: Decimal, *, planned: Decimal, caps: Caps) -> Stopped | None:
    """The collar, and what slippage the strategy allows."""
    if HUNDRED * abs(price - planned) > caps.collar_percent * planned:
        details = (
            f"price ${plain(price)} is more than {plain(caps.collar_percent)} % "
            f"from the plan's ${plain(planned)}"
        )
        return Stopped(SkipReason.PRICE_MOVED, details)
    if order.worst_price is not None and order.side.is_worse(price, order.worst_price):
        details = f"price ${plain(price)} is worse than the ${plain(order.worst_price)} that slippage allows"
        return Stopped(SkipReason.PRICE_MOVED, details)
    return None


def _over_limit(order: Order, plan: Plan) -> Stopped | None:
    """No order is larger than what the account was seen to have."""
    held = plan.holdings.positions.get(order.symbol, Decimal(0))
    if order.side is Side.SELL and (order.quantity is None or order.quantity > held):
        return Stopped(SkipReason.OVER_LIMIT, f"sells more {order.symbol} than the account holds")
    if order.side is Side.BUY and (order.notional is None or order.notional > plan.equity):
        return Stopped(SkipReason.OVER_LIMIT, f"buys more {order.symbol} than the account is worth")
    return None


def _over_cap(order: Order, price: Decimal, *, at: Moment) -> Stopped | None:
    """No order is larger, and no run has more of them, than the installation allows."""
    caps = at.caps
    value = order.notional if order.quantity is None else order.quantity * price
    if caps.order_max is not None and value is not None and value > caps.order_max:
        order_value = plain(round_down(value, to_places=CENT_PLACES))
        details = f"${order_value} is more than the ${plain(caps.order_max)} that an order may be"
        return Stopped(SkipReason.OVER_LIMIT, details)
    if caps.run_orders_max is not None and at.run_orders >= caps.run_orders_max:
        return Stopped(SkipReason.OVER_LIMIT, f"the run has had its {caps.run_orders_max} orders")
    return None
