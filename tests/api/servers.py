"""Real servers for the tests to talk to: `python -m trimtab serve` as a child process on loopback.

What a server writes to its log is kept: a failure that nobody foresaw is found there, whatever the
client was told.
"""

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.postgres import end_with_parent, free_port

# Made once: by default every client reads all certificates of the machine, and none is needed here.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 20.0
PORT_TRIES = 3
TRIMTAB = ("-m", "trimtab")
SERVE = ("serve",)


class DidNotStart(Exception):
    """The process ended before it was ready; says what it wrote."""


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server; `moved` once a test has left the sandbox's clock where others do not expect it."""

    port: int
    database_url: str
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes]
    program: tuple[str, ...] = TRIMTAB
    command: tuple[str, ...] = SERVE
    moved: bool = True
    symbols: Iterator[str] = field(default_factory=lambda: iter(()))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_length(self) -> int:
        return self.log.stat().st_size

    def unforeseen(self, since: int = 0) -> str:
        """What the log says of failures that nobody foresaw."""
        with self.log.open("rb") as file:
            file.seek(since)
            text = file.read().decode(errors="replace")
        return text if "unforeseen" in text or "Traceback" in text else ""


def start(
    database_url: str,
    folder: Path,
    settings: Mapping[str, str],
    *,
    program: tuple[str, ...] = TRIMTAB,
    command: tuple[str, ...] = SERVE,
) -> Server:
    """A server that is ready, or DidNotStart."""
    folder.mkdir(parents=True, exist_ok=True)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    environment = outside | {"TRIMTAB_DATABASE_URL": database_url, "TRIMTAB_SANDBOX": "1"} | dict(settings)
    said = ""
    for _ in range(PORT_TRIES):  # another program may take the port between the choice and its use
        port = free_port()
        log = folder / f"server-{port}.log"
        server = Server(
            port=port,
            database_url=database_url,
            environment=environment,
            log=log,
            process=_spawn(port, words=(*program, *command), environment=environment, log=log),
            program=program,
            command=command,
        )
        if answers_with(server, httpx.codes.OK):
            return server
        stop(server)
        said = log.read_text(errors="replace")
    raise DidNotStart(said)


def _spawn(
    port: int, *, words: tuple[str, ...], environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, *words, "--port", str(port)],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            preexec_fn=end_with_parent(os.getpid()),  # noqa: PLW1509 - no thread of the tests holds a lock
        )


def answers_with(server: Server, status: int) -> bool:
    """Whether `/readyz` came to answer with this status before the process ended or the time was over."""
    deadline = time.monotonic() + READY_WITHIN_S
    while server.process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/readyz", timeout=READY_WITHIN_S, verify=NO_TLS).status_code == status:
                return True
        time.sleep(0.05)
    return False


def respawn(server: Server) -> None:
    """Start the process anew, on the same port and database."""
    words = (*server.program, *server.command)
    server.process = _spawn(server.port, words=words, environment=server.environment, log=server.log)


def stop(server: Server) -> None:
    """End the process, by force if it does not end by itself."""
    if server.process.poll() is not None:
        return
    server.process.terminate()
    try:
        server.process.wait(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def audit(server: Server) -> subprocess.CompletedProcess[str]:
    """`trimtab audit` of the server's database, beside the running server."""
    command = [sys.executable, "-m", "trimtab", "audit", "--json"]
    return subprocess.run(
        command, cwd=server.log.parent, env=server.environment, capture_output=True, text=True, check=False
    )


@contextmanager
def running(
    database_url: str,
    folder: Path,
    program: tuple[str, ...] = TRIMTAB,
    command: tuple[str, ...] = SERVE,
    /,
    **settings: str,
) -> Iterator[Server]:
    server = start(database_url, folder, settings, program=program, command=command)
    try:
        yield server
    finally:
        stop(server)
