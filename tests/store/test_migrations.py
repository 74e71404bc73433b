"""Migrations: fresh, repeated and interrupted ones end in one schema, and only that one is worked on."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from trimtab.core.errors import CannotOpenDatabase, WrongSchema
from trimtab.database import Database, Tx, open_database
from trimtab.store import migrate

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    *("tenants", "keys", "sandbox_clock", "shards", "accounts", "strategies", "strategy_versions"),
    *("enrollments", "runs", "plans", "orders", "executions", "skips", "events", "holdings"),
    *("adjustments", "freezes", "flows", "valuations", "alembic_version"),
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
    migrate.require_current(db)
    assert tables(db) == TABLES
    assert migrate.found_version(db) == migrate.needed_version()
    db.close()


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    before = opened_schema(empty_url)
    migrate.upgrade(empty_url)
    assert opened_schema(empty_url) == before


def test_a_database_without_a_schema_is_refused_with_the_mend(empty_url: str) -> None:
    db = open_database(empty_url)
    with pytest.raises(WrongSchema, match=r"no schema yet.*trimtab migrate"):
        migrate.require_current(db)
    assert migrate.found_version(db) is None
    db.close()


@pytest.mark.parametrize("version", ["0000", "9999"])
def test_a_database_of_another_version_is_refused(empty_url: str, version: str) -> None:
    migrate.upgrade(empty_url)
    db = open_database(empty_url)
    db.write(lambda tx: tx.execute("UPDATE alembic_version SET version_num = :version", version=version))
    with pytest.raises(WrongSchema, match=f"schema {version}.*needs {migrate.needed_version()}"):
        migrate.require_current(db)
    db.close()


def test_a_migration_that_fails_half_way_leaves_nothing(empty_url: str) -> None:
    """A table of the last statements is in the way."""
    db = open_database(empty_url)
    db.write(lambda tx: tx.execute("CREATE TABLE freezes (id TEXT)"))
    with pytest.raises(Exception, match="freezes"):
        migrate.upgrade(empty_url)
    assert tables(db) <= {"freezes", "alembic_version"}
    assert migrate.found_version(db) is None
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
    migrate.require_current(db)
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
