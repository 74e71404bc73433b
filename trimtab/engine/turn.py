"""One worker's turn at a shard: it takes the shard, evaluates, and advances what is open.

Taking raises the shard's epoch; every commit of the turn first makes sure that nobody has taken the
shard since.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from trimtab.database import Tx
from trimtab.engine import desk as effects
from trimtab.engine.cases import Seen
from trimtab.engine.desk import Desk, Effects
from trimtab.store import shards

T = TypeVar("T")

# When a broker that could not be asked, about anything or about one account or order, is asked again.
RETRY_BROKER = timedelta(seconds=5)


@dataclass(slots=True, kw_only=True)
class Turn:
    """The epoch it took the shard with, what it has seen of the broker, and what it has done: the ids
    of the enrollments it evaluated, of the runs it made and of those it finished. `resting` are runs that
    have to wait for another turn, whatever they could do now. `lifted`: it has ended the freeze of a restored
    copy, so that every shard may go on; `reached`: the broker has answered to the end.
    """

    desk: Desk
    shard: int
    epoch: int
    now: datetime
    is_restored: bool = False
    lifted: bool = False
    reached: bool = False
    seen: Seen = field(default_factory=Seen)
    evaluated: frozenset[str] = frozenset()
    created: frozenset[str] = frozenset()
    finished: set[str] = field(default_factory=set)
    orders: int = 0
    resting: set[str] = field(default_factory=set)
    wake_at: datetime | None = None

    def look_at_clock(self) -> None:
        """A turn may take long: what it decides and sends goes by the present time."""
        self.now = self.desk.clock()

    def wake_by(self, at: datetime | None) -> None:
        if at is not None and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at

    def rest(self, run_id: str, *, until: datetime) -> None:
        """Leave a run to a later turn."""
        self.resting.add(run_id)
        self.wake_by(until)

    def commit(self, work: Callable[[Tx], T]) -> Effects[T]:
        """A durable transaction that happens only while the shard is ours."""

        def guarded(tx: Tx) -> T:
            shards.guard(tx, self.shard, self.epoch)
            return work(tx)

        return effects.commit(guarded)


def take_turn(desk: Desk, shard: int) -> Effects[Turn]:
    """Become the shard's writer."""
    now = desk.clock()
    taken = yield from effects.commit(lambda tx: shards.take(tx, shard, now=now))
    return Turn(desk=desk, shard=shard, epoch=taken.epoch, now=now, is_restored=taken.is_restored)
