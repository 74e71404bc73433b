"""What a planted bug is: one change of one file, and where it must be seen.

Proof that the tester sees (reliability notes, 5.6): a rule that no planted bug breaks is a rule that nobody
knows to work. A plant is what somebody could have written by mistake; it is never made weaker because it is
hard to see.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import memory_folder

ROOT = Path(__file__).resolve().parents[3]
GROUND = ("trimtab", "tests", "pyproject.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """`new` takes the place of `old`, which is in the file exactly once.

    It is caught by a life of the profile or, where no life can show such a thing, by a test of the suite.
    """

    number: str
    name: str
    file: str
    old: str
    new: str
    profile: str = "all"
    test: str | None = None

    def planted_in(self, text: str) -> str:
        assert text.count(self.old) == 1, f"{self.number}: not exactly once in {self.file}: {self.old!r}"
        return text.replace(self.old, self.new)


@contextmanager
def planted(plant: Plant) -> Iterator[Path]:
    """A copy of the project with the bug in it, in memory where there is room."""
    with tempfile.TemporaryDirectory(prefix="trimtab-plant-", dir=memory_folder()) as folder:
        ground = Path(folder)
        for name in GROUND:
            source = ROOT / name
            if source.is_dir():
                # With what is compiled already: only the planted file has to be compiled again.
                shutil.copytree(source, ground / name)
            else:
                shutil.copy2(source, ground / name)
        path = ground / plant.file
        path.write_text(plant.planted_in(path.read_text()))
        yield ground
