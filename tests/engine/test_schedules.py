"""Interval schedules: one run per instant, what was missed made up for once, and who may move the instant.

The answers are those of the notes on Glider's contract (4.8, 4.9, 9.14 to 9.20, 3.3 on start and stop)
and of the decisions page (1, 10). The world is that of `intervals`.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from tests.engine.desks import (
    EXCHANGE,
    PostgresSite,
    Setup,
    Site,
    SqliteSite,
    World,
    new_world,
    new_york,
    targets,
)
from tests.engine.intervals import (
    BALANCED,
    DAY,
    HOUR,
    SECOND,
    START,
    follow,
    followed,
    leave,
    mix,
    next_due,
    one_turn,
    pause,
    rebalance,
    resume,
    scheduled_at,
    settle_at,
    while_sweeping,
)
from tests.engine.machine import Machine
from tests.engine.scenarios import Scenario
from tests.engine.test_crashes import every_point, play_copy, prepared
from tests.engine.test_zombies import paused_after, wake
from trimtab.core.enrollment import Enrollment
from trimtab.core.run import RunKind, RunState
from trimtab.core.strategy import BandKind, DriftBand, Frequency, StrategyStatus
from trimtab.engine.local import tick
from trimtab.engine.work import work

BAND = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))
WITH_CASH = Setup(invest_cash_min="10")


# Once per instant.


def test_the_first_run_is_the_schedules_first_and_the_next_is_due_one_interval_later(world: World) -> None:
    follow(world, mix(world))
    assert (next_due(world), scheduled_at(world)) == (START, [START])
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED]
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]
    assert next_due(world) == START + DAY
    settle_at(world, START + SECOND, START + DAY - SECOND)
    assert len(world.runs("ann")) == 1
    settle_at(world, START + DAY, START + DAY, START + DAY + SECOND)
    assert scheduled_at(world) == [START, START + DAY]
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert next_due(world) == START + 2 * DAY
    assert world.enrollment("ann").last_rebalanced_at == START + DAY


@pytest.mark.parametrize(
    ("frequency", "interval", "cycles"),
    [
        (Frequency.HOURLY, timedelta(hours=1), 50),
        (Frequency.DAILY, timedelta(days=1), 40),
        (Frequency.WEEKLY, timedelta(days=7), 8),
        (Frequency.MONTHLY, timedelta(days=30), 2),
    ],
)
def test_each_frequency_keeps_its_step_over_many_cycles(
    sqlite_world: World, *, frequency: Frequency, interval: timedelta, cycles: int
) -> None:
    """Across the change of the clocks on the 8th; a month is 30 days."""
    world = sqlite_world
    world.clock.now = start = datetime.fromisoformat("2026-02-20 15:00+00:00")
    followed(world, mix(world, frequency))
    for n in range(1, cycles + 1):
        settle_at(world, start + n * interval - SECOND, start + n * interval)
    assert scheduled_at(world) == [start + n * interval for n in range(cycles + 1)]
    assert world.ends("ann") == ["COMPLETED"] * (cycles + 1)
    assert next_due(world) == start + (cycles + 1) * interval


def test_each_account_has_instants_of_its_own(world: World) -> None:
    strategy = mix(world)
    followed(world, strategy)
    world.clock.now = START + 5 * HOUR
    followed(world, strategy, "bob")
    settle_at(world, START + DAY, START + DAY + 5 * HOUR)
    assert scheduled_at(world) == [START, START + DAY]
    assert scheduled_at(world, "bob") == [START + 5 * HOUR, START + DAY + 5 * HOUR]
    world.require_sound()


def test_a_canceled_run_has_used_its_instant(world: World) -> None:
    followed(world, mix(world))
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 60})
    settle_at(world, START + DAY)
    world.cancel(world.runs("ann")[1])
    settle_at(world, START + DAY + SECOND, START + DAY + HOUR)
    assert world.ends("ann") == ["COMPLETED", "CANCELED+"]
    assert next_due(world) == START + 2 * DAY


def test_manual_runs_are_outside_the_schedule(world: World) -> None:
    enrollment = followed(world, mix(world))
    for hours in (2, 23):
        world.clock.now = START + hours * HOUR
        rebalance(world, enrollment)
        world.settle()
        assert next_due(world) == START + DAY
    settle_at(world, START + DAY)
    assert scheduled_at(world) == [START, START + DAY]
    assert world.ends("ann") == ["COMPLETED"] * 4


def test_what_is_due_while_a_run_is_open_is_done_after_it(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 60})
    world.clock.now = START + DAY - SECOND
    manual = rebalance(world, enrollment)
    settle_at(world, START + DAY - SECOND, START + DAY)
    assert next_due(world) == START + DAY
    Machine(world=world).work_on()
    assert not world.run(manual.id).state.is_open
    assert len(scheduled_at(world)) == 2
    assert next_due(world) == START + 2 * DAY


def test_a_run_that_a_client_asks_for_under_a_sweep_does_not_take_the_schedules_place(world: World) -> None:
    """A manual run leaves nextDueAt unchanged (4.8), as it does when it comes before the sweep."""
    enrollment = followed(world, mix(world))
    world.clock.now = START + DAY
    while_sweeping(world, lambda: rebalance(world, enrollment))
    one_turn(world)
    assert len(world.runs("ann")) == 2
    assert (scheduled_at(world), next_due(world)) == ([START], START + DAY)
    settle_at(world, START + DAY + SECOND)
    assert scheduled_at(world) == [START, START + DAY + SECOND]
    assert next_due(world) == START + 2 * DAY


def test_enrolling_while_a_run_is_open_leaves_the_first_instant_to_the_sweep(world: World) -> None:
    world.open_account("ann", "0", **BALANCED)
    world.request("ann", weights=targets(SPY="50", TLT="50"))
    world.enroll("ann", mix(world))
    assert scheduled_at(world) == []
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert scheduled_at(world) == [START]
    assert next_due(world) == START + DAY


def test_enrolling_again_at_the_same_moment_makes_a_first_run_again(world: World) -> None:
    """Subscribing inserts a QUEUED run in its own transaction (decisions page, 10); a clock may stand."""
    strategy = mix(world)
    leave(world, followed(world, strategy))
    second = world.enroll("ann", strategy)
    assert [run.enrollment_id for run in world.open_runs()] == [second.id]
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert next_due(world) == START + DAY


def test_resuming_is_due_at_once_although_the_clock_stands(world: World) -> None:
    """In a sandbox it does; the schedule begins anew with each resumption (3.3)."""
    enrollment = followed(world, mix(world))
    for turn in (2, 3):
        pause(world, enrollment)
        resume(world, enrollment)
        world.settle()
        assert scheduled_at(world) == [START] * turn
    world.settle()
    assert len(world.runs("ann")) == 3
    assert next_due(world) == START + DAY


def test_a_strategy_that_needs_adjustment_is_due_once_it_is_active_again(world: World) -> None:
    strategy = mix(world)
    followed(world, strategy)
    world.paper.set_asset("TLT", tradable=False)
    settle_at(world, START + DAY, START + 3 * DAY)
    assert world.strategies()[0].status is StrategyStatus.NEEDS_ADJUSTMENT
    assert (len(world.runs("ann")), next_due(world)) == (1, START + DAY)
    world.paper.set_asset("TLT", tradable=True)
    world.change(strategy, reactivate=True)
    settle_at(world, START + 3 * DAY + HOUR)
    assert scheduled_at(world) == [START, START + 3 * DAY + HOUR]
    assert next_due(world) == START + 4 * DAY


# Catching up.


@pytest.mark.parametrize(
    ("up_again", "next_at"),
    [
        (DAY + timedelta(microseconds=1), 2 * DAY),
        (3 * DAY - timedelta(microseconds=1), 3 * DAY),
        (3 * DAY, 4 * DAY),
        (3 * DAY + 5 * HOUR, 4 * DAY),
        (50 * DAY, 51 * DAY),
    ],
)
def test_what_was_missed_is_made_up_for_once(
    sqlite_world: World, *, up_again: timedelta, next_at: timedelta
) -> None:
    world = sqlite_world
    followed(world, mix(world))
    settle_at(world, *[START + up_again] * 3)
    assert scheduled_at(world) == [START, START + up_again]
    assert next_due(world) == START + next_at
    settle_at(world, START + next_at)
    assert scheduled_at(world)[2:] == [START + next_at]


def test_after_downtime_there_is_one_run_on_each_database(world: World) -> None:
    followed(world, mix(world, Frequency.HOURLY))
    settle_at(world, START + 10 * HOUR + SECOND, START + 10 * HOUR + 2 * SECOND, START + 11 * HOUR)
    assert scheduled_at(world) == [START, START + 10 * HOUR + SECOND, START + 11 * HOUR]
    assert next_due(world) == START + 12 * HOUR


def test_a_first_run_that_had_to_wait_makes_up_for_all_that_was_missed(world: World) -> None:
    """Its instant has had its run, however late it started."""
    follow(world, mix(world))
    settle_at(world, START + 2 * DAY + HOUR, START + 2 * DAY + 2 * HOUR)
    assert world.ends("ann") == ["COMPLETED"]
    assert next_due(world) == START + 3 * DAY


# Paused.


def test_paused_accounts_are_not_swept_and_are_due_at_once_when_they_are_resumed(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.clock.now = START + HOUR
    pause(world, enrollment)
    settle_at(world, START + DAY, START + 5 * DAY)
    assert (len(world.runs("ann")), next_due(world)) == (1, START + DAY)
    world.clock.now = resumed_at = START + 5 * DAY + 2 * HOUR
    assert resume(world, enrollment).next_due_at == resumed_at
    assert world.due_at() == resumed_at
    world.settle()
    assert scheduled_at(world) == [START, resumed_at]
    assert next_due(world) == resumed_at + DAY


def test_a_pause_before_the_first_run_lets_it_run_and_holds_the_next(world: World) -> None:
    enrollment = follow(world, mix(world))
    pause(world, enrollment)
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]
    settle_at(world, START + DAY)
    assert (len(world.runs("ann")), next_due(world)) == (1, START)


def due_again(
    site: Site, act: Callable[[World, Enrollment], object], *, stride: int
) -> Iterator[tuple[World, Enrollment]]:
    """Worlds after a turn in which ann was due for the second time: in each, something was done before
    another effect of the turn, once the shard was taken.
    """
    at = 1
    done = True
    while done:
        with new_world(site) as world:
            enrollment = followed(world, mix(world))
            world.clock.now = START + DAY
            acts = iter([act])

            def before(number: int) -> None:
                if number == at:  # noqa: B023 - this round's
                    for each in acts:  # noqa: B023
                        each(world, enrollment)  # noqa: B023

            machine = Machine(world=world, before=before)
            machine.drive(work(world.desk, 1))
            done = at < len(machine.sizes)
            if done:
                yield world, enrollment
        at += stride
    assert at > 8, "a turn with a run in it has many effects"


def test_a_sweep_under_way_cannot_overwrite_a_resume(site: Site) -> None:
    """Pausing and resuming takes a second, and comes before each effect of a turn."""
    stride = 3 if isinstance(site, PostgresSite) else 1

    def pause_and_resume(world: World, enrollment: Enrollment) -> None:
        pause(world, enrollment)
        world.clock.forward(1)
        resume(world, enrollment)

    resumed_at = START + DAY + SECOND
    for world, _ in due_again(site, pause_and_resume, stride=stride):
        assert next_due(world) == resumed_at
        Machine(world=world).work_on()
        settle_at(world, resumed_at, resumed_at + SECOND)
        assert scheduled_at(world)[-1] == resumed_at
        assert next_due(world) == resumed_at + DAY
        world.require_sound()


def test_a_pause_under_a_sweep_keeps_the_instant_unless_its_run_was_made(sqlite_site: SqliteSite) -> None:
    """While paused the stored value is kept (9.17): it moves on with a scheduled run and not without."""
    for world, _ in due_again(sqlite_site, pause, stride=1):
        made = scheduled_at(world)[1:]
        assert (made, next_due(world)) in [([], START + DAY), ([START + DAY], START + 2 * DAY)]


def test_leaving_under_a_sweep_makes_no_run(world: World) -> None:
    enrollment = followed(world, mix(world))
    world.clock.now = START + DAY
    while_sweeping(world, lambda: leave(world, enrollment))
    one_turn(world)
    assert len(world.runs("ann")) == 1


# Schedules that come and change.


def test_a_schedule_that_comes_later_is_effective_from_the_next_cycle(world: World) -> None:
    strategy = mix(world, None)
    assert followed(world, strategy).next_due_at is None
    settle_at(world, START + DAY)
    world.clock.now = changed_at = START + DAY + 3 * HOUR
    world.change(strategy, frequency=Frequency.DAILY)
    world.settle()
    assert (next_due(world), len(world.runs("ann"))) == (changed_at + DAY, 1)
    assert world.due_at() == changed_at + DAY
    settle_at(world, changed_at + DAY - SECOND, changed_at + DAY)
    assert scheduled_at(world) == [changed_at + DAY]
    assert next_due(world) == changed_at + 2 * DAY


def test_a_schedule_that_comes_while_an_account_is_paused_is_due_when_it_is_resumed(world: World) -> None:
    """Start sets nextDueAt to now (3.3); for paused ones a schedule is effective when they resume (3.5)."""
    strategy = mix(world, None)
    enrollment = followed(world, strategy)
    pause(world, enrollment)
    world.change(strategy, frequency=Frequency.DAILY)
    settle_at(world, START + 2 * DAY)
    assert resume(world, enrollment).next_due_at == START + 2 * DAY
    world.settle()
    assert scheduled_at(world) == [START + 2 * DAY]
    assert next_due(world) == START + 3 * DAY


@pytest.mark.parametrize(
    ("before", "after", "instants"),
    [
        (Frequency.DAILY, Frequency.WEEKLY, [DAY, 8 * DAY, 15 * DAY]),
        (Frequency.WEEKLY, Frequency.HOURLY, [7 * DAY, 7 * DAY + HOUR, 7 * DAY + 2 * HOUR]),
        (Frequency.DAILY, Frequency.MONTHLY, [DAY, 31 * DAY]),
    ],
)
def test_a_change_of_the_schedule_keeps_the_present_instant(
    sqlite_world: World, *, before: Frequency, after: Frequency, instants: list[timedelta]
) -> None:
    world = sqlite_world
    strategy = mix(world, before)
    followed(world, strategy)
    world.clock.now = START + 2 * HOUR
    world.change(strategy, frequency=after)
    for instant in instants:
        world.settle()
        assert next_due(world) == START + instant
        settle_at(world, START + instant - SECOND, START + instant)
    assert scheduled_at(world) == [START, *(START + instant for instant in instants)]


def test_a_change_while_paused_counts_from_the_resumption(world: World) -> None:
    strategy = mix(world)
    enrollment = followed(world, strategy)
    pause(world, enrollment)
    world.change(strategy, frequency=Frequency.HOURLY)
    world.clock.now = resumed_at = START + 3 * DAY
    resume(world, enrollment)
    world.settle()
    assert scheduled_at(world) == [START, resumed_at]
    assert next_due(world) == resumed_at + HOUR


def test_a_change_under_a_sweep_is_not_lost(world: World) -> None:
    """Whichever interval that sweep still used, the next instants follow the new one."""
    strategy = mix(world)
    followed(world, strategy)
    world.clock.now = START + DAY
    while_sweeping(world, lambda: world.change(strategy, frequency=Frequency.HOURLY))
    one_turn(world)
    due_at = next_due(world)
    assert due_at in {START + DAY + HOUR, START + 2 * DAY}
    settle_at(world, due_at)
    assert next_due(world) == due_at + HOUR


# What else makes runs, and what does not.


def test_cash_and_drift_wait_for_the_schedule(site: Site) -> None:
    """Bob follows the same weights without a schedule: his cash is invested at once."""
    with new_world(site, WITH_CASH) as world:
        followed(world, mix(world))
        followed(world, mix(world, None), "bob")
        for account_id in ("ann", "bob"):
            world.transfer(account_id, "1000")
        settle_at(world, START + HOUR)
        assert [run.kind for run in world.runs("bob")][1:] == [RunKind.INVEST_CASH]
        world.set_prices(SPY="800")
        settle_at(world, START + 2 * HOUR, START + DAY - SECOND)
        assert len(world.runs("ann")) == 1
        settle_at(world, START + DAY)
        # $17,000: SPY for $10,200, TLT for $6,800.
        assert world.holdings("ann") == "cash 0, SPY 12.75, TLT 68"
        assert len(world.runs("bob")) == 2


def test_the_investing_of_cash_is_off_with_a_schedule_beside_bands_too(site: Site) -> None:
    """Drift bands that a strategy has as well still count."""
    with new_world(site, WITH_CASH) as world:
        followed(world, mix(world, Frequency.WEEKLY, BAND))
        world.transfer("ann", "100")
        settle_at(world, START + HOUR)
        assert len(world.runs("ann")) == 1
        world.set_prices(SPY="800")
        settle_at(world, START + 2 * HOUR)
        assert world.slots("ann") == ["due", "session:2026-03-02"]
        assert next_due(world) == START + 7 * DAY


def test_an_empty_account_stays_due_and_its_first_money_makes_one_run(world: World) -> None:
    world.enroll(world.open_account("ann", "0"), mix(world))
    settle_at(world, START, START + HOUR, START + 3 * DAY)
    assert world.ends("ann") == ["COMPLETED"]
    assert (next_due(world), world.enrollment("ann").last_rebalanced_at) == (START, None)
    due_at = world.due_at()
    assert due_at is None or due_at > world.clock.now, "nobody looks again and again"
    world.transfer("ann", "1000")
    settle_at(world, *[START + 3 * DAY + 2 * HOUR] * 3)
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert world.holdings("ann") == "cash 0, SPY 1.5, TLT 4"
    assert next_due(world) == START + 4 * DAY


def test_an_account_that_was_emptied_stays_due(world: World) -> None:
    world.enroll(world.open_account("ann", "1000"), mix(world))
    world.settle()
    world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="1000")
    world.settle()
    world.transfer("ann", "-1000")
    assert world.holdings("ann") == "cash 0"
    settle_at(world, START + DAY, START + 2 * DAY)
    assert (scheduled_at(world), next_due(world)) == ([START], START + DAY)
    world.transfer("ann", "500")
    settle_at(world, START + 2 * DAY + HOUR)
    assert scheduled_at(world) == [START, START + 2 * DAY + HOUR]
    assert world.holdings("ann") == "cash 0, SPY 0.75, TLT 2"
    assert next_due(world) == START + 3 * DAY


def test_a_missing_price_keeps_the_account_due(world: World) -> None:
    strategy = mix(world)
    followed(world, strategy)
    world.paper.set_asset("NEW", active=True)
    world.change(strategy, targets=targets(SPY="60", NEW="40"))
    settle_at(world, START + DAY, START + 2 * DAY)
    assert (scheduled_at(world), next_due(world)) == ([START], START + DAY)
    world.set_prices(NEW="50")
    settle_at(world, START + 2 * DAY + HOUR)
    assert scheduled_at(world) == [START, START + 2 * DAY + HOUR]
    assert world.holdings("ann") == "cash 0, NEW 80, SPY 15"
    assert next_due(world) == START + 3 * DAY


def test_an_inactive_account_stays_due(world: World) -> None:
    followed(world, mix(world))
    world.paper.set_status("ann", "INACTIVE")
    settle_at(world, START + DAY)
    assert (scheduled_at(world), next_due(world)) == ([START], START + DAY)
    world.paper.set_status("ann", "ACTIVE")
    settle_at(world, START + DAY + HOUR)
    assert scheduled_at(world) == [START, START + DAY + HOUR]


# When somebody looks.


def test_a_shard_wants_a_worker_at_the_next_instant(world: World) -> None:
    strategy = mix(world)
    enrollment = followed(world, strategy)
    assert world.due_at() == START + DAY
    world.clock.now = START - HOUR + DAY
    followed(world, mix(world, Frequency.WEEKLY), "bob")
    assert world.due_at() == START + DAY
    settle_at(world, START + DAY)
    assert world.due_at() == START + 2 * DAY
    pause(world, enrollment)
    world.settle()
    assert world.due_at() == START + 8 * DAY - HOUR


def test_a_server_makes_each_run_in_the_second_it_is_due(sqlite_world: World) -> None:
    """Looks at all shards twice a minute, as the thread does every second."""
    world = sqlite_world
    follow(world, mix(world, Frequency.HOURLY))
    for n in range(2 * 60 * 4 + 1):
        world.clock.now = START + n * timedelta(seconds=30)
        tick(world.desk, stopping=lambda: False)
    assert scheduled_at(world) == [START + n * HOUR for n in range(5)]
    assert world.ends("ann") == ["COMPLETED"] * 5


@pytest.mark.parametrize(
    ("looks", "made", "next_at"),
    [
        # Hours from 10:00 on; the last instant of the day within the window is 15:00.
        (["2026-03-02 10:59", "2026-03-02 11:00"], ["2026-03-02 11:00"], "2026-03-02 12:00"),
        (["2026-03-02 15:30"], ["2026-03-02 15:30"], "2026-03-02 16:00"),
        (["2026-03-02 15:30:01"], [], "2026-03-02 11:00"),
        (["2026-03-02 16:30", "2026-03-02 23:00", "2026-03-03 09:29:59"], [], "2026-03-02 11:00"),
        (["2026-03-02 23:00", "2026-03-03 09:30"], ["2026-03-03 09:30"], "2026-03-03 10:00"),
        # A Saturday, and the Monday after it.
        (["2026-03-07 12:00", "2026-03-09 09:30"], ["2026-03-09 09:30"], "2026-03-09 10:00"),
    ],
)
def test_with_an_exchanges_calendar_accounts_are_evaluated_in_its_window_only(
    sqlite_world: World, *, looks: list[str], made: list[str], next_at: str
) -> None:
    world = sqlite_world
    follow(world, mix(world, Frequency.HOURLY, calendar=EXCHANGE))
    world.settle()
    settle_at(world, *map(new_york, looks))
    assert scheduled_at(world) == [START, *map(new_york, made)]
    assert next_due(world) == new_york(next_at)


def test_a_first_run_that_waited_over_a_weekend_is_done_once(world: World) -> None:
    """Enrolled on Friday after the close, at 22:00 UTC; two instants pass, and the change of the clocks."""
    world.at("2026-03-06 17:00")
    follow(world, mix(world, calendar=EXCHANGE))
    for at in ("2026-03-06 17:00", "2026-03-08 12:00", "2026-03-09 09:30", "2026-03-09 10:00"):
        settle_at(world, new_york(at))
    assert world.ends("ann") == ["COMPLETED"]
    assert next_due(world) == datetime.fromisoformat("2026-03-09 22:00+00:00")


def test_an_exchanges_schedule_is_done_by_the_server_soon_after_the_open(sqlite_world: World) -> None:
    """Daily at 18:00, an hour at which the market is closed."""
    world = sqlite_world
    world.at("2026-03-02 18:00")
    follow(world, mix(world, calendar=EXCHANGE))
    opens_at = new_york("2026-03-03 09:30")
    for n in range(13):
        world.clock.now = opens_at + (n - 2) * timedelta(minutes=1)
        tick(world.desk, stopping=lambda: False)
    assert world.ends("ann") == ["COMPLETED"]
    assert next_due(world) == new_york("2026-03-03 18:00")
    for n in range(15):
        world.clock.now = opens_at + DAY + (n - 2) * timedelta(minutes=1)
        tick(world.desk, stopping=lambda: False)
    first, second = scheduled_at(world)
    assert first == new_york("2026-03-02 18:00")
    assert opens_at + DAY <= second <= opens_at + DAY + timedelta(minutes=6)


# Whatever happens to the workers.

FUNDS = {"ann": "1000", "bob": "2000"}


def two_follow(world: World) -> None:
    """$1,000 and $2,000 in cash follow one strategy, daily."""
    strategy = mix(world)
    for account_id, cash in FUNDS.items():
        world.enroll(world.open_account(account_id, cash), strategy)


def three_days(machine: Machine) -> None:
    """The first runs; on the second day ann has $500 more; then two days nobody looks."""
    world = machine.world
    machine.work_on()
    world.transfer("ann", "500")
    for at in (START + DAY, START + 3 * DAY + HOUR):
        world.clock.now = at
        machine.work_on()
    for account_id in FUNDS:
        # A death may make a run late, never a slot come twice.
        assert len(scheduled_at(world, account_id)) == 3
        assert len({run.slot for run in world.runs(account_id)}) == 3
        assert next_due(world, account_id) == START + 4 * DAY


SCHEDULED = Scenario(
    prepare=two_follow,
    play=three_days,
    holdings={"ann": "cash 0, SPY 2.25, TLT 6", "bob": "cash 0, SPY 3, TLT 8"},
    runs={"ann": ["COMPLETED"] * 3, "bob": ["COMPLETED"] * 3},
)


def test_death_at_any_point_makes_no_run_twice_and_loses_none(sqlite_site: SqliteSite) -> None:
    with prepared(sqlite_site, SCHEDULED) as at:
        for point in every_point(sqlite_site, SCHEDULED, at):
            play_copy(sqlite_site, SCHEDULED, at, point)


def test_death_at_some_points_makes_no_run_twice_on_postgresql(postgres_site: PostgresSite) -> None:
    with prepared(postgres_site, SCHEDULED) as at:
        for point in every_point(postgres_site, SCHEDULED, at)[5::17]:
            play_copy(postgres_site, SCHEDULED, at, point)


def zombie_wakes(site: Site, count: int) -> bool:
    """A worker stops after so many effects when two accounts are due, another does everything, and the
    first goes on; False if its turn was shorter.
    """
    with new_world(site) as world:
        two_follow(world)
        world.settle()
        world.transfer("ann", "500")
        world.clock.now = START + DAY
        effects, effect = paused_after(world, count)
        if effect is None:
            return False
        Machine(world=world).work_on()
        before, accepted = world.dump(), world.broker_orders()
        wake(effects, effect, world)
        assert world.dump() == before, f"after {count} effects"
        assert world.broker_orders() == accepted
        for account_id in FUNDS:
            assert scheduled_at(world, account_id) == [START, START + DAY]
            assert next_due(world, account_id) == START + 2 * DAY
        world.require_sound()
        return True


def test_a_zombie_moves_no_schedule_and_makes_no_run(site: Site) -> None:
    stride = 8 if isinstance(site, PostgresSite) else 1
    # The first effect takes the shard, which a worker may do at any time.
    counts = 1
    while zombie_wakes(site, counts):
        counts += stride
    assert counts > 8, "a turn with runs in it has many effects"
