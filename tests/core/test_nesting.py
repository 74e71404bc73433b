"""The graph of nested strategies: what lies below, what lies above, and the way back."""

from decimal import Decimal

import pytest

from trimtab.core.nesting import Shelf, above, below, way_back
from trimtab.core.strategy import AssetTarget, StrategyTarget


def shelf(text: str) -> Shelf:
    """`a: b c, b: d`: a holds b and c, b holds d. Percents do not matter."""
    lines = [line.split(": ") for line in text.split(", ")] if text else []
    spy = AssetTarget(symbol="SPY", percent=Decimal(1))
    return {
        holder: (spy, *(StrategyTarget(strategy_id=each, percent=Decimal(1)) for each in held.split()))
        for holder, held in lines
    }


# shelf, of which strategy, all below, all above, the way back
AROUND = [
    ("", "a", "", "", ""),
    ("b: c", "a", "", "", ""),
    ("a: b", "a", "b", "", ""),
    ("a: b", "b", "", "a", ""),
    ("a: b, b: c, c: d", "b", "c d", "a", ""),
    ("a: b, b: c, c: d", "d", "", "a b c", ""),
    # A diamond is no circle.
    ("a: b c, b: d, c: d", "a", "b c d", "", ""),
    ("a: b c, b: d, c: d", "d", "", "a b c", ""),
    ("a: a", "a", "a", "a", "a a"),
    ("a: b, b: a", "a", "a b", "a b", "a b a"),
    ("a: b, b: c, c: d, d: a", "c", "a b c d", "a b c d", "c d a b c"),
    # Two ways back: the shorter one is named.
    ("a: b c, b: d, d: a, c: a", "a", "a b c d", "a b c d", "a c a"),
    # A circle elsewhere is not a way back, nor is it walked for ever.
    ("a: b, b: c, c: b", "a", "b c", "", ""),
]


@pytest.mark.parametrize(("text", "strategy_id", "all_below", "all_above", "way"), AROUND)
def test_what_lies_around_a_strategy(
    text: str, strategy_id: str, *, all_below: str, all_above: str, way: str
) -> None:
    around = shelf(text)
    assert below(strategy_id, around) == set(all_below.split())
    assert above(strategy_id, around) == set(all_above.split())
    assert way_back(strategy_id, around) == tuple(way.split())


def test_a_million_ways_are_walked_once() -> None:
    # Each of twenty floors holds both strategies of the floor below.
    floors = ", ".join(f"{side}{n}: a{n - 1} b{n - 1}" for n in range(1, 21) for side in "ab")
    building = shelf(floors)
    assert len(below("a20", building)) == 40
    assert len(above("a0", building)) == 40
    assert way_back("a20", building) == ()
