"""ULIDs: 128 bits as 26 digits of Crockford's base 32, which sort as their numbers do.

The first 48 bits may be a time in milliseconds; in the ids of published events they are.
"""

import re
from datetime import UTC, datetime, timedelta

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
BITS_PER_DIGIT = 5
BITS_BELOW_TIME = 80
# Of the bits below the time the first stays free, and one event is at most this far behind the next of
# the same millisecond: there is room for 2^47 of them.
CHANCE = 1 << (BITS_BELOW_TIME - 1)
STEP = 1 << 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
_TEXT = re.compile(f"[0-7][{DIGITS}]{{{LENGTH - 1}}}", re.ASCII)
# Two digits at a time: half the work.
_PAIRS = tuple(first + second for first in DIGITS for second in DIGITS)
_SHIFTS = tuple(range(BITS_PER_DIGIT * (LENGTH - 2), -1, -2 * BITS_PER_DIGIT))


def text_of(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def number_in(text: str) -> int | None:
    """The number that `text_of` would write so; None if there is none."""
    if not _TEXT.fullmatch(text):
        return None
    number = 0
    for digit in text:
        number = number << BITS_PER_DIGIT | DIGITS.index(digit)
    return number


def first_of(at: datetime) -> int:
    """The smallest number with the millisecond of this instant; 0 for what was before 1970."""
    return max(0, (at - EPOCH) // MILLISECOND) << BITS_BELOW_TIME


def last_of(at: datetime) -> int:
    """The largest number with the millisecond of this instant."""
    return first_of(at) | (1 << BITS_BELOW_TIME) - 1


def successor(last: int, *, at: datetime, chance: int) -> int:
    """A number with the time of this instant, and greater than `last` even if time stands still or goes
    back. The distance is chance, so that nobody can count what others were given in between.
    """
    first = first_of(at)
    if last < first:
        return first + chance % CHANCE
    return last + 1 + chance % STEP
