"""What runs by itself and when: once for each interval, by the sandbox's clock."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.api.glider.client import INTERVALS_MS, Glider, instant

SECOND = timedelta(seconds=1)
SATURDAY = 5


def interval(frequency: str) -> timedelta:
    return timedelta(milliseconds=INTERVALS_MS[frequency])


def due(glider: Glider, portfolio_id: str) -> datetime:
    return instant(glider.schedule(portfolio_id)["nextDueAt"])


def follower(glider: Glider, frequency: str, cash: str = "400") -> str:
    """A portfolio of this frequency whose first run is done."""
    portfolio_id = glider.enroll(glider.world.account(cash), glider.strategy(frequency=frequency))
    glider.world.settle()
    return portfolio_id


def count(glider: Glider, portfolio_id: str) -> int:
    return len(glider.runs(portfolio_id))


def settled_count(glider: Glider, portfolio_id: str) -> int:
    """How many runs there are once everything that is due has been done."""
    glider.world.settle()
    return count(glider, portfolio_id)


@pytest.mark.parametrize("frequency", ["hourly", "daily", "weekly"])
def test_a_portfolio_runs_once_an_interval_and_not_a_second_early(glider: Glider, frequency: str) -> None:
    assert_runs_once_an_interval(glider, frequency)


def assert_runs_once_an_interval(glider: Glider, frequency: str) -> None:
    portfolio_id = glider.enroll(glider.world.account("400"), glider.strategy(frequency=frequency))
    account_id = glider.account_of(portfolio_id)
    enrolled_at = glider.world.now()
    assert due(glider, portfolio_id) == enrolled_at
    for number in range(3):
        due_at = enrolled_at + number * interval(frequency)
        assert due(glider, portfolio_id) == due_at
        if number:
            glider.world.pay_in(account_id, "400")
            glider.world.set_clock(due_at - SECOND)
            assert settled_count(glider, portfolio_id) == number
            assert glider.world.held(account_id) == {"cash": "400", "SPY": str(number)}
        glider.world.set_clock(due_at)
        assert settled_count(glider, portfolio_id) == number + 1
        assert settled_count(glider, portfolio_id) == number + 1
        assert glider.world.held(account_id) == {"cash": "0", "SPY": str(number + 1)}
        assert instant(glider.schedule(portfolio_id)["lastRebalanceAt"]) == due_at
    assert due(glider, portfolio_id) == enrolled_at + 3 * interval(frequency)
    assert {run["initiated_from"] for run in glider.runs(portfolio_id)} == {"system"}
    assert {run["status"] for run in glider.runs(portfolio_id)} == {"COMPLETED_SUCCESS"}


# After how many intervals somebody looks, and how many after enrolment the next is due.
@pytest.mark.parametrize(
    ("frequency", "looked", "advanced"),
    [
        ("hourly", "3.5", 4),
        ("hourly", "3", 4),
        ("daily", "9.99", 10),
        ("daily", "1.5", 2),
        ("monthly", "2", 3),
    ],
)
def test_intervals_that_nobody_saw_are_caught_up_once(
    glider: Glider, frequency: str, looked: str, advanced: int
) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, frequency)
    glider.world.set_clock(enrolled_at + float(looked) * interval(frequency))
    assert settled_count(glider, portfolio_id) == 2
    assert settled_count(glider, portfolio_id) == 2
    assert due(glider, portfolio_id) == enrolled_at + advanced * interval(frequency)
    glider.world.set_clock(enrolled_at + advanced * interval(frequency))
    assert settled_count(glider, portfolio_id) == 3


def test_the_grid_of_intervals_does_not_drift_with_whoever_looks_late(glider: Glider) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, "hourly")
    for hours in (1, 2, 3):
        glider.world.set_clock(enrolled_at + timedelta(hours=hours, minutes=17))
        assert settled_count(glider, portfolio_id) == hours + 1
        assert due(glider, portfolio_id) == enrolled_at + timedelta(hours=hours + 1)


def test_a_run_that_takes_long_does_not_move_the_grid(glider: Glider) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, "hourly")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    glider.world.set_clock(enrolled_at + timedelta(hours=1))
    glider.world.set_faults(fill_delay_s=600)
    assert settled_count(glider, portfolio_id) == 2
    glider.world.later(minutes=10)
    assert settled_count(glider, portfolio_id) == 2
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] == glider.now()
    assert due(glider, portfolio_id) == enrolled_at + timedelta(hours=2)


def test_a_manual_run_leaves_the_schedule_alone(glider: Glider) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, "daily")
    before = glider.schedule(portfolio_id)
    glider.world.later(hours=5)
    glider.rebalance(portfolio_id)
    assert settled_count(glider, portfolio_id) == 2
    assert glider.schedule(portfolio_id) == before | {"lastRebalanceAt": glider.now()}
    glider.world.set_clock(enrolled_at + timedelta(days=1))
    assert settled_count(glider, portfolio_id) == 3
    assert due(glider, portfolio_id) == enrolled_at + timedelta(days=2)


def test_a_scheduled_run_does_not_wait_for_the_cooldown_of_a_manual_one(glider: Glider) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, "hourly")
    glider.world.set_clock(enrolled_at + timedelta(minutes=59, seconds=50))
    glider.rebalance(portfolio_id)
    assert settled_count(glider, portfolio_id) == 2
    glider.world.later(seconds=10)
    assert settled_count(glider, portfolio_id) == 3


def test_what_falls_due_during_a_run_follows_it(glider: Glider) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, "hourly")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    glider.world.set_clock(enrolled_at + timedelta(minutes=55))
    operation_id = glider.rebalance(portfolio_id)["operationId"]
    glider.world.set_faults(fill_delay_s=600)
    glider.world.settle()
    glider.world.later(minutes=6)
    assert settled_count(glider, portfolio_id) == 2
    assert glider.state(portfolio_id, operation_id) == "running"
    glider.world.later(minutes=4)
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "completed"
    assert settled_count(glider, portfolio_id) == 3
    assert [run["initiated_from"] for run in glider.runs(portfolio_id)] == ["system", "api", "system"]
    assert due(glider, portfolio_id) == enrolled_at + timedelta(hours=2)


# From one frequency to another: what is due next stays, what comes after it is counted anew.
@pytest.mark.parametrize(("before", "after"), [("daily", "hourly"), ("hourly", "daily"), ("daily", "weekly")])
def test_a_new_schedule_holds_after_the_run_that_is_due_next(glider: Glider, before: str, after: str) -> None:
    enrolled_at = glider.world.now()
    portfolio_id = follower(glider, before)
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    first_due = enrolled_at + interval(before)
    glider.put(f"/strategies/{strategy_id}/schedule", {"type": "interval", "frequency": after})
    shown = glider.schedule(portfolio_id)
    assert (shown["frequency"], shown["intervalMs"]) == (after, INTERVALS_MS[after])
    assert due(glider, portfolio_id) == first_due
    glider.world.set_clock(first_due - SECOND)
    assert settled_count(glider, portfolio_id) == 1
    glider.world.set_clock(first_due)
    assert settled_count(glider, portfolio_id) == 2
    assert due(glider, portfolio_id) == first_due + interval(after)


def test_a_paused_portfolio_does_not_run_by_itself(glider: Glider) -> None:
    portfolio_id = follower(glider, "hourly")
    due_at = due(glider, portfolio_id)
    glider.post(f"/portfolios/{portfolio_id}/stop")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    for _ in range(3):
        glider.world.later(hours=2)
        assert settled_count(glider, portfolio_id) == 1
    assert due(glider, portfolio_id) == due_at
    started = glider.post(f"/portfolios/{portfolio_id}/start")
    assert instant(started["schedule"]["nextDueAt"]) == glider.world.now()
    assert settled_count(glider, portfolio_id) == 2
    assert settled_count(glider, portfolio_id) == 2
    assert due(glider, portfolio_id) == glider.world.now() + timedelta(hours=1)
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "SPY": "2"}


def test_a_portfolio_resumed_early_runs_at_once(glider: Glider) -> None:
    portfolio_id = follower(glider, "daily")
    glider.world.later(hours=1)
    glider.post(f"/portfolios/{portfolio_id}/stop")
    glider.post(f"/portfolios/{portfolio_id}/start")
    assert settled_count(glider, portfolio_id) == 2
    assert due(glider, portfolio_id) == glider.world.now() + timedelta(days=1)


def test_a_portfolio_resumed_in_the_instant_of_its_last_run_goes_on(glider: Glider) -> None:
    portfolio_id = follower(glider, "daily")
    glider.post(f"/portfolios/{portfolio_id}/stop")
    glider.post(f"/portfolios/{portfolio_id}/start")
    assert settled_count(glider, portfolio_id) <= 2
    glider.world.later(seconds=1)
    runs = settled_count(glider, portfolio_id)
    assert due(glider, portfolio_id) > glider.world.now()
    glider.world.later(days=1)
    assert settled_count(glider, portfolio_id) == runs + 1


def test_to_start_what_is_active_makes_nothing_run(glider: Glider) -> None:
    portfolio_id = follower(glider, "daily")
    glider.world.later(hours=1)
    glider.post(f"/portfolios/{portfolio_id}/start")
    assert settled_count(glider, portfolio_id) == 1


def test_first_money_does_not_run_while_paused(glider: Glider) -> None:
    portfolio_id = follower(glider, "daily", cash="0")
    account_id = glider.account_of(portfolio_id)
    glider.post(f"/portfolios/{portfolio_id}/stop")
    glider.world.pay_in(account_id, "400")
    assert settled_count(glider, portfolio_id) == 1
    glider.post(f"/portfolios/{portfolio_id}/start")
    assert settled_count(glider, portfolio_id) == 2
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "1"}


def test_a_new_schedule_reaches_paused_portfolios_when_they_resume(glider: Glider) -> None:
    portfolio_id = follower(glider, "daily")
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    glider.post(f"/portfolios/{portfolio_id}/stop")
    glider.put(f"/strategies/{strategy_id}/schedule", {"type": "interval", "frequency": "hourly"})
    shown = glider.schedule(portfolio_id)
    assert (shown["status"], shown["frequency"]) == ("paused", "hourly")
    glider.world.later(hours=3)
    assert settled_count(glider, portfolio_id) == 1
    glider.post(f"/portfolios/{portfolio_id}/start")
    assert settled_count(glider, portfolio_id) == 2
    assert due(glider, portfolio_id) == glider.world.now() + timedelta(hours=1)


def next_saturday_night(after: datetime) -> datetime:
    day = after + timedelta(days=1)
    day += timedelta(days=(SATURDAY - day.weekday()) % 7)
    return day.replace(hour=23, minute=30, second=0, microsecond=0)


def test_weekends_and_nights_are_like_other_times(glider: Glider) -> None:
    glider.world.set_clock(next_saturday_night(glider.world.now()))
    portfolio_id = glider.enroll(glider.world.account("400"), glider.strategy(frequency="hourly"))
    for number in range(1, 4):
        assert settled_count(glider, portfolio_id) == number
        assert {run["status"] for run in glider.runs(portfolio_id)} == {"COMPLETED_SUCCESS"}
        glider.world.later(hours=1)
    told = glider.rebalance(portfolio_id)
    glider.world.settle()
    assert glider.state(portfolio_id, told["operationId"]) == "completed"


def test_drift_moves_nothing_between_the_intervals(glider: Glider) -> None:
    one, two = glider.world.symbol("100"), glider.world.symbol("100")
    portfolio_id = glider.portfolio("1000", **{one: "50", two: "50"})
    account_id = glider.account_of(portfolio_id)
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", one: "5", two: "5"}
    glider.world.set_prices({one: "300"})
    glider.world.later(hours=23)
    assert settled_count(glider, portfolio_id) == 1
    glider.world.later(hours=1)
    assert settled_count(glider, portfolio_id) == 2
    # 2,000 dollars: 1,000 in each.
    held = glider.world.held(account_id)
    assert held[two].startswith(("10", "9.999"))
    assert held[one].startswith("3.333")


@pytest.mark.parametrize("cancel", [True, False])
def test_a_scheduled_run_that_did_not_complete_is_over_all_the_same(glider: Glider, *, cancel: bool) -> None:
    portfolio_id = follower(glider, "daily")
    last = glider.schedule(portfolio_id)["lastRebalanceAt"]
    due_at = due(glider, portfolio_id)
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    glider.world.set_clock(due_at)
    glider.world.set_faults(fill_delay_s=86_400)
    assert settled_count(glider, portfolio_id) == 2
    if cancel:
        glider.world.delete(f"/v1/rebalancing/runs/{glider.runs(portfolio_id)[-1]['id']}")
    else:
        glider.world.later(hours=1)
    assert settled_count(glider, portfolio_id) == 2
    expected = "CANCELED_MID_RUN" if cancel else "TIMEOUT"
    assert glider.runs(portfolio_id)[-1]["status"] == expected
    shown = glider.schedule(portfolio_id)
    assert shown["lastRebalanceAt"] == last
    assert instant(shown["nextDueAt"]) == due_at + timedelta(days=1)


def test_every_follower_of_a_strategy_has_a_grid_of_its_own(glider: Glider) -> None:
    strategy_id = glider.strategy(frequency="hourly")
    enrol: Callable[[], str] = lambda: glider.enroll(glider.world.account("400"), strategy_id)  # noqa: E731
    start = glider.world.now()
    one = enrol()
    glider.world.settle()
    glider.world.later(minutes=20)
    two = enrol()
    glider.world.settle()
    glider.world.set_clock(start + timedelta(hours=1))
    assert (settled_count(glider, one), count(glider, two)) == (2, 1)
    glider.world.later(minutes=20)
    assert (settled_count(glider, one), count(glider, two)) == (2, 2)
