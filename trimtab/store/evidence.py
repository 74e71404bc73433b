"""Everything the audit looks at in the database, read in one transaction, as it stands in the tables.

Nothing is joined, mended or left out, and states are plain text: what does not fit together is for
the audit to find. Tables are read page by page along a key and repeated texts are kept once, so that
a database of many orders lies in memory once and not several times.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from trimtab.database import Row, Tx, instant

PAGE = 20_000

# The text itself, or the equal one that was met before.
_Keep = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    seq: int
    id: str
    tenant_id: str
    account_id: str
    enrollment_id: str | None
    kind: str
    initiator: str
    cause: str
    slot: str | None
    state: str
    adjusted: bool
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    run_id: str
    body: str
    body_hash: str
    planned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOrder:
    run_id: str
    leg: int
    generation: int
    client_order_id: str
    account_id: str
    symbol: str
    side: str
    quantity: Decimal | None
    notional: Decimal | None
    worst_price: Decimal | None
    impact_bps_max: int | None
    state: str
    intent_at: datetime
    filled_quantity: Decimal
    filled_value: Decimal
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExecution:
    broker: str
    execution_id: str
    client_order_id: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSkip:
    """A leg given up after planning."""

    run_id: str
    leg: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    run_id: str
    number: int
    state: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAdjustment:
    """Cash in dollars that the mirror saw come or go without a trade."""

    ref: str
    account_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEnrollment:
    id: str
    tenant_id: str
    account_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRestore:
    """A seam: what the broker did in between is not in the database; open until `reconciled_at` is known."""

    copied_at: datetime
    reconciled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Runs in the order of their insertion; orders, skips and events by run, then by their number."""

    runs: tuple[StoredRun, ...]
    plans: tuple[StoredPlan, ...]
    orders: tuple[StoredOrder, ...]
    executions: tuple[StoredExecution, ...]
    skips: tuple[StoredSkip, ...]
    events: tuple[StoredEvent, ...]
    adjustments: tuple[StoredAdjustment, ...]
    enrollments: tuple[StoredEnrollment, ...]
    restores: tuple[StoredRestore, ...] = ()


def read_evidence(tx: Tx) -> Evidence:
    known: dict[str, str] = {}

    def keep(text: str) -> str:
        return known.setdefault(text, text)

    return Evidence(
        runs=tuple(_runs(tx, keep)),
        plans=tuple(_plans(tx, keep)),
        orders=tuple(_orders(tx, keep)),
        executions=tuple(_executions(tx, keep)),
        skips=tuple(_skips(tx, keep)),
        events=tuple(_events(tx, keep)),
        adjustments=tuple(_adjustments(tx, keep)),
        enrollments=tuple(_enrollments(tx, keep)),
        restores=tuple(_restores(tx)),
    )


def _paged(tx: Tx, sql: str, *, before: Mapping[str, object]) -> Iterator[Row]:
    """All rows of a query along its key, page by page; `before` is a key below every other."""
    after = dict(before)
    while True:
        rows = tx.rows(sql, page=PAGE, **after)
        yield from rows
        if len(rows) < PAGE:
            return
        after = {column: rows[-1][column] for column in before}


def _runs(tx: Tx, keep: _Keep) -> Iterator[StoredRun]:
    sql = """SELECT seq, id, tenant_id, account_id, enrollment_id, kind, initiator, cause, slot, state,
                    adjusted, created_at, finished_at
             FROM runs WHERE seq > :seq ORDER BY seq LIMIT :page"""
    for row in _paged(tx, sql, before={"seq": -1}):
        finished = row["finished_at"]
        yield StoredRun(
            seq=row["seq"],
            id=keep(row["id"]),
            tenant_id=keep(row["tenant_id"]),
            account_id=keep(row["account_id"]),
            enrollment_id=row["enrollment_id"],
            kind=keep(row["kind"]),
            initiator=keep(row["initiator"]),
            cause=keep(row["cause"]),
            slot=row["slot"],
            state=keep(row["state"]),
            adjusted=bool(row["adjusted"]),
            created_at=instant(row["created_at"]),
            finished_at=None if finished is None else instant(finished),
        )


def _plans(tx: Tx, keep: _Keep) -> Iterator[StoredPlan]:
    sql = """SELECT shard, run_id, body, body_hash, planned_at
             FROM plans WHERE (shard, run_id) > (:shard, :run_id) ORDER BY shard, run_id LIMIT :page"""
    for row in _paged(tx, sql, before={"shard": -1, "run_id": ""}):
        yield StoredPlan(
            run_id=keep(row["run_id"]),
            body=row["body"],
            body_hash=row["body_hash"],
            planned_at=instant(row["planned_at"]),
        )


def _orders(tx: Tx, keep: _Keep) -> Iterator[StoredOrder]:
    sql = """SELECT shard, run_id, leg, generation, client_order_id, account_id, symbol, side, quantity,
                    notional, worst_price, impact_bps_max, state, intent_at, filled_quantity, filled_value,
                    updated_at
             FROM orders WHERE (shard, run_id, leg, generation) > (:shard, :run_id, :leg, :generation)
             ORDER BY shard, run_id, leg, generation LIMIT :page"""
    for row in _paged(tx, sql, before={"shard": -1, "run_id": "", "leg": -1, "generation": -1}):
        yield StoredOrder(
            run_id=keep(row["run_id"]),
            leg=row["leg"],
            generation=row["generation"],
            client_order_id=keep(row["client_order_id"]),
            account_id=keep(row["account_id"]),
            symbol=keep(row["symbol"]),
            side=keep(row["side"]),
            quantity=_amount(row["quantity"]),
            notional=_amount(row["notional"]),
            worst_price=_amount(row["worst_price"]),
            impact_bps_max=row["impact_bps_max"],
            state=keep(row["state"]),
            intent_at=instant(row["intent_at"]),
            filled_quantity=Decimal(row["filled_quantity"]),
            filled_value=Decimal(row["filled_value"]),
            updated_at=instant(row["updated_at"]),
        )


def _amount(stored: Any) -> Decimal | None:
    """A decimal as its database gives it: text from SQLite, Decimal from PostgreSQL."""
    return None if stored is None else Decimal(stored)


def _executions(tx: Tx, keep: _Keep) -> Iterator[StoredExecution]:
    sql = """SELECT broker, execution_id, client_order_id, quantity, price
             FROM executions WHERE (broker, execution_id) > (:broker, :execution_id)
             ORDER BY broker, execution_id LIMIT :page"""
    for row in _paged(tx, sql, before={"broker": "", "execution_id": ""}):
        yield StoredExecution(
            broker=keep(row["broker"]),
            execution_id=row["execution_id"],
            client_order_id=keep(row["client_order_id"]),
            quantity=Decimal(row["quantity"]),
            price=Decimal(row["price"]),
        )


def _skips(tx: Tx, keep: _Keep) -> Iterator[StoredSkip]:
    sql = """SELECT shard, run_id, leg FROM skips WHERE (shard, run_id, leg) > (:shard, :run_id, :leg)
             ORDER BY shard, run_id, leg LIMIT :page"""
    for row in _paged(tx, sql, before={"shard": -1, "run_id": "", "leg": -1}):
        yield StoredSkip(run_id=keep(row["run_id"]), leg=row["leg"])


def _events(tx: Tx, keep: _Keep) -> Iterator[StoredEvent]:
    sql = """SELECT shard, run_id, number, state, at
             FROM events WHERE (shard, run_id, number) > (:shard, :run_id, :number)
             ORDER BY shard, run_id, number LIMIT :page"""
    for row in _paged(tx, sql, before={"shard": -1, "run_id": "", "number": -1}):
        yield StoredEvent(
            run_id=keep(row["run_id"]),
            number=row["number"],
            state=keep(row["state"]),
            at=instant(row["at"]),
        )


def _adjustments(tx: Tx, keep: _Keep) -> Iterator[StoredAdjustment]:
    sql = """SELECT broker, ref, account_id, amount FROM adjustments WHERE (broker, ref) > (:broker, :ref)
             ORDER BY broker, ref LIMIT :page"""
    for row in _paged(tx, sql, before={"broker": "", "ref": ""}):
        yield StoredAdjustment(
            ref=row["ref"], account_id=keep(row["account_id"]), amount=Decimal(row["amount"])
        )


def _enrollments(tx: Tx, keep: _Keep) -> Iterator[StoredEnrollment]:
    sql = "SELECT id, tenant_id, account_id FROM enrollments WHERE id > :id ORDER BY id LIMIT :page"
    for row in _paged(tx, sql, before={"id": ""}):
        yield StoredEnrollment(
            id=row["id"], tenant_id=keep(row["tenant_id"]), account_id=keep(row["account_id"])
        )


def _restores(tx: Tx) -> Iterator[StoredRestore]:
    for row in tx.rows("SELECT copied_at, reconciled_at FROM restores ORDER BY copied_at, id"):
        reconciled = row["reconciled_at"]
        yield StoredRestore(
            copied_at=instant(row["copied_at"]),
            reconciled_at=None if reconciled is None else instant(reconciled),
        )
