"""An asset that stops being eligible: the strategy stops until it is adjusted, or only that line is frozen.

ann holds SPY 15 at $400 and TLT 40 at $100: $10,000, as 60/40 wants it.
"""

from decimal import Decimal
from typing import Any

import pytest

from tests.engine.desks import TENANT, Setup, SqliteSite, World, new_world, targets
from trimtab.core.errors import IneligibleAssets
from trimtab.core.run import RunState
from trimtab.core.skip import SkipReason
from trimtab.core.strategy import (
    AssetTarget,
    BandKind,
    Condition,
    Definition,
    DriftBand,
    OnIneligible,
    Strategy,
    StrategyStatus,
    StrategyTarget,
    Target,
    Weekly,
)
from trimtab.engine import strategy_actions
from trimtab.store import orders

FIVE_POINTS = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))
FREEZE = OnIneligible.FREEZE_LINE
SUSPEND = OnIneligible.NEEDS_ADJUSTMENT
# Tuesday, the day that these tests look at.
TUESDAY = Weekly(weekday=1)

# What can happen to an asset.
BLOWS: list[dict[str, Any]] = [{"tradable": False}, {"active": False}, {"fractionable": False}]


def make(
    world: World, lines: tuple[Target, ...], *conditions: Condition, on: OnIneligible = FREEZE
) -> Strategy:
    definition = Definition(targets=lines, conditions=conditions, cooldown_days=0)
    draft = strategy_actions.StrategyDraft(
        name="mix", description="", definition=definition, calendar=world.desk.calendar, on_ineligible=on
    )
    return strategy_actions.create_strategy(world.desk, TENANT, draft)


def follow(world: World, *conditions: Condition, on: OnIneligible = FREEZE) -> Strategy:
    strategy = make(world, targets(SPY="60", TLT="40"), *conditions, on=on)
    world.enroll(world.open_account("ann", "0", SPY="15", TLT="40"), strategy)
    world.settle()
    world.at("2026-03-03 10:00")
    return strategy


def status(world: World, strategy: Strategy) -> StrategyStatus:
    return next(each.status for each in world.strategies() if each.id == strategy.id)


def skips(world: World) -> list[tuple[str, SkipReason]]:
    """Of ann's last run."""
    run = world.runs("ann")[-1]
    found = world.db.read(lambda tx: orders.skips_of(tx, [run])).get(run.id, [])
    return [(skip.symbol, skip.reason) for skip in found]


@pytest.mark.parametrize("blow", BLOWS)
def test_by_the_vendors_rule_the_strategy_needs_adjustment_and_its_queued_runs_are_cancelled(
    world: World, blow: dict[str, Any]
) -> None:
    strategy = follow(world, TUESDAY, on=SUSPEND)
    world.at("2026-03-02 18:00")
    queued = world.request("ann")
    world.paper.set_asset("TLT", **blow)
    world.at("2026-03-03 10:00")
    world.settle()
    assert status(world, strategy) is StrategyStatus.NEEDS_ADJUSTMENT
    cancelled = world.run(queued.id)
    assert (cancelled.state, cancelled.reason) == (RunState.CANCELED, "the weights to follow are not active")
    world.settle_on("2026-03-10")
    assert world.runs("ann")[-1].id == queued.id, "nothing new until somebody adjusts it"
    world.change(strategy, targets=targets(SPY="60", GLD="40"))
    assert status(world, strategy) is StrategyStatus.ACTIVE
    world.settle()
    world.require_sound()


@pytest.mark.parametrize("blow", BLOWS)
def test_a_frozen_line_is_held_and_all_others_trade(world: World, blow: dict[str, Any]) -> None:
    """GLD comes to 40/40/20 for the holdings of 60/40: 4000, 4000, 2000. SPY sells 5 and GLD is bought."""
    strategy = make(world, targets(SPY="40", TLT="40", GLD="20"), TUESDAY)
    world.enroll(world.open_account("ann", "0", SPY="15", TLT="40"), strategy)
    world.cancel(world.open_runs()[0])
    world.paper.set_asset("TLT", **blow)
    world.set_prices(TLT="150")
    # Equity 12,000: 4,800 of SPY, 2,400 of GLD at $200; TLT would be sold down to 4,800 from 6,000.
    world.at("2026-03-03 10:00")
    world.settle()
    assert status(world, strategy) is StrategyStatus.ACTIVE
    assert world.ends("ann")[-1] == "COMPLETED*"
    # 1,200 of SPY are sold, 3 shares, and all of that buys GLD, which misses 2,400.
    assert world.holdings("ann") == "cash 0, GLD 6, SPY 12, TLT 40"
    assert skips(world) == [("TLT", SkipReason.NOT_TRADABLE)]
    world.require_sound()


def test_the_drift_of_a_frozen_line_triggers_nothing(world: World) -> None:
    """TLT at $160: 6,400 of 12,400, 11.6 points above its target; SPY is as far below."""
    follow(world, FIVE_POINTS)
    world.paper.set_asset("TLT", tradable=False)
    world.set_prices(TLT="105")
    world.settle()
    assert len(world.runs("ann")) == 1
    world.set_prices(TLT="160")
    world.settle()
    assert world.runs("ann")[-1].cause.startswith("absolute band of 5 %: SPY is worth"), (
        "its own line's drift"
    )


def test_another_lines_drift_triggers_and_leaves_the_frozen_line_alone(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.paper.set_asset("TLT", tradable=False)
    world.set_prices(SPY="500")
    world.settle()
    # 7,500 of 11,500; 600 too much are sold, and 4,600 - 4,000 cannot be bought: that money waits in cash.
    assert world.holdings("ann") == "cash 600, SPY 13.8, TLT 40"
    world.require_sound()


def test_the_money_that_a_frozen_line_lacks_is_not_free(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site, Setup(invest_cash_min="10")) as world:
        follow(world, FIVE_POINTS)
        world.paper.set_asset("TLT", tradable=False)
        world.set_prices(SPY="500")
        world.settle()
        made = len(world.runs("ann"))
        world.settle_on("2026-03-04", "2026-03-05")
        assert len(world.runs("ann")) == made, "600 wait for TLT"
        # Of 100 more, 60 are for SPY.
        world.transfer("ann", "100")
        world.settle_on("2026-03-06")
        assert world.holdings("ann") == "cash 640, SPY 13.92, TLT 40"
        world.paper.set_asset("TLT", tradable=True)
        world.settle_on("2026-03-09")
        assert world.holdings("ann") == "cash 0, SPY 13.92, TLT 46.4"
        world.require_sound()


def test_an_account_that_does_not_hold_a_frozen_line_without_a_price_trades_the_rest(world: World) -> None:
    strategy = make(world, targets(SPY="60", TLT="40"), TUESDAY)
    world.enroll(world.open_account("ann", "5000", SPY="12.5"), strategy)
    world.cancel(world.open_runs()[0])
    world.paper.set_asset("TLT", active=False)
    world.at("2026-03-03 10:00")
    world.settle()
    assert world.holdings("ann") == "cash 4000, SPY 15"


def test_a_strategy_that_freezes_lines_may_keep_them_but_not_name_new_ones(world: World) -> None:
    strategy = follow(world)
    world.paper.set_asset("TLT", tradable=False)
    world.paper.set_asset("GLD", tradable=False)
    changed = world.change(strategy, targets=targets(SPY="70", TLT="30"))
    assert changed.status is StrategyStatus.ACTIVE
    with pytest.raises(IneligibleAssets) as refused:
        world.change(strategy, targets=targets(SPY="50", TLT="30", GLD="20"))
    assert refused.value.reasons == {"GLD": "not tradable"}
    with pytest.raises(IneligibleAssets):
        make(world, targets(SPY="50", GLD="50"))


def test_to_freeze_lines_is_one_way_to_adjust_a_strategy(world: World) -> None:
    strategy = follow(world, TUESDAY, on=SUSPEND)
    world.paper.set_asset("TLT", tradable=False)
    world.settle()
    assert status(world, strategy) is StrategyStatus.NEEDS_ADJUSTMENT
    changed = world.change(strategy, on_ineligible=FREEZE)
    assert (changed.status, changed.version) == (StrategyStatus.ACTIVE, strategy.version)
    world.settle()
    assert status(world, strategy) is StrategyStatus.ACTIVE
    world.change(strategy, on_ineligible=SUSPEND)
    world.settle()
    assert status(world, strategy) is StrategyStatus.NEEDS_ADJUSTMENT


def test_what_stops_a_nested_strategy_stops_those_above_it_each_by_its_own_setting(world: World) -> None:
    inner = make(world, targets(TLT="100"), on=SUSPEND)
    line = StrategyTarget(strategy_id=inner.id, percent=Decimal(40))
    above = (AssetTarget(symbol="SPY", percent=Decimal(60)), line)
    stops, freezes = make(world, above, on=SUSPEND), make(world, above, on=FREEZE)
    highest = make(world, (StrategyTarget(strategy_id=stops.id, percent=Decimal(100)),), on=SUSPEND)
    world.paper.set_asset("TLT", active=False)
    world.settle()
    found = [status(world, each) for each in (inner, stops, freezes, highest)]
    needs = StrategyStatus.NEEDS_ADJUSTMENT
    assert found == [needs, needs, StrategyStatus.ACTIVE, needs]
    with pytest.raises(IneligibleAssets):
        world.change(highest, reactivate=True)


def test_only_the_followers_of_a_touched_strategy_feel_it(world: World) -> None:
    strategy = follow(world, TUESDAY, on=SUSPEND)
    other = world.strategy(TUESDAY, SPY="50", GLD="50")
    world.enroll(world.open_account("bob", "1000"), other)
    world.settle()
    world.paper.set_asset("TLT", tradable=False)
    world.settle_on("2026-03-10")
    assert status(world, strategy) is StrategyStatus.NEEDS_ADJUSTMENT
    assert world.slots("bob")[-1] == "session:2026-03-10"
    assert world.slots("ann")[-1] != "session:2026-03-10"
