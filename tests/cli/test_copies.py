"""The online copy: both files of one moment, however busy the writers are."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from trimtab.store.copies import copy_together

ROUNDS = 20


def write_intents_and_orders(database: Path, broker: Path, stopping: threading.Event) -> None:
    """Like the engine: an intent is committed here before its order is there."""
    with closing(connect(database)) as ours, closing(connect(broker)) as theirs:
        number = 0
        while not stopping.is_set():
            number += 1
            ours.execute("INSERT INTO intents VALUES (?)", (number,))
            theirs.execute("INSERT INTO orders VALUES (?)", (number,))


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=30)


def numbers(path: Path, table: str) -> list[int]:
    with closing(connect(path)) as copy:
        return [row[0] for row in copy.execute(f"SELECT number FROM {table} ORDER BY number")]  # noqa: S608


def test_no_order_is_copied_without_its_intent(tmp_path: Path) -> None:
    database, broker = tmp_path / "a.db", tmp_path / "b.db"
    for path, table in ((database, "intents"), (broker, "orders")):
        with closing(connect(path)) as made:
            made.execute("PRAGMA journal_mode = WAL")
            made.execute(f"CREATE TABLE {table} (number INTEGER PRIMARY KEY)")
    stopping = threading.Event()
    writer = threading.Thread(target=write_intents_and_orders, args=(database, broker, stopping))
    writer.start()
    try:
        for index in range(ROUNDS):
            copies = tmp_path / f"a{index}.db", tmp_path / f"b{index}.db"
            copy_together(database, dict(zip((database, broker), copies, strict=True)))
            intents, orders = numbers(copies[0], "intents"), numbers(copies[1], "orders")
            assert set(orders) <= set(intents)
            assert len(intents) - len(orders) in {0, 1}, "both are of one moment"
    finally:
        stopping.set()
        writer.join()
    assert len(numbers(broker, "orders")) > ROUNDS, "it was written all the while"
