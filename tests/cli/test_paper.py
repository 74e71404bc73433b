"""`trimtab paper`: a broker in a process of its own, with a database of its own and one firm's key."""

import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx

from tests.cli.conftest import READY_WITHIN_S, Serving, Trimtab, free_port

FIRM = {"TRIMTAB_ALPACA_KEY_ID": "firm", "TRIMTAB_ALPACA_SECRET": "schlüssel"}
ENDS_WITHIN_S = 30


def prices(serving: Serving) -> httpx.Response:
    url = f"{serving.url}/sandbox/prices"
    return httpx.put(url, json={"SPY": "400"}, auth=("any", "key"), trust_env=False)


def test_it_works_in_files_of_its_own(on_nothing: Trimtab, tmp_path: Path) -> None:
    serving = on_nothing.serve("paper")
    assert prices(serving).json() == {"SPY": "400"}
    assert (tmp_path / "trimtab-paper.db").exists()
    assert not (tmp_path / "trimtab.db").exists()
    # It is a database of Trimtab's: what looks at one looks at this one too.
    own = {"TRIMTAB_DATABASE_URL": "sqlite:///trimtab-paper.db"}
    assert on_nothing("audit", **own).code == 0
    assert on_nothing("doctor", **own).code == 0


def test_it_says_where_it_is_and_ends_when_it_is_told_to(on_nothing: Trimtab, tmp_path: Path) -> None:
    serving = on_nothing.serve("paper", "--database", "market.db")
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(ENDS_WITHIN_S) == 0
    assert (tmp_path / "market.db").exists()


def test_a_second_one_on_its_database_is_refused(on_nothing: Trimtab) -> None:
    serving = on_nothing.serve("paper")
    refused = on_nothing.fails("paper", "--port", str(free_port()))
    expected = (
        f"trimtab: process {serving.process.pid} serves trimtab-paper.db already: stop it, or name another"
    )
    assert refused == f"{expected} file\n"


def test_what_it_knows_outlives_a_crash(on_nothing: Trimtab) -> None:
    first = on_nothing.serve("paper")
    prices(first)
    clock = {"now": "2026-03-02T15:00:00Z"}
    httpx.put(
        f"{first.url}/sandbox/clock", json=clock, auth=("any", "key"), trust_env=False
    ).raise_for_status()
    first.kill()
    second = on_nothing.serve("paper")
    shown = httpx.get(f"{second.url}/v1/clock", auth=("other", "key"), trust_env=False).json()
    assert (shown["timestamp"], shown["is_open"]) == (clock["now"], True)
    asset = httpx.get(f"{second.url}/v1/assets/SPY", auth=("other", "key"), trust_env=False).json()
    assert asset["tradable"]


def test_until_it_is_set_its_clock_shows_the_time(on_nothing: Trimtab) -> None:
    serving = on_nothing.serve("paper")
    shown = httpx.get(f"{serving.url}/sandbox/clock", auth=("any", "key"), trust_env=False).json()
    assert shown["simulated"] is False
    assert abs(time.time() - datetime.fromisoformat(shown["now"]).timestamp()) < READY_WITHIN_S


def test_it_settles_nothing_and_rebalances_nobody(on_nothing: Trimtab) -> None:
    serving = on_nothing.serve("paper")
    with httpx.Client(base_url=serving.url, auth=("any", "key"), trust_env=False) as http:
        for path in ("/sandbox/settle", "/v1/rebalancing/portfolios", "/v2/portfolios"):
            answer = http.post(path, json={})
            assert (answer.status_code, answer.json()["code"]) == (404, 40410000)


def test_with_a_key_it_takes_that_one_only(on_nothing: Trimtab) -> None:
    serving = on_nothing.serve("paper", **FIRM)
    url = f"{serving.url}/v1/clock"
    good = list(FIRM.values())
    apca = dict(zip(("apca-api-key-id", "apca-api-secret-key"), [good[0], "wrong"], strict=True))
    assert httpx.get(url, auth=(good[0], good[1].encode()), trust_env=False).status_code == 200
    for auth in [(good[0], "wrong"), ("wrong", good[1]), ("", "")]:
        assert httpx.get(url, auth=auth, trust_env=False).json()["code"] == 40110000
    assert httpx.get(url, headers=apca, trust_env=False).status_code == 401
    assert httpx.get(url, trust_env=False).status_code == 401
    assert httpx.get(f"{serving.url}/v2/events/trades", trust_env=False).status_code == 401
    assert httpx.put(f"{serving.url}/sandbox/prices", json={"A": "1"}, trust_env=False).status_code == 401


def test_without_a_key_any_is_good_but_one_has_to_be_there(on_nothing: Trimtab) -> None:
    serving = on_nothing.serve("paper")
    headers = {"apca-api-key-id": "a", "apca-api-secret-key": "b"}
    url = f"{serving.url}/v1/assets"
    assert httpx.get(url, headers=headers, trust_env=False).status_code == 200
    assert httpx.get(url, trust_env=False).status_code == 401


def test_half_a_key_and_an_open_door_are_refused(on_nothing: Trimtab) -> None:
    half = on_nothing.fails("paper", TRIMTAB_ALPACA_KEY_ID="firm")
    assert half == "trimtab: set both TRIMTAB_ALPACA_KEY_ID and TRIMTAB_ALPACA_SECRET, or neither\n"
    opened = on_nothing.fails("paper", TRIMTAB_LISTEN="0.0.0.0:8000")
    assert "off loopback the paper broker needs TRIMTAB_ALPACA_KEY_ID" in opened


def test_on_postgres_it_makes_its_own_tables(
    start: Callable[[str], Trimtab], empty_postgres_url: str
) -> None:
    serving = start(empty_postgres_url).serve("paper", "--database", empty_postgres_url)
    assert prices(serving).json() == {"SPY": "400"}
