"""Portions of a rate limit: what is handed out is never more than the broker said is left."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.rates import PORTION, Window, portion

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def window(left: int, ends_in_s: int = 30) -> Window:
    return Window(left=left, ends_at=NOW + timedelta(seconds=ends_in_s))


@pytest.mark.parametrize(
    ("known", "told", "left", "granted"),
    [
        (None, None, None, PORTION),
        (window(100, 0), None, None, PORTION),
        (window(100, 0), window(50, -1), None, PORTION),
        (None, window(100), window(80), 20),
        (window(100, -5), window(100), window(80), 20),
        (window(100), None, window(80), 20),
        (window(100), window(60), window(40), 20),
        (window(60), window(100), window(40), 20),
        (window(7), None, window(0), 7),
        (window(0), None, window(0), 0),
        # A later end each time puts nothing off, but for who has nothing left.
        (window(100, 10), window(60, 50), window(40, 10), 20),
        (window(100, 10), window(0, 50), window(0, 50), 0),
    ],
)
def test_portions(known: Window | None, told: Window | None, left: Window | None, granted: int) -> None:
    assert portion(known, told, now=NOW) == (left, granted)


@given(left=st.integers(0, 500), askers=st.lists(st.booleans(), max_size=60))
def test_all_together_get_no_more_than_there_is(left: int, askers: list[bool]) -> None:
    """Whether or not those who ask know what was said at the beginning."""
    known: Window | None = window(left)
    granted = 0
    for knows in askers:
        known, more = portion(known, window(left) if knows else None, now=NOW)
        granted += more
    assert granted <= left
