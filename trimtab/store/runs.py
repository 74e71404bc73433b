"""Runs and the events of their life. Every change of state is written with its event, and left to the
publisher if it is news.

Outside writers insert QUEUED runs and compare-and-set one row; all that a run becomes later is
written by its shard's one writer, set-wise, naming the version it has seen: rows that somebody else
changed meanwhile are left alone and reported back.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trimtab.core.enrollment import Enrollment
from trimtab.core.preferences import Preferences
from trimtab.core.run import Initiator, Run, RunKind, RunState
from trimtab.database import Row, Tx, instant, micros
from trimtab.store import outbox
from trimtab.store.enrollments import Page
from trimtab.store.preferences import preferences_from
from trimtab.store.shards import AccountRecord, account_from

_OPEN = "('QUEUED', 'PLANNED', 'SELLING', 'BUYING')"

_INSERT = """INSERT INTO runs (shard, id, tenant_id, account_id, strategy_id, strategy_version,
                               enrollment_id, kind, amount, initiator, cause, slot, state, adjusted,
                               orders_sent, version, created_at, updated_at)
             VALUES (:shard, :id, :tenant_id, :account_id, :strategy_id, :strategy_version,
                     :enrollment_id, :kind, :amount, :initiator, :cause, :slot, 'QUEUED', 0, 0, 1,
                     :created_at, :created_at)
             ON CONFLICT DO NOTHING"""

_QUEUED_EVENT = """INSERT INTO events (shard, run_id, number, state, at)
                   SELECT shard, id, 1, 'QUEUED', created_at FROM runs WHERE id IN :ids"""


def insert(tx: Tx, runs: Sequence[Run]) -> set[str]:
    """Store QUEUED runs; the ids of those stored. An account with an open run, or a slot that has had
    its run, gets no other.
    """
    if not runs:
        return set()
    ids = [run.id for run in runs]
    tx.many(_INSERT, [_insert_params(run) for run in runs])
    tx.execute(_QUEUED_EVENT, ids=ids)
    stored = {row["id"] for row in tx.rows("SELECT id FROM runs WHERE id IN :ids", ids=ids)}
    outbox.put(
        tx,
        [
            _entry(run, run.state, strategy_version=run.strategy_version, at=run.created_at)
            for run in runs
            if run.id in stored
        ],
    )
    return stored


def _entry(run: Run, state: RunState, *, strategy_version: int, at: datetime) -> outbox.Entry:
    return outbox.of_run(run.tenant_id, run.id, state=state, strategy_version=strategy_version, at=at)


def slots_taken(
    tx: Tx, shard: int, account_ids: Collection[str], *, slots: Collection[str]
) -> set[tuple[str, str]]:
    """Which of these slots have had their run, by account."""
    rows = tx.rows(
        """SELECT account_id, slot FROM runs
           WHERE shard = :shard AND account_id IN :account_ids AND slot IN :slots""",
        shard=shard,
        account_ids=list(account_ids),
        slots=list(slots),
    )
    return {(row["account_id"], row["slot"]) for row in rows}


def _insert_params(run: Run) -> dict[str, object]:
    return {
        "shard": run.shard,
        "id": run.id,
        "tenant_id": run.tenant_id,
        "account_id": run.account_id,
        "strategy_id": run.strategy_id,
        "strategy_version": run.strategy_version,
        "enrollment_id": run.enrollment_id,
        "kind": run.kind,
        "amount": run.amount,
        "initiator": run.initiator,
        "cause": run.cause,
        "slot": run.slot,
        "created_at": micros(run.created_at),
    }


def one(tx: Tx, tenant_id: str, run_id: str) -> Run | None:
    row = tx.row(
        "SELECT * FROM runs WHERE id = :id AND tenant_id = :tenant_id", id=run_id, tenant_id=tenant_id
    )
    return None if row is None else _run(row)


def by_ids(tx: Tx, tenant_id: str, run_ids: Collection[str]) -> dict[str, Run]:
    """The tenant's runs among these."""
    rows = tx.rows(
        "SELECT * FROM runs WHERE id IN :ids AND tenant_id = :tenant_id",
        ids=list(run_ids),
        tenant_id=tenant_id,
    )
    return {row["id"]: _run(row) for row in rows}


def open_of_account(tx: Tx, shard: int, account_id: str) -> Run | None:
    row = tx.row(
        f"SELECT * FROM runs WHERE shard = :shard AND account_id = :account_id AND state IN {_OPEN}",  # noqa: S608 - a constant
        shard=shard,
        account_id=account_id,
    )
    return None if row is None else _run(row)


def last_finish(tx: Tx, enrollment: Enrollment, states: Collection[RunState]) -> datetime | None:
    """When the newest run that was made for the enrollment and ended in one of the states ended."""
    row = tx.row(
        """SELECT finished_at FROM runs
           WHERE account_id = :account_id AND enrollment_id = :id AND state IN :states
           ORDER BY created_at DESC, seq DESC LIMIT 1""",
        account_id=enrollment.account_id,
        id=enrollment.id,
        states=sorted(states),
    )
    return None if row is None else instant(row["finished_at"])


def last_planned(tx: Tx, account_ids: Collection[str]) -> Sequence[Run]:
    """Of each account the newest run that came to a plan: with the plan it got its deadline."""
    rows = tx.rows(
        """SELECT r.* FROM accounts a JOIN runs r ON r.seq = (
             SELECT seq FROM runs WHERE account_id = a.account_id AND deadline_at IS NOT NULL
             ORDER BY created_at DESC, seq DESC LIMIT 1)
           WHERE a.account_id IN :account_ids""",
        account_ids=list(account_ids),
    )
    return [_run(row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Only runs that match every given value; `sent` asks whether orders had been sent."""

    account_id: str | None = None
    kind: RunKind | None = None
    states: frozenset[RunState] | None = None
    adjusted: bool | None = None
    sent: bool | None = None


def page(tx: Tx, tenant_id: str, *, page: Page, wanted: RunFilter) -> list[tuple[int, Run]]:
    """The tenant's runs with their `seq`, newest first; one more than the limit if there is."""
    rows = tx.rows(
        """SELECT * FROM runs WHERE tenant_id = :tenant_id
             AND (:account_id = '' OR account_id = :account_id)
             AND (:kind = '' OR kind = :kind)
             AND (:any_state = 1 OR state IN :states)
             AND (:adjusted < 0 OR adjusted = :adjusted)
             AND (:sent < 0 OR (orders_sent > 0 AND :sent = 1) OR (orders_sent = 0 AND :sent = 0))
             AND (:after < 0 OR (created_at, seq) < (
                   COALESCE((SELECT created_at FROM runs WHERE seq = :after), 9000000000000000000), :after))
           ORDER BY created_at DESC, seq DESC LIMIT :limit""",
        tenant_id=tenant_id,
        account_id=wanted.account_id or "",
        kind=wanted.kind or "",
        any_state=int(wanted.states is None),
        states=sorted(wanted.states or ()),
        adjusted=-1 if wanted.adjusted is None else int(wanted.adjusted),
        sent=-1 if wanted.sent is None else int(wanted.sent),
        after=-1 if page.after is None else page.after,
        limit=page.limit + 1,
    )
    return [(row["seq"], _run(row)) for row in rows]


def counts(tx: Tx) -> dict[RunState, int]:
    """How many runs there are in each state."""
    rows = tx.rows("SELECT state, COUNT(*) AS n FROM runs GROUP BY state")
    return {RunState(row["state"]): row["n"] for row in rows}


def request_stop(tx: Tx, run_id: str, now: datetime) -> bool:
    """Ask an open run that the engine has taken to wind down as CANCELED; whether it was open."""
    return (
        tx.execute(
            f"""UPDATE runs SET stop = 'CANCELED', updated_at = :now, version = version + 1
                WHERE id = :id AND state IN {_OPEN}""",  # noqa: S608 - a constant
            id=run_id,
            now=micros(now),
        )
        == 1
    )


def cancel_queued(tx: Tx, run_id: str, *, reason: str | None, now: datetime) -> bool:
    """Cancel a run that the engine has not taken yet; whether it was still QUEUED."""
    row = tx.row(
        """UPDATE runs SET state = 'CANCELED', stop = 'CANCELED', reason = :reason, updated_at = :now,
                  finished_at = :now, version = version + 1
           WHERE id = :id AND state = 'QUEUED' RETURNING *""",
        id=run_id,
        reason=reason,
        now=micros(now),
    )
    if row is None:
        return False
    run = _run(row)
    _insert_events(tx, run.shard, [(run_id, run.state)], now=now)
    outbox.put(tx, [_entry(run, run.state, strategy_version=run.strategy_version, at=now)])
    return True


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run with the record of its account and with what its tenant prefers."""

    run: Run
    account: AccountRecord
    preferences: Preferences


def open_runs(tx: Tx, shard: int, *, only: Collection[str] | None) -> list[OpenRun]:
    """The open runs of a shard, or those among `only`, in the order in which they came."""
    rows = tx.rows(
        f"""SELECT r.*, a.set_aside, a.held, t.slippage_bps, t.impact_bps, t.threshold
            FROM runs r JOIN accounts a ON a.account_id = r.account_id JOIN tenants t ON t.id = r.tenant_id
            WHERE r.shard = :shard AND r.state IN {_OPEN} ORDER BY r.seq""",  # noqa: S608 - a constant
        shard=shard,
    )
    return [
        OpenRun(_run(row), account_from(row), preferences_from(row))
        for row in rows
        if only is None or row["id"] in only
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a run becomes, from the run as its writer has seen it."""

    run: Run
    state: RunState
    strategy_version: int | None = None
    stop: RunState | None = None
    adjusted: bool = False
    more_orders: int = 0
    reason: str | None = None
    deadline_at: datetime | None = None


def change(tx: Tx, changes: Sequence[Change], now: datetime) -> set[str]:
    """Apply the changes whose run is still as it was seen, with their events; the ids applied."""
    if not changes:
        return set()
    rows = tx.rows(
        "SELECT id, version FROM runs WHERE id IN :ids ORDER BY id FOR UPDATE",
        ids=[change.run.id for change in changes],
    )
    versions = {row["id"]: row["version"] for row in rows}
    current = [change for change in changes if versions[change.run.id] == change.run.version]
    tx.many(_CHANGE, [_change_params(change, now) for change in current])
    moved = [c for c in current if c.state is not c.run.state]
    _insert_events(tx, changes[0].run.shard, [(c.run.id, c.state) for c in moved], now=now)
    outbox.put(
        tx,
        [
            _entry(c.run, c.state, strategy_version=c.strategy_version or c.run.strategy_version, at=now)
            for c in moved
            if c.state.is_news
        ],
    )
    return {change.run.id for change in current}


_CHANGE = """UPDATE runs SET state = :state, strategy_version = COALESCE(:strategy_version, strategy_version),
                    stop = COALESCE(:stop, stop), adjusted = :adjusted,
                    orders_sent = orders_sent + :more_orders, reason = COALESCE(:reason, reason),
                    deadline_at = COALESCE(:deadline_at, deadline_at), finished_at = :finished_at,
                    updated_at = :now, version = version + 1
             WHERE id = :id"""


def _change_params(change: Change, now: datetime) -> dict[str, object]:
    return {
        "id": change.run.id,
        "state": change.state,
        "strategy_version": change.strategy_version,
        "stop": change.stop,
        "adjusted": int(change.adjusted),
        "more_orders": change.more_orders,
        "reason": change.reason,
        "deadline_at": None if change.deadline_at is None else micros(change.deadline_at),
        "finished_at": None if change.state.is_open else micros(now),
        "now": micros(now),
    }


def _insert_events(tx: Tx, shard: int, moved: Sequence[tuple[str, RunState]], *, now: datetime) -> None:
    tx.many(
        """INSERT INTO events (shard, run_id, number, state, at)
           SELECT :shard, :run_id, MAX(number) + 1, :state, :at FROM events
           WHERE shard = :shard AND run_id = :run_id""",
        [{"shard": shard, "run_id": run_id, "state": state, "at": micros(now)} for run_id, state in moved],
    )


def _run(row: Row) -> Run:
    deadline, finished, stop, amount = row["deadline_at"], row["finished_at"], row["stop"], row["amount"]
    return Run(
        id=row["id"],
        shard=row["shard"],
        tenant_id=row["tenant_id"],
        account_id=row["account_id"],
        strategy_id=row["strategy_id"],
        strategy_version=row["strategy_version"],
        enrollment_id=row["enrollment_id"],
        kind=RunKind(row["kind"]),
        amount=None if amount is None else Decimal(amount),
        initiator=Initiator(row["initiator"]),
        cause=row["cause"],
        slot=row["slot"],
        state=RunState(row["state"]),
        stop=None if stop is None else RunState(stop),
        adjusted=bool(row["adjusted"]),
        orders_sent=row["orders_sent"],
        reason=row["reason"],
        version=row["version"],
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
        deadline_at=None if deadline is None else instant(deadline),
        finished_at=None if finished is None else instant(finished),
    )
