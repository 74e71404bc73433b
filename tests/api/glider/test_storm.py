"""Everybody at once: triggers, cancels, pauses, new versions and settling, through both dialects.

Who wins is chance; what is answered, that no account ever has two open runs, and that everything ends,
is not.
"""

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.glider.client import Glider, allocation, run_of, uuid_of
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, weights

PEOPLE = 10
DEEDS = 25
FINAL = {"COMPLETED_SUCCESS", "COMPLETED_ADJUSTED", "CANCELED", "CANCELED_MID_RUN", "TIMEOUT"}

Deed = Callable[[random.Random], httpx.Response | None]


def deeds(glider: Glider, portfolios: dict[str, str], *, strategy_id: str) -> list[Deed]:
    """What anybody may do at any time; `portfolios` maps them to their accounts."""
    known = sorted(portfolios)
    world = glider.world

    def post(action: str) -> Deed:
        return lambda chance: glider.send("POST", f"/portfolios/{chance.choice(known)}/{action}")

    def trigger_by_v1(chance: random.Random) -> httpx.Response:
        account_id = portfolios[chance.choice(known)]
        kind = chance.choice(["full_rebalance", "invest_cash"])
        return world.http.post(RUNS, json={"account_id": account_id, "type": kind})

    def cancel(chance: random.Random) -> httpx.Response:
        run = world.runs(portfolios[chance.choice(known)])[-1]
        return world.http.delete(f"{RUNS}/{run['id']}")

    def publish(chance: random.Random) -> httpx.Response:
        percent = chance.randrange(1, 100)
        if chance.random() < 0.3:
            body = {"weights": weights(SPY=str(percent), TLT=str(100 - percent))}
            return world.http.patch(f"{PORTFOLIOS}/{uuid_of(strategy_id)}", json=body)
        body = {"allocation": allocation(SPY=str(percent), TLT=str(100 - percent))}
        return glider.send("POST", f"/strategies/{strategy_id}/versions", body)

    def reschedule(chance: random.Random) -> httpx.Response:
        frequency = chance.choice(["hourly", "daily", "weekly"])
        body = {"type": "interval", "frequency": frequency}
        return glider.send("PUT", f"/strategies/{strategy_id}/schedule", body)

    def poll(chance: random.Random) -> httpx.Response | None:
        portfolio_id = chance.choice(known)
        answer = glider.send("POST", f"/portfolios/{portfolio_id}/rebalance")
        if answer.status_code == 202:
            operation_id = answer.json()["data"]["operationId"]
            assert glider.operation(portfolio_id, operation_id)["portfolioId"] == portfolio_id
        return answer

    def look(chance: random.Random) -> None:
        runs = world.runs(portfolios[chance.choice(known)])
        assert len([run for run in runs if run["status"] not in FINAL]) <= 1
        glider.get(f"/portfolios/{chance.choice(known)}/{chance.choice(['positions', 'performance'])}")

    def settle(chance: random.Random) -> httpx.Response:
        return world.http.post("/sandbox/settle")

    rare: list[Deed] = [publish, reschedule, settle]
    return [post("rebalance"), post("start"), post("stop"), trigger_by_v1, cancel, poll, look, *rare]


def test_whatever_happens_at_once_one_run_is_open_and_all_of_them_end(glider: Glider) -> None:
    assert_survived(glider, seed=1, count=DEEDS)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2, 10))
def test_whatever_else_happens_at_once_ends_too(glider: Glider, seed: int) -> None:
    assert_survived(glider, seed=seed, count=4 * DEEDS)


def assert_survived(glider: Glider, *, seed: int, count: int) -> None:
    """Many do this many deeds each, three times; then everything comes to its end."""
    strategy_id = glider.strategy(frequency="hourly", SPY="50", TLT="50")
    accounts = [glider.world.account(f"{100 * number}", SPY="1") for number in range(1, 5)]
    portfolios = {glider.enroll(account_id, strategy_id): account_id for account_id in accounts}
    glider.world.settle()
    possible = deeds(glider, portfolios, strategy_id=strategy_id)

    def act(person: int) -> Counter[int]:
        chance, seen = random.Random(f"{seed} {person}"), Counter[int]()
        for _ in range(count):
            if (answer := chance.choice(possible)(chance)) is not None:
                seen[answer.status_code] += 1
        return seen

    seen = Counter[int]()
    with ThreadPoolExecutor(PEOPLE) as pool:
        for minutes in (1, 59, 61):
            glider.world.set_faults(fill_delay_s=30, partial_fill=0.3, lost_reply=0.2, seed=seed)
            glider.world.later(minutes=minutes)
            for counted in pool.map(act, range(PEOPLE)):
                seen += counted
    assert set(seen) <= {200, 201, 202, 204, 422, 429}
    assert {200, 202, 429} <= set(seen)
    glider.world.set_faults()
    for portfolio_id in portfolios:
        glider.post(f"/portfolios/{portfolio_id}/start")
    for _ in range(6):
        glider.world.settle()
        glider.world.later(seconds=60)
    versions = glider.all(f"/strategies/{strategy_id}/versions")
    assert [version["version"] for version in versions] == list(range(len(versions), 0, -1))
    for portfolio_id, account_id in portfolios.items():
        assert {run["status"] for run in glider.world.runs(account_id)} <= FINAL
        told = glider.rebalance(portfolio_id)
        glider.world.settle()
        assert glider.state(portfolio_id, told["operationId"]) == "completed"
        run = glider.world.show_run(run_of(told["operationId"]))
        assert {line["percent"] for line in run["weights"]} == {
            line["weight"] for line in versions[0]["allocation"]["assets"]
        }
    assert len(glider.world.get(SUBSCRIPTIONS)["subscriptions"]) == len(portfolios)
