"""The sandbox's time: who sets it, that it never runs back, and that a script's result is always the same."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from tests.api.conftest import KINDS, NewWorld, StartServer
from tests.api.servers import answers_with, respawn, stop
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, band, calendar, weights

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MORNING = datetime(2026, 3, 4, 15, tzinfo=UTC)


@pytest.mark.parametrize("kind", KINDS)
def test_time_is_real_until_it_is_set_and_then_only_goes_on(
    kind: str, start_server: StartServer, new_world: NewWorld
) -> None:
    server = start_server(kind)
    world = new_world(server)
    shown = world.get("/sandbox/clock")
    assert shown["simulated"] is False
    assert abs(datetime.now(UTC) - datetime.fromisoformat(shown["now"])) < timedelta(minutes=1)

    def put(now: str, *, expect: int = 200) -> Json:
        return world.put("/sandbox/clock", {"now": now}, expect=expect)

    old = {"now": "2008-01-02T15:00:00Z", "simulated": True}
    assert put("2008-01-02T15:00:00Z") == old
    assert world.get("/sandbox/clock") == old
    assert put("2008-01-02T10:00:00-05:00") == old
    refused = put("2008-01-02T14:59:59.999999Z", expect=422)
    assert refused["code"] == 42210000
    assert refused["message"] == "the clock shows 2008-01-02T15:00:00+00:00 and cannot be set back"
    assert world.get("/sandbox/clock") == old
    later = put("2008-01-02T15:00:00.000001Z")
    assert later == {"now": "2008-01-02T15:00:00.000001Z", "simulated": True}

    stop(server)
    assert server.process.returncode == 0
    respawn(server)
    assert answers_with(server, 200)
    assert world.get("/sandbox/clock") == later
    assert put("2008-01-02T15:00:00Z", expect=422)["code"] == 42210000


def test_a_time_that_is_taken_lets_everything_be_decided(
    start_server: StartServer, new_world: NewWorld
) -> None:
    """At the first hour that the clock takes: whatever needs sessions before or after finds them."""
    world = new_world(start_server("sqlite"))
    first = next(
        now
        for now in ("1990-01-01T15:00:00Z", "1990-01-02T15:00:00Z", "1990-01-03T15:00:00Z")
        if world.http.put("/sandbox/clock", json={"now": now}).status_code == 200
    )
    world.put("/sandbox/prices", {"SPY": "400"})
    account_id = world.account("400")
    rule = calendar("monthly", "31")
    world.subscribe(account_id, world.portfolio(weights(SPY="100"), rule, band("5")))
    world.settle()
    world.put("/sandbox/clock", {"now": first.replace("1990", "1991")})
    world.settle()
    assert world.held(account_id) == {"cash": "0", "SPY": "1"}


@pytest.mark.parametrize("kind", KINDS)
def test_work_under_way_is_carried_on_after_a_kill(
    kind: str, start_server: StartServer, new_world: NewWorld
) -> None:
    server = start_server(kind)
    world = new_world(server)
    world.open_market()
    working, queued = world.account("0", SPY="2"), world.account("400")
    run_id = world.run(working, weights(SPY="50", TLT="50"))
    world.set_faults(fill_delay_s=60)
    world.settle()
    world.subscribe(queued, world.portfolio(weights(SPY="100")))
    server.process.kill()
    server.process.wait()
    respawn(server)
    assert answers_with(server, 200)
    assert world.show_run(run_id)["status"] == "IN_PROGRESS"
    for _ in range(2):
        world.later(seconds=60)
        world.settle()
    assert world.held(working) == {"cash": "0", "SPY": "1", "TLT": "4"}
    assert world.held(queued) == {"cash": "0", "SPY": "1"}
    assert world.show_run(run_id)["status"] == "COMPLETED_SUCCESS"


def without_ids(told: list[Json]) -> str:
    """What was told, with each id replaced by the order of its first appearance."""
    numbers: dict[str, str] = {}
    numbering = count(1)

    def number(found: re.Match[str]) -> str:
        if found[0] not in numbers:
            numbers[found[0]] = f"id {next(numbering)}"
        return numbers[found[0]]

    return ID.sub(number, "\n".join(json.dumps(each) for each in told))


def script(world: World, **faults: Json) -> list[Json]:
    """A month at a broker, with everything that was answered on the way."""
    world.put("/sandbox/clock", {"now": MORNING.isoformat()})
    symbols = {"AAA": "10", "BBB": "33.33", "CCC": "412.07", "DDD": "0.517"}
    told: list[Json] = [world.set_prices(symbols), world.put("/sandbox/faults", faults)]
    spread = weights(AAA="33.33", BBB="33.33", CCC="33.34")
    banded = world.portfolio(spread, band("2"), cooldown_days=3)
    weekly = world.portfolio(weights(cash="5", BBB="60", DDD="35"), calendar("weekly", "Friday"))
    for number in range(6):
        account_id = world.account(f"{1000 + 137 * number}.{number:02d}", AAA=f"{number + 1}.5")
        world.subscribe(account_id, banded if number % 2 else weekly)
    world.run(world.account("77.77", CCC="1.25"), weights(AAA="50", DDD="50"))
    for day in range(1, 8):
        told.append(world.settle())
        world.later(hours=1)
        told.append(world.settle())
        world.put("/sandbox/clock", {"now": (MORNING + timedelta(days=day)).isoformat()})
        moves = {"AAA": f"{10 + day * 0.41:.2f}", "CCC": f"{412.07 - day * 11.3:.2f}"}
        told.append(world.set_prices(moves))
        if day == 5:
            told += [world.pay_in(account_id, "50") for account_id in list(world.worth)[:3]]
    told += [world.get(path) for path in (PORTFOLIOS, SUBSCRIPTIONS, RUNS, "/sandbox/orders")]
    told += [world.show(account_id) for account_id in world.worth]
    return told


def test_the_same_script_is_answered_the_same_but_for_ids(
    start_server: StartServer, new_world: NewWorld
) -> None:
    """On both kinds of database, at that."""
    one, other = (without_ids(script(new_world(start_server(kind)))) for kind in KINDS)
    assert one.splitlines() == other.splitlines()


def test_chance_with_the_same_seed_hits_the_same(start_server: StartServer, new_world: NewWorld) -> None:
    faults: dict[str, Json] = {"partial_fill": 0.5, "lost_reply": 0.3, "fill_delay_s": 5, "seed": 7}
    one, other = (without_ids(script(new_world(start_server("sqlite")), **faults)) for _ in range(2))
    assert one.splitlines() == other.splitlines()
