"""How far accounts stray from their targets: as Trimtab keeps them, and as they would be if left alone.

The twin of an account buys the same targets with the same money on the same days and never sells.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from trimtab.core.money import HUNDRED, QUANTITY_PLACES, ZERO, divide_down, divide_up
from trimtab.core.plan import Holdings, equity_of
from trimtab.core.strategy import Weights
from trimtab.demo.customers import Customer
from trimtab.demo.market import Prices
from trimtab.demo.strategies import RECIPES

POINT_PLACES = 2
NOTHING = Holdings(cash=ZERO, positions={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The largest distance of any line from its target, in points of percent of equity."""

    points: Decimal
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Strayed:
    """The worst that was seen of one strategy's accounts and of their twins."""

    strategy: str
    kept: Worst
    alone: Worst


def invest(holdings: Holdings, amount: Decimal, *, weights: Weights, prices: Prices) -> Holdings:
    """New money bought at its target weights; what is not a billionth of a share stays cash."""
    positions = dict(holdings.positions)
    cash = holdings.cash + amount
    for symbol, percent in weights.assets.items():
        quantity = divide_down(amount * percent, HUNDRED * prices[symbol], to_places=QUANTITY_PLACES)
        positions[symbol] = positions.get(symbol, ZERO) + quantity
        cash -= quantity * prices[symbol]
    return Holdings(cash=cash, positions=positions)


def drift(holdings: Holdings, *, weights: Weights, prices: Prices) -> Decimal:
    """Points of percent between the line that is furthest off and its target, rounded up."""
    equity = equity_of(holdings, prices)
    lines: list[tuple[Decimal, Decimal]] = [(holdings.cash, weights.cash)]
    lines += [
        (holdings.positions.get(symbol, ZERO) * prices[symbol], weights.assets.get(symbol, ZERO))
        for symbol in {*weights.assets, *holdings.positions}
    ]
    furthest = max(abs(HUNDRED * value - target * equity) for value, target in lines)
    return divide_up(furthest, equity, to_places=POINT_PLACES)


class Twins:
    """The twins of some accounts, and the worst that was seen of both."""

    def __init__(self) -> None:
        self._weights = [recipe.weights for recipe in RECIPES]
        self._holdings: dict[int, Holdings] = {}
        self._kept: dict[int, Worst] = {}
        self._alone: dict[int, Worst] = {}

    def change_weights(self, recipe: int, weights: Weights) -> None:
        self._weights[recipe] = weights

    def pay_in(self, customer: Customer, amount: Decimal, *, prices: Prices) -> None:
        before = self._holdings.get(customer.number, NOTHING)
        weights = self._weights[customer.recipe]
        self._holdings[customer.number] = invest(before, amount, weights=weights, prices=prices)

    def compare(self, customer: Customer, kept: Holdings, *, on: date, prices: Prices) -> None:
        """Look at an account as it is kept, and at its twin."""
        weights = self._weights[customer.recipe]
        alone = self._holdings[customer.number]
        for worst, holdings in ((self._kept, kept), (self._alone, alone)):
            points = drift(holdings, weights=weights, prices=prices)
            known = worst.get(customer.recipe)
            if known is None or points > known.points:
                worst[customer.recipe] = Worst(points=points, on=on)

    @property
    def strayed(self) -> tuple[Strayed, ...]:
        """Of each strategy that has accounts here."""
        return tuple(
            Strayed(strategy=RECIPES[recipe].name, kept=kept, alone=self._alone[recipe])
            for recipe, kept in sorted(self._kept.items())
        )
