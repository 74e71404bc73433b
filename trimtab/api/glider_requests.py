"""The shapes of Glider's API coming in, and the core values they stand for.

What the vendor documents as strict is strict; elsewhere unknown keys are left out. What a strategy may
say beyond its shape is the core's to judge.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from trimtab.api.glider_ids import CAIP_10, CAIP_19, Names
from trimtab.api.shapes import Amount, Choice, Flag, Integer, ListOf, Nullable, Record, Shape, Text
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.core.sessions import CONTINUOUS_CALENDAR
from trimtab.core.strategy import (
    DESCRIPTION_MAX,
    NAME_MAX,
    PERCENT_PLACES,
    AssetTarget,
    CashTarget,
    Definition,
    Frequency,
    Target,
)
from trimtab.engine.strategy_actions import StrategyDraft

ASSETS_MAX = 50
CHAINS_MAX = 50
CHANGE_LOG_MAX = 500
BPS_MAX = 1000
PORTFOLIO_NAME_MAX = 64
FLOW_ID_MAX = 64
CHAIN_ID_MAX = 10**15 - 1

NAME = Text(least=1, most=NAME_MAX, pattern=re.compile(r"(?s:.*\S.*)"), says="must not be blank")
ASSET_ID = Text(least=1, most=256, pattern=CAIP_19, says="must be a CAIP-19 id")
ACCOUNT_ID = Text(least=1, most=192, pattern=CAIP_10, says="must be a CAIP-10 id")
ULID = Text(least=1, most=64, pattern=re.compile("[0-9A-Z]{26}"), says="must be a ULID")
PORTFOLIO_NAME = Nullable(
    Text(
        least=1,
        most=PORTFOLIO_NAME_MAX,
        trimmed=True,
        pattern=re.compile(r"[\w \-.':()&/]+"),
        says="may have letters, digits, spaces and - _ . ' : ( ) & / only",
    )
)
WEIGHT = Amount(least=Decimal("0.01"), decimals=PERCENT_PLACES)
ALLOCATION = Record(
    fields={
        "assets": ListOf(
            Record(fields={"assetId": ASSET_ID, "weight": WEIGHT}, required=("assetId", "weight")),
            least=1,
            most=ASSETS_MAX,
        )
    },
    required=("assets",),
)
SCHEDULE_FIELDS = {"type": Choice(("interval",)), "frequency": Choice(tuple(Frequency))}
SCHEDULE = Record(fields=SCHEDULE_FIELDS, required=("type", "frequency"))
SWAP_FIELDS = {
    "slippageBps": Nullable(Integer(0, BPS_MAX)),
    "priceImpactBps": Nullable(Integer(0, BPS_MAX)),
    "thresholdUsd": Nullable(Amount(least=Decimal(1), decimals=2)),
}
PREFERENCES = Record(fields={"swap": Nullable(Record(fields=SWAP_FIELDS))})

STRATEGY_BODY = Record(
    fields={
        "name": NAME,
        "description": Nullable(Text(most=DESCRIPTION_MAX)),
        "allocation": ALLOCATION,
        "schedule": Nullable(SCHEDULE),
        "preferences": Nullable(PREFERENCES),
        "isPublic": Flag(),
    },
    required=("name", "allocation"),
)
STRATEGY_PATCH = Record(
    fields={"name": NAME, "description": Nullable(Text(most=DESCRIPTION_MAX)), "isPublic": Flag()},
    strict=True,
)
VERSION_BODY = Record(
    fields={"allocation": ALLOCATION, "changeLog": Nullable(Text(most=CHANGE_LOG_MAX))},
    required=("allocation",),
    strict=True,
)
SCHEDULE_BODY = Record(fields=SCHEDULE_FIELDS, required=("type", "frequency"), strict=True)
PREFERENCES_PATCH = Record(fields={"swap": Record(fields=SWAP_FIELDS, strict=True)}, strict=True)
PORTFOLIO_PATCH = Record(fields={"portfolioName": PORTFOLIO_NAME}, strict=True)

_ENROLMENT_FIELDS: dict[str, Shape] = {
    "ownerAccountId": ACCOUNT_ID,
    "strategyId": ULID,
    "chainIds": ListOf(Integer(-CHAIN_ID_MAX, CHAIN_ID_MAX), least=0, most=CHAINS_MAX),
    "accountType": Choice(("ECDSA", "ERC1271")),
}
SIGNATURE_BODY = Record(fields=_ENROLMENT_FIELDS, required=("ownerAccountId", "strategyId", "chainIds"))
ENROL_BODY = Record(
    fields={
        **_ENROLMENT_FIELDS,
        "accountIndex": Text(
            least=1, most=9, pattern=re.compile("[0-9]+", re.ASCII), says="must be a decimal string"
        ),
        "agentAccountId": ACCOUNT_ID,
        "signature": Text(
            least=132,
            most=132,
            pattern=re.compile("0x[0-9a-fA-F]{130}", re.ASCII),
            says="must be 65 bytes in hexadecimal",
        ),
        "flowId": Text(least=1, most=FLOW_ID_MAX),
        "portfolioName": PORTFOLIO_NAME,
    },
    required=(
        *("ownerAccountId", "strategyId", "chainIds", "accountIndex"),
        *("agentAccountId", "signature", "flowId"),
    ),
)


def targets_in(allocation: Mapping[str, Any], names: Names) -> tuple[Target, ...]:
    return tuple(_target_in(line["assetId"], line["weight"], names=names) for line in allocation["assets"])


def _target_in(asset_id: str, weight: Decimal, *, names: Names) -> Target:
    if asset_id == names.cash:
        return CashTarget(percent=weight)
    return AssetTarget(symbol=names.symbol_in(asset_id), percent=weight)


def draft_in(body: Mapping[str, Any], names: Names) -> StrategyDraft:
    schedule = body.get("schedule") or {"frequency": Frequency.DAILY}
    swap = (body.get("preferences") or {}).get("swap") or {}
    return StrategyDraft(
        name=body["name"],
        description=body.get("description") or "",
        definition=definition_in(body["allocation"], names),
        calendar=CONTINUOUS_CALENDAR,
        frequency=Frequency(schedule["frequency"]),
        preferences=preferences_change_in(swap)(NO_PREFERENCES),
        is_public=body.get("isPublic", False),
    )


def definition_in(allocation: Mapping[str, Any], names: Names) -> Definition:
    return Definition(targets=targets_in(allocation, names), conditions=(), cooldown_days=0)


PREFERENCE_NAMES = {
    "slippageBps": "slippage_bps",
    "priceImpactBps": "impact_bps",
    "thresholdUsd": "threshold",
}


def preferences_change_in(swap: Mapping[str, Any]) -> Callable[[Preferences], Preferences]:
    """A merge patch of preferences: what is absent stays, null clears."""
    changes = {PREFERENCE_NAMES[name]: value for name, value in swap.items()}
    return lambda before: replace(before, **changes)
