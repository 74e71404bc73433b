"""The document of `/v1` says what is served: it lists every route, its references lead somewhere, its
examples are answered as it says, and Schemathesis finds nothing that it promises and the server does not
keep.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import NewWorld, StartServer
from tests.api.openapi_run import CALLS_A_MINUTE, ask
from tests.api.servers import NO_TLS, audit
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, weights
from trimtab.api import alpaca_errors
from trimtab.api.alpaca_call import AnyOperation, served
from trimtab.api.alpaca_routes import OPERATIONS, PAPER_OPERATIONS

# The one code that does not begin with its status.
VENDORS_OWN = (422, 40010001)
SPY_ONLY = weights(SPY="100")
EXAMPLES = 12
SEED = 20261121


@pytest.fixture
def document(world: World) -> Json:
    return httpx.get(f"{world.server.url}/v1/openapi.json", verify=NO_TLS).raise_for_status().json()


def operations_in(document: Json) -> dict[tuple[str, str], Json]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_needs_no_key_and_lies_under_the_vendors_first_prefix_too(world: World) -> None:
    answers = [
        httpx.get(f"{world.server.url}/v1/{prefix}openapi.json", verify=NO_TLS) for prefix in ("", "beta/")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["content-type"] == "application/json"
    assert answers[0].json()["openapi"].startswith("3.1")


def test_the_document_lists_exactly_the_routes(document: Json) -> None:
    assert len(OPERATIONS) >= 13
    everything: list[AnyOperation] = [*OPERATIONS, *PAPER_OPERATIONS]
    described = operations_in(document)
    assert set(described) == {(each.method, each.path) for each in everything}
    routes = {
        (method, path.replace(":str}", "}"))
        for route in [served(each) for each in everything]
        for path in route.paths
        for method in route.http_methods
    }
    assert routes == set(described)


def test_every_reference_leads_somewhere_and_every_component_is_used(document: Json) -> None:
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references_in(document)) == named


def references_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from references_in(each)


def test_operations_have_names_of_their_own_and_links_lead_to_them(document: Json) -> None:
    described = operations_in(document).values()
    names = [each["operationId"] for each in described]
    assert len(set(names)) == len(names)
    links = {
        each["operationId"]: set(answer["links"])
        for each in described
        for answer in each["responses"].values()
        if "links" in answer
    }
    assert links["create_portfolio"] == {"show_portfolio", "change_portfolio", "delete_portfolio"}
    assert {"show_subscription", "delete_subscription"} <= links["create_subscription"]
    assert links["create_run"] == {"show_run", "cancel_run"}
    assert set().union(*links.values()) <= set(names)


def test_every_operation_says_who_may_and_every_way_it_says_no(document: Json) -> None:
    for (method, path), described in operations_in(document).items():
        (scope,) = {scope for each in described["security"] for scopes in each.values() for scope in scopes}
        assert scope in {"portfolios:read", "portfolios:write", "strategies:write"}
        statuses = set(described["responses"])
        assert {"401", "403", "429", "500"} < statuses
        if method in {"POST", "PATCH"}:
            assert {"200", "400", "409", "413", "422"} < statuses
            assert ("415" in statuses) == ("requestBody" in described)
        if "_id}" in path:
            assert "422" in statuses
            # The seed answers an unknown subscription on DELETE in its own way.
            assert ("404" in statuses) == (
                (method, path) != ("DELETE", f"{SUBSCRIPTIONS}/{{subscription_id}}")
            )
        for status, answer in described["responses"].items():
            if status >= "400":
                assert_examples_are_told_as_they_are(int(status), answer)


def assert_examples_are_told_as_they_are(status: int, answer: Json) -> None:
    content = answer["content"]["application/json"]
    codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
    examples = [each["value"] for each in content["examples"].values()]
    assert {each["code"] for each in examples} == set(codes)
    for each in examples:
        assert each["code"] // 100_000 == status or (status, each["code"]) == VENDORS_OWN
        assert each["message"]
    assert all(alpaca_errors.WHEN[code][1:] in answer["description"] for code in codes)


def test_every_code_of_the_table_is_some_operations(document: Json) -> None:
    told = {
        code
        for described in operations_in(document).values()
        for status, answer in described["responses"].items()
        if status >= "400"
        for code in answer["content"]["application/json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    }
    # Unknown paths and methods belong to no operation, and event streams are described elsewhere.
    assert told == set(alpaca_errors.WHEN) - {40510000, 42910001}
    assert {code for _, code, _ in alpaca_errors.TABLE.values()} <= set(alpaca_errors.WHEN)


def test_the_examples_of_bodies_are_taken(world: World, document: Json) -> None:
    described = operations_in(document)
    account, portfolio = world.account("1000"), world.portfolio(SPY_ONLY)
    targets = {"account_id": account, "portfolio_id": portfolio}
    for method, path in [("POST", PORTFOLIOS), ("PATCH", f"{PORTFOLIOS}/{{portfolio_id}}"), ("POST", RUNS)]:
        content = described[method, path]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            targets["account_id"] = world.account("1000")
            body = {name: targets.get(name, value) for name, value in example["value"].items()}
            world.call(method, path.format(portfolio_id=portfolio), body)


def test_a_path_names_all_its_methods_when_asked(world: World) -> None:
    one = f"{PORTFOLIOS}/{world.portfolio(SPY_ONLY)}"
    for path, methods in [(PORTFOLIOS, "GET, OPTIONS, POST"), (one, "DELETE, GET, OPTIONS, PATCH")]:
        answer = world.http.options(path)
        assert (answer.status_code, answer.headers["allow"], answer.content) == (204, methods, b"")


@pytest.mark.parametrize("nothing", [False, [], {}, 0, "weekly"])
def test_an_update_condition_has_no_sub_type_not_even_something_that_is_false(
    world: World, nothing: Any
) -> None:
    condition = {"type": "on_portfolio_update", "sub_type": nothing}
    body = {"name": "N", "weights": SPY_ONLY, "rebalance_conditions": [condition]}
    refused = world.refused("POST", PORTFOLIOS, body, expect=400)
    expected = "rebalance_conditions[0].sub_type: not permitted for on_portfolio_update"
    assert refused == (40010001, expected)


def test_schemathesis_finds_nothing(start_server: StartServer, new_world: NewWorld, tmp_path: Path) -> None:
    server = start_server("sqlite", TRIMTAB_RATE_LIMIT=CALLS_A_MINUTE)
    world = new_world(server)
    verdict = ask(world, tmp_path, examples=EXAMPLES, seed=SEED)
    world.worth.clear()  # what the requests moved is in nobody's books
    assert verdict.failures == 0, verdict.text
    assert verdict.cases > 2000
    assert {phase["status"] for phase in verdict.report["phases"].values()} == {"success"}
    assert verdict.report["operations"]["tested"] == len(OPERATIONS) + len(PAPER_OPERATIONS)
    assert server.unforeseen() == ""
    found = audit(server)
    assert found.returncode == 0, found.stdout + found.stderr
