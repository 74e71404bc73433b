"""What a setting is, and those of an exchange behind ccxt: they are read only where one is the broker."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from trimtab.core.errors import CannotStart

CCXT = "ccxt"
# Accounts at exchanges are names in this namespace, so that they are the same after a restart.
ACCOUNT_NAMESPACE = UUID("0d4d0f0e-7a5c-4a44-8a3a-5f0c1b7f2c19")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    name: str
    default: str
    meaning: str
    secret: bool = False


EXCHANGE_SETTINGS = (
    Setting(name="TRIMTAB_CCXT_KEY", default="", meaning="the exchange's API key", secret=True),
    Setting(name="TRIMTAB_CCXT_SECRET", default="", meaning="the secret of that key", secret=True),
    Setting(
        name="TRIMTAB_CCXT_PASSWORD",
        default="",
        meaning="the passphrase of that key, at exchanges that have one",
        secret=True,
    ),
    Setting(
        name="TRIMTAB_CCXT_QUOTE",
        default="USD",
        meaning="the currency that is cash there, as in USDT: each coin is traded against it",
    ),
    Setting(
        name="TRIMTAB_CCXT_FEE_COIN",
        default="",
        meaning="a coin that is held there to pay fees with, and is not part of the portfolio",
    ),
    Setting(
        name="TRIMTAB_CCXT_URL",
        default="",
        meaning="scheme and host in place of the exchange's own, as of a proxy",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """`name` is what ccxt calls the exchange; empty texts are not given."""

    name: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    password: str = field(default="", repr=False)
    quote: str = "USD"
    fee_coin: str = ""
    url: str = ""

    @property
    def account_id(self) -> str:
        return account_at(self.name)


def account_at(exchange: str) -> str:
    """The id of the one account that there is at an exchange."""
    return str(uuid5(ACCOUNT_NAMESPACE, exchange))


def is_exchange(broker: str) -> bool:
    return re.fullmatch(rf"{CCXT}:[a-z0-9]+", broker) is not None


def exchange_settings(values: Mapping[str, str]) -> ExchangeSettings:
    """Those of the exchange that TRIMTAB_BROKER names; raises CannotStart without a key."""
    if not (values["TRIMTAB_CCXT_KEY"] and values["TRIMTAB_CCXT_SECRET"] and values["TRIMTAB_CCXT_QUOTE"]):
        raise CannotStart(
            f"TRIMTAB_BROKER={values['TRIMTAB_BROKER']} needs TRIMTAB_CCXT_KEY, TRIMTAB_CCXT_SECRET and "
            "TRIMTAB_CCXT_QUOTE"
        )
    return ExchangeSettings(
        name=values["TRIMTAB_BROKER"].removeprefix(f"{CCXT}:"),
        key=values["TRIMTAB_CCXT_KEY"],
        secret=values["TRIMTAB_CCXT_SECRET"],
        password=values["TRIMTAB_CCXT_PASSWORD"],
        quote=values["TRIMTAB_CCXT_QUOTE"],
        fee_coin=values["TRIMTAB_CCXT_FEE_COIN"],
        url=values["TRIMTAB_CCXT_URL"],
    )
