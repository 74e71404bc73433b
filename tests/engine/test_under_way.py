"""What /v2 says of a run that has begun and not ended: at work, asking about an order, or stuck."""

from tests.engine.brokers import Rates
from tests.engine.desks import Setup, Site, World, new_world, targets
from tests.engine.test_holds import freeze
from trimtab.api.glider_portfolios import state_under_way
from trimtab.core.run import Run

SPY = targets(SPY="100")


def state_of(world: World, run: Run) -> str:
    return world.db.read(lambda tx: state_under_way(tx, run))


def bobs_run(world: World) -> Run:
    """Bob's only run, as it stands."""
    (run,) = world.runs("bob")
    return run


def test_a_run_whose_orders_work_is_running(world: World) -> None:
    world.open_account("bob", "400")
    world.paper.set_faults({"fill_delay_s": 60})
    world.request("bob", weights=SPY)
    assert state_of(world, bobs_run(world)) == "running"
    world.settle()
    assert state_of(world, bobs_run(world)) == "running"


def test_a_run_that_does_not_know_an_orders_fate_is_retrying(site: Site) -> None:
    with new_world(site, Setup(rates=Rates(loses_request=1))) as world:
        world.open_account("bob", "400")
        world.request("bob", weights=SPY)
        world.settle()
        assert state_of(world, bobs_run(world)) == "retrying"
        world.broker.rates = Rates()
        world.clock.forward(60)
        world.settle()
        assert world.ends("bob") == ["COMPLETED"]
        assert state_of(world, bobs_run(world)) == "running", "of no use once it has ended"


def test_a_run_that_is_frozen_on_its_way_waits_for_somebody(world: World) -> None:
    world.open_account("bob", "0", SPY="1")
    world.paper.set_faults({"fill_delay_s": 60})
    world.request("bob", weights=targets(TLT="100"))
    world.settle()
    freeze(world, account_id="bob")
    assert state_of(world, bobs_run(world)) == "awaiting_user"
    world.settle()
    assert state_of(world, bobs_run(world)) == "awaiting_user"
