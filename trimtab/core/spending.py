"""How much of a budget goes to each of the lines that want some of it.

In proportion to what they want; but a share too small for an order buys nothing for anybody. So lines
are given up, the one that wants least first, until each of the others gets an order (notes on Alpaca's
contract, 3.9: of eleven lines for $10, ten are traded).
"""

from collections.abc import Mapping
from decimal import Decimal

from trimtab.core.money import CENT_PLACES, ZERO, round_down, split


def fit(wanted: Mapping[str, Decimal], budget: Decimal, *, smallest: Decimal) -> dict[str, Decimal]:
    """Whole cents for each symbol: at least `smallest`, never more than is wanted by more than the cent that
    a split rounds, or 0 for a line that is given up; together never above the budget.

    Of lines that want the same, the last is given up first.
    """
    kept = _kept(wanted, budget, smallest=smallest)
    while kept:
        parts = _shares({symbol: wanted[symbol] for symbol in kept}, budget)
        if min(parts.values()) >= smallest:
            return dict.fromkeys(wanted, ZERO) | parts
        # Only where the smallest order is not in whole cents.
        kept.pop()
    return dict.fromkeys(wanted, ZERO)


def _kept(wanted: Mapping[str, Decimal], budget: Decimal, *, smallest: Decimal) -> list[str]:
    """The most lines that can each have an order, those that want most first.

    Each line added wants no more than those before it and makes all shares smaller: the first that
    gets too little ends the search.
    """
    kept: list[str] = []
    whole = ZERO
    for symbol in sorted(wanted, key=lambda symbol: -wanted[symbol]):
        whole += wanted[symbol]
        if min(budget, whole) * wanted[symbol] < smallest * whole:
            break
        kept.append(symbol)
    return kept


def _shares(wanted: Mapping[str, Decimal], budget: Decimal) -> dict[str, Decimal]:
    whole = sum(wanted.values(), ZERO)
    total = round_down(min(whole, budget), CENT_PLACES)
    return dict(zip(wanted, split(total, list(wanted.values())), strict=True))
