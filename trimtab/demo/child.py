"""The product's own server as a child process, and its other commands beside it.

All of them run in a folder of their own with the demo's settings and nobody else's: neither a `.env`
file nor the settings of the surroundings reach them.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from trimtab.core.errors import CannotStart
from trimtab.settings import SETTINGS
from trimtab.store.migrate import upgrade

HOST = "127.0.0.1"
TENANT = "demo"
DATABASE = "demo.db"
LOG = "server.log"
START_TIMEOUT_S = 60
POLL_S = 0.05
STOP_TIMEOUT_S = 30
LOG_LINES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a demo lives: its folder and the address of its server."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def database_url(self) -> str:
        """As seen from anywhere; the folder may have any name."""
        return f"sqlite:///{quote(str(self.folder / DATABASE))}"

    @property
    def log(self) -> Path:
        return self.folder / LOG


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    key_id: str
    secret: str


def free_port(wanted: int | None = None) -> int:
    """The wanted port, or any. Raises CannotStart if it is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted or 0))
        except OSError as error:
            raise CannotStart(f"port {wanted}: {error.strerror}; name another, or none") from error
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def server(place: Place) -> Iterator[tuple[subprocess.Popen[bytes], Key]]:
    """A server that is ready, and a key to it. It ends with the block, or with this process, whatever comes
    first.
    """
    # The server would do that, but then the key had to wait for it.
    upgrade(place.database_url)
    with place.log.open("wb") as log, _started(place, log) as process:
        try:
            key = _create_key(place)
            _wait_until_ready(process, place)
            yield process, key
        finally:
            _stop(process)


def _started(place: Place, log: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        _command(place, "trimtab.demo.tether", "serve"),
        cwd=place.folder,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        # A Ctrl-C ends the demo, and only then its server.
        start_new_session=True,
    )


def _command(place: Place, module: str, *arguments: str) -> list[str]:
    """The command with every setting given, so that none is taken from elsewhere."""
    own = {
        # Every command runs in the folder.
        "TRIMTAB_DATABASE_URL": f"sqlite:///{DATABASE}",
        "TRIMTAB_SANDBOX": "1",
        "TRIMTAB_LISTEN": f"{HOST}:{place.port}",
    }
    settings = {setting.name: setting.default for setting in SETTINGS} | own
    given = [f"{name}={value}" for name, value in settings.items()]
    return ["/usr/bin/env", *given, sys.executable, "-m", module, *arguments]


def _wait_until_ready(process: subprocess.Popen[bytes], place: Place) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise CannotStart(f"the server has ended: {last_words(place)}")
        try:
            if httpx.get(f"{place.url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_S)
    raise CannotStart(f"the server was not ready after {START_TIMEOUT_S} s: {last_words(place)}")


def last_words(place: Place) -> str:
    """The end of what the server has written to its log."""
    lines = place.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " | ".join(lines[-LOG_LINES:]) or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _create_key(place: Place) -> Key:
    _, answer = _run(place, "keys", "create", "--tenant", TENANT, "--json")
    return Key(key_id=answer["key_id"], secret=answer["secret"])


def audit(place: Place) -> dict[str, Any]:
    """The report of `trimtab audit --json`, run beside the server."""
    code, report = _run(place, "audit", "--json")
    assert (code == 0) == report["ok"], "the audit's exit code is its verdict"
    return report


def _run(place: Place, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(  # noqa: S603 - our own program
        _command(place, "trimtab", *arguments), cwd=place.folder, capture_output=True, text=True, check=False
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise CannotStart(f"trimtab {' '.join(arguments)}: {done.stderr.strip()}") from error
    return done.returncode, answer
