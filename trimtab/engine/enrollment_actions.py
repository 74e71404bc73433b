"""Actions on enrollments: an account begins to follow a strategy, pauses, goes on, gets a name, ends.

Questions to the broker come before the transaction, never inside it; what an action changes, it
changes with the shard locked, like the engine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trimtab.core.enrollment import Enrollment, EnrollmentState, TradeMarker, enrolling_due, queued_run
from trimtab.core.errors import AccountNotActive, AlreadyEnrolled, NotFound
from trimtab.database import Tx
from trimtab.engine.desk import Desk, store_nothing
from trimtab.engine.strategy_actions import require_followable
from trimtab.store import enrollments, runs, shards, strategies


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollRequest:
    """Who follows what; the other fields mean what they mean in `Enrollment`."""

    account_id: str
    strategy_id: str
    trade_marker: TradeMarker = TradeMarker.DISCRETIONARY
    name: str | None = None
    owner: str | None = None
    account_index: int = 0
    chain_ids: tuple[int, ...] = ()


def enroll(
    desk: Desk,
    tenant_id: str,
    request: EnrollRequest,
    *,
    also: Callable[[Tx, Enrollment], None] = store_nothing,
) -> Enrollment:
    """Let an account follow a strategy, from now on and with a first run; `also` stores in the same
    transaction what must not be without it.

    Raises NotFound for an unknown account or strategy, StrategyNotActive, AccountNotActive and
    AlreadyEnrolled.
    """
    account = claim_account(desk, tenant_id, request.account_id)

    def store(tx: Tx) -> Enrollment:
        now = shard_first(tx, desk, account.shard)
        strategy = require_followable(tx, tenant_id, request.strategy_id)
        sessions = desk.calendars[strategy.calendar]
        enrollment = Enrollment(
            id=desk.new_id(),
            shard=account.shard,
            tenant_id=tenant_id,
            account_id=request.account_id,
            strategy_id=strategy.id,
            state=EnrollmentState.ACTIVE,
            created_at=now,
            updated_at=now,
            last_rebalanced_at=None,
            # Sessions from the present or next one on are to be evaluated.
            evaluated_on=sessions.before(sessions.first_ending_after(now).on),
            evaluated_version=strategy.version,
            trade_marker=request.trade_marker,
            name=request.name,
            next_due_at=None if strategy.frequency is None else now,
            owner=request.owner,
            account_index=request.account_index,
            chain_ids=request.chain_ids,
        )
        if not enrollments.insert(tx, enrollment):
            raise AlreadyEnrolled(request.account_id)
        run_id = desk.new_id()
        first = queued_run(
            enrollment,
            enrolling_due(enrollment),
            run_id=run_id,
            strategy_version=strategy.version,
            now=now,
        )
        # Not stored if a run is open: one open run per account.
        runs.insert(tx, [first])
        also(tx, enrollment)
        return enrollment

    return desk.db.write(store)


def shard_first(tx: Tx, desk: Desk, shard: int) -> datetime:
    """Ask for a worker, and the time once the shard is ours to write in.

    The engine too locks the shard first: two that lock in one order do not deadlock, and what is
    written then is not older than what was there.
    """
    shards.lock(tx, shard)
    now = desk.clock()
    shards.mark_due(tx, shard, now)
    return now


def claim_account(desk: Desk, tenant_id: str, account_id: str) -> shards.AccountRecord:
    """The tenant's account, claimed if it is named for the first time.

    Raises NotFound if the broker does not know it or another tenant has it, and AccountNotActive.
    """
    record = require_account(desk, tenant_id, account_id)
    if record is None:
        now = desk.clock()
        record = desk.db.write(lambda tx: shards.claim_account(tx, account_id, tenant_id=tenant_id, now=now))
        if record.tenant_id != tenant_id:
            raise NotFound("account", account_id)
    return record


def require_account(desk: Desk, tenant_id: str, account_id: str) -> shards.AccountRecord | None:
    """The record of an account that the tenant has, or may claim if there is none. Raises like
    `claim_account`, and claims nothing.
    """
    seen = desk.broker.accounts([account_id]).get(account_id)
    record = desk.db.read(lambda tx: shards.account(tx, account_id))
    if seen is None or (record is not None and record.tenant_id != tenant_id):
        raise NotFound("account", account_id)
    if not seen.is_active:
        raise AccountNotActive(account_id)
    return record


def end_enrollment(desk: Desk, tenant_id: str, enrollment_id: str) -> None:
    """Stop following: a QUEUED run of it is cancelled, a started one finishes. Positions stay."""

    def store(tx: Tx, enrollment: Enrollment, now: datetime) -> None:
        enrollments.end(tx, enrollment_id, now)
        run = runs.open_of_account(tx, enrollment.shard, enrollment.account_id)
        if run is not None and run.enrollment_id == enrollment_id:
            runs.cancel_queued(tx, run.id, reason="the account no longer follows these weights", now=now)

    _change(desk, tenant_id, enrollment_id, change=store)


def pause(desk: Desk, tenant_id: str, enrollment_id: str) -> Enrollment:
    """No automatic runs until it is resumed; open runs finish. Pausing twice changes nothing."""
    return _change(
        desk, tenant_id, enrollment_id, change=lambda tx, _, now: enrollments.pause(tx, enrollment_id, now)
    )


def resume(desk: Desk, tenant_id: str, enrollment_id: str) -> Enrollment:
    """Automatic runs again; an interval schedule is due at once. An active one stays as it is."""

    def store(tx: Tx, enrollment: Enrollment, now: datetime) -> None:
        strategy = strategies.heads(tx, [enrollment.strategy_id])[enrollment.strategy_id]
        due_at = None if strategy.frequency is None else now
        enrollments.resume(tx, enrollment_id, due_at=due_at, now=now)

    return _change(desk, tenant_id, enrollment_id, change=store)


def rename(desk: Desk, tenant_id: str, enrollment_id: str, *, name: str | None) -> Enrollment:
    return _change(
        desk,
        tenant_id,
        enrollment_id,
        change=lambda tx, _, now: enrollments.rename(tx, enrollment_id, name, now=now),
    )


def _change(
    desk: Desk, tenant_id: str, enrollment_id: str, *, change: Callable[[Tx, Enrollment, datetime], object]
) -> Enrollment:
    """Change one enrollment of the tenant, and show it as it was or has become. Raises NotFound."""

    def store(tx: Tx) -> Enrollment:
        before, now = locked_enrollment(tx, desk, tenant_id, enrollment_id=enrollment_id)
        change(tx, before, now)
        return enrollments.one(tx, tenant_id, enrollment_id) or before

    return desk.db.write(store)


def locked_enrollment(
    tx: Tx, desk: Desk, tenant_id: str, *, enrollment_id: str
) -> tuple[Enrollment, datetime]:
    """An enrollment with its shard locked, and the time. Raises NotFound."""
    now = shard_first(tx, desk, _require(tx, tenant_id, enrollment_id).shard)
    # Read again under the lock: it may have ended while we waited.
    return _require(tx, tenant_id, enrollment_id), now


def _require(tx: Tx, tenant_id: str, enrollment_id: str) -> Enrollment:
    enrollment = enrollments.one(tx, tenant_id, enrollment_id)
    if enrollment is None:
        raise NotFound("enrollment", enrollment_id)
    return enrollment
