"""Servers of the tests' own: two of one database, one with other settings, killed ones, and one without a
sandbox.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from tests.api.conftest import Databases
from tests.api.glider.client import (
    Glider,
    Json,
    allocation,
    anonymous,
    assert_failure,
    assert_success,
    new_wallet,
    run_of,
    some_portfolio_id,
    wallet_first_stage,
)
from tests.api.glider.conftest import NewGlider
from tests.api.glider.test_rebalance import cancelled, timed_out
from tests.api.glider.test_schedules import (
    SECOND,
    assert_runs_once_an_interval,
    due,
    follower,
    interval,
    settled_count,
)
from tests.api.servers import NO_TLS, Server, answers_with, audit, respawn, running
from tests.api.test_keys import within_one_minute
from tests.api.world import RUNS, World, make_key
from trimtab.database import open_database

TRIGGERS = 32
QUICK_S = 5
REQUESTS_A_MINUTE = 300
DONE_WITHIN_S = 30


def assert_audited(server: Server) -> None:
    found = audit(server)
    assert found.returncode == 0, f"what the tests left behind breaks an invariant:\n{found.stdout}"


@pytest.fixture(scope="module")
def servers(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Two servers of one PostgreSQL database."""
    with (
        databases("postgres") as url,
        running(url, tmp_path_factory.mktemp("first")) as first,
        running(url, tmp_path_factory.mktemp("second")) as second,
    ):
        yield first, second
        assert_audited(first)


@pytest.fixture
def pair(servers: tuple[Server, Server], new_glider: NewGlider) -> Iterator[tuple[Glider, Glider]]:
    """One tenant, one key, two doors."""
    one = new_glider(servers[0])
    with httpx.Client(base_url=servers[1].url, timeout=60, verify=NO_TLS) as http:
        yield one, replace(one, http=http)


def in_turns(pair: tuple[Glider, Glider], path: str, bodies: list[Json]) -> list[httpx.Response]:
    """What posts at one moment are answered, shared out between the doors."""

    def send(number: int) -> httpx.Response:
        return pair[number % 2].send("POST", path, bodies[number])

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, range(len(bodies))))


def test_triggers_at_two_servers_make_one_run(pair: tuple[Glider, Glider]) -> None:
    one, two = pair
    portfolio_id = one.settled()
    answers = in_turns(pair, f"/portfolios/{portfolio_id}/rebalance", [None] * TRIGGERS)
    assert [answer.status_code for answer in answers] == [202] * TRIGGERS
    told = [assert_success(answer)["data"] for answer in answers]
    assert told == [told[0]] * TRIGGERS
    assert two.state(portfolio_id, told[0]["operationId"]) == "accepted"
    assert [run["id"] for run in one.runs(portfolio_id)][1:] == [run_of(told[0]["operationId"])]


def test_triggers_at_two_servers_and_both_dialects_make_one_run(pair: tuple[Glider, Glider]) -> None:
    one, two = pair
    portfolio_id = one.settled()
    account_id = one.account_of(portfolio_id)
    body = {"account_id": account_id, "type": "full_rebalance"}

    def ask(number: int) -> httpx.Response:
        if number % 2:
            return one.world.http.post(RUNS, json=body)
        return two.send("POST", f"/portfolios/{portfolio_id}/rebalance")

    with ThreadPoolExecutor(TRIGGERS) as pool:
        answers = list(pool.map(ask, range(TRIGGERS)))
    assert {answer.status_code for answer in answers[::2]} == {202}
    assert {answer.status_code for answer in answers[1::2]} <= {200, 422}
    (run_id,) = {run_of(answer.json()["data"]["operationId"]) for answer in answers[::2]}
    assert [run["id"] for run in one.runs(portfolio_id)][1:] == [run_id]


def test_stages_at_two_servers_enrol_once(pair: tuple[Glider, Glider]) -> None:
    one, two = pair
    strategy_id = one.strategy()
    for body in (
        one.first_stage(one.world.account("400"), strategy_id),
        wallet_first_stage(one, new_wallet(), strategy_id=strategy_id),
    ):
        answers = in_turns(pair, "/enroll", [body] * 12)
        made = {answer.content for answer in answers if answer.status_code == 201}
        assert len(made) == 1
        others = [answer.json() for answer in answers if answer.status_code != 201]
        assert {other["error"]["code"] for other in others} <= {"API_007"}
        assert two.call("POST", "/enroll", body, expect=201).content in made
    assert len(two.page("/portfolios")[0]) == 2


def test_versions_published_at_two_servers_have_numbers_of_their_own(pair: tuple[Glider, Glider]) -> None:
    strategy_id = pair[0].strategy()
    path = f"/strategies/{strategy_id}/versions"
    bodies = [{"allocation": allocation(SPY=str(n), TLT=str(100 - n))} for n in range(1, 17)]
    answers = in_turns(pair, path, bodies)
    published = [assert_success(answer)["data"]["version"] for answer in answers]
    assert sorted(published) == list(range(2, 18))
    assert [version["version"] for version in pair[1].page(path)[0]] == list(range(17, 0, -1))


# A server with settings of its own.


@pytest.fixture(scope="module")
def quick_server(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a short cooldown, which only runs that completed start, and little patience."""
    settings = {
        "TRIMTAB_V2_COOLDOWN_S": str(QUICK_S),
        "TRIMTAB_V2_COOLDOWN_AFTER_FAILURE": "0",
        "TRIMTAB_RATE_LIMIT": str(REQUESTS_A_MINUTE),
    }
    with (
        databases("sqlite") as url,
        running(url, tmp_path_factory.mktemp("quick"), **settings) as started,
    ):
        yield started
        assert_audited(started)


@pytest.fixture
def quick(quick_server: Server, new_glider: NewGlider) -> Glider:
    return new_glider(quick_server)


def test_by_a_setting_only_what_completed_starts_the_cooldown(quick: Glider) -> None:
    for end in (cancelled, timed_out):
        portfolio_id = end(quick)
        quick.rebalance(portfolio_id)
        quick.world.set_faults()
        quick.world.settle()
        assert quick.too_soon(portfolio_id) == QUICK_S


def test_a_failure_does_not_hide_the_cooldown_of_the_run_before_it(quick: Glider) -> None:
    portfolio_id = quick.portfolio()
    quick.world.settle()
    quick.world.later(seconds=2)
    quick.world.delete(f"{RUNS}/{quick.world.run(quick.account_of(portfolio_id))}")
    assert quick.too_soon(portfolio_id) == QUICK_S - 2


def test_the_length_of_the_cooldown_is_a_setting(quick: Glider) -> None:
    portfolio_id = quick.portfolio()
    quick.world.settle()
    assert quick.too_soon(portfolio_id) == QUICK_S
    quick.world.later(milliseconds=QUICK_S * 1000 - 1)
    assert quick.too_soon(portfolio_id) == 1
    quick.world.later(milliseconds=1)
    quick.rebalance(portfolio_id)


def test_a_key_that_asks_too_often_is_told_to_wait(quick: Glider) -> None:
    db = quick.world.db
    busy, calm = (quick.with_key(make_key(db, name).api_key) for name in ("busy", "calm"))
    with within_one_minute():
        statuses = [busy.send("GET", "/whoami").status_code for _ in range(REQUESTS_A_MINUTE)]
        assert statuses == [200] * REQUESTS_A_MINUTE
        refused = [busy.send("GET", path) for path in ("/whoami", "/portfolios")]
        refused.append(busy.send("POST", f"/portfolios/{some_portfolio_id()}/rebalance"))
        for answer in refused:
            assert (answer.status_code, assert_failure(answer)["code"]) == (429, "API_004")
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert answer.headers["X-RateLimit-Remaining"] == "0"
            assert answer.headers["X-RateLimit-Limit"] == str(REQUESTS_A_MINUTE)
        assert busy.send("GET", "/nonsense/x").status_code in {404, 429}
        assert calm.get("/whoami")


def test_a_month_is_thirty_days(quick: Glider) -> None:
    """At a server whose clock may go far ahead, which would take other tests to holidays."""
    assert_runs_once_an_interval(quick, "monthly")
    enrolled_at = quick.world.now()
    portfolio_id = follower(quick, "monthly")
    quick.world.set_clock(enrolled_at + 2 * interval("monthly"))
    assert settled_count(quick, portfolio_id) == 2
    assert due(quick, portfolio_id) == enrolled_at + 3 * interval("monthly")


def test_forty_thousand_hours_that_nobody_saw_are_caught_up_once(quick: Glider) -> None:
    enrolled_at = quick.world.now()
    portfolio_id = follower(quick, "hourly")
    quick.world.set_clock(enrolled_at + 40_000 * interval("hourly") + SECOND)
    assert settled_count(quick, portfolio_id) == 2
    assert due(quick, portfolio_id) == enrolled_at + 40_001 * interval("hourly")


# Servers that end.


def assert_kept_after_a_kill(glider: Glider, cooldown_s: int) -> None:
    """What was promised before is promised by the next process."""
    server, strategy_id = glider.world.server, glider.strategy()
    cooling = glider.portfolio()
    glider.world.settle()
    body = glider.first_stage(glider.world.account("400"), strategy_id)
    begun = wallet_first_stage(glider, new_wallet(), strategy_id=strategy_id)
    enrolled = glider.call("POST", "/enroll", body, expect=201)
    portfolio_id = enrolled.json()["data"]["portfolioId"]
    told = glider.rebalance(portfolio_id)
    page, cursor = glider.page("/portfolios", limit=1)
    server.process.kill()
    server.process.wait()
    respawn(server)
    assert answers_with(server, 200)
    assert glider.rebalance(portfolio_id) == told
    assert glider.state(portfolio_id, told["operationId"]) == "accepted"
    assert glider.too_soon(cooling) == cooldown_s
    assert glider.call("POST", "/enroll", body, expect=201).content == enrolled.content
    assert cursor is not None
    rest = glider.page("/portfolios", cursor=cursor)[0]
    assert {each["portfolioId"] for each in page + rest} == {cooling, portfolio_id}
    assert glider.post("/enroll", begun, expect=201)["portfolioId"]
    glider.world.settle()
    assert glider.state(portfolio_id, told["operationId"]) == "completed"


def test_what_was_promised_is_kept_after_a_kill_on_sqlite(quick: Glider) -> None:
    assert_kept_after_a_kill(quick, QUICK_S)


def test_what_was_promised_is_kept_after_a_kill_on_postgres(pair: tuple[Glider, Glider]) -> None:
    assert_kept_after_a_kill(pair[0], 60)


def test_without_a_sandbox_runs_are_worked_by_themselves(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In real time, and only for wallets: their accounts are opened by enrolling."""
    with (
        databases("sqlite") as url,
        running(url, tmp_path_factory.mktemp("real"), TRIMTAB_SANDBOX="0") as server,
        closing(open_database(url)) as db,
    ):
        key = make_key(db, "real")
        with httpx.Client(base_url=server.url, timeout=60, verify=NO_TLS) as http:
            world = World(server=server, db=db, key=key, http=http)
            with anonymous(world) as door:
                glider = Glider(world=world, http=door, key=key.api_key)
                strategy_id = glider.strategy(cash="100")
                body = wallet_first_stage(glider, new_wallet(), strategy_id=strategy_id)
                portfolio_id = glider.post("/enroll", body, expect=201)["portfolioId"]
                operation_id = glider.rebalance(portfolio_id)["operationId"]
                deadline = time.monotonic() + DONE_WITHIN_S
                while glider.state(portfolio_id, operation_id) != "completed":
                    assert time.monotonic() < deadline, "nobody worked the run"
                assert 1 <= glider.too_soon(portfolio_id) <= 60
                assert glider.get(f"/portfolios/{portfolio_id}/positions")["warnings"] == []
        assert not server.unforeseen()
        assert_audited(server)
