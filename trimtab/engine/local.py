"""The embedded driver: one process works all shards, one after another, in one thread.

In the sandbox nobody drives but `settle`; otherwise the thread looks once a second for shards that are
due, and sweeps each at least every few minutes while a market is open.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from trimtab.core.errors import BrokerDown, Fenced
from trimtab.engine.advance import advance
from trimtab.engine.desk import Desk, drive
from trimtab.engine.strategy_actions import review_assets
from trimtab.engine.sweep import sweep
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
    """Evaluate and work until nothing more is due at the present time; never moves time.

    A broker that is down leaves what needs it as it is.
    """
    evaluated: set[str] = set()
    created = finished = orders = 0
    _review(desk)
    pending = desk.db.read(shards.numbers)
    for _ in range(ROUNDS_MAX):
        moved = []
        for shard in pending:
            swept = _sweep(desk, shard)
            turn = drive(advance(desk, shard), desk)
            evaluated |= swept[0]
            created += swept[1]
            finished += turn.finished
            orders += turn.orders
            if turn.finished:
                moved.append(shard)
        if not moved:
            return Settled(
                evaluated=len(evaluated), runs_created=created, runs_finished=finished, orders=orders
            )
        pending = moved
    raise AssertionError(f"nothing settled in {ROUNDS_MAX} rounds")


def _review(desk: Desk) -> None:
    try:
        review_assets(desk)
    except BrokerDown as error:
        log.warning("assets were not reviewed: %s", error)


def _sweep(desk: Desk, shard: int) -> tuple[frozenset[str], int]:
    try:
        swept = drive(sweep(desk, shard), desk)
    except BrokerDown as error:
        log.warning("shard %d was not evaluated: %s", shard, error)
        return frozenset(), 0
    return swept.evaluated, swept.created


class LocalDriver:
    """The thread that drives the engine while a server runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the round under way, then end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                tick(self._desk, stopping=self._stopping.is_set)
            except Exception:  # the worker loop outlives whatever one round meets
                log.exception("the engine will try again")
            self._stopping.wait(TICK_S)


def tick(desk: Desk, *, stopping: Callable[[], bool]) -> None:
    """One look at all shards: work those that are due, sweep those that have not been for a while."""
    now = desk.clock()
    market_open = any(sessions.may_evaluate(now) for sessions in desk.calendars.values())
    due = set(desk.db.read(lambda tx: shards.due(tx, now)))
    for shard in desk.db.read(shards.numbers):
        if stopping():
            return
        last = desk.db.read(lambda tx, shard=shard: shards.swept_at(tx, shard))  # type: ignore[misc]
        stale = market_open and (last is None or now - last >= SWEEP_EVERY)
        if not (stale or shard in due):
            continue
        _review(desk)
        try:
            _sweep(desk, shard)
            drive(advance(desk, shard), desk)
        except Fenced as error:
            log.info("%s", error)
