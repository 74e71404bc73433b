"""Thirty-two clients at once and one account, round after round: never two open runs, and what a client was
told is what the database says.

Real servers, one of SQLite and two of one PostgreSQL, over HTTP. In every other round all clients want to
make a run, and exactly one is made; in the rounds between they do whatever may be done to runs.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from threading import Barrier
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Databases, NewWorld
from tests.api.servers import NO_TLS, Server, audit, running
from tests.api.world import RUNS, SUBSCRIPTIONS, Json, World, band, weights

CLIENTS = 32
# So many rounds are played on one morning: each may take the clock 45 seconds on.
ROUNDS_A_DAY = 200
PATIENCE_S = 60
OPEN = "('QUEUED', 'PLANNED', 'SELLING', 'BUYING')"
# The account follows a portfolio already; it does or does not although it should; or a run is open.
TOO_LATE = {42210003, 42210006}
CANCELED = {"CANCELED", "CANCELED_MID_RUN"}
FINAL = {*CANCELED, "COMPLETED_SUCCESS", "COMPLETED_ADJUSTED"}


@dataclass(kw_only=True)
class Race:
    """One tenant's account, and clients who all hold the tenant's key, shared out between the servers."""

    world: World
    doors: list[httpx.Client]
    account_id: str
    portfolio_id: str
    promised: set[str] = field(default_factory=set)
    answered: Counter[str] = field(default_factory=Counter)

    def at_once(self, deeds: list["Deed"]) -> list[httpx.Response]:
        """What the clients are answered, each to a deed of its own, all sent at one moment."""
        together = Barrier(len(deeds))

        def act(number: int) -> httpx.Response:
            together.wait(PATIENCE_S)
            return deeds[number](self.doors[number])

        with ThreadPoolExecutor(len(deeds)) as pool:
            answers = list(pool.map(act, range(len(deeds))))
        for answer in answers:
            path = answer.request.url.path.removeprefix("/v1/rebalancing").split("/")[1]
            self.answered[f"{answer.request.method} {path} {answer.status_code}"] += 1
        return answers

    def open_runs(self) -> list[str]:
        sql = f"SELECT id FROM runs WHERE account_id = :id AND state IN {OPEN}"  # noqa: S608 - a constant
        return [row["id"] for row in self.world.db.read(lambda tx: tx.rows(sql, id=self.account_id))]

    def asked_for(self) -> set[str]:
        """The runs of the account that clients have made."""
        sql = "SELECT id FROM runs WHERE account_id = :id AND initiator = 'api'"
        return {row["id"] for row in self.world.db.read(lambda tx: tx.rows(sql, id=self.account_id))}

    def subscription(self) -> str | None:
        found = self.world.get(SUBSCRIPTIONS, account_id=self.account_id)["subscriptions"]
        return found[0]["id"] if found else None

    def come_to_rest(self) -> None:
        """Mend the market, and let every run end."""
        self.world.set_faults()
        for _ in range(3):
            self.world.settle()
            if not self.open_runs():
                return
            self.world.later(seconds=15)
        raise AssertionError(f"still open: {self.world.runs(self.account_id)}")


Deed = Callable[[httpx.Client], httpx.Response]


def asking(body: Json, key: str | None = None) -> Deed:
    headers = {} if key is None else {"Idempotency-Key": key}
    return lambda door: door.post(RUNS, json=body, headers=headers)


def subscribing(race: Race) -> Deed:
    body = {"account_id": race.account_id, "portfolio_id": race.portfolio_id}
    return lambda door: door.post(SUBSCRIPTIONS, json=body)


def leaving(race: Race) -> Deed:
    subscription_id = race.subscription() or str(uuid4())
    return lambda door: door.delete(f"{SUBSCRIPTIONS}/{subscription_id}")


def canceling(race: Race) -> Deed:
    """Cancels the run that is the newest at that moment."""

    def act(door: httpx.Client) -> httpx.Response:
        newest = door.get(RUNS, params={"account_id": race.account_id, "limit": "1"}).json()["runs"]
        return door.delete(f"{RUNS}/{newest[0]['id'] if newest else uuid4()}")

    return act


def settling(door: httpx.Client) -> httpx.Response:
    return door.post("/sandbox/settle")


def wishes(race: Race, random: Random, *, subscribed: bool) -> Deed:
    """Ask for a run that could be made: of any kind, and perhaps under a key that others use too."""
    kind = random.choice(["full_rebalance", "full_rebalance", "invest_cash", "partial_liquidation"])
    body: Json = {"account_id": race.account_id, "type": kind}
    if kind != "full_rebalance":
        body["amount"] = "3" if kind == "invest_cash" else "2"
    if not subscribed:
        body["weights"] = weights(SPY="50", TLT="40", cash="10")
    return asking(body)


def whatever(race: Race, random: Random, *, keys: list[tuple[str, Json]]) -> Deed:
    """Anything that may be done to runs, sensible at that moment or not."""
    deeds: list[Callable[[], Deed]] = [
        lambda: wishes(race, random, subscribed=True),
        lambda: wishes(race, random, subscribed=False),
        lambda: asking(*reversed(random.choice(keys))),
        lambda: canceling(race),
        lambda: canceling(race),
        lambda: subscribing(race),
        lambda: leaving(race),
        lambda: settling,
    ]
    return random.choice(deeds)()


def keyed(race: Race) -> list[tuple[str, Json]]:
    """Two keys, one for each kind of account."""
    body = {"account_id": race.account_id, "type": "full_rebalance"}
    return [(str(uuid4()), body), (str(uuid4()), body | {"weights": weights(SPY="100")})]


def makes_one_run(race: Race, random: Random) -> None:
    """All of them want to make a run, alone, under shared keys or by subscribing; one is made."""
    race.come_to_rest()
    before = race.asked_for()
    subscribed = race.subscription() is not None
    key, body = keyed(race)[0 if subscribed else 1]
    deeds: list[Deed] = [
        asking(body, key) if random.random() < 0.3 else wishes(race, random, subscribed=subscribed)
        for _ in range(CLIENTS)
    ]
    if not subscribed:
        followers = random.randint(0, 4)
        deeds[:followers] = [subscribing(race)] * followers
    answers = race.at_once(deeds)
    made = told(answers)
    assert race.asked_for() - before == made
    (only,) = race.open_runs()
    assert made in (set(), {only})
    assert made or race.subscription(), "a run that nobody asked for comes from subscribing"
    for answer in answers:
        assert answer.status_code in {200, 409, 422}, answer.text
        if answer.status_code == 422:
            assert answer.json()["code"] in TOO_LATE, answer.text


def told(answers: list[httpx.Response]) -> set[str]:
    """The ids of the runs that clients were told they have made."""
    return {
        answer.json()["id"]
        for answer in answers
        if answer.request.method == "POST" and answer.request.url.path == RUNS and answer.status_code == 200
    }


def does_everything(race: Race, random: Random) -> None:
    """Orders that fill later, or whose answers are lost, and deeds of every kind."""
    race.world.set_faults(
        fill_delay_s=random.choice([0, 10]), partial_fill=0.3, lost_reply=0.3, seed=random.randrange(1000)
    )
    before = race.asked_for()
    keys = keyed(race)
    answers = race.at_once([whatever(race, random, keys=keys) for _ in range(CLIENTS)])
    assert race.asked_for() - before == told(answers)
    assert len(race.open_runs()) <= 1
    for answer in answers:
        is_delete = answer.request.method == "DELETE"
        expected = {204, 404, 422} if is_delete else {200, 409, 422}
        assert answer.status_code in expected, answer.text
        if is_delete and answer.status_code == 204 and RUNS in answer.request.url.path:
            race.promised.add(answer.request.url.path.rpartition("/")[2])
    race.world.settle()
    assert len(race.open_runs()) <= 1


@pytest.fixture(params=["sqlite, one server", "postgres, two servers"])
def servers(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Server]]:
    kind = request.param.partition(",")[0]
    with ExitStack() as stack:
        url = stack.enter_context(databases(kind))
        started = [
            stack.enter_context(running(url, tmp_path_factory.mktemp("server"), TRIMTAB_RATE_LIMIT="1000000"))
            for _ in range(1 if kind == "sqlite" else 2)
        ]
        yield started
        assert [server.unforeseen() for server in started] == [""] * len(started)
        found = audit(started[0])
        assert found.returncode == 0, found.stdout


@pytest.fixture
def race(servers: list[Server], new_world: NewWorld) -> Iterator[Race]:
    world = new_world(servers[0])
    world.open_market()
    auth = (world.key.key_id, world.key.secret)
    with ExitStack() as stack:
        yield Race(
            world=world,
            doors=[
                stack.enter_context(
                    httpx.Client(
                        base_url=servers[number % len(servers)].url,
                        auth=auth,
                        timeout=PATIENCE_S,
                        verify=NO_TLS,
                    )
                )
                for number in range(CLIENTS)
            ],
            account_id=world.account("10000", SPY="10", GLD="4"),
            portfolio_id=world.portfolio(weights(SPY="60", TLT="30", cash="10"), band("5")),
        )


@pytest.mark.parametrize(
    "rounds", [pytest.param(16, id="some"), pytest.param(1000, id="all", marks=pytest.mark.prove)]
)
def test_thirty_two_clients_never_make_two_open_runs_of_one_account(race: Race, rounds: int) -> None:
    random, began = Random(rounds), time.monotonic()
    for number in range(rounds):
        if number and number % ROUNDS_A_DAY == 0:
            race.come_to_rest()
            race.world.open_market()
        (makes_one_run if number % 2 == 0 else does_everything)(race, random)
    race.come_to_rest()
    shown = {run["id"]: run["status"] for run in all_runs(race)}
    assert {shown[run_id] for run_id in race.promised} <= CANCELED
    assert set(shown.values()) <= FINAL
    assert race.answered["POST runs 200"] >= rounds / 4
    assert race.answered["DELETE runs 204"] >= rounds / 8
    # Shown by `pytest -s`.
    print(f"{rounds} rounds, {time.monotonic() - began:.0f} s: {dict(sorted(race.answered.items()))}")  # noqa: T201


def all_runs(race: Race) -> Iterator[Json]:
    token: str | None = None
    while True:
        more: Json = {"page_token": token} if token else {}
        page = race.world.get(RUNS, account_id=race.account_id, limit=1000, **more)
        yield from page["runs"]
        token = page["next_page_token"]
        if token is None:
            return
