"""A portfolio's performance on the wire: names, decimal strings, and what is left out when it is not there.

Monday $1,000, Tuesday $1,100, and on Wednesday $50 have come and it is $1,173 now.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trimtab.api.glider_performance import Live, performance_out
from trimtab.core.performance import CashFlow, History, Method, Valuation

MONDAY = datetime(2026, 3, 2, 14, 30, 0, 123999, tzinfo=UTC)
TUESDAY = datetime(2026, 3, 3, 14, 30, tzinfo=UTC)
WEDNESDAY = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 4, 20, 0, 0, 1999, tzinfo=UTC)


def live_at(at: datetime, value: str | None) -> Live:
    """As the third version of the mirror shows it, which contains what came on Wednesday."""
    return Live(at=at, value=None if value is None else Decimal(value), mirror_version=3)


UNKNOWN = live_at(NOW, None)


def history(*values: tuple[datetime, str]) -> History:
    """Values made from the second version of the mirror."""
    return History(
        valuations=tuple(Valuation(at, Decimal(value), 2) for at, value in values),
        flows=(CashFlow(3, Decimal("50.00")),),
    )


TWO_DAYS = history((MONDAY, "1000.00"), (TUESDAY, "1100.00"))


def shown(of: History, live: Live, method: Method = Method.MWR) -> Any:
    out = performance_out(of, live, portfolio_id="pf_1", strategy_id="s_1", method=method)
    return msgspec.json.decode(msgspec.json.encode(out))


def test_the_whole_object() -> None:
    """Money-weighted. Wednesday: (1173 − 1100 − 50) / (1100 + 25) = 23 / 1125. All, two days, of which
    half a day remained: (1173 − 1000 − 50) / (1000 + 50/4) = 123 / 1012.5.
    """
    assert shown(TWO_DAYS, live_at(NOW, "1173")) == {
        "portfolioId": "pf_1",
        "strategyId": "s_1",
        "meta": {"method": "MWR", "currency": "USD", "resolution": "1d", "asOf": "2026-03-04T20:00:00.001Z"},
        "points": [
            {"date": "2026-03-02", "percentChange": None, "valueUsd": "1000", "cashFlowUsd": "0"},
            {"date": "2026-03-03", "percentChange": "10", "valueUsd": "1100", "cashFlowUsd": "0"},
            {
                "date": "2026-03-04",
                "percentChange": "2.0444",
                "valueUsd": "1173",
                "cashFlowUsd": "50",
                "isLive": True,
            },
        ],
        "summary": {
            "windows": [
                {"window": "1d", "percentChange": "2.0444", "since": "2026-03-03"},
                {"window": "all", "percentChange": "12.1481", "since": "2026-03-02"},
            ]
        },
    }


def test_the_time_weighted_figures() -> None:
    """1173 / 1150 = 1.02; 1.1 × 1.02 = 1.122."""
    out = shown(TWO_DAYS, live_at(NOW, "1173"), Method.TWR)
    assert out["meta"]["method"] == "TWR"
    assert [point["percentChange"] for point in out["points"]] == [None, "10", "2"]
    assert [window["percentChange"] for window in out["summary"]["windows"]] == ["2", "12.2"]


def test_an_account_that_cannot_be_valued_now_shows_what_is_stored() -> None:
    out = shown(TWO_DAYS, UNKNOWN)
    assert out["meta"]["asOf"] == "2026-03-03T14:30:00.000Z"
    assert [point["date"] for point in out["points"]] == ["2026-03-02", "2026-03-03"]
    assert not any("isLive" in point for point in out["points"])
    assert [window["window"] for window in out["summary"]["windows"]] == ["1d", "all"]


def test_the_live_point_stands_for_what_was_stored_today() -> None:
    out = shown(history((TUESDAY, "1100"), (WEDNESDAY, "1")), live_at(NOW, "1173.125"))
    assert [(p["date"], p["valueUsd"]) for p in out["points"]] == [
        ("2026-03-03", "1100"),
        ("2026-03-04", "1173.12"),
    ]


@pytest.mark.parametrize("live", [live_at(NOW, "5"), UNKNOWN])
def test_without_two_points_there_is_no_summary(live: Live) -> None:
    out = shown(history(), live)
    assert out.keys() == {"portfolioId", "strategyId", "meta", "points"}
    assert out["meta"]["asOf"] == "2026-03-04T20:00:00.001Z"
    assert len(out["points"]) == (live.value is not None)


def test_an_empty_account_has_points_without_a_change() -> None:
    out = shown(history((MONDAY, "0"), (TUESDAY, "0")), UNKNOWN)
    assert [point["percentChange"] for point in out["points"]] == [None, None]
    assert out["summary"] == {"windows": []}


def test_percentages_are_rounded_half_to_even() -> None:
    """0.00005 % of $10,000,000 is $5, 0.00015 % is $15."""
    gains = (5, 15, -5, -15)
    ends = [Live(at=TUESDAY, value=Decimal(10_000_000 + gain), mirror_version=2) for gain in gains]
    found = [shown(history((MONDAY, "10000000")), live, Method.TWR) for live in ends]
    assert [out["points"][1]["percentChange"] for out in found] == ["0", "0.0002", "0", "-0.0002"]
