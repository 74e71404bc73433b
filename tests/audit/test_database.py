"""The audit of real databases: what is read is what was written, and broken rows are found."""

import pytest

from tests.audit.tables import take_guards_away, write
from tests.audit.world import (
    FIRST_PLAN,
    REJECTED,
    REJECTION,
    SKIP,
    SKIPPED,
    TO_REJECT_ACCEPTED,
    WORLD,
    add,
    body,
    drop,
    edited,
)
from trimtab.audit.check import audit
from trimtab.audit.report import Verdict
from trimtab.database import Database, Tx
from trimtab.store import evidence
from trimtab.store.evidence import Evidence, read_evidence

# Every kind of record is there: one leg was given up before it was sent.
WITH_SKIP = edited(
    drop("orders", REJECTED),
    drop("entries", REJECTION),
    drop("entries", TO_REJECT_ACCEPTED),
    add("skips", SKIP),
)

BROKEN = [
    ("I1", "UPDATE orders SET leg = 5 WHERE run_id = 'run-1' AND leg = 0", "leg 5) must have the id"),
    ("I1", "UPDATE runs SET tenant_id = 'other' WHERE id = 'run-1'", "must have the id"),
    ("I2", "DELETE FROM plans WHERE run_id = 'run-1'", "(run run-1 leg 0) has no plan"),
    ("I2", "UPDATE orders SET symbol = 'TLT' WHERE run_id = 'run-1' AND leg = 0", "is to sell TLT"),
    (
        "I2",
        "UPDATE orders SET quantity = '4.000000001' WHERE run_id = 'run-1' AND leg = 0",
        "4.000000001 shares, its plan says 4 shares",
    ),
    ("I2", "UPDATE orders SET intent_at = intent_at + 1 WHERE run_id = 'run-1'", "before its intent"),
    ("I2", "UPDATE plans SET planned_at = planned_at + 9000000", "before its plan was stored"),
    ("I3", "UPDATE orders SET state = 'SENDING'", "is SENDING, and its run is COMPLETED"),
    ("I3", "UPDATE orders SET state = 'OPEN' WHERE run_id = 'run-6'", "never accepted it"),
    ("I5", "UPDATE runs SET cause = ' ' WHERE id = 'run-2'", "run run-2 has no cause"),
    ("I5", "UPDATE runs SET slot = NULL WHERE id = 'run-1'", "initiated by system and has no slot"),
    ("I5", "DELETE FROM enrollments WHERE id = 'enrollment-a'", "which does not exist"),
    ("I6", "UPDATE events SET at = at - 3000000 WHERE run_id = 'run-2' AND number = 1", "overlap"),
    ("I6", "UPDATE runs SET account_id = 'A'", "overlap"),
    ("I7", "DELETE FROM executions WHERE execution_id = 'x3'", "and missing in the database"),
    ("I7", "UPDATE executions SET price = '50.000000001' WHERE execution_id = 'x3'", "14 at $50.000000001"),
    ("I8", "UPDATE adjustments SET amount = '500.01' WHERE ref = 't1'", "adjustment t1 ($500.01, account A)"),
    ("I9", "UPDATE orders SET filled_value = '400.000000000001'", "says 4 shares and $400.000000000001"),
    ("I9", "UPDATE executions SET quantity = '0.1' WHERE execution_id = 'x1'", "its executions 0.1 shares"),
    ("I10", "DELETE FROM events WHERE run_id = 'run-1' AND number = 3", "are numbered 1, 2, 4, 5"),
    ("I10", "UPDATE events SET state = 'BUYING' WHERE state = 'PLANNED'", "went from QUEUED to BUYING"),
    ("I10", "UPDATE runs SET state = 'FAILED' WHERE id = 'run-3'", "its last event says CANCELED"),
    ("I10", "UPDATE runs SET finished_at = NULL WHERE id = 'run-3'", "has no time of its end"),
    ("I12", "UPDATE runs SET adjusted = 0", "run run-2 is not adjusted, although 1 trades were skipped"),
    ("I12", "UPDATE runs SET adjusted = 1", "run run-1 is adjusted without a reason"),
    ("I12", "DELETE FROM skips", "run run-2 is COMPLETED, legs 0 have no order, no skip"),
    ("I18", "UPDATE plans SET body = '{}' WHERE run_id = 'run-1'", "is not the one that was stored"),
    ("I18", "UPDATE plans SET body_hash = 'x' WHERE run_id = 'run-1'", "its hash differs"),
]


@pytest.fixture
def written(database: Database) -> Database:
    database.write(lambda tx: write(tx, WITH_SKIP))
    return database


@pytest.mark.parametrize("page", [1, 2, 3, 20_000])
def test_what_is_read_is_what_was_written(
    written: Database, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PAGE", page)
    assert written.read(read_evidence) == WITH_SKIP.evidence


def test_an_empty_database_is_intact(database: Database) -> None:
    found = database.read(read_evidence)
    assert found == Evidence(
        runs=(),
        plans=(),
        orders=(),
        executions=(),
        skips=(),
        events=(),
        adjustments=(),
        enrollments=(),
    )
    assert audit(found, None).ok


def test_the_intact_database_is_found_intact(written: Database) -> None:
    report = audit(written.read(read_evidence), WITH_SKIP.ledger)
    assert [each.verdict for each in report.findings] == [Verdict.PASSED] * len(report.findings)


def test_a_broken_database_is_found_broken(written: Database) -> None:
    """All cases on one database, each undone by its savepoint."""

    def work(tx: Tx) -> list[str]:
        take_guards_away(tx)
        tx.execute("INSERT INTO tenants (id, name, created_at) VALUES ('other', 'Other', 0)")
        missed = []
        for invariant, statement, witness in BROKEN:
            tx.execute("SAVEPOINT intact")
            tx.execute(statement)
            report = audit(read_evidence(tx), WITH_SKIP.ledger)
            tx.execute("ROLLBACK TO SAVEPOINT intact")
            found = next(each for each in report.findings if each.id == invariant)
            if not any(witness in each for each in found.witnesses):
                missed.append(f"{invariant}: {statement}: {found.witnesses}")
        assert audit(read_evidence(tx), WITH_SKIP.ledger).ok
        return missed

    assert written.write(work) == []


def test_a_skip_in_planning_is_a_reason(database: Database) -> None:
    planned_with_skip = edited(body(FIRST_PLAN, skips=[SKIPPED]))
    database.write(lambda tx: write(tx, planned_with_skip))
    report = audit(database.read(read_evidence), WORLD.ledger)
    assert [each.id for each in report.findings if each.broken] == ["I12"]
