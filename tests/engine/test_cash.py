"""Money that comes, is invested, is wanted back and leaves; and the mirror that sees it.

ann follows 60 % SPY at $400 and 40 % TLT at $100 with $10,000, so that $6,000 and $4,000 are her
targets unless a test says otherwise.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest

from tests.engine.desks import Setup, Site, SqliteSite, World, new_world, targets
from tests.engine.machine import Machine
from trimtab.core.errors import InsufficientCash
from trimtab.core.run import OrderState, RunKind, RunState, Side
from trimtab.core.strategy import BandKind, DriftBand
from trimtab.database import Tx, micros
from trimtab.engine.desk import drive
from trimtab.engine.work import work
from trimtab.store import holdings, runs
from trimtab.store.runs import Change

INVESTING = Setup(invest_cash_min="10")


def ann(world: World, *, cash: str | None = None, band: str | None = None) -> None:
    """Let ann be on target; with `cash` percent of it kept, taken from SPY's share."""
    conditions = () if band is None else (DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(band)),)
    spy = Decimal(60) - Decimal(cash or 0)
    strategy = world.strategy(*conditions, cash=cash, SPY=str(spy), TLT="40")
    dollars = Decimal(cash or 0) * 100
    world.enroll(world.open_account("ann", str(dollars), SPY=str(spy / 4), TLT="40"), strategy)
    world.settle()


def aside(world: World) -> Decimal:
    return world.record("ann").set_aside


def liquidate(world: World, amount: str) -> None:
    world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount=amount)
    world.settle()


def just_before(world: World, call: str, action: Callable[[], object]) -> None:
    """Let something happen just before the broker is next asked this."""
    left = iter([action])

    def at(name: str) -> None:
        if name == call:
            for act in left:
                act()

    world.broker.before = at


# First money and free cash.


def test_an_account_without_money_is_rebalanced_when_the_first_money_comes(world: World) -> None:
    world.enroll(world.open_account("ann", "0"), world.strategy(SPY="60", TLT="40", cooldown_days=30))
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]
    assert world.enrollment("ann").last_rebalanced_at is None
    world.settle_on("2026-03-03")
    assert world.slots("ann") == ["enrollment"]
    world.transfer("ann", "1000")
    world.settle()
    assert world.slots("ann") == ["enrollment", "funding"]
    assert world.runs("ann")[1].kind is RunKind.FULL_REBALANCE
    assert world.holdings("ann") == "cash 0, SPY 1.5, TLT 4"
    assert world.enrollment("ann").last_rebalanced_at == world.clock.now
    world.settle()
    assert world.slots("ann") == ["enrollment", "funding"]


@pytest.mark.parametrize(("amount", "invested"), [("10", False), ("10.01", True)])
def test_free_cash_is_invested_only_above_the_minimum(site: Site, amount: str, invested: bool) -> None:  # noqa: FBT001
    with new_world(site, INVESTING) as world:
        ann(world)
        world.transfer("ann", amount)
        world.settle()
        assert world.slots("ann") == ["enrollment", "session:2026-03-02"][: 1 + invested]


def test_investing_cash_buys_what_is_below_its_target_and_sells_nothing(sqlite_site: SqliteSite) -> None:
    """SPY doubles: $12,000 of $16,600. TLT lacks $2,640; the free $600 all go there."""
    with new_world(sqlite_site, INVESTING) as world:
        ann(world)
        world.set_prices(SPY="800")
        world.transfer("ann", "600")
        world.settle()
        run = world.runs("ann")[1]
        assert run.kind is RunKind.INVEST_CASH
        assert [(order.side, order.symbol, order.notional) for order in world.orders(run)] == [
            (Side.BUY, "TLT", Decimal(600))
        ]
        assert world.holdings("ann") == "cash 0, SPY 15, TLT 46"


def test_a_minimum_of_zero_never_invests(world: World) -> None:
    ann(world)
    world.transfer("ann", "5000")
    world.settle_on("2026-03-03")
    assert world.slots("ann") == ["enrollment"]


def test_the_cash_target_is_not_free(sqlite_site: SqliteSite) -> None:
    """20 % of $10,000 stay. Of $1,000 more, $200 stay, $800 are free."""
    with new_world(sqlite_site, INVESTING) as world:
        ann(world, cash="20")
        assert world.holdings("ann") == "cash 2000, SPY 10, TLT 40"
        world.settle_on("2026-03-03")
        assert world.slots("ann") == ["enrollment"]
        world.transfer("ann", "1000")
        world.settle()
        assert world.holdings("ann") == "cash 2200, SPY 11, TLT 44"


def test_cash_is_invested_once_per_session(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site, INVESTING) as world:
        ann(world)
        world.transfer("ann", "100")
        world.settle()
        world.transfer("ann", "100")
        world.settle()
        assert world.slots("ann") == ["enrollment", "session:2026-03-02"]
        world.settle_on("2026-03-03")
        assert world.holdings("ann") == "cash 0, SPY 15.3, TLT 40.8"


def test_a_full_rebalance_comes_before_investing(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site, INVESTING) as world:
        ann(world, band="5")
        world.set_prices(SPY="800")
        world.transfer("ann", "600")
        world.settle()
        assert [run.kind for run in world.runs("ann")][1:] == [RunKind.FULL_REBALANCE]


# Money set aside.


def test_what_was_raised_is_left_alone_until_it_is_withdrawn(site: Site) -> None:
    with new_world(site, INVESTING) as world:
        ann(world, band="1")
        liquidate(world, "1000")
        assert aside(world) == 1000
        assert world.holdings("ann") == "cash 1000, SPY 13.5, TLT 36"
        world.settle_on("2026-03-03", "2026-03-04")
        assert world.slots("ann") == ["enrollment", "api"], "neither drift nor free cash"
        world.transfer("ann", "-400")
        world.settle()
        assert aside(world) == 600
        world.settle()
        assert aside(world) == 600
        world.transfer("ann", "-600")
        world.settle_on("2026-03-05")
        assert aside(world) == 0
        assert world.slots("ann") == ["enrollment", "api"]


@pytest.mark.parametrize("transfers", [("500", "-1200"), ("-400", "-600")])
def test_withdrawals_of_what_was_raised_or_more_leave_nothing_set_aside(
    world: World, transfers: tuple[str, ...]
) -> None:
    """Also those that are seen together."""
    ann(world)
    liquidate(world, "1000")
    for amount in transfers:
        world.transfer("ann", amount)
    world.settle()
    assert aside(world) == 0


def test_money_that_comes_is_not_set_aside(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site, INVESTING) as world:
        ann(world)
        liquidate(world, "1000")
        world.transfer("ann", "600")
        world.settle()
        assert aside(world) == 1000
        assert world.slots("ann") == ["enrollment", "api", "session:2026-03-02"]
        # Of $9,600: $5,760 and $3,840.
        assert world.holdings("ann") == "cash 1000, SPY 14.4, TLT 38.4"


def test_raising_twice_sets_both_aside(world: World) -> None:
    ann(world)
    liquidate(world, "1000")
    liquidate(world, "500")
    assert aside(world) == 1500
    assert world.holdings("ann") == "cash 1500, SPY 12.75, TLT 34"


def test_a_rebalance_by_rule_leaves_what_is_set_aside(sqlite_world: World) -> None:
    """SPY doubles: $10,800 and $3,600 of $14,400 without the thousand: $8,640 and $5,760."""
    ann(sqlite_world, band="5")
    liquidate(sqlite_world, "1000")
    sqlite_world.set_prices(SPY="800")
    sqlite_world.settle()
    assert sqlite_world.slots("ann") == ["enrollment", "api", "session:2026-03-02"]
    assert sqlite_world.holdings("ann") == "cash 1000, SPY 10.8, TLT 57.6"
    assert aside(sqlite_world) == 1000


def test_a_full_rebalance_that_a_client_asks_for_takes_it_back(world: World) -> None:
    ann(world)
    liquidate(world, "1000")
    world.request("ann")
    world.settle()
    assert aside(world) == 0
    assert world.holdings("ann") == "cash 0, SPY 15, TLT 40"


def test_a_full_rebalance_that_was_canceled_before_its_plan_takes_nothing_back(world: World) -> None:
    ann(world)
    liquidate(world, "1000")
    world.at("2026-03-02 18:00")
    world.cancel(world.request("ann"))
    world.settle()
    assert aside(world) == 1000


def test_a_full_rebalance_that_is_canceled_while_it_is_planned_takes_nothing_back(world: World) -> None:
    ann(world)
    liquidate(world, "1000")
    run = world.request("ann")
    asked: list[str] = []

    def at(name: str) -> None:
        asked.append(name)
        if asked.count("prices") == 2:  # the sweep's, then the plan's
            world.cancel(run)

    world.broker.before = at
    world.settle()
    assert world.run(run.id).state is RunState.CANCELED
    assert aside(world) == 1000


def test_a_liquidation_that_sold_less_sets_less_aside(world: World) -> None:
    ann(world)
    world.paper.set_faults({"reject": ["SPY"]})
    liquidate(world, "1000")
    assert world.ends("ann") == ["COMPLETED", "COMPLETED*"]
    assert world.holdings("ann") == "cash 400, SPY 15, TLT 36"
    assert aside(world) == 400


def test_a_liquidation_that_was_canceled_half_way_sets_aside_what_it_sold(world: World) -> None:
    ann(world)
    world.paper.set_faults({"partial_fill": 1, "fill_delay_s": 10})
    run = world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="1000")
    world.settle()
    world.clock.forward(10)
    world.settle()
    world.cancel(run)
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "CANCELED+"]
    assert world.holdings("ann") == "cash 500, SPY 14.25, TLT 38"
    assert aside(world) == 500


def test_what_was_withdrawn_before_the_liquidation_ended_is_not_set_aside(sqlite_world: World) -> None:
    world = sqlite_world
    ann(world)
    world.paper.set_faults({"partial_fill": 1, "fill_delay_s": 10})
    world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="1000")
    world.settle()
    world.clock.forward(10)
    world.settle()
    # Half of it has been sold, and is withdrawn at once.
    world.transfer("ann", "-500")
    world.settle()
    world.clock.forward(10)
    world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert aside(world) == 500


def test_a_liquidation_that_is_canceled_as_it_ends_sets_aside_once(world: World) -> None:
    """The cancel comes between the decision that it is done and its end, which is decided again."""
    ann(world, cash="20")
    run = world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="1000")
    left = iter([run])

    def at(name: str) -> None:
        orders = world.orders(run)
        if name == "accounts" and orders and all(o.state is OrderState.FILLED for o in orders):
            for it in left:
                world.cancel(it)

    world.broker.before = at
    world.settle()
    assert not list(left)
    assert world.run(run.id).state is RunState.CANCELED
    assert aside(world) == 1000


def test_a_withdrawal_while_the_mirror_is_read_is_no_reason_to_trade(site: Site) -> None:
    """It comes between the question what happened and the question what there is."""
    with new_world(site, INVESTING) as world:
        ann(world, band="1")
        liquidate(world, "1000")
        world.transfer("ann", "1")
        just_before(world, "accounts", lambda: world.transfer("ann", "-1000"))
        drive(work(world.desk, 1), world.desk)
        assert world.slots("ann") == ["enrollment", "api"]
        world.settle()
        assert world.slots("ann") == ["enrollment", "api"]
        assert aside(world) == 0


def test_a_withdrawal_while_the_mirror_is_read_is_counted_once(world: World) -> None:
    ann(world)
    liquidate(world, "1000")
    world.transfer("ann", "1")
    just_before(world, "accounts", lambda: world.transfer("ann", "-400"))
    world.settle()
    world.settle()
    world.transfer("ann", "1")
    world.settle()
    assert aside(world) == 600


def test_a_withdrawal_just_before_a_plan_is_made_is_no_reason_to_sell(sqlite_world: World) -> None:
    """The run's look at the account is the first to see it, a minute after the run before it, so that nobody
    takes it for an old picture. SPY doubles: $8,640 and $5,760 of $14,400.
    """
    world = sqlite_world
    ann(world, band="5")
    liquidate(world, "1000")
    world.clock.forward(60)
    world.set_prices(SPY="800")
    just_before(world, "accounts", lambda: world.transfer("ann", "-1000"))
    world.settle()
    assert world.slots("ann") == ["enrollment", "api", "session:2026-03-02"]
    assert world.holdings("ann") == "cash 0, SPY 10.8, TLT 57.6"
    world.settle()
    assert aside(world) == 0


# The mirror.


def adjustments(world: World) -> list[tuple[str, Decimal]]:
    """Account and amount of each, in the order of time."""

    def read(tx: Tx) -> list[tuple[str, Decimal]]:
        rows = tx.rows("SELECT account_id, amount FROM adjustments ORDER BY at, amount")
        return [(row["account_id"], Decimal(row["amount"])) for row in rows]

    return world.db.read(read)


def test_money_that_comes_and_goes_is_recorded_once(world: World) -> None:
    ann(world)
    for amount in ("5.25", "-3"):
        world.clock.forward(1)
        world.transfer("ann", amount)
        world.settle()
        world.settle()
    world.settle_on("2026-03-03")
    assert adjustments(world) == [("ann", Decimal("5.25")), ("ann", Decimal(-3))]


def test_money_of_accounts_that_nobody_has_claimed_is_not_recorded(world: World) -> None:
    ann(world)
    world.open_account("stranger", "5")
    world.transfer("stranger", "7")
    world.settle()
    assert adjustments(world) == []


def mirrored(world: World, shard: int = 1) -> dict[str, tuple[bool, Decimal, dict[str, Decimal]]]:
    block = world.db.read(lambda tx: holdings.read(tx, shard)).block
    return {
        account_id: (block.active[row], held.cash, dict(held.positions))
        for row, account_id in enumerate(block.account_ids)
        for held in [block.holdings(row)]
    }


def at_the_broker(world: World) -> dict[str, tuple[bool, Decimal, dict[str, Decimal]]]:
    return {
        account_id: (account.is_active, account.holdings.cash, dict(account.holdings.positions))
        for account_id, account in world.paper.read_accounts().items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_mirror_shows_what_the_broker_has_whatever_happens(site: Site, seed: int) -> None:
    chance = Random(seed)
    with new_world(site, INVESTING) as world:
        strategy = world.strategy(DriftBand(kind=BandKind.RELATIVE, percent=Decimal(3)), SPY="60", TLT="40")
        names = [world.open_account(f"a{n}", "1000", GLD="3.000000001") for n in range(6)]
        for name in names:
            world.enroll(name, strategy)
        for _ in range(25):
            name = chance.choice(names)
            match chance.randrange(6):
                case 0:
                    world.transfer(name, str(chance.randint(1, 999_999) / Decimal(100)))
                case 1:
                    with suppress(InsufficientCash):
                        world.transfer(name, str(-chance.randint(1, 50_000) / Decimal(100)))
                case 2:
                    world.paper.set_status(name, chance.choice(["ACTIVE", "ACTIVE", "INACTIVE"]))
                case 3:
                    world.set_prices(SPY=str(chance.randint(300, 500)), TLT=str(chance.randint(80, 120)))
                case 4:
                    names.append(world.open_account(f"a{len(names)}", "50", SPY="0.000000001"))
                    world.enroll(names[-1], strategy)
                case _:
                    world.paper.set_faults({"fill_delay_s": chance.choice([0, 3]), "partial_fill": 1})
            if chance.random() < 0.6:
                world.settle()
            world.clock.forward(chance.randint(1, 5000))
        world.at("2026-03-30 12:00")
        world.paper.set_faults({})
        world.settle()
        world.settle()
        assert mirrored(world) == at_the_broker(world)
        assert sum(amount for _, amount in adjustments(world)) == sum(
            entry.amount or 0 for entry in world.paper.read_ledger() if entry.kind == "transfer"
        )
        world.require_sound()


def test_an_account_that_the_broker_stops_makes_no_run_and_none_is_lost(world: World) -> None:
    ann(world, band="5")
    world.paper.set_status("ann", "INACTIVE")
    world.set_prices(SPY="800")
    world.settle()
    assert world.slots("ann") == ["enrollment"]
    world.paper.set_status("ann", "ACTIVE")
    world.settle()
    assert world.slots("ann") == ["enrollment", "session:2026-03-02"]


def test_an_account_too_large_for_the_mirror_does_not_stop_the_others(world: World) -> None:
    """More than 9.2 billion shares do not fit into int64 billionths."""
    ann(world, band="5")
    world.set_prices(SPY="800", DUST="0.000001")
    world.enroll(world.open_account("vast", "0", DUST="10000000000"), world.strategies()[0])
    world.settle()
    assert world.slots("ann") == ["enrollment", "session:2026-03-02"]
    assert world.ends("vast") == ["COMPLETED"]


# Late news.


def test_a_run_that_waits_is_asked_about_again_soon_whatever_others_do(world: World) -> None:
    """Another, bob, ends in the same turn in which ann's order is found half filled."""
    strategy = world.strategy(SPY="60", TLT="40")
    world.paper.set_faults({"fill_delay_s": 3, "partial_fill": 1})
    world.enroll(world.open_account("ann", "1000"), strategy)
    world.settle()
    world.enroll(world.open_account("bob", "0"), strategy)
    world.settle()
    due_at = world.due_at()
    assert due_at is not None
    assert due_at <= world.clock.now + timedelta(seconds=5)


def test_positions_that_show_late_are_waited_for_however_late_the_fills_came(site: Site) -> None:
    """The fills come after ten minutes, the positions four seconds later: nobody is held."""
    with new_world(site) as world:
        ann(world)
        world.paper.set_faults({"fill_delay_s": 600})
        world.set_prices(SPY="500")
        world.request("ann")
        world.broker.accounts_late_s = 4
        Machine(world=world).work_on()
        assert not any(run.state.is_open for run in world.runs("ann"))
        assert world.record("ann").held is None


def test_cash_that_shows_late_is_waited_for_before_the_buys(world: World) -> None:
    """The sells are filled, the money shows four seconds later: it is there to be spent."""
    ann(world)
    world.set_prices(SPY="500")
    world.broker.accounts_late_s = 4
    world.request("ann")
    Machine(world=world).work_on()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    assert world.holdings("ann") == "cash 0, SPY 13.8, TLT 46"


def test_an_old_report_never_takes_back_a_fill(world: World) -> None:
    """The broker first tells of the half that is filled, and then again that nothing is."""
    ann(world)
    world.set_prices(SPY="500")
    world.paper.set_faults({"fill_delay_s": 10, "partial_fill": 1})
    run = world.request("ann")
    world.settle()
    world.clock.forward(10)
    world.settle()
    (sell,) = world.orders(run)
    filled = sell.filled_quantity
    assert filled > 0
    world.broker.tell_the_oldest = True
    world.settle()
    assert world.orders(run)[0].filled_quantity == filled
    world.broker.tell_the_oldest = False
    for _ in range(9):
        world.clock.forward(10)
        world.settle()
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]
    world.require_sound()


def test_weights_of_a_single_run_follow_the_same_rules(world: World) -> None:
    world.request(world.open_account("bob", "1000"), weights=targets("10", SPY="50", TLT="40"))
    world.settle()
    assert world.holdings("bob") == "cash 100, SPY 1.25, TLT 4"


STOPPED = {"canceled": "CANCELED+", "timed out": "TIMED_OUT+", "failed": "FAILED+"}


@pytest.mark.parametrize("end", STOPPED)
def test_the_next_plan_knows_what_a_run_that_was_stopped_has_traded(world: World, end: str) -> None:
    """Five of ten SPY are sold when the run is stopped, and the account shows it four seconds later."""
    half = targets(SPY="50", TLT="50")
    world.open_account("bob", "0", SPY="10")
    world.paper.set_faults({"fill_delay_s": 60})
    run = world.request("bob", weights=half)
    world.settle()
    world.broker.accounts_late_s = 4
    world.clock.forward(60)
    stop(world, run.id, end)
    world.paper.set_faults({})
    Machine(world=world).work_on()
    assert world.ends("bob") == [STOPPED[end]]
    world.request("bob", weights=half)
    Machine(world=world).work_on()
    assert world.holdings("bob") == "cash 0, SPY 5, TLT 20"
    assert world.record("bob").held is None


def stop(world: World, run_id: str, end: str) -> None:
    if end == "timed out":
        now = micros(world.clock.now)
        world.db.write(lambda tx: tx.execute("UPDATE runs SET deadline_at = :now", now=now))
        return
    world.settle()
    run = world.run(run_id)
    if end == "canceled":
        world.cancel(run)
    else:
        failing = Change(run=run, state=run.state, stop=RunState.FAILED, reason="unforeseen")
        world.db.write(lambda tx: runs.change(tx, [failing], world.clock.now))


def test_a_stopped_run_whose_trades_are_never_shown_ends_after_a_minute_and_holds_the_account(
    world: World,
) -> None:
    world.open_account("bob", "0", SPY="10")
    world.paper.set_faults({"fill_delay_s": 10})
    run = world.request("bob", weights=targets(SPY="50", TLT="50"))
    world.settle()
    world.broker.accounts_late_s = 3600
    world.clock.forward(10)
    world.settle()
    world.cancel(run)
    world.settle()
    asked_at = world.clock.now
    Machine(world=world).work_on()
    assert world.ends("bob") == ["CANCELED+"]
    assert world.clock.now == asked_at + timedelta(seconds=60)
    assert world.record("bob").held == "the broker shows 10 SPY, our fills make it 5"


def test_a_plan_is_not_made_from_a_look_that_is_older_than_the_last_one(world: World) -> None:
    """The account has shown the trade; the broker's next answer comes from a machine that lags."""
    half = targets(SPY="50", TLT="50")
    world.open_account("bob", "0", SPY="10")
    world.request("bob", weights=half)
    world.settle()
    assert world.ends("bob") == ["COMPLETED"]
    world.broker.accounts_late_s = 4
    world.clock.forward(1)
    world.request("bob", weights=half)
    Machine(world=world).work_on()
    assert world.ends("bob") == ["COMPLETED", "COMPLETED"]
    assert len(world.broker_orders()) == 2
    assert world.holdings("bob") == "cash 0, SPY 5, TLT 20"
