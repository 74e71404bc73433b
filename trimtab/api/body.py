"""Reading JSON and query values strictly, without losing a digit.

A JSON number stays the text that the client wrote (`Number`), so that money never passes through a
float. What is refused here is refused for every dialect: invalid UTF-8, NaN, repeated keys, nesting
beyond 64, NUL and lone surrogates, which no database stores.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import NoReturn

from trimtab.core.errors import Malformed, TrimtabError
from trimtab.core.money import parse_decimal

DEPTH_MAX = 64
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_MICROSECOND_DIGITS = 6

Object = dict[str, object]


class Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


class Undecodable(Malformed):
    """The body is not JSON that we accept."""

    def __init__(self) -> None:
        super().__init__("body", "failed to decode request body")


class NotJson(TrimtabError):
    """The body is of another media type."""


def json_object(body: bytes, media_type: str | None) -> Object:
    """The JSON object in a request body. Raises NotJson and Undecodable."""
    if (media_type or "").partition(";")[0].strip().lower() != "application/json":
        raise NotJson
    try:
        value = json.loads(
            body.decode(),
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as error:
        raise Undecodable from error
    _refuse_unstorable(value)
    if not isinstance(value, dict):
        raise Undecodable
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, object]]) -> Object:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key is repeated")
    return members


def _refuse_unstorable(value: object) -> None:
    """Walk level by level: too deep, or text that cannot be stored."""
    level = [value]
    for depth in range(DEPTH_MAX + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, str) and _UNSTORABLE.search(item):
                raise Undecodable
            if isinstance(item, dict | list) and depth == DEPTH_MAX:
                raise Undecodable
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below


def fingerprint(sent: Mapping[str, object]) -> str:
    """The SHA-256 of a body that was read, whatever the order of its members and the space between."""
    return sha256(json.dumps(_numbers_marked(dict(sent)), sort_keys=True).encode()).hexdigest()


def _numbers_marked(value: object) -> object:
    match value:
        case Number():
            # 5 is not "5"; no string in a body begins with NUL.
            return f"\0{value}"
        case dict():
            return {name: _numbers_marked(member) for name, member in value.items()}
        case list():
            return [_numbers_marked(item) for item in value]
        case _:
            return value


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None


def decimal_in(value: object, path: str) -> Decimal:
    """A decimal given as a string or a number. Raises Malformed in the vendor's words."""
    if value is None or value == "":
        raise Malformed(path, "value is empty")
    parsed = parse_decimal(value) if isinstance(value, str) else None
    if parsed is None:
        raise Malformed(path, "invalid value")
    return parsed


def integer_in(value: object, path: str) -> int:
    """A whole JSON number of at most nine digits."""
    if isinstance(value, Number) and re.fullmatch(r"-?[0-9]{1,9}", value, re.ASCII):
        return int(value)
    raise Malformed(path, "invalid value")


def text_in(value: object, path: str, *, longest: int) -> str:
    """A JSON string."""
    if not isinstance(value, str) or isinstance(value, Number) or len(value) > longest:
        raise Malformed(path, "invalid value")
    return value


def flag_in(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(path, "invalid value")
    return value


def uuid_of(text: str) -> str | None:
    """The lower-case form of a hyphenated UUID; None if it is not one."""
    lowered = text.lower()
    return lowered if _UUID.fullmatch(lowered) else None


def instant_in(value: object, path: str) -> datetime:
    """An RFC 3339 date and time with an offset; digits beyond microseconds are cut."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise Malformed(path, "invalid value")
    head, fraction, offset = _parts_of_instant(value.upper())
    try:
        at = datetime.fromisoformat(f"{head}.{fraction}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed(path, "invalid value") from error
    return at


def _parts_of_instant(text: str) -> tuple[str, str, str]:
    seconds = len("2026-03-02T15:00:00")
    head, rest = text[:seconds], text[seconds:]
    digits = re.match(r"\.(\d+)", rest)
    fraction = digits.group(1) if digits else ""
    offset = rest[digits.end() :] if digits else rest
    return head, fraction[:_MICROSECOND_DIGITS].ljust(_MICROSECOND_DIGITS, "0"), offset.replace("Z", "+00:00")


def instant_text(at: datetime) -> str:
    """RFC 3339 in UTC with at most six digits, trailing zeros cut, as the seed's samples show."""
    text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{at.microsecond:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"
