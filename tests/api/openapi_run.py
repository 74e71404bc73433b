"""Ask a real server thousands of times what its OpenAPI document says may be asked, and judge the answers.

`python -m tests.api.openapi_run EXAMPLES SEED` starts a sandbox, runs Schemathesis over all of `/v1`, and
prints what came of it as JSON.
"""

import json
import os
import subprocess
import sys
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tests.api.paper.face import HOLDER
from tests.api.servers import NO_TLS, running
from tests.api.world import Secret, World, make_key, new_symbols, weights
from trimtab.database import open_database
from trimtab.store.migrate import upgrade

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("openapi_run.toml")
ACCOUNTS = 400
SYMBOLS = 12
CALLS_A_MINUTE = "100000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Schemathesis says of a run, and how it says it."""

    report: dict[str, Any]
    text: str

    @property
    def cases(self) -> int:
        return int(self.report["test_cases"]["generated"])

    @property
    def failures(self) -> int:
        """Failures of checks, and what kept an operation from being tested."""
        return int(self.report["test_cases"]["unique_failures"]) + len(self.report["errors"])


def settled_world(world: World) -> dict[str, list[str]]:
    """What requests may name: accounts with money, portfolios, assets."""
    world.open_market()
    symbols = [*world.prices, *(world.symbol("50") for _ in range(SYMBOLS))]
    # The firm's own account is there once a client's is.
    world.post("/v1/accounts", HOLDER | {"contact": HOLDER["contact"] | {"email_address": "ann@example.com"}})
    listed = world.get("/v1/accounts")
    return {
        "firm": [each["id"] for each in listed if each["account_type"] == "firm"],
        "accounts": [world.account("1000", SPY="1") for _ in range(ACCOUNTS)],
        "portfolios": [world.portfolio(weights(SPY="60", cash="40")) for _ in range(3)],
        "symbols": symbols,
    }


def user(name: str, key: Secret) -> dict[str, Any]:
    secret = b64encode(f"{key.key_id}:{key.secret}".encode()).decode()
    return {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Basic {secret}"}]}


def ask(world: World, folder: Path, *, examples: int, seed: int) -> Verdict:
    """Run every phase and every check of Schemathesis over the document that the server serves."""
    report = folder / "openapi.json"
    keys = folder / "keys.json"
    # A second tenant, who must be shown nothing of the first.
    users = [user("one", world.key), user("two", make_key(world.db, "stranger"))]
    keys.write_text(json.dumps({"auth": users}))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color", "run"]
    command += [f"{world.server.url}/v1/openapi.json", "--checks", "all"]
    command += ["--auth-wfc", str(keys), "--auth-wfc-user", "one"]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--generation-database", "none"]
    command += ["--report", "json", "--report-json-path", str(report)]
    environment = os.environ | {
        "OPENAPI_WORLD": json.dumps(settled_world(world)),
        "PYTHONPATH": str(ROOT),
        # Its warnings are not ours to mend.
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError(done.stdout + done.stderr)
    return Verdict(report=json.loads(report.read_text()), text=done.stdout)


def main(examples: int, seed: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'trimtab.db'}"
        upgrade(url)
        with running(url, folder / "server", TRIMTAB_RATE_LIMIT=CALLS_A_MINUTE) as server:
            server.symbols = new_symbols()
            db = open_database(url)
            key = make_key(db, "fuzz")
            auth = (key.key_id, key.secret)
            with httpx.Client(base_url=server.url, auth=auth, timeout=60, verify=NO_TLS) as http:
                world = World(server=server, db=db, key=key, http=http)
                verdict = ask(world, folder, examples=examples, seed=seed)
            db.close()
    if verdict.failures:
        sys.stderr.write(verdict.text)
    sys.stdout.write(json.dumps(verdict.report))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
