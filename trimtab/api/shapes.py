"""What a request may look like: one description that reads a value, names every problem, and is shown
as JSON Schema.

A shape reads what JSON decoding left (see body.py) or a query text, and adds `path: message` lines to
a list instead of stopping at the first. What it gives back is of use only if the list stayed empty.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from trimtab.api.body import Number, is_storable
from trimtab.core.money import parse_decimal, places

Schema = dict[str, Any]


class Shape(Protocol):
    def read(self, value: object, path: str, *, problems: list[str]) -> Any:
        """The value as it is meant; its problems go to the list."""

    def schema(self) -> Schema:
        """The shape as JSON Schema (2020-12)."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string, also one given in a query. `pattern` must match all of it; `says` is its message."""

    least: int = 0
    most: int = 2000
    trimmed: bool = False
    pattern: re.Pattern[str] | None = None
    says: str = "has characters that are not allowed"

    def read(self, value: object, path: str, *, problems: list[str]) -> str:
        if not isinstance(value, str) or isinstance(value, Number):
            problems.append(f"{path}: must be a string")
            return ""
        text = value.strip() if self.trimmed else value
        if not self.least <= len(text) <= self.most:
            problems.append(f"{path}: must have {self.least} to {self.most} characters")
        elif not is_storable(text) or (self.pattern is not None and not self.pattern.fullmatch(text)):
            problems.append(f"{path}: {self.says}")
        return text

    def schema(self) -> Schema:
        shown: Schema = {"type": "string", "minLength": self.least, "maxLength": self.most}
        return shown if self.pattern is None else shown | {"pattern": f"^(?:{self.pattern.pattern})$"}


@dataclass(frozen=True, slots=True)
class Choice:
    values: tuple[str, ...]

    def read(self, value: object, path: str, *, problems: list[str]) -> str:
        if not isinstance(value, str) or isinstance(value, Number) or value not in self.values:
            problems.append(f"{path}: must be one of {', '.join(self.values)}")
            return ""
        return value

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Flag:
    def read(self, value: object, path: str, *, problems: list[str]) -> bool:
        if not isinstance(value, bool):
            problems.append(f"{path}: must be true or false")
        return value is True

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole JSON number, or its digits in a query."""

    least: int
    most: int
    in_query: bool = False

    def read(self, value: object, path: str, *, problems: list[str]) -> int:
        written = isinstance(value, str) and (self.in_query or isinstance(value, Number))
        if written and re.fullmatch(r"-?[0-9]{1,15}", str(value), re.ASCII):
            number = int(str(value))
            if self.least <= number <= self.most:
                return number
        problems.append(f"{path}: must be an integer from {self.least} to {self.most}")
        return self.least

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Amount:
    """A decimal written as a string, so that no digit of it is lost."""

    least: Decimal
    decimals: int

    def read(self, value: object, path: str, *, problems: list[str]) -> Decimal:
        parsed = parse_decimal(value) if isinstance(value, str) and not isinstance(value, Number) else None
        if parsed is None:
            problems.append(f"{path}: must be a decimal string")
            return self.least
        if parsed < self.least:
            problems.append(f"{path}: must be at least {self.least}")
        elif places(parsed) > self.decimals:
            problems.append(f"{path}: must have at most {self.decimals} decimal places")
        return parsed

    def schema(self) -> Schema:
        return {"type": "string", "pattern": rf"^[0-9]{{1,18}}(\.[0-9]{{1,{self.decimals}}})?$"}


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Shape
    least: int
    most: int

    def read(self, value: object, path: str, *, problems: list[str]) -> list[Any]:
        if not isinstance(value, list):
            problems.append(f"{path}: must be a list")
            return []
        if not self.least <= len(value) <= self.most:
            problems.append(f"{path}: must have {self.least} to {self.most} items")
            return []
        return [self.item.read(item, f"{path}[{i}]", problems=problems) for i, item in enumerate(value)]

    def schema(self) -> Schema:
        return {
            "type": "array",
            "items": self.item.schema(),
            "minItems": self.least,
            "maxItems": self.most,
        }


@dataclass(frozen=True, slots=True)
class Nullable:
    inner: Shape

    def read(self, value: object, path: str, *, problems: list[str]) -> Any:
        return None if value is None else self.inner.read(value, path, problems=problems)

    def schema(self) -> Schema:
        return {"anyOf": [self.inner.schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object. What it reads has only the keys that were given; unknown ones are a problem if it
    is strict, and left out if it is not.
    """

    fields: Mapping[str, Shape]
    required: Collection[str] = ()
    strict: bool = False

    def read(self, value: object, path: str, *, problems: list[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            problems.append(f"{path or 'body'}: must be an object")
            return {}
        prefix = f"{path}." if path else ""
        problems += [f"{prefix}{name}: is required" for name in self.required if name not in value]
        if self.strict:
            problems += [f"{prefix}{name}: unknown key" for name in value if name not in self.fields]
        return {
            name: shape.read(value[name], f"{prefix}{name}", problems=problems)
            for name, shape in self.fields.items()
            if name in value
        }

    def schema(self) -> Schema:
        shown: Schema = {
            "type": "object",
            "properties": {name: shape.schema() for name, shape in self.fields.items()},
        }
        if self.required:
            shown["required"] = list(self.required)
        return shown | {"additionalProperties": False} if self.strict else shown


NOTHING = Record(fields={})


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a query, each by name; others are ignored."""

    parameters: Mapping[str, Shape] = field(default_factory=dict)

    def read(self, given: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
        return Record(fields=self.parameters).read(dict(given), "", problems=problems)
