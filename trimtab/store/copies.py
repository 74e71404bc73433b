"""An online copy of a SQLite database together with the paper broker's file beside it."""

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

from trimtab.database import BUSY_TIMEOUT_MS


def copy_together(database: Path, targets: Mapping[Path, Path]) -> None:
    """Copy each source of `targets` as it was at one moment; `database` is one of them.

    Order intents are committed to the database before they reach the broker. So no order in the
    broker's copy can be without its intent if nobody writes to the database while the moment is
    chosen; that takes milliseconds, and the copying itself stops nobody.
    """
    with ExitStack() as opened:
        writer = opened.enter_context(closing(_connect(database)))
        readers = {source: opened.enter_context(closing(_connect(source))) for source in targets}
        writer.execute("BEGIN IMMEDIATE")
        for reader in readers.values():
            reader.execute("BEGIN")
            # A snapshot is taken by the first read.
            reader.execute("SELECT name FROM sqlite_master").fetchone()
        writer.execute("ROLLBACK")
        for source, target in targets.items():
            with closing(sqlite3.connect(target)) as copy:
                readers[source].backup(copy)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
