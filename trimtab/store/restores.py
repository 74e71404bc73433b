"""Databases that were put back: copies know nothing of what the broker did after they were made.

A copy says of itself that it is one: everything in it is frozen, and each shard must be compared with the
broker before anything of it may move; when the last has been, the freeze ends by itself.
"""

from datetime import datetime

from trimtab.database import Tx, instant, micros
from trimtab.store import freezes, shards
from trimtab.store.freezes import Freeze

REASON = "restored from a backup: ends by itself once everything has been compared with the broker"


def mark(tx: Tx, restore_id: str, now: datetime) -> None:
    """Say that this database is a copy, as old as the last thing that happened in it, and ask for a worker in
    every shard.
    """
    tx.execute(
        "INSERT INTO restores (id, copied_at) SELECT :id, COALESCE(MAX(at), 0) FROM events", id=restore_id
    )
    if tx.row("SELECT shard FROM shards LIMIT 1") is None:
        # Nobody would ever be compared, and nothing would end the freeze.
        tx.execute("UPDATE restores SET reconciled_at = :now WHERE id = :id", id=restore_id, now=micros(now))
        return
    everything = Freeze(id=restore_id, tenant_id=None, account_id=None, symbol=None, reason=REASON)
    freezes.insert(tx, everything, now)
    tx.execute("UPDATE shards SET restored = 1")
    shards.mark_all_due(tx, now)


def is_waiting(tx: Tx) -> bool:
    """Whether a shard has not been compared yet."""
    return tx.row("SELECT 1 AS waiting FROM shards WHERE restored <> 0 LIMIT 1") is not None


def begin(tx: Tx, now: datetime) -> datetime:
    """When somebody began to work with the copy: now, if nobody has before."""
    tx.execute("UPDATE restores SET begun_at = :now WHERE begun_at IS NULL", now=micros(now))
    row = tx.row("SELECT MAX(begun_at) AS begun_at FROM restores WHERE reconciled_at IS NULL")
    return now if row is None or row["begun_at"] is None else instant(row["begun_at"])


def reconciled(tx: Tx, shard: int, now: datetime) -> bool:
    """A shard has been compared with the broker; whether it was the last, and the freeze has ended."""
    # All shards, so that of two that are compared at once one sees the other.
    left = [
        row["shard"]
        for row in tx.rows("SELECT shard, restored FROM shards ORDER BY shard FOR UPDATE")
        if row["restored"] and row["shard"] != shard
    ]
    tx.execute("UPDATE shards SET restored = 0 WHERE shard = :shard", shard=shard)
    if left:
        return False
    tx.execute("DELETE FROM freezes WHERE id IN (SELECT id FROM restores WHERE reconciled_at IS NULL)")
    tx.execute("UPDATE restores SET reconciled_at = :now WHERE reconciled_at IS NULL", now=micros(now))
    shards.mark_all_due(tx, now)
    return True
