"""What the database itself refuses, whoever asks: the last line when code forgets a rule."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
import pytest

from tests.store.rows import NOON, execution, insert_enrollment, insert_run, order, plan, skip
from trimtab.core.run import ORDER_TRANSITIONS, TRANSITIONS, OrderState, RunState
from trimtab.database import Database, Tx, micros
from trimtab.store import orders, runs
from trimtab.store.orders import Settled

REFUSED = "(?i)unique|constraint|not allowed|not-null|not null"


@pytest.fixture
def full(db: Database) -> Database:
    """One row in every table that a run fills."""
    insert_enrollment(db)
    insert_run(db, slot="session:2026-03-02")

    def work(tx: Tx) -> None:
        orders.insert_plans(tx, 1, {"run": plan()}, now=NOON)
        orders.insert_intents(tx, 1, epoch=1, intents=[order()])
        orders.insert_skips(tx, 1, {"run": [skip(1)]})
        filled = Settled(
            client_order_id=order().client_order_id,
            state=OrderState.OPEN,
            broker_order_id="theirs",
            reason=None,
            executions=(execution("x1", "0.5", "400", of=order()),),
            reported_at=NOON,
        )
        orders.settle(tx, 1, "paper", settled=[filled], now=NOON)

    db.write(work)
    return db


def refuses(db: Database, sql: str, **params: object) -> None:
    with pytest.raises(Exception, match=REFUSED):
        db.write(lambda tx: tx.execute(sql, **params))


def contents(db: Database) -> Mapping[str, object]:
    names = ("runs", "plans", "orders", "executions", "skips", "events", "strategy_versions", "enrollments")

    queries = {name: f"SELECT * FROM {name}" for name in names}  # noqa: S608 - the names above

    def read(tx: Tx) -> dict[str, object]:
        return {name: [str(dict(row)) for row in tx.rows(sql)] for name, sql in queries.items()}  # type: ignore[call-overload]

    return db.read(read)


@pytest.mark.parametrize("table", ["plans", "strategy_versions", "executions", "events"])
def test_what_was_stored_for_good_is_never_changed_or_deleted(full: Database, table: str) -> None:
    before = contents(full)
    column = {"plans": "body", "strategy_versions": "definition", "executions": "price", "events": "state"}[
        table
    ]
    for change in (f"{column} = '1'", f"{column} = {column}"):
        refuses(full, f"UPDATE {table} SET {change}")  # noqa: S608 - made of our own names
    refuses(full, f"DELETE FROM {table}")  # noqa: S608 - as above
    assert contents(full) == before


# Uniqueness, with the statement that a careless writer would use.

COPY_RUN = """INSERT INTO runs (shard, id, tenant_id, account_id, strategy_id, strategy_version, kind,
                                initiator, cause, slot, state, adjusted, orders_sent, version, created_at,
                                updated_at)
              SELECT shard, :id, tenant_id, :account_id, strategy_id, strategy_version, kind, initiator,
                     cause, :slot, :state, adjusted, orders_sent, version, created_at, updated_at
              FROM runs WHERE id = 'run'"""


@pytest.mark.parametrize("state", [state for state in RunState if state.is_open])
def test_a_second_open_run_of_an_account_is_refused(full: Database, state: RunState) -> None:
    refuses(full, COPY_RUN, id="two", account_id="ann", slot=None, state=state)
    full.write(lambda tx: tx.execute(COPY_RUN, id="two", account_id="bob", slot=None, state=state))


def test_a_second_run_in_a_slot_is_refused_even_if_both_have_ended(full: Database) -> None:
    slot = "session:2026-03-02"
    refuses(full, COPY_RUN, id="two", account_id="ann", slot=slot, state=RunState.COMPLETED)
    full.write(
        lambda tx: tx.execute(COPY_RUN, id="two", account_id="ann", slot="other", state=RunState.COMPLETED)
    )
    full.write(
        lambda tx: tx.execute(COPY_RUN, id="three", account_id="ann", slot=None, state=RunState.COMPLETED)
    )
    full.write(
        lambda tx: tx.execute(COPY_RUN, id="four", account_id="bob", slot=slot, state=RunState.COMPLETED)
    )


@pytest.mark.parametrize(
    "sql",
    [
        COPY_RUN.replace("cause, :slot", "'', :slot"),
        COPY_RUN.replace(" kind, initiator,\n", " 'other', initiator,\n"),
        COPY_RUN.replace("initiator,\n                     cause, :slot", "'cron', cause, :slot"),
        COPY_RUN.replace("SELECT shard, :id, tenant_id", "SELECT shard, :id, 'nobody'"),
        COPY_RUN.replace("strategy_id, strategy_version, kind, i", "'none', strategy_version, kind, i"),
        COPY_RUN.replace(":state, adjusted", ":state, 2"),
    ],
)
def test_a_run_that_makes_no_sense_is_refused(full: Database, sql: str) -> None:
    assert sql != COPY_RUN
    refuses(full, sql, id="two", account_id="bob", slot=None, state=RunState.QUEUED)


def test_a_run_of_an_unknown_account_or_state_is_refused(full: Database) -> None:
    refuses(full, COPY_RUN, id="two", account_id="nobody", slot=None, state=RunState.QUEUED)
    refuses(full, COPY_RUN, id="two", account_id="bob", slot=None, state="RUNNING")
    refuses(full, COPY_RUN, id="run", account_id="bob", slot=None, state=RunState.QUEUED)


COPY_ORDER = """INSERT INTO orders (shard, run_id, leg, generation, client_order_id, account_id, symbol,
                                    side, quantity, notional, state, epoch, intent_at, sent_at,
                                    filled_quantity, filled_value, updated_at)
                SELECT shard, run_id, :leg, generation, :id, account_id, symbol, side, :quantity,
                       :notional, state, epoch, intent_at, sent_at, '0', '0', updated_at FROM orders"""


def test_an_order_id_and_a_leg_are_given_once(full: Database) -> None:
    same = order().client_order_id
    refuses(full, COPY_ORDER, leg=1, id=same, quantity="1", notional=None)
    refuses(full, COPY_ORDER, leg=0, id="other", quantity="1", notional=None)
    full.write(lambda tx: tx.execute(COPY_ORDER, leg=1, id="other", quantity="1", notional=None))


def test_an_order_has_either_a_quantity_or_a_notional(full: Database) -> None:
    refuses(full, COPY_ORDER, leg=1, id="other", quantity="1", notional="1")
    refuses(full, COPY_ORDER, leg=1, id="other", quantity=None, notional=None)


def test_a_batch_of_intents_with_a_known_id_is_refused_whole(full: Database) -> None:
    with pytest.raises(Exception, match=REFUSED):
        full.write(lambda tx: orders.insert_intents(tx, 1, epoch=1, intents=[order(1), order(0), order(2)]))
    assert len(full.read(lambda tx: tx.rows("SELECT * FROM orders"))) == 1


def test_a_second_plan_of_a_run_is_refused(full: Database) -> None:
    with pytest.raises(Exception, match=REFUSED):
        full.write(lambda tx: orders.insert_plans(tx, 1, {"run": plan()}, now=NOON))


def test_an_execution_is_stored_once_and_only_of_an_order(full: Database) -> None:
    sql = """INSERT INTO executions (shard, broker, execution_id, client_order_id, quantity, price,
                                     executed_at)
             SELECT shard, broker, :id, :order_id, quantity, price, executed_at FROM executions"""
    refuses(full, sql, id="x1", order_id=order().client_order_id)
    refuses(full, sql, id="x2", order_id="stranger")


def test_an_event_number_is_given_once(full: Database) -> None:
    refuses(full, "INSERT INTO events SELECT * FROM events")


def test_a_second_enrollment_of_an_account_is_refused_until_the_first_has_ended(full: Database) -> None:
    sql = """INSERT INTO enrollments (shard, id, tenant_id, account_id, strategy_id, state, created_at,
                                      updated_at, evaluated_on, evaluated_version, trade_marker)
             SELECT shard, :id, tenant_id, account_id, strategy_id, :state, created_at, updated_at,
                    evaluated_on, evaluated_version, trade_marker FROM enrollments WHERE id = 'follows'"""
    refuses(full, sql, id="two", state="active")
    refuses(full, sql, id="two", state="paused")
    refuses(full, sql, id="two", state="sleeping")
    full.write(lambda tx: tx.execute(sql, id="two", state="ended"))


def test_a_tenants_name_and_a_shards_number_are_given_once(full: Database) -> None:
    refuses(full, "INSERT INTO tenants (id, name, created_at) VALUES ('x', 'Acme', 0)")
    refuses(full, "INSERT INTO shards (shard, accounts) VALUES (1, 0)")
    refuses(full, "INSERT INTO sandbox_clock (id, now_at) VALUES (2, 0)")


# Transitions: every pair of states, on one row that is set back by hand.


def allowed(tx: Tx, table: str, *, before: str, after: str) -> bool:
    """Whether the only row of a table may go from one state to the other."""
    tx.execute("SAVEPOINT here")
    with past_the_guard(tx, table):
        tx.execute(f"UPDATE {table} SET state = :before", before=before)  # noqa: S608 - our own names
    why = ""
    try:
        tx.execute(f"UPDATE {table} SET state = :after", after=after)  # noqa: S608 - our own names
    except (sqlite3.IntegrityError, psycopg.errors.RaiseException) as error:
        why = str(error)
    tx.execute("ROLLBACK TO SAVEPOINT here")
    return f"{table}_transitions" not in why


@contextmanager
def past_the_guard(tx: Tx, table: str) -> Iterator[None]:
    name = f"{table}_transitions"
    if tx.dialect == "postgres":
        tx.execute(f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        yield
        tx.execute(f"ALTER TABLE {table} ENABLE TRIGGER {name}")
    else:
        guard = tx.row("SELECT sql FROM sqlite_master WHERE name = :name", name=name)
        assert guard is not None
        tx.execute(f"DROP TRIGGER {name}")
        yield
        tx.execute(guard["sql"])


@pytest.mark.parametrize(
    ("table", "legal"), [("runs", TRANSITIONS), ("orders", ORDER_TRANSITIONS)], ids=["runs", "orders"]
)
def test_a_state_changes_only_along_the_published_table(
    full: Database, table: str, legal: Mapping[str, frozenset[str]]
) -> None:
    wrong = full.write(
        lambda tx: [
            f"{before} {after}"
            for before in legal
            for after in legal
            if allowed(tx, table, before=before, after=after) != (after in legal[before] or after is before)
        ]
    )
    assert wrong == []


def test_the_published_table_of_runs_is_the_one_of_the_design() -> None:
    """Written down again, so that a change of the code's table is seen."""
    edges = {f"{before} {after}" for before, afters in TRANSITIONS.items() for after in afters}
    ends = ("CANCELED", "FAILED", "TIMED_OUT")
    assert edges == {
        *("QUEUED PLANNED", "QUEUED CANCELED", "QUEUED FAILED"),
        *("PLANNED SELLING", "PLANNED BUYING", "PLANNED COMPLETED"),
        *("SELLING BUYING", "SELLING COMPLETED", "BUYING COMPLETED"),
        *(f"{state} {end}" for state in ("PLANNED", "SELLING", "BUYING") for end in ends),
    }


def test_a_refusal_leaves_the_other_writers_alone(full: Database) -> None:
    refuses(full, "UPDATE events SET state = 'QUEUED'")
    full.write(lambda tx: runs.request_stop(tx, "run", NOON))
    row = full.read(lambda tx: tx.row("SELECT updated_at FROM runs"))
    assert row is not None
    assert row["updated_at"] == micros(NOON)
