"""What was bought and sold on each day, over all accounts: for reports, not for decisions."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from trimtab.core.money import ZERO
from trimtab.core.run import Side
from trimtab.database import Tx, instant


@dataclass(slots=True, kw_only=True)
class Traded:
    """One symbol on one day (UTC): shares and dollars gained less given, and dollars in all."""

    on: date
    symbol: str
    shares: Decimal = ZERO
    cash: Decimal = ZERO
    value: Decimal = ZERO


def traded_by_day(tx: Tx) -> Iterable[Traded]:
    """By the day on which the orders were meant. Summed here: SQLite would sum decimals as floats."""
    found: dict[tuple[date, str], Traded] = {}
    days: dict[int, date] = {}
    for row in tx.rows("SELECT intent_at, symbol, side, filled_quantity, filled_value FROM orders"):
        meant_at = row["intent_at"]
        on = days.setdefault(meant_at, instant(meant_at).date())
        traded = found.setdefault((on, row["symbol"]), Traded(on=on, symbol=row["symbol"]))
        shares, dollars = Decimal(row["filled_quantity"]), Decimal(row["filled_value"])
        bought = row["side"] == Side.BUY
        traded.shares += shares if bought else -shares
        traded.cash += -dollars if bought else dollars
        traded.value += dollars
    return found.values()
