"""Every calendar rule over every date from 2006 to 2027 against a table made without our code, and the
sessions themselves; then what is due if days are missed or lie in the cooldown, against plain sentences.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cache
from random import Random

import pytest

from tests.core import wall_calendar
from tests.core.examples import NEW_YORK, utc
from tests.core.test_sessions import fired
from tests.core.wall_calendar import (
    CALENDAR_QUARTERS,
    SEED_QUARTERS,
    WEEKDAYS,
    early_closes,
    on_date,
    on_day,
    on_weekday,
    open_days,
    sessions_of,
)
from trimtab.boot import read_sessions
from trimtab.core.sessions import Sessions, Span, calendar_due, cooldown_ends_on, next_firing
from trimtab.core.strategy import Annually, CalendarRule, Monthly, Quarterly, Weekly

# exchange_calendars 4.13 reads sessions in a way that pandas 3.1 is going to change.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning an ndarray:DeprecationWarning")

FIRST, LAST = date(2006, 1, 1), date(2027, 12, 31)
LEAP_YEAR = 2024
A_MOMENT = timedelta(microseconds=1)

Case = tuple[CalendarRule, frozenset[int], list[date]]


@cache
def new_york() -> Sessions:
    return read_sessions("XNYS")


def answers(nominal: Iterator[date]) -> list[date]:
    return sessions_of(nominal, FIRST, LAST)


def weekly() -> Iterator[Case]:
    for number, name in enumerate(WEEKDAYS):
        yield Weekly(weekday=number), frozenset(SEED_QUARTERS), answers(on_weekday(name))


def monthly() -> Iterator[Case]:
    for day in range(1, 32):
        yield Monthly(day=day), frozenset(SEED_QUARTERS), answers(on_day(day))


def quarterly(months: tuple[int, ...]) -> Iterator[Case]:
    for day in range(1, 32):
        yield Quarterly(day=day), frozenset(months), answers(on_day(day, months))


def annually() -> Iterator[Case]:
    for on in wall_calendar.dates(date(LEAP_YEAR, 1, 1), date(LEAP_YEAR, 12, 31)):
        rule = Annually(month=on.month, day=on.day)
        yield rule, frozenset(SEED_QUARTERS), answers(on_date(on.month, on.day))


KINDS = {
    "weekly": (weekly, 5),
    "monthly": (monthly, 31),
    "quarterly in the seed's months": (lambda: quarterly(SEED_QUARTERS), 31),
    "quarterly by the calendar": (lambda: quarterly(CALENDAR_QUARTERS), 31),
    "annually": (annually, 366),
}


def test_the_sessions_are_those_that_the_exchange_announced() -> None:
    known = [on for on in new_york().days if FIRST <= on <= LAST]
    assert known == sorted(on for on in open_days() if FIRST <= on <= LAST)


def test_every_session_opens_and_closes_when_the_exchange_announced() -> None:
    sessions = new_york()
    for on, opens_at, closes_at in zip(sessions.days, sessions.opens, sessions.closes, strict=True):
        if FIRST <= on <= LAST:
            close = 13 if on in early_closes() else 16
            assert opens_at == datetime(on.year, on.month, on.day, 9, 30, tzinfo=NEW_YORK)
            assert closes_at == datetime(on.year, on.month, on.day, close, tzinfo=NEW_YORK)


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_fires_on_the_days_of_the_table_and_on_no_other(kind: str) -> None:
    cases, count = KINDS[kind]
    found = {rule: fired(new_york(), rule, f"{FIRST}..{LAST}", months) for rule, months, _ in cases()}
    differing = {
        rule: sorted({*found[rule]} ^ {*wanted}) for rule, _, wanted in cases() if found[rule] != wanted
    }
    assert differing == {}
    assert len(found) == count


# decisions page, 4: evaluation until 30 minutes before the close, starts until 15 before it, inclusive.


@pytest.mark.parametrize("on", sorted(early_closes()), ids=str)
def test_a_day_that_closes_early_stops_evaluating_and_starting_earlier(on: date) -> None:
    def at(hour: int, minute: int) -> datetime:
        return datetime(on.year, on.month, on.day, hour, minute, tzinfo=NEW_YORK)

    def allowed(now: datetime) -> tuple[bool, bool, bool]:
        return new_york().may_evaluate(now), new_york().may_start(now), new_york().current(now) is not None

    assert allowed(at(9, 30) - A_MOMENT) == (False, False, False)
    assert allowed(at(9, 30)) == (True, True, True)
    assert allowed(at(12, 30)) == (True, True, True)
    assert allowed(at(12, 30) + A_MOMENT) == (False, True, True)
    assert allowed(at(12, 45)) == (False, True, True)
    assert allowed(at(12, 45) + A_MOMENT) == (False, False, True)
    assert allowed(at(13, 0)) == (False, False, True)
    assert allowed(at(13, 0) + A_MOMENT) == (False, False, False)
    assert new_york().deadline(at(12, 45)) == at(13, 0)


# decisions page, 2 and 3: what was missed fires once, what falls into the cooldown is lost.


def due_by_the_page(fires_on: set[date], *, after: date, until: date, eligible: date | None) -> date | None:
    """Of the sessions that nobody evaluated and that lie in no cooldown, the last that fires."""
    left = {on for on in fires_on if after < on <= until and (eligible is None or on >= eligible)}
    return max(left, default=None)


def spans(random: Random, count: int) -> Iterator[Span]:
    """Evaluated last on some day and again up to two months later, with cooldowns that end around then."""
    known = sorted(on for on in open_days() if FIRST <= on < LAST - timedelta(days=100))
    for _ in range(count):
        start = random.randrange(len(known) - 45)
        until = known[start + random.choice([0, 1, 1, 1, 2, 5, 20, 44])]
        ends = random.choice([None, timedelta(days=random.randint(-5, 70))])
        yield Span(
            after=known[start], until=until, eligible_from=None if ends is None else known[start] + ends
        )


@pytest.mark.parametrize("kind", ["weekly", "monthly", "quarterly in the seed's months"])
def test_what_is_due_is_the_last_that_was_neither_evaluated_nor_in_a_cooldown(kind: str) -> None:
    random, verdicts = Random(kind), set()
    for rule, months, fires_on in KINDS[kind][0]():
        named = set(fires_on)
        for span in spans(random, 60):
            wanted = due_by_the_page(named, after=span.after, until=span.until, eligible=span.eligible_from)
            assert calendar_due(new_york(), rule, span=span, quarter_months=months) == wanted, (rule, span)
            verdicts.add((wanted is None, span.eligible_from is None, wanted == span.eligible_from))
    assert len(verdicts) >= 5, "the spans are all alike"


def test_the_next_open_of_a_rule_is_that_of_the_next_day_in_the_table() -> None:
    random = Random(5)
    for rule, months, fires_on in [*weekly(), *monthly(), *random.sample([*annually()], 30)]:
        for after in random.sample(sorted(open_days()), 20):
            if FIRST <= after < date(2026, 12, 1):
                on = next(day for day in fires_on if day > after)
                wanted = datetime(on.year, on.month, on.day, 9, 30, tzinfo=NEW_YORK)
                firing = next_firing(new_york(), rule, after=after, quarter_months=months)
                assert firing is not None
                assert firing.opens_at == wanted


def years_of_one_account(
    rule: CalendarRule, cooldown_days: int, *, missed: set[date], sessions: Sessions
) -> list[date]:
    """The sessions on which an account that nobody trades is rebalanced, if nobody looks on `missed`.

    It was rebalanced on the first day, and each time once it is due, at noon in New York.
    """
    rebalanced_at, evaluated_on, rebalanced = utc("2006-01-03 17:00"), date(2006, 1, 3), list[date]()
    for on in sorted(open_days()):
        if not date(2006, 1, 3) < on <= LAST or on in missed:
            continue
        eligible_from = cooldown_ends_on(sessions, rebalanced_at, cooldown_days=cooldown_days)
        span = Span(after=evaluated_on, until=on, eligible_from=eligible_from)
        due = calendar_due(sessions, rule, span=span, quarter_months=frozenset(SEED_QUARTERS))
        evaluated_on = on
        if on >= eligible_from and due is not None:
            rebalanced_at = datetime(on.year, on.month, on.day, 12, tzinfo=NEW_YORK)
            rebalanced.append(on)
    return rebalanced


def years_by_the_page(fires_on: list[date], cooldown_days: int, *, missed: set[date]) -> list[date]:
    """The same, told day by day: a due day waits for the next look; in the cooldown it is struck out."""
    free_from, waiting, rebalanced = date(2006, 1, 3) + timedelta(days=cooldown_days), False, list[date]()
    for on in wall_calendar.dates(date(2006, 1, 4), LAST):
        if on in set_of(tuple(fires_on)) and on >= free_from:
            waiting = True
        if on in open_days() and on not in missed and waiting:
            rebalanced.append(on)
            free_from, waiting = on + timedelta(days=cooldown_days), False
    return rebalanced


@cache
def set_of(days: tuple[date, ...]) -> frozenset[date]:
    return frozenset(days)


@pytest.mark.parametrize(
    ("cooldown_days", "absent"),
    [(0, 0.0), (0, 0.95), (1, 0.2), (6, 0.2), (7, 0.0), (8, 0.2), (31, 0.95), (400, 0.2)],
)
def test_twenty_two_years_of_one_account_with_cooldowns_and_missed_days(
    cooldown_days: int, absent: float
) -> None:
    random = Random(f"{cooldown_days} {absent}")
    missed = {on for on in open_days() if random.random() < absent}
    for rule, _, fires_on in [*weekly(), *random.sample([*monthly()], 3), *random.sample([*annually()], 2)]:
        found = years_of_one_account(rule, cooldown_days, missed=missed, sessions=new_york())
        assert found == years_by_the_page(fires_on, cooldown_days, missed=missed), rule
