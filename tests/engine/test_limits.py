"""Strategies that limit slippage and price impact: what their runs send, and how they end.

SPY costs $400, TLT $100, GLD $200. ann has $10,000: sell 25 GLD, buy SPY for $2,000 and TLT for $4,000.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.engine.brokers import Rates
from tests.engine.desks import MONDAY, World
from trimtab.brokers.paper_orders import read_orders
from trimtab.core.run import Order, OrderState, Run
from trimtab.engine.cases import Seen
from trimtab.store import orders


def ann(world: World, **preferences: int) -> Run:
    strategy = world.strategy(SPY="60", TLT="40")
    world.change(strategy, preferences=lambda known: replace(known, **preferences))
    world.enroll(world.open_account("ann", "1000", SPY="10", GLD="25"), strategy)
    return world.runs("ann")[0]


def sent(world: World, run: Run) -> dict[str, Order]:
    found = world.db.read(lambda tx: orders.orders_of(tx, [run]))
    return {order.symbol: order for order in found[run.id]}


def settle_later(world: World, seconds: float) -> None:
    world.clock.forward(seconds)
    world.settle()


def test_prices_are_as_old_as_the_oldest_of_them() -> None:
    seen = Seen(asked_at={"SPY": MONDAY, "TLT": MONDAY - timedelta(minutes=5)})
    assert seen.prices_age(["SPY", "TLT"], MONDAY) == timedelta(minutes=5)
    assert seen.prices_age(["SPY"], MONDAY) == timedelta(0)


def test_a_sale_whose_price_fell_while_it_worked_is_canceled(world: World) -> None:
    run = ann(world, slippage_bps=100)
    world.paper.set_faults({"fill_delay_s": 30})
    world.settle()
    sale = sent(world, run)["GLD"]
    assert (sale.state, sale.worst_price) == (OrderState.OPEN, Decimal(198))
    world.set_prices(GLD="197.99")
    settle_later(world, 30)
    sale = sent(world, run)["GLD"]
    assert (sale.state, sale.filled_quantity) == (OrderState.CANCELED, Decimal(0))
    assert sale.reason == "its price would be $197.99, its limit is $198"
    settle_later(world, 30)
    assert world.ends("ann") == ["COMPLETED*"]
    # The $1,000 that were there: a third and two thirds of them.
    assert world.holdings("ann") == "cash 0, GLD 25, SPY 10.833325, TLT 6.6667"
    world.require_sound()


def test_a_buy_whose_price_rose_while_it_worked_is_canceled_and_the_other_fills(world: World) -> None:
    run = ann(world, slippage_bps=100)
    world.settle_on("2026-03-02")
    assert world.ends("ann") == ["COMPLETED"], "standing prices are within any limit"
    world.transfer("ann", "1000")
    second = world.request("ann")
    world.paper.set_faults({"fill_delay_s": 30})
    world.settle()
    world.set_prices(SPY="404.01", TLT="101")
    settle_later(world, 30)
    assert world.ends("ann") == ["COMPLETED", "COMPLETED*"]
    states = {symbol: order.state for symbol, order in sent(world, second).items()}
    assert states == {"SPY": OrderState.CANCELED, "TLT": OrderState.FILLED}
    # 15 and 40 from the first run; 400 / 101 = 3.9603960396…; × 101 = 399.999999939
    assert world.holdings("ann") == "cash 600.000000061, SPY 15, TLT 43.960396039"
    assert sent(world, run)["TLT"].worst_price == Decimal(101)
    world.require_sound()


def test_a_price_that_passed_its_limit_before_the_buys_leave_is_not_sent_to(world: World) -> None:
    run = ann(world, slippage_bps=100)
    world.paper.set_faults({"fill_delay_s": 30})
    world.settle()
    world.set_prices(TLT="101.01")
    settle_later(world, 30)
    settle_later(world, 30)
    assert world.ends("ann") == ["COMPLETED*"]
    assert world.holdings("ann") == "cash 4000, SPY 15"
    assert set(sent(world, run)) == {"GLD", "SPY"}
    world.require_sound()


def test_a_lost_order_is_sent_again_with_its_limits(world: World) -> None:
    run = ann(world, slippage_bps=100, impact_bps=25)
    world.broker.rates = Rates(loses_request=1)
    world.settle()
    assert world.broker_orders() == []
    world.broker.rates = Rates()
    settle_later(world, 5)
    assert world.ends("ann") == ["COMPLETED"]
    ids = [order.client_order_id for order in sent(world, run).values()]
    placed = world.paper_db.read(lambda tx: read_orders(tx, ids)).values()
    limits = {order.symbol: (order.worst_price, order.impact_bps_max) for order in placed}
    assert limits == {"GLD": (Decimal(198), 25), "SPY": (Decimal(404), 25), "TLT": (Decimal(101), 25)}
    world.require_sound()


@pytest.mark.parametrize(
    ("depth", "end", "holdings"),
    [
        # $4,000 of $160,000 are 250 basis points: 4,000 / 102.5 = 39.0243902439…; × 102.5 = 3999.9999999075
        ("160000", "COMPLETED", "cash 0.0000000925, SPY 15, TLT 39.024390243"),
        ("159999.99", "COMPLETED*", "cash 4000, SPY 15"),
    ],
)
def test_a_market_is_not_moved_by_more_than_the_limit(
    world: World, depth: str, end: str, holdings: str
) -> None:
    world.paper.set_asset("TLT", depth=Decimal(depth))
    ann(world, impact_bps=250)
    world.settle()
    assert world.ends("ann") == [end]
    assert world.holdings("ann") == holdings
    world.require_sound()
