"""An account that follows a strategy, and what is due for it at one evaluation.

The order of the checks is the vendor's (guide, "evaluation"): first money, cooldown, calendar,
update, drift, and if none of these makes a full rebalance, free cash. What is due names its slot: at
most one automatic run exists per account and slot (decisions page, 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trimtab.core.drift import Breach, first_breach
from trimtab.core.evaluation import Reason
from trimtab.core.money import HUNDRED, ZERO, plain
from trimtab.core.plan import Holdings, equity_of
from trimtab.core.run import Initiator, Run, RunKind
from trimtab.core.sessions import Sessions, Span, calendar_due, cooldown_ends_on
from trimtab.core.strategy import Strategy, Weights
from trimtab.core.wording import no_price


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
    """`evaluated_on` is the last session that was evaluated, `evaluated_version` the version it saw.

    `next_due_at` is the next instant of an interval schedule, which begins anew with each of its
    `resumptions`. `owner`, a CAIP-10 id, holds the account
    as its wallet number `account_index` on some chains; None where the account is its own owner.
    """

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
    name: str | None = None
    next_due_at: datetime | None = None
    resumptions: int = 0
    owner: str | None = None
    account_index: int = 0
    chain_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """An enrolment in two stages, between the two: who is to follow what, and the message to sign.

    It reserves nothing and ends after a day (Glider's pages on enrolment). `owner` and `agent` are
    CAIP-10 ids; `message` is 32 bytes in hexadecimal.
    """

    id: str
    tenant_id: str
    key_id: str
    owner: str
    strategy_id: str
    chain_ids: tuple[int, ...]
    account_index: int
    agent: str
    message: str
    created_at: datetime
    expires_at: datetime


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

    def for_strategy(self, strategy: Strategy) -> "EvaluationPolicy":
        """The settings as they hold for one strategy: with an interval schedule, and only then, cash
        waits for the next run (notes on Glider's contract, 4.3: scheduled and manual runs only).
        """
        return self if strategy.frequency is None else replace(self, invest_cash_min=ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    kind: RunKind
    slot: str
    cause: str


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """Nothing was decided, and what is due stays due."""

    reason: Reason
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Decided: `due` in order of precedence; the first whose slot is free becomes a run.

    In the cooldown nothing is due but what ignores it.
    """

    due: tuple[Due, ...]
    in_cooldown: bool = False

    @property
    def reason(self) -> Reason:
        """Why there is no run, where nothing is due."""
        return Reason.IN_COOLDOWN if self.in_cooldown else Reason.NOTHING_DUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An enrollment and the world around it at one moment; `holdings` without what is set aside.

    `frozen` lines are left as they are: neither their drift nor what they lack is held against anybody.
    `unsettled` are symbols with a corporate action that is not complete, with what it is.
    """

    enrollment: Enrollment
    strategy: Strategy
    weights: Weights
    holdings: Holdings
    prices: Mapping[str, Decimal]
    sessions: Sessions
    session_on: date
    now: datetime
    frozen: frozenset[str] = frozenset()
    unsettled: Mapping[str, str] = field(default_factory=dict)


def enrolling_due(enrollment: Enrollment) -> Due:
    """The run that enrolling makes. On an interval schedule it is the first of the schedule's runs."""
    first_at = enrollment.next_due_at
    slot = f"enrollment:{enrollment.id}" if first_at is None else _schedule_slot(enrollment, first_at)
    return _full(slot, "the account was enrolled")


def next_due(enrollment: Enrollment, strategy: Strategy, *, now: datetime) -> datetime | None:
    """The schedule's first instant after `now`, whole intervals on from what was due; None without one.

    Instants that nobody looked at are passed over: what was missed is made up for once.
    """
    due_at = enrollment.next_due_at
    if strategy.frequency is None:
        return due_at
    interval = strategy.frequency.interval
    if due_at is None:
        # The strategy got its schedule after the account was enrolled: effective from the next cycle.
        return now + interval
    return due_at if due_at > now else due_at + interval * ((now - due_at) // interval + 1)


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
    # Of what is held only: what is wanted and not held is worth nothing at any price.
    for symbol in sorted(standing.unsettled.keys() & standing.holdings.positions.keys()):
        return NotEvaluated(Reason.CORPORATE_ACTION, standing.unsettled[symbol])
    needed = {*standing.weights.assets} - standing.frozen | standing.holdings.positions.keys()
    missing = sorted(needed - standing.prices.keys())
    if missing:
        return NotEvaluated(Reason.NO_PRICE, no_price(missing))
    if equity_of(standing.holdings, standing.prices) <= 0:
        return NotEvaluated(Reason.NO_EQUITY, "the account holds nothing")
    due = [*_full_rebalances_due(standing, policy)]
    cash = free_cash(standing, policy.buffer_percent)
    policy = policy.for_strategy(standing.strategy)
    if policy.invest_cash_min > 0 and cash > policy.invest_cash_min and standing.weights.assets:
        cause = f"free cash of ${plain(cash)}"
        due.append(Due(kind=RunKind.INVEST_CASH, slot=_session_slot(standing), cause=cause))
    return Evaluated(due=tuple(due), in_cooldown=is_in_cooldown(standing))


def is_update_pending(enrollment: Enrollment, strategy: Strategy) -> bool:
    return strategy.updated_version > enrollment.evaluated_version


def cooldown_end(standing: Standing) -> date | None:
    """The first date outside the cooldown; None before the first rebalance."""
    last = standing.enrollment.last_rebalanced_at
    if last is None:
        return None
    return cooldown_ends_on(standing.sessions, last, cooldown_days=standing.strategy.definition.cooldown_days)


def is_in_cooldown(standing: Standing) -> bool:
    ends_on = cooldown_end(standing)
    return ends_on is not None and standing.session_on < ends_on


def keeps_update_pending(standing: Standing, policy: EvaluationPolicy) -> bool:
    """Whether a pending update waits on through this evaluation, for the end of the cooldown."""
    return policy.update_waits and is_in_cooldown(standing)


def free_cash(standing: Standing, buffer_percent: Decimal) -> Decimal:
    """Cash in dollars above the cash target and the buffer, and above what frozen lines still lack."""
    invested = (HUNDRED - buffer_percent) * (HUNDRED - standing.weights.cash)
    equity = equity_of(standing.holdings, standing.prices)
    free = standing.holdings.cash - equity * (HUNDRED * HUNDRED - invested) / (HUNDRED * HUNDRED)
    for symbol in standing.frozen & standing.weights.assets.keys():
        percent = (HUNDRED - buffer_percent) * standing.weights.assets[symbol]
        held = standing.holdings.positions.get(symbol, ZERO) * standing.prices.get(symbol, ZERO)
        free -= max(equity * percent / (HUNDRED * HUNDRED) - held, ZERO)
    return free


def _full_rebalances_due(standing: Standing, policy: EvaluationPolicy) -> list[Due]:
    enrollment, strategy = standing.enrollment, standing.strategy
    due = []
    eligible_from = cooldown_end(standing)
    in_cooldown = is_in_cooldown(standing)
    scheduled = None if in_cooldown else _schedule_due(standing)
    if scheduled:
        # Before the first money: a run that the schedule makes anyway is not made twice.
        due.append(scheduled)
    if enrollment.last_rebalanced_at is None:
        due.append(_full(f"funding:{enrollment.id}", "first money in the account"))
    pending = is_update_pending(enrollment, strategy)
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
        strategy.definition.bands,
        standing.weights,
        holdings=standing.holdings,
        prices=standing.prices,
        frozen=standing.frozen,
    )
    if breach:
        due.append(_full(update_slot if pending else _session_slot(standing), describe(breach)))
    return due


def _schedule_due(standing: Standing) -> Due | None:
    due_at, frequency = standing.enrollment.next_due_at, standing.strategy.frequency
    if frequency is None or due_at is None or standing.now < due_at:
        return None
    return _full(_schedule_slot(standing.enrollment, due_at), f"{frequency} schedule")


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


def _schedule_slot(enrollment: Enrollment, due_at: datetime) -> str:
    return f"due:{enrollment.id}:{enrollment.resumptions}:{due_at.isoformat()}"


def _session_slot(standing: Standing) -> str:
    return f"session:{standing.session_on}"


def describe(breach: Breach) -> str:
    """One line for people: which band, which line, how far."""
    line = breach.symbol or "cash"
    return (
        f"{breach.band.kind} band of {plain(breach.band.percent)} %: {line} is worth "
        f"${plain(breach.value)} of ${plain(breach.equity)}, target {plain(breach.target)} %"
    )
