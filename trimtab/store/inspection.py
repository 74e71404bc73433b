"""What an operator asks of a database: how it keeps what it was given, and what its tenants are called."""

from dataclasses import dataclass

from trimtab.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """Whether a commit that was answered survives a power cut; `how` are the database's own words."""

    is_safe: bool
    how: str


def durability(tx: Tx) -> Durability:
    if tx.dialect == "sqlite":
        journal = _only_value(tx, "PRAGMA journal_mode")
        # 2 is FULL, 3 EXTRA: both wait for the disk.
        synchronous = _only_value(tx, "PRAGMA synchronous")
        how = f"journal_mode {journal}, synchronous {synchronous}"
        return Durability(is_safe=journal == "wal" and synchronous in {"2", "3"}, how=how)
    values = {name: _only_value(tx, f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
    how = ", ".join(f"{name} {value}" for name, value in values.items())
    return Durability(is_safe=values["fsync"] == "on" and values["synchronous_commit"] != "off", how=how)


def _only_value(tx: Tx, sql: str) -> str:
    row = tx.row(sql)
    assert row is not None, "a setting of the database always has a value"
    name = sql.split()[1]
    return str(row[name])


def tenant_names(tx: Tx) -> dict[str, str]:
    """The name of every tenant, by id."""
    return {row["id"]: row["name"] for row in tx.rows("SELECT id, name FROM tenants ORDER BY name")}
