"""The mirror: what each account of a shard holds, as one packed block per shard.

Only the shard's writer folds it, from the broker's feed; a sweep reads it whole. Quantities are
int64 in billionths of a share, so that a sweep can screen a shard without parsing decimals; cash
keeps every digit as text.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.core.money import QUANTITY_PLACES, ZERO
from trimtab.core.plan import Holdings
from trimtab.database import Tx, micros

NANOS_MAX = 2**63

# One account's entries in the two columns.
_Span = tuple[NDArray[np.int32], NDArray[np.int64]]

NANO = Decimal(1).scaleb(-QUANTITY_PLACES)


@dataclass(frozen=True, slots=True)
class Block:
    """Row i is account i: its positions are entries `starts[i]` to `starts[i + 1]` of the two columns."""

    account_ids: list[str]
    active: list[bool]
    cash: list[str]
    symbols: list[str]
    starts: NDArray[np.int64]
    symbol_of: NDArray[np.int32]
    nanos: NDArray[np.int64]

    def holdings(self, row: int) -> Holdings:
        """The exact holdings of one account."""
        entries = range(self.starts[row], self.starts[row + 1])
        positions = {self.symbols[self.symbol_of[e]]: Decimal(int(self.nanos[e])) * NANO for e in entries}
        return Holdings(cash=Decimal(self.cash[row]), positions=positions)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A shard's block and the place in the broker's feed up to which it is folded."""

    version: int
    cursor: int
    block: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """One account for the fold; `is_active` if the broker lets it trade."""

    is_active: bool
    holdings: Holdings

    @property
    def fits(self) -> bool:
        """Whether every quantity can be packed: up to 9.2 billion shares."""
        return all(q.scaleb(QUANTITY_PLACES) < NANOS_MAX for q in self.holdings.positions.values())


def empty() -> Mirror:
    nothing = Block([], [], [], [], np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))
    return Mirror(0, 0, nothing)


def fold(block: Block, changed: Mapping[str, Mirrored]) -> Block:
    """The block with some accounts replaced or added; what lies between them is copied as it is."""
    symbols = {symbol: i for i, symbol in enumerate(block.symbols)}
    rows = {account_id: i for i, account_id in enumerate(block.account_ids)}
    ids, active, cash = list(block.account_ids), list(block.active), list(block.cash)
    sizes = np.diff(block.starts).tolist()
    spans: dict[int, _Span] = {}
    for account_id, seen in changed.items():
        row = rows.get(account_id)
        if row is None:
            row = len(ids)
            ids.append(account_id)
            active.append(False)
            cash.append("0")
            sizes.append(0)
        # What does not fit is left to manual runs, which read the broker: it is never evaluated.
        spans[row] = _packed(seen.holdings.positions if seen.fits else {}, symbols)
        active[row] = seen.is_active and seen.fits
        cash[row] = format(seen.holdings.cash, "f")
        sizes[row] = len(spans[row][1])
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    symbol_of, nanos = _spliced(block, spans)
    return Block(ids, active, cash, list(symbols), starts, symbol_of, nanos)


def _spliced(block: Block, spans: Mapping[int, _Span]) -> _Span:
    """Both columns with the spans of some rows replaced; rows beyond the block follow it."""
    pieces: list[_Span] = []
    copied_to = 0
    for row in sorted(spans):
        known = row < len(block.account_ids)
        begins = int(block.starts[row]) if known else len(block.nanos)
        pieces += [(block.symbol_of[copied_to:begins], block.nanos[copied_to:begins]), spans[row]]
        copied_to = int(block.starts[row + 1]) if known else begins
    pieces.append((block.symbol_of[copied_to:], block.nanos[copied_to:]))
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])


def _packed(positions: Mapping[str, Decimal], symbols: dict[str, int]) -> _Span:
    indexes = [symbols.setdefault(symbol, len(symbols)) for symbol in positions]
    nanos = [int(quantity.scaleb(QUANTITY_PLACES)) for quantity in positions.values()]
    return np.array(indexes, np.int32), np.array(nanos, np.int64)


def read(tx: Tx, shard: int) -> Mirror:
    row = tx.row("SELECT version, cursor, block FROM holdings WHERE shard = :shard", shard=shard)
    if row is None:
        return empty()
    ids, active, cash, symbols, starts, symbol_of, nanos = msgspec.msgpack.decode(row["block"])
    block = Block(
        ids,
        active,
        cash,
        symbols,
        np.frombuffer(starts, np.int64),
        np.frombuffer(symbol_of, np.int32),
        np.frombuffer(nanos, np.int64),
    )
    return Mirror(row["version"], row["cursor"], block)


def write(tx: Tx, shard: int, mirror: Mirror) -> None:
    block = mirror.block
    packed = msgspec.msgpack.encode(
        [
            block.account_ids,
            block.active,
            block.cash,
            block.symbols,
            block.starts.tobytes(),
            block.symbol_of.tobytes(),
            block.nanos.tobytes(),
        ]
    )
    tx.execute(
        """INSERT INTO holdings (shard, version, cursor, block) VALUES (:shard, :version, :cursor, :block)
           ON CONFLICT (shard) DO UPDATE SET version = :version, cursor = :cursor, block = :block""",
        shard=shard,
        version=mirror.version,
        cursor=mirror.cursor,
        block=packed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """Cash that came (positive) or went without a trade of ours; `ref` is the broker's.

    `version` is the first of the mirror that contains it.
    """

    ref: str
    account_id: str
    amount: Decimal
    at: datetime
    version: int


def insert_adjustments(tx: Tx, shard: int, broker: str, *, adjustments: list[Adjustment]) -> None:
    tx.many(
        """INSERT INTO adjustments (shard, broker, ref, account_id, amount, at, version)
           VALUES (:shard, :broker, :ref, :account_id, :amount, :at, :version)
           ON CONFLICT (broker, ref) DO NOTHING""",
        [
            {
                "shard": shard,
                "broker": broker,
                "ref": a.ref,
                "account_id": a.account_id,
                "amount": a.amount,
                "at": micros(a.at),
                "version": a.version,
            }
            for a in adjustments
        ],
    )


def moved_since_plan(tx: Tx, shard: int, run_ids: Collection[str]) -> dict[str, frozenset[Decimal]]:
    """By planned run, the dollars that may have come to its account, or left, without a trade since the plan.

    The plan may know of the first of them already: they are recorded when the mirror learns of them.
    """
    if not run_ids:
        return {}
    rows = tx.rows(
        """SELECT runs.id, adjustments.amount
           FROM runs JOIN plans ON plans.shard = runs.shard AND plans.run_id = runs.id
             JOIN adjustments ON adjustments.shard = runs.shard
               AND adjustments.account_id = runs.account_id AND adjustments.at >= plans.planned_at
           WHERE runs.shard = :shard AND runs.id IN :ids
           ORDER BY adjustments.at DESC, adjustments.version DESC, adjustments.ref DESC""",
        shard=shard,
        ids=list(run_ids),
    )
    sums: dict[str, list[Decimal]] = {}
    for row in rows:
        found = sums.setdefault(row["id"], [ZERO])
        found.append(found[-1] + Decimal(row["amount"]))
    return {run_id: frozenset(found) for run_id, found in sums.items()}
