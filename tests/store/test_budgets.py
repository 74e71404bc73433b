"""The rate limit that processes share, and how far a broker's stream was read."""

from datetime import UTC, datetime, timedelta
from functools import partial

from trimtab.core.rates import PORTION, Window
from trimtab.database import Database, Tx
from trimtab.store import broker_streams, budgets

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
ENDS_AT = NOW + timedelta(seconds=30)


def take(database: Database, told: int | None = None, *, seconds: int = 0) -> tuple[Window | None, int]:
    window = None if told is None else Window(left=told, ends_at=ENDS_AT)

    def work(tx: Tx) -> tuple[Window | None, int]:
        return budgets.take(tx, "alpaca", window, now=NOW + timedelta(seconds=seconds))

    return database.write(work)


def test_portions_are_taken_from_one_row(database: Database) -> None:
    assert take(database) == (None, PORTION)
    assert take(database, 50) == (Window(left=30, ends_at=ENDS_AT), 20)
    assert take(database) == (Window(left=10, ends_at=ENDS_AT), 20)
    assert take(database, 45) == (Window(left=0, ends_at=ENDS_AT), 10)
    assert take(database) == (Window(left=0, ends_at=ENDS_AT), 0)
    assert take(database, seconds=30) == (None, PORTION)


def test_brokers_do_not_share(database: Database) -> None:
    take(database, 0)
    assert database.write(lambda tx: budgets.take(tx, "other", None, now=NOW)) == (None, PORTION)


def test_a_cursor_is_kept_until_it_is_forgotten(database: Database) -> None:
    def cursor(broker: str) -> str | None:
        return database.read(lambda tx: broker_streams.cursor(tx, broker))

    assert cursor("alpaca") is None
    for read_to in ("01J", "01K"):
        database.write(partial(broker_streams.set_cursor, broker="alpaca", read_to=read_to))
        assert cursor("alpaca") == read_to
    assert cursor("other") is None
    database.write(lambda tx: broker_streams.forget_cursor(tx, "alpaca"))
    assert cursor("alpaca") is None
