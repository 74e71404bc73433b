"""Enrolment flows: kept for a day and one key, answered once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.store.rows import NOON
from trimtab.core.enrollment import Flow
from trimtab.database import Database
from trimtab.store import flows
from trimtab.store.flows import Answer

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
FIRST = Answer(body_hash="a" * 64, status=201, text='{"portfolioName":"Größe ✓","n":"\\u0001"}')
SECOND = Answer(body_hash="b" * 64, status=409, text="{}")


def flow(**changes: Any) -> Flow:
    usual = Flow(
        id="flow",
        tenant_id="acme",
        key_id="key",
        owner="eip155:0:0x52908400098527886e0f7030069857d2e4169ee7",
        strategy_id="mix",
        chain_ids=(8453, 1),
        account_index=2,
        agent="eip155:0:0xagent",
        message="00ff" * 16,
        created_at=NOON,
        expires_at=NOON + DAY,
    )
    return replace(usual, **changes)


@pytest.fixture
def stored(keyed: Database) -> Database:
    """One flow, and two keys of its tenant."""
    keyed.write(lambda tx: flows.insert(tx, flow()))
    return keyed


def found(db: Database, *, key_id: str = "key", after: timedelta = timedelta(0)) -> object:
    return db.read(lambda tx: flows.one(tx, key_id, "flow", now=NOON + after))


def test_a_flow_comes_back_as_it_was_stored(stored: Database) -> None:
    assert found(stored) == (flow(), None)
    stored.write(lambda tx: flows.insert(tx, flow(id="no chains", chain_ids=(), account_index=0)))
    other = stored.read(lambda tx: flows.one(tx, "key", "no chains", now=NOON))
    assert other == (flow(id="no chains", chain_ids=(), account_index=0), None)


def test_a_flow_is_missing_for_other_keys_and_once_it_has_ended(stored: Database) -> None:
    assert found(stored, key_id="second") is None
    assert stored.read(lambda tx: flows.one(tx, "key", "other flow", now=NOON)) is None
    assert found(stored, after=DAY - MICROSECOND) == (flow(), None)
    assert found(stored, after=DAY) is None


def test_the_first_answer_stands_byte_for_byte(stored: Database) -> None:
    assert stored.write(lambda tx: flows.answer(tx, "flow", FIRST)) == FIRST
    assert found(stored) == (flow(), FIRST)
    assert stored.write(lambda tx: flows.answer(tx, "flow", SECOND)) == FIRST
    assert stored.write(lambda tx: flows.answer(tx, "flow", replace(FIRST, text=""))) == FIRST
    assert found(stored) == (flow(), FIRST)


def test_an_empty_answer_is_an_answer(stored: Database) -> None:
    empty = replace(FIRST, text="")
    assert stored.write(lambda tx: flows.answer(tx, "flow", empty)) == empty
    assert stored.write(lambda tx: flows.answer(tx, "flow", SECOND)) == empty


def test_each_flow_has_an_answer_of_its_own(stored: Database) -> None:
    stored.write(lambda tx: flows.insert(tx, flow(id="second flow", key_id="second")))
    stored.write(lambda tx: flows.answer(tx, "flow", FIRST))
    stored.write(lambda tx: flows.answer(tx, "second flow", SECOND))
    assert found(stored) == (flow(), FIRST)
    other = stored.read(lambda tx: flows.one(tx, "second", "second flow", now=NOON))
    assert other == (flow(id="second flow", key_id="second"), SECOND)


def test_a_new_flow_clears_away_those_that_have_ended(stored: Database) -> None:
    still = flow(id="still", created_at=NOON + MICROSECOND, expires_at=NOON + DAY + MICROSECOND)
    stored.write(lambda tx: flows.insert(tx, still))
    stored.write(
        lambda tx: flows.insert(tx, flow(id="new", created_at=NOON + DAY, expires_at=NOON + 2 * DAY))
    )
    rows = stored.read(lambda tx: tx.rows("SELECT id FROM flows ORDER BY id"))
    assert [row["id"] for row in rows] == ["new", "still"]
