"""Triggering a rebalance: what is answered, what coalesces, what has to wait, and what runs."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.api.glider.client import (
    JSON_TYPE,
    ULID,
    Glider,
    allocation,
    assert_failure,
    assert_success,
    instant,
    run_of,
    some_portfolio_id,
    ulid_of,
    uuid_of,
)
from tests.api.world import RUNS, SUBSCRIPTIONS, make_key, weights

OPEN_RUN = (42210006, "a run is already in progress for account")
TRIGGERS = 32


def form(portfolio_id: str, asked: str) -> re.Pattern[str]:
    """The id of a rebalance, in the form of the vendor's example."""
    return re.compile(f"rebalance:{portfolio_id}:{portfolio_id}%3A{asked}%3Areq_{ULID}")


def rebalance_path(portfolio_id: str) -> str:
    return f"/portfolios/{portfolio_id}/rebalance"


def test_a_trigger_is_answered_with_an_id_and_its_time(glider: Glider) -> None:
    portfolio_id = glider.settled()
    told = glider.rebalance(portfolio_id)
    assert set(told) == {"operationId", "submittedAt"}
    assert told["submittedAt"] == glider.now()
    assert form(portfolio_id, "manual").fullmatch(told["operationId"])
    assert len(told["operationId"]) == 111


def test_a_time_is_cut_to_milliseconds_and_never_in_the_future(glider: Glider) -> None:
    portfolio_id = glider.settled()
    glider.world.later(microseconds=999_999)
    told = glider.rebalance(portfolio_id)
    now = glider.world.now()
    assert instant(told["submittedAt"]) == now.replace(microsecond=now.microsecond // 1000 * 1000)
    glider.world.settle()
    assert instant(glider.schedule(portfolio_id)["lastRebalanceAt"]) <= now
    assert glider.too_soon(portfolio_id) == 60
    glider.world.later(microseconds=59_999_999)
    assert glider.too_soon(portfolio_id) == 1
    glider.world.later(microseconds=1)
    glider.rebalance(portfolio_id)


def test_a_trigger_while_a_manual_run_is_in_flight_returns_that_run(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    first = glider.rebalance(portfolio_id)
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    assert glider.rebalance(portfolio_id) == first
    glider.world.later(seconds=5)
    assert glider.rebalance(portfolio_id) == first
    glider.world.set_faults(fill_delay_s=300)
    glider.world.settle()
    assert glider.state(portfolio_id, first["operationId"]) == "running"
    glider.world.later(seconds=120)
    assert glider.rebalance(portfolio_id) == first
    assert [run["id"] for run in glider.runs(portfolio_id)][1:] == [run_of(first["operationId"])]


def test_a_trigger_while_a_scheduled_run_is_in_flight_returns_that_run(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    enrolled_at = glider.now()
    glider.world.later(seconds=5)
    told = glider.rebalance(portfolio_id)
    assert told["submittedAt"] == enrolled_at
    assert form(portfolio_id, "scheduled").fullmatch(told["operationId"])
    assert glider.rebalance(portfolio_id) == told
    (run,) = glider.runs(portfolio_id)
    assert (run["id"], run["initiated_from"]) == (run_of(told["operationId"]), "system")


def test_after_a_run_has_finished_the_next_waits_to_the_second(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    glider.world.settle()
    # Milliseconds since the run finished, and the seconds that are left, rounded up.
    for passed_ms, left_s in (
        (0, 60),
        (1, 60),
        (999, 60),
        (1000, 59),
        (29_500, 31),
        (59_000, 1),
        (59_001, 1),
        (59_999, 1),
    ):
        glider.world.later(milliseconds=passed_ms - passed(glider, portfolio_id))
        assert glider.too_soon(portfolio_id) == left_s
    glider.world.later(milliseconds=1)
    assert form(portfolio_id, "manual").fullmatch(glider.rebalance(portfolio_id)["operationId"])


def passed(glider: Glider, portfolio_id: str) -> int:
    """Milliseconds since the portfolio's last run finished."""
    since = glider.world.now() - instant(glider.schedule(portfolio_id)["lastRebalanceAt"])
    return since // timedelta(milliseconds=1)


def test_a_manual_run_starts_the_cooldown_too(glider: Glider) -> None:
    portfolio_id = glider.settled()
    glider.rebalance(portfolio_id)
    glider.world.settle()
    assert glider.too_soon(portfolio_id) == 60


def test_the_cooldown_counts_from_the_finish(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    glider.rebalance(portfolio_id)
    glider.world.set_faults(fill_delay_s=45)
    glider.world.settle()
    glider.world.later(seconds=45)
    glider.world.settle()
    assert glider.too_soon(portfolio_id) == 60
    glider.world.later(seconds=59)
    assert glider.too_soon(portfolio_id) == 1
    glider.world.later(seconds=1)
    glider.rebalance(portfolio_id)


def test_a_run_in_flight_is_returned_even_in_the_cooldown_of_the_one_before(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    glider.world.settle()
    assert glider.too_soon(portfolio_id) == 60
    run_id = glider.world.run(glider.account_of(portfolio_id))
    asked_at = glider.now()
    glider.world.later(seconds=1)
    told = glider.rebalance(portfolio_id)
    assert told["submittedAt"] == asked_at
    assert form(portfolio_id, "manual").fullmatch(told["operationId"])
    assert run_of(told["operationId"]) == run_id


def test_a_run_of_v1_starts_the_cooldown_too(glider: Glider) -> None:
    portfolio_id = glider.settled()
    glider.world.run(glider.account_of(portfolio_id))
    glider.world.settle()
    assert glider.too_soon(portfolio_id) == 60


def test_each_portfolio_has_a_cooldown_of_its_own(glider: Glider) -> None:
    one, two = glider.portfolio(), glider.portfolio()
    glider.world.settle()
    glider.world.later(seconds=60)
    glider.rebalance(one)
    glider.world.settle()
    assert glider.too_soon(one) == 60
    glider.rebalance(two)


def test_checks_come_in_order_key_scope_portfolio_flight_cooldown(glider: Glider, stranger: Glider) -> None:
    in_flight, cooling, missing = glider.settled(), glider.portfolio(), some_portfolio_id()
    glider.world.settle()
    glider.rebalance(in_flight)
    nobody = glider.with_key("")
    reader = make_key(glider.world.db, "r", scopes=frozenset({"portfolios:read"}))
    # Their portfolios: for a stranger neither is there, whatever it is doing.
    for portfolio_id in (in_flight, cooling, missing, "%21"):
        assert nobody.refused("POST", rebalance_path(portfolio_id), expect=401).code == "API_101"
        without_scope = glider.with_key(reader.api_key)
        assert without_scope.refused("POST", rebalance_path(portfolio_id), expect=403).code == "API_104"
        assert stranger.refused("POST", rebalance_path(portfolio_id), expect=404).code == "API_006"
    glider.rebalance(in_flight)
    assert glider.too_soon(cooling) == 60


def test_an_unknown_portfolio_is_named_in_the_vendors_words(glider: Glider) -> None:
    missing = some_portfolio_id()
    answer = glider.call("POST", rebalance_path(missing), expect=404)
    message = f"Portfolio with ID {missing} not found"
    assert answer.json() == {"success": False, "error": {"code": "API_006", "message": message}}


@pytest.mark.parametrize("portfolio_id", ["a1b2c3d4", "nonsense", "%21", "x" * 65, "pf_", "%C3%A9", "a%20b"])
def test_a_malformed_id_is_one_that_is_not_there(glider: Glider, portfolio_id: str) -> None:
    refusal = glider.refused("POST", rebalance_path(portfolio_id), expect=404)
    assert (refusal.code, refusal.details) == ("API_006", [])


def test_a_portfolio_that_has_ended_is_not_there(glider: Glider) -> None:
    portfolio_id = glider.settled()
    glider.world.delete(f"{SUBSCRIPTIONS}/{uuid_of(portfolio_id)}")
    refusal = glider.refused("POST", rebalance_path(portfolio_id), expect=404)
    assert refusal.message == f"Portfolio with ID {portfolio_id} not found"


BODIES: list[tuple[bytes | None, dict[str, str]]] = [
    (None, {}),
    (b"{}", JSON_TYPE),
    (b"", JSON_TYPE),
    (b"{}", {}),
    (b"not json", JSON_TYPE),
    (b'{"weights":[{"percent":1e400}]}', JSON_TYPE),
    (b"[1,2", {"content-type": "text/plain"}),
    (b"\xff\x00\xfe", {"content-type": "application/octet-stream"}),
    (b"a=b", {"content-type": "application/x-www-form-urlencoded"}),
    (b"{}", {"content-type": "nonsense"}),
]


def test_whatever_the_body_is_it_is_ignored(glider: Glider) -> None:
    portfolio_id = glider.settled()
    told = [
        assert_success(glider.send("POST", rebalance_path(portfolio_id), content=content, headers=headers))[
            "data"
        ]
        for content, headers in BODIES
    ]
    assert told == [told[0]] * len(BODIES)
    assert len(glider.runs(portfolio_id)) == 2


def test_a_paused_portfolio_may_be_triggered(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.post(f"/portfolios/{portfolio_id}/stop")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    told = glider.rebalance(portfolio_id)
    glider.world.settle()
    assert glider.state(portfolio_id, told["operationId"]) == "completed"
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "SPY": "2"}
    assert glider.schedule(portfolio_id)["status"] == "paused"


def test_an_empty_portfolio_is_triggered_and_completes_without_an_order(glider: Glider) -> None:
    portfolio_id = glider.settled("0")
    told = glider.rebalance(portfolio_id)
    glider.world.settle()
    shown = glider.operation(portfolio_id, told["operationId"])
    assert (shown["state"], shown["error"]) == ("completed", None)
    assert glider.world.ledger(glider.account_of(portfolio_id)) == []


def test_a_trigger_retargets_at_once_to_the_newest_version(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    glider.post(f"/strategies/{strategy_id}/versions", {"allocation": allocation(TLT="100")}, expect=201)
    glider.rebalance(portfolio_id)
    glider.world.settle()
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "TLT": "4"}


def cancelled(glider: Glider) -> str:
    """A portfolio whose run was cancelled just now, a minute after the first one."""
    portfolio_id = glider.settled()
    told = glider.rebalance(portfolio_id)
    glider.world.delete(f"{RUNS}/{run_of(told['operationId'])}")
    assert glider.state(portfolio_id, told["operationId"]) == "cancelled"
    return portfolio_id


def timed_out(glider: Glider) -> str:
    """A portfolio whose run failed just now, an hour after it began."""
    portfolio_id = glider.settled()
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    told = glider.rebalance(portfolio_id)
    glider.world.set_faults(fill_delay_s=86_400)
    glider.world.settle()
    glider.world.later(hours=1)
    glider.world.settle()
    assert glider.state(portfolio_id, told["operationId"]) == "failed"
    return portfolio_id


def test_a_run_that_did_not_complete_starts_the_cooldown_all_the_same(glider: Glider) -> None:
    for end in (cancelled, timed_out):
        portfolio_id = end(glider)
        assert glider.too_soon(portfolio_id) == 60
        glider.world.later(seconds=59)
        assert glider.too_soon(portfolio_id) == 1
        glider.world.later(seconds=1)
        glider.rebalance(portfolio_id)


def test_of_many_triggers_at_once_one_makes_the_run_and_all_are_told_its_id(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    path = rebalance_path(portfolio_id)
    with ThreadPoolExecutor(TRIGGERS) as pool:
        answers = list(pool.map(lambda _: glider.send("POST", path), range(TRIGGERS)))
    assert [answer.status_code for answer in answers] == [202] * TRIGGERS
    told = [assert_success(answer)["data"] for answer in answers]
    assert told == [told[0]] * TRIGGERS
    runs = glider.runs(portfolio_id)
    assert [run["id"] for run in runs[1:]] == [run_of(told[0]["operationId"])]
    glider.world.settle()
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "SPY": "2"}
    assert len(glider.world.ledger(glider.account_of(portfolio_id))) == 2


def test_a_triggered_run_is_a_run_of_v1_and_cannot_be_doubled_there(glider: Glider) -> None:
    portfolio_id = glider.settled()
    account_id = glider.account_of(portfolio_id)
    run_id = run_of(glider.rebalance(portfolio_id)["operationId"])
    run = glider.world.show_run(run_id)
    assert (run["status"], run["type"], run["initiated_from"]) == ("QUEUED", "full_rebalance", "api")
    assert (run["account_id"], run["weights"]) == (
        account_id,
        [{"type": "asset", "symbol": "SPY", "percent": "100"}],
    )
    body = {"account_id": account_id, "type": "full_rebalance"}
    assert glider.world.refused("POST", RUNS, body, expect=422) == OPEN_RUN
    glider.world.settle()
    assert glider.world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"


def test_a_run_of_v1_in_flight_is_returned_whatever_its_type(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    account_id = glider.account_of(portfolio_id)
    for kind, prefix in (
        ({"type": "full_rebalance"}, "rebalance:"),
        ({"type": "invest_cash"}, "rebalance:"),
        ({"type": "partial_liquidation", "amount": "100"}, "op_"),
    ):
        run_id = glider.world.run(account_id, None, **kind)
        told = glider.rebalance(portfolio_id)
        assert told["operationId"].startswith(prefix)
        assert told["operationId"].endswith(ulid_of(run_id))
        assert told == {"operationId": told["operationId"], "submittedAt": glider.now()}
        glider.world.delete(f"{RUNS}/{run_id}")


def test_a_run_from_before_the_enrolment_is_returned_and_can_be_polled(glider: Glider) -> None:
    account_id = glider.world.account("400")
    run_id = glider.world.run(account_id, weights(TLT="100"))
    portfolio_id = glider.enroll(account_id, glider.strategy())
    told = glider.rebalance(portfolio_id)
    assert told["operationId"].endswith(ulid_of(run_id))
    assert glider.state(portfolio_id, told["operationId"]) == "accepted"


def test_raising_money_starts_the_cooldown_too(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.world.run(glider.account_of(portfolio_id), type="partial_liquidation", amount="100")
    glider.world.settle()
    assert glider.too_soon(portfolio_id) == 60


def test_a_trigger_is_taken_while_the_broker_is_down_and_done_afterwards(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    glider.world.set_faults(outage=True)
    answer = glider.send("POST", rebalance_path(portfolio_id))
    if answer.status_code == 503:
        assert assert_failure(answer)["code"] == "API_005"
        return
    assert answer.status_code == 202
    operation_id = answer.json()["data"]["operationId"]
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) in {"accepted", "running", "retrying"}
    glider.world.set_faults()
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "completed"
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "SPY": "2"}


def test_a_trigger_for_an_account_that_is_closed_ends_without_an_order(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    account_id = glider.account_of(portfolio_id)
    orders = glider.world.ledger(account_id)
    glider.world.put(f"/sandbox/accounts/{account_id}", {"status": "INACTIVE"})
    answer = glider.send("POST", rebalance_path(portfolio_id))
    assert answer.status_code in {202, 400, 409}
    if answer.status_code == 202:
        glider.world.settle()
        shown = glider.operation(portfolio_id, answer.json()["data"]["operationId"])
        assert shown["state"] in {"cancelled", "failed"}
        assert shown["error"]
    assert glider.world.ledger(account_id) == orders
