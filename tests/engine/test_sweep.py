"""What is due, when, and only once: slots, catching up, cooldown, updates, the evaluation window.

March 2026: the 2nd is a Monday, the clocks change on the 8th, the 13th closes at 13:00. Accounts are
enrolled on Monday the 2nd at 10:00 in New York, which makes their first run at once.
"""

from decimal import Decimal

import pytest

from tests.engine.desks import CONTINUOUS, Setup, Site, World, new_world, targets
from trimtab.core.run import Initiator, RunKind, RunState
from trimtab.core.strategy import (
    BandKind,
    Condition,
    DriftBand,
    Monthly,
    OnUpdate,
    Strategy,
    StrategyStatus,
    Weekly,
)
from trimtab.engine import enrollment_actions
from trimtab.engine.desk import drive
from trimtab.engine.work import work

MONDAYS = Weekly(weekday=0)
BAND = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))


def follow(world: World, *conditions: Condition, cooldown_days: int = 0) -> Strategy:
    """ann, with SPY 15 and TLT 40 on target at $10,000, follows 60 % SPY and 40 % TLT."""
    strategy = world.strategy(*conditions, cooldown_days=cooldown_days, SPY="60", TLT="40")
    world.enroll(world.open_account("ann", "0", SPY="15", TLT="40"), strategy)
    world.settle()
    assert world.slots("ann")[0] == "enrollment"
    return strategy


# Slots.


def test_subscribing_makes_one_run_and_nothing_more_without_a_reason(world: World) -> None:
    follow(world)
    world.settle_on("2026-03-02", "2026-03-03", "2026-03-04", "2026-03-09")
    assert world.slots("ann") == ["enrollment"]
    assert world.ends("ann") == ["COMPLETED"]


def test_a_calendar_rule_makes_one_run_however_often_its_day_is_evaluated(world: World) -> None:
    follow(world, MONDAYS, cooldown_days=1)
    world.settle_on("2026-03-03", "2026-03-09", "2026-03-09", "2026-03-09", "2026-03-10")
    assert world.slots("ann") == ["enrollment", "session:2026-03-09"]
    run = world.runs("ann")[1]
    assert (run.initiator, run.kind) == (Initiator.SYSTEM, RunKind.FULL_REBALANCE)
    assert run.cause == "calendar rule due on 2026-03-09"


def test_drift_and_calendar_of_one_session_share_a_slot(world: World) -> None:
    follow(world, BAND, MONDAYS, cooldown_days=1)
    world.at("2026-03-09 10:00")
    world.settle()
    world.set_prices(SPY="800")
    world.settle()
    world.at("2026-03-09 15:00")
    world.settle()
    assert world.slots("ann") == ["enrollment", "session:2026-03-09"]
    # The next session is the next slot, and the band is still broken.
    world.settle_on("2026-03-10")
    assert world.slots("ann") == ["enrollment", "session:2026-03-09", "session:2026-03-10"]


def test_a_canceled_run_has_used_its_slot(world: World) -> None:
    follow(world, BAND)
    world.set_prices(SPY="800")
    world.paper.set_faults({"fill_delay_s": 60})
    world.settle()
    world.cancel(world.runs("ann")[1])
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "CANCELED+"]
    world.settle()
    assert world.slots("ann") == ["enrollment", "session:2026-03-02"]


def test_manual_runs_are_outside_the_count(world: World) -> None:
    follow(world, BAND)
    for _ in range(3):
        world.request("ann")
        world.settle()
    world.set_prices(SPY="800")
    world.settle()
    assert world.slots("ann") == ["enrollment", "api", "api", "api", "session:2026-03-02"]


def test_one_account_does_not_use_up_anothers_slot(world: World) -> None:
    strategy = follow(world, BAND)
    world.enroll(world.open_account("bob", "0", SPY="15", TLT="40"), strategy)
    world.settle()
    world.set_prices(SPY="800")
    world.settle()
    assert world.slots("ann") == world.slots("bob") == ["enrollment", "session:2026-03-02"]


def test_enrolling_again_is_a_slot_of_its_own(world: World) -> None:
    strategy = follow(world)
    for _ in range(2):
        enrollment_actions.end_enrollment(world.desk, "acme-id", world.enrollment("ann").id)
        world.enroll("ann", strategy)
        world.settle()
    assert world.slots("ann") == ["enrollment"] * 3


def test_an_open_run_keeps_evaluation_away_and_what_was_due_stays_due(world: World) -> None:
    follow(world, MONDAYS, cooldown_days=1)
    world.at("2026-03-08 12:00")
    world.request("ann")
    world.at("2026-03-09 10:00")
    world.paper.set_faults({"fill_delay_s": 60})
    world.set_prices(SPY="800")
    world.settle()
    assert world.slots("ann") == ["enrollment", "api"]
    world.cancel(world.runs("ann")[1])
    world.settle()
    assert world.slots("ann") == ["enrollment", "api", "session:2026-03-09"]


# Catching up and cooldown.


def test_a_due_session_that_was_missed_fires_once_at_the_next_evaluation(world: World) -> None:
    follow(world, MONDAYS, cooldown_days=1)
    world.settle_on("2026-03-25", "2026-03-25", "2026-03-26")
    assert world.slots("ann") == ["enrollment", "session:2026-03-25"]
    assert world.runs("ann")[1].cause == "calendar rule due on 2026-03-23"


def test_a_nominal_day_without_a_session_fires_on_the_session_before(world: World) -> None:
    """The 15th of March is a Sunday: Friday the 13th answers for it."""
    follow(world, Monthly(day=15))
    world.settle_on("2026-03-12", "2026-03-13", "2026-03-16")
    assert world.slots("ann") == ["enrollment", "session:2026-03-13"]


def test_what_is_due_within_the_cooldown_is_lost(world: World) -> None:
    """Ten days after the 2nd is the 12th: the 9th is lost, the 16th is not."""
    follow(world, MONDAYS, cooldown_days=10)
    world.settle_on("2026-03-09", "2026-03-12", "2026-03-13", "2026-03-16")
    assert world.slots("ann") == ["enrollment", "session:2026-03-16"]


def test_what_was_due_within_the_cooldown_is_lost_even_if_nobody_looked_then(world: World) -> None:
    follow(world, MONDAYS, cooldown_days=10)
    world.settle_on("2026-03-13")
    assert world.slots("ann") == ["enrollment"]


def test_the_cooldown_ends_on_its_day_and_not_before(world: World) -> None:
    follow(world, BAND, cooldown_days=3)
    world.set_prices(SPY="800")
    world.settle_on("2026-03-03", "2026-03-04")
    assert world.slots("ann") == ["enrollment"]
    world.settle_on("2026-03-05")
    assert world.slots("ann") == ["enrollment", "session:2026-03-05"]


def test_the_cooldown_counts_in_days_of_the_market(world: World) -> None:
    """22:00 in New York on Tuesday is Wednesday in UTC; the cooldown of one day ends on Wednesday."""
    follow(world, BAND, cooldown_days=1)
    world.at("2026-03-03 22:00")
    world.request("ann")
    assert world.open_runs(), "it waits for the open"
    world.settle_on("2026-03-04")
    assert world.enrollment("ann").last_rebalanced_at == world.clock.now
    world.set_prices(SPY="800")
    world.settle()
    assert world.slots("ann") == ["enrollment", "api"]
    world.settle_on("2026-03-05")
    assert world.slots("ann") == ["enrollment", "api", "session:2026-03-05"]


def test_a_manual_run_starts_the_cooldown_and_is_not_held_up_by_it(world: World) -> None:
    follow(world, BAND, cooldown_days=2)
    world.at("2026-03-05 10:00")
    world.request("ann")
    world.settle()
    world.set_prices(SPY="800")
    world.settle_on("2026-03-06")
    assert world.slots("ann") == ["enrollment", "api"]
    world.request("ann")
    world.settle()
    assert world.ends("ann") == ["COMPLETED"] * 3


@pytest.mark.parametrize("kind", [RunKind.INVEST_CASH, RunKind.PARTIAL_LIQUIDATION])
def test_other_kinds_of_runs_start_no_cooldown(world: World, kind: RunKind) -> None:
    follow(world, BAND, cooldown_days=2)
    before = world.enrollment("ann").last_rebalanced_at
    world.transfer("ann", "100")
    world.at("2026-03-04 10:00")
    world.request("ann", kind, amount="100")
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert world.enrollment("ann").last_rebalanced_at == before


def test_a_run_that_did_not_complete_starts_no_cooldown(world: World) -> None:
    follow(world, BAND, cooldown_days=2)
    before = world.enrollment("ann").last_rebalanced_at
    world.at("2026-03-04 10:00")
    world.cancel(world.request("ann"))
    world.settle()
    assert world.enrollment("ann").last_rebalanced_at == before


# Updates.


def test_an_update_that_asks_for_it_makes_a_run_although_the_cooldown_has_not_ended(world: World) -> None:
    strategy = follow(world, OnUpdate(), cooldown_days=30)
    world.at("2026-03-03 10:00")
    world.change(strategy, targets=targets(SPY="50", TLT="50"))
    world.settle()
    world.settle()
    assert world.slots("ann") == ["enrollment", "update"]
    assert world.holdings("ann") == "cash 0, SPY 12.5, TLT 50"
    assert world.runs("ann")[1].strategy_version == 2


def test_each_update_is_a_slot_of_its_own(world: World) -> None:
    strategy = follow(world, OnUpdate(), cooldown_days=30)
    for percent in ("50", "40", "30"):
        world.change(strategy, targets=targets(SPY=percent, TLT=str(100 - int(percent))))
        world.settle()
    assert world.slots("ann") == ["enrollment", "update", "update", "update"]


def test_updates_that_follow_each_other_before_an_evaluation_make_one_run(world: World) -> None:
    strategy = follow(world, OnUpdate())
    world.change(strategy, targets=targets(SPY="50", TLT="50"))
    world.change(strategy, targets=targets(SPY="40", TLT="60"))
    world.settle()
    assert world.slots("ann") == ["enrollment", "update"]
    assert world.holdings("ann") == "cash 0, SPY 10, TLT 60"


def test_a_change_of_the_name_is_no_update(world: World) -> None:
    strategy = follow(world, OnUpdate(), cooldown_days=30)
    world.change(strategy, name="other", description="words")
    world.settle()
    assert world.slots("ann") == ["enrollment"]


def test_a_change_of_the_cooldown_is_no_update(world: World) -> None:
    strategy = follow(world, OnUpdate(), cooldown_days=30)
    assert world.change(strategy, cooldown_days=3).version == 2
    world.settle()
    assert world.slots("ann") == ["enrollment"]


def test_after_an_update_a_broken_band_is_not_held_up_by_the_cooldown(world: World) -> None:
    strategy = follow(world, BAND, cooldown_days=30)
    world.set_prices(SPY="800")
    world.settle_on("2026-03-03")
    assert world.slots("ann") == ["enrollment"]
    tighter = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(4))
    world.change(strategy, conditions=(tighter,))
    world.settle()
    assert world.slots("ann") == ["enrollment", "update"]


def test_the_first_evaluation_after_an_update_spends_the_exemption(world: World) -> None:
    strategy = follow(world, BAND, cooldown_days=30)
    world.at("2026-03-03 10:00")
    world.change(strategy, conditions=(DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(4)),))
    world.settle()
    world.set_prices(SPY="800")
    world.settle_on("2026-03-03", "2026-03-04")
    assert world.slots("ann") == ["enrollment"]


def test_an_update_outside_market_hours_is_evaluated_at_the_next_open(world: World) -> None:
    strategy = follow(world, OnUpdate(), cooldown_days=30)
    world.at("2026-03-03 18:00")
    world.change(strategy, targets=targets(SPY="50", TLT="50"))
    world.settle()
    assert world.slots("ann") == ["enrollment"]
    world.at("2026-03-04 09:30")
    world.settle()
    assert world.slots("ann") == ["enrollment", "update"]


def test_whoever_enrolls_after_an_update_is_not_due_for_it(world: World) -> None:
    strategy = world.strategy(OnUpdate(), SPY="60", TLT="40")
    world.change(strategy, targets=targets(SPY="50", TLT="50"))
    world.enroll(world.open_account("bob", "100"), strategy)
    world.settle()
    world.settle()
    assert world.slots("bob") == ["enrollment"]


def test_updates_may_be_made_to_wait_for_the_cooldown(site: Site) -> None:
    """TRIMTAB_UPDATE_WAITS_FOR_COOLDOWN: three days after the 2nd is the 5th."""
    with new_world(site, Setup(update_waits=True)) as world:
        strategy = follow(world, OnUpdate(), cooldown_days=3)
        world.at("2026-03-03 10:00")
        world.change(strategy, targets=targets(SPY="50", TLT="50"))
        world.settle()
        world.settle_on("2026-03-04")
        assert world.slots("ann") == ["enrollment"]
        world.settle_on("2026-03-05", "2026-03-06")
        assert world.slots("ann") == ["enrollment", "update"]


def test_a_run_goes_by_the_strategy_as_it_is_when_the_run_starts(world: World) -> None:
    world.at("2026-03-01 12:00")
    strategy = world.strategy(SPY="60", TLT="40")
    world.enroll(world.open_account("ann", "1000"), strategy)
    world.change(strategy, targets=targets(SPY="50", TLT="50"))
    world.settle_on("2026-03-02")
    (run,) = world.runs("ann")
    assert run.strategy_version == 2
    assert world.holdings("ann") == "cash 0, SPY 1.25, TLT 5"


def test_an_update_while_a_run_is_open_is_evaluated_after_it(world: World) -> None:
    strategy = follow(world, OnUpdate())
    world.set_prices(SPY="500")
    world.paper.set_faults({"fill_delay_s": 5})
    world.request("ann")
    world.settle()
    world.change(strategy, targets=targets(SPY="50", TLT="50"))
    world.paper.set_faults({})
    for _ in range(3):
        world.clock.forward(5)
        world.settle()
    assert world.slots("ann") == ["enrollment", "api", "update"]
    # $11,500: half of it each.
    assert world.holdings("ann") == "cash 0, SPY 11.5, TLT 57.5"


# The window.


@pytest.mark.parametrize(
    ("at", "evaluated"),
    [
        ("2026-03-09 09:29:59", False),
        ("2026-03-09 09:30", True),
        ("2026-03-09 15:30", True),
        ("2026-03-09 15:30:01", False),
        ("2026-03-09 15:59", False),
        ("2026-03-09 16:01", False),
        ("2026-03-08 12:00", False),
        ("2026-03-13 12:30", True),
        ("2026-03-13 12:30:01", False),
        ("2026-04-03 12:00", False),
    ],
)
def test_accounts_are_evaluated_from_the_open_to_half_an_hour_before_the_close(
    sqlite_world: World, *, at: str, evaluated: bool
) -> None:
    follow(sqlite_world, MONDAYS, cooldown_days=1)
    sqlite_world.at(at)
    assert sqlite_world.settle().evaluated == evaluated
    assert len(sqlite_world.runs("ann")) == 1 + evaluated


@pytest.mark.parametrize(
    ("at", "state"),
    [
        ("2026-03-09 09:29:59", RunState.QUEUED),
        ("2026-03-09 09:30", RunState.COMPLETED),
        ("2026-03-09 15:45", RunState.COMPLETED),
        ("2026-03-09 15:45:01", RunState.QUEUED),
        ("2026-03-13 12:45", RunState.COMPLETED),
        ("2026-03-13 12:45:01", RunState.QUEUED),
        ("2026-03-14 12:00", RunState.QUEUED),
    ],
)
def test_runs_start_from_the_open_to_a_quarter_of_an_hour_before_the_close(
    sqlite_world: World, at: str, state: RunState
) -> None:
    follow(sqlite_world)
    sqlite_world.at(at)
    run = sqlite_world.request("ann")
    sqlite_world.settle()
    assert sqlite_world.run(run.id).state is state


def test_what_waits_for_the_open_wants_a_worker_then(world: World) -> None:
    follow(world)
    world.at("2026-03-06 17:00")
    world.request("ann")
    world.settle()
    due_at = world.due_at()
    world.at("2026-03-09 09:30")
    assert due_at == world.clock.now


def test_a_continuous_market_knows_no_window_and_one_hour(site: Site) -> None:
    with new_world(site, Setup(calendar=CONTINUOUS)) as world:
        follow(world, MONDAYS, cooldown_days=1)
        world.at("2026-03-08 03:00")
        world.request("ann")
        world.settle()
        world.at("2026-03-09 19:59:59")
        world.settle()
        assert world.slots("ann") == ["enrollment", "api", "session:2026-03-09"]
        world.paper.set_faults({"fill_delay_s": 100_000})
        world.set_prices(SPY="800")
        run = world.request("ann")
        world.settle()
        world.clock.forward(3599)
        world.settle()
        assert world.run(run.id).state is RunState.SELLING
        world.clock.forward(1)
        world.settle()
        assert world.run(run.id).state is RunState.TIMED_OUT
        assert [order.state for order in world.orders(run)] == ["CANCELED"]


def test_the_deadline_never_counts_while_a_run_is_queued(world: World) -> None:
    world.at("2026-02-27 18:00")
    world.enroll(world.open_account("ann", "100"), world.strategy(SPY="100"))
    world.settle_on("2026-02-28", "2026-03-01")
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED]
    world.settle_on("2026-03-02")
    assert world.ends("ann") == ["COMPLETED"]


# What cannot be evaluated.


def test_a_missing_price_keeps_what_is_due_due(world: World) -> None:
    strategy = world.strategy(MONDAYS, SPY="60", TLT="40", cooldown_days=1)
    world.enroll(world.open_account("ann", "0", SPY="15", TLT="40", OLD="1"), strategy)
    world.settle()
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED], "OLD has no price"
    world.set_prices(OLD="10")
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]


def test_an_account_without_a_price_for_one_position_is_left_alone(world: World) -> None:
    follow(world, BAND, MONDAYS, cooldown_days=1)
    world.open_account("bob", "0", NEW="5")
    world.enroll("bob", world.strategies()[0])
    world.at("2026-03-09 10:00")
    settled = world.settle()
    assert settled.evaluated == 1, "ann; bob has an open run that waits for a price"
    assert world.slots("ann") == ["enrollment", "session:2026-03-09"]


def test_a_strategy_that_needs_adjustment_loses_its_queued_runs_and_is_not_evaluated(world: World) -> None:
    strategy = follow(world, MONDAYS, cooldown_days=1)
    world.at("2026-03-08 12:00")
    world.request("ann")
    world.paper.set_asset("TLT", tradable=False)
    world.settle()
    assert world.strategies()[0].status is StrategyStatus.NEEDS_ADJUSTMENT
    assert world.ends("ann") == ["COMPLETED", "CANCELED"]
    world.settle_on("2026-03-09")
    assert len(world.runs("ann")) == 2
    world.paper.set_asset("TLT", tradable=True)
    world.change(strategy, reactivate=True)
    world.settle_on("2026-03-10")
    assert world.slots("ann") == ["enrollment", "api", "session:2026-03-10"]
    assert world.runs("ann")[2].cause == "calendar rule due on 2026-03-09"


def test_a_started_run_of_a_strategy_that_needs_adjustment_goes_on(world: World) -> None:
    follow(world)
    world.paper.set_faults({"fill_delay_s": 5})
    world.set_prices(SPY="800")
    world.request("ann")
    world.settle()
    world.paper.set_asset("GLD", tradable=False)
    world.settle()
    world.clock.forward(5)
    world.paper.set_faults({})
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]


def test_a_strategy_that_was_ended_while_its_assets_were_looked_at_stays_ended(world: World) -> None:
    strategy = world.strategy(SPY="100")
    world.paper.set_asset("SPY", tradable=False)
    left = iter([True])

    def end_it(call: str) -> None:
        if call == "assets" and next(left, False):
            world.end(strategy)

    world.broker.before = end_it
    world.settle()
    found = world.db.read(lambda tx: tx.row("SELECT status FROM strategies"))
    assert found is not None
    assert found["status"] == "inactive"


def test_leaving_between_the_reading_and_the_writing_of_a_sweep_makes_no_run(world: World) -> None:
    follow(world, MONDAYS, cooldown_days=1)
    world.at("2026-03-09 10:00")
    left = iter([True])

    def leave(call: str) -> None:
        if call == "prices" and next(left, False):
            enrollment_actions.end_enrollment(world.desk, "acme-id", world.enrollment("ann").id)

    world.broker.before = leave
    drive(work(world.desk, 1), world.desk)
    assert world.slots("ann") == ["enrollment"]


def test_a_change_between_the_reading_and_the_writing_of_a_sweep_stays_due(world: World) -> None:
    strategy = follow(world, OnUpdate(), cooldown_days=30)
    world.at("2026-03-03 10:00")
    left = iter([True])

    def update(call: str) -> None:
        if call == "prices" and next(left, False):
            world.change(strategy, targets=targets(SPY="50", TLT="50"))

    world.broker.before = update
    drive(work(world.desk, 1), world.desk)
    drive(work(world.desk, 1), world.desk)
    assert world.slots("ann") == ["enrollment", "update"]
