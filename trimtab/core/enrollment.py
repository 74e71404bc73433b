"""An account that follows a strategy, and what is due for it at one evaluation.

The order of the checks is the vendor's (guide, "evaluation"): first money, cooldown, calendar,
update, drift, and if none of these makes a full rebalance, free cash. What is due names its slot: at
most one automatic run exists per account and slot (decisions page, 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trimtab.core.drift import Breach, first_breach
from trimtab.core.money import HUNDRED, plain
from trimtab.core.plan import Holdings, equity_of, unpriced
from trimtab.core.run import Initiator, Run, RunKind
from trimtab.core.sessions import Sessions, Span, calendar_due, cooldown_ends_on
from trimtab.core.strategy import Strategy, Weights


class EnrollmentState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class TradeMarker(StrEnum):
    """Who decides the trades of an account, as regulators want it marked."""

    DISCRETIONARY = "discretionary"
    UNSOLICITED = "unsolicited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """`evaluated_on` is the last session that was evaluated, `evaluated_version` the version it saw."""

    id: str
    shard: int
    tenant_id: str
    account_id: str
    strategy_id: str
    state: EnrollmentState
    created_at: datetime
    updated_at: datetime
    last_rebalanced_at: datetime | None
    evaluated_on: date
    evaluated_version: int
    trade_marker: TradeMarker = TradeMarker.DISCRETIONARY


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPolicy:
    """The settings of evaluation: see TRIMTAB_QUARTERS, _UPDATE_WAITS_FOR_COOLDOWN, _INVEST_CASH_MIN.

    `invest_cash_min` is in dollars; 0 switches the investing of cash off. `buffer_percent` of equity
    stays in cash.
    """

    quarter_months: frozenset[int]
    update_waits: bool
    invest_cash_min: Decimal
    buffer_percent: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    kind: RunKind
    slot: str
    cause: str


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """Nothing was decided, and what is due stays due."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Decided: `due` in order of precedence; the first whose slot is free becomes a run."""

    due: tuple[Due, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An enrollment and the world around it during one session; `holdings` without what is set aside."""

    enrollment: Enrollment
    strategy: Strategy
    weights: Weights
    holdings: Holdings
    prices: Mapping[str, Decimal]
    sessions: Sessions
    session_on: date


def subscription_slot(enrollment_id: str) -> str:
    """The slot of the run that enrolling makes."""
    return f"enrollment:{enrollment_id}"


def queued_run(enrollment: Enrollment, due: Due, *, run_id: str, strategy_version: int, now: datetime) -> Run:
    """The run that the system makes of what is due."""
    return Run(
        id=run_id,
        shard=enrollment.shard,
        tenant_id=enrollment.tenant_id,
        account_id=enrollment.account_id,
        strategy_id=enrollment.strategy_id,
        strategy_version=strategy_version,
        enrollment_id=enrollment.id,
        kind=due.kind,
        initiator=Initiator.SYSTEM,
        cause=due.cause,
        slot=due.slot,
        created_at=now,
        updated_at=now,
    )


def evaluate(standing: Standing, policy: EvaluationPolicy) -> Evaluated | NotEvaluated:
    """What is due for one enrollment now."""
    missing = unpriced(standing.weights, standing.holdings, prices=standing.prices)
    if missing:
        return NotEvaluated(f"no current price for {', '.join(missing)}")
    if equity_of(standing.holdings, standing.prices) <= 0:
        return NotEvaluated("the account holds nothing")
    due = [*_full_rebalances_due(standing, policy)]
    cash = free_cash(standing, policy.buffer_percent)
    if policy.invest_cash_min > 0 and cash > policy.invest_cash_min and standing.weights.assets:
        cause = f"free cash of ${plain(cash)}"
        due.append(Due(kind=RunKind.INVEST_CASH, slot=_session_slot(standing), cause=cause))
    return Evaluated(due=tuple(due))


def is_update_pending(enrollment: Enrollment, strategy: Strategy) -> bool:
    return strategy.updated_version > enrollment.evaluated_version


def cooldown_end(standing: Standing) -> date | None:
    """The first date outside the cooldown; None before the first rebalance."""
    last = standing.enrollment.last_rebalanced_at
    if last is None:
        return None
    return cooldown_ends_on(standing.sessions, last, cooldown_days=standing.strategy.definition.cooldown_days)


def keeps_update_pending(standing: Standing, policy: EvaluationPolicy) -> bool:
    """Whether a pending update waits on through this evaluation, for the end of the cooldown."""
    ends_on = cooldown_end(standing)
    return policy.update_waits and ends_on is not None and standing.session_on < ends_on


def free_cash(standing: Standing, buffer_percent: Decimal) -> Decimal:
    """Cash in dollars above the cash target and the buffer."""
    invested = (HUNDRED - buffer_percent) * (HUNDRED - standing.weights.cash)
    equity = equity_of(standing.holdings, standing.prices)
    return standing.holdings.cash - equity * (HUNDRED * HUNDRED - invested) / (HUNDRED * HUNDRED)


def _full_rebalances_due(standing: Standing, policy: EvaluationPolicy) -> list[Due]:
    enrollment, strategy = standing.enrollment, standing.strategy
    due = []
    if enrollment.last_rebalanced_at is None:
        due.append(_full(f"funding:{enrollment.id}", "first money in the account"))
    pending = is_update_pending(enrollment, strategy)
    eligible_from = cooldown_end(standing)
    in_cooldown = eligible_from is not None and standing.session_on < eligible_from
    if in_cooldown and not (pending and not policy.update_waits):
        return due
    if in_cooldown:
        eligible_from = standing.session_on
    calendar = _calendar_due(standing, policy, eligible_from=eligible_from)
    if calendar:
        due.append(calendar)
    update_slot = f"update:{strategy.id}:{strategy.updated_version}"
    if pending and strategy.definition.on_update:
        due.append(_full(update_slot, f"update to version {strategy.updated_version}"))
    breach = first_breach(
        strategy.definition.bands, standing.weights, holdings=standing.holdings, prices=standing.prices
    )
    if breach:
        due.append(_full(update_slot if pending else _session_slot(standing), describe(breach)))
    return due


def _calendar_due(standing: Standing, policy: EvaluationPolicy, *, eligible_from: date | None) -> Due | None:
    rule = standing.strategy.definition.calendar_rule
    if rule is None:
        return None
    span = Span(
        after=standing.enrollment.evaluated_on, until=standing.session_on, eligible_from=eligible_from
    )
    due_on = calendar_due(standing.sessions, rule, span=span, quarter_months=policy.quarter_months)
    return _full(_session_slot(standing), f"calendar rule due on {due_on}") if due_on else None


def _full(slot: str, cause: str) -> Due:
    return Due(kind=RunKind.FULL_REBALANCE, slot=slot, cause=cause)


def _session_slot(standing: Standing) -> str:
    return f"session:{standing.session_on}"


def describe(breach: Breach) -> str:
    """One line for people: which band, which line, how far."""
    line = breach.symbol or "cash"
    return (
        f"{breach.band.kind} band of {plain(breach.band.percent)} %: {line} is worth "
        f"${plain(breach.value)} of ${plain(breach.equity)}, target {plain(breach.target)} %"
    )
