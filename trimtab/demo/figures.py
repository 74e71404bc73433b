"""What the database says about the runs and orders of a demo, counted and put in relation.

Paging all runs with their orders through the API would take longer than making them, so these
numbers are read where they are stored.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from trimtab.api.alpaca_wire import STATUSES, status_of
from trimtab.core.money import HUNDRED, ZERO, divide_down
from trimtab.core.run import Run
from trimtab.database import Tx, open_database
from trimtab.demo.market import Market
from trimtab.store import runs, tenants
from trimtab.store.enrollments import Page
from trimtab.store.runs import RunFilter
from trimtab.store.trades import Traded, traded_by_day

EVERY_RUN = Page(after=None, limit=100_000_000)
TURNOVER_PLACES = 1

# How the causes that the engine writes down begin, and what people call them.
CAUSES = {
    "the account was enrolled": "enrolment",
    "first money": "first money",
    "calendar rule": "calendar date",
    "absolute band": "absolute band",
    "relative band": "relative band",
    "free cash": "new cash",
    "update to version": "new weights",
    "asked for": "asked for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`traded` is in dollars, `turnover` in percent of the mean equity a year."""

    by_status: Mapping[str, int]
    by_type: Mapping[str, int]
    by_cause: Mapping[str, int]
    orders: int
    traded: Decimal
    turnover: Decimal

    @property
    def runs(self) -> int:
        return sum(self.by_status.values())


def read_figures(
    database_url: str, tenant: str, *, market: Market, paid_in: Mapping[date, Decimal]
) -> Figures:
    """`paid_in` is the dollars that came on each day."""
    with closing(open_database(database_url)) as db:
        found = db.read(lambda tx: _runs_of(tx, tenant))
        trades = db.read(lambda tx: list(traded_by_day(tx)))
    statuses = Counter(status_of(run) for run in found)
    traded = sum((each.value for each in trades), ZERO)
    return Figures(
        by_status={status: statuses[status] for status in STATUSES if statuses[status]},
        by_type=dict(Counter(run.kind.value for run in found).most_common()),
        by_cause=dict(Counter(_cause(run) for run in found).most_common()),
        orders=sum(run.orders_sent for run in found),
        traded=traded,
        turnover=turnover(traded, mean_equity(market, trades, paid_in=paid_in), years=market.years),
    )


def _runs_of(tx: Tx, tenant: str) -> list[Run]:
    tenant_id = tenants.tenant_named(tx, tenant)
    assert tenant_id is not None, "its key was made before"
    return [run for _, run in runs.page(tx, tenant_id, page=EVERY_RUN, wanted=RunFilter())]


def _cause(run: Run) -> str:
    return next((name for text, name in CAUSES.items() if run.cause.startswith(text)), "other")


def mean_equity(market: Market, trades: Iterable[Traded], *, paid_in: Mapping[date, Decimal]) -> Decimal:
    """Dollars in all accounts at the close, over all sessions; cents are cut."""
    by_day = defaultdict(list)
    for traded in trades:
        by_day[traded.on].append(traded)
    shares: dict[str, Decimal] = defaultdict(Decimal)
    cash = total = ZERO
    for day in market.days:
        cash += paid_in.get(day, ZERO)
        for traded in by_day[day]:
            shares[traded.symbol] += traded.shares
            cash += traded.cash
        prices = market.closes[day]
        total += cash + sum((held * prices[symbol] for symbol, held in shares.items()), ZERO)
    return divide_down(total, Decimal(len(market.days)), to_places=2)


def turnover(traded: Decimal, equity: Decimal, *, years: Decimal) -> Decimal:
    """Dollars traded a year in percent of the mean equity, cut to one place."""
    return divide_down(HUNDRED * traded, equity * years, to_places=TURNOVER_PLACES)
