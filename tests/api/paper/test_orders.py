"""Orders, positions and what they cost, over the wire: hand-worked numbers, every refusal, every filter."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.paper.face import Face, Json

BUY: Json = {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day"}
# What is asked for beside BUY, and how it is refused.
REFUSALS: list[tuple[Json, int, int, str]] = [
    ({}, 400, 40010001, "qty or notional is required"),
    ({"qty": "1", "notional": "1"}, 400, 40010001, "only one of qty or notional is accepted"),
    ({"qty": "0"}, 400, 40010001, "qty: must be greater than 0"),
    ({"qty": "-1"}, 400, 40010001, "qty: must be greater than 0"),
    ({"qty": 0.0000000001}, 400, 40010001, "qty: invalid value"),
    ({"qty": "0.0000000001"}, 400, 40010001, "qty: at most 9 decimal places"),
    ({"qty": "1000000000"}, 400, 40010001, "qty: must be less than a billion"),
    ({"qty": []}, 400, 40010001, "qty: invalid value"),
    ({"notional": "1.001"}, 400, 40010001, "notional: at most 2 decimal places"),
    ({"notional": "0.99"}, 422, 42210000, "a buy is for at least $1"),
    ({"notional": "1", "side": "short"}, 400, 40010001, "side: invalid value"),
    ({"notional": "1", "type": "stop"}, 400, 40010001, "type: invalid value"),
    ({"notional": "1", "type": "limit"}, 400, 40010001, "limit_price is required for limit orders"),
    ({"notional": "1", "limit_price": "1"}, 400, 40010001, "limit_price: not permitted for market"),
    ({"notional": "1", "time_in_force": "gtc"}, 400, 40010001, "time_in_force: invalid value"),
    (
        {"notional": "1", "extended_hours": True},
        400,
        40010001,
        "extended_hours: only regular hours are served",
    ),
    ({"notional": "1", "order_class": "bracket"}, 400, 40010001, "order_class: invalid value"),
    ({"notional": "1", "stop_price": "1"}, 400, 40010001, "stop_price: not supported"),
    ({"notional": "1", "client_order_id": ""}, 400, 40010001, "client_order_id: value is empty"),
    ({"notional": "1", "client_order_id": "x" * 129}, 400, 40010001, "client_order_id: invalid value"),
    ({"notional": "1", "symbol": "NONE"}, 422, 42210000, "no asset NONE"),
    ({"notional": "1", "symbol": None}, 400, 40010001, "symbol is required"),
    (
        {"notional": "1000.01"},
        403,
        40310000,
        "insufficient buying power: costs $1000.01, only $1000 is free",
    ),
    (
        {"qty": "1", "side": "sell"},
        403,
        40310000,
        "insufficient buying power: only 0 shares of SPY are free to be sold",
    ),
]


@pytest.mark.parametrize(("others", "status", "code", "message"), REFUSALS)
def test_what_is_wrong_with_an_order_is_said(
    face: Face, others: Json, status: int, code: int, message: str
) -> None:
    account = face.account("1000")
    path = face.trading(account, "/orders")
    assert face.refused("POST", path, {**BUY, **others}, expect=status) == (code, message)
    assert face.call("GET", path, status="all") == []
    assert face.cash(account) == "1000"


def test_an_asset_that_may_not_be_traded_is_refused(face: Face) -> None:
    account = face.account("1000")
    face.call("PUT", "/sandbox/assets/TLT", {"fractionable": False})
    whole = "asset TLT is traded in whole shares only"
    for amount in ({"notional": "50"}, {"qty": "0.5"}):
        assert face.order(account, symbol="TLT", expect=422, **amount)["message"] == whole
    assert face.order(account, symbol="TLT", qty="1")["filled_qty"] == "1"
    face.call("PUT", "/sandbox/assets/TLT", {"tradable": False})
    assert face.order(account, symbol="TLT", qty="1", expect=422)["message"] == "asset TLT is not tradable"


def test_what_open_orders_claim_is_not_spent_twice(face: Face) -> None:
    account = face.account("1000")
    face.set_faults(fill_delay_s=60)
    face.order(account, notional="600")
    shown = face.call("GET", face.trading(account, "/account"))
    assert (shown["cash"], shown["buying_power"]) == ("1000", "400")
    assert face.order(account, notional="400.01", expect=403)["code"] == 40310000
    assert face.transfer(account, "400.01", direction="OUTGOING", expect=422)["code"] == 42210003


def test_numbers_are_taken_as_they_are_written(face: Face) -> None:
    account = face.account("1000")
    assert face.order(account, qty=0.125)["qty"] == "0.125"
    assert face.order(account, notional=25.5)["notional"] == "25.5"


def test_orders_are_listed_by_state_side_symbol_time_and_number(face: Face) -> None:
    account = face.account("1000")
    path = face.trading(account, "/orders")
    first = face.order(account, notional="10")
    begun = face.later(minutes=1) - timedelta(seconds=30)
    second = face.order(account, notional="20", symbol="TLT")
    third = face.order(account, qty="0.01", side="sell")
    face.set_faults(fill_delay_s=60)
    fourth = face.order(account, notional="30")
    everything = [each["id"] for each in (fourth, third, second, first)]

    def listed(**query: Any) -> list[str]:
        return [each["id"] for each in face.call("GET", path, **query)]

    assert listed() == everything[:1]
    assert listed(status="all") == everything
    assert listed(status="closed") == everything[1:]
    assert listed(status="all", direction="asc") == everything[::-1]
    assert listed(status="all", limit="2") == everything[:2]
    assert listed(status="all", side="sell") == [third["id"]]
    assert listed(status="all", symbols="TLT,GLD") == [second["id"]]
    assert listed(status="all", after=begun.isoformat()) == everything[:3]
    assert listed(status="all", until=begun.isoformat()) == [first["id"]]
    assert listed(status="all", nested="True") == everything


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"status": "old"}, "status: invalid value"),
        ({"limit": "0"}, "limit: must be between 1 and 500"),
        ({"limit": "501"}, "limit: must be between 1 and 500"),
        ({"limit": "five"}, "limit: must be between 1 and 500"),
        ({"after": "yesterday"}, "after: invalid value"),
        ({"until": "2026-02-30"}, "until: invalid value"),
        ({"direction": "up"}, "direction: invalid value"),
        ({"nested": "maybe"}, "nested: must be true or false"),
        ({"side": "both"}, "side: invalid value"),
        ({"symbols": ",,"}, "symbols: invalid value"),
        ({"symbols": "A\0"}, "symbols: invalid value"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(face: Face, query: Json, message: str) -> None:
    path = face.trading(face.account(), "/orders")
    assert face.call("GET", path, expect=400, **query) == {"code": 40010001, "message": message}


def test_an_order_is_found_under_the_clients_own_id_only_in_its_account(face: Face) -> None:
    one, two = face.account("100"), face.account("100")
    orders = {account: face.order(account, notional="10", client_order_id="same") for account in (one, two)}
    assert orders[one]["id"] != orders[two]["id"]
    for account, order in orders.items():
        path = face.trading(account, "/orders:by_client_order_id")
        assert face.call("GET", path, client_order_id="same") == order
        assert face.call("GET", path, client_order_id="none", expect=404)["message"] == "order not found"
        assert face.call("GET", path, expect=400)["message"] == "client_order_id is required"
    other = face.trading(two, f"/orders/{orders[one]['id']}")
    assert face.refused("GET", other, expect=404) == (40410000, "order not found")
    assert face.refused("DELETE", other, expect=404) == (40410000, "order not found")


def test_the_broker_names_what_the_client_does_not(face: Face) -> None:
    account = face.account("100")
    named = [face.order(account, notional="10")["client_order_id"] for _ in range(2)]
    assert len(set(named)) == 2


def test_what_shares_cost_is_their_average_and_sales_leave_it(face: Face) -> None:
    account = face.account("1000")
    position = face.trading(account, "/positions/SPY")
    face.order(account, qty="1")
    face.call("PUT", "/sandbox/prices", {"SPY": "500"})
    face.order(account, qty="1")
    # 400 + 500, by two
    shown = face.call("GET", position)
    assert (shown["cost_basis"], shown["avg_entry_price"], shown["unrealized_pl"]) == ("900", "450", "100")
    assert shown["unrealized_plpc"] == "0.111111111"
    face.order(account, qty="0.5", side="sell")
    shown = face.call("GET", position)
    assert (shown["qty"], shown["cost_basis"], shown["avg_entry_price"]) == ("1.5", "675", "450")


def test_what_is_left_of_a_cost_is_shown_with_nine_places(face: Face) -> None:
    account = face.account("1000")
    face.call("PUT", "/sandbox/prices", {"SPY": "417.83"})
    face.order(account, notional="100")
    face.order(account, qty="0.1", side="sell")
    # 0.139331785 of 0.239331785 shares, at 417.83: 58.21699972655
    shown = face.call("GET", face.trading(account, "/positions/SPY"))
    assert (shown["qty"], shown["avg_entry_price"]) == ("0.139331785", "417.83")
    assert (shown["cost_basis"], shown["unrealized_pl"]) == ("58.216999727", "-0.00000000045")
    (equity,) = face.call("GET", face.trading(account, "/account/portfolio/history"))["equity"]
    assert equity == 1000


def test_a_split_changes_the_average_and_not_the_cost(face: Face) -> None:
    account = face.account("1000")
    face.call("PUT", "/sandbox/prices", {"XSPL": "100"})
    face.order(account, symbol="XSPL", qty="3")
    face.call("POST", "/sandbox/corporate-actions", {"type": "split", "symbol": "XSPL", "ratio": "4"})
    name = f"Y{account[:8]}".upper()
    face.call("POST", "/sandbox/corporate-actions", {"type": "rename", "symbol": "XSPL", "new_symbol": name})
    (shown,) = face.call("GET", face.trading(account, "/positions"))
    assert (shown["symbol"], shown["qty"], shown["current_price"]) == (name, "12", "25")
    assert (shown["cost_basis"], shown["avg_entry_price"], shown["unrealized_pl"]) == ("300", "25", "0")
    # What was bought under the old symbol is still an order.
    (order,) = face.call("GET", face.trading(account, "/orders"), status="all")
    assert (order["symbol"], order["asset_id"]) == ("XSPL", shown["asset_id"])


def test_a_part_of_a_position_is_closed(face: Face) -> None:
    account = face.account("1000")
    face.order(account, qty="2")
    position = face.trading(account, "/positions/SPY")
    assert face.call("DELETE", position, qty="0.5")["qty"] == "0.5"
    assert face.call("DELETE", position, percentage="50")["qty"] == "0.75"
    assert face.positions(account) == {"SPY": "0.75"}
    for query, message in [
        ({"qty": "1", "percentage": "1"}, "only one of qty or percentage is accepted"),
        ({"qty": "0"}, "qty: must be greater than 0"),
        ({"percentage": "100.1"}, "percentage: must be at most 100"),
    ]:
        assert face.call("DELETE", position, expect=400, **query)["message"] == message
    assert face.call("DELETE", position, expect=403, qty="1")["code"] == 40310000
    assert face.call("DELETE", face.trading(account, "/positions/TLT"), expect=404)["code"] == 40410000


def test_everything_is_closed_as_far_as_it_can_be(face: Face) -> None:
    account = face.account("1000")
    face.order(account, qty="1")
    face.order(account, symbol="TLT", qty="1")
    face.set_faults(fill_delay_s=60)
    face.order(account, qty="1", side="sell")
    positions = face.trading(account, "/positions")
    refused, placed = face.call("DELETE", positions, expect=207)
    assert (refused["symbol"], refused["status"], refused["body"]["code"]) == ("SPY", 403, 40310000)
    assert (placed["symbol"], placed["status"], placed["body"]["status"]) == ("TLT", 200, "new")
    face.set_faults()
    again = face.call("DELETE", positions, expect=207, cancel_orders="True")
    assert [each["body"]["status"] for each in again] == ["filled", "filled"]
    assert (face.positions(account), face.cash(account)) == ({}, "1000")
