"""The demo from end to end on its first 120 sessions: the product's own server, its own audit.

In those sessions every kind of thing happens once at least: enrolments, deposits, calendar dates, a run
that a client asks for and one that it cancels.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from trimtab.core.errors import CannotStart
from trimtab.demo.child import free_port
from trimtab.demo.run import DemoOptions, run_demo

SESSIONS = 120
ACCOUNTS = 6
ENDS = {
    "CANCELED",
    "COMPLETED_ADJUSTED",
    "COMPLETED_SUCCESS",
}


def options(keep: Path) -> DemoOptions:
    return DemoOptions(once=True, accounts=ACCOUNTS, keep=keep, as_json=True, sessions_max=SESSIONS)


def test_a_small_demo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keep = tmp_path / "100% a demo?"
    assert run_demo(options(keep)) == 0
    said, aside = capfd.readouterr()
    summary = json.loads(said)
    assert summary["ok"] is True
    assert summary["audit"]["ok"] is True
    assert {finding["verdict"] for finding in summary["audit"]["invariants"]} == {"passed"}
    assert (summary["sessions"], summary["accounts"]) == (SESSIONS, ACCOUNTS)
    assert (summary["first_on"], summary["last_on"]) == ("2008-01-02", "2008-06-23")
    # Accounts 0 to 3 by their sessions 0, 37, 74 and 111; account 0 starts in the session of its own.
    assert summary["deposits"] == 3
    runs = summary["runs"]
    assert set(runs["by_status"]) <= ENDS
    assert runs["by_status"]["CANCELED"] == 1
    assert runs["by_cause"]["enrolment"] == ACCOUNTS
    assert runs["by_cause"]["asked for"] == 2
    # Of these two, one came through /v2 and was polled to its end; the other was cancelled through /v1.
    asked = summary["asked_through_v2"]
    assert (asked["on"], asked["states"]) == ("2008-03-17", ["accepted", "completed"])
    assert "%3Amanual%3Areq_" in asked["operation"], "a run of its own: not one that was in flight"
    # Two accounts follow "World": 14 March and 13 June; January lies in the cooldown.
    assert runs["by_cause"]["calendar date"] == 2 * 2
    assert runs["by_cause"]["new cash"] >= summary["deposits"]
    assert runs["total"] == sum(runs["by_status"].values()) == sum(runs["by_type"].values())
    assert summary["orders"] > runs["total"]
    worst = {each["strategy"]: each for each in summary["worst_drift"]}
    assert set(worst) == {"Sixty-forty", "World", "Balanced risk"}
    for each in worst.values():
        assert 0 < Decimal(each["with_rebalancing"]["points"]) < 10
        assert 0 < Decimal(each["without_rebalancing"]["points"]) < 10
    assert "2008-06-23" in aside, "the last line of progress"
    assert (keep / "demo.db").exists()
    with pytest.raises(CannotStart, match="not empty"):
        run_demo(options(keep))


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CannotStart, match="in use"):
            run_demo(DemoOptions(once=True, port=taken.getsockname()[1], keep=tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_dies_with_the_demo(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    keep = tmp_path / "demo"
    command = [sys.executable, "-m", "trimtab", "demo", "--port", str(port), "--keep", str(keep)]
    # A suite in the background ignores SIGINT, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    signal.signal(signal.SIGINT, before)
    try:
        wait_until(lambda: answers(port))
        demo.send_signal(number)
        assert demo.wait(60) != 0
    finally:
        demo.kill()
        demo.wait()
    wait_until(lambda: not answers(port))


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
