"""Who may do what: keys, scopes, tenants, methods and routes, and how often."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from tests.api.glider.client import (
    CORRELATION_ID,
    REQUEST_ID,
    SOME_SIGNATURE,
    Glider,
    Json,
    allocation,
    assert_failure,
    assert_success,
    assert_traced,
    paper_account,
    some_portfolio_id,
    some_strategy_id,
    strategy_body,
)
from tests.api.world import make_key
from trimtab.api.keys import ALL_SCOPES
from trimtab.store import tenants

S = "/strategies/{strategyId}"
P = "/portfolios/{portfolioId}"

# Every route with the one scope it needs: None for any key, "" for no key at all.
ROUTES: list[tuple[str, str, str | None]] = [
    ("GET", "/scopes", ""),
    ("GET", "/openapi.json", ""),
    ("GET", "/whoami", None),
    ("POST", "/strategies", "strategies:write"),
    ("POST", "/strategies/validate", "strategies:write"),
    ("GET", "/strategies", "strategies:read"),
    ("GET", S, "strategies:read"),
    ("PATCH", S, "strategies:write"),
    ("POST", f"{S}/versions", "strategies:write"),
    ("GET", f"{S}/versions", "strategies:read"),
    ("GET", f"{S}/performance", "strategies:read"),
    ("GET", f"{S}/schedule", "strategies:read"),
    ("PUT", f"{S}/schedule", "strategies:write"),
    ("GET", f"{S}/preferences", "strategies:read"),
    ("PATCH", f"{S}/preferences", "strategies:write"),
    ("GET", "/tenant/preferences", "tenant:read"),
    ("PATCH", "/tenant/preferences", "tenant:write"),
    ("POST", "/enroll/signature", "enroll:write"),
    ("POST", "/enroll", "enroll:write"),
    ("GET", "/portfolios", "portfolios:read"),
    ("GET", P, "portfolios:read"),
    ("PATCH", P, "portfolios:write"),
    ("GET", f"{P}/positions", "portfolios:read"),
    ("GET", f"{P}/performance", "portfolios:read"),
    ("POST", f"{P}/start", "portfolios:write"),
    ("POST", f"{P}/stop", "portfolios:write"),
    ("POST", f"{P}/rebalance", "portfolios:write"),
    ("GET", f"{P}/operations", "portfolios:read"),
    ("GET", f"{P}/operations/{{operationId}}", "portfolios:read"),
]
KEYED = [(method, path, scope) for method, path, scope in ROUTES if scope != ""]
SCOPED = [(method, path, scope) for method, path, scope in ROUTES if scope]

# Routes of the vendor that come later, and some that never were.
NOT_THERE = [
    ("GET", "/tenant/fees"),
    ("PATCH", "/tenant/fees"),
    ("GET", f"{S}/fees"),
    ("PATCH", f"{S}/fees"),
    ("GET", "/discovery/strategies"),
    ("POST", f"{P}/withdraw/signature"),
    ("POST", f"{P}/withdraw"),
    ("POST", f"{P}/liquidate-all/signature"),
    ("POST", f"{P}/liquidate-all"),
    ("POST", f"{P}/chains/signature"),
    ("POST", f"{P}/chains"),
    ("GET", f"{P}/sector-exposure"),
    ("GET", "/campaigns/c1/strategies/{strategyId}/portfolios"),
    ("GET", "/llms.txt"),
    ("POST", "/oauth/token"),
    ("GET", "/nonsense"),
    ("POST", f"{P}/trigger"),
    ("POST", f"{P}/rebalance/schedule/start"),
    ("GET", "/%00"),
    ("GET", "/strategies/x/y/z"),
    ("POST", "/webhooks"),
]


def filled(glider: Glider, path: str) -> str:
    """The path with ids that are well formed and nobody's."""
    portfolio_id = some_portfolio_id()
    operation_id = f"rebalance:{portfolio_id}:{quote(f'{portfolio_id}:manual:req_{some_strategy_id()}', '')}"
    return path.format(
        strategyId=some_strategy_id(), portfolioId=portfolio_id, operationId=quote(operation_id, safe="")
    )


def body_for(method: str) -> Json:
    """A body where one is usual."""
    return None if method == "GET" else {}


def key(glider: Glider, *scopes: str) -> Glider:
    """The same tenant, with a key of these scopes."""
    name = glider.with_key(glider.world.key.api_key).get("/whoami")["tenantName"]
    return glider.with_key(make_key(glider.world.db, name, scopes=frozenset(scopes)).api_key)


def test_a_key_is_missing_wrong_or_expired(glider: Glider) -> None:
    now = datetime.now(UTC)
    expired = make_key(glider.world.db, "e", expires_at=now - timedelta(seconds=1)).api_key
    good = glider.world.key.api_key
    bad = ["gldr_sk_unknown", "gldr_sk_", "nonsense", good[:-1], f"{good}x", good.removeprefix("gldr_sk_")]
    for method, path, _ in KEYED:
        for secret, code in (("", "API_101"), *((each, "API_102") for each in bad), (expired, "API_103")):
            for content in (None, b"not json"):
                answer = glider.with_key(secret).send(method, filled(glider, path), content=content)
                told = answer.status_code, assert_failure(answer)["code"]
                assert told == (401, code), (method, path, secret)


def test_a_revoked_key_is_refused_at_once(glider: Glider) -> None:
    made = make_key(glider.world.db, "r")
    asker = glider.with_key(made.api_key)
    asker.get("/whoami")
    glider.world.db.write(lambda tx: tenants.revoke_key(tx, made.key_id, datetime.now(UTC)))
    assert asker.refused("GET", "/whoami", expect=401).code == "API_102"


def test_the_name_of_the_header_is_not_about_its_case(glider: Glider) -> None:
    for name in ("X-API-KEY", "X-Api-Key", "x-api-key"):
        answer = glider.with_key("").send("GET", "/whoami", headers={name: glider.world.key.api_key})
        assert answer.status_code == 200


def test_a_key_elsewhere_is_no_key(glider: Glider) -> None:
    key, nobody = glider.world.key, glider.with_key("")
    basic = b64encode(f"{key.key_id}:{key.secret}".encode()).decode()
    for path, headers in (
        (f"/whoami?x-api-key={key.api_key}", {}),
        ("/whoami", {"Cookie": f"x-api-key={key.api_key}"}),
        ("/whoami", {"Authorization": f"Bearer {key.api_key}"}),
        ("/whoami", {"Authorization": f"Basic {basic}"}),
        ("/whoami", {"APCA-API-KEY-ID": key.key_id, "APCA-API-SECRET-KEY": key.secret}),
    ):
        answer = nobody.send("GET", path, headers=headers)
        assert (answer.status_code, assert_failure(answer)["code"]) == (401, "API_101"), headers


def test_what_else_is_in_the_headers_does_not_spoil_a_key(glider: Glider) -> None:
    for headers in ({"Authorization": "Bearer of-a-gateway"}, {"APCA-API-KEY-ID": "x"}, {"Cookie": "a=b"}):
        assert glider.send("GET", "/whoami", headers=headers).status_code == 200, headers


def test_a_route_needs_its_scope_and_no_other(glider: Glider) -> None:
    scopes = {scope for _, _, scope in SCOPED}
    without = {scope: key(glider, *(ALL_SCOPES - {scope})) for scope in scopes}
    only = {scope: key(glider, scope) for scope in scopes}
    for method, path, scope in SCOPED:
        target = filled(glider, path)
        for content in (None, b"{}", b"not json"):
            answer = without[scope].send(method, target, content=content)
            told = answer.status_code, assert_failure(answer)["code"]
            assert told == (403, "API_104"), (method, path)
        allowed = only[scope].send(method, target, body_for(method))
        assert allowed.status_code in {200, 400, 404}, (method, path)


def test_a_key_without_scopes_may_ask_who_it_is(glider: Glider) -> None:
    bare = key(glider)
    assert bare.get("/whoami")["scopes"] == []
    for method, path, _ in SCOPED:
        assert bare.refused(method, filled(glider, path), expect=403).code == "API_104"


def test_a_key_is_told_who_it_is(glider: Glider) -> None:
    shown = glider.get("/whoami")
    assert set(shown) == {"tenantName", "tenantEmail", "apiKeyId", "scopes"}
    assert shown["tenantName"].startswith("tenant ")
    assert shown["tenantEmail"] is None
    assert shown["apiKeyId"] == f"key_{glider.world.key.key_id}"
    assert sorted(shown["scopes"]) == sorted(set(shown["scopes"]))
    assert {"portfolios:write", "strategies:read"} <= set(shown["scopes"])
    reader = key(glider, "portfolios:read", "tenant:read").get("/whoami")
    assert sorted(reader["scopes"]) == ["portfolios:read", "tenant:read"]
    assert reader["tenantName"] == shown["tenantName"]


TIERS = {
    "strategies:read": {"default"},
    "strategies:write": {"standard"},
    "portfolios:read": {"default"},
    "portfolios:write": {"standard"},
    "portfolios:withdraw": {"standard", "restricted"},
    "enroll:write": {"standard"},
    "tenant:read": {"default"},
    "tenant:write": {"standard"},
    "fees:read": {"default"},
    "fees:write": {"restricted"},
}


def test_everybody_may_see_which_scopes_there_are(glider: Glider) -> None:
    for secret in ("", "nonsense", glider.world.key.api_key):
        shown = glider.with_key(secret).get("/scopes")["scopes"]
        assert all(set(scope) == {"name", "description", "tier"} for scope in shown)
        tiers = {scope["name"]: scope["tier"] for scope in shown}
        assert len(tiers) == len(shown)
        assert all(tiers[name] in known for name, known in TIERS.items())
        assert set(tiers.values()) <= {"default", "standard", "restricted"}
        assert all(scope["description"] for scope in shown)


# Traces.


def test_a_good_correlation_id_comes_back_and_another_is_replaced(glider: Glider) -> None:
    for path, expect in (("/whoami", 200), ("/portfolios/x/y", 404), ("/strategies?limit=0", 400)):
        for good in ("abc", "A-1_b.c:d", "x" * 128, "0"):
            answer = glider.send("GET", path, headers={"X-Correlation-Id": good})
            assert (answer.status_code, answer.headers["X-Correlation-Id"]) == (expect, good)
        for bad in ("", "a b", "x" * 129, "a/b", "a,b", "<x>", "a=b"):
            minted = glider.send("GET", path, headers={"X-Correlation-Id": bad}).headers["X-Correlation-Id"]
            assert CORRELATION_ID.fullmatch(minted), bad
        first, second = (glider.send("GET", path).headers for _ in range(2))
        assert first["X-Correlation-Id"] != second["X-Correlation-Id"]
        assert first["X-Request-Id"] != second["X-Request-Id"]
        assert REQUEST_ID.fullmatch(first["X-Request-Id"])


# Tenants.


def every_id(glider: Glider) -> dict[str, str]:
    portfolio_id = glider.settled()
    return {
        "portfolioId": portfolio_id,
        "strategyId": glider.detail(portfolio_id)["strategyId"],
        "operationId": glider.rebalance(portfolio_id)["operationId"],
    }


BODIES: dict[str, Json] = {
    f"PATCH {P}": {"portfolioName": "mine"},
    f"PATCH {S}": {"name": "mine"},
    f"POST {S}/versions": {"allocation": allocation(TLT="100")},
    f"PUT {S}/schedule": {"type": "interval", "frequency": "hourly"},
    f"PATCH {S}/preferences": {"swap": {"slippageBps": 1}},
}
BAD_BODIES: list[Json] = [{"nonsense": 1}, {"name": 5, "portfolioName": 5, "allocation": 5, "swap": 5}]
CHANGING = {"x-request-id", "x-correlation-id", "x-ratelimit-remaining", "x-ratelimit-reset", "date"}


def shown_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in CHANGING}


def test_a_foreign_id_answers_byte_for_byte_like_a_missing_one(glider: Glider, stranger: Glider) -> None:
    ids = every_id(glider)
    missing = {"portfolioId": some_portfolio_id(), "strategyId": some_strategy_id()}
    request_id = some_strategy_id()
    missing["operationId"] = (
        ids["operationId"][:-26].replace(ids["portfolioId"], missing["portfolioId"]) + request_id
    )
    before = [glider.detail(ids["portfolioId"]), glider.get(f"/strategies/{ids['strategyId']}")]
    for method, path in [(m, p) for m, p, _ in ROUTES if "{" in p]:
        good = BODIES.get(f"{method} {path}")
        for body in [None] if good is None else [good, *BAD_BODIES]:
            foreign, nothing = (
                stranger.send(
                    method, path.format(**{name: quote(each, safe="") for name, each in named.items()}), body
                )
                for named in (ids, missing)
            )
            assert foreign.status_code == nothing.status_code, (method, path)
            content = foreign.text
            for name in ("portfolioId", "strategyId"):
                content = content.replace(ids[name], missing[name])
            content = content.replace(ids["operationId"][-26:], request_id)
            assert content == nothing.text, (method, path)
            assert shown_headers(foreign) == shown_headers(nothing), (method, path)
            if body is good:
                told = foreign.status_code, assert_failure(foreign)["code"]
                assert told == (404, "API_006"), (method, path)
    assert [glider.detail(ids["portfolioId"]), glider.get(f"/strategies/{ids['strategyId']}")] == before


def test_a_stranger_sees_nothing_and_a_colleague_all(glider: Glider, stranger: Glider) -> None:
    portfolio_id = glider.portfolio()
    colleague = key(glider, *ALL_SCOPES)
    for path in ("/portfolios", "/strategies"):
        assert stranger.page(path) == ([], None)
        assert colleague.page(path) == glider.page(path)
    assert colleague.detail(portfolio_id) == glider.detail(portfolio_id)


# Routes.


def allowed(path: str) -> set[str]:
    return {method for method, each, _ in ROUTES if each == path}


def test_a_method_that_is_not_known_is_told_those_that_are(glider: Glider) -> None:
    for path in sorted({path for _, path, _ in ROUTES}):
        target = filled(glider, path)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed(path):
            answer = glider.send(method, target, body_for(method))
            if path == "/strategies/validate" and method in {"GET", "PATCH"}:
                # `validate` could as well be the id of a strategy here.
                assert answer.status_code in {404, 405}
                continue
            code = answer.status_code, assert_failure(answer)["code"]
            assert code == (405, "API_003"), (method, path)
            told = {each.strip() for each in answer.headers["Allow"].split(",")}
            assert told - {"HEAD", "OPTIONS"} == allowed(path), (method, path)


def test_methods_that_ask_about_a_route_are_traced_and_bare(glider: Glider) -> None:
    for method in ("HEAD", "OPTIONS", "TRACE"):
        for path in ("/portfolios", "/whoami", f"/portfolios/{some_portfolio_id()}/rebalance", "/nonsense"):
            answer = glider.http.request(method, f"/v2{path}", headers={"x-api-key": glider.key})
            assert answer.status_code in {200, 204, 404, 405}, (method, path)
            assert_traced(answer)
            if answer.content:
                assert assert_failure(answer)["code"] in {"API_003", "API_006"}


def test_what_is_not_there_is_not_found_in_the_envelope(glider: Glider) -> None:
    for method, path in NOT_THERE:
        for target in (filled(glider, path), path.replace("{", "").replace("}", "")):
            answer = glider.send(method, target, body_for(method))
            told = answer.status_code, assert_failure(answer)["code"]
            assert told == (404, "API_006"), (method, target)


def test_put_off_routes_are_not_there_for_portfolios_that_are(glider: Glider) -> None:
    ids = every_id(glider)
    for method, path in NOT_THERE:
        answer = glider.send(method, path.format(**ids), body_for(method))
        assert (answer.status_code, assert_failure(answer)["code"]) == (404, "API_006"), path


@pytest.mark.parametrize("path", ["", "/", "//", "/v2/portfolios", "/../v2/portfolios/x/y/z", "/Portfolios/"])
def test_strange_paths_have_the_envelope_too(glider: Glider, path: str) -> None:
    answer = glider.http.request("GET", f"/v2{path}", headers={"x-api-key": glider.key})
    if answer.url.path.startswith("/v2/"):
        assert answer.status_code in {404, 405}
        assert assert_failure(answer)["code"] in {"API_006", "API_003"}


# Routes of the vendor that no document puts off or asks for.
EITHER_WAY = {
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
}


def unnamed(path: str) -> str:
    """The path without `/v2`, its parameters without names."""
    parts = path.removeprefix("/v2").split("/")
    return "/".join("{}" if part.startswith("{") else part for part in parts)


def test_the_openapi_document_lists_exactly_the_routes(glider: Glider) -> None:
    answer = glider.http.get("/v2/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] in {
        "application/json",
        "application/vnd.oai.openapi+json",
    }
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    listed = {
        (method.upper(), unnamed(path))
        for path, operations in document["paths"].items()
        for method in operations
        if method in {"get", "post", "put", "patch", "delete"}
    }
    routes = {(method, unnamed(path)) for method, path, _ in ROUTES}
    assert routes - listed <= EITHER_WAY
    assert listed - routes <= EITHER_WAY
    assert glider.world.key.api_key not in answer.text
    (trigger,) = [paths["post"] for path, paths in document["paths"].items() if path.endswith("/rebalance")]
    assert {"202", "401", "403", "404", "429", "500"} <= set(trigger["responses"])


# Rates.


def test_every_answer_tells_the_allowance(glider: Glider) -> None:
    for method, path, expect in (
        ("GET", "/whoami", 200),
        ("GET", "/portfolios", 200),
        ("GET", f"/portfolios/{some_portfolio_id()}", 404),
        ("POST", "/strategies", 400),
    ):
        headers = glider.call(method, path, None if method == "GET" else {}, expect=expect).headers
        assert int(headers["X-RateLimit-Limit"]) >= int(headers["X-RateLimit-Remaining"]) >= 0
        assert int(headers["X-RateLimit-Reset"]) > 0


def test_a_whole_enrolment_with_only_the_scopes_it_needs(glider: Glider) -> None:
    strategist, enroller = key(glider, "strategies:write"), key(glider, "enroll:write")
    reader, trader = key(glider, "portfolios:read"), key(glider, "portfolios:write")
    strategy_id = strategist.post("/strategies", strategy_body(), expect=201)["strategyId"]
    owner = paper_account(glider.world.account("400"))
    body = {"ownerAccountId": owner, "strategyId": strategy_id, "chainIds": []}
    told = enroller.post("/enroll/signature", body)
    given = {name: told[name] for name in ("agentAccountId", "accountIndex", "flowId")}
    portfolio_id = enroller.post("/enroll", body | given | {"signature": SOME_SIGNATURE}, expect=201)[
        "portfolioId"
    ]
    operation_id = trader.rebalance(portfolio_id)["operationId"]
    assert reader.state(portfolio_id, operation_id) == "accepted"
    assert assert_success(reader.call("GET", "/portfolios"), page=True)["nextCursor"] is None
