"""Hundreds of requests that are almost right: mutated bodies, queries, headers and paths on every route.

What is mutated, and how, is taken from the tests of the first dialect; each round has a seed, which its
failure names.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import httpx
import pytest

from tests.api.glider.client import (
    CASH,
    SOME_SIGNATURE,
    Glider,
    Json,
    allocation,
    assert_failure,
    assert_success,
    assert_traced,
    asset,
    new_wallet,
    paper_account,
    wallet_first_stage,
)
from tests.api.test_fuzz import (
    HEADER_VALUES,
    HEADERS,
    MEDIA_TYPES,
    METHODS,
    TEXTS,
    mutated,
    mutations,
    path,
    query,
)

REQUESTS = 300
QUERY_NAMES = ["limit", "cursor", "status", "strategyId", "ownerAccountId", "returnMethod"]


def one_of_everything(glider: Glider) -> dict[str, str]:
    portfolio_id, spare = glider.portfolio(SPY="60", cash="40"), glider.world.account("400")
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    wallet = wallet_first_stage(glider, new_wallet(), strategy_id=strategy_id)
    return {
        "strategy": strategy_id,
        "portfolio": portfolio_id,
        "operation": glider.rebalance(portfolio_id)["operationId"],
        "owner": paper_account(spare),
        "asset": asset("TLT"),
        "cash": CASH,
        "flow": str(glider.first_stage(spare, strategy_id)["flowId"]),
        "wallet": str(wallet["ownerAccountId"]),
    }


def bodies(glider: Glider, ids: dict[str, str]) -> dict[tuple[str, str], Json]:
    """A body that each operation would take."""
    strategy = {
        "name": "S",
        "description": "D",
        "allocation": allocation(SPY="59.5", TLT="30", cash="10.50"),
        "schedule": {"type": "interval", "frequency": "weekly"},
        "preferences": {"swap": {"slippageBps": 300, "priceImpactBps": 50, "thresholdUsd": "5.00"}},
        "isPublic": False,
    }
    stage = {"ownerAccountId": ids["owner"], "strategyId": ids["strategy"], "chainIds": [8453, 1]}
    wallet = wallet_first_stage(glider, new_wallet(), strategy_id=ids["strategy"], chains=[1, 10])
    second = stage | {"flowId": ids["flow"], "accountIndex": "0", "signature": SOME_SIGNATURE}
    own, followed = f"/v2/strategies/{ids['strategy']}", f"/v2/portfolios/{ids['portfolio']}"
    return {
        ("POST", "/v2/strategies"): strategy,
        ("POST", "/v2/strategies/validate"): strategy,
        ("PATCH", own): {"name": "T", "description": None, "isPublic": True},
        ("POST", f"{own}/versions"): {"allocation": strategy["allocation"], "changeLog": "x"},
        ("PUT", f"{own}/schedule"): strategy["schedule"],
        ("PATCH", f"{own}/preferences"): strategy["preferences"],
        ("PATCH", "/v2/tenant/preferences"): strategy["preferences"],
        ("POST", "/v2/enroll/signature"): stage,
        ("POST", "/v2/enroll"): second | {"agentAccountId": ids["owner"], "portfolioName": "N"},
        ("POST", "/v2/enroll?"): wallet | {"accountType": "ECDSA"},
        ("PATCH", followed): {"portfolioName": "R&D (1)"},
        ("POST", f"{followed}/start"): {},
        ("POST", f"{followed}/stop"): {},
        ("POST", f"{followed}/rebalance"): {},
    }


def targets_without_body(ids: dict[str, str]) -> list[str]:
    own, followed = f"/v2/strategies/{ids['strategy']}", f"/v2/portfolios/{ids['portfolio']}"
    found = ["/v2/scopes", "/v2/whoami", "/v2/openapi.json", "/v2/tenant/preferences", "/v2/strategies", own]
    found += [f"{own}/{noun}" for noun in ("versions", "schedule", "preferences", "fees")]
    found += [
        "/v2/portfolios",
        "/v2/portfolios",
        followed,
        f"{followed}/positions",
        f"{followed}/performance",
    ]
    found += [f"{followed}/operations/{ids['operation']}", f"{followed}/operations", "/v2/enroll"]
    return found


def requests(
    chance: random.Random, glider: Glider, *, ids: dict[str, str]
) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Method, target, headers and content of one request after the other."""
    taken, without = bodies(glider, ids), targets_without_body(ids)
    while True:
        headers = {"content-type": "application/json"}
        if chance.random() < 0.65:
            method, target = chance.choice(sorted(taken))
            body = taken[method, target]
            for _ in range(chance.randrange(4)):
                body = mutated(body, chance)
            content = json.dumps(body).encode()
            if chance.random() < 0.15:
                content = chance.choice(mutations(chance))(content)
        else:
            method = "GET" if chance.random() < 0.7 else chance.choice(METHODS)
            target, content = chance.choice(without), b""
        if chance.random() < 0.05:
            method = chance.choice(METHODS)
        if chance.random() < 0.1:
            headers["content-type"] = chance.choice(MEDIA_TYPES)
        if chance.random() < 0.15:
            headers[chance.choice([*HEADERS, "X-Correlation-Id"])] = chance.choice(HEADER_VALUES)
        target = path(chance, target)
        text = query(chance, ids) if chance.random() < 0.3 else ""
        if chance.random() < 0.2:
            text += f"&{chance.choice(QUERY_NAMES)}={httpx.QueryParams({'x': chance.choice(TEXTS[:30])})}"[
                :-2
            ]
        yield method, f"{target}?{text}" if text else target, headers, content


def assert_answered(answer: httpx.Response) -> None:
    """In the dialect's envelope, and never a failure of the server's."""
    assert answer.status_code < 500
    if not answer.request.url.raw_path.startswith(b"/v2/"):
        return
    assert_traced(answer)
    if answer.request.method == "HEAD" or answer.status_code == 204:
        assert answer.content == b""
    elif answer.status_code >= 400:
        assert_failure(answer)
    elif not answer.request.url.path.startswith("/v2/openapi.json"):
        assert_success(answer, page="nextCursor" in answer.json())


def statuses_of(glider: Glider, seed: int, *, count: int) -> Counter[int]:
    """The statuses of this many answers, each of which had the right shape."""
    statuses = Counter[int]()
    made = requests(random.Random(seed), glider, ids=one_of_everything(glider))
    for number, (method, target, headers, content) in enumerate(islice(made, count)):
        raw = httpx.URL(glider.world.server.url).copy_with(raw_path=target.encode())
        wire = {"x-api-key": glider.key.encode()}
        wire |= {name: value.encode("latin-1") for name, value in headers.items()}
        answer = glider.http.request(method, raw, headers=list(wire.items()), content=content)  # type: ignore[arg-type]
        statuses[answer.status_code] += 1
        try:
            assert_answered(answer)
        except (AssertionError, ValueError, KeyError) as error:
            error.add_note(f"seed {seed}, request {number}: {method} {target} {headers} {content[:2000]!r}")
            error.add_note(f"answered {answer.status_code} {answer.text[:2000]}")
            error.add_note(glider.world.server.unforeseen())
            raise
    # What was taken must be survived too.
    glider.world.settle()
    return statuses


def test_whatever_is_asked_is_answered_in_the_envelope(glider: Glider) -> None:
    statuses = statuses_of(glider, 0, count=REQUESTS) + statuses_of(glider, 1, count=REQUESTS)
    assert {200, 201, 202, 400, 404, 405, 415} <= set(statuses)
    assert statuses[200] + statuses[201] + statuses[202] > REQUESTS / 5


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(100, 120))
def test_whatever_else_is_asked_is_answered_in_the_envelope(glider: Glider, seed: int) -> None:
    assert statuses_of(glider, seed, count=1000)[200]
