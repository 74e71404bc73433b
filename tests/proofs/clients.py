"""Clients that want accounts rebalanced again and again, from a server that may be dead when they ask.

Most send an Idempotency-Key and ask until they are answered; the others look for themselves what became of a
question whose answer was lost. Every answer is written down.
"""

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx

from tests.api.servers import NO_TLS
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Secret

Json = Any
Weights = dict[str, int]
# What a client does goes on with each step, and waits in between.
Steps = Generator[None, None, Json]

PAUSE_S = 0.1
ANSWER_WITHIN_S = 10
THREADS = 3
RUN_IS_OPEN = 42210006
# The same request is under way; the broker cannot be reached, and nothing was done.
ASK_AGAIN = {409, 503}
FINAL = {"COMPLETED_SUCCESS", "COMPLETED_ADJUSTED", "CANCELED", "CANCELED_MID_RUN", "ERROR", "TIMEOUT"}


class Unanswered(Exception):
    """Nobody can know what became of the question."""


def wire(weights: Weights) -> list[Json]:
    return [
        {"type": "cash", "percent": str(percent)}
        if name == "cash"
        else {"type": "asset", "symbol": name, "percent": str(percent)}
        for name, percent in weights.items()
    ]


@dataclass(slots=True, kw_only=True)
class Client:
    """One account's. `follows`: it is subscribed to a portfolio of its own, whose weights are changed; else
    each run is asked for by itself. `named` are the runs that an answer named, with what was asked for,
    `targets` what was asked for last.
    """

    account_id: str
    follows: bool
    keyed: bool
    chance: Random
    named: dict[str, Weights] = field(default_factory=dict)
    targets: Weights = field(default_factory=dict)
    portfolio_id: str | None = None
    rounds: int = 0
    lost: int = 0

    def next_mix(self) -> Weights:
        """Never what it was before, also before an old copy was put back: that would change nothing."""
        while True:
            spy = self.chance.randint(5, 60)
            tlt = self.chance.randint(5, 90 - spy)
            mix = {"SPY": spy, "TLT": tlt, self.chance.choice(["GLD", "cash"]): 100 - spy - tlt}
            if mix != self.targets:
                return mix


@dataclass(slots=True, kw_only=True)
class Office:
    """All clients, and how they reach the server. Each round of a client is one run of its account; after
    the least number of rounds they go on until somebody says `enough`.
    """

    url: str
    key: Secret
    clients: Sequence[Client]
    enough: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    troubles: list[str] = field(default_factory=list)

    def work(self, clients: Sequence[Client], rounds: int) -> None:
        """Let each client have its rounds, all a step at a time."""
        auth = (self.key.key_id, self.key.secret)
        with httpx.Client(
            base_url=self.url, auth=auth, timeout=ANSWER_WITHIN_S, verify=NO_TLS, trust_env=False
        ) as http:
            steps = {client.account_id: self._rounds(http, client, rounds) for client in clients}
            while steps and not self.stopping.is_set():
                for account_id, step in list(steps.items()):
                    if next(step, "done") == "done":
                        del steps[account_id]
                time.sleep(PAUSE_S)

    def _rounds(self, http: httpx.Client, client: Client, rounds: int) -> Steps:
        while client.rounds < rounds or not self.enough.is_set():
            if client.follows:
                yield from self._publish(http, client)
            else:
                yield from self._ask(http, client)
            client.rounds += 1

    def _ask(self, http: httpx.Client, client: Client) -> Steps:
        """Ask for one run and wait for its end."""
        mix = client.next_mix()
        body = {"account_id": client.account_id, "type": "full_rebalance", "weights": wire(mix)}
        seen = set(client.named)
        try:
            answer = yield from self._sent(http, client, ("POST", RUNS, body))
            run_id = str(answer["id"])
        except Unanswered:
            client.lost += 1
            run_id = yield from self._found(http, client, seen)
            if not run_id:
                return
        client.named[run_id] = client.targets = mix
        yield from self._end_of(http, run_id)

    def _publish(self, http: httpx.Client, client: Client) -> Steps:
        """Have the portfolio say something new, and wait for the end of the run that follows."""
        mix, seen = client.next_mix(), set(client.named)
        body: Json = {"name": client.account_id, "description": "", "weights": wire(mix), "cooldown_days": 0}
        body["rebalance_conditions"] = [{"type": "on_portfolio_update"}]
        if client.portfolio_id is None:
            made = yield from self._sent(http, client, ("POST", PORTFOLIOS, body))
            client.portfolio_id = made["id"]
            ids = {"account_id": client.account_id, "portfolio_id": client.portfolio_id}
            yield from self._sent(http, client, ("POST", SUBSCRIPTIONS, ids))
        else:
            path = f"{PORTFOLIOS}/{client.portfolio_id}"
            yield from self._sent(http, client, ("PATCH", path, {"weights": body["weights"]}))
        run_id = ""
        while not run_id:
            yield
            run_id = yield from self._found(http, client, seen)
        client.named[run_id] = client.targets = mix
        yield from self._end_of(http, run_id)

    def _sent(self, http: httpx.Client, client: Client, request: tuple[str, str, Json]) -> Steps:
        """The answer to a request that acts. Raises Unanswered if there is none, nor a key to ask again."""
        method, path, body = request
        headers = {"Idempotency-Key": str(uuid4())} if client.keyed or client.follows else {}
        while True:
            try:
                answer = http.request(method, path, json=body, headers=headers)
            except httpx.ConnectError:
                yield
                continue
            except httpx.TransportError:
                if headers:
                    yield
                    continue
                raise Unanswered from None
            if answer.status_code in ASK_AGAIN:
                yield
                continue
            if answer.status_code == 422 and answer.json()["code"] == RUN_IS_OPEN and not headers:
                # A question that was given up came through after all.
                raise Unanswered
            if not answer.is_success:
                self._complain(f"{method} {path} of {client.account_id}: {answer.status_code} {answer.text}")
            return answer.json()

    def _found(self, http: httpx.Client, client: Client, seen: set[str]) -> Steps:
        """The account's newest run, if it is none of those that were seen."""
        answer = yield from self._read(http, f"{RUNS}?account_id={client.account_id}&limit=1")
        newest = [run["id"] for run in answer["runs"] if run["id"] not in seen]
        return newest[0] if newest else ""

    def _end_of(self, http: httpx.Client, run_id: str) -> Steps:
        while True:
            yield
            shown = yield from self._read(http, f"{RUNS}/{run_id}")
            if shown["status"] in FINAL:
                return

    def _read(self, http: httpx.Client, path: str) -> Steps:
        while True:
            try:
                answer = http.get(path)
            except httpx.TransportError:
                yield
                continue
            if answer.is_success:
                return answer.json()
            self._complain(f"GET {path}: {answer.status_code} {answer.text}")

    def _complain(self, what: str) -> None:
        self.troubles.append(what)
        self.stopping.set()
        raise AssertionError(what)


@contextmanager
def at_work(office: Office, rounds: int) -> Iterator[list[threading.Thread]]:
    """The clients in threads of their own, which end when there were enough rounds, or with the block."""
    groups = [office.clients[n::THREADS] for n in range(THREADS)]
    threads = [threading.Thread(target=office.work, args=(group, rounds)) for group in groups if group]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        office.stopping.set()
        for thread in threads:
            thread.join()


def new_clients(count: int, seed: int) -> list[Client]:
    """A third of them follow a portfolio; of the others half send an Idempotency-Key."""
    return [
        Client(
            account_id=str(uuid5(NAMESPACE_URL, f"{seed}:{number}")),
            follows=number % 3 == 2,
            keyed=number % 3 == 1,
            chance=Random(f"{seed}:{number}"),
        )
        for number in range(count)
    ]
