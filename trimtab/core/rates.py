"""How several processes share what a broker lets all of them ask together.

The broker says after each call how many are left until its window ends. What is known is kept in one
place, and taken from there in portions, so that not every call is a question to that place too.
"""

from dataclasses import dataclass
from datetime import datetime

PORTION = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Calls that are left until `ends_at`."""

    left: int
    ends_at: datetime


def portion(known: Window | None, told: Window | None, *, now: datetime) -> tuple[Window | None, int]:
    """What is known from here on, and how many calls the asker may make of it.

    `known` is less what has been handed out, `told` is what the broker said last: neither can be right and
    too small. The end of a window stays where it was first said to be, for some brokers say a later one
    each time; only who has nothing left must wait for the end that goes with it. Nothing is known of a
    window that nobody was told of: a portion is free.
    """
    window = known if known is not None and known.ends_at > now else None
    if told is not None and told.ends_at > now:
        window = told if window is None or told.left == 0 else _narrower(window, told)
    if window is None:
        return None, PORTION
    granted = min(PORTION, window.left)
    return Window(left=window.left - granted, ends_at=window.ends_at), granted


def _narrower(known: Window, told: Window) -> Window:
    return Window(left=min(known.left, told.left), ends_at=known.ends_at)
