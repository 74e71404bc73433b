"""Drawing requests that are almost right: what is mutated, and how, for the fuzz tests of both dialects."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from tests.api.world import Json

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What to draw from: a body that each operation would take, targets without a body, the query of the
    next request (mostly an empty one), and the names of headers that may come along.
    """

    bodies: Mapping[tuple[str, str], Json]
    without_body: Sequence[str]
    query: Callable[[], str]
    headers: Sequence[str] = tuple(HEADERS)


def drawn(chance: random.Random, draw: Draw) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Method, target, headers and content of one request after the other."""
    while True:
        headers = {"content-type": "application/json"}
        if chance.random() < 0.65:
            method, target = chance.choice(sorted(draw.bodies))
            body = draw.bodies[method, target]
            for _ in range(chance.randrange(4)):
                body = mutated(body, chance)
            content = json.dumps(body).encode()
            if chance.random() < 0.15:
                content = chance.choice(mutations(chance))(content)
        else:
            method = "GET" if chance.random() < 0.7 else chance.choice(METHODS)
            target, content = chance.choice(draw.without_body), b""
        if chance.random() < 0.05:
            method = chance.choice(METHODS)
        if chance.random() < 0.1:
            headers["content-type"] = chance.choice(MEDIA_TYPES)
        if chance.random() < 0.15:
            headers[chance.choice(draw.headers)] = chance.choice(HEADER_VALUES)
        target = path(chance, target)
        text = draw.query()
        yield method, f"{target}?{text}" if text else target, headers, content
