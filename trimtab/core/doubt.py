"""Whether a broker's account shows what a run has traded in it.

One rule for every use: a run that has traded does not end, and the next plan is not made, before the
account shows it; an account whose run ends in doubt all the same is held, and is released when nothing
is in doubt any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trimtab.core.corporate import CorporateAction, names_after, positions_after
from trimtab.core.money import CENT, ZERO, plain
from trimtab.core.plan import Holdings, Plan
from trimtab.core.run import Order, OrderState, Run, Side

# How long a broker may take to show in its positions what its orders say.
POSITIONS_GRACE = timedelta(seconds=60)
POSITIONS_POLL = timedelta(seconds=5)
# And in its cash, which may also have come, or gone, without our knowledge.
CASH_GRACE = timedelta(seconds=30)
# What fees and the rounding of single executions may make of what was traded, besides a cent an order.
CASH_TOLERANCE = Decimal("0.001")
NOTHING_MOVED = frozenset({ZERO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traded:
    """What a run began with and what became of its orders; `changed_at` is when they last changed.

    `actions` are the corporate actions since, in the plan's symbols; `moved` are the dollars that may have
    come (or, negative, gone) without a trade since: more than one sum where it is not known whether the plan
    was made before a transfer or after it.
    """

    plan: Plan
    orders: tuple[Order, ...]
    changed_at: datetime
    actions: tuple[CorporateAction, ...] = ()
    moved: frozenset[Decimal] = NOTHING_MOVED


def traded(
    run: Run,
    plan: Plan,
    *,
    orders: Sequence[Order],
    actions: tuple[CorporateAction, ...] = (),
    moved: frozenset[Decimal] = NOTHING_MOVED,
) -> Traded:
    # Of the run itself only without orders: a client who cancels again and again changes the run.
    changes = [order.updated_at for order in orders if order.updated_at is not None]
    changed_at = max(changes, default=run.updated_at)
    return Traded(plan=plan, orders=tuple(orders), changed_at=changed_at, actions=actions, moved=moved)


def doubt(before: Traded, holdings: Holdings, *, drops_duplicates: bool) -> str | None:
    """Why nothing more may be ordered for the account; None if its positions are proven."""
    why = disagreement(before, holdings, overtaken=True)
    return why or open_fate(before.orders, drops_duplicates=drops_duplicates)


def open_fate(orders: Sequence[Order], *, drops_duplicates: bool) -> str | None:
    """An order that may still become a trade. One that was given up where duplicates are dropped was
    never there: it would have been sent again.
    """
    if any(order.state.is_open for order in orders):
        return "an order is still open"
    if not drops_duplicates and any(order.state is OrderState.ABANDONED for order in orders):
        return "the fate of an order is unknown"
    return None


def disagreement(before: Traded, holdings: Holdings, *, overtaken: bool = False) -> str | None:
    """The first symbol whose position is not what it was, plus what the run traded, after the corporate
    actions since.

    Nothing is sent for a symbol once it has had one. `overtaken` allows for an order that was on its way:
    what it traded came after the action and was not changed by it.
    """
    start, fills = before.plan.holdings.positions, _fills(before.orders)
    expected = positions_after(before.actions, _sum(start, fills))
    present = names_after(before.actions)
    moved = {present.get(symbol, symbol): quantity for symbol, quantity in fills.items()}
    also = _sum(positions_after(before.actions, start), moved) if overtaken else expected
    for symbol in sorted({*expected, *holdings.positions}):
        ours, theirs = expected.get(symbol, ZERO), holdings.positions.get(symbol, ZERO)
        if theirs not in (ours, also.get(symbol, ZERO)):
            return f"the broker shows {plain(theirs)} {symbol}, our fills make it {plain(ours)}"
    return None


def _fills(orders: Sequence[Order]) -> dict[str, Decimal]:
    """By how many shares the orders have changed each position."""
    fills: dict[str, Decimal] = {}
    for order in orders:
        sign = 1 if order.side is Side.BUY else -1
        fills[order.symbol] = fills.get(order.symbol, ZERO) + sign * order.filled_quantity
    return fills


def _sum(positions: Mapping[str, Decimal], more: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {s: positions.get(s, ZERO) + more.get(s, ZERO) for s in {*positions, *more}}


def odd_cash(before: Traded, holdings: Holdings) -> str | None:
    """How the cash is not what it was, plus what the run traded. A broker may show cash later than positions,
    or an old picture in which the positions are the same: what was sold has been bought again.
    """
    values = [(1 if o.side is Side.SELL else -1) * o.filled_value for o in before.orders]
    expected = before.plan.holdings.cash + sum(values, ZERO)
    tolerance = CASH_TOLERANCE * sum(map(abs, values), ZERO) + CENT * len(values)
    if any(abs(holdings.cash - expected - moved) <= tolerance for moved in before.moved):
        return None
    return f"the broker shows ${plain(holdings.cash)}, our fills make it ${plain(expected)}"


def unseen(before: Traded, holdings: Holdings, *, now: datetime) -> tuple[datetime, str] | None:
    """When to look again, and what the positions do not show yet; None if they show everything, or have
    had the time to.
    """
    return _once_more(disagreement(before, holdings), until=before.changed_at + POSITIONS_GRACE, now=now)


def unseen_cash(before: Traded, holdings: Holdings, *, now: datetime) -> tuple[datetime, str] | None:
    """As unseen, for the cash."""
    return _once_more(odd_cash(before, holdings), until=before.changed_at + CASH_GRACE, now=now)


def _once_more(differing: str | None, *, until: datetime, now: datetime) -> tuple[datetime, str] | None:
    return None if differing is None or now >= until else (min(now + POSITIONS_POLL, until), differing)
