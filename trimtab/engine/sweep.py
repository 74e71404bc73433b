"""One evaluation of every enrollment in a shard, and the runs that are due.

A sweep is not special: it finds what is due and inserts QUEUED runs like any other caller, with
`system` as the initiator and a slot, so that nothing is ever due twice. Most accounts are dismissed by
the screen; only those that could be due are evaluated exactly.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from trimtab.core.enrollment import (
    Due,
    Enrollment,
    NotEvaluated,
    Standing,
    evaluate,
    keeps_update_pending,
    next_due,
    queued_run,
)
from trimtab.core.plan import Holdings
from trimtab.core.run import Run
from trimtab.core.sessions import Sessions, Span, calendar_due
from trimtab.core.strategy import Strategy, StrategyStatus, Weights
from trimtab.database import Tx
from trimtab.engine.cases import weights_of, with_nested
from trimtab.engine.desk import Desk, Effects, ask, read
from trimtab.engine.mirror import follow_broker
from trimtab.engine.screen import Valued, may_be_due, value
from trimtab.engine.turn import Turn
from trimtab.engine.valuation import Kept, read_kept
from trimtab.store import enrollments, runs
from trimtab.store.enrollments import Roster
from trimtab.store.holdings import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The enrollments of one strategy: rows of the roster, each with its row in the block."""

    strategy: Strategy
    weights: Weights
    sessions: Sessions
    session_on: date
    members: list[tuple[int, int]]


@dataclass(slots=True, kw_only=True)
class _Findings:
    """What a sweep has found: who was evaluated, what to remember of it, what is due, and which
    schedules move on.
    """

    evaluated: set[str] = field(default_factory=set)
    marks: dict[tuple[date, int | None], list[str]] = field(default_factory=dict)
    due: list[tuple[Enrollment, Strategy, tuple[Due, ...]]] = field(default_factory=list)
    moved: list[tuple[Enrollment, datetime]] = field(default_factory=list)

    def mark(self, enrollment_id: str, on: date, *, version: int | None) -> None:
        self.evaluated.add(enrollment_id)
        self.marks.setdefault((on, version), []).append(enrollment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """What evaluations look at: the mirror at current prices, and money that is not the strategies'."""

    valued: Valued
    prices: Mapping[str, Decimal]
    set_aside: Mapping[str, Decimal]
    now: datetime

    def holdings(self, row: int) -> Holdings:
        """The exact holdings of one account, without what was set aside."""
        held = self.valued.block.holdings(row)
        aside = self.set_aside.get(self.valued.block.account_ids[row])
        return held if aside is None else Holdings(cash=held.cash - aside, positions=held.positions)


def sweep(turn: Turn) -> Effects[None]:
    """Evaluate what the market lets us evaluate now, and queue the runs that are due."""
    followed = yield from follow_broker(turn)
    block = followed.mirror.block
    roster, heads, kept = yield from read(lambda tx: _read(tx, turn, block))
    groups = list(_groups(turn, roster, heads=heads, block=block))
    symbols = set(block.symbols).union(*(group.weights.assets for group in groups))
    prices = yield from ask(lambda broker: broker.prices(symbols))
    world = _World(valued=value(block, prices), prices=prices, set_aside=followed.set_aside, now=turn.now)
    close = [(group, _close(group, roster, world=world, desk=turn.desk)) for group in groups]
    ids = [roster.ids[member] for _, members in close for member, _ in members]
    enrolled = yield from read(lambda tx: {e.id: e for e in enrollments.by_ids(tx, ids)})
    findings = _Findings()
    for group, members in close:
        _dismiss(group, {member for member, _ in members}, roster=roster, findings=findings)
        for member, row in members:
            standing = _standing(group, enrolled[roster.ids[member]], world=world, row=row)
            _evaluate(standing, turn.desk, findings=findings)
    turn.wake_by(_next_instant(turn, roster, findings))
    values = kept.values(block, prices)
    if followed.is_new or findings.marks or findings.due or values.is_new:

        def store(tx: Tx) -> set[str]:
            followed.store(tx, turn)
            values.store(tx, turn, mirror=followed.mirror)
            return _store(tx, turn, findings)

        turn.created = frozenset((yield from turn.commit(store)))
    turn.evaluated = frozenset(findings.evaluated)


def _next_instant(turn: Turn, roster: Roster, findings: _Findings) -> datetime | None:
    """When an interval schedule of this shard is next due."""
    stored = (at for at in roster.next_due_at if at is not None and at > turn.now)
    return min((*stored, *(at for _, at in findings.moved)), default=None)


def _read(tx: Tx, turn: Turn, block: Block) -> tuple[Roster, dict[str, Strategy], Kept]:
    roster = enrollments.roster(tx, turn.shard)
    return roster, with_nested(tx, set(roster.strategy_ids)), read_kept(tx, turn, block)


def _groups(turn: Turn, roster: Roster, heads: Mapping[str, Strategy], *, block: Block) -> Iterator[_Group]:
    """Enrollments by strategy: those whose strategy is active, in its evaluation window, and whose
    account the broker shows as active.
    """
    row_of = {
        account_id: row
        for row, (account_id, active) in enumerate(zip(block.account_ids, block.active, strict=True))
        if active
    }
    members: dict[str, list[tuple[int, int]]] = {}
    for member, (strategy_id, account_id) in enumerate(
        zip(roster.strategy_ids, roster.account_ids, strict=True)
    ):
        row = row_of.get(account_id)
        if row is not None:
            members.setdefault(strategy_id, []).append((member, row))
    for strategy_id, found in members.items():
        strategy = heads[strategy_id]
        sessions = turn.desk.calendars[strategy.calendar]
        session = sessions.current(turn.now)
        active = strategy.status is StrategyStatus.ACTIVE
        if active and session is not None and sessions.may_evaluate(turn.now):
            yield _Group(
                strategy=strategy,
                weights=weights_of(strategy, heads),
                sessions=sessions,
                session_on=session.on,
                members=found,
            )


def _close(group: _Group, roster: Roster, *, world: _World, desk: Desk) -> list[tuple[int, int]]:
    """The members that could be due: for these the exact rules decide."""
    definition = group.strategy.definition
    policy = desk.evaluation.for_strategy(group.strategy)
    flagged = may_be_due(world.valued, group.weights, bands=definition.bands, policy=policy)
    due_since: dict[str, bool] = {}
    close = []
    for member, row in group.members:
        evaluated_on = roster.evaluated_on[member]
        if evaluated_on not in due_since:
            due_since[evaluated_on] = _calendar_may_be_due(group, date.fromisoformat(evaluated_on), desk=desk)
        if (
            flagged[row]
            or due_since[evaluated_on]
            or not roster.rebalanced[member]
            or roster.evaluated_version[member] < group.strategy.updated_version
            or world.valued.block.account_ids[row] in world.set_aside
            or _schedule_may_be_due(group, roster.next_due_at[member], now=world.now)
        ):
            close.append((member, row))
    return close


def _schedule_may_be_due(group: _Group, next_due_at: datetime | None, *, now: datetime) -> bool:
    return group.strategy.frequency is not None and (next_due_at is None or next_due_at <= now)


def _calendar_may_be_due(group: _Group, after: date, *, desk: Desk) -> bool:
    rule = group.strategy.definition.calendar_rule
    if rule is None:
        return False
    span = Span(after=after, until=group.session_on, eligible_from=None)
    months = desk.evaluation.quarter_months
    return calendar_due(group.sessions, rule, span=span, quarter_months=months) is not None


def _dismiss(group: _Group, close: set[int], *, roster: Roster, findings: _Findings) -> None:
    """Members that are certain not to be due have been evaluated all the same."""
    on = group.session_on.isoformat()
    version = group.strategy.version
    for member, _ in group.members:
        if member in close:
            continue
        if roster.evaluated_on[member] == on and roster.evaluated_version[member] == version:
            findings.evaluated.add(roster.ids[member])
        else:
            findings.mark(roster.ids[member], group.session_on, version=version)


def _standing(group: _Group, enrollment: Enrollment, *, world: _World, row: int) -> Standing:
    return Standing(
        enrollment=enrollment,
        strategy=group.strategy,
        weights=group.weights,
        holdings=world.holdings(row),
        prices=world.prices,
        sessions=group.sessions,
        session_on=group.session_on,
        now=world.now,
    )


def _evaluate(standing: Standing, desk: Desk, *, findings: _Findings) -> None:
    """Decide exactly; what cannot be evaluated stays as it was, and so does what is due for it."""
    verdict = evaluate(standing, desk.evaluation)
    if isinstance(verdict, NotEvaluated):
        return
    waits = keeps_update_pending(standing, desk.evaluation)
    version = None if waits else standing.strategy.version
    findings.mark(standing.enrollment.id, standing.session_on, version=version)
    if verdict.due:
        findings.due.append((standing.enrollment, standing.strategy, verdict.due))
    next_at = next_due(standing.enrollment, standing.strategy, now=standing.now)
    if next_at is not None and next_at != standing.enrollment.next_due_at:
        findings.moved.append((standing.enrollment, next_at))


def _store(tx: Tx, turn: Turn, findings: _Findings) -> set[str]:
    """Insert what is due and remember what was evaluated; the ids of the runs made.

    Where a client was faster, with a run of its own or by pausing, what is due stays due.
    """
    concerned = {e.id for e, _, _ in findings.due} | {e.id for e, _ in findings.moved}
    active = enrollments.still_active(tx, concerned) if concerned else set()
    queued = _first_free(tx, turn, findings, active=active)
    stored = runs.insert(tx, queued)
    overtaken = concerned - active | {run.enrollment_id for run in queued if run.id not in stored}
    for (on, version), ids in findings.marks.items():
        evaluated = [id_ for id_ in ids if id_ not in overtaken]
        enrollments.set_evaluated(tx, turn.shard, evaluated, on=on, version=version)
    moved = [(enrollment, at) for enrollment, at in findings.moved if enrollment.id not in overtaken]
    enrollments.set_next_due(tx, turn.shard, moved)
    return stored


def _first_free(tx: Tx, turn: Turn, findings: _Findings, *, active: set[str]) -> list[Run]:
    """For each enrollment that is still active, the first run that is due and whose slot is free."""
    due_now = [finding for finding in findings.due if finding[0].id in active]
    accounts = [enrollment.account_id for enrollment, _, _ in due_now]
    slots = {due.slot for _, _, dues in due_now for due in dues}
    taken = runs.slots_taken(tx, turn.shard, accounts, slots=slots) if accounts else set()
    queued = []
    for enrollment, strategy, dues in due_now:
        free = next((due for due in dues if (enrollment.account_id, due.slot) not in taken), None)
        if free is not None:
            version = strategy.version
            run_id = turn.desk.new_id()
            queued.append(queued_run(enrollment, free, run_id=run_id, strategy_version=version, now=turn.now))
    return queued
