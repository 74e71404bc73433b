"""Pages of Glider's wire: newest first, with an opaque cursor that needs no escaping in a URL."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from trimtab.api.shapes import Integer, Query, Schema, Shape
from trimtab.store.enrollments import Page

T = TypeVar("T")
LIMIT_DEFAULT = 50
LIMIT_MAX = 200
ROW_NUMBER_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Cursor:
    """Base64 without padding of the number of the last row seen."""

    def read(self, value: object, path: str, *, problems: list[str]) -> int:
        text = str(value)
        try:
            padded = text + "=" * (-len(text) % 4)
            digits = urlsafe_b64decode(padded).decode("ascii")
        except (Base64Error, ValueError):
            digits = ""
        if not re.fullmatch(rf"[0-9]{{1,{ROW_NUMBER_DIGITS}}}", digits) or cursor_after(int(digits)) != text:
            problems.append(f"{path}: is not a cursor of ours")
            return 0
        return int(digits)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}


def cursor_after(row: int) -> str:
    return urlsafe_b64encode(str(row).encode()).decode().rstrip("=")


def paged(**filters: Shape) -> Query:
    """The query of a list: its filters, and where to go on."""
    return Query({**filters, "limit": Integer(1, LIMIT_MAX, in_query=True), "cursor": Cursor()})


def page_in(query: Mapping[str, Any]) -> Page:
    return Page(after=query.get("cursor"), limit=query.get("limit", LIMIT_DEFAULT))


def cut(rows: Sequence[tuple[int, T]], page: Page) -> tuple[list[T], str | None]:
    """The items of one page, and the cursor of the next if there is one."""
    items = [item for _, item in rows[: page.limit]]
    return items, cursor_after(rows[page.limit - 1][0]) if len(rows) > page.limit else None
