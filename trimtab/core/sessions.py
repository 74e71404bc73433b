"""Trading sessions as a value, and every rule about days: what is due, when, and after which cooldown.

The sessions themselves come from outside (an exchange calendar read once); here they are only looked
up. A date or instant beyond the known sessions is an error, never a guess. Sources: the seed's
conditions table for the days, decisions page 2-5 for catching up, cooldown, window and deadline.
"""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import assert_never

from trimtab.core.errors import OutsideCalendar
from trimtab.core.strategy import Annually, CalendarRule, Monthly, Quarterly, Weekly

EVALUATION_ENDS_BEFORE_CLOSE = timedelta(minutes=30)
START_ENDS_BEFORE_CLOSE = timedelta(minutes=15)
CONTINUOUS_DEADLINE = timedelta(hours=1)
ONE_DAY = timedelta(days=1)
# The calendar of markets that never close, and of every strategy that comes from Glider's dialect.
CONTINUOUS_CALENDAR = "24/7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One trading day: `on` is its date in the market's zone, the instants are UTC."""

    on: date
    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True)
class Sessions:
    """All known sessions of one calendar, oldest first. `continuous` if each touches the next."""

    calendar: str
    zone: tzinfo
    continuous: bool
    days: tuple[date, ...]
    opens: tuple[datetime, ...]
    closes: tuple[datetime, ...]

    def __post_init__(self) -> None:
        assert len(self.days) == len(self.opens) == len(self.closes) > 1, "at least two sessions"

    def _at_index(self, index: int) -> Session:
        return Session(on=self.days[index], opens_at=self.opens[index], closes_at=self.closes[index])

    def current(self, now: datetime) -> Session | None:
        """The session that is open at `now`, its first and last instant included."""
        index = bisect_right(self.opens, now) - 1
        if index < 0 or now > self.closes[-1]:
            raise OutsideCalendar(calendar=self.calendar, on=now.date())
        return self._at_index(index) if now <= self.closes[index] else None

    def next_open(self, now: datetime) -> datetime:
        """The first open after `now`."""
        index = bisect_right(self.opens, now)
        if index >= len(self.opens):
            raise OutsideCalendar(calendar=self.calendar, on=now.date())
        return self.opens[index]

    def first_ending_after(self, at: datetime) -> Session:
        """The session under way at `at`, or else the next one."""
        index = bisect_right(self.closes, at)
        if index >= len(self.closes):
            raise OutsideCalendar(calendar=self.calendar, on=at.date())
        return self._at_index(index)

    def before(self, on: date) -> date:
        """The last session day before `on`."""
        index = bisect_left(self.days, on) - 1
        if index < 0:
            raise OutsideCalendar(calendar=self.calendar, on=on)
        return self.days[index]

    def between(self, after: date, until: date) -> Iterator[tuple[date, date]]:
        """Each session day with the next one, for the sessions in (after, until]."""
        index = bisect_right(self.days, after)
        while index < len(self.days) and self.days[index] <= until:
            if index + 1 >= len(self.days):
                raise OutsideCalendar(calendar=self.calendar, on=until)
            yield self.days[index], self.days[index + 1]
            index += 1

    def following(self, on: date) -> Iterator[tuple[Session, date]]:
        """Each known session after the day `on`, with the day of the one after it."""
        for index in range(bisect_right(self.days, on), len(self.days) - 1):
            yield self._at_index(index), self.days[index + 1]

    def may_evaluate(self, now: datetime) -> bool:
        """From open to 30 minutes before close; always on a continuous market."""
        session = self.current(now)
        if session is None:
            return False
        return self.continuous or now <= session.closes_at - EVALUATION_ENDS_BEFORE_CLOSE

    def may_start(self, now: datetime) -> bool:
        """From open to 15 minutes before close, inclusive; always on a continuous market."""
        session = self.current(now)
        if session is None:
            return False
        return self.continuous or now <= session.closes_at - START_ENDS_BEFORE_CLOSE

    def deadline(self, started_at: datetime) -> datetime:
        """When a run that starts now must have ended: the close, or one hour later without one."""
        session = self.current(started_at)
        assert session is not None, "runs start while the market is open"
        return started_at + CONTINUOUS_DEADLINE if self.continuous else session.closes_at

    def day_of(self, at: datetime) -> date:
        """The calendar date of an instant in the market's zone."""
        return at.astimezone(self.zone).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the market allows at one moment; `opens_at` is the next open, `deadline_at` of a start now."""

    is_open: bool
    may_start: bool
    opens_at: datetime
    deadline_at: datetime | None


def window(sessions: Sessions, now: datetime) -> Window:
    may_start = sessions.may_start(now)
    return Window(
        is_open=sessions.current(now) is not None,
        may_start=may_start,
        opens_at=sessions.next_open(now),
        deadline_at=sessions.deadline(now) if may_start else None,
    )


def fires(rule: CalendarRule, on: date, *, next_on: date, quarter_months: frozenset[int]) -> bool:
    """Whether the session `on` fires the rule: it answers for each date until the next session.

    So a date on which the market is closed fires on the preceding session, also across the turn of
    a month or a year.
    """
    day = on
    while day < next_on:
        if _is_nominal(rule, day, quarter_months=quarter_months):
            return True
        day += ONE_DAY
    return False


def _is_nominal(rule: CalendarRule, day: date, *, quarter_months: frozenset[int]) -> bool:
    """Whether the rule names this date; a day that its month lacks means the month's last day."""
    last = monthrange(day.year, day.month)[1]
    match rule:
        case Weekly(weekday=weekday):
            return day.weekday() == weekday
        case Monthly(day=wanted):
            return day.day == min(wanted, last)
        case Quarterly(day=wanted):
            return day.month in quarter_months and day.day == min(wanted, last)
        case Annually(month=month, day=wanted):
            return day.month == month and day.day == min(wanted, last)
        case _:
            assert_never(rule)


def cooldown_ends_on(sessions: Sessions, last_rebalanced_at: datetime, *, cooldown_days: int) -> date:
    """The first date on which the account may be rebalanced by a rule again."""
    return sessions.day_of(last_rebalanced_at) + timedelta(days=cooldown_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The sessions in (after, until]; those before `eligible_from` lie in the cooldown, and what was
    due on them is lost.
    """

    after: date
    until: date
    eligible_from: date | None


def calendar_due(
    sessions: Sessions, rule: CalendarRule, *, span: Span, quarter_months: frozenset[int]
) -> date | None:
    """The last session of the span that fires the rule outside the cooldown, if there is one."""
    due = None
    for on, next_on in sessions.between(span.after, span.until):
        if span.eligible_from is not None and on < span.eligible_from:
            continue
        if fires(rule, on, next_on=next_on, quarter_months=quarter_months):
            due = on
    return due


def next_firing(
    sessions: Sessions, rule: CalendarRule, *, after: date, quarter_months: frozenset[int]
) -> Session | None:
    """The next session that fires the rule; None if none is known."""
    for session, next_on in sessions.following(after):
        if fires(rule, session.on, next_on=next_on, quarter_months=quarter_months):
            return session
    return None
