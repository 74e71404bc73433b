"""The kill switch: while a freeze covers an account or symbol, no order of it leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trimtab.database import Row, Tx, micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Covers what matches every given column; none given covers everything."""

    id: str
    tenant_id: str | None
    account_id: str | None
    symbol: str | None
    reason: str

    def covers(self, tenant_id: str, account_id: str) -> bool:
        return self.tenant_id in {None, tenant_id} and self.account_id in {None, account_id}


def insert(tx: Tx, freeze: Freeze, now: datetime) -> None:
    """Begin a freeze; one with the same id that is still there stays as it is."""
    tx.execute(
        """INSERT INTO freezes (id, tenant_id, account_id, symbol, reason, created_at)
           VALUES (:id, :tenant_id, :account_id, :symbol, :reason, :now) ON CONFLICT (id) DO NOTHING""",
        id=freeze.id,
        tenant_id=freeze.tenant_id,
        account_id=freeze.account_id,
        symbol=freeze.symbol,
        reason=freeze.reason,
        now=micros(now),
    )


def remove(tx: Tx, *, tenant_id: str | None, account_id: str | None, symbol: str | None) -> int:
    """Lift the freezes with exactly this scope; how many there were."""
    return tx.execute(
        """DELETE FROM freezes WHERE COALESCE(tenant_id, '') = :tenant_id
             AND COALESCE(account_id, '') = :account_id AND COALESCE(symbol, '') = :symbol""",
        tenant_id=tenant_id or "",
        account_id=account_id or "",
        symbol=symbol or "",
    )


def all_freezes(tx: Tx) -> Sequence[Freeze]:
    """Every freeze there is."""
    return [_freeze(row) for row in tx.rows("SELECT * FROM freezes ORDER BY created_at, id")]


def locked_freezes(tx: Tx) -> Sequence[Freeze]:
    """Every freeze there is, locked against removal until the transaction ends."""
    return [_freeze(row) for row in tx.rows("SELECT * FROM freezes ORDER BY created_at, id FOR SHARE")]


def _freeze(row: Row) -> Freeze:
    return Freeze(
        id=row["id"],
        tenant_id=row["tenant_id"],
        account_id=row["account_id"],
        symbol=row["symbol"],
        reason=row["reason"],
    )
