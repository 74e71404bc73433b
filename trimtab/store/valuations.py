"""What each account was worth on each day (UTC): one packed block per shard and day.

An account's record stands where the account stands in the mirror, for a fold leaves every account in
its place and appends new ones: so the history of one account is read without unpacking the others'.
Each record has its own instant, because an account that comes in the course of a day is valued then,
and the version of the mirror it was made from, which tells what money it contains. Beside them stands
the first price of each symbol on each day, from which strategies are judged.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from trimtab.core.money import CENT_PLACES
from trimtab.core.performance import CashFlow, PricedDay, Valuation
from trimtab.database import Tx, instant, micros
from trimtab.store import holdings

# What an account may be worth to have a record: up to 92 quadrillion dollars, or as much debt.
CENTS_MAX = 2**63 - 1

# In place of the cents of an account that could not be valued.
_NO_VALUE = -(2**63)
# A record: cents, when, in microseconds since 1970, and the version of the mirror.
_FIELDS = np.dtype("<i8")
_WIDTH = 3
_RECORD_BYTES = _WIDTH * _FIELDS.itemsize


def unvalued(tx: Tx, shard: int, *, on: date, accounts: int) -> list[int]:
    """Which of the mirror's first so many accounts have no value on that day, by their rows."""
    cents = _read(tx, shard, on)[:accounts, 0]
    return [*np.flatnonzero(cents == _NO_VALUE).tolist(), *range(len(cents), accounts)]


def add(tx: Tx, shard: int, cents: Mapping[int, int], *, at: datetime, version: int) -> None:
    """Store what accounts are worth at `at`, by their rows, as this version of the mirror shows them; one
    that has a value on that day keeps it.
    """
    on = at.astimezone(UTC).date()
    before = _read(tx, shard, on)
    records = np.full((max(len(before), max(cents) + 1), _WIDTH), _NO_VALUE, _FIELDS)
    records[: len(before)] = before
    assert max(map(abs, cents.values())) <= CENTS_MAX, "what does not fit has no value"
    rows, amounts = np.array([*cents], _FIELDS), np.array([*cents.values()], _FIELDS)
    new = records[rows, 0] == _NO_VALUE
    records[rows[new], 0] = amounts[new]
    records[rows[new], 1:] = micros(at), version
    tx.execute(
        """INSERT INTO valuations (shard, valued_on, valued_at, block)
           VALUES (:shard, :on, :at, :block)
           ON CONFLICT (shard, valued_on) DO UPDATE SET valued_at = :at, block = :block""",
        shard=shard,
        on=on.isoformat(),
        at=micros(at),
        block=records.tobytes(),
    )


def priced(tx: Tx, on: date) -> set[str]:
    """The symbols that have a price on that day."""
    rows = tx.rows("SELECT symbol FROM daily_prices WHERE valued_on = :on", on=on.isoformat())
    return {row["symbol"] for row in rows}


def add_prices(tx: Tx, prices: Mapping[str, Decimal], on: date) -> None:
    """Store prices of that day; a symbol that has one keeps it."""
    tx.many(
        """INSERT INTO daily_prices (symbol, valued_on, price) VALUES (:symbol, :on, :price)
           ON CONFLICT (valued_on, symbol) DO NOTHING""",
        [{"symbol": s, "on": on.isoformat(), "price": price} for s, price in sorted(prices.items())],
    )


def priced_days(tx: Tx, symbols: Collection[str], *, since: date) -> list[PricedDay]:
    """The stored prices of these symbols from that day on, oldest first."""
    rows = tx.rows(
        """SELECT symbol, valued_on, price FROM daily_prices
           WHERE symbol IN :symbols AND valued_on >= :since ORDER BY valued_on""",
        symbols=list(symbols),
        since=since.isoformat(),
    )
    days: dict[str, dict[str, Decimal]] = {}
    for row in rows:
        days.setdefault(row["valued_on"], {})[row["symbol"]] = Decimal(row["price"])
    return [PricedDay(on=date.fromisoformat(on), prices=prices) for on, prices in days.items()]


def _read(tx: Tx, shard: int, on: date) -> NDArray[np.int64]:
    """The day's records, none if there are none."""
    row = tx.row(
        "SELECT block FROM valuations WHERE shard = :shard AND valued_on = :on",
        shard=shard,
        on=on.isoformat(),
    )
    packed = b"" if row is None else row["block"]
    return np.frombuffer(packed, _FIELDS).reshape(-1, _WIDTH)


def history(tx: Tx, shard: int, account_id: str, *, since: date) -> list[Valuation]:
    """What the account was worth on each day from `since` on on which it could be valued, oldest first."""
    rows = {each: row for row, each in enumerate(holdings.read(tx, shard).block.account_ids)}
    if account_id not in rows:
        return []
    found = tx.rows(
        """SELECT substr(block, :begins, :size) AS record FROM valuations
           WHERE shard = :shard AND valued_on >= :since ORDER BY valued_on""",
        begins=rows[account_id] * _RECORD_BYTES + 1,
        size=_RECORD_BYTES,
        shard=shard,
        since=since.isoformat(),
    )
    records = np.frombuffer(b"".join(row["record"] for row in found), _FIELDS).reshape(-1, _WIDTH).tolist()
    return [
        Valuation(instant(at), Decimal(cents).scaleb(-CENT_PLACES), version)
        for cents, at, version in records
        if cents != _NO_VALUE
    ]


def cash_flows(tx: Tx, shard: int, account_id: str) -> list[CashFlow]:
    """Cash that ever came to the account or left it, in the order in which the mirror saw it.

    All of it: the broker may show a transfer days after the instant that it bears.
    """
    rows = tx.rows(
        """SELECT version, amount FROM adjustments
           WHERE shard = :shard AND account_id = :account_id ORDER BY version, ref""",
        shard=shard,
        account_id=account_id,
    )
    return [CashFlow(row["version"], Decimal(row["amount"])) for row in rows]
