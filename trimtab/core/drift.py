"""Which drift bands are broken, decided exactly and without a division (decisions page, 9).

With market value MV, equity E and target t in percent: an absolute band p is broken when
|100 MV - t E| > p E, a relative one when it is > t p E / 100. Both are strict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from trimtab.core.money import HUNDRED, ZERO
from trimtab.core.plan import Holdings
from trimtab.core.strategy import BandKind, DriftBand, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A broken band; `symbol` is None for cash. Value and equity are dollars, target is percent."""

    band: DriftBand
    symbol: str | None
    value: Decimal
    target: Decimal
    equity: Decimal


def first_breach(
    bands: Sequence[DriftBand],
    weights: Weights,
    *,
    holdings: Holdings,
    prices: Mapping[str, Decimal],
    frozen: frozenset[str] = frozenset(),
) -> Breach | None:
    """The first broken band, lines in the order of their symbols and cash last; None if all hold.

    `holdings.cash` is without what was set aside. Equity of zero or less breaks nothing: there is
    nothing to weigh. A frozen line counts as equity and breaks no band.
    """
    values = {symbol: quantity * prices[symbol] for symbol, quantity in holdings.positions.items()}
    equity = holdings.cash + sum(values.values(), ZERO)
    if equity <= 0:
        return None
    lines: list[tuple[str | None, Decimal, Decimal]] = [
        (symbol, values.get(symbol, ZERO), weights.assets.get(symbol, ZERO))
        for symbol in sorted({*weights.assets, *values} - frozen)
    ]
    if weights.names_cash:
        lines.append((None, holdings.cash, weights.cash))
    for band in bands:
        for symbol, value, target in lines:
            if _is_broken(band, value, target=target, equity=equity):
                return Breach(band=band, symbol=symbol, value=value, target=target, equity=equity)
    return None


def _is_broken(band: DriftBand, value: Decimal, *, target: Decimal, equity: Decimal) -> bool:
    distance = abs(HUNDRED * value - target * equity)
    if band.kind is BandKind.ABSOLUTE:
        return distance > band.percent * equity
    # A holding outside the weights has no relative distance.
    return target > 0 and HUNDRED * distance > target * band.percent * equity
