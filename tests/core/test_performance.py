"""Performance: tables worked out by hand, and what must hold for any history.

The rows of DAYS are two points a day apart; those of TRACK are one account over a fortnight. Every
expected figure is written with its arithmetic.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.money import ZERO, round_nearest
from trimtab.core.performance import (
    CashFlow,
    History,
    Method,
    Point,
    PricedDay,
    Valuation,
    change,
    changes,
    index_points,
    points,
    windows,
)
from trimtab.core.strategy import Weights

TWR, MWR = Method.TWR, Method.MWR
FIRST = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def on(day: str, value: str, flow: str = "0") -> Point:
    at = datetime.fromisoformat(f"{day}T14:30+00:00")
    return Point(at=at, value=Decimal(value), flow=Decimal(flow))


def daily(*values_and_flows: tuple[str, str]) -> list[Point]:
    """Points on consecutive days."""
    return [
        Point(at=FIRST + timedelta(days=n), value=Decimal(value), flow=Decimal(flow))
        for n, (value, flow) in enumerate(values_and_flows)
    ]


def shown(percent: Decimal | None) -> str | None:
    return None if percent is None else str(round_nearest(percent, 4))


# v0, cash flow, v1, TWR, MWR
DAYS: list[tuple[str, str, str, str | None, str | None]] = [
    # 101 / 100 − 1; 1 / 100
    ("100", "0", "101", "1.0000", "1.0000"),
    ("100", "0", "100", "0.0000", "0.0000"),
    # 75 / 100 − 1
    ("100", "0", "75", "-25.0000", "-25.0000"),
    # 200 / 300 − 1 = −1/3
    ("300", "0", "200", "-33.3333", "-33.3333"),
    # 165 / (100 + 50) − 1; (165 − 100 − 50) / (100 + 25) = 15 / 125
    ("100", "50", "165", "10.0000", "12.0000"),
    # A deposit alone earns nothing.
    ("100", "50", "150", "0.0000", "0.0000"),
    # 55 / (100 − 50) − 1; (55 − 100 + 50) / (100 − 25) = 5 / 75
    ("100", "-50", "55", "10.0000", "6.6667"),
    ("100", "-50", "50", "0.0000", "0.0000"),
    # Money comes to an empty account: 102 / 100 − 1; 2 / (0 + 50)
    ("0", "100", "102", "2.0000", "4.0000"),
    # Empty, and it stays so.
    ("0", "0", "0", None, None),
    # Nothing comes and something is there all the same (a gift of shares): no capital earned it.
    ("0", "0", "5", None, None),
    # Everything left: (0 + 100) / 100 − 1; (0 − 100 + 100) / (100 − 50)
    ("100", "-100", "0", "0.0000", "0.0000"),
    # Everything left after a fall to 98: at the end of the day, (0 + 98) / 100 − 1, not 0 / 2 − 1;
    # (0 − 100 + 98) / (100 − 49) = −2 / 51
    ("100", "-98", "0", "-2.0000", "-3.9216"),
    # Everything left after a rise to 104: (0 + 104) / 100 − 1; 4 / (100 − 52) = 4 / 48
    ("100", "-104", "0", "4.0000", "8.3333"),
    # More left than was there in the morning: (30 + 120) / 100 − 1; (30 − 100 + 120) / (100 − 60) = 50 / 40
    ("100", "-120", "30", "50.0000", "125.0000"),
    # Twice what was there left: (40 + 200) / 100 − 1; no capital on average, 100 − 100
    ("100", "-200", "40", "140.0000", None),
    # Everything lost: 0 / 100 − 1, and 0 / (100 + 50) − 1; −150 / (100 + 25)
    ("100", "0", "0", "-100.0000", "-100.0000"),
    ("100", "50", "0", "-100.0000", "-120.0000"),
    # In debt, and paid back: 101 / (−10 + 110) − 1; (101 + 10 − 110) / (−10 + 55) = 1 / 45
    ("-10", "110", "101", "1.0000", "2.2222"),
    ("-10", "0", "-10", None, None),
    ("-10", "5", "-5", None, None),
    ("-10", "-5", "-15", None, None),
    # An empty account overdrawn.
    ("0", "-5", "-5", None, None),
]


@pytest.mark.parametrize(("before", "flow", "after", "twr", "mwr"), DAYS)
def test_the_change_of_a_day(*, before: str, flow: str, after: str, twr: str | None, mwr: str | None) -> None:
    pair = daily((before, "0"), (after, flow))
    assert [shown(percent) for percent in changes(pair, TWR)] == [None, twr]
    assert [shown(percent) for percent in changes(pair, MWR)] == [None, mwr]


def test_no_points_have_no_changes_and_no_windows() -> None:
    for method in Method:
        assert changes([], method) == []
        assert windows([], method) == []


def test_one_point_has_no_change_and_no_windows() -> None:
    for method in Method:
        assert changes([on("2026-03-02", "100")], method) == [None]
        assert windows([on("2026-03-02", "100")], method) == []


# From valuations and flows to points.


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


def history(valuations: dict[str, tuple[str, int]], flows: Sequence[tuple[int, str]] = ()) -> History:
    """Values and flows, each with the version of the mirror."""
    return History(
        valuations=tuple(Valuation(at(day), Decimal(v), version) for day, (v, version) in valuations.items()),
        flows=tuple(CashFlow(version, Decimal(amount)) for version, amount in flows),
    )


# Monday, Tuesday and Thursday, each at half past two; on Wednesday nobody looked.
THREE = {"03-02T14:30": ("100", 3), "03-03T14:30": ("200", 5), "03-05T14:30": ("300", 8)}

# the version of the mirror that first contains a flow of $7, and the flows of the three points
FLOWS = [
    ("before there were versions", 0, "0 0 0"),
    ("long before the first value", 1, "0 0 0"),
    ("in the first value", 3, "0 0 0"),
    ("seen after the first day was valued", 4, "0 7 0"),
    ("seen by the very look that valued the second day", 5, "0 7 0"),
    ("seen after the second day was valued", 6, "0 0 7"),
    ("seen on a day without a point", 7, "0 0 7"),
    ("in the last value", 8, "0 0 7"),
    ("not seen yet", 9, "0 0 0"),
]


@pytest.mark.parametrize(("version", "expected"), [row[1:] for row in FLOWS], ids=[row[0] for row in FLOWS])
def test_a_flow_counts_in_the_first_point_that_shows_it(version: int, expected: str) -> None:
    found = points(history(THREE, [(version, "7")]))
    assert [point.on.day for point in found] == [2, 3, 5]
    assert [point.value for point in found] == [100, 200, 300]
    assert " ".join(str(point.flow) for point in found) == expected


def test_flows_between_two_points_add_up() -> None:
    flows = [(7, "-5.01"), (4, "1"), (6, "20"), (8, "0.01"), (9, "2"), (6, "0.5")]
    assert [point.flow for point in points(history(THREE, flows))] == [0, 1, Decimal("15.5")]


def test_a_mirror_that_has_not_changed_contains_no_new_money() -> None:
    """$50 came when it was last changed: the days after that are made from the same version."""
    same = {"03-02T14:30": ("100", 1), "03-03T14:30": ("150", 2), "03-04T14:30": ("150", 2)}
    found = points(history(same, [(2, "50")]))
    assert [point.flow for point in found] == [0, 50, 0]


def test_a_day_that_was_valued_after_the_next_one_keeps_the_sums() -> None:
    """Two workers' clocks differed about midnight: $50 were seen between Tuesday's value, $100, and
    Monday's, $150. What there is too much by Tuesday comes back on Wednesday, and nothing was earned.
    """
    crossed = {"03-02T23:59": ("150", 6), "03-03T00:00": ("100", 5), "03-04T14:30": ("150", 7)}
    found = points(history(crossed, [(6, "50")]))
    assert [point.flow for point in found] == [0, -50, 50]
    assert [shown(percent) for percent in changes(found, TWR)] == [None, "0.0000", "0.0000"]


def test_a_history_without_valuations_has_no_points() -> None:
    assert points(history({}, [(1, "7")])) == []


def test_two_valuations_of_one_day_are_refused() -> None:
    with pytest.raises(AssertionError, match="one valuation a day"):
        points(history({"03-02T14:30": ("1", 1), "03-02T15:30": ("2", 2)}))


def test_the_live_value_stands_for_its_day() -> None:
    """What was stored this morning gives way, and flows since then are in the live value."""
    live = history(THREE, [(9, "50"), (7, "7"), (10, "1000")]).with_live(
        Valuation(at("03-05T18:00"), Decimal(360), 9)
    )
    assert [(point.at, str(point.value), str(point.flow)) for point in points(live)] == [
        (at("03-02T14:30"), "100", "0"),
        (at("03-03T14:30"), "200", "0"),
        (at("03-05T18:00"), "360", "57"),
    ]


def test_the_live_value_of_a_new_day_is_one_more_point() -> None:
    live = history(THREE).with_live(Valuation(at("03-06T00:00"), Decimal(360), 8))
    assert [point.on.day for point in points(live)] == [2, 3, 5, 6]


# The first days of an account. `1000@1` is $1,000 in version 1 of the mirror: each day's first look at the
# broker values it, and a look that finds something new makes the next version.
# the case, the stored days (- is one without a look), the present, deposits, the points with their flows
FIRST_DAYS = [
    ("enrolled with cash", "1000@1", "1000@1", "", "1000+0"),
    ("a deposit that the first look found", "1500@1", "1500@1", "500@1", "1500+0"),
    # The present stands for its day: there is one point, which begins the record.
    ("funded after the first look, that day", "1000@1", "1500@2", "500@2", "1500+0"),
    # But the day's stored value is what the record begins with from the next day on.
    ("the next day, before a look", "1000@1 -", "1500@2", "500@2", "1000+0 1500+500"),
    ("the next day, after the look", "1000@1 1500@2", "1500@2", "500@2", "1000+0 1500+500"),
    ("enrolled empty and then funded", "0@1 500@2", "500@2", "500@2", "0+0 500+500"),
    ("a deposit that only the next day saw", "1000@1 1500@2", "1530@2", "500@2", "1000+0 1530+500"),
    ("a deposit on a day without a look", "1000@1 - 1500@2", "1500@2", "500@2", "1000+0 1500+500"),
    ("one a day", "0@1 500@2 800@3", "820@4", "500@2 300@3 20@4", "0+0 500+500 820+320"),
]


def amounts(text: str) -> list[tuple[str, int]]:
    return [(amount, int(version)) for amount, version in (each.split("@") for each in text.split())]


@pytest.mark.parametrize(
    ("stored", "live", "flows", "expected"), [row[1:] for row in FIRST_DAYS], ids=[r[0] for r in FIRST_DAYS]
)
def test_the_first_days_of_an_account(stored: str, live: str, *, flows: str, expected: str) -> None:
    each = stored.split()
    looked = [f"03-{day:02}T14:30" for day, text in enumerate(each, start=2) if text != "-"]
    days = dict(zip(looked, amounts(stored.replace("-", "")), strict=True))
    ((value, version),) = amounts(live)
    now = Valuation(at(f"03-{1 + len(each):02}T18:00"), Decimal(value), version)
    of = history(days, [(seen, amount) for amount, seen in amounts(flows)])
    assert " ".join(f"{point.value}{point.flow:+}" for point in points(of.with_live(now))) == expected


# Windows.

TRACK = [
    on("2026-03-02", "1000"),
    on("2026-03-03", "1100"),
    on("2026-03-05", "1650", "550"),
    on("2026-03-09", "1320"),
    on("2026-03-10", "1254"),
]


def test_time_weighted_windows_chain_the_days() -> None:
    """The days: 1100/1000 = 1.1, 1650/(1100 + 550) = 1, 1320/1650 = 0.8, 1254/1320 = 0.95.

    1d: 0.95. 1w, since the 3rd: 1 × 0.8 × 0.95 = 0.76. all: 1.1 × 0.76 = 0.836.
    """
    assert [(w.name, str(w.since), shown(w.percent)) for w in windows(TRACK, TWR)] == [
        ("1d", "2026-03-09", "-5.0000"),
        ("1w", "2026-03-03", "-24.0000"),
        ("all", "2026-03-02", "-16.4000"),
    ]


def test_money_weighted_windows_weigh_flows_by_what_remained() -> None:
    """$550 came between the 3rd and the 5th, on average on the 4th, and six days remained.

    1d: (1254 − 1320) / 1320. 1w, 7 days since the 3rd: (1254 − 1100 − 550) / (1100 + 550 × 6/7)
    = −396 × 7 / (7700 + 3300) = −2772 / 11000. all, 8 days: (1254 − 1000 − 550) / (1000 + 550 × 6/8)
    = −296 / 1412.5.
    """
    assert [(w.name, str(w.since), shown(w.percent)) for w in windows(TRACK, MWR)] == [
        ("1d", "2026-03-09", "-5.0000"),
        ("1w", "2026-03-03", "-25.2000"),
        ("all", "2026-03-02", "-20.9558"),
    ]


# the oldest point, the last one, the windows between them
REACHES = [
    ("2026-03-09", "2026-03-10", "1d all"),
    ("2026-03-08", "2026-03-10", "1d all"),
    ("2026-03-04", "2026-03-10", "1d all"),
    ("2026-03-03", "2026-03-10", "1d 1w all"),
    ("2026-02-11", "2026-03-10", "1d 1w all"),
    ("2026-02-10", "2026-03-10", "1d 1w 1m all"),
    # February has no 31st: a month before the 31st of March is its last day.
    ("2026-03-01", "2026-03-31", "1d 1w all"),
    ("2026-02-28", "2026-03-31", "1d 1w 1m all"),
    ("2024-02-29", "2024-03-30", "1d 1w 1m all"),
    ("2025-12-10", "2026-03-10", "1d 1w 1m 3m all"),
    ("2025-12-11", "2026-03-10", "1d 1w 1m all"),
    ("2025-09-10", "2026-03-10", "1d 1w 1m 3m 6m all"),
    ("2025-09-11", "2026-03-10", "1d 1w 1m 3m all"),
    ("2025-03-10", "2026-03-10", "1d 1w 1m 3m 6m 12m all"),
    ("2025-03-11", "2026-03-10", "1d 1w 1m 3m 6m all"),
    ("2025-12-31", "2026-01-31", "1d 1w 1m all"),
    ("2023-02-28", "2024-02-29", "1d 1w 1m 3m 6m 12m all"),
    ("2019-07-01", "2026-03-10", "1d 1w 1m 3m 6m 12m all"),
]


@pytest.mark.parametrize(("oldest", "last", "names"), REACHES)
def test_a_window_needs_a_point_at_or_before_its_beginning(oldest: str, last: str, names: str) -> None:
    found = windows([on(oldest, "100"), on(last, "110")], TWR)
    assert " ".join(window.name for window in found) == names
    assert {window.since for window in found} == {date.fromisoformat(oldest)}
    assert {shown(window.percent) for window in found} == {"10.0000"}


def test_a_window_begins_at_the_last_point_that_reaches_it() -> None:
    """On Monday the day before is Sunday: Friday's point answers for it."""
    found = windows([on("2026-03-05", "100"), on("2026-03-06", "200"), on("2026-03-09", "210")], TWR)
    assert [(w.name, str(w.since), shown(w.percent)) for w in found] == [
        ("1d", "2026-03-06", "5.0000"),
        ("all", "2026-03-05", "110.0000"),
    ]


def test_a_time_in_which_nothing_was_invested_neither_gains_nor_loses() -> None:
    """1.1, then emptied at 1.0, nothing, then 105 from 100: 1.1 × 1.05 = 1.155."""
    track = daily(("100", "0"), ("110", "0"), ("0", "-110"), ("0", "0"), ("105", "100"))
    assert [shown(percent) for percent in changes(track, TWR)] == [
        None,
        "10.0000",
        "0.0000",
        None,
        "5.0000",
    ]
    assert [(w.name, shown(w.percent)) for w in windows(track, TWR)] == [("1d", "5.0000"), ("all", "15.5000")]


def test_a_window_in_which_nothing_was_invested_is_left_out() -> None:
    track = daily(("100", "0"), ("0", "-100"), ("0", "0"))
    assert [w.name for w in windows(track, TWR)] == ["all"]
    assert [w.name for w in windows(track, MWR)] == ["all"]
    assert windows(track[1:], TWR) == []


# What holds for any history.

CENTS = st.integers(1, 10**15).map(lambda cents: Decimal(cents).scaleb(-2))
GAPS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


@given(gaps=GAPS, start=CENTS, bps=st.integers(-5000, 5000), data=st.data())
def test_constant_growth_chains_whatever_comes_in(
    gaps: list[int], start: Decimal, *, bps: int, data: st.DataObject
) -> None:
    """Each day grows by the same rate, deposits included: n days chain to (1 + r)ⁿ."""
    growth = 1 + Decimal(bps) / 10_000
    made = [Point(at=FIRST, value=start, flow=ZERO)]
    for gap in gaps:
        flow = data.draw(st.just(ZERO) | CENTS)
        last = made[-1]
        made.append(
            Point(at=last.at + timedelta(days=gap), value=(last.value + flow) * growth, flow=flow),
        )
    percent = change(made, TWR)
    assert percent is not None
    assert abs(percent - (growth ** len(gaps) - 1) * 100) < Decimal("1e-30")


@given(start=CENTS | st.just(ZERO), deposits=st.lists(CENTS, min_size=1, max_size=30))
def test_deposits_alone_are_no_performance(start: Decimal, deposits: list[Decimal]) -> None:
    made = [Point(at=FIRST, value=start, flow=ZERO)]
    for n, deposit in enumerate(deposits, start=1):
        value = made[-1].value + deposit
        made.append(Point(at=FIRST + timedelta(days=n), value=value, flow=deposit))
    for method in Method:
        assert set(changes(made, method)[1:]) == {ZERO}
        assert {window.percent for window in windows(made, method)} == {ZERO}


@given(start=CENTS, parts=st.lists(st.integers(0, 100), min_size=1, max_size=30))
def test_withdrawals_alone_are_no_performance(start: Decimal, parts: list[int]) -> None:
    made = [Point(at=FIRST, value=start, flow=ZERO)]
    for n, part in enumerate(parts, start=1):
        taken = made[-1].value * part / 100
        value = made[-1].value - taken
        made.append(Point(at=FIRST + timedelta(days=n), value=value, flow=-taken))
    assert {window.percent for window in windows(made, TWR)} <= {ZERO}


@given(gaps=GAPS, values=st.lists(CENTS, min_size=31, max_size=31))
def test_without_flows_both_methods_agree(gaps: list[int], values: list[Decimal]) -> None:
    """And both are the last value over the first."""
    days = [0]
    for gap in gaps:
        days.append(days[-1] + gap)
    made = [
        Point(at=FIRST + timedelta(days=day), value=value, flow=ZERO)
        for day, value in zip(days, values, strict=False)
    ]
    exact = (Fraction(made[-1].value) / Fraction(made[0].value) - 1) * 100
    for method in Method:
        percent = change(made, method)
        assert percent is not None
        assert abs(Fraction(percent) - exact) <= abs(exact + 100) * Fraction(1, 10**30)


@given(
    flows=st.lists(st.tuples(st.integers(0, 12), st.integers(-(10**9), 10**9)), max_size=20),
    versions=st.lists(st.integers(0, 12), min_size=1, max_size=20),
)
def test_between_the_first_point_and_the_last_every_flow_counts_once(
    flows: list[tuple[int, int]], versions: list[int]
) -> None:
    """However the days were made: what the last has seen and the first has not."""
    versions[-1] = max(versions)
    valuations = tuple(
        Valuation(FIRST + timedelta(days=day), Decimal(1), version) for day, version in enumerate(versions)
    )
    listed = tuple(CashFlow(version, Decimal(amount)) for version, amount in flows)
    seen = sum(point.flow for point in points(History(valuations=valuations, flows=listed)))
    assert seen == sum(flow.amount for flow in listed if versions[0] < flow.mirror_version <= versions[-1])


# The index of a strategy.

MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2026, 3, n) for n in range(2, 6))


def priced(on: date, **prices: str) -> PricedDay:
    return PricedDay(on=on, prices={symbol: Decimal(price) for symbol, price in prices.items()})


def mix(cash: str = "0", **percents: str) -> Weights:
    assets = {symbol: Decimal(percent) for symbol, percent in percents.items()}
    return Weights(assets=assets, cash=Decimal(cash), names_cash=cash != "0")


def index_of(days: Sequence[PricedDay], *published: tuple[date, Weights]) -> list[tuple[date, str]]:
    """The index, of weights that came into force on these days."""

    def weights_on(on: date) -> Weights | None:
        return next((weights for since, weights in reversed(published) if since <= on), None)

    found = index_points(days, weights_on)
    assert all(point.flow == 0 for point in found)
    return [(point.on, str(round_nearest(point.value, 4))) for point in found]


def test_the_index_goes_by_the_weights_of_the_day_before() -> None:
    days = [
        priced(MONDAY, A="100", B="50", C="7"),
        # 100 × (1 + 0.6 × 10 % − 0.4 × 10 %)
        priced(TUESDAY, A="110", B="45", C="7"),
        # 102 × (1 − 0.6 × 10 %); or, had C been published on Tuesday, 102 × 2
        priced(WEDNESDAY, A="99", B="45", C="14"),
    ]
    old, new = (MONDAY, mix(A="60", B="40")), (TUESDAY, mix(C="100"))
    assert index_of(days, old) == [(MONDAY, "100.0000"), (TUESDAY, "102.0000"), (WEDNESDAY, "95.8800")]
    assert index_of(days, old, new)[-1] == (WEDNESDAY, "204.0000")


def test_cash_in_the_weights_earns_nothing() -> None:
    days = [priced(MONDAY, A="100"), priced(TUESDAY, A="120")]
    assert index_of(days, (MONDAY, mix("50", A="50")))[-1] == (TUESDAY, "110.0000")


def test_days_without_all_prices_are_passed_over_and_lose_nothing() -> None:
    days = [
        priced(MONDAY, A="100"),
        priced(TUESDAY, A="100", B="10"),
        priced(WEDNESDAY, A="200"),
        # From Tuesday on: 0.5 × 10 % + 0.5 × 20 %
        priced(THURSDAY, A="110", B="12"),
    ]
    assert index_of(days, (MONDAY, mix(A="50", B="50"))) == [(TUESDAY, "100.0000"), (THURSDAY, "115.0000")]


def test_weights_whose_first_prices_nobody_noted_begin_the_day_after() -> None:
    """Wednesday's 11 has no price of Tuesday to be compared with; from there it doubles."""
    days = [
        priced(MONDAY, A="100"),
        priced(TUESDAY, A="90"),
        priced(WEDNESDAY, A="90", B="11"),
        priced(THURSDAY, A="1", B="22"),
    ]
    published = (MONDAY, mix(A="100")), (TUESDAY, mix(B="100"))
    assert index_of(days, *published) == [
        (MONDAY, "100.0000"),
        (TUESDAY, "90.0000"),
        (THURSDAY, "180.0000"),
    ]


def test_before_there_were_weights_there_is_no_index() -> None:
    assert index_of([priced(MONDAY, A="1")], (TUESDAY, mix(A="100"))) == []
