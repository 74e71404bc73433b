"""Enrollments: one per account, found by whoever owns them, and how far each has been evaluated."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from tests.store.rows import LATER, NOON, enrollment, insert_enrollment, insert_run, strategy
from trimtab.core.enrollment import Enrollment, EnrollmentState, TradeMarker
from trimtab.database import Database, micros
from trimtab.store import enrollments, runs, shards, strategies
from trimtab.store.enrollments import EnrollmentFilter, Page


def stored(db: Database, enrollment_id: str = "follows") -> Enrollment:
    (found,) = db.read(lambda tx: enrollments.by_ids(tx, [enrollment_id]))
    return found


def test_an_enrollment_comes_back_as_it_was_stored(db: Database) -> None:
    made = insert_enrollment(db, trade_marker=TradeMarker.UNSOLICITED, evaluated_on=date(2024, 2, 29))
    assert db.read(lambda tx: enrollments.one(tx, "acme", "follows")) == made
    assert db.read(lambda tx: enrollments.of_account(tx, 1, "ann")) == made
    assert stored(db) == made


def test_it_is_missing_for_others(db: Database) -> None:
    insert_enrollment(db)
    assert db.read(lambda tx: enrollments.one(tx, "other", "follows")) is None
    assert db.read(lambda tx: enrollments.of_account(tx, 2, "ann")) is None
    assert db.read(lambda tx: enrollments.of_account(tx, 1, "bob")) is None
    assert db.read(lambda tx: enrollments.by_ids(tx, [])) == []


def test_an_account_has_one_that_has_not_ended(db: Database) -> None:
    insert_enrollment(db)
    assert not db.write(lambda tx: enrollments.insert(tx, enrollment(id="second")))
    insert_enrollment(db, id="bobs", account_id="bob")
    db.write(lambda tx: enrollments.end(tx, "follows", LATER))
    assert db.read(lambda tx: enrollments.one(tx, "acme", "follows")) is None
    assert stored(db).state is EnrollmentState.ENDED
    insert_enrollment(db, id="second")
    assert db.read(lambda tx: enrollments.of_account(tx, 1, "ann")) == enrollment(id="second")


def test_a_strategy_knows_whether_it_is_followed(db: Database) -> None:
    assert not db.read(lambda tx: enrollments.following(tx, "mix"))
    insert_enrollment(db)
    assert db.read(lambda tx: enrollments.following(tx, "mix"))
    db.write(lambda tx: enrollments.end(tx, "follows", LATER))
    assert not db.read(lambda tx: enrollments.following(tx, "mix"))


def test_what_was_evaluated_is_remembered_and_a_pending_update_stays(db: Database) -> None:
    insert_enrollment(db)
    insert_enrollment(db, id="bobs", account_id="bob")
    on = date(2026, 3, 2)
    db.write(lambda tx: enrollments.set_evaluated(tx, 1, ["follows"], on=on, version=4))
    assert (stored(db).evaluated_on, stored(db).evaluated_version) == (on, 4)
    later = date(2026, 3, 3)
    db.write(lambda tx: enrollments.set_evaluated(tx, 1, ["follows"], on=later, version=None))
    assert (stored(db).evaluated_on, stored(db).evaluated_version) == (later, 4)
    db.write(lambda tx: enrollments.set_evaluated(tx, 1, [], on=later, version=9))
    db.write(lambda tx: enrollments.set_evaluated(tx, 2, ["follows"], on=on, version=9))
    assert (stored(db).evaluated_on, stored(db).evaluated_version) == (later, 4)
    assert stored(db, "bobs") == enrollment(id="bobs", account_id="bob")


def test_the_time_of_a_rebalance_is_kept_to_the_microsecond(db: Database) -> None:
    insert_enrollment(db)
    db.write(lambda tx: enrollments.set_rebalanced(tx, 1, ["follows"], at=NOON))
    assert stored(db) == replace(enrollment(), last_rebalanced_at=NOON, updated_at=NOON)


def test_the_roster_has_all_that_have_not_ended_and_says_who_is_paused_or_has_an_open_run(
    db: Database,
) -> None:
    insert_enrollment(db)
    insert_enrollment(db, id="bobs", account_id="bob")
    db.write(lambda tx: enrollments.set_rebalanced(tx, 1, ["bobs"], at=LATER))
    insert_run(db)
    roster = db.read(lambda tx: enrollments.roster(tx, 1))
    assert (roster.ids, roster.account_ids) == (("follows", "bobs"), ("ann", "bob"))
    assert (roster.strategy_ids, roster.open_run.tolist()) == (("mix", "mix"), [True, False])
    assert roster.last_rebalanced_at.tolist() == [-1, micros(LATER)]
    assert (roster.evaluated_on, roster.evaluated_version.tolist()) == (("2026-02-27",) * 2, [1, 1])
    db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=LATER))
    db.write(lambda tx: enrollments.end(tx, "bobs", LATER))
    db.write(lambda tx: tx.execute("UPDATE enrollments SET state = 'paused' WHERE id = 'follows'"))
    roster = db.read(lambda tx: enrollments.roster(tx, 1))
    assert (roster.ids, roster.open_run.tolist(), roster.paused.tolist()) == (("follows",), [False], [True])
    assert db.read(lambda tx: enrollments.roster(tx, 2)).ids == ()


def test_who_is_still_active_is_asked_at_the_last_moment(db: Database) -> None:
    insert_enrollment(db)
    insert_enrollment(db, id="bobs", account_id="bob")
    db.write(lambda tx: enrollments.end(tx, "bobs", LATER))
    assert db.write(lambda tx: enrollments.still_active(tx, ["follows", "bobs", "none"])) == {"follows"}
    assert db.write(lambda tx: enrollments.still_active(tx, [])) == set()


def many(db: Database) -> None:
    """e0 to e8 of nine accounts, in threes of one instant; the odd ones follow `other`."""
    db.write(lambda tx: strategies.insert(tx, strategy(id="other")))
    for n in range(9):
        db.write(lambda tx, n=n: shards.claim_account(tx, f"a{n}", tenant_id="acme", now=NOON))  # type: ignore[misc]
        insert_enrollment(
            db,
            id=f"e{n}",
            account_id=f"a{n}",
            strategy_id="other" if n % 2 else "mix",
            created_at=NOON + timedelta(seconds=n // 3),
        )


def page(
    db: Database, *, limit: int = 100, after: int | None = None, **wanted: str | None
) -> list[tuple[int, str]]:
    asked = {"account_id": None, "strategy_id": None} | wanted
    found = db.read(lambda tx: enrollments.page(tx, "acme", page=Page(after=after, limit=limit), **asked))
    return [(seq, each.id) for seq, each in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9])
def test_page_after_page_shows_everything_once_oldest_first(db: Database, limit: int) -> None:
    many(db)
    seen: list[str] = []
    after: int | None = None
    while found := page(db, limit=limit, after=after):
        seen += [each for _, each in found[:limit]]
        after = found[:limit][-1][0]
    assert seen == [f"e{n}" for n in range(9)]


def test_a_list_shows_what_matches_every_wish(db: Database) -> None:
    many(db)
    assert [each for _, each in page(db, strategy_id="other")] == ["e1", "e3", "e5", "e7"]
    assert [each for _, each in page(db, account_id="a4")] == ["e4"]
    assert page(db, account_id="a4", strategy_id="other") == []
    db.write(lambda tx: enrollments.end(tx, "e3", LATER))
    assert [each for _, each in page(db, strategy_id="other")] == ["e1", "e5", "e7"]


def test_another_tenants_enrollments_are_in_no_list(db: Database) -> None:
    many(db)
    nothing = Page(after=None, limit=100)
    assert (
        db.read(lambda tx: enrollments.page(tx, "other", page=nothing, account_id=None, strategy_id=None))
        == []
    )


# The newest first, as the other dialect shows them.


WALLET = "eip155:0:0x52908400098527886e0f7030069857d2e4169ee7"


def wallets_and_accounts(db: Database) -> None:
    """`many`, of which every third has an owner, and e5 and e8 are paused."""
    many(db)
    for n in (0, 3, 6):
        db.write(
            lambda tx, n=n: tx.execute(  # type: ignore[misc]
                "UPDATE enrollments SET owner = :owner WHERE id = :id",
                id=f"e{n}",
                owner=WALLET if n < 6 else "eip155:0:0xother",
            )
        )
    for n in (5, 8):
        db.write(lambda tx, n=n: enrollments.pause(tx, f"e{n}", LATER))  # type: ignore[misc]


def newest(
    db: Database, *, tenant_id: str = "acme", limit: int = 100, after: int | None = None, **wanted: Any
) -> list[tuple[int, str]]:
    page, filter_ = Page(after=after, limit=limit), EnrollmentFilter(**wanted)
    found = db.read(lambda tx: enrollments.newest(tx, tenant_id, page=page, wanted=filter_))
    return [(seq, each.id) for seq, each in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 8, 9, 10])
def test_page_after_page_shows_everything_once_newest_first(db: Database, limit: int) -> None:
    """Three have the same instant: of those the one stored last comes first."""
    many(db)
    seen: list[str] = []
    after: int | None = None
    while found := newest(db, limit=limit, after=after):
        assert len(found) <= limit + 1
        assert (len(found) > limit) == (len(seen) + limit < 9)
        seen += [each for _, each in found[:limit]]
        after = found[:limit][-1][0]
    assert seen == [f"e{n}" for n in range(8, -1, -1)]


def test_pages_go_by_the_time_and_not_by_the_order_of_storing(db: Database) -> None:
    many(db)
    insert_enrollment(db, id="early", account_id="ann", created_at=NOON - timedelta(days=1))
    assert [each for _, each in newest(db)][-2:] == ["e0", "early"]
    (seq,) = [seq for seq, each in newest(db) if each == "e1"]
    assert [each for _, each in newest(db, after=seq)] == ["e0", "early"]


def test_one_that_is_stored_or_ends_between_two_pages_shifts_none(db: Database) -> None:
    many(db)
    first = newest(db, limit=3)[:3]
    insert_enrollment(db, id="late", account_id="ann", created_at=LATER)
    db.write(lambda tx: enrollments.end(tx, "e7", LATER))
    second = newest(db, limit=3, after=first[-1][0])[:3]
    assert [each for _, each in second] == ["e5", "e4", "e3"]
    db.write(lambda tx: enrollments.end(tx, "e3", LATER))
    third = newest(db, limit=3, after=second[-1][0])
    assert [each for _, each in third] == ["e2", "e1", "e0"], "the last one seen has ended"


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"strategy_id": "other"}, [7, 5, 3, 1]),
        ({"strategy_id": "none"}, []),
        ({"state": EnrollmentState.PAUSED}, [8, 5]),
        ({"state": EnrollmentState.ACTIVE}, [7, 6, 4, 3, 2, 1, 0]),
        ({"owner": WALLET}, [3, 0]),
        ({"owner": "eip155:0:0xother"}, [6]),
        ({"owner": "eip155:0:0xnobody"}, []),
        ({"account_id": "a4"}, [4]),
        # The account of a wallet is found by its owner alone.
        ({"account_id": "a3"}, []),
        ({"account_id": "a4", "owner": WALLET}, []),
        ({"owner": WALLET, "strategy_id": "other"}, [3]),
        ({"state": EnrollmentState.PAUSED, "strategy_id": "other"}, [5]),
        ({"state": EnrollmentState.PAUSED, "owner": WALLET}, []),
        ({"state": EnrollmentState.ACTIVE, "owner": WALLET, "strategy_id": "mix"}, [0]),
        ({"account_id": "a8", "state": EnrollmentState.PAUSED, "strategy_id": "mix"}, [8]),
    ],
)
def test_a_page_shows_what_matches_every_wish(
    db: Database, wanted: dict[str, Any], numbers: list[int]
) -> None:
    wallets_and_accounts(db)
    assert [each for _, each in newest(db, **wanted)] == [f"e{n}" for n in numbers]
    first = newest(db, limit=1, **wanted)
    assert [each for _, each in first] == [f"e{n}" for n in numbers[:2]]
    if len(numbers) > 1:
        rest = newest(db, after=first[0][0], **wanted)
        assert [each for _, each in rest] == [f"e{n}" for n in numbers[1:]]


def test_ended_ones_and_other_tenants_are_on_no_page(db: Database) -> None:
    many(db)
    db.write(lambda tx: enrollments.end(tx, "e8", LATER))
    assert newest(db)[0][1] == "e7"
    assert newest(db, tenant_id="other") == []


# What Glider's dialect keeps of an enrollment.


def test_owner_chains_name_and_schedule_come_back(db: Database) -> None:
    made = insert_enrollment(
        db,
        name="Größe (2): A & B/C'",
        owner=WALLET,
        account_index=7,
        chain_ids=(8453, 1, 42161),
        next_due_at=NOON,
    )
    assert db.read(lambda tx: enrollments.one(tx, "acme", "follows")) == made


def test_wallets_are_counted_for_their_tenant_also_when_they_have_ended(db: Database) -> None:
    for n, account_id in enumerate(("ann", "bob")):
        insert_enrollment(db, id=f"w{n}", account_id=account_id, owner=WALLET, account_index=n)
    db.write(lambda tx: enrollments.end(tx, "w0", LATER))
    assert db.read(lambda tx: enrollments.wallets(tx, "acme", WALLET)) == 2
    assert db.read(lambda tx: enrollments.wallets(tx, "acme", "eip155:0:0xother")) == 0
    assert db.read(lambda tx: enrollments.wallets(tx, "other", WALLET)) == 0


def test_only_an_active_one_is_paused_and_only_a_paused_one_resumed(db: Database) -> None:
    insert_enrollment(db, next_due_at=NOON)
    later = LATER + timedelta(hours=1)

    def resume(due_at: datetime | None = later) -> None:
        db.write(lambda tx: enrollments.resume(tx, "follows", due_at=due_at, now=later))

    resume()
    assert stored(db) == enrollment(next_due_at=NOON)
    db.write(lambda tx: enrollments.pause(tx, "follows", LATER))
    paused = enrollment(state=EnrollmentState.PAUSED, next_due_at=NOON, updated_at=LATER)
    assert stored(db) == paused
    db.write(lambda tx: enrollments.pause(tx, "follows", later))
    assert stored(db) == paused
    resume()
    assert stored(db) == enrollment(next_due_at=later, updated_at=later, resumptions=1)
    resume(None)
    assert stored(db).next_due_at == later
    db.write(lambda tx: enrollments.pause(tx, "follows", later))
    resume(None)
    assert stored(db) == enrollment(next_due_at=None, updated_at=later, resumptions=2)
    db.write(lambda tx: enrollments.end(tx, "follows", later))
    db.write(lambda tx: enrollments.pause(tx, "follows", later))
    resume()
    assert stored(db).state is EnrollmentState.ENDED


def test_a_name_is_set_and_taken_away(db: Database) -> None:
    insert_enrollment(db)
    insert_enrollment(db, id="bobs", account_id="bob")
    db.write(lambda tx: enrollments.rename(tx, "follows", "Mine", now=LATER))
    assert stored(db) == enrollment(name="Mine", updated_at=LATER)
    db.write(lambda tx: enrollments.rename(tx, "follows", None, now=LATER))
    assert stored(db) == enrollment(updated_at=LATER)
    assert stored(db, "bobs") == enrollment(id="bobs", account_id="bob")


@pytest.mark.parametrize(
    ("seen", "found", "moves"),
    [
        (NOON, NOON, True),
        (None, None, True),
        (NOON, LATER, False),
        (LATER, NOON, False),
        (None, NOON, False),
        (NOON, None, False),
        (NOON, NOON + timedelta(microseconds=1), False),
    ],
)
def test_a_schedule_moves_on_only_from_where_it_was_seen(
    db: Database, seen: datetime | None, found: datetime | None, *, moves: bool
) -> None:
    insert_enrollment(db, next_due_at=found)
    moved = [(enrollment(next_due_at=seen), LATER + timedelta(days=1))]
    db.write(lambda tx: enrollments.set_next_due(tx, 1, moved))
    assert stored(db) == enrollment(next_due_at=LATER + timedelta(days=1) if moves else found)


def test_schedules_move_on_together_each_by_itself_and_in_their_shard(db: Database) -> None:
    insert_enrollment(db, next_due_at=NOON)
    insert_enrollment(db, id="bobs", account_id="bob", next_due_at=LATER)
    moved = [(stored(db), LATER), (replace(stored(db, "bobs"), next_due_at=NOON), NOON)]
    db.write(lambda tx: enrollments.set_next_due(tx, 2, moved))
    assert stored(db).next_due_at == NOON
    db.write(lambda tx: enrollments.set_next_due(tx, 1, moved))
    db.write(lambda tx: enrollments.set_next_due(tx, 1, []))
    assert (stored(db).next_due_at, stored(db, "bobs").next_due_at) == (LATER, LATER)


def test_the_roster_knows_when_each_is_due(db: Database) -> None:
    insert_enrollment(db, next_due_at=NOON)
    insert_enrollment(db, id="bobs", account_id="bob")
    assert db.read(lambda tx: enrollments.roster(tx, 1)).next_due_at.tolist() == [micros(NOON), -1]
