"""The room that Alpaca's rate limit leaves, shared with every other process that uses the same key.

Cancels may use all of it, sells nearly all, buys less and questions least: what takes risk away comes
before what adds it. Goes by the engine's clock: in a sandbox a pause ends when the clock is set further.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from threading import Lock

from trimtab.core.rates import Window

# Records what was said last and hands out a portion: the window without it, and its size.
Share = Callable[[Window | None], tuple[Window | None, int]]

PAUSE_MIN = timedelta(seconds=1)
PAUSE_MAX = timedelta(minutes=1)
TOO_MANY = 429
_COUNT = re.compile(r"[0-9]{1,12}", re.ASCII)


class Use(Enum):
    """What a call is for; the value is the share of the whole limit that it leaves to those above it."""

    CANCEL = 0
    SELL = 1 / 20
    BUY = 1 / 10
    READ = 1 / 5


class Budget:
    """Threads may share it."""

    def __init__(self, share: Share, clock: Callable[[], datetime]) -> None:
        self._share = share
        self._clock = clock
        self._lock = Lock()
        self._limit = 0
        self._told: Window | None = None
        self._left: int | None = None
        self._portion = 0
        self._pause = PAUSE_MIN

    def spend(self, use: Use) -> datetime | None:
        """Count one call. None if it may be made; else when the next may be."""
        with self._lock:
            now = self._clock()
            if self._told is not None and self._told.ends_at <= now:
                self._told = self._left = None
                self._portion = 0
            if self._portion == 0:
                self._renew()
            if self._told is not None and self._left is not None and self._left <= self._limit * use.value:
                return self._told.ends_at
            if self._left is not None:
                self._left -= 1
            self._portion = max(0, self._portion - 1)
            return None

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """What an answer says of the limit; 429 says that nothing is left."""
        with self._lock:
            now = self._clock()
            self._limit = _count(headers, "X-RateLimit-Limit") or self._limit
            left = _count(headers, "X-RateLimit-Remaining")
            if status == TOO_MANY:
                self._told = Window(left=0, ends_at=now + self._pause_after(headers, now))
                self._renew()
            elif left is not None:
                self._pause = PAUSE_MIN
                ends_at = now + (_until_reset(headers, now) or PAUSE_MAX)
                self._told = Window(left=left, ends_at=ends_at if self._told is None else self._told.ends_at)
                self._left = left

    def _pause_after(self, headers: Mapping[str, str], now: datetime) -> timedelta:
        """Until the reset that the broker names, if it can be believed; else twice as long each time."""
        named = _until_reset(headers, now)
        pause, self._pause = named or self._pause, min(self._pause * 2, PAUSE_MAX)
        return pause

    def _renew(self) -> None:
        window, self._portion = self._share(self._told)
        if window is not None:
            left = window.left + self._portion
            self._left = left if self._left is None else min(left, self._left)
            self._told = Window(left=left, ends_at=window.ends_at)


def _until_reset(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """At least a second and at most a minute; None if the broker does not say, or names the past."""
    after, at = _count(headers, "Retry-After"), _count(headers, "X-RateLimit-Reset")
    if after is None and at is not None:
        after = at - int(now.timestamp())
    if after is None or after <= 0:
        return None
    return min(max(timedelta(seconds=min(after, 3600)), PAUSE_MIN), PAUSE_MAX)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if _COUNT.fullmatch(text) else None
