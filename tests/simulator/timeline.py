"""Simulated time: what is to happen, in order, and the trace of what did.

One thread. Whoever does something says when it goes on; what is due at the same instant happens in the
order in which it was asked for. The trace has one line for each thing that happened, and its hash is equal
for two lives if and only if they were the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Any

Action = Callable[[], None]


@dataclass(slots=True, kw_only=True)
class Timeline:
    """`seen` are the tags of what has happened, for the named states (see reach)."""

    began_at: datetime
    now: datetime
    keeps_lines: bool = False
    lines: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    steps: int = 0
    _queue: list[tuple[datetime, int, Action]] = field(default_factory=list)
    _asked: int = 0
    _hash: Any = field(default_factory=lambda: blake2b(digest_size=16))

    def at(self, when: datetime, action: Action) -> None:
        self._asked += 1
        heappush(self._queue, (max(when, self.now), self._asked, action))

    def after(self, seconds: float, action: Action) -> None:
        self.at(self.now + timedelta(seconds=seconds), action)

    def run(self, until: datetime, is_over: Callable[[], bool]) -> None:
        """Let happen what is due up to a moment, or until all is over."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heappop(self._queue)
            self.steps += 1
            action()
            if is_over():
                return
        self.now = max(self.now, until)

    def write(self, actor: str, what: str, *, result: str = "") -> None:
        """One line of the trace."""
        passed = self.now - self.began_at
        self._hash.update(f"{passed.seconds}.{passed.microseconds} {actor} {what} {result}\n".encode())
        if self.keeps_lines:
            answer = f" -> {result}" if result else ""
            self.lines.append(f"{passed.total_seconds():10.3f} {actor:9} {what}{answer}")

    def tag(self, tag: str) -> None:
        self.seen.add(tag)

    @property
    def digest(self) -> str:
        digest: str = self._hash.hexdigest()
        return digest
