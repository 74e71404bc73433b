"""Many clients at once, while the engine works: one open run per account, and a promise is kept."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from tests.engine.desks import TENANT, Place, PostgresSite, Site, World, found, new_world, open_world, targets
from tests.engine.interleaving import (
    Stop,
    Watched,
    desk_on,
    notice_deadlocks_soon,
    wait_for_a_lock,
)
from tests.engine.machine import Machine
from tests.engine.racers import ACCOUNTS, Promises, race
from tests.engine.scenarios import ann_asked_for, ann_rebalanced, mix
from trimtab.core.errors import RunAlreadyOpen, RunIsFinal
from trimtab.core.run import Run, RunKind, RunState
from trimtab.core.strategy import BandKind, DriftBand
from trimtab.engine import actions
from trimtab.engine.actions import RunRequest
from trimtab.engine.desk import Desk, drive
from trimtab.engine.work import work

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60


def three_accounts(world: World) -> None:
    for account_id in ACCOUNTS:
        world.open_account(account_id, "1000", SPY="10", GLD="25")


def work_while(world: World, racing: Callable[[], Promises], *, step_s: float) -> Promises:
    """Let the engine work all the time, the clock moving on by so much, until the race is over."""
    with ThreadPoolExecutor(1) as pool:
        promises = pool.submit(racing)
        while not promises.done():
            for shard in world.shards():
                Machine(world=world).drive(work(world.desk, shard))
            world.clock.forward(step_s)
        result = promises.result()
    world.paper.set_faults({})
    Machine(world=world).work_on()
    return result


def require_kept(world: World, canceled: list[str]) -> None:
    """A cancel that was answered well is never overwritten; runs of an account never overlap (I6)."""
    assert {world.run(run_id).state for run_id in canceled} <= {RunState.CANCELED}
    world.require_sound()


def test_thirty_two_clients_race_while_the_engine_works(site: Site) -> None:
    with new_world(site) as world:
        three_accounts(world)
        strategy = mix(world)
        # Clients of PostgreSQL do not queue up for the clock: see the test of what is older than what.
        step_s = 0 if isinstance(site, PostgresSite) else 0.5
        promises = work_while(world, lambda: race(world, strategy, seed=1, threads=32), step_s=step_s)
        assert promises.surprises == []
        assert len(promises.made) > 3
        assert len(promises.canceled) > 3
        assert "RunAlreadyOpen" in promises.refused
        require_kept(world, promises.canceled)


def test_two_processes_race_beside_us(postgres_site: PostgresSite) -> None:
    with postgres_site.empty() as place, a_world(place) as world:
        three_accounts(world)
        mix(world)
        command = [sys.executable, "-m", "tests.engine.racers", place.main_url, place.paper_url]
        others = [
            subprocess.Popen([*command, str(series)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            for series in (11, 12)
        ]

        def told() -> Promises:
            promises = Promises()
            for other in others:
                output, _ = other.communicate(timeout=PATIENCE_S)
                for word, _, rest in (line.partition(" ") for line in output.splitlines()):
                    {"canceled": promises.canceled, "surprise": promises.surprises, "done": promises.made}[
                        word
                    ].append(rest)
            return promises

        # The others' clocks stand still.
        promises = work_while(world, told, step_s=0)
        assert promises.surprises == []
        assert len(promises.made) == 2, "both came to their end"
        require_kept(world, promises.canceled)


@contextmanager
def a_world(place: Place) -> Iterator[World]:
    world = found(open_world(place))
    try:
        yield world
    finally:
        world.close()


# Cancels at every moment.


@pytest.mark.parametrize("filled", ["at once", "later"])
def test_a_cancel_that_is_answered_well_is_never_overwritten(site: Site, filled: str) -> None:
    """Between any two effects of the engine: either the run ends CANCELED, or the client is told."""
    stride = 7 if isinstance(site, PostgresSite) else 1
    number = 0
    answers: list[str] = []
    while True:
        with new_world(site) as world:
            ann_asked_for(world)
            if filled == "later":
                world.paper.set_faults({"fill_delay_s": 2})
            run = world.runs("ann")[0]
            machine = Machine(world=world)
            canceled: list[bool] = []

            def cancel_now(at: int) -> None:
                if at == number:  # noqa: B023 - called in this round only
                    canceled.append(cancels(world, run))  # noqa: B023

            machine.before = cancel_now
            machine.work_on()
            if not canceled:
                break
            state = world.run(run.id).state
            assert state is (RunState.CANCELED if canceled[0] else RunState.COMPLETED), number
            answers.append(f"{canceled[0]} {world.ends('ann')[0]}")
            world.require_sound()
        number += stride
    assert answers[0] == "True CANCELED"
    assert "True CANCELED+" in answers
    assert filled == "later" or "False COMPLETED" in answers


def cancels(world: World, run: Run) -> bool:
    try:
        world.cancel(run)
    except RunIsFinal:
        return False
    return True


def test_cancelling_a_queued_run_twice_is_no_error(site: Site) -> None:
    with new_world(site) as world:
        ann_asked_for(world)
        run = world.runs("ann")[0]
        world.cancel(run)
        world.cancel(run)
        assert world.ends("ann") == ["CANCELED"]


def test_many_cancels_of_one_queued_run_are_all_answered_well(site: Site) -> None:
    with new_world(site) as world:
        three_accounts(world)
        for turn in range(10):
            run = world.request("ann", weights=targets(SPY="60", TLT="40"))
            together = threading.Barrier(8)

            def cancel(_n: int) -> bool:
                together.wait(PATIENCE_S)  # noqa: B023 - this turn's
                return cancels(world, run)  # noqa: B023

            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(cancel, range(8))) == [True] * 8, turn


# Two at once, each on a connection of its own: the first is held inside its transaction.


@dataclass(frozen=True)
class Collision:
    """Whether the second had to wait for the first, and how many transactions were tried again."""

    waited: bool
    retries: int


Client = Callable[[Desk], object]


def collide(place: Place, world: World, *, first: Client, held_at: str, second: Client) -> Collision:
    """Hold the first before a statement with this text until the second waits for it, or is through."""
    notice_deadlocks_soon(place)
    first_db, second_db = Watched(place.main_url), Watched(place.main_url)
    stop = Stop(held_at)
    first_db.at = stop
    try:
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(first, desk_on(world, first_db))
            assert stop.reached.wait(PATIENCE_S)
            other = pool.submit(second, desk_on(world, second_db))
            try:
                waited = wait_for_a_lock(place.main_url, unless=other.done)
            finally:
                stop.go_on.set()
            one.result(PATIENCE_S)
            other.result(PATIENCE_S)
    finally:
        first_db.close()
        second_db.close()
    return Collision(waited, first_db.retries + second_db.retries)


def canceling(run: Run) -> Client:
    return lambda desk: actions.cancel_run(desk, TENANT, run.id)


def asking(asked: RunRequest, made: list[Run]) -> Client:
    """Asks for a run; one that is made is put into `made`."""

    def ask(desk: Desk) -> None:
        with suppress(RunAlreadyOpen):
            made.append(actions.request_run(desk, TENANT, asked))

    return ask


def anew() -> RunRequest:
    weights = targets(SPY="60", TLT="40")
    return RunRequest(account_id="ann", kind=RunKind.FULL_REBALANCE, targets=weights, amount=None)


def test_a_cancel_that_was_overtaken_by_another_is_no_error(postgres_site: PostgresSite) -> None:
    """The second comes while the first has seen the run QUEUED and not yet written."""
    with postgres_site.empty() as place, a_world(place) as world:
        ann_asked_for(world)
        cancel = canceling(world.runs("ann")[0])
        met = collide(place, world, first=cancel, held_at="SET state = 'CANCELED'", second=cancel)
        assert met == Collision(waited=True, retries=0)
        assert world.ends("ann") == ["CANCELED"]
        world.require_sound()


def test_a_run_that_ends_while_another_is_asked_for_is_no_surprise(postgres_site: PostgresSite) -> None:
    """The open run is gone by the time its cancel has been answered: it keeps no other out."""
    with postgres_site.empty() as place, a_world(place) as world:
        ann_asked_for(world)
        run, made = world.runs("ann")[0], list[Run]()
        world.clock.forward(1)
        met = collide(
            place, world, first=canceling(run), held_at="SET state = 'CANCELED'", second=asking(anew(), made)
        )
        assert len(made) == 1
        Machine(world=world).work_on()
        assert sorted(world.ends("ann")) == ["CANCELED", "COMPLETED"]
        world.require_sound()
        assert met == Collision(waited=True, retries=0)


def test_a_run_that_was_stored_later_is_not_older(postgres_site: PostgresSite) -> None:
    """Between its look at the clock and its insert another wants to come and go, ten seconds later."""
    with postgres_site.empty() as place, a_world(place) as world:
        ann_asked_for(world)
        world.cancel(world.runs("ann")[0])
        earlier, later = list[Run](), list[Run]()

        def come_and_go(desk: Desk) -> None:
            world.clock.forward(10)
            asking(anew(), later)(desk)
            for run in later:
                actions.cancel_run(desk, TENANT, run.id)

        met = collide(
            place, world, first=asking(anew(), earlier), held_at="INSERT INTO runs", second=come_and_go
        )
        world.clock.forward(10)
        Machine(world=world).work_on()
        world.require_sound()
        assert (len(earlier), later) == (1, [])
        assert met == Collision(waited=True, retries=0)


# Locks: whoever takes them in another order makes PostgreSQL wait a second and end one of the two.


def whole_turn(desk: Desk) -> None:
    drive(work(desk, 1), desk)


def test_a_cancel_and_the_engine_never_wait_for_each_other(postgres_site: PostgresSite) -> None:
    with postgres_site.empty() as place, a_world(place) as world:
        ann_asked_for(world)
        run = world.runs("ann")[0]
        met = collide(
            place, world, first=whole_turn, held_at="SELECT id, version FROM runs", second=canceling(run)
        )
        assert world.run(run.id).state is not RunState.FAILED
        assert met == Collision(waited=True, retries=0)


def test_a_request_and_the_engine_never_wait_for_each_other(postgres_site: PostgresSite) -> None:
    """Both want to make a run of the same account."""
    with postgres_site.empty() as place, a_world(place) as world:
        ann_rebalanced(world)
        world.change(
            world.strategies()[0], conditions=(DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(1)),)
        )
        world.set_prices(SPY="500")

        asked = RunRequest(account_id="ann", kind=RunKind.FULL_REBALANCE, targets=(), amount=None)
        met = collide(
            place, world, first=whole_turn, held_at="INSERT INTO runs", second=asking(asked, list[Run]())
        )
        Machine(world=world).work_on()
        world.require_sound()
        assert met == Collision(waited=True, retries=0)


def test_a_run_is_not_older_than_the_end_of_the_one_before(site: Site) -> None:
    """While the client waits for the broker's answer the open run ends, ten seconds later."""
    with new_world(site) as world:
        ann_asked_for(world)
        left = iter([True])

        def end_the_other(call: str) -> None:
            if call == "accounts" and next(left, False):
                world.clock.forward(10)
                Machine(world=world).work_on()

        world.broker.before = end_the_other
        second = world.request("ann", weights=targets(SPY="60", TLT="40"))
        first = world.runs("ann")[0]
        assert first.finished_at is not None
        assert second.created_at >= first.finished_at
        Machine(world=world).work_on()
        world.require_sound()
