"""All settings: their names, what they mean, their defaults, and the checks they must pass.

Settings come from the environment and, below it, from a `.env` file in the working folder. A name that
starts with TRIMTAB_ and is not known is an error: a misspelt limit must not be a silent default.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from dotenv import dotenv_values

from trimtab.core.errors import CannotStart, shown_address
from trimtab.core.money import parse_decimal
from trimtab.settings_exchange import (
    CCXT,
    EXCHANGE_SETTINGS,
    ExchangeSettings,
    Setting,
    exchange_settings,
    is_exchange,
)

T = TypeVar("T")
PREFIX = "TRIMTAB_"
ENV_FILE = Path(".env")
DAYS_MAX = 36_500
PAPER, ALPACA = "paper", "alpaca"
QUARANTINES_S = {PAPER: "5", ALPACA: "30", CCXT: "60"}
ALPACA_URL = "https://broker-api.sandbox.alpaca.markets"
# Where Alpaca has the prices that belong to each of its addresses.
DATA_URLS = {
    ALPACA_URL: "https://data.sandbox.alpaca.markets",
    "https://broker-api.alpaca.markets": "https://data.alpaca.markets",
}


SETTINGS = (
    Setting(
        name="TRIMTAB_DATABASE_URL",
        default="sqlite:///trimtab.db",
        meaning="sqlite:///FILE, or postgresql://… for several processes",
    ),
    Setting(
        name="TRIMTAB_BROKER",
        default="paper",
        meaning="paper: the market in a file of its own; alpaca: the Alpaca Broker API; ccxt:EXCHANGE",
    ),
    Setting(
        name="TRIMTAB_MARKET",
        default="XNYS",
        meaning="session calendar of strategies created through /v1: any of exchange_calendars, 24/7 too",
    ),
    Setting(
        name="TRIMTAB_SANDBOX",
        default="0",
        meaning="1 mounts /sandbox and lets the clock be set; only on loopback, with a broker there",
    ),
    Setting(
        name="TRIMTAB_UPDATE_WAITS_FOR_COOLDOWN",
        default="0",
        meaning="1: an updated portfolio is evaluated only once the cooldown has ended",
    ),
    Setting(
        name="TRIMTAB_QUARTERS",
        default="1,3,6,12",
        meaning="months of a quarterly rule; 1,4,7,10 for calendar quarters",
    ),
    Setting(
        name="TRIMTAB_LISTEN",
        default="127.0.0.1:8000",
        meaning="address and port; anything but loopback needs a key that was created before",
    ),
    Setting(
        name="TRIMTAB_INVEST_CASH_MIN",
        default="10",
        meaning="dollars of free cash above which cash is invested; 0 never invests by itself",
    ),
    Setting(name="TRIMTAB_MIN_NOTIONAL", default="1", meaning="smallest order in dollars"),
    Setting(
        name="TRIMTAB_CASH_BUFFER_PERCENT",
        default="0",
        meaning="percent of equity kept in cash beyond the cash target",
    ),
    Setting(
        name="TRIMTAB_QUARANTINE_S",
        default="",
        meaning="seconds until an order that the broker does not show may be sent again;"
        " without it, what the broker needs: paper 5, alpaca 30, exchanges 60",
    ),
    Setting(
        name="TRIMTAB_ORDER_MAX",
        default="0",
        meaning="dollars above which no order is sent, whatever was planned; 0 for no limit",
    ),
    Setting(
        name="TRIMTAB_RUN_ORDERS_MAX",
        default="1000",
        meaning="orders after which a run sends no more; 0 for no limit",
    ),
    Setting(
        name="TRIMTAB_MINUTE_ORDERS_MAX",
        default="",
        meaning="orders a minute that may leave for one tenant, 0 for no limit; 500 if not paper",
    ),
    Setting(
        name="TRIMTAB_COLLAR_PERCENT",
        default="20",
        meaning="percent by which a price may have moved since the plan before its orders are not sent",
    ),
    Setting(
        name="TRIMTAB_RATE_LIMIT",
        default="60000",
        meaning="requests a minute that one key may make to one process",
    ),
    Setting(
        name="TRIMTAB_V2_COOLDOWN_S",
        default="60",
        meaning="seconds after the end of a run until /v2 lets the next be asked for; 0 for none",
    ),
    Setting(
        name="TRIMTAB_V2_COOLDOWN_AFTER_FAILURE",
        default="1",
        meaning="0: runs that failed or were cancelled start no cooldown on /v2",
    ),
    Setting(
        name="TRIMTAB_EVALUATION_DAYS",
        default="30",
        meaning="days for which it is kept why each account was rebalanced or why not",
    ),
    Setting(
        name="TRIMTAB_ALPACA_URL",
        default=ALPACA_URL,
        meaning="where the Alpaca Broker API is; https, unless on loopback",
    ),
    Setting(
        name="TRIMTAB_ALPACA_DATA_URL",
        default="",
        meaning="where its prices are; without it, Alpaca's data address beside TRIMTAB_ALPACA_URL,"
        " or that address itself if it is not Alpaca's",
    ),
    Setting(name="TRIMTAB_ALPACA_KEY_ID", default="", meaning="for the Alpaca broker", secret=True),
    Setting(name="TRIMTAB_ALPACA_SECRET", default="", meaning="for the Alpaca broker", secret=True),
    Setting(
        name="TRIMTAB_PRICE_AGE_MAX_S",
        default="900",
        meaning="seconds after which the latest trade is no price any more; 0 for no limit."
        " In the sandbox a price is current until replaced",
    ),
    *EXCHANGE_SETTINGS,
    Setting(
        name="TRIMTAB_TEST_POSTGRES", default="", meaning="PostgreSQL URL for the test suite; not used here"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Checked settings; amounts are dollars, percents of equity, seconds and requests a minute. What is None
    depends on the broker.
    """

    database_url: str
    broker: str
    alpaca_url: str
    alpaca_data_url: str
    alpaca_key_id: str = field(repr=False)
    alpaca_secret: str = field(repr=False)
    exchange: ExchangeSettings | None
    price_age_max_s: int
    market: str
    sandbox: bool
    update_waits_for_cooldown: bool
    quarter_months: frozenset[int]
    host: str
    port: int
    invest_cash_min: Decimal
    min_notional: Decimal
    cash_buffer_percent: Decimal
    quarantine_s: int
    order_max: Decimal
    run_orders_max: int
    minute_orders_max: int | None
    collar_percent: Decimal
    rate_limit: int
    v2_cooldown_s: int
    v2_cooldown_after_failure: bool
    evaluation_days: int

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSetting:
    """A setting with its value as anybody may see it."""

    name: str
    value: str
    default: str
    meaning: str


def read_settings() -> Settings:
    """The settings of this process. Raises CannotStart for a wrong value and for an unknown name."""
    return load_settings(os.environ, ENV_FILE)


def shown_settings() -> list[ShownSetting]:
    """Every setting of this process, whether or not its value is a good one."""
    given = dotenv_values(ENV_FILE) | os.environ
    return [
        ShownSetting(
            name=setting.name,
            value=_shown(setting, given.get(setting.name, setting.default) or ""),
            default=setting.default,
            meaning=setting.meaning,
        )
        for setting in SETTINGS
    ]


def _shown(setting: Setting, value: str) -> str:
    return "…" if setting.secret and value else shown_address(value)


def load_settings(environment: Mapping[str, str], env_file: Path = ENV_FILE) -> Settings:
    """Raises CannotStart with one line that names the setting and the mend."""
    given = {
        **{k: v or "" for k, v in dotenv_values(env_file).items() if k.startswith(PREFIX)},
        **{k: v for k, v in environment.items() if k.startswith(PREFIX)},
    }
    known = {setting.name: setting.default for setting in SETTINGS}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise CannotStart(f"unknown setting {unknown[0]}: see `trimtab doctor --settings`")
    settings = _checked(known | given)
    if settings.sandbox:
        _require_loopback(settings)
    if settings.broker == ALPACA and not (settings.alpaca_key_id and settings.alpaca_secret):
        raise CannotStart("TRIMTAB_BROKER=alpaca needs TRIMTAB_ALPACA_KEY_ID and TRIMTAB_ALPACA_SECRET")
    return settings


def _require_loopback(settings: Settings) -> None:
    """A clock that is set must not decide when other people's money is moved."""
    if not settings.is_loopback:
        raise CannotStart(f"TRIMTAB_SANDBOX=1 needs a loopback address, TRIMTAB_LISTEN is {settings.host}")
    if settings.broker == PAPER:
        return
    if settings.broker != ALPACA:
        raise CannotStart(f"TRIMTAB_SANDBOX=1 needs a broker on loopback, {settings.broker} is none")
    for name, url in (
        ("TRIMTAB_ALPACA_URL", settings.alpaca_url),
        ("TRIMTAB_ALPACA_DATA_URL", settings.alpaca_data_url),
    ):
        if not _is_loopback(urlsplit(url).hostname or ""):
            raise CannotStart(f"TRIMTAB_SANDBOX=1 needs a broker on loopback, {name} is {url}")


def _checked(values: Mapping[str, str]) -> Settings:
    def read(name: str, parse: Callable[[str], T | None], *, expected: str) -> T:
        parsed = parse(values[name])
        if parsed is None:
            raise CannotStart(f"{name} is {shown_address(values[name])!r}: give {expected}")
        return parsed

    broker = read("TRIMTAB_BROKER", _broker, expected="paper, alpaca or ccxt:EXCHANGE")
    exchange_url = read(
        "TRIMTAB_CCXT_URL", lambda text: _broker_url(text) if text else "", expected="https://HOST or nothing"
    )
    alpaca_url = read(
        "TRIMTAB_ALPACA_URL", lambda text: _broker_url(text or ALPACA_URL), expected="https://HOST"
    )
    host, port = read("TRIMTAB_LISTEN", _address, expected="an address and a port, as in 127.0.0.1:8000")
    return Settings(
        database_url=read("TRIMTAB_DATABASE_URL", _database_url, expected="sqlite:///FILE or postgresql://…"),
        broker=broker,
        alpaca_url=alpaca_url,
        alpaca_data_url=read(
            "TRIMTAB_ALPACA_DATA_URL",
            lambda text: _broker_url(text or DATA_URLS.get(alpaca_url, alpaca_url)),
            expected="https://HOST",
        ),
        alpaca_key_id=values["TRIMTAB_ALPACA_KEY_ID"],
        alpaca_secret=values["TRIMTAB_ALPACA_SECRET"],
        exchange=exchange_settings({**values, "TRIMTAB_CCXT_URL": exchange_url})
        if is_exchange(broker)
        else None,
        price_age_max_s=read("TRIMTAB_PRICE_AGE_MAX_S", _seconds, expected="whole seconds, 0 or more"),
        market=read(
            "TRIMTAB_MARKET", lambda text: text or None, expected="the name of a calendar, as in XNYS"
        ),
        sandbox=read("TRIMTAB_SANDBOX", _flag, expected="0 or 1"),
        update_waits_for_cooldown=read("TRIMTAB_UPDATE_WAITS_FOR_COOLDOWN", _flag, expected="0 or 1"),
        quarter_months=read("TRIMTAB_QUARTERS", _months, expected="months such as 1,4,7,10"),
        host=host,
        port=port,
        invest_cash_min=read("TRIMTAB_INVEST_CASH_MIN", _amount, expected="dollars, 0 or more"),
        min_notional=read("TRIMTAB_MIN_NOTIONAL", _amount, expected="dollars, 0 or more"),
        cash_buffer_percent=read("TRIMTAB_CASH_BUFFER_PERCENT", _percent, expected="a percentage below 100"),
        quarantine_s=read(
            "TRIMTAB_QUARANTINE_S",
            lambda text: _count(text or QUARANTINES_S[broker.partition(":")[0]]),
            expected="whole seconds, at least 1",
        ),
        order_max=read("TRIMTAB_ORDER_MAX", _amount, expected="dollars, 0 or more"),
        run_orders_max=read("TRIMTAB_RUN_ORDERS_MAX", _seconds, expected="a number of orders, 0 or more"),
        minute_orders_max=None
        if not values["TRIMTAB_MINUTE_ORDERS_MAX"]
        else read("TRIMTAB_MINUTE_ORDERS_MAX", _seconds, expected="a number of orders, 0 or more"),
        collar_percent=read("TRIMTAB_COLLAR_PERCENT", _percent, expected="a percentage below 100"),
        rate_limit=read("TRIMTAB_RATE_LIMIT", _count, expected="requests a minute, at least 1"),
        v2_cooldown_s=read("TRIMTAB_V2_COOLDOWN_S", _seconds, expected="whole seconds, 0 or more"),
        v2_cooldown_after_failure=read("TRIMTAB_V2_COOLDOWN_AFTER_FAILURE", _flag, expected="0 or 1"),
        evaluation_days=read("TRIMTAB_EVALUATION_DAYS", _days, expected=f"whole days, 1 to {DAYS_MAX}"),
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _broker(text: str) -> str | None:
    return text if text in {PAPER, ALPACA} or is_exchange(text) else None


def _broker_url(text: str) -> str | None:
    """An address without a path or a password in it; keys go over an open wire on this machine only."""
    try:
        url = urlsplit(text)
        is_whole = bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    plain = not (url.username or url.password or url.query or url.fragment or url.path.strip("/"))
    safe = url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or ""))
    return text.rstrip("/") if is_whole and plain and safe else None


def _flag(text: str) -> bool | None:
    return {"0": False, "1": True}.get(text)


def _database_url(text: str) -> str | None:
    return text if text.startswith(("sqlite:///", "postgresql://", "postgres://")) else None


def _months(text: str) -> frozenset[int] | None:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and 1 <= int(part) <= 12 for part in parts):  # noqa: PLR2004
        return None
    return frozenset(int(part) for part in parts)


def _address(text: str) -> tuple[str, int] | None:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not (port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - ports are 16 bits
        return None
    try:
        ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return None
    return host, int(port)


def _amount(text: str) -> Decimal | None:
    amount = parse_decimal(text)
    return amount if amount is not None and amount >= 0 else None


def _percent(text: str) -> Decimal | None:
    percent = _amount(text)
    return percent if percent is not None and percent < 100 else None  # noqa: PLR2004


def _days(text: str) -> int | None:
    days = _count(text)
    return days if days is not None and days <= DAYS_MAX else None


def _seconds(text: str) -> int | None:
    return 0 if text == "0" else _count(text)


def _count(text: str) -> int | None:
    # Nine digits: more than any limit needs, and fewer than any arithmetic with it can bear.
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) and int(text) >= 1 else None
