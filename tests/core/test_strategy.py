"""Strategies: what may be stored, every reason why not, and how nested ones become assets and cash."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.errors import Problem
from trimtab.core.strategy import (
    NESTING_MAX,
    Annually,
    AssetTarget,
    BandKind,
    CashTarget,
    Condition,
    Definition,
    DriftBand,
    Monthly,
    OnUpdate,
    Quarterly,
    StrategyTarget,
    Target,
    Weekly,
    Weights,
    asset_symbols,
    flatten,
    nested_ids,
    nesting_depth,
    validate,
    validate_targets,
)


def targets(text: str) -> tuple[Target, ...]:
    """`cash 5, SPY 60, @growth 35`: cash, an asset, and another strategy."""
    lines: list[Target] = []
    for line in text.split(", ") if text else []:
        name, number = line.split()
        percent = Decimal(number)
        if name == "cash":
            lines.append(CashTarget(percent=percent))
        elif name.startswith("@"):
            lines.append(StrategyTarget(strategy_id=name[1:], percent=percent))
        else:
            lines.append(AssetTarget(symbol=name, percent=percent))
    return tuple(lines)


def band(kind: BandKind, percent: str) -> DriftBand:
    return DriftBand(kind=kind, percent=Decimal(percent))


def definition(lines: str = "SPY 60, TLT 40", *conditions: Condition, cooldown_days: int = 0) -> Definition:
    return Definition(targets=targets(lines), conditions=conditions, cooldown_days=cooldown_days)


SUM = "weights must sum to 100"
POSITIVE = "must be greater than 0"
TWO_PLACES = "at most two decimal places"

# rule, weights, problems (path: text)
WEIGHTS = [
    ("thirds sum exactly", "A 33.33, B 33.33, C 33.34", []),
    ("one asset may be all", "A 100", []),
    ("cash may be all", "cash 100", []),
    ("cash counts", "cash 5, SPY 60, TLT 35", []),
    ("a nested strategy counts", "@growth 70, TLT 30", []),
    ("a hundredth is the smallest weight", "A 99.99, B 0.01", []),
    ("trailing zeros are no places", "A 33.330, B 66.670", []),
    ("a hundredth short", "A 33.33, B 33.33, C 33.33", [("weights", SUM)]),
    ("a hundredth too much", "A 50.00, B 50.01", [("weights", SUM)]),
    ("half", "A 50", [("weights", SUM)]),
    ("more than all", "A 150", [("weights", SUM)]),
    ("none", "", [("weights", "weights are required")]),
    ("zero", "A 100, B 0", [("weights[1].percent", POSITIVE)]),
    ("zero cash", "cash 0, A 100", [("weights[0].percent", POSITIVE)]),
    ("negative", "A 110, B -10", [("weights[1].percent", POSITIVE)]),
    (
        "three places",
        "A 33.333, B 66.667",
        [("weights[0].percent", TWO_PLACES), ("weights[1].percent", TWO_PLACES)],
    ),
    ("the same asset twice", "A 50, A 50", [("weights", "duplicate assets: A")]),
    ("three times is one problem", "A 50, A 25, A 25", [("weights", "duplicate assets: A")]),
    ("cash twice", "cash 50, cash 50", [("weights", "duplicate assets: cash")]),
    ("a nested strategy twice", "@x 50, @x 50", [("weights", "duplicate assets: x")]),
    (
        "all at once",
        "A 0, B 1.234, A 5",
        [
            ("weights[0].percent", POSITIVE),
            ("weights[1].percent", TWO_PLACES),
            ("weights", "duplicate assets: A"),
        ],
    ),
]


@pytest.mark.parametrize(("lines", "problems"), [pytest.param(*case[1:], id=case[0]) for case in WEIGHTS])
def test_weights_are_positive_have_two_places_and_sum_to_exactly_100(
    lines: str, problems: list[tuple[str, str]]
) -> None:
    expected = [Problem(path, text if path == "weights" else f"{path}: {text}") for path, text in problems]
    assert validate(definition(lines)) == expected
    assert validate_targets(targets(lines)) == expected


def test_a_strategy_has_at_most_five_hundred_lines() -> None:
    most = tuple(AssetTarget(symbol=f"A{n}", percent=Decimal("0.2")) for n in range(500))
    assert validate_targets(most) == []
    assert validate_targets((*most, AssetTarget(symbol="B", percent=Decimal("0.2")))) == [
        Problem("weights", "weights: at most 500")
    ]


ABSOLUTE, RELATIVE = BandKind.ABSOLUTE, BandKind.RELATIVE
DAY = "rebalance_conditions[0].day"
PERCENT = "rebalance_conditions[0].percent"
BAD_DAY = [(DAY, f"{DAY}: invalid value")]
ONE_CALENDAR = [("rebalance_conditions", "only one calendar condition is allowed")]

# rule, conditions, problems
CONDITIONS: list[tuple[str, list[Condition], list[tuple[str, str]]]] = [
    ("none", [], []),
    (
        "both bands, a calendar and updates",
        [band(ABSOLUTE, "5"), band(RELATIVE, "20"), Monthly(day=1), OnUpdate()],
        [],
    ),
    ("a band of a hundredth", [band(ABSOLUTE, "0.01")], []),
    ("a relative band above 100", [band(RELATIVE, "150")], []),
    ("a band of zero", [band(ABSOLUTE, "0")], [(PERCENT, f"{PERCENT}: {POSITIVE}")]),
    ("a negative band", [band(RELATIVE, "-1")], [(PERCENT, f"{PERCENT}: {POSITIVE}")]),
    ("a band with three places", [band(ABSOLUTE, "1.005")], [(PERCENT, f"{PERCENT}: {TWO_PLACES}")]),
    (
        "the same kind of band twice",
        [band(ABSOLUTE, "5"), band(ABSOLUTE, "6")],
        [("rebalance_conditions", "duplicate condition: drift_band absolute")],
    ),
    (
        "updates twice",
        [OnUpdate(), OnUpdate()],
        [("rebalance_conditions", "duplicate condition: on_portfolio_update")],
    ),
    ("Monday", [Weekly(weekday=0)], []),
    ("Friday", [Weekly(weekday=4)], []),
    ("Saturday", [Weekly(weekday=5)], BAD_DAY),
    ("the day before Monday", [Weekly(weekday=-1)], BAD_DAY),
    ("the first of a month", [Monthly(day=1)], []),
    ("the thirty-first of a month", [Monthly(day=31)], []),
    ("day 0 of a month", [Monthly(day=0)], BAD_DAY),
    ("day 32 of a month", [Monthly(day=32)], BAD_DAY),
    ("the thirty-first of a quarter", [Quarterly(day=31)], []),
    ("day 0 of a quarter", [Quarterly(day=0)], BAD_DAY),
    ("day 32 of a quarter", [Quarterly(day=32)], BAD_DAY),
    ("29 February", [Annually(month=2, day=29)], []),
    ("30 February", [Annually(month=2, day=30)], BAD_DAY),
    ("31 April", [Annually(month=4, day=31)], BAD_DAY),
    ("30 April", [Annually(month=4, day=30)], []),
    ("1 January", [Annually(month=1, day=1)], []),
    ("31 December", [Annually(month=12, day=31)], []),
    ("32 December", [Annually(month=12, day=32)], BAD_DAY),
    ("day 0 of May", [Annually(month=5, day=0)], BAD_DAY),
    ("month 0", [Annually(month=0, day=1)], BAD_DAY),
    ("month 13", [Annually(month=13, day=1)], BAD_DAY),
    ("two calendars", [Weekly(weekday=0), Monthly(day=1)], ONE_CALENDAR),
    ("two calendars of a kind", [Monthly(day=1), Monthly(day=1)], ONE_CALENDAR),
]


@pytest.mark.parametrize(
    ("conditions", "problems"), [pytest.param(*case[1:], id=case[0]) for case in CONDITIONS]
)
def test_conditions_name_days_that_exist_and_none_of_them_twice(
    conditions: list[Condition], problems: list[tuple[str, str]]
) -> None:
    found = validate(definition("A 100", *conditions))
    assert found == [Problem(path, text) for path, text in problems]


@pytest.mark.parametrize(
    ("cooldown_days", "good"), [(-1, False), (0, True), (31, True), (3660, True), (3661, False)]
)
def test_the_cooldown_is_between_nothing_and_ten_years(cooldown_days: int, *, good: bool) -> None:
    found = validate(definition(cooldown_days=cooldown_days))
    expected = Problem("cooldown_days", "cooldown_days must be between 0 and 3660")
    assert found == ([] if good else [expected])


def test_problems_of_every_part_come_at_once() -> None:
    found = validate(definition("A 99", Monthly(day=32), cooldown_days=-1))
    assert [problem.path for problem in found] == ["weights", DAY, "cooldown_days"]


def test_a_definition_knows_its_bands_its_calendar_and_whether_updates_count() -> None:
    five, twenty = band(ABSOLUTE, "5"), band(RELATIVE, "20")
    full = definition("A 100", five, Monthly(day=1), twenty, OnUpdate())
    assert (full.bands, full.calendar_rule, full.on_update) == ((five, twenty), Monthly(day=1), True)
    bare = definition("A 100")
    assert (bare.bands, bare.calendar_rule, bare.on_update) == ((), None, False)


# An independent reading of the rules: is there any reason not to store this?

MONTH_LENGTHS = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}


@pytest.mark.parametrize(("month", "length"), list(MONTH_LENGTHS.items()))
def test_an_annual_day_may_be_the_last_of_its_month_and_no_later(month: int, length: int) -> None:
    assert validate(definition("A 100", Annually(month=month, day=length))) == []
    assert validate(definition("A 100", Annually(month=month, day=length + 1))) != []


def is_percent(value: Decimal) -> bool:
    return Fraction(value) > 0 and (Fraction(value) * 100).denominator == 1


def is_condition(condition: Condition) -> bool:
    match condition:
        case DriftBand():
            return is_percent(condition.percent)
        case Weekly():
            return condition.weekday in range(5)
        case Monthly() | Quarterly():
            return condition.day in range(1, 32)
        case Annually():
            return condition.day in range(1, MONTH_LENGTHS.get(condition.month, 0) + 1)
        case OnUpdate():
            return True


def may_be_stored(wanted: Definition) -> bool:
    lines = [str(getattr(t, "symbol", None) or getattr(t, "strategy_id", "cash")) for t in wanted.targets]
    kinds = [
        "calendar" if hasattr(c, "day") or hasattr(c, "weekday") else str(getattr(c, "kind", "update"))
        for c in wanted.conditions
    ]
    return (
        sum(Fraction(t.percent) for t in wanted.targets) == 100
        and all(is_percent(t.percent) for t in wanted.targets)
        and max(Counter(lines).values()) == 1
        and all(map(is_condition, wanted.conditions))
        and all(count == 1 for count in Counter(kinds).values())
        and wanted.cooldown_days in range(3661)
    )


percents = st.sampled_from(
    [Decimal(p) for p in ("50", "25", "25.00", "12.5", "100", "0", "-50", "0.005", "99.995")]
)
any_target = st.one_of(
    st.builds(CashTarget, percent=percents),
    st.builds(AssetTarget, symbol=st.sampled_from("ABCD"), percent=percents),
    st.builds(StrategyTarget, strategy_id=st.sampled_from(["x", "y"]), percent=percents),
)
any_day = st.integers(-1, 33)
any_condition = st.one_of(
    st.builds(DriftBand, kind=st.sampled_from(BandKind), percent=percents),
    st.builds(Weekly, weekday=st.integers(-1, 6)),
    st.builds(Monthly, day=any_day),
    st.builds(Quarterly, day=any_day),
    st.builds(Annually, month=st.integers(0, 13), day=any_day),
    st.just(OnUpdate()),
)
halves = st.permutations("ABCDE").map(lambda names: targets(f"{names[0]} 50, {names[1]} 25, {names[2]} 25"))
definitions = st.builds(
    Definition,
    targets=st.one_of(st.lists(any_target, max_size=4).map(tuple), halves),
    conditions=st.lists(any_condition, max_size=2).map(tuple),
    cooldown_days=st.sampled_from([-1, 0, 7, 3660, 3661]),
)


@given(definitions)
def test_a_problem_is_found_if_and_only_if_there_is_one(wanted: Definition) -> None:
    assert (validate(wanted) == []) == may_be_stored(wanted)


@given(st.lists(st.integers(1, 9999), min_size=1, max_size=12), st.integers(-1, 1))
def test_hundredths_that_sum_to_ten_thousand_are_weights_and_no_others(cuts: list[int], off: int) -> None:
    edges = sorted({0, *cuts, 10000})
    parts = [after - before for before, after in pairwise(edges)]
    parts[-1] += off
    lines = tuple(
        AssetTarget(symbol=f"A{n}", percent=Decimal(part).scaleb(-2)) for n, part in enumerate(parts)
    )
    assert (validate_targets(lines) == []) == (off == 0)


# Nesting.

SHELF = {
    "growth": targets("QQQ 60, SPY 40"),
    "safe": targets("TLT 80, cash 20"),
    "mixed": targets("@growth 50, @safe 50"),
    "bonds": targets("TLT 100"),
}


def on_shelf(strategy_id: str) -> Sequence[Target]:
    return SHELF[strategy_id]


# rule, weights, assets, cash, whether cash is named
FLAT = [
    ("plain weights stay", "SPY 60, TLT 40", "SPY 60, TLT 40", "0", False),
    ("cash is named by its line", "cash 5, SPY 95", "SPY 95", "5", True),
    ("a nested strategy is shared out", "@growth 50, TLT 50", "QQQ 30, SPY 20, TLT 50", "0", False),
    ("the same asset adds up", "SPY 50, @growth 50", "SPY 70, QQQ 30", "0", False),
    ("nested cash is named too", "SPY 50, @safe 50", "SPY 50, TLT 40", "10", True),
    ("cash adds up", "cash 10, @safe 50, SPY 40", "TLT 40, SPY 40", "20", True),
    ("two levels", "@mixed 50, TLT 50", "QQQ 15, SPY 10, TLT 70", "5", True),
    ("hundredths of hundredths are exact", "@growth 33.33, SPY 66.67", "QQQ 19.998, SPY 80.002", "0", False),
]


@pytest.mark.parametrize(
    ("lines", "assets", "cash", "names_cash"), [pytest.param(*case[1:], id=case[0]) for case in FLAT]
)
def test_nested_strategies_become_assets_and_cash_exactly(
    lines: str, assets: str, *, cash: str, names_cash: bool
) -> None:
    expected = {t.symbol: t.percent for t in targets(assets) if isinstance(t, AssetTarget)}
    assert flatten(targets(lines), on_shelf) == Weights(
        assets=expected, cash=Decimal(cash), names_cash=names_cash
    )


@given(st.lists(st.lists(st.integers(1, 9999), max_size=3), min_size=1, max_size=NESTING_MAX + 1))
def test_however_strategies_are_nested_the_weights_sum_to_exactly_100(levels: list[list[int]]) -> None:
    shelf: dict[str, tuple[Target, ...]] = {}
    for level, cuts in enumerate(levels):
        edges = sorted({0, *cuts, 10000})
        parts = [Decimal(b - a).scaleb(-2) for a, b in pairwise(edges)]
        lines: list[Target] = [AssetTarget(symbol=f"A{n}", percent=part) for n, part in enumerate(parts)]
        if level:
            lines[0] = StrategyTarget(strategy_id=str(level - 1), percent=parts[0])
        if len(parts) > 1:
            lines[-1] = CashTarget(percent=parts[-1])
        shelf[str(level)] = tuple(lines)
    flat = flatten(shelf[str(len(levels) - 1)], shelf.__getitem__)
    assert sum(map(Fraction, flat.assets.values())) + Fraction(flat.cash) == 100


def test_what_nobody_knows_is_not_passed_over() -> None:
    strange = cast("Target", band(BandKind.ABSOLUTE, "100"))
    with pytest.raises(AssertionError, match="unreachable"):
        validate_targets([strange])
    with pytest.raises(AssertionError, match="unreachable"):
        flatten([strange], on_shelf)
    with pytest.raises(AssertionError, match="unreachable"):
        validate(definition("A 100", cast("Condition", CashTarget(percent=Decimal(100)))))


def test_a_strategy_nested_in_many_is_resolved_once() -> None:
    # Each of twenty floors lists both strategies of the floor below: a million ways lead to the ground.
    shelf = {f"{side}0": targets("SPY 60, TLT 40") for side in "ab"}
    for floor in range(1, 20):
        for side in "ab":
            shelf[f"{side}{floor}"] = targets(f"@a{floor - 1} 50, @b{floor - 1} 50")
    opened: list[str] = []

    def targets_of(strategy_id: str) -> Sequence[Target]:
        opened.append(strategy_id)
        assert len(opened) <= len(shelf), "a strategy was resolved twice"
        return shelf[strategy_id]

    flat = flatten(shelf["a19"], targets_of)
    assert flat.assets == {"SPY": Decimal(60), "TLT": Decimal(40)}


def test_nested_strategies_and_assets_are_listed_in_their_order() -> None:
    lines = targets("cash 5, @b 20, SPY 25, @a 20, TLT 30")
    assert nested_ids(lines) == ("b", "a")
    assert asset_symbols(lines) == ("SPY", "TLT")


# rule, shelf, depth
DEPTHS: list[tuple[str, dict[str, str], int]] = [
    ("nothing on the shelf", {}, 0),
    ("only assets", {"a": "SPY 100"}, 0),
    ("one in another", {"a": "@b 100", "b": "SPY 100"}, 1),
    ("a chain", {"a": "@b 100", "b": "@c 50, SPY 50", "c": "@d 100", "d": "SPY 100"}, 3),
    ("the longest of two ways", {"a": "@b 50, @c 50", "b": "@c 100", "c": "SPY 100"}, 2),
    ("one that is not on the shelf is a level too", {"a": "@b 100"}, 1),
]


@pytest.mark.parametrize(("shelf", "depth"), [pytest.param(*case[1:], id=case[0]) for case in DEPTHS])
def test_the_depth_of_nesting_counts_the_levels_below(shelf: dict[str, str], depth: int) -> None:
    assert nesting_depth({name: targets(lines) for name, lines in shelf.items()}) == depth
