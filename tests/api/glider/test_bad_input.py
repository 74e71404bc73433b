"""Hostile requests: whatever comes, the answer has the envelope and a 4xx, and nothing is stored."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest

from tests.api.glider.client import (
    JSON_TYPE,
    NO_PREFERENCES,
    SOME_SIGNATURE,
    Glider,
    Json,
    allocation,
    anonymous,
    assert_failure,
    asset,
    paper_account,
    some_strategy_id,
    strategy_body,
    uuid_of,
    values,
)

BODY_MAX_BYTES = 1 << 20
FAILED = ("API_400", "Request validation failed")

# Routes that need a body, with one that would be taken.
WITH_BODY: list[tuple[str, str, Json]] = [
    ("POST", "/strategies", strategy_body()),
    ("POST", "/strategies/validate", strategy_body()),
    ("PATCH", "/strategies/{strategy}", {"name": "changed"}),
    ("POST", "/strategies/{strategy}/versions", {"allocation": allocation(TLT="100")}),
    ("PUT", "/strategies/{strategy}/schedule", {"type": "interval", "frequency": "hourly"}),
    ("PATCH", "/strategies/{strategy}/preferences", {"swap": {"slippageBps": 5}}),
    ("PATCH", "/tenant/preferences", {"swap": {"slippageBps": 5}}),
    (
        "POST",
        "/enroll/signature",
        {"ownerAccountId": "{owner}", "strategyId": "{strategy}", "chainIds": [1]},
    ),
    (
        "POST",
        "/enroll",
        {
            "ownerAccountId": "{owner}",
            "strategyId": "{strategy}",
            "chainIds": [],
            "accountIndex": "0",
            "agentAccountId": "{owner}",
            "signature": SOME_SIGNATURE,
            "flowId": "flow_x",
        },
    ),
    ("PATCH", "/portfolios/{portfolio}", {"portfolioName": "changed"}),
]
WITH_PATH_ID = [
    ("GET", "/strategies/{}"),
    ("PATCH", "/strategies/{}"),
    ("POST", "/strategies/{}/versions"),
    ("GET", "/strategies/{}/versions"),
    ("GET", "/strategies/{}/performance"),
    ("GET", "/strategies/{}/schedule"),
    ("PUT", "/strategies/{}/schedule"),
    ("GET", "/strategies/{}/preferences"),
    ("PATCH", "/strategies/{}/preferences"),
    ("GET", "/portfolios/{}"),
    ("PATCH", "/portfolios/{}"),
    ("GET", "/portfolios/{}/positions"),
    ("GET", "/portfolios/{}/performance"),
    ("GET", "/portfolios/{}/operations"),
    ("POST", "/portfolios/{}/start"),
    ("POST", "/portfolios/{}/stop"),
]
# The two routes whose malformed ids are ids that are not there.
LENIENT = [("POST", "/portfolios/{}/rebalance"), ("GET", "/portfolios/{}/operations/x")]
GOOD_BODIES = {
    f"{method} {path}".replace("{strategy}", "{}").replace("{portfolio}", "{}"): body
    for method, path, body in WITH_BODY
}


def everything(glider: Glider) -> list[Json]:
    """All that a tenant can see."""
    strategies, portfolios = glider.all("/strategies"), glider.all("/portfolios")
    found: list[Json] = [strategies, portfolios, glider.get("/tenant/preferences")]
    found += [glider.all(f"/strategies/{shown['strategyId']}/versions") for shown in strategies]
    found += [glider.detail(shown["portfolioId"]) for shown in portfolios]
    return found


@pytest.fixture
def ids(glider: Glider) -> Iterator[dict[str, str]]:
    """A strategy and a portfolio; at the end they are as they were, and the only ones."""
    portfolio_id = glider.portfolio()
    owner = paper_account(glider.world.account())
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    before = everything(glider)
    yield {"strategy": strategy_id, "portfolio": portfolio_id, "owner": owner}
    assert everything(glider) == before
    assert glider.get("/tenant/preferences") == NO_PREFERENCES


def target_of(path: str, ids: dict[str, str]) -> str:
    return path.format(**ids)


BAD_IDS = ["%00", "a%00b", "x" * 65, "x" * 10_000, "%F0%9F%92%B8", "%EF%BC%91", "a%20b", "%22%3B--", "a.b"]
BAD_IDS += [
    "%3Cscript%3E",
    "a%2Cb",
    "pf_%C3%A9",
    "~",
    "a%0Ab",
    "%27%20OR%201%3D1",
    "%25s",
    "$1",
    "a:b",
    "%FF",
]


def test_a_malformed_id_is_refused(glider: Glider) -> None:
    for method, path in WITH_PATH_ID:
        body = GOOD_BODIES.get(f"{method} {path}")
        for bad in BAD_IDS:
            answer = glider.send(method, path.format(bad), body)
            error = assert_failure(answer)
            assert (answer.status_code, error["code"]) == (400, "API_400"), (method, path, bad)
            assert error["details"], (method, path, bad)


def test_where_an_id_is_not_checked_it_is_not_there(glider: Glider) -> None:
    for method, path in LENIENT:
        for bad in BAD_IDS:
            answer = glider.send(method, path.format(bad))
            told = answer.status_code, assert_failure(answer)["code"]
            assert told == (404, "API_006"), (method, path, bad)


def test_a_well_formed_id_that_nobody_has_is_not_found(glider: Glider) -> None:
    unknown = some_strategy_id()
    strange = ["a1b2c3d4", "nonsense", "-", "_", "x" * 64, "pf_", "pf_x", "0", "Z" * 26, "pf_" + "Z" * 26]
    strange += [unknown, unknown.lower(), unknown[:-1], unknown + "0", uuid_of(unknown)]
    for method, path in WITH_PATH_ID + LENIENT:
        body = GOOD_BODIES.get(f"{method} {path}")
        noun = "Portfolio" if "portfolios" in path else "Strategy"
        for missing in strange:
            answer = glider.send(method, path.format(missing), body)
            error = assert_failure(answer)
            assert (answer.status_code, error["code"]) == (404, "API_006"), (method, path, missing)
            assert error["message"] == f"{noun} with ID {missing} not found", (method, path)


def test_an_id_of_one_kind_is_not_one_of_another(glider: Glider, ids: dict[str, str]) -> None:
    strategy_id, portfolio_id = ids["strategy"], ids["portfolio"]
    for path in (
        f"/portfolios/{strategy_id}",
        f"/portfolios/pf_{strategy_id}",
        f"/portfolios/{portfolio_id.removeprefix('pf_')}x",
        f"/strategies/{uuid_of(strategy_id)}",
        f"/portfolios/{uuid_of(portfolio_id)}",
        f"/portfolios/pf_{uuid_of(portfolio_id)}",
        f"/strategies/{portfolio_id}",
        f"/strategies/{portfolio_id.removeprefix('pf_')}",
        f"/strategies/pf_{strategy_id}",
    ):
        assert glider.refused("GET", path, expect=404).code == "API_006"


def lists(count: int) -> bytes:
    return b"[" * count + b"]" * count


NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blank": b" ",
    "half an object": b'{"name":',
    "two objects": b"{}{}",
    "single quotes": b"{'name':'x'}",
    "a comment": b"{}//x",
    "a comma too many": b'{"name":"x",}',
    "NaN": b'{"x":NaN}',
    "Infinity": b'{"swap":{"slippageBps":Infinity}}',
    "minus Infinity": b'{"x":[-Infinity]}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "invalid UTF-8": b'{"name":"\xff"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "a lone surrogate": b'{"name":"\\ud800"}',
    "NUL": b'{"name":"\\u0000","portfolioName":"\\u0000"}',
    "a bare NUL": b'{"name":"\x00"}',
    "a repeated key": b'{"name":"x","name":"y"}',
    "a repeated key within": b'{"swap":{"slippageBps":1,"slippageBps":2}}',
    "a repeated key in two spellings": b'{"name":"x","n\\u0061me":"y"}',
    "65 deep": b'{"x":' + lists(64) + b"}",
    "65 objects deep": b'{"x":' * 65 + b"{}" + b"}" * 65,
    "100,000 deep": b'{"x":' + lists(100_000) + b"}",
    "500,000 open": b"[" * 500_000,
}
NOT_OBJECTS = {"a list": b"[]", "a string": b'"x"', "a number": b"5", "null": b"null", "true": b"true"}


def test_what_is_not_strict_json_is_refused(glider: Glider, ids: dict[str, str]) -> None:
    for method, path, _ in WITH_BODY:
        for name, content in (NOT_JSON | NOT_OBJECTS).items():
            answer = glider.send(method, target_of(path, ids), content=content, headers=JSON_TYPE)
            code = assert_failure(answer)["code"]
            assert answer.status_code == 400, (method, path, name)
            assert code == "API_002" or (name in NOT_OBJECTS and code == "API_400"), (method, path, name)
            assert assert_failure(answer)["details"], (method, path, name)


def test_another_media_type_is_not_supported(glider: Glider, ids: dict[str, str]) -> None:
    types = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", "", None)
    for method, path, good in WITH_BODY:
        content = json.dumps(good).encode()
        for media_type in types:
            headers = {} if media_type is None else {"content-type": media_type}
            answer = glider.send(method, target_of(path, ids), content=content, headers=headers)
            told = answer.status_code, assert_failure(answer)["code"]
            assert told == (415, "API_002"), (method, path, media_type)


def test_parameters_of_the_media_type_do_no_harm(glider: Glider) -> None:
    content = json.dumps(strategy_body()).encode()
    for media_type in ("application/json; charset=utf-8", "Application/JSON", "application/json;x=y"):
        headers = {"content-type": media_type}
        assert (
            glider.send("POST", "/strategies/validate", content=content, headers=headers).status_code == 200
        )


def test_a_body_of_two_megabytes_is_too_large(glider: Glider, ids: dict[str, str]) -> None:
    for method, path, good in WITH_BODY:
        padded = json.dumps(good | {"padding": "x" * (2 * BODY_MAX_BYTES)}).encode()
        for content in (padded, b"x" * (2 * BODY_MAX_BYTES)):
            answer = answer_to_large(glider, method, target_of(path, ids), content=content)
            told = answer.status_code, assert_failure(answer)["code"]
            assert told == (413, "API_002"), (method, path)


def answer_to_large(glider: Glider, method: str, path: str, *, content: bytes) -> httpx.Response:
    """The server hangs up on the rest of the body, and that may overtake its answer: then ask again."""
    for _ in range(5):
        with suppress(httpx.TransportError), anonymous(glider.world) as http:
            return replace(glider, http=http).send(method, path, content=content, headers=JSON_TYPE)
    pytest.fail("no answer ever came")


def test_a_large_body_is_too_large_also_where_none_is_needed(glider: Glider) -> None:
    portfolio_id = glider.settled()
    content = b"x" * (2 * BODY_MAX_BYTES)
    for action in ("rebalance", "start", "stop"):
        answer = answer_to_large(glider, "POST", f"/portfolios/{portfolio_id}/{action}", content=content)
        assert answer.status_code in {200, 202, 413}


WRONG_TYPES = values([None, True, 5, 5.5, "x", "", [], {}, [5], {"x": 5}, "x" * 5000])
# For each body, the values of a field that are right after all.
RIGHT: dict[str, list[Json]] = {
    "name": ["x"],
    "description": [None, "x", ""],
    "changeLog": [None, "x", ""],
    "isPublic": [True, None],
    "swap": [{}],
    "schedule": [None],
    "preferences": [None, {}, {"x": 5}],
    "portfolioName": [None, "x", ""],
    "chainIds": [[], [5]],
    "slippageBps": [None, 5],
    "thresholdUsd": [None],
}
FIELDS: dict[str, list[str]] = {
    "/strategies": ["name", "description", "allocation", "schedule", "preferences", "isPublic"],
    "/strategies/validate": ["name", "description", "allocation", "schedule", "preferences", "isPublic"],
    "/strategies/{strategy}": ["name", "description", "isPublic"],
    "/strategies/{strategy}/versions": ["allocation", "changeLog"],
    "/strategies/{strategy}/schedule": ["type", "frequency"],
    "/strategies/{strategy}/preferences": ["swap"],
    "/tenant/preferences": ["swap"],
    "/enroll/signature": ["ownerAccountId", "strategyId", "chainIds"],
    "/enroll": [
        "ownerAccountId",
        "strategyId",
        "chainIds",
        "accountIndex",
        "agentAccountId",
        "signature",
        "flowId",
        "portfolioName",
    ],
    "/portfolios/{portfolio}": ["portfolioName"],
}


def is_right(name: str, value: Json) -> bool:
    return any(value == right and type(value) is type(right) for right in RIGHT.get(name, []))


def test_a_value_of_a_wrong_type_is_refused_by_its_field(glider: Glider, ids: dict[str, str]) -> None:
    for method, path, good in WITH_BODY:
        text = json.dumps(good).replace("{owner}", ids["owner"]).replace("{strategy}", ids["strategy"])
        wrong = [(name, value) for name in FIELDS[path] for value in WRONG_TYPES if not is_right(name, value)]
        for name, value in wrong:
            answer = glider.send(method, target_of(path, ids), json.loads(text) | {name: value})
            error = assert_failure(answer)
            case = (method, path, name, value, error)
            assert (answer.status_code, error["code"]) == (400, "API_400"), case
            assert any(line.startswith(name) for line in error.get("details", [])), case


@pytest.mark.parametrize("weight", ["100", "100.0", "1e2", "1" * 400, "1" * 100_000, "-0", "0.1e3"])
def test_a_weight_is_a_string_and_not_a_number(glider: Glider, ids: dict[str, str], weight: str) -> None:
    line = f'{{"assetId":"{asset("SPY")}","weight":{weight}}}'
    allocated = f'"allocation":{{"assets":[{line}]}}'
    for path, text in (
        ("/strategies", f'{{"name":"S",{allocated}}}'),
        ("/strategies/validate", f'{{"name":"S",{allocated}}}'),
        (f"/strategies/{ids['strategy']}/versions", f"{{{allocated}}}"),
    ):
        answer = glider.send("POST", path, content=text.encode(), headers=JSON_TYPE)
        error = assert_failure(answer)
        assert (answer.status_code, error["code"], error["message"]) == (400, *FAILED)
        assert any("weight: " in each for each in error["details"])


def test_a_list_of_assets_may_be_long_and_is_refused(glider: Glider, ids: dict[str, str]) -> None:
    for count in (51, 500, 5000):
        line = {"assetId": asset("SPY"), "weight": "0.01"}
        body = strategy_body(allocation={"assets": [line] * count})
        assert glider.refused("POST", "/strategies", body, expect=400).names("allocation.assets")


HEADERS = [
    {"Content-Encoding": "gzip"},
    {"Accept": "text/html"},
    {"Range": "bytes=0-1"},
    {"If-None-Match": "*"},
    {"X-HTTP-Method-Override": "DELETE"},
    {"X-Correlation-Id": "x" * 5000},
    {"Cookie": "; ".join(["a=b"] * 500)},
]


@pytest.mark.parametrize("headers", HEADERS)
def test_strange_headers_change_nothing(glider: Glider, headers: dict[str, str]) -> None:
    answer = glider.send("GET", "/whoami", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["success"] is True


QUERIES = ["?", "?limit", "?limit=", "?limit=5&limit=6", "?%00=1", "?cursor=%00", "?status=%FF", "?x=%zz"]
QUERIES += [
    "?strategyId=%00",
    "?ownerAccountId=%00",
    "?" + "a=b&" * 2000,
    "?limit=%EF%BC%95",
    "?cursor=a%0Ab",
]


def test_strange_queries_are_ignored_or_refused(glider: Glider, ids: dict[str, str]) -> None:
    for path in ("/portfolios", "/strategies", f"/strategies/{ids['strategy']}/versions"):
        for query in QUERIES:
            answer = glider.send("GET", path + query)
            assert answer.status_code in {200, 400}, query
            if answer.status_code == 400:
                assert assert_failure(answer)["details"], query
