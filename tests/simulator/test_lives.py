"""Lives by the thousand: whatever happened in them, no rule was broken, and what could happen did.

A life that breaks one says how to live it again: `python -m tests.simulator shrink --seed N --profile P`.
The first two thousand seeds are lived by every test run, a hundred thousand by `make prove`.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from tests.simulator.life import Life, live
from tests.simulator.reach import STATES, reached
from tests.simulator.tape import Seed
from tests.simulator.weather import PROFILES
from trimtab.database import Database, open_database

CHUNK = 50
# Enough of each kind for its states; what else there is of the kind "all" comes without them.
REACHING: Mapping[str, int] = {
    "all": 500,
    "multiworker": 150,
    "nodedup": 150,
    "outage": 150,
    "restore": 100,
    "late": 50,
    "odd": 50,
    "latefills": 50,
    "limits": 50,
    "clients": 50,
    "steady": 50,
    "overnight": 50,
}
PER_10_000 = 100


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Brokers that are down are no news here."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def lives(profile: str, seeds: range) -> list[Life]:
    """All of them, none with a broken rule."""
    found = [(seed, live(Seed(seed), PROFILES[profile])) for seed in seeds]
    broken = [
        f"{life.rule}: {life.why}\npython -m tests.simulator shrink --seed {seed} --profile {profile}"
        for seed, life in found
        if life.rule is not None
    ]
    assert not broken, "\n".join(broken)
    return [life for _, life in found]


def times_reached(profile: str, found: list[Life]) -> dict[str, int]:
    """How many of the lives have been in each state of their profile."""
    counts = Counter(state.text for life in found for state in reached(life.seen, profile))
    return {state.text: counts[state.text] for state in STATES if state.profile == profile}


@pytest.mark.parametrize("first", range(1000, 1900, CHUNK))
def test_no_life_breaks_a_rule(first: int) -> None:
    lives("all", range(first, first + CHUNK))


@pytest.mark.parametrize("profile", REACHING)
def test_lives_of_every_kind_break_no_rule_and_reach_their_states(profile: str) -> None:
    found = lives(profile, range(REACHING[profile]))
    missed = [text for text, times in times_reached(profile, found).items() if not times]
    assert missed == []


def test_there_are_eighty_named_states() -> None:
    assert len({state.text for state in STATES}) == len(STATES) >= 80


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[Database]:
    opened = open_database(postgres_url)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.prove) for n in range(4, 200))]
)
def test_a_life_on_postgresql_is_the_same_life(postgres_database: Database, seed: int) -> None:
    profile = PROFILES["multiworker"]
    assert live(Seed(seed), profile, db=postgres_database).digest == live(Seed(seed), profile).digest


@pytest.mark.prove
@pytest.mark.parametrize("first", range(100_000, 200_000, 500))
def test_no_life_of_a_hundred_thousand_breaks_a_rule(first: int) -> None:
    lives("all", range(first, first + 500))


@pytest.mark.prove
@pytest.mark.parametrize("profile", REACHING)
def test_ten_thousand_lives_break_no_rule_and_reach_every_state_a_hundred_times(profile: str) -> None:
    times = times_reached(profile, lives(profile, range(10_000)))
    rare = {text: count for text, count in times.items() if count < PER_10_000}
    assert rare == {}
