"""Tenants and their keys. Of a key's secret only the SHA-256 is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trimtab.database import Row, Tx, instant, micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    key_id: str
    tenant_id: str
    tenant_name: str
    secret_hash: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


def ensure_tenant(tx: Tx, tenant_id: str, *, name: str, now: datetime) -> str:
    """The id of the tenant with this name, made with `tenant_id` if it is new."""
    tx.execute(
        """INSERT INTO tenants (id, name, created_at) VALUES (:id, :name, :now)
           ON CONFLICT (name) DO NOTHING""",
        id=tenant_id,
        name=name,
        now=micros(now),
    )
    row = tx.row("SELECT id FROM tenants WHERE name = :name", name=name)
    assert row is not None, "inserted or there before"
    return str(row["id"])


def tenant_named(tx: Tx, name: str) -> str | None:
    row = tx.row("SELECT id FROM tenants WHERE name = :name", name=name)
    return None if row is None else str(row["id"])


def insert_key(tx: Tx, key: Key) -> None:
    tx.execute(
        """INSERT INTO keys (key_id, tenant_id, secret_hash, scopes, created_at, expires_at)
           VALUES (:key_id, :tenant_id, :secret_hash, :scopes, :created_at, :expires_at)""",
        key_id=key.key_id,
        tenant_id=key.tenant_id,
        secret_hash=key.secret_hash,
        scopes=",".join(sorted(key.scopes)),
        created_at=micros(key.created_at),
        expires_at=None if key.expires_at is None else micros(key.expires_at),
    )


_KEYS = "SELECT k.*, t.name AS tenant_name FROM keys k JOIN tenants t ON t.id = k.tenant_id"


def key(tx: Tx, key_id: str) -> Key | None:
    row = tx.row(_KEYS + " WHERE k.key_id = :key_id", key_id=key_id)
    return None if row is None else _key(row)


def keys(tx: Tx) -> Sequence[Key]:
    """All keys, oldest first."""
    return [_key(row) for row in tx.rows(_KEYS + " ORDER BY k.created_at, k.key_id")]


def revoke_key(tx: Tx, key_id: str, now: datetime) -> bool:
    """Whether there was such a key; one that was revoked before keeps its time."""
    return (
        tx.execute(
            "UPDATE keys SET revoked_at = COALESCE(revoked_at, :now) WHERE key_id = :key_id",
            key_id=key_id,
            now=micros(now),
        )
        == 1
    )


def _key(row: Row) -> Key:
    return Key(
        key_id=row["key_id"],
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        secret_hash=row["secret_hash"],
        scopes=frozenset(filter(None, row["scopes"].split(","))),
        created_at=instant(row["created_at"]),
        expires_at=None if row["expires_at"] is None else instant(row["expires_at"]),
        revoked_at=None if row["revoked_at"] is None else instant(row["revoked_at"]),
    )
