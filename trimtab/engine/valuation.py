"""What every account of a shard is worth, kept once a day (UTC) for the history of its performance.

The first sweep of a day values all accounts; a later one only those that had no value yet: they came
in the course of the day, or a position of theirs had no price before. Amounts are exact and rounded
to the cent, half to even.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.brokers.broker import usable_prices
from trimtab.core.errors import BrokerDown
from trimtab.core.money import CENT_PLACES, QUANTITY_PLACES, places
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.engine.turn import Turn
from trimtab.store import valuations
from trimtab.store.holdings import Block, Mirror

INT64_END = 2**63
# The cash of most accounts is the same from day to day.
CASH_KEPT = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What is to be kept of a day: what accounts are worth, in cents by their rows, and prices."""

    cents: Mapping[int, int]
    prices: Mapping[str, Decimal]

    @property
    def is_new(self) -> bool:
        return bool(self.cents or self.prices)

    def store(self, tx: Tx, turn: Turn, *, mirror: Mirror) -> None:
        """With the mirror that they were made from."""
        valuations.add_prices(tx, self.prices, turn.now.date())
        if self.cents:
            valuations.add(tx, turn.shard, self.cents, at=turn.now, version=mirror.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of today already: which rows of the mirror have no value, which symbols have a price."""

    unvalued: Collection[int]
    priced: Collection[str]

    def values(
        self, block: Block, prices: Mapping[str, Decimal], *, comparable: Mapping[str, Decimal]
    ) -> Values:
        """What there is to add at these prices; those that are kept can be compared from day to day."""
        new = {symbol: price for symbol, price in comparable.items() if symbol not in self.priced}
        return Values(cents=in_cents(block, prices, rows=self.unvalued), prices=new)


def read_kept(tx: Tx, turn: Turn, block: Block) -> Kept:
    today = turn.now.date()
    unvalued = valuations.unvalued(tx, turn.shard, on=today, accounts=len(block.account_ids))
    return Kept(unvalued=unvalued, priced=valuations.priced(tx, today))


def value_now(desk: Desk, block: Block, account_id: str) -> Decimal | None:
    """What an account is worth at current prices, in dollars, as the mirror shows it; None if it is not
    in it, cannot be valued, or the broker is down.

    The mirror, and not the broker: it has counted every transfer that is in it.
    """
    if account_id not in block.account_ids:
        return None
    row = block.account_ids.index(account_id)
    try:
        held = block.holdings(row).positions
        if any(asset.pending for asset in desk.broker.assets(held).values()):
            return None
        prices = usable_prices(desk.broker.prices(held))
    except BrokerDown:
        return None
    cents = in_cents(block, prices, rows=[row]).get(row)
    return None if cents is None else Decimal(cents).scaleb(-CENT_PLACES)


def in_cents(block: Block, prices: Mapping[str, Decimal], *, rows: Collection[int]) -> dict[int, int]:
    """What the accounts in these rows are worth; accounts that cannot be valued are absent."""
    if not rows:
        return {}
    known = {symbol: prices[symbol] for symbol in block.symbols if symbol in prices}
    price_places = max(map(places, known.values()), default=0)
    units, unpriced = _position_units(block, known, price_places=price_places)
    # An account whose quantities the mirror cannot hold is shown as inactive and empty.
    hidden = ~np.array(block.active, np.bool_) & (np.diff(block.starts) == 0)
    wanted = list(rows)
    cash = [block.cash[row] for row in wanted]
    cents = _cents(cash, units[wanted], unit_places=QUANTITY_PLACES + price_places)
    without = (unpriced | hidden)[wanted] | (np.abs(cents) > valuations.CENTS_MAX)
    found = zip(wanted, cents.tolist(), without.tolist(), strict=True)
    return {row: worth for row, worth, gone in found if not gone}


def _cents(cash: Sequence[str], units: NDArray[Any], *, unit_places: int) -> NDArray[Any]:
    """Cash, as the mirror writes it, and positions in units of so many decimal places; halves to even."""
    digits = max(unit_places, *(len(text) - 1 - text.find(".") for text in cash if "." in text), CENT_PLACES)
    dollars = [_whole(text, digits) for text in cash]
    scale, unit = 10 ** (digits - unit_places), 10 ** (digits - CENT_PLACES)
    most = max(map(abs, dollars), default=0) + int(np.abs(units).max(initial=0)) * scale
    exact = _exact(2 * max(most, unit))
    total: NDArray[Any] = np.array(dollars, exact) + units.astype(exact) * scale
    cents, rest = total // unit, total % unit
    rounded: NDArray[Any] = cents + ((2 * rest > unit) | ((2 * rest == unit) & (cents % 2 == 1)))
    return rounded


@lru_cache(maxsize=CASH_KEPT)
def _whole(text: str, digits: int) -> int:
    """An amount in units of so many decimal places, as many as it has at least."""
    dollars, _, fraction = text.partition(".")
    whole: int = int(dollars + fraction) * 10 ** (digits - len(fraction))
    return whole


def _position_units(
    block: Block, prices: Mapping[str, Decimal], *, price_places: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """For each account what its positions are worth in the smallest unit, billionths of a share times the
    last place of any price, and whether one of them has no price.
    """
    units = [int(prices[s].scaleb(price_places)) if s in prices else 0 for s in block.symbols]
    sizes = np.diff(block.starts)
    exact = _exact(int(block.nanos.max(initial=0)) * max(units, default=0) * int(sizes.max(initial=0)))
    worth = block.nanos.astype(exact) * np.array(units, exact)[block.symbol_of]
    missing = np.array([s not in prices for s in block.symbols], np.int64)[block.symbol_of]
    return _sums(worth, block.starts), _sums(missing, block.starts) > 0


def _exact(most: int) -> Any:
    """What holds whole numbers up to this one: 64 bits, or Python's own numbers, exact at any size."""
    return np.int64 if most < INT64_END else object


def _sums(entries: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """The sum of each account's entries, which are those from its start to the next one's.

    Sums that run over are no harm: what is between two of them comes out right, if that fits.
    """
    until = np.concatenate((np.zeros(1, entries.dtype), np.cumsum(entries)))
    sums: NDArray[Any] = until[starts[1:]] - until[starts[:-1]]
    return sums
