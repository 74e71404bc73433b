"""The database's evidence put in order: what belongs to which run, order and account."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from trimtab.audit.plan_body import PlanBody, read_body
from trimtab.store.evidence import (
    Evidence,
    StoredEvent,
    StoredExecution,
    StoredOrder,
    StoredPlan,
    StoredRun,
    StoredSkip,
)

FINAL_RUN_STATES = frozenset({"COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"})
LIVE_ORDER_STATES = frozenset({"SENDING", "OPEN"})
ACCEPTED_ORDER_STATES = frozenset({"OPEN", "FILLED", "CANCELED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """One run and all that belongs to it; `body` is None if there is no plan or it cannot be read."""

    run: StoredRun
    plan: StoredPlan | None
    body: PlanBody | None
    orders: Sequence[StoredOrder]
    skips: Sequence[StoredSkip]
    events: Sequence[StoredEvent]

    @property
    def is_final(self) -> bool:
        return self.run.state in FINAL_RUN_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    evidence: Evidence
    runs: Mapping[str, StoredRun]
    orders: Mapping[str, StoredOrder]
    executions: Mapping[str, Sequence[StoredExecution]]
    open_accounts: frozenset[str]

    def is_forgotten(self, at: datetime) -> bool:
        """Whether it happened after a copy was made and before that was compared with the broker."""
        return any(
            restore.copied_at <= at and (restore.reconciled_at is None or at <= restore.reconciled_at)
            for restore in self.evidence.restores
        )

    def dossiers(self) -> Iterator[Dossier]:
        """One run after the other; plans are read on the way, so that few are in memory at once."""
        plans = {plan.run_id: plan for plan in self.evidence.plans}
        orders = _by_run(self.evidence.orders)
        skips = _by_run(self.evidence.skips)
        events = _by_run(self.evidence.events)
        for run in self.evidence.runs:
            plan = plans.get(run.id)
            yield Dossier(
                run=run,
                plan=plan,
                body=None if plan is None else read_body(plan.body),
                orders=orders.get(run.id, ()),
                skips=skips.get(run.id, ()),
                events=sorted(events.get(run.id, ()), key=lambda event: event.number),
            )


class _OfRun(Protocol):
    @property
    def run_id(self) -> str: ...


R = TypeVar("R", bound=_OfRun)


def _by_run(records: Iterable[R]) -> dict[str, list[R]]:
    found: dict[str, list[R]] = defaultdict(list)
    for record in records:
        found[record.run_id].append(record)
    return found


def arrange(evidence: Evidence) -> Archive:
    executions: dict[str, list[StoredExecution]] = defaultdict(list)
    for execution in evidence.executions:
        executions[execution.client_order_id].append(execution)
    return Archive(
        evidence=evidence,
        runs={run.id: run for run in evidence.runs},
        orders={order.client_order_id: order for order in evidence.orders},
        executions=dict(executions),
        open_accounts=frozenset(r.account_id for r in evidence.runs if r.state not in FINAL_RUN_STATES),
    )
