"""The embedded driver: settle in the sandbox, and the thread that looks once a second."""

import threading
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.engine.desks import MONDAY, TENANT, Site, SqliteSite, World, new_world, targets
from tests.engine.scenarios import SIX, SIX_HOLDINGS, ann_enrolled, mix, six_enrolled
from trimtab.boot import Installation, open_installation
from trimtab.core.run import RunState
from trimtab.core.strategy import Definition
from trimtab.engine.enrollment_actions import EnrollRequest, enroll
from trimtab.engine.local import LocalDriver, Settled, settle, tick
from trimtab.engine.strategy_actions import StrategyDraft, create_strategy
from trimtab.settings import load_settings
from trimtab.store import sandbox, shards, tenants


def go(world: World) -> None:
    tick(world.desk, stopping=lambda: False)


def two_shards(world: World) -> None:
    """Put ann in shard 1, which is full then, and bob in shard 2."""
    ann_enrolled(world)
    world.db.write(lambda tx: tx.execute("UPDATE shards SET accounts = 1000"))
    world.enroll(world.open_account("bob", "5000"), world.strategies()[0])
    assert (world.record("ann").shard, world.record("bob").shard) == (1, 2)


# settle


def test_settling_tells_what_it_did_and_settling_again_does_nothing(world: World) -> None:
    six_enrolled(world)
    # ann 3 orders, bob 2, cat 2, dan 3, eve and fay none; each ends, and is looked at once more.
    first = world.settle()
    assert (first.runs_finished, first.orders) == (6, 10)
    assert world.settle() == Settled(evaluated=5, runs_created=0, runs_finished=0, orders=0)
    assert {each: world.holdings(each) for each in SIX} == SIX_HOLDINGS


def test_settling_never_moves_time(world: World) -> None:
    ann_enrolled(world)
    world.paper.set_faults({"fill_delay_s": 1})
    before = world.clock.now
    world.settle()
    world.settle()
    assert world.clock.now == before
    assert world.open_runs() != []


def test_settling_without_any_account_does_nothing(world: World) -> None:
    assert world.settle() == Settled(evaluated=0, runs_created=0, runs_finished=0, orders=0)


def test_settling_while_the_broker_is_down_leaves_all_as_it_is(world: World) -> None:
    ann_enrolled(world)
    world.paper.set_faults({"outage": True})
    assert world.settle().orders == 0
    assert [run.state for run in world.open_runs()] == [RunState.QUEUED]
    world.paper.set_faults({})
    assert world.settle().orders == 3


def test_settling_works_all_shards(world: World) -> None:
    two_shards(world)
    world.settle()
    assert world.ends() == ["COMPLETED", "COMPLETED"]


# tick


def test_a_tick_works_what_was_asked_for(world: World) -> None:
    ann_enrolled(world)
    go(world)
    assert world.ends("ann") == ["COMPLETED"]


def test_a_tick_outside_market_hours_leaves_shards_alone_until_the_open(world: World) -> None:
    world.at("2026-03-06 18:00")
    ann_enrolled(world)
    go(world)
    assert world.ends("ann") == ["QUEUED"]
    world.at("2026-03-09 09:29:59")
    go(world)
    assert world.ends("ann") == ["QUEUED"]
    world.clock.forward(1)
    go(world)
    assert world.ends("ann") == ["COMPLETED"]


def test_ticks_evaluate_every_five_minutes_while_the_market_is_open(world: World) -> None:
    ann_enrolled(world)
    go(world)
    world.transfer("ann", "1")
    epoch = epoch_of(world)
    for _ in range(4):
        world.clock.forward(60)
        go(world)
    assert epoch_of(world) == epoch
    world.clock.forward(60)
    go(world)
    assert epoch_of(world) == epoch + 1


def epoch_of(world: World) -> int:
    row = world.db.read(lambda tx: tx.row("SELECT epoch FROM shards WHERE shard = 1"))
    assert row is not None
    return int(row["epoch"])


def test_a_tick_polls_orders_until_they_are_filled(world: World) -> None:
    ann_enrolled(world)
    world.paper.set_faults({"fill_delay_s": 7})
    began_at = world.clock.now
    while world.open_runs():
        go(world)
        world.clock.forward(1)
    assert world.clock.now - began_at < timedelta(seconds=30)
    assert world.ends("ann") == ["COMPLETED"]


def test_a_tick_stops_between_shards_when_it_is_told_to(world: World) -> None:
    two_shards(world)
    answers = iter([False, True])
    tick(world.desk, stopping=lambda: next(answers))
    assert sorted(world.ends()) == ["COMPLETED", "QUEUED"]


def test_a_shard_that_fails_does_not_starve_the_others(world: World) -> None:
    """Its mirror cannot be read any more."""
    two_shards(world)
    world.db.write(
        lambda tx: tx.execute(
            "INSERT INTO holdings (shard, version, cursor, block) VALUES (1, 1, 0, :block)", block=b"broken"
        )
    )
    go(world)
    world.clock.forward(1)
    go(world)
    assert world.ends("bob") == ["COMPLETED"]
    assert world.ends("ann") == ["QUEUED"]


def test_a_shard_that_failed_is_tried_again(world: World) -> None:
    ann_enrolled(world)
    world.db.write(
        lambda tx: tx.execute(
            "INSERT INTO holdings (shard, version, cursor, block) VALUES (1, 1, 0, :block)", block=b"broken"
        )
    )
    go(world)
    world.db.write(lambda tx: tx.execute("DELETE FROM holdings"))
    for _ in range(60):
        world.clock.forward(1)
        go(world)
    assert world.ends("ann") == ["COMPLETED"]


def test_a_broker_that_is_down_is_asked_again_soon(world: World) -> None:
    ann_enrolled(world)
    world.paper.set_faults({"outage": True})
    go(world)
    world.paper.set_faults({})
    world.clock.forward(5)
    go(world)
    assert world.ends("ann") == ["COMPLETED"]


def test_a_tick_while_the_broker_cannot_tell_about_assets_goes_on(world: World) -> None:
    mix(world)
    world.paper.set_faults({"outage": True})
    go(world)
    assert settle(world.desk).evaluated == 0


def test_a_shard_that_is_taken_by_another_is_left_to_it(world: World) -> None:
    ann_enrolled(world)
    now = world.clock.now
    left = iter([True])

    def take(call: str) -> None:
        if call == "accounts" and next(left, False):
            world.db.write(lambda tx: shards.take(tx, 1, now=now))

    world.broker.before = take
    go(world)
    assert world.open_runs() != []
    for _ in range(60):
        world.clock.forward(1)
        go(world)
    assert world.ends("ann") == ["COMPLETED"]


# The thread


def test_the_thread_works_by_itself_and_ends_when_it_is_told_to(site: Site) -> None:
    with new_world(site) as world:
        six_enrolled(world)
        driver = LocalDriver(world.desk)
        driver.start()
        waiting = threading.Event()
        for _ in range(2000):
            if not world.open_runs():
                break
            waiting.wait(0.01)
        driver.stop()
        assert {each: world.holdings(each) for each in SIX} == SIX_HOLDINGS
        world.require_sound()


def test_a_driver_has_reconciled_when_the_broker_has_answered_for_every_shard(
    sqlite_site: SqliteSite,
) -> None:
    """On a Saturday too: nothing is due then, and an order may have been executed all the same."""
    with new_world(sqlite_site) as world:
        two_shards(world)
        world.settle()
        world.at("2026-03-07 12:00")
        world.paper.set_faults({"outage": True})
        driver = LocalDriver(world.desk)
        asked: list[str] = []
        world.broker.before = asked.append
        driver.start()
        waiting = threading.Event()
        while not asked:
            waiting.wait(0.01)
        early = driver.has_reconciled
        world.paper.set_faults({})
        world.clock.forward(5)
        for _ in range(2000):
            if driver.has_reconciled:
                break
            waiting.wait(0.01)
        driver.stop()
        assert (early, driver.has_reconciled) == (False, True)


# A change of the settings


@pytest.mark.filterwarnings("ignore:Series.values returning")  # exchange_calendars reads its sessions so
def test_strategies_keep_their_calendar_when_the_market_setting_changes(sqlite_url: str) -> None:
    """What was made for the exchange of New York goes on when 24/7 is the calendar of new strategies."""

    def installation(market: str) -> Installation:
        settings = {
            "TRIMTAB_DATABASE_URL": sqlite_url,
            "TRIMTAB_MARKET": market,
            "TRIMTAB_SANDBOX": "1",
        }
        return open_installation(load_settings(settings, Path("no.env")))

    opened = installation("XNYS")
    opened.desk.db.write(lambda tx: tenants.ensure_tenant(tx, TENANT, name="Acme", now=MONDAY))
    opened.desk.db.write(lambda tx: sandbox.set_clock(tx, MONDAY))
    assert opened.paper is not None
    opened.paper.set_prices({"SPY": Decimal(400)})
    opened.paper.open_account("ann", TENANT, cash=Decimal(1000), positions={})
    definition = Definition(targets=targets(SPY="100"), conditions=(), cooldown_days=0)
    draft = StrategyDraft(name="mix", description="", definition=definition, calendar="XNYS")
    strategy = create_strategy(opened.desk, TENANT, draft)
    opened.close()
    opened = installation("24/7")
    try:
        enroll(opened.desk, TENANT, EnrollRequest(account_id="ann", strategy_id=strategy.id))
        assert settle(opened.desk).runs_finished == 1
    finally:
        opened.close()
