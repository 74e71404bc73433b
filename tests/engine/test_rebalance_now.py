"""Rebalance now: the run in flight or else a new one, not too soon after the last, whoever else wants one.

The answers are those of the notes on Glider's contract (3.1, 4.4 to 4.9, 9.5 to 9.7, 9.14 to 9.18). The
cooldown is 60 seconds and counts from the end of the last run of the enrollment.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.engine.desks import Place, PostgresSite, World, placed_world, targets
from tests.engine.interleaving import Stop, Watched, desk_on, notice_deadlocks_soon, wait_for_a_lock
from tests.engine.intervals import (
    BALANCED,
    DAY,
    HOUR,
    OTHER,
    SECOND,
    START,
    follow,
    follow_as_other,
    followed,
    leave,
    mix,
    next_due,
    one_turn,
    pause,
    public,
    rebalance,
    second_tenant,
    settle_at,
    while_sweeping,
)
from tests.engine.machine import Machine
from trimtab.core.enrollment import Enrollment
from trimtab.core.errors import NotFound, RunAlreadyOpen, RunTooSoon
from trimtab.core.run import FINAL_STATES, Initiator, Run, RunKind, RunState
from trimtab.engine import actions, enrollment_actions
from trimtab.engine.desk import Desk, drive
from trimtab.engine.work import work

PATIENCE_S = 60
MINUTE = timedelta(seconds=60)

COMPLETED_ONLY = frozenset({RunState.COMPLETED})


def only_after_completed(world: World) -> None:
    """Switch the setting off that makes failed and cancelled runs start a cooldown too."""
    policy = replace(world.desk.trigger, after=frozenset({RunState.COMPLETED}))
    world.desk = replace(world.desk, trigger=policy)


def wait_of(world: World, enrollment: Enrollment) -> timedelta | None:
    """How long a trigger has to wait; None if it is granted."""
    try:
        rebalance(world, enrollment)
    except RunTooSoon as error:
        return error.retry_after
    return None


# One run.


def test_a_trigger_makes_a_run_outside_the_schedule_and_wakes_a_worker(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.clock.now = START + HOUR
    run = rebalance(world, enrollment)
    assert world.run(run.id) == run
    assert (run.state, run.kind, run.initiator) == (RunState.QUEUED, RunKind.FULL_REBALANCE, Initiator.API)
    assert (run.slot, run.enrollment_id, run.created_at) == (None, enrollment.id, START + HOUR)
    assert world.due_at() == START + HOUR
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert next_due(world) == START + DAY
    assert world.enrollment("ann").last_rebalanced_at == START + HOUR


def test_a_portfolio_without_a_schedule_can_be_triggered(world: World) -> None:
    enrollment = followed(world, mix(world, None))
    settle_at(world, START + HOUR)
    rebalance(world, enrollment)
    world.settle()
    assert world.slots("ann") == ["enrollment", "api"]


def test_an_empty_account_is_done_at_once(world: World) -> None:
    enrollment = world.enroll(world.open_account("ann", "0"), mix(world))
    world.settle()
    settle_at(world, START + HOUR)
    rebalance(world, enrollment)
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert world.enrollment("ann").last_rebalanced_at is None


# The run in flight.


def test_a_second_trigger_returns_the_first_ones_run(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 50})
    world.clock.now = START + HOUR
    first = rebalance(world, enrollment)
    world.clock.forward(1)
    assert rebalance(world, enrollment) == first, "while it is queued"
    world.settle()
    world.clock.forward(1)
    again = rebalance(world, enrollment)
    assert (again.id, again.created_at) == (first.id, START + HOUR)
    assert again.state is RunState.SELLING
    assert len(world.runs("ann")) == 2


def test_a_trigger_returns_the_run_that_enrolling_made(world: World) -> None:
    enrollment = follow(world, mix(world))
    world.clock.forward(5)
    run = rebalance(world, enrollment)
    assert (run.initiator, run.created_at) == (Initiator.SYSTEM, START)
    assert len(world.runs("ann")) == 1


def test_a_trigger_returns_the_run_that_the_schedule_made(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 50})
    settle_at(world, START + DAY)
    world.clock.forward(5)
    run = rebalance(world, enrollment)
    assert (run.initiator, run.created_at, run.state) == (
        Initiator.SYSTEM,
        START + DAY,
        RunState.SELLING,
    )
    assert len(world.runs("ann")) == 2


def test_a_trigger_returns_a_run_that_was_asked_for_through_the_other_dialect(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.clock.forward(5)
    asked = world.request("ann")
    assert rebalance(world, enrollment) == asked


def test_a_trigger_returns_the_accounts_open_run_although_it_is_not_the_enrollments(world: World) -> None:
    """Asked for with weights of its own, before the account was enrolled."""
    world.open_account("ann", "0", **BALANCED)
    asked = world.request("ann", weights=targets(SPY="50", TLT="50"))
    enrollment = world.enroll("ann", mix(world))
    assert asked.enrollment_id is None
    assert rebalance(world, enrollment) == asked
    assert [run.id for run in world.runs("ann")] == [asked.id]


def test_the_run_in_flight_is_returned_however_fresh_the_one_before_is(world: World) -> None:
    """In flight comes before the cooldown (4.6)."""
    enrollment = followed(world, mix(world))
    asked = world.request("ann")
    assert rebalance(world, enrollment) == asked


# Too soon.


@pytest.mark.parametrize(
    ("after", "wait"),
    [
        (timedelta(0), MINUTE),
        (timedelta(microseconds=1), timedelta(seconds=59, microseconds=999_999)),
        (timedelta(seconds=30), timedelta(seconds=30)),
        (timedelta(seconds=59), timedelta(seconds=1)),
        (timedelta(seconds=59, microseconds=999_999), timedelta(microseconds=1)),
        (MINUTE, None),
        (timedelta(seconds=61), None),
    ],
)
def test_a_trigger_waits_until_the_cooldown_has_ended(
    sqlite_world: World, *, after: timedelta, wait: timedelta | None
) -> None:
    """The scheduled run took 20 seconds: it counts from its end."""
    world = sqlite_world
    enrollment = followed(world, mix(world))
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 10})
    settle_at(world, START + DAY, START + DAY + 10 * SECOND, START + DAY + 20 * SECOND)
    assert world.runs("ann")[1].finished_at == START + DAY + 20 * SECOND
    world.clock.now = START + DAY + 20 * SECOND + after
    assert wait_of(world, enrollment) == wait
    assert len(world.open_runs()) == (wait is None)


def test_a_refused_trigger_stores_nothing(world: World) -> None:
    enrollment = followed(world, mix(world))
    before = world.dump()
    assert wait_of(world, enrollment) == MINUTE
    assert world.dump() == before


def test_manual_runs_start_the_cooldown_too(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.clock.now = START + HOUR
    rebalance(world, enrollment)
    world.settle()
    world.clock.forward(20)
    assert wait_of(world, enrollment) == timedelta(seconds=40)
    world.clock.forward(40)
    assert wait_of(world, enrollment) is None


def test_the_schedule_is_not_held_up_by_the_cooldown(world: World) -> None:
    """It is a cooldown between triggers (4.5)."""
    enrollment = followed(world, mix(world))
    world.clock.now = START + DAY - SECOND
    rebalance(world, enrollment)
    settle_at(world, START + DAY - SECOND, START + DAY)
    assert world.slots("ann") == ["due", "api", "due"]


def canceled(world: World) -> None:
    world.cancel(world.open_runs()[0])


def canceled_half_way(world: World) -> None:
    world.settle()
    world.cancel(world.open_runs()[0])
    world.settle()


def timed_out(world: World) -> None:
    """One hour on a market that never closes."""
    world.settle()
    settle_at(world, world.clock.now + HOUR)


def completed_adjusted(world: World) -> None:
    world.paper.set_faults({"reject": ["SPY", "TLT"]})
    world.settle()


@pytest.mark.parametrize(
    ("ending", "end", "waits"),
    [
        (canceled, "CANCELED", {True: True, False: False}),
        (canceled_half_way, "CANCELED+", {True: True, False: False}),
        (timed_out, "TIMED_OUT+", {True: True, False: False}),
        (completed_adjusted, "COMPLETED*", {True: True, False: True}),
    ],
)
@pytest.mark.parametrize("after_failure", [True, False])
def test_whether_a_run_that_did_not_complete_starts_the_cooldown_is_a_setting(
    sqlite_world: World,
    *,
    ending: Callable[[World], None],
    end: str,
    waits: dict[bool, bool],
    after_failure: bool,
) -> None:
    world = sqlite_world
    world.desk = replace(
        world.desk,
        trigger=replace(world.desk.trigger, after=FINAL_STATES if after_failure else COMPLETED_ONLY),
    )
    enrollment = followed(world, mix(world))
    world.clock.now = START + HOUR
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 100_000})
    rebalance(world, enrollment)
    ending(world)
    assert world.ends("ann") == ["COMPLETED", end]
    world.clock.forward(59)
    assert wait_of(world, enrollment) == (SECOND if waits[after_failure] else None)
    world.clock.forward(1)
    assert wait_of(world, enrollment) is None


def test_a_run_that_did_not_complete_does_not_hide_the_one_before_it(sqlite_world: World) -> None:
    """With the setting off it starts no cooldown, and ends none: any completed run has to be waited after."""
    world = sqlite_world
    world.desk = replace(world.desk, trigger=replace(world.desk.trigger, after=COMPLETED_ONLY))
    enrollment = followed(world, mix(world))
    world.clock.forward(10)
    world.cancel(world.request("ann"))
    assert world.ends("ann") == ["COMPLETED", "CANCELED"]
    assert wait_of(world, enrollment) == timedelta(seconds=50)
    world.clock.forward(50)
    assert wait_of(world, enrollment) is None


def test_a_cooldown_of_none_is_no_cooldown(sqlite_world: World) -> None:
    world = sqlite_world
    world.desk = replace(world.desk, trigger=replace(world.desk.trigger, cooldown=timedelta(0)))
    assert wait_of(world, followed(world, mix(world))) is None


def test_one_portfolios_cooldown_is_not_anothers(world: World) -> None:
    strategy = mix(world)
    ann = followed(world, strategy)
    world.clock.forward(60)
    bob = followed(world, strategy, "bob")
    assert (wait_of(world, ann), wait_of(world, bob)) == (None, MINUTE)


# Whose, and in which state.


def test_a_paused_portfolio_can_be_triggered_and_stays_paused(world: World) -> None:
    enrollment = followed(world, mix(world))
    pause(world, enrollment)
    world.clock.now = START + HOUR
    rebalance(world, enrollment)
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert world.enrollment("ann").state == "paused"
    assert next_due(world) == START + DAY


def test_what_is_another_tenants_or_has_ended_is_missing(world: World) -> None:
    second_tenant(world)
    strategy = public(world)
    ann = followed(world, strategy)
    bob = follow_as_other(world, strategy)
    world.settle()
    settle_at(world, START + HOUR)
    before = world.dump()
    for tenant_id, enrollment in ((OTHER, ann), ("acme-id", bob), ("acme-id", replace(ann, id="nothing"))):
        with pytest.raises(NotFound, match=enrollment.id):
            rebalance(world, enrollment, tenant_id)
    assert world.dump() == before
    assert rebalance(world, bob, OTHER).tenant_id == OTHER
    leave(world, ann)
    with pytest.raises(NotFound):
        rebalance(world, ann)


# Everybody at once.


def all_at_once(*clients: Callable[[], object]) -> list[object]:
    """Each client in a thread of its own; what it was answered, or the error it was told."""
    together = threading.Barrier(len(clients))

    def run(client: Callable[[], object]) -> object:
        together.wait(PATIENCE_S)
        try:
            return client()
        except (NotFound, RunTooSoon, RunAlreadyOpen) as error:
            return error

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(run, clients))


def ids(answers: list[object]) -> list[str]:
    return [answer.id for answer in answers if isinstance(answer, Run)]


def test_triggers_at_once_are_all_answered_with_one_run(world: World) -> None:
    enrollment = followed(world, mix(world))
    for turn in range(1, 6):
        world.clock.now = START + turn * HOUR
        answers = all_at_once(*[lambda: rebalance(world, enrollment)] * 8)
        assert len(ids(answers)) == 8
        assert len(set(ids(answers))) == 1
        assert len(world.runs("ann")) == turn + 1
        world.settle()
    world.require_sound()


def test_triggers_and_requests_at_once_make_one_run(world: World) -> None:
    """Through one dialect the others' run is the answer, through the other it is a refusal."""
    enrollment = followed(world, mix(world))
    for turn in range(1, 6):
        world.clock.now = START + turn * HOUR
        triggers, requests = [lambda: rebalance(world, enrollment)] * 4, [lambda: world.request("ann")] * 4
        answers = all_at_once(*triggers, *requests)
        (run,) = world.open_runs()
        assert ids(answers[:4]) == [run.id] * 4
        assert ids(answers[4:]) in ([], [run.id])
        assert {type(answer) for answer in answers[4:]} <= {Run, RunAlreadyOpen}
        world.settle()
    assert len(world.runs("ann")) == 6
    world.require_sound()


def test_triggers_while_the_engine_works_make_runs_one_after_the_other(world: World) -> None:
    """The clock moves on by an hour with each turn, and the account is due once a day."""
    enrollment = followed(world, mix(world))
    stop = threading.Event()
    answers: list[object] = []

    def trigger() -> None:
        while not stop.is_set():
            answers.extend(all_at_once(*[lambda: rebalance(world, enrollment)] * 3))

    with ThreadPoolExecutor(1) as pool:
        triggers = pool.submit(trigger)
        for hours in range(1, 1000):
            world.clock.now = START + hours * HOUR
            one_turn(world)
            if len(set(ids(answers))) > 4 and hours > 30:
                break
        stop.set()
        triggers.result(PATIENCE_S)
    Machine(world=world).work_on()
    assert set(ids(answers)) <= {run.id for run in world.runs("ann")}
    assert len(set(ids(answers))) > 4
    assert {type(answer) for answer in answers} <= {Run, RunTooSoon}
    slots = [run.slot for run in world.runs("ann") if run.slot is not None]
    assert len(slots) == len(set(slots))
    world.require_sound()


def test_a_trigger_under_a_sweep_makes_the_only_run(world: World) -> None:
    """Between the reading and the writing of a sweep that finds the account due."""
    enrollment = followed(world, mix(world))
    world.clock.now = START + DAY
    made: list[Run] = []
    while_sweeping(world, lambda: made.append(rebalance(world, enrollment)))
    one_turn(world)
    assert [run.id for run in world.runs("ann")[1:]] == [made[0].id]
    world.require_sound()


def test_a_trigger_and_the_end_of_following_leave_no_run_behind(world: World) -> None:
    """Either the run was first, and is cancelled, or there is none."""
    strategy = mix(world)
    follow(world, strategy)
    world.settle()
    for turn in range(1, 8):
        world.clock.now = START + turn * HOUR
        enrollment = world.enrollment("ann")
        triggers = [lambda e=enrollment: rebalance(world, e)] * 3
        answers = all_at_once(*triggers, lambda e=enrollment: leave(world, e))  # type: ignore[misc]
        assert answers[3] is True
        assert {type(answer) for answer in answers[:3]} <= {Run, NotFound}
        assert world.open_runs() == []
        assert {world.run(run_id).state for run_id in ids(answers)} <= {RunState.CANCELED}
        with pytest.raises(NotFound):
            rebalance(world, enrollment)
        world.enroll("ann", strategy)
        world.settle()
    world.require_sound()


# The same on PostgreSQL, one held in the middle while the other comes.


def held(
    place: Place, world: World, *, first: Callable[[Desk], object], at: str, second: Callable[[Desk], object]
) -> list[object]:
    """The second comes while the first stands before that statement; what both were answered."""
    notice_deadlocks_soon(place)
    first_db, second_db = Watched(place.main_url), Watched(place.main_url)
    stop = Stop(at)
    first_db.at = stop

    def answer(act: Callable[[Desk], object], db: Watched) -> object:
        try:
            return act(desk_on(world, db))
        except (NotFound, RunAlreadyOpen, RunTooSoon) as error:
            return error

    try:
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(answer, first, first_db)
            assert stop.reached.wait(PATIENCE_S)
            other = pool.submit(answer, second, second_db)
            wait_for_a_lock(place.main_url)
            stop.go_on.set()
            answers = [one.result(PATIENCE_S), other.result(PATIENCE_S)]
    finally:
        first_db.close()
        second_db.close()
    assert first_db.retries + second_db.retries == 0, "nobody was in a deadlock"
    return answers


def test_a_trigger_waits_for_one_under_way_and_returns_its_run(postgres_site: PostgresSite) -> None:
    with placed_world(postgres_site) as (place, world):
        enrollment = followed(world, mix(world))
        world.clock.now = START + HOUR

        def trigger(desk: Desk) -> Run:
            return actions.rebalance_now(desk, "acme-id", enrollment.id)

        one, other = held(place, world, first=trigger, at="INSERT INTO runs", second=trigger)
        assert isinstance(one, Run)
        assert one == other


def test_a_trigger_waits_for_a_sweep_under_way_and_returns_its_run(postgres_site: PostgresSite) -> None:
    with placed_world(postgres_site) as (place, world):
        enrollment = followed(world, mix(world))
        world.clock.now = START + DAY
        _, run = held(
            place,
            world,
            first=lambda desk: drive(work(desk, 1), desk),
            at="INSERT INTO runs",
            second=lambda desk: actions.rebalance_now(desk, "acme-id", enrollment.id),
        )
        assert isinstance(run, Run)
        assert [each.id for each in world.runs("ann")[1:]] == [run.id]
        assert (run.initiator, run.created_at) == (Initiator.SYSTEM, START + DAY)


def test_a_trigger_that_waits_for_the_end_of_following_is_told_that_it_has_ended(
    postgres_site: PostgresSite,
) -> None:
    with placed_world(postgres_site) as (place, world):
        enrollment = followed(world, mix(world))
        world.clock.now = START + HOUR
        _, answer = held(
            place,
            world,
            first=lambda desk: enrollment_actions.end_enrollment(desk, "acme-id", enrollment.id),
            at="UPDATE enrollments",
            second=lambda desk: actions.rebalance_now(desk, "acme-id", enrollment.id),
        )
        assert isinstance(answer, NotFound)
        assert len(world.runs("ann")) == 1


def test_the_end_of_following_waits_for_a_trigger_and_cancels_its_run(postgres_site: PostgresSite) -> None:
    with placed_world(postgres_site) as (place, world):
        enrollment = followed(world, mix(world))
        world.clock.now = START + HOUR
        run, _ = held(
            place,
            world,
            first=lambda desk: actions.rebalance_now(desk, "acme-id", enrollment.id),
            at="INSERT INTO runs",
            second=lambda desk: enrollment_actions.end_enrollment(desk, "acme-id", enrollment.id),
        )
        assert isinstance(run, Run)
        assert world.run(run.id).state is RunState.CANCELED
        assert world.enrollments("ann") == []
