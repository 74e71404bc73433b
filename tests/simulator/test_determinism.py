"""One seed, one life: whatever Python does with its hashes, and however often it is lived."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulator.life import live
from tests.simulator.tape import Script, Seed
from tests.simulator.weather import PROFILES

ROOT = Path(__file__).resolve().parents[2]


def trace(seeds: str, hash_seed: str, profile: str = "multiworker") -> str:
    """The hash of the traces of these seeds, in a process with hashes of its own."""
    command = [sys.executable, "-m", "tests.simulator", "run", "--json"]
    done = subprocess.run(
        [*command, "--seeds", seeds, "--profile", profile],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=False,
        capture_output=True,
        text=True,
    )
    found: str = json.loads(done.stdout)["trace"]
    return found


def test_a_seed_has_one_trace_whatever_hashes_are() -> None:
    assert trace("0:60", "0") == trace("0:60", "4711")


@pytest.mark.prove
@pytest.mark.parametrize("profile", ["all", "multiworker"])
@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_a_thousand_seeds_have_one_trace_each_whatever_hashes_are(profile: str, first: int) -> None:
    seeds = f"{first}:{first + 250}"
    assert trace(seeds, "0", profile) == trace(seeds, "4711", profile)


@pytest.mark.parametrize("seed", range(5))
def test_the_draws_of_a_life_are_that_life_again(seed: int) -> None:
    life = live(Seed(seed), PROFILES["all"])
    assert live(Script(life.draws), PROFILES["all"]).digest == life.digest


def test_neighbouring_seeds_live_differently() -> None:
    assert len({live(Seed(seed), PROFILES["all"]).digest for seed in range(10)}) == 10
