"""What goes wrong at this broker on purpose, as a client of it sees it; and its prices."""

import httpx
import pytest

from tests.api.paper.face import Face


def test_a_lost_reply_is_a_connection_that_closes_on_an_order_that_was_taken(face: Face) -> None:
    account = face.account("1000")
    face.set_faults(lost_reply=1)
    with pytest.raises(httpx.RemoteProtocolError):
        face.order(account, notional="10", client_order_id="lost")
    path = face.trading(account, "/orders:by_client_order_id")
    assert face.call("GET", path, client_order_id="lost")["status"] == "filled"
    assert face.order(account, notional="10", client_order_id="lost", expect=422)["code"] == 40010001
    assert face.cash(account) == "990"


def test_in_an_outage_nothing_is_answered_and_nothing_happens(face: Face) -> None:
    account = face.account("1000")
    face.order(account, qty="1")
    face.set_faults(outage=True)
    down = {"code": 50310000, "message": "the broker does not answer"}
    for path in ("", "/account", "/orders", "/positions", "/positions/SPY"):
        if path:
            assert face.call("GET", face.trading(account, path), expect=503) == down
    for path in ("/v1/accounts", f"/v1/accounts/{account}", "/v1/assets", "/v1/journals"):
        assert face.call("GET", path, expect=503) == down
    assert face.call("GET", "/v2/stocks/trades/latest", expect=503, symbols="SPY") == down
    assert face.order(account, notional="10", expect=503) == down
    assert face.call("DELETE", face.trading(account, "/positions"), expect=503) == down
    assert face.call("POST", "/v1/accounts", face.holder(), expect=503) == down
    face.set_faults()
    assert face.cash(account) == "600"


def test_a_fill_that_is_late_comes_with_the_clock(face: Face) -> None:
    account = face.account("1000")
    face.set_faults(fill_delay_s=60)
    order = face.order(account, qty="1")
    path = face.trading(account, f"/orders/{order['id']}")
    assert (order["status"], order["filled_at"]) == ("new", None)
    face.later(seconds=59)
    assert face.call("GET", path)["status"] == "new"
    face.later(seconds=1)
    shown = face.call("GET", path)
    assert (shown["status"], shown["filled_qty"]) == ("filled", "1")


def test_the_last_prices_are_served_as_data(face: Face) -> None:
    face.call("PUT", "/sandbox/prices", {"SPY": "417.8049"})
    now = face.call("GET", "/sandbox/clock")["now"]
    answer = face.http.get("/v2/stocks/trades/latest", params={"symbols": "SPY,TLT,NONE"})
    # JSON numbers, with every digit.
    assert '"p":417.8049' in answer.text
    trades = answer.json()["trades"]
    assert {symbol: trade["p"] for symbol, trade in trades.items()} == {"SPY": 417.8049, "TLT": 100}
    assert trades["SPY"]["t"] == now
    assert face.call("GET", "/v2/stocks/SPY/trades/latest") == {"symbol": "SPY", "trade": trades["SPY"]}
    assert face.call("GET", "/v2/stocks/snapshots", symbols="TLT") == {"TLT": {"latestTrade": trades["TLT"]}}
    assert face.call("GET", "/v2/stocks/NONE/trades/latest", expect=404)["code"] == 40410000
    assert face.call("GET", "/v2/stocks/trades/latest", expect=400)["message"] == "symbols is required"
