"""Who gets how much of the free cash: each line below its target its share by shortfall, to the cent, and
nobody else. Worked out in fractions from the contract's words (3.9-5), for accounts in which every share
makes an order.
"""

from dataclasses import replace
from fractions import Fraction
from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.any_account import amounts, any_basis
from trimtab.core.plan import Basis, make_plan
from trimtab.core.run import RunKind, Side

CENT = Fraction(1, 100)


def shortfalls(start: Basis) -> dict[str, Fraction]:
    """Dollars that are missing of each target, where something is."""
    invested = 1 - Fraction(start.limits.buffer_percent) / 100
    values = {s: Fraction(q) * Fraction(start.prices[s]) for s, q in start.holdings.positions.items()}
    equity = Fraction(start.holdings.cash) - Fraction(start.set_aside) + sum(values.values())
    missing = {
        s: equity * invested * Fraction(percent) / 100 - values.get(s, Fraction(0))
        for s, percent in start.weights.assets.items()
    }
    return {s: dollars for s, dollars in missing.items() if dollars > 0}


def free_cash(start: Basis) -> Fraction:
    """Cash without what is set aside, the cash target and the buffer."""
    invested = 1 - Fraction(start.limits.buffer_percent) / 100
    values = (Fraction(q) * Fraction(start.prices[s]) for s, q in start.holdings.positions.items())
    cash = Fraction(start.holdings.cash) - Fraction(start.set_aside)
    equity = cash + sum(values)
    return cash - max(equity, Fraction(0)) * (1 - invested * (1 - Fraction(start.weights.cash) / 100))


def whole_cents(dollars: Fraction) -> Fraction:
    return Fraction(floor(dollars * 100), 100)


def shares(start: Basis) -> dict[str, Fraction] | None:
    """Each line's share of the whole cents that may be spent; None if one of them is not worth an order."""
    missing, free = shortfalls(start), free_cash(start)
    if start.amount is not None:
        free = min(free, Fraction(start.amount))
    whole = sum(missing.values(), Fraction(0))
    spent = whole_cents(min(free, whole))
    if spent <= 0:
        return {}
    parts = {s: dollars * spent / whole for s, dollars in missing.items()}
    return parts if min(parts.values()) >= Fraction(start.limits.min_notional) + CENT else None


@st.composite
def any_deposit(draw: st.DrawFn) -> Basis:
    """Any account, and money that has come."""
    start = draw(any_basis())
    cash = start.holdings.cash + draw(amounts(100_000, 2))
    return replace(
        start,
        kind=RunKind.INVEST_CASH,
        amount=draw(st.none() | amounts(5000, 2)),
        holdings=replace(start.holdings, cash=cash),
        untradable=frozenset(),
        depths={},
    )


@given(any_deposit())
@settings(max_examples=400)
def test_every_line_below_its_target_gets_its_share_to_the_cent(asked: Basis) -> None:
    wanted = shares(asked)
    if wanted is None:
        return
    made = make_plan(asked)
    bought = {leg.symbol: Fraction(leg.notional or 0) for leg in made.legs if leg.side is Side.BUY}
    assert len(bought) == len(made.legs), "it buys only"
    assert bought.keys() == wanted.keys()
    assert all(abs(bought[s] - wanted[s]) < CENT for s in wanted)
    assert sum(bought.values()) == sum(wanted.values()), "not a cent is left over"
