"""What a strategy says: targets, conditions, cooldown; and every reason why it may not say it.

Rules are those of the Alpaca seed (weights and rebalancing conditions models). A strategy may hold
other strategies as targets; `flatten` resolves them into assets and cash at the moment of use.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from trimtab.core.errors import Problem
from trimtab.core.money import HUNDRED, ZERO, places
from trimtab.core.preferences import NO_PREFERENCES, Preferences

PERCENT_PLACES = 2
COOLDOWN_DAYS_MAX = 3660
TARGETS_MAX = 500
NESTING_MAX = 10
NAME_MAX = 256
DESCRIPTION_MAX = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class CashTarget:
    percent: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetTarget:
    symbol: str
    percent: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyTarget:
    """Another strategy as one line; beyond the vendor."""

    strategy_id: str
    percent: Decimal


Target = CashTarget | AssetTarget | StrategyTarget


class BandKind(StrEnum):
    ABSOLUTE = "absolute"
    RELATIVE = "relative"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftBand:
    kind: BandKind
    percent: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """`weekday` counts from Monday = 0 to Friday = 4."""

    weekday: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Monthly:
    day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarterly:
    day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Annually:
    month: int
    day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnUpdate:
    """A full rebalance is due because the strategy was updated."""


CalendarRule = Weekly | Monthly | Quarterly | Annually
Condition = DriftBand | CalendarRule | OnUpdate


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What one version fixes for good."""

    targets: tuple[Target, ...]
    conditions: tuple[Condition, ...]
    cooldown_days: int

    @property
    def bands(self) -> tuple[DriftBand, ...]:
        return tuple(c for c in self.conditions if isinstance(c, DriftBand))

    @property
    def calendar_rule(self) -> CalendarRule | None:
        rules = [c for c in self.conditions if isinstance(c, CalendarRule)]
        return rules[0] if rules else None

    @property
    def on_update(self) -> bool:
        return any(isinstance(c, OnUpdate) for c in self.conditions)


class Frequency(StrEnum):
    """How often an interval schedule is due; a month is 30 days (notes on Glider's contract, 9.20)."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"

    @property
    def interval(self) -> timedelta:
        return _INTERVALS[self]


_INTERVALS = {
    Frequency.HOURLY: timedelta(hours=1),
    Frequency.DAILY: timedelta(days=1),
    Frequency.WEEKLY: timedelta(days=7),
    Frequency.MONTHLY: timedelta(days=30),
}


class OnIneligible(StrEnum):
    """What becomes of a strategy with an asset that stops being eligible: it stops until somebody adjusts it
    (the vendor's rule), or only that line is left as it is.
    """

    NEEDS_ADJUSTMENT = "needs_adjustment"
    FREEZE_LINE = "freeze_line"


class StrategyStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    NEEDS_ADJUSTMENT = "needs_adjustment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A strategy as its head version shows it.

    `updated_version` is the last version that changed targets or conditions, or came with a change of
    the targets of a strategy nested in it: whoever was evaluated before it is due for evaluation.
    `hidden` strategies belong to one run with weights of its own. With a `frequency` it is rebalanced
    at that interval, beside what its conditions make due; a public strategy may be read and followed
    by every tenant.
    """

    id: str
    tenant_id: str
    name: str
    description: str
    status: StrategyStatus
    version: int
    updated_version: int
    definition: Definition
    calendar: str
    hidden: bool
    created_at: datetime
    updated_at: datetime
    frequency: Frequency | None = None
    preferences: Preferences = NO_PREFERENCES
    is_public: bool = False
    on_ineligible: OnIneligible = OnIneligible.NEEDS_ADJUSTMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Targets resolved to assets and cash, in percent of equity; they sum to exactly 100.

    `names_cash` is true if the strategy has a cash line: only then is cash tested for drift.
    """

    assets: Mapping[str, Decimal]
    cash: Decimal
    names_cash: bool


def validate(definition: Definition) -> list[Problem]:
    """All problems at once; none means that the definition may be stored."""
    problems = [*_target_problems(definition.targets), *_condition_problems(definition.conditions)]
    if not 0 <= definition.cooldown_days <= COOLDOWN_DAYS_MAX:
        text = f"cooldown_days must be between 0 and {COOLDOWN_DAYS_MAX}"
        problems.append(Problem("cooldown_days", text))
    return problems


def validate_targets(targets: Sequence[Target]) -> list[Problem]:
    """The problems of weights that stand alone, as in a manual run."""
    return _target_problems(targets)


def _target_problems(targets: Sequence[Target]) -> list[Problem]:
    if not targets:
        return [Problem("weights", "weights are required")]
    if len(targets) > TARGETS_MAX:
        return [Problem("weights", f"weights: at most {TARGETS_MAX}")]
    problems = [
        problem
        for i, target in enumerate(targets)
        for problem in _percent_problems(f"weights[{i}].percent", target.percent)
    ]
    problems += [
        Problem("weights", f"duplicate assets: {name}") for name in _repeated(_line_name(t) for t in targets)
    ]
    if not problems and sum((t.percent for t in targets), ZERO) != HUNDRED:
        problems.append(Problem("weights", "weights must sum to 100"))
    return problems


def _condition_problems(conditions: Sequence[Condition]) -> list[Problem]:
    problems = []
    for i, condition in enumerate(conditions):
        path = f"rebalance_conditions[{i}]"
        match condition:
            case DriftBand(percent=percent):
                problems += _percent_problems(f"{path}.percent", percent)
            case Weekly(weekday=weekday):
                if not 0 <= weekday <= 4:  # noqa: PLR2004 - Monday to Friday, the seed's values
                    problems.append(Problem(f"{path}.day", f"{path}.day: invalid value"))
            case Monthly(day=day) | Quarterly(day=day):
                if not 1 <= day <= 31:  # noqa: PLR2004 - days of a month
                    problems.append(Problem(f"{path}.day", f"{path}.day: invalid value"))
            case Annually(month=month, day=day):
                if not (1 <= month <= 12 and 1 <= day <= DAYS_IN_MONTH[month - 1]):  # noqa: PLR2004
                    problems.append(Problem(f"{path}.day", f"{path}.day: invalid value"))
            case OnUpdate():
                pass
            case _:
                assert_never(condition)
    if sum(isinstance(c, CalendarRule) for c in conditions) > 1:
        problems.append(Problem("rebalance_conditions", "only one calendar condition is allowed"))
    repeated = _repeated(_condition_name(c) for c in conditions if not isinstance(c, CalendarRule))
    problems += [Problem("rebalance_conditions", f"duplicate condition: {name}") for name in repeated]
    return problems


# 29 February is a date that an annual rule may name.
DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _percent_problems(path: str, percent: Decimal) -> list[Problem]:
    if percent <= 0:
        return [Problem(path, f"{path}: must be greater than 0")]
    if places(percent) > PERCENT_PLACES:
        return [Problem(path, f"{path}: at most two decimal places")]
    return []


def _line_name(target: Target) -> str:
    match target:
        case CashTarget():
            return "cash"
        case AssetTarget(symbol=symbol):
            return symbol
        case StrategyTarget(strategy_id=strategy_id):
            return strategy_id
        case _:
            assert_never(target)


def _condition_name(condition: Condition) -> str:
    return f"drift_band {condition.kind}" if isinstance(condition, DriftBand) else "on_portfolio_update"


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    return list(repeated)


def flatten(targets: Sequence[Target], targets_of: Callable[[str], Sequence[Target]]) -> Weights:
    """Resolve nested strategies into assets and cash, exactly.

    `targets_of` gives the targets of a nested strategy. There are no cycles: a strategy that leads
    back to itself is refused when it is stored.
    """
    return _flatten(targets, targets_of, resolved={})


def _flatten(
    targets: Sequence[Target], targets_of: Callable[[str], Sequence[Target]], *, resolved: dict[str, Weights]
) -> Weights:
    """`resolved` keeps each nested strategy's weights: many may list the same one."""
    assets: dict[str, Decimal] = {}
    cash = ZERO
    names_cash = False
    for target in targets:
        match target:
            case CashTarget(percent=percent):
                cash += percent
                names_cash = True
            case AssetTarget(symbol=symbol, percent=percent):
                assets[symbol] = assets.get(symbol, ZERO) + percent
            case StrategyTarget(strategy_id=strategy_id, percent=percent):
                if strategy_id not in resolved:
                    inner_targets = targets_of(strategy_id)
                    resolved[strategy_id] = _flatten(inner_targets, targets_of, resolved=resolved)
                inner = resolved[strategy_id]
                for symbol, inner_percent in inner.assets.items():
                    share = percent * inner_percent / HUNDRED
                    assets[symbol] = assets.get(symbol, ZERO) + share
                cash += percent * inner.cash / HUNDRED
                names_cash = names_cash or inner.names_cash
            case _:
                assert_never(target)
    return Weights(assets=assets, cash=cash, names_cash=names_cash)


def nesting_depth(shelf: Mapping[str, Sequence[Target]]) -> int:
    """The most levels of strategies below any on the shelf; there are no cycles."""
    depths: dict[str, int] = {}

    def depth(strategy_id: str) -> int:
        if strategy_id not in depths:
            inner = nested_ids(shelf.get(strategy_id, ()))
            depths[strategy_id] = max((1 + depth(i) for i in inner), default=0)
        return depths[strategy_id]

    return max(map(depth, shelf), default=0)


def nested_ids(targets: Sequence[Target]) -> tuple[str, ...]:
    return tuple(t.strategy_id for t in targets if isinstance(t, StrategyTarget))


def with_symbols(targets: Sequence[Target], present: Mapping[str, str]) -> tuple[Target, ...]:
    """The targets with each asset under its present symbol; two lines that come to mean one asset are one."""
    lines: dict[tuple[type[Target], str], Target] = {}
    for target in targets:
        line = target
        if isinstance(target, AssetTarget):
            line = replace(target, symbol=present.get(target.symbol, target.symbol))
        key = (type(line), _line_name(line))
        other = lines.get(key)
        lines[key] = line if other is None else replace(line, percent=line.percent + other.percent)
    return tuple(lines.values())


def asset_symbols(targets: Sequence[Target]) -> tuple[str, ...]:
    return tuple(t.symbol for t in targets if isinstance(t, AssetTarget))
