"""Thousands of requests that are almost right: mutated bodies, queries, headers and paths on every route.

Each round has a seed, which its failure names; the same seed makes the same requests but for ids.
"""

import random
from decimal import Decimal

import httpx
import pytest

from tests.api.conftest import KINDS, NewWorld, StartServer
from tests.api.drawing import Draw, drawn, query
from tests.api.servers import audit
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, band, calendar, weights

ROUNDS = 5
REQUESTS_A_ROUND = 400


def bodies(ids: dict[str, str]) -> dict[tuple[str, str], Json]:
    """A body that each operation would take."""
    rules = [band("5"), band("20", "relative"), calendar("monthly", "31"), {"type": "on_portfolio_update"}]
    portfolio = {"name": "N", "description": "", "cooldown_days": 0, "rebalance_conditions": rules}
    nested = {"type": "portfolio", "portfolio_id": ids["nested"], "percent": "10"}
    targets = [*weights(cash="5", SPY="50", TLT="35"), nested]
    run = {"account_id": ids["account"], "type": "full_rebalance", "weights": targets}
    return {
        ("POST", PORTFOLIOS): {**portfolio, "weights": targets},
        ("PATCH", f"{PORTFOLIOS}/{ids['portfolio']}"): {"status": "active", "weights": targets, "name": "M"},
        ("POST", SUBSCRIPTIONS): {"account_id": ids["account"], "portfolio_id": ids["portfolio"]},
        ("POST", RUNS): run,
        ("POST", f"{RUNS}?"): {"account_id": ids["followed"], "type": "invest_cash", "amount": "5.01"},
        ("PUT", "/sandbox/clock"): {"now": "2026-03-04T15:00:00Z"},
        ("PUT", "/sandbox/prices"): {"SPY": "401.5", "TLT": 99},
        ("PUT", "/sandbox/assets/GLD"): {
            "tradable": True,
            "fractionable": False,
            "status": "active",
            "depth": "250000.5",
        },
        ("PUT", "/sandbox/faults"): {"reject": ["GLD"], "partial_fill": 0.5, "fill_delay_s": 3, "seed": 7},
        ("POST", "/sandbox/accounts"): {"cash": "100.5", "positions": [{"symbol": "SPY", "qty": "0.5"}]},
        ("PUT", f"/sandbox/accounts/{ids['account']}"): {"status": "ACTIVE"},
        ("POST", f"/sandbox/accounts/{ids['account']}/cash"): {"amount": "1.5"},
        ("POST", "/sandbox/settle"): {},
    }


def targets_without_body(ids: dict[str, str]) -> list[str]:
    nouns = {PORTFOLIOS: ids["portfolio"], SUBSCRIPTIONS: ids["subscription"], RUNS: ids["run"]}
    found = [path for plural, one in nouns.items() for path in (plural, f"{plural}/{one}")]
    found += [path.replace("/v1/", "/v1/beta/") for path in found]
    found += ["/sandbox/clock", "/sandbox/orders", f"/sandbox/accounts/{ids['account']}", "/livez", "/readyz"]
    return [*found, "/metrics", "/", "/v1", "/sandbox", "/sandbox/prices", "/sandbox/settle"]


def draw(chance: random.Random, ids: dict[str, str]) -> Draw:
    return Draw(
        bodies=bodies(ids),
        without_body=targets_without_body(ids),
        query=lambda: query(chance, ids) if chance.random() < 0.4 else "",
    )


def assert_answered(answer: httpx.Response) -> None:
    """In the dialect's shape, and never a failure of the server's."""
    assert answer.status_code < 500
    if answer.request.method == "HEAD" or answer.status_code == 204:
        assert answer.content == b""
    elif answer.status_code >= 400:
        told = answer.json()
        assert set(told) == {"code", "message"}
        assert isinstance(told["code"], int)
        assert told["code"] // 100_000 == answer.status_code
        assert isinstance(told["message"], str)
        assert told["message"]
    elif not answer.request.url.path.startswith("/metrics"):
        answer.json()


def one_of_everything(world: World) -> dict[str, str]:
    nested = world.portfolio(weights(GLD="100"))
    portfolio = world.portfolio(weights(SPY="60", TLT="40"), band("5"))
    followed, account = world.account("1000"), world.account("1000", SPY="1")
    ids = {"nested": nested, "portfolio": portfolio, "followed": followed, "account": account}
    ids["subscription"] = world.subscribe(followed, portfolio)
    ids["run"] = world.run(world.account("100"), weights(SPY="100"))
    # Whatever is done to prices and cash from here on is in nobody's books.
    world.worth.clear()
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_asked_is_answered_in_the_dialects_shape(
    kind: str, start_server: StartServer, new_world: NewWorld
) -> None:
    server = start_server(kind)
    world = new_world(server)
    statuses: dict[int, int] = {}
    for seed in range(ROUNDS):
        world.open_market()
        chance = random.Random(seed)
        made = drawn(chance, draw(chance, one_of_everything(world)))
        for number in range(REQUESTS_A_ROUND):
            method, target, headers, content = next(made)
            raw = httpx.URL(world.server.url).copy_with(raw_path=target.encode())
            wire = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = world.http.request(method, raw, headers=list(wire.items()), content=content)  # type: ignore[arg-type]
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            try:
                assert_answered(answer)
            except (AssertionError, ValueError) as error:
                error.add_note(
                    f"seed {seed}, request {number}: {method} {target} {headers} {content[:2000]!r}"
                )
                error.add_note(f"answered {answer.status_code} {answer.text[:2000]}")
                error.add_note(server.unforeseen())
                raise
    # Most are refused, and enough are not: what is taken must be survived too.
    assert {200, 204, 400, 404, 405, 415, 422} <= set(statuses)
    assert statuses[200] > ROUNDS * REQUESTS_A_ROUND / 10
    world.open_market()
    world.settle()
    for account_id in {run["account_id"] for run in world.get(RUNS, limit=1000)["runs"]}:
        assert Decimal(world.show(account_id)["cash"]) >= 0
    found = audit(server)
    assert found.returncode == 0, found.stdout + found.stderr
