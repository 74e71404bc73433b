"""Which positions give the cash that was asked for, and how much each of them.

The most overweight gives first. What is raised is the amount exactly, as long as orders of the
smallest size allow it; where less than such an order would be left, one whole order takes its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trimtab.core.money import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A position in dollars: how much of it is above its target, and the most that it can give."""

    symbol: str
    over: Decimal
    most: Decimal


def raise_cash(amount: Decimal, offers: Sequence[Offer], *, smallest: Decimal) -> dict[str, Decimal]:
    """Dollars to sell of each symbol, the most overweight first; each at least `smallest`.

    They sum to the amount or to less than `smallest` above it; if less is offered, to all of that. What
    is not worth an order is no offer.
    """
    order = sorted((o for o in offers if o.most >= smallest), key=lambda o: (-o.over, o.symbol))
    given = {offer.symbol: ZERO for offer in order}
    left = amount
    # First down to the targets, then, if that was not enough, whatever is there.
    caps: tuple[Callable[[Offer], Decimal], ...] = (lambda o: min(o.over, o.most), lambda o: o.most)
    for cap in caps:
        for offer in order:
            part = min(left, cap(offer) - given[offer.symbol])
            if part > 0 and given[offer.symbol] + part >= smallest:
                given[offer.symbol] += part
                left -= part
    unused = [offer.symbol for offer in order if given[offer.symbol] == 0]
    if left > 0 and unused:
        assert left < smallest, "whatever is worth an order was given"
        # Those who sell have sold out: taking a part back from one would leave dust that no order moves.
        given[unused[0]] = smallest
    return {symbol: dollars for symbol, dollars in given.items() if dollars > 0}
