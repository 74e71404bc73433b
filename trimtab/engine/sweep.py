"""One evaluation of every enrollment in a shard, and the runs that are due.

A sweep is not special: it finds what is due and inserts QUEUED runs like any other caller, with
`system` as the initiator and a slot, so that nothing is ever due twice. Most accounts are dismissed by
the screen; only those that could be due are evaluated exactly. Why each of them trades or does not is
written down with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

import numpy as np

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
from trimtab.core.evaluation import Reason
from trimtab.core.money import ZERO
from trimtab.core.plan import Holdings
from trimtab.core.run import Run
from trimtab.core.strategy import Strategy
from trimtab.database import Tx, instant, micros
from trimtab.engine.cases import with_nested
from trimtab.engine.desk import Effects, read
from trimtab.engine.followers import Followers, World, all_followers, may_be_due, targets_of
from trimtab.engine.mirror import Followed, follow_broker
from trimtab.engine.quotes import Quotes, ask_quotes
from trimtab.engine.record import first_record, note
from trimtab.engine.screen import Places, value
from trimtab.engine.turn import Turn
from trimtab.engine.valuation import Kept, Values, read_kept
from trimtab.store import enrollments, evaluations, runs
from trimtab.store.enrollments import Roster
from trimtab.store.evaluations import Note, Sheet
from trimtab.store.holdings import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What is due for one enrollment; `seq` is its place among all, `row` its account's in the mirror."""

    enrollment: Enrollment
    strategy: Strategy
    seq: int
    row: int
    due: tuple[Due, ...]


@dataclass(slots=True, kw_only=True)
class _Findings:
    """What a sweep has found: who was evaluated, what to remember of it, what is due, which schedules move
    on, and the record of it all.
    """

    sheet: Sheet
    evaluated: set[str] = field(default_factory=set)
    marks: dict[tuple[date, int | None], list[str]] = field(default_factory=dict)
    calls: list[_Call] = field(default_factory=list)
    moved: list[tuple[Enrollment, datetime]] = field(default_factory=list)

    def mark(self, enrollment_ids: Sequence[str], on: date, *, version: int | None) -> None:
        self.marks.setdefault((on, version), []).extend(enrollment_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exactly:
    """What the exact rules look at, for the accounts of the whole shard."""

    world: World
    quotes: Quotes
    set_aside: Mapping[str, Decimal]
    enrolled: Mapping[str, Enrollment]

    def holdings(self, row: int) -> Holdings:
        """The exact holdings of one account, without what was set aside."""
        block = self.world.valued.block
        held = block.holdings(row)
        aside = self.set_aside.get(block.account_ids[row])
        return held if aside is None else Holdings(cash=held.cash - aside, positions=held.positions)


def sweep(turn: Turn) -> Effects[None]:
    """Evaluate what the market lets us evaluate now, and queue the runs that are due."""
    followed = yield from follow_broker(turn)
    block = followed.mirror.block
    roster, heads, kept = yield from read(lambda tx: _read(tx, turn, block))
    symbols = {*block.symbols, *targets_of(heads)}
    set_aside = _still_there(followed.set_aside, block)
    quotes = yield from ask_quotes(symbols)
    world = World(
        desk=turn.desk,
        now=turn.now,
        roster=roster,
        heads=heads,
        valued=value(block, quotes.settled, set_aside=set_aside),
        active=np.array(block.active, np.bool_),
        assets=quotes.assets,
    )
    groups = list(all_followers(world))
    close = [(followers, _close(followers, world)) for followers in groups]
    ids = [roster.ids[member] for followers, places in close for member in followers.members[places]]
    enrolled = (yield from read(lambda tx: {e.id: e for e in enrollments.by_ids(tx, ids)})) if ids else {}
    exactly = _Exactly(world=world, quotes=quotes, set_aside=set_aside, enrolled=enrolled)
    findings = _Findings(sheet=first_record(world, groups))
    for followers, places in close:
        _dismiss(followers, places, world=world, findings=findings)
        for place in places.tolist():
            _evaluate(followers, place, exactly=exactly, findings=findings)
    turn.wake_by(_next_instant(turn, roster, findings))
    turn.evaluated = frozenset(findings.evaluated)
    values = kept.values(block, quotes.settled, comparable=quotes.comparable)
    created = yield from turn.commit(lambda tx: _store(tx, turn, followed, values=values, findings=findings))
    turn.created = frozenset(created)


def _still_there(set_aside: Mapping[str, Decimal], block: Block) -> Mapping[str, Decimal]:
    """No more is set aside than there is cash: not every broker tells of a withdrawal."""
    if not set_aside:
        return set_aside
    return {
        account_id: min(set_aside[account_id], max(Decimal(cash), ZERO))
        for account_id, cash in zip(block.account_ids, block.cash, strict=True)
        if account_id in set_aside
    }


def _next_instant(turn: Turn, roster: Roster, findings: _Findings) -> datetime | None:
    """When an interval schedule of this shard is next due."""
    now = micros(turn.now)
    stored = roster.next_due_at[(roster.next_due_at > now) & ~roster.paused]
    soonest = [instant(int(stored.min()))] if len(stored) else []
    return min((*soonest, *(at for _, at in findings.moved)), default=None)


def _read(tx: Tx, turn: Turn, block: Block) -> tuple[Roster, dict[str, Strategy], Kept]:
    roster = enrollments.roster(tx, turn.shard)
    return roster, with_nested(tx, set(roster.strategy_ids)), read_kept(tx, turn, block)


def _close(followers: Followers, world: World) -> Places:
    """Places of the followers that could be due."""
    if followers.session is None:
        return np.zeros(0, np.int64)
    return np.flatnonzero(may_be_due(followers, world))


def _dismiss(followers: Followers, close: Places, *, world: World, findings: _Findings) -> None:
    """Those that are certain not to be due have been evaluated all the same."""
    if followers.session is None:
        return
    roster, version = world.roster, followers.strategy.version
    on = followers.session.on
    dismissed = followers.able.copy()
    dismissed[close] = False
    members = followers.members[dismissed]
    findings.evaluated.update(roster.ids[member] for member in members)
    known = on.isoformat()
    seen = zip(members.tolist(), roster.evaluated_version[members].tolist(), strict=True)
    new = [roster.ids[m] for m, saw in seen if saw != version or roster.evaluated_on[m] != known]
    if new:
        findings.mark(new, on, version=version)


def _evaluate(followers: Followers, place: int, *, exactly: _Exactly, findings: _Findings) -> None:
    """Decide exactly; what cannot be evaluated stays as it was, and so does what is due for it."""
    enrollment = exactly.enrolled[exactly.world.roster.ids[followers.members[place]]]
    row = int(followers.rows[place])
    standing = _standing(followers, enrollment, row=row, exactly=exactly)
    policy = exactly.world.desk.evaluation
    verdict = evaluate(standing, policy)
    if isinstance(verdict, NotEvaluated):
        note(findings.sheet, row, reason=verdict.reason, words=Note(verdict.details))
        return
    note(findings.sheet, row, reason=verdict.reason)
    waits = keeps_update_pending(standing, policy)
    version = None if waits else standing.strategy.version
    findings.evaluated.add(enrollment.id)
    findings.mark([enrollment.id], standing.session_on, version=version)
    if verdict.due:
        findings.calls.append(
            _Call(
                enrollment=enrollment,
                strategy=standing.strategy,
                seq=int(exactly.world.roster.seqs[followers.members[place]]),
                row=row,
                due=verdict.due,
            )
        )
    next_at = next_due(enrollment, standing.strategy, now=standing.now)
    if next_at is not None and next_at != enrollment.next_due_at:
        findings.moved.append((enrollment, next_at))


def _standing(followers: Followers, enrollment: Enrollment, *, row: int, exactly: _Exactly) -> Standing:
    assert followers.session is not None, "nothing is evaluated while the market is closed"
    return Standing(
        enrollment=enrollment,
        strategy=followers.strategy,
        weights=followers.rules.weights,
        holdings=exactly.holdings(row),
        prices=exactly.quotes.prices,
        sessions=followers.sessions,
        session_on=followers.session.on,
        now=exactly.world.now,
        frozen=followers.rules.frozen,
        unsettled=exactly.quotes.unsettled,
    )


def _store(tx: Tx, turn: Turn, followed: Followed, *, values: Values, findings: _Findings) -> set[str]:
    """The mirror, the day's values, what was found and the record of it; the ids of the runs made."""
    followed.store(tx, turn)
    values.store(tx, turn, mirror=followed.mirror)
    created = _store_findings(tx, turn, findings)
    evaluations.insert(tx, turn.shard, findings.sheet, epoch=turn.epoch, at=turn.now)
    evaluations.drop(tx, turn.shard, before=turn.now - turn.desk.evaluations_kept)
    return created


def _store_findings(tx: Tx, turn: Turn, findings: _Findings) -> set[str]:
    """Insert what is due and remember what was evaluated; the ids of the runs made.

    Where a client was faster, with a run of its own or by pausing, what is due stays due.
    """
    concerned = {call.enrollment.id for call in findings.calls} | {e.id for e, _ in findings.moved}
    active = enrollments.still_active(tx, concerned) if concerned else set()
    queued = _first_free(tx, turn, findings, active=active)
    stored = runs.insert(tx, [run for run, _, _ in queued])
    for run, call, due in queued:
        reason = Reason.TRIGGERED if run.id in stored else Reason.OVERTAKEN
        words = Note(due.cause, run.id if run.id in stored else None)
        note(findings.sheet, call.row, reason=reason, words=words)
    overtaken = concerned - active | {run.enrollment_id for run, _, _ in queued if run.id not in stored}
    for (on, version), ids in findings.marks.items():
        evaluated = [id_ for id_ in ids if id_ not in overtaken]
        enrollments.set_evaluated(tx, turn.shard, evaluated, on=on, version=version)
    moved = [(enrollment, at) for enrollment, at in findings.moved if enrollment.id not in overtaken]
    enrollments.set_next_due(tx, turn.shard, moved)
    return stored


def _first_free(tx: Tx, turn: Turn, findings: _Findings, *, active: set[str]) -> list[tuple[Run, _Call, Due]]:
    """For each enrollment that is still active, the first run that is due and whose slot is free."""
    accounts = [call.enrollment.account_id for call in findings.calls]
    slots = {due.slot for call in findings.calls for due in call.due}
    taken = runs.slots_taken(tx, turn.shard, accounts, slots=slots) if accounts else set()
    queued = []
    # In the order in which they enrolled: account ids are chance.
    for call in sorted(findings.calls, key=lambda call: call.seq):
        free = next((due for due in call.due if (call.enrollment.account_id, due.slot) not in taken), None)
        cause = Note(call.due[0].cause)
        if call.enrollment.id not in active:
            note(findings.sheet, call.row, reason=Reason.OVERTAKEN, words=cause)
        elif free is None:
            note(findings.sheet, call.row, reason=Reason.ALREADY_RUN, words=cause)
        else:
            version = call.strategy.version
            run_id = turn.desk.new_id()
            # A worker that was paused since it looked must not begin a run before the end of another.
            now = turn.desk.clock()
            run = queued_run(call.enrollment, free, run_id=run_id, strategy_version=version, now=now)
            queued.append((run, call, free))
    return queued
