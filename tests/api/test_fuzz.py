"""Thousands of requests that are almost right: mutated bodies, queries, headers and paths on every route.

Each round has a seed, which its failure names; the same seed makes the same requests but for ids.
"""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal

import httpx
import pytest

from tests.api.conftest import KINDS, NewWorld, StartServer
from tests.api.servers import audit
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, band, calendar, weights

ROUNDS = 5
REQUESTS_A_ROUND = 400
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]

TEXTS = [
    "", " ", "0", "1", "-1", "5", "100", "0.5", "99.99", "1e5", "NaN", "null", "true", "cash", "asset",
    "SPY", "TLT", "portfolio", "active", "inactive", "ACTIVE", "full_rebalance", "invest_cash",
    "partial_liquidation", "Monday", "31", "02-29", "weekly", "QUEUED", "unsolicited",
    "'; DROP TABLE runs; --", "%s%n", "{0}", "$1", "../../etc/passwd", "<script>", "\u0000", "\ud800",
    "\uff11\uff10", "\u202e", "\U0001f4b8", "2026-03-05T15:00:00Z", "MTAwMA==", "\r\nX: y", "x" * 300,
    "9" * 18, "9" * 40, "0." + "0" * 17 + "1",
]  # fmt: skip
NUMBERS = [0, 1, -1, 5, 7, 100, 3660, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.0, 33.33, 1e300, 1e-300]
MEDIA_TYPES = [
    "application/json", "application/json;charset=latin-1", "text/plain", "multipart/form-data", "",
]  # fmt: skip
HEADERS = [
    "Accept", "Accept-Encoding", "Content-Encoding", "Cookie", "Range", "If-None-Match", "Origin",
    "Host", "X-Forwarded-For", "X-HTTP-Method-Override", "Last-Event-Id", "Content-Language", "Prefer",
    "TE", "Via",
]  # fmt: skip
HEADER_VALUES = [
    "*/*", "gzip", "identity", "a=b; c=\x80\xff", "bytes=0-", "DELETE", ";;;", "=;=", "x" * 8000,
]  # fmt: skip
QUERY_NAMES = [
    "limit", "page_token", "cursor", "status", "type", "name", "description", "symbol", "account_id",
    "portfolio_id", "", "limit%00", "%ff", "x",
]  # fmt: skip
BROKEN = ["%", "%zz", "%ff", "%00", "=", "&", "+", "%C3%28"]
UNRESERVED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~"


def mutations(chance: random.Random) -> list[Callable[[bytes], bytes]]:
    """What may be done to the text of a body."""
    return [
        lambda text: text[: chance.randrange(len(text) + 1)],
        lambda text: text + bytes([chance.randrange(256)]),
        lambda text: _replaced(text, bytes([chance.randrange(256)]), chance=chance),
        lambda text: _replaced(text, b"", chance=chance),
        lambda text: text * 2,
        lambda text: text.replace(b":", b": \n\t"),
        lambda text: text.replace(b'"', b"'"),
        lambda text: b"[" * chance.randrange(80) + text,
    ]


def _replaced(text: bytes, by: bytes, *, chance: random.Random) -> bytes:
    place = chance.randrange(len(text) + 1)
    return text[:place] + by + text[place + 1 :]


def junk(chance: random.Random, depth: int = 0) -> Json:
    """Any JSON value, most of them a plausible one."""
    kind = chance.randrange(12 if depth < 3 else 9)
    if kind < 5:
        return chance.choice(TEXTS)
    if kind < 8:
        return chance.choice(NUMBERS)
    if kind == 8:
        return chance.choice([None, True, False])
    if kind == 9:
        return {chance.choice(TEXTS): junk(chance, depth + 1) for _ in range(chance.randrange(4))}
    return [junk(chance, depth + 1) for _ in range(chance.randrange(4))]


def mutated(value: Json, chance: random.Random) -> Json:
    """The value with one place of it changed, taken away or added to."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        deed = chance.randrange(6)
        if deed == 0:
            return {k: v for k, v in value.items() if k != key}
        if deed == 1:
            return value | {chance.choice(TEXTS): junk(chance)}
        return value | {key: mutated(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        place = chance.randrange(len(value))
        deed = chance.randrange(6)
        if deed == 0:
            return value[:place] + value[place + 1 :]
        if deed == 1:
            return [*value, deepcopy(value[place])]
        return [*value[:place], mutated(value[place], chance), *value[place + 1 :]]
    return junk(chance)


def bodies(ids: dict[str, str]) -> dict[tuple[str, str], Json]:
    """A body that each operation would take."""
    rules = [band("5"), band("20", "relative"), calendar("monthly", "31"), {"type": "on_portfolio_update"}]
    portfolio = {"name": "N", "description": "", "cooldown_days": 0, "rebalance_conditions": rules}
    nested = {"type": "portfolio", "portfolio_id": ids["nested"], "percent": "10"}
    targets = [*weights(cash="5", SPY="50", TLT="35"), nested]
    run = {"account_id": ids["account"], "type": "full_rebalance", "weights": targets}
    return {
        ("POST", PORTFOLIOS): {**portfolio, "weights": targets},
        ("PATCH", f"{PORTFOLIOS}/{ids['portfolio']}"): {"status": "active", "weights": targets, "name": "M"},
        ("POST", SUBSCRIPTIONS): {"account_id": ids["account"], "portfolio_id": ids["portfolio"]},
        ("POST", RUNS): run,
        ("POST", f"{RUNS}?"): {"account_id": ids["followed"], "type": "invest_cash", "amount": "5.01"},
        ("PUT", "/sandbox/clock"): {"now": "2026-03-04T15:00:00Z"},
        ("PUT", "/sandbox/prices"): {"SPY": "401.5", "TLT": 99},
        ("PUT", "/sandbox/assets/GLD"): {
            "tradable": True,
            "fractionable": False,
            "status": "active",
            "depth": "250000.5",
        },
        ("PUT", "/sandbox/faults"): {"reject": ["GLD"], "partial_fill": 0.5, "fill_delay_s": 3, "seed": 7},
        ("POST", "/sandbox/accounts"): {"cash": "100.5", "positions": [{"symbol": "SPY", "qty": "0.5"}]},
        ("PUT", f"/sandbox/accounts/{ids['account']}"): {"status": "ACTIVE"},
        ("POST", f"/sandbox/accounts/{ids['account']}/cash"): {"amount": "1.5"},
        ("POST", "/sandbox/settle"): {},
    }


def targets_without_body(ids: dict[str, str]) -> list[str]:
    nouns = {PORTFOLIOS: ids["portfolio"], SUBSCRIPTIONS: ids["subscription"], RUNS: ids["run"]}
    found = [path for plural, one in nouns.items() for path in (plural, f"{plural}/{one}")]
    found += [path.replace("/v1/", "/v1/beta/") for path in found]
    found += ["/sandbox/clock", "/sandbox/orders", f"/sandbox/accounts/{ids['account']}", "/livez", "/readyz"]
    return [*found, "/metrics", "/", "/v1", "/sandbox", "/sandbox/prices", "/sandbox/settle"]


def quoted(text: str, chance: random.Random) -> str:
    """Percent-encoded, whole or in part, as bytes that need not be text."""
    plain = UNRESERVED if chance.random() < 0.8 else b""
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in raw)


def query(chance: random.Random, ids: dict[str, str]) -> str:
    values = [*TEXTS, *ids.values()]
    parts = []
    for _ in range(chance.randrange(4)):
        name = chance.choice(QUERY_NAMES)
        broken = chance.random() < 0.2
        value = chance.choice(BROKEN) if broken else quoted(chance.choice(values), chance)
        parts.append(f"{name}={value}" if chance.random() < 0.9 else name)
    return "&".join(parts)


def path(chance: random.Random, target: str) -> str:
    """The target, or something like it."""
    deed = chance.randrange(10)
    if deed == 0:
        parts = target.split("/")
        parts[chance.randrange(len(parts))] = quoted(chance.choice(TEXTS), chance)
        return "/" + "/".join(parts).lstrip("/")
    if deed == 1:
        return target + chance.choice(["/", "//", "/x", "%2F", "%00", "%ff", ";x=1", ".json", "/..", "%20"])
    return target


def requests(chance: random.Random, ids: dict[str, str]) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Method, target, headers and content of one request after the other."""
    taken = bodies(ids)
    without = targets_without_body(ids)
    while True:
        headers = {"content-type": "application/json"}
        if chance.random() < 0.65:
            method, target = chance.choice(sorted(taken))
            body = taken[method, target]
            for _ in range(chance.randrange(4)):
                body = mutated(body, chance)
            content = json.dumps(body).encode()
            if chance.random() < 0.15:
                content = chance.choice(mutations(chance))(content)
        else:
            method = "GET" if chance.random() < 0.7 else chance.choice(METHODS)
            target, content = chance.choice(without), b""
        if chance.random() < 0.05:
            method = chance.choice(METHODS)
        if chance.random() < 0.1:
            headers["content-type"] = chance.choice(MEDIA_TYPES)
        if chance.random() < 0.15:
            headers[chance.choice(HEADERS)] = chance.choice(HEADER_VALUES)
        target = path(chance, target)
        text = query(chance, ids) if chance.random() < 0.4 else ""
        yield method, f"{target}?{text}" if text else target, headers, content


def assert_answered(answer: httpx.Response) -> None:
    """In the dialect's shape, and never a failure of the server's."""
    assert answer.status_code < 500
    if answer.request.method == "HEAD" or answer.status_code == 204:
        assert answer.content == b""
    elif answer.status_code >= 400:
        told = answer.json()
        assert set(told) == {"code", "message"}
        assert isinstance(told["code"], int)
        assert told["code"] // 100_000 == answer.status_code
        assert isinstance(told["message"], str)
        assert told["message"]
    elif not answer.request.url.path.startswith("/metrics"):
        answer.json()


def one_of_everything(world: World) -> dict[str, str]:
    nested = world.portfolio(weights(GLD="100"))
    portfolio = world.portfolio(weights(SPY="60", TLT="40"), band("5"))
    followed, account = world.account("1000"), world.account("1000", SPY="1")
    ids = {"nested": nested, "portfolio": portfolio, "followed": followed, "account": account}
    ids["subscription"] = world.subscribe(followed, portfolio)
    ids["run"] = world.run(world.account("100"), weights(SPY="100"))
    # Whatever is done to prices and cash from here on is in nobody's books.
    world.worth.clear()
    return ids


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_asked_is_answered_in_the_dialects_shape(
    kind: str, start_server: StartServer, new_world: NewWorld
) -> None:
    server = start_server(kind)
    world = new_world(server)
    statuses: dict[int, int] = {}
    for seed in range(ROUNDS):
        world.open_market()
        made = requests(random.Random(seed), one_of_everything(world))
        for number in range(REQUESTS_A_ROUND):
            method, target, headers, content = next(made)
            raw = httpx.URL(world.server.url).copy_with(raw_path=target.encode())
            wire = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = world.http.request(method, raw, headers=list(wire.items()), content=content)  # type: ignore[arg-type]
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
            try:
                assert_answered(answer)
            except (AssertionError, ValueError) as error:
                error.add_note(
                    f"seed {seed}, request {number}: {method} {target} {headers} {content[:2000]!r}"
                )
                error.add_note(f"answered {answer.status_code} {answer.text[:2000]}")
                error.add_note(server.unforeseen())
                raise
    # Most are refused, and enough are not: what is taken must be survived too.
    assert {200, 204, 400, 404, 405, 415, 422} <= set(statuses)
    assert statuses[200] > ROUNDS * REQUESTS_A_ROUND / 10
    world.open_market()
    world.settle()
    for account_id in {run["account_id"] for run in world.get(RUNS, limit=1000)["runs"]}:
        assert Decimal(world.show(account_id)["cash"]) >= 0
    found = audit(server)
    assert found.returncode == 0, found.stdout + found.stderr
