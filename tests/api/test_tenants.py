"""Tenants: what belongs to one is, for another, exactly like what is not there."""

from uuid import uuid4

import pytest

from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, weights

SPY_ONLY = weights(SPY="100")
PORTFOLIO_BODY = {"name": "N", "description": "", "cooldown_days": 0}

# Every operation with an id in its path: whose id, and a body that would be taken.
BY_PATH: list[tuple[str, str, str, Json]] = [
    ("GET", PORTFOLIOS + "/{}", "portfolio", None),
    ("PATCH", PORTFOLIOS + "/{}", "portfolio", {"name": "mine"}),
    ("PATCH", PORTFOLIOS + "/{}", "portfolio", {"weights": SPY_ONLY}),
    ("DELETE", PORTFOLIOS + "/{}", "portfolio", None),
    ("GET", PORTFOLIOS + "/{}", "hidden", None),
    ("PATCH", PORTFOLIOS + "/{}", "hidden", {"name": "mine"}),
    ("DELETE", PORTFOLIOS + "/{}", "hidden", None),
    ("GET", PORTFOLIOS + "/{}", "inactive", None),
    ("DELETE", PORTFOLIOS + "/{}", "inactive", None),
    ("GET", SUBSCRIPTIONS + "/{}", "subscription", None),
    ("DELETE", SUBSCRIPTIONS + "/{}", "subscription", None),
    ("GET", RUNS + "/{}", "run", None),
    ("DELETE", RUNS + "/{}", "run", None),
    ("DELETE", RUNS + "/{}", "finished", None),
    ("GET", "/sandbox/accounts/{}", "account", None),
    ("PUT", "/sandbox/accounts/{}", "account", {"status": "INACTIVE"}),
    ("PUT", "/sandbox/accounts/{}", "account", {"status": "nonsense"}),
    ("POST", "/sandbox/accounts/{}/cash", "account", {"amount": "5"}),
    ("POST", "/sandbox/accounts/{}/cash", "account", {"amount": "-5"}),
    ("POST", "/sandbox/accounts/{}/cash", "account", {"amount": "nonsense"}),
    ("GET", SUBSCRIPTIONS + "?account_id={}", "account", None),
    ("GET", SUBSCRIPTIONS + "?portfolio_id={}", "portfolio", None),
    ("GET", RUNS + "?account_id={}", "account", None),
    ("GET", PORTFOLIOS + "?portfolio_id={}", "portfolio", None),
]


@pytest.fixture
def ids(world: World) -> dict[str, str]:
    """One of everything that the first tenant may have."""
    portfolio, inactive = world.portfolio(SPY_ONLY), world.portfolio(SPY_ONLY)
    world.delete(f"{PORTFOLIOS}/{inactive}")
    finished = world.run(world.account("400"), SPY_ONLY)
    world.settle()
    account, runner = world.account("400"), world.account("400")
    run = world.run(runner, SPY_ONLY)
    return {
        "portfolio": portfolio,
        "inactive": inactive,
        "account": account,
        "runner": runner,
        "subscription": world.subscribe(account, portfolio),
        "run": run,
        "hidden": world.show_run(run)["portfolio_id"],
        "finished": finished,
    }


def everything(world: World, ids: dict[str, str]) -> list[Json]:
    """All that the tenant can see."""
    paths = [PORTFOLIOS, f"{PORTFOLIOS}?status=inactive", SUBSCRIPTIONS, RUNS, "/sandbox/orders"]
    paths += [f"/sandbox/accounts/{ids[name]}" for name in ("account", "runner")]
    return [world.get(path) for path in paths]


def test_a_foreign_id_in_the_path_answers_byte_for_byte_like_a_missing_one(
    world: World, other: World, ids: dict[str, str]
) -> None:
    before = everything(world, ids)
    for method, path, noun, body in BY_PATH:
        missing = str(uuid4())
        to_foreign = other.http.request(method, path.format(ids[noun]), json=body)
        to_missing = other.http.request(method, path.format(missing), json=body)
        assert to_foreign.status_code == to_missing.status_code
        assert to_foreign.content == to_missing.content.replace(missing.encode(), ids[noun].encode())
        assert {name for name, _ in to_foreign.headers.items()} == {
            name for name, _ in to_missing.headers.items()
        }
    assert everything(world, ids) == before


def test_a_foreign_id_in_a_body_answers_like_a_missing_one(
    world: World, other: World, ids: dict[str, str]
) -> None:
    before = everything(world, ids)
    own_account, own_portfolio = other.account("400"), other.portfolio(SPY_ONLY)

    def bodies(account: str, portfolio: str) -> list[tuple[str, Json]]:
        nested = [{"type": "portfolio", "portfolio_id": portfolio, "percent": "100"}]
        return [
            (SUBSCRIPTIONS, {"account_id": account, "portfolio_id": own_portfolio}),
            (SUBSCRIPTIONS, {"account_id": own_account, "portfolio_id": portfolio}),
            (SUBSCRIPTIONS, {"account_id": account, "portfolio_id": portfolio}),
            (RUNS, {"account_id": account, "type": "full_rebalance", "weights": SPY_ONLY}),
            (RUNS, {"account_id": account, "type": "full_rebalance"}),
            (RUNS, {"account_id": account, "type": "partial_liquidation", "amount": "5"}),
            (RUNS, {"account_id": own_account, "type": "full_rebalance", "weights": nested}),
            (PORTFOLIOS, {**PORTFOLIO_BODY, "weights": nested}),
        ]

    missing = bodies(str(uuid4()), str(uuid4()))
    for account, portfolio in (
        (ids["account"], ids["portfolio"]),
        (ids["runner"], ids["hidden"]),
        (ids["runner"], ids["inactive"]),
    ):
        for (path, foreign), (_, unknown) in zip(bodies(account, portfolio), missing, strict=True):
            one, two = other.http.post(path, json=foreign), other.http.post(path, json=unknown)
            assert (one.status_code, one.content) == (two.status_code, two.content)
            assert one.status_code == 422
    nested = [{"type": "portfolio", "portfolio_id": ids["portfolio"], "percent": "100"}]
    refused = other.refused("PATCH", f"{PORTFOLIOS}/{own_portfolio}", {"weights": nested}, expect=422)
    assert refused == (42210000, "portfolio not found")
    assert everything(world, ids) == before
    assert other.get(RUNS)["runs"] == []


def test_lists_show_nothing_of_others(world: World, other: World, ids: dict[str, str]) -> None:
    world.settle()
    for path in (PORTFOLIOS, f"{PORTFOLIOS}?status=inactive", f"{PORTFOLIOS}?symbol=SPY"):
        assert other.get(path) == []
    assert other.get(SUBSCRIPTIONS) == {"subscriptions": [], "next_page_token": None}
    assert other.get(RUNS) == {"runs": [], "next_page_token": None}
    assert other.get("/sandbox/orders") == {"orders": [], "next_cursor": None}
    assert world.get("/sandbox/orders")["orders"] != []


def test_a_page_token_of_another_opens_nothing(world: World, other: World) -> None:
    portfolio_id = world.portfolio(SPY_ONLY)
    for _ in range(3):
        world.subscribe(world.account(), portfolio_id)
    for path, plural in ((SUBSCRIPTIONS, "subscriptions"), (RUNS, "runs")):
        token = world.get(path, limit=1)["next_page_token"]
        assert other.get(path, page_token=token) == {plural: [], "next_page_token": None}


def test_the_same_names_do_not_meet(world: World, other: World) -> None:
    mine, theirs = world.portfolio(SPY_ONLY), other.portfolio(SPY_ONLY)
    assert [portfolio["id"] for portfolio in world.get(PORTFOLIOS, name="P")] == [mine]
    assert [portfolio["id"] for portfolio in other.get(PORTFOLIOS, name="P")] == [theirs]


def test_settling_serves_every_tenant(world: World, other: World) -> None:
    mine, theirs = world.account("400"), other.account("800")
    world.subscribe(mine, world.portfolio(SPY_ONLY))
    other.subscribe(theirs, other.portfolio(SPY_ONLY))
    world.settle()
    assert world.held(mine) == {"cash": "0", "SPY": "1"}
    assert other.held(theirs) == {"cash": "0", "SPY": "2"}
    assert [order["account_id"] for order in world.get("/sandbox/orders")["orders"]] == [mine]
    assert [order["account_id"] for order in other.get("/sandbox/orders")["orders"]] == [theirs]
