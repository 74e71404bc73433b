"""Minimal cases: lives that once broke a rule, kept as small files that are lived again by every test run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`rule` is what was broken once; `open` says what is still to be mended, if it is broken now."""

    profile: str
    rule: str
    why: str
    draws: Mapping[str, int]
    open: str | None = None


def read_case(path: Path) -> Case:
    return Case(**json.loads(path.read_text()))


def write_case(path: Path, case: Case) -> None:
    path.write_text(json.dumps(asdict(case), indent=2) + "\n")


def as_text(draws: Mapping[str, int]) -> str:
    """`class crash#0=3, crash#7=1`: as the command line reads it."""
    return ", ".join(f"{key}={value}" for key, value in sorted(draws.items()))


def from_text(text: str) -> dict[str, int]:
    pairs = (each.strip().rpartition("=") for each in text.split(",") if each.strip())
    return {key: int(value) for key, _, value in pairs}
