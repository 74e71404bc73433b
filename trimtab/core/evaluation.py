"""What one evaluation of an enrollment found, as it is remembered: the answer to "why did it not trade?".

The decision itself is made in `core.enrollment`. Distances are for people, rounded where they were
written down; no decision is ever made from them.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from trimtab.core.money import HUNDRED
from trimtab.core.strategy import BandKind, DriftBand


class Reason(StrEnum):
    """Why an evaluation made a run, or why it made none."""

    TRIGGERED = "TRIGGERED"
    # Evaluated, and nothing came of it.
    NOTHING_DUE = "NOTHING_DUE"
    IN_COOLDOWN = "IN_COOLDOWN"
    ALREADY_RUN = "ALREADY_RUN"
    OVERTAKEN = "OVERTAKEN"
    # Not evaluated: what is due stays due.
    RUN_OPEN = "RUN_OPEN"
    PAUSED = "PAUSED"
    STRATEGY_NOT_ACTIVE = "STRATEGY_NOT_ACTIVE"
    ACCOUNT_NOT_ACTIVE = "ACCOUNT_NOT_ACTIVE"
    MARKET_CLOSED = "MARKET_CLOSED"
    NO_PRICE = "NO_CURRENT_PRICE"
    CORPORATE_ACTION = "CORPORATE_ACTION"
    NO_EQUITY = "NO_EQUITY"

    @property
    def was_evaluated(self) -> bool:
        return self in {
            Reason.TRIGGERED,
            Reason.NOTHING_DUE,
            Reason.IN_COOLDOWN,
            Reason.ALREADY_RUN,
            Reason.OVERTAKEN,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestLine:
    """Of the lines that a band watches, the one nearest to its edge or farthest beyond; None is cash.

    Target and actual weight are percent of equity.
    """

    band: DriftBand
    symbol: str | None
    target: Decimal
    actual: Decimal

    @property
    def limit(self) -> Decimal:
        """How many points of percent the line may be from its target."""
        if self.band.kind is BandKind.ABSOLUTE:
            return self.band.percent
        return self.target * self.band.percent / HUNDRED

    @property
    def drift(self) -> Decimal:
        return abs(self.actual - self.target)

    @property
    def distance(self) -> Decimal:
        """Points of percent to the edge of the band; negative beyond it."""
        return self.limit - self.drift


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One enrollment at one sweep.

    `session_on` is None while the market is closed. `free_cash` is dollars above the cash target, the
    buffer and what is set aside; None where equity is not known. Above `invest_cash_min` dollars it is
    invested; 0 switches that off. `next_due_at` is the next instant of an interval schedule.
    """

    at: datetime
    strategy_id: str
    strategy_version: int
    session_on: date | None
    reason: Reason
    details: str | None
    run_id: str | None
    nearest: tuple[NearestLine, ...]
    free_cash: Decimal | None
    invest_cash_min: Decimal
    cooldown_ends_on: date | None
    next_due_at: datetime | None
