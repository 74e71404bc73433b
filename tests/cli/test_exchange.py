"""`trimtab` with an exchange as its broker: what the settings must say, and what doctor says of it."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.brokers.coins import exchange_with
from tests.brokers.exchange_server import KEY, SECRET, ExchangeServer, running_exchange
from tests.cli.conftest import Trimtab
from trimtab.brokers.crypto_exchange import open_exchange
from trimtab.core.errors import CannotStart
from trimtab.settings import load_settings
from trimtab.settings_exchange import ExchangeSettings, account_at

BINANCE = {"TRIMTAB_BROKER": "ccxt:binance", "TRIMTAB_CCXT_KEY": KEY, "TRIMTAB_CCXT_SECRET": SECRET}
NOWHERE = Path("no.env")


def test_the_settings_of_an_exchange_are_read_where_it_is_the_broker() -> None:
    given = BINANCE | {"TRIMTAB_CCXT_QUOTE": "USDT", "TRIMTAB_CCXT_FEE_COIN": "BNB"}
    settings = load_settings(given, NOWHERE)
    assert settings.exchange == ExchangeSettings(
        name="binance", key=KEY, secret=SECRET, quote="USDT", fee_coin="BNB"
    )
    assert settings.quarantine_s == 60
    assert KEY not in repr(settings)
    assert SECRET not in repr(settings)
    assert load_settings(given | {"TRIMTAB_BROKER": "paper"}, NOWHERE).exchange is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"TRIMTAB_CCXT_SECRET": ""}, "needs TRIMTAB_CCXT_KEY"),
        ({"TRIMTAB_CCXT_KEY": ""}, "needs TRIMTAB_CCXT_KEY"),
        ({"TRIMTAB_CCXT_QUOTE": ""}, "TRIMTAB_CCXT_QUOTE"),
        ({"TRIMTAB_BROKER": "ccxt:"}, "give paper, alpaca or ccxt:EXCHANGE"),
        ({"TRIMTAB_BROKER": "ccxt:__class__"}, "give paper, alpaca or ccxt:EXCHANGE"),
        ({"TRIMTAB_CCXT_URL": "http://10.0.0.1"}, "TRIMTAB_CCXT_URL"),
        ({"TRIMTAB_SANDBOX": "1"}, "needs a broker on loopback"),
    ],
)
def test_half_an_exchange_is_refused(given: dict[str, str], why: str) -> None:
    with pytest.raises(CannotStart, match=why):
        load_settings(BINANCE | given, NOWHERE)


def test_only_exchanges_that_can_be_traded_are_opened() -> None:
    with pytest.raises(CannotStart, match="ccxt knows no exchange of that name"):
        open_exchange(ExchangeSettings(name="nosuch", key="k", secret="s"))
    with pytest.raises(CannotStart, match="it lacks"):
        # An order cannot be asked for there.
        open_exchange(ExchangeSettings(name="btcturk", key="k", secret="s"))


def test_who_does_not_trade_at_an_exchange_does_not_load_what_speaks_to_exchanges() -> None:
    code = "import sys, trimtab.boot, trimtab.server, trimtab.cli; print('ccxt' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    book = exchange_with(lambda: datetime.now(UTC), USD="10000")
    book.balances["BTC"] = Decimal(1)
    with running_exchange(book) as server:
        yield server


def test_doctor_reaches_the_exchange_and_names_its_account(
    on_sqlite: Trimtab, exchange: ExchangeServer
) -> None:
    said = on_sqlite("doctor", **BINANCE, TRIMTAB_CCXT_URL=exchange.url).out
    assert f"ok       broker    ccxt:binance, reachable: account {account_at('binance')}" in said


def test_doctor_says_why_an_exchange_cannot_be_used(on_sqlite: Trimtab, exchange: ExchangeServer) -> None:
    wrong = on_sqlite("doctor", **(BINANCE | {"TRIMTAB_CCXT_SECRET": "wrong"}), TRIMTAB_CCXT_URL=exchange.url)
    assert (wrong.code, "fatal    broker    AuthenticationError" in wrong.out) == (1, True)
    unknown = on_sqlite("doctor", **(BINANCE | {"TRIMTAB_BROKER": "ccxt:nosuch"}))
    assert (unknown.code, "ccxt knows no exchange of that name" in unknown.out) == (1, True)
