"""The embedded driver: one process works all shards, one after another, in one thread.

In the sandbox nobody drives but `settle`; otherwise the thread looks once a second for shards that are
due, and sweeps each at least every few minutes while a market is open.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from trimtab.core.errors import Fenced
from trimtab.engine.desk import Desk, drive
from trimtab.engine.publish import publish
from trimtab.engine.strategy_actions import review_assets
from trimtab.engine.work import work
from trimtab.store import shards

log = logging.getLogger(__name__)

TICK_S = 1.0
SWEEP_EVERY = timedelta(minutes=5)
# Every round ends runs or makes some, and slots bound how many there can be.
ROUNDS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    evaluated: int
    runs_created: int
    runs_finished: int
    orders: int


def settle(desk: Desk) -> Settled:
    """Evaluate and work until nothing more is due at the present time, and publish what has happened;
    never moves time.

    A broker that is down leaves what needs it as it is.
    """
    evaluated: set[str] = set()
    created = finished = orders = 0
    review_assets(desk)
    pending = desk.db.read(shards.numbers)
    for _ in range(ROUNDS_MAX):
        turns = [drive(work(desk, shard), desk) for shard in pending]
        evaluated.update(*(turn.evaluated for turn in turns))
        created += sum(len(turn.created) for turn in turns)
        finished += sum(len(turn.finished) for turn in turns)
        orders += sum(turn.orders for turn in turns)
        # An account with an open run is not evaluated: once it has ended, there may be something due.
        # The runs of this very turn come from an evaluation, which leaves nothing else due.
        pending = [turn.shard for turn in turns if turn.finished - turn.created]
        if any(turn.lifted for turn in turns):
            pending = desk.db.read(shards.numbers)
        if not pending:
            publish(desk)
            return Settled(
                evaluated=len(evaluated), runs_created=created, runs_finished=finished, orders=orders
            )
    raise AssertionError(f"nothing settled in {ROUNDS_MAX} rounds")


class LocalDriver:
    """The thread that drives the engine while a server runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stopping = threading.Event()
        self._begun = False
        self._reached: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the round under way, then end."""
        self._stopping.set()
        self._thread.join()

    @property
    def has_reconciled(self) -> bool:
        """Whether every shard has been compared with the broker since the start: what is open was looked up,
        and what the accounts hold was taken over.
        """
        return self._begun and set(self._desk.db.read(shards.numbers)) <= self._reached

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._begun:
                    self._begin()
                self._reached |= tick(self._desk, stopping=self._stopping.is_set)
            except Exception:  # the worker loop outlives whatever one round meets
                log.exception("the engine will try again")
            self._stopping.wait(TICK_S)

    def _begin(self) -> None:
        """Whatever happened while nobody worked: look at everything once."""
        now = self._desk.clock()
        self._desk.db.write(lambda tx: shards.mark_all_due(tx, now))
        self._begun = True


def tick(desk: Desk, *, stopping: Callable[[], bool]) -> set[int]:
    """One look at all shards: work those that are due, and those that have not been worked for a while
    during which a market was open; then publish. Returns those in which the broker answered to the end.
    """
    reached: set[int] = set()
    now = desk.clock()
    market_open = any(sessions.may_evaluate(now) for sessions in desk.calendars.values())
    to_work = desk.db.read(
        lambda tx: shards.to_work(tx, now, idle_since=now - SWEEP_EVERY if market_open else None)
    )
    if to_work:
        review_assets(desk)
    for shard in to_work:
        if stopping():
            return reached
        try:
            if drive(work(desk, shard), desk).reached:
                reached.add(shard)
        except Fenced as error:
            log.info("%s", error)
        except Exception:  # a shard that nobody foresaw must not starve those behind it
            log.exception("shard %d will be tried again", shard)
    publish(desk)
    return reached
