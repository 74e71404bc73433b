"""The tester itself: a bug that is planted is caught, made small, and told in one command."""

import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from tests.simulator.__main__ import main
from tests.simulator.cases import Case, as_text, from_text, read_case
from tests.simulator.life import Life, live
from tests.simulator.tape import Script, Seed
from tests.simulator.weather import PROFILES
from trimtab.core import decide
from trimtab.core.step import Resend

RULE = "no order twice"
NODEDUP = PROFILES["nodedup"]


def resend_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic: what the broker does not know is sent again, whatever the broker does with that."""
    monkeypatch.setattr(decide, "_resolve_unknown", lambda _run, unknown, **_rest: Resend(tuple(unknown)))


@dataclass(frozen=True)
class Found:
    """The first seed that the planted bug breaks, what `shrink` said of it, and the case that it saved."""

    seed: int
    life: Life
    told: str
    path: Path

    @property
    def case(self) -> Case:
        return read_case(self.path)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Shrinking lives a few hundred lives: once is enough."""
    path = tmp_path_factory.mktemp("cases") / "case.json"
    told = StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(told):
        resend_at_once(monkeypatch)
        lives = ((seed, live(Seed(seed), NODEDUP)) for seed in range(200))
        seed, life = next((seed, life) for seed, life in lives if life.rule == RULE)
        assert main(["shrink", f"--seed={seed}", "--profile=nodedup", f"--save={path}"]) == 1
    return Found(seed, life, told.getvalue(), path)


def test_a_planted_bug_is_caught_and_becomes_small(found: Found) -> None:
    assert found.case.rule == RULE
    assert len(found.case.draws) < len(found.life.draws) / 2
    faults = [key for key in found.case.draws if key.startswith("class ")]
    assert 1 <= len(faults) <= 3


def test_the_smallest_case_breaks_its_rule_only_with_the_bug(
    monkeypatch: pytest.MonkeyPatch, found: Found
) -> None:
    script = Script(found.case.draws)
    assert live(script, NODEDUP).rule is None
    resend_at_once(monkeypatch)
    assert live(script, NODEDUP).rule == RULE


def test_the_commands_tell_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: Found
) -> None:
    resend_at_once(monkeypatch)
    one = [f"--seeds={found.seed}:{found.seed + 1}", "--profile=nodedup"]
    assert main(["run", *one]) == 1
    assert (
        f"python -m tests.simulator shrink --seed {found.seed} --profile nodedup" in capsys.readouterr().out
    )
    draws = as_text(found.case.draws)
    assert f"replay --profile nodedup --draws '{draws}'" in found.told
    assert main(["replay", f"--case={found.path}"]) == 1
    by_case = capsys.readouterr().out
    assert main(["replay", "--profile=nodedup", f"--draws={draws}"]) == 1
    assert capsys.readouterr().out == by_case
    assert main(["run", *one, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rules"] == {RULE: 1}


def test_a_seed_that_breaks_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "--seed=0"]) == 0
    assert capsys.readouterr().out == "seed 0 breaks nothing\n"


def test_draws_are_read_as_they_are_written() -> None:
    draws = {"class crash#0": 3, "crash before intents#1": 1}
    assert from_text(as_text(draws)) == draws
