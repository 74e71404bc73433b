"""The market's faults: each on its own, all together, and that none of them costs money or trades twice."""

from collections import Counter
from decimal import Decimal

import pytest

from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, weights

FAULTS = "/sandbox/faults"
SPY_ONLY = weights(SPY="100")
DOWN = (50310000, "the broker does not answer")


def done(world: World, run_id: str) -> str:
    return str(world.show_run(run_id)["status"])


def test_a_set_of_faults_is_echoed_as_it_was_sent(world: World) -> None:
    faults = {
        "reject": ["TLT"],
        "partial_fill": 0.5,
        "fill_delay_s": 30,
        "lost_reply": 0.1,
        "duplicate_event": 0.1,
        "outage": False,
        "seed": 7,
    }
    world.server.moved = True
    assert world.put(FAULTS, faults) == faults
    assert world.put(FAULTS, {}) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"reject": "TLT"}, "reject: must be a list of symbols"),
        ({"reject": None}, "reject: must be a list of symbols"),
        ({"reject": [""]}, "reject[0]: must be a symbol"),
        ({"reject": ["TLT", 5]}, "reject[1]: must be a symbol"),
        ({"reject": [["TLT"]]}, "reject[0]: must be a symbol"),
        ({"partial_fill": "0.5"}, "partial_fill: must be a number"),
        ({"partial_fill": True}, "partial_fill: must be a number"),
        ({"partial_fill": None}, "partial_fill: must be a number"),
        ({"partial_fill": 1.01}, "partial_fill: must be a fraction between 0 and 1"),
        ({"partial_fill": -0.1}, "partial_fill: must be a fraction between 0 and 1"),
        ({"partial_fill": 5}, "partial_fill: must be a fraction between 0 and 1"),
        ({"fill_delay_s": "30"}, "fill_delay_s: must be a number"),
        ({"fill_delay_s": -1}, "fill_delay_s: must be between 0 and a year of seconds"),
        ({"fill_delay_s": 10**17}, "fill_delay_s: must be between 0 and a year of seconds"),
        ({"fill_delay_s": 10**30}, "fill_delay_s: must be a number"),
        ({"lost_reply": []}, "lost_reply: must be a number"),
        ({"lost_reply": 2}, "lost_reply: must be a fraction between 0 and 1"),
        ({"duplicate_event": {}}, "duplicate_event: must be a number"),
        ({"duplicate_event": 2}, "duplicate_event: must be a fraction between 0 and 1"),
        ({"outage": 1}, "outage: must be true or false"),
        ({"outage": "true"}, "outage: must be true or false"),
        ({"outage": None}, "outage: must be true or false"),
        ({"seed": 0.5}, "seed: must be a whole number of at most 18 digits"),
        ({"seed": "7"}, "seed: must be a number"),
    ],
)
def test_a_bad_fault_leaves_the_old_ones(world: World, body: Json, message: str) -> None:
    world.set_faults(reject=["SPY"])
    assert world.refused("PUT", FAULTS, body, expect=400) == (40010001, message)
    run_id = world.run(world.account("400"), SPY_ONLY)
    world.settle()
    assert [order["status"] for order in world.show_run(run_id)["failed_orders"]] == ["rejected"]


def test_an_unknown_fault_is_refused(world: World) -> None:
    code, message = world.refused("PUT", FAULTS, {"delay": 5}, expect=400)
    assert code == 40010001
    assert message.startswith("delay: is not one of reject, partial_fill, fill_delay_s, lost_reply, ")


def test_a_new_set_replaces_the_old_one_whole(world: World) -> None:
    world.set_faults(reject=["SPY"], fill_delay_s=60)
    world.set_faults(duplicate_event=1)
    run_id = world.run(world.account("400"), SPY_ONLY)
    world.settle()
    assert done(world, run_id) == "COMPLETED_SUCCESS"


def test_a_rejected_order_is_listed_as_failed_and_the_rest_goes_on(world: World) -> None:
    account_id = world.account("1000")
    run_id = world.run(account_id, weights(SPY="40", TLT="60"))
    world.set_faults(reject=["TLT"])
    world.settle()
    run = world.show_run(run_id)
    assert run["status"] == "COMPLETED_ADJUSTED"
    assert [(o["symbol"], o["status"]) for o in run["orders"]] == [("SPY", "filled")]
    (failed,) = run["failed_orders"]
    assert (failed["symbol"], failed["status"], failed["filled_qty"]) == ("TLT", "rejected", "0")
    assert failed["failed_at"] == run["completed_at"]
    assert world.held(account_id) == {"cash": "600", "SPY": "1"}
    assert {o["symbol"]: o["status"] for o in world.ledger(account_id)} == {
        "SPY": "filled",
        "TLT": "rejected",
    }


def test_a_delayed_order_fills_when_the_clock_is_set_further(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    world.set_faults(fill_delay_s=30)
    for _ in range(2):
        world.settle()
        assert done(world, run_id) == "IN_PROGRESS"
    world.later(seconds=29)
    world.settle()
    assert done(world, run_id) == "IN_PROGRESS"
    world.later(seconds=1)
    world.settle()
    assert done(world, run_id) == "COMPLETED_SUCCESS"
    assert len(world.ledger(account_id)) == 1


def test_buys_wait_for_delayed_sells(world: World) -> None:
    account_id = world.account("0", SPY="1")
    run_id = world.run(account_id, weights(TLT="100"))
    world.set_faults(fill_delay_s=30)
    world.settle()
    assert [o["side"] for o in world.ledger(account_id)] == ["sell"]
    world.later(seconds=30)
    world.settle()
    assert [o["side"] for o in world.ledger(account_id)] == ["sell", "buy"]
    assert world.held(account_id) == {"cash": "400"}
    world.later(seconds=30)
    world.settle()
    assert world.held(account_id) == {"cash": "0", "TLT": "4"}
    assert done(world, run_id) == "COMPLETED_SUCCESS"


def test_a_partial_fill_is_shown_and_completed_later(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    world.set_faults(partial_fill=1)
    world.settle()
    (order,) = world.show_run(run_id)["orders"]
    assert (order["status"], order["filled_qty"], order["filled_at"]) == ("partially_filled", "0.5", None)
    assert world.held(account_id) == {"cash": "200", "SPY": "0.5"}
    assert [o["status"] for o in world.ledger(account_id)] == ["partially_filled"]
    world.later(seconds=1)
    world.settle()
    (order,) = world.show_run(run_id)["orders"]
    assert (order["status"], order["filled_qty"], order["filled_avg_price"]) == ("filled", "1", "400")
    assert done(world, run_id) == "COMPLETED_SUCCESS"


def test_a_lost_reply_is_looked_up_and_never_sent_again(world: World) -> None:
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, weights(SPY="50", TLT="50"))
    world.set_faults(lost_reply=1)
    for _ in range(5):
        world.settle()
        world.later(seconds=30)
    assert done(world, run_id) == "COMPLETED_SUCCESS"
    assert [(o["symbol"], o["side"]) for o in world.ledger(account_id)] == [("SPY", "sell"), ("TLT", "buy")]
    assert world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "4"}


def test_a_repeated_event_is_counted_once(world: World) -> None:
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, weights(SPY="50", TLT="50"))
    world.set_faults(duplicate_event=1)
    world.settle()
    assert done(world, run_id) == "COMPLETED_SUCCESS"
    orders = {o["symbol"]: o["filled_qty"] for o in world.show_run(run_id)["orders"]}
    assert orders == {"SPY": "1", "TLT": "4"}
    assert world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "4"}


def test_during_an_outage_what_needs_the_broker_is_unavailable_and_nothing_is_lost(world: World) -> None:
    account_id, waiting = world.account("400"), world.account("400")
    portfolio_id = world.portfolio(SPY_ONLY)
    run_id = world.run(account_id, SPY_ONLY)
    world.set_faults(outage=True)
    subscription = {"account_id": waiting, "portfolio_id": portfolio_id}
    run = {"account_id": waiting, "type": "full_rebalance", "weights": SPY_ONLY}
    new = {"name": "N", "description": "", "weights": SPY_ONLY, "cooldown_days": 0}
    for path, body in ((SUBSCRIPTIONS, subscription), (RUNS, run), (PORTFOLIOS, new)):
        assert world.refused("POST", path, body, expect=503) == DOWN
    assert world.settle()["orders"] == 0
    assert done(world, run_id) == "QUEUED"
    assert world.show(account_id)["cash"] == "400"
    assert world.get(SUBSCRIPTIONS)["subscriptions"] == []
    assert [shown["id"] for shown in world.get(RUNS)["runs"]] == [run_id]
    world.set_faults()
    world.settle()
    assert done(world, run_id) == "COMPLETED_SUCCESS"
    world.post(SUBSCRIPTIONS, subscription)


def test_a_run_that_meets_an_outage_half_way_ends_after_it(world: World) -> None:
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, weights(SPY="50", TLT="50"))
    world.set_faults(fill_delay_s=30)
    world.settle()
    world.set_faults(outage=True)
    world.later(seconds=60)
    world.settle()
    assert done(world, run_id) == "IN_PROGRESS"
    world.set_faults()
    for _ in range(3):
        world.settle()
        world.later(seconds=30)
    assert done(world, run_id) == "COMPLETED_SUCCESS"
    assert world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "4"}


def test_a_cancel_during_an_outage_holds_after_it(world: World) -> None:
    account_id = world.account("400")
    run_id = world.run(account_id, SPY_ONLY)
    world.set_faults(fill_delay_s=600)
    world.settle()
    world.set_faults(outage=True)
    world.delete(f"{RUNS}/{run_id}")
    world.settle()
    assert done(world, run_id) == "IN_PROGRESS"
    world.set_faults()
    world.settle()
    assert done(world, run_id) == "CANCELED_MID_RUN"
    assert world.held(account_id) == {"cash": "400"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_faults_together_cost_nothing_and_trade_nothing_twice(world: World, seed: int) -> None:
    targets = weights(cash="10", SPY="40", TLT="30", GLD="20")
    accounts = [world.account(f"{100 * n}.{n:02d}", SPY="1", GLD="0.333333333") for n in range(1, 9)]
    runs = [world.run(account_id, targets) for account_id in accounts]
    some = {"partial_fill": 0.5, "lost_reply": 0.4, "duplicate_event": 0.5, "fill_delay_s": 20}
    world.set_faults(**some, seed=seed)
    for minute in range(4):
        world.settle()
        world.later(seconds=15)
        world.set_faults(**some, seed=seed, outage=minute == 1)
    world.set_faults()
    # Final within the quarantine and a minute after the last fault, whenever somebody looks.
    for _ in range(8):
        world.settle()
        world.later(seconds=15)
    assert {done(world, run_id) for run_id in runs} <= {"COMPLETED_SUCCESS", "COMPLETED_ADJUSTED"}
    trades = Counter((o["account_id"], o["symbol"]) for o in world.get("/sandbox/orders")["orders"])
    assert set(trades.values()) == {1}
    for account_id, run_id in zip(accounts, runs, strict=True):
        booked = {o["client_order_id"]: o["filled_qty"] for o in world.ledger(account_id)}
        assert booked == {o["client_order_id"]: o["filled_qty"] for o in world.show_run(run_id)["orders"]}
        cash = Decimal(world.show(account_id)["cash"])
        # The cash target is a tenth; buys are rounded down to cents, and sells to billionths of a share.
        assert abs(cash - world.worth[account_id] / 10) < Decimal("0.05")
