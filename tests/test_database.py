"""Both databases behind their one face: transactions, shared commits, snapshots, values, refusals."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import postgres
from trimtab.core.errors import CannotOpenDatabase
from trimtab.database import (
    GROUP_COMMIT_MAX,
    Database,
    PostgresDatabase,
    SqliteDatabase,
    Tx,
    instant,
    micros,
    open_database,
    sqlite_path,
)

PATIENCE_S = 20


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def db(empty_url: str) -> Iterator[Database]:
    """A database with one table of things."""
    opened = open_database(empty_url)
    opened.write(create_things)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "things.db")
    opened.write(create_things)
    yield opened
    opened.close()


@pytest.fixture
def postgres_db(empty_postgres_url: str) -> Iterator[PostgresDatabase]:
    opened = PostgresDatabase(empty_postgres_url)
    opened.write(create_things)
    yield opened
    opened.close()


def create_things(tx: Tx) -> None:
    number = "TEXT" if tx.dialect == "sqlite" else "NUMERIC"
    tx.execute(f"CREATE TABLE things (name TEXT PRIMARY KEY, amount {number}, size BIGINT)")


def put(tx: Tx, name: str, amount: Decimal | None = None, size: int | None = None) -> int:
    return tx.execute(
        "INSERT INTO things (name, amount, size) VALUES (:name, :amount, :size)",
        name=name,
        amount=amount,
        size=size,
    )


def names(tx: Tx) -> list[str]:
    return [row["name"] for row in tx.rows("SELECT name FROM things ORDER BY name")]


def fail(_tx: Tx) -> None:
    raise ZeroDivisionError


def refused(db: Database, work: Callable[[Tx], object]) -> None:
    """The database itself must refuse the work."""
    with pytest.raises(Exception, match=r"(?i)unique|constraint"):
        db.write(work)


# Transactions.


def test_a_write_returns_what_its_work_returns(db: Database) -> None:
    assert db.write(lambda tx: put(tx, "a")) == 1


def test_work_that_fails_leaves_nothing_and_its_error_reaches_the_caller(db: Database) -> None:
    def work(tx: Tx) -> None:
        put(tx, "a")
        fail(tx)

    with pytest.raises(ZeroDivisionError):
        db.write(work)
    assert db.read(names) == []


def test_the_database_goes_on_after_a_refusal(db: Database) -> None:
    db.write(lambda tx: put(tx, "a"))
    refused(db, lambda tx: put(tx, "a"))
    db.write(lambda tx: put(tx, "b"))
    assert db.read(names) == ["a", "b"]


def test_a_failure_that_is_no_exception_is_handed_on_too(db: Database) -> None:
    def work(tx: Tx) -> None:
        put(tx, "a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        db.write(work)
    assert db.read(names) == []
    db.write(lambda tx: put(tx, "b"))


def test_what_was_written_is_there_after_reopening(empty_url: str) -> None:
    first = open_database(empty_url)
    first.write(create_things)
    first.write(lambda tx: put(tx, "a"))
    first.close()
    second = open_database(empty_url)
    assert second.read(names) == ["a"]
    second.close()


def test_a_read_sees_one_moment_however_often_it_looks(db: Database) -> None:
    db.write(lambda tx: put(tx, "a"))

    def look_twice(tx: Tx) -> tuple[list[str], list[str]]:
        before = names(tx)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(db.write, lambda other: put(other, "b")).result(PATIENCE_S)
        return before, names(tx)

    assert db.read(look_twice) == (["a"], ["a"])
    assert db.read(names) == ["a", "b"]


def test_a_read_cannot_write(db: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        db.read(lambda tx: put(tx, "a"))
    assert db.read(names) == []
    db.write(lambda tx: put(tx, "b"))


def test_a_read_that_fails_does_not_spoil_the_next(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        db.read(fail)
    assert db.read(names) == []


def test_a_read_may_be_done_while_a_write_is_under_way(db: Database) -> None:
    def work(tx: Tx) -> list[str]:
        put(tx, "a")
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(db.read, names).result(PATIENCE_S)

    assert db.write(work) == []


def test_many_threads_write_and_nothing_is_lost(db: Database) -> None:
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda n: db.write(lambda tx: put(tx, f"{n:03}")), range(200)))
    assert db.read(names) == [f"{n:03}" for n in range(200)]


def test_concurrent_increments_all_count(db: Database) -> None:
    db.write(lambda tx: put(tx, "a", size=0))
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda _n: db.write(lambda tx: tx.execute("UPDATE things SET size = size + 1")), range(100)
            )
        )
    row = db.read(lambda tx: tx.row("SELECT size FROM things"))
    assert row is not None
    assert row["size"] == 100


def count_alone(dbs: list[Database]) -> int:
    """Forty of them count in turns, each by a read and a write of its own; what is counted in the end."""
    dbs[0].write(lambda tx: put(tx, "a", size=0))

    def count(number: int) -> None:
        db = dbs[number % len(dbs)]
        with db.alone():
            row = db.read(lambda tx: tx.row("SELECT size FROM things"))
            assert row is not None
            db.write(lambda tx: tx.execute("UPDATE things SET size = :size", size=row["size"] + 1))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(count, range(40)))
    row = dbs[0].read(lambda tx: tx.row("SELECT size FROM things"))
    assert row is not None
    return int(row["size"])


def test_whoever_is_alone_is_the_only_one_of_all_threads(db: Database) -> None:
    assert count_alone([db]) == 40


def test_whoever_is_alone_is_the_only_one_of_all_processes(postgres_db: PostgresDatabase) -> None:
    """And needs no more than two connections, however many wait."""
    with ExitStack() as stack:
        others = [PostgresDatabase(postgres_db.url, pool_max=2) for _ in range(2)]
        for other in others:
            stack.callback(other.close)
        assert count_alone([*others]) == 40


def test_who_fails_alone_keeps_nobody_out(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.alone():
        db.write(fail)
    assert count_alone([db]) == 40


# The group commit of SQLite.


@contextmanager
def group(db: SqliteDatabase, *works: Callable[[Tx], object]) -> Iterator[list[Future[object]]]:
    """Let these works wait, in this order, until one commit can carry them all."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures: list[Future[object]] = []

        def occupy(_tx: Tx) -> None:
            for work in works:
                futures.append(pool.submit(db.write, work))
                wait_until(lambda: len(db._waiting) == len(futures))  # noqa: SLF001 - who waits cannot be seen elsewhere

        db.write(occupy)
        yield futures


def wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        tick.wait(0.001)
    raise AssertionError("it never happened")


def commits_of(db: SqliteDatabase) -> list[str]:
    """The statements that end transactions of the writer, from now on."""
    seen: list[str] = []

    def note(statement: str) -> None:
        if statement in {"COMMIT", "ROLLBACK"}:
            seen.append(statement)

    db._writer.set_trace_callback(note)  # noqa: SLF001 - how often it commits cannot be seen elsewhere
    return seen


def test_writers_that_wait_share_one_commit(sqlite_db: SqliteDatabase) -> None:
    ended = commits_of(sqlite_db)
    with group(sqlite_db, *(lambda tx, n=n: put(tx, f"{n}") for n in range(9))) as futures:
        assert [future.result(PATIENCE_S) for future in futures] == [1] * 9
    assert ended == ["COMMIT", "COMMIT"], "one for the occupier, one for all nine"
    assert len(sqlite_db.read(names)) == 9


def test_a_failing_member_of_a_group_does_not_hurt_the_others(sqlite_db: SqliteDatabase) -> None:
    def put_and_fail(tx: Tx) -> None:
        put(tx, "broken")
        fail(tx)

    works = [lambda tx: put(tx, "a"), put_and_fail, lambda tx: put(tx, "a"), lambda tx: put(tx, "b")]
    with group(sqlite_db, *works) as futures:
        errors = [future.exception(PATIENCE_S) for future in futures]
    assert [type(error).__name__ for error in errors] == [
        "NoneType",
        "ZeroDivisionError",
        "IntegrityError",
        "NoneType",
    ]
    assert sqlite_db.read(names) == ["a", "b"]


def test_each_member_sees_what_those_before_it_did(sqlite_db: SqliteDatabase) -> None:
    with group(sqlite_db, lambda tx: put(tx, "a"), fail, names) as futures:
        assert futures[2].result(PATIENCE_S) == ["a"]
        assert isinstance(futures[1].exception(PATIENCE_S), ZeroDivisionError)


def test_a_commit_that_fails_fails_every_member(sqlite_db: SqliteDatabase) -> None:
    def end_the_transaction(tx: Tx) -> None:
        tx.execute("COMMIT")

    with group(sqlite_db, lambda tx: put(tx, "a"), end_the_transaction, lambda tx: put(tx, "b")) as futures:
        assert all(future.exception(PATIENCE_S) is not None for future in futures)
    sqlite_db.write(lambda tx: put(tx, "c"))
    assert "c" in sqlite_db.read(names)


def test_no_writer_is_left_waiting_however_many_there_are(sqlite_db: SqliteDatabase) -> None:
    """One more than a commit carries: the last to come may well be the first to take the lock."""
    for turn in range(20):
        with ThreadPoolExecutor(GROUP_COMMIT_MAX + 1) as pool:
            try:
                assert pool.submit(crowd, sqlite_db, pool, turn=turn).result(PATIENCE_S / 4) == 1
            finally:
                # Whoever comes next takes along those who were left behind.
                sqlite_db.write(lambda tx: put(tx, f"{turn}-end"))  # noqa: B023 - called at once
    assert len(sqlite_db.read(names)) == 20 * (GROUP_COMMIT_MAX + 2)


def crowd(db: SqliteDatabase, pool: ThreadPoolExecutor, *, turn: int) -> int:
    """Write at the moment at which as many wait as one commit carries."""

    def let_them_come(_tx: Tx) -> None:
        for n in range(GROUP_COMMIT_MAX):
            pool.submit(db.write, lambda tx, n=n: put(tx, f"{turn}-{n}"))
        wait_until(lambda: len(db._waiting) == GROUP_COMMIT_MAX)  # noqa: SLF001 - as above

    db.write(let_them_come)
    return db.write(lambda tx: put(tx, f"{turn}-last"))


# PostgreSQL's deadlocks.


def test_a_deadlock_is_tried_again_and_both_get_through(postgres_db: PostgresDatabase) -> None:
    postgres_db.write(lambda tx: [put(tx, "a", size=0), put(tx, "b", size=0)])
    both_hold_one = threading.Barrier(2)
    attempts: list[str] = []

    def cross(first: str, second: str) -> None:
        def work(tx: Tx) -> None:
            attempts.append(first)
            tx.execute("UPDATE things SET size = size + 1 WHERE name = :name", name=first)
            if len(attempts) <= 2:
                both_hold_one.wait(PATIENCE_S)
            tx.execute("UPDATE things SET size = size + 1 WHERE name = :name", name=second)

        postgres_db.write(work)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(cross, "a", "b"), pool.submit(cross, "b", "a")]:
            done.result(PATIENCE_S)
    # Three as a rule: who comes again at once may find the other in the way once more.
    assert len(attempts) >= 3
    sizes = postgres_db.read(lambda tx: [row["size"] for row in tx.rows("SELECT size FROM things")])
    assert sizes == [2, 2]


def test_a_deadlock_that_never_ends_is_an_error_in_the_end(postgres_db: PostgresDatabase) -> None:
    attempts: list[int] = []

    def work(_tx: Tx) -> None:
        attempts.append(1)
        raise psycopg.errors.DeadlockDetected

    with pytest.raises(psycopg.errors.DeadlockDetected):
        postgres_db.write(work)
    assert len(attempts) == 8


def test_any_other_error_is_not_tried_again(postgres_db: PostgresDatabase) -> None:
    attempts: list[int] = []

    def work(tx: Tx) -> None:
        attempts.append(1)
        tx.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        postgres_db.write(work)
    assert len(attempts) == 1


def test_postgresql_says_nothing_on_the_side_while_it_is_read(postgres_db: PostgresDatabase) -> None:
    """A transaction that is begun twice would be answered with a warning each time."""
    heard: list[str] = []

    def work(tx: Tx) -> None:
        connection: psycopg.Connection[dict[str, object]] = tx._connection  # type: ignore[assignment] # noqa: SLF001
        connection.add_notice_handler(lambda notice: heard.append(str(notice.message_primary)))

    postgres_db.write(work)
    postgres_db.read(names)
    postgres_db.read(names)
    assert heard == []


# Values.

DECIMALS = st.decimals(min_value=-(10**18), max_value=10**18, places=9)


@pytest.mark.parametrize(
    "text",
    ["0", "0.000000001", "-0.000000001", "123456789012345678.123456789012345678", "1E+6", "0E-9", "100.00"],
)
def test_decimals_come_back_to_the_last_digit(db: Database, text: str) -> None:
    db.write(lambda tx: put(tx, "a", Decimal(text)))
    row = db.read(lambda tx: tx.row("SELECT amount FROM things"))
    assert row is not None
    assert Decimal(row["amount"]) == Decimal(text)


def test_any_amount_comes_back(db: Database) -> None:
    numbers = iter(range(10**9))

    @settings(max_examples=50)
    @given(st.lists(DECIMALS, max_size=20))
    def check(amounts: list[Decimal]) -> None:
        first = next(numbers)
        rows = [(f"{first}-{n:02}", amount) for n, amount in enumerate(amounts)]
        db.write(lambda tx: tx.insert("things", ("name", "amount"), rows=rows))
        found = db.read(
            lambda tx: tx.rows(
                "SELECT amount FROM things WHERE name LIKE :mine ORDER BY name", mine=f"{first}-%"
            )
        )
        assert [Decimal(row["amount"]) for row in found] == amounts

    check()


def test_bulk_inserts_keep_every_kind_of_value(db: Database) -> None:
    rows: list[tuple[object, ...]] = [
        ("plain", Decimal("1.5"), 2**62),
        ("nothing", None, None),
        (Colour.RED, Decimal("-0.1"), -1),
        ("tab\tnew\nline\\backslash", Decimal(0), 0),
        ("ünïcödé ☂ 'quoted' \"twice\" %s :name", Decimal(1), 1),
        ("\\N", Decimal(1), 1),
        ("", Decimal(1), 1),
    ]
    db.write(lambda tx: tx.insert("things", ("name", "amount", "size"), rows=rows))
    found = db.read(lambda tx: tx.rows("SELECT * FROM things"))
    shown = {
        (row["name"], None if row["amount"] is None else Decimal(row["amount"]), row["size"]) for row in found
    }
    assert shown == {(str(name), amount, size) for name, amount, size in rows}


def test_a_bulk_insert_of_nothing_does_nothing(db: Database) -> None:
    db.write(lambda tx: tx.insert("things", ("name",), rows=[]))
    assert db.write(lambda tx: tx.many("UPDATE things SET size = :size", [])) == 0
    assert db.read(names) == []


def test_a_bulk_insert_with_one_conflict_stores_nothing(db: Database) -> None:
    db.write(lambda tx: put(tx, "b"))
    refused(db, lambda tx: tx.insert("things", ("name",), rows=[("a",), ("b",), ("c",)]))
    assert db.read(names) == ["b"]


def test_single_and_repeated_statements_take_every_kind_of_value(db: Database) -> None:
    db.write(lambda tx: put(tx, Colour.RED, None, None))
    statement = "INSERT INTO things (name, amount, size) VALUES (:name, :amount, :size)"
    rows = [{"name": f"{n}", "amount": Decimal(n) / 8, "size": None if n else n} for n in range(3)]
    assert db.write(lambda tx: tx.many(statement, rows)) == 3
    found = db.read(lambda tx: tx.rows("SELECT * FROM things ORDER BY name"))
    assert [(row["name"], row["size"]) for row in found] == [
        ("0", 0),
        ("1", None),
        ("2", None),
        ("red", None),
    ]
    assert [Decimal(row["amount"]) for row in found[:3]] == [0, Decimal("0.125"), Decimal("0.25")]


def test_repeated_statements_count_what_they_changed(db: Database) -> None:
    db.write(lambda tx: [put(tx, name) for name in "abc"])
    statement = "UPDATE things SET size = 1 WHERE name = :name"
    assert db.write(lambda tx: tx.many(statement, [{"name": name} for name in "abxy"])) == 2


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a", "c", "c", "none"], ["a", "c"]),
        (["it's", 'a"b', "[1]", "null"], ['a"b', "it's"]),
    ],
)
def test_a_list_of_values_finds_exactly_these(db: Database, asked: list[str], answer: list[str]) -> None:
    db.write(lambda tx: [put(tx, name) for name in ["a", "b", "c", "it's", 'a"b']])
    found = db.read(
        lambda tx: tx.rows("SELECT name FROM things WHERE name IN :names ORDER BY name", names=asked)
    )
    assert sorted(row["name"] for row in found) == sorted(answer)


def test_an_empty_list_changes_nothing(db: Database) -> None:
    db.write(lambda tx: put(tx, "a"))
    none: list[str] = []
    assert db.write(lambda tx: tx.execute("DELETE FROM things WHERE name IN :names", names=none)) == 0
    assert db.read(lambda tx: tx.rows("SELECT * FROM things WHERE name IN :names", names=none)) == []


def test_lists_of_members_of_an_enumeration_work(db: Database) -> None:
    db.write(lambda tx: put(tx, Colour.RED))
    assert db.read(lambda tx: tx.row("SELECT name FROM things WHERE name IN :names", names=[Colour.RED]))


def test_a_list_of_ten_thousand_is_no_problem(db: Database) -> None:
    db.write(lambda tx: put(tx, "7777"))
    asked = [f"{n}" for n in range(10_000)]
    assert len(db.read(lambda tx: tx.rows("SELECT * FROM things WHERE name IN :names", names=asked))) == 1


def test_percent_signs_and_casts_are_left_alone(db: Database) -> None:
    db.write(lambda tx: put(tx, "50 %"))
    assert db.read(lambda tx: tx.row("SELECT name FROM things WHERE name LIKE '50 %'"))


def test_instants_are_whole_microseconds_of_utc() -> None:
    at = datetime(2026, 3, 2, 15, 0, 0, 123456, tzinfo=UTC)
    assert micros(at) == 1_772_463_600_123_456
    assert instant(1_772_463_600_123_456) == at


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_instant_comes_back(at: datetime) -> None:
    assert instant(micros(at)) == at


# Opening.


BROKEN = (
    "mysql://ann:s3cret@db.example.com/trimtab",
    "postgresql://ann:s3cret@127.0.0.1:1/trimtab",
    "postgresql://ann@127.0.0.1:1/trimtab?password=s3cret",
    "postgresql://127.0.0.1:1/trimtab?user=ann&password=s3cret",
    "postgresql://ann:s3cret@[::1/trimtab",
    "postgresql://ann:s3cret@127.0.0.1:1/trimtab?no_such_option=1",
    "postgresql://ann:s3cret@127.0.0.1:port/trimtab",
    "postgresql://ann:s3cret@127.0.0.1:1/trimtab?sslmode",
    "postgresql://ann:s3cret%zz@127.0.0.1:1/trimtab",
    "postgres://ann:s3cret@127.0.0.1:1/trimtab",
    "ann:s3cret@127.0.0.1",
)


def complaint(url: str) -> str:
    """What is said about an address that cannot be opened."""
    try:
        open_database(url)
    except CannotOpenDatabase as error:
        return str(error)
    except Exception as error:  # whatever else it is, it is not what was promised
        return f"{type(error).__name__}: {error}"
    return "it was opened"


def test_what_cannot_be_opened_is_said_in_one_line_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ThreadPoolExecutor(len(BROKEN)) as pool:
        said = dict(zip(BROKEN, pool.map(complaint, BROKEN), strict=True))
    assert {url: line for url, line in said.items() if "s3cret" in line} == {}
    assert {url: line for url, line in said.items() if "\n" in line} == {}
    assert {url: line for url, line in said.items() if not line.startswith("cannot open the database ")} == {}
    assert "s3cret" not in caplog.text


def test_a_wrong_password_is_said_in_one_line_without_it(postgres_server_url: str) -> None:
    right = postgres_server_url.split("//", 1)[1].split("@", 1)[0]
    wrong = postgres_server_url.replace(right, "postgres:s3cret")
    with pytest.raises(CannotOpenDatabase) as caught:
        open_database(wrong)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_does_not_exist_is_named(postgres_server_url: str) -> None:
    with pytest.raises(CannotOpenDatabase, match="nowhere") as caught:
        open_database(postgres_server_url.rsplit("/", 1)[0] + "/nowhere")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "trimtab.db", "sqlite://", "sqlite:///", "http://example.com"])
def test_what_is_no_address_of_a_database_is_refused(url: str) -> None:
    with pytest.raises(CannotOpenDatabase):
        open_database(url)


def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotOpenDatabase, match=r"no/trimtab\.db"):
        open_database(f"sqlite:///{tmp_path / 'no' / 'trimtab.db'}")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader, " * 1000)
    with pytest.raises(CannotOpenDatabase, match=r"letter\.txt"):
        open_database(f"sqlite:///{tmp_path / 'letter.txt'}")


def test_a_path_may_be_escaped() -> None:
    assert sqlite_path("sqlite:///my%20files/trimtab.db") == Path("my files/trimtab.db")
    assert sqlite_path("sqlite:////srv/trimtab.db") == Path("/srv/trimtab.db")


# Durability.


def test_sqlite_waits_for_the_disk_and_checks_references(sqlite_db: SqliteDatabase) -> None:
    def pragmas(tx: Tx) -> list[object]:
        found = [(name, tx.row(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
        return [row[name] for name, row in found if row is not None]

    assert sqlite_db.write(pragmas) == ["wal", 2, 1]


def test_postgresql_waits_for_the_disk_whatever_the_server_says(postgres_db: PostgresDatabase) -> None:
    row = postgres_db.read(lambda tx: tx.row("SHOW synchronous_commit"))
    assert row is not None
    assert row["synchronous_commit"] == "on"


def test_statements_run_in_the_schema_that_was_named(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA elsewhere")
    opened = open_database(empty_postgres_url, schema="elsewhere")
    opened.write(create_things)
    opened.close()
    with psycopg.connect(empty_postgres_url) as admin:
        found = admin.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'things'").fetchall()
    assert found == [("elsewhere",)]


def test_a_template_is_copied_with_nobody_connected(postgres_server_url: str, postgres_template: str) -> None:
    """What every test on PostgreSQL rests on: a closed database leaves no connection behind."""
    with postgres.private_database(postgres_server_url, template=postgres_template) as url:
        open_database(url).close()
        with postgres.private_database(postgres_server_url, template=postgres.database_name(url)) as copy:
            assert copy != url
