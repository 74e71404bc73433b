"""One feed for all: nothing that was committed is lost, told twice or told too early, whoever publishes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.engine.desks import MONDAY, TENANT, PostgresSite, World, placed_world
from tests.engine.interleaving import PATIENCE_S, Stop, Watched, desk_on, wait_for_a_lock
from tests.engine.machine import Machine
from tests.engine.racers import ACCOUNTS, race
from tests.engine.scenarios import ann_asked_for, ann_rebalanced, mix
from trimtab.core import ulid
from trimtab.database import Database
from trimtab.engine.local import tick
from trimtab.engine.publish import publish
from trimtab.engine.strategy_actions import review_assets
from trimtab.engine.work import work
from trimtab.store import feed, outbox
from trimtab.store.feed import Event, RunEvent


def told(events: list[Event]) -> list[str]:
    """What each event says, in short."""
    return [
        f"{e.run.account_id} {e.run.state}"
        if isinstance(e, RunEvent)
        else f"{e.strategy.name} {e.strategy.status}"
        for e in events
    ]


def in_feed(world: World) -> list[Event]:
    """What is there without our publishing anything."""
    return world.db.read(lambda tx: feed.between(tx, TENANT, after="", upto=feed.head(tx), limit=1000))


# When.


def test_settling_leaves_everything_published(world: World) -> None:
    ann_rebalanced(world)
    assert told(in_feed(world)) == ["ann QUEUED", "ann PLANNED", "ann COMPLETED"]


def test_a_tick_of_the_engine_leaves_everything_published(world: World) -> None:
    ann_asked_for(world)
    assert in_feed(world) == []
    tick(world.desk, stopping=lambda: False)
    assert told(in_feed(world)) == ["ann QUEUED", "ann PLANNED", "ann COMPLETED"]


def test_the_bell_rings_for_news_and_only_then(world: World) -> None:
    rung = []
    with world.desk.bell.heard_by(lambda: rung.append(len(in_feed(world)))):
        assert publish(world.desk) == 0
        ann_asked_for(world)
        assert publish(world.desk) == 1
        assert publish(world.desk) == 0
    world.cancel(world.runs("ann")[0])
    assert publish(world.desk) == 1
    assert rung == [1]


def test_a_strategy_whose_assets_fail_is_told_of_until_it_is_mended(world: World) -> None:
    strategy = mix(world)
    world.paper.set_asset("SPY", tradable=False)
    review_assets(world.desk)
    review_assets(world.desk)
    world.clock.forward(60)
    world.paper.set_asset("SPY", tradable=True)
    world.change(strategy, reactivate=True)
    world.change(strategy, name="other")
    world.end(strategy)
    assert told(world.published()) == ["mix needs_adjustment", "mix active", "other inactive"]


# Ids.


def times(events: list[Event]) -> list[int]:
    numbers = [ulid.number_in(event.id) or 0 for event in events]
    assert numbers == sorted(set(numbers))
    return [number >> 80 for number in numbers]


def milliseconds(seconds: float) -> int:
    return int((MONDAY.timestamp() + seconds) * 1000)


def test_an_id_has_the_time_of_publishing_and_never_goes_back(world: World) -> None:
    ann_rebalanced(world)
    world.clock.forward(-3600)
    world.request("ann")
    publish(world.desk)
    world.clock.forward(7200)
    world.settle()
    assert times(in_feed(world)) == [milliseconds(0)] * 4 + [milliseconds(3600)] * 2


def test_the_event_keeps_its_own_time(world: World) -> None:
    ann_asked_for(world)
    world.clock.forward(60)
    (event,) = world.published()
    assert event.at == MONDAY
    assert times([event]) == [milliseconds(60)]


# Crashes.


def test_what_was_committed_before_a_crash_is_published_by_the_next(world: World) -> None:
    ann_asked_for(world)
    Machine(world=world).work_on()
    assert in_feed(world) == []
    world.require_published()
    assert told(in_feed(world)) == ["ann QUEUED", "ann PLANNED", "ann COMPLETED"]


@pytest.mark.parametrize("held_at", ["DELETE FROM outbox", "UPDATE feed_head"])
def test_a_publisher_that_dies_in_its_commit_has_done_nothing(
    postgres_site: PostgresSite, held_at: str
) -> None:
    with placed_world(postgres_site) as (place, world):
        ann_asked_for(world)
        db = Watched(place.main_url)

        def die(sql: str) -> None:
            if held_at in sql:
                raise ConnectionAbortedError

        db.at = die
        with pytest.raises(ConnectionAbortedError):
            publish(desk_on(world, db))
        db.close()
        assert in_feed(world) == []
        assert told(world.published()) == ["ann QUEUED"]


# Several writers, several publishers.


def test_two_publishers_take_turns(postgres_site: PostgresSite) -> None:
    """The second waits for the first, and finds nothing left."""
    with placed_world(postgres_site) as (place, world):
        ann_asked_for(world)
        publish(world.desk)
        world.cancel(world.runs("ann")[0])
        first, second = Watched(place.main_url), Watched(place.main_url)
        stop = Stop("UPDATE feed_head")
        first.at = stop
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(publish, desk_on(world, first))
            assert stop.reached.wait(PATIENCE_S)
            other = pool.submit(publish, desk_on(world, second))
            assert wait_for_a_lock(place.main_url, unless=other.done)
            stop.go_on.set()
            assert (one.result(PATIENCE_S), other.result(PATIENCE_S)) == (1, 0)
        first.close()
        second.close()
        assert told(in_feed(world)) == ["ann QUEUED", "ann CANCELED"]


def test_a_publisher_and_the_engine_never_wait_for_each_other(postgres_site: PostgresSite) -> None:
    """It has the run in hand that the engine is about to change."""
    with placed_world(postgres_site) as (place, world):
        ann_asked_for(world)
        db = Watched(place.main_url)
        stop = Stop("UPDATE feed_head")
        db.at = stop
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publish, desk_on(world, db))
            assert stop.reached.wait(PATIENCE_S)
            Machine(world=world).work_on()
            assert not publishing.done()
            stop.go_on.set()
            assert publishing.result(PATIENCE_S) == 3
        db.close()
        world.require_published()


def test_a_commit_that_comes_late_is_not_passed_over(postgres_site: PostgresSite) -> None:
    """Its place in the outbox is before that of a commit that has been published already."""
    with placed_world(postgres_site) as (place, world):
        for account_id in ("ann", "bob"):
            world.open_account(account_id, "1000")
        strategy = mix(world)
        # Two in one shard would wait for each other.
        slow = Watched(place.main_url)
        entered = threading.Event()
        go_on = threading.Event()

        def commit_late(tx: object) -> None:
            outbox.put(tx, [outbox.of_strategy(strategy)])  # type: ignore[arg-type]
            entered.set()
            assert go_on.wait(PATIENCE_S)

        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(slow.write, commit_late)
            assert entered.wait(PATIENCE_S)
            world.request("bob", weights=strategy.definition.targets)
            assert told(world.published()) == ["bob QUEUED"]
            go_on.set()
            late.result(PATIENCE_S)
        slow.close()
        assert told(world.published()) == ["bob QUEUED", "mix active"]
        world.require_published()


def ids_after(db: Database, after: str = "") -> list[str]:
    page = db.read(lambda tx: feed.between(tx, TENANT, after=after, upto=feed.head(tx), limit=7))
    return [event.id for event in page]


def test_many_writers_and_two_publishers_at_once(postgres_site: PostgresSite) -> None:
    """Clients ask and cancel in threads, the engine works, and whoever looks sees a feed that only grows."""
    with placed_world(postgres_site) as (place, world):
        for account_id in ACCOUNTS:
            world.open_account(account_id, "1000", SPY="10", GLD="25")
        strategy = mix(world)
        over = threading.Event()
        databases = [Watched(place.main_url) for _ in range(3)]

        def publish_on(number: int) -> int:
            published = 0
            while not over.is_set():
                published += publish(desk_on(world, databases[number]))
            return published

        def follow() -> list[str]:
            """The ids as a reader sees them come, each after the one it saw before."""
            seen: list[str] = []
            while not over.is_set() or seen[-1:] != [databases[2].read(feed.head)]:
                seen += ids_after(databases[2], *seen[-1:])
            return seen

        with ThreadPoolExecutor(5) as pool:
            publishers = [pool.submit(publish_on, number) for number in (0, 1)]
            reader = pool.submit(follow)
            racing = pool.submit(race, world, strategy, seed=5, threads=16)
            while not racing.done():
                for shard in world.shards():
                    Machine(world=world).drive(work(world.desk, shard))
            Machine(world=world).work_on()
            publish(world.desk)
            over.set()
            by_threads = sum(publisher.result(PATIENCE_S) for publisher in publishers)
            seen = reader.result(PATIENCE_S)
        for database in databases:
            database.close()
        assert [database.retries for database in databases] == [0, 0, 0]
        assert racing.result().surprises == []
        world.require_published()
        everything = [event.id for event in in_feed(world)]
        assert seen == everything
        assert len(everything) > 10
        assert by_threads > 0
