"""kill -9 of a real server while it sends orders to a broker in bad weather, again and again, in real time.

Beside the server's own audit, the broker's ledger is compared with the database by queries written here.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import Databases
from tests.api.servers import NO_TLS, Server, answers_with, audit, respawn, running
from tests.api.world import make_key
from tests.brokers.alpaca_server import KEY, AlpacaServer, alpaca_server, weather
from trimtab.core.run import FINAL_STATES
from trimtab.database import open_database

QUARANTINE_S = 3
# Of the last fault, with what the protocol grants beside the quarantine.
FINAL_WITHIN_S = QUARANTINE_S + 60
RUN = "/v1/rebalancing/runs"
WEIGHTS = [
    {"type": "asset", "symbol": "SPY", "percent": "60"},
    {"type": "asset", "symbol": "TLT", "percent": "40"},
]


@dataclass(kw_only=True)
class Storm:
    """A server, the broker it trades at, and a client that does not give up."""

    server: Server
    alpaca: AlpacaServer
    client: httpx.Client
    chance: Random
    accounts: list[str] = field(default_factory=list)
    requested: int = 0
    rough: bool = True

    def ask(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        """Ask until there is an answer that is one."""
        while True:
            with suppress(httpx.HTTPError):
                answer = self.client.post(path, json=body)
                if answer.status_code < 500:
                    return answer
            time.sleep(0.05)

    def request_runs(self) -> None:
        """A run for every account that has none."""
        for account_id in self.accounts:
            body = {"account_id": account_id, "type": "full_rebalance", "weights": WEIGHTS}
            self.requested += self.ask(RUN, body).status_code == 200

    def move(self) -> None:
        """What is open may fill, and prices change, so that there is work again."""
        with self.alpaca.lock:
            for key, order in list(self.alpaca.orders.items()):
                if order.status in {"new", "partially_filled"} and (
                    not self.rough or self.chance.random() < 0.5
                ):
                    self.alpaca.fill(key)
            self.alpaca.prices["SPY"] = Decimal(self.chance.randint(300, 500))

    def kill_while_it_sends(self) -> None:
        sent = sum(self.alpaca.posts.values())
        patience = time.monotonic() + 20
        while sum(self.alpaca.posts.values()) == sent and time.monotonic() < patience:
            self.move()
            time.sleep(0.05)
        time.sleep(self.chance.random() / 2)
        self.server.process.kill()
        self.server.process.wait()
        respawn(self.server)
        answers_with(self.server, 200)

    def calm(self) -> None:
        """No more faults; every run has to end in time."""
        self.rough = False
        self.alpaca.fills = lambda: Decimal(1)
        patience = time.monotonic() + FINAL_WITHIN_S
        while self.open_runs():
            assert time.monotonic() < patience, self.open_runs()
            self.move()
            time.sleep(0.2)

    def open_runs(self) -> list[tuple[str, str]]:
        with closing(open_database(self.server.database_url)) as db:
            rows = db.read(lambda tx: tx.rows("SELECT id, state FROM runs"))
        return [(row["id"], row["state"]) for row in rows if row["state"] not in FINAL_STATES]


@contextmanager
def storm(url: str, folder: Path, *, accounts: int, seed: int) -> Iterator[Storm]:
    chance = Random(seed)
    with alpaca_server(lambda: datetime.now(UTC)) as alpaca:
        alpaca.set_prices(SPY="400", TLT="100", GLD="200")
        settings = {
            "TRIMTAB_SANDBOX": "0",
            "TRIMTAB_MARKET": "24/7",
            "TRIMTAB_BROKER": "alpaca",
            "TRIMTAB_ALPACA_URL": alpaca.url,
            "TRIMTAB_ALPACA_KEY_ID": KEY[0],
            "TRIMTAB_ALPACA_SECRET": KEY[1],
            "TRIMTAB_QUARANTINE_S": str(QUARANTINE_S),
        }
        with running(url, folder, **settings) as server, closing(open_database(url)) as db:
            key = make_key(db, "acme")
            auth = (key.key_id, key.secret)
            with httpx.Client(base_url=server.url, auth=auth, timeout=30, verify=NO_TLS) as client:
                made = Storm(server=server, alpaca=alpaca, client=client, chance=chance)
                made.accounts = [alpaca.open_account(str(uuid4()), "1000", GLD="5") for _ in range(accounts)]
                alpaca.fills = lambda: chance.choice([Decimal(1), Decimal(1), Decimal("0.5"), None])
                alpaca.draw = weather(seed, 0.05, until=lambda: not made.rough)
                ended = threading.Event()
                late = threading.Thread(target=deliver, args=(alpaca, ended), daemon=True)
                late.start()
                yield made
                ended.set()
                late.join()


def deliver(alpaca: AlpacaServer, ended: threading.Event) -> None:
    """What is late arrives, within the quarantine: later than that is not promised to be seen."""
    while not ended.wait(QUARANTINE_S / 10):
        alpaca.arrive()


def stored(server: Server) -> dict[str, tuple[str, int, Decimal]]:
    """Of every order in the database its run, leg, and what was filled."""
    with closing(open_database(server.database_url)) as db:
        rows = db.read(lambda tx: tx.rows("SELECT client_order_id, run_id, leg, filled_quantity FROM orders"))
    return {
        row["client_order_id"]: (row["run_id"], row["leg"], Decimal(row["filled_quantity"])) for row in rows
    }


@pytest.mark.parametrize(
    ("kind", "kills", "runs", "accounts"),
    [
        pytest.param("sqlite", 2, 10, 10, id="some"),
        pytest.param("sqlite", 200, 1000, 50, id="sqlite", marks=pytest.mark.prove),
        pytest.param("postgres", 200, 1000, 50, id="postgres", marks=pytest.mark.prove),
    ],
)
def test_kills_in_bad_weather_order_nothing_twice_and_lose_no_run(
    databases: Databases, tmp_path: Path, kind: str, *, kills: int, runs: int, accounts: int
) -> None:
    with databases(kind) as url, storm(url, tmp_path / "server", accounts=accounts, seed=kills) as at:
        done = 0
        while done < kills or at.requested < runs:
            at.request_runs()
            at.kill_while_it_sends()
            done += 1
        at.calm()

        known = stored(at.server)
        theirs = at.alpaca.orders
        assert set(theirs) <= set(known), "an order without an intent"
        legs = Counter(known[key][:2] for key in theirs)
        assert [leg for leg, times in legs.items() if times > 1] == []
        assert {key: order.filled for key, order in theirs.items()} == {key: known[key][2] for key in theirs}
        assert all(account.cash >= 0 for account in at.alpaca.accounts.values())
        with closing(open_database(url)) as db:
            (row,) = db.read(lambda tx: tx.rows("SELECT COUNT(*) AS count FROM runs"))
        assert row["count"] == at.requested
        checked = audit(at.server)
        assert checked.returncode == 0, checked.stdout
        assert at.server.unforeseen() == ""
