"""The table of planted bugs as the reference shows it."""

from collections.abc import Mapping
from pathlib import Path

from tests.simulator.plants.plant import ROOT, Plant
from tests.simulator.plants.table import PLANTS

PAGE: Path = ROOT / "docs" / "reference" / "planted-bugs.md"
HEAD = """# Planted bugs

<!-- Made by `python -m tests.simulator plants --find`: change it there. -->

Proof that the [simulator](simulator.md) and the suite see. Each of these {count} bugs is planted in a copy of the
project, and what must see it is run there: the lives of a profile until the first that breaks a rule, or, where no
life can show such a thing, a test. `tests/simulator/plants` has each bug as the text it replaces.

```
python -m tests.simulator plants --only P07
python -m tests.simulator plants --find --jobs 2
```

The test suite plants every other one and begins with the life that saw it before; `make prove` plants all, without that
hint.

| bug | what is wrong | where | seen by |
|---|---|---|---|
"""


def page(found: Mapping[str, tuple[int | None, str]]) -> str:
    lines = [_line(plant, found.get(plant.number)) for plant in PLANTS.values()]
    return HEAD.format(count=len(PLANTS)) + "\n".join(lines) + "\n"


def _line(plant: Plant, catch: tuple[int | None, str] | None) -> str:
    if catch is None:
        seen = "nobody"
    elif plant.test is not None:
        seen = f"`{plant.test}`"
    else:
        seen = f"`{plant.profile}`: {catch[1]}"
    return f"| {plant.number} | {plant.name} | `{plant.file}` | {seen} |"
