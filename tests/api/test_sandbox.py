"""The sandbox's table of calls: what each answers, and what each refuses."""

from decimal import Decimal
from uuid import uuid4

import pytest

from tests.api.conftest import NewWorld, StartServer
from tests.api.world import PORTFOLIOS, SUBSCRIPTIONS, Json, World, band, weights

BAD = 40010001
NAN_AND_FRIENDS: list[Json] = ["NaN", "Infinity", "1e3", "1_000", "1,000", " 1", "\uff11", True, [], {}]
NAN_AND_FRIENDS += ["", None]


# The clock: its rules over time are in test_clock.py.


NO_INSTANTS: list[Json] = ["", "now", "1741000000", None, 5, True, [], {}, "\uff12026-03-02T15:00:00Z"]
NO_INSTANTS += ["2026-03-02", "2026-03-02T15:00:00", "2026-03-02 15:00:00Z", "2026-3-2T15:00:00Z"]
NO_INSTANTS += [
    "2026-13-01T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-03-02T24:00:00Z",
    "2026-03-02T15:00:60Z",
]
NO_INSTANTS += ["2026-03-02T15:00:00+24:00", "2026-03-02T15:00:00.Z", "2026-03-02T15:00:00.1234567890Z"]
NO_INSTANTS += ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]


@pytest.mark.parametrize("now", NO_INSTANTS)
def test_the_clock_takes_rfc_3339_only(world: World, now: Json) -> None:
    before = world.get("/sandbox/clock")
    refused = world.refused("PUT", "/sandbox/clock", {"now": now}, expect=400)
    assert refused == (BAD, "now: invalid value")
    assert world.get("/sandbox/clock") == before


def test_the_clock_needs_a_time(world: World) -> None:
    assert world.refused("PUT", "/sandbox/clock", {}, expect=400) == (BAD, "now is required")


@pytest.mark.parametrize("now", ["1989-12-29T15:00:00Z", "0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_clock_stays_within_the_market_calendar(world: World, now: str) -> None:
    before = world.get("/sandbox/clock")
    code, message = world.refused("PUT", "/sandbox/clock", {"now": now}, expect=422)
    assert (code, message) == (42210000, f"{now[:10]} lies outside the known sessions of XNYS")
    assert world.get("/sandbox/clock") == before


def test_the_clock_is_shown_in_utc_to_the_microsecond(world: World) -> None:
    day = world.later(days=1).date()
    shown = world.put("/sandbox/clock", {"now": f"{day}T17:30:00.123456789+01:00"})
    assert shown == {"now": f"{day}T16:30:00.123456Z", "simulated": True}
    assert world.get("/sandbox/clock") == shown


# Prices and assets.


def test_a_first_price_makes_an_asset_that_trades(world: World) -> None:
    name = f"NEW{uuid4().hex[:8]}"
    body = {"name": "N", "description": "", "weights": weights(**{name: "100"}), "cooldown_days": 0}
    assert world.refused("POST", PORTFOLIOS, body, expect=422) == (42210001, f"asset not found: {name}")
    prices = world.put("/sandbox/prices", {name: 12.50})
    assert prices[name] == "12.5"
    assert {symbol: prices[symbol] for symbol in ("SPY", "TLT", "GLD")} == {
        "SPY": "400",
        "TLT": "100",
        "GLD": "250",
    }
    asset = {"symbol": name, "tradable": True, "fractionable": True, "status": "active", "depth": None}
    assert world.put(f"/sandbox/assets/{name}", {}) == asset
    world.post(PORTFOLIOS, body)
    assert world.put("/sandbox/prices", {name: "0.000001"})[name] == "0.000001"
    assert world.put("/sandbox/prices", {})[name] == "0.000001"


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        *[(price, "value is empty" if price in ("", None) else "invalid value") for price in NAN_AND_FRIENDS],
        ("0", "must be greater than 0"),
        (-1, "must be greater than 0"),
        ("1000000000", "must be more than zero and less than a billion"),
    ],
)
def test_a_bad_price_spoils_the_whole_call(world: World, price: Json, problem: str) -> None:
    before = world.put("/sandbox/prices", {})
    body = {"SPY": "401", "BAD": price}
    assert world.refused("PUT", "/sandbox/prices", body, expect=400) == (BAD, f"BAD: {problem}")
    assert world.put("/sandbox/prices", {}) == before


@pytest.mark.parametrize("symbol", ["", "S" * 65])
def test_a_price_needs_a_symbol(world: World, symbol: str) -> None:
    refused = world.refused("PUT", "/sandbox/prices", {symbol: "1"}, expect=400)
    assert refused == (BAD, "symbol: invalid value")


def test_an_asset_is_changed_field_by_field(world: World) -> None:
    symbol = world.symbol("10")
    path = f"/sandbox/assets/{symbol}"
    asset = {"symbol": symbol, "tradable": True, "fractionable": True, "status": "active", "depth": None}
    assert world.put(path, {"tradable": False}) == asset | {"tradable": False}
    assert world.put(path, {"fractionable": False, "tradable": True}) == asset | {"fractionable": False}
    inactive = asset | {"fractionable": False, "status": "inactive"}
    assert world.put(path, {"status": "inactive"}) == inactive
    assert world.put(path, {}) == inactive
    assert world.put(path, {"status": "active", "fractionable": True}) == asset
    assert world.put(path, {"depth": "250000.50"}) == asset | {"depth": "250000.5"}
    assert world.put(path, {"tradable": False}) == asset | {"depth": "250000.5", "tradable": False}
    assert world.put(path, {"depth": None, "tradable": True}) == asset


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tradable": "true"}, "tradable: invalid value"),
        ({"tradable": 1}, "tradable: invalid value"),
        ({"tradable": None}, "tradable: invalid value"),
        ({"fractionable": []}, "fractionable: invalid value"),
        ({"status": "ACTIVE"}, "status: invalid value"),
        ({"status": True}, "status: invalid value"),
        ({"status": ["active"]}, "status: invalid value"),
        ({"symbol": "X"}, "symbol: unknown field, known are tradable, fractionable, status, depth"),
        ({"tradable": False, "x": 1}, "x: unknown field, known are tradable, fractionable, status, depth"),
        ({"tradable": False, "depth": "0"}, "depth: must be greater than 0"),
        ({"depth": -1}, "depth: must be greater than 0"),
        ({"depth": ""}, "depth: value is empty"),
        ({"depth": "endless"}, "depth: invalid value"),
        ({"depth": True}, "depth: invalid value"),
        ({"depth": "1e6"}, "depth: invalid value"),
        ({"depth": "1000.001"}, "depth: must be more than zero, with at most 2 decimal places"),
    ],
)
def test_a_bad_change_of_an_asset_changes_nothing(world: World, body: Json, message: str) -> None:
    symbol = world.symbol("10")
    before = world.put(f"/sandbox/assets/{symbol}", {})
    assert world.refused("PUT", f"/sandbox/assets/{symbol}", body, expect=400) == (BAD, message)
    assert world.put(f"/sandbox/assets/{symbol}", {}) == before


@pytest.mark.parametrize("symbol", ["%00", "S" * 65, "%00SPY"])
def test_the_asset_in_the_path_must_be_a_symbol(world: World, symbol: str) -> None:
    refused = world.refused("PUT", f"/sandbox/assets/{symbol}", {}, expect=400)
    assert refused == (BAD, "symbol: invalid value")


def test_a_shallow_market_makes_trades_dear(world: World) -> None:
    """$1,000 are a tenth of the depth: what costs $10 is bought at $11. 90.909090909 × 11 = 999.999999999"""
    symbol = world.symbol("10")
    world.put(f"/sandbox/assets/{symbol}", {"depth": "10000"})
    account_id = world.account("1000")
    run_id = world.run(account_id, weights(**{symbol: "100"}))
    world.settle()
    assert world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"
    assert world.held(account_id) == {"cash": "0.000000001", symbol: "90.909090909"}
    world.worth[account_id] -= Decimal("90.909090909")


# Accounts and their cash.


def test_an_account_shows_what_it_holds_and_what_that_is_worth(world: World) -> None:
    account_id = world.account("500.50", TLT="4.995", SPY="2.5")
    assert world.show(account_id) == {
        "account_id": account_id,
        "status": "ACTIVE",
        "cash": "500.5",
        "equity": "2000",
        "positions": [
            {"symbol": "SPY", "qty": "2.5", "price": "400", "market_value": "1000", "weight": "50"},
            {"symbol": "TLT", "qty": "4.995", "price": "100", "market_value": "499.5", "weight": "24.975"},
        ],
    }


def test_an_account_may_begin_with_nothing(world: World) -> None:
    nothing = {"status": "ACTIVE", "cash": "0", "equity": "0", "positions": []}
    for body in ({}, {"cash": "0"}, {"cash": None, "positions": None}, {"cash": 0, "positions": []}):
        account_id = world.post("/sandbox/accounts", body)["account_id"]
        assert world.show(account_id) == {"account_id": account_id, **nothing}


def test_without_a_price_there_is_no_equity(world: World) -> None:
    unpriced = {"symbol": f"UN{uuid4().hex[:8]}", "qty": "1.5"}
    account_id = world.post("/sandbox/accounts", {"cash": "5", "positions": [unpriced]})["account_id"]
    shown = world.show(account_id)
    assert (shown["cash"], shown["equity"]) == ("5", None)
    assert shown["positions"] == [{**unpriced, "price": None, "market_value": None, "weight": None}]
    world.put("/sandbox/prices", {unpriced["symbol"]: "2"})
    assert world.show(account_id)["equity"] == "8"


POSITION = {"symbol": "SPY", "qty": "1"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        *[({"cash": v}, "cash: invalid value") for v in NAN_AND_FRIENDS if v not in ("", None)],
        ({"cash": ""}, "cash: value is empty"),
        ({"cash": "-1"}, "cash: must be 0 or more"),
        ({"cash": "0.001"}, "cash: at most two decimal places"),
        ({"cash": "9" * 19}, "cash: invalid value"),
        ({"equity": "5"}, "equity: unknown field, known are cash, positions"),
        ({"positions": {}}, "positions: invalid value"),
        ({"positions": "SPY"}, "positions: invalid value"),
        ({"positions": ["SPY"]}, "positions[0]: invalid value"),
        ({"positions": [{"qty": "1"}]}, "positions[0].symbol: invalid value"),
        ({"positions": [{"symbol": "", "qty": "1"}]}, "positions[0].symbol: invalid value"),
        ({"positions": [{"symbol": 5, "qty": "1"}]}, "positions[0].symbol: invalid value"),
        ({"positions": [{"symbol": "SPY"}]}, "positions[0].qty: value is empty"),
        ({"positions": [POSITION, {"symbol": "TLT", "qty": "x"}]}, "positions[1].qty: invalid value"),
        ({"positions": [{"symbol": "SPY", "qty": "0"}]}, "positions[0].qty: must be greater than 0"),
        ({"positions": [{"symbol": "SPY", "qty": "-1"}]}, "positions[0].qty: must be greater than 0"),
        (
            {"positions": [{"symbol": "SPY", "qty": "0.0000000001"}]},
            "positions[0].qty: must be more than zero, with at most 9 decimal places",
        ),
        ({"positions": [POSITION, POSITION]}, "positions[1].symbol: SPY is there twice"),
    ],
)
def test_a_bad_account_is_not_opened(world: World, body: Json, message: str) -> None:
    assert world.refused("POST", "/sandbox/accounts", body, expect=400) == (BAD, message)


def test_cash_goes_in_and_out_to_the_last_cent(world: World) -> None:
    account_id = world.account("10")
    assert world.pay_in(account_id, "0.01")["cash"] == "10.01"
    assert world.pay_in(account_id, "-10.01")["cash"] == "0"
    path = f"/sandbox/accounts/{account_id}/cash"
    refused = world.refused("POST", path, {"amount": "-0.01"}, expect=422)
    assert refused == (42210003, "insufficient cash")
    assert world.show(account_id)["cash"] == "0"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "amount is required"),
        *[({"amount": v}, "amount: invalid value") for v in NAN_AND_FRIENDS if v not in ("", None)],
        ({"amount": None}, "amount: value is empty"),
        ({"amount": "0"}, "amount: must be an amount other than zero"),
        ({"amount": "-0.00"}, "amount: must be an amount other than zero"),
        ({"amount": "0.001"}, "amount: at most two decimal places"),
        ({"amount": "5", "currency": "EUR"}, "currency: unknown field, known are amount"),
    ],
)
def test_a_bad_amount_moves_nothing(world: World, body: Json, message: str) -> None:
    account_id = world.account("10")
    path = f"/sandbox/accounts/{account_id}/cash"
    assert world.refused("POST", path, body, expect=400) == (BAD, message)
    assert world.show(account_id)["cash"] == "10"


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("PUT", ""), ("POST", "/cash")])
def test_account_ids_are_malformed_or_missing(world: World, method: str, tail: str) -> None:
    body = {"PUT": {"status": "ACTIVE"}, "POST": {"amount": "1"}}.get(method)
    malformed = world.refused(method, f"/sandbox/accounts/nonsense{tail}", body, expect=422)
    assert malformed == (42210000, "invalid account_id")
    missing = world.refused(method, f"/sandbox/accounts/{uuid4()}{tail}", body, expect=404)
    assert missing == (40410000, "account not found")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "status is required"),
        ({"status": "active"}, "status: must be one of ACTIVE, INACTIVE, ACCOUNT_CLOSED"),
        ({"status": "CLOSED"}, "status: must be one of ACTIVE, INACTIVE, ACCOUNT_CLOSED"),
        ({"status": None}, "status: invalid value"),
        ({"status": ["ACTIVE"]}, "status: invalid value"),
        ({"status": "ACTIVE", "cash": "5"}, "cash: unknown field, known are status"),
    ],
)
def test_a_bad_status_changes_nothing(world: World, body: Json, message: str) -> None:
    account_id = world.account("10")
    assert world.refused("PUT", f"/sandbox/accounts/{account_id}", body, expect=400) == (BAD, message)
    assert world.show(account_id)["status"] == "ACTIVE"


def test_an_inactive_account_is_left_alone_until_it_is_active_again(world: World) -> None:
    symbol = world.symbol("100")
    account_id = world.account("1000")
    world.subscribe(account_id, world.portfolio(weights(**{symbol: "50"}, cash="50"), band("5")))
    world.settle()
    assert world.put(f"/sandbox/accounts/{account_id}", {"status": "INACTIVE"})["status"] == "INACTIVE"
    world.set_prices({symbol: "200"})
    world.settle()
    assert len(world.runs(account_id)) == 1
    world.put(f"/sandbox/accounts/{account_id}", {"status": "ACTIVE"})
    world.settle()
    # Equity is 500 + 5 times 200 dollars.
    assert world.held(account_id) == {"cash": "750", symbol: "3.75"}


def test_a_queued_run_of_an_account_that_became_inactive_is_cancelled(world: World) -> None:
    account_id = world.account("400")
    world.run(account_id, weights(SPY="100"))
    world.put(f"/sandbox/accounts/{account_id}", {"status": "INACTIVE"})
    world.settle()
    (run,) = world.runs(account_id)
    assert (run["status"], run["reason"]) == ("CANCELED", "the account is not active")


def test_closing_an_account_cancels_its_open_orders(world: World) -> None:
    account_id = world.account("400")
    world.run(account_id, weights(SPY="100"))
    world.set_faults(fill_delay_s=60)
    world.settle()
    world.put(f"/sandbox/accounts/{account_id}", {"status": "ACCOUNT_CLOSED"})
    assert [order["status"] for order in world.ledger(account_id)] == ["canceled"]
    world.later(seconds=60)
    world.settle()
    assert world.held(account_id) == {"cash": "400"}
    (run,) = world.runs(account_id)
    assert run["status"] == "COMPLETED_ADJUSTED"


# The broker's ledger.


def test_the_ledger_shows_every_accepted_order_as_it_came(world: World) -> None:
    account_id = world.account("0", SPY="2", GLD="1.6")
    world.run(account_id, weights(SPY="50", TLT="50"))
    world.settle()
    now = world.get("/sandbox/clock")["now"]
    orders = world.get("/sandbox/orders")["orders"]
    # 1,200 dollars in all, 600 in each: half a share of SPY goes, GLD goes whole, TLT comes.
    sold, gone, bought = sorted(orders, key=lambda order: ("SPY", "GLD", "TLT").index(order["symbol"]))
    assert orders[2] == bought
    stamps = {"submitted_at": now, "filled_at": now, "canceled_at": None, "status": "filled"}
    for order, fields in (
        (sold, {"symbol": "SPY", "side": "sell", "qty": "0.5", "notional": None, "filled_qty": "0.5"}),
        (gone, {"symbol": "GLD", "side": "sell", "qty": "1.6", "notional": None, "filled_qty": "1.6"}),
        (bought, {"symbol": "TLT", "side": "buy", "qty": None, "notional": "600", "filled_qty": "6"}),
    ):
        price = {"SPY": "400", "GLD": "250", "TLT": "100"}[order["symbol"]]
        ids = {name: order[name] for name in ("id", "client_order_id")}
        assert order == ids | stamps | fields | {"account_id": account_id, "filled_avg_price": price}


def test_the_ledger_comes_in_pages(world: World) -> None:
    for _ in range(5):
        world.run(world.account("100"), weights(TLT="100"))
    world.settle()
    whole = world.get("/sandbox/orders")
    assert (len(whole["orders"]), whole["next_cursor"]) == (5, None)
    for limit in (1, 2, 4, 5, 1000):
        found, cursor = [], None
        while True:
            query: dict[str, Json] = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
            page = world.get("/sandbox/orders", **query)
            assert 0 < len(page["orders"]) <= limit
            found += page["orders"]
            cursor = page["next_cursor"]
            assert cursor != ""
            if cursor is None:
                break
        assert found == whole["orders"]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "abc", "1.5", "\uff11", "99999999999"])
def test_the_ledgers_limit_is_a_whole_number_up_to_1000(world: World, limit: str) -> None:
    refused = world.refused("GET", "/sandbox/orders", expect=400, limit=limit)
    assert refused == (BAD, "limit: must be between 1 and 1000")


@pytest.mark.parametrize("cursor", ["abc", "!!!", "-1", "1.5", "9" * 19, "9" * 30, "\uff11", "LTE=", "%00"])
def test_the_ledgers_cursor_is_one_that_was_given_out(world: World, cursor: str) -> None:
    refused = world.refused("GET", "/sandbox/orders", expect=400, cursor=cursor)
    assert refused == (BAD, "cursor: invalid value")


# Settling.


def test_settling_counts_what_it_did(start_server: StartServer, new_world: NewWorld) -> None:
    world = new_world(start_server("sqlite"))
    world.open_market()
    nothing = {"evaluated": 0, "runs_created": 0, "runs_finished": 0, "orders": 0}
    assert world.settle() == nothing
    portfolio_id = world.portfolio(weights(SPY="40", TLT="60"), band("5"))
    one = world.account("1000")
    world.subscribe(one, portfolio_id)
    world.subscribe(world.account(), portfolio_id)
    world.run(world.account("0", SPY="1"), weights(TLT="100"))
    # Two runs of subscriptions, one without money, and one asked for: two orders each with money.
    settled = world.settle()
    assert (settled["runs_finished"], settled["orders"]) == (3, 4)
    assert settled["runs_created"] == 0
    assert world.settle() | {"evaluated": 0} == nothing
    world.pay_in(one, "100")
    settled = world.settle()
    assert settled == {"evaluated": settled["evaluated"], "runs_created": 1, "runs_finished": 1, "orders": 2}


def test_amounts_of_any_size_that_are_taken_can_be_settled(
    start_server: StartServer, new_world: NewWorld
) -> None:
    world = new_world(start_server("sqlite"))
    world.open_market()
    portfolio_id = world.portfolio(weights(SPY="60", TLT="40"), band("5"), band("5", "relative"))
    ordinary = world.account("1000")
    world.subscribe(ordinary, portfolio_id)
    for body in (
        {"cash": "999999999999999999.99"},
        {"cash": "999999999999999999"},
        {"positions": [{"symbol": "SPY", "qty": "999999999999999999.999999999"}]},
        {"positions": [{"symbol": "SPY", "qty": "9223372036.854775808"}]},
        {"positions": [{"symbol": "SPY", "qty": "0.000000001"}]},
        {"cash": "0.01"},
    ):
        answer = world.http.post("/sandbox/accounts", json=body)
        if answer.status_code == 200:
            world.subscribe(answer.json()["account_id"], portfolio_id)
        else:
            assert answer.status_code == 400
    world.settle()
    assert world.held(ordinary) == {"cash": "0", "SPY": "1.5", "TLT": "4"}


def test_a_price_of_any_size_that_is_taken_can_be_settled(
    start_server: StartServer, new_world: NewWorld
) -> None:
    world = new_world(start_server("sqlite"))
    world.open_market()
    tiny, huge = world.symbol("0.000000000000000001"), world.symbol("999999999.999999999999999999")
    ordinary, strange = world.account("1000"), world.account("1000")
    world.subscribe(ordinary, world.portfolio(weights(SPY="60", TLT="40")))
    world.subscribe(strange, world.portfolio(weights(**{tiny: "50", huge: "50"}), band("5")))
    world.settle()
    assert world.held(ordinary) == {"cash": "0", "SPY": "1.5", "TLT": "4"}
    assert {run["status"] for run in world.runs(strange)} <= {"COMPLETED_SUCCESS", "COMPLETED_ADJUSTED"}


# A sandbox that is switched off.

SANDBOX = [
    ("GET", "/sandbox/clock"),
    ("PUT", "/sandbox/clock"),
    ("PUT", "/sandbox/prices"),
    ("PUT", "/sandbox/assets/SPY"),
    ("POST", "/sandbox/accounts"),
    ("GET", f"/sandbox/accounts/{uuid4()}"),
    ("PUT", f"/sandbox/accounts/{uuid4()}"),
    ("POST", f"/sandbox/accounts/{uuid4()}/cash"),
    ("PUT", "/sandbox/faults"),
    ("POST", "/sandbox/settle"),
    ("GET", "/sandbox/orders"),
]


def test_without_the_sandbox_there_is_no_trace_of_it(start_server: StartServer, new_world: NewWorld) -> None:
    world = new_world(start_server("sqlite", TRIMTAB_SANDBOX="0"))
    for method, path in SANDBOX:
        answer = world.http.request(method, path, json={} if method != "GET" else None)
        assert (answer.status_code, answer.json()) == (404, {"code": 40410000, "message": "not found"})
    cash_only = world.portfolio(weights(cash="100"))
    assert [portfolio["id"] for portfolio in world.get(PORTFOLIOS)] == [cash_only]
    body = {"account_id": str(uuid4()), "portfolio_id": cash_only}
    assert world.refused("POST", SUBSCRIPTIONS, body, expect=422) == (42210000, "account not found")
