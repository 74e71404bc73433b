"""The simulator's own commands: `python -m tests.simulator run | replay | shrink | plants`."""

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path
from time import perf_counter

from tests.simulator.cases import Case, as_text, from_text, read_case, write_case
from tests.simulator.life import Life, live
from tests.simulator.plants.command import add_options, hunt_bugs
from tests.simulator.shrink import shrink
from tests.simulator.tape import Script, Seed
from tests.simulator.weather import PROFILES

CHUNK = 50


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    commands = {"run": _run, "replay": _replay, "shrink": _shrink, "plants": hunt_bugs}
    return commands[options.command](options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="live through many seeds")
    run.add_argument("--seeds", default="0:2000", help="FROM:TO, TO not included")
    run.add_argument("--jobs", type=int, default=1)
    run.add_argument("--json", action="store_true", help="one line of JSON, with what was reached")
    replay = commands.add_parser("replay", help="live through one seed or case again and print its trace")
    replay.add_argument("--draws", help="the draws that are not harmless: label#number=value, …")
    replay.add_argument("--case", type=Path, help="a file of the corpus")
    smaller = commands.add_parser("shrink", help="find the smallest case that breaks the same rule")
    smaller.add_argument("--save", type=Path, help="write it as a file of the corpus")
    add_options(commands.add_parser("plants", help="plant every known bug, and say what saw it"))
    for each in (run, replay, smaller):
        each.add_argument("--profile", choices=[*PROFILES], default="all")
    for each in (replay, smaller):
        each.add_argument("--seed", type=int, default=0)
    return parser


def seeds_of(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def lives(profile: str, seeds: range) -> list[tuple[int, Life]]:
    return [(seed, live(Seed(seed), PROFILES[profile])) for seed in seeds]


def _run(options: argparse.Namespace) -> int:
    seeds = seeds_of(options.seeds)
    chunks = [seeds[n : n + CHUNK] for n in range(0, len(seeds), CHUNK)]
    began = perf_counter()
    reached: Counter[str] = Counter()
    failed: list[tuple[int, Life]] = []
    trace = blake2b(digest_size=16)
    for seed, life in _everyone(chunks, options):
        reached.update(life.seen)
        trace.update(life.digest.encode())
        if life.rule is not None:
            failed.append((seed, life))
    elapsed = perf_counter() - began
    rules = Counter(life.rule for _, life in failed)
    summary = {
        "profile": options.profile,
        "seeds": len(seeds),
        "violations": len(failed),
        "rules": rules,
        "first": [seed for seed, _ in failed[:10]],
        "seeds_per_s": round(len(seeds) / elapsed, 1),
        "trace": trace.hexdigest(),
    }
    if options.json:
        _say(json.dumps(summary | {"reached": dict(sorted(reached.items()))}))
        return bool(failed)
    _say(", ".join(f"{key} {value}" for key, value in summary.items() if key not in {"rules", "first"}))
    for seed, life in failed[:10]:
        _say(f"seed {seed} broke '{life.rule}': {life.why}")
        _say(f"  python -m tests.simulator shrink --seed {seed} --profile {options.profile}")
    return bool(failed)


def _everyone(chunks: Sequence[range], options: argparse.Namespace) -> Iterable[tuple[int, Life]]:
    if options.jobs == 1:
        for chunk in chunks:
            yield from lives(options.profile, chunk)
        return
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(partial(lives, options.profile), chunks):
            yield from found


def _replay(options: argparse.Namespace) -> int:
    profile, source = PROFILES[options.profile], _source(options)
    if options.case is not None:
        profile = PROFILES[read_case(options.case).profile]
    life = live(source, profile, keeps_lines=True)
    for line in life.lines:
        _say(line)
    _say(f"trace {life.digest}: {life.rule or 'nothing'} was broken")
    return life.rule is not None


def _source(options: argparse.Namespace) -> Seed | Script:
    if options.case is not None:
        return Script(read_case(options.case).draws)
    return Seed(options.seed) if options.draws is None else Script(from_text(options.draws))


def _shrink(options: argparse.Namespace) -> int:
    profile = PROFILES[options.profile]
    life = live(Seed(options.seed), profile)
    if life.rule is None:
        _say(f"seed {options.seed} breaks nothing")
        return 0
    smallest = shrink(life, profile)
    _say(f"{len(life.draws)} draws became {len(smallest.draws)}, {life.steps} steps {smallest.steps}")
    _say(f"{smallest.rule}: {smallest.why}")
    draws = as_text(smallest.draws)
    _say(f"python -m tests.simulator replay --profile {profile.name} --draws '{draws}'")
    if options.save is not None:
        rule = smallest.rule or ""
        write_case(
            options.save,
            Case(profile=profile.name, rule=rule, why=smallest.why, draws=dict(smallest.draws)),
        )
    return 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
