"""Idempotency-Key on what acts under /v1: one effect and one answer, whoever asks again and when.

The outcomes are those of the stated rule: same key and body, the first answer again; another body, 422;
still running, 409; kept for 24 hours; whole after a crash between effect and answer.
"""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.api import mortal_server
from tests.api.conftest import NewWorld, StartServer
from tests.api.servers import NO_TLS, Server, answers_with, audit, respawn
from tests.api.test_keys import within_one_minute
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, make_key, weights
from trimtab.database import sqlite_path

REPLAYED = "idempotency-replayed"
CLIENTS = 32
DAY = timedelta(hours=24)
MICROSECOND = timedelta(microseconds=1)

REUSED = (42210008, "idempotency key was used with another body")
RUNNING = (40910000, "the first request with this idempotency key is still running")
BAD_KEY = (40010001, "Idempotency-Key: must be 1 to 255 printable ASCII characters")
DOWN = (50310000, "the broker does not answer")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request that acts; `makes` counts what it adds to portfolios, subscriptions and runs. `other` is a
    body that the same key may not carry, `meanwhile` makes the first answer, given to it, an old one.
    """

    method: str
    path: str
    body: Json
    other: Json
    makes: tuple[int, int, int]
    meanwhile: Callable[[Json], object]


def new_key() -> str:
    return f"key {uuid4()}"


def send(world: World, ask: Ask, key: str | None, **options: Json) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return world.http.request(ask.method, ask.path, json=ask.body, headers=headers, **options)


def first(world: World, ask: Ask, key: str, *, status: int = 200) -> httpx.Response:
    answer = send(world, ask, key)
    assert answer.status_code == status, answer.text
    assert REPLAYED not in answer.headers
    return answer


def assert_replayed(again: httpx.Response, before: httpx.Response) -> None:
    assert (again.status_code, again.content) == (before.status_code, before.content)
    assert again.headers["content-type"] == before.headers["content-type"] == "application/json"
    assert again.headers[REPLAYED] == "true"


def assert_refused(answer: httpx.Response, status: int, *, told: tuple[int, str]) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json() == {"code": told[0], "message": told[1]}
    assert REPLAYED not in answer.headers


def everything(world: World) -> Json:
    listed = [world.get(path, limit=1000) for path in (PORTFOLIOS, SUBSCRIPTIONS, RUNS)]
    return [listed[0], listed[1]["subscriptions"], listed[2]["runs"]]


def made(before: Json, after: Json) -> tuple[int, ...]:
    """How many portfolios, subscriptions and runs came between two looks at everything."""
    assert before != after
    return tuple(len(now) - len(then) for then, now in zip(before, after, strict=True))


def portfolio_body(**changes: Json) -> Json:
    return {
        "name": "P",
        "description": "",
        "weights": weights(SPY="100"),
        "cooldown_days": 5,
        "rebalance_conditions": [],
    } | changes


# One request of each route.


def a_portfolio(world: World) -> Ask:
    return Ask(
        method="POST",
        path=PORTFOLIOS,
        body=portfolio_body(),
        other=portfolio_body(name="Q"),
        makes=(1, 0, 0),
        meanwhile=lambda shown: world.delete(f"{PORTFOLIOS}/{shown['id']}"),
    )


def a_change(world: World) -> Ask:
    path = f"{PORTFOLIOS}/{world.portfolio(weights(SPY='100'))}"
    return Ask(
        method="PATCH",
        path=path,
        body={"name": "second"},
        other={"name": "other"},
        makes=(0, 0, 0),
        meanwhile=lambda _: world.patch(path, {"name": "third"}),
    )


def a_subscription(world: World) -> Ask:
    one, two = (world.portfolio(weights(SPY="100")) for _ in range(2))
    account_id = world.account("400")
    return Ask(
        method="POST",
        path=SUBSCRIPTIONS,
        body={"account_id": account_id, "portfolio_id": one},
        other={"account_id": account_id, "portfolio_id": two},
        makes=(0, 1, 1),
        meanwhile=lambda shown: world.delete(f"{SUBSCRIPTIONS}/{shown['id']}"),
    )


def a_run(world: World) -> Ask:
    body = {"account_id": world.account("400"), "type": "full_rebalance"}
    return Ask(
        method="POST",
        path=RUNS,
        body=body | {"weights": weights(SPY="100")},
        other=body | {"weights": weights(TLT="100")},
        makes=(0, 0, 1),
        meanwhile=lambda _: world.settle(),
    )


NewAsk = Callable[[World], Ask]
NEW_ASKS: tuple[NewAsk, ...] = (a_portfolio, a_change, a_subscription, a_run)
every_route = pytest.mark.parametrize("new_ask", NEW_ASKS)


@every_route
def test_the_same_request_gets_its_first_answer_again_and_acts_once(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    before = everything(world)
    answer = first(world, ask, key)
    assert made(before, everything(world)) == ask.makes
    ask.meanwhile(answer.json())
    after = everything(world)
    for _ in range(2):
        assert_replayed(send(world, ask, key), answer)
    assert everything(world) == after


@every_route
def test_another_body_under_the_same_key_is_refused_and_changes_nothing(
    world: World, new_ask: NewAsk
) -> None:
    ask, key = new_ask(world), new_key()
    answer = first(world, ask, key)
    after = everything(world)
    bodies: list[Json] = [ask.other, {}, ask.body | {"more": 1}]
    for body in bodies:
        assert_refused(send(world, replace(ask, body=body), key), 422, told=REUSED)
    assert everything(world) == after
    assert_replayed(send(world, ask, key), answer)


@every_route
def test_what_is_no_body_is_told_so_and_is_not_kept(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    for content in (b"{", b"[]", b'{"a":1,"a":2}'):
        answer = world.http.request(ask.method, ask.path, content=content, headers=headers)
        assert_refused(answer, 400, told=(40010000, "failed to decode request body"))
    answer = world.http.request(
        ask.method, ask.path, content=b"{}", headers=headers | {"Content-Type": "text/plain"}
    )
    assert_refused(answer, 415, told=(41510000, "unsupported media type"))
    answer = first(world, ask, key)
    assert_replayed(send(world, ask, key), answer)


@every_route
def test_a_malformed_request_is_refused_again_in_the_same_words(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    # A malformed id is 422, any other malformed value 400.
    field_of_it, status = ("account_id", 422) if "account_id" in ask.body else ("name", 400)
    bad = replace(ask, body=ask.body | {field_of_it: 5})
    refused = first(world, bad, key, status=status)
    assert_replayed(send(world, bad, key), refused)
    assert_refused(send(world, ask, key), 422, told=REUSED)
    first(world, ask, new_key())


def untradable(world: World) -> tuple[Json, Callable[[], object]]:
    symbol = world.symbol("10")
    path = f"/sandbox/assets/{symbol}"
    world.put(path, {"tradable": False})
    return weights(**{symbol: "100"}), lambda: world.put(path, {"tradable": True})


def suspended(world: World, account_id: str) -> Callable[[], object]:
    path = f"/sandbox/accounts/{account_id}"
    world.put(path, {"status": "INACTIVE"})
    return lambda: world.put(path, {"status": "ACTIVE"})


@every_route
def test_a_refusal_stands_though_its_cause_is_gone(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    if "account_id" in ask.body:
        mend = suspended(world, ask.body["account_id"])
    else:
        listed, mend = untradable(world)
        ask = replace(ask, body=ask.body | {"weights": listed})
    refused = first(world, ask, key, status=422)
    mend()
    before = everything(world)
    assert_replayed(send(world, ask, key), refused)
    assert everything(world) == before
    first(world, ask, new_key())


@pytest.mark.parametrize("new_ask", [a_portfolio, a_subscription, a_run])
def test_what_fails_for_a_reason_of_ours_may_be_tried_again(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    world.set_faults(outage=True)
    for _ in range(2):
        assert_refused(send(world, ask, key), 503, told=DOWN)
    world.set_faults()
    answer = first(world, ask, key)
    assert_replayed(send(world, ask, key), answer)


@every_route
def test_who_may_not_ask_is_told_so_and_spends_no_key(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    reader = make_key(world.db, f"tenant {uuid4()}", scopes=frozenset({"portfolios:read"}))
    unknown = (world.key.key_id, "wrong")
    assert_refused(send(world, ask, key, auth=unknown), 401, told=(40110000, "unauthorized"))
    forbidden = send(world, ask, key, auth=(reader.key_id, reader.secret))
    assert_refused(forbidden, 403, told=(40310000, "forbidden"))
    answer = first(world, ask, key)
    assert_refused(send(world, ask, key, auth=unknown), 401, told=(40110000, "unauthorized"))
    assert_replayed(send(world, ask, key), answer)


@every_route
def test_a_key_that_is_none_is_refused(world: World, new_ask: NewAsk) -> None:
    ask = new_ask(world)
    before = everything(world)
    for key in ("", "k" * 256, "a\tb", "ü", "k" * 254 + "ü"):
        headers = {b"Idempotency-Key": key.encode("latin-1")}
        answer = world.http.request(ask.method, ask.path, json=ask.body, headers=headers)
        assert_refused(answer, 400, told=BAD_KEY)
    assert everything(world) == before


def test_two_keys_are_none(world: World) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    answer = world.http.post(PORTFOLIOS, json=portfolio_body(), headers=headers)
    assert_refused(answer, 400, told=BAD_KEY)


@pytest.mark.parametrize("key", ["k", "k" * 255, "' OR 1=1; --", '~ !"#%'])
def test_any_printable_key_will_do(world: World, key: str) -> None:
    ask = a_portfolio(world)
    answer = first(world, ask, key)
    assert_replayed(send(world, ask, key), answer)


def test_what_only_reads_or_deletes_ignores_the_key(world: World) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    path = f"{PORTFOLIOS}/{portfolio_id}"
    headers = {"Idempotency-Key": "k" * 256}
    assert world.http.get(path, headers=headers).status_code == 200
    statuses = [world.http.delete(path, headers=headers).status_code for _ in range(2)]
    assert statuses == [204, 422]


def test_without_a_key_every_request_acts(world: World) -> None:
    ask = a_portfolio(world)
    ids = {send(world, ask, None).json()["id"] for _ in range(2)}
    assert len(ids) == 2


# What makes two requests the same.


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ('{"name":"A","cooldown_days":5}', '{ "cooldown_days": 5,\n"name": "\\u0041" }', True),
        ('{"name":"A","cooldown_days":5}', '{"name":"A","cooldown_days":"5"}', False),
        ('{"name":"A","cooldown_days":5}', '{"name":"A","cooldown_days":6}', False),
        ('{"name":"A"}', '{"name":"A","cooldown_days":null}', False),
    ],
)
def test_bodies_are_the_same_if_they_say_the_same(world: World, one: str, two: str, same: bool) -> None:  # noqa: FBT001 - a column
    path = f"{PORTFOLIOS}/{world.portfolio(weights(SPY='100'))}"
    headers = {"Idempotency-Key": new_key(), "Content-Type": "application/json"}
    answers = [world.http.patch(path, content=text, headers=headers) for text in (one, two)]
    assert answers[0].status_code == 200
    if same:
        assert_replayed(answers[1], answers[0])
    else:
        assert_refused(answers[1], 422, told=REUSED)


def test_one_path_has_several_spellings(world: World) -> None:
    ask, key = a_change(world), new_key()
    answer = first(world, ask, key)
    shouted = ask.path.replace(ask.path.rpartition("/")[2], ask.path.rpartition("/")[2].upper())
    for path in (ask.path.replace("/v1/", "/v1/beta/"), shouted):
        assert_replayed(send(world, replace(ask, path=path), key), answer)


def test_each_path_tenant_and_api_key_has_keys_of_its_own(world: World, other: World) -> None:
    key = new_key()
    asks = [a_portfolio(world), a_change(world), a_change(world), a_subscription(world), a_run(world)]
    answers = [first(world, ask, key) for ask in asks]
    foreign = first(other, a_portfolio(other), key)
    name = world.db.read(
        lambda tx: tx.rows("SELECT name FROM tenants WHERE id = :id", id=world.key.tenant_id)
    )
    second = make_key(world.db, name[0]["name"])
    assert second.tenant_id == world.key.tenant_id
    by_second = send(world, asks[0], key, auth=(second.key_id, second.secret))
    assert (by_second.status_code, REPLAYED in by_second.headers) == (200, False)
    assert len({answer.json()["id"] for answer in (answers[0], foreign, by_second)}) == 3
    for ask, answer in zip(asks, answers, strict=True):
        assert_replayed(send(world, ask, key), answer)
    assert_replayed(send(other, a_portfolio(other), key), foreign)


def test_a_key_is_free_again_after_a_day(world: World) -> None:
    ask, key = a_portfolio(world), new_key()
    answer = first(world, ask, key)
    until = world.now() + DAY
    world.set_clock(until - MICROSECOND)
    assert_replayed(send(world, ask, key), answer)
    world.set_clock(until)
    second = first(world, replace(ask, body=ask.other), key)
    assert second.json()["id"] != answer.json()["id"]
    world.set_clock(until + DAY - MICROSECOND)
    assert_replayed(send(world, replace(ask, body=ask.other), key), second)
    assert_refused(send(world, ask, key), 422, told=REUSED)


# Several at once.


def at_once(worlds: list[World], ask: Ask, key: str | None) -> list[httpx.Response]:
    """What clients are answered who send one request at one moment, in turns to each world's server."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        sent = [pool.submit(send, worlds[n % len(worlds)], ask, key) for n in range(CLIENTS)]
    return [answer.result() for answer in sent]


def assert_one_answer(answers: list[httpx.Response]) -> bytes:
    """The one answer: given once, replayed or refused to the others."""
    given = [answer for answer in answers if answer.status_code == 200]
    (content,) = {answer.content for answer in given}
    assert [answer.headers.get(REPLAYED) for answer in given].count(None) == 1
    for answer in answers:
        if answer.status_code != 200:
            assert_refused(answer, 409, told=RUNNING)
    return content


@every_route
def test_of_racing_clients_one_acts(world: World, new_ask: NewAsk) -> None:
    ask, key = new_ask(world), new_key()
    before = everything(world)
    content = assert_one_answer(at_once([world], ask, key))
    after = everything(world)
    assert made(before, after) == ask.makes
    assert send(world, ask, key).content == content
    assert everything(world) == after


@contextmanager
def nobody_writes(server: Server) -> Iterator[None]:
    """Let every transaction of the server wait that would store an answer."""
    if server.database_url.startswith("sqlite"):
        with closing(sqlite3.connect(sqlite_path(server.database_url), isolation_level=None)) as held:
            held.execute("BEGIN IMMEDIATE")
            yield
            held.execute("ROLLBACK")
    else:
        with psycopg.connect(server.database_url) as connection:
            connection.execute("LOCK TABLE replies IN SHARE ROW EXCLUSIVE MODE")
            yield
            connection.rollback()


@every_route
def test_while_the_first_is_running_the_second_is_told_so(world: World, new_ask: NewAsk) -> None:
    """Two are sent; whichever came first waits, and the other has its answer before."""
    ask, key = new_ask(world), new_key()
    with ThreadPoolExecutor(2) as pool:
        with nobody_writes(world.server):
            sent = [pool.submit(send, world, ask, key) for _ in range(2)]
            early = next(as_completed(sent, timeout=30))
            assert_refused(early.result(), 409, told=RUNNING)
            assert_refused(send(world, replace(ask, body=ask.other), key), 409, told=RUNNING)
        answers = [each.result() for each in sent]
    (answer,) = [each for each in answers if each.status_code == 200]
    assert REPLAYED not in answer.headers
    assert_replayed(send(world, ask, key), answer)


# Servers of the tests' own.


@every_route
def test_of_clients_who_race_at_two_servers_one_acts(
    two_servers: list[Server], new_world: NewWorld, new_ask: NewAsk
) -> None:
    """Neither process knows of the other's requests; the database does."""
    one = new_world(two_servers[0])
    one.open_market()
    with httpx.Client(
        base_url=two_servers[1].url, auth=(one.key.key_id, one.key.secret), timeout=60, verify=NO_TLS
    ) as http:
        for _ in range(3):
            ask, key = new_ask(one), new_key()
            before = everything(one)
            content = assert_one_answer(at_once([one, replace(one, http=http)], ask, key))
            after = everything(one)
            assert made(before, after) == ask.makes
            assert send(one, ask, key).content == content
            assert everything(one) == after


def test_a_request_too_many_spends_no_key(start_server: StartServer, new_world: NewWorld) -> None:
    server = start_server("sqlite", TRIMTAB_RATE_LIMIT="40")
    new_world(server).open_market()
    world = new_world(server)
    ask, key = a_portfolio(world), new_key()
    with within_one_minute():
        answer = first(world, ask, key)
        for _ in range(39):
            assert_replayed(send(world, ask, key), answer)
        told = (42910000, "rate limit exceeded")
        assert_refused(send(world, ask, key), 429, told=told)
        assert_refused(send(world, ask, new_key()), 429, told=told)


MORTAL = (str(Path(mortal_server.__file__)),)


# Each takes long: on PostgreSQL the harder one, where the effect is there and nobody has heard of it.
@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ("before the commit", "sqlite"),
        ("before the answer", "sqlite"),
        pytest.param("before the commit", "postgres", marks=pytest.mark.prove),
        ("before the answer", "postgres"),
    ],
)
def test_a_kill_leaves_effect_and_answer_or_neither(
    point: str, kind: str, start_server: StartServer, new_world: NewWorld
) -> None:
    world = new_world(start_server(kind, MORTAL))
    world.open_market()
    for new_ask in NEW_ASKS:
        ask, key = new_ask(world), new_key()
        before = everything(world)
        die_over(world, ask, key, point=point)
        if point == "before the commit":
            assert everything(world) == before
            answer = first(world, ask, key)
        else:
            assert made(before, everything(world)) == ask.makes
            answer = send(world, ask, key)
            assert (answer.status_code, answer.headers[REPLAYED]) == (200, "true")
        after = everything(world)
        assert made(before, after) == ask.makes
        assert answer.json()["id"] in {each["id"] for listed in after for each in listed}
        assert_replayed(send(world, ask, key), answer)
        assert everything(world) == after
    assert audit(world.server).returncode == 0


def die_over(world: World, ask: Ask, key: str, *, point: str) -> None:
    """Let the server kill itself over a request, and start it again."""
    server = world.server
    order = server.log.parent / mortal_server.ORDER
    order.write_text(point)
    with pytest.raises(httpx.TransportError):
        send(world, ask, key)
    assert server.process.wait(timeout=30) == -9
    order.unlink()
    respawn(server)
    assert answers_with(server, 200)
