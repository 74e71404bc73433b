"""Run where a bug is planted: lives of one profile until the first that breaks a rule.

Prints one line of JSON: the seed that broke a rule, or none.
"""

import json
import logging
import sqlite3
import sys
from itertools import chain

from tests.simulator.life import live
from tests.simulator.tape import Seed
from tests.simulator.weather import PROFILES

# Where a bug breaks what a client does, or the last look, no rule is needed to see it.
BREAKDOWNS = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, sqlite3.Error)


def hunt(profile: str, *, first: int, seeds: int) -> dict[str, object]:
    """`first` is lived before all others: it is the seed that has broken a rule before."""
    lived = 0
    for seed in chain([first], (each for each in range(seeds) if each != first)):
        lived += 1
        try:
            life = live(Seed(seed), PROFILES[profile])
        except BREAKDOWNS as error:
            return {"seed": seed, "rule": "an error", "why": repr(error), "lives": lived}
        if life.rule is not None:
            return {"seed": seed, "rule": life.rule, "why": life.why, "lives": lived}
    return {"seed": None, "lives": lived}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _, named, beginning, most = sys.argv
    sys.stdout.write(json.dumps(hunt(named, first=int(beginning), seeds=int(most))) + "\n")
