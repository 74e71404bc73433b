"""What is committed and not yet published: one row per commit, written with the change it tells of.

Write it once the change is made: whoever changes the same account or strategy next has waited for us by
then, so that its row comes later than ours.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from trimtab.core.strategy import Strategy
from trimtab.database import Tx, micros


class Entry(NamedTuple):
    """A row of the feed that has no id yet: the feed's other columns, in their order."""

    tenant_id: str
    at: int
    run_id: str | None
    strategy_id: str | None
    state: str
    strategy_version: int
    name: str | None = None
    description: str | None = None


def of_run(tenant_id: str, run_id: str, *, state: str, strategy_version: int, at: datetime) -> Entry:
    return Entry(tenant_id, micros(at), run_id, None, state, strategy_version)


def of_strategy(strategy: Strategy) -> Entry:
    """The strategy as it is from its last update on."""
    return Entry(
        tenant_id=strategy.tenant_id,
        at=micros(strategy.updated_at),
        run_id=None,
        strategy_id=strategy.id,
        state=strategy.status.value,
        strategy_version=strategy.version,
        name=strategy.name,
        description=strategy.description,
    )


def put(tx: Tx, entries: Sequence[Entry]) -> None:
    """Leave to the publisher what this transaction has changed."""
    if entries:
        tx.execute("INSERT INTO outbox (entries) VALUES (:entries)", entries=json.dumps(entries))


def is_waiting(tx: Tx) -> bool:
    return tx.row("SELECT 1 AS waiting FROM outbox LIMIT 1") is not None


def take(tx: Tx, most: int) -> list[Entry]:
    """The entries of the first commits, at most so many; they leave the outbox with this transaction."""
    rows = tx.rows("SELECT seq, entries FROM outbox ORDER BY seq LIMIT :most", most=most)
    if rows:
        tx.execute("DELETE FROM outbox WHERE seq IN :seqs", seqs=[row["seq"] for row in rows])
    return [Entry(*fields) for row in rows for fields in json.loads(row["entries"])]
