"""Every planted bug is seen: by a life that breaks a rule, or by a test of the suite."""

import pytest

from tests.simulator.plants.page import PAGE, page
from tests.simulator.plants.plant import ROOT, Plant
from tests.simulator.plants.runner import SEEDS_MAX, found, hunt
from tests.simulator.plants.table import PLANTS

# Where the simulator's draws have changed, the life that saw a bug before may not see it now.
SEEDS_OF_A_TEST = 1000
BY_LIVES = [plant for plant in PLANTS.values() if plant.test is None]
BY_TESTS = [plant for plant in PLANTS.values() if plant.test is not None]


def _is_seen(plant: Plant, *, seeds_max: int, hint: int) -> bool:
    catch = hunt(plant, seeds_max=seeds_max, hint=hint)
    return catch.rule is not None


def test_every_bug_still_fits_the_program() -> None:
    for plant in PLANTS.values():
        text = (ROOT / plant.file).read_text()
        compile(plant.planted_in(text), plant.file, "exec")


def test_there_are_enough_of_them_and_most_are_for_the_simulator() -> None:
    assert list(PLANTS) == sorted(PLANTS)
    assert len(PLANTS) >= 48
    assert len(BY_LIVES) >= 35


def test_the_page_shows_what_was_seen() -> None:
    assert PAGE.read_text() == page(found()), "python -m tests.simulator plants --find"
    assert found().keys() == PLANTS.keys()


# Every other one; `make prove` plants them all.
@pytest.mark.parametrize("plant", BY_LIVES[::2], ids=lambda plant: plant.number)
def test_a_life_sees(plant: Plant) -> None:
    seed, _ = found().get(plant.number, (0, ""))
    assert _is_seen(plant, seeds_max=SEEDS_OF_A_TEST, hint=seed or 0), plant.name


@pytest.mark.prove
@pytest.mark.parametrize("plant", BY_LIVES, ids=lambda plant: plant.number)
def test_a_life_sees_without_a_hint(plant: Plant) -> None:
    assert _is_seen(plant, seeds_max=SEEDS_MAX, hint=0), plant.name


@pytest.mark.prove
@pytest.mark.parametrize("plant", BY_TESTS, ids=lambda plant: plant.number)
def test_a_test_sees(plant: Plant) -> None:
    assert _is_seen(plant, seeds_max=0, hint=0), plant.name
