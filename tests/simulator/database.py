"""A database in memory that can be put back: to what it was when the world began, or at a backup.

A whole life of a world is one transaction that is never committed; what the engine commits is a savepoint
in it. So a new world costs nothing but going back, and prepared statements are kept from world to world.
"""

import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from trimtab.database import SqliteDatabase, SqliteTx, Tx
from trimtab.store.migrate import upgrade

T = TypeVar("T")

STATEMENTS_KEPT = 1024


class MemoryDatabase(SqliteDatabase):
    """As SqliteDatabase for a single thread; a crash leaves nothing behind but what was committed."""

    def __init__(self, template: sqlite3.Connection) -> None:  # another way to open one
        self._memory = sqlite3.connect(":memory:", isolation_level=None, cached_statements=STATEMENTS_KEPT)
        template.backup(self._memory)
        self._memory.row_factory = sqlite3.Row
        self._memory.execute("PRAGMA foreign_keys = ON")
        self._memory.execute("BEGIN")
        self._busy = False

    def read(self, work: Callable[[Tx], T]) -> T:
        assert not self._busy, "a transaction within a transaction"
        return work(SqliteTx(self._memory))

    def write(self, work: Callable[[Tx], T]) -> T:
        assert not self._busy, "a transaction within a transaction"
        self._busy = True
        self._memory.execute("SAVEPOINT work")
        try:
            done = work(SqliteTx(self._memory))
        except BaseException:
            self._memory.execute("ROLLBACK TO work")
            raise
        finally:
            self._memory.execute("RELEASE work")
            self._busy = False
        return done

    def begin_anew(self) -> None:
        """As it was when it was opened."""
        self._memory.execute("ROLLBACK")
        self._memory.execute("BEGIN")

    def back_up(self) -> None:
        self._memory.execute("SAVEPOINT backup")

    def restore(self) -> None:
        """As it was at the last backup, which stays."""
        self._memory.execute("ROLLBACK TO backup")

    def close(self) -> None:
        self._memory.close()


@cache
def memory_database() -> MemoryDatabase:
    """This process's database, migrated once."""
    with tempfile.TemporaryDirectory(prefix="trimtab-simulator-") as folder:
        path = Path(folder) / "template.db"
        upgrade(f"sqlite:///{path}")
        template = sqlite3.connect(path)
        try:
            return MemoryDatabase(template)
        finally:
            template.close()
