"""A whole Trimtab without a server: two databases, a market, a clock that is set, and a desk.

A Site says where worlds live, and copies a prepared one in milliseconds; a World is what a test works
with. Days and prices are made by hand, so that results can be worked out by hand too.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from tests import postgres
from tests.engine.brokers import FaultyBroker, Rates
from trimtab.audit.check import audit
from trimtab.audit.ledger import Ledger
from trimtab.audit.report import Report, lines
from trimtab.brokers.broker import Traits
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.core.enrollment import Enrollment, EvaluationPolicy
from trimtab.core.gate import NO_CAPS, Caps
from trimtab.core.money import plain
from trimtab.core.plan import Limits
from trimtab.core.run import FINAL_STATES, Order, Run, RunKind, RunState, TriggerPolicy
from trimtab.core.sessions import Sessions
from trimtab.core.strategy import AssetTarget, CashTarget, Condition, Definition, Strategy, Target
from trimtab.database import Database, Tx, instant, open_database, sqlite_path
from trimtab.engine import actions, enrollment_actions, strategy_actions
from trimtab.engine.actions import RunRequest
from trimtab.engine.desk import Desk
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.engine.local import Settled, settle
from trimtab.engine.publish import publish
from trimtab.store import enrollments, feed, orders, runs, shards, strategies, tenants
from trimtab.store.enrollments import Page
from trimtab.store.evidence import read_evidence
from trimtab.store.feed import Event, RunEvent
from trimtab.store.runs import RunFilter

NEW_YORK = ZoneInfo("America/New_York")
EXCHANGE = "exchange"
CONTINUOUS = "continuous"
TENANT = "acme-id"
EVERYTHING = Page(after=None, limit=10_000)

# A Monday, 10:00 in New York: half an hour after the open.
MONDAY = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
EARLY_CLOSE_ON = date(2026, 3, 13)
HOLIDAY_ON = date(2026, 4, 3)

PRICES = {"SPY": "400", "TLT": "100", "GLD": "200"}


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def _exchange() -> Sessions:
    """Monday to Friday from 09:30 to 16:00 in New York, February to April 2026."""
    first = date(2026, 2, 2)
    days = [day for n in range(88) if (day := first + timedelta(days=n)).weekday() < 5 and day != HOLIDAY_ON]

    return Sessions(
        calendar=EXCHANGE,
        zone=NEW_YORK,
        continuous=False,
        days=tuple(days),
        opens=tuple(new_york(f"{day} 09:30") for day in days),
        closes=tuple(new_york(f"{day} {13 if day == EARLY_CLOSE_ON else 16}:00") for day in days),
    )


def _continuous() -> Sessions:
    """Every day from midnight to midnight UTC, February to April 2026."""
    midnights = [datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=n) for n in range(90)]
    return Sessions(
        calendar=CONTINUOUS,
        zone=UTC,
        continuous=True,
        days=tuple(at.date() for at in midnights[:-1]),
        opens=tuple(midnights[:-1]),
        closes=tuple(midnights[1:]),
    )


CALENDARS = {EXCHANGE: _exchange(), CONTINUOUS: _continuous()}


@dataclass
class Clock:
    """Time as a test sets it."""

    now: datetime = MONDAY

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Ids:
    """UUIDs that count, so that a test sees the same ones every time; `series` keeps two sources apart."""

    series: int = 0
    given: int = 0

    def __call__(self) -> str:
        self.given += 1
        return str(UUID(int=(self.series << 64) + self.given, version=4))


@dataclass(frozen=True)
class Place:
    """Where the two databases of one world are."""

    main_url: str
    paper_url: str


class Site(Protocol):
    """A kind of database on which worlds can be built."""

    def empty(self) -> AbstractContextManager[Place]: ...
    def copy(self, place: Place) -> AbstractContextManager[Place]: ...


@dataclass(frozen=True)
class SqliteSite:
    template: Path

    @contextmanager
    def empty(self) -> Iterator[Place]:
        with _folder() as folder:
            shutil.copy(self.template, folder / "trimtab.db")
            yield _files(folder)

    @contextmanager
    def copy(self, place: Place) -> Iterator[Place]:
        with _folder() as folder:
            for source in sqlite_path(place.main_url).parent.iterdir():
                shutil.copy(source, folder)
            yield _files(folder)


@dataclass(frozen=True)
class PostgresSite:
    server_url: str
    template: str

    @contextmanager
    def empty(self) -> Iterator[Place]:
        with postgres.private_database(self.server_url, template=self.template) as url:
            yield Place(url, url)

    @contextmanager
    def copy(self, place: Place) -> Iterator[Place]:
        template = postgres.database_name(place.main_url)
        with postgres.private_database(self.server_url, template=template) as url:
            yield Place(url, url)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of our own, in memory where there is room: nothing here has to survive a power cut."""
    folder = Path(tempfile.mkdtemp(prefix="trimtab-engine-", dir=postgres.memory_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _files(folder: Path) -> Place:
    return Place(f"sqlite:///{folder / 'trimtab.db'}", f"sqlite:///{folder / 'paper.db'}")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What differs between worlds; the quarantine is 5 seconds as in the settings' defaults."""

    calendar: str = EXCHANGE
    invest_cash_min: str = "0"
    buffer_percent: str = "0"
    update_waits: bool = False
    batch: int = 500
    quarantine_s: int = 5
    drops_duplicates: bool = True
    rates: Rates = field(default_factory=Rates)
    caps: Caps = NO_CAPS


PLAIN = Setup()


@dataclass(kw_only=True)
class World:
    db: Database
    paper: PaperBroker
    paper_db: Database
    broker: FaultyBroker
    clock: Clock
    desk: Desk
    ids: Ids = field(default_factory=Ids)

    def close(self) -> None:
        self.db.close()
        self.paper_db.close()

    def at(self, text: str) -> None:
        """Set the clock to a day and time in New York, as in `2026-03-03 10:00`."""
        self.clock.now = new_york(text)

    # What the outside does.

    def set_prices(self, **prices: str) -> None:
        self.paper.set_prices({symbol: Decimal(price) for symbol, price in prices.items()})

    def open_account(self, account_id: str, cash: str, **positions: str) -> str:
        held = {symbol: Decimal(quantity) for symbol, quantity in positions.items()}
        self.paper.open_account(account_id, TENANT, cash=Decimal(cash), positions=held)
        return account_id

    def transfer(self, account_id: str, amount: str) -> None:
        self.paper.transfer(self.ids(), account_id, amount=Decimal(amount))

    def strategy(
        self, *conditions: Condition, cooldown_days: int = 0, cash: str | None = None, **weights: str
    ) -> Strategy:
        definition = Definition(
            targets=targets(cash, **weights), conditions=conditions, cooldown_days=cooldown_days
        )
        draft = strategy_actions.StrategyDraft(
            name="mix", description="", definition=definition, calendar=self.desk.calendar
        )
        return strategy_actions.create_strategy(self.desk, TENANT, draft)

    def change(self, strategy: Strategy, **changes: Any) -> Strategy:
        change = strategy_actions.StrategyChange(**changes)
        return strategy_actions.change_strategy(self.desk, TENANT, strategy_id=strategy.id, change=change)

    def enroll(self, account_id: str, strategy: Strategy) -> Enrollment:
        request = EnrollRequest(account_id=account_id, strategy_id=strategy.id)
        return enrollment_actions.enroll(self.desk, TENANT, request)

    def request(
        self,
        account_id: str,
        kind: RunKind = RunKind.FULL_REBALANCE,
        *,
        amount: str | None = None,
        weights: tuple[Target, ...] = (),
    ) -> Run:
        asked = RunRequest(
            account_id=account_id,
            kind=kind,
            targets=weights,
            amount=None if amount is None else Decimal(amount),
        )
        return actions.request_run(self.desk, TENANT, asked)

    def end(self, strategy: Strategy) -> None:
        strategy_actions.end_strategy(self.desk, TENANT, strategy.id)

    def cancel(self, run: Run) -> None:
        actions.cancel_run(self.desk, TENANT, run.id)

    def settle(self) -> Settled:
        return settle(self.desk)

    def settle_on(self, *days: str) -> None:
        """Settle at 10:00 in New York on each of these days."""
        for day in days:
            self.at(f"{day} 10:00")
            self.settle()

    # What can be seen afterwards.

    def runs(self, account_id: str | None = None) -> list[Run]:
        """All runs, oldest first."""
        wanted = RunFilter(account_id=account_id)
        found = self.db.read(lambda tx: runs.page(tx, TENANT, page=EVERYTHING, wanted=wanted))
        return [run for _, run in reversed(found)]

    def run(self, run_id: str) -> Run:
        found = self.db.read(lambda tx: runs.one(tx, TENANT, run_id))
        assert found is not None
        return found

    def open_runs(self) -> list[Run]:
        return [run for run in self.runs() if run.state.is_open]

    def ends(self, account_id: str | None = None) -> list[str]:
        """How each run ended, oldest first; a star for adjusted ones, a plus if orders had been sent."""
        return [f"{run.state}{'*' * run.adjusted}{'+' * _sent_in_vain(run)}" for run in self.runs(account_id)]

    def slots(self, account_id: str) -> list[str]:
        """The kinds of slots of an account's runs, oldest first; those of sessions with their day."""
        return [
            slot if (slot := run.slot or "api").startswith("session:") else slot.partition(":")[0]
            for run in self.runs(account_id)
        ]

    def orders(self, run: Run) -> list[Order]:
        return self.db.read(lambda tx: orders.orders(tx, run.shard, [run.id])).get(run.id, [])

    def strategies(self) -> list[Strategy]:
        """The tenant's listed strategies, oldest first."""
        return list(self.db.read(lambda tx: strategies.listing(tx, TENANT, strategies.StrategyFilter())))

    def enrollments(self, account_id: str) -> list[Enrollment]:
        """What the account follows: one at most."""
        found = self.db.read(
            lambda tx: enrollments.page(tx, TENANT, page=EVERYTHING, account_id=account_id, strategy_id=None)
        )
        return [enrollment for _, enrollment in found]

    def enrollment(self, account_id: str) -> Enrollment:
        (only,) = self.enrollments(account_id)
        return only

    def record(self, account_id: str) -> shards.AccountRecord:
        found = self.db.read(lambda tx: shards.account(tx, account_id))
        assert found is not None
        return found

    def shards(self) -> list[int]:
        return list(self.db.read(shards.numbers))

    def holdings(self, account_id: str) -> str:
        """As text: `cash 12.5, GLD 3, SPY 0.25`."""
        held = self.paper.account(account_id).holdings
        lines_ = [f"{symbol} {plain(held.positions[symbol])}" for symbol in sorted(held.positions)]
        return ", ".join([f"cash {plain(held.cash)}", *lines_])

    def due_at(self) -> datetime | None:
        """When the first shard next wants a worker."""
        row = self.db.read(lambda tx: tx.row("SELECT MIN(due_at) AS due_at FROM shards"))
        return None if row is None or row["due_at"] is None else instant(row["due_at"])

    def broker_orders(self) -> list[str]:
        """The client order id of every order that was ever accepted, repeated as often as it was."""
        accepted = [entry for entry in self.paper.read_ledger() if entry.kind == "accepted"]
        return [entry.client_order_id or "" for entry in accepted]

    def audit(self) -> Report:
        evidence = self.db.read(read_evidence)
        entries = self.paper.read_ledger()
        balances = {key: account.holdings for key, account in self.paper.read_accounts().items()}
        return audit(evidence, Ledger(entries=entries, balances=balances))

    def require_sound(self) -> None:
        """Every invariant holds and no order's fate is open."""
        report = self.audit()
        assert report.ok, "\n".join(lines(report))
        assert report.open_orders.count == 0, report.open_orders.first
        self.require_published()

    def require_published(self) -> None:
        """Of each account the feed tells what became of its runs: all of it, once, and in order."""
        happened: dict[str, list[tuple[str, str]]] = {}
        for row in self.db.read(lambda tx: tx.rows(HISTORY)):
            if row["state"] not in {"SELLING", "BUYING"}:
                happened.setdefault(row["account_id"], []).append((row["run_id"], row["state"]))
        told: dict[str, list[tuple[str, str]]] = {}
        events = self.published()
        for event in events:
            if isinstance(event, RunEvent):
                told.setdefault(event.run.account_id, []).append((event.run.id, event.run.state))
        assert told == happened
        ids = [event.id for event in events]
        assert len(ids) == len(set(ids))

    def published(self) -> list[Event]:
        """Everything in the feed, whosever it is, once all that has happened is in it."""
        publish(self.desk)
        return sorted(self.db.read(_published), key=lambda event: event.id)

    def dump(self) -> dict[str, list[str]]:
        """Everything that the database holds; when a shard wants its next worker is left out."""
        return self.db.read(_dump)


HISTORY = """SELECT r.account_id, e.run_id, e.state FROM events e JOIN runs r ON r.id = e.run_id
             ORDER BY r.seq, e.number"""


def _published(tx: Tx) -> list[Event]:
    head = feed.head(tx)
    return [
        event
        for tenant in tx.rows("SELECT id FROM tenants")
        for event in feed.between(tx, tenant["id"], after="", upto=head, limit=EVERYTHING.limit)
    ]


def _sent_in_vain(run: Run) -> bool:
    return run.state is not RunState.COMPLETED and run.orders_sent > 0


TABLES = (
    *("tenants", "shards", "accounts", "strategies", "strategy_versions", "enrollments", "runs", "plans"),
    *("orders", "executions", "skips", "events", "holdings", "adjustments", "freezes", "valuations"),
)


def _dump(tx: Tx) -> dict[str, list[str]]:
    def shown(row: Any) -> str:
        values = {**dict(row), "due_at": None}
        return repr(sorted((name, bytes(v) if name == "block" else str(v)) for name, v in values.items()))

    queries = {table: f"SELECT * FROM {table}" for table in TABLES}  # noqa: S608 - the names above
    return {table: sorted(shown(row) for row in tx.rows(sql)) for table, sql in queries.items()}


def targets(cash: str | None = None, **weights: str) -> tuple[Target, ...]:
    lines_: list[Target] = [AssetTarget(symbol=s, percent=Decimal(p)) for s, p in weights.items()]
    return (*lines_, *([] if cash is None else [CashTarget(percent=Decimal(cash))]))


def open_world(place: Place, setup: Setup = PLAIN, *, clock: Clock | None = None, series: int = 0) -> World:
    """Open the databases of a place; `series` keeps apart the ids of several who work there."""
    clock = clock or Clock()
    db = open_database(place.main_url)
    paper_db = open_database(place.paper_url, schema=SCHEMA)
    prepare(paper_db)
    paper = PaperBroker(paper_db, clock, quarantine=timedelta(seconds=setup.quarantine_s))
    traits = Traits(
        name="paper",
        drops_duplicates=setup.drops_duplicates,
        quarantine=timedelta(seconds=setup.quarantine_s),
        batch=setup.batch,
    )
    broker = FaultyBroker(paper, clock, traits=traits, rates=setup.rates)
    broker.forward = clock.forward
    ids = Ids(series)
    desk = Desk(
        db=db,
        broker=broker,
        calendars=CALENDARS,
        calendar=setup.calendar,
        evaluation=EvaluationPolicy(
            quarter_months=frozenset({1, 4, 7, 10}),
            update_waits=setup.update_waits,
            invest_cash_min=Decimal(setup.invest_cash_min),
            buffer_percent=Decimal(setup.buffer_percent),
        ),
        limits=Limits(min_notional=Decimal(1), buffer_percent=Decimal(setup.buffer_percent)),
        caps=setup.caps,
        trigger=TriggerPolicy(cooldown=timedelta(seconds=60), after=FINAL_STATES),
        evaluations_kept=timedelta(days=30),
        clock=clock,
        new_id=ids,
    )
    return World(db=db, paper=paper, paper_db=paper_db, broker=broker, clock=clock, desk=desk, ids=ids)


def found(world: World, prices: Mapping[str, str] = PRICES) -> World:
    """Make the tenant and the market's prices in a new world."""
    world.db.write(lambda tx: tenants.ensure_tenant(tx, TENANT, name="Acme", now=MONDAY))
    world.set_prices(**prices)
    return world


@contextmanager
def placed_world(site: Site, setup: Setup = PLAIN) -> Iterator[tuple[Place, World]]:
    """A new world and where it is, for others to come there as well."""
    with site.empty() as place:
        world = found(open_world(place, setup))
        try:
            yield place, world
        finally:
            world.close()


@contextmanager
def new_world(site: Site, setup: Setup = PLAIN) -> Iterator[World]:
    with placed_world(site, setup) as (_, world):
        yield world


@contextmanager
def world_at(place: Place, setup: Setup = PLAIN, *, clock: Clock, series: int = 0) -> Iterator[World]:
    world = open_world(place, setup, clock=clock, series=series)
    try:
        yield world
    finally:
        world.close()
