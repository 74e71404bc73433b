"""Why a subscription was rebalanced or not, over plain HTTP; and the setting of ineligible assets.

A is at $400 and B at $100: A 15 and B 40 are the $10,000 of 60/40.
"""

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, band, calendar, weights


def evaluations(world: World, subscription_id: str, query: dict[str, str] | None = None) -> Json:
    answer = world.http.get(f"{SUBSCRIPTIONS}/{subscription_id}/evaluations", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def latest(world: World, subscription_id: str) -> Json:
    return evaluations(world, subscription_id)["evaluations"][0]


def test_every_key_of_an_evaluation_is_always_there(world: World) -> None:
    """A at $420 is 6300 of 10,300: 61.165 %. Wednesdays come first; the 15th is the next quarterly day."""
    a, b = world.symbol("400"), world.symbol("100")
    lines = weights(**{a: "60", b: "40"})
    portfolio_id = world.portfolio(lines, band("5"), calendar("quarterly", "15"), cooldown_days=1)
    subscription_id = world.subscribe(world.account(**{a: "15", b: "40"}), portfolio_id)
    world.settle()
    rebalanced_at = world.now()
    world.next_day()
    today = world.now().date().isoformat()
    world.set_prices({a: "420"})
    world.settle()
    shown = latest(world, subscription_id)
    next_on = shown.pop("next_calendar_on")
    assert next_on > today
    assert shown == {
        "evaluated_at": world.get("/sandbox/clock")["now"],
        "portfolio_id": portfolio_id,
        "portfolio_version": 1,
        "session_on": today,
        "outcome": "not_triggered",
        "reason": "NOTHING_DUE",
        "reason_details": "no condition is met",
        "run_id": None,
        "drift": [
            {
                "sub_type": "absolute",
                "band": "5",
                "symbol": a,
                "target": "60",
                "actual": "61.165",
                "drift": "1.165",
                "limit": "5",
                "distance": "3.835",
            }
        ],
        "free_cash": "0",
        "invest_cash_min": "10",
        "cooldown_ends_on": (rebalanced_at + timedelta(days=1)).date().isoformat(),
        "next_due_at": None,
    }


def test_a_run_is_found_from_the_evaluation_that_made_it(world: World) -> None:
    a, b = world.symbol("400"), world.symbol("100")
    portfolio_id = world.portfolio(weights(**{a: "60", b: "40"}), band("5"))
    account_id = world.account(**{a: "15", b: "40"})
    subscription_id = world.subscribe(account_id, portfolio_id)
    world.settle()
    world.next_day()
    world.set_prices({a: "500"})
    world.settle()
    made = world.runs(account_id)[-1]
    found = {e["run_id"]: e for e in evaluations(world, subscription_id)["evaluations"]}[made["id"]]
    assert (found["outcome"], found["reason"], found["drift"][0]["distance"]) == (
        "triggered",
        "TRIGGERED",
        "-0.2174",
    )
    assert found["reason_details"] == (f"absolute band of 5 %: {a} is worth $7500 of $11500, target 60 %")


def test_the_reasons_that_this_wire_calls_by_its_own_words(world: World) -> None:
    a = world.symbol("400")
    portfolio_id = world.portfolio(weights(**{a: "100"}))
    subscription_id = world.subscribe(world.account(**{a: "1"}), portfolio_id)
    world.settle()
    world.put(f"/sandbox/assets/{a}", {"tradable": False})
    world.settle()
    shown = latest(world, subscription_id)
    assert (shown["outcome"], shown["reason"]) == ("not_evaluated", "PORTFOLIO_NOT_ACTIVE")
    assert shown["reason_details"] == "the portfolio is not active"
    assert shown["drift"] == []


def test_free_cash_that_is_not_invested_says_why(world: World) -> None:
    a = world.symbol("400")
    subscription_id = world.subscribe(world.account(**{a: "1"}), world.portfolio(weights(**{a: "100"})))
    world.settle()
    world.pay_in(latest_account(world), "10")
    world.settle()
    assert latest(world, subscription_id)["reason_details"] == (
        "no condition is met; free cash of $10 is not above $10"
    )


def latest_account(world: World) -> str:
    return str(world.get(SUBSCRIPTIONS)["subscriptions"][-1]["account_id"])


def test_evaluations_come_in_pages_the_latest_first(world: World) -> None:
    a = world.symbol("400")
    subscription_id = world.subscribe(world.account(**{a: "1"}), world.portfolio(weights(**{a: "100"})))
    for _ in range(4):
        world.settle()
        world.later(minutes=1)
    whole = evaluations(world, subscription_id)
    assert whole["next_page_token"] is None
    paged, token = [], None
    while True:
        query = {"limit": "2"} | ({} if token is None else {"page_token": token})
        page = evaluations(world, subscription_id, query)
        paged += page["evaluations"]
        token = page["next_page_token"]
        if token is None:
            break
        assert len(page["evaluations"]) == 2
    assert paged == whole["evaluations"]
    assert len(paged) >= 4
    instants = [each["evaluated_at"] for each in paged]
    assert instants == sorted(instants, reverse=True)


def test_evaluations_of_what_is_not_there(world: World, other: World) -> None:
    a = world.symbol("400")
    subscription_id = world.subscribe(world.account(**{a: "1"}), world.portfolio(weights(**{a: "100"})))
    path = f"{SUBSCRIPTIONS}/{{}}/evaluations"
    missing = (40410000, "subscription not found")
    assert world.refused("GET", path.format(uuid4()), expect=404) == missing
    assert other.refused("GET", path.format(subscription_id), expect=404) == missing
    malformed = world.refused("GET", path.format("nonsense"), expect=422)
    assert malformed == (42210000, "invalid subscription_id")
    world.delete(f"{SUBSCRIPTIONS}/{subscription_id}")
    assert world.refused("GET", path.format(subscription_id), expect=404) == missing


def test_a_portfolio_says_what_it_does_about_ineligible_assets(world: World) -> None:
    a, b = world.symbol("400"), world.symbol("100")
    body = {"name": "P", "weights": weights(**{a: "60", b: "40"}), "cooldown_days": 0}
    assert world.post(PORTFOLIOS, body)["on_ineligible"] == "needs_adjustment"
    portfolio = world.post(PORTFOLIOS, {**body, "on_ineligible": "freeze_line"})
    path = f"{PORTFOLIOS}/{portfolio['id']}"
    assert world.get(path)["on_ineligible"] == portfolio["on_ineligible"] == "freeze_line"
    assert world.patch(path, {"name": "Q"})["on_ineligible"] == "freeze_line"
    account_id = world.account("10000")
    world.subscribe(account_id, portfolio["id"])
    world.put(f"/sandbox/assets/{b}", {"status": "inactive"})
    world.settle()
    assert world.get(path)["status"] == "active"
    assert world.held(account_id) == {"cash": "4000", a: "15"}
    (run,) = world.runs(account_id)
    assert (run["status"], [skip["symbol"] for skip in run["skipped_orders"]]) == ("COMPLETED_ADJUSTED", [b])
    assert world.get(RUNS, account_id=account_id)["runs"] == [run]
    assert world.patch(path, {"on_ineligible": "needs_adjustment"})["status"] == "active"
    world.settle()
    assert world.get(path)["status"] == "needs_adjustment"
    assert world.patch(path, {"on_ineligible": "freeze_line"})["status"] == "active"


@pytest.mark.parametrize("value", ["", "freeze", 1, True, [], {}])
def test_another_way_to_deal_with_them_is_refused(world: World, value: Json) -> None:
    body = {"name": "P", "weights": weights(SPY="100"), "cooldown_days": 0, "on_ineligible": value}
    refused = world.refused("POST", PORTFOLIOS, body, expect=400)
    assert refused == (40010001, "on_ineligible: invalid value")
