"""One small face over SQLite and PostgreSQL: transactions, `:named` parameters, bulk inserts.

Work is handed in as a function of a transaction (`db.write(work)`, `db.read(work)`), so that a
deadlock can be retried and concurrent SQLite writers can share one commit. Statements are written
once, in the portable subset; the few differences are translated here: `IN :ids` for lists, and row
locks, which SQLite does not need. Instants are stored as BIGINT microseconds since 1970 UTC.
"""

import re
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar
from urllib.parse import unquote

import msgspec
import psycopg
from psycopg import errors as pg_errors
from psycopg import sql as pg_sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from trimtab.core.errors import CannotOpenDatabase

T = TypeVar("T")
Dialect = Literal["sqlite", "postgres"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
BUSY_TIMEOUT_MS = 5_000
# FULL: a commit that was acknowledged survives a power cut. The log is folded into the file every
# 16 MiB, and each connection may keep 64 MiB of pages.
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "wal_autocheckpoint = 4000",
    "cache_size = -65536",
)
DEADLOCK_RETRIES = 8
GROUP_COMMIT_MAX = 64
# What was written together was written at the same instant.
INSTANTS_KEPT = 65_536
# The number of PostgreSQL's lock for `alone`; others in the program must not use it.
ALONE_LOCK = 7_270_164

_JSON = msgspec.json.Encoder()
_LIST = re.compile(r"\bIN :(\w+)")
_NAME = re.compile(r"(?<!:):(\w+)")
_SECRETS = re.compile(r"(?<=:)[^/:@]+(?=@)|(?<=password=)[^&]+")
_ROW_LOCK = re.compile(r"\s+FOR (?:SHARE|UPDATE)\b(?: SKIP LOCKED)?")

sqlite3.register_adapter(Decimal, lambda value: format(value, "f"))
# For json_each, into which `IN :ids` is translated.
sqlite3.register_adapter(list, lambda values: _JSON.encode(values).decode())


class Row(Protocol):
    """One result row, read by column name."""

    def __getitem__(self, key: str, /) -> Any: ...


def micros(at: datetime) -> int:
    """An aware instant as the database stores it."""
    return (at - EPOCH) // MICROSECOND


@lru_cache(maxsize=INSTANTS_KEPT)
def instant(stored: int) -> datetime:
    """The aware UTC instant of a stored number."""
    return EPOCH + stored * MICROSECOND


class SqliteTx:
    """A transaction on SQLite."""

    dialect: Dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, **params: object) -> list[Row]:
        return self._connection.execute(_for_sqlite(sql), params).fetchall()

    def row(self, sql: str, **params: object) -> Row | None:
        found: Row | None = self._connection.execute(_for_sqlite(sql), params).fetchone()
        return found

    def execute(self, sql: str, **params: object) -> int:
        return self._connection.execute(_for_sqlite(sql), params).rowcount

    def many(self, sql: str, params: Sequence[Mapping[str, object]]) -> int:
        """Run one statement for many parameter sets; the number of rows changed in all."""
        return self._connection.executemany(_for_sqlite(sql), params).rowcount if params else 0

    def insert(self, table: str, columns: Sequence[str], *, rows: Iterable[Sequence[object]]) -> None:
        """Insert many rows at once; any conflict is an error."""
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608 - names come from the store's own constants


class PostgresTx:
    """A transaction on PostgreSQL."""

    dialect: Dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection

    def rows(self, sql: str, **params: object) -> list[Row]:
        cursor = self._connection.execute(_for_postgres(sql), params)
        return list(cursor.fetchall()) if cursor.description else []

    def row(self, sql: str, **params: object) -> Row | None:
        cursor = self._connection.execute(_for_postgres(sql), params)
        return cursor.fetchone() if cursor.description else None

    def execute(self, sql: str, **params: object) -> int:
        return self._connection.execute(_for_postgres(sql), params).rowcount

    def many(self, sql: str, params: Sequence[Mapping[str, object]]) -> int:
        """Run one statement for many parameter sets; the number of rows changed in all."""
        if not params:
            return 0
        with self._connection.cursor() as cursor:
            cursor.executemany(_for_postgres(sql), params)
            return cursor.rowcount

    def insert(self, table: str, columns: Sequence[str], *, rows: Iterable[Sequence[object]]) -> None:
        """Insert many rows at once by COPY; any conflict is an error."""
        statement = pg_sql.SQL("COPY {} ({}) FROM STDIN").format(
            pg_sql.Identifier(table), pg_sql.SQL(", ").join(map(pg_sql.Identifier, columns))
        )
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)


Tx = SqliteTx | PostgresTx


@lru_cache(maxsize=1024)
def _for_sqlite(sql: str) -> str:
    return _ROW_LOCK.sub("", _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", sql))


@lru_cache(maxsize=1024)
def _for_postgres(sql: str) -> bytes:
    listed = _LIST.sub(r"= ANY(:\1)", sql.replace("%", "%%"))
    return _NAME.sub(r"%(\1)s", listed).encode()


class SqliteDatabase:
    """A database file: many readers, one writer at a time.

    Threads that want to write while a commit is under way queue up, and the next commit carries all
    of them: each in a savepoint of its own, one fsync for the group.
    """

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._waiting: deque[tuple[Callable[[SqliteTx], Any], Future[Any]]] = deque()
        self._write_lock = threading.Lock()
        self._alone = threading.Lock()
        self._writer = self._connect()

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000
            )
            connection.row_factory = sqlite3.Row
            for pragma in PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise CannotOpenDatabase(where=str(self.path), why=str(error)) from error
        self._opened.append(connection)
        return connection

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one consistent snapshot."""
        connection: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if connection is None:
            connection = self._local.reader = self._connect()
            connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        try:
            return work(SqliteTx(connection))
        finally:
            connection.execute("ROLLBACK")

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a durable transaction and return its result once that is committed."""
        done: Future[T] = Future()
        self._waiting.append((work, done))
        with self._write_lock:
            # A group takes the oldest first, so ours may be in a later one.
            while not done.done():
                self._commit_waiting()
        return done.result()

    def alone(self) -> AbstractContextManager[object]:
        """Wait until nobody else is in such a block, in this process: the only one that serves the file."""
        return self._alone

    def _commit_waiting(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_COMMIT_MAX))]
        # Whoever is alone needs no savepoint, for which SQLite would copy every page before it changes it.
        attempt = self._attempt if len(group) > 1 else self._attempt_alone
        settled: list[Callable[[], None]] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for work, done in group:
                settled.append(attempt(work, done))
            self._writer.execute("COMMIT")
        except BaseException as error:  # handed to everybody whose work was in the group
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            for _, done in group:
                done.set_exception(error)
            return
        for settle in settled:
            settle()

    def _attempt_alone(self, work: Callable[[SqliteTx], T], done: Future[T]) -> Callable[[], None]:
        result = work(SqliteTx(self._writer))
        return lambda: done.set_result(result)

    def _attempt(self, work: Callable[[SqliteTx], T], done: Future[T]) -> Callable[[], None]:
        """Run one member of a group; returns how to tell its caller after the commit."""
        self._writer.execute("SAVEPOINT member")
        try:
            result = work(SqliteTx(self._writer))
        except BaseException as error:  # handed to the caller that asked for this work
            failure = error
            self._writer.execute("ROLLBACK TO member")
            self._writer.execute("RELEASE member")
            return lambda: done.set_exception(failure)
        self._writer.execute("RELEASE member")
        return lambda: done.set_result(result)

    def close(self) -> None:
        for connection in self._opened:
            connection.close()


class PostgresDatabase:
    """A PostgreSQL database behind a pool; `schema` names the schema all statements run in."""

    dialect: Dialect = "postgres"

    def __init__(self, url: str, *, schema: str = "public", pool_max: int = 16) -> None:
        _try_address(url)
        self.url = url
        self._alone = threading.Lock()
        self._pool: ConnectionPool[psycopg.Connection[dict[str, Any]]] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_max,
            timeout=5,
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": 5,
                "options": f"-c search_path={schema} -c timezone=UTC -c synchronous_commit=on "
                "-c plan_cache_mode=force_custom_plan",
            },
            open=False,
        )
        self._pool.open()
        try:
            self._pool.wait(timeout=5)
        except PoolTimeout as error:
            self._pool.close()
            raise CannotOpenDatabase(where=url, why="no connection within 5 s") from error

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one consistent snapshot."""
        with self._pool.connection() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                return work(PostgresTx(connection))
            finally:
                connection.rollback()

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run `work` in a durable transaction; a deadlock is tried again, work and all."""
        for attempt in range(DEADLOCK_RETRIES):
            try:
                with self._pool.connection() as connection, connection.transaction():
                    return work(PostgresTx(connection))
            except (pg_errors.DeadlockDetected, pg_errors.SerializationFailure):
                if attempt == DEADLOCK_RETRIES - 1:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody else is in such a block, in any process. What is done in it has transactions
        of its own; of those who wait in one process only the first takes a connection from them.
        """
        with self._alone, self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [ALONE_LOCK])
            yield

    def close(self) -> None:
        self._pool.close()


Database = SqliteDatabase | PostgresDatabase


def _try_address(url: str) -> None:
    """Raise CannotOpenDatabase with the server's reason in one line, without what is secret in the URL:
    libpq may quote it.
    """
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        secrets = [match.group(0) for match in _SECRETS.finditer(url)]
        why = "not a usable address" if any(secret in reason for secret in secrets) else reason
        # From None: the chain would show what was taken out.
        raise CannotOpenDatabase(where=url, why=why) from None


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite:///relative` or `sqlite:////absolute` URL."""
    return Path(unquote(url.removeprefix("sqlite:///")))


def open_database(url: str, *, schema: str = "public", pool_max: int = 16) -> Database:
    """Open the database of a `sqlite:///` or `postgresql://` URL.

    Raises CannotOpenDatabase with the reason in one line.
    """
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return SqliteDatabase(sqlite_path(url))
    if url.startswith(("postgresql://", "postgres://")):
        return PostgresDatabase(url, schema=schema, pool_max=pool_max)
    raise CannotOpenDatabase(where=url, why="not a sqlite:///FILE or postgresql://… address")
