"""The shapes of Glider's API going out: core values as that wire shows them.

Amounts are decimal strings, instants have milliseconds and a Z, and names are in camel case. What a
strategy of the other dialect cannot say here is shown as near as this shape can say it.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from trimtab.api.glider_ids import Names, operation_id, portfolio_id, ulid
from trimtab.core.enrollment import Enrollment, EnrollmentState
from trimtab.core.preferences import Preferences
from trimtab.core.run import Run, RunState
from trimtab.core.strategy import Frequency, Monthly, Strategy, Weekly, Weights


class Out(msgspec.Struct, kw_only=True, rename="camel"):
    """What every shape of this wire has in common: its names."""


class AssetOut(Out):
    asset_id: str
    weight: str


class AllocationOut(Out):
    assets: list[AssetOut]


class ScheduleConfigOut(Out):
    frequency: str
    type: str = "interval"


class SwapOut(Out):
    slippage_bps: int | None
    price_impact_bps: int | None
    threshold_usd: str | None


class PreferencesOut(Out):
    swap: SwapOut


class StrategyOut(Out):
    strategy_id: str
    name: str
    description: str | None
    allocation: AllocationOut
    schedule: ScheduleConfigOut
    preferences: PreferencesOut
    is_public: bool
    version: int
    created_at: str


class VersionOut(Out):
    version: int
    allocation: AllocationOut
    change_log: str | None
    is_head: bool
    created_at: str


class ScheduleOut(Out):
    status: str
    frequency: str
    interval_ms: int
    next_due_at: str | None
    last_rebalance_at: str | None


class SmartAccountOut(Out):
    account_id: str


class PortfolioOut(Out):
    """A portfolio as the list shows it."""

    portfolio_id: str
    portfolio_name: str | None
    owner_account_id: str
    strategy_id: str
    strategy_name: str
    strategy_description: str | None
    smart_accounts: list[SmartAccountOut]
    schedule: ScheduleOut
    created_at: str


class PortfolioDetailOut(PortfolioOut):
    strategy_version: int
    updated_at: str


class RebalanceOut(Out):
    operation_id: str
    submitted_at: str


class OperationOut(Out):
    operation_id: str
    portfolio_id: str
    kind: str
    state: str
    created_at: str
    updated_at: str
    finished_at: str | None
    error: str | None


def instant_out(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _instant_or_none(at: datetime | None) -> str | None:
    return None if at is None else instant_out(at)


def weight_out(percent: Decimal) -> str:
    """As it was written, its zeros included."""
    return format(percent, "f")


def allocation_out(weights: Weights, names: Names) -> AllocationOut:
    """Assets and the cash line; nested strategies are shown as what they hold."""
    assets = [
        AssetOut(asset_id=names.asset(symbol), weight=weight_out(percent))
        for symbol, percent in weights.assets.items()
    ]
    if weights.names_cash:
        assets.append(AssetOut(asset_id=names.cash, weight=weight_out(weights.cash)))
    return AllocationOut(assets=assets)


def preferences_out(preferences: Preferences) -> PreferencesOut:
    threshold = preferences.threshold
    swap = SwapOut(
        slippage_bps=preferences.slippage_bps,
        price_impact_bps=preferences.impact_bps,
        threshold_usd=None if threshold is None else format(threshold, "f"),
    )
    return PreferencesOut(swap=swap)


def frequency_of(strategy: Strategy) -> Frequency:
    """The cadence of a strategy; one with conditions only is looked at every trading day."""
    if strategy.frequency is not None:
        return strategy.frequency
    match strategy.definition.calendar_rule:
        case Weekly():
            return Frequency.WEEKLY
        case Monthly():
            return Frequency.MONTHLY
        case _:
            return Frequency.DAILY


def strategy_out(strategy: Strategy, weights: Weights, *, names: Names) -> StrategyOut:
    return StrategyOut(
        strategy_id=ulid(strategy.id),
        name=strategy.name,
        description=strategy.description or None,
        allocation=allocation_out(weights, names),
        schedule=ScheduleConfigOut(frequency=frequency_of(strategy)),
        preferences=preferences_out(strategy.preferences),
        is_public=strategy.is_public,
        version=strategy.version,
        created_at=instant_out(strategy.created_at),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """An enrollment with its strategy, and the instant at which it is next due by a rule."""

    enrollment: Enrollment
    strategy: Strategy
    next_due_at: datetime | None


def portfolio_out(followed: Followed, names: Names) -> PortfolioOut:
    return PortfolioOut(**_portfolio_fields(followed, names))


def portfolio_detail_out(followed: Followed, names: Names) -> PortfolioDetailOut:
    return PortfolioDetailOut(
        **_portfolio_fields(followed, names),
        strategy_version=followed.strategy.version,
        updated_at=instant_out(followed.enrollment.updated_at),
    )


def _portfolio_fields(followed: Followed, names: Names) -> dict[str, Any]:
    enrollment, strategy = followed.enrollment, followed.strategy
    frequency = frequency_of(strategy)
    return {
        "portfolio_id": portfolio_id(enrollment.id),
        "portfolio_name": enrollment.name,
        "owner_account_id": names.owner(enrollment),
        "strategy_id": ulid(strategy.id),
        "strategy_name": strategy.name,
        "strategy_description": strategy.description or None,
        "smart_accounts": smart_accounts_out(enrollment, names),
        "schedule": ScheduleOut(
            status="paused" if enrollment.state is EnrollmentState.PAUSED else "active",
            frequency=frequency,
            interval_ms=int(frequency.interval.total_seconds()) * 1000,
            next_due_at=_instant_or_none(followed.next_due_at),
            last_rebalance_at=_instant_or_none(enrollment.last_rebalanced_at),
        ),
        "created_at": instant_out(enrollment.created_at),
    }


def smart_accounts_out(enrollment: Enrollment, names: Names) -> list[SmartAccountOut]:
    return [SmartAccountOut(account_id=account) for account in names.smart_accounts(enrollment)]


def rebalance_out(run: Run, enrollment_id: str) -> RebalanceOut:
    return RebalanceOut(
        operation_id=operation_id(run, enrollment_id), submitted_at=instant_out(run.created_at)
    )


# The states of a run that has ended, or not begun; one under way needs a closer look.
STATES = {
    RunState.QUEUED: "accepted",
    RunState.COMPLETED: "completed",
    RunState.CANCELED: "cancelled",
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "failed",
}
ERRORS = {
    RunState.CANCELED: "the rebalance was cancelled",
    RunState.FAILED: "the rebalance failed",
    RunState.TIMED_OUT: "the deadline passed before all orders were done",
}


def operation_out(run: Run, enrollment_id: str, *, under_way: str) -> OperationOut:
    """`under_way` is the state of a run that is neither waiting to begin nor done."""
    shown = rebalance_out(run, enrollment_id)
    return OperationOut(
        operation_id=shown.operation_id,
        portfolio_id=portfolio_id(enrollment_id),
        kind="rebalance" if shown.operation_id.startswith("rebalance:") else "withdraw",
        state=STATES.get(run.state, under_way),
        created_at=shown.submitted_at,
        updated_at=instant_out(run.updated_at),
        finished_at=_instant_or_none(run.finished_at),
        error=(run.reason or ERRORS[run.state]) if run.state in ERRORS else None,
    )
