"""Swap preferences and new versions: whose preference wins, and from which run on a change counts.

SPY costs $400, TLT $100, GLD $200. Answers are those of the notes on Glider's contract (3.5, 4.2, 4.10,
9.19, 9.26); a run goes by what held when it was planned.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.engine.desks import EVERYTHING, TENANT, World, targets
from tests.engine.intervals import (
    DAY,
    DRAFT,
    HOUR,
    OTHER,
    SECOND,
    START,
    followed,
    mix,
    next_due,
    prefer,
    rebalance,
    second_tenant,
    settle_at,
)
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.core.run import Order, Run, RunState
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.strategy import Definition, Frequency, Strategy
from trimtab.engine import strategy_actions
from trimtab.store import orders, preferences, strategies
from trimtab.store.strategies import Version

PATIENCE_S = 60


def prefers(**given: int | str | None) -> Preferences:
    values = {name: Decimal(value) if isinstance(value, str) else value for name, value in given.items()}
    return replace(NO_PREFERENCES, **values)  # type: ignore[arg-type] # its fields


def with_a_thousand(world: World, strategy: Strategy) -> Run:
    """Ann has $11,000: she lacks $600 of SPY and $400 of TLT."""
    world.enroll(world.open_account("ann", "1000", SPY="15", TLT="40"), strategy)
    world.settle()
    return world.runs("ann")[0]


def sent(world: World, run: Run) -> dict[str, Order]:
    return {order.symbol: order for order in world.orders(run)}


def skips(world: World, run: Run) -> list[Skip]:
    return world.db.read(lambda tx: orders.skips_of(tx, [run]))[run.id]


def skipped(world: World, run: Run) -> dict[str, SkipReason]:
    return {skip.symbol: skip.reason for skip in skips(world, run)}


# Whose preference wins.


@pytest.mark.parametrize(
    ("strategys", "tenants", "bought"),
    [
        (None, None, "SPY TLT"),
        (None, "400", "SPY TLT"),
        (None, "400.01", "SPY"),
        ("400.01", None, "SPY"),
        ("500", "700", "SPY"),
        ("700", "500", ""),
        ("1.00", "700", "SPY TLT"),
    ],
)
def test_small_orders_are_skipped_by_the_strategys_threshold_or_else_the_tenants(
    sqlite_world: World, *, strategys: str | None, tenants: str | None, bought: str
) -> None:
    world = sqlite_world
    prefer(world, threshold=tenants)
    run = with_a_thousand(world, mix(world, preferences=prefers(threshold=strategys)))
    assert " ".join(sorted(sent(world, run))) == bought
    left = {"SPY", "TLT"} - set(bought.split())
    assert skipped(world, run) == dict.fromkeys(left, SkipReason.LESS_THAN_MIN_NOTIONAL)
    assert world.ends("ann") == ["COMPLETED" + "*" * bool(left)]
    world.require_sound()


def test_a_skip_is_kept_with_its_amount_and_the_rest_is_traded(world: World) -> None:
    run = with_a_thousand(world, mix(world, preferences=prefers(threshold="500")))
    assert world.holdings("ann") == "cash 400, SPY 16.5, TLT 40"
    (skip,) = skips(world, run)
    assert (skip.symbol, skip.notional) == ("TLT", Decimal(400))
    assert skip.details
    assert world.enrollment("ann").last_rebalanced_at == START


@pytest.mark.parametrize(
    ("strategys", "tenants", "limits"),
    [
        ({}, {}, (None, None)),
        ({}, {"slippage_bps": 50, "impact_bps": 25}, (Decimal(402), 25)),
        ({"slippage_bps": 100}, {"slippage_bps": 50, "impact_bps": 25}, (Decimal(404), 25)),
        ({"impact_bps": 1000}, {"slippage_bps": 50, "impact_bps": 25}, (Decimal(402), 1000)),
        ({"slippage_bps": 0}, {"slippage_bps": 50}, (Decimal(400), None)),
        ({"slippage_bps": 1000, "impact_bps": 0}, {}, (Decimal(440), 0)),
    ],
)
def test_each_preference_is_found_on_its_own(
    sqlite_world: World,
    *,
    strategys: dict[str, int],
    tenants: dict[str, int],
    limits: tuple[Decimal | None, int | None],
) -> None:
    """What nobody prefers is no limit; nought is a preference."""
    world = sqlite_world
    prefer(world, **tenants)
    run = with_a_thousand(world, mix(world, preferences=prefers(**strategys)))
    order = sent(world, run)["SPY"]
    assert (order.worst_price, order.impact_bps_max) == limits


def test_both_levels_count_on_each_database(world: World) -> None:
    prefer(world, slippage_bps=50, threshold="500.00")
    run = with_a_thousand(world, mix(world, preferences=prefers(impact_bps=30)))
    assert world.holdings("ann") == "cash 400, SPY 16.5, TLT 40"
    order = sent(world, run)["SPY"]
    assert (order.worst_price, order.impact_bps_max) == (Decimal(402), 30)


def test_what_was_preferred_can_be_taken_back(world: World) -> None:
    strategy = mix(world, preferences=prefers(threshold="700"))
    prefer(world, threshold="700")
    with_a_thousand(world, strategy)
    assert world.holdings("ann") == "cash 1000, SPY 15, TLT 40"
    world.change(strategy, preferences=lambda known: replace(known, threshold=None))
    settle_at(world, START + DAY)
    assert world.holdings("ann") == "cash 1000, SPY 15, TLT 40"
    prefer(world, threshold=None)
    settle_at(world, START + 2 * DAY)
    assert world.holdings("ann") == "cash 0, SPY 16.5, TLT 44"


def test_a_threshold_never_loosens_the_smallest_order(sqlite_world: World) -> None:
    """TRIMTAB_MIN_NOTIONAL is $1."""
    world = sqlite_world
    strategy = mix(world, preferences=prefers(threshold="0.10"))
    world.enroll(world.open_account("ann", "1.00", SPY="15", TLT="40"), strategy)
    world.settle()
    assert world.holdings("ann") == "cash 1, SPY 15, TLT 40"


def test_a_tenants_preferences_are_its_own(world: World) -> None:
    second_tenant(world)
    strategy_actions.change_tenant_preferences(world.desk, OTHER, lambda _: prefers(threshold="700"))
    run = with_a_thousand(world, mix(world))
    assert set(sent(world, run)) == {"SPY", "TLT"}
    known = world.db.read(lambda tx: preferences.of_tenants(tx, [TENANT, OTHER]))
    assert known == {TENANT: NO_PREFERENCES, OTHER: prefers(threshold="700")}


def test_changes_of_different_preferences_at_once_are_all_kept(world: World) -> None:
    strategy = mix(world)
    together = threading.Barrier(6)
    wishes: list[dict[str, int | str | None]] = [
        {"slippage_bps": 5},
        {"impact_bps": 6},
        {"threshold": "7.00"},
    ]

    def change(number: int) -> None:
        wish = prefers(**wishes[number % 3])
        together.wait(PATIENCE_S)
        if number < 3:
            strategy_actions.change_tenant_preferences(world.desk, TENANT, wish.or_else)
        else:
            world.change(strategy, preferences=wish.or_else)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(change, range(6)))
    everything = prefers(slippage_bps=5, impact_bps=6, threshold="7.00")
    assert world.strategies()[0].preferences == everything
    assert world.strategies()[0].version == 1, "preferences make no version"
    assert world.db.read(lambda tx: preferences.of_tenants(tx, [TENANT])) == {TENANT: everything}


# From which run on.


def rich_in_gold(world: World, strategy: Strategy) -> Run:
    """$10,000: sell 25 GLD for $5,000, buy SPY for $2,000 and TLT for $4,000; each takes half a minute."""
    world.paper.set_faults({"fill_delay_s": 30})
    world.enroll(world.open_account("ann", "1000", SPY="10", GLD="25"), strategy)
    world.settle()
    (run,) = world.runs("ann")
    assert run.state is RunState.SELLING
    return run


def test_a_change_counts_for_a_run_that_is_queued(world: World) -> None:
    strategy = mix(world)
    world.enroll(world.open_account("ann", "1000", SPY="15", TLT="40"), strategy)
    world.change(strategy, preferences=lambda _: prefers(threshold="500"))
    prefer(world, impact_bps=77)
    world.settle()
    (run,) = world.runs("ann")
    assert {symbol: order.impact_bps_max for symbol, order in sent(world, run).items()} == {"SPY": 77}


def test_a_change_of_limits_does_not_count_for_a_run_that_was_planned(world: World) -> None:
    """TLT rises by half a percent: allowed by the plan's limit, not by the new one."""
    strategy = mix(world, preferences=prefers(slippage_bps=100, impact_bps=500))
    run = rich_in_gold(world, strategy)
    world.change(strategy, preferences=lambda _: prefers(slippage_bps=10, impact_bps=1, threshold="5000"))
    world.set_prices(TLT="100.50")
    settle_at(world, START + 30 * SECOND, START + 60 * SECOND)
    assert world.ends("ann") == ["COMPLETED"]
    limits = {symbol: (order.worst_price, order.impact_bps_max) for symbol, order in sent(world, run).items()}
    assert limits == {"GLD": (Decimal(198), 500), "SPY": (Decimal(404), 500), "TLT": (Decimal(101), 500)}


def test_a_change_of_the_threshold_does_not_count_for_a_run_that_was_planned(world: World) -> None:
    """GLD falls while it is sold: the buys get $25 less, and are far above the plan's $1."""
    strategy = mix(world)
    run = rich_in_gold(world, strategy)
    world.change(strategy, preferences=lambda _: prefers(threshold="5000"))
    world.set_prices(GLD="199")
    settle_at(world, START + 30 * SECOND, START + 60 * SECOND)
    assert {symbol: order.state for symbol, order in sent(world, run).items()} == {
        "GLD": "FILLED",
        "SPY": "FILLED",
        "TLT": "FILLED",
    }
    cash = world.paper.account("ann").holdings.cash
    assert 0 <= cash < 1
    world.require_sound()


# New versions.


def versions(world: World, strategy: Strategy) -> list[Version]:
    """Newest first."""
    found = world.db.read(lambda tx: strategies.versions(tx, strategy.id, EVERYTHING))
    assert [number for number, _ in found] == [version.number for _, version in found]
    return [version for _, version in found]


def publish(world: World, strategy: Strategy, *, log: str | None = None, **weights: str) -> Strategy:
    return world.change(strategy, targets=targets(**weights), publishes=True, change_log=log)


def test_a_version_counts_from_the_next_run_on(world: World) -> None:
    strategy = mix(world)
    followed(world, strategy)
    world.clock.now = START + HOUR
    published = publish(world, strategy, SPY="40", TLT="60")
    assert (published.version, published.definition.targets) == (2, targets(SPY="40", TLT="60"))
    settle_at(world, START + HOUR, START + 2 * HOUR, START + DAY - SECOND)
    assert world.ends("ann") == ["COMPLETED"]
    assert next_due(world) == START + DAY
    settle_at(world, START + DAY)
    assert world.holdings("ann") == "cash 0, SPY 10, TLT 60"
    assert [run.strategy_version for run in world.runs("ann")] == [1, 2]
    settle_at(world, START + DAY + SECOND)
    assert len(world.runs("ann")) == 2


def test_a_manual_run_brings_an_account_to_the_new_version_at_once(world: World) -> None:
    strategy = mix(world)
    enrollment = followed(world, strategy)
    world.clock.now = START + HOUR
    publish(world, strategy, SPY="40", TLT="60")
    assert rebalance(world, enrollment).strategy_version == 2
    world.settle()
    assert world.holdings("ann") == "cash 0, SPY 10, TLT 60"


def test_a_run_that_was_planned_goes_on_by_the_version_it_was_planned_by(world: World) -> None:
    strategy = mix(world)
    rich_in_gold(world, strategy)
    publish(world, strategy, SPY="40", TLT="60")
    settle_at(world, START + 30 * SECOND, START + 60 * SECOND)
    assert world.holdings("ann") == "cash 0, SPY 15, TLT 40"
    assert [(run.strategy_version, run.state) for run in world.runs("ann")] == [(1, RunState.COMPLETED)]
    world.paper.set_faults({})
    settle_at(world, START + DAY)
    assert world.holdings("ann") == "cash 0, SPY 10, TLT 60"
    world.require_sound()


def test_publishing_what_is_there_makes_a_version_too_and_undoing_is_publishing_again(world: World) -> None:
    strategy = mix(world)
    assert publish(world, strategy, SPY="60", TLT="40").version == 2
    assert publish(world, strategy, SPY="10", TLT="90").version == 3
    assert publish(world, strategy, SPY="60", TLT="40").version == 4
    shown = [(version.number, version.definition.targets) for version in versions(world, strategy)]
    assert shown == [
        (4, targets(SPY="60", TLT="40")),
        (3, targets(SPY="10", TLT="90")),
        (2, targets(SPY="60", TLT="40")),
        (1, targets(SPY="60", TLT="40")),
    ]
    assert world.change(strategy, name="new name", frequency=Frequency.HOURLY).version == 4


def test_weights_and_logs_are_kept_as_they_were_sent(world: World) -> None:
    definition = Definition(
        targets=targets(SPY="60.00", TLT="39.9", GLD="0.10"), conditions=(), cooldown_days=0
    )
    draft = replace(DRAFT, definition=definition)
    strategy = strategy_actions.create_strategy(world.desk, TENANT, draft)
    logs = ["", "x" * 500, "weniger Gold – “größer” als 'vorher'; DROP TABLE\n\ttab", None]
    for log in logs:
        publish(world, strategy, log=log, SPY="60.0", TLT="39.90", GLD="0.1")
    found = versions(world, strategy)
    assert [version.change_log for version in found] == [*reversed(logs), None]
    percents = [[str(target.percent) for target in version.definition.targets] for version in found]
    assert percents == [["60.0", "39.90", "0.1"]] * 4 + [["60.00", "39.9", "0.10"]]
    (head,) = world.strategies()
    assert [str(target.percent) for target in head.definition.targets] == ["60.0", "39.90", "0.1"]


def test_publications_at_once_get_numbers_of_their_own_and_the_last_is_the_head(world: World) -> None:
    strategy = mix(world)
    together = threading.Barrier(8)

    def one(number: int) -> tuple[int, str]:
        together.wait(PATIENCE_S)
        spy = str(10 + number)
        return publish(world, strategy, log=spy, SPY=spy, TLT=str(90 - number)).version, spy

    with ThreadPoolExecutor(8) as pool:
        answers = dict(pool.map(one, range(8)))
    assert sorted(answers) == list(range(2, 10))
    found = versions(world, strategy)
    assert [version.number for version in found] == list(range(9, 0, -1))
    for version in found[:-1]:
        spy = answers[version.number]
        assert (version.change_log, version.definition.targets[0].percent) == (spy, Decimal(spy))
    (head,) = world.strategies()
    assert (head.version, head.definition) == (9, found[0].definition)


def test_changes_of_different_kinds_at_once_are_all_kept(world: World) -> None:
    strategy = mix(world)
    together = threading.Barrier(6)
    wishes: list[Callable[[], object]] = [
        lambda: world.change(strategy, name="new name"),
        lambda: world.change(strategy, description="new words"),
        lambda: world.change(strategy, frequency=Frequency.WEEKLY),
        lambda: world.change(strategy, is_public=True),
        lambda: world.change(strategy, preferences=lambda known: replace(known, impact_bps=3)),
        lambda: publish(world, strategy, log="less", SPY="50", TLT="50"),
    ]

    def act(wish: Callable[[], object]) -> None:
        together.wait(PATIENCE_S)
        wish()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(act, wishes))
    (head,) = world.strategies()
    assert head == replace(
        strategy,
        name="new name",
        description="new words",
        frequency=Frequency.WEEKLY,
        is_public=True,
        preferences=prefers(impact_bps=3),
        version=2,
        updated_version=2,
        definition=replace(strategy.definition, targets=targets(SPY="50", TLT="50")),
    )


def test_a_later_version_is_not_older(world: World) -> None:
    """While one publication waits for the broker's word on its assets, another is through."""
    strategy = mix(world)
    left = iter([True])

    def another(call: str) -> None:
        if call == "assets" and next(left, False):
            world.clock.forward(10)
            publish(world, strategy, SPY="50", TLT="50")

    world.broker.before = another
    head = publish(world, strategy, SPY="40", TLT="60")
    assert head.version == 3
    third, second, _ = versions(world, strategy)
    assert third.created_at >= second.created_at
    assert world.strategies()[0].updated_at == START + 10 * SECOND
