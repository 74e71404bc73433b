"""The feed: what was published, in one order for all readers, and what each entry shows of its subject.

Ids grow from commit to commit: whoever appends holds the head until its commit, so that no reader who
has seen an id can miss a smaller one. Entries are kept for good, and never changed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from trimtab.core.run import Run, RunState
from trimtab.core.strategy import Strategy, StrategyStatus, Target
from trimtab.database import Row, Tx, instant
from trimtab.store import runs, strategies
from trimtab.store.outbox import Entry

_COLUMNS = ("event_id", *Entry._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """A run as it was when it came into its state, and the targets it had then."""

    id: str
    at: datetime
    run: Run
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyEvent:
    """A strategy as it was when its status changed."""

    id: str
    at: datetime
    strategy: Strategy


Event = RunEvent | StrategyEvent


def locked_head(tx: Tx) -> str:
    """The newest id, or nothing; until this transaction ends, nobody else publishes."""
    row = tx.row(
        """INSERT INTO feed_head (id, last_id) VALUES (1, '')
           ON CONFLICT (id) DO UPDATE SET last_id = feed_head.last_id RETURNING last_id"""
    )
    assert row is not None, "inserted or updated"
    return str(row["last_id"])


def append(tx: Tx, events: Sequence[tuple[str, Entry]]) -> None:
    """Publish entries under ids that grow beyond the head, which we hold."""
    tx.insert("feed", _COLUMNS, rows=((event_id, *entry) for event_id, entry in events))
    tx.execute("UPDATE feed_head SET last_id = :last_id", last_id=events[-1][0])


def head(tx: Tx) -> str:
    """The newest id, whoever it was published for; or nothing."""
    row = tx.row("SELECT last_id FROM feed_head")
    return "" if row is None else str(row["last_id"])


def between(tx: Tx, tenant_id: str, *, after: str, upto: str, limit: int) -> list[Event]:
    """What was published for the tenant after one id and up to another, in order; at most so much."""
    rows = tx.rows(
        """SELECT * FROM feed WHERE tenant_id = :tenant_id AND event_id > :after AND event_id <= :upto
           ORDER BY event_id LIMIT :limit""",
        tenant_id=tenant_id,
        after=after,
        upto=upto,
        limit=limit,
    )
    return _shown(tx, tenant_id, rows)


def _shown(tx: Tx, tenant_id: str, rows: Collection[Row]) -> list[Event]:
    known = runs.by_ids(tx, tenant_id, {row["run_id"] for row in rows if row["run_id"]})
    heads = strategies.heads(tx, {row["strategy_id"] for row in rows if row["strategy_id"]})
    definitions = strategies.definitions(
        tx, {(_followed(row, known), row["strategy_version"]) for row in rows}
    )
    events: list[Event] = []
    for row in rows:
        version, at = row["strategy_version"], instant(row["at"])
        definition = definitions[_followed(row, known), version]
        if row["run_id"] is None:
            strategy = replace(
                heads[row["strategy_id"]],
                name=row["name"],
                description=row["description"],
                status=StrategyStatus(row["state"]),
                version=version,
                definition=definition,
                updated_at=at,
            )
            events.append(StrategyEvent(id=row["event_id"], at=at, strategy=strategy))
        else:
            run = known[row["run_id"]].when(RunState(row["state"]), strategy_version=version, at=at)
            events.append(RunEvent(id=row["event_id"], at=at, run=run, targets=definition.targets))
    return events


def _followed(row: Row, known: dict[str, Run]) -> str:
    """The id of the strategy that an entry is about, or that its run follows."""
    followed: str = row["strategy_id"] if row["run_id"] is None else known[row["run_id"]].strategy_id
    return followed
