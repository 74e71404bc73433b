"""A worker that was paused and overtaken: whatever it does when it wakes up changes nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.engine.desks import PostgresSite, Setup, Site, World, new_world, open_world
from tests.engine.interleaving import PATIENCE_S, Stop, Watched, wait_for_a_lock
from tests.engine.machine import Died, Machine, Point, points
from tests.engine.scenarios import ANN_ENDS, SIX_HOLDINGS, ann_enrolled, six_enrolled
from trimtab.core.errors import Fenced
from trimtab.database import Tx
from trimtab.engine.desk import Commit, Effect, Effects, Send, perform
from trimtab.engine.turn import take_turn
from trimtab.engine.work import work
from trimtab.store import runs, shards

# Nothing fills at once, so there are several turns; batches are small, so a turn has many effects.
SETUP = Setup(batch=3)
FAULTS = {"fill_delay_s": 2, "partial_fill": 1}


@dataclass
class Woken:
    """What a zombie did after it had been overtaken."""

    commits: int = 0
    fenced: int = 0
    sent: list[str] = field(default_factory=list)


def paused_after(world: World, count: int) -> tuple[Effects[Any], Effect | None]:
    """A worker's generator and the effect it is about to perform, after so many others."""
    effects = work(world.desk, 1)
    try:
        effect = next(effects)
        for _ in range(count):
            effect = effects.send(perform(effect, world.desk.db, broker=world.desk.broker))
    except StopIteration:
        return effects, None
    return effects, effect


def wake(effects: Effects[Any], effect: Effect, world: World) -> Woken:
    """Perform the rest; every commit is tried, whatever happened to those before."""
    woken = Woken()
    try:
        while True:
            if isinstance(effect, Commit):
                woken.commits += 1
            if isinstance(effect, Send):
                woken.sent += [order.client_order_id for order in effect.orders]
            try:
                answer = perform(effect, world.desk.db, broker=world.desk.broker)
            except Fenced as error:
                woken.fenced += 1
                effect = effects.throw(error)
            else:
                effect = effects.send(answer)
    except (StopIteration, Fenced):
        return woken


def effects_of_a_turn(site: Site) -> list[int]:
    """How many orders each effect of the first turn sends."""
    with new_world(site, SETUP) as world:
        six_enrolled(world)
        world.paper.set_faults(FAULTS)
        machine = Machine(world=world)
        machine.drive(work(world.desk, 1))
        return machine.sizes


@contextmanager
def overtaken(site: Site, count: int) -> Iterator[tuple[World, Effects[Any], Effect]]:
    """A world in which one worker stopped after so many effects and another did everything."""
    with new_world(site, SETUP) as world:
        six_enrolled(world)
        world.paper.set_faults(FAULTS)
        effects, effect = paused_after(world, count)
        assert effect is not None
        Machine(world=world).work_on()
        yield world, effects, effect


def check_zombie(site: Site, count: int) -> Woken:
    with overtaken(site, count) as (world, effects, effect):
        before, accepted = world.dump(), world.broker_orders()
        woken = wake(effects, effect, world)
        assert world.dump() == before, f"after {count} effects"
        assert world.broker_orders() == accepted
        assert {each: world.holdings(each) for each in SIX_HOLDINGS} == SIX_HOLDINGS
        world.require_sound()
        # Marking a shard due asks for a worker, nothing else: that alone is not guarded.
        assert woken.commits in {woken.fenced, 1}
        return woken


def test_a_worker_paused_anywhere_writes_nothing_once_it_is_overtaken(site: Site) -> None:
    sizes = effects_of_a_turn(site)
    stride = 1 if not isinstance(site, PostgresSite) else 6
    # The first effect takes the shard, which a worker may do at any time.
    woken = [check_zombie(site, n) for n in range(1, len(sizes)) if n % stride == 0 or sizes[n]]
    assert sum(each.fenced for each in woken) >= len(woken) * 3 // 4
    assert any(each.sent for each in woken), "some were paused between an intent and its sending"


def test_taking_a_shard_late_only_sends_away_the_one_at_work(site: Site) -> None:
    """Whoever wakes up before it has taken the shard is the newest worker, and no zombie."""
    with new_world(site, SETUP) as world:
        six_enrolled(world)
        late = work(world.desk, 1)
        first = next(late)
        at_work, effect = paused_after(world, 9)
        assert effect is not None
        answer = perform(first, world.desk.db, broker=world.desk.broker)
        machine = Machine(world=world)
        assert wake(at_work, effect, world).fenced == 1
        wake(late, late.send(answer), world)
        machine.work_on()
        assert {each: world.holdings(each) for each in SIX_HOLDINGS} == SIX_HOLDINGS
        world.require_sound()


def test_a_zombie_that_wakes_between_two_turns_of_the_other_changes_nothing(site: Site) -> None:
    """The other has not finished: its orders are open, and it knows more than the zombie."""
    with new_world(site, SETUP) as world:
        ann_enrolled(world)
        world.paper.set_faults({"fill_delay_s": 2})
        for count in (4, 6, 8, 9):
            effects, effect = paused_after(world, count)
            machine = Machine(world=world)
            machine.work()
            if effect is not None:
                before = world.dump()
                wake(effects, effect, world)
                assert world.dump() == before
        Machine(world=world).work_on()
        assert world.holdings("ann") == ANN_ENDS
        world.require_sound()


def test_dying_zombies_and_living_workers_in_turn(site: Site) -> None:
    """Each life ends in the middle, each corpse is woken when the next life has ended too."""
    with new_world(site, SETUP) as world:
        ann_enrolled(world)
        previous: tuple[Effects[Any], Effect] | None = None
        for count in (5, 7, 8, 9, 10, 11, 12):
            effects, effect = paused_after(world, count)
            if previous is not None:
                wake(*previous, world)
            previous = None if effect is None else (effects, effect)
        Machine(world=world).work_on()
        assert world.holdings("ann") == ANN_ENDS
        assert len(set(world.broker_orders())) == len(world.broker_orders()) == 3
        world.require_sound()


def test_a_zombie_may_send_late_but_nothing_is_ever_sent_twice(site: Site) -> None:
    """On a broker that takes every order as a new one: what is given up is never sent by another."""
    setup = Setup(batch=3, drops_duplicates=False)
    with new_world(site, setup) as world:
        ann_enrolled(world)
        effects = work(world.desk, 1)
        effect = next(effects)
        while not isinstance(effect, Send):
            effect = effects.send(perform(effect, world.desk.db, broker=world.desk.broker))
        Machine(world=world).work_on()
        before = world.dump()
        assert world.ends("ann") == ["COMPLETED*"]
        assert world.record("ann").held == "the fate of an order is unknown"
        assert wake(effects, effect, world).sent == [effect.orders[0].client_order_id]
        assert world.dump() == before
        assert world.broker.repeated == []


# With threads and connections of their own.


def test_a_takeover_waits_for_a_commit_under_way_and_stops_the_next(postgres_site: PostgresSite) -> None:
    with postgres_site.empty() as place:
        world = open_world(place)
        db = Watched(place.main_url)
        behind_the_guard = Stop("INSERT INTO tenants")
        db.at = behind_the_guard
        try:
            world.db.write(lambda tx: tx.execute("INSERT INTO shards (shard, accounts) VALUES (1, 0)"))
            now = world.clock.now
            epoch = world.db.write(lambda tx: shards.take(tx, 1, now=now)).epoch

            def commit(tx: Tx) -> None:
                shards.guard(tx, 1, epoch)
                tx.execute("INSERT INTO tenants (id, name, created_at) VALUES ('a', 'A', 0)")

            with ThreadPoolExecutor(2) as pool:
                first = pool.submit(db.write, commit)
                assert behind_the_guard.reached.wait(PATIENCE_S)
                second = pool.submit(world.db.write, lambda tx: shards.take(tx, 1, now=now))
                wait_for_a_lock(place.main_url)
                assert not second.done(), "a takeover waits until the commit has ended"
                behind_the_guard.go_on.set()
                first.result(PATIENCE_S)
                assert second.result(PATIENCE_S).epoch == epoch + 1
            with pytest.raises(Fenced):
                db.write(commit)
        finally:
            db.close()
            world.close()


def test_two_threads_take_one_shard_from_each_other_all_the_time(postgres_site: PostgresSite) -> None:
    with postgres_site.empty() as place:
        worlds = [open_world(place, SETUP, series=n) for n in range(3)]
        try:
            first = worlds[0]
            first.db.write(lambda tx: tx.execute("INSERT INTO tenants VALUES ('acme-id', 'Acme', 0)"))
            first.set_prices(SPY="400", TLT="100", GLD="200")
            six_enrolled(first)
            fenced = [0, 0]

            def struggle(n: int) -> None:
                for _ in range(12):
                    try:
                        Machine(world=worlds[n + 1]).drive(work(worlds[n + 1].desk, 1))
                    except Fenced:
                        fenced[n] += 1

            with ThreadPoolExecutor(2) as pool:
                for done in [pool.submit(struggle, 0), pool.submit(struggle, 1)]:
                    done.result(PATIENCE_S * 2)
            Machine(world=first).work_on()
            assert sum(fenced) > 0, "they did get into each other's way"
            assert {each: first.holdings(each) for each in SIX_HOLDINGS} == SIX_HOLDINGS
            assert len(set(first.broker_orders())) == len(first.broker_orders())
            first.require_sound()
        finally:
            for world in worlds:
                world.close()


def test_a_turn_that_was_never_taken_cannot_commit(site: Site) -> None:
    with new_world(site) as world:
        ann_enrolled(world)
        machine = Machine(world=world)
        turn = machine.drive(take_turn(world.desk, 1))
        machine.drive(take_turn(world.desk, 1))
        with pytest.raises(Fenced):
            machine.drive(turn.commit(runs.counts))


def test_points_count_every_order_of_a_sending() -> None:
    """The measure of all crash tests, on a turn of four effects that sends three orders."""
    assert list(points([0, 3, 0, 0])) == [
        Point(0),
        Point(1),
        Point(1, 1),
        Point(1, 2),
        Point(2),
        Point(3),
    ]
    assert issubclass(Died, Exception)
