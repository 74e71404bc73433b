"""Runs: inserted once per account and slot, changed by whoever saw them last, listed page by page."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.store.rows import LATER, NOON, insert_enrollment, insert_run, run
from trimtab.core.preferences import Preferences
from trimtab.core.run import Initiator, Run, RunKind, RunState
from trimtab.database import Database, Tx
from trimtab.store import preferences, runs, shards
from trimtab.store.enrollments import Page
from trimtab.store.runs import Change, RunFilter

ALL = RunFilter()


def stored(db: Database, run_id: str = "run") -> Run:
    found = db.read(lambda tx: runs.one(tx, "acme", run_id))
    assert found is not None
    return found


def events(db: Database, run_id: str = "run") -> list[tuple[int, str]]:
    def read(tx: Tx) -> list[tuple[int, str]]:
        rows = tx.rows("SELECT number, state FROM events WHERE run_id = :id ORDER BY number", id=run_id)
        return [(row["number"], row["state"]) for row in rows]

    return db.read(read)


def change(db: Database, *changes: Change) -> set[str]:
    return db.write(lambda tx: runs.change(tx, list(changes), LATER))


def test_a_run_comes_back_as_it_was_stored(db: Database) -> None:
    insert_enrollment(db)
    made = insert_run(
        db,
        kind=RunKind.PARTIAL_LIQUIDATION,
        amount=Decimal("123456789012345678.123456789"),
        initiator=Initiator.SYSTEM,
        slot="session:2026-03-02",
        enrollment_id="follows",
        cause='it\'s "due"\n',
    )
    assert stored(db) == made
    assert events(db) == [(1, "QUEUED")]


def test_a_run_of_another_tenant_is_missing(db: Database) -> None:
    insert_run(db)
    assert db.read(lambda tx: runs.one(tx, "other", "run")) is None
    assert db.read(lambda tx: runs.one(tx, "acme", "none")) is None


def test_an_account_with_an_open_run_gets_no_other(db: Database) -> None:
    insert_run(db)
    assert db.write(lambda tx: runs.insert(tx, [run(id="two"), run(id="three", account_id="bob")])) == {
        "three"
    }
    assert events(db, "two") == []
    assert db.read(lambda tx: runs.open_of_account(tx, 1, "ann")) == stored(db)


def test_of_two_runs_of_one_account_inserted_together_one_is_stored(db: Database) -> None:
    assert len(db.write(lambda tx: runs.insert(tx, [run(id="one"), run(id="two")]))) == 1


def test_a_slot_has_one_run_ever(db: Database) -> None:
    insert_run(db, slot="funding:1")
    assert db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=NOON))
    assert db.write(lambda tx: runs.insert(tx, [run(id="two", slot="funding:1")])) == set()
    insert_run(db, id="three", slot="funding:2")
    insert_run(db, id="four", slot="funding:1", account_id="bob")
    taken = db.read(
        lambda tx: runs.slots_taken(tx, 1, ["ann", "bob"], slots=["funding:1", "funding:2", "funding:3"])
    )
    assert taken == {("ann", "funding:1"), ("ann", "funding:2"), ("bob", "funding:1")}
    assert db.read(lambda tx: runs.slots_taken(tx, 1, [], slots=[])) == set()


def test_runs_without_a_slot_do_not_collide(db: Database) -> None:
    insert_run(db)
    db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=NOON))
    insert_run(db, id="two")


def test_inserting_nothing_does_nothing(db: Database) -> None:
    assert db.write(lambda tx: runs.insert(tx, [])) == set()
    assert change(db) == set()


def test_a_change_is_written_with_its_event_and_the_next_version(db: Database) -> None:
    insert_run(db)
    deadline = LATER + timedelta(hours=3)
    planned = Change(run=run(), state=RunState.PLANNED, strategy_version=7, deadline_at=deadline)
    assert change(db, planned) == {"run"}
    expected = replace(
        run(), state=RunState.PLANNED, strategy_version=7, deadline_at=deadline, version=2, updated_at=LATER
    )
    assert stored(db) == expected
    selling = Change(run=expected, state=RunState.SELLING, more_orders=3)
    assert change(db, selling) == {"run"}
    assert change(db, Change(run=stored(db), state=RunState.BUYING, more_orders=2)) == {"run"}
    assert change(db, Change(run=stored(db), state=RunState.COMPLETED, adjusted=True, reason="so")) == {"run"}
    final = stored(db)
    assert (final.orders_sent, final.adjusted, final.reason, final.version) == (5, True, "so", 5)
    assert (final.finished_at, final.deadline_at, final.strategy_version) == (LATER, deadline, 7)
    assert events(db) == [(1, "QUEUED"), (2, "PLANNED"), (3, "SELLING"), (4, "BUYING"), (5, "COMPLETED")]


def test_a_change_that_keeps_the_state_writes_no_event(db: Database) -> None:
    insert_run(db)
    assert change(db, Change(run=run(), state=RunState.QUEUED, stop=RunState.FAILED, reason="why")) == {"run"}
    assert events(db) == [(1, "QUEUED")]
    assert (stored(db).stop, stored(db).version) == (RunState.FAILED, 2)


def test_a_change_of_a_run_that_somebody_else_changed_is_left_out(db: Database) -> None:
    insert_run(db)
    insert_run(db, id="bobs", account_id="bob")
    assert db.write(lambda tx: runs.request_stop(tx, "run", NOON))
    applied = change(
        db,
        Change(run=run(), state=RunState.PLANNED, deadline_at=LATER),
        Change(run=run(id="bobs", account_id="bob"), state=RunState.PLANNED, deadline_at=LATER),
    )
    assert applied == {"bobs"}
    assert stored(db).state is RunState.QUEUED
    assert events(db) == [(1, "QUEUED")]
    assert events(db, "bobs") == [(1, "QUEUED"), (2, "PLANNED")]


def test_asking_to_stop_keeps_the_first_wish_and_raises_the_version(db: Database) -> None:
    insert_run(db)
    change(db, Change(run=run(), state=RunState.PLANNED, deadline_at=LATER))
    assert db.write(lambda tx: runs.request_stop(tx, "run", LATER))
    assert (stored(db).stop, stored(db).version, stored(db).state) == (
        RunState.CANCELED,
        3,
        RunState.PLANNED,
    )


def test_a_final_run_is_not_stopped_and_not_canceled(db: Database) -> None:
    insert_run(db)
    change(db, Change(run=run(), state=RunState.CANCELED))
    before = stored(db)
    assert not db.write(lambda tx: runs.request_stop(tx, "run", LATER))
    assert not db.write(lambda tx: runs.cancel_queued(tx, "run", reason="late", now=LATER))
    assert not db.write(lambda tx: runs.cancel_queued(tx, "none", reason=None, now=LATER))
    assert stored(db) == before


def test_a_queued_run_is_canceled_at_once_with_its_event(db: Database) -> None:
    insert_run(db)
    assert db.write(lambda tx: runs.cancel_queued(tx, "run", reason="no more", now=LATER))
    canceled = stored(db)
    assert (canceled.state, canceled.stop, canceled.reason) == (
        RunState.CANCELED,
        RunState.CANCELED,
        "no more",
    )
    assert (canceled.finished_at, canceled.version) == (LATER, 2)
    assert events(db) == [(1, "QUEUED"), (2, "CANCELED")]


def test_a_planned_run_is_not_canceled_at_once(db: Database) -> None:
    insert_run(db)
    change(db, Change(run=run(), state=RunState.PLANNED, deadline_at=LATER))
    assert not db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=LATER))


def open_runs(db: Database, shard: int, *, only: set[str] | None = None) -> list[str]:
    return [one.run.id for one in db.read(lambda tx: runs.open_runs(tx, shard, only=only))]


def test_open_runs_come_in_the_order_of_their_insertion_and_by_shard(db: Database) -> None:
    insert_run(db, id="b", created_at=LATER)
    insert_run(db, id="a", account_id="bob", created_at=NOON)
    assert open_runs(db, 1) == ["b", "a"]
    assert open_runs(db, 1, only={"a", "gone"}) == ["a"]
    assert open_runs(db, 2) == []
    db.write(lambda tx: runs.cancel_queued(tx, "b", reason=None, now=NOON))
    assert open_runs(db, 1) == ["a"]


def test_open_runs_come_with_their_account_and_what_its_tenant_prefers(db: Database) -> None:
    insert_run(db)
    db.write(lambda tx: shards.set_aside(tx, {"ann": Decimal("12.5")}))
    db.write(lambda tx: shards.hold(tx, {"ann": "in doubt"}))
    preferred = Preferences(slippage_bps=7, threshold=Decimal("2.5"))
    db.write(lambda tx: preferences.set_of_tenant(tx, "acme", preferred))
    (one,) = db.read(lambda tx: runs.open_runs(tx, 1, only=None))
    assert (one.account.set_aside, one.account.held) == (Decimal("12.5"), "in doubt")
    assert one.account == db.read(lambda tx: shards.account(tx, "ann"))
    assert one.preferences == preferred


def test_the_last_run_that_came_to_a_plan_is_found_whatever_came_to_none_since(db: Database) -> None:
    def last() -> dict[str, str]:
        found = db.read(lambda tx: runs.last_planned(tx, ["ann", "bob", "nobody"]))
        return {each.account_id: each.id for each in found}

    def come_and_go(run_id: str, at: int, *, account_id: str = "ann", planned: bool = True) -> None:
        began_at = NOON + timedelta(seconds=at)
        made = insert_run(db, id=run_id, account_id=account_id, created_at=began_at, updated_at=began_at)
        if planned:
            change(db, Change(run=made, state=RunState.PLANNED, deadline_at=LATER))
            made = stored(db, run_id)
        change(db, Change(run=made, state=RunState.CANCELED))

    assert last() == {}
    come_and_go("first", 0)
    come_and_go("second", 0)
    assert last() == {"ann": "second"}, "of one instant the one stored last"
    come_and_go("never planned", 1, planned=False)
    come_and_go("bobs", 2, account_id="bob", planned=False)
    assert last() == {"ann": "second"}
    come_and_go("third", 3)
    assert last() == {"ann": "third"}


def test_runs_are_counted_by_state(db: Database) -> None:
    assert db.read(runs.counts) == {}
    insert_run(db)
    insert_run(db, id="bobs", account_id="bob")
    db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=NOON))
    assert db.read(runs.counts) == {RunState.CANCELED: 1, RunState.QUEUED: 1}


# Lists.


def many_runs(db: Database) -> None:
    """r0 to r9, ended one after the other, in pairs of one instant; two kinds; r7 to r9 are bob's."""
    for n in range(10):
        insert_run(
            db,
            id=f"r{n}",
            account_id="bob" if n >= 7 else "ann",
            kind=RunKind.INVEST_CASH if n % 3 == 0 else RunKind.FULL_REBALANCE,
            created_at=NOON + timedelta(seconds=n // 2),
        )
        taken = stored(db, f"r{n}")
        if n == 9:
            continue
        if n % 2:
            change(db, Change(run=taken, state=RunState.CANCELED))
        else:
            change(db, Change(run=taken, state=RunState.PLANNED, deadline_at=LATER))
            change(db, Change(run=stored(db, f"r{n}"), state=RunState.SELLING, more_orders=n))
            change(db, Change(run=stored(db, f"r{n}"), state=RunState.COMPLETED, adjusted=n == 4))


def page(
    db: Database, wanted: RunFilter = ALL, *, limit: int = 100, after: int | None = None
) -> list[tuple[int, str]]:
    found = db.read(lambda tx: runs.page(tx, "acme", page=Page(after=after, limit=limit), wanted=wanted))
    return [(seq, each.id) for seq, each in found]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (ALL, "9876543210"),
        (RunFilter(account_id="bob"), "987"),
        (RunFilter(account_id="nobody"), ""),
        (RunFilter(kind=RunKind.INVEST_CASH), "9630"),
        (RunFilter(states=frozenset({RunState.CANCELED})), "7531"),
        (RunFilter(states=frozenset({RunState.CANCELED, RunState.QUEUED})), "97531"),
        (RunFilter(states=frozenset()), ""),
        (RunFilter(adjusted=True), "4"),
        (RunFilter(adjusted=False), "987653210"),
        (RunFilter(sent=True), "8642"),
        (RunFilter(sent=False), "975310"),
        (RunFilter(account_id="bob", kind=RunKind.INVEST_CASH, sent=False), "9"),
        (RunFilter(states=frozenset({RunState.COMPLETED}), adjusted=False, sent=True), "862"),
    ],
)
def test_a_list_shows_what_matches_every_wish_newest_first(db: Database, wanted: RunFilter, ids: str) -> None:
    many_runs(db)
    assert [run_id for _, run_id in page(db, wanted)] == [f"r{n}" for n in ids]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 10])
def test_page_after_page_shows_everything_once(db: Database, limit: int) -> None:
    many_runs(db)
    seen: list[str] = []
    after: int | None = None
    while True:
        found = page(db, limit=limit, after=after)
        assert len(found) <= limit + 1
        seen += [run_id for _, run_id in found[:limit]]
        if len(found) <= limit:
            break
        after = found[limit - 1][0]
    assert seen == [f"r{n}" for n in reversed(range(10))]


def test_new_runs_do_not_disturb_a_list_that_is_being_read(db: Database) -> None:
    many_runs(db)
    first = page(db, limit=4)
    db.write(lambda tx: runs.cancel_queued(tx, "r9", reason=None, now=NOON))
    insert_run(db, id="r10", account_id="bob", created_at=LATER)
    second = page(db, limit=100, after=first[3][0])
    assert [run_id for _, run_id in first[:4] + second] == [f"r{n}" for n in reversed(range(10))]


def test_another_tenants_runs_are_in_no_list(db: Database) -> None:
    many_runs(db)
    found = db.read(lambda tx: runs.page(tx, "other", page=Page(after=None, limit=100), wanted=ALL))
    assert found == []
