"""Subscriptions over plain HTTP: who may follow what, the first run, and what remains after the end."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, band, weights


def test_every_key_of_a_subscription_is_always_there(world: World) -> None:
    account_id, portfolio_id = world.account(), world.portfolio(weights(SPY="100"))
    stored = world.post(SUBSCRIPTIONS, {"account_id": account_id, "portfolio_id": portfolio_id})
    now = world.get("/sandbox/clock")["now"]
    assert stored == {
        "id": stored["id"],
        "account_id": account_id,
        "portfolio_id": portfolio_id,
        "last_rebalanced_at": None,
        "trade_marker": "discretionary",
        "created_at": now,
        "updated_at": now,
    }
    assert world.get(f"{SUBSCRIPTIONS}/{stored['id']}") == stored
    assert world.get(SUBSCRIPTIONS) == {"subscriptions": [stored], "next_page_token": None}


@pytest.mark.parametrize("marker", ["discretionary", "unsolicited"])
def test_a_trade_marker_is_kept(world: World, marker: str) -> None:
    body = {"account_id": world.account(), "portfolio_id": world.portfolio(weights(SPY="100"))}
    assert world.post(SUBSCRIPTIONS, {**body, "trade_marker": marker})["trade_marker"] == marker


@pytest.mark.parametrize("marker", ["", "DISCRETIONARY", "other", 1, True, [], ["unsolicited"], {}])
def test_another_trade_marker_is_refused(world: World, marker: Json) -> None:
    body = {"account_id": world.account(), "portfolio_id": world.portfolio(weights(SPY="100"))}
    refused = world.refused("POST", SUBSCRIPTIONS, {**body, "trade_marker": marker}, expect=422)
    assert refused == (42210005, "invalid trade_marker")
    assert world.get(SUBSCRIPTIONS)["subscriptions"] == []


MALFORMED: list[Json] = ["", "nonsense", 5, True, [], {}, uuid4().hex, f" {uuid4()}"]
REFUSED: list[tuple[dict[str, Json], int, int, str]] = [
    ({"account_id": None}, 400, 40010001, "account_id is required"),
    ({"portfolio_id": None}, 400, 40010001, "portfolio_id is required"),
    *[({"account_id": value}, 422, 42210000, "invalid account_id") for value in MALFORMED],
    *[({"portfolio_id": value}, 422, 42210000, "invalid portfolio_id") for value in MALFORMED],
    ({"account_id": str(uuid4())}, 422, 42210000, "account not found"),
    ({"portfolio_id": str(uuid4())}, 422, 42210000, "portfolio not found"),
]


@pytest.mark.parametrize(("sent", "status", "code", "message"), REFUSED)
def test_ids_in_the_body_must_name_something(
    world: World, sent: dict[str, Json], status: int, code: int, message: str
) -> None:
    body = {"account_id": world.account(), "portfolio_id": world.portfolio(weights(SPY="100"))}
    assert world.refused("POST", SUBSCRIPTIONS, body | sent, expect=status) == (code, message)
    assert world.get(SUBSCRIPTIONS)["subscriptions"] == []
    assert world.get(RUNS)["runs"] == []


@pytest.mark.parametrize("status", ["INACTIVE", "ACCOUNT_CLOSED"])
def test_only_an_active_account_may_follow(world: World, status: str) -> None:
    account_id, portfolio_id = world.account("10"), world.portfolio(weights(SPY="100"))
    world.put(f"/sandbox/accounts/{account_id}", {"status": status})
    body = {"account_id": account_id, "portfolio_id": portfolio_id}
    assert world.refused("POST", SUBSCRIPTIONS, body, expect=422) == (42210003, "account is not active")
    world.put(f"/sandbox/accounts/{account_id}", {"status": "ACTIVE"})
    world.post(SUBSCRIPTIONS, body)


def test_an_account_follows_one_portfolio_at_a_time(world: World) -> None:
    account_id, first = world.account(), world.portfolio(weights(SPY="100"))
    second = world.portfolio(weights(TLT="100"))
    subscription_id = world.subscribe(account_id, first)
    taken = (42210003, "subscription already exists for account")
    for portfolio_id in (first, second):
        body = {"account_id": account_id, "portfolio_id": portfolio_id}
        assert world.refused("POST", SUBSCRIPTIONS, body, expect=422) == taken
    world.delete(f"{SUBSCRIPTIONS}/{subscription_id}")
    assert world.subscribe(account_id, second) != subscription_id


def test_of_many_subscriptions_at_once_one_is_made(world: World) -> None:
    account_id, portfolio_id = world.account(), world.portfolio(weights(SPY="100"))
    body = {"account_id": account_id, "portfolio_id": portfolio_id}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.http.post(SUBSCRIPTIONS, json=body), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 15
    assert len(world.get(SUBSCRIPTIONS)["subscriptions"]) == 1
    assert len(world.runs(account_id)) == 1


def test_subscribing_rebalances_at_the_next_opportunity(world: World) -> None:
    account_id = world.account("10000")
    subscription_id = world.subscribe(account_id, world.portfolio(weights(cash="5", SPY="60", TLT="35")))
    (run,) = world.runs(account_id)
    assert (run["type"], run["status"], run["initiated_from"]) == ("full_rebalance", "QUEUED", "system")
    world.settle()
    assert world.held(account_id) == {"cash": "500", "SPY": "15", "TLT": "35"}
    assert world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")]
    done = world.show_run(run["id"])
    shown = world.get(f"{SUBSCRIPTIONS}/{subscription_id}")
    assert shown["last_rebalanced_at"] == done["completed_at"] is not None


def test_subscribing_sells_what_the_portfolio_does_not_name(world: World) -> None:
    account_id = world.account("0", GLD="4")
    world.subscribe(account_id, world.portfolio(weights(SPY="80", TLT="20")))
    world.settle()
    # Four times 250 dollars, all sold.
    assert world.held(account_id) == {"cash": "0", "SPY": "2", "TLT": "2"}
    sides = [(order["symbol"], order["side"]) for order in world.ledger(account_id)]
    assert sides == [("GLD", "sell"), ("SPY", "buy"), ("TLT", "buy")]


def test_the_first_money_of_an_unfunded_account_makes_a_full_rebalance(world: World) -> None:
    account_id = world.account()
    subscription_id = world.subscribe(
        account_id, world.portfolio(weights(SPY="50", TLT="50"), cooldown_days=31)
    )
    world.settle()
    assert world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")]
    assert world.get(f"{SUBSCRIPTIONS}/{subscription_id}")["last_rebalanced_at"] is None
    world.pay_in(account_id, "800")
    world.settle()
    assert world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")] * 2
    assert world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "4"}
    assert world.get(f"{SUBSCRIPTIONS}/{subscription_id}")["last_rebalanced_at"] is not None


def test_a_deposit_is_invested_where_most_is_missing_once_a_day(world: World) -> None:
    account_id = world.account("1000")
    world.subscribe(account_id, world.portfolio(weights(cash="10", SPY="40", TLT="50"), cooldown_days=31))
    world.settle()
    world.pay_in(account_id, "100")
    world.settle()
    # 10 % of the deposit stays in cash: 110 in all.
    assert world.held(account_id) == {"cash": "110", "SPY": "1.1", "TLT": "5.5"}
    world.pay_in(account_id, "100")
    world.settle()
    done = ("full_rebalance", "COMPLETED_SUCCESS"), ("invest_cash", "COMPLETED_SUCCESS")
    assert world.statuses(account_id) == list(done)
    world.later(days=1)
    world.settle()
    assert world.statuses(account_id) == [*done, ("invest_cash", "COMPLETED_SUCCESS")]
    assert world.held(account_id) == {"cash": "120", "SPY": "1.2", "TLT": "6"}


def test_small_cash_is_left_alone(world: World) -> None:
    account_id = world.account("1000")
    world.subscribe(account_id, world.portfolio(weights(SPY="40", TLT="60"), cooldown_days=31))
    world.settle()
    world.pay_in(account_id, "10")
    world.settle()
    assert world.held(account_id) == {"cash": "10", "SPY": "1", "TLT": "6"}
    world.pay_in(account_id, "0.01")
    world.settle()
    # Missing are 4.004 and 6.006 dollars: the cent that is over goes to the larger fraction.
    assert world.held(account_id) == {"cash": "0", "SPY": "1.01", "TLT": "6.0601"}
    assert world.statuses(account_id)[1:] == [("invest_cash", "COMPLETED_SUCCESS")]


def test_a_broken_band_rebalances_everything(world: World) -> None:
    one, two = world.symbol("100"), world.symbol("100")
    account_id = world.account("1000")
    world.subscribe(account_id, world.portfolio(weights(**{one: "50", two: "50"}), band("5")))
    world.settle()
    assert world.held(account_id) == {"cash": "0", one: "5", two: "5"}
    # 611.10 of 1,111.10 dollars is 54.9995 %: within.
    world.set_prices({one: "122.22"})
    world.settle()
    assert len(world.runs(account_id)) == 1
    # 625 of 1,125 dollars is 55.6 %: beyond. Half of it is 562.50 dollars: 0.5 shares at 125 go.
    world.set_prices({one: "125"})
    world.settle()
    assert world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")] * 2
    assert world.held(account_id) == {"cash": "0", one: "4.5", two: "5.625"}


def test_unsubscribing_cancels_a_queued_run_and_lets_a_started_one_finish(world: World) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    queued, started = world.account("400"), world.account("400")
    first = world.subscribe(started, portfolio_id)
    world.set_faults(fill_delay_s=30)
    world.settle()
    second = world.subscribe(queued, portfolio_id)
    for subscription_id in (first, second):
        world.delete(f"{SUBSCRIPTIONS}/{subscription_id}")
    assert world.statuses(queued) == [("full_rebalance", "CANCELED")]
    assert world.statuses(started) == [("full_rebalance", "IN_PROGRESS")]
    world.later(seconds=30)
    world.settle()
    assert world.statuses(started) == [("full_rebalance", "COMPLETED_SUCCESS")]
    assert world.held(started) == {"cash": "0", "SPY": "1"}
    assert world.held(queued) == {"cash": "400"}


def test_after_the_end_nothing_is_rebalanced_any_more(world: World) -> None:
    account_id = world.account("400")
    subscription_id = world.subscribe(account_id, world.portfolio(weights(SPY="100"), band("1")))
    world.settle()
    world.delete(f"{SUBSCRIPTIONS}/{subscription_id}")
    world.pay_in(account_id, "400")
    world.later(days=1)
    world.settle()
    assert len(world.runs(account_id)) == 1
    assert world.held(account_id) == {"cash": "400", "SPY": "1"}


def test_an_ended_subscription_is_gone(world: World) -> None:
    subscription_id = world.subscribe(world.account(), world.portfolio(weights(SPY="100")))
    path = f"{SUBSCRIPTIONS}/{subscription_id}"
    world.delete(path)
    assert world.refused("GET", path, expect=404) == (40410000, "subscription not found")
    assert world.refused("DELETE", path, expect=422) == (42210000, "subscription doesn't exist")
    assert world.get(SUBSCRIPTIONS)["subscriptions"] == []


def test_ids_in_the_path_are_malformed_or_missing(world: World) -> None:
    for method in ("GET", "DELETE"):
        refused = world.refused(method, f"{SUBSCRIPTIONS}/nonsense", expect=422)
        assert refused == (42210000, "invalid subscription_id")
    missing = world.refused("GET", f"{SUBSCRIPTIONS}/{uuid4()}", expect=404)
    assert missing == (40410000, "subscription not found")
    missing = world.refused("DELETE", f"{SUBSCRIPTIONS}/{uuid4()}", expect=422)
    assert missing == (42210000, "subscription doesn't exist")


def test_an_update_reaches_subscribers_even_in_cooldown(world: World) -> None:
    account_id = world.account("1000")
    portfolio_id = world.portfolio(weights(SPY="100"), band("5"), cooldown_days=31)
    world.subscribe(account_id, portfolio_id)
    world.settle()
    world.patch(f"{PORTFOLIOS}/{portfolio_id}", {"weights": weights(SPY="20", TLT="80")})
    world.settle()
    assert world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")] * 2
    assert world.held(account_id) == {"cash": "0", "SPY": "0.5", "TLT": "8"}
    world.settle()
    assert len(world.runs(account_id)) == 2


def test_an_ineligible_asset_sets_the_portfolio_aside_until_it_is_mended(world: World) -> None:
    symbol = world.symbol("100")
    portfolio_id = world.portfolio(weights(**{symbol: "100"}), band("1"))
    path = f"{PORTFOLIOS}/{portfolio_id}"
    follower, waiting = world.account("1000"), world.account("500")
    world.subscribe(follower, portfolio_id)
    world.settle()
    world.subscribe(waiting, portfolio_id)

    world.put(f"/sandbox/assets/{symbol}", {"fractionable": False})
    assert world.get(path)["status"] == "needs_adjustment"
    assert [p["id"] for p in world.get(PORTFOLIOS, status="needs_adjustment")] == [portfolio_id]
    world.settle()
    assert world.statuses(waiting) == [("full_rebalance", "CANCELED")]
    body = {"account_id": world.account(), "portfolio_id": portfolio_id}
    not_active = (42210002, "portfolio is not active")
    assert world.refused("POST", SUBSCRIPTIONS, body, expect=422) == not_active
    ineligible = (42210001, f"asset not fractionable: {symbol}")
    assert world.refused("PATCH", path, {"status": "active"}, expect=422) == ineligible
    assert world.refused("PATCH", path, {"weights": weights(**{symbol: "100"})}, expect=422) == ineligible
    assert world.patch(path, {"name": "still waiting"})["status"] == "needs_adjustment"

    assert world.patch(path, {"weights": weights(SPY="100")})["status"] == "active"
    world.settle()
    assert world.held(waiting) == {"cash": "0", "SPY": "1.25"}
    assert world.held(follower) == {"cash": "0", "SPY": "2.5"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tradable": False}, "not tradable"),
        ({"status": "inactive"}, "not active"),
        ({"fractionable": False}, "not fractionable"),
    ],
)
def test_an_asset_that_is_mended_makes_its_portfolio_active_again(
    world: World, change: Json, why: str
) -> None:
    symbol = world.symbol("100")
    portfolio_id = world.portfolio(weights(**{symbol: "100"}))
    world.put(f"/sandbox/assets/{symbol}", change)
    path = f"{PORTFOLIOS}/{portfolio_id}"
    refused = world.refused("PATCH", path, {"status": "active"}, expect=422)
    assert refused == (42210001, f"asset {why}: {symbol}")
    new = {"name": "N", "description": "", "weights": weights(**{symbol: "100"}), "cooldown_days": 0}
    assert world.refused("POST", PORTFOLIOS, new, expect=422) == refused
    run = {"account_id": world.account("1"), "type": "full_rebalance", "weights": new["weights"]}
    assert world.refused("POST", RUNS, run, expect=422) == refused
    world.put(f"/sandbox/assets/{symbol}", {"tradable": True, "status": "active", "fractionable": True})
    assert world.patch(path, {"status": "active"})["status"] == "active"
