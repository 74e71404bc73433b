"""Whether what a broker shows under one of our ids is the order that was meant.

Ids are names of intents (see `run.order_id`), so under one of them can only be that intent, unless somebody
else uses our ids, two installations share an account, or the broker errs. None of these mends itself: the
account is frozen until a person has looked.
"""

from dataclasses import dataclass
from decimal import Decimal

from trimtab.core.money import CENT, HUNDRED, plain
from trimtab.core.run import Order, Side

# An order in dollars is sized by the broker at one price and executed at another, a moment later.
OVERSPENT_PERCENT = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What an order is to do: `quantity` in shares or `notional` in dollars."""

    account_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None


def difference(meant: Order, shown: Body, *, present_symbol: str) -> str | None:
    """How the order shown is not the one meant; None if it is. A broker may have rounded it to less than
    was meant, or turned dollars into shares; its symbol may be the asset's present one.
    """
    if shown.account_id != meant.account_id:
        return f"it is of account {shown.account_id}"
    if shown.symbol not in {meant.symbol, present_symbol}:
        return f"it is of {shown.symbol}, not of {meant.symbol}"
    if shown.side is not meant.side:
        return f"it is to {shown.side}, not to {meant.side}"
    if meant.quantity is not None and (shown.quantity is None or shown.quantity > meant.quantity):
        return f"it is of {_amount(shown)}, not of {plain(meant.quantity)} shares"
    if meant.notional is not None and shown.notional is not None and shown.notional > meant.notional:
        return f"it is of {_amount(shown)}, not of ${plain(meant.notional)}"
    return None


def _amount(body: Body) -> str:
    if body.quantity is not None:
        return f"{plain(body.quantity)} shares"
    return "nothing" if body.notional is None else f"${plain(body.notional)}"


def excess(order: Order, *, quantity: Decimal, value: Decimal) -> str | None:
    """How an order has executed more than was ordered: `quantity` shares for `value` dollars in all."""
    if order.quantity is not None:
        over = quantity > order.quantity
        ordered = f"{plain(order.quantity)} shares"
    else:
        assert order.notional is not None, "quantity or notional"
        over = value > order.notional * (HUNDRED + OVERSPENT_PERCENT) / HUNDRED + CENT
        ordered = f"${plain(order.notional)}"
    return f"{plain(quantity)} shares executed for ${plain(value)}, {ordered} ordered" if over else None
