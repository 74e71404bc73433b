"""`python -m tests.simulator plants`: plant every bug and say what saw it."""

import argparse
import sys

from tests.simulator.plants.page import PAGE, page
from tests.simulator.plants.runner import SEEDS_MAX, Catch, found, hunt_all, remember
from tests.simulator.plants.table import PLANTS


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", help="numbers, as P07,P08")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="lives at most for each")
    parser.add_argument("--find", action="store_true", help="begin without hints, and remember what is found")


def hunt_bugs(options: argparse.Namespace) -> int:
    """0 if every bug was seen."""
    wanted = [PLANTS[number] for number in options.only.split(",")] if options.only else [*PLANTS.values()]
    catches = []
    for catch in hunt_all(wanted, jobs=options.jobs, seeds_max=options.seeds, uses_hints=not options.find):
        catches.append(catch)
        if options.find:
            remember([catch])
        _say(_line(catch))
    if options.find:
        PAGE.write_text(page(found()))
    survivors = [catch.number for catch in catches if catch.rule is None]
    _say(f"{len(catches) - len(survivors)} of {len(catches)} caught")
    if survivors:
        _say(f"SURVIVORS: {', '.join(survivors)}")
    return bool(survivors)


def _line(catch: Catch) -> str:
    name = PLANTS[catch.number].name
    if catch.rule is None:
        return f"{catch.number} {name}: SURVIVED {catch.lives} lives, {catch.seconds:.1f} s"
    return (
        f"{catch.number} {name}: '{catch.rule}' after {catch.lives} lives, {catch.seconds:.1f} s: {catch.why}"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
