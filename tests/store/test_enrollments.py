"""Enrollments: one per account, found by whoever owns them, and how far each has been evaluated."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from tests.store.rows import LATER, NOON, enrollment, insert_enrollment, insert_run, strategy
from trimtab.core.enrollment import Enrollment, EnrollmentState, TradeMarker
from trimtab.database import Database
from trimtab.store import enrollments, runs, shards, strategies
from trimtab.store.enrollments import Page


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


def test_the_roster_has_the_active_ones_without_an_open_run(db: Database) -> None:
    insert_enrollment(db)
    insert_enrollment(db, id="bobs", account_id="bob")
    db.write(lambda tx: enrollments.set_rebalanced(tx, 1, ["bobs"], at=LATER))
    insert_run(db)
    roster = db.read(lambda tx: enrollments.roster(tx, 1))
    assert (roster.ids, roster.account_ids, roster.strategy_ids) == (["bobs"], ["bob"], ["mix"])
    assert (roster.rebalanced, roster.evaluated_on, roster.evaluated_version) == ([True], ["2026-02-27"], [1])
    db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=LATER))
    db.write(lambda tx: enrollments.end(tx, "bobs", LATER))
    roster = db.read(lambda tx: enrollments.roster(tx, 1))
    assert (roster.ids, roster.rebalanced) == (["follows"], [False])
    db.write(lambda tx: tx.execute("UPDATE enrollments SET state = 'paused'"))
    assert db.read(lambda tx: enrollments.roster(tx, 1)).ids == []
    assert db.read(lambda tx: enrollments.roster(tx, 2)).ids == []


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
