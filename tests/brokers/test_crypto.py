"""What the crypto broker does with an order at an exchange that speaks real words over a real socket."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.brokers.coins import TERMS, Coins, broker_at, open_coins
from tests.brokers.exchange_server import NEVER_TAKEN, TAKEN_BEFORE
from tests.brokers.market import refusal
from trimtab.brokers.broker import Accepted, NotSent, Refused, Unknown
from trimtab.brokers.crypto import CryptoBroker
from trimtab.core.errors import BrokerDown
from trimtab.core.run import OrderState, Side

POST = "POST /api/v3/order"


@pytest.fixture
def coins() -> Iterator[Coins]:
    with open_coins() as opened:
        yield opened


@pytest.mark.parametrize("fault", [*sorted(TAKEN_BEFORE.keys() - {"said_no_and_did_it"}), *NEVER_TAKEN])
def test_what_proves_nothing_is_unknown_and_goes_out_once(coins: Coins, fault: str) -> None:
    coins.server.faults.orders.append(fault)
    assert isinstance(coins.sell("0.01"), Unknown)
    assert coins.server.requests.count(POST) == 1
    assert (coins.last is not None) == (fault in TAKEN_BEFORE)


def test_what_was_refused_and_taken_all_the_same_is_found(coins: Coins) -> None:
    coins.server.faults.orders.append("said_no_and_did_it")
    outcome = coins.sell("0.01")
    assert isinstance(outcome, Accepted)
    assert outcome.report.filled == Decimal("0.01")


def test_every_order_is_cancelled_whatever_becomes_of_the_others(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal(0), timedelta(seconds=30)
    coins.sell("0.01")
    coins.sell("0.02")
    coins.server.faults.cancels_lost = 1
    with pytest.raises(BrokerDown):
        coins.broker.cancel(coins.sent)
    assert sorted(order.status for order in coins.exchange.orders) == ["CANCELED", "NEW"]


def test_what_is_executed_during_a_look_shows_as_open_or_as_held(coins: Coins) -> None:
    """Open orders are asked for before balances: a plan is never made of neither."""
    _ = coins.holdings
    asked = [line for line in coins.server.requests if line.endswith(("openOrders", "account"))]
    assert asked == ["GET /api/v3/openOrders", "GET /api/v3/account"]


def test_an_order_that_is_late_is_unknown_then_absent_and_shows_when_it_has_arrived(coins: Coins) -> None:
    coins.server.faults.orders.append("late")
    assert isinstance(coins.sell("0.01"), Unknown)
    assert coins.broker.lookup(coins.sent) == {}
    coins.clock.forward(20)
    assert coins.last is not None
    assert coins.last.filled == Decimal("0.01")


@pytest.mark.parametrize(
    ("side", "amount", "reason"),
    [
        # Steps: 0.00001 BTC, 0.0001 ETH; least: 0.00001 BTC, 0.001 ETH, $5.
        (Side.SELL, {"quantity": "0.000009999"}, "0 BTC is less than the smallest order of 0.00001 BTC"),
        (Side.SELL, {"quantity": "0.00005"}, "Filter failure: NOTIONAL"),
        (Side.BUY, {"notional": "4.99"}, "4.99 USD is less than the smallest order of 5 USD"),
        (Side.SELL, {"quantity": "0.50001"}, "InsufficientFunds: binance Account has insufficient balance"),
        (Side.BUY, {"notional": "10000.01"}, ""),
        (Side.BUY, {"notional": "20000"}, "insufficient balance"),
    ],
)
def test_what_the_exchange_cannot_take_is_refused(
    coins: Coins, side: Side, amount: dict[str, str], reason: str
) -> None:
    outcome = coins.send(coins.order(side, **amount))
    if reason:
        assert reason in refusal(outcome)
        assert coins.exchange.orders == []
        assert coins.last is None
    else:
        # Rounded down to the exchange's step it is within what there is.
        assert isinstance(outcome, Accepted)


def test_what_the_exchange_does_not_list_is_refused_before_anything_leaves(coins: Coins) -> None:
    assert refusal(coins.buy("100", "DOGE")) == "no asset DOGE"
    stranger = replace(coins.order(Side.BUY, notional="100"), account_id="eve")
    assert refusal(coins.send(stranger)) == "no account eve"
    assert POST not in coins.server.requests


def test_a_market_that_is_closed_refuses_and_shows_as_not_tradable(coins: Coins) -> None:
    coins.exchange.listings["BTCUSD"] = replace(coins.exchange.listings["BTCUSD"], trading=False)
    assert "Market is closed" in refusal(coins.sell("0.01"))
    assets = coins.broker.assets(["BTC", "ETH", "DOGE"])
    assert {symbol: asset.is_eligible for symbol, asset in assets.items()} == {"BTC": False, "ETH": True}


def test_a_wrong_secret_orders_nothing_and_answers_nothing(coins: Coins) -> None:
    coins.broker = broker_at(coins.server, coins.clock, secret="wrong")
    # A refusal is believed once the order is seen not to be there, and here nothing can be seen.
    assert isinstance(coins.sell("0.01"), Unknown)
    with pytest.raises(BrokerDown, match="AuthenticationError"):
        _ = coins.holdings
    assert coins.exchange.orders == []


# Sells are rounded down to the step; a buy spends at most its money: 1000 / 3000 = 0.33333…, 0.3333 ETH.
@pytest.mark.parametrize(
    ("side", "symbol", "amount", "quantity"),
    [
        (Side.SELL, "BTC", {"quantity": "0.123456789"}, "0.12345"),
        (Side.SELL, "BTC", {"quantity": "0.5"}, "0.5"),
        (Side.BUY, "ETH", {"notional": "1000"}, "0.3333"),
        (Side.BUY, "BTC", {"notional": "59.99"}, "0.00099"),
        (Side.BUY, "ETH", {"quantity": "0.12349"}, "0.1234"),
        (Side.SELL, "BTC", {"notional": "1000"}, "0.01666"),
    ],
)
def test_amounts_are_rounded_down_to_what_the_exchange_trades(
    coins: Coins, side: Side, symbol: str, amount: dict[str, str], quantity: str
) -> None:
    assert isinstance(coins.send(coins.order(side, symbol, **amount)), Accepted)
    assert coins.exchange.orders[0].quantity == Decimal(quantity)
    report = coins.last
    assert report is not None
    assert report.filled == Decimal(quantity)
    assert report.quantity == (Decimal(quantity) if "quantity" in amount else None)
    # What was not taken of a quantity has not been traded, and is not to be called so.
    whole = amount.get("quantity", quantity) == quantity
    assert report.state is (OrderState.FILLED if whole else OrderState.CANCELED)


# BTC trades at 60,000 in steps of 0.01: a bound between two steps is rounded to the better one.
@pytest.mark.parametrize(
    ("side", "amount", "worst", "limit", "filled"),
    [
        (Side.BUY, {"notional": "600.30"}, "60030", "60030", "0.01"),
        (Side.BUY, {"notional": "600.30"}, "60000.019", "60000.01", "0.01"),
        (Side.BUY, {"notional": "600"}, "59999.99", "59999.99", "0"),
        (Side.SELL, {"quantity": "0.01"}, "59970", "59970", "0.01"),
        (Side.SELL, {"quantity": "0.01"}, "59999.991", "60000.00", "0.01"),
        (Side.SELL, {"quantity": "0.01"}, "60000.001", "60000.01", "0"),
    ],
)
def test_a_bounded_order_executes_at_once_within_its_bound_or_not_at_all(
    coins: Coins, side: Side, amount: dict[str, str], worst: str, *, limit: str, filled: str
) -> None:
    assert isinstance(coins.send(coins.order(side, "BTC", worst_price=worst, **amount)), Accepted)
    assert coins.exchange.orders[0].limit == Decimal(limit)
    report = coins.last
    assert report is not None
    assert report.filled == Decimal(filled)
    assert report.state is (OrderState.FILLED if report.filled else OrderState.CANCELED)


def test_an_intent_older_than_two_seconds_does_not_leave(coins: Coins) -> None:
    first, second = coins.order(Side.SELL, quantity="0.01"), coins.order(Side.SELL, quantity="0.01")
    coins.clock.forward(2)
    assert isinstance(coins.send(first), Accepted)
    coins.clock.forward(0.000001)
    assert isinstance(coins.send(second), NotSent)
    assert coins.exchange.accepted == [first.client_order_id]


def test_what_cannot_be_sized_for_want_of_an_answer_has_not_left(coins: Coins) -> None:
    coins.server.faults.reads_down = True
    assert isinstance(coins.buy("100"), NotSent)
    coins.server.faults.reads_down = False
    coins.exchange.prices_at = coins.clock.now - timedelta(seconds=61)
    refused = coins.send(coins.order(Side.SELL, "BTC", notional="100"))
    assert refusal(refused) == "asset BTC has no current price"
    assert POST not in coins.server.requests


def test_an_id_that_is_taken_while_its_order_is_open_is_that_order(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal(0), timedelta(seconds=30)
    order = coins.order(Side.SELL, quantity="0.01")
    coins.server.faults.orders.append("lost_answer")
    assert isinstance(coins.send(order), Unknown)
    again = coins.send(order)
    assert isinstance(again, Accepted)
    assert again.report.broker_order_id == str(coins.exchange.orders[0].id)
    assert len(coins.exchange.orders) == 1


def test_an_id_may_be_used_again_once_its_order_has_ended_so_nothing_is_promised(coins: Coins) -> None:
    order = coins.order(Side.SELL, quantity="0.01")
    assert isinstance(coins.send(order), Accepted)
    assert isinstance(coins.send(order), Accepted)
    assert coins.exchange.accepted == [order.client_order_id] * 2
    assert not coins.broker.traits.drops_duplicates


def test_an_order_executed_in_parts_shows_each_and_ends_with_the_last(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal("0.5"), timedelta(seconds=30)
    coins.sell("0.01")
    order_id = coins.exchange.orders[0].id
    part = coins.last
    assert part is not None
    assert (part.state, part.filled) == (OrderState.OPEN, Decimal("0.005"))
    assert [e.execution_id for e in part.executions] == [f"BTC/USD:{order_id}:1"]
    coins.clock.forward(30)
    whole = coins.last
    assert whole is not None
    assert (whole.state, whole.filled) == (OrderState.FILLED, Decimal("0.01"))
    assert [e.execution_id for e in whole.executions] == [f"BTC/USD:{order_id}:{n}" for n in (1, 2)]
    assert whole.executions[1].at == coins.clock.now


def test_an_order_has_not_ended_before_all_its_trades_show(coins: Coins) -> None:
    coins.exchange.trades_hidden = True
    coins.sell("0.01")
    early = coins.last
    assert early is not None
    assert (early.state, early.filled) == (OrderState.OPEN, Decimal(0))
    coins.exchange.trades_hidden = False
    assert coins.last is not None
    assert coins.last.state is OrderState.FILLED


def test_a_cancelled_order_keeps_what_it_executed_and_executes_no_more(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal("0.4"), timedelta(seconds=30)
    coins.sell("0.01")
    coins.broker.cancel(coins.sent)
    coins.clock.forward(60)
    report = coins.last
    assert report is not None
    assert (report.state, report.filled, report.reason) == (OrderState.CANCELED, Decimal("0.004"), "canceled")
    assert coins.holdings["BTC"] == Decimal("0.496")


def test_what_is_accepted_is_cancelled_by_the_exchanges_own_id(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal(0), timedelta(seconds=30)
    outcome = coins.sell("0.01")
    assert isinstance(outcome, Accepted)
    known = replace(coins.sent[-1], broker_order_id=outcome.report.broker_order_id)
    coins.broker.cancel([known])
    report = coins.broker.lookup([known])[known.client_order_id]
    assert report.state is OrderState.CANCELED


def test_a_cancel_of_what_has_ended_or_never_came_is_quiet(coins: Coins) -> None:
    coins.sell("0.01")
    never = coins.order(Side.SELL, quantity="0.01")
    coins.broker.cancel(coins.sent)
    assert coins.broker.lookup([never]) == {}


def test_an_order_that_is_open_is_said_to_be_working(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal("0.5"), timedelta(seconds=30)
    coins.sell("0.01")
    account = coins.broker.accounts([coins.broker.account_id])[coins.broker.account_id]
    assert account.working == {coins.sent[-1].client_order_id}
    # What is locked in an order is still there.
    assert account.holdings.positions == {"BTC": Decimal("0.495")}


# $600 buy 0.2 ETH, 0.01 BTC sell for $600; the fee is 0.1 %: 0.0002 ETH, $0.60, or in BNB at $500.
@pytest.mark.parametrize("fee_coin", [None, "BNB"])
@pytest.mark.parametrize(
    ("side", "symbol", "amount", "net"),
    [
        (Side.BUY, "ETH", {"notional": "600"}, {"ETH": "0.1998", "USD": "-600"}),
        (Side.SELL, "BTC", {"quantity": "0.01"}, {"BTC": "-0.01", "USD": "599.4"}),
    ],
)
def test_executions_are_what_moved_whatever_the_fee_was_taken_from(
    coins: Coins,
    side: Side,
    symbol: str,
    amount: dict[str, str],
    *,
    net: dict[str, str],
    fee_coin: str | None,
) -> None:
    coins.exchange.fee, coins.exchange.fee_coin = Decimal("0.001"), fee_coin
    coins.exchange.add_market("BNB", "500", step="0.001")
    coins.exchange.balances["BNB"] = Decimal(1)
    before = coins.holdings
    assert isinstance(coins.send(coins.order(side, symbol, **amount)), Accepted)
    moved = {coin: held - before.get(coin, 0) for coin, held in coins.holdings.items()}
    report = coins.last
    assert report is not None
    (execution,) = report.executions
    sign = 1 if side is Side.BUY else -1
    assert execution.quantity * sign == moved[symbol]
    # The price is what was really paid or received, rounded against us in the 18th place.
    assert abs(execution.quantity * execution.price * sign + moved["USD"]) < Decimal("1e-17")
    if fee_coin is None:
        assert {coin: moved[coin] for coin in net} == {coin: Decimal(n) for coin, n in net.items()}
    else:
        assert coins.exchange.balances["BNB"] == Decimal("0.9988")
        assert execution.price == (Decimal(3000) if side is Side.BUY else Decimal(60000))


def test_the_coin_that_pays_fees_is_not_part_of_the_portfolio(coins: Coins) -> None:
    coins.exchange.add_market("BNB", "500", step="0.001")
    coins.exchange.balances["BNB"] = Decimal(1)
    assert coins.holdings["BNB"] == 1
    coins.broker = broker_at(coins.server, coins.clock, terms=replace(TERMS, fee_coin="BNB"))
    assert "BNB" not in coins.holdings
    assert coins.broker.assets(["BNB"]) == {}


def test_coins_without_a_market_against_the_quote_are_left_alone(coins: Coins) -> None:
    coins.exchange.balances |= {"SHIB": Decimal(5), "ETH": Decimal(0)}
    assert coins.holdings == {"USD": Decimal(10000), "BTC": Decimal("0.5")}


def test_prices_that_are_too_old_are_none(coins: Coins) -> None:
    coins.exchange.prices_at = coins.clock.now
    coins.clock.forward(60)
    assert coins.broker.prices(["BTC", "DOGE"]) == {"BTC": Decimal(60000)}
    coins.clock.forward(0.001)
    assert coins.broker.prices(["BTC", "ETH"]) == {}


def test_digits_are_those_that_the_exchange_wrote(coins: Coins) -> None:
    coins.exchange.balances["BTC"] = Decimal("0.123456789012345678")
    coins.exchange.listings["BTCUSD"] = replace(
        coins.exchange.listings["BTCUSD"], price=Decimal("61234.567890123456789")
    )
    assert coins.holdings["BTC"] == Decimal("0.123456789012345678")
    assert coins.broker.prices(["BTC"]) == {"BTC": Decimal("61234.567890123456789")}


def test_markets_are_read_again_after_an_hour(coins: Coins) -> None:
    assert set(coins.broker.assets(["SOL"])) == set()
    coins.exchange.add_market("SOL", "150", step="0.01")
    coins.clock.forward(3600)
    assert set(coins.broker.assets(["SOL"])) == set()
    coins.clock.forward(1)
    assert set(coins.broker.assets(["SOL"])) == {"SOL"}


def test_no_question_is_answered_while_the_exchange_is_down(coins: Coins) -> None:
    broker = coins.broker
    broker.assets(["BTC"])
    coins.server.faults.reads_down = True
    for question in (
        lambda: broker.accounts([broker.account_id]),
        lambda: broker.prices(["BTC"]),
        lambda: broker.lookup([coins.order(Side.SELL, quantity="0.01")]),
    ):
        with pytest.raises(BrokerDown):
            question()


def test_it_names_one_account_that_stays_the_same_and_tells_no_changes(coins: Coins) -> None:
    again = broker_at(coins.server, coins.clock)
    assert again.account_id == coins.broker.account_id
    assert coins.broker.accounts(["somebody-else"]) == {}
    feed = coins.broker.feed(7)
    assert (feed.cursor, feed.changed, feed.transfers) == (7, frozenset(), ())
    assert not coins.broker.traits.tells_changes


class TestWhereOrdersCarryNoIds:
    """The same exchange, taken for one at which ccxt knows of no client order ids."""

    @pytest.fixture
    def nameless(self, coins: Coins, monkeypatch: pytest.MonkeyPatch) -> Coins:
        monkeypatch.setattr("trimtab.brokers.crypto.CLIENT_ID_LENGTHS", {})
        coins.broker = broker_at(coins.server, coins.clock)
        return coins

    @pytest.mark.parametrize(
        ("side", "amount"), [(Side.SELL, {"quantity": "0.01234"}), (Side.BUY, {"notional": "599.99"})]
    )
    def test_a_lost_one_is_found_by_its_looks(
        self, nameless: Coins, side: Side, amount: dict[str, str]
    ) -> None:
        nameless.server.faults.orders.append("lost_answer")
        assert isinstance(nameless.send(nameless.order(side, "BTC", **amount)), Unknown)
        assert not nameless.exchange.accepted[0].startswith("0000")
        report = nameless.last
        assert report is not None
        assert report.filled == nameless.exchange.orders[0].filled

    def test_of_two_that_look_alike_neither_is_taken_for_ours(self, nameless: Coins) -> None:
        nameless.server.faults.orders.append("lost_answer")
        nameless.sell("0.01")
        nameless.exchange.take({"symbol": "BTCUSD", "side": "SELL", "type": "MARKET", "quantity": "0.01000"})
        assert nameless.last is None

    @pytest.mark.parametrize(
        ("side", "quantity", "late_s"), [("BUY", "0.01", 0), ("SELL", "0.011", 0), ("SELL", "0.01", 61)]
    )
    def test_what_looks_otherwise_is_not_ours(
        self, nameless: Coins, side: str, quantity: str, late_s: int
    ) -> None:
        order = nameless.order(Side.SELL, quantity="0.01")
        nameless.server.faults.orders.append("lost_request")
        assert isinstance(nameless.send(order), Unknown)
        nameless.clock.forward(late_s)
        nameless.exchange.take({"symbol": "BTCUSD", "side": side, "type": "MARKET", "quantity": quantity})
        assert nameless.last is None

    def test_an_accepted_one_is_known_by_the_exchanges_id(self, nameless: Coins) -> None:
        outcome = nameless.sell("0.01")
        assert isinstance(outcome, Accepted)
        nameless.exchange.take({"symbol": "BTCUSD", "side": "SELL", "type": "MARKET", "quantity": "0.01000"})
        known = replace(nameless.sent[-1], broker_order_id=outcome.report.broker_order_id)
        assert nameless.broker.lookup([known])[known.client_order_id].filled == Decimal("0.01")

    def test_a_lost_one_cannot_be_cancelled_and_nothing_else_is(self, nameless: Coins) -> None:
        nameless.exchange.first, nameless.exchange.rest_after = Decimal(0), timedelta(seconds=30)
        nameless.server.faults.orders.append("lost_answer")
        nameless.sell("0.01")
        nameless.broker.cancel(nameless.sent)
        assert "DELETE /api/v3/order" not in nameless.server.requests


def test_without_trades_executions_are_what_was_added_since(coins: Coins) -> None:
    coins.exchange.first, coins.exchange.rest_after = Decimal("0.5"), timedelta(seconds=30)
    broker: CryptoBroker = coins.broker
    exchange = broker._line._exchange  # noqa: SLF001 - an exchange that has less than the one at hand
    exchange.has |= {"fetchOrderTrades": False, "fetchMyTrades": False}
    coins.sell("0.01")
    first = coins.last
    assert first is not None
    assert [(e.quantity, e.price) for e in first.executions] == [(Decimal("0.005"), Decimal(60000))]
    coins.exchange.listings["BTCUSD"] = replace(coins.exchange.listings["BTCUSD"], price=Decimal(61000))
    coins.clock.forward(30)
    known = replace(
        coins.sent[-1],
        filled_quantity=first.filled,
        filled_value=sum((e.quantity * e.price for e in first.executions), Decimal(0)),
    )
    rest = broker.lookup([known])[known.client_order_id]
    assert [(e.quantity, e.price) for e in rest.executions] == [(Decimal("0.005"), Decimal(61000))]
    assert {e.execution_id for e in first.executions} & {e.execution_id for e in rest.executions} == set()
    assert (rest.filled, rest.state) == (Decimal("0.01"), OrderState.FILLED)
    done = replace(known, filled_quantity=rest.filled, filled_value=Decimal(605))
    assert broker.lookup([done])[done.client_order_id].executions == ()
    assert not isinstance(coins.sell("0.01"), Refused)
