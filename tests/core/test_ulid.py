"""ULIDs: the digits of the published specification, times at their edges, and ids that only grow."""

import string
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from trimtab.core import ulid

NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PYTHON = (string.digits + string.ascii_lowercase)[:32]


def by_python(text: str) -> int:
    """What Python itself reads, told which digit is which."""
    return int(text.translate(str.maketrans(CROCKFORD, PYTHON)), 32)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("00000000000000000000000000", 0),
        ("0000000000000000000000000Z", 31),
        ("00000000000000000000000010", 32),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 2**128 - 1),
        # The example of the specification.
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", by_python("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
    ],
)
def test_a_number_and_its_text(text: str, number: int) -> None:
    assert ulid.text_of(number) == text
    assert ulid.number_in(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80000000000000000000000000",
        "0000000000000000000000000",
        "000000000000000000000000000",
        "0000000000000000000000000I",
        "0000000000000000000000000U",
        "0000000000000000000000000a",
        "0000000000000000000000000٣",
        "0000000000000000000000000\n",
    ],
)
def test_what_is_no_ulid(text: str) -> None:
    assert ulid.number_in(text) is None


def test_texts_sort_as_their_numbers_do() -> None:
    chance = Random(1)
    numbers = [chance.getrandbits(chance.randint(1, 128)) for _ in range(500)]
    assert sorted(map(ulid.text_of, numbers)) == [ulid.text_of(number) for number in sorted(numbers)]


def test_the_example_of_the_specification_has_its_time() -> None:
    at = datetime(2016, 7, 30, 23, 54, 10, 259000, tzinfo=UTC)
    example = by_python("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert ulid.first_of(at) < example < ulid.last_of(at)


@pytest.mark.parametrize(
    ("at", "milliseconds"),
    [
        (NOON, 1772452800123),
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, tzinfo=UTC), 0),
        (datetime.max.replace(tzinfo=UTC), 253402300799999),
    ],
)
def test_the_bounds_of_a_millisecond(at: datetime, milliseconds: int) -> None:
    assert ulid.first_of(at) == milliseconds * 2**80
    assert ulid.last_of(at) == (milliseconds + 1) * 2**80 - 1


@pytest.mark.parametrize(
    ("last", "chance", "number"),
    [
        # Time has gone on: the rest is chance, of which the first bit stays free.
        (0, 5, ulid.first_of(NOON) + 5),
        (ulid.first_of(NOON) - 1, 2**79 + 5, ulid.first_of(NOON) + 5),
        # It has not: a step of chance.
        (ulid.first_of(NOON), 0, ulid.first_of(NOON) + 1),
        (ulid.first_of(NOON) + 7, 5, ulid.first_of(NOON) + 13),
        (ulid.first_of(NOON) + 7, 2**32 + 5, ulid.first_of(NOON) + 13),
        # It has gone back.
        (ulid.last_of(NOON + timedelta(days=1)), 1, ulid.last_of(NOON + timedelta(days=1)) + 2),
    ],
)
def test_the_id_after_another(last: int, chance: int, number: int) -> None:
    assert ulid.successor(last, at=NOON, chance=chance) == number


def test_ids_of_a_standing_clock_stay_within_their_millisecond() -> None:
    last = 0
    for _ in range(10_000):
        before, last = last, ulid.successor(last, at=NOON, chance=2**128 - 1)
        assert before < last < ulid.last_of(NOON)
