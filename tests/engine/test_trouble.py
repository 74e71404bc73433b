"""One account about which the broker cannot be asked: the others of its shard go on, and it does later."""

from datetime import timedelta

import pytest

from tests.engine.desks import Setup, Site, SqliteSite, World, new_world
from tests.engine.machine import Machine
from tests.engine.scenarios import ANN_ENDS, SIX_HOLDINGS, SIX_RUNS, ann_enrolled, six_enrolled
from trimtab.core.run import OrderState, RunState

ANN = frozenset({"ann"})
OTHERS = {each: end for each, end in SIX_HOLDINGS.items() if each != "ann"}


def require_that_the_others_ended(world: World) -> None:
    assert {each: world.holdings(each) for each in OTHERS} == OTHERS
    assert [run.account_id for run in world.open_runs()] == ["ann"]


def require_that_all_end(world: World) -> None:
    world.broker.troubled = frozenset()
    Machine(world=world).work_on()
    assert {each: world.holdings(each) for each in SIX_HOLDINGS} == SIX_HOLDINGS
    assert {each: world.ends(each) for each in SIX_RUNS} == SIX_RUNS
    assert world.broker.repeated == []
    world.require_sound()


def test_an_account_that_cannot_be_seen_keeps_nobody_else_waiting(site: Site) -> None:
    with new_world(site) as world:
        six_enrolled(world)
        world.broker.troubled = ANN
        world.settle()
        require_that_the_others_ended(world)
        assert world.run(world.runs("ann")[0].id).state is RunState.QUEUED
        require_that_all_end(world)


@pytest.mark.parametrize("call", ["accounts", "assets", "submit", "lookup"])
def test_trouble_that_begins_at_any_call_is_overcome(sqlite_site: SqliteSite, call: str) -> None:
    """From the second such call on; orders take five seconds, so that they are looked up."""
    with new_world(sqlite_site) as world:
        six_enrolled(world)
        world.paper.set_faults({"fill_delay_s": 5, "lost_reply": 1})
        calls: list[str] = []

        def begin_trouble(this: str) -> None:
            calls.append(this)
            if calls.count(call) >= 2:
                world.broker.troubled = ANN

        world.broker.before = begin_trouble
        for _ in range(12):
            world.settle()
            world.clock.forward(5)
        require_that_the_others_ended(world)
        world.broker.before = lambda _call: None
        require_that_all_end(world)


def test_an_order_that_cannot_be_asked_about_is_never_taken_for_one_that_is_not_there(
    sqlite_site: SqliteSite,
) -> None:
    """Where duplicates are not dropped, it would be given up after the quarantine."""
    with new_world(sqlite_site, Setup(drops_duplicates=False)) as world:
        ann_enrolled(world)
        world.paper.set_faults({"lost_reply": 1})
        world.broker.sent = lambda: setattr(world.broker, "troubled", ANN)
        for _ in range(12):
            world.settle()
            world.clock.forward(30)
        assert [order.state for order in world.orders(world.runs("ann")[0])] == [OrderState.SENDING]
        world.broker.sent = lambda: None
        world.broker.troubled = frozenset()
        Machine(world=world).work_on()
        assert world.holdings("ann") == ANN_ENDS
        assert world.ends("ann") == ["COMPLETED"]


def test_a_cancel_that_cannot_be_asked_for_is_asked_for_again(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site) as world:
        ann_enrolled(world)
        world.paper.set_faults({"fill_delay_s": 600})
        world.settle()
        world.broker.troubled = ANN
        world.cancel(world.runs("ann")[0])
        world.settle()
        assert world.run(world.runs("ann")[0].id).state is RunState.SELLING
        world.broker.troubled = frozenset()
        world.clock.now += timedelta(seconds=5)
        world.settle()
        assert world.ends("ann")[0] == "CANCELED+"
