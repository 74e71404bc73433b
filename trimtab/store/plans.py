"""Plans and strategy definitions as the text that is stored for good."""

from functools import lru_cache
from hashlib import sha256
from typing import Any, assert_never

import msgspec

from trimtab.core.money import parse_decimal, plain
from trimtab.core.plan import Plan
from trimtab.core.strategy import (
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
)

# Every turn at a shard reads those of all its strategies.
DEFINITIONS_KEPT = 4096

_PLANS = msgspec.json.Decoder(Plan)
_ENCODER = msgspec.json.Encoder()


def plan_text(plan: Plan) -> tuple[str, str]:
    """The stored body of a plan and the SHA-256 of it."""
    body = _ENCODER.encode(plan)
    return body.decode(), sha256(body).hexdigest()


def plan_from(body: str) -> Plan:
    return _PLANS.decode(body)


def definition_text(definition: Definition) -> str:
    return _ENCODER.encode(
        {
            "targets": [_target_json(target) for target in definition.targets],
            "conditions": [_condition_json(condition) for condition in definition.conditions],
            "cooldown_days": definition.cooldown_days,
        }
    ).decode()


@lru_cache(maxsize=DEFINITIONS_KEPT)
def definition_from(body: str) -> Definition:
    stored = msgspec.json.decode(body)
    return Definition(
        targets=tuple(_target_from(t) for t in stored["targets"]),
        conditions=tuple(_condition_from(c) for c in stored["conditions"]),
        cooldown_days=stored["cooldown_days"],
    )


def _target_json(target: Target) -> dict[str, str]:
    match target:
        case CashTarget(percent=percent):
            return {"type": "cash", "percent": format(percent, "f")}
        case AssetTarget(symbol=symbol, percent=percent):
            return {"type": "asset", "symbol": symbol, "percent": format(percent, "f")}
        case StrategyTarget(strategy_id=strategy_id, percent=percent):
            return {"type": "strategy", "strategy_id": strategy_id, "percent": format(percent, "f")}
        case _:
            assert_never(target)


def _target_from(stored: dict[str, Any]) -> Target:
    percent = parse_decimal(stored["percent"])
    assert percent is not None, "only valid percents are stored"
    match stored["type"]:
        case "cash":
            return CashTarget(percent=percent)
        case "asset":
            return AssetTarget(symbol=stored["symbol"], percent=percent)
        case _:
            return StrategyTarget(strategy_id=stored["strategy_id"], percent=percent)


def _condition_json(condition: Condition) -> dict[str, object]:
    match condition:
        case DriftBand(kind=kind, percent=percent):
            return {"type": "drift_band", "kind": kind, "percent": plain(percent)}
        case Weekly(weekday=weekday):
            return {"type": "weekly", "weekday": weekday}
        case Monthly(day=day):
            return {"type": "monthly", "day": day}
        case Quarterly(day=day):
            return {"type": "quarterly", "day": day}
        case Annually(month=month, day=day):
            return {"type": "annually", "month": month, "day": day}
        case OnUpdate():
            return {"type": "on_update"}
        case _:
            assert_never(condition)


def _condition_from(stored: dict[str, Any]) -> Condition:
    match stored:
        case {"type": "drift_band", "kind": kind, "percent": text}:
            percent = parse_decimal(text)
            assert percent is not None, "only valid percents are stored"
            return DriftBand(kind=BandKind(kind), percent=percent)
        case {"type": "weekly", "weekday": weekday}:
            return Weekly(weekday=weekday)
        case {"type": "monthly", "day": day}:
            return Monthly(day=day)
        case {"type": "quarterly", "day": day}:
            return Quarterly(day=day)
        case {"type": "annually", "month": month, "day": day}:
            return Annually(month=month, day=day)
        case _:
            return OnUpdate()
