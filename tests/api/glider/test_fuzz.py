"""Hundreds of requests that are almost right: mutated bodies, queries, headers and paths on every route.

Each round has a seed, which its failure names.
"""

import random
from collections import Counter
from itertools import islice

import httpx
import pytest

from tests.api.drawing import HEADERS, TEXTS, Draw, drawn, query
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


def draw(chance: random.Random, glider: Glider, *, ids: dict[str, str]) -> Draw:
    return Draw(
        bodies=bodies(glider, ids),
        without_body=targets_without_body(ids),
        query=lambda: some_query(chance, ids),
        headers=[*HEADERS, "X-Correlation-Id"],
    )


def some_query(chance: random.Random, ids: dict[str, str]) -> str:
    """Any query, or one with a name that this dialect knows, or none."""
    text = query(chance, ids) if chance.random() < 0.3 else ""
    if chance.random() < 0.2:
        known = httpx.QueryParams({chance.choice(QUERY_NAMES): chance.choice(TEXTS[:30])})
        text += f"&{known}"
    return text


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
    chance = random.Random(seed)
    made = drawn(chance, draw(chance, glider, ids=one_of_everything(glider)))
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
