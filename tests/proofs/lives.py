"""One Trimtab that dies and is started again: `trimtab serve` as a process of its own, and signal 9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.api.servers import NO_TLS
from tests.postgres import end_with_parent, free_port

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60
GONE_WITHIN_S = 20


class Nest:
    """Where servers are forked from (see nest.py)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.nest"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=end_with_parent(os.getpid()),  # noqa: PLW1509 - no thread of the tests holds a lock
        )

    def start(self, request: Mapping[str, object]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@dataclass(slots=True, kw_only=True)
class Lives:
    """The lives of one server: the same port, folder and settings in each. `pid` is the present one's."""

    nest: Nest
    folder: Path
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    pid: int | None = None
    kills: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
        return outside | {"PYTHONPATH": str(ROOT)} | self.settings

    @property
    def is_alive(self) -> bool:
        return self.pid is not None and _exists(self.pid)

    @property
    def is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", verify=NO_TLS, trust_env=False).is_success
        return False

    def begin(self) -> None:
        """Start; it may die before it is ready."""
        assert not self.is_alive, "one at a time"
        self.pid = self.nest.start(
            {
                "folder": str(self.folder),
                "log": str(self.log),
                "port": str(self.port),
                "environment": self.environment,
            }
        )

    def await_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.is_ready:
            assert self.is_alive, self.log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill the present life; it is gone when this returns."""
        assert self.pid is not None, "it has begun"
        with suppress(ProcessLookupError):  # an order that arrived was the sign for its end
            os.kill(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + GONE_WITHIN_S
        while _exists(self.pid):
            assert time.monotonic() < deadline, "it does not die"
            time.sleep(0.001)
        self.pid = None
        self.kills += 1

    def strike(self) -> None:
        """Kill from any thread, and leave it to the others to notice."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def command(self, *arguments: str) -> str:
        """Another `trimtab` command on the same database, which must succeed; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "trimtab", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def unforeseen(self) -> str:
        """What the logs of all lives say of failures that nobody foresaw."""
        text = self.log.read_text(errors="replace")
        return text if "unforeseen" in text or "Traceback" in text else ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def open_lives(nest: Nest, folder: Path, settings: dict[str, str]) -> Iterator[Lives]:
    lives = Lives(nest=nest, folder=folder, settings=settings)
    try:
        yield lives
    finally:
        if lives.is_alive:
            lives.kill()
