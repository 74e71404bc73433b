"""The sandbox's standing clock; it survives restarts."""

from datetime import datetime

from trimtab.database import Tx, instant, micros


def clock(tx: Tx) -> datetime | None:
    """What the clock was last set to; None before it was ever set."""
    row = tx.row("SELECT now_at FROM sandbox_clock")
    return None if row is None else instant(row["now_at"])


def set_clock(tx: Tx, now: datetime) -> bool:
    """Set the clock; False, and nothing changes, if that would set it back."""
    changed = tx.execute(
        """INSERT INTO sandbox_clock (id, now_at) VALUES (1, :now)
           ON CONFLICT (id) DO UPDATE SET now_at = :now WHERE sandbox_clock.now_at <= :now""",
        now=micros(now),
    )
    return changed == 1
