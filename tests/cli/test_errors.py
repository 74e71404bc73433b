"""A user's mistake is one line that says what is wrong: never a traceback, for no command."""

import sqlite3
from contextlib import closing

import psycopg
import pytest

from tests.cli.conftest import Trimtab

COMMANDS = (
    "demo --once",
    "serve",
    "keys create --tenant acme",
    "keys list",
    "keys revoke TKNONE",
    "migrate",
    "audit",
    "accounts assign ann --tenant acme",
    "freeze",
    "thaw",
    "backup copy.db",
)
NEED_A_FILE = [
    each for each in COMMANDS if each.split()[0] not in {"demo", "serve", "migrate"} and "create" not in each
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_checks_the_settings(command: str, on_nothing: Trimtab) -> None:
    line = on_nothing.fails(*command.split(), TRIMTAB_SANDBX="1")
    assert line == "trimtab: unknown setting TRIMTAB_SANDBX: see `trimtab doctor --settings`\n"
    assert list(on_nothing.folder.iterdir()) == []


@pytest.mark.parametrize("command", NEED_A_FILE)
def test_a_missing_file_is_not_made_in_passing(command: str, on_nothing: Trimtab) -> None:
    line = on_nothing.fails(*command.split(), TRIMTAB_DATABASE_URL="sqlite:///trimtab.db")
    missing = "cannot open the database trimtab.db: there is no such file; `trimtab migrate` makes it"
    assert line == f"trimtab: {missing}\n"
    assert list(on_nothing.folder.iterdir()) == []


@pytest.mark.parametrize("command", [each for each in COMMANDS if not each.startswith("demo")])
def test_a_file_that_is_no_database_is_said(command: str, on_nothing: Trimtab) -> None:
    (on_nothing.folder / "trimtab.db").write_text("Dear diary, " * 100, encoding="utf-8")
    line = on_nothing.fails(*command.split(), TRIMTAB_DATABASE_URL="sqlite:///trimtab.db")
    assert line == "trimtab: cannot open the database trimtab.db: file is not a database\n"


def test_a_setting_in_the_env_file_counts(on_nothing: Trimtab) -> None:
    (on_nothing.folder / ".env").write_text("TRIMTAB_MIN_NOTIONAL=much\n", encoding="utf-8")
    assert on_nothing.fails("keys", "list") == (
        "trimtab: TRIMTAB_MIN_NOTIONAL is 'much': give dollars, 0 or more\n"
    )


def test_a_market_that_does_not_exist(on_sqlite: Trimtab) -> None:
    assert on_sqlite.fails("serve", TRIMTAB_MARKET="MOON") == (
        "trimtab: TRIMTAB_MARKET is 'MOON': no such calendar in exchange_calendars\n"
    )


def test_a_server_that_is_not_there(on_nothing: Trimtab) -> None:
    url = "postgresql://u:secret@127.0.0.1:1/x"
    line = on_nothing.fails("serve", TRIMTAB_DATABASE_URL=url)
    assert line.startswith("trimtab: cannot open the database postgresql://u:…@127.0.0.1:1/x: ")


def test_an_open_door_needs_a_key(on_nothing: Trimtab) -> None:
    line = on_nothing.fails("serve", TRIMTAB_LISTEN="0.0.0.0:8000")
    assert line.startswith("trimtab: TRIMTAB_LISTEN is 0.0.0.0: ")


def test_a_database_that_stays_busy(on_sqlite: Trimtab) -> None:
    with closing(sqlite3.connect(on_sqlite.folder / "trimtab.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        assert on_sqlite.fails("freeze") == "trimtab: the database refused: database is locked\n"


def test_a_table_that_is_gone(on_postgres: Trimtab, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as plain:
        plain.execute("DROP TABLE keys CASCADE")
    assert on_postgres.fails("keys", "list") == (
        'trimtab: the database refused: relation "keys" does not exist\n'
    )


@pytest.mark.parametrize(
    ("arguments", "problem", "command"),
    [
        ("keys", "Missing command", "keys"),
        ("worker", "No such command 'worker'", ""),
        ("keys revoke", "Missing argument 'KEY_ID'", "keys revoke"),
        ("serve --port 0", "Invalid value for '--port'", "serve"),
        ("freeze everything", "Got unexpected extra argument", "freeze"),
    ],
)
def test_usage_errors_end_with_2(arguments: str, problem: str, command: str, on_nothing: Trimtab) -> None:
    line = on_nothing.fails(*arguments.split(), code=2)
    assert line.startswith(f"trimtab: {problem}")
    assert line.endswith(f"; see: {' '.join(['trimtab', *command.split(), '--help'])}\n")


def test_no_command_shows_what_there_is(on_nothing: Trimtab) -> None:
    printed = on_nothing.works()
    assert printed == on_nothing.works("--help")
    assert "Keeps many accounts at their target weights." in printed
