"""Lives by the thousand: whatever happened in them, no rule was broken.

A life that breaks one says how to live it again: `python -m tests.simulator shrink --seed N --profile P`.
"""

import logging
from collections.abc import Iterator

import pytest

from tests.simulator.life import live
from tests.simulator.tape import Seed
from tests.simulator.weather import PROFILES

SEEDS_PER_TEST = 50


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Brokers that are down are no news here."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def failures(profile: str, seeds: range) -> list[str]:
    """What broke, each with the command that shows it."""
    return [
        f"{life.rule}: {life.why}\npython -m tests.simulator shrink --seed {seed} --profile {profile}"
        for seed in seeds
        if (life := live(Seed(seed), PROFILES[profile])).rule is not None
    ]


@pytest.mark.parametrize("first", range(0, 1200, SEEDS_PER_TEST))
def test_no_life_breaks_a_rule(first: int) -> None:
    assert failures("all", range(first, first + SEEDS_PER_TEST)) == []


@pytest.mark.parametrize("profile", ["nodedup", "multiworker", "outage"])
@pytest.mark.parametrize("first", range(0, 250, SEEDS_PER_TEST))
def test_no_life_of_a_hard_kind_breaks_a_rule(profile: str, first: int) -> None:
    assert failures(profile, range(first, first + SEEDS_PER_TEST)) == []


@pytest.mark.prove
@pytest.mark.parametrize("first", range(100_000, 200_000, 500))
def test_no_life_of_a_hundred_thousand_breaks_a_rule(first: int) -> None:
    assert failures("all", range(first, first + 500)) == []


@pytest.mark.prove
@pytest.mark.parametrize("first", range(100_000, 110_000, 500))
def test_no_life_at_a_broker_that_takes_duplicates_breaks_a_rule(first: int) -> None:
    assert failures("nodedup", range(first, first + 500)) == []
