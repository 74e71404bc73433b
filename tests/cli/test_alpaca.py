"""`trimtab` with a broker elsewhere: what its settings may be, and what doctor and audit say of it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.brokers.alpaca_server import KEY, AlpacaServer, alpaca_server
from tests.cli.conftest import Trimtab
from trimtab.core.errors import CannotStart
from trimtab.settings import Settings, load_settings

KEYS = {"TRIMTAB_ALPACA_KEY_ID": KEY[0], "TRIMTAB_ALPACA_SECRET": KEY[1]}
ALPACA = {"TRIMTAB_BROKER": "alpaca", **KEYS}
LOCAL = "http://127.0.0.1:9"


def settings(**given: str) -> Settings:
    return load_settings({f"TRIMTAB_{name}": value for name, value in given.items()}, Path("no.env"))


@pytest.mark.parametrize(
    ("url", "data_url"),
    [
        ("", "https://data.sandbox.alpaca.markets"),
        ("https://broker-api.sandbox.alpaca.markets", "https://data.sandbox.alpaca.markets"),
        ("https://broker-api.alpaca.markets/", "https://data.alpaca.markets"),
        (LOCAL, LOCAL),
        ("https://alpaca.example:8443", "https://alpaca.example:8443"),
    ],
)
def test_prices_are_beside_the_broker(url: str, data_url: str) -> None:
    given = load_settings(ALPACA | {"TRIMTAB_ALPACA_URL": url}, Path("no.env"))
    assert given.alpaca_data_url == data_url
    other = load_settings(ALPACA | {"TRIMTAB_ALPACA_DATA_URL": "https://data.example/"}, Path("no.env"))
    assert other.alpaca_data_url == "https://data.example"


@pytest.mark.parametrize(("broker", "seconds"), [("paper", 5), ("alpaca", 30)])
def test_the_quarantine_is_the_brokers_unless_it_is_given(broker: str, seconds: int) -> None:
    assert settings(BROKER=broker, ALPACA_KEY_ID="k", ALPACA_SECRET="s").quarantine_s == seconds
    assert settings(BROKER=broker, ALPACA_KEY_ID="k", ALPACA_SECRET="s", QUARANTINE_S="7").quarantine_s == 7


@pytest.mark.parametrize(
    "url",
    [
        "http://broker-api.alpaca.markets",
        "broker-api.alpaca.markets",
        "ftp://127.0.0.1",
        "https://user:password@example.com",
        "https://example.com/v1",
        "https://example.com?key=1",
        "https://",
        "https://[",
        "https://example.com:0",
        "https://example.com:99999",
        "http://10.0.0.1",
    ],
)
def test_keys_do_not_go_over_an_open_wire_or_to_half_an_address(url: str) -> None:
    for name in ("TRIMTAB_ALPACA_URL", "TRIMTAB_ALPACA_DATA_URL"):
        with pytest.raises(CannotStart, match=name):
            load_settings(ALPACA | {name: url}, Path("no.env"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"TRIMTAB_BROKER": "alpaca"}, "needs TRIMTAB_ALPACA_KEY_ID and TRIMTAB_ALPACA_SECRET"),
        ({"TRIMTAB_BROKER": "robin"}, "TRIMTAB_BROKER is 'robin'"),
        ({**ALPACA, "TRIMTAB_SANDBOX": "1"}, "TRIMTAB_ALPACA_URL is https://broker-api.sandbox"),
        (
            {
                **ALPACA,
                "TRIMTAB_SANDBOX": "1",
                "TRIMTAB_ALPACA_URL": LOCAL,
                "TRIMTAB_ALPACA_DATA_URL": "https://a.b",
            },
            "TRIMTAB_ALPACA_DATA_URL is https://a.b",
        ),
        ({**ALPACA, "TRIMTAB_PRICE_AGE_MAX_S": "-1"}, "TRIMTAB_PRICE_AGE_MAX_S"),
    ],
)
def test_what_cannot_be_started(given: dict[str, str], why: str) -> None:
    with pytest.raises(CannotStart, match=re.escape(why)):
        load_settings(given, Path("no.env"))


def test_a_secret_is_not_in_the_text_of_the_settings() -> None:
    shown = repr(settings(BROKER="alpaca", ALPACA_KEY_ID="hidden-id", ALPACA_SECRET="hidden-secret"))
    assert "hidden" not in shown


@pytest.fixture
def alpaca() -> Iterator[AlpacaServer]:
    with alpaca_server(lambda: datetime.now(UTC)) as server:
        server.set_prices(SPY="400")
        yield server


def test_doctor_reaches_the_broker(trimtab: Trimtab, alpaca: AlpacaServer) -> None:
    said = trimtab("doctor", **ALPACA, TRIMTAB_ALPACA_URL=alpaca.url).out
    assert f"ok       broker    alpaca, reachable at {alpaca.url}" in said
    assert "paper" not in said


def test_doctor_sees_a_clock_that_is_wrong(on_sqlite: Trimtab, alpaca: AlpacaServer) -> None:
    alpaca.clock = lambda: datetime(2026, 3, 2, tzinfo=UTC)
    done = on_sqlite("doctor", **ALPACA, TRIMTAB_ALPACA_URL=alpaca.url)
    assert re.search(r"warning  broker    its clock and ours are \d+ s apart\n +→ .*NTP", done.out)


def test_doctor_says_why_a_broker_cannot_be_used(on_sqlite: Trimtab, alpaca: AlpacaServer) -> None:
    wrong = on_sqlite("doctor", **(ALPACA | {"TRIMTAB_ALPACA_SECRET": "no"}), TRIMTAB_ALPACA_URL=alpaca.url)
    assert (wrong.code, "fatal    broker    the broker refuses these keys" in wrong.out) == (1, True)
    nobody = on_sqlite("doctor", **ALPACA, TRIMTAB_ALPACA_URL=LOCAL)
    assert (nobody.code, "fatal    broker    the broker cannot be reached" in nobody.out) == (1, True)
    alpaca.paths_gone = {"/v2/stocks/trades/latest", "/v2/stocks/snapshots"}
    no_prices = on_sqlite("doctor", **ALPACA, TRIMTAB_ALPACA_URL=alpaca.url)
    assert (no_prices.code, "fatal    broker    no prices: " in no_prices.out) == (1, True)


def test_audit_says_what_it_did_not_check(on_sqlite: Trimtab, alpaca: AlpacaServer) -> None:
    said = on_sqlite.works("audit", **ALPACA, TRIMTAB_ALPACA_URL=alpaca.url)
    assert "I7   not run  executions add up to positions (the broker's ledger cannot be read)" in said
    assert alpaca.calls == []
