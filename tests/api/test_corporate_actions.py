"""Corporate actions over HTTP: what the call answers and refuses, and what a client sees of it.

Each test has an asset of its own. The books of the tests know what prices make of an account: a split, and a
new symbol, must leave it, a dividend adds to it.
"""

from decimal import Decimal
from uuid import uuid4

import pytest

from tests.api.conftest import NewWorld
from tests.api.servers import Server
from tests.api.world import PORTFOLIOS, Json, World, band, weights

BAD = 40010001
ACTIONS = "/sandbox/corporate-actions"


def act(world: World, kind: str, symbol: str, **terms: Json) -> Json:
    return world.post(ACTIONS, {"type": kind, "symbol": symbol, **terms})


def test_a_split_doubles_shares_and_halves_the_price(world: World) -> None:
    symbol = world.symbol("400")
    account_id = world.account("100", **{symbol: "2.5"})
    done = act(world, "split", symbol, ratio="2")
    assert done == {
        "id": done["id"],
        "type": "split",
        "symbol": symbol,
        "price": "200",
        "accounts": 1,
        "paid": "0",
        "late": None,
    }
    assert done["id"].startswith("split:")
    assert world.held(account_id) == {"cash": "100", symbol: "5"}
    assert world.put("/sandbox/prices", {})[symbol] == "200"
    assert act(world, "reverse_split", symbol, ratio="4", late=None)["price"] == "800"
    assert world.held(account_id) == {"cash": "100", symbol: "1.25"}


def test_everybodys_accounts_are_touched(world: World, server: Server, new_world: NewWorld) -> None:
    other = new_world(server)
    symbol = world.symbol("10")
    other.prices[symbol] = "10"
    mine, theirs = world.account("0", **{symbol: "1"}), other.account("0", **{symbol: "3"})
    assert act(world, "split", symbol, ratio="1.5")["accounts"] == 2
    assert (world.held(mine)[symbol], other.held(theirs)[symbol]) == ("1.5", "4.5")
    # What a price loses after its 18th place, times what is held.
    world.worth[mine] -= Decimal("0.000000000000000001")
    other.worth[theirs] -= Decimal("0.000000000000000003")


@pytest.mark.parametrize("late", ["quantity", "price"])
def test_a_split_that_is_late_makes_no_order_until_it_is_complete(world: World, late: str) -> None:
    symbol = world.symbol("400")
    holder, other = world.account("0", **{symbol: "10"}), world.account("1000")
    small = world.account("100", **{symbol: "1"})
    mine = world.portfolio(weights(**{symbol: "100"}), band("5"))
    world.subscribe(holder, mine)
    world.settle()
    done = act(world, "split", symbol, ratio="2", late=late)
    assert (done["late"], done["price"]) == (late, "200" if late == "quantity" else "400")
    run_id = world.run(other, weights(**{symbol: "50", "SPY": "50"}))
    waiting = world.run(small, weights(SPY="100"))
    world.settle()
    run = world.show_run(run_id)
    assert run["status"] == "COMPLETED_ADJUSTED"
    (skipped,) = run["skipped_orders"]
    assert (skipped["symbol"], skipped["reason"]) == (symbol, "CORPORATE_ACTION")
    assert skipped["reason_details"] == f"the split of {symbol}, 2 for 1, is not complete, its {late} is late"
    assert [order["symbol"] for order in run["orders"]] == ["SPY"]
    assert world.show_run(waiting)["status"] == "QUEUED"
    assert len(world.runs(holder)) == 1
    code, message = world.refused(
        "POST", ACTIONS, {"type": "cash_dividend", "symbol": symbol, "amount": "1"}, expect=422
    )
    assert (code, message) == (
        42210000,
        f'the split of {symbol} is not complete: its {late} is late; ask for it again without "late"',
    )
    assert act(world, "split", symbol, ratio="2") == {
        **done,
        "late": None,
        "price": "200",
        "accounts": 2 * (late == "quantity"),
    }
    world.settle()
    assert world.show_run(waiting)["status"] == "COMPLETED_SUCCESS"
    assert world.held(holder) == {"cash": "0", symbol: "20"}
    assert len(world.runs(holder)) == 1


def test_a_new_price_completes_a_split_whose_price_was_late(world: World) -> None:
    symbol = world.symbol("400")
    account_id = world.account("0", **{symbol: "1"})
    act(world, "split", symbol, ratio="2", late="price")
    run_id = world.run(account_id, weights(SPY="100"))
    world.settle()
    assert world.show_run(run_id)["status"] == "QUEUED"
    world.put("/sandbox/prices", {symbol: "200"})
    world.settle()
    assert world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"


def test_a_new_symbol_is_in_the_portfolio_as_a_new_version_without_an_update(world: World) -> None:
    symbol, new_symbol = world.symbol("400"), f"NEW{uuid4().hex[:8]}"
    account_id = world.account("0", **{symbol: "10"})
    portfolio_id = world.portfolio(weights(**{symbol: "100"}), {"type": "on_portfolio_update"})
    world.subscribe(account_id, portfolio_id)
    world.settle()
    runs = world.runs(account_id)
    done = act(world, "rename", symbol, new_symbol=new_symbol)
    assert (done["symbol"], done["accounts"], done["price"]) == (new_symbol, 1, "400")
    world.prices[new_symbol] = "400"
    assert world.held(account_id) == {"cash": "0", new_symbol: "10"}
    shown = world.get(f"{PORTFOLIOS}/{portfolio_id}")
    assert [(line["symbol"], line["percent"]) for line in shown["weights"]] == [(new_symbol, "100")]
    assert shown["status"] == "active"
    prices = world.put("/sandbox/prices", {})
    assert symbol not in prices
    assert prices[new_symbol] == "400"
    world.settle()
    assert world.runs(account_id) == runs, "nobody is rebalanced for a name"
    body = {"name": "N", "description": "", "weights": weights(**{symbol: "100"}), "cooldown_days": 0}
    assert world.refused("POST", PORTFOLIOS, body, expect=422) == (42210001, f"asset not found: {symbol}")
    for call in (("/sandbox/prices", {symbol: "1"}), (f"/sandbox/assets/{symbol}", {"tradable": True})):
        assert world.refused("PUT", *call, expect=422) == (42210000, f"{symbol} is now {new_symbol}")


def test_a_delisted_asset_stays_or_is_paid_out(world: World) -> None:
    symbol = world.symbol("400")
    account_id = world.account("1", **{symbol: "2.5"})
    portfolio_id = world.portfolio(weights(**{symbol: "50", "SPY": "50"}))
    assert act(world, "delist", symbol)["accounts"] == 0
    asset = world.put(f"/sandbox/assets/{symbol}", {})
    assert (asset["status"], asset["tradable"]) == ("inactive", False)
    assert world.held(account_id) == {"cash": "1", symbol: "2.5"}
    assert world.get(f"{PORTFOLIOS}/{portfolio_id}")["status"] == "needs_adjustment"
    done = act(world, "delist", symbol, cash_per_share="0.333333")
    assert (done["accounts"], done["paid"]) == (1, "0.8333325")
    assert world.held(account_id) == {"cash": "1.8333325"}
    world.worth[account_id] = Decimal("1.8333325")


def test_a_dividend_is_paid_to_the_cent(world: World) -> None:
    symbol = world.symbol("10")
    ids = [world.account("0", **{symbol: "10"}) for _ in range(3)]
    done = act(world, "cash_dividend", symbol, amount="0.0335")
    assert (done["accounts"], done["paid"]) == (3, "1")
    got = {account_id: Decimal(world.held(account_id)["cash"]) for account_id in ids}
    assert sorted(map(str, got.values())) == ["0.33", "0.33", "0.34"]
    for account_id, part in got.items():
        world.worth[account_id] += part


NAMED = "must be one of split, reverse_split, rename, delist, cash_dividend"
MANY = "must be more than 1 and at most 10000, with at most 9 places"


@pytest.mark.parametrize(
    ("body", "status", "refused"),
    [
        ({}, 400, (BAD, "type is required")),
        ({"type": "merger"}, 400, (BAD, f"type: {NAMED}")),
        ({"type": ["split"]}, 400, (BAD, f"type: {NAMED}")),
        ({"type": "split"}, 400, (BAD, "symbol is required")),
        ({"type": "split", "ratio": "2", "symbol": 5}, 400, (BAD, "symbol: invalid value")),
        ({"type": "split", "symbol": "X"}, 400, (BAD, "ratio is required")),
        ({"type": "split", "symbol": "X", "ratio": None}, 400, (BAD, "ratio is required")),
        ({"type": "split", "symbol": "X", "ratio": "2:1"}, 400, (BAD, "ratio: invalid value")),
        ({"type": "split", "symbol": "X", "ratio": "1"}, 400, (BAD, f"ratio: {MANY}")),
        (
            {"type": "split", "symbol": "X", "ratio": "2", "late": "both"},
            400,
            (BAD, "late: must be one of quantity, price"),
        ),
        (
            {"type": "split", "symbol": "X", "ratio": "2", "amount": "1"},
            400,
            (BAD, "amount: unknown field, known are type, symbol, ratio, late"),
        ),
        (
            {"type": "delist", "symbol": "X", "late": "price"},
            400,
            (BAD, "late: unknown field, known are type, symbol, cash_per_share"),
        ),
        ({"type": "rename", "symbol": "X"}, 400, (BAD, "new_symbol is required")),
        ({"type": "rename", "symbol": "X", "new_symbol": ""}, 400, (BAD, "new_symbol: invalid value")),
        ({"type": "cash_dividend", "symbol": "X"}, 400, (BAD, "amount is required")),
        ({"type": "cash_dividend", "symbol": "X", "amount": "NaN"}, 400, (BAD, "amount: invalid value")),
        ({"type": "split", "symbol": "NOBODYS", "ratio": "2"}, 422, (42210000, "asset not found")),
        (
            {"type": "rename", "symbol": "SPY", "new_symbol": "TLT"},
            422,
            (42210000, "TLT is the symbol of another asset"),
        ),
    ],
)
def test_what_cannot_be_read_or_done_changes_nothing(
    world: World, body: Json, status: int, *, refused: tuple[int, str]
) -> None:
    before = world.put("/sandbox/prices", {})
    assert world.refused("POST", ACTIONS, body, expect=status) == refused
    assert world.put("/sandbox/prices", {}) == before
