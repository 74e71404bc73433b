"""Real servers whose broker is not in their process: a stand-in speaks Alpaca's wire over a real socket."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import StartServer
from tests.api.servers import NO_TLS, Server, audit
from tests.api.world import make_key
from tests.brokers.alpaca_server import KEY, AlpacaServer, Fault, alpaca_server
from trimtab.database import Database, open_database

MONDAY = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
MIX = [
    {"type": "asset", "symbol": "SPY", "percent": "60"},
    {"type": "asset", "symbol": "TLT", "percent": "40"},
]
PATIENCE_S = 60


@pytest.fixture
def alpaca() -> Iterator[AlpacaServer]:
    """In the middle of a Monday, on which two symbols trade."""
    with alpaca_server(lambda: MONDAY) as server:
        server.set_prices(SPY="400", TLT="100")
        yield server


def settings_of(alpaca: AlpacaServer, **more: str) -> dict[str, str]:
    key_id, secret = KEY
    return {
        "TRIMTAB_BROKER": "alpaca",
        "TRIMTAB_ALPACA_URL": alpaca.url,
        "TRIMTAB_ALPACA_KEY_ID": key_id,
        "TRIMTAB_ALPACA_SECRET": secret,
        **more,
    }


def caller(server: Server, database_of: Callable[[Server], Database], name: str) -> httpx.Client:
    key = make_key(database_of(server), name)
    auth = (key.key_id, key.secret)
    return httpx.Client(base_url=server.url, auth=auth, timeout=PATIENCE_S, verify=NO_TLS)


def subscribe(client: httpx.Client, account_id: str) -> httpx.Response:
    portfolio = {"name": "mix", "description": "", "weights": MIX, "cooldown_days": 7}
    created = client.post("/v1/rebalancing/portfolios", json=portfolio)
    assert created.status_code == 200, created.text
    body = {"account_id": account_id, "portfolio_id": created.json()["id"]}
    return client.post("/v1/rebalancing/subscriptions", json=body)


def runs(client: httpx.Client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.get("/v1/rebalancing/runs").json()["runs"]
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_main_job_at_a_broker_elsewhere(
    start_server: StartServer, database_of: Callable[[Server], Database], alpaca: AlpacaServer, kind: str
) -> None:
    account_id = alpaca.open_account(str(uuid4()), "1000", TLT="5")
    server = start_server(kind, **settings_of(alpaca))
    with caller(server, database_of, "acme") as acme, caller(server, database_of, "other") as other:
        assert acme.put("/sandbox/clock", json={"now": MONDAY.isoformat()}).status_code == 200
        assert subscribe(acme, account_id).status_code == 200
        # The answers to both of its orders are lost; one of them was accepted.
        alpaca.queued["POST"] += [Fault(hangs_up=True, takes=True), Fault(hangs_up=True)]
        assert acme.post("/sandbox/settle").status_code == 200
        for seconds in (30, 60):
            at = (MONDAY + timedelta(seconds=seconds)).isoformat()
            assert acme.put("/sandbox/clock", json={"now": at}).status_code == 200
            assert acme.post("/sandbox/settle").status_code == 200
        (run,) = runs(acme)
        assert run["status"] == "COMPLETED_SUCCESS"
        assert alpaca.accounts[account_id].positions == {"SPY": Decimal("2.25"), "TLT": Decimal(6)}
        assert alpaca.twice() == []

        # An account is the first tenant's that names it; one that the broker does not know is nobody's.
        assert subscribe(other, account_id).status_code == 422
        assert subscribe(other, str(uuid4())).status_code == 422
        assert runs(other) == []
    checked = audit(server)
    verdicts = {each["id"]: each["verdict"] for each in json.loads(checked.stdout)["invariants"]}
    assert checked.returncode == 0
    assert (verdicts["I1"], verdicts["I7"], verdicts["I8"]) == ("passed", "not run", "not run")
    assert server.unforeseen() == ""


def test_the_market_of_a_broker_elsewhere_is_not_moved_from_here(
    start_server: StartServer, database_of: Callable[[Server], Database], alpaca: AlpacaServer
) -> None:
    server = start_server("sqlite", **settings_of(alpaca))
    said = {"code": 40410000, "message": f"not here: the broker is at {alpaca.url}"}
    with caller(server, database_of, "acme") as acme:
        for method, path in (
            ("PUT", "/sandbox/prices"),
            ("PUT", "/sandbox/assets/SPY"),
            ("POST", "/sandbox/corporate-actions"),
            ("POST", "/sandbox/accounts"),
            ("GET", "/sandbox/accounts/ann"),
            ("PUT", "/sandbox/accounts/ann"),
            ("POST", "/sandbox/accounts/ann/cash"),
            ("PUT", "/sandbox/faults"),
            ("GET", "/sandbox/orders"),
        ):
            answer = acme.request(method, path, json={})
            assert (answer.status_code, answer.json()) == (404, said), path
        assert acme.get("/sandbox/clock").json()["simulated"] is False
        assert acme.get("/sandbox/nothing").status_code == 404
    assert httpx.get(f"{server.url}/sandbox/orders", verify=NO_TLS).status_code == 401


def test_a_broker_that_goes_away_is_a_degraded_server(
    start_server: StartServer, alpaca: AlpacaServer
) -> None:
    server = start_server("sqlite", **settings_of(alpaca))
    alpaca.draw = lambda _method, _path: Fault(status=503)
    ready = httpx.get(f"{server.url}/readyz", verify=NO_TLS)
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


def test_a_fill_is_heard_of_in_real_time(
    start_server: StartServer, database_of: Callable[[Server], Database], alpaca: AlpacaServer
) -> None:
    """No sandbox: the clock is the wall's, the engine drives itself, and the stream tells it of fills."""
    alpaca.clock = lambda: datetime.now(UTC)
    alpaca.fills = lambda: None
    account_id = alpaca.open_account(str(uuid4()), "1000")
    server = start_server("sqlite", **settings_of(alpaca, TRIMTAB_SANDBOX="0", TRIMTAB_MARKET="24/7"))
    with caller(server, database_of, "acme") as acme:
        assert subscribe(acme, account_id).status_code == 200
        with alpaca.news:
            assert alpaca.news.wait_for(lambda: len(alpaca.orders) == 2, PATIENCE_S)
            assert alpaca.news.wait_for(lambda: bool(alpaca.cursors), PATIENCE_S)
            for key in alpaca.orders:
                alpaca.fill(key)
            fills = len(alpaca.events)
        with closing(open_database(server.database_url)) as db:
            while (cursor := db.read(lambda tx: tx.row("SELECT cursor FROM broker_streams"))) is None or int(
                cursor["cursor"]
            ) < fills:
                assert server.process.poll() is None
        while runs(acme)[0]["status"] != "COMPLETED_SUCCESS":
            assert server.process.poll() is None
    assert alpaca.accounts[account_id].positions == {"SPY": Decimal("1.5"), "TLT": Decimal(4)}
    assert server.unforeseen() == ""
