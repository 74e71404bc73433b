"""Corporate actions and bad prices, as the engine meets them: what trades, what waits, and why.

SPY costs $400, TLT $100, GLD $200. Three accounts: ann holds SPY, tom holds TLT and wants SPY as well, gus
has nothing to do with it. Whatever strikes SPY must leave gus alone.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tests.engine.desks import CONTINUOUS, MONDAY, PRICES, Setup, SqliteSite, World, new_world, targets
from tests.engine.machine import Machine
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.brokers.paper_corporate import Done
from trimtab.core.corporate import Late
from trimtab.core.errors import IneligibleAssets, TrimtabError
from trimtab.core.money import plain
from trimtab.core.plan import Plan, equity_of
from trimtab.core.run import OrderState, Run, RunKind, RunState
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.strategy import BandKind, DriftBand, StrategyStatus, Target, asset_symbols
from trimtab.engine.strategy_actions import review_assets
from trimtab.engine.valuation import value_now
from trimtab.store import freezes, holdings, orders, strategies, valuations
from trimtab.store.enrollments import Page
from trimtab.store.freezes import Freeze

SPLIT, REVERSE, RENAME = ActionKind.SPLIT, ActionKind.REVERSE_SPLIT, ActionKind.RENAME
DELIST, DIVIDEND = ActionKind.DELIST, ActionKind.CASH_DIVIDEND
FIVE_POINTS = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))
EVERYTHING = Page(after=None, limit=100)


def act(world: World, kind: ActionKind, terms: str | None = None, **others: Any) -> Done:
    amount = None if terms is None else Decimal(terms)
    return world.paper.corporate_action(Event(kind=kind, **{"symbol": "SPY", "terms": amount, **others}))


def three(world: World) -> None:
    """ann: $6,000 of SPY and $4,000 of TLT, on target. tom: $10,000 of TLT, half of it to become SPY.
    gus: $2,000, half of it to become GLD.
    """
    world.enroll(
        world.open_account("ann", "0", SPY="15", TLT="40"), world.strategy(FIVE_POINTS, SPY="60", TLT="40")
    )
    world.enroll(world.open_account("tom", "0", TLT="100"), world.strategy(FIVE_POINTS, TLT="50", SPY="50"))
    world.enroll(world.open_account("gus", "2000"), world.strategy(FIVE_POINTS, GLD="50", cash="50"))


def skips(world: World, account_id: str) -> list[Skip]:
    """What the account's last run has skipped, in planning or later."""
    run = world.runs(account_id)[-1]
    stored = world.db.read(lambda tx: orders.skips(tx, run.shard, [run.id])).get(run.id, [])
    plan = world.db.read(lambda tx: orders.plans(tx, run.shard, [run.id]))[run.id]
    return [*plan.skips, *stored]


def symbols_ordered(world: World) -> set[str]:
    return {order.symbol for run in world.runs() for order in world.orders(run)}


# A split day.


@pytest.mark.parametrize("late", Late)
def test_half_a_split_makes_no_order_for_its_asset(world: World, late: Late) -> None:
    """Whoever holds it waits, with the reason; whoever only wants it trades all else; others are as ever."""
    three(world)
    act(world, SPLIT, "2", late=late)
    world.settle()
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED]
    # The band stays broken: today's session makes a run too, which finds nothing else to do.
    assert world.ends("tom") == ["COMPLETED*", "COMPLETED*"]
    assert [len(world.orders(run)) for run in world.runs("tom")] == [1, 0]
    (skipped,) = skips(world, "tom")
    assert (skipped.symbol, skipped.reason) == ("SPY", SkipReason.CORPORATE_ACTION)
    assert skipped.details == f"the split of SPY, 2 for 1, is not complete, its {late} is late"
    assert world.holdings("tom") == "cash 5000, TLT 50"
    assert world.ends("gus") == ["COMPLETED"]
    assert world.holdings("gus") == "cash 1000, GLD 5"
    assert symbols_ordered(world) == {"TLT", "GLD"}

    act(world, SPLIT, "2")
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]
    assert world.holdings("ann") == "cash 0, SPY 30, TLT 40"
    assert symbols_ordered(world) == {"TLT", "GLD"}, "ann was on target all the time"
    world.require_sound()


@pytest.mark.parametrize("late", Late)
def test_who_holds_half_a_split_is_not_evaluated_and_not_valued(world: World, late: Late) -> None:
    """A price of half as much would have broken the band, and would have been in the history."""
    three(world)
    world.settle()
    world.at("2026-03-03 10:00")
    act(world, SPLIT, "2", late=late)
    settled = world.settle()
    assert settled.runs_created == 0
    assert settled.evaluated == 1, "gus only: tom holds SPY too by now"
    assert [len(values(world, name)) for name in ("ann", "gus")] == [1, 2]
    world.at("2026-03-04 10:00")
    act(world, SPLIT, "2")
    settled = world.settle()
    assert (settled.evaluated, settled.runs_created) == (3, 0), "nobody has drifted"
    assert values(world, "ann") == ["10000", "10000"]
    world.require_sound()


def values(world: World, account_id: str) -> list[str]:
    """What the account was worth, day by day."""
    shard = world.record(account_id).shard
    since = MONDAY.date()
    found = world.db.read(lambda tx: valuations.history(tx, shard, account_id, since=since))
    return [plain(each.value) for each in found]


def test_the_prices_of_days_can_be_compared_through_a_split_and_under_both_names(world: World) -> None:
    three(world)
    world.settle()
    world.at("2026-03-03 10:00")
    act(world, SPLIT, "2")
    act(world, RENAME, new_symbol="NEW")
    world.settle()
    world.at("2026-03-04 10:00")
    world.set_prices(NEW="210")
    world.settle()
    days = world.db.read(lambda tx: valuations.priced_days(tx, ["SPY", "NEW"], since=MONDAY.date()))
    assert [{symbol: plain(price) for symbol, price in day.prices.items()} for day in days] == [
        {"SPY": "400"},
        {"SPY": "400", "NEW": "400"},
        {"SPY": "420", "NEW": "420"},
    ]


# A split in the middle of a run. ann has 25 GLD to sell and buys $2,000 of SPY and $4,000 of TLT.


def ann_selling(world: World) -> Run:
    """Her plan is stored, and her sale is open."""
    world.paper.set_faults({"fill_delay_s": 30})
    run = world.request(
        world.open_account("ann", "1000", SPY="10", GLD="25"), weights=targets(SPY="60", TLT="40")
    )
    world.settle()
    assert [order.symbol for order in world.orders(run)] == ["GLD"]
    return run


def finish(world: World) -> None:
    Machine(world=world).work_on()


@pytest.mark.parametrize("late", [None, *Late])
@pytest.mark.parametrize("ratio", ["2", "1.1"], ids=["beyond the collar", "within the collar"])
def test_after_a_split_a_run_sends_no_order_of_before_it(world: World, ratio: str, late: Late | None) -> None:
    """What is sold is sold, TLT is bought, and SPY waits for the next run; the account is not held."""
    run = ann_selling(world)
    act(world, SPLIT, ratio, late=late)
    finish(world)
    assert world.ends("ann") == ["COMPLETED*"]
    assert [order.symbol for order in world.orders(run)] == ["GLD", "TLT"]
    (skipped,) = skips(world, "ann")
    assert (skipped.symbol, skipped.reason) == ("SPY", SkipReason.CORPORATE_ACTION)
    assert world.record("ann").held is None
    if late is not None:
        act(world, SPLIT, ratio)
    assert world.holdings("ann") == f"cash 2000, SPY {'20' if ratio == '2' else '11'}, TLT 40"
    world.settle()
    assert world.record("ann").held is None
    world.require_sound()


@pytest.mark.parametrize("kind", [SPLIT, REVERSE])
@pytest.mark.parametrize("late", [None, *Late])
def test_a_split_ends_an_order_that_is_half_filled_and_explains_the_rest(
    world: World, kind: ActionKind, late: Late | None
) -> None:
    """12.5 of 25 GLD were sold, 12.5 are left: 37.5, or 4.166666666, after three for one or one for three."""
    world.paper.set_faults({"fill_delay_s": 30, "partial_fill": 1})
    account = world.open_account("ann", "0", GLD="25")
    run = world.request(account, weights=targets(SPY="60", TLT="40"))
    world.settle()
    world.clock.forward(30)
    world.settle()
    act(world, kind, "3", symbol="GLD", late=late)
    world.paper.set_faults({})
    finish(world)
    (sale, *bought) = world.orders(run)
    assert (sale.symbol, sale.state, sale.filled_quantity) == ("GLD", OrderState.CANCELED, Decimal("12.5"))
    assert {order.symbol for order in bought} == {"SPY", "TLT"}
    assert world.ends("ann") == ["COMPLETED*"]
    assert world.record("ann").held is None
    if late is not None:
        act(world, kind, "3", symbol="GLD")
    after = "37.5" if kind is SPLIT else "4.166666666"
    assert world.holdings("ann") == f"cash 0, GLD {after}, SPY 3.75, TLT 10"
    assert set(Counter(world.broker_orders()).values()) == {1}, "nothing twice"
    world.settle()
    assert world.record("ann").held is None
    world.require_sound()


def test_the_next_run_starts_at_once_from_what_the_split_has_made(world: World) -> None:
    ann_selling(world)
    act(world, SPLIT, "2")
    finish(world)
    world.request("ann", weights=targets(SPY="60", TLT="40"))
    world.paper.set_faults({})
    world.settle()
    assert world.ends("ann") == ["COMPLETED*", "COMPLETED"]
    assert world.holdings("ann") == "cash 0, SPY 30, TLT 40"
    world.require_sound()


def test_what_no_split_explains_still_holds_the_account(world: World) -> None:
    """Late positions and a split at once: the account still shows the shares of before the sale."""
    ann_selling(world)
    act(world, SPLIT, "2")
    world.broker.accounts_late_s = 300
    finish(world)
    held = world.record("ann").held
    assert held is not None
    assert held.startswith("the broker shows")
    world.broker.accounts_late_s = 0
    world.clock.forward(600)
    world.settle()
    assert world.record("ann").held is None, "the split explains it now that it is shown"
    world.require_sound()


STRIKES = [
    (SPLIT, "2", {"symbol": "GLD"}),
    (SPLIT, "2", {"symbol": "SPY"}),
    (REVERSE, "4", {"symbol": "GLD"}),
    (REVERSE, "4", {"symbol": "SPY"}),
    (RENAME, None, {"symbol": "GLD", "new_symbol": "NEW"}),
    (RENAME, None, {"symbol": "SPY", "new_symbol": "NEW"}),
]


@pytest.mark.parametrize(("kind", "terms", "others"), STRIKES)
def test_it_may_strike_between_any_two_questions(
    sqlite_site: SqliteSite, kind: ActionKind, terms: str | None, others: dict[str, str]
) -> None:
    """New shares at old prices would make the account worth more, or less, than $10,000: no plan says so,
    nothing is lost, nobody is held. Only an order that is on its way may still arrive.
    """
    calls = strikes = 0
    while strikes == calls:
        with new_world(sqlite_site) as world:
            calls, strikes = 0, strikes + 1

            def strike(_call: str) -> None:
                nonlocal calls
                calls += 1
                if calls == strikes:  # noqa: B023 - the world of this round
                    act(world, kind, terms, **others)

            run = world.request(
                world.open_account("ann", "1000", SPY="10", GLD="25"), weights=targets(SPY="60", TLT="40")
            )
            world.broker.before = strike
            finish(world)
            assert all(plan.equity == 10_000 for plan in plans(world))
            assert equity(world) == 10_000
            assert world.record("ann").held is None
            assert run.id == world.runs("ann")[0].id
            world.require_sound()
            calls = min(calls, strikes)
    assert strikes > 10


def plans(world: World) -> list[Plan]:
    found = [world.db.read(lambda tx, r=run: orders.plans(tx, r.shard, [r.id])) for run in world.runs()]  # type: ignore[misc]
    return [plan for each in found for plan in each.values()]


def equity(world: World, account_id: str = "ann") -> Decimal:
    held = world.paper.account(account_id).holdings
    return equity_of(held, world.paper.current_prices(held.positions))


# A new symbol.


def test_strategies_follow_a_new_symbol_and_nobody_is_rebalanced_for_it(world: World) -> None:
    three(world)
    world.settle()
    before = {strategy.id: strategy for strategy in world.strategies()}
    world.at("2026-03-03 10:00")
    act(world, RENAME, new_symbol="NEW")
    assert world.settle().runs_created == 0
    for strategy in world.strategies():
        was = before[strategy.id]
        named = "SPY" in asset_symbols(was.definition.targets)
        assert strategy.version == was.version + named
        assert strategy.updated_version == was.updated_version
        assert strategy.status is StrategyStatus.ACTIVE
        assert ("NEW" in asset_symbols(strategy.definition.targets)) is named
        newest = world.db.read(lambda tx, s=strategy: strategies.versions(tx, s.id, EVERYTHING))[0][1]  # type: ignore[misc]
        assert newest.change_log == ("renamed at the broker: SPY is now NEW" if named else None)
    assert [world.ends(name) for name in ("ann", "tom", "gus")] == [["COMPLETED"]] * 3
    assert world.settle().runs_created == 0
    world.set_prices(NEW="800")
    world.settle()
    world.at("2026-03-04 10:00")
    world.settle()
    assert world.holdings("ann") == "cash 0, NEW 12, TLT 64"
    world.require_sound()


def test_a_strategy_that_needs_adjustment_follows_too_and_an_ended_one_stays(world: World) -> None:
    halted, ended = world.strategy(SPY="50", TLT="50"), world.strategy(SPY="50", TLT="50")
    world.end(ended)
    world.paper.set_asset("TLT", tradable=False)
    review_assets(world.desk)
    act(world, RENAME, new_symbol="NEW")
    review_assets(world.desk)
    heads = world.db.read(lambda tx: strategies.heads(tx, [halted.id, ended.id]))
    assert asset_symbols(heads[halted.id].definition.targets) == ("NEW", "TLT")
    assert heads[halted.id].status is StrategyStatus.NEEDS_ADJUSTMENT
    assert asset_symbols(heads[ended.id].definition.targets) == ("SPY", "TLT")


def test_the_old_symbol_is_not_found_any_more(world: World) -> None:
    act(world, RENAME, new_symbol="NEW")
    with pytest.raises(IneligibleAssets) as refused:
        world.strategy(SPY="100")
    assert refused.value.reasons == {"SPY": "not found"}


def test_what_was_renamed_a_moment_ago_is_not_sold_as_unwanted(world: World) -> None:
    """The rename comes after the review of the assets and before the plan is made."""
    three(world)

    def strike(call: str) -> None:
        if call == "accounts" and "NEW" not in world.paper.assets(["NEW"]):
            act(world, RENAME, new_symbol="NEW")

    world.broker.before = strike
    world.settle()
    assert world.holdings("ann") == "cash 0, NEW 15, TLT 40"
    assert world.holdings("tom") == "cash 0, NEW 12.5, TLT 50"
    assert world.ends("ann") == ["COMPLETED"]
    world.require_sound()


def test_an_order_that_is_open_follows_its_asset_and_the_run_ends_well(world: World) -> None:
    world.paper.set_faults({"fill_delay_s": 30})
    run = world.request(world.open_account("ann", "1000"), weights=targets(SPY="100"))
    world.settle()
    act(world, RENAME, new_symbol="NEW")
    finish(world)
    assert world.ends("ann") == ["COMPLETED"]
    assert world.holdings("ann") == "cash 0, NEW 2.5"
    assert [order.symbol for order in world.orders(run)] == ["SPY"]
    assert world.record("ann").held is None
    world.require_sound()


def test_a_freeze_stays_with_an_asset_that_gets_another_symbol(world: World) -> None:
    stop = Freeze(id="freeze", tenant_id=None, account_id=None, symbol="SPY", reason="by hand")
    world.db.write(lambda tx: freezes.insert(tx, stop, MONDAY))
    act(world, RENAME, new_symbol="NEW")
    world.request(world.open_account("ann", "1000"), weights=targets(NEW="50", TLT="50"))
    world.settle()
    assert world.ends("ann") == ["COMPLETED*"]
    assert world.holdings("ann") == "cash 500, TLT 5"
    assert [skip.reason for skip in skips(world, "ann")] == [SkipReason.FROZEN]


# Delisted, and a dividend.


def test_a_delisted_asset_suspends_its_strategies_and_no_other(world: World) -> None:
    three(world)
    world.settle()
    world.at("2026-03-03 10:00")
    act(world, DELIST)
    world.set_prices(TLT="300")
    world.settle()
    assert [s.status.value for s in world.strategies()] == ["needs_adjustment", "needs_adjustment", "active"]
    assert [len(world.runs(name)) for name in ("ann", "tom", "gus")] == [1, 1, 1]
    world.require_sound()


def test_a_payout_in_the_middle_of_a_run_is_not_its_money(world: World) -> None:
    """SPY is taken back for $4,000; TLT is bought for what the plan has for it."""
    ann_selling(world)
    act(world, DELIST, "400")
    finish(world)
    assert world.ends("ann") == ["COMPLETED*"]
    assert world.holdings("ann") == "cash 6000, TLT 40"
    assert world.record("ann").held is None
    world.require_sound()


def test_a_dividend_is_free_cash_and_no_deposit(sqlite_site: SqliteSite) -> None:
    """$2 of ann's 15 SPY is $30: three parts of it SPY, two TLT. Nobody has paid it in."""
    with new_world(sqlite_site, Setup(invest_cash_min="10")) as world:
        three(world)
        world.settle()
        world.at("2026-03-03 10:00")
        done = act(world, DIVIDEND, "2")
        assert (done.accounts, done.paid) == (2, Decimal(55))
        world.settle()
        assert [run.kind for run in world.runs("ann")] == [RunKind.FULL_REBALANCE, RunKind.INVEST_CASH]
        assert world.holdings("ann") == "cash 0, SPY 15.045, TLT 40.12"
        assert values(world, "ann") == ["10000", "10030"]
        shard = world.record("ann").shard
        assert world.db.read(lambda tx: valuations.cash_flows(tx, shard, "ann")) == []
        world.require_sound()


# Prices that are none. `bad` is what the broker says of SPY in spite of what it promises.

BAD = [None, "0", "-1", "NaN", "sNaN", "Infinity", "1E+400", "1E-400", "1000000000"]


@pytest.mark.parametrize("bad", BAD)
def test_a_price_that_is_none_stops_its_line_and_nobody_else(sqlite_world: World, bad: str | None) -> None:
    world = sqlite_world
    three(world)
    world.broker.told_prices["SPY"] = None if bad is None else Decimal(bad)
    world.settle()
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED], "what she is worth is not known"
    assert world.ends("tom") == ["COMPLETED*"]
    (skipped,) = skips(world, "tom")
    assert (skipped.symbol, skipped.reason) == ("SPY", SkipReason.NO_PRICE)
    assert world.holdings("tom") == "cash 5000, TLT 50"
    assert world.ends("gus") == ["COMPLETED"]
    assert symbols_ordered(world) == {"TLT", "GLD"}
    world.broker.told_prices.clear()
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]
    world.require_sound()


@pytest.mark.parametrize("bad", BAD)
def test_a_price_that_is_none_stops_no_evaluation_of_others(sqlite_world: World, bad: str | None) -> None:
    world = sqlite_world
    three(world)
    world.settle()
    world.at("2026-03-03 10:00")
    world.set_prices(GLD="400", TLT="300")
    world.broker.told_prices["SPY"] = None if bad is None else Decimal(bad)
    settled = world.settle()
    assert (settled.evaluated, settled.runs_created) == (1, 1)
    assert [len(world.runs(name)) for name in ("ann", "tom", "gus")] == [1, 1, 2]
    assert [len(values(world, name)) for name in ("ann", "tom", "gus")] == [1, 1, 2]
    assert value_now_of(world, "ann") is None
    assert value_now_of(world, "gus") == Decimal(3000)
    world.broker.told_prices.clear()
    settled = world.settle()
    assert (settled.evaluated, settled.runs_created) == (3, 2)
    world.require_sound()


def value_now_of(world: World, account_id: str) -> Decimal | None:
    shard = world.record(account_id).shard
    mirror = world.db.read(lambda tx: holdings.read(tx, shard))
    return value_now(world.desk, mirror.block, account_id)


@pytest.mark.parametrize("late", Late)
def test_half_a_split_has_no_worth_to_show(world: World, late: Late) -> None:
    three(world)
    world.settle()
    act(world, SPLIT, "2", late=late)
    assert value_now_of(world, "ann") is None
    assert value_now_of(world, "gus") == Decimal(2000)


# Everything at once.

MIXES = [{"a": "60", "b": "40"}, {"b": "50", "c": "50"}, {"a": "20", "b": "30", "c": "50"}]
WORTH = Decimal(10_000)
# What a few splits leave behind: billionths of shares, and the last places of prices.
CRUMBS = Decimal("0.001")
HALF = Decimal("0.5")


@dataclass
class Market:
    """Three assets that get other names and other numbers of shares, and are worth what they were."""

    world: World
    chance: Random
    names: dict[str, str] = field(default_factory=lambda: {"a": "SPY", "b": "TLT", "c": "GLD"})
    late: dict[str, Event] = field(default_factory=dict)
    renames: int = 0

    def weights(self, mix: Mapping[str, str]) -> tuple[Target, ...]:
        return targets(**{self.names[asset]: percent for asset, percent in mix.items()})

    def step(self) -> None:
        world, chance = self.world, self.chance
        asset = chance.choice(list(self.names))
        match chance.randrange(10):
            case 0 | 1:
                self.split(asset)
            case 2:
                self.complete(asset)
            case 3 if asset not in self.late:
                self.renames += 1
                old, self.names[asset] = self.names[asset], f"NEW{self.renames}"
                act(world, RENAME, symbol=old, new_symbol=self.names[asset])
            case 4 | 5:
                with suppress(TrimtabError):
                    world.request(
                        chance.choice(["ann", "bob", "cat"]), weights=self.weights(chance.choice(MIXES))
                    )
            case _:
                world.clock.forward(chance.choice([1, 4, 9]))
                review_assets(world.desk)
                Machine(world=world).work()

    def split(self, asset: str) -> None:
        if asset in self.late:
            return
        event = Event(
            kind=self.chance.choice([SPLIT, REVERSE]),
            symbol=self.names[asset],
            terms=Decimal(self.chance.choice(["1.1", "1.5", "2", "3"])),
            late=self.chance.choice([None, *Late]),
        )
        self.world.paper.corporate_action(event)
        if event.late is not None:
            self.late[asset] = replace(event, late=None)

    def complete(self, asset: str) -> None:
        if asset in self.late:
            self.world.paper.corporate_action(self.late.pop(asset))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_issuers_do_no_plan_sees_another_worth_and_nobody_is_held(
    sqlite_site: SqliteSite, seed: int
) -> None:
    """Only splits and names change: every account is worth $10,000 in every plan, and at the end."""
    with new_world(sqlite_site, Setup(calendar=CONTINUOUS)) as world:
        market = Market(world, Random(seed))
        for name, held in (("ann", {"SPY": "25"}), ("bob", {"TLT": "60", "GLD": "20"}), ("cat", {})):
            cash = WORTH - sum(Decimal(q) * Decimal(PRICES[s]) for s, q in held.items())
            world.open_account(name, str(cash), **held)
        world.enroll("ann", world.strategy(FIVE_POINTS, SPY="60", TLT="40"))
        world.paper.set_faults({"partial_fill": HALF, "fill_delay_s": 6, "lost_reply": HALF, "seed": seed})
        for _ in range(60):
            market.step()
        for asset in market.names:
            market.complete(asset)
        world.paper.set_faults({})
        review_assets(world.desk)
        finish(world)
        assert [world.record(run.account_id).held for run in world.runs()] == [None] * len(world.runs())
        for name in ("ann", "bob", "cat"):
            assert abs(equity(world, name) - WORTH) < CRUMBS
        found = plans(world)
        assert found
        assert [plan.equity for plan in found if abs(plan.equity - WORTH) > CRUMBS] == []
        assert set(Counter(world.broker_orders()).values()) <= {1}, "nothing twice"
        world.require_sound()
