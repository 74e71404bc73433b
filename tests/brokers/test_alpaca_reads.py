"""Accounts, assets, prices, lookups and cancels at Alpaca; every word of a broker is hostile until read."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.brokers.alpaca_server import Fault, refusal
from tests.brokers.market import order
from tests.brokers.trading import Trading, trading
from trimtab.brokers.broker import Account
from trimtab.core.errors import BrokerDown
from trimtab.core.plan import Holdings
from trimtab.core.run import OrderState, Side

TRADES = "/v2/stocks/trades/latest"


def ann(at: Trading) -> Account:
    return at.broker.accounts(["ann"])["ann"]


# Accounts


def test_an_account_is_as_the_broker_tells_it() -> None:
    with trading() as at:
        at.server.fills = lambda: None
        at.send(order("working", Side.SELL, quantity="1"))
        assert ann(at) == Account(
            account_id="ann",
            status="ACTIVE",
            holdings=Holdings(cash=Decimal(1000), positions={"SPY": Decimal(2)}),
            working=frozenset({"working"}),
        )


def test_an_unknown_account_is_absent() -> None:
    with trading() as at:
        assert set(at.broker.accounts(["ann", "nobody", "../ann", "", "a/b"])) == {"ann"}


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_an_account_that_the_broker_itself_keeps_from_us_is_absent(status: int) -> None:
    with trading() as at:
        at.server.queued["GET"].append(refusal(status, "no"))
        assert at.broker.accounts(["ann"]) == {}


def test_wrong_keys_are_not_taken_for_unknown_accounts() -> None:
    with trading(secret="wrong") as at, pytest.raises(BrokerDown, match="refuses these keys"):
        at.broker.accounts(["ann"])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404, body=b"<html></html>", kind="text/html"),
        Fault(status=404, body=b'{"message": "no route matched"}'),
        Fault(status=401, body=b""),
        Fault(status=403, body=b'{"message": "Forbidden"}'),
        Fault(status=429, body=b"{}"),
        Fault(status=302, headers={"Location": "/"}),
        Fault(status=204, body=b""),
        Fault(body=b'{"not": "a list"}'),
        Fault(body=b'[{"client_order_id": null}]'),
        Fault(hangs_up=True),
    ],
    ids=range(10),
)
def test_what_does_not_prove_an_account_missing_is_a_broker_that_is_down(fault: Fault) -> None:
    """Whoever takes it for empty sells or buys what nobody meant."""
    with trading() as at:
        at.server.queued["GET"] += 3 * [fault]
        with pytest.raises(BrokerDown):
            ann(at)


@pytest.mark.parametrize("words", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
def test_an_account_that_is_blocked_is_not_active(words: str) -> None:
    with trading() as at:
        at.server.accounts["ann"].more = {words: True}
        assert not ann(at).is_active
        at.server.accounts["ann"].more = {words: False}
        assert ann(at).is_active


def served_positions(at: Trading, *positions: dict[str, object]) -> None:
    at.server.queued["GET"] += [Fault(body=b"[]"), Fault(body=json.dumps(positions).encode())]


@pytest.mark.parametrize(
    "position",
    [
        {"symbol": "TSLA", "qty": "-3", "side": "short"},
        {"symbol": "TSLA", "qty": "3", "side": "short"},
        {"symbol": "TSLA", "qty": "-3"},
        {"symbol": "BTCUSD", "qty": "1", "side": "long", "asset_class": "crypto"},
    ],
    ids=["short", "short and positive", "negative", "crypto"],
)
def test_an_account_with_what_cannot_be_rebalanced_is_not_active(position: dict[str, object]) -> None:
    with trading() as at:
        served_positions(at, position, {"symbol": "SPY", "qty": "2", "side": "long"})
        found = ann(at)
        assert found.holdings.positions == {"SPY": Decimal(2)}
        assert not found.is_active
        assert str(position["symbol"]) in found.status


def test_a_position_of_nothing_is_none() -> None:
    with trading() as at:
        served_positions(at, {"symbol": "SPY", "qty": "0", "side": "long"})
        assert ann(at).holdings.positions == {}


@pytest.mark.parametrize(
    "positions",
    [
        [{"symbol": "SPY", "qty": "NaN"}],
        [{"symbol": "SPY", "qty": None}],
        [{"symbol": "SPY"}],
        [{"symbol": "SPY", "qty": "1"}, {"symbol": "SPY", "qty": "1"}],
        [{"symbol": None, "qty": "1"}],
        ["SPY"],
    ],
    ids=range(6),
)
def test_a_position_that_cannot_be_read_is_not_left_out(positions: list[dict[str, object]]) -> None:
    with trading() as at:
        served_positions(at, *positions)
        with pytest.raises(BrokerDown):
            ann(at)


@pytest.mark.parametrize("cash", ["NaN", None, "", "1,000", "1e99", {}])
def test_cash_that_cannot_be_read_is_not_nothing(cash: object) -> None:
    with trading() as at:
        at.server.accounts["ann"].more = {"cash": cash}
        with pytest.raises(BrokerDown, match="cash"):
            ann(at)


def test_of_no_account_it_is_asked_whether_the_broker_answers() -> None:
    with trading() as at:
        assert at.broker.accounts([]) == {}
        assert at.server.calls == ["GET /v1/clock"]
        at.server.queued["GET"] += 3 * [Fault(status=503)]
        with pytest.raises(BrokerDown):
            at.broker.accounts([])


@pytest.mark.parametrize("fault", [Fault(hangs_up=True), Fault(status=502), Fault(body=b"{")], ids=range(3))
def test_a_question_whose_answer_failed_is_asked_again(fault: Fault) -> None:
    with trading() as at:
        at.server.queued["GET"] += 2 * [fault]
        assert ann(at).is_active


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 302])
def test_a_question_that_was_answered_is_not_asked_again(status: int) -> None:
    with trading() as at:
        at.server.queued["GET"].append(Fault(status=status, body=b"{}"))
        with pytest.raises(BrokerDown):
            at.broker.lookup([order("sold", Side.SELL, quantity="1")])
        assert len(at.server.calls) == 1


# Assets


def test_assets_by_symbol() -> None:
    with trading() as at:
        at.server.assets = {"TLT": {"fractionable": False}, "SPY": {"class": "crypto"}}
        found = at.broker.assets(["SPY", "TLT", "NONE", "a b", "x/../y"])
        assert {symbol: asset.why_ineligible for symbol, asset in found.items()} == {
            "SPY": "not tradable",
            "TLT": "not fractionable",
        }
        assert found["TLT"].asset_id == "id-TLT"


def test_an_asset_is_remembered_for_five_minutes() -> None:
    with trading() as at:
        for forward, calls in ((0, 1), (299, 1), (1, 2)):
            at.clock.forward(forward)
            at.broker.assets(["SPY"])
            assert len(at.server.calls) == calls


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404, body=b"", kind="text/plain"),
        Fault(status=500),
        Fault(body=b'{"id": "1", "symbol": "SPY", "status": "active", "tradable": "yes"}'),
        Fault(body=b'{"id": "1", "symbol": null, "status": "active"}'),
    ],
    ids=range(4),
)
def test_an_asset_that_cannot_be_read_is_not_taken_for_unknown(fault: Fault) -> None:
    """Strategies that name what is unknown are set aside."""
    with trading() as at:
        at.server.queued["GET"] += 3 * [fault]
        with pytest.raises(BrokerDown):
            at.broker.assets(["SPY"])


# Prices


def test_prices_are_the_latest_trades() -> None:
    with trading() as at:
        assert at.broker.prices(["SPY", "TLT", "NONE", "a,b"]) == {"SPY": Decimal(400), "TLT": Decimal(100)}
        assert at.server.calls == [f"GET {TRADES}"]


def test_prices_come_from_snapshots_where_there_are_no_latest_trades() -> None:
    with trading() as at:
        at.server.paths_gone = {TRADES}
        assert at.broker.prices(["SPY", "TLT"]) == {"SPY": Decimal(400), "TLT": Decimal(100)}


def test_without_either_the_broker_is_down() -> None:
    with trading() as at:
        at.server.paths_gone = {TRADES, "/v2/stocks/snapshots"}
        with pytest.raises(BrokerDown):
            at.broker.prices(["SPY"])


def test_one_symbol_that_the_vendor_refuses_does_not_cost_the_others_their_price() -> None:
    with trading() as at:
        # All four, then two and two, of which the latter one by one.
        trouble = refusal(400, "invalid symbol: WHAT")
        at.server.queued["GET"].append(trouble)
        answers = [{"SPY": 400}, None, {"TLT": 100}, None]
        at.server.queued["GET"] += [
            trouble
            if each is None
            else trades({s: {"p": p, "t": "2026-03-02T15:00:00Z"} for s, p in each.items()})
            for each in answers
        ]
        assert at.broker.prices(["AAA", "SPY", "TLT", "WHAT"]) == {"SPY": Decimal(400), "TLT": Decimal(100)}


def trades(told: object) -> Fault:
    return Fault(body=json.dumps({"trades": told}).encode())


@pytest.mark.parametrize(
    "trade",
    [
        {"t": "2026-03-02T15:00:00Z", "p": "NaN"},
        {"t": "2026-03-02T15:00:00Z", "p": None},
        {"t": "2026-03-02T15:00:00Z", "p": True},
        {"t": "2026-03-02T15:00:00Z"},
        {"t": "2026-03-02T14:44:59Z", "p": 400},
        {"t": "soon", "p": 400},
        {"t": 7, "p": 400},
        {"p": 400},
        None,
        [],
    ],
    ids=range(10),
)
def test_what_is_no_price_or_an_old_one_is_none_and_stops_no_other(trade: object) -> None:
    with trading() as at:
        at.server.queued["GET"].append(
            trades({"SPY": trade, "TLT": {"t": "2026-03-02T14:45:00Z", "p": 100.5}})
        )
        assert at.broker.prices(["SPY", "TLT"]) == {"TLT": Decimal("100.5")}


def test_without_a_limit_a_price_may_be_old() -> None:
    with trading(price_age_max=None) as at:
        at.server.queued["GET"].append(
            trades({"SPY": {"t": "1999-12-31T00:00:00Z", "p": 400}, "TLT": {"p": 1}})
        )
        assert at.broker.prices(["SPY", "TLT"]) == {"SPY": Decimal(400), "TLT": Decimal(1)}


def test_many_symbols_are_asked_for_in_parts() -> None:
    with trading() as at:
        symbols = [f"S{n}" for n in range(250)]
        at.server.set_prices(**dict.fromkeys(symbols, "7"))
        assert at.broker.prices(symbols) == dict.fromkeys(symbols, Decimal(7))
        assert len(at.server.calls) == 3


# Lookups and cancels


def test_what_the_broker_does_not_know_is_absent() -> None:
    with trading() as at:
        sold, never = order("sold", Side.SELL, quantity="1"), order("never", Side.SELL, quantity="1")
        at.send(sold)
        assert set(at.broker.lookup([sold, never])) == {"sold"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404, body=b"<html></html>", kind="text/html"),
        Fault(status=404, body=b"{}"),
        Fault(status=401, body=b'{"code": 40110000, "message": "unauthorized"}'),
        Fault(status=500, body=b"{}"),
        Fault(body=b"null"),
        Fault(hangs_up=True),
    ],
    ids=range(6),
)
def test_only_the_broker_itself_can_say_that_there_is_no_order(fault: Fault) -> None:
    with trading() as at:
        sold = order("sold", Side.SELL, quantity="1")
        at.send(sold)
        at.server.queued["GET"] += 3 * [fault]
        with pytest.raises(BrokerDown):
            at.broker.lookup([sold])


def test_an_answer_about_another_order_is_none_about_ours() -> None:
    with trading() as at:
        sold, bought = order("sold", Side.SELL, quantity="1"), order("bought", Side.BUY, notional="5")
        at.send(sold)
        at.server.queued["GET"].append(Fault(body=json.dumps(at.server.orders["sold"].shown()).encode()))
        with pytest.raises(BrokerDown, match="client_order_id"):
            at.broker.lookup([bought])


def test_a_cancel_shows_in_the_lookup() -> None:
    with trading() as at:
        at.server.fills = lambda: None
        orders = [order(name, Side.SELL, quantity="1") for name in ("one", "two", "never")]
        for each in orders[:2]:
            at.send(each)
        at.server.fill("two")
        at.broker.cancel(orders)
        states = {key: report.state for key, report in at.broker.lookup(orders).items()}
        assert states == {"one": OrderState.CANCELED, "two": OrderState.FILLED}


def test_every_cancel_is_asked_for_whatever_becomes_of_the_others() -> None:
    with trading() as at:
        at.server.fills = lambda: None
        orders = [order(f"sell {n}", Side.SELL, quantity="1") for n in range(20)]
        for each in orders:
            at.send(each)
        at.server.queued["DELETE"].append(Fault(hangs_up=True))
        with pytest.raises(BrokerDown):
            at.broker.cancel(orders)
        assert sum(each.status == "canceled" for each in at.server.orders.values()) == 19


def test_orders_of_one_account_leave_in_the_order_in_which_they_were_given() -> None:
    with trading() as at:
        for name in ("bob", "cat"):
            at.server.open_account(name, "1000", SPY="50")
        orders = [
            order(f"{name} {n}", Side.SELL, account_id=name, quantity="1")
            for n in range(15)
            for name in ("bob", "cat")
        ]
        outcomes = at.broker.submit(orders)
        assert len(outcomes) == len(orders)
        for name in ("bob", "cat"):
            came = [key for key in at.server.orders if key.startswith(name)]
            assert came == [f"{name} {n}" for n in range(15)]


def test_traits() -> None:
    with trading() as at:
        traits = at.broker.traits
        assert (traits.name, traits.drops_duplicates, traits.tells_changes) == ("alpaca", True, False)
        assert traits.quarantine == timedelta(seconds=30)
        assert at.broker.feed(7).cursor == 7
        assert at.broker.wallet("0xabc", "acme", index=0) is None  # type: ignore[func-returns-value]
