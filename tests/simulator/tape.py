"""All chance of a simulated world: numbered draws by label, from a seed or from a written tape.

Each label counts its own draws, so that leaving one fault away does not change the others. The first
choice is always the harmless one: a tape that says nothing is a good day.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol
from zlib import crc32

PER_MILLE = 1000
_MASK = 2**64 - 1


@cache
def _code(label: str) -> int:
    return crc32(label.encode()) * 0xD1B54A32D192ED03


class Source(Protocol):
    """Where the value of a draw comes from."""

    def value(self, label: str, number: int, *, ways: int) -> int: ...

    def happens(self, label: str, number: int, *, per_mille: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class Seed:
    """Mixed from the seed, the label and the number alone, and so the same on every machine."""

    seed: int

    def value(self, label: str, number: int, *, ways: int) -> int:
        # SplitMix64, which spreads neighbouring numbers over all bits.
        state = (self.seed * 0x9E3779B97F4A7C15 + _code(label) + number) & _MASK
        state = ((state + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
        return (state >> 11) % ways

    def happens(self, label: str, number: int, *, per_mille: int) -> bool:
        return self.value(label, number, ways=PER_MILLE) >= PER_MILLE - per_mille


@dataclass(frozen=True, slots=True)
class Script:
    """Draws as they are written down, by `label#number`; everything else is harmless."""

    draws: Mapping[str, int]

    def value(self, label: str, number: int, *, ways: int) -> int:
        return self.draws.get(f"{label}#{number}", 0) % ways

    def happens(self, label: str, number: int, *, per_mille: int) -> bool:
        return bool(per_mille) and self.draws.get(f"{label}#{number}", 0) > 0


@dataclass(slots=True)
class Tape:
    """`drawn` are the draws so far that were not harmless: as a Script they are this tape again."""

    source: Source
    drawn: dict[str, int] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def choice(self, label: str, ways: int) -> int:
        """A number below `ways`."""
        number = self._counts[label]
        self._counts[label] = number + 1
        value = self.source.value(label, number, ways=ways)
        if value:
            self.drawn[f"{label}#{number}"] = value
        return value

    def happens(self, label: str, per_mille: int) -> bool:
        """Whether something happens that does so at this rate."""
        if not per_mille:
            return False
        number = self._counts[label]
        self._counts[label] = number + 1
        happens = self.source.happens(label, number, per_mille=per_mille)
        if happens:
            self.drawn[f"{label}#{number}"] = 1
        return happens
