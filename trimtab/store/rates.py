"""How many orders a tenant has sent in the last minute, where there is a limit.

The count is read and raised in the transaction that makes the intents durable, with the tenant locked: two
workers never use the same room.
"""

from datetime import datetime, timedelta

from trimtab.database import Tx, micros

WINDOW = timedelta(seconds=60)
SECOND_US = 1_000_000


def room(tx: Tx, tenant_id: str, now: datetime, *, orders_max: int) -> int:
    """How many orders more the tenant may send now; nobody else raises its count until we have committed."""
    tx.row("SELECT id FROM tenants WHERE id = :tenant_id FOR UPDATE", tenant_id=tenant_id)
    row = tx.row(
        """SELECT COALESCE(SUM(orders), 0) AS sent FROM order_rates
           WHERE tenant_id = :tenant_id AND second_at > :since""",
        tenant_id=tenant_id,
        since=micros(now - WINDOW) // SECOND_US - 1,
    )
    assert row is not None, "a sum has a row"
    return max(orders_max - int(row["sent"]), 0)


def count(tx: Tx, tenant_id: str, now: datetime, *, orders: int) -> None:
    """Note that the tenant sends so many orders now, and forget what was sent before the window."""
    second = micros(now) // SECOND_US
    tx.execute(
        """INSERT INTO order_rates (tenant_id, second_at, orders) VALUES (:tenant_id, :second, :orders)
           ON CONFLICT (tenant_id, second_at) DO UPDATE SET orders = order_rates.orders + excluded.orders""",
        tenant_id=tenant_id,
        second=second,
        orders=orders,
    )
    tx.execute(
        "DELETE FROM order_rates WHERE tenant_id = :tenant_id AND second_at < :before",
        tenant_id=tenant_id,
        before=micros(now - WINDOW) // SECOND_US - 1,
    )
