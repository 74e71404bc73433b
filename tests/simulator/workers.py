"""Workers that perform the engine's effects one by one, and die or pause between any two.

What a dead worker had in memory is lost: its generator is laid aside and never continued. A paused one
goes on later as if nothing had happened, with an epoch that may be over. Orders of one sending leave one
by one, and whatever happens to a worker may happen between them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.engine.desks import MONDAY
from tests.simulator.market import Market
from trimtab.brokers.broker import NotSent, Outcome, Unknown
from trimtab.core.errors import Fenced
from trimtab.core.run import Order, Side
from trimtab.database import instant
from trimtab.engine.desk import Ask, Commit, Desk, Effect, Effects, Read, Send, perform
from trimtab.engine.local import SWEEP_EVERY
from trimtab.engine.publish import publish
from trimtab.engine.turn import Turn
from trimtab.engine.work import work
from trimtab.store import shards

TICK_S = 1.0
BEAT_S = 0.2
ANSWER_S = {Read: 0.001, Commit: 0.002, Send: 0.03, Ask: 0.03}
SLOW_S = (0.2, 1, 3)
NO_ANSWER_S = 5
PAUSES_S = (5, 12, 30)
RESTARTS_S = (1, 4, 15)


class Wrong(AssertionError):
    """Something happened that never may; `rule` is the same for everything of that kind."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule
        self.what = what


class ConnectionLost(Exception):
    """The database has committed, and nobody was told."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """What is looked at while it happens, and how to let the others know that there may be work."""

    before_send: Callable[[Order], None]
    may_write: Callable[[int, Callable[[], Any]], Any]
    rouse: Callable[[], None]
    meanwhile: Callable[[], None]
    taken: Callable[["Worker"], None]


@dataclass(slots=True, kw_only=True)
class Worker:
    """`effects` is what it is doing, `effect` what it does next; `life` tells its incarnations apart."""

    name: str
    desk: Desk
    market: Market
    watch: Watch
    number: int
    effects: Effects[Turn] | None = None
    effect: Effect | None = None
    label: str = ""
    epoch: int | None = None
    life: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    laid_aside: list[Effects[Turn]] = field(default_factory=list)
    wakes_at: datetime | None = None
    starts_at: datetime = MONDAY
    sleeps_until: datetime = MONDAY
    pending: list[int] = field(default_factory=list)
    is_new: bool = False

    @property
    def is_idle(self) -> bool:
        return self.effects is None

    def wake_at(self, when: datetime) -> None:
        """Look for work at that time, unless it looks before anyway."""
        when = max(when, self.starts_at)
        if self.is_idle and (self.wakes_at is None or when < self.wakes_at):
            self.wakes_at = max(when, self.market.time.now)
            self.market.time.at(self.wakes_at, partial(self._look, self.life, self.wakes_at))

    def _look(self, life: int, planned: datetime) -> None:
        """One look at all shards, as the server's thread does."""
        if life != self.life or not self.is_idle or planned != self.wakes_at:
            return
        self.wakes_at = None
        if self.market.time.now < self.sleeps_until:
            self.wake_at(self.sleeps_until)
            return
        now = self.market.time.now
        self.pending = list(
            self.desk.db.read(lambda tx: shards.to_work(tx, now, idle_since=now - SWEEP_EVERY))
        )
        if not self.pending and self.market.happens("takeover"):
            self.pending = list(self.desk.db.read(shards.numbers))
        self._next_shard()

    def _next_shard(self) -> None:
        if self.pending:
            self._begin(work(self.desk, self.pending.pop(0)))
            return
        publish(self.desk)
        self.watch.rouse()

    def rest(self, due_at: datetime) -> None:
        """Until somebody is wanted: at the first tick at which a shard is due. Each looks at its own beat."""
        self.wake_at(max(due_at, self.market.time.now) + timedelta(seconds=TICK_S / 2 + self.number * BEAT_S))

    def _begin(self, effects: Effects[Turn]) -> None:
        self.effects, self.epoch = effects, None
        self._advance(lambda: next(effects))

    def _advance(self, go: Callable[[], Effect]) -> None:
        """Take the generator to its next effect, or to its end."""
        try:
            self.effect = go()
        except StopIteration:
            self._finished("")
        except Fenced:
            self.market.time.tag("fenced")
            self._finished("fenced")
        except ConnectionLost:
            self._finished("does not know whether it was committed")
        except Wrong:
            raise
        except Exception as error:
            raise Wrong("worker failed", f"{type(error).__name__}: {error}") from error
        else:
            again = isinstance(self.effect, Send) and self.label == LABELS["resend"]
            self.label, self.outcomes = "orders again" if again else label_of(self.effect), []
            self._soon()

    def _finished(self, how: str) -> None:
        if how:
            self.market.time.write(self.name, how)
        self.effects = self.effect = None
        self._next_shard()

    def _soon(self) -> None:
        """The next effect, after the time that such a thing takes. A pause ends with all other faults."""
        assert self.effect is not None, "somebody is at work"
        market, time = self.market, self.market.time
        perform_it = partial(self._perform, self.life)
        if market.happens("pause", f"pause before {self.label}", times=self._tenderness):
            time.tag(f"pause before {self.label}")
            pause = timedelta(seconds=PAUSES_S[market.tape.choice("pause by", len(PAUSES_S))])
            time.at(min(time.now + pause, market.calm_at), perform_it)
            self.watch.rouse()
        elif market.happens("slow", f"slow {self.label}"):
            time.after(SLOW_S[market.tape.choice("slow by", len(SLOW_S))], perform_it)
        else:
            time.after(ANSWER_S[type(self.effect)], perform_it)

    def _perform(self, life: int) -> None:
        """Do the next effect, or die before it."""
        if life != self.life or self.effect is None or self.effects is None:
            return
        if self.market.time.now < self.sleeps_until:
            self.market.time.at(self.sleeps_until, partial(self._perform, life))
            return
        if self.market.happens("crash", f"crash before {self.label}", times=self._tenderness):
            self.die()
            return
        if self.market.happens("meanwhile", f"meanwhile {self.label}"):
            self.watch.meanwhile()
        effects = self.effects
        if isinstance(self.effect, Send):
            self._send_one(self.effect)
            return
        try:
            answer = self._do(self.effect)
        except Wrong:
            raise
        except Exception as error:
            failure = error
            self.market.time.write(self.name, self.label, result=type(error).__name__)
            self._advance(lambda: effects.throw(failure))
        else:
            self.market.time.write(self.name, self.label)
            self._advance(lambda: effects.send(answer))

    @property
    def _tenderness(self) -> int:
        """How many times as often as elsewhere it dies or is paused here."""
        if self.outcomes:
            return IN_THE_MIDDLE
        return MORE_OFTEN if self.label in TENDER else 1

    def _do(self, effect: Effect) -> Any:
        do = partial(perform, effect, self.desk.db, broker=self.desk.broker)
        if not isinstance(effect, Commit):
            return do()
        if self.epoch is None:
            taken = do()
            self.epoch = taken.epoch
            self.watch.taken(self)
            return taken
        done = self.watch.may_write(self.epoch, do)
        self.market.time.tag(f"done: {self.label}")
        if self.market.happens("commit unknown", f"connection lost after {self.label}"):
            raise ConnectionLost
        return done

    def _send_one(self, send: Send) -> None:
        order = send.orders[len(self.outcomes)]
        self.watch.before_send(order)
        (outcome,) = self.desk.broker.submit([order])
        again = "again" if self.label == "orders again" else "first"
        self.market.time.tag(f"sent {again}: {type(outcome).__name__}")
        self.market.time.write(
            self.name, f"send {order.client_order_id[:8]} {order.side}", result=type(outcome).__name__
        )
        self.outcomes.append(outcome)
        if len(self.outcomes) < len(send.orders):
            waits = NO_ANSWER_S if isinstance(outcome, Unknown) else ANSWER_S[Send]
            self.market.time.after(waits, partial(self._perform, self.life))
            return
        if any(isinstance(each, NotSent) for each in self.outcomes):
            self.market.time.tag("some orders of a sending have not left")
        effects, outcomes = self.effects, self.outcomes
        assert effects is not None, "it is sending"
        self._advance(lambda: effects.send(outcomes))

    def die(self, again_s: float | None = None) -> None:
        """Everything in memory is gone; it starts anew after so many seconds, or after a while."""
        time = self.market.time
        if self.effects is not None:
            within = f" after {len(self.outcomes)} orders" if self.outcomes else ""
            time.tag(f"crash in {self.label}" if self.outcomes else f"crash before {self.label}")
            if self.is_new:
                time.tag("crash of a worker that has just started anew")
            time.write(self.name, f"dies before {self.label}{within}")
            self.laid_aside.append(self.effects)
        self.life += 1
        self.is_new = True
        self.effects = self.effect = self.wakes_at = None
        self.outcomes, self.pending = [], []
        if again_s is None:
            soon_s = RESTARTS_S[self.market.tape.choice("restart after", len(RESTARTS_S))]
            self.starts_at = min(time.now + timedelta(seconds=soon_s), self.market.calm_at)
        else:
            self.starts_at = time.now + timedelta(seconds=again_s)
        self.wake_at(self.starts_at)
        self.watch.rouse()


DUE = """SELECT (SELECT MIN(due_at) FROM shards) AS due_at,
                (SELECT MIN(taken_at) FROM shards) AS taken_at,
                (SELECT MIN(taken_at) FROM shards s WHERE due_at IS NULL AND EXISTS (
                   SELECT 1 FROM runs r WHERE r.shard = s.shard
                     AND r.state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING'))) AS left_at"""


def due(tx: Any) -> datetime | None:
    """When the driver's next look finds something: a due time, a shard whose worker has left it, or one
    that nobody has looked at for long.
    """
    row = tx.row(DUE)
    patience = {"due_at": timedelta(0), "taken_at": SWEEP_EVERY, "left_at": shards.LEFT_AFTER}
    times = (instant(row[name]) + wait for name, wait in patience.items() if row[name] is not None)
    return min(times, default=None)


LABELS = {
    "take_turn": "taking a shard",
    "_intents_of": "intents",
    "resend": "second intents",
    "store_plans": "plans",
    "record": "what became of orders",
    "_take_back": "taking intents back",
    "reconcile": "a comparison with the broker",
    "finish": "the end of runs",
    "fail": "failures",
    "release": "a release",
    "sweep": "findings",
    "work": "the next time",
    "look": "a look at accounts",
    "learn": "a question about orders",
    "cancel_orders": "cancels",
    "_ask_quotes": "a question about prices",
    "ask_quotes": "a question about quotes",
    "open_cases": "reading open runs",
    "_read": "reading",
    "follow_broker": "reading the mirror",
    "_feed_since": "a question about news",
    "_accounts": "a look at news",
    "_with_actions": "a question about held assets",
    "_lookup": "a question about forgotten orders",
    "_end_overtaken": "a comparison of what is planned",
    "_carried_out": "reading what was held",
    "_planned": "reading what is planned",
}
"""What an effect is for, by the function of the engine that made it."""


TENDER = frozenset(
    {"plans", "intents", "second intents", "sells", "buys", "orders again", "what became of orders"}
    | {"taking intents back", "the end of runs", "a comparison with the broker", "a release", "cancels"}
)
"""Where a death or a pause hurts most; it comes more often there."""
MORE_OFTEN = 4
IN_THE_MIDDLE = 8
"""Of a sending, when some of its orders have left."""


def label_of(effect: Effect) -> str:
    if isinstance(effect, Send):
        return "sells" if effect.orders[0].side is Side.SELL else "buys"
    name = _maker(effect.question if isinstance(effect, Ask) else effect.work)
    return LABELS.get(name, name)


def _maker(function: Any) -> str:
    if isinstance(function, partial):
        return str(function.func.__name__)
    if function.__qualname__ == "Turn.commit.<locals>.guarded":
        cell = function.__closure__[function.__code__.co_freevars.index("work")]
        return _maker(cell.cell_contents)
    return str(function.__qualname__).partition(".")[0]
