"""From a life that broke a rule to the fewest draws that break the same rule."""

from collections.abc import Callable, Mapping, Sequence

from tests.simulator.life import Life, live
from tests.simulator.tape import Script
from tests.simulator.weather import Profile

Draws = Mapping[str, int]
ROUNDS_MAX = 4


def shrink(life: Life, profile: Profile) -> Life:
    """The smallest life found that breaks the same rule: whole labels are left out first, then single
    draws, then what is left becomes as small as it can.
    """
    smallest = life

    def still_breaks(draws: Draws) -> bool:
        nonlocal smallest
        found = live(Script(draws), profile)
        if found.rule != life.rule:
            return False
        # Of what was asked for, only what was drawn.
        smallest = found
        return True

    for _ in range(ROUNDS_MAX):
        before = dict(smallest.draws)
        _without(_labels(smallest.draws), lambda: smallest.draws, still_breaks)
        _without([[key] for key in sorted(smallest.draws)], lambda: smallest.draws, still_breaks)
        for key in sorted(smallest.draws):
            _lower(key, lambda: smallest.draws, still_breaks)
        if dict(smallest.draws) == before:
            break
    return smallest


def _labels(draws: Draws) -> list[list[str]]:
    """The draws by label; classes of faults come first, for each takes all its faults with it."""
    found: dict[str, list[str]] = {}
    for key in draws:
        found.setdefault(key.partition("#")[0], []).append(key)
    in_order = sorted(found, key=lambda label: (not label.startswith("class "), -len(found[label]), label))
    return [found[label] for label in in_order]


def _without(
    groups: Sequence[Sequence[str]], present: Callable[[], Draws], still_breaks: Callable[[Draws], bool]
) -> None:
    """Leave out as many groups as can be: halves first, then smaller parts."""
    size = max(len(groups) // 2, 1)
    while groups and size:
        for start in range(0, len(groups), size):
            gone = {key for group in groups[start : start + size] for key in group}
            draws = present()
            if gone & draws.keys():
                still_breaks({key: value for key, value in draws.items() if key not in gone})
        groups = [group for group in groups if set(group) & present().keys()]
        size = size // 2 if size > 1 else 0


def _lower(key: str, present: Callable[[], Draws], still_breaks: Callable[[Draws], bool]) -> None:
    value = present().get(key, 0)
    for smaller in (1, value // 4, value // 2):
        if 0 < smaller < value and still_breaks({**present(), key: smaller}):
            return
