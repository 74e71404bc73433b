"""What every account of a shard is worth, kept once a day (UTC) for the history of its performance.

The first sweep of a day values all accounts; a later one only those that had no value yet: they came
in the course of the day, or a position of theirs had no price before. Amounts are exact and rounded
to the cent, half to even.
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from operator import mul

from trimtab.core.errors import BrokerDown
from trimtab.core.money import CENT_PLACES, QUANTITY_PLACES, places, round_nearest
from trimtab.database import Tx
from trimtab.engine.desk import Desk, Effects, read
from trimtab.engine.turn import Turn
from trimtab.store import valuations
from trimtab.store.holdings import Block, Mirror


def keep_values(turn: Turn, mirror: Mirror, *, prices: Mapping[str, Decimal]) -> Effects[None]:
    """Store today's prices, and what the accounts that have no value today are worth; the mirror must
    have been stored.
    """
    at, block = turn.now, mirror.block
    rows, priced = yield from read(
        lambda tx: (
            valuations.unvalued(tx, turn.shard, on=at.date(), accounts=len(block.account_ids)),
            valuations.priced(tx, at.date()),
        )
    )
    cents = in_cents(block, prices, rows=rows)
    new = {symbol: price for symbol, price in prices.items() if symbol not in priced}

    def store(tx: Tx) -> None:
        valuations.add_prices(tx, new, at.date())
        if cents:
            valuations.add(tx, turn.shard, cents, at=at, version=mirror.version)

    if cents or new:
        yield from turn.commit(store)


def value_now(desk: Desk, block: Block, account_id: str) -> Decimal | None:
    """What an account is worth at current prices, in dollars, as the mirror shows it; None if it is not
    in it, cannot be valued, or the broker is down.

    The mirror, and not the broker: it has counted every transfer that is in it.
    """
    if account_id not in block.account_ids:
        return None
    row = block.account_ids.index(account_id)
    try:
        prices = desk.broker.prices(block.holdings(row).positions)
    except BrokerDown:
        return None
    cents = in_cents(block, prices, rows=[row]).get(row)
    return None if cents is None else Decimal(cents).scaleb(-CENT_PLACES)


def in_cents(block: Block, prices: Mapping[str, Decimal], *, rows: Collection[int]) -> dict[int, int]:
    """What the accounts in these rows are worth; accounts that cannot be valued are absent."""
    if not rows:
        return {}
    # Whole numbers all the way: billionths of a share times the smallest unit of any price.
    known = {symbol: prices[symbol] for symbol in block.symbols if symbol in prices}
    price_places = max(map(places, known.values()), default=0)
    units = {symbol: int(price.scaleb(price_places)) for symbol, price in known.items()}
    price_of = [units.get(symbol) for symbol in block.symbols]
    found = {}
    for row in rows:
        amount = _position_units(block, price_of, row=row)
        if amount is None:
            continue
        value = Decimal(block.cash[row]) + Decimal(amount).scaleb(-QUANTITY_PLACES - price_places)
        cents = int(round_nearest(value, CENT_PLACES).scaleb(CENT_PLACES))
        if abs(cents) <= valuations.CENTS_MAX:
            found[row] = cents
    return found


def _position_units(block: Block, price_of: list[int | None], *, row: int) -> int | None:
    """What the positions in one row are worth in the smallest unit; None if one has no price."""
    entries = slice(block.starts[row], block.starts[row + 1])
    nanos = block.nanos[entries].tolist()
    if not nanos and not block.active[row]:
        # So the mirror shows an account whose quantities it cannot hold.
        return None
    held = [price_of[symbol] for symbol in block.symbol_of[entries].tolist()]
    priced = [price for price in held if price is not None]
    return sum(map(mul, nanos, priced)) if len(priced) == len(held) else None
