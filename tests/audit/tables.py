"""The small world written into a real database, and the guards taken away so that it can be broken."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tests.audit.world import TENANT, World, at
from trimtab.database import Tx, micros

SHARD = 0
STRATEGY = "strategy"
# What a row has beside what the audit reads.
FURTHER: dict[str, dict[str, object]] = {
    "runs": {
        "shard": SHARD,
        "strategy_id": STRATEGY,
        "strategy_version": 1,
        "orders_sent": 0,
        "version": 1,
        "updated_at": 0,
    },
    "plans": {"shard": SHARD},
    "orders": {"shard": SHARD, "epoch": 1, "sent_at": 0},
    "executions": {"shard": SHARD, "executed_at": 0},
    "skips": {
        "shard": SHARD,
        "symbol": "SPY",
        "side": "buy",
        "notional": "1",
        "reason": "INSUFFICIENT_CASH",
        "details": "",
    },
    "events": {"shard": SHARD},
    "adjustments": {"shard": SHARD, "broker": "paper", "at": 0},
    "enrollments": {
        "shard": SHARD,
        "strategy_id": STRATEGY,
        "state": "active",
        "created_at": 0,
        "updated_at": 0,
        "evaluated_on": "2026-03-02",
        "evaluated_version": 1,
        "trade_marker": "discretionary",
    },
}
GUARDED = ("plans", "strategy_versions", "executions", "events")
INDEXES = ("runs_open", "runs_slot")


def write(tx: Tx, world: World) -> None:
    now = micros(at(0))
    _insert(tx, "tenants", [{"id": TENANT, "name": "Tenant", "created_at": now}])
    account = {"shard": SHARD, "tenant_id": TENANT, "claimed_at": now, "set_aside": "0"}
    _insert(tx, "accounts", [{**account, "account_id": name} for name in ("A", "B")])
    strategy = {"id": STRATEGY, "tenant_id": TENANT, "name": "s", "description": "", "status": "active"}
    versions = {"version": 1, "updated_version": 1, "calendar": "XNYS", "hidden": 0}
    _insert(tx, "strategies", [{**strategy, **versions, "created_at": now, "updated_at": now}])
    for table in ("enrollments", "runs", "plans", "orders", "executions", "skips", "events", "adjustments"):
        records = [asdict(record) for record in getattr(world.evidence, table)]
        _insert(tx, table, [{**record, **FURTHER[table]} for record in records])


def _insert(tx: Tx, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        # `seq` is counted by the database.
        columns = [column for column in rows[0] if column != "seq"]
        tx.insert(table, columns, rows=[[_stored(row[column]) for column in columns] for row in rows])


def _stored(value: object) -> object:
    if isinstance(value, datetime):
        return micros(value)
    return int(value) if isinstance(value, bool) else value


def take_guards_away(tx: Tx) -> None:
    """Drop the triggers and the indexes that forbid what these tests do."""
    triggers = [(f"{table}_no_{what}", table) for table in GUARDED for what in ("update", "delete")]
    triggers += [("runs_transitions", "runs"), ("orders_transitions", "orders")]
    for trigger, table in triggers:
        tx.execute(f"DROP TRIGGER {trigger}" + (f" ON {table}" if tx.dialect == "postgres" else ""))
    for index in INDEXES:
        tx.execute(f"DROP INDEX {index}")
