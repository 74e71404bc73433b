"""Portfolios: lists and their pages, one in detail, its name, pausing, positions and performance."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.api.glider.client import (
    CASH,
    CURSOR,
    DAY_MS,
    PORTFOLIO_ID,
    STRATEGY_ID,
    Glider,
    Json,
    allocation,
    asset,
    instant,
    new_wallet,
    paper_account,
    some_strategy_id,
    wallet_account,
    wallet_first_stage,
)
from tests.api.world import SUBSCRIPTIONS

LIST = "/portfolios"


def test_every_field_of_a_portfolio_is_always_there(glider: Glider) -> None:
    account_id = glider.world.account("400")
    strategy_id = glider.strategy()
    portfolio_id = glider.enroll(account_id, strategy_id, portfolioName="Retirement")
    now = glider.now()
    listed = {
        "portfolioId": portfolio_id,
        "portfolioName": "Retirement",
        "ownerAccountId": paper_account(account_id),
        "strategyId": strategy_id,
        "strategyName": "S",
        "strategyDescription": None,
        "smartAccounts": [{"accountId": paper_account(account_id)}],
        "schedule": {
            "status": "active",
            "frequency": "daily",
            "intervalMs": DAY_MS,
            "nextDueAt": now,
            "lastRebalanceAt": None,
        },
        "createdAt": now,
    }
    assert PORTFOLIO_ID.fullmatch(portfolio_id)
    assert STRATEGY_ID.fullmatch(strategy_id)
    assert glider.detail(portfolio_id) == listed | {"strategyVersion": 1, "updatedAt": now}
    assert glider.page(LIST) == ([listed], None)


def test_a_portfolio_shows_the_newest_version_of_its_strategy(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    glider.post(f"/strategies/{strategy_id}/versions", {"allocation": allocation(TLT="100")}, expect=201)
    glider.patch(f"/strategies/{strategy_id}", {"name": "T", "description": "bonds"})
    shown = glider.detail(portfolio_id)
    assert (shown["strategyVersion"], shown["strategyName"], shown["strategyDescription"]) == (
        2,
        "T",
        "bonds",
    )


def test_the_last_rebalance_is_the_moment_the_last_run_completed(glider: Glider) -> None:
    portfolio_id = glider.portfolio("400")
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] is None
    glider.world.settle()
    first = glider.now()
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] == first
    glider.world.later(seconds=60)
    glider.world.pay_in(glider.account_of(portfolio_id), "400")
    glider.rebalance(portfolio_id)
    glider.world.set_faults(fill_delay_s=30)
    glider.world.settle()
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] == first
    glider.world.later(seconds=30)
    glider.world.settle()
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] == glider.now()


# Lists.


def ids(items: list[Json]) -> list[str]:
    return [item["portfolioId"] for item in items]


def enrolled(glider: Glider, count: int, strategy_id: str | None = None) -> list[str]:
    strategy_id = strategy_id or glider.strategy()
    return [glider.enroll(glider.world.account(), strategy_id) for _ in range(count)]


def test_pages_cut_the_list_without_loss_or_repeat_although_all_times_tie(glider: Glider) -> None:
    made = enrolled(glider, 6)
    whole = ids(glider.page(LIST)[0])
    assert sorted(whole) == sorted(made)
    for limit in (1, 2, 3, 4, 6, 7, 200):
        cut = [ids(page) for page in glider.pages(LIST, limit=limit)]
        assert cut == [whole[start : start + limit] for start in range(0, len(whole), limit)]


def test_the_newest_comes_first_and_what_is_new_moves_no_page(glider: Glider) -> None:
    strategy_id = glider.strategy()
    made = []
    for _ in range(4):
        made += enrolled(glider, 1, strategy_id)
        glider.world.later(seconds=1)
    first, cursor = glider.page(LIST, limit=2)
    assert ids(first) == [made[3], made[2]]
    assert cursor is not None
    newest = enrolled(glider, 1, strategy_id)
    rest, end = glider.page(LIST, limit=2, cursor=cursor)
    assert (ids(rest), end) == ([made[1], made[0]], None)
    assert ids(glider.all(LIST)) == newest + made[::-1]


def test_pages_lose_nothing_that_was_made_within_one_millisecond(glider: Glider) -> None:
    made = []
    for _ in range(5):
        made.append(glider.strategy())
        glider.world.later(microseconds=150)
    cut = [[item["strategyId"] for item in page] for page in glider.pages("/strategies", limit=2)]
    assert cut == [[made[4], made[3]], [made[2], made[1]], [made[0]]]


def test_a_cursor_is_safe_to_paste_into_a_url(glider: Glider) -> None:
    enrolled(glider, 3)
    cursors = []
    cursor: str | None = None
    while True:
        answer = glider.call("GET", f"{LIST}?limit=1" + (f"&cursor={cursor}" if cursor else ""))
        cursor = answer.json()["nextCursor"]
        if cursor is None:
            break
        cursors.append(cursor)
    assert len(cursors) == 2
    assert all(CURSOR.fullmatch(each) for each in cursors)


def test_the_place_of_a_cursor_survives_its_portfolio(glider: Glider) -> None:
    strategy_id = glider.strategy()
    made = []
    for _ in range(3):
        made += enrolled(glider, 1, strategy_id)
        glider.world.later(seconds=1)
    (newest,), cursor = glider.page(LIST, limit=1)
    (subscription, *_) = [
        each
        for each in glider.world.get(SUBSCRIPTIONS)["subscriptions"]
        if paper_account(each["account_id"]) == newest["ownerAccountId"]
    ]
    glider.world.delete(f"{SUBSCRIPTIONS}/{subscription['id']}")
    assert cursor is not None
    assert ids(glider.page(LIST, limit=1, cursor=cursor)[0]) == [made[1]]


def in_base64(value: bytes) -> str:
    return urlsafe_b64encode(value).decode().rstrip("=")


MALFORMED_CURSORS = ["!!!", "abc", "a", "\u00e9", " ", "%00", "A" * 10_000, "null", "-1", "0", "=", "==="]
MALFORMED_CURSORS += [in_base64(each) for each in (b"{}", b"[]", b"null", b'"x"', b"\xff\xfe", b"{")]
MALFORMED_CURSORS += [
    in_base64(json.dumps(each).encode())
    for each in (
        {"c": "yesterday", "i": "x"},
        {"c": "2026-03-04T15:00:00.000Z"},
        {"i": some_strategy_id()},
        {"c": 5, "i": 5},
        {"c": None, "i": None},
        {"c": ["2026-03-04T15:00:00.000Z"], "i": {}},
        ["2026-03-04T15:00:00.000Z", some_strategy_id()],
        {"c": "2026-03-04T15:00:00.000Z", "i": "'; DROP TABLE runs; --"},
        {"c": "9999-99-99T99:99:99.999Z", "i": some_strategy_id()},
    )
]


@pytest.mark.parametrize("path", [LIST, "/strategies", "versions"])
def test_a_malformed_cursor_is_refused(glider: Glider, path: str) -> None:
    target = f"/strategies/{glider.strategy()}/versions" if path == "versions" else path
    for cursor in MALFORMED_CURSORS:
        refusal = glider.refused("GET", target, expect=400, cursor=cursor)
        assert refusal.code == "API_400", cursor
        assert refusal.names("cursor"), cursor


def test_a_cursor_that_was_changed_is_refused_or_still_a_cursor(glider: Glider) -> None:
    enrolled(glider, 2)
    cursor = glider.page(LIST, limit=1)[1]
    assert cursor is not None
    for changed in (cursor[:-1], cursor[1:], cursor + "AAAA", cursor.swapcase(), cursor[::-1]):
        answer = glider.send("GET", f"{LIST}?cursor={changed}")
        assert answer.status_code in {200, 400}
    decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert glider.world.key.tenant_id.encode() not in decoded


@pytest.mark.parametrize("path", [LIST, "/strategies", "versions"])
def test_a_limit_is_a_whole_number_from_1_to_200(glider: Glider, path: str) -> None:
    target = f"/strategies/{glider.strategy()}/versions" if path == "versions" else path
    for limit in ("0", "201", "-1", "1.5", "1e1", "abc", "9" * 30, "\uff11", "+5", " 5", "0x5", "true"):
        refusal = glider.refused("GET", target, expect=400, limit=limit)
        assert (refusal.code, refusal.message) == ("API_400", "Request validation failed"), limit
        assert refusal.names("limit"), limit
    for taken in (1, 50, 200):
        assert len(glider.page(target, limit=taken)[0]) <= 1


def test_fifty_is_a_page_if_nothing_else_is_asked_for(glider: Glider) -> None:
    body = {"name": "S", "allocation": allocation(SPY="100")}
    for _ in range(51):
        glider.post("/strategies", body, expect=201)
    assert [len(page) for page in glider.pages("/strategies")] == [50, 1]


def test_filters_choose_and_combine(glider: Glider) -> None:
    first, second = glider.strategy(), glider.strategy()
    one, two, three = glider.world.account(), glider.world.account(), glider.world.account()
    a, b, c = glider.enroll(one, first), glider.enroll(two, first), glider.enroll(three, second)
    glider.post(f"{LIST}/{b}/stop")
    for query, found in (
        ({}, {a, b, c}),
        ({"strategyId": first}, {a, b}),
        ({"strategyId": second}, {c}),
        ({"strategyId": some_strategy_id()}, set()),
        ({"status": "active"}, {a, c}),
        ({"status": "paused"}, {b}),
        ({"ownerAccountId": paper_account(one)}, {a}),
        ({"ownerAccountId": paper_account(str(uuid4()))}, set()),
        ({"strategyId": first, "status": "active"}, {a}),
        ({"strategyId": second, "status": "paused"}, set()),
        ({"strategyId": first, "status": "paused", "ownerAccountId": paper_account(two)}, {b}),
        ({"strategyId": second, "ownerAccountId": paper_account(two)}, set()),
    ):
        assert set(ids(glider.all(LIST, **query))) == found, query
        assert set(ids(glider.all(LIST, **query, limit=1))) == found, query


def test_an_owner_is_found_in_every_spelling_of_its_id(glider: Glider) -> None:
    wallet = new_wallet()
    body = wallet_first_stage(glider, wallet, strategy_id=glider.strategy())
    portfolio_id = glider.post("/enroll", body, expect=201)["portfolioId"]
    enrolled(glider, 1)
    owner = wallet_account(wallet)
    assert owner != owner.lower()
    prefix, address = owner.rsplit(":", 1)
    upper = f"{prefix}:0x{address[2:].upper()}"
    for spelled in (owner, owner.lower(), upper):
        for form in (spelled, quote(spelled, safe="")):
            answer = glider.call("GET", f"{LIST}?ownerAccountId={form}")
            (shown,) = answer.json()["data"]["portfolios"]
            assert (shown["portfolioId"], shown["ownerAccountId"]) == (portfolio_id, owner.lower())


BAD_FILTERS: dict[str, list[str]] = {
    "status": ["Active", "ACTIVE", "inactive", "all", "active,paused"],
    "ownerAccountId": [
        "nonsense",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "eip155:0:0x123",
        "eip155:0:52908400098527886E0F7030069857D2E4169EE7",
        "eip155:0:0x52908400098527886E0F7030069857D2E4169EEZ",
        "eip155:x:0x52908400098527886E0F7030069857D2E4169EE7",
        "trimtab:paper:nonsense",
        "::",
        "x" * 1000,
    ],
    "strategyId": ["%", "x" * 65, "a b", "\u00e9"],
}


def test_a_bad_filter_is_refused(glider: Glider) -> None:
    for name, bad in BAD_FILTERS.items():
        for value in bad:
            refusal = glider.refused("GET", LIST, expect=400, **{name: value})
            assert refusal.code == "API_400", (name, value)
            assert refusal.names(name), (name, value)


def test_all_that_is_wrong_with_a_query_is_said_at_once(glider: Glider) -> None:
    refusal = glider.refused("GET", LIST, expect=400, limit=0, status="x", ownerAccountId="x", cursor="!")
    assert all(refusal.names(name) for name in ("limit", "status", "ownerAccountId", "cursor"))


def test_a_list_shows_a_tenants_own(glider: Glider, stranger: Glider) -> None:
    portfolio_id = glider.portfolio()
    assert stranger.page(LIST) == ([], None)
    owner = glider.detail(portfolio_id)["ownerAccountId"]
    assert stranger.page(LIST, ownerAccountId=owner) == ([], None)


# The name.

LETTERS = "\u00c5ngstr\u00f6m \u6771\u4eac \u041c\u043e\u0441\u043a\u0432\u0430"
GOOD_NAMES = {
    "Retirement": "Retirement",
    "a": "a",
    "  padded  ": "padded",
    "\t\ntrimmed\r\n": "trimmed",
    LETTERS: LETTERS,
    "- _ . ' : ( ) & /": "- _ . ' : ( ) & /",
    "Plan-B_2.0 'A': (R&D) 1/2": "Plan-B_2.0 'A': (R&D) 1/2",
    "x" * 64: "x" * 64,
    "\u00e9" * 64: "\u00e9" * 64,
    " " * 10 + "x" * 64 + " " * 10: "x" * 64,
    "0": "0",
}
BAD_NAMES: list[Json] = ["x" * 65, "\u00e9" * 65, "a\nb", "a\tb", "a\x07b", "<script>", "a;b", "a@b", "a#b"]
BAD_NAMES += ["a\\b", 'a"b', "a,b", "a!b", "a?b", "a*b", "a%b", "a=b", "a+b", "a$b", "a`b", "a~b", "a|b"]
BAD_NAMES += ["\U0001f4b8", "a\u202eb", "a\u200bb", "a{b}", "[a]", "a^b", 5, True, 1.5, [], ["a"], {}]


def test_a_name_is_trimmed_and_kept(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    for name, kept in GOOD_NAMES.items():
        shown = glider.patch(f"{LIST}/{portfolio_id}", {"portfolioName": name})
        assert shown["portfolioName"] == kept
        assert shown == glider.detail(portfolio_id)
        assert glider.page(LIST)[0][0]["portfolioName"] == kept


def test_a_bad_name_is_refused_and_changes_nothing(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    before = glider.patch(f"{LIST}/{portfolio_id}", {"portfolioName": "kept"})
    for name in BAD_NAMES:
        refusal = glider.refused("PATCH", f"{LIST}/{portfolio_id}", {"portfolioName": name}, expect=400)
        assert (refusal.code, refusal.message) == ("API_400", "Request validation failed"), repr(name)
        assert refusal.names("portfolioName"), repr(name)
    assert glider.detail(portfolio_id) == before


def test_null_takes_the_name_away_and_nothing_changes_nothing(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    path = f"{LIST}/{portfolio_id}"
    unnamed = glider.detail(portfolio_id)
    assert unnamed["portfolioName"] is None
    glider.world.later(seconds=1)
    assert glider.patch(path, {}) == unnamed
    named = glider.patch(path, {"portfolioName": "N"})
    assert named == unnamed | {"portfolioName": "N", "updatedAt": glider.now()}
    glider.world.later(seconds=1)
    assert glider.patch(path, {}) == named
    cleared = glider.patch(path, {"portfolioName": None})
    assert cleared == unnamed | {"updatedAt": cleared["updatedAt"]}


def test_an_unknown_key_of_a_patch_is_refused(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    before = glider.detail(portfolio_id)
    for extra in ("strategyId", "name", "portfolioname", "schedule", "status", "ownerAccountId", ""):
        body = {"portfolioName": "N", extra: "x"}
        refusal = glider.refused("PATCH", f"{LIST}/{portfolio_id}", body, expect=400)
        assert refusal.code == "API_400", extra
        assert refusal.details, extra
    assert glider.detail(portfolio_id) == before


def test_a_name_at_enrolment_follows_the_same_rules(glider: Glider) -> None:
    strategy_id = glider.strategy()
    portfolio_id = glider.enroll(glider.world.account(), strategy_id, portfolioName="  R&D (1/2)  ")
    assert glider.detail(portfolio_id)["portfolioName"] == "R&D (1/2)"
    body = glider.first_stage(glider.world.account(), strategy_id) | {"portfolioName": "a;b"}
    assert glider.refused("POST", "/enroll", body, expect=400).names("portfolioName")
    assert glider.detail(glider.enroll(glider.world.account(), strategy_id, portfolioName=None))


# Stop and start.


def test_stopping_and_starting_answer_with_the_whole_detail(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    active = glider.detail(portfolio_id)
    due = active["schedule"]["nextDueAt"]
    glider.world.later(seconds=5)
    stopped = glider.post(f"{LIST}/{portfolio_id}/stop")
    assert stopped["schedule"] == active["schedule"] | {"status": "paused", "nextDueAt": due}
    assert stopped == glider.detail(portfolio_id)
    assert set(stopped) == set(active)
    glider.world.later(seconds=5)
    started = glider.post(f"{LIST}/{portfolio_id}/start")
    assert started["schedule"] == active["schedule"] | {"status": "active", "nextDueAt": glider.now()}
    assert started == glider.detail(portfolio_id)


def test_stopping_and_starting_twice_is_once(glider: Glider) -> None:
    portfolio_id = glider.settled()
    active = glider.detail(portfolio_id)
    assert glider.post(f"{LIST}/{portfolio_id}/start") == active
    stopped = glider.post(f"{LIST}/{portfolio_id}/stop")
    assert stopped["schedule"]["nextDueAt"] == active["schedule"]["nextDueAt"]
    glider.world.later(seconds=5)
    assert glider.post(f"{LIST}/{portfolio_id}/stop") == stopped
    started = glider.post(f"{LIST}/{portfolio_id}/start")
    glider.world.later(seconds=5)
    assert glider.post(f"{LIST}/{portfolio_id}/start") == started


def test_stop_and_start_ignore_their_body(glider: Glider) -> None:
    portfolio_id = glider.portfolio()
    for action, status in (("stop", "paused"), ("start", "active")):
        for content, headers in (
            (None, {}),
            (b"{}", {"content-type": "application/json"}),
            (b"", {"content-type": "application/json"}),
            (b"garbage", {"content-type": "text/plain"}),
        ):
            answer = glider.send("POST", f"{LIST}/{portfolio_id}/{action}", content=content, headers=headers)
            assert answer.status_code == 200
            assert answer.json()["data"]["schedule"]["status"] == status


def test_whoever_stops_and_starts_at_once_sees_a_state_of_his_own(glider: Glider) -> None:
    portfolio_id = glider.portfolio()

    def act(number: int) -> tuple[str, str]:
        action = ("stop", "start")[number % 2]
        return action, glider.post(f"{LIST}/{portfolio_id}/{action}")["schedule"]["status"]

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(act, range(16)))
    assert set(told) == {("stop", "paused"), ("start", "active")}


# Positions.

ROW = {"assetId", "smartAccountId", "symbol", "decimals", "balance", "balanceRaw", "priceUsd", "valueUsd"}


def rows(glider: Glider, portfolio_id: str) -> dict[str, Json]:
    shown = glider.get(f"{LIST}/{portfolio_id}/positions")
    return {row["assetId"]: row for row in shown["assets"] if Decimal(row["balance"])}


def test_positions_are_rows_of_one_shape_with_their_sum(glider: Glider) -> None:
    portfolio_id = glider.portfolio("1000", SPY="60", TLT="30", cash="10")
    glider.world.settle()
    account = glider.detail(portfolio_id)["smartAccounts"][0]["accountId"]
    shown = glider.get(f"{LIST}/{portfolio_id}/positions")
    assert set(shown) == {
        "portfolioId",
        "totalValueUsd",
        "fetchedAt",
        "smartAccounts",
        "assets",
        "inTransit",
        "warnings",
    }
    assert shown["portfolioId"] == portfolio_id
    assert Decimal(shown["totalValueUsd"]) == 1000
    assert shown["fetchedAt"] == glider.now()
    assert shown["smartAccounts"] == [{"accountId": account}]
    assert shown["inTransit"]["items"] == []
    assert Decimal(shown["inTransit"]["totalUsd"]) == 0
    assert shown["warnings"] == []
    for row in shown["assets"]:
        assert set(row) == ROW
        assert row["smartAccountId"] == account
        assert Decimal(row["balanceRaw"]) == Decimal(row["balance"]).scaleb(row["decimals"])
        assert row["balanceRaw"].isdigit()
    found = {
        row["symbol"]: (row["assetId"], *(Decimal(row[n]) for n in ("balance", "priceUsd", "valueUsd")))
        for row in shown["assets"]
    }
    assert found == {
        "SPY": (asset("SPY"), Decimal("1.5"), 400, 600),
        "TLT": (asset("TLT"), 3, 100, 300),
        "USD": (CASH, 100, 1, 100),
    }


def test_an_empty_portfolio_has_no_positions(glider: Glider) -> None:
    portfolio_id = glider.portfolio("0")
    shown = glider.get(f"{LIST}/{portfolio_id}/positions")
    assert Decimal(shown["totalValueUsd"]) == 0
    assert rows(glider, portfolio_id) == {}
    assert shown["warnings"] == []


def test_what_a_strategy_does_not_name_is_a_position_too(glider: Glider) -> None:
    portfolio_id = glider.enroll(glider.world.account("5", GLD="2"), glider.strategy())
    found = rows(glider, portfolio_id)
    assert {each: Decimal(row["valueUsd"]) for each, row in found.items()} == {CASH: 5, asset("GLD"): 500}


def test_a_missing_price_is_a_warning_and_no_failure(glider: Glider) -> None:
    unpriced = f"UN{uuid4().hex[:8]}"
    held = {"cash": "5", "positions": [{"symbol": unpriced, "qty": "1.5"}]}
    account_id = glider.world.post("/sandbox/accounts", held)["account_id"]
    portfolio_id = glider.enroll(account_id, glider.strategy())
    shown = glider.get(f"{LIST}/{portfolio_id}/positions")
    assert [warning["kind"] for warning in shown["warnings"]] == ["MISSING_PRICE"]
    assert set(shown["warnings"][0]) == {"kind", "message"}
    assert unpriced in shown["warnings"][0]["message"]
    assert Decimal(shown["totalValueUsd"]) == 5
    (row,) = [row for row in shown["assets"] if row["assetId"] == asset(unpriced)]
    assert (Decimal(row["balance"]), row["priceUsd"]) == (Decimal("1.5"), None)


def test_when_the_broker_is_down_positions_say_so_and_do_not_fail(glider: Glider) -> None:
    portfolio_id = glider.portfolio("400")
    glider.world.settle()
    glider.world.later(minutes=1)
    glider.world.set_faults(outage=True)
    shown = glider.get(f"{LIST}/{portfolio_id}/positions")
    assert {warning["kind"] for warning in shown["warnings"]} == {"RPC_ERROR"}
    assert (shown["assets"], shown["totalValueUsd"]) == ([], "0")


# Performance.

POINT = {"date", "percentChange", "valueUsd", "cashFlowUsd"}


def performance(glider: Glider, portfolio_id: str, query: str = "") -> Json:
    shown = glider.get(f"{LIST}/{portfolio_id}/performance{query}")
    assert {"portfolioId", "strategyId", "meta", "points"} <= set(shown)
    assert set(shown) <= {"portfolioId", "strategyId", "meta", "points", "summary"}
    assert shown["portfolioId"] == portfolio_id
    assert set(shown["meta"]) == {"method", "currency", "resolution", "asOf"}
    assert (shown["meta"]["currency"], shown["meta"]["resolution"]) == ("USD", "1d")
    dates = [point["date"] for point in shown["points"]]
    assert dates == sorted(set(dates))
    for point in shown["points"]:
        assert POINT <= set(point) <= POINT | {"isLive"}
    for window in shown.get("summary", {"windows": []})["windows"]:
        assert set(window) == {"window", "percentChange", "since"}
    return shown


def test_performance_is_days_with_their_change(glider: Glider) -> None:
    symbol = glider.world.symbol("100")
    portfolio_id = glider.portfolio("1000", **{symbol: "100"})
    glider.world.settle()
    first_on = glider.world.now().date()
    glider.world.later(days=1)
    glider.world.set_prices({symbol: "110"})
    glider.world.settle()
    glider.world.later(days=1)
    glider.world.set_prices({symbol: "99"})
    glider.world.settle()
    shown = performance(glider, portfolio_id)
    assert shown["strategyId"] == glider.detail(portfolio_id)["strategyId"]
    assert shown["meta"]["method"] == "MWR"
    points = {point["date"]: point for point in shown["points"]}
    days = [(first_on + timedelta(days=number)).isoformat() for number in range(3)]
    assert list(points) == days
    assert [Decimal(points[day]["valueUsd"]) for day in days] == [1000, 1100, 990]
    assert points[days[0]]["percentChange"] is None
    assert [Decimal(points[day]["percentChange"]) for day in days[1:]] == [10, -10]


def test_windows_are_summed_up_shortest_first(glider: Glider) -> None:
    symbol = glider.world.symbol("100")
    portfolio_id = glider.portfolio("1000", **{symbol: "100"})
    glider.world.settle()
    first_on = glider.world.now().date()
    for price in ("110", "120", "130", "140", "150", "160", "170", "180", "200"):
        glider.world.later(days=1)
        glider.world.set_prices({symbol: price})
        glider.world.settle()
    shown = performance(glider, portfolio_id)
    windows = {each["window"]: each for each in shown["summary"]["windows"]}
    order = ["1d", "1w", "1m", "3m", "6m", "12m", "all"]
    assert [each for each in order if each in windows] == list(windows)
    # From 180 to 200 in a day, from 120 to 200 in a week.
    for window, days, percent in (("1d", 8, "11.11"), ("1w", 2, "66.66")):
        assert windows[window]["percentChange"].startswith(percent)
        assert windows[window]["since"].startswith((first_on + timedelta(days=days)).isoformat())


def test_a_deposit_is_a_cash_flow_and_no_gain(glider: Glider) -> None:
    portfolio_id = glider.portfolio("1000")
    glider.world.settle()
    glider.world.later(days=1)
    glider.world.pay_in(glider.account_of(portfolio_id), "500")
    glider.world.settle()
    for method in ("MWR", "TWR"):
        shown = performance(glider, portfolio_id, f"?returnMethod={method}")
        assert shown["meta"]["method"] == method
        last = shown["points"][-1]
        assert Decimal(last["valueUsd"]) == 1500
        assert Decimal(last["cashFlowUsd"]) == 500
        assert Decimal(last["percentChange"]) == 0


def days_of(shown: Json) -> list[tuple[str, str, str | None]]:
    """Value, cash flow and change of each day, oldest first."""
    return [(point["valueUsd"], point["cashFlowUsd"], point["percentChange"]) for point in shown["points"]]


@pytest.mark.parametrize("method", ["MWR", "TWR"])
def test_a_deposit_at_the_instant_of_the_days_valuation_but_after_it_is_no_gain(
    glider: Glider, method: str
) -> None:
    """Before anybody looks again, after a second look at the same clock, and on the next day, before and
    after its look.
    """
    portfolio_id, query = glider.portfolio("1000"), f"?returnMethod={method}"
    glider.world.settle()
    glider.world.pay_in(glider.account_of(portfolio_id), "500")
    assert days_of(performance(glider, portfolio_id, query)) == [("1000", "0", None)]
    glider.world.later(days=1)
    assert days_of(performance(glider, portfolio_id, query)) == [("1000", "0", None), ("1000", "0", "0")]
    glider.world.settle()
    paid = [("1000", "0", None), ("1500", "500", "0")]
    assert days_of(performance(glider, portfolio_id, query)) == paid
    glider.world.pay_in(glider.account_of(portfolio_id), "250")
    glider.world.settle()
    more = [("1000", "0", None), ("1750", "750", "0")]
    assert days_of(performance(glider, portfolio_id, query)) == more, "the present stands for its day"
    glider.world.later(days=1)
    glider.world.settle()
    assert days_of(performance(glider, portfolio_id, query)) == [*paid, ("1750", "250", "0")]


@pytest.mark.parametrize("method", ["MWR", "TWR"])
def test_a_wallet_that_is_enrolled_empty_and_funded_at_the_same_instant(glider: Glider, method: str) -> None:
    body = wallet_first_stage(glider, new_wallet(), strategy_id=glider.strategy())
    portfolio_id = glider.post("/enroll", body, expect=201)["portfolioId"]
    account_id, query = glider.account_of(portfolio_id), f"?returnMethod={method}"
    glider.world.worth[account_id] = Decimal(0)
    glider.world.settle()
    glider.world.pay_in(account_id, "500")
    glider.world.settle()
    assert days_of(performance(glider, portfolio_id, query)) == [("500", "0", None)]
    glider.world.later(days=1)
    funded = [("0", "0", None), ("500", "500", "0")]
    assert days_of(performance(glider, portfolio_id, query)) == funded
    glider.world.settle()
    assert days_of(performance(glider, portfolio_id, query)) == funded


def test_another_return_method_is_refused(glider: Glider) -> None:
    path = f"{LIST}/{glider.portfolio()}/performance"
    for method in ("mwr", "twr", "IRR", "", "x" * 1000):
        assert glider.refused("GET", path, expect=400, returnMethod=method).names("returnMethod"), method


def test_a_new_portfolio_has_a_performance_without_summary_or_change(glider: Glider) -> None:
    shown = performance(glider, glider.portfolio("400"))
    assert all(point["percentChange"] is None for point in shown["points"])


def test_the_broker_being_down_is_no_failure_of_performance(glider: Glider) -> None:
    portfolio_id = glider.portfolio("400")
    glider.world.settle()
    glider.world.set_faults(outage=True)
    performance(glider, portfolio_id)
    assert instant(glider.detail(portfolio_id)["createdAt"]) == glider.world.now()
