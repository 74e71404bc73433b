"""What may never be sent: the last look that every order passes, whoever planned it.

A pure predicate over one order and the world at the moment of sending. It knows nothing of how the
order came about, so that a fault in planning does not reach the broker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trimtab.core.corporate import CorporateAction, describe
from trimtab.core.money import HUNDRED, plain
from trimtab.core.plan import Plan, SkipReason
from trimtab.core.run import Order, Side

# Wider than any single-stock pause band (10 % for large funds), narrower than a misplaced decimal.
COLLAR_PERCENT = Decimal(20)


@dataclass(frozen=True, slots=True)
class Stopped:
    reason: SkipReason
    details: str


def gate(
    order: Order,
    plan: Plan,
    *,
    prices: Mapping[str, Decimal],
    frozen_symbols: frozenset[str],
    actions: Sequence[CorporateAction] = (),
) -> Stopped | None:
    """Why this order must not be sent now; None if it may. Prices are those at the time of sending,
    `actions` the corporate actions since the plan: its amounts are of shares that are not there any more.
    """
    if order.symbol in frozen_symbols:
        return Stopped(SkipReason.FROZEN, f"{order.symbol} is frozen")
    for action in actions:
        if action.symbol == order.symbol:
            return Stopped(SkipReason.CORPORATE_ACTION, describe(action))
    price = prices.get(order.symbol)
    if price is None or price <= 0:
        return Stopped(SkipReason.NO_PRICE, f"{order.symbol} has no current price")
    planned = plan.prices[order.symbol]
    if HUNDRED * abs(price - planned) > COLLAR_PERCENT * planned:
        details = f"price ${plain(price)} is more than {COLLAR_PERCENT} % from the plan's ${plain(planned)}"
        return Stopped(SkipReason.PRICE_MOVED, details)
    if order.worst_price is not None and order.side.is_worse(price, order.worst_price):
        details = f"price ${plain(price)} is worse than the ${plain(order.worst_price)} that slippage allows"
        return Stopped(SkipReason.PRICE_MOVED, details)
    return _over_limit(order, plan)


def _over_limit(order: Order, plan: Plan) -> Stopped | None:
    """No order is larger than what the account was seen to have."""
    held = plan.holdings.positions.get(order.symbol, Decimal(0))
    if order.side is Side.SELL and (order.quantity is None or order.quantity > held):
        return Stopped(SkipReason.OVER_LIMIT, f"sells more {order.symbol} than the account holds")
    if order.side is Side.BUY and (order.notional is None or order.notional > plan.equity):
        return Stopped(SkipReason.OVER_LIMIT, f"buys more {order.symbol} than the account is worth")
    return None
