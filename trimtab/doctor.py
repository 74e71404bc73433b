"""What `trimtab doctor` looks at: database, clock, broker, keys, freezes and holds, each with its mend.

It changes nothing but the room it takes of a broker's rate limit, and creates no file that is not there.
"""

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import psycopg

from trimtab.api.keys import key_state
from trimtab.boot import alpaca_broker, crypto_broker, database_file, paper_url, read_sessions, wall_clock
from trimtab.brokers.paper_accounts import read_account_ids
from trimtab.brokers.paper_assets import read_all_listings
from trimtab.brokers.paper_market import read_faults
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.core.errors import BrokerDown, TrimtabError
from trimtab.core.sessions import Sessions
from trimtab.database import Database, Tx, open_database, sqlite_path
from trimtab.settings import PAPER, Settings
from trimtab.store import freezes, sandbox, shards, tenants
from trimtab.store.freezes import Freeze
from trimtab.store.inspection import durability, tenant_names
from trimtab.store.schema_version import found_version, needed_version

Level = Literal["ok", "warning", "fatal"]

YEARS_AHEAD_MIN = 1
CLOCKS_APART_MAX = timedelta(seconds=2)
# Asked for its price only to see whether there are any.
KNOWN_SYMBOL = "SPY"
MAKE_KEY = "trimtab keys create --tenant NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`hint` is the mend, and empty where there is nothing to mend."""

    check: str
    level: Level
    text: str
    hint: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything there is to say about an installation with these settings."""
    yield Finding(check="settings", level="ok", text="every setting can be used")
    file = database_file(settings)
    if file is not None and not file.exists():
        made_by = f"`trimtab serve` or `{MAKE_KEY}` makes it"
        yield Finding(check="database", level="warning", text=f"no file {file} yet", hint=made_by)
        yield from _calendar_findings(settings, wall_clock())
        return
    try:
        db = open_database(settings.database_url)
    except TrimtabError as error:
        yield Finding(
            check="database", level="fatal", text=str(error), hint="start it, or mend TRIMTAB_DATABASE_URL"
        )
        yield from _calendar_findings(settings, wall_clock())
        return
    with closing(db):
        yield from _database_findings(settings, db)


def _database_findings(settings: Settings, db: Database) -> Iterator[Finding]:
    found, needed = found_version(db), needed_version()
    yield _schema_finding(found, needed, migrates_itself=db.dialect == "sqlite")
    kept = db.read(durability)
    yield Finding(
        check="database",
        level="ok" if kept.is_safe else "warning",
        text=f"commits {'survive' if kept.is_safe else 'may not survive'} a power cut ({kept.how})",
        hint="" if kept.is_safe else "mend these in the configuration of the database",
    )
    if found != needed:
        yield from _calendar_findings(settings, wall_clock())
        return
    yield from _clock_findings(settings, db)
    if settings.broker == PAPER:
        yield from _paper_findings(settings)
    elif settings.exchange is not None:
        yield _exchange_finding(settings, settings.exchange.account_id)
    else:
        yield from _alpaca_findings(settings, db)
    yield _keys_finding(settings, db)
    yield from _freeze_findings(db)
    yield from _hold_findings(db)


def _schema_finding(found: str | None, needed: str, *, migrates_itself: bool) -> Finding:
    if found == needed:
        return Finding(check="database", level="ok", text=f"reachable, schema {found}")
    if found is not None and found > needed:
        return Finding(
            check="database",
            level="fatal",
            text=f"schema {found} was made by a newer Trimtab; this one needs {needed}",
            hint="use the newer Trimtab, or restore a backup",
        )
    return Finding(
        check="database",
        level="warning" if migrates_itself else "fatal",
        text=f"reachable, {f'schema {found}' if found else 'no schema yet'}; this version needs {needed}",
        hint="trimtab migrate" + ("; `trimtab serve` does it by itself" if migrates_itself else ""),
    )


def _clock_findings(settings: Settings, db: Database) -> Iterator[Finding]:
    set_to = db.read(sandbox.clock) if settings.sandbox else None
    now = set_to or wall_clock()
    if not settings.sandbox:
        text = f"real time, {now:%Y-%m-%d %H:%M} UTC"
    elif set_to is None:
        text = f"the sandbox's, not set yet: it shows real time, {now:%Y-%m-%d %H:%M} UTC"
    else:
        text = f"the sandbox's, it stands at {now:%Y-%m-%d %H:%M} UTC"
    yield Finding(check="clock", level="ok", text=text)
    yield from _calendar_findings(settings, now)


def _calendar_findings(settings: Settings, now: datetime) -> Iterator[Finding]:
    try:
        sessions = read_sessions(settings.market)
    except TrimtabError as error:
        yield Finding(
            check="clock",
            level="fatal",
            text=str(error),
            hint="set TRIMTAB_MARKET, as in TRIMTAB_MARKET=XNYS",
        )
        return
    yield _calendar_finding(sessions, now)


def _calendar_finding(sessions: Sessions, now: datetime) -> Finding:
    first, last = sessions.days[0], sessions.days[-1]
    years_left = last.year - now.year
    text = f"calendar {sessions.calendar} knows {first} to {last}"
    if not first <= now.date() <= last:
        return Finding(
            check="clock",
            level="fatal",
            text=f"{text}, which does not cover {now.date()}",
            hint="mend the clock, or update exchange_calendars",
        )
    if years_left < YEARS_AHEAD_MIN:
        return Finding(
            check="clock", level="warning", text=text, hint="update exchange_calendars before then"
        )
    return Finding(check="clock", level="ok", text=f"{text}, {years_left} years ahead")


def _paper_findings(settings: Settings) -> Iterator[Finding]:
    missing = Finding(
        check="broker",
        level="warning",
        text="the paper broker has no tables yet",
        hint="`trimtab serve` makes them",
    )
    if database_file(settings) is not None and not sqlite_path(paper_url(settings)).exists():
        yield missing
        return
    with closing(open_database(paper_url(settings), schema=SCHEMA)) as paper_db:
        try:
            accounts = len(paper_db.read(read_account_ids))
        except (sqlite3.OperationalError, psycopg.errors.UndefinedTable):
            yield missing
            return
        try:
            prepare(paper_db)
        except TrimtabError as error:
            yield Finding(
                check="broker", level="fatal", text=str(error), hint="use the Trimtab that made them"
            )
            return
        assets = len(paper_db.read(read_all_listings))
        yield Finding(check="broker", level="ok", text=f"paper, {assets} assets, {accounts} accounts")
        if paper_db.read(read_faults).outage:
            yield Finding(
                check="broker",
                level="warning",
                text="the paper broker plays an outage",
                hint="PUT /sandbox/faults with {} ends it",
            )


def _exchange_finding(settings: Settings, account_id: str) -> Finding:
    """Whether it can be reached with this key, and which account that is."""
    try:
        crypto_broker(settings, wall_clock).accounts([account_id])
    except TrimtabError as error:
        hint = "check TRIMTAB_BROKER, TRIMTAB_CCXT_KEY, TRIMTAB_CCXT_SECRET and TRIMTAB_CCXT_PASSWORD"
        return Finding(check="broker", level="fatal", text=str(error), hint=hint)
    return Finding(check="broker", level="ok", text=f"{settings.broker}, reachable: account {account_id}")


def _alpaca_findings(settings: Settings, db: Database) -> Iterator[Finding]:
    """Whether it can be reached with these keys, and whether its prices can."""
    with closing(alpaca_broker(settings, db, clock=wall_clock)) as broker:
        try:
            theirs = broker.reach()
        except BrokerDown as error:
            hint = "check TRIMTAB_ALPACA_URL, TRIMTAB_ALPACA_KEY_ID and TRIMTAB_ALPACA_SECRET"
            yield Finding(check="broker", level="fatal", text=str(error), hint=hint)
            return
        yield Finding(check="broker", level="ok", text=f"alpaca, reachable at {settings.alpaca_url}")
        apart = timedelta(0) if theirs is None or settings.sandbox else abs(wall_clock() - theirs)
        if apart > CLOCKS_APART_MAX:
            text = f"its clock and ours are {apart.total_seconds():.0f} s apart"
            hint = "have the time of this machine set by NTP"
            yield Finding(check="broker", level="warning", text=text, hint=hint)
        try:
            broker.prices([KNOWN_SYMBOL])
        except BrokerDown as error:
            hint = "check TRIMTAB_ALPACA_DATA_URL"
            yield Finding(check="broker", level="fatal", text=f"no prices: {error}", hint=hint)


def _keys_finding(settings: Settings, db: Database) -> Finding:
    now = wall_clock()
    active = sum(key_state(key, now) == "active" for key in db.read(tenants.keys))
    if active:
        return Finding(check="keys", level="ok", text=f"{active} active")
    if settings.is_loopback:
        return Finding(check="keys", level="warning", text="no active key: nobody can call", hint=MAKE_KEY)
    text = f"no active key, which {settings.host} must not be served without"
    return Finding(check="keys", level="fatal", text=text, hint=MAKE_KEY)


def _freeze_findings(db: Database) -> Iterator[Finding]:
    def work(tx: Tx) -> tuple[list[Freeze], dict[str, str]]:
        return list(freezes.all_freezes(tx)), tenant_names(tx)

    # It locks the rows it reads, which PostgreSQL refuses in a reading transaction.
    in_force, names = db.write(work)
    if not in_force:
        yield Finding(check="freezes", level="ok", text="none in force")
    for freeze in in_force:
        scope, options = scope_of(freeze, names)
        yield Finding(
            check="freezes",
            level="warning",
            text=f"in force for {scope}: {freeze.reason}",
            hint=f"trimtab thaw{options}",
        )


def _hold_findings(db: Database) -> Iterator[Finding]:
    """Accounts that wait for the broker's proof, or for a person."""
    for account_id, why in db.read(shards.all_held).items():
        yield Finding(
            check="holds",
            level="warning",
            text=f"account {account_id} is held: {why}",
            hint=f"look at it; if it is right: {thaw_account(account_id)}",
        )


def thaw_account(account_id: str) -> str:
    return f"trimtab thaw --account {shlex.quote(account_id)}"


def scope_of(freeze: Freeze, names: dict[str, str]) -> tuple[str, str]:
    """What a freeze covers, in words and as the options that name it."""
    given = {
        "tenant": freeze.tenant_id and names.get(freeze.tenant_id, freeze.tenant_id),
        "account": freeze.account_id,
        "symbol": freeze.symbol,
    }
    parts = {noun: value for noun, value in given.items() if value is not None}
    words = ", ".join(f"{noun} {value}" for noun, value in parts.items()) or "everything"
    return words, "".join(f" --{noun} {shlex.quote(value)}" for noun, value in parts.items())
