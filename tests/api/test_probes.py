"""Health and numbers: alive, ready, and what is counted."""

import httpx

from tests.api.conftest import NewWorld, StartServer
from tests.api.servers import NO_TLS, Server, answers_with, respawn, stop
from tests.api.world import World, weights


def shown(server: Server, path: str) -> httpx.Response:
    """Without a key: on loopback none is needed."""
    return httpx.get(server.url + path, timeout=60, verify=NO_TLS)


def test_a_healthy_server_is_alive_and_ready(server: Server, world: World) -> None:
    assert (shown(server, "/livez").status_code, shown(server, "/livez").json()) == (200, {"status": "alive"})
    assert (shown(server, "/readyz").status_code, shown(server, "/readyz").json()) == (
        200,
        {"status": "ready"},
    )


def test_a_broker_that_goes_down_later_is_degraded_and_not_unready(server: Server, world: World) -> None:
    world.set_faults(outage=True)
    told = shown(server, "/readyz")
    assert (told.status_code, told.json()["status"]) == (200, "degraded")
    assert shown(server, "/livez").status_code == 200
    world.set_faults()
    assert shown(server, "/readyz").json() == {"status": "ready"}


def test_a_server_that_never_reached_its_broker_is_not_ready(
    start_server: StartServer, new_world: NewWorld
) -> None:
    server = start_server("sqlite")
    world = new_world(server)
    world.set_faults(outage=True)
    stop(server)
    respawn(server)
    assert answers_with(server, 503)
    told = shown(server, "/readyz")
    assert told.json()["status"] == "not ready"
    assert isinstance(told.json()["why"], str)
    assert shown(server, "/livez").status_code == 200
    world.set_faults()
    assert shown(server, "/readyz").status_code == 200


def counted(server: Server) -> dict[str, float]:
    told = shown(server, "/metrics")
    assert told.status_code == 200
    assert told.headers["content-type"].startswith("text/plain")
    lines = [line for line in told.text.splitlines() if line.startswith("trimtab_runs{")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_runs_are_counted_by_state(server: Server, world: World) -> None:
    before = counted(server)
    run_id = world.run(world.account("400"), weights(SPY="100"))
    world.delete(f"/v1/rebalancing/runs/{run_id}")
    world.run(world.account("400"), weights(SPY="100"))
    after = counted(server)
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)}
    assert grown == {'trimtab_runs{state="CANCELED"}': 1, 'trimtab_runs{state="QUEUED"}': 1}


def test_numbers_name_no_tenant_and_no_account(server: Server, world: World) -> None:
    account_id = world.account("400")
    world.run(account_id, weights(SPY="100"))
    text = shown(server, "/metrics").text
    assert account_id not in text
    assert world.key.tenant_id not in text
