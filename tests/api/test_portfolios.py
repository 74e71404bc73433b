"""Portfolios over plain HTTP: what is stored, what is refused and in which words, nested portfolios."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import NewWorld, StartServer
from tests.api.world import PORTFOLIOS, Json, World, band, calendar, weights

SPY = {"type": "asset", "symbol": "SPY", "percent": "100"}
BODY: dict[str, Json] = {"name": "Core", "description": "d", "weights": [SPY], "cooldown_days": 7}
DECODE = (400, 40010000, "failed to decode request body")
LONG = "9" * 19


def with_condition(condition: Json) -> dict[str, Json]:
    return {"rebalance_conditions": [condition]}


def invalid(message: str) -> tuple[int, int, str]:
    return (400, 40010001, message)


def nested(portfolio_id: str, percent: str = "100") -> dict[str, str]:
    return {"type": "portfolio", "portfolio_id": portfolio_id, "percent": percent}


def test_every_key_of_a_portfolio_is_always_there(world: World) -> None:
    body = {
        "name": "Core",
        "description": "all kinds",
        "weights": [{"type": "cash", "percent": 5}, {"type": "asset", "symbol": "SPY", "percent": 95.00}],
        "cooldown_days": 7,
        "rebalance_conditions": [
            band("5.50"),
            band("20", "relative"),
            calendar("quarterly", "15"),
            {"type": "on_portfolio_update"},
        ],
    }
    stored = world.post(PORTFOLIOS, body)
    assert stored == {
        "id": stored["id"],
        "name": "Core",
        "description": "all kinds",
        "status": "active",
        "cooldown_days": 7,
        "created_at": stored["created_at"],
        "updated_at": stored["created_at"],
        "weights": [
            {"type": "cash", "symbol": None, "percent": "5"},
            {"type": "asset", "symbol": "SPY", "percent": "95"},
        ],
        "rebalance_conditions": [
            {"type": "drift_band", "sub_type": "absolute", "percent": "5.5", "day": None},
            {"type": "drift_band", "sub_type": "relative", "percent": "20", "day": None},
            {"type": "calendar", "sub_type": "quarterly", "percent": None, "day": "15"},
            {"type": "on_portfolio_update", "sub_type": None, "percent": None, "day": None},
        ],
        "on_ineligible": "needs_adjustment",
    }
    assert world.get(f"{PORTFOLIOS}/{stored['id']}") == stored
    assert world.get(PORTFOLIOS) == [stored]
    assert stored["created_at"] == world.get("/sandbox/clock")["now"]


# What is sent in place of BODY's fields, and what of it comes back.
TAKEN: list[tuple[dict[str, Json], dict[str, Json]]] = [
    ({"description": None}, {"description": ""}),
    ({"cooldown_days": None}, {"cooldown_days": 0}),
    ({"cooldown_days": 3660}, {"cooldown_days": 3660}),
    ({"name": "x" * 256}, {"name": "x" * 256}),
    ({"name": " Ünï ☂ \t"}, {"name": " Ünï ☂ \t"}),
    ({"description": "x" * 2000}, {"description": "x" * 2000}),
    ({"unknown": {"anything": [1]}}, {"name": "Core"}),
    ({"weights": [{**SPY, "percent": 100}]}, {"weights": [{**SPY, "percent": "100"}]}),
    ({"weights": [{**SPY, "percent": "+100.000"}]}, {"weights": [{**SPY, "percent": "100"}]}),
    ({"weights": [{**SPY, "percent": "000100"}]}, {"weights": [{**SPY, "percent": "100"}]}),
    (
        {"weights": [{"type": "cash", "percent": "0"}, SPY]},
        {"weights": [SPY]},
    ),
    (
        {"weights": [{"type": "cash", "percent": 0.00}, SPY]},
        {"weights": [SPY]},
    ),
    (
        {"weights": [{"type": "cash", "percent": "100"}]},
        {"weights": [{"type": "cash", "symbol": None, "percent": "100"}]},
    ),
    (
        {"weights": weights(SPY="33.33", TLT="33.33", GLD="33.34")},
        {"weights": weights(SPY="33.33", TLT="33.33", GLD="33.34")},
    ),
    (
        {"weights": weights(SPY="0.01", TLT="99.99")},
        {"weights": weights(SPY="0.01", TLT="99.99")},
    ),
    ({"rebalance_conditions": None}, {"rebalance_conditions": []}),
    ({"rebalance_conditions": []}, {"rebalance_conditions": []}),
    (
        {"rebalancing_conditions": [band("5")]},
        {"rebalance_conditions": [{**band("5"), "day": None}]},
    ),
    (
        {"rebalance_conditions": [band("5")], "rebalancing_conditions": [band("5")]},
        {"rebalance_conditions": [{**band("5"), "day": None}]},
    ),
    (
        with_condition({**calendar("monthly", "15"), "percent": None}),
        {"rebalance_conditions": [{**calendar("monthly", "15"), "percent": None}]},
    ),
    (
        with_condition({"type": "calendar", "sub_type": "monthly", "day": 15}),
        {"rebalance_conditions": [{**calendar("monthly", "15"), "percent": None}]},
    ),
    (
        with_condition(calendar("monthly", "05")),
        {"rebalance_conditions": [{**calendar("monthly", "5"), "percent": None}]},
    ),
    (
        with_condition(calendar("annually", "02-29")),
        {"rebalance_conditions": [{**calendar("annually", "02-29"), "percent": None}]},
    ),
    (
        with_condition(calendar("weekly", "Friday")),
        {"rebalance_conditions": [{**calendar("weekly", "Friday"), "percent": None}]},
    ),
    (
        with_condition({**band("0.01"), "day": None}),
        {"rebalance_conditions": [{**band("0.01"), "day": None}]},
    ),
]


@pytest.mark.parametrize(("sent", "shown"), TAKEN)
def test_what_the_contract_allows_is_stored_in_its_plain_form(
    world: World, sent: dict[str, Json], shown: dict[str, Json]
) -> None:
    stored = world.post(PORTFOLIOS, BODY | sent)
    assert {name: stored[name] for name in shown} == shown
    assert world.get(f"{PORTFOLIOS}/{stored['id']}") == stored


PERCENTS: list[tuple[Json, str]] = [
    (None, "weights[0].percent: value is empty"),
    ("", "weights[0].percent: value is empty"),
    (" ", "weights[0].percent: invalid value"),
    (" 100", "weights[0].percent: invalid value"),
    ("100 ", "weights[0].percent: invalid value"),
    ("100\n", "weights[0].percent: invalid value"),
    ("1e2", "weights[0].percent: invalid value"),
    ("1_00", "weights[0].percent: invalid value"),
    ("NaN", "weights[0].percent: invalid value"),
    ("Infinity", "weights[0].percent: invalid value"),
    ("0x64", "weights[0].percent: invalid value"),
    ("100.", "weights[0].percent: invalid value"),
    (".5", "weights[0].percent: invalid value"),
    ("1,000", "weights[0].percent: invalid value"),
    ("\uff11\uff10\uff10", "weights[0].percent: invalid value"),
    ("\u0661\u0660\u0660", "weights[0].percent: invalid value"),
    ("²", "weights[0].percent: invalid value"),
    ("--1", "weights[0].percent: invalid value"),
    (LONG, "weights[0].percent: invalid value"),
    (True, "weights[0].percent: invalid value"),
    ([100], "weights[0].percent: invalid value"),
    ({"value": 100}, "weights[0].percent: invalid value"),
    ("0", "weights[0].percent: must be greater than 0"),
    ("-0", "weights[0].percent: must be greater than 0"),
    (-100, "weights[0].percent: must be greater than 0"),
    ("99.999", "weights[0].percent: at most two decimal places"),
    (99.999, "weights[0].percent: at most two decimal places"),
    ("99.99", "weights must sum to 100"),
    ("100.01", "weights must sum to 100"),
    ("999999999999999999", "weights must sum to 100"),
]

REFUSED: list[tuple[dict[str, Json], tuple[int, int, str]]] = [
    *[({"weights": [{**SPY, "percent": percent}]}, invalid(message)) for percent, message in PERCENTS],
    ({"name": None}, invalid("name is required")),
    ({"name": ""}, invalid("name is required")),
    ({"name": "  "}, invalid("name is required")),
    ({"name": 5}, invalid("name: invalid value")),
    ({"name": ["x"]}, invalid("name: invalid value")),
    ({"name": "x" * 257}, invalid("name: invalid value")),
    ({"description": 5}, invalid("description: invalid value")),
    ({"description": "x" * 2001}, invalid("description: invalid value")),
    ({"weights": None}, invalid("weights are required")),
    ({"weights": []}, invalid("weights are required")),
    ({"weights": {}}, invalid("weights: invalid value")),
    ({"weights": "SPY"}, invalid("weights: invalid value")),
    ({"weights": [5]}, invalid("weights: invalid value")),
    ({"weights": [None]}, invalid("weights: invalid value")),
    ({"weights": [[SPY]]}, invalid("weights: invalid value")),
    ({"weights": [{"symbol": "SPY", "percent": "100"}]}, invalid("weights[0].type: value is empty")),
    ({"weights": [{**SPY, "type": ""}]}, invalid("weights[0].type: value is empty")),
    ({"weights": [{**SPY, "type": "stock"}]}, invalid("weights[0].type: invalid value")),
    ({"weights": [{**SPY, "type": "ASSET"}]}, invalid("weights[0].type: invalid value")),
    ({"weights": [{**SPY, "type": 1}]}, invalid("weights[0].type: invalid value")),
    ({"weights": [{**SPY, "type": ["asset"]}]}, invalid("weights[0].type: invalid value")),
    ({"weights": [{**SPY, "symbol": None}]}, invalid("weights[0].symbol: value is empty")),
    ({"weights": [{**SPY, "symbol": ""}]}, invalid("weights[0].symbol: value is empty")),
    ({"weights": [{**SPY, "symbol": 5}]}, invalid("weights[0].symbol: invalid value")),
    ({"weights": [{**SPY, "symbol": "S" * 65}]}, invalid("weights[0].symbol: invalid value")),
    (
        {"weights": [{"type": "cash", "symbol": "USD", "percent": "100"}]},
        invalid("weights[0].symbol: invalid value"),
    ),
    ({"weights": [{"type": "cash"}]}, invalid("weights[0].percent: value is empty")),
    ({"weights": [{"type": "cash", "percent": "-1"}]}, invalid("weights[0].percent: must be greater than 0")),
    ({"weights": [{"type": "cash", "percent": "0"}]}, invalid("weights are required")),
    ({"weights": weights(SPY="50", TLT="49.99")}, invalid("weights must sum to 100")),
    ({"weights": [*weights(SPY="50"), *weights(SPY="50")]}, invalid("duplicate assets: SPY")),
    ({"weights": [*weights(cash="50"), *weights(cash="50")]}, invalid("duplicate assets: cash")),
    ({"weights": [SPY] * 502}, invalid("weights: at most 501")),
    ({"weights": weights(NOSUCH="100")}, (422, 42210001, "asset not found: NOSUCH")),
    ({"weights": weights(spy="100")}, (422, 42210001, "asset not found: spy")),
    ({"weights": [{"type": "portfolio", "percent": "100"}]}, (422, 42210000, "invalid portfolio_id")),
    ({"weights": [nested("nonsense")]}, (422, 42210000, "invalid portfolio_id")),
    ({"weights": [nested(str(uuid4()))]}, (422, 42210000, "portfolio not found")),
    ({"cooldown_days": -1}, invalid("cooldown_days must be >= 0")),
    ({"cooldown_days": 3661}, invalid("cooldown_days must be between 0 and 3660")),
    ({"cooldown_days": 10**9}, invalid("cooldown_days: invalid value")),
    ({"cooldown_days": "7"}, invalid("cooldown_days: invalid value")),
    ({"cooldown_days": 7.5}, invalid("cooldown_days: invalid value")),
    ({"cooldown_days": 7.0}, invalid("cooldown_days: invalid value")),
    ({"cooldown_days": True}, invalid("cooldown_days: invalid value")),
    ({"cooldown_days": [7]}, invalid("cooldown_days: invalid value")),
    ({"rebalance_conditions": {}}, invalid("rebalance_conditions: invalid value")),
    ({"rebalance_conditions": ["drift_band"]}, invalid("rebalance_conditions: invalid value")),
    ({"rebalance_conditions": [band("5")] * 51}, invalid("rebalance_conditions: at most 50")),
    (
        {"rebalance_conditions": [band("5"), band("6")]},
        invalid("duplicate condition: drift_band absolute"),
    ),
    (
        {"rebalance_conditions": [{"type": "on_portfolio_update"}] * 2},
        invalid("duplicate condition: on_portfolio_update"),
    ),
    (
        {"rebalance_conditions": [calendar("weekly", "Monday"), calendar("monthly", "1")]},
        invalid("only one calendar condition is allowed"),
    ),
    (
        {"rebalance_conditions": [band("5")], "rebalancing_conditions": [band("6")]},
        invalid("rebalance_conditions and rebalancing_conditions differ: send one"),
    ),
]

CONDITIONS: list[tuple[Json, str]] = [
    ({}, "type: value is empty"),
    ({"type": ""}, "type: value is empty"),
    ({"type": "weekly"}, "type: invalid value"),
    ({"type": ["drift_band"]}, "type: invalid value"),
    ({"type": "drift_band", "percent": "5"}, "sub_type: value is empty"),
    ({"type": "drift_band", "sub_type": "weekly", "percent": "5"}, "sub_type: invalid value"),
    ({"type": "drift_band", "sub_type": "absolute"}, "percent: value is empty"),
    (band(""), "percent: value is empty"),
    (band("five"), "percent: invalid value"),
    (band("5e0"), "percent: invalid value"),
    (band("NaN"), "percent: invalid value"),
    (band("0"), "percent: must be greater than 0"),
    (band("-5"), "percent: must be greater than 0"),
    (band("5.001"), "percent: at most two decimal places"),
    ({**band("5"), "day": "1"}, "day: not permitted for drift_band"),
    ({"type": "calendar", "day": "1"}, "sub_type: value is empty"),
    (calendar("absolute", "1"), "sub_type: invalid value"),
    (calendar("daily", "1"), "sub_type: invalid value"),
    ({**calendar("monthly", "1"), "percent": "5"}, "percent: not permitted for calendar"),
    ({"type": "calendar", "sub_type": "monthly"}, "day: value is empty"),
    (calendar("monthly", ""), "day: value is empty"),
    (calendar("monthly", "0"), "day: invalid value"),
    (calendar("monthly", "32"), "day: invalid value"),
    (calendar("monthly", "-1"), "day: invalid value"),
    (calendar("monthly", "1.0"), "day: invalid value"),
    (calendar("monthly", "015"), "day: invalid value"),
    (calendar("monthly", "\uff11\uff15"), "day: invalid value"),
    (calendar("monthly", "Monday"), "day: invalid value"),
    (calendar("quarterly", "32"), "day: invalid value"),
    (calendar("quarterly", "01-15"), "day: invalid value"),
    ({"type": "calendar", "sub_type": "monthly", "day": 32}, "day: invalid value"),
    ({"type": "calendar", "sub_type": "monthly", "day": 15.0}, "day: invalid value"),
    ({"type": "calendar", "sub_type": "monthly", "day": True}, "day: invalid value"),
    ({"type": "calendar", "sub_type": "monthly", "day": ["15"]}, "day: invalid value"),
    (calendar("weekly", "monday"), "day: invalid value"),
    (calendar("weekly", "Mon"), "day: invalid value"),
    (calendar("weekly", "Saturday"), "day: invalid value"),
    (calendar("weekly", "1"), "day: invalid value"),
    (calendar("annually", "15"), "day: invalid value"),
    (calendar("annually", "13-01"), "day: invalid value"),
    (calendar("annually", "00-10"), "day: invalid value"),
    (calendar("annually", "02-30"), "day: invalid value"),
    (calendar("annually", "04-31"), "day: invalid value"),
    (calendar("annually", "2-9"), "day: invalid value"),
    (calendar("annually", "2026-02-28"), "day: invalid value"),
    ({"type": "on_portfolio_update", "percent": "5"}, "percent: not permitted for on_portfolio_update"),
    ({"type": "on_portfolio_update", "day": "5"}, "day: not permitted for on_portfolio_update"),
    (
        {"type": "on_portfolio_update", "sub_type": "absolute"},
        "sub_type: not permitted for on_portfolio_update",
    ),
]
REFUSED += [
    (with_condition(condition), invalid(f"rebalance_conditions[0].{message}"))
    for condition, message in CONDITIONS
]


@pytest.mark.parametrize(("sent", "answer"), REFUSED)
def test_what_the_contract_forbids_is_refused_and_not_stored(
    world: World, sent: dict[str, Json], answer: tuple[int, int, str]
) -> None:
    status, code, message = answer
    assert world.refused("POST", PORTFOLIOS, BODY | sent, expect=status) == (code, message)
    assert world.get(PORTFOLIOS) == []


# A PATCH judges fields as a POST does, except that a missing field is no mistake in it.
OPTIONAL_IN_PATCH: list[dict[str, Any]] = [{"weights": None}]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [(s, a) for s, a in REFUSED if s not in OPTIONAL_IN_PATCH and "name" not in s],
)
def test_a_patch_refuses_what_a_post_refuses_and_changes_nothing(
    world: World, sent: dict[str, Json], answer: tuple[int, int, str]
) -> None:
    stored = world.post(PORTFOLIOS, BODY)
    status, code, message = answer
    path = f"{PORTFOLIOS}/{stored['id']}"
    assert world.refused("PATCH", path, sent, expect=status) == (code, message)
    assert world.get(path) == stored


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"name": None}, "name: value is empty"),
        ({"name": ""}, "name: value is empty"),
        ({"name": " "}, "name: invalid value"),
        ({"name": 5}, "name: invalid value"),
        ({"name": "x" * 257}, "name: invalid value"),
        ({"status": "inactive"}, "status: invalid value"),
        ({"status": "needs_adjustment"}, "status: invalid value"),
        ({"status": ["active"]}, "status: invalid value"),
        ({"status": 1}, "status: invalid value"),
    ],
)
def test_a_patch_cannot_take_the_name_away_or_set_a_status(world: World, sent: Json, message: str) -> None:
    stored = world.post(PORTFOLIOS, BODY)
    path = f"{PORTFOLIOS}/{stored['id']}"
    assert world.refused("PATCH", path, sent, expect=400) == (40010001, message)
    assert world.get(path) == stored


@pytest.mark.parametrize(
    "sent", [{}, {"weights": None}, {"status": "active"}, {"unknown": 1}, {"status": None}]
)
def test_a_patch_of_nothing_changes_nothing(world: World, sent: Json) -> None:
    stored = world.post(PORTFOLIOS, BODY)
    world.later(minutes=1)
    path = f"{PORTFOLIOS}/{stored['id']}"
    assert world.patch(path, sent) == stored
    assert world.get(path) == stored


def test_a_patch_changes_what_it_names_and_stamps_it(world: World) -> None:
    stored = world.post(PORTFOLIOS, BODY | {"rebalance_conditions": [band("5")]})
    path = f"{PORTFOLIOS}/{stored['id']}"
    now = world.later(minutes=1)
    changed = world.patch(path, {"weights": weights(TLT="100"), "description": ""})
    expected = {
        "weights": weights(TLT="100"),
        "description": "",
        "updated_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert changed == stored | expected
    assert world.patch(path, {"rebalancing_conditions": []}) == changed | {"rebalance_conditions": []}
    assert world.patch(path, {"cooldown_days": 0})["cooldown_days"] == 0
    assert world.patch(path, {"name": "New"})["name"] == "New"


def test_an_inactive_portfolio_is_kept_out_of_sight_and_use(world: World) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    path = f"{PORTFOLIOS}/{portfolio_id}"
    world.delete(path)
    assert world.get(path)["status"] == "inactive"
    assert world.get(PORTFOLIOS) == []
    assert [p["id"] for p in world.get(PORTFOLIOS, status="inactive")] == [portfolio_id]
    assert world.refused("DELETE", path, expect=422) == (42210000, "nothing to delete")
    inactive = (42210002, "portfolio is not active")
    assert world.refused("PATCH", path, {"name": "New"}, expect=422) == inactive
    assert world.refused("PATCH", path, {"status": "active"}, expect=422) == inactive
    account_id = world.account("10")
    subscription = {"account_id": account_id, "portfolio_id": portfolio_id}
    assert world.refused("POST", "/v1/rebalancing/subscriptions", subscription, expect=422) == inactive
    assert (
        world.refused("POST", PORTFOLIOS, BODY | {"weights": [nested(portfolio_id)]}, expect=422) == inactive
    )


def test_a_followed_portfolio_cannot_be_deleted(world: World) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    subscription_id = world.subscribe(world.account(), portfolio_id)
    path = f"{PORTFOLIOS}/{portfolio_id}"
    assert world.refused("DELETE", path, expect=422) == (42210002, "portfolio has active subscriptions")
    world.delete(f"/v1/rebalancing/subscriptions/{subscription_id}")
    world.delete(path)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_ids_in_the_path_are_malformed_or_missing(world: World, method: str) -> None:
    body: Json = {} if method == "PATCH" else None
    for malformed in ("nonsense", "1", f"{uuid4()}0", uuid4().hex, f"{{{uuid4()}}}", "%00", "é"):
        refused = world.refused(method, f"{PORTFOLIOS}/{malformed}", body, expect=422)
        assert refused == (42210000, "invalid portfolio_id")
    missing = world.refused(method, f"{PORTFOLIOS}/{uuid4()}", body, expect=404)
    assert missing == (40410000, "portfolio not found")


def test_an_id_may_be_written_in_capitals(world: World) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    assert world.get(f"{PORTFOLIOS}/{portfolio_id.upper()}")["id"] == portfolio_id


def test_a_portfolio_may_list_portfolios(world: World) -> None:
    inner = world.portfolio(weights(SPY="50", TLT="50"))
    outer = world.portfolio([nested(inner, "80"), *weights(cash="20")])
    assert world.get(f"{PORTFOLIOS}/{outer}")["weights"] == [
        {"type": "portfolio", "symbol": None, "portfolio_id": inner, "percent": "80"},
        {"type": "cash", "symbol": None, "percent": "20"},
    ]
    account_id = world.account("1000")
    world.subscribe(account_id, outer)
    world.settle()
    # 40 % of 1,000 dollars in each: one share at 400 and four at 100.
    assert world.held(account_id) == {"cash": "200", "SPY": "1", "TLT": "4"}


def test_a_nested_portfolio_adds_to_a_line_of_its_own(world: World) -> None:
    inner = world.portfolio(weights(SPY="50", cash="50"))
    outer = world.portfolio([nested(inner, "50"), *weights(SPY="25", TLT="25")])
    account_id = world.account("1600")
    world.subscribe(account_id, outer)
    world.settle()
    # SPY 25 + 25 %, TLT 25 %, cash 25 % of 1,600 dollars.
    assert world.held(account_id) == {"cash": "400", "SPY": "2", "TLT": "4"}


def test_a_listed_portfolio_stays_until_nobody_lists_it(world: World) -> None:
    inner = world.portfolio(weights(SPY="100"))
    outer = world.portfolio([nested(inner)])
    listed = (42210002, "portfolio is listed in the weights of an active portfolio")
    assert world.refused("DELETE", f"{PORTFOLIOS}/{inner}", expect=422) == listed
    world.delete(f"{PORTFOLIOS}/{outer}")
    world.delete(f"{PORTFOLIOS}/{inner}")


def test_a_portfolio_cannot_contain_itself(world: World) -> None:
    one = world.portfolio(weights(SPY="100"))
    two = world.portfolio([nested(one)])
    three = world.portfolio([nested(two, "50"), *weights(cash="50")])
    ways = {one: (one, one), two: (one, two, one), three: (one, three, two, one)}
    for inner, way in ways.items():
        refused = world.refused("PATCH", f"{PORTFOLIOS}/{one}", {"weights": [nested(inner)]}, expect=400)
        assert refused == (40010001, f"weights: a portfolio cannot contain itself: {' > '.join(way)}")
    assert world.get(f"{PORTFOLIOS}/{one}")["weights"] == weights(SPY="100")


def test_a_change_of_a_portfolio_is_an_update_of_every_one_above_it(world: World) -> None:
    inner = world.portfolio(weights(SPY="100"))
    middle = world.portfolio([nested(inner, "50"), *weights(cash="50")])
    top = world.post(
        PORTFOLIOS,
        BODY
        | {
            "weights": [nested(middle)],
            "cooldown_days": 30,
            "rebalance_conditions": [{"type": "on_portfolio_update"}],
        },
    )["id"]
    account_id = world.account("1600")
    world.subscribe(account_id, top)
    world.settle()
    assert world.held(account_id) == {"cash": "800", "SPY": "2"}
    world.patch(f"{PORTFOLIOS}/{inner}", {"weights": weights(SPY="50", TLT="50")})
    world.settle()
    assert world.held(account_id) == {"cash": "800", "SPY": "1", "TLT": "4"}


def test_a_portfolio_lists_another_only_once(world: World) -> None:
    inner = world.portfolio(weights(SPY="100"))
    twice = BODY | {"weights": [nested(inner, "50"), nested(inner, "50")]}
    assert world.refused("POST", PORTFOLIOS, twice, expect=400) == (40010001, f"duplicate assets: {inner}")


def test_an_unknown_nested_portfolio_in_a_patch_is_a_mistake_of_the_body(world: World) -> None:
    path = f"{PORTFOLIOS}/{world.portfolio(weights(SPY='100'))}"
    refused = world.refused("PATCH", path, {"weights": [nested(str(uuid4()))]}, expect=422)
    assert refused == (42210000, "portfolio not found")


def test_portfolios_nested_many_times_over_do_not_hold_up_the_engine(
    start_server: StartServer, new_world: NewWorld
) -> None:
    """Each of 40 layers lists both portfolios of the layer below: a million million ways down."""
    world = new_world(start_server("sqlite"))
    world.open_market()
    pair = [world.portfolio(weights(SPY="100")), world.portfolio(weights(TLT="100"))]
    for _ in range(40):
        layer = BODY | {"weights": [nested(inner, "50") for inner in pair]}
        answers = [world.http.post(PORTFOLIOS, json=layer) for _ in pair]
        if any(answer.status_code == 400 for answer in answers):
            return  # a limit of the depth is as good
        pair = [answer.json()["id"] for answer in answers]
    account_id = world.account("1000")
    world.subscribe(account_id, pair[0])
    world.http.post("/sandbox/settle", timeout=5)
    assert world.held(account_id) == {"cash": "0", "SPY": "1.25", "TLT": "5"}


def test_a_deep_chain_of_portfolios_is_resolved_to_its_end(world: World) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    for _ in range(30):
        answer = world.http.post(
            PORTFOLIOS, json=BODY | {"weights": [nested(portfolio_id, "99.99"), *weights(TLT="0.01")]}
        )
        if answer.status_code == 400:
            return
        portfolio_id = answer.json()["id"]
    account_id = world.account("1000")
    world.subscribe(account_id, portfolio_id)
    world.settle()
    # 99.99 % thirty times over is 99.70043… %: of 1,000 dollars, whole cents and nothing lost, 997 and 3.
    assert world.held(account_id) == {"cash": "0", "SPY": "2.4925", "TLT": "0.03"}
