"""Where the parts are put together: the only place that names brokers, calendars, clocks and ids."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import exchange_calendars
from exchange_calendars.errors import CalendarError, InvalidCalendarName

from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import prepare
from trimtab.core.enrollment import EvaluationPolicy
from trimtab.core.errors import CannotStart
from trimtab.core.gate import Caps
from trimtab.core.plan import Limits
from trimtab.core.run import FINAL_STATES, RunState, TriggerPolicy
from trimtab.core.sessions import CONTINUOUS_CALENDAR, Sessions
from trimtab.database import Database, open_database, sqlite_path
from trimtab.engine.desk import Desk
from trimtab.settings import Settings
from trimtab.store import sandbox, strategies
from trimtab.store.migrate import require_current

CALENDAR_STARTS_ON = "1990-01-01"
CALENDAR_YEARS_AHEAD = 10
CLOCK_CONNECTIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One running Trimtab: the desk, and what the server and the commands need beside it.

    `wall_clock` is the real time, also in the sandbox: keys expire by it.
    """

    settings: Settings
    desk: Desk
    paper: PaperBroker
    databases: tuple[Database, ...]
    wall_clock: Callable[[], datetime]

    def close(self) -> None:
        for database in self.databases:
            database.close()


def wall_clock() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid4())


def open_installation(settings: Settings) -> Installation:
    """Open what the settings name.

    Raises CannotOpenDatabase, WrongSchema if it has not been migrated, and CannotStart.
    """
    market = read_sessions(settings.market)
    with ExitStack() as on_failure:
        db = open_database(settings.database_url)
        on_failure.callback(db.close)
        require_current(db)
        # Strategies keep the calendar they were made with, whatever the setting says now.
        others = (db.read(strategies.calendars) | {CONTINUOUS_CALENDAR}) - {settings.market}
        calendars = {settings.market: market} | {name: read_sessions(name) for name in others}
        paper_db = open_paper_database(settings)
        on_failure.callback(paper_db.close)
        # The clock is read inside transactions too: with connections of its own it never waits for one
        # that waits for it.
        clock_db = open_database(settings.database_url, pool_max=CLOCK_CONNECTIONS)
        on_failure.pop_all()
    clock = sandbox_clock(clock_db) if settings.sandbox else wall_clock
    paper = PaperBroker(paper_db, clock, quarantine=timedelta(seconds=settings.quarantine_s))
    desk = Desk(
        db=db,
        broker=paper,
        calendars=calendars,
        calendar=settings.market,
        evaluation=EvaluationPolicy(
            quarter_months=settings.quarter_months,
            update_waits=settings.update_waits_for_cooldown,
            invest_cash_min=settings.invest_cash_min,
            buffer_percent=settings.cash_buffer_percent,
        ),
        limits=Limits(min_notional=settings.min_notional, buffer_percent=settings.cash_buffer_percent),
        caps=Caps(
            order_max=settings.order_max or None,
            run_orders_max=settings.run_orders_max or None,
            minute_orders_max=settings.minute_orders_max or None,
            collar_percent=settings.collar_percent,
        ),
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
        paper=paper,
        databases=(db, paper_db, clock_db),
        wall_clock=wall_clock,
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


def sandbox_clock(db: Database) -> Callable[[], datetime]:
    """The clock that stands where it was last set; real time until it was."""
    return lambda: db.read(sandbox.clock) or wall_clock()


@lru_cache(maxsize=8)
def read_sessions(name: str) -> Sessions:
    """The sessions of an exchange, read once into a plain value. Raises CannotStart for a wrong name."""
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
