"""Held accounts: what releases them, what does not, and what is asked of the broker for it.

bob has $400 and wants SPY, which costs $400.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.engine.brokers import Rates
from tests.engine.desks import MONDAY, PostgresSite, Setup, Site, SqliteSite, World, new_world, targets
from tests.engine.machine import Machine, Point
from trimtab.core.run import Order, OrderState, Run, Side
from trimtab.engine.desk import drive
from trimtab.engine.work import work
from trimtab.store import shards

SPY = targets(SPY="100")
UNKNOWN = "the fate of an order is unknown"
# On its way for up to an hour; what is given up after five seconds may still arrive.
LATE = Setup(drops_duplicates=False, rates=Rates(delays_request=1, request_late_s=3600))
LOST = Setup(drops_duplicates=False, rates=Rates(loses_request=1))


def bob_given_up(world: World) -> Run:
    """His buy left, nobody knows where it is, and his account is held."""
    world.open_account("bob", "400")
    run = world.request("bob", weights=SPY)
    Machine(world=world).work_on()
    world.broker.rates = Rates()
    assert world.ends("bob") == ["COMPLETED*"]
    assert world.record("bob").held == UNKNOWN
    assert only_order(world, run).state is OrderState.ABANDONED
    return run


def only_order(world: World, run: Run) -> Order:
    (order,) = world.orders(run)
    return order


@pytest.fixture
def late_world(site: Site) -> Iterator[World]:
    with new_world(site, LATE) as made:
        yield made


def test_an_order_that_surfaces_is_recorded_and_releases_its_account(late_world: World) -> None:
    world = late_world
    run = bob_given_up(world)
    world.settle()
    assert world.record("bob").held == UNKNOWN, "it has not surfaced yet"
    world.clock.forward(3600)
    world.settle()
    order = only_order(world, run)
    assert (order.state, order.filled_quantity, order.filled_value) == (
        OrderState.FILLED,
        Decimal(1),
        Decimal(400),
    )
    assert order.reason is None, "the broker knows it after all"
    assert world.record("bob").held is None
    assert world.ends("bob") == ["COMPLETED*"]
    assert world.broker.repeated == []
    world.require_sound()


def test_what_waited_for_the_release_goes_on_in_the_same_turn(late_world: World) -> None:
    world = late_world
    bob_given_up(world)
    world.request("bob", weights=targets(SPY="50", TLT="50"))
    world.settle()
    assert [run.state for run in world.runs("bob")] == ["COMPLETED", "QUEUED"]
    world.clock.forward(3600)
    world.settle()
    assert world.ends("bob") == ["COMPLETED*", "COMPLETED"]
    assert world.holdings("bob") == "cash 0, SPY 0.5, TLT 2"
    world.require_sound()


@pytest.mark.parametrize(("fills_after_s", "has"), [(600, "cash 400"), (3, "cash 200, SPY 0.5")])
def test_an_order_that_surfaces_working_is_canceled(
    late_world: World, fills_after_s: int, *, has: str
) -> None:
    """Its run is over: nobody waits for it. The first cancel is lost, and what it trades by then counts."""
    world = late_world
    run = bob_given_up(world)
    world.paper.set_faults({"fill_delay_s": fills_after_s, "partial_fill": 1})
    world.broker.rates = Rates(loses_cancel=1)
    world.clock.forward(3600)
    world.settle()
    world.broker.rates = Rates()
    due_at = world.due_at()
    assert only_order(world, run).state is OrderState.OPEN
    assert world.record("bob").held == UNKNOWN
    assert due_at is not None
    assert due_at <= world.clock.now + timedelta(seconds=5)
    world.clock.now = due_at
    world.settle()
    world.clock.forward(5)
    world.settle()
    assert only_order(world, run).state is OrderState.CANCELED
    assert world.holdings("bob") == has
    assert world.record("bob").held is None
    world.require_sound()


def test_what_never_surfaces_is_held_until_a_person_releases_it(site: Site) -> None:
    with new_world(site, LOST) as world:
        bob_given_up(world)
        world.request("bob", weights=SPY)
        world.settle_on("2026-03-03", "2026-03-04")
        assert world.record("bob").held == UNKNOWN, "that the account does not show it proves nothing"
        world.db.write(lambda tx: shards.release(tx, ["bob"]))
        world.settle()
        assert world.ends("bob") == ["COMPLETED*", "COMPLETED"]
        assert world.holdings("bob") == "cash 0, SPY 1"
        world.require_sound()


def test_an_account_whose_positions_show_too_late_is_released_when_they_show(world: World) -> None:
    world.open_account("bob", "400")
    world.request("bob", weights=SPY)
    world.broker.accounts_late_s = 90
    Machine(world=world).work_on()
    assert world.record("bob").held == "the broker shows 0 SPY, our fills make it 1"
    world.settle()
    assert world.record("bob").held is not None
    world.clock.forward(30)
    world.settle()
    assert world.record("bob").held is None
    assert world.holdings("bob") == "cash 0, SPY 1"


def test_what_somebody_else_did_holds_until_it_is_undone(world: World) -> None:
    """A share is sold by hand while the run works, and bought again the next day."""
    world.open_account("bob", "0", SPY="10")
    world.paper.set_faults({"fill_delay_s": 10})
    world.request("bob", weights=targets(SPY="50", TLT="50"))
    world.settle()
    world.clock.forward(5)
    world.paper.submit([by_hand("sold", Side.SELL)])
    Machine(world=world).work_on()
    assert world.record("bob").held == "the broker shows 4 SPY, our fills make it 5"
    world.paper.set_faults({})
    world.settle_on("2026-03-03")
    assert world.record("bob").held is not None
    world.paper.submit([by_hand("bought", Side.BUY)])
    world.settle()
    assert world.record("bob").held is None


def by_hand(client_order_id: str, side: Side) -> Order:
    return Order(
        client_order_id=client_order_id,
        run_id="none",
        leg=0,
        generation=0,
        account_id="bob",
        symbol="SPY",
        side=side,
        quantity=Decimal(1) if side is Side.SELL else None,
        notional=None if side is Side.SELL else Decimal(400),
        state=OrderState.SENDING,
        sent_at=MONDAY,
    )


def calls_of_a_turn(world: World) -> list[str]:
    calls: list[str] = []
    world.broker.before = calls.append
    drive(work(world.desk, 1), world.desk)
    world.broker.before = lambda _call: None
    return calls


def test_the_broker_is_asked_only_where_something_is_held_and_then_for_all_at_once(
    sqlite_site: SqliteSite,
) -> None:
    with new_world(sqlite_site, replace(LOST, rates=Rates())) as world:
        names = [world.open_account(name, "400") for name in ("ann", "bob", "cat")]
        for name in names:
            world.request(name, weights=SPY)
        world.settle()
        nothing_held = calls_of_a_turn(world)
        assert not {"lookup", "accounts"} & set(nothing_held)
        world.broker.rates = Rates(loses_request=1)
        world.set_prices(TLT="50")
        for name in names:
            world.request(name, weights=targets(TLT="100"))
        Machine(world=world).work_on()
        assert [world.record(name).held for name in names] == [UNKNOWN] * 3
        # Until then they are asked about because their runs have just ended (see `engine.late`).
        world.clock.forward(60)
        world.settle()
        assert sorted(calls_of_a_turn(world)) == sorted([*nothing_held, "lookup", "accounts", "assets"])


def test_an_outage_releases_nothing_and_loses_nothing(late_world: World) -> None:
    world = late_world
    bob_given_up(world)
    world.clock.forward(3600)
    world.broker.prices(["SPY"])  # by now it has arrived
    world.paper.set_faults({"outage": True})
    world.settle()
    assert world.record("bob").held == UNKNOWN
    world.paper.set_faults({})
    world.settle()
    assert world.record("bob").held is None


def test_a_worker_may_die_anywhere_while_it_releases(site: Site) -> None:
    """The order surfaces working and half filled, and is canceled."""
    stride = 5 if isinstance(site, PostgresSite) else 1
    number = 0
    while True:
        with new_world(site, LATE) as world:
            run = bob_given_up(world)
            world.paper.set_faults({"fill_delay_s": 600, "partial_fill": 1})
            world.clock.forward(3600)
            machine = Machine(world=world, points=frozenset({Point(number)}))
            machine.work()
            world.clock.forward(5)
            machine.work()
            assert world.record("bob").held is None, number
            assert only_order(world, run).state is OrderState.CANCELED, number
            assert world.broker.repeated == [], number
            world.require_sound()
            if not machine.dead:
                return
        number += stride
