"""PostgreSQL transactions that stop where a test wants them to, and are counted."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg

from tests.engine.desks import Place, World
from trimtab.database import PostgresDatabase, PostgresTx, Tx
from trimtab.engine.desk import Desk

PATIENCE_S = 30


class Watched(PostgresDatabase):
    """Calls `at` with each statement of a writing transaction before it is run; `retries` are the
    transactions that had to be tried again.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_max=4)
        self.at: Callable[[str], None] = lambda _sql: None
        self.retries = 0

    def write(self, work: Callable[[Tx], Any]) -> Any:
        attempts = 0

        def watched(tx: Tx) -> Any:
            nonlocal attempts
            attempts += 1
            return work(WatchedTx(tx, self.at))

        try:
            return super().write(watched)
        finally:
            self.retries += attempts - 1


class WatchedTx(PostgresTx):
    def __init__(self, tx: Tx, at: Callable[[str], None]) -> None:
        super().__init__(tx._connection)  # type: ignore[arg-type] # noqa: SLF001 - the same connection, watched
        self._at = at

    def rows(self, sql: str, **params: object) -> list[Any]:
        self._at(sql)
        return super().rows(sql, **params)

    def row(self, sql: str, **params: object) -> Any:
        self._at(sql)
        return super().row(sql, **params)

    def execute(self, sql: str, **params: object) -> int:
        self._at(sql)
        return super().execute(sql, **params)

    def many(self, sql: str, params: Any) -> int:
        self._at(sql)
        return super().many(sql, params)


class Stop:
    """Holds the first transaction that comes to a statement with this text in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, sql: str) -> None:
        if self._text in sql and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(PATIENCE_S)


def desk_on(world: World, db: PostgresDatabase) -> Desk:
    """The world's desk, with another connection."""
    return replace(world.desk, db=db)


def notice_deadlocks_soon(place: Place) -> None:
    """PostgreSQL looks for deadlocks after a second of waiting; here at once."""
    name = place.main_url.rpartition("/")[2]
    with psycopg.connect(place.main_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '20ms'")


def wait_for_a_lock(url: str, unless: Callable[[], bool] = lambda: False) -> bool:
    """Until some session of this database waits for another, or until it need not: which of the two."""
    tick = threading.Event()
    with psycopg.connect(url, autocommit=True) as watcher:
        for _ in range(2000):
            found = watcher.execute(
                """SELECT 1 FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'"""
            ).fetchone()
            if found:
                return True
            if unless():
                return False
            tick.wait(0.005)
    raise AssertionError("nobody waits for a lock")
