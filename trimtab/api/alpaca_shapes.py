"""What a request of this wire may look like: one description that reads a value and is shown as JSON
Schema.

A shape stops at the first problem and names it in the vendor's words: this wire has one message. What
only the whole can be judged by, such as the sum of the weights, is the core's to say.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from trimtab.api.body import integer_in, text_in, uuid_of
from trimtab.core.errors import Malformed, TrimtabError

Schema = dict[str, Any]
Given = dict[str, Any]

NULL: Schema = {"type": "null"}
STORABLE = re.compile(r"^[^\u0000]*$")
# Members that are not named: ignored, but the whole body is refused for a NUL in them.
_NO_NUL: Schema = {"pattern": STORABLE.pattern}
_IGNORED: Schema = {"$ref": "#/components/schemas/Ignored"}
IGNORED: Schema = {
    "description": "A member without a meaning here: it may hold anything but NUL",
    "anyOf": [
        {"type": ["null", "boolean", "number"]},
        {"type": "string", **_NO_NUL},
        {"type": "array", "items": _IGNORED},
        {"type": "object", "propertyNames": _NO_NUL, "additionalProperties": _IGNORED},
    ],
}


@dataclass
class Required(TrimtabError):
    """A field that must be there is not."""

    path: str

    def __str__(self) -> str:
        verb = "are" if self.path.endswith("weights") else "is"
        return f"{self.path} {verb} required"


@dataclass
class MalformedId(TrimtabError):
    """An id that is not a UUID."""

    name: str

    def __str__(self) -> str:
        return f"invalid {self.name}"


@dataclass
class BadValue(TrimtabError):
    """A value of the right type that this API does not take; `text` is the whole message."""

    text: str

    def __str__(self) -> str:
        return self.text


def id_in(value: object, name: str) -> str:
    """A UUID in a path or body. Raises MalformedId."""
    found = uuid_of(value) if isinstance(value, str) else None
    if found is None:
        raise MalformedId(name)
    return found


def empty(path: str) -> Malformed:
    return Malformed(path, "value is empty")


class Shape(Protocol):
    def read(self, value: object, path: str, /) -> Any:
        """The value as it is meant. Raises a refusal that names the path."""

    def schema(self) -> Schema:
        """The shape as JSON Schema (2020-12)."""


@dataclass(frozen=True, slots=True)
class Id:
    """`name` is what the message calls it, wherever it stands."""

    name: str

    def read(self, value: object, _path: str, /) -> str:
        return id_in(value, self.name)

    def schema(self) -> Schema:
        return {"type": "string", "format": "uuid"}


@dataclass(frozen=True, slots=True)
class Text:
    """A string; a body with a NUL anywhere has been refused as a whole."""

    most: int
    least: int = 0

    def read(self, value: object, path: str, /) -> str:
        if value == "" and self.least:
            raise empty(path)
        return text_in(value, path, longest=self.most)

    def schema(self) -> Schema:
        shown: Schema = {"type": "string", "maxLength": self.most, "pattern": STORABLE.pattern}
        return shown | {"minLength": self.least} if self.least else shown


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole JSON number. The most is the core's to check: `least` is told in words of its own."""

    least: int
    most: int

    def read(self, value: object, path: str, /) -> int:
        number = integer_in(value, path)
        if number < self.least:
            raise BadValue(f"{path} must be >= {self.least}")
        return number

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words; with `blank`, an empty one counts as none."""

    values: tuple[str, ...]
    blank: bool = False

    def read(self, value: object, path: str, /) -> str:
        if self.blank and value == "":
            raise empty(path)
        if not isinstance(value, str) or value not in self.values:
            raise Malformed(path, "invalid value")
        return str(value)

    def schema(self) -> Schema:
        return {"type": "string", "enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Refused:
    """What must not be there: `told` makes the refusal of its path."""

    told: Callable[[str], TrimtabError]

    def read(self, _value: object, path: str, /) -> None:
        raise self.told(path)

    def schema(self) -> Schema:
        return NULL


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of objects. The core takes no more than `most_taken`, for reasons of its own."""

    item: Shape
    most: int
    least: int = 0
    most_taken: int | None = None

    def read(self, value: object, path: str, /) -> tuple[Any, ...]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise Malformed(path, "invalid value")
        if len(value) > self.most:
            raise BadValue(f"{path}: at most {self.most}")
        return tuple(self.item.read(item, f"{path}[{i}]") for i, item in enumerate(value))

    def schema(self) -> Schema:
        most = self.most if self.most_taken is None else self.most_taken
        shown: Schema = {"type": "array", "items": self.item.schema(), "maxItems": most}
        return shown | {"minItems": self.least} if self.least else shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One member of an object. Without `missing` it may be left out, or be null unless it is `told_null`:
    then the shape says what is wrong with null. `alias` is another name of it.
    """

    shape: Shape
    missing: Callable[[str], TrimtabError] | None = None
    told_null: bool = False
    alias: str | None = None
    says: str | None = None

    def schema(self) -> Schema:
        shown = self.shape.schema()
        if self.missing is None and not self.told_null and shown != NULL:
            shown = {"anyOf": [shown, NULL]}
        return shown if self.says is None else shown | {"description": self.says}


def required(shape: Shape, says: str | None = None) -> Field:
    return Field(shape=shape, missing=Required, says=says)


def filled(shape: Shape, says: str | None = None) -> Field:
    """A member whose absence is told like an empty value."""
    return Field(shape=shape, missing=empty, says=says)


def optional(shape: Shape, says: str | None = None) -> Field:
    return Field(shape=shape, says=says)


Fields = Mapping[str, Field]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the variants of an object have in common."""

    properties: Schema = field(default_factory=dict)
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A JSON object, read field by field in this order, and what is made of them. With
    `missed_first`, one that is missing is told before any is read; unknown members are ignored.
    """

    fields: Fields
    make: Callable[[Given], Any] = dict
    missed_first: bool = False

    def read(self, value: object, path: str = "", /, *, before: Given | None = None) -> Any:
        assert isinstance(value, dict), "bodies are objects, and lists have been checked"
        for name, each in self.fields.items():
            if self.missed_first and each.missing is not None and value.get(name) is None:
                raise each.missing(_at(path, name))
        return self.make((before or {}) | _members(self.fields, value, path=path))

    def schemas(self, first: Shared) -> list[Schema]:
        """The object, or each of its variants; `first` is what all of them have."""
        properties = first.properties | _shown(self.fields)
        needed = [*first.required, *_needed(self.fields)]
        others = {"propertyNames": _NO_NUL, "additionalProperties": _IGNORED}
        shown: Schema = {"type": "object", "properties": properties, **others}
        return [shown | {"required": needed} if needed else shown]

    def schema(self) -> Schema:
        (shown,) = self.schemas(Shared())
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """A JSON object whose member `tag` says which of some objects it is. What stands in `first` is read
    before the tag.
    """

    tag: str
    told: Field
    cases: Mapping[str, "Record | Cases"]
    first: Fields = field(default_factory=dict)

    def read(self, value: object, path: str = "", /, *, before: Given | None = None) -> Any:
        assert isinstance(value, dict), "bodies are objects, and lists have been checked"
        given = _members({**self.first, self.tag: self.told}, value, path=path)
        return self.cases[given[self.tag]].read(value, path, before=(before or {}) | given)

    def schemas(self, first: Shared) -> list[Schema]:
        shown = first.properties | _shown(self.first)
        needed = (*first.required, *_needed(self.first), self.tag)
        return [
            variant
            for tag, case in self.cases.items()
            for variant in case.schemas(Shared(shown | {self.tag: {"const": tag}}, needed))
        ]

    def schema(self) -> Schema:
        return {"oneOf": self.schemas(Shared())}


@dataclass(frozen=True, slots=True)
class Named:
    """A shape that the document describes once, under a name; its examples are accepted as they are."""

    name: str
    shape: Record | Cases
    examples: tuple[Given, ...] = ()

    def read(self, value: object, path: str = "", /) -> Any:
        return self.shape.read(value, path)

    def schema(self) -> Schema:
        return {"$ref": f"#/components/schemas/{self.name}"}


def _members(fields: Fields, value: Given, *, path: str) -> Given:
    """The members of an object that are there, by name."""
    given: Given = {}
    for name, each in fields.items():
        sent = _sent(value, name, alias=each.alias)
        if sent is not None or (each.told_null and name in value):
            given[name] = each.shape.read(sent, _at(path, name))
        elif each.missing is not None:
            raise each.missing(_at(path, name))
    return given


def _sent(value: Given, name: str, *, alias: str | None) -> object:
    """What stands under either of two names. Raises BadValue if both are there and differ."""
    values = [value[key] for key in (name, alias) if key is not None and value.get(key) is not None]
    if not values:
        return None
    if values[0] != values[-1]:
        raise BadValue(f"{name} and {alias} differ: send one")
    return values[0]


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _needed(fields: Fields) -> tuple[str, ...]:
    return tuple(name for name, each in fields.items() if each.missing is not None)


def _shown(fields: Fields) -> Schema:
    shown: Schema = {}
    for name, each in fields.items():
        shown[name] = each.schema()
        if each.alias is not None:
            shown[each.alias] = shown[name] | {"description": f"Another name of `{name}`: send one."}
    return shown
