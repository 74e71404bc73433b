"""Operations: how their ids arrive, every state of a rebalance, and whose they are."""

import subprocess
import sys
from urllib.parse import quote, unquote

from tests.api.glider.client import (
    Glider,
    Json,
    assert_success,
    instant,
    run_of,
    some_portfolio_id,
    some_strategy_id,
    ulid_of,
    uuid_of,
)
from tests.api.world import RUNS, SUBSCRIPTIONS, World

FIELDS = {"operationId", "portfolioId", "kind", "state", "createdAt", "updatedAt", "finishedAt", "error"}


def path(portfolio_id: str, operation_id: str) -> str:
    return f"/portfolios/{portfolio_id}/operations/{operation_id}"


def triggered(glider: Glider, cash: str = "400") -> tuple[str, str]:
    """A portfolio with money to spend, and the operation that is to spend it."""
    portfolio_id = glider.settled(cash)
    glider.world.pay_in(glider.account_of(portfolio_id), cash)
    return portfolio_id, str(glider.rebalance(portfolio_id)["operationId"])


def test_every_field_of_an_operation_is_always_there(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    told = glider.rebalance(portfolio_id)
    accepted = glider.operation(portfolio_id, told["operationId"])
    assert accepted == {
        "operationId": told["operationId"],
        "portfolioId": portfolio_id,
        "kind": "rebalance",
        "state": "accepted",
        "createdAt": told["submittedAt"],
        "updatedAt": told["submittedAt"],
        "finishedAt": None,
        "error": None,
    }
    glider.world.later(seconds=30)
    glider.world.settle()
    done = glider.operation(portfolio_id, told["operationId"])
    now = glider.now()
    assert done == accepted | {"state": "completed", "updatedAt": now, "finishedAt": now}
    glider.world.later(seconds=30)
    assert glider.operation(portfolio_id, told["operationId"]) == done


def test_an_id_is_found_however_often_it_was_percent_encoded(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    assert "%3A" in operation_id
    forms = {
        "pasted as it is": operation_id,
        "decoded": unquote(operation_id),
        "in small letters": operation_id.replace("%3A", "%3a"),
        "encoded": quote(operation_id, safe=""),
        "encoded but for colons": quote(operation_id, safe=":"),
        "encoded twice": quote(quote(operation_id, safe=""), safe=""),
    }
    for name, form in forms.items():
        answer = glider.send("GET", path(portfolio_id, form))
        assert answer.status_code == 200, name
        assert assert_success(answer)["data"]["operationId"] == operation_id, name


def test_orders_that_are_filling_are_running(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    glider.world.set_faults(partial_fill=1, fill_delay_s=30)
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "running"
    glider.world.later(seconds=30)
    glider.world.settle()
    shown = glider.operation(portfolio_id, operation_id)
    assert (shown["state"], shown["finishedAt"], shown["error"]) == ("running", None, None)
    assert shown["createdAt"] <= shown["updatedAt"] <= glider.now()
    glider.world.later(seconds=30)
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "completed"


def test_a_lost_reply_is_looked_up_while_the_operation_is_running_or_retrying(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    glider.world.set_faults(lost_reply=1, fill_delay_s=20)
    states = []
    for _ in range(4):
        glider.world.settle()
        states.append(glider.state(portfolio_id, operation_id))
        glider.world.later(seconds=30)
    assert states[0] in {"running", "retrying"}
    assert states[-1] == "completed"
    assert set(states) <= {"retrying", "running", "completed"}
    assert glider.world.held(glider.account_of(portfolio_id)) == {"cash": "0", "SPY": "2"}


def trimtab(world: World, *arguments: str) -> None:
    """The command line, beside the running server."""
    server = world.server
    subprocess.run(
        [sys.executable, "-m", "trimtab", *arguments],
        cwd=server.log.parent,
        env=server.environment,
        check=True,
        capture_output=True,
    )


def test_a_frozen_account_awaits_somebody(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    account_id = glider.account_of(portfolio_id)
    glider.world.set_faults(fill_delay_s=600)
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "running"
    trimtab(glider.world, "freeze", "--account", account_id)
    glider.world.settle()
    shown = glider.operation(portfolio_id, operation_id)
    assert (shown["state"], shown["finishedAt"]) == ("awaiting_user", None)
    assert glider.rebalance(portfolio_id)["operationId"] == operation_id
    glider.world.set_faults()
    trimtab(glider.world, "thaw", "--account", account_id)
    for _ in range(3):
        glider.world.settle()
        glider.world.later(seconds=30)
    assert glider.state(portfolio_id, operation_id) == "completed"


def test_a_cancelled_run_says_so_whether_it_had_begun_or_not(glider: Glider) -> None:
    portfolio_id, queued = triggered(glider)
    glider.world.delete(f"{RUNS}/{run_of(queued)}")
    shown = glider.operation(portfolio_id, queued)
    assert (shown["state"], shown["finishedAt"]) == ("cancelled", glider.now())
    assert shown["error"]
    glider.world.later(seconds=60)
    begun = glider.rebalance(portfolio_id)["operationId"]
    glider.world.set_faults(fill_delay_s=600)
    glider.world.settle()
    glider.world.delete(f"{RUNS}/{run_of(begun)}")
    assert glider.state(portfolio_id, begun) == "running"
    glider.world.settle()
    shown = glider.operation(portfolio_id, begun)
    assert (shown["state"], shown["finishedAt"]) == ("cancelled", glider.now())
    assert shown["error"]


def test_a_run_that_timed_out_has_failed_and_says_why(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    glider.world.set_faults(fill_delay_s=86_400)
    glider.world.settle()
    started_at = glider.world.now()
    glider.world.set_clock(started_at.replace(microsecond=0))
    glider.world.later(minutes=59)
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "running"
    glider.world.later(minutes=1)
    glider.world.settle()
    shown = glider.operation(portfolio_id, operation_id)
    assert shown["state"] == "failed"
    assert shown["error"] == glider.world.show_run(run_of(operation_id))["reason"]
    assert shown["error"]
    assert instant(shown["finishedAt"]) == glider.world.now()


def test_a_refused_order_does_not_make_the_operation_fail(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    glider.world.set_faults(reject=["SPY"])
    glider.world.settle()
    assert glider.world.show_run(run_of(operation_id))["status"] == "COMPLETED_ADJUSTED"
    assert glider.state(portfolio_id, operation_id) == "completed"


def test_scheduled_runs_are_operations_of_the_same_form(glider: Glider) -> None:
    portfolio_id = glider.portfolio("400")
    operation_id = glider.rebalance(portfolio_id)["operationId"]
    assert ":scheduled" in unquote(operation_id)
    glider.world.settle()
    glider.world.later(days=1)
    glider.world.settle()
    first, second = glider.runs(portfolio_id)
    ids = [operation_id[:-26] + ulid_of(run["id"]) for run in (first, second)]
    assert ids[0] == operation_id
    for each in ids:
        shown = glider.operation(portfolio_id, each)
        assert (shown["operationId"], shown["kind"], shown["state"]) == (each, "rebalance", "completed")


def test_raising_money_is_an_operation_of_another_kind(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    run_id = glider.world.run(glider.account_of(portfolio_id), type="partial_liquidation", amount="100")
    operation_id = f"op_{ulid_of(run_id)}"
    shown = glider.operation(portfolio_id, operation_id)
    assert set(shown) == FIELDS
    assert (shown["operationId"], shown["kind"], shown["state"]) == (operation_id, "withdraw", "accepted")
    glider.world.settle()
    assert glider.state(portfolio_id, operation_id) == "completed"


def missing_operations(portfolio_id: str) -> list[str]:
    """Ids that name nothing, well formed and otherwise."""
    unknown = quote(f"{portfolio_id}:manual:req_{some_strategy_id()}", safe="")
    return [
        quote(f"rebalance:{portfolio_id}:{unknown}", safe=""),
        f"op_{some_strategy_id()}",
        "nonsense",
        "rebalance:",
        "x" * 10_000,
        "%00",
        "%F0%9F%92%B8",
        "%25",
        "%2525",
        "%22%27%3B--",
    ]


def test_what_is_not_an_operation_is_not_found(glider: Glider) -> None:
    portfolio_id = glider.settled()
    for operation_id in missing_operations(portfolio_id):
        refusal = glider.refused("GET", path(portfolio_id, operation_id), expect=404)
        assert refusal.code == "API_006"
    unknown = f"op_{some_strategy_id()}"
    answer = glider.call("GET", path(portfolio_id, unknown), expect=404)
    message = f"Operation with ID {unknown} not found"
    assert answer.json() == {"success": False, "error": {"code": "API_006", "message": message}}


def test_an_id_that_is_nearly_right_is_not_one(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    ulid, unquoted = operation_id[-26:], unquote(operation_id)
    for wrong in (
        operation_id.replace("manual", "scheduled"),
        operation_id.replace("manual", "Manual"),
        operation_id.replace("rebalance:", "swap:"),
        operation_id.removeprefix("rebalance:"),
        operation_id[:-26] + ulid.lower(),
        operation_id + "0",
        operation_id[:-1],
        " " + operation_id,
        unquoted.replace(":req_", ":"),
        unquoted + ":",
        f"req_{ulid}",
        f"op_{ulid}",
        ulid,
        run_of(operation_id),
    ):
        assert glider.refused("GET", path(portfolio_id, quote(wrong, safe="")), expect=404).code == "API_006"
    raised = glider.settled("400")
    run_id = glider.world.run(glider.account_of(raised), type="partial_liquidation", amount="100")
    as_rebalance = operation_id.replace(portfolio_id, raised)[:-26] + ulid_of(run_id)
    assert glider.refused("GET", path(raised, quote(as_rebalance, safe="")), expect=404).code == "API_006"


def test_an_operation_belongs_to_one_portfolio(glider: Glider) -> None:
    one, operation_id = triggered(glider)
    two = glider.settled()
    foreign = glider.call("GET", path(two, quote(operation_id, safe="")), expect=404)
    liar = operation_id.replace(one, two)
    lied = glider.call("GET", path(two, quote(liar, safe="")), expect=404)
    assert lied.content == foreign.content.replace(one.encode(), two.encode())
    # A run of the account from before somebody followed anything is nobody's operation by guessing.
    assert glider.refused("GET", path(one, quote(liar, safe="")), expect=404).code == "API_006"


def test_a_foreign_operation_answers_byte_for_byte_like_a_missing_one(
    glider: Glider, stranger: Glider
) -> None:
    portfolio_id, operation_id = triggered(glider)
    missing_portfolio, unknown = some_portfolio_id(), some_strategy_id()
    missing = operation_id.replace(portfolio_id, missing_portfolio)[:-26] + unknown
    for form in (lambda each: each, lambda each: quote(each, safe="")):
        foreign = stranger.call("GET", path(portfolio_id, form(operation_id)), expect=404)
        nothing = stranger.call("GET", path(missing_portfolio, form(missing)), expect=404)
        assert foreign.content.replace(portfolio_id.encode(), missing_portfolio.encode()) == nothing.content
        assert same_headers(foreign.headers, nothing.headers)
    own = stranger.settled()
    foreign = stranger.call("GET", path(own, quote(operation_id, safe="")), expect=404)
    nothing = stranger.call("GET", path(own, quote(missing, safe="")), expect=404)
    swapped = foreign.content.replace(portfolio_id.encode(), missing_portfolio.encode())
    assert swapped.replace(operation_id[-26:].encode(), unknown.encode()) == nothing.content


def same_headers(one: Json, other: Json) -> bool:
    changing = {"x-request-id", "x-correlation-id", "x-ratelimit-remaining", "x-ratelimit-reset", "date"}
    return bool(
        {name: value for name, value in one.items() if name not in changing}
        == {name: value for name, value in other.items() if name not in changing}
    )


def test_operations_end_with_their_portfolio(glider: Glider) -> None:
    portfolio_id, operation_id = triggered(glider)
    glider.world.delete(f"{SUBSCRIPTIONS}/{uuid_of(portfolio_id)}")
    refusal = glider.refused("GET", path(portfolio_id, quote(operation_id, safe="")), expect=404)
    assert refusal.message == f"Portfolio with ID {portfolio_id} not found"


def test_operations_are_listed_newest_first_as_they_are_shown_one_by_one(glider: Glider) -> None:
    portfolio_id = glider.settled()
    manual = glider.rebalance(portfolio_id)
    path = f"/portfolios/{portfolio_id}/operations"
    listed, cursor = glider.page(path)
    assert [each["state"] for each in listed] == ["accepted", "completed"]
    assert listed[0]["operationId"] == manual["operationId"]
    assert cursor is None
    for each in listed:
        assert glider.get(f"{path}/{quote(each['operationId'], safe='')}") == each
    (newest,), cursor = glider.page(path, limit=1)
    assert newest == listed[0]
    assert glider.page(path, limit=1, cursor=str(cursor)) == ([listed[1]], None)
