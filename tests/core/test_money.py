"""Amounts: what may be written, how it is rounded, and that a split loses nothing."""

import decimal
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.money import (
    DIGITS,
    divide_down,
    divide_up,
    parse_decimal,
    places,
    plain,
    round_down,
    round_nearest,
    split,
)

# what is written, the value or None
WRITTEN = [
    ("0", "0"),
    ("5", "5"),
    ("+5", "5"),
    ("-5", "-5"),
    ("007", "7"),
    ("33.33", "33.33"),
    ("0.000000000000000001", "0.000000000000000001"),
    ("999999999999999999.999999999999999999", "999999999999999999.999999999999999999"),
    ("1000000000000000000", None),
    ("0.0000000000000000001", None),
    ("", None),
    (" 5", None),
    ("5 ", None),
    ("5\n", None),
    ("5.", None),
    (".5", None),
    ("1,000", None),
    ("1_000", None),
    ("1e3", None),
    ("1E-3", None),
    ("NaN", None),
    ("Infinity", None),
    ("--5", None),
    ("5.5.5", None),
    ("0x10", None),
    ("\uff15", None),
    ("\u0665", None),
    ("5\x00", None),
]


@pytest.mark.parametrize(("text", "value"), WRITTEN)
def test_a_decimal_is_digits_with_a_sign_and_a_fraction_and_nothing_else(
    text: str, value: str | None
) -> None:
    assert parse_decimal(text) == (None if value is None else Decimal(value))


@given(st.text(alphabet="0123456789+-.eE_ ,", max_size=12))
def test_what_is_accepted_is_what_it_says(text: str) -> None:
    value = parse_decimal(text)
    if value is not None:
        assert Fraction(value) == Fraction(text)


PLAIN = [
    ("0", "0"),
    ("-0", "0"),
    ("-0.00", "0"),
    ("0.000000000", "0"),
    ("35.00", "35"),
    ("35.50", "35.5"),
    ("100", "100"),
    ("1E+3", "1000"),
    ("1E-9", "0.000000001"),
    ("-12.340", "-12.34"),
    ("0.10", "0.1"),
]


@pytest.mark.parametrize(("value", "text"), PLAIN)
def test_plain_text_has_no_exponent_no_trailing_zero_and_no_minus_zero(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


PLACES = [("0", 0), ("0.00", 0), ("100", 0), ("1E+2", 0), ("33.33", 2), ("33.330", 2), ("33.333", 3)]


@pytest.mark.parametrize(("value", "count"), PLACES)
def test_places_are_those_that_the_value_needs(value: str, count: int) -> None:
    assert places(Decimal(value)) == count


def test_only_finite_amounts_have_places() -> None:
    with pytest.raises(AssertionError, match="finite"):
        places(Decimal("Infinity"))


# value, places, towards zero, away from zero
ROUNDED = [
    ("1.239", 2, "1.23"),
    ("1.231", 2, "1.23"),
    ("1.23", 2, "1.23"),
    ("-1.239", 2, "-1.23"),
    ("0.001", 2, "0.00"),
    ("0.9999999999", 9, "0.999999999"),
    ("7", 0, "7"),
]


@pytest.mark.parametrize(("value", "to_places", "down"), ROUNDED)
def test_rounding_down_goes_towards_zero(value: str, to_places: int, down: str) -> None:
    assert round_down(Decimal(value), to_places) == Decimal(down)


NEAREST = [("1.005", "1"), ("1.015", "1.02"), ("1.0151", "1.02"), ("1.0149", "1.01"), ("-1.005", "-1")]


@pytest.mark.parametrize(("value", "shown"), NEAREST)
def test_what_is_only_shown_is_rounded_to_the_nearest_and_halves_to_even(value: str, shown: str) -> None:
    assert round_nearest(Decimal(value), 2) == Decimal(shown)


# amount, by, places, down, up
DIVIDED = [
    ("10", "3", 2, "3.33", "3.34"),
    ("10", "4", 2, "2.5", "2.5"),
    ("115", "3", 9, "38.333333333", "38.333333334"),
    ("0", "3", 9, "0", "0"),
    ("0.000000001", "1000", 9, "0", "0.000000001"),
    ("200", "100", 9, "2", "2"),
    ("1", "0.03", 0, "33", "34"),
]


@pytest.mark.parametrize(("amount", "by", "to_places", "down", "up"), DIVIDED)
def test_a_division_says_where_its_remainder_goes(
    amount: str, by: str, to_places: int, *, down: str, up: str
) -> None:
    assert divide_down(Decimal(amount), Decimal(by), to_places=to_places) == Decimal(down)
    assert divide_up(Decimal(amount), Decimal(by), to_places=to_places) == Decimal(up)


def test_shares_of_negative_amounts_and_by_nothing_are_refused() -> None:
    with pytest.raises(AssertionError, match="positive amounts"):
        divide_down(Decimal(-1), Decimal(3), to_places=2)
    with pytest.raises(AssertionError, match="divisor"):
        divide_up(Decimal(1), Decimal(0), to_places=2)


# total, weights, parts
SPLITS = [
    ("10.00", "1 1 1", "3.34 3.33 3.33"),
    ("0.01", "1 1 1", "0.01 0 0"),
    ("0.02", "1 1 1", "0.01 0.01 0"),
    ("100.00", "33.33 33.33 33.34", "33.33 33.33 33.34"),
    ("10.00", "33.33 33.33 33.34", "3.33 3.33 3.34"),
    ("1000.01", "50 50", "500.01 500.00"),
    ("100.00", "100 110", "47.62 52.38"),
    ("100.00", "0 5 0", "0 100.00 0"),
    # Shares are 0.4, 0.4 and 1.2 cents: the last has its cent, the other goes to the first.
    ("0.02", "1 1 3", "0.01 0 0.01"),
    ("0", "1 2", "0 0"),
    ("0", "0 0", "0 0"),
    ("0", "", ""),
]


@pytest.mark.parametrize(("total", "wanted", "parts"), SPLITS)
def test_a_split_gives_left_over_cents_to_the_largest_fractions(total: str, wanted: str, parts: str) -> None:
    expected = [Decimal(part) for part in parts.split()]
    assert split(Decimal(total), [Decimal(each) for each in wanted.split()]) == expected


BAD_SPLITS = [
    ("-1", "1", "positive totals"),
    ("0.001", "1", "whole cents"),
    ("1", "0 0", "nothing"),
    ("1", "", "nothing"),
]


@pytest.mark.parametrize(("total", "wanted", "why"), BAD_SPLITS)
def test_a_split_that_would_lose_money_is_refused(total: str, wanted: str, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        split(Decimal(total), [Decimal(each) for each in wanted.split()])


cents = st.integers(0, 10**14).map(lambda n: Decimal(n).scaleb(-2))
shares = st.lists(st.integers(0, 10**13).map(lambda n: Decimal(n).scaleb(-6)), min_size=1, max_size=30)


@given(cents, shares.filter(any))
def test_a_split_sums_exactly_and_each_part_is_within_a_cent_of_its_share(
    total: Decimal, wanted: list[Decimal]
) -> None:
    parts = split(total, wanted)
    whole = sum(map(Fraction, wanted))
    assert sum(map(Fraction, parts)) == Fraction(total)
    for part, weight in zip(parts, wanted, strict=True):
        share = Fraction(total) * Fraction(weight) / whole
        assert abs(Fraction(part) - share) < Fraction(1, 100)
        assert (Fraction(part) * 100).denominator == 1


@given(cents, shares.filter(any), st.data())
def test_equal_weights_differ_by_a_cent_at_most(
    total: Decimal, wanted: list[Decimal], data: st.DataObject
) -> None:
    twin = data.draw(st.integers(0, len(wanted) - 1))
    parts = split(total, [*wanted, wanted[twin]])
    assert Decimal(0) <= parts[twin] - parts[-1] <= Decimal("0.01")


def test_every_thread_calculates_with_sixty_digits() -> None:
    with ThreadPoolExecutor(1) as pool:
        digits = pool.submit(lambda: decimal.getcontext().prec).result()
    assert (decimal.getcontext().prec, digits, DIGITS) == (60, 60, 60)
