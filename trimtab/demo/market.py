"""Eight and a half years of real daily closes, and the moment of each session at which they count."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

FILE = "data/etf_closes_2008_2016.csv"
NEW_YORK = ZoneInfo("America/New_York")
# Inside the window of evaluation also on days that close at one.
NOON = time(12)
DAYS_A_YEAR = Decimal("365.25")

Prices = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Sessions, oldest first, and the close of every symbol on each of them."""

    days: tuple[date, ...]
    closes: Mapping[date, Prices]

    @property
    def month_ends(self) -> frozenset[date]:
        """The last session of each month, the last of all included."""
        turns = {day for day, following in pairwise(self.days) if day.month != following.month}
        return frozenset({*turns, self.days[-1]})

    @property
    def years(self) -> Decimal:
        """How long it is, the first and the last day included."""
        return Decimal((self.days[-1] - self.days[0]).days + 1) / DAYS_A_YEAR


def read_market(sessions_max: int | None) -> Market:
    """The market of the project's own data, from its beginning."""
    with (files("trimtab.demo") / FILE).open(encoding="ascii") as lines:
        closes = {
            date.fromisoformat(row.pop("date")): {symbol: Decimal(close) for symbol, close in row.items()}
            for row in csv.DictReader(lines)
        }
    days = tuple(closes)[:sessions_max]
    return Market(days=days, closes={day: closes[day] for day in days})


def noon(day: date) -> datetime:
    """Noon of that day in New York."""
    return datetime.combine(day, NOON, NEW_YORK).astimezone(UTC)
