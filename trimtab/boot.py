"""Where the parts are put together: the only place that names brokers, calendars, clocks and ids."""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

from trimtab.brokers.alpaca import AlpacaBroker
from trimtab.brokers.alpaca_budget import Budget
from trimtab.brokers.alpaca_calls import Access, Calls
from trimtab.brokers.alpaca_stream import News, TradeStream
from trimtab.brokers.broker import Broker
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import prepare
from trimtab.core.enrollment import EvaluationPolicy
from trimtab.core.errors import CannotStart
from trimtab.core.gate import Caps
from trimtab.core.plan import Limits
from trimtab.core.rates import Window
from trimtab.core.run import FINAL_STATES, RunState, TriggerPolicy
from trimtab.core.sessions import CONTINUOUS_CALENDAR, Sessions
from trimtab.database import Database, Tx, open_database, sqlite_path
from trimtab.engine.desk import Desk
from trimtab.settings import ALPACA, PAPER, Settings
from trimtab.store import broker_streams, budgets, sandbox, shards, strategies
from trimtab.store.schema_version import require_current

CALENDAR_STARTS_ON = "1990-01-01"
CALENDAR_YEARS_AHEAD = 10
CLOCK_CONNECTIONS = 2
# What runs away at a real broker is stopped after so many (notes on reliability, A11).
MINUTE_ORDERS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One running Trimtab: the desk, and what the server and the commands need beside it.

    `wall_clock` is the real time, also in the sandbox: keys expire by it. `paper` is the broker, if that is
    the paper broker in this process; `stream` tells of a broker's news, if it has a stream of them.
    """

    settings: Settings
    desk: Desk
    paper: PaperBroker | None
    stream: TradeStream | None
    wall_clock: Callable[[], datetime]
    closing: ExitStack

    def close(self) -> None:
        self.closing.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """The broker that the settings name."""

    broker: Broker
    paper: PaperBroker | None = None
    stream: TradeStream | None = None


def wall_clock() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid4())


def open_installation(settings: Settings) -> Installation:
    """Open what the settings name.

    Raises CannotOpenDatabase, WrongSchema if it has not been migrated, and CannotStart.
    """
    market = read_sessions(settings.market)
    with ExitStack() as closing:
        db = open_database(settings.database_url)
        closing.callback(db.close)
        require_current(db)
        # Strategies keep the calendar they were made with, whatever the setting says now.
        others = (db.read(strategies.calendars) | {CONTINUOUS_CALENDAR}) - {settings.market}
        calendars = {settings.market: market} | {name: read_sessions(name) for name in others}
        # The clock is read inside transactions too: with connections of its own it never waits for one
        # that waits for it.
        clock_db = open_database(settings.database_url, pool_max=CLOCK_CONNECTIONS)
        closing.callback(clock_db.close)
        clock = clock_of(settings, clock_db)
        chosen = _broker(settings, db, clock=clock, closing=closing)
        kept = closing.pop_all()
    desk = Desk(
        db=db,
        broker=chosen.broker,
        calendars=calendars,
        calendar=settings.market,
        evaluation=EvaluationPolicy(
            quarter_months=settings.quarter_months,
            update_waits=settings.update_waits_for_cooldown,
            invest_cash_min=settings.invest_cash_min,
            buffer_percent=settings.cash_buffer_percent,
        ),
        limits=Limits(min_notional=settings.min_notional, buffer_percent=settings.cash_buffer_percent),
        caps=_caps(settings),
        trigger=TriggerPolicy(
            cooldown=timedelta(seconds=settings.v2_cooldown_s),
            after=FINAL_STATES if settings.v2_cooldown_after_failure else frozenset({RunState.COMPLETED}),
        ),
        evaluations_kept=timedelta(days=settings.evaluation_days),
        clock=clock,
        new_id=new_id,
    )
    return Installation(
        settings=settings,
        desk=desk,
        paper=chosen.paper,
        stream=chosen.stream,
        wall_clock=wall_clock,
        closing=kept,
    )


def _caps(settings: Settings) -> Caps:
    a_minute = settings.minute_orders_max
    if a_minute is None and settings.broker != PAPER:
        a_minute = MINUTE_ORDERS_MAX
    return Caps(
        order_max=settings.order_max or None,
        run_orders_max=settings.run_orders_max or None,
        minute_orders_max=a_minute or None,
        collar_percent=settings.collar_percent,
    )


def _broker(
    settings: Settings, db: Database, *, clock: Callable[[], datetime], closing: ExitStack
) -> _Chosen:
    if settings.broker == ALPACA:
        alpaca = alpaca_broker(settings, db, clock=clock)
        closing.callback(alpaca.close)
        return _Chosen(broker=alpaca, stream=TradeStream(alpaca.calls, _news(db, clock)))
    if settings.exchange is not None:
        return _Chosen(broker=crypto_broker(settings, clock))
    paper = paper_broker(settings, clock=clock, closing=closing)
    return _Chosen(broker=paper, paper=paper)


def paper_broker(settings: Settings, *, clock: Callable[[], datetime], closing: ExitStack) -> PaperBroker:
    """On its own database, which `closing` closes."""
    paper_db = open_paper_database(settings)
    closing.callback(paper_db.close)
    return PaperBroker(paper_db, clock, quarantine=timedelta(seconds=settings.quarantine_s))


def alpaca_broker(settings: Settings, db: Database, *, clock: Callable[[], datetime]) -> AlpacaBroker:
    """With a rate limit that every process on this database shares."""

    def share(told: Window | None) -> tuple[Window | None, int]:
        now = clock()
        return db.write(lambda tx: budgets.take(tx, ALPACA, told, now=now))

    access = Access(
        url=settings.alpaca_url,
        data_url=settings.alpaca_data_url,
        key_id=settings.alpaca_key_id,
        secret=settings.alpaca_secret,
    )
    # A sandbox's clock stands while the trades of a market elsewhere bear that market's time.
    age = None if settings.sandbox else timedelta(seconds=settings.price_age_max_s) or None
    return AlpacaBroker(
        Calls(access, Budget(share, clock)),
        clock,
        quarantine=timedelta(seconds=settings.quarantine_s),
        price_age_max=age,
    )


def crypto_broker(settings: Settings, clock: Callable[[], datetime]) -> Broker:
    """Raises CannotStart for an exchange that cannot be used."""
    # ccxt takes a third of a second and 50 MB to load.
    from trimtab.brokers.crypto import open_crypto

    assert settings.exchange is not None, "the settings name an exchange"
    return open_crypto(
        settings.exchange,
        clock,
        quarantine=timedelta(seconds=settings.quarantine_s),
        price_age_max=timedelta(seconds=settings.price_age_max_s) or None,
    )


def _news(db: Database, clock: Callable[[], datetime]) -> News:
    """Accounts with news have their shards worked at once."""

    def tell(account_ids: Collection[str], cursor: str | None) -> None:
        now = clock()

        def work(tx: Tx) -> None:
            for shard in sorted({record.shard for record in shards.accounts(tx, account_ids).values()}):
                shards.mark_due(tx, shard, now)
            if cursor is not None:
                broker_streams.set_cursor(tx, ALPACA, cursor)

        db.write(work)

    return News(
        cursor=lambda: db.read(lambda tx: broker_streams.cursor(tx, ALPACA)),
        tell=tell,
        forget=lambda: db.write(lambda tx: broker_streams.forget_cursor(tx, ALPACA)),
    )


def paper_url(settings: Settings) -> str:
    """The paper broker's own file beside a SQLite database, its own schema inside PostgreSQL."""
    if settings.database_url.startswith("sqlite"):
        return settings.database_url + "-paper.db"
    return settings.database_url


def open_paper_database(settings: Settings) -> Database:
    db = open_database(paper_url(settings), schema="paper")
    prepare(db)
    return db


def database_file(settings: Settings) -> Path | None:
    """The file of a SQLite database; None on a server."""
    return sqlite_path(settings.database_url) if settings.database_url.startswith("sqlite") else None


def clock_of(settings: Settings, db: Database) -> Callable[[], datetime]:
    """Real time; a sandbox's stands where it was last set, and is real time until it was."""
    return (lambda: db.read(sandbox.clock) or wall_clock()) if settings.sandbox else wall_clock


@lru_cache(maxsize=8)
def read_sessions(name: str) -> Sessions:
    """The sessions of an exchange, read once into a plain value. Raises CannotStart for a wrong name."""
    # With pandas, which it brings along, it takes a third of a second to load.
    import exchange_calendars
    from exchange_calendars.errors import CalendarError, InvalidCalendarName

    end = f"{wall_clock().year + CALENDAR_YEARS_AHEAD}-12-31"
    try:
        calendar = exchange_calendars.get_calendar(name, start=CALENDAR_STARTS_ON, end=end)
    except InvalidCalendarName as error:
        raise CannotStart(f"TRIMTAB_MARKET is {name!r}: no such calendar in exchange_calendars") from error
    except (CalendarError, ValueError):
        # Some exchanges are known for fewer years; theirs are taken whole.
        calendar = exchange_calendars.get_calendar(name)
    opens = tuple(at.to_pydatetime() for at in calendar.opens.dt.tz_convert(UTC))
    closes = tuple(at.to_pydatetime() for at in calendar.closes.dt.tz_convert(UTC))
    return Sessions(
        calendar=name,
        zone=ZoneInfo(str(calendar.tz)),
        continuous=all(close == later for close, later in zip(closes, opens[1:], strict=False)),
        days=tuple(at.date() for at in calendar.sessions),
        opens=opens,
        closes=closes,
    )
