"""`trimtab serve`, and every other command in a process of its own beside it."""

import json

import httpx

from tests.cli.conftest import Trimtab

PORTFOLIOS = "/v1/rebalancing/portfolios"


def status(url: str, api_key: str) -> int:
    return httpx.get(url + PORTFOLIOS, headers={"x-api-key": api_key}, trust_env=False).status_code


def test_a_file_has_one_server_and_kill_9_leaves_no_lock(on_nothing: Trimtab) -> None:
    first = on_nothing.serve()
    refused = on_nothing.fails("serve")
    assert refused.startswith(f"trimtab: process {first.process.pid} serves ")
    first.kill()
    second = on_nothing.serve()
    second.process.terminate()
    assert second.process.wait(timeout=30) == 0


def test_commands_work_beside_a_server(trimtab: Trimtab) -> None:
    server = trimtab.serve()
    created = json.loads(trimtab.works("keys", "create", "--tenant", "acme", "--json"))
    assert status(server.url, created["api_key"]) == 200

    assert trimtab.works("freeze", "--tenant", "acme").startswith("frozen: tenant acme;")
    doctor = trimtab.works("doctor")
    assert "in force for tenant acme: by hand" in doctor
    assert "paper, 0 assets, 0 accounts" in doctor
    assert trimtab.works("thaw", "--tenant", "acme") == "lifted 1 freeze\n"
    assert trimtab.works("audit").endswith("no invariant is broken\n")
    if trimtab.settings["TRIMTAB_DATABASE_URL"].startswith("sqlite"):
        assert trimtab.works("backup", "copy.db").startswith("copied to copy.db and copy.db-paper.db")

    trimtab.works("keys", "revoke", created["key_id"])
    assert status(server.url, created["api_key"]) == 401
    assert server.process.poll() is None
