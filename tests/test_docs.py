"""The documents say what the program does: every error, route and README command is checked."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from tests.api.servers import NO_TLS, running
from trimtab.api.alpaca_errors import TABLE
from trimtab.api.alpaca_routes import ROUTES
from trimtab.api.sandbox import ROUTES as SANDBOX_ROUTES

ROOT = Path(__file__).resolve().parents[1]
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VARIABLE = re.compile(r"\$(\w+)")


@pytest.mark.parametrize("row", sorted({(status, code) for status, code, _ in TABLE.values()}))
def test_every_error_code_is_documented(row: tuple[int, int]) -> None:
    status, code = row
    assert f"| {status} | {code} |" in (ROOT / "docs/reference/alpaca.md").read_text()


@pytest.mark.parametrize(
    ("page", "routes"), [("alpaca.md", ROUTES), ("sandbox.md", SANDBOX_ROUTES)], ids=["alpaca", "sandbox"]
)
def test_every_route_is_documented(page: str, routes: list[HTTPRouteHandler]) -> None:
    text = (ROOT / "docs/reference" / page).read_text()
    for route in routes:
        (method,) = route.http_methods
        for path in route.paths:
            shown = path.replace(":str}", "}").replace("/accounts/{account_id}", "/accounts/{id}")
            assert f"`{method} {shown}`" in text


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the README and what it says it prints."""

    text: str
    output: str


def readme_commands() -> Iterator[Command]:
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            size = next(n for n in range(1, len(lines) + 1) if is_whole("\n".join(lines[:n])))
            yield Command("\n".join(lines[:size]), "\n".join(lines[size:]))


def is_whole(text: str) -> bool:
    try:
        shlex.split(text)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class Reader:
    """Somebody who types what the README says, with a port and ids of their own."""

    url: str
    folder: Path
    environment: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def type(self, command: Command) -> None:
        if command.text.startswith("curl "):
            self._curl(command)
        elif command.text.startswith("trimtab "):
            self._trimtab(command)
        elif re.match(r"\w+=\S+ (?!trimtab)|\w+=\S+$", command.text):
            for word in shlex.split(command.text):
                name, _, value = word.partition("=")
                self.variables.setdefault(name, value)
        else:
            # The fixture has made the environment and started the server.
            assert command.text in {"source .venv/bin/activate", "TRIMTAB_SANDBOX=1 trimtab serve &"}

    def _trimtab(self, command: Command) -> None:
        words = [sys.executable, "-m", *shlex.split(command.text)]
        run = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        if "keys create" in command.text:
            key_id, secret = (re.search(rf"{label}\s+(\S+)", run.stdout) for label in ("key id", "secret"))
            assert key_id is not None
            assert secret is not None
            self.variables |= {"KEY": f"{key_id[1]}:{secret[1]}", "API": self.url}
        else:
            assert command.output in run.stdout

    def _curl(self, command: Command) -> None:
        words = [self._filled(word) for word in shlex.split(command.text)[1:]]
        options = dict(pairwise(words))
        method = options.get("-X", "POST" if "-d" in options else "GET")
        name, _, content_type = options.get("-H", "accept: */*").partition(": ")
        (address,) = (word for word in words if word.startswith(self.url))
        user, _, secret = options["-u"].partition(":")
        answer = httpx.request(
            method,
            address,
            auth=(user, secret),
            headers={name: content_type},
            content=options.get("-d"),
            verify=NO_TLS,
        )
        promised = json.loads(command.output)
        for theirs, ours in zip(UUID.findall(command.output), UUID.findall(answer.text), strict=True):
            self.ids[theirs] = ours
        assert json.loads(self._filled(json.dumps(promised))) == answer.json()

    def _filled(self, text: str) -> str:
        filled = VARIABLE.sub(lambda found: self.variables[found[1]], text)
        return UUID.sub(lambda found: self.ids.get(found[0], found[0]), filled)


def test_the_readme_says_what_happens(sqlite_url: str, tmp_path: Path) -> None:
    with running(sqlite_url, tmp_path / "server") as server:
        reader = Reader(server.url, tmp_path, server.environment)
        commands = list(readme_commands())
        assert sum(command.text.startswith("curl ") for command in commands) == 7
        for command in commands:
            reader.type(command)
