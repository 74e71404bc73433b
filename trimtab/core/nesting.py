"""Which strategy holds which others, and by what way: the graph of nested strategies.

A shelf is the targets of strategies by their id; one that is not on it holds no other.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from trimtab.core.strategy import Target, nested_ids

Shelf = Mapping[str, Sequence[Target]]


def below(strategy_id: str, shelf: Shelf) -> frozenset[str]:
    """All strategies that it holds, however deep."""
    return _reached(strategy_id, {id_: nested_ids(targets) for id_, targets in shelf.items()})


def above(strategy_id: str, shelf: Shelf) -> frozenset[str]:
    """All strategies that hold it, however deep: their weights change when its targets do."""
    holders: dict[str, list[str]] = {}
    for holder, targets in shelf.items():
        for inner in nested_ids(targets):
            holders.setdefault(inner, []).append(holder)
    return _reached(strategy_id, holders)


def way_back(strategy_id: str, shelf: Shelf) -> tuple[str, ...]:
    """The shortest way by which it leads back to itself, both ends included; empty if there is none."""
    ways: dict[str, tuple[str, ...]] = {strategy_id: (strategy_id,)}
    waiting = deque(ways)
    while waiting:
        reached = waiting.popleft()
        for inner in nested_ids(shelf.get(reached, ())):
            way = (*ways[reached], inner)
            if inner == strategy_id:
                return way
            if inner not in ways:
                ways[inner] = way
                waiting.append(inner)
    return ()


def _reached(start: str, steps: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Where any number of steps lead to; the start itself only by a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(steps.get(waiting.pop(), ())) - reached
        reached |= new
        waiting += new
    return frozenset(reached)
