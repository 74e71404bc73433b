"""Plants one bug after another and waits for somebody to see it.

Each is planted in a copy of the project and hunted there by a process of its own: by the lives of its profile
until the first that breaks a rule, or by its test. What saw it is remembered in `found.json`: the next hunt
begins with that life.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.simulator.plants.plant import Plant, planted

FOUND = Path(__file__).parent / "found.json"
SEEDS_MAX = 2000
SECONDS_MAX = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Catch:
    """`rule` is what was broken, None for a bug that survived; `seed` the life that broke it, if one did."""

    number: str
    rule: str | None
    seed: int | None
    lives: int
    seconds: float
    why: str = ""


def found() -> Mapping[str, tuple[int | None, str]]:
    """By number: the seed and the rule that caught each bug when it was last hunted."""
    return {number: (one["seed"], one["rule"]) for number, one in json.loads(FOUND.read_text()).items()}


def remember(catches: Sequence[Catch]) -> None:
    known = {number: {"seed": seed, "rule": rule} for number, (seed, rule) in found().items()}
    known |= {c.number: {"seed": c.seed, "rule": c.rule} for c in catches if c.rule is not None}
    lines = [f"  {json.dumps(number)}: {json.dumps(known[number])}" for number in sorted(known)]
    FOUND.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def hunt(plant: Plant, *, seeds_max: int = SEEDS_MAX, hint: int = 0) -> Catch:
    """Plant the bug and look for it; `hint` is the life to begin with."""
    began = perf_counter()
    with planted(plant) as ground:
        run = partial(
            subprocess.run,
            cwd=ground,
            env={**os.environ, "PYTHONPATH": str(ground)},
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        if plant.test is not None:
            failed = run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-k", "not postgres", plant.test]
            )
            # 1: tests have failed. Anything else is no verdict.
            caught = plant.test if failed.returncode == 1 else None
            said: dict[str, Any] = {
                "seed": None,
                "rule": caught,
                "lives": 0,
                "why": failed.stdout.strip().rpartition("\n")[2],
            }
        else:
            module = "tests.simulator.plants.hunt"
            lived = run([sys.executable, "-m", module, plant.profile, str(hint), str(seeds_max)])
            assert lived.returncode == 0, f"{plant.number}: {lived.stderr[-2000:]}"
            said = json.loads(lived.stdout)
    return Catch(
        number=plant.number,
        rule=said.get("rule"),
        seed=said["seed"],
        lives=said["lives"],
        seconds=perf_counter() - began,
        why=said.get("why", ""),
    )


def hunt_all(plants: Sequence[Plant], *, jobs: int, seeds_max: int, uses_hints: bool) -> Iterator[Catch]:
    """Catches in the order of the plants, each as soon as it is known."""
    hints = {number: seed or 0 for number, (seed, _) in found().items()} if uses_hints else {}

    def one(plant: Plant) -> Catch:
        return hunt(plant, seeds_max=seeds_max, hint=hints.get(plant.number, 0))

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, plants)
