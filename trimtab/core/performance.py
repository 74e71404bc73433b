"""How well an account did: daily points and windows from what it was worth and the money that came.

Two methods. Time-weighted (GIPS): the return of each period is computed without the cash flows, and
the periods are linked by multiplying. Money-weighted (modified Dietz; P. Dietz, "Pension Funds:
Measuring Investment Performance", 1966): the gain over the capital that was at work on average.
"""

from bisect import bisect_right
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate, pairwise

from trimtab.core.money import HUNDRED, ZERO
from trimtab.core.strategy import Weights

_ONE = Decimal(1)
_MONTHS_PER_YEAR = 12


class Method(StrEnum):
    """Time-weighted or money-weighted return."""

    TWR = "TWR"
    MWR = "MWR"


@dataclass(frozen=True, slots=True)
class Valuation:
    """What an account was worth at an instant, in dollars, as this version of the mirror showed it."""

    at: datetime
    value: Decimal
    mirror_version: int


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Dollars that came into an account (positive) or left it (negative) without a trade, and the
    first version of the mirror that contains them.
    """

    mirror_version: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One account: at most one valuation a day (UTC), oldest first, and its flows in any order.

    Days without a valuation are absent.
    """

    valuations: tuple[Valuation, ...]
    flows: tuple[CashFlow, ...]

    def with_live(self, live: Valuation) -> "History":
        """With the present value, which stands for its day: what was stored on that day gives way."""
        earlier = tuple(v for v in self.valuations if v.at.date() < live.at.date())
        return History(valuations=(*earlier, live), flows=self.flows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A day's value in dollars, and the net flow since the point before it."""

    at: datetime
    value: Decimal
    flow: Decimal

    @property
    def on(self) -> date:
        return self.at.date()


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The change in percent from the point of the day `since` to the last one."""

    name: str
    since: date
    percent: Decimal


def points(history: History) -> list[Point]:
    """One point for each valuation.

    Its flow is what the mirror had seen come by then, less what it had seen by the point before. Time
    cannot tell: a deposit may come at the very instant of a valuation, and after it. The first point
    begins the record: what was seen before is part of its value, and what was seen after the last one
    is in none.
    """
    days = [valuation.at.date() for valuation in history.valuations]
    assert all(a < b for a, b in pairwise(days)), "one valuation a day, oldest first"
    flows = sorted(history.flows, key=lambda flow: flow.mirror_version)
    versions = [flow.mirror_version for flow in flows]
    sums = list(accumulate((flow.amount for flow in flows), initial=ZERO))
    seen = [sums[bisect_right(versions, valuation.mirror_version)] for valuation in history.valuations]
    return [
        Point(at=valuation.at, value=valuation.value, flow=by_then - before)
        for valuation, by_then, before in zip(history.valuations, seen, seen[:1] + seen[:-1], strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedDay:
    """What was known of prices on one day (UTC), in dollars."""

    on: date
    prices: Mapping[str, Decimal]


def index_points(days: Sequence[PricedDay], weights_on: Callable[[date], Weights | None]) -> list[Point]:
    """The index of a strategy: 100 at first, and from day to day what its weights would have earned if
    they had been held exactly since the day before, r = Σ wᵢ·(pᵢ₁ / pᵢ₀ − 1); cash earns nothing.

    `weights_on` gives the weights in force at the end of a day, None before there were any. Days on which
    one of their prices is not known are passed over.
    """
    made: list[Point] = []
    before: PricedDay | None = None
    for day in days:
        weights = weights_on(day.on if before is None else before.on)
        if weights is None or not weights.assets.keys() <= day.prices.keys():
            continue
        growth = _ONE
        if before is not None:
            if not weights.assets.keys() <= before.prices.keys():
                # The weights are of today; what they were worth yesterday nobody has noted.
                before = day
                continue
            growth += sum(
                (w / HUNDRED * (day.prices[s] / before.prices[s] - 1) for s, w in weights.assets.items()),
                ZERO,
            )
        value = made[-1].value * growth if made else HUNDRED
        made.append(Point(at=datetime.combine(day.on, time(), UTC), value=value, flow=ZERO))
        before = day
    return made


def changes(found: Sequence[Point], method: Method) -> list[Decimal | None]:
    """For each point the change in percent since the one before; None for the first, and where nothing
    was invested.
    """
    if not found:
        return []
    return [None, *(change(pair, method) for pair in pairwise(found))]


def windows(found: Sequence[Point], method: Method) -> list[Window]:
    """The windows that the points reach back for, shortest first, `all` last.

    A window begins at the last point that is not younger than it is long. One in which nothing was
    invested has no return and is left out.
    """
    made = []
    for name, first in _first_points(found):
        percent = change(found[first:], method)
        if percent is not None:
            made.append(Window(name=name, since=found[first].on, percent=percent))
    return made


def change(span: Sequence[Point], method: Method) -> Decimal | None:
    """The return in percent from the first point of the span to the last."""
    share = _time_weighted(span) if method is Method.TWR else _money_weighted(span)
    return None if share is None else share * HUNDRED


def _first_points(found: Sequence[Point]) -> list[tuple[str, int]]:
    """The name of each window with the index of the point it begins at."""
    if len(found) < 2:  # noqa: PLR2004 - a change takes two
        return []
    days = [point.on for point in found]
    end = days[-1]
    begins = (
        ("1d", end - timedelta(days=1)),
        ("1w", end - timedelta(days=7)),
        ("1m", _months_before(end, 1)),
        ("3m", _months_before(end, 3)),
        ("6m", _months_before(end, 6)),
        ("12m", _months_before(end, 12)),
    )
    reached = [(name, bisect_right(days, begin) - 1) for name, begin in begins]
    return [*((name, first) for name, first in reached if first >= 0), ("all", 0)]


def _months_before(day: date, months: int) -> date:
    """The same day of an earlier month, or that month's last."""
    year, month = divmod(day.year * _MONTHS_PER_YEAR + day.month - 1 - months, _MONTHS_PER_YEAR)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _time_weighted(span: Sequence[Point]) -> Decimal | None:
    """(1 + r₁)·(1 + r₂)·… − 1 over the periods (GIPS: sub-periods linked geometrically).

    Periods in which nothing was invested neither gain nor lose; None if there are no others.
    """
    returns = [share for pair in pairwise(span) if (share := _period(*pair)) is not None]
    if not returns:
        return None
    product = _ONE
    for share in returns:
        product *= 1 + share
    return product - 1


def _period(before: Point, after: Point) -> Decimal | None:
    """The return between two points, v₁ / (v₀ + cf) − 1: the flow is taken at the period's start.

    More than was there, or all of it, cannot have left before it was earned: such a withdrawal is taken
    at the end, (v₁ − cf) / v₀ − 1. Otherwise an account that is emptied on a falling day would have lost
    everything, in every window and for good. None where nothing was invested.
    """
    invested = before.value + after.flow
    if after.flow < 0 < before.value and (invested <= 0 or after.value <= 0):
        return (after.value - after.flow) / before.value - 1
    return after.value / invested - 1 if invested > 0 else None


def _money_weighted(span: Sequence[Point]) -> Decimal | None:
    """Modified Dietz: (v₁ − v₀ − Σcf) / (v₀ + Σw·cf), w being the part of the span that remained.

    A flow is taken in the middle of the period before its point, so that between two points this is
    (v₁ − v₀ − cf) / (v₀ + cf/2). None where no capital was at work on average.
    """
    begin, end = span[0], span[-1]
    days = Decimal((end.on - begin.on).days)
    gain, capital = end.value - begin.value, begin.value
    for before, after in pairwise(span):
        remained = (end.on - before.on).days + (end.on - after.on).days
        gain -= after.flow
        capital += after.flow * remained / (2 * days)
    return gain / capital if capital > 0 else None
