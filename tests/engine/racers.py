"""Clients who want everything at once of a few accounts, as threads here or in a process of their own.

`python -m tests.engine.racers MAIN_URL PAPER_URL SERIES` races and prints what was promised: the ids
of the runs whose cancel was answered well.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from tests.engine.desks import TENANT, Place, World, open_world, targets
from trimtab.core.errors import TrimtabError
from trimtab.core.run import RunKind
from trimtab.core.strategy import Strategy
from trimtab.engine import enrollment_actions

ACCOUNTS = ("ann", "bob", "cat")
WISHES = 6


@dataclass
class Promises:
    """What clients were told; `surprises` are errors that no client should see."""

    made: list[str] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)


def race(world: World, strategy: Strategy, *, seed: int, threads: int) -> Promises:
    """Each thread asks for runs, enrolls, leaves and cancels, in an order of its own."""
    promises = Promises()
    together = threading.Barrier(threads)

    def client(number: int) -> None:
        chance = Random(f"{seed}-{number}")
        together.wait(20)
        for _ in range(WISHES):
            try:
                wish(world, strategy, chance=chance, promises=promises)
            except TrimtabError as error:
                promises.refused.append(type(error).__name__)
            except Exception as error:
                promises.surprises.append(f"{type(error).__name__}: {error}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(client, range(threads)))
    return promises


def wish(world: World, strategy: Strategy, *, chance: Random, promises: Promises) -> None:
    account_id = chance.choice(ACCOUNTS)
    match chance.randrange(5):
        case 0:
            promises.made.append(world.request(account_id, weights=targets(SPY="50", TLT="50")).id)
        case 1:
            promises.made.append(world.request(account_id, RunKind.PARTIAL_LIQUIDATION, amount="10").id)
        case 2:
            world.enroll(account_id, strategy)
        case 3:
            for enrollment in world.enrollments(account_id):
                enrollment_actions.end_enrollment(world.desk, TENANT, enrollment.id)
        case _:
            for run in world.open_runs():
                world.cancel(run)
                promises.canceled.append(run.id)


def main() -> None:
    main_url, paper_url, series = sys.argv[1:]
    world = open_world(Place(main_url, paper_url), series=int(series))
    promises = race(world, world.strategies()[0], seed=int(series), threads=12)
    world.close()
    for surprise in promises.surprises:
        print("surprise", surprise)  # noqa: T201 - the parent reads it
    for run_id in promises.canceled:
        print("canceled", run_id)  # noqa: T201 - the parent reads it
    print("done", len(promises.made))  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main()
