"""One installation, two dialects: what one door makes, the other shows, and neither lets two runs in."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.api.glider.client import (
    CASH,
    DAY_MS,
    MONTH_MS,
    WEEK_MS,
    Glider,
    allocation,
    asset,
    instant,
    run_of,
    ulid_of,
    uuid_of,
    weights_of,
)
from tests.api.glider.conftest import NewGlider
from tests.api.world import (
    PORTFOLIOS,
    RUNS,
    SUBSCRIPTIONS,
    World,
    band,
    calendar,
    weights,
)

NEW_YORK = ZoneInfo("America/New_York")
TRIGGERS = 16


@pytest.fixture
def both(world: World, new_glider: NewGlider) -> Glider:
    """A client on a morning when New York trades."""
    glider = new_glider(world.server)
    glider.world.open_market()
    world.server.moved = True
    return glider


def v1(strategy_id: str) -> str:
    return f"{PORTFOLIOS}/{uuid_of(strategy_id)}"


def following(glider: Glider, account_id: str, portfolio_id: str) -> str:
    """Follow by `/v1`; the id in `/v2`."""
    return f"pf_{ulid_of(glider.world.subscribe(account_id, portfolio_id))}"


# Strategies.


def test_a_strategy_of_v2_is_a_portfolio_of_v1(glider: Glider) -> None:
    strategy_id = glider.strategy(SPY="60", TLT="39.5", cash="0.5")
    (shown,) = glider.world.get(PORTFOLIOS)
    assert (shown["id"], shown["name"], shown["status"]) == (uuid_of(strategy_id), "S", "active")
    lines = {(line["type"], line["symbol"]): line["percent"] for line in shown["weights"]}
    assert lines == {("asset", "SPY"): "60", ("asset", "TLT"): "39.5", ("cash", None): "0.5"}
    assert shown["rebalance_conditions"] in (None, [])
    assert glider.world.get(v1(strategy_id)) == shown


def test_a_portfolio_of_v1_is_a_strategy_of_v2(glider: Glider) -> None:
    made = glider.world.portfolio(weights(SPY="60", TLT="30", cash="10"), band("5"))
    (shown,) = glider.page("/strategies")[0]
    assert shown["strategyId"] == ulid_of(made)
    assert weights_of(shown["allocation"]) == {asset("SPY"): 60, asset("TLT"): 30, CASH: 10}
    assert (shown["name"], shown["version"], shown["isPublic"]) == ("P", 1, False)
    assert shown["createdAt"] == glider.now()
    (version,) = glider.page(f"/strategies/{shown['strategyId']}/versions")[0]
    assert (version["version"], version["isHead"], version["changeLog"]) == (1, True, None)
    assert version["allocation"] == shown["allocation"]


@pytest.mark.parametrize(
    ("rule", "frequency", "interval_ms"),
    [
        (None, "daily", DAY_MS),
        (band("5"), "daily", DAY_MS),
        (calendar("weekly", "Friday"), "weekly", WEEK_MS),
        (calendar("monthly", "31"), "monthly", MONTH_MS),
        (calendar("quarterly", "1"), "daily", DAY_MS),
        (calendar("annually", "02-28"), "daily", DAY_MS),
    ],
)
def test_conditions_of_v1_are_shown_as_a_schedule(
    glider: Glider, rule: dict[str, str] | None, frequency: str, interval_ms: int
) -> None:
    made = glider.world.portfolio(weights(SPY="100"), *([] if rule is None else [rule]))
    schedule = {"type": "interval", "frequency": frequency}
    assert glider.get(f"/strategies/{ulid_of(made)}")["schedule"] == schedule
    assert glider.get(f"/strategies/{ulid_of(made)}/schedule") == schedule
    shown = glider.schedule(following(glider, glider.world.account(), made))
    assert (shown["frequency"], shown["intervalMs"], shown["status"]) == (frequency, interval_ms, "active")


def test_what_is_nested_is_shown_flat(glider: Glider) -> None:
    inner = glider.world.portfolio(weights(SPY="60", TLT="40"))
    nested = {"type": "portfolio", "portfolio_id": inner, "percent": "50"}
    body = {
        "name": "N",
        "description": "",
        "weights": [nested, *weights(GLD="40", SPY="10")],
        "cooldown_days": 0,
    }
    outer = ulid_of(glider.world.post(PORTFOLIOS, body)["id"])
    shown = glider.get(f"/strategies/{outer}")
    expected = {asset("SPY"): 40, asset("TLT"): 20, asset("GLD"): 40}
    assert weights_of(shown["allocation"]) == expected
    (listed,) = [each for each in glider.page("/strategies")[0] if each["strategyId"] == outer]
    assert listed == shown
    (version,) = glider.page(f"/strategies/{outer}/versions")[0]
    assert version["allocation"] == shown["allocation"]


def test_a_patch_of_v1_is_a_version_of_v2(glider: Glider) -> None:
    for strategy_id in (
        glider.strategy(),
        ulid_of(glider.world.portfolio(weights(SPY="100"))),
    ):
        glider.world.patch(v1(strategy_id), {"weights": weights(TLT="75", cash="25")})
        shown = glider.get(f"/strategies/{strategy_id}")
        assert shown["version"] == 2
        assert weights_of(shown["allocation"]) == {asset("TLT"): 75, CASH: 25}
        head, first = glider.page(f"/strategies/{strategy_id}/versions")[0]
        assert (head["version"], head["isHead"], head["changeLog"]) == (2, True, None)
        assert head["allocation"] == shown["allocation"]
        assert (first["version"], first["isHead"]) == (1, False)
        assert weights_of(first["allocation"]) == {asset("SPY"): 100}


def test_a_version_of_v2_is_what_v1_shows(glider: Glider) -> None:
    for strategy_id in (
        glider.strategy(),
        ulid_of(glider.world.portfolio(weights(SPY="100"), band("5"))),
    ):
        before = glider.world.get(v1(strategy_id))
        body = {"allocation": allocation(TLT="75", cash="25"), "changeLog": "by v2"}
        assert glider.post(f"/strategies/{strategy_id}/versions", body, expect=201)["version"] == 2
        after = glider.world.get(v1(strategy_id))
        lines = {(line["type"], line["symbol"]): line["percent"] for line in after["weights"]}
        assert lines == {("asset", "TLT"): "75", ("cash", None): "25"}
        assert after["rebalance_conditions"] == before["rebalance_conditions"]
        assert after["name"] == before["name"]


def test_names_go_both_ways(glider: Glider) -> None:
    strategy_id = glider.strategy()
    glider.patch(f"/strategies/{strategy_id}", {"name": "by v2", "description": "two"})
    shown = glider.world.get(v1(strategy_id))
    assert (shown["name"], shown["description"]) == ("by v2", "two")
    glider.world.patch(v1(strategy_id), {"name": "by v1", "description": "one"})
    shown = glider.get(f"/strategies/{strategy_id}")
    assert (shown["name"], shown["description"], shown["version"]) == ("by v1", "one", 1)


def test_versions_made_through_both_doors_at_once_have_numbers_of_their_own(glider: Glider) -> None:
    strategy_id = glider.strategy()
    path = f"/strategies/{strategy_id}/versions"

    def publish(number: int) -> None:
        percent, rest = str(number), str(100 - number)
        if number % 2:
            glider.post(path, {"allocation": allocation(SPY=percent, TLT=rest)}, expect=201)
        else:
            glider.world.patch(v1(strategy_id), {"weights": weights(SPY=percent, TLT=rest)})

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(publish, range(1, 13)))
    shown = glider.page(path)[0]
    assert [version["version"] for version in shown] == list(range(13, 0, -1))
    head = glider.world.get(v1(strategy_id))["weights"]
    lines = {asset(line["symbol"]): line["percent"] for line in head}
    assert lines == {line["assetId"]: line["weight"] for line in shown[0]["allocation"]["assets"]}


# Subscriptions.


def test_a_portfolio_of_v2_is_a_subscription_of_v1(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account("400"), glider.strategy()
    portfolio_id = glider.enroll(account_id, strategy_id)
    (shown,) = glider.world.get(SUBSCRIPTIONS)["subscriptions"]
    assert (shown["id"], shown["account_id"]) == (uuid_of(portfolio_id), account_id)
    assert (shown["portfolio_id"], shown["last_rebalanced_at"]) == (uuid_of(strategy_id), None)
    glider.world.settle()
    (shown,) = glider.world.get(SUBSCRIPTIONS)["subscriptions"]
    last = glider.schedule(portfolio_id)["lastRebalanceAt"]
    assert datetime.fromisoformat(shown["last_rebalanced_at"]) == instant(last) == glider.world.now()


def test_a_subscription_of_v1_is_a_portfolio_of_v2(both: Glider) -> None:
    account_id = both.world.account("400")
    made = both.world.portfolio(weights(SPY="100"), band("5"))
    portfolio_id = following(both, account_id, made)
    shown = both.detail(portfolio_id)
    owner = f"trimtab:paper:{account_id}"
    assert (shown["ownerAccountId"], shown["strategyId"]) == (owner, ulid_of(made))
    assert (shown["portfolioName"], shown["smartAccounts"]) == (None, [{"accountId": owner}])
    assert shown["schedule"]["lastRebalanceAt"] is None
    assert shown["createdAt"] == both.now()
    both.world.settle()
    (subscription,) = both.world.get(SUBSCRIPTIONS)["subscriptions"]
    last = both.schedule(portfolio_id)["lastRebalanceAt"]
    assert datetime.fromisoformat(subscription["last_rebalanced_at"]) == instant(last) == both.world.now()
    assert [each["portfolioId"] for each in both.page("/portfolios")[0]] == [portfolio_id]


def test_a_portfolio_without_a_calendar_rule_is_never_due(both: Glider) -> None:
    made = both.world.portfolio(weights(SPY="100"), band("5"))
    portfolio_id = following(both, both.world.account("400"), made)
    assert both.schedule(portfolio_id)["nextDueAt"] is None
    both.world.settle()
    assert both.schedule(portfolio_id)["nextDueAt"] is None


def test_a_calendar_rule_is_due_at_the_open_of_its_session(both: Glider) -> None:
    made = both.world.portfolio(weights(SPY="100"), calendar("weekly", "Friday"))
    portfolio_id = following(both, both.world.account("400"), made)
    both.world.settle()
    now = both.world.now()
    due_at = instant(both.schedule(portfolio_id)["nextDueAt"])
    there = due_at.astimezone(NEW_YORK)
    assert (there.hour, there.minute) == (9, 30)
    # It is Wednesday; on a Friday without trading the session before it fires.
    assert due_at - now < timedelta(days=2)
    assert there.weekday() in {3, 4}
    both.world.set_clock(due_at)
    both.world.settle()
    assert len(both.runs(portfolio_id)) == 2
    assert instant(both.schedule(portfolio_id)["nextDueAt"]) > due_at + timedelta(days=5)


def test_what_v2_pauses_v1_does_not_run(both: Glider) -> None:
    one, two = both.world.symbol("100"), both.world.symbol("100")
    made = both.world.portfolio(weights(**{one: "50", two: "50"}), band("5"))
    account_id = both.world.account("1000")
    portfolio_id = following(both, account_id, made)
    both.world.settle()
    both.post(f"/portfolios/{portfolio_id}/stop")
    both.world.set_prices({one: "300"})
    both.world.pay_in(account_id, "500")
    both.world.settle()
    assert len(both.runs(portfolio_id)) == 1
    both.post(f"/portfolios/{portfolio_id}/start")
    both.world.settle()
    assert len(both.runs(portfolio_id)) == 2


def test_a_portfolio_of_v1_may_be_triggered_by_v2(both: Glider) -> None:
    made = both.world.portfolio(weights(SPY="100"), band("5"), cooldown_days=31)
    account_id = both.world.account("400")
    portfolio_id = following(both, account_id, made)
    both.world.settle()
    assert both.too_soon(portfolio_id) == 60
    both.world.later(seconds=60)
    both.world.pay_in(account_id, "400")
    told = both.rebalance(portfolio_id)
    both.world.settle()
    assert both.state(portfolio_id, told["operationId"]) == "completed"
    assert both.world.held(account_id) == {"cash": "0", "SPY": "2"}


def test_what_v1_ends_is_gone_from_v2(glider: Glider) -> None:
    portfolio_id, other = glider.settled(), glider.portfolio()
    operation_id = glider.rebalance(portfolio_id)["operationId"]
    glider.world.delete(f"{SUBSCRIPTIONS}/{uuid_of(portfolio_id)}")
    path = f"/portfolios/{portfolio_id}"
    for method, target in (
        ("GET", path),
        ("PATCH", path),
        ("GET", f"{path}/positions"),
        ("GET", f"{path}/performance"),
        ("POST", f"{path}/start"),
        ("POST", f"{path}/stop"),
        ("POST", f"{path}/rebalance"),
        ("GET", f"{path}/operations/{operation_id}"),
    ):
        refusal = glider.refused(method, target, {} if method == "PATCH" else None, expect=404)
        assert (refusal.code, refusal.message) == ("API_006", f"Portfolio with ID {portfolio_id} not found")
    assert [each["portfolioId"] for each in glider.page("/portfolios")[0]] == [other]
    for status in ("active", "paused"):
        shown = glider.page("/portfolios", status=status)[0]
        assert [each["portfolioId"] for each in shown] == ([other] if status == "active" else [])


def test_the_hidden_strategy_of_a_run_is_hidden_from_both(glider: Glider) -> None:
    run_id = glider.world.run(glider.world.account("400"), weights(SPY="100"))
    hidden = glider.world.show_run(run_id)["portfolio_id"]
    assert glider.page("/strategies") == ([], None)
    assert glider.refused("GET", f"/strategies/{ulid_of(hidden)}", expect=404).code == "API_006"
    body = {
        "ownerAccountId": f"trimtab:paper:{glider.world.account()}",
        "strategyId": ulid_of(hidden),
        "chainIds": [],
    }
    assert glider.refused("POST", "/enroll/signature", body, expect=400).code == "API_400"


def test_who_follows_a_strategy_of_v2_by_v1_runs_at_any_hour(glider: Glider) -> None:
    now = glider.world.now()
    night = now.replace(hour=4, minute=0) + timedelta(days=1)
    glider.world.set_clock(night + timedelta(days=(5 - night.weekday()) % 7))
    account_id, strategy_id = glider.world.account("400"), glider.strategy(frequency="hourly")
    portfolio_id = following(glider, account_id, uuid_of(strategy_id))
    assert glider.schedule(portfolio_id)["nextDueAt"] == glider.now()
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "1"}
    glider.world.pay_in(account_id, "400")
    glider.world.later(hours=1)
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "2"}


def test_who_enrols_by_v2_in_a_portfolio_of_v1_follows_its_rules(both: Glider) -> None:
    one, two = both.world.symbol("100"), both.world.symbol("100")
    made = both.world.portfolio(weights(**{one: "50", two: "50"}), band("5"))
    account_id = both.world.account("1000")
    portfolio_id = both.enroll(account_id, ulid_of(made))
    assert both.schedule(portfolio_id)["nextDueAt"] is None
    both.world.settle()
    assert both.world.held(account_id) == {"cash": "0", one: "5", two: "5"}
    both.world.set_prices({one: "125"})
    both.world.settle()
    assert both.world.held(account_id) == {"cash": "0", one: "4.5", two: "5.625"}
    # At night New York is closed, also to whoever came in through the other door.
    both.world.later(hours=12)
    operation_id = both.rebalance(portfolio_id)["operationId"]
    both.world.settle()
    assert both.state(portfolio_id, operation_id) == "accepted"
    both.world.later(hours=12)
    both.world.settle()
    assert both.state(portfolio_id, operation_id) == "completed"


def test_a_portfolio_of_v1_that_is_given_a_schedule_runs_by_it(both: Glider) -> None:
    made = both.world.portfolio(weights(SPY="100"), calendar("weekly", "Friday"))
    account_id = both.world.account("400")
    portfolio_id = following(both, account_id, made)
    both.world.settle()
    both.put(f"/strategies/{ulid_of(made)}/schedule", {"type": "interval", "frequency": "hourly"})
    assert both.schedule(portfolio_id)["frequency"] == "hourly"
    both.world.pay_in(account_id, "400")
    for _ in range(2):
        both.world.later(hours=1)
        both.world.settle()
    assert both.world.held(account_id) == {"cash": "0", "SPY": "2"}
    due_at = both.schedule(portfolio_id)["nextDueAt"]
    assert timedelta() < instant(due_at) - both.world.now() <= timedelta(hours=1)


# Runs.


def open_runs(glider: Glider, account_id: str) -> list[str]:
    runs = glider.world.runs(account_id)
    return [run["id"] for run in runs if run["status"] in {"QUEUED", "IN_PROGRESS"}]


def asked_by(
    glider: Glider, portfolio_id: str, account_id: str
) -> tuple[Callable[[], httpx.Response], Callable[[], httpx.Response]]:
    """The two ways of asking for a run."""
    body = {"account_id": account_id, "type": "full_rebalance"}
    return (
        lambda: glider.world.http.post(RUNS, json=body),
        lambda: glider.send("POST", f"/portfolios/{portfolio_id}/rebalance"),
    )


def test_of_many_triggers_through_both_doors_one_run_is_made(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    account_id = glider.account_of(portfolio_id)
    glider.world.pay_in(account_id, "400")
    doors = asked_by(glider, portfolio_id, account_id)
    with ThreadPoolExecutor(TRIGGERS) as pool:
        answers = list(pool.map(lambda number: doors[number % 2](), range(TRIGGERS)))
    by_v1, by_v2 = answers[::2], answers[1::2]
    made = [answer.json()["id"] for answer in by_v1 if answer.status_code == 200]
    assert len(made) <= 1
    assert {answer.status_code for answer in by_v1} <= {200, 422}
    assert {answer.status_code for answer in by_v2} == {202}
    (run_id,) = {run_of(answer.json()["data"]["operationId"]) for answer in by_v2}
    assert made in ([], [run_id])
    assert open_runs(glider, account_id) == [run_id]
    assert len(glider.runs(portfolio_id)) == 2
    glider.world.settle()
    assert glider.world.held(account_id) == {"cash": "0", "SPY": "2"}


def test_of_many_enrolments_through_both_doors_one_is_made(glider: Glider) -> None:
    account_id, strategy_id = glider.world.account("400"), glider.strategy()
    stages = iter([glider.first_stage(account_id, strategy_id) for _ in range(6)])
    body = {"account_id": account_id, "portfolio_id": uuid_of(strategy_id)}

    def enrol(number: int) -> httpx.Response:
        if number % 2:
            return glider.send("POST", "/enroll", next(stages))
        return glider.world.http.post(SUBSCRIPTIONS, json=body)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(enrol, range(12)))
    assert sorted(answer.status_code for answer in answers if answer.status_code < 400) in ([200], [201])
    assert {answer.status_code for answer in answers} <= {200, 201, 409, 422}
    assert len(glider.world.get(SUBSCRIPTIONS)["subscriptions"]) == 1
    assert len(glider.page("/portfolios")[0]) == 1
    assert len(glider.world.runs(account_id)) == 1


def test_a_v1_run_of_a_portfolio_updates_both_last_times(glider: Glider) -> None:
    portfolio_id = glider.settled("400")
    glider.world.later(hours=1)
    glider.world.run(glider.account_of(portfolio_id))
    glider.world.settle()
    assert glider.schedule(portfolio_id)["lastRebalanceAt"] == glider.now()
    (shown,) = glider.world.get(SUBSCRIPTIONS)["subscriptions"]
    assert datetime.fromisoformat(shown["last_rebalanced_at"]) == glider.world.now()
