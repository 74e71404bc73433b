"""A server that is killed again and again, while clients ask and the broker has faults of its own."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from tests.proofs.books import broken, slowest_end
from tests.proofs.clients import at_work
from tests.proofs.exchange import BAD, FAIR, Exchange
from tests.proofs.lives import Lives, Nest
from tests.proofs.stage import QUARANTINE_S, Stage, open_stage

# Every run is final so long after the last fault (decisions, 29).
FINAL_WITHIN = timedelta(seconds=QUARANTINE_S + 60)
LIFE_MAX_S = 8.0
BY_ORDERS = 0.6
ORDERS_MAX = 12


@dataclass(slots=True, kw_only=True)
class Executioner:
    """Kills at a moment by the clock, or when so many more orders have arrived at the exchange: then some are
    on their way, and the answers to others.
    """

    lives: Lives
    exchange: Exchange
    chance: Random
    left: int = 0

    def live(self) -> None:
        """One life, to its end."""
        by_orders = self.chance.random() < BY_ORDERS
        self.left = self.chance.randint(1, ORDERS_MAX) if by_orders else 0
        # Some die while they start, or right after another.
        most = LIFE_MAX_S if by_orders else self.chance.choice([1.0, LIFE_MAX_S / 2])
        self.lives.begin()
        ends_at = time.monotonic() + (most if by_orders else self.chance.uniform(0, most))
        while self.lives.is_alive and time.monotonic() < ends_at:
            time.sleep(0.005)
        self.lives.kill()

    def count(self) -> None:
        """An order has arrived."""
        if self.left:
            self.left -= 1
            if not self.left:
                self.lives.strike()


def live_and_die(stage: Stage, *, rounds: int, kills: int, seed: int) -> datetime:
    """All the kills, then calm until every client has had its rounds; when the last fault was."""
    lives, exchange = stage.lives, stage.exchange
    executioner = Executioner(lives=lives, exchange=exchange, chance=Random(seed))
    exchange.on_order = executioner.count
    exchange.weather = BAD
    with at_work(stage.office, rounds) as threads:
        while lives.kills < kills:
            executioner.live()
        executioner.left = 0
        exchange.weather = FAIR
        lives.begin()
        calm_at = datetime.now(UTC)
        lives.await_ready()
        stage.await_clients(threads)
    return calm_at


def prove(stage: Stage, *, rounds: int, kills: int, seed: int) -> str:
    """One line of what happened, or an AssertionError."""
    calm_at = live_and_die(stage, rounds=rounds, kills=kills, seed=seed)
    stage.lives.kill()
    books = stage.books()
    found = broken(books)
    adjusted = sum(run["adjusted"] for run in books.runs.values())
    lost = sum(client.lost for client in stage.office.clients)
    slowest = slowest_end(books, calm_at)
    line = (
        f"{kills} kills, {len(books.runs)} runs ({adjusted} adjusted), {len(books.orders)} orders,"
        f" {stage.exchange.order_faults} of their calls went wrong, {lost} requests of clients without an"
        f" answer, slowest end {slowest.total_seconds():.1f} s: {len(found)} findings"
    )
    assert found == [], line
    assert json.loads(stage.lives.command("audit", "--json"))["ok"]
    assert slowest <= FINAL_WITHIN, line
    assert stage.lives.unforeseen() == ""
    return line


def test_a_server_that_is_killed_orders_nothing_twice(nest: Nest, tmp_path: Path, database_url: str) -> None:
    with open_stage(nest, tmp_path, database_url, accounts=12, seed=1) as stage:
        prove(stage, rounds=2, kills=6, seed=1)


@pytest.mark.prove
def test_two_hundred_kills_over_a_thousand_runs(nest: Nest, tmp_path: Path, database_url: str) -> None:
    with open_stage(nest, tmp_path, database_url, accounts=54, seed=2) as stage:
        print(prove(stage, rounds=20, kills=200, seed=2))  # noqa: T201 - the figures
