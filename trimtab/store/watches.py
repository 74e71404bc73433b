"""Runs that ended with an order cut short: what was on its way by then may still be executed."""

from collections.abc import Collection
from datetime import datetime

from trimtab.core.run import Order
from trimtab.database import Tx, instant, micros
from trimtab.store import orders


def begin(tx: Tx, shard: int, run_ids: Collection[str], *, until: datetime) -> None:
    """Watch runs that end in this transaction."""
    rows = [(shard, run_id, micros(until)) for run_id in run_ids]
    if rows:
        tx.insert("watches", ("shard", "run_id", "until_at"), rows=rows)


def watched(tx: Tx, shard: int) -> tuple[list[Order], datetime] | None:
    """The orders of the shard's watched runs, and until when the last is watched; None if there is none."""
    rows = tx.rows("SELECT run_id, until_at FROM watches WHERE shard = :shard", shard=shard)
    if not rows:
        return None
    found = orders.orders(tx, shard, [row["run_id"] for row in rows])
    return [order for placed in found.values() for order in placed], max(instant(r["until_at"]) for r in rows)


def end(tx: Tx, shard: int, now: datetime) -> None:
    """Forget the watches whose time is over."""
    tx.execute("DELETE FROM watches WHERE shard = :shard AND until_at <= :now", shard=shard, now=micros(now))
