"""What all processes together may still ask of a broker until its window ends: one row for each broker."""

from datetime import datetime

from trimtab.core.rates import Window, portion
from trimtab.database import Tx, instant, micros


def take(tx: Tx, broker: str, told: Window | None, *, now: datetime) -> tuple[Window | None, int]:
    """Record what the broker said last and take a portion; see `core.rates.portion`."""
    row = tx.row(
        "SELECT calls_left, window_ends_at FROM budgets WHERE broker = :broker FOR UPDATE", broker=broker
    )
    known = None
    if row is not None:
        known = Window(left=row["calls_left"], ends_at=instant(row["window_ends_at"]))
    window, granted = portion(known, told, now=now)
    if window is not None:
        tx.execute(
            """INSERT INTO budgets (broker, calls_left, window_ends_at) VALUES (:broker, :left, :ends_at)
               ON CONFLICT (broker) DO UPDATE
               SET calls_left = excluded.calls_left, window_ends_at = excluded.window_ends_at""",
            broker=broker,
            left=window.left,
            ends_at=micros(window.ends_at),
        )
    return window, granted
