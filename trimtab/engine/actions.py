"""What the outside may ask of runs: each an action of one tenant, in one transaction.

Actions only insert, or change one row that the engine has not taken yet; what a run becomes after
that is the engine's business. Those on strategies and enrollments have modules of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trimtab.core.enrollment import Enrollment
from trimtab.core.errors import (
    EnrolledElsewhere,
    InvalidStrategy,
    NotEnrolled,
    NotFound,
    RunAlreadyOpen,
    RunIsFinal,
    RunTooSoon,
)
from trimtab.core.run import Initiator, Run, RunKind, RunState
from trimtab.core.strategy import (
    Definition,
    Strategy,
    StrategyStatus,
    Target,
    asset_symbols,
    validate_targets,
)
from trimtab.database import Tx
from trimtab.engine.desk import Desk, store_nothing
from trimtab.engine.enrollment_actions import claim_account, locked_enrollment, shard_first
from trimtab.engine.strategy_actions import refuse_ineligible_assets, refuse_nesting
from trimtab.store import enrollments, runs, strategies
from trimtab.store.shards import AccountRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """`targets` empty: the strategy that the account follows. `amount` is in dollars."""

    account_id: str
    kind: RunKind
    targets: tuple[Target, ...]
    amount: Decimal | None


def request_run(
    desk: Desk, tenant_id: str, request: RunRequest, *, also: Callable[[Tx, Run], None] = store_nothing
) -> Run:
    """Queue a run at a client's wish; `also` stores in the same transaction what must not be without it.

    Raises NotFound, AccountNotActive, InvalidStrategy, IneligibleAssets, EnrolledElsewhere,
    NotEnrolled and RunAlreadyOpen.
    """
    problems = validate_targets(request.targets) if request.targets else []
    if problems:
        raise InvalidStrategy(problems)
    account = claim_account(desk, tenant_id, request.account_id)
    refuse_ineligible_assets(desk, asset_symbols(request.targets))

    def store(tx: Tx) -> Run:
        now = shard_first(tx, desk, account.shard)
        enrollment = enrollments.of_account(tx, account.shard, request.account_id)
        if enrollment is None:
            strategy = _own_strategy(desk, tenant_id, request, now=now)
            refuse_nesting(tx, strategy)
            strategies.insert(tx, strategy)
        else:
            strategy = _followed_strategy(tx, enrollment, request)
        run = _asked_run(desk, enrollment or account, strategy, request=request, now=now)
        if not runs.insert(tx, [run]):
            raise RunAlreadyOpen(request.account_id)
        also(tx, run)
        return run

    return desk.db.write(store)


def rebalance_now(desk: Desk, tenant_id: str, enrollment_id: str) -> Run:
    """A full rebalance of a followed strategy at once: the account's open run, whoever asked for it, or
    else a new one.

    Raises NotFound, and RunTooSoon while the last run of the enrollment is still too fresh.
    """

    def store(tx: Tx) -> Run:
        enrollment, now = locked_enrollment(tx, desk, tenant_id, enrollment_id=enrollment_id)
        in_flight = runs.open_of_account(tx, enrollment.shard, enrollment.account_id)
        if in_flight is not None:
            return in_flight
        wait = desk.trigger.wait(runs.last_finish(tx, enrollment, desk.trigger.after), now)
        if wait > timedelta(0):
            raise RunTooSoon(wait)
        strategy = strategies.heads(tx, [enrollment.strategy_id])[enrollment.strategy_id]
        request = RunRequest(
            account_id=enrollment.account_id, kind=RunKind.FULL_REBALANCE, targets=(), amount=None
        )
        run = _asked_run(desk, enrollment, strategy, request=request, now=now)
        stored = runs.insert(tx, [run])
        assert stored, "the shard is locked and no run is open"
        return run

    return desk.db.write(store)


def _asked_run(
    desk: Desk, where: Enrollment | AccountRecord, strategy: Strategy, *, request: RunRequest, now: datetime
) -> Run:
    """The run of an account, of its enrollment if it follows the strategy."""
    return Run(
        id=desk.new_id(),
        shard=where.shard,
        tenant_id=where.tenant_id,
        account_id=where.account_id,
        strategy_id=strategy.id,
        strategy_version=strategy.version,
        enrollment_id=where.id if isinstance(where, Enrollment) else None,
        kind=request.kind,
        amount=request.amount,
        initiator=Initiator.API,
        cause="asked for through the API",
        created_at=now,
        updated_at=now,
    )


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
        now = shard_first(tx, desk, run.shard)
        if runs.cancel_queued(tx, run_id, reason=None, now=now) or runs.request_stop(tx, run_id, now):
            return
        final = runs.one(tx, tenant_id, run_id)
        if final is None or final.state is not RunState.CANCELED or final.orders_sent > 0:
            raise RunIsFinal(run_id)

    desk.db.write(store)
