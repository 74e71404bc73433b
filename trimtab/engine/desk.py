"""What the engine works with, and the effects through which it touches it.

Everything the engine does to the world is an effect that a generator yields: a read, a commit, a
sending of orders, a question to the broker. A driver performs them in order; a test may crash between
any two. The desk itself is a value, made by `boot`.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from trimtab.brokers.broker import Broker, Outcome
from trimtab.core.enrollment import EvaluationPolicy
from trimtab.core.errors import BrokerPartlyDown
from trimtab.core.gate import Caps
from trimtab.core.plan import Limits
from trimtab.core.run import Order, TriggerPolicy
from trimtab.core.sessions import Sessions
from trimtab.database import Database, Tx
from trimtab.engine.bell import Bell

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """`calendars` by name; `calendar` is that of strategies made through `/v1`; what sweeps found is kept
    for `evaluations_kept`; `new_id` makes UUIDs; `bell` rings when something was published.
    """

    db: Database
    broker: Broker
    calendars: Mapping[str, Sessions]
    calendar: str
    evaluation: EvaluationPolicy
    limits: Limits
    caps: Caps
    trigger: TriggerPolicy
    evaluations_kept: timedelta
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    bell: Bell = field(default_factory=Bell)


def store_nothing(_tx: Tx, _what: object) -> None:
    """What most callers of an action store beside its effect, in the same transaction."""


@dataclass(frozen=True, slots=True)
class Read:
    work: Callable[[Tx], Any]


@dataclass(frozen=True, slots=True)
class Commit:
    """A durable transaction."""

    work: Callable[[Tx], Any]


@dataclass(frozen=True, slots=True)
class Send:
    """Hand orders to the broker, each once, with no transaction open."""

    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the broker; it may raise BrokerDown."""

    question: Callable[[Broker], Any]


Effect = Read | Commit | Send | Ask
Effects = Generator[Effect, Any, T]


def read(work: Callable[[Tx], T]) -> Effects[T]:
    answer: T = yield Read(work)
    return answer


def commit(work: Callable[[Tx], T]) -> Effects[T]:
    answer: T = yield Commit(work)
    return answer


def send(orders: Sequence[Order]) -> Effects[list[Outcome]]:
    answer: list[Outcome] = yield Send(tuple(orders))
    return answer


def ask(question: Callable[[Broker], T]) -> Effects[T]:
    answer: T = yield Ask(question)
    return answer


def ask_each(
    question: Callable[[Broker], Mapping[str, T]],
) -> Effects[tuple[Mapping[str, T], frozenset[str]]]:
    """A question about many things: the answers that came, and the ids of what could not be asked about."""
    try:
        return (yield from ask(question)), frozenset()
    except BrokerPartlyDown as partly:
        return partly.answers, partly.missing


def perform(effect: Effect, db: Database, *, broker: Broker) -> Any:
    """Do what one effect says and return its answer."""
    match effect:
        case Read(work):
            return db.read(work)
        case Commit(work):
            return db.write(work)
        case Send(orders):
            return broker.submit(orders)
        case Ask(question):
            return question(broker)


def drive(effects: Effects[T], desk: Desk) -> T:
    """Perform the effects in order; what an effect raises is raised where it was yielded."""
    try:
        effect = next(effects)
        while True:
            try:
                answer = perform(effect, desk.db, broker=desk.broker)
            except Exception as error:  # whoever asked for the effect decides what it means
                effect = effects.throw(error)
            else:
                effect = effects.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
