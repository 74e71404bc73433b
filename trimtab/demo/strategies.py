"""The three strategies that the demo's accounts follow, and how one of them changes later."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from trimtab.core.money import ZERO, plain
from trimtab.core.strategy import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A strategy as it is sent to `/v1`; `conditions` are bodies of that wire."""

    name: str
    description: str
    weights: Weights
    conditions: tuple[Mapping[str, str], ...]
    cooldown_days: int

    def body(self) -> dict[str, object]:
        return {
            "name": self.name,
            "description": self.description,
            "weights": weights_body(self.weights),
            "cooldown_days": self.cooldown_days,
            "rebalance_conditions": list(self.conditions),
        }


def weights_body(weights: Weights) -> list[dict[str, str]]:
    lines = [
        {"type": "asset", "symbol": symbol, "percent": plain(percent)}
        for symbol, percent in weights.assets.items()
    ]
    cash = [{"type": "cash", "percent": plain(weights.cash)}] if weights.names_cash else []
    return cash + lines


def _weights(cash: str | None = None, **assets: str) -> Weights:
    return Weights(
        assets={symbol: Decimal(percent) for symbol, percent in assets.items()},
        cash=ZERO if cash is None else Decimal(cash),
        names_cash=cash is not None,
    )


RECIPES = (
    Recipe(
        name="Sixty-forty",
        description="60 % shares, 40 % treasuries; back to target when a line is 5 points off",
        weights=_weights(SPY="60", TLT="20", IEF="20"),
        conditions=({"type": "drift_band", "sub_type": "absolute", "percent": "5"},),
        cooldown_days=7,
    ),
    Recipe(
        name="World",
        description="shares and bonds of the world; each line within a fifth of its weight, and by quarter",
        weights=_weights(SPY="35", EFA="20", EEM="10", EWJ="5", BND="20", TIP="10"),
        conditions=(
            {"type": "drift_band", "sub_type": "relative", "percent": "20"},
            {"type": "calendar", "sub_type": "quarterly", "day": "15"},
        ),
        cooldown_days=60,
    ),
    Recipe(
        name="Balanced risk",
        description="much in bonds, some in sectors; at the year's end, and at 5 points off",
        weights=_weights(IEF="35", LQD="35", XLK="10", XLF="10", XLE="10"),
        conditions=(
            {"type": "drift_band", "sub_type": "absolute", "percent": "5"},
            {"type": "calendar", "sub_type": "annually", "day": "12-31"},
        ),
        cooldown_days=14,
    ),
)

# The index in RECIPES of the strategy that is changed on the way, and its weights from then on.
CHANGED = 1
CHANGED_WEIGHTS = _weights(SPY="38", EFA="18", EEM="12", EWJ="4", BND="20", TIP="8")
