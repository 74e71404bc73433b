"""Lists: pages, their tokens and order, filters, and the vendor's first prefix."""

from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, weights

SPY_ONLY = weights(SPY="100")
PAGED = [(SUBSCRIPTIONS, "subscriptions"), (RUNS, "runs")]


def in_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def pages(world: World, path: str, *, limit: int, between: Json = None) -> list[list[str]]:
    """The ids of all pages; `between` is done after each."""
    plural = path.rpartition("/")[2]
    found, token = [], None
    while True:
        query: dict[str, Json] = {"limit": limit} | ({} if token is None else {"page_token": token})
        page = world.get(path, **query)
        assert set(page) == {plural, "next_page_token"}
        found.append([item["id"] for item in page[plural]])
        token = page["next_page_token"]
        if token is None:
            return found
        assert isinstance(token, str)
        assert token
        if between is not None:
            between()


def subscribed(world: World, count: int) -> list[str]:
    portfolio_id = world.portfolio(SPY_ONLY)
    return [world.subscribe(world.account(), portfolio_id) for _ in range(count)]


def test_pages_cut_a_list_without_loss_or_repeat(world: World) -> None:
    ids = subscribed(world, 6)
    runs = [run["id"] for run in world.get(RUNS)["runs"]]
    for path, whole in ((SUBSCRIPTIONS, ids), (RUNS, runs)):
        assert pages(world, path, limit=1) == [[one] for one in whole]
        # Six in threes: two pages, and no empty third one.
        assert pages(world, path, limit=3) == [whole[:3], whole[3:]]
        assert pages(world, path, limit=4) == [whole[:4], whole[4:]]
        assert pages(world, path, limit=6) == [whole]
        assert pages(world, path, limit=1000) == [whole]


def test_subscriptions_are_listed_oldest_first_and_runs_newest_first(world: World) -> None:
    portfolio_id = world.portfolio(SPY_ONLY)
    accounts = []
    for minutes in (0, 0, 1):
        world.later(minutes=minutes)
        accounts.append(world.account())
        world.subscribe(accounts[-1], portfolio_id)
    subscriptions = world.get(SUBSCRIPTIONS)["subscriptions"]
    assert [subscription["account_id"] for subscription in subscriptions] == accounts
    assert [run["account_id"] for run in world.get(RUNS)["runs"]] == accounts[::-1]


def test_what_comes_in_between_moves_no_page(world: World) -> None:
    ids = subscribed(world, 5)
    runs = [run["id"] for run in world.get(RUNS)["runs"]]
    seen = [one for page in pages(world, RUNS, limit=2, between=lambda: subscribed(world, 1)) for one in page]
    # Newer runs stand before the first page.
    assert seen == runs
    world.delete(f"{SUBSCRIPTIONS}/{ids[1]}")
    rest = [s["id"] for s in world.get(SUBSCRIPTIONS)["subscriptions"]]
    assert rest[:4] == [ids[0], *ids[2:]]


def test_a_deleted_item_loses_nobody_their_place(world: World) -> None:
    ids = subscribed(world, 5)
    last = iter([ids[1], ids[3]])
    seen = pages(world, SUBSCRIPTIONS, limit=2, between=lambda: world.delete(f"{SUBSCRIPTIONS}/{next(last)}"))
    assert [one for page in seen for one in page] == ids


def test_a_list_has_a_hundred_items_a_page_unless_asked_otherwise(world: World) -> None:
    portfolio_id = world.portfolio(SPY_ONLY)
    with ThreadPoolExecutor(4) as pool:
        accounts = list(pool.map(lambda _: world.account(), range(101)))
        list(pool.map(lambda account_id: world.subscribe(account_id, portfolio_id), accounts))
    for path, plural in PAGED:
        assert len(world.get(path)[plural]) == 100
        assert [len(page) for page in pages(world, path, limit=100)] == [100, 1]
        assert [len(page) for page in pages(world, path, limit=1000)] == [101]
        assert world.get(path, limit="")[plural] == world.get(path)[plural]
    assert {s["account_id"] for s in world.get(SUBSCRIPTIONS, limit=1000)["subscriptions"]} == set(accounts)


BAD_LIMITS = ["0", "1001", "-1", "+1", "1.0", "1e2", "abc", "00000000001", "9" * 22, "\uff11", "%20", "1_0"]
BAD_LIMITS += ["NaN", "true", " 1", "1;", "\x001"]


@pytest.mark.parametrize("limit", BAD_LIMITS)
@pytest.mark.parametrize(("path", "plural"), PAGED)
def test_a_limit_is_a_whole_number_up_to_1000(world: World, path: str, plural: str, limit: str) -> None:
    refused = world.refused("GET", path, expect=400, limit=limit)
    assert refused == (40010001, "limit: must be between 1 and 1000")


BAD_TOKENS = ["!!!", "abc", "-1", "1.5", "9" * 19, "9" * 20, "\uff11", " 1", "%", "\x00", "1000=", "MTAwMA"]
BAD_TOKENS += [in_base64(text) for text in ("abc", "-1", "1.5", "\uff11", "9" * 20)]


@pytest.mark.parametrize("token", BAD_TOKENS)
@pytest.mark.parametrize(("path", "plural"), PAGED)
def test_a_token_is_one_that_was_given_out(world: World, path: str, plural: str, token: str) -> None:
    assert world.refused("GET", path, expect=400, page_token=token) == (40010001, "page_token: invalid value")


@pytest.mark.parametrize(("path", "plural"), PAGED)
def test_a_token_may_be_the_plain_number(world: World, path: str, plural: str) -> None:
    subscribed(world, 3)
    token = world.get(path, limit=1)["next_page_token"]
    page = world.get(path, page_token=token)
    assert len(page[plural]) == 2
    assert world.get(path, page_token=b64decode(token).decode()) == page
    for huge in ("4611686018427387904", in_base64("4611686018427387904"), "0", in_base64("1000")):
        assert set(world.get(path, page_token=huge)) == {plural, "next_page_token"}


def test_runs_are_filtered_by_account_type_and_status_together(world: World) -> None:
    one, two = world.account("100"), world.account("100")
    full = world.run(one, SPY_ONLY)
    world.settle()
    invest = world.run(one, SPY_ONLY, type="invest_cash")
    other = world.run(two, SPY_ONLY)

    def found(**query: Json) -> list[str]:
        return [run["id"] for run in world.get(RUNS, **query)["runs"]]

    assert found() == [other, invest, full]
    assert found(account_id=one) == [invest, full]
    assert found(account_id=one.upper()) == [invest, full]
    assert found(type="full_rebalance") == [other, full]
    assert found(type="partial_liquidation") == []
    assert found(status="QUEUED") == [other, invest]
    assert found(account_id=one, status="QUEUED", type="invest_cash") == [invest]
    assert found(account_id=two, status="COMPLETED_SUCCESS") == []
    assert found(account_id=str(uuid4())) == []
    assert found(account_id="", status="", type="", limit="", page_token="") == [other, invest, full]
    assert found(unknown="x") == [other, invest, full]


def test_a_filter_holds_over_pages(world: World) -> None:
    one = world.account("1000")
    for _ in range(3):
        world.delete(f"{RUNS}/{world.run(one, SPY_ONLY)}")
        world.run(world.account(), SPY_ONLY)
    first = world.get(RUNS, account_id=one, limit=2)
    second = world.get(RUNS, account_id=one, limit=2, page_token=first["next_page_token"])
    assert [len(first["runs"]), len(second["runs"])] == [2, 1]
    assert {run["account_id"] for run in first["runs"] + second["runs"]} == {one}
    assert second["next_page_token"] is None


def test_subscriptions_are_filtered_by_account_and_portfolio_together(world: World) -> None:
    spy, tlt = world.portfolio(SPY_ONLY), world.portfolio(weights(TLT="100"))
    one, two = world.account(), world.account()
    first, second = world.subscribe(one, spy), world.subscribe(two, tlt)

    def found(**query: Json) -> list[str]:
        return [subscription["id"] for subscription in world.get(SUBSCRIPTIONS, **query)["subscriptions"]]

    assert found() == [first, second]
    assert found(account_id=one) == [first]
    assert found(portfolio_id=tlt) == [second]
    assert found(account_id=one, portfolio_id=tlt) == []
    assert found(account_id=str(uuid4())) == []
    assert found(account_id="", portfolio_id="") == [first, second]


def test_portfolios_are_filtered_by_all_fields_together(world: World) -> None:
    spy, tlt = world.portfolio(SPY_ONLY), world.portfolio(weights(TLT="60", cash="40"))
    world.patch(f"{PORTFOLIOS}/{tlt}", {"name": "T", "description": "50 % _off'; --"})

    def found(**query: Json) -> list[str]:
        return [portfolio["id"] for portfolio in world.get(PORTFOLIOS, **query)]

    assert found() == [spy, tlt]
    assert found(name="P") == [spy]
    assert found(name="p") == []
    assert found(description="50 % _off'; --") == [tlt]
    assert found(description="50 %") == []
    assert found(symbol="TLT") == [tlt]
    assert found(symbol="cash") == []
    assert found(portfolio_id=spy, symbol="TLT") == []
    assert found(portfolio_id=str(uuid4())) == []
    assert found(status="active") == [spy, tlt]
    assert found(name="", description="", symbol="", portfolio_id="", status="") == [spy, tlt]


@pytest.mark.parametrize(
    ("path", "query", "status", "code", "message"),
    [
        (PORTFOLIOS, {"portfolio_id": "nonsense"}, 422, 42210000, "invalid portfolio_id"),
        (PORTFOLIOS, {"status": "ACTIVE"}, 400, 40010001, "status: invalid value"),
        (PORTFOLIOS, {"status": "deleted"}, 400, 40010001, "status: invalid value"),
        (PORTFOLIOS, {"name": "\0"}, 400, 40010001, "name: invalid value"),
        (PORTFOLIOS, {"description": "\0"}, 400, 40010001, "description: invalid value"),
        (PORTFOLIOS, {"symbol": "\0"}, 400, 40010001, "symbol: invalid value"),
        (SUBSCRIPTIONS, {"account_id": "nonsense"}, 422, 42210000, "invalid account_id"),
        (SUBSCRIPTIONS, {"portfolio_id": "\0"}, 422, 42210000, "invalid portfolio_id"),
        (RUNS, {"account_id": "nonsense"}, 422, 42210000, "invalid account_id"),
        (RUNS, {"type": "rebalance"}, 400, 40010001, "type: invalid value"),
        (RUNS, {"type": "\0"}, 400, 40010001, "type: invalid value"),
        (RUNS, {"status": "queued"}, 400, 40010001, "status: invalid value"),
        (RUNS, {"status": "DONE"}, 400, 40010001, "status: invalid value"),
    ],
)
def test_a_filter_value_that_can_match_nothing_is_refused(  # noqa: PLR0917 - a table's columns
    world: World, path: str, query: dict[str, str], status: int, code: int, message: str
) -> None:
    assert world.refused("GET", path, expect=status, **query) == (code, message)


def test_the_first_prefix_answers_like_the_second(world: World) -> None:
    portfolio_id = world.portfolio(SPY_ONLY)
    account_id = world.account("400")
    subscription_id = world.subscribe(account_id, portfolio_id)
    run_id = world.runs(account_id)[0]["id"]
    paths = [
        PORTFOLIOS,
        f"{PORTFOLIOS}?status=inactive",
        f"{PORTFOLIOS}/{portfolio_id}",
        f"{PORTFOLIOS}/nonsense",
        f"{PORTFOLIOS}/{uuid4()}",
        SUBSCRIPTIONS,
        f"{SUBSCRIPTIONS}?limit=0",
        f"{SUBSCRIPTIONS}/{subscription_id}",
        RUNS,
        f"{RUNS}?account_id={account_id}&limit=1",
        f"{RUNS}/{run_id}",
        "/v1/rebalancing/nothing",
    ]
    for path in paths:
        one, other = (world.http.get(path.replace("/v1/", prefix)) for prefix in ("/v1/", "/v1/beta/"))
        assert (one.status_code, one.content) == (other.status_code, other.content)


def test_every_operation_works_under_the_first_prefix(world: World) -> None:
    beta = "/v1/beta/rebalancing"
    body = {"name": "B", "description": "", "weights": SPY_ONLY, "cooldown_days": 0}
    portfolio_id = world.post(f"{beta}/portfolios", body)["id"]
    assert world.patch(f"{beta}/portfolios/{portfolio_id}", {"name": "C"})["name"] == "C"
    account_id = world.account("400")
    subscription = {"account_id": account_id, "portfolio_id": portfolio_id}
    subscription_id = world.post(f"{beta}/subscriptions", subscription)["id"]
    world.delete(f"{beta}/subscriptions/{subscription_id}")
    run = {"account_id": account_id, "type": "full_rebalance", "weights": SPY_ONLY}
    run_id = world.post(f"{beta}/runs", run)["id"]
    world.delete(f"{beta}/runs/{run_id}")
    world.delete(f"{beta}/portfolios/{portfolio_id}")
    assert world.show_run(run_id)["status"] == "CANCELED"
    assert world.get(f"{PORTFOLIOS}/{portfolio_id}")["status"] == "inactive"
