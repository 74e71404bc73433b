"""Every case that was ever made smallest is lived again: what broke a rule once must not do so again."""

from pathlib import Path

import pytest

from tests.simulator.cases import CORPUS, as_text, from_text, read_case
from tests.simulator.life import live
from tests.simulator.tape import Script
from tests.simulator.weather import PROFILES

CASES = sorted(CORPUS.glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_was_mended_stays_mended(path: Path) -> None:
    """A case that is still open breaks its rule until it is mended; then its mark is to be taken away."""
    case = read_case(path)
    life = live(Script(case.draws), PROFILES[case.profile])
    assert life.rule == (None if case.open is None else case.rule), life.why


def test_the_draws_of_a_case_can_be_pasted() -> None:
    for path in CASES:
        draws = read_case(path).draws
        assert from_text(as_text(draws)) == draws
