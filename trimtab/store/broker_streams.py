"""How far a broker's live stream of events has been read: one opaque cursor for each broker."""

from trimtab.database import Tx


def cursor(tx: Tx, broker: str) -> str | None:
    row = tx.row("SELECT cursor FROM broker_streams WHERE broker = :broker", broker=broker)
    return None if row is None else str(row["cursor"])


def set_cursor(tx: Tx, broker: str, read_to: str) -> None:
    tx.execute(
        """INSERT INTO broker_streams (broker, cursor) VALUES (:broker, :cursor)
           ON CONFLICT (broker) DO UPDATE SET cursor = excluded.cursor""",
        broker=broker,
        cursor=read_to,
    )


def forget_cursor(tx: Tx, broker: str) -> None:
    """The broker no longer knows it."""
    tx.execute("DELETE FROM broker_streams WHERE broker = :broker", broker=broker)
