"""Why each account was rebalanced or not, sweep by sweep, by the clock of a test.

ann holds SPY 15 at $400 and TLT 40 at $100: $10,000, as the strategy of 60/40 wants it. Weights and
distances are worked out by hand, or with fractions.
"""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from tests.engine.desks import TENANT, Setup, SqliteSite, World, new_world, new_york
from trimtab.core.evaluation import Evaluation, Reason
from trimtab.core.money import plain
from trimtab.core.run import RunKind
from trimtab.core.strategy import BandKind, Condition, DriftBand, Strategy, Weekly
from trimtab.engine import enrollment_actions
from trimtab.store import evaluations
from trimtab.store.enrollments import Page

FIVE_POINTS = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))
TENTH = DriftBand(kind=BandKind.RELATIVE, percent=Decimal(10))


def pages(world: World, account_id: str = "ann", *, limit: int = 100) -> list[list[Evaluation]]:
    """All of the account's evaluations, newest first, in pages of so many."""
    found = []
    after: int | None = None
    enrollment = world.enrollment(account_id)
    while True:
        page = Page(after=after, limit=limit)
        rows = world.db.read(lambda tx, page=page: evaluations.page(tx, enrollment, page))  # type: ignore[misc]
        found.append([evaluation for _, evaluation in rows[:limit]])
        if len(rows) <= limit:
            return found
        after = rows[limit - 1][0]


def all_of(world: World, account_id: str = "ann") -> list[Evaluation]:
    return [evaluation for page in pages(world, account_id) for evaluation in page]


def latest(world: World, account_id: str = "ann") -> Evaluation:
    return all_of(world, account_id)[0]


def follow(world: World, *conditions: Condition, cooldown_days: int = 0, cash: str | None = None) -> Strategy:
    """Ann follows a strategy that she already fits, and has had her first run."""
    strategy = world.strategy(*conditions, cooldown_days=cooldown_days, cash=cash, SPY="60", TLT="40")
    world.enroll(world.open_account("ann", "0", SPY="15", TLT="40"), strategy)
    world.settle()
    world.at("2026-03-03 10:00")
    return strategy


def nearest(world: World, account_id: str = "ann") -> list[str]:
    """As text: which line of which band is nearest to its edge, where it is, and how far from the edge."""
    return [
        f"{line.band.kind}: {line.symbol or 'cash'} {plain(line.actual)} of {plain(line.target)}, "
        f"{plain(line.distance)} left"
        for line in latest(world, account_id).nearest
    ]


def test_within_its_bands_the_nearest_line_of_each_band_is_told_with_its_distance(world: World) -> None:
    """SPY at $420 is worth 6300 of 10300: 61.1650 %; TLT 38.8350 %, which lacks 1.1650 of 4 points."""
    follow(world, FIVE_POINTS, TENTH)
    world.set_prices(SPY="420")
    world.settle()
    found = latest(world)
    assert (found.reason, found.run_id, found.details) == (Reason.NOTHING_DUE, None, None)
    assert (found.at, str(found.session_on)) == (world.clock.now, "2026-03-03")
    assert nearest(world) == [
        "absolute: SPY 61.165 of 60, 3.835 left",
        "relative: TLT 38.835 of 40, 2.835 left",
    ]


def test_what_triggers_a_run_is_told_with_the_run(world: World) -> None:
    """SPY at $500: 7500 of 11500."""
    follow(world, FIVE_POINTS)
    world.set_prices(SPY="500")
    world.settle()
    run = world.runs("ann")[-1]
    (triggered,) = (e for e in all_of(world) if e.run_id == run.id)
    assert triggered.reason is Reason.TRIGGERED
    assert (
        triggered.details == run.cause == ("absolute band of 5 %: SPY is worth $7500 of $11500, target 60 %")
    )
    assert [plain(line.distance) for line in triggered.nearest] == ["-0.2174"]
    assert latest(world).reason is Reason.TRIGGERED


def test_after_its_run_of_the_session_an_account_that_drifts_again_waits_for_the_next(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.set_prices(SPY="500")
    world.settle()
    world.set_prices(SPY="800")
    world.settle()
    assert latest(world).reason is Reason.ALREADY_RUN
    assert (latest(world).details or "").startswith("absolute band of 5 %: SPY is worth ")
    assert world.slots("ann")[1:] == ["session:2026-03-03"]
    world.settle_on("2026-03-04")
    assert world.slots("ann")[1:] == ["session:2026-03-03", "session:2026-03-04"]


def test_in_its_cooldown_the_end_of_it_is_told_and_what_drifts_is_seen(world: World) -> None:
    """Rebalanced on Monday the 2nd, three days of cooldown."""
    follow(world, FIVE_POINTS, cooldown_days=3)
    world.set_prices(SPY="500")
    world.settle()
    assert (latest(world).reason, str(latest(world).cooldown_ends_on)) == (Reason.IN_COOLDOWN, "2026-03-05")
    assert nearest(world) == ["absolute: SPY 65.2174 of 60, -0.2174 left"]
    world.settle_on("2026-03-05")
    assert Reason.TRIGGERED in {evaluation.reason for evaluation in all_of(world)}


def test_a_closed_market_is_told_and_the_weights_are_shown_all_the_same(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.at("2026-03-03 19:00")
    world.settle()
    assert (latest(world).reason, latest(world).session_on) == (Reason.MARKET_CLOSED, None)
    assert nearest(world) == ["absolute: SPY 60 of 60, 5 left"]


def test_the_last_half_hour_is_closed_for_evaluation(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.at("2026-03-03 15:31")
    world.settle()
    assert latest(world).reason is Reason.MARKET_CLOSED


def test_a_missing_price_is_told_by_its_symbol(world: World) -> None:
    strategy = follow(world, FIVE_POINTS)
    world.enroll(world.open_account("bob", "100", OLD="2"), strategy)
    world.settle()
    world.cancel(world.open_runs()[0])
    world.settle()
    assert latest(world, "bob").reason is Reason.NO_PRICE
    assert latest(world, "bob").details == "no current price for OLD"
    assert (latest(world, "bob").nearest, latest(world, "bob").free_cash) == ((), None)
    assert latest(world).reason is Reason.NOTHING_DUE, "one account's trouble is not another's"


def test_an_account_that_holds_nothing_is_not_evaluated(world: World) -> None:
    strategy = follow(world, FIVE_POINTS)
    world.enroll(world.open_account("bob", "0"), strategy)
    world.settle()
    world.settle_on("2026-03-04")
    assert (latest(world, "bob").reason, latest(world, "bob").details) == (
        Reason.NO_EQUITY,
        "the account holds nothing",
    )


def test_an_open_run_is_told(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.paper.set_faults({"fill_delay_s": 30})
    world.set_prices(SPY="500")
    world.settle()
    world.settle()
    assert [run.state.is_open for run in world.runs("ann")][-1]
    assert latest(world).reason is Reason.RUN_OPEN


def test_an_account_that_the_broker_has_stopped_is_told(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.paper.set_status("ann", "INACTIVE")
    world.settle()
    assert latest(world).reason is Reason.ACCOUNT_NOT_ACTIVE


def test_a_strategy_that_needs_adjustment_is_told(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.paper.set_asset("TLT", tradable=False)
    world.settle()
    assert latest(world).reason is Reason.STRATEGY_NOT_ACTIVE


def test_a_paused_enrollment_is_told(world: World) -> None:
    follow(world, FIVE_POINTS)
    enrollment_actions.pause(world.desk, TENANT, world.enrollment("ann").id)
    world.settle()
    assert latest(world).reason is Reason.PAUSED


def test_free_cash_is_told_beside_the_minimum(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site, Setup(invest_cash_min="10")) as world:
        follow(world, FIVE_POINTS)
        world.transfer("ann", "10.00")
        world.settle()
        assert (latest(world).free_cash, latest(world).invest_cash_min) == (Decimal("10.00"), Decimal(10))
        assert latest(world).reason is Reason.NOTHING_DUE
        world.transfer("ann", "0.01")
        world.settle()
        triggered = next(e for e in all_of(world) if e.reason is Reason.TRIGGERED)
        assert (triggered.free_cash, triggered.details) == (Decimal("10.01"), "free cash of $10.01")


def test_what_is_set_aside_is_no_free_cash_and_no_weight(sqlite_site: SqliteSite) -> None:
    """$1,000 raised of $10,000; SPY 13.5 and TLT 36 are left."""
    with new_world(sqlite_site, Setup(invest_cash_min="10")) as world:
        follow(world, FIVE_POINTS)
        world.request("ann", amount="1000", kind=RunKind.PARTIAL_LIQUIDATION)
        world.settle()
        world.settle()
        assert latest(world).reason is Reason.NOTHING_DUE
        assert latest(world).free_cash == 0
        assert nearest(world) == ["absolute: SPY 60 of 60, 5 left"]


def test_a_holding_outside_the_weights_is_a_line_with_a_target_of_nothing(world: World) -> None:
    """Bob's GLD 6 at $10 is 60 of 10,060. Her first run sells it; why is told with what was seen."""
    strategy = follow(world, FIVE_POINTS, TENTH)
    world.set_prices(GLD="10")
    bob = world.open_account("bob", "0", SPY="15", TLT="40", GLD="6")
    world.enroll(bob, strategy)
    world.cancel(world.open_runs()[0])
    world.settle()
    first = all_of(world, "bob")[-1]
    assert (first.reason, first.details) == (Reason.TRIGGERED, "first money in the account")
    # 0.5964 of 5 points, more than SPY and TLT lack. A relative band does not watch what has no target.
    absolute, relative = first.nearest
    assert (absolute.symbol, plain(absolute.actual), plain(absolute.distance)) == ("GLD", "0.5964", "4.4036")
    assert relative.symbol in {"SPY", "TLT"}


def test_cash_is_a_line_if_the_weights_name_it(world: World) -> None:
    """$500 of 10,500 against a target of 5 %: SPY and TLT are 57.1429 of 57 and 38.0952 of 38."""
    strategy = world.strategy(FIVE_POINTS, cash="5", SPY="57", TLT="38")
    world.enroll(world.open_account("ann", "500", SPY="15", TLT="40"), strategy)
    world.settle()
    world.transfer("ann", "200")
    world.settle()
    assert nearest(world)[0].startswith("absolute: cash ")


def test_evaluations_are_paged_newest_first_and_begin_with_the_enrollment(world: World) -> None:
    strategy = follow(world, FIVE_POINTS)
    world.settle_on("2026-03-03", "2026-03-04", "2026-03-05")
    whole = all_of(world)
    assert [e.at for e in whole] == sorted((e.at for e in whole), reverse=True)
    assert [len(page) for page in pages(world, limit=2)][:-1] == [2] * (len(pages(world, limit=2)) - 1)
    assert [e for page in pages(world, limit=2) for e in page] == whole
    enrollment_actions.end_enrollment(world.desk, TENANT, world.enrollment("ann").id)
    world.enroll("ann", strategy)
    assert all_of(world) == [], "what was found of an earlier enrollment is that one's"
    world.settle()
    assert [e.reason for e in all_of(world)] == [Reason.NOTHING_DUE, Reason.RUN_OPEN]


def test_what_is_older_than_the_setting_is_dropped(world: World) -> None:
    follow(world, FIVE_POINTS)
    world.settle_on("2026-03-04", "2026-04-06")
    assert latest(world).at - all_of(world)[-1].at <= timedelta(days=30)
    assert all_of(world)[-1].at > new_york("2026-03-04 10:00")


@pytest.mark.parametrize("seed", range(20))
def test_what_is_told_of_any_account_agrees_with_fractions(sqlite_site: SqliteSite, seed: int) -> None:
    """To half of the last place that is shown; and no account is left out."""
    chance = Random(seed)
    bands = (FIVE_POINTS, TENTH)
    with new_world(sqlite_site) as world:
        prices = {s: Decimal(chance.randrange(100, 100_000)).scaleb(-2) for s in ("SPY", "TLT", "GLD")}
        world.paper.set_prices(prices)
        strategy = world.strategy(*bands, Weekly(weekday=4), cash="7.5", SPY="55.5", TLT="37")
        names = [f"a{n}" for n in range(20)]
        for name in names:
            held = {s: str(chance.randrange(1, 10**6) / 1000) for s in prices if chance.random() < 0.7}
            world.enroll(world.open_account(name, str(chance.randrange(0, 20_000)), **held), strategy)
        held_then = {name: world.paper.account(name).holdings for name in names}
        for run in world.open_runs():
            world.cancel(run)
        world.settle()
        target = {"SPY": Fraction(111, 2), "TLT": Fraction(37), None: Fraction(15, 2)}
        for name in names:
            owned = held_then[name]
            values: dict[str | None, Fraction] = {
                None: Fraction(owned.cash),
                **{s: Fraction(q) * Fraction(prices[s]) for s, q in owned.positions.items()},
            }
            require_told(all_of(world, name)[-1], values, target=target)


def require_told(
    told: Evaluation, values: dict[str | None, Fraction], *, target: dict[str | None, Fraction]
) -> None:
    """The line that is told of each band is where it should be, and no line is nearer to the edge."""
    equity = sum(values.values(), Fraction(0))
    if equity == 0:
        assert told.nearest == ()
        return
    actual = {line: 100 * values.get(line, Fraction(0)) / equity for line in {*values, *target}}
    drift = {line: abs(actual[line] - target.get(line, Fraction(0))) for line in actual}
    limits = (dict.fromkeys(actual, Fraction(5)), {line: part / 10 for line, part in target.items()})
    for line, limit in zip(told.nearest, limits, strict=True):
        assert abs(Fraction(line.actual) - actual[line.symbol]) <= Fraction(1, 20_000)
        most = max(drift[each] / limit[each] for each in limit)
        assert abs(drift[line.symbol] / limit[line.symbol] - most) < Fraction(1, 10**6)
