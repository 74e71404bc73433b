"""Kept answers: the first stands for a day in its own scope, and old ones go a few at a time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.store.rows import NOON
from trimtab.database import Database, Tx
from trimtab.store import replies
from trimtab.store.flows import Answer
from trimtab.store.replies import Anchor

DAY = timedelta(hours=24)
MICROSECOND = timedelta(microseconds=1)
ANCHOR = Anchor(tenant_id="acme", key_id="key", method="POST", path="/v1/runs", idempotency_key="one")
FIRST = Answer(body_hash="a" * 64, status=200, text='{"name":"Größe ✓","n":"\\u0001"}')
SECOND = Answer(body_hash="b" * 64, status=422, text="{}")


def keep(db: Database, given: Answer, anchor: Anchor = ANCHOR, *, after: timedelta = 0 * DAY) -> object:
    return db.write(lambda tx: replies.keep(tx, anchor, given, now=NOON + after))


def found(db: Database, anchor: Anchor = ANCHOR, *, after: timedelta = 0 * DAY) -> object:
    return db.read(lambda tx: replies.one(tx, anchor, now=NOON + after))


def count(db: Database) -> int:
    return len(db.read(lambda tx: tx.rows("SELECT seq FROM replies")))


def test_the_first_answer_stands_byte_for_byte(keyed: Database) -> None:
    assert found(keyed) is None
    assert keep(keyed, FIRST) is None
    for other in (SECOND, FIRST, replace(FIRST, text="")):
        assert keep(keyed, other) == FIRST
    assert found(keyed) == FIRST
    assert count(keyed) == 1


def test_it_stands_for_a_day(keyed: Database) -> None:
    keep(keyed, FIRST)
    assert keep(keyed, SECOND, after=DAY - MICROSECOND) == FIRST
    assert found(keyed, after=DAY - MICROSECOND) == FIRST
    assert found(keyed, after=DAY) is None
    assert keep(keyed, SECOND, after=DAY) is None
    assert found(keyed, after=2 * DAY - MICROSECOND) == SECOND
    assert found(keyed, after=2 * DAY) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"key_id": "second"},
        {"method": "PATCH"},
        {"path": "/v1/run"},
        {"idempotency_key": "One"},
        {"idempotency_key": "one "},
        {"tenant_id": "other"},
    ],
)
def test_every_part_of_the_scope_counts(keyed: Database, changes: dict[str, str]) -> None:
    other = replace(ANCHOR, **changes)
    keep(keyed, FIRST)
    assert found(keyed, other) is None
    assert keep(keyed, SECOND, other) is None
    assert (found(keyed), found(keyed, other)) == (FIRST, SECOND)


def test_the_longest_key_fits(keyed: Database) -> None:
    longest = replace(ANCHOR, path="/" + "p" * 99, idempotency_key="~" * 255)
    assert keep(keyed, FIRST, longest) is None
    assert found(keyed, longest) == FIRST


def numbered(number: int) -> Anchor:
    return replace(ANCHOR, idempotency_key=f"key {number}")


def test_old_answers_go_with_new_ones_the_oldest_first_and_not_all_at_once(keyed: Database) -> None:
    most = replies.PRUNED_PER_INSERT

    def store(tx: Tx) -> None:
        for number in range(most + 3):
            replies.keep(tx, numbered(number), FIRST, now=NOON + number * MICROSECOND)

    keyed.write(store)
    assert count(keyed) == most + 3
    keep(keyed, FIRST, after=2 * DAY)
    assert count(keyed) == 4
    left = {row["idempotency_key"] for row in keyed.read(lambda tx: tx.rows("SELECT * FROM replies"))}
    assert left == {"one", *(f"key {number}" for number in range(most, most + 3))}
    keep(keyed, SECOND, after=2 * DAY)
    assert count(keyed) == 4
    keep(keyed, FIRST, numbered(0), after=2 * DAY)
    assert count(keyed) == 2


def test_what_is_not_committed_is_not_kept(keyed: Database) -> None:
    def fail(tx: Tx) -> None:
        replies.keep(tx, ANCHOR, FIRST, now=NOON)
        raise KeyError

    with pytest.raises(KeyError):
        keyed.write(fail)
    assert found(keyed) is None
    assert keep(keyed, SECOND) is None
