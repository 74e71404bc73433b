"""A budget among lines: answers worked out by hand, and what holds for any lines and any budget."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.money import CENT, ZERO, round_down
from trimtab.core.spending import fit

# what is wanted by A, B, C…, the budget, the smallest order, whole cents
FITTED = [
    ("enough for all", "10 20", "100", "1", "10 20"),
    ("just enough", "10 20", "30", "1", "10 20"),
    ("half", "10 20", "15", "1", "5 10"),
    ("cents are shared out", "1 1 1", "1", "0.01", "0.34 0.33 0.33"),
    ("a fraction of a cent is not spent", "10 20", "15.009", "1", "5 10"),
    ("nothing to spend", "10 20", "0", "1", "0 0"),
    ("nothing wanted", "", "100", "1", ""),
    ("fractions of a cent are not bought", "10.009", "100", "1", "10"),
    ("exactly the smallest for each", "5 5", "2", "1", "1 1"),
    ("of equals the last is given up", "5 5", "1.99", "1", "1.99 0"),
    # 2.40 as 3 to 2 would be 1.44 and 0.96.
    ("what wants least is given up", "80 120", "2.40", "1", "0 2.40"),
    ("nobody gets more than it wants", "1.70 1.70", "1.90", "1", "1.70 0"),
    ("too little for anybody", "5 5", "0.99", "1", "0 0"),
    # 3.60 as 3 to 2 to 1 would be 1.80, 1.20, 0.60; as 3 to 2: 2.16 and 1.44.
    ("one is enough to give up", "30 20 10", "3.60", "1", "2.16 1.44 0"),
    # 2.40: 1.20, 0.80, 0.40; then 1.44, 0.96; then 2.40.
    ("two are enough to give up", "30 20 10", "2.40", "1", "2.40 0 0"),
    ("the smallest order may be of any size", "300 200 100", "240", "100", "240 0 0"),
    # 0.031 is 0.03 in whole cents: 0.015 each would be 0.02 and 0.01.
    ("and not in whole cents", "1 1", "0.031", "0.015", "0.03 0"),
]


def named(amounts: str) -> dict[str, Decimal]:
    return {chr(65 + n): Decimal(each) for n, each in enumerate(amounts.split())}


@pytest.mark.parametrize(
    ("wanted", "budget", "smallest", "parts"), [pytest.param(*case[1:], id=case[0]) for case in FITTED]
)
def test_what_is_wanted_is_fitted_into_the_budget(
    wanted: str, budget: str, *, smallest: str, parts: str
) -> None:
    assert fit(named(wanted), Decimal(budget), smallest=Decimal(smallest)) == named(parts)


def test_of_eleven_lines_for_ten_dollars_ten_are_traded() -> None:
    """The vendor's own example."""
    eleven = {f"L{n:02}": Decimal(10) for n in range(11)}
    parts = fit(eleven, Decimal(10), smallest=Decimal(1))
    assert parts == dict.fromkeys(eleven, Decimal(1)) | {"L10": ZERO}


CENTS = st.decimals(min_value="0.01", max_value=10**6, places=2)


@given(
    wanted=st.lists(CENTS, min_size=1, max_size=20),
    budget=st.decimals(min_value=0, max_value=10**6, places=4),
    smallest=CENTS,
)
def test_any_budget_is_spent_on_as_many_lines_as_it_can_order(
    wanted: list[Decimal], budget: Decimal, smallest: Decimal
) -> None:
    """Never above it, in whole cents, none below the smallest order; and one line more, in proportion,
    would have had too little.
    """
    lines = {f"L{n:02}": max(each, smallest) for n, each in enumerate(wanted)}
    parts = fit(lines, budget, smallest=smallest)
    kept = {symbol for symbol, part in parts.items() if part}
    assert sum(parts.values()) <= budget
    assert all(part == 0 or smallest <= part <= lines[symbol] + CENT for symbol, part in parts.items())
    given_up = sorted(lines.keys() - kept, key=lambda symbol: (-lines[symbol], symbol))
    if given_up:
        more = [*(lines[symbol] for symbol in kept), lines[given_up[0]]]
        share = Fraction(min(budget, sum(more))) * Fraction(more[-1]) / Fraction(sum(more))
        assert share < Fraction(smallest)
    else:
        assert sum(parts.values()) == round_down(min(budget, sum(lines.values(), ZERO)), 2)
