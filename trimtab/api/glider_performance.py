"""A portfolio's performance as Glider's dialect shows it: daily points and windows up to now.

Amounts and percentages are decimal strings, rounded half to even for showing only: dollars to the
cent, percentages to four places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from trimtab.api.glider_wire import Out, ScheduleConfigOut, instant_out
from trimtab.core.money import CENT_PLACES, plain, round_nearest
from trimtab.core.performance import History, Method, Point, Valuation, changes, points, windows

PERCENT_PLACES = 4


class MetaOut(Out, kw_only=True):
    method: str
    currency: str = "USD"
    resolution: str = "1d"
    as_of: str


class PointOut(Out, kw_only=True):
    """`is_live` is there only on the point of the present."""

    date: str
    percent_change: str | None
    value_usd: str
    cash_flow_usd: str
    is_live: bool | msgspec.UnsetType = msgspec.UNSET


class WindowOut(Out, kw_only=True):
    window: str
    percent_change: str
    since: str


class SummaryOut(Out, kw_only=True):
    windows: list[WindowOut]


class PerformanceOut(Out, kw_only=True):
    """`summary` is there only if there are two points to compare."""

    portfolio_id: str
    strategy_id: str
    meta: MetaOut
    points: list[PointOut]
    summary: SummaryOut | msgspec.UnsetType = msgspec.UNSET


class StrategyPointOut(Out, kw_only=True):
    date: str
    percent_change: str | None


class StrategyPerformanceOut(Out, kw_only=True):
    """`summary` is there only if there are two points to compare."""

    strategy_id: str
    schedule: ScheduleConfigOut
    meta: MetaOut
    points: list[StrategyPointOut]
    summary: SummaryOut | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The account at the present instant, as the mirror shows it; no value if it cannot be valued."""

    at: datetime
    value: Decimal | None
    mirror_version: int


def performance_out(
    history: History, live: Live, *, portfolio_id: str, strategy_id: str, method: Method
) -> PerformanceOut:
    """The ids as the wire writes them."""
    if live.value is not None:
        value = round_nearest(live.value, CENT_PLACES)
        history = history.with_live(Valuation(live.at, value, live.mirror_version))
    found = points(history)
    shown = [_point_out(point, percent) for point, percent in zip(found, changes(found, method), strict=True)]
    if live.value is not None:
        shown[-1].is_live = True
    out = PerformanceOut(
        portfolio_id=portfolio_id,
        strategy_id=strategy_id,
        meta=MetaOut(method=method.value, as_of=instant_out(found[-1].at if found else live.at)),
        points=shown,
    )
    out.summary = _summary_out(found, method)
    return out


def strategy_performance_out(
    found: Sequence[Point], *, strategy_id: str, schedule: ScheduleConfigOut, as_of: datetime
) -> StrategyPerformanceOut:
    """The id as the wire writes it; `found` is the strategy's index."""
    return StrategyPerformanceOut(
        strategy_id=strategy_id,
        schedule=schedule,
        meta=MetaOut(method=Method.TWR.value, as_of=instant_out(as_of)),
        points=[
            StrategyPointOut(
                date=point.on.isoformat(), percent_change=None if percent is None else _percent_text(percent)
            )
            for point, percent in zip(found, changes(found, Method.TWR), strict=True)
        ],
        summary=_summary_out(found, Method.TWR),
    )


def _summary_out(found: Sequence[Point], method: Method) -> SummaryOut | msgspec.UnsetType:
    if len(found) < 2:  # noqa: PLR2004 - a change takes two
        return msgspec.UNSET
    return SummaryOut(
        windows=[
            WindowOut(window=w.name, percent_change=_percent_text(w.percent), since=w.since.isoformat())
            for w in windows(found, method)
        ]
    )


def _point_out(point: Point, percent: Decimal | None) -> PointOut:
    return PointOut(
        date=point.on.isoformat(),
        percent_change=None if percent is None else _percent_text(percent),
        value_usd=plain(point.value),
        cash_flow_usd=plain(point.flow),
    )


def _percent_text(percent: Decimal) -> str:
    return plain(round_nearest(percent, PERCENT_PLACES))
