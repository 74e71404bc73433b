"""The real command in processes of its own, in a folder of its own, with no settings but the test's."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60
PLAIN = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Starter:
    """Where commands are forked from, so that not each of them imports the program anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.starter"],
            cwd=ROOT,
            env=PLAIN,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, environment: dict[str, str], arguments: Sequence[str]) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        number = next(self._numbers)
        out, err = self._folder / f"{number}.out", self._folder / f"{number}.err"
        request = {"folder": str(folder), "environment": environment, "arguments": arguments}
        self._process.stdin.write(json.dumps(request | {"out": str(out), "err": str(err)}) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Done(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    def stop(self) -> None:
        self._process.communicate()


@dataclass
class Trimtab:
    """`trimtab …` as a user would start it in `folder`; `settings` are its TRIMTAB_ variables."""

    folder: Path
    starter: Starter
    settings: dict[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(self, *arguments: str, **settings: str) -> Done:
        return self.starter.run(self.folder, self.environment(settings), arguments)

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        return PLAIN | self.settings | settings

    def fails(self, *arguments: str, code: int = 1, **settings: str) -> str:
        """Run what must fail, in one line on stderr; returns that line."""
        done = self(*arguments, **settings)
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("trimtab: "), done
        assert done.err.count("\n") == 1, done
        return done.err

    def works(self, *arguments: str, **settings: str) -> str:
        """Run what must succeed without a complaint; returns what it printed."""
        done = self(*arguments, **settings)
        assert (done.code, done.err) == (0, ""), done
        return done.out

    def serve(self, command: str = "serve", *words: str, **settings: str) -> "Serving":
        """Start a server and wait until it is ready."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", command, "--port", str(port), *words],
            cwd=self.folder,
            env=self.environment(settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.running.append(process)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + READY_WITHIN_S
        while not is_ready(url):
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.05)
        return Serving(process, url)


@dataclass
class Serving:
    process: subprocess.Popen[bytes]
    url: str

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    started = Starter(tmp_path_factory.mktemp("printed"))
    yield started
    started.stop()


@pytest.fixture
def start(tmp_path: Path, starter: Starter) -> Iterator[Callable[[str], Trimtab]]:
    """Makes the command for a database; what it left running is ended with the test."""
    made: list[Trimtab] = []

    def make(url: str) -> Trimtab:
        made.append(Trimtab(tmp_path, starter, {"TRIMTAB_DATABASE_URL": url}))
        return made[-1]

    yield make
    for process in (process for each in made for process in each.running):
        process.kill()
        process.wait()


@pytest.fixture
def trimtab(start: Callable[[str], Trimtab], database_url: str) -> Trimtab:
    """On a migrated database, once on each kind."""
    return start(database_url)


@pytest.fixture
def on_sqlite(start: Callable[[str], Trimtab], sqlite_url: str) -> Trimtab:
    """On a migrated SQLite file, `trimtab.db` in the folder it works in."""
    return start(sqlite_url)


@pytest.fixture
def on_postgres(start: Callable[[str], Trimtab], postgres_url: str) -> Trimtab:
    return start(postgres_url)


@pytest.fixture
def on_nothing(start: Callable[[str], Trimtab], tmp_path: Path) -> Trimtab:
    """On a SQLite file that does not exist."""
    return start(f"sqlite:///{tmp_path / 'trimtab.db'}")
