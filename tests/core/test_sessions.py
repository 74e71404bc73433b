"""Days and hours: which rules fire when, what a missed day means, and what the market allows.

Answers are worked out by hand from wall calendars, or come from data/calendar_answers.csv, which another
algorithm has made (see make_calendar_answers).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import NEW_YORK, a_market, day, days, new_york, utc
from trimtab.boot import read_sessions
from trimtab.core.errors import OutsideCalendar
from trimtab.core.sessions import (
    Session,
    Sessions,
    Span,
    Window,
    calendar_due,
    cooldown_ends_on,
    fires,
    next_firing,
    window,
)
from trimtab.core.strategy import Annually, CalendarRule, Monthly, Quarterly, Weekly

# exchange_calendars 4.13 reads sessions in a way that pandas 3.1 is going to change.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning an ndarray:DeprecationWarning")

SEED_QUARTERS = frozenset({1, 3, 6, 12})
CALENDAR_QUARTERS = frozenset({1, 4, 7, 10})
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = range(5)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


def fired(sessions: Sessions, rule: CalendarRule, span: str, quarters: frozenset[int]) -> list[date]:
    """The sessions that fire the rule within `first..last`."""
    first, last = map(day, span.split(".."))
    found = sessions.between(first - timedelta(days=1), last)
    return [on for on, next_on in found if fires(rule, on, next_on=next_on, quarter_months=quarters)]


# rule, the rule, within, the sessions that fire
NEW_YORK_DAYS: list[tuple[str, CalendarRule, str, str]] = [
    (
        "weekly: each such day",
        Weekly(weekday=WEDNESDAY),
        "2024-05-01..2024-05-15",
        "2024-05-01 2024-05-08 2024-05-15",
    ),
    (
        "weekly: a holiday Monday fires the Friday before",
        Weekly(weekday=MONDAY),
        "2024-01-09..2024-01-22",
        "2024-01-12 2024-01-22",
    ),
    ("weekly: Good Friday fires on Thursday", Weekly(weekday=FRIDAY), "2024-03-23..2024-04-04", "2024-03-28"),
    (
        "weekly: Thanksgiving fires on Wednesday",
        Weekly(weekday=THURSDAY),
        "2024-11-25..2024-12-04",
        "2024-11-27",
    ),
    (
        "weekly: a day of mourning fires the day before",
        Weekly(weekday=THURSDAY),
        "2025-01-06..2025-01-10",
        "2025-01-08",
    ),
    (
        "weekly: two storm days fire on the Friday before (Monday)",
        Weekly(weekday=MONDAY),
        "2012-10-23..2012-11-02",
        "2012-10-26",
    ),
    (
        "weekly: two storm days fire on the Friday before (Tuesday)",
        Weekly(weekday=TUESDAY),
        "2012-10-24..2012-11-02",
        "2012-10-26",
    ),
    (
        "weekly: new year's Tuesday fires in the old year",
        Weekly(weekday=TUESDAY),
        "2018-12-26..2019-01-04",
        "2018-12-31",
    ),
    ("monthly: a trading day", Monthly(day=15), "2024-05-01..2024-05-31", "2024-05-15"),
    ("monthly: a Saturday fires on Friday", Monthly(day=15), "2024-06-01..2024-06-30", "2024-06-14"),
    ("monthly: a Sunday fires on Friday", Monthly(day=15), "2024-09-01..2024-09-30", "2024-09-13"),
    (
        "monthly: the first, a Sunday, fires in the month before",
        Monthly(day=1),
        "2024-08-05..2024-09-20",
        "2024-08-30",
    ),
    ("monthly: 31 in a month of 30 is its last day", Monthly(day=31), "2024-04-01..2024-04-30", "2024-04-30"),
    (
        "monthly: 31 in a month whose 30th is a Sunday",
        Monthly(day=31),
        "2024-06-01..2024-06-30",
        "2024-06-28",
    ),
    ("monthly: 31 in a leap February", Monthly(day=31), "2024-02-01..2024-02-29", "2024-02-29"),
    ("monthly: 31 in another February", Monthly(day=31), "2023-02-01..2023-02-28", "2023-02-28"),
    ("monthly: 30 in February", Monthly(day=30), "2023-02-01..2023-02-28", "2023-02-28"),
    ("monthly: 29 in another February", Monthly(day=29), "2023-02-01..2023-02-28", "2023-02-28"),
    ("monthly: 29 in a leap February", Monthly(day=29), "2024-02-01..2024-02-29", "2024-02-29"),
    ("monthly: 28 in a leap February", Monthly(day=28), "2024-02-01..2024-02-29", "2024-02-28"),
    (
        "monthly: 31 February 2026, when the 28th is a Saturday",
        Monthly(day=31),
        "2026-02-01..2026-02-28",
        "2026-02-27",
    ),
    (
        "quarterly: the seed's months",
        Quarterly(day=15),
        "2024-01-01..2024-12-31",
        "2024-01-12 2024-03-15 2024-06-14 2024-12-13",
    ),
    (
        "quarterly: 1 January fires on the last December session",
        Quarterly(day=1),
        "2023-12-02..2024-12-15",
        "2023-12-29 2024-03-01 2024-05-31 2024-11-29",
    ),
    (
        "quarterly: 31 in June is the 30th, or before",
        Quarterly(day=31),
        "2024-02-01..2024-12-31",
        "2024-03-28 2024-06-28 2024-12-31",
    ),
    ("annually: a trading day", Annually(month=9, day=11), "2024-01-01..2024-12-31", "2024-09-11"),
    (
        "annually: 29 February of a leap year",
        Annually(month=2, day=29),
        "2024-01-01..2024-12-31",
        "2024-02-29",
    ),
    (
        "annually: 29 February of another year",
        Annually(month=2, day=29),
        "2023-01-01..2023-12-31",
        "2023-02-28",
    ),
    (
        "annually: 29 February 2026, when the 28th is a Saturday",
        Annually(month=2, day=29),
        "2026-01-01..2026-12-31",
        "2026-02-27",
    ),
    (
        "annually: 28 February of a leap year",
        Annually(month=2, day=28),
        "2024-01-01..2024-12-31",
        "2024-02-28",
    ),
    (
        "annually: 1 January fires on the last December session",
        Annually(month=1, day=1),
        "2024-01-01..2024-12-31",
        "2024-12-31",
    ),
    ("annually: 1 January 2023, a Sunday", Annually(month=1, day=1), "2022-12-01..2023-06-30", "2022-12-30"),
    (
        "annually: 4 July 2026, a Saturday observed on Friday",
        Annually(month=7, day=4),
        "2026-01-01..2026-12-31",
        "2026-07-02",
    ),
    (
        "annually: Christmas 2021, a Saturday observed on Friday",
        Annually(month=12, day=25),
        "2021-01-01..2021-12-31",
        "2021-12-23",
    ),
    ("annually: 31 December", Annually(month=12, day=31), "2023-01-01..2023-12-31", "2023-12-29"),
]


@pytest.mark.parametrize(
    ("rule", "span", "sessions"), [pytest.param(*case[1:], id=case[0]) for case in NEW_YORK_DAYS]
)
def test_a_rule_fires_on_its_day_or_on_the_preceding_session(
    rule: CalendarRule, span: str, sessions: str
) -> None:
    assert fired(read_sessions("XNYS"), rule, span, SEED_QUARTERS) == days(sessions)


def test_calendar_quarters_are_a_setting() -> None:
    # 31 January was a Wednesday, 30 April a Tuesday, 31 July a Wednesday, 31 October a Thursday.
    found = fired(read_sessions("XNYS"), Quarterly(day=31), "2024-01-01..2024-12-31", CALENDAR_QUARTERS)
    assert found == days("2024-01-31 2024-04-30 2024-07-31 2024-10-31")


def test_easter_monday_in_london_fires_on_thursday_because_friday_is_shut_too() -> None:
    london = read_sessions("XLON")
    assert fired(london, Weekly(weekday=MONDAY), "2024-03-26..2024-04-05", SEED_QUARTERS) == days(
        "2024-03-28"
    )
    assert fired(london, Weekly(weekday=FRIDAY), "2024-03-23..2024-04-04", SEED_QUARTERS) == days(
        "2024-03-28"
    )


def test_a_market_without_rest_fires_on_the_day_itself() -> None:
    always = read_sessions("24/7")
    assert fired(always, Monthly(day=1), "2024-06-02..2024-09-30", SEED_QUARTERS) == days(
        "2024-07-01 2024-08-01 2024-09-01"
    )
    assert fired(always, Annually(month=2, day=29), "2023-01-01..2024-12-31", SEED_QUARTERS) == days(
        "2023-02-28 2024-02-29"
    )


# The outside answers.


@dataclass(frozen=True, kw_only=True)
class Answer:
    rule: CalendarRule
    quarters: frozenset[int]
    fires_on: dict[int, list[str]]


def read_answers() -> dict[str, Answer]:
    """The answers by rule, each with its sessions by year as `MM-DD`."""
    weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    answers: dict[str, Answer] = {}
    with (Path(__file__).parent / "data" / "calendar_answers.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = " ".join([row["rule"], row["day"], row["months"]]).strip()
            match row["rule"]:
                case "weekly":
                    rule: CalendarRule = Weekly(weekday=weekdays.index(row["day"]))
                case "monthly":
                    rule = Monthly(day=int(row["day"]))
                case "quarterly":
                    rule = Quarterly(day=int(row["day"]))
                case _:
                    month, on = row["day"].split("-")
                    rule = Annually(month=int(month), day=int(on))
            quarters = frozenset(map(int, row["months"].split()))
            answer = answers.setdefault(name, Answer(rule=rule, quarters=quarters, fires_on={}))
            answer.fires_on[int(row["year"])] = row["fires_on"].split()
    return answers


ANSWERS = read_answers()


def test_there_are_answers_of_every_kind_for_twenty_three_years() -> None:
    kinds = [type(answer.rule) for answer in ANSWERS.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {Weekly: 5, Monthly: 6, Quarterly: 12, Annually: 10}
    assert all(list(answer.fires_on) == list(range(2008, 2031)) for answer in ANSWERS.values())


@pytest.mark.parametrize("name", ANSWERS)
def test_the_calendar_agrees_with_answers_made_elsewhere(name: str) -> None:
    answer = ANSWERS[name]
    sessions = read_sessions("XNYS")
    for year, expected in answer.fires_on.items():
        found = fired(sessions, answer.rule, f"{year}-01-01..{year}-12-31", answer.quarters)
        assert [on.strftime("%m-%d") for on in found] == expected, year


# What is due.

# A week with a holiday on Monday and one on Wednesday: 8 and 10 July are shut.
WEEK = a_market(
    "2024-07-01",
    "2024-07-02",
    "2024-07-03",
    "2024-07-05",
    "2024-07-09",
    "2024-07-11",
    "2024-07-12",
    "2024-07-15",
)

# rule, the rule, evaluated last on, evaluated now on, cooldown ends on, what is due
DUE: list[tuple[str, CalendarRule, str, str, str | None, str | None]] = [
    ("due today", Weekly(weekday=TUESDAY), "2024-07-01", "2024-07-02", None, "2024-07-02"),
    ("not due today", Weekly(weekday=TUESDAY), "2024-07-02", "2024-07-03", None, None),
    ("once a session", Weekly(weekday=TUESDAY), "2024-07-02", "2024-07-02", None, None),
    ("due for tomorrow's holiday", Weekly(weekday=WEDNESDAY), "2024-07-05", "2024-07-09", None, "2024-07-09"),
    ("not again after the holiday", Weekly(weekday=WEDNESDAY), "2024-07-09", "2024-07-11", None, None),
    (
        "a missed session fires at the next evaluation",
        Weekly(weekday=TUESDAY),
        "2024-07-01",
        "2024-07-05",
        None,
        "2024-07-02",
    ),
    ("two missed sessions are one", Weekly(weekday=TUESDAY), "2024-07-01", "2024-07-12", None, "2024-07-09"),
    (
        "on the first day after the cooldown",
        Weekly(weekday=TUESDAY),
        "2024-07-01",
        "2024-07-02",
        "2024-07-02",
        "2024-07-02",
    ),
    (
        "on the last day of the cooldown it is lost",
        Weekly(weekday=TUESDAY),
        "2024-07-01",
        "2024-07-02",
        "2024-07-03",
        None,
    ),
    (
        "lost is lost, also after the cooldown",
        Weekly(weekday=TUESDAY),
        "2024-07-01",
        "2024-07-05",
        "2024-07-03",
        None,
    ),
    (
        "missed after the cooldown",
        Weekly(weekday=FRIDAY),
        "2024-07-01",
        "2024-07-09",
        "2024-07-04",
        "2024-07-05",
    ),
    (
        "the cooldown ends within a holiday",
        Weekly(weekday=MONDAY),
        "2024-07-03",
        "2024-07-05",
        "2024-07-05",
        "2024-07-05",
    ),
    # The date is outside the cooldown, the session that answers for it is not.
    (
        "a nominal day after the cooldown, its session within",
        Weekly(weekday=MONDAY),
        "2024-07-03",
        "2024-07-05",
        "2024-07-06",
        None,
    ),
]


@pytest.mark.parametrize(
    ("rule", "after", "until", "eligible_from", "due"), [pytest.param(*case[1:], id=case[0]) for case in DUE]
)
def test_a_due_session_fires_once_and_is_lost_in_the_cooldown(
    rule: CalendarRule, after: str, *, until: str, eligible_from: str | None, due: str | None
) -> None:
    found = calendar_due(
        WEEK,
        rule,
        span=Span(
            after=day(after),
            until=day(until),
            eligible_from=day(eligible_from) if eligible_from else None,
        ),
        quarter_months=SEED_QUARTERS,
    )
    assert found == (day(due) if due else None)


def test_beyond_the_known_sessions_nothing_is_decided() -> None:
    # Whether the last known session fires depends on the one after it, which nobody knows.
    with pytest.raises(OutsideCalendar) as refused:
        calendar_due(
            WEEK,
            Weekly(weekday=MONDAY),
            span=Span(after=day("2024-07-12"), until=day("2024-07-15"), eligible_from=None),
            quarter_months=SEED_QUARTERS,
        )
    assert refused.value == OutsideCalendar(calendar="by hand", on=day("2024-07-15"))


def next_open_of(rule: CalendarRule, after: str) -> datetime | None:
    firing = next_firing(WEEK, rule, after=day(after), quarter_months=SEED_QUARTERS)
    return None if firing is None else firing.opens_at


def test_the_next_open_of_a_rule_is_that_of_the_session_that_fires() -> None:
    wednesday = Weekly(weekday=WEDNESDAY)
    assert next_open_of(wednesday, "2024-07-02") == new_york("2024-07-03 09:30")
    assert next_open_of(wednesday, "2024-07-03") == new_york("2024-07-09 09:30")
    assert next_open_of(wednesday, "2024-07-09") is None


def test_a_rule_that_nobody_knows_is_not_passed_over() -> None:
    with pytest.raises(AssertionError, match="unreachable"):
        fires(cast("CalendarRule", None), WEEK.days[0], next_on=WEEK.days[1], quarter_months=SEED_QUARTERS)


# Cooldown: when the last rebalance ended (UTC), days, the first date outside
COOLDOWNS = [
    ("the same day, without a cooldown", "2024-07-08 15:00", 0, "2024-07-08"),
    ("a day later", "2024-07-08 15:00", 1, "2024-07-09"),
    ("20:30 in New York is the next day in UTC", "2024-07-09 00:30", 1, "2024-07-09"),
    ("midnight in New York is the new day", "2024-07-09 04:00", 1, "2024-07-10"),
    ("a microsecond before it is the old day", "2024-07-09 03:59:59.999999", 1, "2024-07-09"),
    ("in winter midnight is an hour later", "2024-01-09 04:30", 1, "2024-01-09"),
    ("weekends count", "2024-07-05 15:00", 7, "2024-07-12"),
    ("across a leap day", "2024-02-28 15:00", 31, "2024-03-30"),
    ("ten years", "2024-07-08 15:00", 3660, "2034-07-16"),
]


@pytest.mark.parametrize(
    ("ended_at", "cooldown_days", "first"), [pytest.param(*case[1:], id=case[0]) for case in COOLDOWNS]
)
def test_the_cooldown_counts_dates_in_the_market_s_zone(
    ended_at: str, cooldown_days: int, first: str
) -> None:
    assert cooldown_ends_on(WEEK, utc(ended_at), cooldown_days=cooldown_days) == day(first)


# Hours.

# moment in New York, open, may evaluate, may start
HOURS = [
    ("2024-07-08 09:29:59.999999", False, False, False),
    ("2024-07-08 09:30:00", True, True, True),
    ("2024-07-08 15:30:00", True, True, True),
    ("2024-07-08 15:30:00.000001", True, False, True),
    ("2024-07-08 15:45:00", True, False, True),
    ("2024-07-08 15:45:00.000001", True, False, False),
    ("2024-07-08 16:00:00", True, False, False),
    ("2024-07-08 16:00:00.000001", False, False, False),
    # the day before Independence Day closes at 13:00
    ("2024-07-03 12:30:00", True, True, True),
    ("2024-07-03 12:30:00.000001", True, False, True),
    ("2024-07-03 12:45:00", True, False, True),
    ("2024-07-03 12:45:00.000001", True, False, False),
    ("2024-07-03 13:00:00", True, False, False),
    ("2024-07-03 13:00:00.000001", False, False, False),
    # a holiday, a weekend
    ("2024-07-04 11:00:00", False, False, False),
    ("2024-07-06 11:00:00", False, False, False),
]


@pytest.mark.parametrize(("moment", "is_open", "may_evaluate", "may_start"), HOURS)
def test_evaluation_ends_half_an_hour_and_starting_a_quarter_before_the_close(
    moment: str, *, is_open: bool, may_evaluate: bool, may_start: bool
) -> None:
    sessions = read_sessions("XNYS")
    now = new_york(moment)
    assert (sessions.current(now) is not None) == is_open
    assert sessions.may_evaluate(now) == may_evaluate
    assert sessions.may_start(now) == may_start


# moment in UTC, next open in UTC, deadline of a start now
WINDOWS = [
    ("winter time", "2024-03-08 14:30", "2024-03-11 13:30", "2024-03-08 21:00"),
    ("summer time", "2024-03-11 13:30", "2024-03-12 13:30", "2024-03-11 20:00"),
    ("an early close", "2024-07-03 14:00", "2024-07-05 13:30", "2024-07-03 17:00"),
    ("too late to start", "2024-07-08 19:50", "2024-07-09 13:30", None),
    ("before the open", "2024-07-08 13:29", "2024-07-08 13:30", None),
    ("at night", "2024-07-09 02:00", "2024-07-09 13:30", None),
    ("at the weekend", "2024-07-06 15:00", "2024-07-08 13:30", None),
]


@pytest.mark.parametrize(
    ("now", "opens_at", "deadline_at"), [pytest.param(*case[1:], id=case[0]) for case in WINDOWS]
)
def test_the_window_names_the_next_open_and_the_close_as_the_deadline(
    now: str, opens_at: str, deadline_at: str | None
) -> None:
    found = window(read_sessions("XNYS"), utc(now))
    assert found.opens_at == utc(opens_at)
    assert found.deadline_at == (utc(deadline_at) if deadline_at else None)
    assert found.may_start == (deadline_at is not None)


ALWAYS = [
    "2024-07-06 00:00",
    "2024-07-06 11:00",
    "2024-07-06 23:45:01",
    "2024-07-06 23:59:59.999999",
    "2024-12-25 23:50",
]


@pytest.mark.parametrize("moment", ALWAYS)
def test_a_market_without_rest_knows_no_last_half_hour_and_its_deadline_is_an_hour(moment: str) -> None:
    now = utc(moment)
    always = read_sessions("24/7")
    assert always.may_evaluate(now)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert window(always, now) == Window(
        is_open=True, may_start=True, opens_at=midnight, deadline_at=now + timedelta(hours=1)
    )


def test_sessions_that_touch_change_at_midnight() -> None:
    always = read_sessions("24/7")
    before, after = always.current(utc("2024-07-06 23:59:59.999999")), always.current(utc("2024-07-07 00:00"))
    assert before is not None
    assert after is not None
    assert (before.on, after.on) == (day("2024-07-06"), day("2024-07-07"))


def test_a_run_has_a_deadline_only_while_the_market_is_open() -> None:
    assert WEEK.deadline(new_york("2024-07-05 15:59")) == new_york("2024-07-05 16:00")
    with pytest.raises(AssertionError, match="market is open"):
        WEEK.deadline(new_york("2024-07-05 16:01"))


# Looking sessions up.


def test_the_session_under_way_or_else_the_next() -> None:
    friday = Session(
        on=day("2024-07-05"), opens_at=new_york("2024-07-05 09:30"), closes_at=new_york("2024-07-05 16:00")
    )
    for moment in ("2024-07-03 16:00", "2024-07-04 12:00", "2024-07-05 09:30", "2024-07-05 15:59:59.999999"):
        assert WEEK.first_ending_after(new_york(moment)) == friday
    assert WEEK.first_ending_after(new_york("2024-07-05 16:00")).on == day("2024-07-09")


def test_the_session_before_a_day_is_not_the_day_itself() -> None:
    assert WEEK.before(day("2024-07-09")) == day("2024-07-05")
    assert WEEK.before(day("2024-07-08")) == day("2024-07-05")
    assert WEEK.before(day("2024-07-02")) == day("2024-07-01")


def test_each_session_is_given_with_the_next() -> None:
    assert list(WEEK.between(day("2024-07-03"), day("2024-07-10"))) == [
        (day("2024-07-05"), day("2024-07-09")),
        (day("2024-07-09"), day("2024-07-11")),
    ]
    assert list(WEEK.between(day("2024-07-05"), day("2024-07-08"))) == []
    assert [(session.on, after) for session, after in WEEK.following(day("2024-07-11"))] == [
        (day("2024-07-12"), day("2024-07-15"))
    ]


FIRST, LAST = new_york("2024-07-01 09:30"), new_york("2024-07-15 16:00")


def test_an_instant_or_day_beyond_the_known_sessions_is_an_error() -> None:
    with pytest.raises(OutsideCalendar):
        WEEK.current(FIRST - MICROSECOND)
    with pytest.raises(OutsideCalendar):
        WEEK.current(LAST + MICROSECOND)
    with pytest.raises(OutsideCalendar):
        WEEK.next_open(new_york("2024-07-15 09:30"))
    with pytest.raises(OutsideCalendar):
        WEEK.first_ending_after(LAST)
    with pytest.raises(OutsideCalendar):
        WEEK.before(day("2024-07-01"))


def test_the_first_and_the_last_instant_are_known() -> None:
    assert WEEK.current(FIRST) is not None
    assert WEEK.current(LAST) is not None
    assert WEEK.next_open(FIRST - SECOND) == FIRST
    assert WEEK.next_open(new_york("2024-07-15 09:29:59")) == new_york("2024-07-15 09:30")


def test_a_calendar_has_at_least_two_sessions() -> None:
    with pytest.raises(AssertionError, match="two sessions"):
        a_market("2024-07-01")


# Any days at all.


@cache
def open_days() -> frozenset[date]:
    return frozenset(read_sessions("XNYS").days)


rules = st.one_of(
    st.builds(Weekly, weekday=st.integers(0, 4)),
    st.builds(Monthly, day=st.integers(1, 31)),
    st.builds(Quarterly, day=st.integers(1, 31)),
    st.builds(Annually, month=st.integers(1, 12), day=st.integers(1, 28)),
)


def names(rule: CalendarRule, on: date) -> bool:
    """Whether the rule names this date; asked of the days around it instead of the month's length."""
    match rule:
        case Weekly():
            return on.isoweekday() == rule.weekday + 1
        case Annually():
            return (on.month, on.day) == (rule.month, rule.day)
        case Monthly() | Quarterly():
            if isinstance(rule, Quarterly) and on.month not in SEED_QUARTERS:
                return False
            ends_month = (on + timedelta(days=1)).month != on.month
            return on.day == rule.day or (ends_month and on.day < rule.day)


def dates_in(first: date, count: int) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range(count))


@given(rules, st.dates(day("1995-01-01"), day("2030-01-01")))
def test_every_date_a_rule_names_is_answered_by_exactly_one_session(rule: CalendarRule, first: date) -> None:
    expected = set()
    for on in dates_in(first, 100):
        if names(rule, on):
            session = on
            while session not in open_days():
                session -= timedelta(days=1)
            expected.add(session)
    # Sessions near both ends may answer for dates that were not asked about.
    inner = set(dates_in(first, 80))
    span = f"{first}..{first + timedelta(days=79)}"
    found = set(fired(read_sessions("XNYS"), rule, span, SEED_QUARTERS))
    assert found == expected & inner


moments = st.datetimes(datetime(2008, 1, 2), datetime(2030, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds are naive, the moments are not


@given(moments)
def test_what_is_allowed_shrinks_towards_the_close(now: datetime) -> None:
    sessions = read_sessions("XNYS")
    session = sessions.current(now)
    allowed = (sessions.may_evaluate(now), sessions.may_start(now), session is not None)
    assert allowed == tuple(sorted(allowed))
    assert sessions.next_open(now) > now
    if session is not None:
        assert session.opens_at <= now <= session.closes_at
        assert sessions.day_of(now) == session.on == now.astimezone(NEW_YORK).date()
