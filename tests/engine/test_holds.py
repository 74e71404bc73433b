"""What may not leave: frozen accounts and symbols, held accounts, orders after the close, old prices."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.engine.brokers import Rates
from tests.engine.desks import MONDAY, TENANT, Setup, Site, SqliteSite, World, new_world, new_york
from tests.engine.machine import Machine
from trimtab.core.errors import RunIsFinal
from trimtab.core.run import Order, OrderState, Run, RunState, Side
from trimtab.core.skip import SkipReason
from trimtab.core.strategy import Weekly
from trimtab.engine.desk import Commit, drive, perform
from trimtab.engine.work import work
from trimtab.store import freezes, orders, runs, shards
from trimtab.store.freezes import Freeze
from trimtab.store.runs import Change


def freeze(
    world: World, *, tenant_id: str | None = None, account_id: str | None = None, symbol: str | None = None
) -> None:
    stop = Freeze(id=world.ids(), tenant_id=tenant_id, account_id=account_id, symbol=symbol, reason="by hand")
    world.db.write(lambda tx: freezes.insert(tx, stop, world.clock.now))


def thaw(world: World, *, account_id: str | None = None) -> None:
    world.db.write(lambda tx: freezes.remove(tx, tenant_id=None, account_id=account_id, symbol=None))


def ann(world: World) -> Run:
    """$10,000: sell 25 GLD, buy SPY for $2,000 and TLT for $4,000."""
    world.enroll(
        world.open_account("ann", "1000", SPY="10", GLD="25"),
        world.strategy(Weekly(weekday=0), cooldown_days=1, SPY="60", TLT="40"),
    )
    return world.runs("ann")[0]


def skips(world: World, run: Run) -> list[tuple[str, SkipReason]]:
    found = world.db.read(lambda tx: orders.skips_of(tx, [run]))
    return [(skip.symbol, skip.reason) for skip in found.get(run.id, [])]


def symbols(sent: list[Order]) -> list[str]:
    return [order.symbol for order in sent]


@pytest.mark.parametrize("scope", [{}, {"tenant_id": TENANT}, {"account_id": "ann"}])
def test_nothing_leaves_a_frozen_account_until_it_is_thawed(world: World, scope: dict[str, str]) -> None:
    run = ann(world)
    freeze(world, **scope)
    world.settle_on("2026-03-02", "2026-03-03")
    assert world.run(run.id).state is RunState.QUEUED
    assert world.broker_orders() == []
    world.db.write(
        lambda tx: freezes.remove(
            tx, tenant_id=scope.get("tenant_id"), account_id=scope.get("account_id"), symbol=None
        )
    )
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]


@pytest.mark.parametrize("scope", [{"tenant_id": "other"}, {"account_id": "bob"}, {"symbol": "XYZ"}])
def test_a_freeze_of_something_else_stops_nothing(world: World, scope: dict[str, str]) -> None:
    ann(world)
    freeze(world, **scope)
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]


def test_what_came_due_while_frozen_fires_once(world: World) -> None:
    ann(world)
    world.settle()
    freeze(world, account_id="ann")
    world.settle_on("2026-03-09", "2026-03-10", "2026-03-16")
    thaw(world, account_id="ann")
    world.settle_on("2026-03-17")
    assert world.slots("ann") == ["enrollment", "session:2026-03-09"]
    assert world.ends("ann") == ["COMPLETED", "COMPLETED"]


def test_a_frozen_symbol_is_skipped_with_its_reason_and_the_rest_trades(world: World) -> None:
    run = ann(world)
    freeze(world, symbol="TLT")
    world.settle()
    assert world.ends("ann") == ["COMPLETED*"]
    assert world.holdings("ann") == "cash 4000, SPY 15"
    assert skips(world, run) == [("TLT", SkipReason.FROZEN)]


def before_intents(world: World, action: Callable[[], None]) -> None:
    """Work, and let something happen after the run was decided and before its intents are committed."""
    effects = work(world.desk, 1)
    left = iter([action])
    effect = next(effects)
    try:
        while True:
            planned = any(run.state is RunState.PLANNED for run in world.runs())
            if planned and isinstance(effect, Commit):
                for act in left:
                    act()
            effect = effects.send(perform(effect, world.desk.db, broker=world.desk.broker))
    except StopIteration:
        return


@pytest.mark.parametrize("scope", [{}, {"account_id": "ann"}, {"tenant_id": TENANT}, {"symbol": "GLD"}])
def test_a_freeze_that_comes_after_the_decision_still_stops_the_order(
    world: World, scope: dict[str, str]
) -> None:
    ann(world)
    before_intents(world, lambda: freeze(world, **scope))
    assert "GLD" not in {entry.symbol for entry in world.paper.read_ledger() if entry.kind == "accepted"}


def test_a_frozen_account_has_its_open_orders_canceled(world: World) -> None:
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 60})
    world.settle()
    freeze(world)
    world.settle()
    assert [order.state for order in world.orders(run)] == ["CANCELED"]
    assert world.run(run.id).state is RunState.SELLING


def test_a_frozen_run_ends_at_its_deadline(world: World) -> None:
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 60})
    world.settle()
    freeze(world)
    world.settle()
    world.at("2026-03-02 16:00")
    world.settle()
    assert world.run(run.id).state is RunState.TIMED_OUT


def test_a_frozen_run_can_be_canceled(world: World) -> None:
    run = ann(world)
    freeze(world)
    world.settle()
    world.cancel(run)
    assert world.ends("ann") == ["CANCELED"]


def test_a_held_account_sends_nothing_and_says_why(world: World) -> None:
    run = ann(world)
    world.db.write(lambda tx: shards.hold(tx, {"ann": "the broker shows 3 SPY, our fills make it 4"}))
    world.settle_on("2026-03-02", "2026-03-03")
    assert world.run(run.id).state is RunState.QUEUED
    assert world.broker_orders() == []


def test_an_unexplained_change_of_a_position_during_a_run_holds_the_account(world: World) -> None:
    """Somebody sells a share by hand while the run works: its fills do not make what the broker shows."""
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 10})
    world.settle()
    world.clock.forward(5)
    world.paper.submit([stranger_sells_spy()])
    Machine(world=world).work_on()
    assert world.run(run.id).state is RunState.COMPLETED
    held = world.record("ann").held
    assert held is not None
    assert "SPY" in held


def stranger_sells_spy() -> Order:
    return Order(
        client_order_id="by hand",
        run_id="none",
        leg=0,
        generation=0,
        account_id="ann",
        symbol="SPY",
        side=Side.SELL,
        quantity=Decimal(1),
        notional=None,
        state=OrderState.SENDING,
        sent_at=MONDAY,
    )


def test_an_unknown_order_on_a_broker_without_memory_holds_only_its_account(sqlite_site: SqliteSite) -> None:
    setup = Setup(drops_duplicates=False, rates=Rates(loses_request=1))
    with new_world(sqlite_site, setup) as world:
        run = ann(world)
        Machine(world=world).drive(work(world.desk, 1))
        world.broker.rates = Rates()
        world.enroll(world.open_account("bob", "100"), world.strategies()[0])
        Machine(world=world).work_on()
        assert world.ends("bob") == ["COMPLETED"]
        assert world.record("bob").held is None
        assert world.run(run.id).adjusted
        assert world.orders(run)[0].state is OrderState.ABANDONED
        assert world.record("ann").held == "the fate of an order is unknown"
        assert world.broker.repeated == []


def test_no_order_is_sent_again_to_a_broker_without_memory_even_in_the_next_run(
    sqlite_site: SqliteSite,
) -> None:
    setup = Setup(drops_duplicates=False, rates=Rates(loses_reply=1, order_late_s=0))
    with new_world(sqlite_site, setup) as world:
        ann(world)
        Machine(world=world).work_on()
        assert world.record("ann").held is None, "lookup showed each order"
        assert world.ends("ann") == ["COMPLETED"]
        assert world.broker.repeated == []


# The price at the time of sending.


def test_an_order_whose_price_ran_away_is_skipped(world: World) -> None:
    """TLT rises by 21 % while GLD is being sold."""
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 10})
    world.settle()
    world.set_prices(TLT="121")
    world.clock.forward(10)
    world.paper.set_faults({})
    Machine(world=world).work_on()
    assert skips(world, run) == [("TLT", SkipReason.PRICE_MOVED)]
    assert world.ends("ann") == ["COMPLETED*"]
    assert world.holdings("ann") == "cash 4000, SPY 15"


def test_buys_shrink_to_what_the_sells_have_brought(world: World) -> None:
    """GLD falls to $190: $4,750 and $1,000 for $6,000 of buys; a third for SPY, $1,916.67."""
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 10})
    world.settle()
    world.set_prices(GLD="190")
    world.clock.forward(10)
    world.paper.set_faults({})
    Machine(world=world).work_on()
    assert [order.notional for order in world.orders(run)][1:] == [Decimal("1916.67"), Decimal("3833.33")]
    assert world.ends("ann") == ["COMPLETED*"]


# Time goes on while a turn lasts.


def test_an_intent_carries_the_time_of_its_commit_however_long_the_turn_lasts(site: Site) -> None:
    with new_world(site, Setup(batch=1)) as world:
        strategy = world.strategy(SPY="100")
        for name in ("ann", "bob", "cat"):
            world.enroll(world.open_account(name, "100"), strategy)
        world.broker.sent = lambda: world.clock.forward(30)
        began_at = world.clock.now
        drive(work(world.desk, 1), world.desk)
        sent = [world.orders(run)[0].sent_at - began_at for run in world.runs()]
        assert sorted(sent) == [timedelta(0), timedelta(seconds=30), timedelta(seconds=60)]


def test_no_order_leaves_after_the_close_however_long_the_turn_lasts(site: Site) -> None:
    """The market closes at 16:00; the second of three batches takes until 16:01."""
    with new_world(site, Setup(batch=1)) as world:
        world.at("2026-03-02 15:45")
        strategy = world.strategy(SPY="100")
        for name in ("ann", "bob", "cat"):
            world.enroll(world.open_account(name, "100"), strategy)
        world.broker.sent = lambda: world.clock.forward(480)
        Machine(world=world).work_on()
        accepted = [entry.at for entry in world.paper.read_ledger() if entry.kind == "accepted"]
        assert accepted == [new_york("2026-03-02 15:45"), new_york("2026-03-02 15:53")]
        assert world.ends("cat") == ["TIMED_OUT"]


def test_a_run_that_was_done_before_the_close_has_not_timed_out(world: World) -> None:
    """Its last order fills at 15:59:58, and the worker that comes next comes at 16:00:03."""
    world.at("2026-03-02 15:45")
    world.enroll(world.open_account("ann", "100"), world.strategy(SPY="100"))
    world.paper.set_faults({"fill_delay_s": 898})
    world.settle()
    world.at("2026-03-02 15:59:58")
    world.paper.accounts(["ann"])
    world.at("2026-03-02 16:00:03")
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]
    assert world.enrollment("ann").last_rebalanced_at is not None


# A run that nobody foresaw.


def test_a_run_that_is_failing_cannot_be_canceled_or_ends_canceled(world: World) -> None:
    """After a cancel that was answered well a run never ends as anything but CANCELED."""
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 60})
    world.settle()
    failing = Change(run=world.run(run.id), state=RunState.SELLING, stop=RunState.FAILED, reason="unforeseen")
    world.db.write(lambda tx: runs.change(tx, [failing], world.clock.now))
    try:
        world.cancel(run)
        expected = "CANCELED+"
    except RunIsFinal:
        expected = "FAILED+"
    world.settle()
    assert world.ends("ann")[0] == expected


def test_a_run_that_cannot_be_decided_fails_and_the_others_go_on(world: World) -> None:
    """It has lost its deadline, without which nobody knows how long to wait."""
    run = ann(world)
    world.paper.set_faults({"fill_delay_s": 60})
    world.settle()
    world.db.write(lambda tx: tx.execute("UPDATE runs SET deadline_at = NULL"))
    world.enroll(world.open_account("bob", "100"), world.strategies()[0])
    world.paper.set_faults({})
    world.settle()
    assert world.ends("bob") == ["COMPLETED"]
    assert world.run(run.id).state is RunState.FAILED
    assert world.run(run.id).reason == "internal error while deciding the next step"
    assert [order.state for order in world.orders(run)] == [OrderState.CANCELED]
