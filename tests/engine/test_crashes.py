"""A worker may die anywhere: another takes over, and everything ends as if nothing had happened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest

from tests.engine.desks import (
    Clock,
    Place,
    PostgresSite,
    Site,
    SqliteSite,
    World,
    found,
    open_world,
    world_at,
)
from tests.engine.machine import Died, Machine, Point, points
from tests.engine.scenarios import SCENARIOS, Scenario
from trimtab.engine.local import tick
from trimtab.engine.work import work

SEED = 20260302
PAIRS_PER_SCENARIO = 12
POINTS_AT_ONCE = 60
# Decisions page, 29: final within the quarantine and 60 seconds of the last fault.
FINAL_WITHIN = timedelta(seconds=5 + 60)


@contextmanager
def prepared(site: Site, scenario: Scenario) -> Iterator[tuple[Place, Clock]]:
    """The scenario's world before anything happens, to be copied."""
    with site.empty() as place:
        world = found(open_world(place, replace(scenario.setup, rates=replace(scenario.setup.rates))))
        scenario.prepare(world)
        faults = {k: Decimal(v) if isinstance(v, str) else v for k, v in scenario.faults.items()}
        world.paper.set_faults(faults)
        clock = world.clock
        world.close()
        yield place, clock


@contextmanager
def a_copy(site: Site, scenario: Scenario, at: tuple[Place, Clock]) -> Iterator[World]:
    place, clock = at
    with (
        site.copy(place) as copy,
        world_at(copy, scenario.setup, clock=Clock(clock.now), series=1) as world,
    ):
        yield world


def play(scenario: Scenario, world: World, *dying_at: Point) -> Machine:
    """Play to the end and check everything; the machine tells what it did."""
    machine = Machine(world=world, points=frozenset(dying_at))
    scenario.play(machine)
    # After one death less may be left to do than before, and the second then comes too late.
    assert len(machine.dead) >= min(len(dying_at), 1)
    assert {each: world.holdings(each) for each in scenario.holdings} == scenario.holdings
    assert {each: world.ends(each) for each in scenario.runs} == scenario.runs
    assert {each for each in scenario.holdings if world.record(each).held} == scenario.held
    assert world.open_runs() == []
    assert world.broker.repeated == [] or world.broker.traits.drops_duplicates
    assert len(set(world.broker_orders())) == len(world.broker_orders())
    world.require_sound()
    return machine


def every_point(site: Site, scenario: Scenario, at: tuple[Place, Clock]) -> list[Point]:
    with a_copy(site, scenario, at) as world:
        return list(points(play(scenario, world).sizes))


def play_copy(site: Site, scenario: Scenario, at: tuple[Place, Clock], *dying_at: Point) -> None:
    with a_copy(site, scenario, at) as world:
        try:
            play(scenario, world, *dying_at)
        except AssertionError as error:
            raise AssertionError(f"dying at {dying_at}") from error


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.prove)])
def test_death_at_any_point_changes_nothing(sqlite_site: SqliteSite, name: str, half: int) -> None:
    """Of scenarios with many points the other half is for `make prove`."""
    scenario = SCENARIOS[name]
    with prepared(sqlite_site, scenario) as at:
        every = every_point(sqlite_site, scenario, at)
        for point in every[half::2] if len(every) > POINTS_AT_ONCE else every[len(every) * half :]:
            play_copy(sqlite_site, scenario, at, point)


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_deaths_change_nothing(sqlite_site: SqliteSite, name: str) -> None:
    """The second death may come while the first one's traces are being cleared away."""
    scenario = SCENARIOS[name]
    chance = Random(SEED)
    with prepared(sqlite_site, scenario) as at:
        single = every_point(sqlite_site, scenario, at)
        for _ in range(PAIRS_PER_SCENARIO):
            first = chance.choice(single)
            play_copy(sqlite_site, scenario, at, first, Point(first.number + chance.randint(1, 15)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_some_points_changes_nothing_on_postgresql(postgres_site: PostgresSite, name: str) -> None:
    scenario = SCENARIOS[name]
    chance = Random(SEED)
    with prepared(postgres_site, scenario) as at:
        single = every_point(postgres_site, scenario, at)
        play_copy(postgres_site, scenario, at, chance.choice(single))


@pytest.mark.prove
@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_any_point_changes_nothing_on_postgresql(postgres_site: PostgresSite, name: str) -> None:
    scenario = SCENARIOS[name]
    with prepared(postgres_site, scenario) as at:
        for point in every_point(postgres_site, scenario, at):
            play_copy(postgres_site, scenario, at, point)


@pytest.mark.prove
@pytest.mark.parametrize("name", SCENARIOS)
def test_any_two_deaths_change_nothing(sqlite_site: SqliteSite, name: str) -> None:
    """Every first death with every second one soon after it."""
    scenario = SCENARIOS[name]
    with prepared(sqlite_site, scenario) as at:
        for first in every_point(sqlite_site, scenario, at):
            for later in range(1, 25):
                play_copy(sqlite_site, scenario, at, first, Point(first.number + later))


def ticks_until_final(world: World) -> timedelta:
    """Look every second, as the server's thread does, until every run is final; how long it took."""
    began_at = world.clock.now
    while world.open_runs() and world.clock.now - began_at <= FINAL_WITHIN:
        tick(world.desk, stopping=lambda: False)
        world.clock.forward(1)
    return world.clock.now - began_at


@pytest.mark.parametrize("name", ["full", "lost replies", "six accounts"])
def test_after_a_death_the_server_finishes_by_itself_and_soon(sqlite_site: SqliteSite, name: str) -> None:
    scenario = SCENARIOS[name]
    with prepared(sqlite_site, scenario) as at:
        with a_copy(sqlite_site, scenario, at) as world:
            machine = Machine(world=world)
            machine.drive(work(world.desk, 1))
            single = list(points(machine.sizes))
        for point in single:
            with a_copy(sqlite_site, scenario, at) as world:
                with pytest.raises(Died):
                    Machine(world=world, points=frozenset({point})).drive(work(world.desk, 1))
                assert ticks_until_final(world) <= FINAL_WITHIN, point
                assert {each: world.holdings(each) for each in scenario.holdings} == scenario.holdings
                world.require_sound()
