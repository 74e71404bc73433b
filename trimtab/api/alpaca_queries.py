"""The query parameters of this wire, and the pages that two of them ask for.

A parameter without a value counts as not there. Unknown ones are ignored.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from trimtab.api.alpaca_shapes import STORABLE, Schema, Shape
from trimtab.api.body import is_storable
from trimtab.core.errors import Malformed
from trimtab.store.enrollments import Page

T = TypeVar("T")

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
ROW_NUMBER_MAX = 2**62
# What is given out, and the number that it stands for: base64 of digits alone has these letters.
_THREE_DIGITS = "(?:[MN][DTjz]|O[DT])[AEIMQUYcgk][wxyz0-5]"
_LAST_DIGITS = "(?:[MN][Qgw A]|O[QA])==|(?:[MN][DTjz]|O[DT])[AEIMQUYcgk]=".replace(" ", "")
_TOKEN = rf"^(?:[0-9]{{1,18}}|(?:{_THREE_DIGITS}){{1,6}}|(?:{_THREE_DIGITS}){{0,5}}(?:{_LAST_DIGITS}))$"


@dataclass(frozen=True, slots=True)
class Words:
    """A text to be found; one that could not have been stored matches nothing that was."""

    def read(self, value: object, path: str, /) -> str:
        text = str(value)
        if not is_storable(text):
            raise Malformed(path, "invalid value")
        return text

    def schema(self) -> Schema:
        return {"type": "string", "pattern": STORABLE.pattern}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some words, and what each means."""

    meanings: Mapping[str, Any]

    def read(self, value: object, path: str, /) -> Any:
        text = str(value)
        if text not in self.meanings:
            raise Malformed(path, "invalid value")
        return self.meanings[text]

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.meanings)}


def one_of(members: type[StrEnum]) -> OneOf:
    return OneOf({member.value: member for member in members})


@dataclass(frozen=True, slots=True)
class Limit:
    def read(self, value: object, path: str, /) -> int:
        text = str(value)
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not 1 <= int(text) <= LIMIT_MAX:
            raise Malformed(path, f"must be between 1 and {LIMIT_MAX}")
        return int(text)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}


@dataclass(frozen=True, slots=True)
class PageToken:
    """What `next_page_token` of the page before says, or the number it stands for."""

    def read(self, value: object, path: str, /) -> int:
        return row_position(str(value), path)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": _TOKEN, "examples": ["MTAwMA=="]}


PAGED: Mapping[str, Shape] = {"limit": Limit(), "page_token": PageToken()}


def page_of(query: Mapping[str, Any]) -> Page:
    return Page(after=query["page_token"], limit=query["limit"] or LIMIT_DEFAULT)


def row_position(token: str, path: str) -> int:
    """The place in the list that a token names: base64 of a number, or the number itself."""
    text = token
    if not re.fullmatch(r"[0-9]+", text, re.ASCII):
        try:
            text = b64decode(token, validate=True).decode("ascii")
        except (Base64Error, ValueError) as error:
            raise Malformed(path, "invalid value") from error
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or int(text) > ROW_NUMBER_MAX:
        raise Malformed(path, "invalid value")
    return int(text)


def cut(rows: Sequence[tuple[int, T]], page: Page) -> tuple[list[T], str | None]:
    """The items of one page, and the token of the next if there is one; never an empty token."""
    items = [item for _, item in rows[: page.limit]]
    if len(rows) <= page.limit:
        return items, None
    return items, row_token(rows[page.limit - 1][0])


def row_token(seq: int) -> str:
    """The token of a place in a list; opaque to clients."""
    return b64encode(str(seq).encode()).decode()
