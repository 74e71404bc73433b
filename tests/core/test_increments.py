"""Markets that trade in increments: what a plan sells is in whole ones."""

from decimal import Decimal
from typing import Any

import pytest

from tests.core.examples import basis, decimals, holdings, weights
from trimtab.core.money import down_to, up_to
from trimtab.core.plan import make_plan
from trimtab.core.run import RunKind

RAISE = RunKind.PARTIAL_LIQUIDATION


@pytest.mark.parametrize(
    ("value", "increment", "down", "up"),
    [
        ("0", "0.01", "0", "0"),
        ("1.239", "0.01", "1.23", "1.24"),
        ("1.23", "0.01", "1.23", "1.23"),
        ("1.23", "0.5", "1", "1.5"),
        ("7", "2.5", "5", "7.5"),
        ("0.123456789012345678", "1e-18", "0.123456789012345678", "0.123456789012345678"),
        ("0.004", "0.01", "0", "0.01"),
    ],
)
def test_increments_are_counted_from_zero(value: str, increment: str, down: str, up: str) -> None:
    assert down_to(Decimal(value), Decimal(increment)) == Decimal(down)
    assert up_to(Decimal(value), Decimal(increment)) == Decimal(up)


# A costs $100, B $50. Of $800 in A and $200 in B, $200 in A are above 60 %.
@pytest.mark.parametrize(
    ("increments", "kind", "held", "sold"),
    [
        ({}, {}, {"A": "8", "B": "4"}, {"A": "2"}),
        ({"A": "0.3"}, {}, {"A": "8", "B": "4"}, {"A": "1.8"}),
        # Less than an increment is left where it is.
        ({"A": "3"}, {}, {"A": "8", "B": "4"}, {}),
        # Out of the strategy means out to the last whole increment.
        ({"A": "0.01"}, {"weights": weights(B="100")}, {"A": "1.239"}, {"A": "1.23"}),
        # Money that was asked for is raised in full: $50 are half an A, in increments of 0.3 it takes 0.6.
        ({"A": "0.3"}, {"kind": RAISE, "amount": Decimal(50)}, {"A": "8"}, {"A": "0.6"}),
        # But nothing is sold that is not there.
        ({"A": "3"}, {"kind": RAISE, "amount": Decimal(700)}, {"A": "8"}, {"A": "6"}),
    ],
)
def test_sells_are_in_whole_increments(
    increments: dict[str, str], kind: dict[str, Any], held: dict[str, str], *, sold: dict[str, str]
) -> None:
    made_from: dict[str, Any] = {"weights": weights(A="60", B="40")} | kind
    start = basis(holdings=holdings("0", **held), increments=decimals(increments), **made_from)
    made = make_plan(start)
    assert {leg.symbol: leg.quantity for leg in made.sells} == decimals(sold)
    assert sum((leg.notional or Decimal(0) for leg in made.buys), Decimal(0)) <= sum(
        ((leg.quantity or Decimal(0)) * leg.price for leg in made.sells), Decimal(0)
    )
