"""A stored plan as the audit reads it: from the stored text, not with the planner's types."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLeg:
    symbol: str
    side: str
    quantity: Decimal | None
    notional: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBody:
    """`percents` and `cash_percent` are the weights; `skips` counts what was left out in planning. The
    limits in basis points are None in plans that have none, and in those of before there were any.
    """

    percents: Mapping[str, Decimal]
    cash_percent: Decimal
    cash: Decimal
    positions: Mapping[str, Decimal]
    prices: Mapping[str, Decimal]
    equity: Decimal
    reserve: Decimal
    minimum_order: Decimal
    legs: Mapping[int, PlannedLeg]
    skips: int
    short: bool
    slippage_bps: int | None
    impact_bps_max: int | None

    @property
    def worth(self) -> Decimal:
        """All that the account held, in dollars."""
        return sum((held * self.prices[symbol] for symbol, held in self.positions.items()), self.cash)


def read_body(text: str) -> PlanBody | None:
    """None if the text is not a plan."""
    try:
        return _body(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
        return None


def _body(stored: dict[str, Any]) -> PlanBody:
    weights, holdings = stored["weights"], stored["holdings"]
    body = PlanBody(
        percents=_amounts(weights["assets"]),
        cash_percent=Decimal(weights["cash"]),
        cash=Decimal(holdings["cash"]),
        positions=_amounts(holdings["positions"]),
        prices=_amounts(stored["prices"]),
        equity=Decimal(stored["equity"]),
        reserve=Decimal(stored["reserve"]),
        minimum_order=Decimal(stored["min_notional"]),
        legs={leg["number"]: _leg(leg) for leg in stored["legs"]},
        skips=len(stored["skips"]),
        short=stored["short"],
        slippage_bps=_whole(stored.get("slippage_bps")),
        impact_bps_max=_whole(stored.get("impact_bps_max")),
    )
    if not {*body.positions, *(leg.symbol for leg in body.legs.values())} <= body.prices.keys():
        raise KeyError("a plan has a price for all that is held or traded")
    return body


def _amounts(stored: dict[str, str]) -> dict[str, Decimal]:
    return {symbol: Decimal(amount) for symbol, amount in stored.items()}


def _leg(stored: dict[str, Any]) -> PlannedLeg:
    return PlannedLeg(
        symbol=stored["symbol"],
        side=stored["side"],
        quantity=_amount(stored["quantity"]),
        notional=_amount(stored["notional"]),
    )


def _amount(stored: str | None) -> Decimal | None:
    return None if stored is None else Decimal(stored)


def _whole(stored: Any) -> int | None:
    return None if stored is None else int(stored)
