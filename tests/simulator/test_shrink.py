"""The tester itself: a bug that is planted is caught, made small, and told in one command."""

import json
from pathlib import Path

import pytest

from tests.simulator.__main__ import main
from tests.simulator.cases import as_text, from_text, read_case
from tests.simulator.life import Life, live
from tests.simulator.shrink import shrink
from tests.simulator.tape import Script, Seed
from tests.simulator.weather import PROFILES
from trimtab.core import decide
from trimtab.core.step import Resend

NODEDUP = PROFILES["nodedup"]


def resend_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classic: what the broker does not know is sent again, whatever the broker does with that."""
    monkeypatch.setattr(decide, "_resolve_unknown", lambda unknown, *_args, **_rest: Resend(tuple(unknown)))


def first_broken() -> tuple[int, Life]:
    lives = ((seed, live(Seed(seed), NODEDUP)) for seed in range(200))
    return next((seed, life) for seed, life in lives if life.rule == "no order twice")


def test_a_planted_bug_is_caught_and_becomes_small(monkeypatch: pytest.MonkeyPatch) -> None:
    resend_at_once(monkeypatch)
    _, life = first_broken()
    smallest = shrink(life, NODEDUP)
    assert smallest.rule == life.rule
    assert len(smallest.draws) < len(life.draws) / 2
    faults = [key for key in smallest.draws if key.startswith("class ")]
    assert 1 <= len(faults) <= 3
    assert live(Script(smallest.draws), NODEDUP).rule == life.rule


def test_the_smallest_case_passes_once_the_bug_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    resend_at_once(monkeypatch)
    smallest = shrink(first_broken()[1], NODEDUP)
    monkeypatch.undo()
    assert live(Script(smallest.draws), NODEDUP).rule is None


def test_the_commands_tell_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    resend_at_once(monkeypatch)
    seed, _ = first_broken()
    found = [f"--seeds={seed}:{seed + 1}", "--profile=nodedup"]
    assert main(["run", *found]) == 1
    assert f"python -m tests.simulator shrink --seed {seed} --profile nodedup" in capsys.readouterr().out
    saved = tmp_path / "case.json"
    assert main(["shrink", f"--seed={seed}", "--profile=nodedup", f"--save={saved}"]) == 1
    told = capsys.readouterr().out
    case = read_case(saved)
    assert case.rule == "no order twice"
    assert f"replay --profile nodedup --draws '{as_text(case.draws)}'" in told
    assert main(["replay", f"--case={saved}"]) == 1
    by_case = capsys.readouterr().out
    assert main(["replay", "--profile=nodedup", f"--draws={as_text(case.draws)}"]) == 1
    assert capsys.readouterr().out == by_case
    assert main(["run", *found, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rules"] == {"no order twice": 1}


def test_a_seed_that_breaks_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shrink", "--seed=0"]) == 0
    assert capsys.readouterr().out == "seed 0 breaks nothing\n"


def test_draws_are_read_as_they_are_written() -> None:
    draws = {"class crash#0": 3, "crash before intents#1": 1}
    assert from_text(as_text(draws)) == draws
