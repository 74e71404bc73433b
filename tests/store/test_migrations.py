"""Migrations: fresh, repeated and interrupted ones end in one schema, and only that one is worked on."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.engine.desks import MONDAY, TENANT, Clock, Place, targets, world_at
from tests.engine.machine import Machine
from tests.store import version_0001
from trimtab.core.errors import CannotOpenDatabase, WrongSchema
from trimtab.core.preferences import NO_PREFERENCES
from trimtab.core.strategy import Frequency
from trimtab.database import Database, Tx, open_database
from trimtab.engine import enrollment_actions
from trimtab.store import enrollments, migrate, schema_version, strategies

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    *("tenants", "keys", "sandbox_clock", "shards", "accounts", "strategies", "strategy_versions"),
    *("enrollments", "runs", "plans", "orders", "executions", "skips", "events", "holdings"),
    *("adjustments", "freezes", "flows", "valuations", "daily_prices", "replies", "outbox", "feed_head"),
    *("feed", "evaluations", "broker_streams", "budgets", "restores", "order_rates", "watches"),
    "alembic_version",
}


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


def schema(db: Database) -> set[str]:
    """Every table, column, index and trigger, as text."""

    def of_sqlite(tx: Tx) -> set[str]:
        return {f"{row['type']} {row['name']} {row['sql']}" for row in tx.rows("SELECT * FROM sqlite_master")}

    def of_postgres(tx: Tx) -> set[str]:
        queries = (
            """SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable AS text
               FROM information_schema.columns WHERE table_schema = 'public'""",
            "SELECT indexdef AS text FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint",
            "SELECT pg_get_triggerdef(oid) AS text FROM pg_trigger",
        )
        return {str(row["text"]) for query in queries for row in tx.rows(query)}

    return db.read(of_sqlite if db.dialect == "sqlite" else of_postgres)


def tables(db: Database) -> set[str]:
    sql = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        "postgres": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
    }
    return {row["name"] for row in db.read(lambda tx: tx.rows(sql[db.dialect]))}


def opened_schema(url: str) -> set[str]:
    db = open_database(url)
    found = schema(db)
    db.close()
    return found


def test_a_fresh_database_has_every_table_and_is_current(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    db = open_database(empty_url)
    schema_version.require_current(db)
    assert tables(db) == TABLES
    assert schema_version.found_version(db) == schema_version.needed_version()
    db.close()


def test_the_version_needed_is_the_last_that_alembic_knows() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema_version.MIGRATIONS))
    assert schema_version.needed_version() == ScriptDirectory.from_config(config).get_current_head()


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    before = opened_schema(empty_url)
    migrate.upgrade(empty_url)
    assert opened_schema(empty_url) == before


def test_a_database_without_a_schema_is_refused_with_the_mend(empty_url: str) -> None:
    db = open_database(empty_url)
    with pytest.raises(WrongSchema, match=r"no schema yet.*trimtab migrate"):
        schema_version.require_current(db)
    assert schema_version.found_version(db) is None
    db.close()


@pytest.mark.parametrize("version", ["0000", "9999"])
def test_a_database_of_another_version_is_refused(empty_url: str, version: str) -> None:
    migrate.upgrade(empty_url)
    db = open_database(empty_url)
    db.write(lambda tx: tx.execute("UPDATE alembic_version SET version_num = :version", version=version))
    with pytest.raises(WrongSchema, match=f"schema {version}.*needs {schema_version.needed_version()}"):
        schema_version.require_current(db)
    db.close()


def test_a_migration_that_fails_half_way_leaves_nothing(empty_url: str) -> None:
    """A table of the last statements is in the way."""
    db = open_database(empty_url)
    db.write(lambda tx: tx.execute("CREATE TABLE freezes (id TEXT)"))
    with pytest.raises(Exception, match="freezes"):
        migrate.upgrade(empty_url)
    assert tables(db) <= {"freezes", "alembic_version"}
    assert schema_version.found_version(db) is None
    db.write(lambda tx: tx.execute("DROP TABLE freezes"))
    migrate.upgrade(empty_url)
    assert tables(db) == TABLES
    db.close()


def test_an_interrupted_migration_ends_in_the_same_schema(empty_url: str, tmp_path: Path) -> None:
    migrate.upgrade(empty_url)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    if empty_url.startswith("sqlite"):
        db = open_database(other)
        db.write(lambda tx: tx.execute("CREATE TABLE runs (id TEXT)"))
        with pytest.raises(Exception, match="runs"):
            migrate.upgrade(other)
        db.write(lambda tx: tx.execute("DROP TABLE runs"))
        migrate.upgrade(other)
        assert schema(db) == opened_schema(empty_url)
        db.close()


def test_two_processes_that_migrate_at_once_leave_a_current_database(empty_url: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from trimtab.store.migrate import upgrade; upgrade(sys.argv[1])",
    ]
    processes = [
        subprocess.Popen([*command, empty_url], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    failures = [process.communicate(timeout=60)[1] for process in processes]
    db = open_database(empty_url)
    schema_version.require_current(db)
    assert tables(db) == TABLES
    db.close()
    assert failures == ["", ""]


def test_a_database_that_is_not_there_is_said_in_one_line_without_the_password(tmp_path: Path) -> None:
    for url in (
        f"sqlite:///{tmp_path / 'no' / 'trimtab.db'}",
        "postgresql://ann:s3cret@127.0.0.1:1/trimtab",
        "postgresql://127.0.0.1:1/trimtab?user=ann&password=s3cret",
    ):
        with pytest.raises(CannotOpenDatabase) as caught:
            migrate.upgrade(url)
        assert "s3cret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_no_connection_is_left_behind(empty_postgres_url: str) -> None:
    migrate.upgrade(empty_postgres_url)
    sql = (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(empty_postgres_url) as watcher:
        row = watcher.execute(sql).fetchone()
    assert row == (0,)


# From version 0001 on.


# What is new in each table, and what it is in rows that were there before.
NEW_COLUMNS: dict[str, dict[str, str | None]] = {
    "tenants": {"slippage_bps": None, "impact_bps": None, "threshold": None},
    "strategies": {
        "frequency": None,
        "is_public": "0",
        "on_ineligible": "needs_adjustment",
        "slippage_bps": None,
        "impact_bps": None,
        "threshold": None,
    },
    "strategy_versions": {"change_log": None},
    "enrollments": {
        "name": None,
        "next_due_at": None,
        "resumptions": "0",
        "owner": None,
        "account_index": None,
        "chain_ids": None,
    },
    "orders": {"worst_price": None, "impact_bps_max": None, "reported_at": None},
    "executions": {"corrects": None},
    "shards": {"restored": "0"},
    "adjustments": {"version": "0"},
}


@pytest.fixture
def old_url(empty_url: str) -> str:
    """A database of version 0001 with rows in every table."""
    version_0001.make(empty_url)
    return empty_url


def test_the_old_rows_are_of_every_table_there_was(old_url: str) -> None:
    """The measure of the tests below."""
    db = open_database(old_url)
    assert schema_version.found_version(db) == "0001"
    assert tables(db) == {*version_0001.ROWS, "alembic_version"}
    assert all(version_0001.ROWS.values())
    with pytest.raises(WrongSchema, match="schema 0001"):
        schema_version.require_current(db)
    db.close()


def test_every_row_of_an_old_database_is_intact_and_what_is_new_is_empty(old_url: str) -> None:
    migrate.upgrade(old_url)
    db = open_database(old_url)
    schema_version.require_current(db)
    for table, rows in version_0001.ROWS.items():
        found = db.read(lambda tx, table=table: tx.rows(f"SELECT * FROM {table}"))  # type: ignore[misc] # noqa: S608 - a name of ours
        now = [version_0001.shown(dict(row)) for row in found]
        before = [version_0001.shown(row) | NEW_COLUMNS.get(table, {}) for row in rows]
        assert sorted(now, key=repr_of) == sorted(before, key=repr_of), table
    for table in tables(db) - {*version_0001.ROWS, "alembic_version"}:
        assert db.read(lambda tx, table=table: tx.rows(f"SELECT * FROM {table}")) == [], table  # type: ignore[misc] # noqa: S608
    db.close()


def repr_of(row: dict[str, str | None]) -> str:
    return repr(sorted(row.items()))


def test_an_old_database_has_the_schema_of_a_fresh_one(
    old_url: str, postgres_url: str, sqlite_template: Path
) -> None:
    migrate.upgrade(old_url)
    fresh = f"sqlite:///{sqlite_template}" if old_url.startswith("sqlite") else postgres_url
    # PostgreSQL names the triggers of foreign keys by numbers that differ.
    upgraded, made = (
        {line for line in opened_schema(url) if "RI_ConstraintTrigger" not in line}
        for url in (old_url, fresh)
    )
    assert upgraded == made


def test_the_guards_of_an_old_database_still_stand(old_url: str) -> None:
    migrate.upgrade(old_url)
    db = open_database(old_url)
    for sql in (
        "UPDATE runs SET state = 'QUEUED' WHERE state = 'COMPLETED'",
        "UPDATE strategy_versions SET change_log = 'later'",
        "UPDATE plans SET body = ''",
        "DELETE FROM executions",
    ):
        with pytest.raises(Exception, match="not allowed"):
            db.write(lambda tx, sql=sql: tx.execute(sql))  # type: ignore[misc]
    db.close()


def test_rows_of_an_old_database_are_read_as_values_with_defaults(old_url: str) -> None:
    migrate.upgrade(old_url)
    db = open_database(old_url)
    (strategy,) = db.read(lambda tx: strategies.listing(tx, "acme-id", strategies.StrategyFilter()))
    assert (strategy.frequency, strategy.is_public) == (None, False)
    assert strategy.preferences == NO_PREFERENCES
    (ann,) = db.read(
        lambda tx: [e for e in enrollments.by_ids(tx, enrollments.roster(tx, 1).ids) if e.account_id == "cat"]
    )
    assert (ann.name, ann.next_due_at, ann.owner, ann.account_index, ann.chain_ids) == (
        None,
        None,
        None,
        0,
        (),
    )
    shown = db.read(lambda tx: strategies.versions(tx, strategy.id, enrollments.Page(after=None, limit=9)))
    assert [(number, version.change_log) for number, version in shown] == [(1, None)]
    db.close()


def test_the_engine_goes_on_with_the_open_runs_of_an_old_database(old_url: str, tmp_path: Path) -> None:
    """Ann's sale is sent once its fate is known, under its old id; bob's run is planned by today's rules."""
    migrate.upgrade(old_url)
    paper_url = old_url if old_url.startswith("postgres") else f"sqlite:///{tmp_path / 'paper.db'}"
    with world_at(Place(old_url, paper_url), clock=Clock(MONDAY + timedelta(seconds=61)), series=7) as world:
        world.set_prices(SPY="400", TLT="100", GLD="200")
        world.open_account("cat", "12.34", SPY="15", TLT="40")
        world.open_account("ann", "1000", SPY="10", GLD="25")
        # The mirror has followed the market up to its tenth entry.
        world.open_account("zed", "1")
        for amount in ("1", "-1") * 4:
            world.transfer("zed", amount)
        world.open_account("bob", "500")
        world.open_account("eve", "0")
        Machine(world=world).work_on()
        assert world.holdings("ann") == "cash 0, SPY 15, TLT 40"
        assert world.holdings("bob") == "cash 0, SPY 0.75, TLT 2"
        assert world.holdings("cat") == "cash 12.34, SPY 15, TLT 40"
        ends = {each: world.ends(each) for each in ("ann", "bob", "cat", "eve")}
        assert ends == {
            "ann": ["COMPLETED"],
            "bob": ["COMPLETED"],
            "cat": ["COMPLETED"],
            "eve": ["CANCELED"],
        }
        sale = world.orders(world.runs("ann")[0])[0]
        assert sale.client_order_id == "67a99e78-1533-5f6d-987e-b53a05bfb361"
        assert (sale.state, sale.worst_price, sale.impact_bps_max) == ("FILLED", None, None)
        assert world.broker_orders().count(sale.client_order_id) == 1
        world.set_prices(SPY="800")
        world.clock.now = MONDAY + timedelta(days=3)
        world.settle()
        assert world.slots("ann") == ["enrollment", "session:2026-03-05"]


def test_an_old_strategy_can_be_given_what_is_new(old_url: str, tmp_path: Path) -> None:
    """A schedule, preferences and a name, on rows that had none."""
    migrate.upgrade(old_url)
    paper_url = old_url if old_url.startswith("postgres") else f"sqlite:///{tmp_path / 'paper.db'}"
    with world_at(Place(old_url, paper_url), clock=Clock(MONDAY + timedelta(days=1)), series=7) as world:
        world.set_prices(SPY="400", TLT="100", GLD="200")
        (old,) = world.strategies()
        changed = world.change(
            old,
            frequency=Frequency.DAILY,
            preferences=lambda known: replace(known, threshold=Decimal("5.00")),
            is_public=True,
            targets=targets(SPY="50.00", TLT="50"),
            publishes=True,
            change_log="half and half",
        )
        assert world.strategies() == [changed]
        assert (changed.version, changed.frequency) == (2, Frequency.DAILY)
        cat = world.enrollment("cat")
        assert enrollment_actions.rename(world.desk, TENANT, cat.id, name="Cat").name == "Cat"
