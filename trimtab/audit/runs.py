"""Runs: none without a cause, one at a time per account, legal changes only, plans never changed.

I5, I6, I10 and I18.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from trimtab.audit.archive import FINAL_RUN_STATES, Archive, Dossier
from trimtab.audit.tally import Tally
from trimtab.store.evidence import StoredEvent, StoredRun

# What may follow what, written down again from the design: the engine's own table is not asked.
NEXT: Mapping[str, frozenset[str]] = {
    # A deadline counts from the start: what is QUEUED cannot time out.
    "QUEUED": frozenset({"PLANNED", "CANCELED", "FAILED"}),
    "PLANNED": frozenset({"SELLING", "BUYING", "COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"}),
    "SELLING": frozenset({"BUYING", "COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"}),
    "BUYING": frozenset({"COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"}),
    "COMPLETED": frozenset(),
    "CANCELED": frozenset(),
    "FAILED": frozenset(),
    "TIMED_OUT": frozenset(),
}


def causes_are_recorded(archive: Archive, tally: Tally) -> None:
    """I5: every run has a cause, and what made it is recorded."""
    enrollments = {enrollment.id: enrollment for enrollment in archive.evidence.enrollments}
    slots: dict[tuple[str, str], str] = {}
    for run in archive.evidence.runs:
        tally.checked += 1
        if not run.cause.strip():
            tally.fail(f"run {run.id} has no cause")
        if (run.initiator == "system") != (run.slot is not None):
            slot = "no slot" if run.slot is None else f"the slot {run.slot}"
            tally.fail(f"run {run.id} was initiated by {run.initiator} and has {slot}")
        if run.slot is not None:
            first = slots.setdefault((run.account_id, run.slot), run.id)
            if first != run.id:
                tally.fail(f"runs {first} and {run.id} of account {run.account_id} share slot {run.slot}")
        if run.enrollment_id is not None:
            enrollment = enrollments.get(run.enrollment_id)
            if enrollment is None:
                tally.fail(f"run {run.id} names enrollment {run.enrollment_id}, which does not exist")
            elif (enrollment.tenant_id, enrollment.account_id) != (run.tenant_id, run.account_id):
                tally.fail(f"run {run.id} names enrollment {run.enrollment_id} of another account")


class Span(NamedTuple):
    """The time in which a run was open; `seq` orders runs that begin at the same instant."""

    start: datetime
    seq: int
    end: datetime | None
    run_id: str

    def __str__(self) -> str:
        return f"{self.run_id} ({self.start} to {self.end or 'now'})"


def runs_of_an_account_never_overlap(archive: Archive, tally: Tally) -> None:
    """I6: runs that touch do not overlap: in a standing clock many follow one another at one instant."""
    accounts: dict[str, list[Span]] = defaultdict(list)
    times = _times(archive.evidence.events)
    for run in archive.evidence.runs:
        accounts[run.account_id].append(_span(run, times))
    for account_id, spans in accounts.items():
        tally.checked += 1
        longest: Span | None = None
        for span in sorted(spans, key=lambda span: (span.start, span.seq)):
            if longest is None:
                longest = span
                continue
            if longest.end is None or span.start < longest.end:
                tally.fail(f"account {account_id}: runs {longest} and {span} overlap")
            if longest.end is not None and (span.end is None or span.end > longest.end):
                longest = span


def _times(events: Iterable[StoredEvent]) -> dict[str, tuple[datetime | None, datetime | None]]:
    """When each run became QUEUED, and when final, by its events."""
    times: dict[str, tuple[datetime | None, datetime | None]] = {}
    for event in events:
        start, end = times.get(event.run_id, (None, None))
        if event.state == "QUEUED":
            times[event.run_id] = (event.at, end)
        elif event.state in FINAL_RUN_STATES:
            times[event.run_id] = (start, event.at)
    return times


def _span(run: StoredRun, times: Mapping[str, tuple[datetime | None, datetime | None]]) -> Span:
    start, end = times.get(run.id, (None, None))
    return Span(start or run.created_at, run.seq, end or run.finished_at, run.id)


def changes_are_legal(dossier: Dossier, tally: Tally) -> None:
    """I10: events count from 1 along the table, and the run is what the last one says."""
    run, events = dossier.run, dossier.events
    tally.checked += 1
    numbers = [event.number for event in events]
    if numbers != list(range(1, len(numbers) + 1)):
        tally.fail(f"run {run.id}: its events are numbered {', '.join(map(str, numbers))}")
    if not events:
        tally.fail(f"run {run.id} has no events")
        return
    if events[0].state != "QUEUED":
        tally.fail(f"run {run.id} begins as {events[0].state}")
    for before, after in pairwise(events):
        if after.state not in NEXT.get(before.state, ()):
            tally.fail(f"run {run.id} went from {before.state} to {after.state}")
    if events[-1].state != run.state:
        tally.fail(f"run {run.id} is {run.state}, its last event says {events[-1].state}")
    if (run.finished_at is not None) != dossier.is_final:
        finished = "has no time of its end" if run.finished_at is None else f"ended at {run.finished_at}"
        tally.fail(f"run {run.id} is {run.state} and {finished}")


def events_have_runs(archive: Archive, tally: Tally) -> None:
    """I10: an event is a change of some run."""
    for event in archive.evidence.events:
        if event.run_id not in archive.runs:
            tally.fail(f"event {event.number} ({event.state}) is of no run: {event.run_id}")


def plans_never_change(dossier: Dossier, tally: Tally) -> None:
    """I18: a plan is the text that was hashed when it was stored."""
    plan = dossier.plan
    if plan is None:
        return
    tally.checked += 1
    if sha256(plan.body.encode()).hexdigest() != plan.body_hash:
        tally.fail(f"the plan of run {plan.run_id} is not the one that was stored: its hash differs")
    if dossier.body is None:
        tally.fail(f"the plan of run {plan.run_id} cannot be read")


def runs_past_the_queue_have_plans(dossier: Dossier, tally: Tally) -> None:
    """I18: the plan is stored in the step that leaves the queue."""
    planned = any(event.state in {"PLANNED", "SELLING", "BUYING", "COMPLETED"} for event in dossier.events)
    if planned != (dossier.plan is not None):
        has = "no plan" if dossier.plan is None else "a plan"
        tally.fail(f"run {dossier.run.id} has {has}, and {'left' if planned else 'never left'} the queue")


def plans_have_runs(archive: Archive, tally: Tally) -> None:
    """I18: a plan is some run's."""
    for plan in archive.evidence.plans:
        if plan.run_id not in archive.runs:
            tally.fail(f"the plan of run {plan.run_id} is of no run")
