"""Runs over plain HTTP: asking for one, what it becomes, how it is cancelled, and what it shows."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import pytest

from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, weights

SPY_ONLY = weights(SPY="100")


ALWAYS_NULL = ["expired_at", "canceled_at", "failed_at", "replaced_at", "replaced_by", "replaces", "qty"]
ALWAYS_NULL += ["source"]
ALWAYS_NULL += [
    "limit_price",
    "stop_price",
    "legs",
    "trail_percent",
    "trail_price",
    "hwm",
    "subtag",
    "source",
]
STATUSES = ["QUEUED", "IN_PROGRESS", "CANCELED", "CANCELED_MID_RUN", "ERROR", "TIMEOUT"]
STATUSES += ["COMPLETED_ADJUSTED", "COMPLETED_SUCCESS"]


def test_every_key_of_a_run_is_always_there(world: World) -> None:
    account_id = world.account("1000")
    asked = {"account_id": account_id, "type": "full_rebalance", "weights": weights(cash="60", SPY="40")}
    queued = world.post(RUNS, asked)
    now = world.get("/sandbox/clock")["now"]
    assert queued == {
        "id": queued["id"],
        "type": "full_rebalance",
        "amount": None,
        "initiated_from": "api",
        "initiated_by": "api",
        "status": "QUEUED",
        "reason": None,
        "account_id": account_id,
        "portfolio_id": queued["portfolio_id"],
        "weights": [
            {"type": "cash", "symbol": None, "percent": "60"},
            {"type": "asset", "symbol": "SPY", "percent": "40"},
        ],
        "orders": [],
        "failed_orders": [],
        "skipped_orders": [],
        "completed_at": None,
        "canceled_at": None,
        "created_at": now,
        "updated_at": now,
    }
    assert world.show_run(queued["id"]) == queued
    assert world.get(RUNS) == {"runs": [queued], "next_page_token": None}
    world.settle()
    done = world.show_run(queued["id"])
    (order,) = done["orders"]
    assert done == queued | {"status": "COMPLETED_SUCCESS", "orders": [order], "completed_at": now}
    (booked,) = world.ledger(account_id)
    nothing = dict.fromkeys(ALWAYS_NULL)
    stamps = dict.fromkeys(("created_at", "updated_at", "submitted_at", "filled_at"), now)
    assert order == nothing | stamps | {
        "id": booked["id"],
        "client_order_id": booked["client_order_id"],
        "asset_id": order["asset_id"],
        "symbol": "SPY",
        "asset_class": "us_equity",
        "notional": "400",
        "filled_qty": "1",
        "filled_avg_price": "400",
        "order_class": "",
        "order_type": "market",
        "type": "market",
        "side": "buy",
        "time_in_force": "day",
        "status": "filled",
        "extended_hours": False,
    }


ACCOUNT = str(uuid4())
FULL: dict[str, Json] = {"type": "full_rebalance", "weights": SPY_ONLY}
BAD = (400, 40010001)
REFUSED: list[tuple[dict[str, Json], tuple[int, int], str]] = [
    ({"account_id": None}, BAD, "account_id is required"),
    ({"account_id": "nonsense"}, (422, 42210000), "invalid account_id"),
    ({"account_id": 5}, (422, 42210000), "invalid account_id"),
    ({"account_id": ACCOUNT}, (422, 42210000), "account not found"),
    ({"type": None}, BAD, "type is required"),
    ({"type": ""}, BAD, "type must be full_rebalance or invest_cash"),
    ({"type": "FULL_REBALANCE"}, BAD, "type must be full_rebalance or invest_cash"),
    ({"type": "rebalance"}, BAD, "type must be full_rebalance or invest_cash"),
    ({"type": 1}, BAD, "type must be full_rebalance or invest_cash"),
    ({"type": ["invest_cash"]}, BAD, "type must be full_rebalance or invest_cash"),
    ({"weights": {}}, BAD, "weights: invalid value"),
    ({"weights": "SPY"}, BAD, "weights: invalid value"),
    ({"weights": weights(SPY="99")}, BAD, "weights must sum to 100"),
    ({"weights": weights(SPY="0")}, BAD, "weights[0].percent: must be greater than 0"),
    ({"weights": weights(SPY="NaN")}, BAD, "weights[0].percent: invalid value"),
    ({"weights": [*weights(SPY="50"), *weights(SPY="50")]}, BAD, "duplicate assets: SPY"),
    ({"weights": weights(NOSUCH="100")}, (422, 42210001), "asset not found: NOSUCH"),
    (
        {"weights": [{"type": "portfolio", "portfolio_id": ACCOUNT, "percent": "100"}]},
        (422, 42210000),
        "portfolio not found",
    ),
    ({"weights": None}, (422, 42210006), "account has no active subscription: weights are required"),
    ({"weights": []}, (422, 42210006), "account has no active subscription: weights are required"),
    ({"amount": "5"}, BAD, "amount: not permitted for full_rebalance"),
    ({"amount": "x"}, BAD, "amount must be a decimal: invalid value"),
    ({"type": "invest_cash", "amount": ""}, BAD, "amount must be a decimal: value is empty"),
    ({"type": "invest_cash", "amount": "5e0"}, BAD, "amount must be a decimal: invalid value"),
    ({"type": "invest_cash", "amount": "NaN"}, BAD, "amount must be a decimal: invalid value"),
    ({"type": "invest_cash", "amount": "\uff15"}, BAD, "amount must be a decimal: invalid value"),
    ({"type": "invest_cash", "amount": True}, BAD, "amount must be a decimal: invalid value"),
    ({"type": "invest_cash", "amount": ["5"]}, BAD, "amount must be a decimal: invalid value"),
    ({"type": "invest_cash", "amount": "0"}, BAD, "amount must be greater than 0"),
    ({"type": "invest_cash", "amount": -5}, BAD, "amount must be greater than 0"),
    ({"type": "invest_cash", "amount": "0.001"}, BAD, "amount: at most two decimal places"),
    ({"type": "partial_liquidation"}, BAD, "amount is required"),
    ({"type": "partial_liquidation", "amount": None}, BAD, "amount is required"),
    ({"type": "partial_liquidation", "amount": "0"}, BAD, "amount must be greater than 0"),
    ({"type": "partial_liquidation", "amount": "1.005"}, BAD, "amount: at most two decimal places"),
]


@pytest.mark.parametrize(("sent", "answer", "message"), REFUSED)
def test_what_the_contract_forbids_is_refused_and_not_stored(
    world: World, sent: dict[str, Json], answer: tuple[int, int], message: str
) -> None:
    body = {"account_id": world.account("100")} | FULL | sent
    assert world.refused("POST", RUNS, body, expect=answer[0]) == (answer[1], message)
    assert world.get(RUNS)["runs"] == []


@pytest.mark.parametrize("status", ["INACTIVE", "ACCOUNT_CLOSED"])
def test_only_an_active_account_may_be_rebalanced(world: World, status: str) -> None:
    account_id = world.account("10")
    world.put(f"/sandbox/accounts/{account_id}", {"status": status})
    refused = world.refused("POST", RUNS, {"account_id": account_id} | FULL, expect=422)
    assert refused == (42210003, "account is not active")


def test_an_account_that_follows_a_portfolio_takes_no_weights(world: World) -> None:
    account_id = world.account("400")
    portfolio_id = world.portfolio(SPY_ONLY)
    world.subscribe(account_id, portfolio_id)
    world.settle()
    refused = world.refused("POST", RUNS, {"account_id": account_id} | FULL, expect=422)
    assert refused == (42210006, "account has an active subscription")
    run_id = world.run(account_id)
    assert world.show_run(run_id)["portfolio_id"] == portfolio_id
    assert world.show_run(run_id)["initiated_from"] == "api"
    world.settle()
    assert world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"
    assert world.show_run(run_id)["orders"] == []


def test_one_run_of_an_account_is_open_at_a_time(world: World) -> None:
    account_id, other = world.account("400"), world.account("400")
    open_run = (42210006, "a run is already in progress for account")
    world.run(account_id, SPY_ONLY)
    assert world.refused("POST", RUNS, {"account_id": account_id} | FULL, expect=422) == open_run
    world.set_faults(fill_delay_s=30)
    world.settle()
    assert world.refused("POST", RUNS, {"account_id": account_id} | FULL, expect=422) == open_run
    world.run(other, SPY_ONLY)
    world.later(seconds=30)
    world.settle()
    world.run(account_id, SPY_ONLY)


def test_the_run_of_a_new_subscription_counts_as_open(world: World) -> None:
    account_id = world.account("400")
    world.subscribe(account_id, world.portfolio(SPY_ONLY))
    refused = world.refused("POST", RUNS, {"account_id": account_id, "type": "invest_cash"}, expect=422)
    assert refused == (42210006, "a run is already in progress for account")


def test_an_open_run_does_not_keep_an_account_from_subscribing(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, weights(SPY="50", cash="50"))
    world.subscribe(account_id, world.portfolio(SPY_ONLY))
    assert [run["id"] for run in world.runs(account_id)] == [run_id]
    world.settle()
    # The run of the first evaluation follows the one that was open.
    assert world.held(account_id) == {"cash": "0", "SPY": "1"}
    assert world.statuses(account_id) == [("full_rebalance", "COMPLETED_SUCCESS")] * 2


def test_of_many_runs_asked_for_at_once_one_is_made(world: World) -> None:
    body = {"account_id": world.account("400")} | FULL
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.http.post(RUNS, json=body), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 15
    world.settle()
    assert len(world.ledger(body["account_id"])) == 1


def test_the_portfolio_of_a_run_with_weights_of_its_own_is_hidden(world: World) -> None:
    account_id = world.account("400")
    hidden = world.show_run(world.run(account_id, SPY_ONLY))["portfolio_id"]
    again = world.account("400")
    assert world.show_run(world.run(again, SPY_ONLY))["portfolio_id"] != hidden
    path = f"{PORTFOLIOS}/{hidden}"
    assert world.get(PORTFOLIOS) == []
    for status in ("active", "inactive", "needs_adjustment"):
        assert world.get(PORTFOLIOS, status=status) == []
    assert world.get(PORTFOLIOS, portfolio_id=hidden) == []
    missing = (40410000, "portfolio not found")
    assert world.refused("GET", path, expect=404) == missing
    assert world.refused("PATCH", path, {"name": "mine"}, expect=404) == missing
    assert world.refused("DELETE", path, expect=404) == missing
    body = {"account_id": world.account(), "portfolio_id": hidden}
    refused = world.refused("POST", SUBSCRIPTIONS, body, expect=422)
    assert refused == (42210000, "portfolio not found")
    nested = [{"type": "portfolio", "portfolio_id": hidden, "percent": "100"}]
    body = {"name": "N", "description": "", "weights": nested, "cooldown_days": 0}
    assert world.refused("POST", PORTFOLIOS, body, expect=422) == (42210000, "portfolio not found")


def test_investing_cash_only_buys_and_at_most_the_amount(world: World) -> None:
    account_id = world.account("500", SPY="1")
    run_id = world.run(account_id, weights(SPY="20", TLT="80"), type="invest_cash", amount="250")
    assert world.show_run(run_id)["amount"] == "250"
    world.settle()
    # 900 dollars in all: SPY is above its 180 and stays; TLT lacks 720, of which 250 may be spent.
    assert world.held(account_id) == {"cash": "250", "SPY": "1", "TLT": "2.5"}
    assert world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"


def test_investing_more_than_there_is_ends_adjusted(world: World) -> None:
    account_id = world.account("500")
    run_id = world.run(account_id, weights(TLT="100"), type="invest_cash", amount="500.01")
    world.settle()
    assert world.held(account_id) == {"cash": "0", "TLT": "5"}
    assert world.show_run(run_id)["status"] == "COMPLETED_ADJUSTED"


def test_money_raised_waits_for_its_withdrawal(world: World) -> None:
    account_id = world.account("1000")
    world.subscribe(account_id, world.portfolio(weights(SPY="40", TLT="60")))
    world.settle()
    run_id = world.run(account_id, type="partial_liquidation", amount="500")
    world.settle()
    run = world.show_run(run_id)
    assert (run["status"], run["type"], run["amount"]) == ("COMPLETED_SUCCESS", "partial_liquidation", "500")
    # 500 dollars remain invested: 200 in SPY, 300 in TLT. What was raised is not invested again.
    assert world.held(account_id) == {"cash": "500", "SPY": "0.5", "TLT": "3"}
    world.later(days=1)
    world.settle()
    assert world.held(account_id) == {"cash": "500", "SPY": "0.5", "TLT": "3"}
    world.pay_in(account_id, "-500")
    world.pay_in(account_id, "100")
    world.settle()
    assert world.held(account_id) == {"cash": "0", "SPY": "0.6", "TLT": "3.6"}


def test_a_full_rebalance_that_a_client_asks_for_invests_raised_money_again(world: World) -> None:
    account_id = world.account("1000")
    world.subscribe(account_id, world.portfolio(weights(SPY="40", TLT="60")))
    world.settle()
    world.run(account_id, type="partial_liquidation", amount="500")
    world.settle()
    world.run(account_id)
    world.settle()
    assert world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "6"}


def test_money_is_raised_without_a_subscription_and_without_weights(world: World) -> None:
    account_id = world.account("0", SPY="1", TLT="6")
    run_id = world.run(account_id, type="partial_liquidation", amount="100")
    world.settle()
    run = world.show_run(run_id)
    # The largest position first: TLT is worth 600.
    assert world.held(account_id) == {"cash": "100", "SPY": "1", "TLT": "5"}
    assert (run["status"], run["weights"]) == ("COMPLETED_SUCCESS", [])


def test_raising_more_than_there_is_ends_adjusted(world: World) -> None:
    account_id = world.account("0", TLT="6")
    run_id = world.run(account_id, type="partial_liquidation", amount="600.01")
    world.settle()
    assert world.held(account_id) == {"cash": "600"}
    assert world.show_run(run_id)["status"] == "COMPLETED_ADJUSTED"


def test_a_queued_run_is_cancelled_at_once_and_again_without_harm(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    path = f"{RUNS}/{run_id}"
    now = world.get("/sandbox/clock")["now"]
    world.delete(path)
    canceled = world.show_run(run_id)
    assert (canceled["status"], canceled["canceled_at"]) == ("CANCELED", now)
    assert canceled["completed_at"] is None
    world.later(minutes=1)
    world.delete(path)
    assert world.show_run(run_id) == canceled
    world.settle()
    assert world.held(account_id) == {"cash": "400"}
    world.run(account_id, SPY_ONLY)


def test_a_started_run_is_cancelled_once_its_orders_are(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    world.set_faults(fill_delay_s=60)
    world.settle()
    assert world.show_run(run_id)["status"] == "IN_PROGRESS"
    (order,) = world.show_run(run_id)["orders"]
    assert (order["status"], order["filled_qty"], order["filled_at"]) == ("accepted", "0", None)
    path = f"{RUNS}/{run_id}"
    world.delete(path)
    assert world.show_run(run_id)["status"] == "IN_PROGRESS"
    world.delete(path)
    world.settle()
    run = world.show_run(run_id)
    assert (run["status"], run["completed_at"]) == ("CANCELED_MID_RUN", None)
    assert run["canceled_at"] is not None
    (order,) = run["orders"]
    assert (order["status"], order["canceled_at"]) == ("canceled", run["canceled_at"])
    assert run["failed_orders"] == []
    assert world.refused("DELETE", path, expect=422) == (42210007, "run cannot be canceled")
    world.later(minutes=5)
    world.settle()
    assert world.held(account_id) == {"cash": "400"}
    assert world.show_run(run_id) == run


def test_what_filled_before_the_cancel_is_kept_and_listed(world: World) -> None:
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, weights(SPY="50", TLT="50"))
    world.set_faults(partial_fill=1, fill_delay_s=60)
    world.settle()
    world.later(seconds=60)
    world.settle()
    # One share is to be sold; the first half of it is.
    assert world.held(account_id) == {"cash": "200", "SPY": "1.5"}
    (order,) = world.show_run(run_id)["orders"]
    assert (order["status"], order["filled_qty"]) == ("partially_filled", "0.5")
    world.delete(f"{RUNS}/{run_id}")
    world.settle()
    run = world.show_run(run_id)
    assert run["status"] == "CANCELED_MID_RUN"
    assert [(o["status"], o["filled_qty"]) for o in run["orders"]] == [("canceled", "0.5")]
    world.later(minutes=5)
    world.settle()
    assert world.held(account_id) == {"cash": "200", "SPY": "1.5"}


def test_a_finished_run_cannot_be_cancelled(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    world.settle()
    done = world.show_run(run_id)
    refused = world.refused("DELETE", f"{RUNS}/{run_id}", expect=422)
    assert refused == (42210007, "run cannot be canceled")
    assert world.show_run(run_id) == done


def test_ids_in_the_path_are_malformed_or_missing(world: World) -> None:
    for method in ("GET", "DELETE"):
        assert world.refused(method, f"{RUNS}/nonsense", expect=422) == (42210000, "invalid run_id")
        assert world.refused(method, f"{RUNS}/{uuid4()}", expect=404) == (40410000, "run not found")


def test_a_run_asked_for_at_night_waits_for_the_market(world: World) -> None:
    account_id = world.account("400")
    world.later(hours=12)
    run_id = world.run(account_id, SPY_ONLY)
    world.settle()
    assert world.show_run(run_id)["status"] == "QUEUED"
    world.later(hours=12)
    world.settle()
    assert world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"


def test_a_run_that_is_not_done_by_the_close_times_out(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    world.set_faults(fill_delay_s=86400)
    world.settle()
    world.later(hours=7)
    world.settle()
    run = world.show_run(run_id)
    assert run["status"] == "TIMEOUT"
    assert run["reason"] == "the deadline passed before all orders were done"
    assert [order["status"] for order in run["orders"]] == ["canceled"]
    assert world.held(account_id) == {"cash": "400"}


def test_every_status_can_be_asked_for(world: World) -> None:
    def run(cash: str = "400") -> str:
        return world.run(world.account(cash), SPY_ONLY)

    late = run()
    world.set_faults(fill_delay_s=86400)
    world.settle()
    world.later(hours=7)
    world.settle()
    world.open_market()
    world.server.moved = True
    refused, good = world.symbol("10"), run()
    adjusted = world.run(world.account("10"), weights(**{refused: "100"}))
    world.set_faults(reject=[refused])
    world.settle()
    mid_run, working = run(), run()
    world.set_faults(fill_delay_s=600)
    world.settle()
    world.delete(f"{RUNS}/{mid_run}")
    world.settle()
    canceled = run()
    world.delete(f"{RUNS}/{canceled}")
    queued = run()

    found = {status: [shown["id"] for shown in world.get(RUNS, status=status)["runs"]] for status in STATUSES}
    assert found == {
        "QUEUED": [queued],
        "IN_PROGRESS": [working],
        "CANCELED": [canceled],
        "CANCELED_MID_RUN": [mid_run],
        "ERROR": [],
        "TIMEOUT": [late],
        "COMPLETED_ADJUSTED": [adjusted],
        "COMPLETED_SUCCESS": [good],
    }
    assert all(world.show_run(ids[0])["status"] == status for status, ids in found.items() if ids)


def test_buys_never_wait_for_money_that_sells_did_not_bring(world: World) -> None:
    """A sell that is refused leaves the buy without money: nothing is bought on credit."""
    held, wanted = world.symbol("100"), world.symbol("100")
    account_id = world.account("0", **{held: "10"})
    run_id = world.run(account_id, weights(**{wanted: "100"}))
    world.set_faults(reject=[held])
    world.settle()
    run = world.show_run(run_id)
    assert run["status"] == "COMPLETED_ADJUSTED"
    assert [order["symbol"] for order in run["failed_orders"]] == [held]
    assert [(s["symbol"], s["reason"]) for s in run["skipped_orders"]] == [(wanted, "INSUFFICIENT_CASH")]
    assert world.held(account_id) == {"cash": "0", held: "10"}


def test_thirds_of_an_odd_amount_lose_no_cent(world: World) -> None:
    account_id = world.account("1000.01")
    world.run(account_id, weights(SPY="33.33", TLT="33.33", GLD="33.34"))
    world.settle()
    spent = [Decimal(order["notional"]) for order in world.ledger(account_id)]
    # 333.303333, 333.303333 and 333.403334 dollars: whole cents, and one cent of the 1,000.01 is over.
    assert sorted(spent) == [Decimal("333.30"), Decimal("333.30"), Decimal("333.41")]
