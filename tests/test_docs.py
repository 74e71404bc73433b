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
from typing import Any

import httpx
import pytest
from eth_account import Account
from litestar.handlers import HTTPRouteHandler

from tests.api.servers import NO_TLS, running
from trimtab.api import alpaca_routes, glider_errors
from trimtab.api.alpaca_errors import TABLE, WHEN
from trimtab.api.alpaca_events import ROUTES as EVENT_ROUTES
from trimtab.api.alpaca_events import SCOPE
from trimtab.api.glider_call import Operation
from trimtab.api.glider_openapi import document
from trimtab.api.glider_routes import OPERATIONS
from trimtab.api.glider_signature import signed_by
from trimtab.api.paper_data import ROUTES as DATA_ROUTES
from trimtab.api.paper_events import ROUTES as TRADE_ROUTES
from trimtab.api.sandbox import ROUTES as SANDBOX_ROUTES
from trimtab.api.stream import FAILED, HEARTBEAT, KEY_GONE, PACE, STREAMS_PER_KEY, TOO_SLOW
from trimtab.brokers.alpaca_answers import RULES
from trimtab.brokers.alpaca_orders import STATES
from trimtab.settings import SETTINGS

# A library that eth_account imports raises it to where deep recursion ends the process.
sys.setrecursionlimit(1000)

ROOT = Path(__file__).resolve().parents[1]
ALPACA = (ROOT / "docs/reference/alpaca.md").read_text()
GLIDER = (ROOT / "docs/reference/glider.md").read_text()
PAPER = (ROOT / "docs/reference/paper.md").read_text()
# Ids are chance: a UUID of /v1, or the 26 digits of /v2.
ID = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<![0-9A-Za-z])[0-7][0-9A-HJKMNP-TV-Z]{25}(?![0-9A-Za-z])"
)
VARIABLE = re.compile(r"\$(\w+)")


def test_the_error_codes_of_alpaca_are_documented_and_nothing_else_is() -> None:
    listed = re.findall(r"^\| (\d+) \| (\d+) \| (.+) \|$", ALPACA, re.MULTILINE)
    assert sorted(listed) == sorted((str(code // 100_000), str(code), when) for code, when in WHEN.items())
    assert {code for _, code, _ in TABLE.values()} <= set(WHEN)
    others = {(status, code) for status, code, _ in TABLE.values() if code // 100_000 != status}
    assert [f"| {status}, {code} |" in PAPER for status, code in others] == [True]


def test_the_operations_of_alpaca_are_documented_and_nothing_else_is() -> None:
    served = [(f"{each.method} {each.path}", f"`{each.scope}`") for each in alpaca_routes.OPERATIONS]
    # It describes the others, and so is not among them.
    served.append(("GET /v1/openapi.json", "no key"))
    listed = re.findall(r"^\| `([A-Z]+ /v1[^`]*)` \| (.+?) \|$", ALPACA, re.MULTILINE)
    assert sorted(listed) == sorted(served)


def test_the_operations_of_the_paper_broker_are_documented_and_nothing_else_is() -> None:
    served = [(f"{each.method} {each.path}", f"`{each.scope}`") for each in alpaca_routes.PAPER_OPERATIONS]
    listed = re.findall(r"^\| `([A-Z]+ /v1[^`]*)` \| (.+?) \|$", PAPER, re.MULTILINE)
    assert sorted(listed) == sorted(served)


@pytest.mark.parametrize(
    ("page", "routes"),
    [
        ("events.md", EVENT_ROUTES),
        ("sandbox.md", SANDBOX_ROUTES),
        ("paper.md", [*TRADE_ROUTES, *DATA_ROUTES]),
    ],
    ids=["events", "sandbox", "paper"],
)
def test_every_route_is_documented(page: str, routes: list[HTTPRouteHandler]) -> None:
    text = (ROOT / "docs/reference" / page).read_text()
    for route in routes:
        (method,) = route.http_methods
        for path in route.paths:
            shown = path.replace(":str}", "}").replace("/accounts/{account_id}", "/accounts/{id}")
            assert re.search(rf"`{method} {re.escape(shown)}(?:\?[^`]*)?`", text)


def test_what_a_stream_says_beside_events_is_documented() -> None:
    text = (ROOT / "docs/reference/events.md").read_text()
    listed = re.findall(r"^\| `(:[^`]*)` \|", text, re.MULTILINE)
    assert listed == [line.decode().strip() for line in (HEARTBEAT, TOO_SLOW, KEY_GONE, FAILED)]
    assert f"after {PACE.heartbeat_s} seconds" in text
    assert f"for {PACE.patience_s} seconds" in text
    assert f"{STREAMS_PER_KEY} open streams" in text
    assert f"`{SCOPE}`" in text


def test_the_operations_of_glider_are_documented_and_nothing_else_is() -> None:
    served = [(f"{each.method} {each.path}", shown_scope(each), str(each.status)) for each in OPERATIONS]
    # It describes the others, and so is not among them.
    served.append(("GET /v2/openapi.json", "no key", "200"))
    listed = re.findall(r"^\| `([A-Z]+ /v2[^`]*)` \| (.+?) \| (\d+) \|", GLIDER, re.MULTILINE)
    assert sorted(listed) == sorted(served)


def shown_scope(operation: Operation) -> str:
    if operation.scope is None:
        return "no key" if operation.public else "any key"
    return f"`{operation.scope}`"


def test_the_scopes_of_glider_are_documented_and_nothing_else_is() -> None:
    needed = {each.scope for each in OPERATIONS if each.scope is not None}
    assert set(re.findall(r"`([a-z]+:[a-z]+)`", GLIDER)) == needed


def test_the_error_codes_of_glider_are_documented_and_nothing_else_is() -> None:
    answered = {(status, code) for status, code, _ in glider_errors.TABLE.values()}
    answered |= {glider_errors.UNFORESEEN[:2], (413, "API_002")}
    answered |= {(int(status), code) for status, code in glider_errors.FRAMEWORK_CODES.items()}
    listed = re.findall(r"^\| (\d+) \| (API_\d+) \|", GLIDER, re.MULTILINE)
    assert sorted((int(status), code) for status, code in listed) == sorted(answered)


def test_what_answers_and_statuses_of_alpaca_mean_is_documented() -> None:
    page = (ROOT / "docs/reference/brokers.md").read_text()
    rules = [(rule.shown_statuses, rule.proof.value, rule.verdict.value, rule.why) for rule in RULES]
    table = page.partition("## What an answer to an order means")[2].partition("## ")[0]
    assert re.findall(r"^\| (\d.*?) \| (.*?) \| (.*?) \| (.*?) \|$", table, re.MULTILINE) == rules
    words = {"open": "OPEN", "filled": "FILLED", "cancelled": "CANCELED", "refused": "REFUSED"}
    told = page.partition("## What an order's status means")[2]
    for here, state in words.items():
        (row,) = re.findall(rf"^\| {here} \| (.*) \|$", told, re.MULTILINE)
        # What comes after the conjunction are other statuses under conditions.
        named = set(re.findall(r"`(\w+)`", row.partition(", and ")[0]))
        assert named == {status for status, its in STATES.items() if its.value == state}


def test_every_name_on_gliders_wire_is_documented() -> None:
    described = document([each for each in OPERATIONS if each.scope is not None], "0")
    prose = re.sub(r"```.*?```", "", GLIDER, flags=re.DOTALL)
    shown = {word for code in re.findall(r"`([^`]*)`", prose) for word in re.findall(r"\w+", code)}
    assert set(names_in(described)) - shown == set()


def names_in(schema: object) -> Iterator[str]:
    """The properties and query parameters of everything in an OpenAPI document."""
    if isinstance(schema, dict):
        if isinstance(properties := schema.get("properties"), dict):
            yield from properties
        if schema.get("in") == "query":
            yield schema["name"]
        for each in schema.values():
            yield from names_in(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from names_in(each)


def test_the_signature_of_the_example_is_taken() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GLIDER, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - from our own page
    wallet, message = Account.create(), "5e" * 32
    signed = names["signature"](wallet.key.hex(), {"message": {"kind": "ecdsa", "raw": f"0x{message}"}})
    assert signed_by(wallet.address.lower(), message, signature=signed)
    assert not signed_by(wallet.address.lower(), "5f" * 32, signature=signed)


def test_every_setting_is_documented_and_every_setting_named_exists() -> None:
    known = {each.name for each in SETTINGS}
    assert {"TRIMTAB_V2_COOLDOWN_S", "TRIMTAB_V2_COOLDOWN_AFTER_FAILURE"} < known
    pages = {path: named_settings(path) for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]}
    assert pages[ROOT / "docs/reference/settings.md"] == known
    assert set().union(*pages.values()) == known


def named_settings(page: Path) -> set[str]:
    return set(re.findall(r"TRIMTAB_[A-Z0-9_]*[A-Z0-9]", page.read_text()))


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
            found = {
                label: re.search(rf"{label}\s+(\S+)", run.stdout) for label in ("id", "secret", "api key")
            }
            key_id, secret, api_key = (match[1] for match in found.values() if match is not None)
            self.variables |= {
                "KEY": f"{key_id}:{secret}",
                "GLIDER": f"x-api-key: {api_key}",
                "API": self.url,
            }
        else:
            assert command.output in run.stdout

    def _curl(self, command: Command) -> None:
        words = [self._filled(word) for word in shlex.split(command.text)[1:]]
        options = dict(pairwise(words))
        method = options.get("-X", "POST" if "-d" in options else "GET")
        name, _, content_type = options.get("-H", "accept: */*").partition(": ")
        (address,) = (word for word in words if word.startswith(self.url))
        user, _, secret = options.get("-u", "").partition(":")
        answer = httpx.request(
            method,
            address,
            auth=(user, secret) if user else None,
            headers={name: content_type},
            content=options.get("-d"),
            verify=NO_TLS,
        )
        promised = json.loads(command.output)
        for theirs, ours in zip(ID.findall(command.output), ID.findall(answer.text), strict=True):
            self.ids[theirs] = ours
        assert json.loads(self._filled(json.dumps(promised))) == answer.json()

    def _filled(self, text: str) -> str:
        filled = VARIABLE.sub(lambda found: self.variables[found[1]], text)
        return ID.sub(lambda found: self.ids.get(found[0], found[0]), filled)


def test_the_readme_says_what_happens(sqlite_url: str, tmp_path: Path) -> None:
    with running(sqlite_url, tmp_path / "server") as server:
        reader = Reader(server.url, tmp_path, server.environment)
        commands = list(readme_commands())
        assert sum(command.text.startswith("curl ") for command in commands) == 13
        for command in commands:
            reader.type(command)
