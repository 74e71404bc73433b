"""Shallow markets and orders with limits: at which price they trade, and when they do not.

SPY costs $400; ann has $1,000 and 10 SPY. At a depth of $10,000 one share of SPY, $400, is 4 % of it.
"""

from contextlib import closing
from decimal import Decimal

import pytest

from tests.brokers.market import OPENING, Market, fills, named, order, refusal
from trimtab.brokers.broker import Accepted, OrderReport
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import SCHEMA
from trimtab.core.errors import Malformed
from trimtab.core.run import Order, OrderState, Side
from trimtab.database import open_database

B, S = Side.BUY, Side.SELL


def sent(market: Market, side: Side, **wanted: str) -> OrderReport:
    return market.report(market.send(order("one", side, **wanted)))


def deepen(market: Market, depth: str) -> None:
    market.broker.set_asset("SPY", depth="endless" if depth == "endless" else Decimal(depth))


# depth, side, what is asked for, shares, price, cash afterwards
PRICES: list[tuple[str, Side, dict[str, str], str, str, str]] = [
    # 800 / 10,000 = 8 %
    ("10000", B, {"quantity": "2"}, "2", "432", "136"),
    # 1000 / 10,000 = 10 %; 1000 / 440 = 2.2727272727…; × 440 = 999.99999968
    ("10000", B, {"notional": "1000"}, "2.272727272", "440", "0.00000032"),
    ("10000", S, {"quantity": "2.5"}, "2.5", "360", "1900"),
    # 1000 / 360 = 2.7777777777…; × 360 = 999.99999972
    ("10000", S, {"notional": "1000"}, "2.777777777", "360", "1999.99999972"),
    # 400 × 30,400 / 30,000 = 405.3333…, 400 × 29,600 / 30,000 = 394.6666…: against the trader
    ("30000", B, {"quantity": "1"}, "1", "405.333333334", "594.666666666"),
    ("30000", S, {"quantity": "1"}, "1", "394.666666666", "1394.666666666"),
    # 400 × 0.01 / 4000.01 = 0.00099999750000…
    ("4000.01", S, {"quantity": "10"}, "10", "0.000999997", "1000.00999997"),
    ("endless", B, {"quantity": "2"}, "2", "400", "200"),
    ("endless", S, {"quantity": "2"}, "2", "400", "1800"),
]


@pytest.mark.parametrize(("depth", "side", "wanted", "quantity", "price", "cash"), PRICES)
def test_an_order_moves_the_price_against_itself(
    market: Market, depth: str, side: Side, *, wanted: dict[str, str], quantity: str, price: str, cash: str
) -> None:
    deepen(market, "10000")
    deepen(market, depth)
    report = sent(market, side, **wanted)
    assert (report.state, fills(report)) == (OrderState.FILLED, [(Decimal(quantity), Decimal(price))])
    assert market.cash() == Decimal(cash)
    assert market.broker.prices(["SPY"]) == {"SPY": Decimal(400)}, "what was set stays"


def test_another_symbol_is_as_deep_as_before(market: Market) -> None:
    deepen(market, "1000")
    assert fills(sent(market, B, symbol="TLT", quantity="2")) == [(Decimal(2), Decimal("125.50"))]


def test_both_halves_of_an_order_trade_alike(market: Market) -> None:
    deepen(market, "10000")
    market.broker.set_faults({"partial_fill": 1})
    market.send(order("one", B, quantity="2"))
    market.clock.forward(1)
    report = market.broker.lookup(named("one"))["one"]
    assert (report.state, fills(report)) == (OrderState.FILLED, [(Decimal(1), Decimal(432))] * 2)


def test_nobody_buys_as_much_as_the_whole_market(market: Market) -> None:
    deepen(market, "4000")
    assert refusal(market.sell(quantity="10")) == "the market of SPY is not deep enough for it"
    assert refusal(market.sell(notional="4000")) == "the market of SPY is not deep enough for it"
    assert isinstance(market.sell(quantity="9.9"), Accepted)


def test_a_market_that_dries_up_cancels_what_it_cannot_take(market: Market) -> None:
    market.broker.set_faults({"fill_delay_s": 30})
    first = market.sell(quantity="5")
    deepen(market, "1000")
    second = market.sell(quantity="2")
    market.clock.forward(30)
    report = market.report(first)
    why = "the market of SPY is not deep enough for it"
    assert (report.state, report.reason, fills(report)) == (OrderState.CANCELED, why, [])
    assert fills(market.report(second)) == [(Decimal(2), Decimal(80))]


@pytest.mark.parametrize("depth", ["0", "-1", "0.001"])
def test_impossible_depths(market: Market, depth: str) -> None:
    with pytest.raises(Malformed) as caught:
        market.broker.set_asset("SPY", tradable=False, depth=Decimal(depth))
    assert caught.value.path == "depth"
    assert market.broker.assets(["SPY"])["SPY"].tradable


class TestCover:
    """What is reserved and what is refused is counted at the price that the order will trade at."""

    def test_a_buy_costs_what_the_market_makes_of_it(self, market: Market) -> None:
        deepen(market, "10000")
        # 2.5 shares at 440
        assert refusal(market.buy(quantity="2.5")) == "costs $1100, only $1000 is free"

    def test_open_buys_reserve_it(self, market: Market) -> None:
        deepen(market, "10000")
        market.broker.set_faults({"fill_delay_s": 30})
        market.buy(quantity="2")
        assert refusal(market.buy("TLT", notional="136.01")) == "costs $136.01, only $136 is free"
        assert isinstance(market.buy("TLT", notional="136"), Accepted)

    def test_open_sells_reserve_the_shares_that_it_takes(self, market: Market) -> None:
        deepen(market, "10000")
        market.broker.set_faults({"fill_delay_s": 30})
        # 800 / 368 = 2.173913043…
        market.sell(notional="800")
        assert refusal(market.sell(quantity="8")) == "only 7.826086957 shares of SPY are free to be sold"
        assert isinstance(market.sell(quantity="7.826086957"), Accepted)


HIGH = "it would move the price by 400 basis points, its limit is 399"
# depth, side, limits of an order for one share, why it is canceled
LIMITS: list[tuple[str, Side, dict[str, str], str | None]] = [
    ("endless", B, {"worst_price": "400"}, None),
    ("endless", B, {"worst_price": "399.999999999"}, "its price would be $400, its limit is $399.999999999"),
    ("endless", S, {"worst_price": "400"}, None),
    ("endless", S, {"worst_price": "400.000000001"}, "its price would be $400, its limit is $400.000000001"),
    ("endless", S, {"worst_price": "0", "impact_bps_max": "0"}, None),
    ("endless", B, {"impact_bps_max": "0"}, None),
    ("10000", B, {"worst_price": "416"}, None),
    ("10000", B, {"worst_price": "415.99"}, "its price would be $416, its limit is $415.99"),
    ("10000", S, {"worst_price": "384"}, None),
    ("10000", S, {"worst_price": "384.01"}, "its price would be $384, its limit is $384.01"),
    ("10000", B, {"impact_bps_max": "400"}, None),
    ("10000", B, {"impact_bps_max": "399"}, HIGH),
    ("10000", S, {"impact_bps_max": "400"}, None),
    ("10000", S, {"impact_bps_max": "399"}, HIGH),
    ("10000", B, {"worst_price": "416", "impact_bps_max": "400"}, None),
    # 400.0004 basis points, and it does not read as if it were 400.
    (
        "9999.99",
        B,
        {"impact_bps_max": "400"},
        "it would move the price by 400.01 basis points, its limit is 400",
    ),
]


@pytest.mark.parametrize(("depth", "side", "limits", "why"), LIMITS)
def test_an_order_never_executes_beyond_its_limits(
    market: Market, depth: str, side: Side, limits: dict[str, str], *, why: str | None
) -> None:
    deepen(market, depth)
    report = sent(market, side, quantity="1", **limits)
    assert report.reason == why
    if why is None:
        assert (report.state, len(fills(report))) == (OrderState.FILLED, 1)
    else:
        assert (report.state, fills(report), market.cash()) == (OrderState.CANCELED, [], Decimal(1000))


@pytest.mark.parametrize(
    ("side", "now", "state"),
    [
        (B, "404", OrderState.FILLED),
        (B, "404.01", OrderState.CANCELED),
        (B, "1", OrderState.FILLED),
        (S, "396", OrderState.FILLED),
        (S, "395.99", OrderState.CANCELED),
        (S, "9999", OrderState.FILLED),
    ],
)
def test_the_price_counts_at_which_it_would_execute(
    market: Market, side: Side, now: str, state: OrderState
) -> None:
    market.broker.set_faults({"fill_delay_s": 30})
    limit = "404" if side is B else "396"
    market.send(order("one", side, quantity="1", worst_price=limit))
    market.broker.set_prices({"SPY": Decimal(now)})
    assert market.broker.lookup(named("one"))["one"].state is OrderState.OPEN
    market.clock.forward(30)
    assert market.broker.lookup(named("one"))["one"].state is state


def test_what_is_left_is_canceled_and_what_was_filled_stays(market: Market) -> None:
    market.broker.set_faults({"partial_fill": 1})
    market.send(order("one", S, quantity="4", worst_price="396"))
    market.broker.set_prices({"SPY": Decimal(395)})
    market.clock.forward(1)
    report = market.broker.lookup(named("one"))["one"]
    why = "its price would be $395, its limit is $396"
    assert (report.state, report.reason, fills(report)) == (
        OrderState.CANCELED,
        why,
        [(Decimal(2), Decimal(400))],
    )
    assert (market.cash(), market.positions()) == (Decimal(1800), {"SPY": Decimal(8)})
    canceled = market.broker.read_ledger()[-1]
    assert (canceled.kind, canceled.reason) == ("canceled", why)


def test_the_impact_is_that_of_the_whole_order(market: Market) -> None:
    """Half of $800 would be within 400 basis points of $10,000."""
    deepen(market, "10000")
    market.broker.set_faults({"partial_fill": 1})
    report = sent(market, S, quantity="2", impact_bps_max="400")
    assert (report.state, fills(report)) == (OrderState.CANCELED, [])


BOUNDED = order("one", S, quantity="1", worst_price="396.00", impact_bps_max="50")


@pytest.mark.parametrize(
    ("again", "is_same"),
    [
        (BOUNDED, True),
        (order("one", S, quantity="1", worst_price="396", impact_bps_max="50"), True),
        (order("one", S, quantity="1", worst_price="396.01", impact_bps_max="50"), False),
        (order("one", S, quantity="1", worst_price="396", impact_bps_max="51"), False),
        (order("one", S, quantity="1"), False),
    ],
)
def test_limits_belong_to_an_order_and_outlive_a_restart(
    market: Market, paper_url: str, again: Order, *, is_same: bool
) -> None:
    market.broker.set_faults({"fill_delay_s": 30})
    market.send(BOUNDED)
    with closing(open_database(paper_url, schema=SCHEMA)) as reopened:
        answer = PaperBroker(reopened, lambda: OPENING).submit([again])[0]
    if is_same:
        assert isinstance(answer, Accepted)
    else:
        assert refusal(answer) == "duplicate client order id with another body"
    market.broker.set_prices({"SPY": Decimal(395)})
    market.clock.forward(30)
    assert market.broker.lookup(named("one"))["one"].state is OrderState.CANCELED
