"""What every account of a shard is worth, kept once a day (UTC) for the history of its performance.

The first sweep of a day values all accounts; a later one only those that had no value yet: they came
in the course of the day, or a position of theirs had no price before. Amounts are exact and rounded
to the cent, half to even.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
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
    without = np.array(unpriced) | hidden
    found = {}
    for row in rows:
        if not without[row]:
            cents = _cents(block.cash[row], units[row], unit_places=QUANTITY_PLACES + price_places)
            if abs(cents) <= valuations.CENTS_MAX:
                found[row] = cents
    return found


def _cents(cash: str, units: int, *, unit_places: int) -> int:
    """Cash, as the mirror writes it, and positions in units of so many decimal places; halves to even."""
    dollars, _, fraction = cash.partition(".")
    digits = max(unit_places, len(fraction))
    total: int = int(dollars + fraction) * 10 ** (digits - len(fraction))
    total += units * 10 ** (digits - unit_places)
    unit: int = 10 ** (digits - CENT_PLACES)
    cents, rest = divmod(total, unit)
    return cents + (2 * rest > unit or (2 * rest == unit and cents % 2 == 1))


def _position_units(
    block: Block, prices: Mapping[str, Decimal], *, price_places: int
) -> tuple[list[int], list[bool]]:
    """For each account what its positions are worth in the smallest unit, billionths of a share times the
    last place of any price, and whether one of them has no price.

    Where one of them could be too large for 64 bits, with Python's own whole numbers: exact at any size.
    """
    units = [int(prices[s].scaleb(price_places)) if s in prices else 0 for s in block.symbols]
    sizes = np.diff(block.starts)
    most = int(block.nanos.max(initial=0)) * max(units, default=0) * int(sizes.max(initial=0))
    exact: Any = np.int64 if most < INT64_END else object
    worth = block.nanos.astype(exact) * np.array(units, exact)[block.symbol_of]
    missing = np.array([s not in prices for s in block.symbols], np.int64)[block.symbol_of]
    return _sums(worth, block.starts), [count > 0 for count in _sums(missing, block.starts)]


def _sums(entries: NDArray[Any], starts: NDArray[np.int64]) -> list[int]:
    """The sum of each account's entries, which are those from its start to the next one's.

    Sums that run over are no harm: what is between two of them comes out right, if that fits.
    """
    until = np.concatenate((np.zeros(1, entries.dtype), np.cumsum(entries)))
    sums: list[int] = (until[starts[1:]] - until[starts[:-1]]).tolist()
    return sums
