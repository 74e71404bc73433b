"""What Alpaca says, read with suspicion: every field is checked, and what cannot be read is BrokerDown.

A wrong word from a broker must become no wrong state here. Numbers stay text until somebody asks for a
decimal, so that none ever passes through a float.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from trimtab.core.errors import BrokerDown
from trimtab.core.money import parse_decimal, plain, round_down

T = TypeVar("T")
Object = Mapping[str, object]

TEXT_MAX = 256
SHOWN_MAX = 40
DECIMAL_PLACES = 18
# Wider than what is asked of our own clients: JSON numbers may have exponents, and programs write "0E-9"
# and "1E+2" for exact amounts.
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,64})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)


def parsed(body: bytes) -> object:
    """The JSON value; ValueError for what is none, says a name twice, or is nested beyond all measure."""
    try:
        return json.loads(
            body.decode(),
            parse_float=str,
            parse_int=str,
            parse_constant=_refuse,
            object_pairs_hook=_unique,
        )
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")


def _unique(pairs: list[tuple[str, object]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def unreadable(path: str, value: object) -> BrokerDown:
    return BrokerDown(f"the broker's {path} cannot be read: {str(value)[:SHOWN_MAX]!r}")


def object_in(value: object, path: str) -> Object:
    if not isinstance(value, dict):
        raise unreadable(path, value)
    return value


def list_in(value: object, path: str) -> list[object]:
    if not isinstance(value, list):
        raise unreadable(path, value)
    return value


def text_in(found: Object, name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX or not value.isprintable():
        raise unreadable(name, value)
    return value


def flag_in(found: Object, name: str, *, default: bool) -> bool:
    value = found.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise unreadable(name, value)
    return value


def exact_in(found: Object, name: str) -> Decimal | None:
    """A decimal to the last digit; None if it is not there."""
    return _read(found, name, parse=_exact)


def cut_in(found: Object, name: str) -> Decimal | None:
    """A decimal without what lies beyond its 18th place: averages and balances that come of a division."""
    return _read(found, name, parse=_cut)


def price_in(found: Object, name: str) -> Decimal | None:
    """A price, or None for anything else: what is wrong with one symbol must not stop the others."""
    value = found.get(name)
    return _exact(value) if isinstance(value, str) else None


def instant_in(found: Object, name: str) -> datetime | None:
    return _read(found, name, parse=_instant)


def _read(found: Object, name: str, *, parse: Callable[[str], T | None]) -> T | None:
    value = found.get(name)
    if value is None:
        return None
    read = parse(value) if isinstance(value, str) else None
    if read is None:
        raise unreadable(name, value)
    return read


def required(value: T | None, name: str) -> T:
    if value is None:
        raise unreadable(name, value)
    return value


def _exact(text: str) -> Decimal | None:
    return parse_decimal(plain(Decimal(text))) if _NUMBER.fullmatch(text) else None


def _cut(text: str) -> Decimal | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    return (
        parse_decimal(plain(round_down(value, DECIMAL_PLACES))) if abs(value) < 10**DECIMAL_PLACES else None
    )


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None
