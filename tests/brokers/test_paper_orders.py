"""What the paper broker does with an order: settlement to the last digit, and every refusal."""

from decimal import Decimal

import pytest

from tests.brokers.market import OPENING, Market, fills, named, order, refusal
from trimtab.brokers.broker import Accepted, Broker
from trimtab.core.run import Order, OrderState, Side


def test_it_is_a_broker(market: Market) -> None:
    broker: Broker = market.broker
    assert (broker.traits.name, broker.traits.drops_duplicates, broker.traits.batch) == ("paper", True, 500)


# SPY costs 400, TLT 125.50; ann has $1,000 and 10 SPY.
@pytest.mark.parametrize(
    ("sent", "quantity", "cash", "position"),
    [
        (order("one", Side.SELL, symbol="SPY", quantity="2.5"), "2.5", "2000", "7.5"),
        (
            order("one", Side.SELL, symbol="SPY", quantity="0.000000001"),
            "0.000000001",
            "1000.0000004",
            "9.999999999",
        ),
        (order("one", Side.SELL, symbol="SPY", quantity="10"), "10", "5000", None),
        (order("one", Side.SELL, symbol="SPY", notional="100.00"), "0.25", "1100", "9.75"),
        # 0.01 / 400 = 0.000025
        (order("one", Side.SELL, symbol="SPY", notional="0.01"), "0.000025", "1000.01", "9.999975"),
        (order("one", Side.BUY, symbol="SPY", notional="1000"), "2.5", "0", "12.5"),
        (order("one", Side.BUY, symbol="SPY", quantity="2.5"), "2.5", "0", "12.5"),
        # 100 / 125.5 = 0.7968127490…; 0.796812749 × 125.5 = 99.9999999995 (exactly)
        (
            order("one", Side.BUY, symbol="TLT", notional="100"),
            "0.796812749",
            "900.0000000005",
            "0.796812749",
        ),
        # 1 / 125.5 = 0.00796812749…; 0.007968127 × 125.5 = 0.9999999385
        (order("one", Side.BUY, symbol="TLT", notional="1"), "0.007968127", "999.0000000615", "0.007968127"),
        (
            order("one", Side.BUY, symbol="TLT", quantity="0.000000001"),
            "0.000000001",
            "999.9999998745",
            "0.000000001",
        ),
    ],
)
def test_settlement_is_exact(
    market: Market, sent: Order, quantity: str, cash: str, position: str | None
) -> None:
    report = market.report(market.send(sent))
    assert report.state is OrderState.FILLED
    price = Decimal(400) if sent.symbol == "SPY" else Decimal("125.50")
    assert fills(report) == [(Decimal(quantity), price)]
    assert report.executions[0].execution_id == f"{report.broker_order_id}:1"
    assert report.executions[0].at == report.updated_at == OPENING
    assert market.cash() == Decimal(cash)
    assert market.positions().get(sent.symbol) == (None if position is None else Decimal(position))


@pytest.mark.parametrize(
    ("side", "amount", "reason"),
    [
        (Side.SELL, {"quantity": "0"}, "the quantity must be more than zero"),
        (Side.SELL, {"quantity": "-1"}, "the quantity must be more than zero"),
        (Side.SELL, {"quantity": "1.0000000001"}, "the quantity has more than 9 decimal places"),
        (Side.SELL, {"notional": "0"}, "the notional must be more than zero"),
        (Side.SELL, {"notional": "-5"}, "the notional must be more than zero"),
        (Side.SELL, {"notional": "5.001"}, "the notional has more than 2 decimal places"),
        (Side.BUY, {"notional": "0.99"}, "a buy is for at least $1"),
        (Side.SELL, {"quantity": "10.000000001"}, "only 10 shares of SPY are free to be sold"),
        (Side.SELL, {"notional": "4000.01"}, "only 10 shares of SPY are free to be sold"),
        (Side.BUY, {"quantity": "2.500000001"}, "costs $1000.0000004, only $1000 is free"),
        (Side.BUY, {"notional": "1000.01"}, "costs $1000.01, only $1000 is free"),
    ],
)
def test_an_impossible_amount_is_refused(
    market: Market, side: Side, amount: dict[str, str], reason: str
) -> None:
    assert refusal(market.send(order("one", side, **amount))) == reason
    assert market.broker.lookup(named("one")) == {}
    assert (market.cash(), market.positions()) == (Decimal(1000), {"SPY": Decimal(10)})


def test_trailing_zeros_are_no_decimal_places(market: Market) -> None:
    assert isinstance(market.sell(quantity="1.00000000000"), Accepted)
    assert isinstance(market.buy(notional="100.0000"), Accepted)


def test_an_unknown_account_is_refused(market: Market) -> None:
    sent = order("one", Side.BUY, account_id="eve", notional="10")
    assert refusal(market.send(sent)) == "no account eve"


@pytest.mark.parametrize("status", ["INACTIVE", "ACCOUNT_CLOSED"])
def test_an_account_that_is_not_active_is_refused(market: Market, status: str) -> None:
    market.broker.set_status("ann", status)
    assert refusal(market.buy(notional="10")) == "account ann is not active"
    market.broker.set_status("ann", "ACTIVE")
    assert isinstance(market.buy(notional="10"), Accepted)


def test_an_unknown_symbol_is_refused(market: Market) -> None:
    assert refusal(market.buy("XYZ", notional="10")) == "no asset XYZ"


def test_an_asset_without_a_price_is_refused(market: Market) -> None:
    market.broker.set_asset("XYZ")
    assert refusal(market.buy("XYZ", notional="10")) == "asset XYZ has no price"


def test_an_asset_that_does_not_trade_is_refused(market: Market) -> None:
    market.broker.set_asset("SPY", tradable=False)
    assert refusal(market.buy(notional="10")) == "asset SPY is not tradable"
    market.broker.set_asset("SPY", tradable=True, active=False)
    assert refusal(market.sell(quantity="1")) == "asset SPY is not active"


def test_whole_shares_only(market: Market) -> None:
    market.broker.set_asset("SPY", fractionable=False)
    for refused in (market.buy(quantity="0.5"), market.buy(notional="400"), market.sell(notional="400")):
        assert refusal(refused) == "asset SPY is traded in whole shares only"
    assert fills(market.report(market.buy(quantity="2"))) == [(Decimal(2), Decimal(400))]


def test_less_than_the_smallest_part_of_a_share_is_refused(market: Market) -> None:
    market.broker.set_prices({"BRK": Decimal("99999999.99")})
    # 0.01 / 99999999.99 is less than 0.000000001
    assert refusal(market.sell("BRK", notional="0.01")) == "$0.01 is less than the smallest part of a share"


def test_orders_of_one_call_see_each_other(market: Market) -> None:
    outcomes = market.broker.submit(
        [
            order("sell", Side.SELL, quantity="10"),
            order("sell-again", Side.SELL, quantity="1"),
            order("buy", Side.BUY, symbol="TLT", notional="5000"),
            order("buy-again", Side.BUY, symbol="TLT", notional="1"),
        ]
    )
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Accepted",
        "NotCovered",
        "Accepted",
        "NotCovered",
    ]
    # 5000 / 125.5 = 39.84063745…; 39.840637450 × 125.5 = 4999.999999975
    assert market.cash() == Decimal("0.000000025")
    assert market.positions() == {"TLT": Decimal("39.840637450")}


def test_nothing_is_sent_for_nothing(market: Market) -> None:
    assert market.broker.submit([]) == []


class TestDuplicates:
    def test_the_same_order_again_is_the_first_one(self, market: Market) -> None:
        first = market.send(order("one", Side.SELL, quantity="1"))
        market.clock.forward(60)
        again = market.send(order("one", Side.SELL, quantity="1.000"))
        assert again == first
        assert market.cash() == Decimal(1400)

    def test_twice_in_one_call(self, market: Market) -> None:
        outcomes = market.broker.submit([order("one", Side.SELL, quantity="1")] * 2)
        assert outcomes[0] == outcomes[1]
        assert market.cash() == Decimal(1400)

    @pytest.mark.parametrize(
        "other",
        [
            order("one", Side.SELL, quantity="2"),
            order("one", Side.SELL, notional="400"),
            order("one", Side.BUY, quantity="1"),
            order("one", Side.SELL, symbol="TLT", quantity="1"),
            order("one", Side.SELL, account_id="bob", quantity="1"),
            order("one", Side.SELL, quantity="1", worst_price="400"),
            order("one", Side.SELL, quantity="1", impact_bps_max="0"),
        ],
        ids=["quantity", "notional", "side", "symbol", "account", "worst price", "impact"],
    )
    def test_another_order_under_the_same_id_is_refused(self, market: Market, other: Order) -> None:
        market.send(order("one", Side.SELL, quantity="1"))
        assert refusal(market.send(other)) == "duplicate client order id with another body"
        assert market.cash() == Decimal(1400)

    def test_the_first_answer_holds_when_the_account_could_not_order_any_more(self, market: Market) -> None:
        first = market.send(order("one", Side.SELL, quantity="10"))
        market.broker.set_status("ann", "ACCOUNT_CLOSED")
        assert market.send(order("one", Side.SELL, quantity="10")) == first

    def test_a_refused_order_may_be_sent_again(self, market: Market) -> None:
        assert refusal(market.send(order("one", Side.BUY, notional="1200")))
        market.broker.transfer("ref", "ann", amount=Decimal(200))
        assert isinstance(market.send(order("one", Side.BUY, notional="1200")), Accepted)


class TestReserves:
    """Orders that are open have first call on cash and shares."""

    @pytest.fixture(autouse=True)
    def _nothing_fills_at_once(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})

    def test_open_sells_reserve_shares(self, market: Market) -> None:
        market.sell(quantity="6")
        market.sell(notional="800")  # 2 shares
        assert refusal(market.sell(quantity="2.1")) == "only 2 shares of SPY are free to be sold"
        assert isinstance(market.sell(quantity="2"), Accepted)
        assert market.positions() == {"SPY": Decimal(10)}

    def test_open_buys_reserve_cash(self, market: Market) -> None:
        market.buy(notional="500")
        market.buy("TLT", quantity="2")  # $251
        assert refusal(market.buy(notional="250")) == "costs $250, only $249 is free"
        assert isinstance(market.buy(notional="249"), Accepted)
        assert market.cash() == Decimal(1000)

    def test_what_is_not_sold_yet_buys_nothing(self, market: Market) -> None:
        market.sell(quantity="10")
        assert refusal(market.buy(notional="1000.01")) == "costs $1000.01, only $1000 is free"

    def test_a_canceled_order_reserves_nothing(self, market: Market) -> None:
        market.broker.submit([order("one", Side.BUY, notional="1000")])
        market.broker.cancel(named("one"))
        assert isinstance(market.buy(notional="1000"), Accepted)

    def test_another_symbol_and_account_are_free(self, market: Market) -> None:
        market.buy(notional="1000")
        sent = order("bobs", Side.BUY, account_id="bob", notional="50")
        assert isinstance(market.send(sent), Accepted)
        assert isinstance(market.sell(quantity="10"), Accepted)

    def test_sells_of_another_symbol_are_free(self, market: Market) -> None:
        market.broker.open_account(
            "cid", "tenant", cash=Decimal(0), positions={"SPY": Decimal(1), "TLT": Decimal(1)}
        )
        for symbol in ("SPY", "TLT"):
            sent = order(f"cid-{symbol}", Side.SELL, symbol=symbol, account_id="cid", quantity="1")
            assert isinstance(market.send(sent), Accepted)

    def test_what_has_filled_is_not_reserved_again(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1})
        market.buy(notional="600")  # $300 are spent, $300 are reserved
        assert refusal(market.buy(notional="400.01")) == "costs $400.01, only $400 is free"


class TestCancel:
    def test_an_open_order(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        market.broker.submit([order("one", Side.SELL, quantity="1")])
        market.clock.forward(29)
        market.broker.cancel(named("one", "unknown"))
        report = market.broker.lookup(named("one"))["one"]
        assert (report.state, report.reason, fills(report)) == (
            OrderState.CANCELED,
            "canceled on request",
            [],
        )
        market.clock.forward(3600)
        assert market.broker.lookup(named("one"))["one"] == report

    def test_a_filled_order_stays_filled(self, market: Market) -> None:
        filled = market.report(market.sell(quantity="1"))
        market.broker.cancel(named(filled.client_order_id))
        assert market.broker.lookup(named(filled.client_order_id))[filled.client_order_id] == filled

    def test_what_is_due_fills_first(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        market.broker.submit([order("one", Side.SELL, quantity="1")])
        market.clock.forward(30)
        market.broker.cancel(named("one"))
        assert market.broker.lookup(named("one"))["one"].state is OrderState.FILLED

    def test_fills_are_kept(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1})
        market.broker.submit([order("one", Side.SELL, quantity="5")])
        market.broker.cancel(named("one"))
        report = market.broker.lookup(named("one"))["one"]
        assert (report.state, fills(report)) == (OrderState.CANCELED, [(Decimal("2.5"), Decimal(400))])
        assert market.cash() == Decimal(2000)
