"""Trades that are not sent, each with its reason: left out of a plan, or given up while it is carried out."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from trimtab.core.run import Side


class SkipReason(StrEnum):
    LESS_THAN_MIN_NOTIONAL = "ORDER_LESS_THAN_MIN_NOTIONAL"
    INSUFFICIENT_CASH = "INSUFFICIENT_CASH"
    NOT_TRADABLE = "ASSET_NOT_TRADABLE"
    PRICE_MOVED = "PRICE_MOVED"
    PRICE_IMPACT = "PRICE_IMPACT_TOO_HIGH"
    NO_PRICE = "NO_CURRENT_PRICE"
    CORPORATE_ACTION = "CORPORATE_ACTION"
    OVER_LIMIT = "ORDER_OVER_LIMIT"
    FORGOTTEN = "ORDER_FORGOTTEN"
    UNEXPLAINED = "POSITIONS_UNEXPLAINED"
    FROZEN = "FROZEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A trade that was not sent, with its reason; `leg` is None if it never became a leg."""

    leg: int | None
    symbol: str
    side: Side
    notional: Decimal
    reason: SkipReason
    details: str
