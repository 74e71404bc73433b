"""A worker that can die between any two effects, or in the middle of a sending, and starts anew.

What a dead worker had in memory is lost: its generator is laid aside and never continued. What it had
committed and sent stays. So dying after an effect and dying before the next one are the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from tests.engine.desks import World
from trimtab.engine.desk import Effect, Effects, Send, perform
from trimtab.engine.work import work

T = TypeVar("T")

ROUNDS_MAX = 50
DEATHS_MAX = 1000


class Died(Exception):
    """The worker is no more."""


@dataclass(frozen=True, order=True)
class Point:
    """Before effect `number`, counted over all lives; with `sent`, in it, when that many orders had left."""

    number: int
    sent: int = 0


@dataclass(kw_only=True)
class Machine:
    """`sizes` are the effects performed so far: how many orders each sent. `before` runs before each."""

    world: World
    points: frozenset[Point] = frozenset()
    before: Callable[[int], None] = lambda _number: None
    sizes: list[int] = field(default_factory=list)
    dead: list[Effects[Any]] = field(default_factory=list)

    def drive(self, effects: Effects[T]) -> T:
        """Perform the effects in order, as `engine.desk.drive`; raises Died at the points."""
        try:
            effect = next(effects)
            while True:
                self._perhaps_die(effects, effect)
                try:
                    answer = perform(effect, self.world.desk.db, broker=self.world.desk.broker)
                except Exception as error:
                    effect = effects.throw(error)
                else:
                    effect = effects.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _perhaps_die(self, effects: Effects[Any], effect: Effect) -> None:
        number = len(self.sizes)
        orders = effect.orders if isinstance(effect, Send) else ()
        self.sizes.append(len(orders))
        self.before(number)
        for point in self.points:
            if point.number == number:
                if point.sent:
                    self.world.desk.broker.submit(orders[: point.sent])
                self.dead.append(effects)
                raise Died

    def work(self) -> None:
        """Sweep and advance every shard until nothing moves at the present time, through all deaths."""
        for _ in range(DEATHS_MAX):
            try:
                self._rounds()
            except Died:
                continue
            return
        raise AssertionError("the worker dies too often")

    def _rounds(self) -> None:
        for _ in range(ROUNDS_MAX):
            moved = [self._round(shard) for shard in self.world.shards()]
            due_at = self.world.due_at()
            if not any(moved) and (due_at is None or due_at > self.world.clock.now):
                return
        raise AssertionError("nothing comes to rest")

    def _round(self, shard: int) -> bool:
        """Whether something moved."""
        turn = self.drive(work(self.world.desk, shard))
        return bool(turn.created or turn.finished or turn.orders)

    def work_on(self, hours: int = 12) -> None:
        """Work, and set the clock to when the next worker is wanted, until every run is final."""
        self.work()
        give_up_at = self.world.clock.now + timedelta(hours=hours)
        while self.world.open_runs():
            due_at = self.world.due_at()
            assert due_at is not None, f"nobody is wanted, and open are {self.world.open_runs()}"
            assert due_at > self.world.clock.now, "the clock would stand still"
            assert due_at < give_up_at, f"not final within {hours} hours: {self.world.open_runs()}"
            self.world.clock.now = due_at
            self.work()


def points(sizes: Iterable[int]) -> Iterator[Point]:
    """Every point at which a worker that does these effects can die."""
    for number, size in enumerate(sizes):
        yield from (Point(number, sent) for sent in range(max(size, 1)))
