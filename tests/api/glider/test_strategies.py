"""Strategies: what may be created, what is kept of it, versions, schedules and preferences."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.api.glider.client import (
    CASH,
    INTERVALS_MS,
    NO_PREFERENCES,
    STRATEGY_ID,
    Glider,
    Json,
    allocation,
    asset,
    some_strategy_id,
    strategy_body,
    ulid_of,
    values,
    weights_of,
)

STRATEGIES = "/strategies"
VALIDATE = "/strategies/validate"
FAILED = ("API_400", "Request validation failed")
DAILY = {"type": "interval", "frequency": "daily"}


def swap(**values: Json) -> dict[str, Json]:
    """Preferences in full."""
    return {"swap": NO_PREFERENCES["swap"] | values}


def test_every_field_of_a_strategy_is_always_there(glider: Glider) -> None:
    body = {
        "name": "Balanced",
        "description": "Sixty to forty",
        "allocation": allocation(SPY="60", TLT="39.50", cash="0.5"),
        "schedule": {"type": "interval", "frequency": "weekly"},
        "preferences": {"swap": {"slippageBps": 300, "priceImpactBps": 0, "thresholdUsd": "5.00"}},
        "isPublic": True,
    }
    made = glider.post(STRATEGIES, body, expect=201)
    assert STRATEGY_ID.fullmatch(made["strategyId"])
    assert made == body | {"strategyId": made["strategyId"], "version": 1, "createdAt": glider.now()}
    assert glider.get(f"{STRATEGIES}/{made['strategyId']}") == made
    assert glider.page(STRATEGIES) == ([made], None)


def test_what_is_left_out_is_shown_all_the_same(glider: Glider) -> None:
    body = {"name": "S", "allocation": allocation(SPY="100")}
    made = glider.post(STRATEGIES, body, expect=201)
    assert made == {
        "strategyId": made["strategyId"],
        "name": "S",
        "description": None,
        "allocation": body["allocation"],
        "schedule": DAILY,
        "preferences": NO_PREFERENCES,
        "isPublic": False,
        "version": 1,
        "createdAt": glider.now(),
    }


@pytest.mark.parametrize("frequency", INTERVALS_MS)
def test_every_frequency_is_shown_on_strategy_and_portfolio(glider: Glider, frequency: str) -> None:
    strategy_id = glider.strategy(frequency=frequency)
    portfolio_id = glider.enroll(glider.world.account(), strategy_id)
    assert glider.get(f"{STRATEGIES}/{strategy_id}/schedule") == {"type": "interval", "frequency": frequency}
    schedule = glider.schedule(portfolio_id)
    assert (schedule["frequency"], schedule["intervalMs"]) == (frequency, INTERVALS_MS[frequency])


GOOD: list[dict[str, Json]] = [
    {"name": "x" * 256},
    {"name": "\u6771" * 256},
    {"description": "x" * 2000},
    {"description": ""},
    {"description": None},
    {"allocation": allocation(SPY="99.99", TLT="0.01")},
    {"allocation": allocation(SPY="33.33", TLT="33.33", GLD="33.34")},
    {"allocation": allocation(SPY="100.00")},
    {"allocation": allocation(cash="100")},
    {"schedule": {"type": "interval", "frequency": "hourly"}},
    {"preferences": {}},
    {"preferences": {"swap": {}}},
    {"preferences": {"swap": {"slippageBps": None, "thresholdUsd": None}}},
    {"preferences": {"swap": {"slippageBps": 0, "priceImpactBps": 1000, "thresholdUsd": "1.00"}}},
    {"preferences": {"swap": {"thresholdUsd": "1"}}},
    {"preferences": {"swap": {"thresholdUsd": "12345.6"}}},
    {"isPublic": True},
    {"isPublic": False},
    {"version": 1},
    {"nonsense": {"x": [1.5]}},
]


@pytest.mark.parametrize("fields", GOOD)
def test_what_is_good_is_valid_and_created(glider: Glider, fields: dict[str, Json]) -> None:
    body = strategy_body() | fields
    assert glider.post(VALIDATE, body) == {"valid": True}
    assert glider.page(STRATEGIES) == ([], None)
    made = glider.post(STRATEGIES, body, expect=201)
    for name in {"name", "allocation", "schedule", "isPublic"} & set(body):
        assert made[name] == body[name]
    assert "nonsense" not in made


LINE = {"assetId": asset("SPY"), "weight": "100"}


def lines(*weights: Json, symbols: str = "SPY TLT GLD") -> Json:
    """An allocation of these weights, whatever they are."""
    names = symbols.split()
    return {"assets": [{"assetId": asset(names[i]), "weight": weight} for i, weight in enumerate(weights)]}


ASSETS = "allocation.assets"
SUM = "allocation.assets: Allocation weights must sum to 100"
# Fields that replace those of a good body, and the paths that details begin with.
BAD: list[tuple[dict[str, Json], list[str]]] = [
    ({"name": None}, ["name"]),
    ({"name": ""}, ["name"]),
    ({"name": "x" * 257}, ["name"]),
    *[({"name": value}, ["name"]) for value in values([5, True, 1.5, [], {}, ["x"]])],
    ({"description": "x" * 2001}, ["description"]),
    *[({"description": value}, ["description"]) for value in values([5, False, [], {}])],
    *[({"allocation": value}, ["allocation"]) for value in values([None, "SPY", 5, [], True])],
    *[({"allocation": {"assets": value}}, [ASSETS]) for value in values([None, "SPY", 5, {}, [], True])],
    ({"allocation": {}}, [ASSETS]),
    *[
        ({"allocation": {"assets": [value]}}, [f"{ASSETS}[0]"])
        for value in values([None, "SPY", 5, [], True])
    ],
    ({"allocation": {"assets": [{"weight": "100"}]}}, [f"{ASSETS}[0].assetId"]),
    ({"allocation": {"assets": [{"assetId": asset("SPY")}]}}, [f"{ASSETS}[0].weight"]),
    *[
        ({"allocation": {"assets": [LINE | {"assetId": value}]}}, [f"{ASSETS}[0].assetId"])
        for value in values(
            [
                None,
                "",
                5,
                True,
                [],
                {},
                "SPY",
                "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
                "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913:8453",
                "trimtab:paper",
                "trimtab:paper/symbol:",
                "trimtab:paper/symbol:NOSUCH",
                "trimtab:paper/cash:EUR",
                "trimtab:other/symbol:SPY",
                "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
                "eip155:8453/erc20:nonsense",
                "symbol:SPY",
                "trimtab:paper/symbol:SPY ",
                " trimtab:paper/symbol:SPY",
                "x" * 10_000,
            ]
        )
    ],
    *[
        ({"allocation": lines(value)}, [f"{ASSETS}[0].weight"])
        for value in values(
            [
                100,
                100.0,
                "33.333",
                "0",
                "0.00",
                "-1",
                "-100",
                "",
                " 100",
                "100 ",
                "1e2",
                "1_00",
                "0x64",
                "NaN",
                "Infinity",
                "+inf",
                "\uff11\uff10\uff10",
                "100,00",
                "10000%",
                None,
                True,
                [],
                {},
                "9" * 400,
            ]
        )
    ],
    ({"allocation": lines("100", "5")}, [ASSETS]),
    ({"allocation": lines("99.99")}, [ASSETS]),
    ({"allocation": lines("50", "50.01")}, [ASSETS]),
    ({"allocation": lines("33.33", "33.33", "33.33")}, [ASSETS]),
    ({"allocation": lines("50", "50", symbols="SPY SPY")}, [ASSETS]),
    ({"allocation": lines("50", "50", symbols="cash cash")}, [ASSETS]),
    *[({"schedule": value}, ["schedule"]) for value in values(["daily", 5, [], True])],
    *[
        ({"schedule": {"type": value, "frequency": "daily"}}, ["schedule.type"])
        for value in values([None, "cron", "calendar", "threshold", "INTERVAL", 5, []])
    ],
    *[
        ({"schedule": {"type": "interval", "frequency": value}}, ["schedule.frequency"])
        for value in values([None, "", "Daily", "biweekly", "quarterly", "yearly", 86_400_000, [], {}])
    ],
    ({"schedule": {"frequency": "daily"}}, ["schedule.type"]),
    ({"schedule": {"type": "interval"}}, ["schedule.frequency"]),
    *[({"preferences": value}, ["preferences"]) for value in values(["x", 5, [], True])],
    *[({"preferences": {"swap": value}}, ["preferences.swap"]) for value in values(["x", 5, [], True])],
    *[({"isPublic": value}, ["isPublic"]) for value in values(["true", 1, 0, "", [], {}])],
]

BAD_BPS: list[Json] = [-1, 1001, 10**30, "300", "", True, 0.5, 300.0, [], {}]
BAD_THRESHOLDS: list[Json] = ["0.99", "0", "-5", "1.001", "1.005", "", "NaN", "1e2", " 5", "x", "5,00"]
BAD_THRESHOLDS += ["\uff15", 5, 5.0, True, [], {}, "9" * 400, "Infinity"]
BAD_SWAPS: list[tuple[dict[str, Json], str]] = [
    *[({"slippageBps": value}, "slippageBps") for value in BAD_BPS],
    *[({"priceImpactBps": value}, "priceImpactBps") for value in BAD_BPS],
    *[({"thresholdUsd": value}, "thresholdUsd") for value in BAD_THRESHOLDS],
]
BAD += [({"preferences": {"swap": sent}}, [f"preferences.swap.{path}"]) for sent, path in BAD_SWAPS]


def test_what_is_bad_is_neither_valid_nor_created(glider: Glider) -> None:
    for fields, paths in BAD:
        body = strategy_body() | fields
        refusals = [glider.refused("POST", path, body, expect=400) for path in (VALIDATE, STRATEGIES)]
        assert refusals[0] == refusals[1], fields
        assert (refusals[0].code, refusals[0].message) == FAILED, fields
        assert all(refusals[0].names(path) for path in paths), (fields, refusals[0].details)
    assert glider.page(STRATEGIES) == ([], None)


@pytest.mark.parametrize("missing", ["name", "allocation"])
def test_what_is_required_may_not_be_left_out(glider: Glider, missing: str) -> None:
    body = strategy_body()
    del body[missing]
    refusal = glider.refused("POST", STRATEGIES, body, expect=400)
    assert (refusal.code, refusal.message) == FAILED
    assert refusal.names(missing)


def test_a_sum_that_is_not_100_is_told_in_the_vendors_words(glider: Glider) -> None:
    for weights in (("60", "39.99"), ("60", "40.01")):
        refusal = glider.refused("POST", STRATEGIES, strategy_body(allocation=lines(*weights)), expect=400)
        assert (refusal.code, refusal.message) == FAILED
        assert refusal.details == [SUM]


def test_all_problems_are_told_at_once(glider: Glider) -> None:
    body = {
        "name": "",
        "description": 5,
        "allocation": {
            "assets": [
                {"assetId": asset("SPY"), "weight": "0"},
                {"assetId": "nonsense", "weight": "50"},
                {"assetId": asset("TLT"), "weight": 50},
            ]
        },
        "schedule": {"type": "cron", "frequency": "never"},
        "preferences": {"swap": {"slippageBps": 5000, "priceImpactBps": "x", "thresholdUsd": "0.01"}},
        "isPublic": "yes",
    }
    paths = [
        "name",
        "description",
        f"{ASSETS}[0].weight",
        f"{ASSETS}[1].assetId",
        f"{ASSETS}[2].weight",
        "schedule.type",
        "schedule.frequency",
        "preferences.swap.slippageBps",
        "preferences.swap.priceImpactBps",
        "preferences.swap.thresholdUsd",
        "isPublic",
    ]
    refusal = glider.refused("POST", VALIDATE, body, expect=400)
    assert (refusal.code, refusal.message) == FAILED
    assert [path for path in paths if not refusal.names(path)] == [], refusal.details


def test_a_strategy_has_one_to_fifty_assets(glider: Glider) -> None:
    symbols = [glider.world.symbol("10") for _ in range(51)]
    fifty = allocation(**dict.fromkeys(symbols[:50], "2"))
    made = glider.post(STRATEGIES, strategy_body(allocation=fifty), expect=201)
    assert made["allocation"] == fifty
    too_many = allocation(**dict.fromkeys(symbols[:49], "2") | dict.fromkeys(symbols[49:], "1"))
    refusal = glider.refused("POST", STRATEGIES, strategy_body(allocation=too_many), expect=400)
    assert refusal.names(ASSETS)
    nothing = strategy_body(allocation={"assets": []})
    assert glider.refused("POST", STRATEGIES, nothing, expect=400).names(ASSETS)


def test_an_asset_with_an_id_of_its_chain_is_named_by_it_whatever_its_case(glider: Glider) -> None:
    usdc = "eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
    mixed = "eip155:8453/erc20:0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
    glider.world.set_prices({usdc: "1"})
    both = {"assets": [{"assetId": usdc, "weight": "50"}, {"assetId": mixed, "weight": "50"}]}
    assert glider.refused("POST", STRATEGIES, strategy_body(allocation=both), expect=400).names(ASSETS)
    one = {"assets": [{"assetId": mixed, "weight": "100"}]}
    made = glider.post(STRATEGIES, strategy_body(allocation=one), expect=201)
    assert [line["assetId"].lower() for line in made["allocation"]["assets"]] == [usdc]
    portfolio_id = glider.enroll(glider.world.account("10"), made["strategyId"])
    glider.world.settle()
    shown = glider.get(f"/portfolios/{portfolio_id}/positions")["assets"]
    assert {row["assetId"]: Decimal(row["balance"]) for row in shown if Decimal(row["balance"])} == {usdc: 10}


def test_a_symbol_is_percent_encoded_in_its_id(glider: Glider) -> None:
    name = glider.world.symbol("10") + "/X Y"
    glider.world.set_prices({name: "10"})
    made = glider.post(STRATEGIES, strategy_body(allocation=allocation(**{name: "100"})), expect=201)
    (line,) = made["allocation"]["assets"]
    assert line["assetId"] == asset(name)
    assert "/X" not in line["assetId"].partition("symbol:")[2]


@pytest.mark.parametrize("change", [{"tradable": False}, {"status": "inactive"}, {"fractionable": False}])
def test_an_asset_that_cannot_be_traded_is_not_taken(glider: Glider, change: Json) -> None:
    symbol = glider.world.symbol("10")
    glider.world.put(f"/sandbox/assets/{symbol}", change)
    body = strategy_body(allocation=allocation(SPY="50", **{symbol: "50"}))
    refusal = glider.refused("POST", STRATEGIES, body, expect=400)
    assert (refusal.code, refusal.message) == FAILED
    assert refusal.names(f"{ASSETS}[1].assetId")


def test_when_the_broker_is_down_nothing_is_created(glider: Glider) -> None:
    strategy_id = glider.strategy()
    body = glider.first_stage(glider.world.account(), strategy_id)
    glider.world.set_faults(outage=True)
    versions = f"{STRATEGIES}/{strategy_id}/versions"
    for path, sent in (
        (STRATEGIES, strategy_body(name="during the outage")),
        (versions, {"allocation": allocation(TLT="100")}),
        ("/enroll", body),
    ):
        assert glider.refused("POST", path, sent, expect=503).code == "API_005"
    glider.world.set_faults()
    assert [shown["strategyId"] for shown in glider.page(STRATEGIES)[0]] == [strategy_id]
    assert len(glider.page(versions)[0]) == 1
    assert glider.page("/portfolios") == ([], None)


# Lists and detail.


def test_pages_cut_the_list_and_the_newest_comes_first(glider: Glider) -> None:
    tied = [glider.strategy() for _ in range(4)]
    glider.world.later(seconds=1)
    newest = glider.strategy()
    whole = [shown["strategyId"] for shown in glider.page(STRATEGIES)[0]]
    assert whole[0] == newest
    assert sorted(whole[1:]) == sorted(tied)
    for limit in (1, 2, 3, 5, 200):
        cut = [[shown["strategyId"] for shown in page] for page in glider.pages(STRATEGIES, limit=limit)]
        assert cut == [whole[start : start + limit] for start in range(0, 5, limit)]


def test_a_strategy_that_is_not_there_is_named_in_the_answer(glider: Glider) -> None:
    missing = some_strategy_id()
    answer = glider.call("GET", f"{STRATEGIES}/{missing}", expect=404)
    message = f"Strategy with ID {missing} not found"
    assert answer.json() == {"success": False, "error": {"code": "API_006", "message": message}}


# Patches.


def test_a_patch_changes_what_it_names_and_answers_with_the_whole(glider: Glider) -> None:
    strategy_id = glider.strategy()
    path = f"{STRATEGIES}/{strategy_id}"
    made = glider.get(path)
    assert glider.patch(path, {}) == made
    assert glider.patch(path, {"name": "T"}) == made | {"name": "T"}
    described = made | {"name": "T", "description": "D"}
    assert glider.patch(path, {"description": "D"}) == described
    assert glider.patch(path, {"isPublic": True}) == described | {"isPublic": True}
    assert glider.patch(path, {"description": None, "isPublic": False}) == made | {"name": "T"}
    assert glider.get(path) == made | {"name": "T"}
    assert len(glider.page(f"{path}/versions")[0]) == 1


PATCHES: list[tuple[Json, str | None]] = [
    *[({"name": value}, "name") for value in values([None, "", "x" * 257, 5, True, [], {}])],
    *[({"description": value}, "description") for value in values(["x" * 2001, 5, True, [], {}])],
    *[({"isPublic": value}, "isPublic") for value in values([None, "true", 1, [], {}])],
    *[
        ({"name": "changed", name: value}, None)
        for name, value in (
            ("allocation", allocation(TLT="100")),
            ("schedule", DAILY),
            ("preferences", {"swap": {}}),
            ("version", 2),
            ("strategyId", "x"),
            ("createdAt", None),
            ("Name", "x"),
            ("nonsense", 1),
            ("", ""),
        )
    ],
]


def test_a_bad_patch_is_refused_and_changes_nothing(glider: Glider) -> None:
    path = f"{STRATEGIES}/{glider.strategy()}"
    made = glider.get(path)
    for body, name in PATCHES:
        refusal = glider.refused("PATCH", path, body, expect=400)
        assert (refusal.code, refusal.message) == FAILED, body
        assert refusal.details, body
        assert name is None or refusal.names(name), (body, refusal.details)
    assert glider.get(path) == made


# Versions.


def test_a_version_has_the_next_number_and_becomes_the_head(glider: Glider) -> None:
    strategy_id = glider.strategy()
    path = f"{STRATEGIES}/{strategy_id}/versions"
    created_at = glider.now()
    first = {
        "version": 1,
        "allocation": allocation(SPY="100"),
        "changeLog": None,
        "isHead": True,
        "createdAt": created_at,
    }
    assert glider.page(path) == ([first], None)
    glider.world.later(seconds=1)
    body = {"allocation": allocation(TLT="60", GLD="40.00"), "changeLog": "Less risk"}
    second = glider.post(path, body, expect=201)
    assert second == {"version": 2, **body, "isHead": True, "createdAt": glider.now()}
    assert glider.page(path) == ([second, first | {"isHead": False}], None)
    shown = glider.get(f"{STRATEGIES}/{strategy_id}")
    assert (shown["version"], shown["allocation"], shown["createdAt"]) == (2, body["allocation"], created_at)
    # To undo is to publish what was there before.
    third = glider.post(path, {"allocation": first["allocation"]}, expect=201)
    assert (third["version"], third["changeLog"], third["allocation"]) == (3, None, first["allocation"])
    again = glider.post(path, {"allocation": first["allocation"]}, expect=201)
    assert again["version"] == 4


def test_versions_come_in_pages_newest_first(glider: Glider) -> None:
    path = f"{STRATEGIES}/{glider.strategy()}/versions"
    for number in range(2, 6):
        glider.post(path, {"allocation": allocation(SPY="100"), "changeLog": f"v{number}"}, expect=201)
    for limit in (1, 2, 4, 5, 200):
        cut = [[shown["version"] for shown in page] for page in glider.pages(path, limit=limit)]
        assert cut == [list(range(5, 0, -1))[start : start + limit] for start in range(0, 5, limit)]
    assert [shown["version"] for shown in glider.all(path, limit=2) if shown["isHead"]] == [5]


BAD_VERSIONS: list[tuple[Json, str | None]] = [
    ({}, "allocation"),
    ({"changeLog": "x"}, "allocation"),
    ({"allocation": None}, "allocation"),
    ({"allocation": allocation(SPY="99")}, ASSETS),
    ({"allocation": lines(100)}, f"{ASSETS}[0].weight"),
    ({"allocation": allocation(NOSUCH="100")}, f"{ASSETS}[0].assetId"),
    *[
        ({"allocation": allocation(TLT="100"), "changeLog": value}, "changeLog")
        for value in values(["x" * 501, 5, True, [], {}])
    ],
    *[
        ({"allocation": allocation(TLT="100"), name: value}, None)
        for name, value in (
            ("version", 2),
            ("version", 7),
            ("isHead", True),
            ("name", "x"),
            ("schedule", DAILY),
            ("nonsense", 1),
        )
    ],
]


def test_a_bad_version_is_refused_and_not_published(glider: Glider) -> None:
    strategy_id = glider.strategy()
    path = f"{STRATEGIES}/{strategy_id}/versions"
    for body, name in BAD_VERSIONS:
        refusal = glider.refused("POST", path, body, expect=400)
        assert (refusal.code, refusal.message) == FAILED, body
        assert refusal.details, body
        assert name is None or refusal.names(name), (body, refusal.details)
    assert len(glider.page(path)[0]) == 1
    glider.post(path, {"allocation": allocation(TLT="100"), "changeLog": "x" * 500}, expect=201)
    glider.post(path, {"allocation": allocation(TLT="100"), "changeLog": None}, expect=201)


def test_versions_published_at_once_have_numbers_of_their_own(glider: Glider) -> None:
    strategy_id = glider.strategy()
    path = f"{STRATEGIES}/{strategy_id}/versions"

    def publish(number: int) -> tuple[int, str]:
        body = {"allocation": allocation(SPY=str(number), TLT=str(100 - number))}
        made = glider.post(path, body, expect=201)
        assert made["allocation"] == body["allocation"]
        return made["version"], str(number)

    with ThreadPoolExecutor(16) as pool:
        published = dict(pool.map(publish, range(1, 17)))
    assert sorted(published) == list(range(2, 18))
    shown = glider.all(path, limit=5)
    assert [version["version"] for version in shown] == list(range(17, 0, -1))
    assert [version["isHead"] for version in shown] == [True] + [False] * 16
    for version in shown[:-1]:
        assert version["allocation"]["assets"][0]["weight"] == published[version["version"]]
    assert glider.get(f"{STRATEGIES}/{strategy_id}")["allocation"] == shown[0]["allocation"]


def test_publishing_retargets_at_the_next_run_and_not_before(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    account_id = glider.account_of(portfolio_id)
    strategy_id = glider.detail(portfolio_id)["strategyId"]
    due = glider.schedule(portfolio_id)["nextDueAt"]
    glider.post(f"{STRATEGIES}/{strategy_id}/versions", {"allocation": allocation(TLT="100")}, expect=201)
    glider.world.settle()
    assert len(glider.runs(portfolio_id)) == 1
    assert glider.schedule(portfolio_id)["nextDueAt"] == due
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "1"}
    glider.world.later(days=1)
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "TLT": "4"}
    assert len(glider.runs(portfolio_id)) == 2


# Schedules.


def test_a_schedule_is_read_and_set(glider: Glider) -> None:
    path = f"{STRATEGIES}/{glider.strategy()}/schedule"
    assert glider.get(path) == DAILY
    for frequency in INTERVALS_MS:
        schedule = {"type": "interval", "frequency": frequency}
        assert glider.put(path, schedule) == schedule
        assert glider.get(path) == schedule
    assert glider.get(path.removesuffix("/schedule"))["schedule"] == {
        "type": "interval",
        "frequency": "monthly",
    }


BAD_SCHEDULES: list[tuple[Json, str | None]] = [
    ({}, "type"),
    ({"type": "interval"}, "frequency"),
    ({"frequency": "weekly"}, "type"),
    *[
        ({"type": value, "frequency": "weekly"}, "type")
        for value in values([None, "cron", "Interval", 5, []])
    ],
    *[
        ({"type": "interval", "frequency": value}, "frequency")
        for value in values([None, "", "yearly", "WEEKLY", 3_600_000, True, [], {}])
    ],
    *[
        ({"type": "interval", "frequency": "weekly", name: value}, None)
        for name, value in (("intervalMs", 5), ("status", "paused"), ("nextDueAt", None), ("x", 1))
    ],
]


def test_a_bad_schedule_is_refused_and_changes_nothing(glider: Glider) -> None:
    path = f"{STRATEGIES}/{glider.strategy()}/schedule"
    for body, name in BAD_SCHEDULES:
        refusal = glider.refused("PUT", path, body, expect=400)
        assert (refusal.code, refusal.message) == FAILED, body
        assert name is None or refusal.names(name), (body, refusal.details)
    assert glider.get(path) == DAILY


# Preferences.

LEVELS = ["strategy", "tenant"]


def preferences_path(glider: Glider, level: str) -> str:
    return "/tenant/preferences" if level == "tenant" else f"{STRATEGIES}/{glider.strategy()}/preferences"


@pytest.mark.parametrize("level", LEVELS)
def test_preferences_are_patched_field_by_field(glider: Glider, level: str) -> None:
    path = preferences_path(glider, level)
    assert glider.get(path) == NO_PREFERENCES
    for body, shown in (
        ({}, swap()),
        ({"swap": {}}, swap()),
        ({"swap": {"slippageBps": 300}}, swap(slippageBps=300)),
        ({"swap": {"thresholdUsd": "5.00"}}, swap(slippageBps=300, thresholdUsd="5.00")),
        ({}, swap(slippageBps=300, thresholdUsd="5.00")),
        ({"swap": {}}, swap(slippageBps=300, thresholdUsd="5.00")),
        ({"swap": {"slippageBps": None, "priceImpactBps": 0}}, swap(priceImpactBps=0, thresholdUsd="5.00")),
        ({"swap": {"slippageBps": 0, "priceImpactBps": 1000, "thresholdUsd": "1"}}, None),
        ({"swap": {"slippageBps": None, "priceImpactBps": None, "thresholdUsd": None}}, swap()),
    ):
        expected = swap(**body["swap"]) if shown is None else shown
        assert glider.patch(path, body) == expected
        assert glider.get(path) == expected


def test_a_strategy_shows_its_own_preferences_only(glider: Glider) -> None:
    strategy_id = glider.strategy()
    glider.patch("/tenant/preferences", {"swap": {"slippageBps": 50, "thresholdUsd": "20"}})
    assert glider.get(f"{STRATEGIES}/{strategy_id}/preferences") == NO_PREFERENCES
    glider.patch(f"{STRATEGIES}/{strategy_id}/preferences", {"swap": {"priceImpactBps": 10}})
    assert glider.get(f"{STRATEGIES}/{strategy_id}")["preferences"] == swap(priceImpactBps=10)
    assert glider.get("/tenant/preferences") == swap(slippageBps=50, thresholdUsd="20")


@pytest.mark.parametrize("level", LEVELS)
def test_bad_preferences_are_refused_and_change_nothing(glider: Glider, level: str) -> None:
    path = preferences_path(glider, level)
    kept = {"swap": {"slippageBps": 10, "priceImpactBps": 20, "thresholdUsd": "30"}}
    glider.patch(path, kept)
    for sent, name in BAD_SWAPS:
        refusal = glider.refused("PATCH", path, {"swap": sent}, expect=400)
        assert (refusal.code, refusal.message) == FAILED, sent
        assert refusal.names(f"swap.{name}"), (sent, refusal.details)
    for value in values(["x", 5, True, []]):
        assert glider.refused("PATCH", path, {"swap": value}, expect=400).names("swap")
    both = {"swap": {"slippageBps": -1, "thresholdUsd": "0"}}
    refusal = glider.refused("PATCH", path, both, expect=400)
    assert refusal.names("swap.slippageBps")
    assert refusal.names("swap.thresholdUsd")
    for strange in ("schedule", "name", "slippageBps", ""):
        body = {"swap": {"slippageBps": 99}, strange: DAILY}
        assert glider.refused("PATCH", path, body, expect=400).details
    assert glider.refused("PATCH", path, {"swap": {"slippageBps": 99, "gas": 1}}, expect=400).details
    assert glider.get(path) == kept


def test_a_tenants_preferences_are_his_own(glider: Glider, stranger: Glider) -> None:
    glider.patch("/tenant/preferences", {"swap": {"slippageBps": 77}})
    assert stranger.get("/tenant/preferences") == NO_PREFERENCES


def test_patches_at_once_of_different_fields_are_all_kept(glider: Glider) -> None:
    strategy_id, portfolio_id = glider.strategy(), glider.portfolio()
    path = f"{STRATEGIES}/{strategy_id}"
    for number in range(1, 6):
        changes: list[tuple[str, Json]] = [
            (f"{path}/preferences", {"swap": {"slippageBps": number}}),
            (f"{path}/preferences", {"swap": {"priceImpactBps": number}}),
            (f"{path}/preferences", {"swap": {"thresholdUsd": str(number)}}),
            ("/tenant/preferences", {"swap": {"slippageBps": number}}),
            ("/tenant/preferences", {"swap": {"priceImpactBps": number}}),
            ("/tenant/preferences", {"swap": {"thresholdUsd": str(number)}}),
            (path, {"name": f"S{number}"}),
            (path, {"description": f"D{number}"}),
            (path, {"isPublic": number % 2 == 0}),
            (f"/portfolios/{portfolio_id}", {"portfolioName": f"P{number}"}),
        ]
        with ThreadPoolExecutor(len(changes)) as pool:
            list(pool.map(lambda change: glider.patch(*change), changes))
        whole = swap(slippageBps=number, priceImpactBps=number, thresholdUsd=str(number))
        assert glider.get("/tenant/preferences") == whole
        shown = glider.get(path)
        assert shown["preferences"] == whole
        assert (shown["name"], shown["description"]) == (f"S{number}", f"D{number}")
        assert (shown["isPublic"], shown["version"]) == (number % 2 == 0, 1)
        assert glider.detail(portfolio_id)["portfolioName"] == f"P{number}"


# What preferences do.


def skipped(glider: Glider, portfolio_id: str) -> list[str]:
    """What the portfolio's last run left out, and that it said why."""
    run = glider.runs(portfolio_id)[-1]
    assert run["status"] == ("COMPLETED_ADJUSTED" if run["skipped_orders"] else "COMPLETED_SUCCESS")
    assert all(leg["reason"] and leg["reason_details"] for leg in run["skipped_orders"])
    return [leg["symbol"] for leg in run["skipped_orders"]]


# The threshold of the tenant, that of the strategy, and what happens to legs of 960 and 40 dollars.
@pytest.mark.parametrize(
    ("tenant", "strategy", "left_out"),
    [
        (None, None, []),
        (None, "40", []),
        (None, "40.01", ["TLT"]),
        ("40.01", None, ["TLT"]),
        ("40.01", "1.00", []),
        ("1", "50", ["TLT"]),
        ("2000", "5", []),
    ],
)
def test_legs_below_the_threshold_are_skipped_the_strategys_before_the_tenants(
    glider: Glider, tenant: str | None, strategy: str | None, left_out: list[str]
) -> None:
    glider.patch("/tenant/preferences", {"swap": {"thresholdUsd": tenant}})
    strategy_id = glider.strategy(preferences={"thresholdUsd": strategy}, SPY="96", TLT="4")
    account_id = glider.world.account("1000")
    portfolio_id = glider.enroll(account_id, strategy_id)
    glider.world.settle()
    assert skipped(glider, portfolio_id) == left_out
    bought = {"SPY": "2.4"} | ({} if left_out else {"TLT": "0.4"})
    assert glider.world.held(account_id) == {"cash": "40" if left_out else "0", **bought}


def test_a_small_sell_is_skipped_too(glider: Glider) -> None:
    strategy_id = glider.strategy(preferences={"thresholdUsd": "25.01"})
    account_id = glider.world.account("1000", GLD="0.1")
    portfolio_id = glider.enroll(account_id, strategy_id)
    glider.world.settle()
    assert skipped(glider, portfolio_id) == ["GLD"]
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "2.5", "GLD": "0.1"}


def test_one_field_of_the_strategy_leaves_the_others_to_the_tenant(glider: Glider) -> None:
    glider.patch("/tenant/preferences", {"swap": {"thresholdUsd": "50"}})
    strategy_id = glider.strategy(preferences={"slippageBps": 100}, SPY="96", TLT="4")
    portfolio_id = glider.enroll(glider.world.account("1000"), strategy_id)
    glider.world.settle()
    assert skipped(glider, portfolio_id) == ["TLT"]


def test_a_new_threshold_holds_from_the_next_run(glider: Glider) -> None:
    strategy_id = glider.strategy(preferences={"thresholdUsd": "50"}, SPY="96", TLT="4")
    portfolio_id = glider.enroll(glider.world.account("1000"), strategy_id)
    glider.world.settle()
    assert skipped(glider, portfolio_id) == ["TLT"]
    glider.patch(f"{STRATEGIES}/{strategy_id}/preferences", {"swap": {"thresholdUsd": "10"}})
    glider.world.later(seconds=60)
    glider.rebalance(portfolio_id)
    glider.world.settle()
    assert skipped(glider, portfolio_id) == []


# A leg of 1,000 dollars in an asset of 10,000 dollars' depth moves its price by 1,000 bps.
@pytest.mark.parametrize(
    ("depth", "limit_bps", "left_out"),
    [
        ("10000", 1000, False),
        ("10000", 999, True),
        ("10000", None, False),
        (None, 0, False),
        ("1", 1000, True),
    ],
)
def test_a_leg_that_would_move_the_price_too_far_is_skipped(
    glider: Glider, depth: str | None, limit_bps: int | None, *, left_out: bool
) -> None:
    symbol = glider.world.symbol("100")
    glider.world.put(f"/sandbox/assets/{symbol}", {"depth": depth})
    strategy_id = glider.strategy(preferences={"priceImpactBps": limit_bps}, **{symbol: "100"})
    # Outside the books: the market's impact costs money.
    account_id = glider.world.post("/sandbox/accounts", {"cash": "1000"})["account_id"]
    portfolio_id = glider.enroll(account_id, strategy_id)
    glider.world.settle()
    assert skipped(glider, portfolio_id) == ([symbol] if left_out else [])


# The plan's price is 100; while the order waits, the price becomes another.
@pytest.mark.parametrize(
    ("slippage_bps", "price", "executes"),
    [(None, "150", True), (100, "101", True), (100, "101.01", False), (0, "100", True), (1000, "90", True)],
)
def test_an_order_does_not_execute_beyond_the_slippage(
    glider: Glider, slippage_bps: int | None, price: str, *, executes: bool
) -> None:
    symbol = glider.world.symbol("100")
    strategy_id = glider.strategy(preferences={"slippageBps": slippage_bps}, **{symbol: "100"})
    account_id = glider.world.account("1000")
    portfolio_id = glider.enroll(account_id, strategy_id)
    glider.world.set_faults(fill_delay_s=30)
    glider.world.settle()
    glider.world.set_prices({symbol: price})
    glider.world.later(seconds=30)
    glider.world.settle()
    held = glider.world.held(account_id)
    assert (symbol in held) == executes
    limit = Decimal(100) * (10_000 + (slippage_bps or 0)) / 10_000
    for order in glider.world.ledger(account_id):
        if slippage_bps is not None and order["filled_avg_price"] is not None:
            assert Decimal(order["filled_avg_price"]) <= limit
    assert glider.runs(portfolio_id)


def test_a_sell_does_not_execute_beyond_the_slippage_either(glider: Glider) -> None:
    symbol = glider.world.symbol("100")
    strategy_id = glider.strategy(preferences={"slippageBps": 100}, cash="100")
    account_id = glider.world.account("0", **{symbol: "1"})
    glider.enroll(account_id, strategy_id)
    glider.world.set_faults(fill_delay_s=30)
    glider.world.settle()
    glider.world.set_prices({symbol: "98.99"})
    glider.world.later(seconds=30)
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", symbol: "1"}


# Strategies of others.


def test_a_public_strategy_is_read_by_all_and_written_by_its_owner(glider: Glider, stranger: Glider) -> None:
    strategy_id = glider.strategy(SPY="60", cash="40")
    path = f"{STRATEGIES}/{strategy_id}"
    readable = [path, f"{path}/versions", f"{path}/schedule", f"{path}/preferences"]
    writes = [
        ("PATCH", path, {"name": "mine"}),
        ("PATCH", path, {"isPublic": False}),
        ("POST", f"{path}/versions", {"allocation": allocation(TLT="100")}),
        ("PUT", f"{path}/schedule", {"type": "interval", "frequency": "hourly"}),
        ("PATCH", f"{path}/preferences", {"swap": {"slippageBps": 5}}),
    ]
    missing = f"Strategy with ID {strategy_id} not found"
    for target in readable:
        assert stranger.refused("GET", target, expect=404).message == missing
    glider.patch(path, {"isPublic": True})
    for target in readable:
        assert stranger.call("GET", target).json() == glider.call("GET", target).json()
    for method, target, body in writes:
        refusal = stranger.refused(method, target, body, expect=404)
        assert (refusal.code, refusal.message, refusal.details) == ("API_006", missing, [])
    assert stranger.page(STRATEGIES) == ([], None)
    assert weights_of(glider.get(path)["allocation"]) == {asset("SPY"): 60, CASH: 40}
    glider.patch(path, {"isPublic": False})
    for target in readable:
        assert stranger.refused("GET", target, expect=404).message == missing


def test_an_inactive_strategy_of_v1_is_not_there(glider: Glider) -> None:
    strategy_id = glider.strategy()
    (shown,) = glider.world.get("/v1/rebalancing/portfolios")
    assert ulid_of(shown["id"]) == strategy_id
    glider.world.delete(f"/v1/rebalancing/portfolios/{shown['id']}")
    glider.refused("GET", f"{STRATEGIES}/{strategy_id}", expect=404)
    assert glider.page(STRATEGIES) == ([], None)


# Performance.


def test_a_strategys_performance_is_that_of_its_weights_day_by_day(glider: Glider) -> None:
    """60 % rise by a tenth and 40 % fall by a tenth: 2 %. Then 60 % fall by a tenth: −6 %.

    Together 1.02 × 0.94 − 1 = −4.12 %.
    """
    rising, falling = glider.world.symbol("100"), glider.world.symbol("50")
    strategy_id = glider.strategy(**{rising: "60", falling: "40"})
    path = f"/strategies/{strategy_id}/performance"
    assert glider.get(path)["points"] == []
    glider.enroll(glider.world.account("1000"), strategy_id)
    glider.world.settle()
    first_on = glider.world.now().date()
    assert glider.get(path)["points"] == [{"date": first_on.isoformat(), "percentChange": None}]
    for prices in ({rising: "110", falling: "45"}, {rising: "99"}):
        glider.world.later(days=1)
        glider.world.set_prices(prices)
        glider.world.settle()
    shown = glider.get(path)
    assert (shown["strategyId"], shown["meta"]["method"]) == (strategy_id, "TWR")
    assert shown["schedule"] == {"type": "interval", "frequency": "daily"}
    assert [point["percentChange"] for point in shown["points"]] == [None, "2", "-6"]
    assert [(each["window"], each["percentChange"]) for each in shown["summary"]["windows"]] == [
        ("1d", "-6"),
        ("all", "-4.12"),
    ]


def test_a_new_version_counts_from_the_day_it_was_published(glider: Glider) -> None:
    """All in one asset until the second day, then all in the other, which doubles on the third."""
    first, second = glider.world.symbol("100"), glider.world.symbol("10")
    strategy_id = glider.strategy(**{first: "100"})
    glider.enroll(glider.world.account("1000"), strategy_id)
    glider.world.settle()
    glider.world.later(days=1)
    glider.world.set_prices({first: "150"})
    glider.world.settle()
    versions = f"/strategies/{strategy_id}/versions"
    glider.post(versions, {"allocation": allocation(**{second: "100"})}, expect=201)
    glider.world.settle()
    glider.world.later(days=1)
    glider.world.set_prices({first: "15", second: "20"})
    glider.world.settle()
    points = glider.get(f"/strategies/{strategy_id}/performance")["points"]
    assert [point["percentChange"] for point in points] == [None, "50", "100"]
