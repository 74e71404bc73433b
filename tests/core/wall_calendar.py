"""The New York exchange from 2005 to 2028 as its published rules say it, and the days that each
calendar rule names: written out by hand, from no calendar library and without our code.

The holidays follow the exchange's rule 7.2, the lists are its special announcements. A rule's answers
are found the other way round than `fires` looks for them: from each nominal date back to an open day.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

FIRST, LAST = date(2005, 1, 1), date(2028, 12, 31)
MONDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = 0, 3, 4, 5, 6
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
MONTHS = range(1, 13)
SEED_QUARTERS = (1, 3, 6, 12)
CALENDAR_QUARTERS = (1, 4, 7, 10)

# Closed for a day of mourning, or by a storm.
SPECIAL_CLOSES = {
    date(2007, 1, 2): "President Ford",
    date(2012, 10, 29): "Hurricane Sandy",
    date(2012, 10, 30): "Hurricane Sandy",
    date(2018, 12, 5): "President George H. W. Bush",
    date(2025, 1, 9): "President Carter",
}

# Open until 13:00, by the exchange's yearly announcements: the day before Independence Day, the day
# after Thanksgiving and Christmas Eve, where these are days of trading at all.
EARLY_CLOSES = """
    2006-07-03 2006-11-24            2007-07-03 2007-11-23 2007-12-24 2008-07-03 2008-11-28 2008-12-24
    2009-11-27 2009-12-24            2010-11-26                       2011-11-25
    2012-07-03 2012-11-23 2012-12-24 2013-07-03 2013-11-29 2013-12-24 2014-07-03 2014-11-28 2014-12-24
    2015-11-27 2015-12-24            2016-11-25                       2017-07-03 2017-11-24
    2018-07-03 2018-11-23 2018-12-24 2019-07-03 2019-11-29 2019-12-24 2020-11-27 2020-12-24
    2021-11-26                       2022-11-25                       2023-07-03 2023-11-24
    2024-07-03 2024-11-29 2024-12-24 2025-07-03 2025-11-28 2025-12-24 2026-11-27 2026-12-24
    2027-11-26
"""


def early_closes() -> set[date]:
    return {date.fromisoformat(text) for text in EARLY_CLOSES.split()}


def easter(year: int) -> date:
    """The Gregorian computus, as Meeus, Jones and Butcher give it."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)


def nth(number: int, weekday: int, year: int, month: int) -> date:
    """The first, second … such weekday of a month; -1 is the last."""
    days = [date(year, month, 1) + timedelta(days=n) for n in range(31)]
    return [day for day in days if day.weekday() == weekday and day.month == month][
        number - 1 if number > 0 else -1
    ]


def observed(day: date) -> date:
    """A holiday on a Saturday is kept on Friday, one on a Sunday on Monday."""
    return day + timedelta(days={SATURDAY: -1, SUNDAY: 1}.get(day.weekday(), 0))


def holidays(year: int) -> Iterator[date]:
    new_year = date(year, 1, 1)
    # Not kept on the Friday before, which ends the accounts of the old year.
    yield new_year if new_year.weekday() == SATURDAY else observed(new_year)
    yield nth(3, MONDAY, year, 1)  # Martin Luther King's birthday
    yield nth(3, MONDAY, year, 2)  # Washington's birthday
    yield easter(year) - timedelta(days=2)  # Good Friday
    yield nth(-1, MONDAY, year, 5)  # Memorial Day
    if year >= 2022:
        yield observed(date(year, 6, 19))  # Juneteenth
    yield observed(date(year, 7, 4))
    yield nth(1, MONDAY, year, 9)  # Labor Day
    yield nth(4, THURSDAY, year, 11)  # Thanksgiving
    yield observed(date(year, 12, 25))


def dates(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


@cache
def open_days() -> frozenset[date]:
    closed = {day for year in range(FIRST.year, LAST.year + 1) for day in holidays(year)}
    closed |= SPECIAL_CLOSES.keys()
    return frozenset(d for d in dates(FIRST, LAST) if d.weekday() <= FRIDAY and d not in closed)


@cache
def session_of(nominal: date) -> date:
    """The open day that answers for this date: itself, or the preceding one."""
    while nominal not in open_days():
        nominal -= timedelta(days=1)
    return nominal


def on_weekday(name: str) -> Iterator[date]:
    first = next(day for day in dates(FIRST, LAST) if day.weekday() == WEEKDAYS.index(name))
    return (first + timedelta(weeks=n) for n in range((LAST - first).days // 7 + 1))


def on_day(day: int, months: tuple[int, ...] = tuple(MONTHS)) -> Iterator[date]:
    """That day of these months; where the month is shorter, its last day, which precedes the missing one."""
    for year in range(FIRST.year, LAST.year + 1):
        for month in months:
            after = date(year + month // 12, month % 12 + 1, 1)
            yield min(date(year, month, 1) + timedelta(days=day - 1), after - timedelta(days=1))


def on_date(month: int, day: int) -> Iterator[date]:
    """That date of every year; 29 February of a common year is answered from the day before 1 March."""
    for year in range(FIRST.year, LAST.year + 1):
        is_missing = (month, day) == (2, 29) and (year % 4 != 0 or (year % 100 == 0 and year % 400 != 0))
        yield date(year, 2, 28) if is_missing else date(year, month, day)


def sessions_of(nominal: Iterator[date], first: date, last: date) -> list[date]:
    """The sessions within first..last that answer for these dates: for none before themselves."""
    answering = {session_of(day) for day in nominal if day >= first}
    return sorted(on for on in answering if first <= on <= last)
