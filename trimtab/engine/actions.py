"""What the outside may ask for: each an action of one tenant, in one transaction.

Actions only insert, or change one row that the engine has not taken yet; what a run becomes after
that is the engine's business. Questions to the broker come before the transaction, never inside it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trimtab.core.enrollment import (
    Due,
    Enrollment,
    EnrollmentState,
    TradeMarker,
    queued_run,
    subscription_slot,
)
from trimtab.core.errors import (
    AccountNotActive,
    AlreadyEnrolled,
    EnrolledElsewhere,
    InvalidStrategy,
    NotEnrolled,
    NotFound,
    RunAlreadyOpen,
    RunIsFinal,
)
from trimtab.core.run import Initiator, Run, RunKind, RunState
from trimtab.core.strategy import Definition, Strategy, StrategyStatus, Target, validate_targets
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.engine.strategy_actions import refuse_ineligible_assets, refuse_nesting, require_active
from trimtab.store import enrollments, runs, shards, strategies


def enroll(
    desk: Desk, tenant_id: str, *, account_id: str, strategy_id: str, trade_marker: TradeMarker
) -> Enrollment:
    """Let an account follow a strategy, from now on and with a first run.

    Raises NotFound for an unknown account or strategy, StrategyNotActive, AccountNotActive and
    AlreadyEnrolled.
    """
    account = claim_account(desk, tenant_id, account_id)

    def store(tx: Tx) -> Enrollment:
        now = _shard_first(tx, desk, account.shard)
        strategy = require_active(tx, tenant_id, strategy_id)
        sessions = desk.calendars[strategy.calendar]
        enrollment = Enrollment(
            id=desk.new_id(),
            shard=account.shard,
            tenant_id=tenant_id,
            account_id=account_id,
            strategy_id=strategy_id,
            state=EnrollmentState.ACTIVE,
            created_at=now,
            updated_at=now,
            last_rebalanced_at=None,
            # Sessions from the present or next one on are to be evaluated.
            evaluated_on=sessions.before(sessions.first_ending_after(now).on),
            evaluated_version=strategy.version,
            trade_marker=trade_marker,
        )
        if not enrollments.insert(tx, enrollment):
            raise AlreadyEnrolled(account_id)
        due = Due(
            kind=RunKind.FULL_REBALANCE,
            slot=subscription_slot(enrollment.id),
            cause="the account was enrolled",
        )
        run_id = desk.new_id()
        # Not stored if a run is open: one open run per account.
        runs.insert(
            tx, [queued_run(enrollment, due, run_id=run_id, strategy_version=strategy.version, now=now)]
        )
        return enrollment

    return desk.db.write(store)


def _shard_first(tx: Tx, desk: Desk, shard: int) -> datetime:
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
    seen = desk.broker.accounts([account_id]).get(account_id)
    record = desk.db.read(lambda tx: shards.account(tx, account_id))
    if seen is None or (record is not None and record.tenant_id != tenant_id):
        raise NotFound("account", account_id)
    if not seen.is_active:
        raise AccountNotActive(account_id)
    if record is None:
        now = desk.clock()
        record = desk.db.write(lambda tx: shards.claim_account(tx, account_id, tenant_id=tenant_id, now=now))
        if record.tenant_id != tenant_id:
            raise NotFound("account", account_id)
    return record


def end_enrollment(desk: Desk, tenant_id: str, enrollment_id: str) -> None:
    """Stop following: a QUEUED run of it is cancelled, a started one finishes. Positions stay."""

    def store(tx: Tx) -> None:
        enrollment = enrollments.one(tx, tenant_id, enrollment_id)
        if enrollment is None:
            raise NotFound("subscription", enrollment_id)
        now = _shard_first(tx, desk, enrollment.shard)
        enrollments.end(tx, enrollment_id, now)
        run = runs.open_of_account(tx, enrollment.shard, enrollment.account_id)
        if run is not None and run.enrollment_id == enrollment_id:
            runs.cancel_queued(tx, run.id, reason="the subscription was deleted", now=now)

    desk.db.write(store)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """`targets` empty: the strategy that the account follows. `amount` is in dollars."""

    account_id: str
    kind: RunKind
    targets: tuple[Target, ...]
    amount: Decimal | None


def request_run(desk: Desk, tenant_id: str, request: RunRequest) -> Run:
    """Queue a run at a client's wish.

    Raises NotFound, AccountNotActive, InvalidStrategy, IneligibleAsset, EnrolledElsewhere,
    NotEnrolled and RunAlreadyOpen.
    """
    problems = validate_targets(request.targets) if request.targets else []
    if problems:
        raise InvalidStrategy(problems)
    account = claim_account(desk, tenant_id, request.account_id)
    refuse_ineligible_assets(desk, request.targets)

    def store(tx: Tx) -> Run:
        now = _shard_first(tx, desk, account.shard)
        enrollment = enrollments.of_account(tx, account.shard, request.account_id)
        if enrollment is None:
            strategy = _own_strategy(desk, tenant_id, request, now=now)
            refuse_nesting(tx, strategy)
            strategies.insert(tx, strategy)
        else:
            strategy = _followed_strategy(tx, enrollment, request)
        run = Run(
            id=desk.new_id(),
            shard=account.shard,
            tenant_id=tenant_id,
            account_id=request.account_id,
            strategy_id=strategy.id,
            strategy_version=strategy.version,
            enrollment_id=None if enrollment is None else enrollment.id,
            kind=request.kind,
            amount=request.amount,
            initiator=Initiator.API,
            cause="asked for through the API",
            created_at=now,
            updated_at=now,
        )
        if not runs.insert(tx, [run]):
            raise RunAlreadyOpen(request.account_id)
        return run

    return desk.db.write(store)


def _followed_strategy(tx: Tx, enrollment: Enrollment, request: RunRequest) -> Strategy:
    if request.targets:
        raise EnrolledElsewhere(request.account_id)
    return strategies.heads(tx, [enrollment.strategy_id])[enrollment.strategy_id]


def _own_strategy(desk: Desk, tenant_id: str, request: RunRequest, *, now: datetime) -> Strategy:
    """A hidden strategy for one run with weights of its own; raising cash needs no weights."""
    if not request.targets and request.kind is not RunKind.PARTIAL_LIQUIDATION:
        raise NotEnrolled(request.account_id)
    return Strategy(
        id=desk.new_id(),
        tenant_id=tenant_id,
        name="",
        description="",
        status=StrategyStatus.ACTIVE,
        version=1,
        updated_version=1,
        definition=Definition(targets=request.targets, conditions=(), cooldown_days=0),
        calendar=desk.calendar,
        hidden=True,
        created_at=now,
        updated_at=now,
    )


def cancel_run(desk: Desk, tenant_id: str, run_id: str) -> None:
    """Cancel a run: at once while it is QUEUED, else by winding it down.

    Cancelling a run that was cancelled before any order left is no error. Raises NotFound and
    RunIsFinal.
    """

    def store(tx: Tx) -> None:
        run = runs.one(tx, tenant_id, run_id)
        if run is None:
            raise NotFound("run", run_id)
        now = _shard_first(tx, desk, run.shard)
        if runs.cancel_queued(tx, run_id, reason=None, now=now) or runs.request_stop(tx, run_id, now):
            return
        final = runs.one(tx, tenant_id, run_id)
        if final is None or final.state is not RunState.CANCELED or final.orders_sent > 0:
            raise RunIsFinal(run_id)

    desk.db.write(store)
