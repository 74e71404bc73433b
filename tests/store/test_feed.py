"""What is left to the publisher with each change, and what the feed shows of it afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.store.rows import LATER, NOON, furnish, insert_run, run, strategy
from trimtab.core.run import RunState
from trimtab.core.strategy import AssetTarget, Definition, StrategyStatus
from trimtab.database import Database
from trimtab.store import feed, outbox, runs, strategies
from trimtab.store.feed import Event, RunEvent, StrategyEvent
from trimtab.store.outbox import Entry
from trimtab.store.runs import Change

SECOND = Definition(
    targets=(AssetTarget(symbol="TLT", percent=Decimal(100)),), conditions=(), cooldown_days=0
)


@pytest.fixture
def db(database: Database) -> Database:
    furnish(database)
    return database


def change(db: Database, to: str, **changes: Any) -> None:
    """Bring the run from where it is into a state."""
    now = db.read(lambda tx: runs.one(tx, "acme", "run"))
    assert now is not None
    moved = Change(run=now, state=RunState(to), **changes)
    assert db.write(lambda tx: runs.change(tx, [moved], LATER)) == {"run"}


def waiting(db: Database) -> list[list[Entry]]:
    """What waits, commit by commit; afterwards nothing does."""
    taken = []
    while entries := db.write(lambda tx: outbox.take(tx, 1)):
        taken.append(entries)
    assert not db.read(outbox.is_waiting)
    return taken


def publish(db: Database, *ids: str) -> None:
    """Publish what waits under these ids."""

    def work(tx: Any) -> None:
        feed.locked_head(tx)
        feed.append(tx, list(zip(ids, outbox.take(tx, 1000), strict=True)))

    db.write(work)


def shown(
    db: Database, tenant_id: str = "acme", *, after: str = "", upto: str = "Z", limit: int = 99
) -> list[Event]:
    return db.read(lambda tx: feed.between(tx, tenant_id, after=after, upto=upto, limit=limit))


def states(entries: Sequence[Sequence[Entry]]) -> list[list[tuple[str | None, str]]]:
    return [[(entry.run_id or entry.strategy_id, entry.state) for entry in commit] for commit in entries]


# What waits.


def test_one_row_for_a_commit_however_many_runs_it_makes(db: Database) -> None:
    made = [run(id="one"), run(id="two", account_id="bob"), run(id="late", account_id="bob")]
    assert db.write(lambda tx: runs.insert(tx, made)) == {"one", "two"}
    assert states(waiting(db)) == [[("one", "QUEUED"), ("two", "QUEUED")]]


def test_that_a_run_sells_or_buys_is_no_news(db: Database) -> None:
    insert_run(db)
    for to in ("PLANNED", "SELLING", "BUYING", "COMPLETED"):
        change(db, to)
    assert states(waiting(db)) == [[("run", "QUEUED")], [("run", "PLANNED")], [("run", "COMPLETED")]]


@pytest.mark.parametrize("to", ["CANCELED", "FAILED"])
def test_an_end_without_a_plan_is_told(db: Database, to: str) -> None:
    insert_run(db)
    change(db, to)
    assert states(waiting(db)) == [[("run", "QUEUED")], [("run", to)]]


def test_a_change_that_moves_no_run_leaves_nothing(db: Database) -> None:
    insert_run(db)
    waiting(db)
    change(db, "QUEUED", reason="why", stop=RunState.FAILED)
    assert db.write(lambda tx: runs.request_stop(tx, "run", LATER))
    stale = Change(run=run(), state=RunState.PLANNED)
    assert db.write(lambda tx: runs.change(tx, [stale], LATER)) == set()
    assert not db.read(outbox.is_waiting)


def test_the_cancel_of_a_queued_run_is_told_once(db: Database) -> None:
    insert_run(db)
    assert db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=LATER))
    assert not db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=LATER))
    assert states(waiting(db)) == [[("run", "QUEUED")], [("run", "CANCELED")]]


def test_what_is_rolled_back_leaves_nothing(db: Database) -> None:
    def work(tx: Any) -> None:
        runs.insert(tx, [run()])
        raise LookupError

    with pytest.raises(LookupError):
        db.write(work)
    assert not db.read(outbox.is_waiting)


def test_each_change_of_a_status_is_told_and_nothing_else_of_a_strategy(db: Database) -> None:
    db.write(lambda tx: strategies.insert(tx, strategy(id="two")))
    db.write(lambda tx: strategies.update_head(tx, strategy(name="Renamed", updated_at=LATER)))
    db.write(lambda tx: strategies.suspend(tx, ["two", "mix"], LATER))
    db.write(lambda tx: strategies.suspend(tx, ["two", "mix"], LATER))
    db.write(lambda tx: strategies.update_head(tx, strategy(updated_at=LATER)))
    db.write(lambda tx: strategies.end(tx, "mix", LATER))
    db.write(lambda tx: strategies.end(tx, "two", LATER))
    assert states(waiting(db)) == [
        [("mix", "needs_adjustment"), ("two", "needs_adjustment")],
        [("mix", "active")],
        [("mix", "inactive")],
        [("two", "inactive")],
    ]


def test_nobody_is_told_of_a_hidden_strategy(db: Database) -> None:
    db.write(lambda tx: strategies.insert(tx, strategy(id="own", hidden=True)))
    db.write(lambda tx: strategies.suspend(tx, ["own"], LATER))
    assert not db.read(outbox.is_waiting)


def test_commits_are_taken_in_their_order_and_no_more_than_asked(db: Database) -> None:
    insert_run(db)
    for to in ("PLANNED", "COMPLETED"):
        change(db, to)
    assert states([db.write(lambda tx: outbox.take(tx, 2))]) == [[("run", "QUEUED"), ("run", "PLANNED")]]
    assert states(waiting(db)) == [[("run", "COMPLETED")]]


# What is shown.


def test_a_run_is_shown_as_it_was_at_each_event(db: Database) -> None:
    db.write(lambda tx: strategies.insert_version(tx, strategy(version=2, definition=SECOND)))
    insert_run(db)
    change(db, "PLANNED", strategy_version=2)
    change(db, "COMPLETED", adjusted=True, reason="too little", more_orders=3)
    publish(db, "1", "2", "3")
    events = shown(db)
    facts = [
        (e.id, e.at, e.run.state, e.run.reason, e.run.finished_at, e.run.updated_at, e.targets[0].symbol)  # type: ignore[union-attr]
        for e in events
        if isinstance(e, RunEvent)
    ]
    assert facts == [
        ("1", NOON, "QUEUED", None, None, NOON, "SPY"),
        ("2", LATER, "PLANNED", None, None, LATER, "TLT"),
        ("3", LATER, "COMPLETED", "too little", LATER, LATER, "TLT"),
    ]
    last = events[-1]
    assert isinstance(last, RunEvent)
    assert last.run == db.read(lambda tx: runs.one(tx, "acme", "run"))


def test_a_strategy_is_shown_as_it_was_at_each_event(db: Database) -> None:
    db.write(lambda tx: strategies.suspend(tx, ["mix"], LATER))
    after = strategy(
        version=2, definition=SECOND, name="New", description="", updated_at=LATER + timedelta(1)
    )
    db.write(lambda tx: strategies.insert_version(tx, after))
    db.write(lambda tx: strategies.update_head(tx, after))
    publish(db, "1", "2")
    db.write(lambda tx: strategies.update_head(tx, replace(after, name="Newest")))
    suspended = strategy(status=StrategyStatus.NEEDS_ADJUSTMENT, updated_at=LATER)
    assert shown(db) == [
        StrategyEvent(id="1", at=LATER, strategy=replace(suspended, updated_version=1)),
        StrategyEvent(id="2", at=LATER + timedelta(1), strategy=after),
    ]


def test_a_tenant_sees_its_own_between_the_bounds(db: Database) -> None:
    db.write(lambda tx: strategies.insert(tx, strategy(id="theirs", tenant_id="other")))
    for strategy_id in ("mix", "theirs"):
        db.write(lambda tx, id_=strategy_id: strategies.suspend(tx, [id_], LATER))  # type: ignore[misc]
    db.write(lambda tx: strategies.end(tx, "mix", LATER))
    insert_run(db)
    publish(db, "A1", "A2", "A3", "A4")
    assert [event.id for event in shown(db)] == ["A1", "A3", "A4"]
    assert [event.id for event in shown(db, "other")] == ["A2"]
    assert [event.id for event in shown(db, after="A1")] == ["A3", "A4"]
    assert [event.id for event in shown(db, upto="A3")] == ["A1", "A3"]
    assert [event.id for event in shown(db, after="A0", limit=1)] == ["A1"]
    assert shown(db, "nobody") == []
    assert db.read(feed.head) == "A4"


def test_before_anything_is_published_the_head_is_nothing(db: Database) -> None:
    assert db.read(feed.head) == ""
    assert db.write(feed.locked_head) == ""


# What the database refuses.


@pytest.mark.parametrize("sql", ["UPDATE feed SET state = 'FAILED'", "DELETE FROM feed"])
def test_what_was_published_stays(db: Database, sql: str) -> None:
    insert_run(db)
    publish(db, "1")
    with pytest.raises(Exception, match="not allowed"):
        db.write(lambda tx: tx.execute(sql))


def test_a_state_of_a_run_is_published_once(db: Database) -> None:
    insert_run(db)
    (commit,) = waiting(db)
    db.write(lambda tx: feed.append(tx, [("1", commit[0])]))
    with pytest.raises(Exception, match=r"(?i)unique"):
        db.write(lambda tx: feed.append(tx, [("2", commit[0])]))
