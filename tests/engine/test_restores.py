"""An old copy put back in the middle of a run: what the broker did since is found, and nothing happens twice.

A worker dies at a point and the database is copied; another goes on, to another point or to the end; then
the copy takes the place of the database, while the broker stays as it is. SPY costs $400, TLT $100, GLD $200
(see scenarios).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from random import Random

import pytest

from tests.engine.brokers import AGAIN
from tests.engine.desks import Clock, Place, PostgresSite, Setup, Site, SqliteSite, World, targets, world_at
from tests.engine.machine import Died, Machine, Point, points
from tests.engine.scenarios import SCENARIOS, Scenario
from tests.engine.test_crashes import a_copy, play, prepared
from trimtab.core.run import Run, RunState
from trimtab.engine.desk import drive
from trimtab.engine.reconcile import CARRIED_OUT, OVERTAKEN
from trimtab.engine.work import work
from trimtab.store import freezes, restores

NAMES = ("full", "partial fills and delays", "lost replies", "six accounts")
PAIRS = 12
SEED = 20260302
QUARANTINE_S = 5


def go_on(world: World, until: Point | None) -> None:
    """Work until a point, or until every run is final."""
    machine = Machine(world=world, points=frozenset() if until is None else frozenset({until}))
    with suppress(Died):
        if until is None:
            machine.work_on()
        else:
            machine.drive(work(world.desk, 1))


@contextmanager
def put_back(
    site: Site, scenario: Scenario, at: tuple[Place, Clock], *, copied_at: Point, lost_at: Point | None
) -> Iterator[World]:
    """A world whose database is a copy of an earlier one, as `trimtab backup` marks it."""
    clock = Clock(at[1].now)
    with site.copy(at[0]) as place:
        with world_at(place, scenario.setup, clock=clock, series=1) as world:
            go_on(world, copied_at)
        with site.copy(place) as old:
            with world_at(place, scenario.setup, clock=clock, series=2) as world:
                go_on(world, lost_at)
            clock.forward(30)
            restored = Place(old.main_url, place.paper_url)
            with world_at(restored, scenario.setup, clock=clock, series=3) as world:
                begin_from_copy(world)
                yield world


def begin_from_copy(world: World) -> None:
    """As `trimtab backup` marks it; what was on its way at the take-over has had the time to arrive."""
    world.db.write(lambda tx: restores.mark(tx, "restore", world.clock.now))
    world.settle()
    assert all_freezes(world) == [restores.REASON]
    world.clock.forward(QUARANTINE_S)


def all_freezes(world: World) -> list[str]:
    return [freeze.reason for freeze in world.db.write(freezes.all_freezes)]


def require_as_if_nothing_had_happened(world: World, scenario: Scenario) -> None:
    Machine(world=world).work_on()
    assert {each: world.holdings(each) for each in scenario.holdings} == scenario.holdings
    assert world.open_runs() == []
    assert len(set(world.broker_orders())) == len(world.broker_orders())
    assert world.broker.repeated == []
    assert OVERTAKEN not in {run.reason for run in world.runs()}, "nobody else has traded"
    assert all_freezes(world) == [], "the freeze has ended by itself, and nothing else was frozen"
    world.require_sound()


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_of_any_moment_ends_where_the_original_did(sqlite_site: SqliteSite, name: str) -> None:
    scenario = SCENARIOS[name]
    with prepared(sqlite_site, scenario) as at:
        with a_copy(sqlite_site, scenario, at) as world:
            single = list(points(play(scenario, world).sizes))
        for copied_at in single:
            with put_back(sqlite_site, scenario, at, copied_at=copied_at, lost_at=None) as world:
                try:
                    require_as_if_nothing_had_happened(world, scenario)
                except AssertionError as error:
                    raise AssertionError(f"copied at {copied_at}") from error


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_that_takes_over_in_the_middle_of_a_run_finishes_it(
    sqlite_site: SqliteSite, name: str
) -> None:
    scenario = SCENARIOS[name]
    chance = Random(SEED)
    with prepared(sqlite_site, scenario) as at:
        with a_copy(sqlite_site, scenario, at) as world:
            single = list(points(play(scenario, world).sizes))
        for _ in range(PAIRS):
            copied_at, lost_at = chance.choice(single), chance.choice(single)
            with put_back(sqlite_site, scenario, at, copied_at=copied_at, lost_at=lost_at) as world:
                try:
                    require_as_if_nothing_had_happened(world, scenario)
                except AssertionError as error:
                    raise AssertionError(f"copied at {copied_at}, lost at {lost_at}") from error


def test_where_duplicates_count_twice_a_copy_of_any_moment_orders_nothing_twice(
    sqlite_site: SqliteSite,
) -> None:
    """Nothing but the comparison knows there what the copy has forgotten. An intent that had not left when
    the first worker died is given up, so that the ends differ.
    """
    scenario = replace(SCENARIOS["full"], setup=Setup(drops_duplicates=False))
    with prepared(sqlite_site, scenario) as at:
        with a_copy(sqlite_site, scenario, at) as world:
            single = list(points(play(scenario, world).sizes))
        for copied_at in single:
            with put_back(sqlite_site, scenario, at, copied_at=copied_at, lost_at=None) as world:
                Machine(world=world).work_on()
                assert not [key for key in world.broker_orders() if key.endswith(AGAIN)], copied_at
                assert world.broker.repeated == []
                world.require_sound()


@contextmanager
def old_copy(site: Site, scenario: Scenario) -> Iterator[tuple[World, Place]]:
    """A world in which a scenario is prepared, and a copy of it from before anything happened."""
    with (
        prepared(site, scenario) as (place, clock),
        site.copy(place) as live,
        world_at(live, scenario.setup, clock=clock, series=1) as world,
    ):
        yield world, Place(place.main_url, live.paper_url)


@contextmanager
def restored(world: World, place: Place, scenario: Scenario) -> Iterator[World]:
    """The copy in the place of the world, at the same time and broker."""
    with world_at(place, scenario.setup, clock=world.clock, series=3) as other:
        begin_from_copy(other)
        yield other


def last_run(world: World) -> Run:
    return world.runs("ann")[-1]


def test_a_queued_run_that_was_carried_out_after_the_copy_is_not_carried_out_again(
    sqlite_site: SqliteSite,
) -> None:
    scenario = SCENARIOS["full"]
    with old_copy(sqlite_site, scenario) as (world, place):
        world.settle()
        with restored(world, place, scenario) as copy:
            copy.settle()
            first = copy.runs("ann")[0]
            assert (first.state, first.reason) == (RunState.CANCELED, CARRIED_OUT)
            assert len(copy.broker_orders()) == 3
            copy.require_sound()
            assert copy.audit().forgotten_orders.count == 3


def test_an_open_order_of_a_forgotten_run_is_waited_for_before_the_next_plan(sqlite_site: SqliteSite) -> None:
    """Its account would be planned as if the order did not work on."""
    scenario = SCENARIOS["full"]
    with old_copy(sqlite_site, scenario) as (world, place):
        world.cancel(last_run(world))
        world.paper.set_faults({"fill_delay_s": 600})
        world.request("ann")
        world.settle()
        assert len(world.broker_orders()) == 1
        with restored(world, place, scenario) as copy:
            copy.settle()
            assert last_run(copy).state is RunState.QUEUED
            copy.clock.forward(600)
            copy.paper.set_faults({})
            Machine(world=copy).work_on()
            assert copy.holdings("ann") == scenario.holdings["ann"]
            assert len(copy.broker_orders()) == 3
            copy.require_sound()


def test_a_planned_run_that_later_runs_have_overtaken_ends_and_its_account_is_not_held(
    sqlite_site: SqliteSite,
) -> None:
    scenario = SCENARIOS["full"]
    with prepared(sqlite_site, scenario) as (place, clock), sqlite_site.copy(place) as live:
        with world_at(live, scenario.setup, clock=clock, series=1) as world:
            world.paper.set_faults({"fill_delay_s": 30})
            world.settle()
        with sqlite_site.copy(live) as old, world_at(live, scenario.setup, clock=clock, series=2) as world:
            Machine(world=world).work_on()
            world.change(world.strategies()[0], targets=targets(SPY="100"))
            world.request("ann")
            Machine(world=world).work_on()
            assert world.holdings("ann") == "cash 0, SPY 25"
            with restored(world, Place(old.main_url, live.paper_url), scenario) as copy:
                copy.settle()
                overtaken = copy.runs("ann")[0]
                assert (overtaken.state, overtaken.reason) == (RunState.CANCELED, OVERTAKEN)
                assert copy.record("ann").held is None
                assert overtaken.orders_sent == 3
                copy.require_sound()


def test_a_planned_run_is_overtaken_by_a_forgotten_order_that_still_works(sqlite_site: SqliteSite) -> None:
    """Else it would end when the order has been executed, in an account that then is not what it left, and
    that would be held until a person looked.
    """
    scenario = SCENARIOS["full"]
    with prepared(sqlite_site, scenario) as (place, clock), sqlite_site.copy(place) as live:
        with world_at(live, scenario.setup, clock=clock, series=1) as world:
            world.paper.set_faults({"fill_delay_s": 30})
            world.settle()
        with sqlite_site.copy(live) as old, world_at(live, scenario.setup, clock=clock, series=2) as world:
            Machine(world=world).work_on()
            world.change(world.strategies()[0], targets=targets(SPY="100"))
            world.request("ann")
            world.settle()
            clock.forward(30)
            world.settle()
            (account,) = world.broker.accounts(["ann"]).values()
            assert account.working, "an order that the copy knows nothing of"
            with restored(world, Place(old.main_url, live.paper_url), scenario) as copy:
                copy.settle()
                overtaken = copy.runs("ann")[0]
                assert (overtaken.state, overtaken.reason) == (RunState.CANCELED, OVERTAKEN)
                copy.paper.set_faults({})
                copy.clock.forward(30)
                Machine(world=copy).work_on()
                assert copy.holdings("ann") == scenario.holdings["ann"]
                assert copy.record("ann").held is None
                copy.require_sound()


def test_every_shard_is_compared_before_anything_moves(world: World) -> None:
    """Of two shards the first waits for the second."""
    world.enroll(world.open_account("ann", "1000"), world.strategy(SPY="100"))
    world.db.write(lambda tx: tx.execute("INSERT INTO shards (shard, accounts) VALUES (2, 0)"))
    begin_from_copy(world)
    drive(work(world.desk, 1), world.desk)
    assert world.broker_orders() == []
    assert all_freezes(world) == [restores.REASON]
    drive(work(world.desk, 2), world.desk)
    assert all_freezes(world) == []
    world.settle()
    assert len(world.broker_orders()) == 1


def test_settle_lifts_the_freeze_and_goes_on_with_every_shard(world: World) -> None:
    world.enroll(world.open_account("ann", "1000"), world.strategy(SPY="100"))
    world.db.write(lambda tx: tx.execute("INSERT INTO shards (shard, accounts) VALUES (2, 0)"))
    begin_from_copy(world)
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]


def test_a_broker_that_is_down_keeps_everything_frozen(world: World) -> None:
    world.enroll(world.open_account("ann", "1000"), world.strategy(SPY="100"))
    begin_from_copy(world)
    world.paper.set_faults({"outage": True})
    world.settle()
    assert all_freezes(world) == [restores.REASON]
    world.db.write(lambda tx: freezes.remove(tx, tenant_id=None, account_id=None, symbol=None))
    world.settle()
    world.paper.set_faults({})
    world.clock.forward(5)
    world.settle()
    assert world.ends("ann") == ["COMPLETED"], "a thaw by hand does not skip the comparison"


def test_a_copy_on_postgresql_ends_where_the_original_did(postgres_site: PostgresSite) -> None:
    scenario = SCENARIOS["full"]
    with prepared(postgres_site, scenario) as at, a_copy(postgres_site, scenario, at) as world:
        single = list(points(play(scenario, world).sizes))
    with prepared(postgres_site, scenario) as at:
        for copied_at in single[:: len(single) // 4]:
            with put_back(postgres_site, scenario, at, copied_at=copied_at, lost_at=None) as world:
                require_as_if_nothing_had_happened(world, scenario)
