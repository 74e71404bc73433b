"""Strategies within strategies: whose followers an update reaches, and circles that nobody can close."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from threading import Event

import pytest

from tests.engine.desks import TENANT, World, targets
from trimtab.core.errors import InvalidStrategy
from trimtab.core.strategy import (
    BandKind,
    CashTarget,
    Condition,
    Definition,
    DriftBand,
    OnUpdate,
    Strategy,
    StrategyTarget,
    Target,
)
from trimtab.database import Tx
from trimtab.engine import strategy_actions
from trimtab.store import strategies
from trimtab.store.enrollments import Page

BAND = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))


def lines(*inner: Strategy, cash: str | None = None) -> tuple[Target, ...]:
    """Equal parts of these strategies beside the cash."""
    share = (100 - Decimal(cash or 0)) / len(inner)
    nested = (StrategyTarget(strategy_id=each.id, percent=share) for each in inner)
    return (*nested, *([] if cash is None else [CashTarget(percent=Decimal(cash))]))


def nest(
    world: World, *inner: Strategy, conditions: tuple[Condition, ...] = (), cash: str | None = None
) -> Strategy:
    definition = Definition(targets=lines(*inner, cash=cash), conditions=conditions, cooldown_days=30)
    draft = strategy_actions.StrategyDraft(
        name="nest", description="", definition=definition, calendar=world.desk.calendar
    )
    return strategy_actions.create_strategy(world.desk, TENANT, draft)


def head(world: World, strategy: Strategy) -> tuple[int, int]:
    found = world.db.read(lambda tx: strategies.heads(tx, [strategy.id]))[strategy.id]
    return found.version, found.updated_version


def test_an_update_reaches_the_followers_of_every_strategy_above(world: World) -> None:
    """Half of what ann holds, and a quarter of what bob holds, is the strategy that changes."""
    inner = world.strategy(SPY="100")
    middle = nest(world, inner, cash="50", conditions=(OnUpdate(),))
    top = nest(world, middle, cash="50", conditions=(OnUpdate(),))
    beside = nest(world, world.strategy(SPY="100"), conditions=(OnUpdate(),))
    for name, strategy in (("ann", middle), ("bob", top), ("eve", beside)):
        world.enroll(world.open_account(name, "3200"), strategy)
    world.settle()
    assert (world.holdings("ann"), world.holdings("bob")) == ("cash 1600, SPY 4", "cash 2400, SPY 2")
    world.change(inner, targets=targets(SPY="50", TLT="50"))
    world.settle()
    assert (world.holdings("ann"), world.holdings("bob")) == (
        "cash 1600, SPY 2, TLT 8",
        "cash 2400, SPY 1, TLT 4",
    )
    # In the middle of a cooldown of 30 days, once, and nobody else.
    world.settle()
    assert world.slots("ann") == world.slots("bob") == ["enrollment", "update"]
    assert world.slots("eve") == ["enrollment"]
    world.require_sound()


def test_an_update_from_below_spends_the_cooldown_for_one_evaluation_of_the_bands(world: World) -> None:
    inner = world.strategy(SPY="100")
    outer = nest(world, inner, cash="50", conditions=(BAND,))
    world.enroll(world.open_account("ann", "3200"), outer)
    world.settle()
    # Half of the half goes elsewhere: 25 % off, five times the band.
    world.change(inner, targets=targets(SPY="50", TLT="50"))
    world.settle()
    assert world.slots("ann") == ["enrollment", "update"]
    # SPY doubles: 57 % of $4,000 instead of a quarter each, but the cooldown has begun anew.
    world.set_prices(SPY="800")
    world.settle()
    assert world.slots("ann") == ["enrollment", "update"]


def test_a_strategy_held_in_two_ways_makes_one_version_above(world: World) -> None:
    inner = world.strategy(SPY="100")
    top = nest(world, nest(world, inner), nest(world, inner), conditions=(OnUpdate(),))
    world.change(inner, targets=targets(TLT="100"))
    assert head(world, top) == (2, 2)
    found = world.db.read(lambda tx: strategies.versions(tx, top.id, Page(after=None, limit=9)))
    assert [(version.number, version.change_log) for _, version in found] == [
        (2, f"version 2 of {inner.id}, which is nested in this one"),
        (1, None),
    ]
    assert {version.definition for _, version in found} == {top.definition}


def test_what_does_not_change_the_weights_above_reaches_nobody_there(world: World) -> None:
    inner = world.strategy(SPY="100")
    outer = nest(world, inner, conditions=(OnUpdate(),))
    world.change(inner, name="new", cooldown_days=5)
    world.change(inner, conditions=(BAND,))
    world.change(inner, publishes=True)
    assert head(world, outer) == (1, 1)
    world.end(outer)
    world.change(inner, targets=targets(TLT="100"))
    assert head(world, outer) == (1, 1)


def test_a_change_writes_strategies_and_marks_shards_and_touches_no_account(world: World) -> None:
    inner = world.strategy(SPY="100")
    outer = nest(world, inner, conditions=(OnUpdate(),))
    world.enroll(world.open_account("ann", "400"), outer)
    world.settle()
    before, due_before = world.dump(), world.due_at()
    world.change(inner, targets=targets(TLT="100"))
    after = world.dump()
    assert {table for table in after if after[table] != before[table]} == {"strategies", "strategy_versions"}
    assert due_before is None or due_before > world.clock.now
    assert world.due_at() == world.clock.now


def test_a_circle_is_refused_with_its_way(world: World) -> None:
    one = world.strategy(SPY="100")
    two = nest(world, one)
    three = nest(world, two)
    for inner, way in ((one, (one, one)), (two, (one, two, one)), (three, (one, three, two, one))):
        with pytest.raises(InvalidStrategy) as refused:
            world.change(one, targets=lines(inner))
        (problem,) = refused.value.problems
        assert problem.text == "weights: a portfolio cannot contain itself: " + " > ".join(s.id for s in way)
    assert head(world, one) == (1, 1)


def put_in_while(world: World, into: Strategy, *, what: Strategy, meanwhile: Callable[[], object]) -> None:
    """Put one strategy into another, and begin something else before that is committed."""
    after = replace(
        into, version=2, updated_version=2, definition=replace(into.definition, targets=lines(what))
    )
    stored, ended = Event(), Event()

    def put_in(tx: Tx) -> None:
        strategies.locked(tx, TENANT, into.id)
        strategy_actions.refuse_nesting(tx, after)
        strategies.insert_version(tx, after)
        strategies.update_head(tx, after)
        stored.set()
        # Who waits for us cannot end while we wait: then this takes the whole time.
        ended.wait(0.5)

    def begin() -> None:
        stored.wait()
        try:
            meanwhile()
        finally:
            ended.set()

    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(begin)
        world.db.write(put_in)
        begun.result()


def test_two_changes_at_once_never_close_a_circle_of_four(world: World) -> None:
    """C is in b and a is in d already; one change puts b into a, the other d into c: each is harmless."""
    a, c = world.strategy(SPY="100"), world.strategy(SPY="100")
    b, d = nest(world, c), nest(world, a)
    with pytest.raises(InvalidStrategy):
        put_in_while(world, a, what=b, meanwhile=lambda: world.change(c, targets=lines(d)))
    assert (head(world, a), head(world, c)) == ((2, 2), (1, 1))


def test_a_strategy_that_is_put_above_at_the_same_time_is_reached_too(world: World) -> None:
    inner = world.strategy(SPY="100")
    middle, top = nest(world, inner), world.strategy(SPY="100")
    change = {"targets": targets(TLT="100")}
    put_in_while(world, top, what=middle, meanwhile=lambda: world.change(inner, **change))
    # Its own change is version 2, the change of the inner one version 3.
    assert (head(world, inner), head(world, middle), head(world, top)) == ((2, 2), (2, 2), (3, 3))


def test_a_strategy_that_lets_go_at_the_same_time_is_not_reached(world: World) -> None:
    inner, other = world.strategy(SPY="100"), world.strategy(SPY="100")
    outer = nest(world, inner)
    change = {"targets": targets(TLT="100")}
    put_in_while(world, outer, what=other, meanwhile=lambda: world.change(inner, **change))
    assert (head(world, inner), head(world, outer)) == ((2, 2), (2, 2))


def test_changes_above_and_below_at_once_are_all_versions(world: World) -> None:
    """Four changes of the inner one are four versions of the outer, beside its own four."""
    inner = world.strategy(SPY="100")
    outer = nest(world, inner, cash="50")

    def change(n: int) -> None:
        if n % 2:
            world.change(inner, targets=targets(SPY=str(90 - n), TLT=str(10 + n)))
        else:
            world.change(outer, targets=lines(inner, cash=str(50 + n)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(2, 10)))
    assert (head(world, inner), head(world, outer)) == ((5, 5), (9, 9))
