"""Single values of the broker's wire that the rebalancing API has none of: shares, prices, flags, and what
stands in a query.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from trimtab.api.alpaca_shapes import BadValue, Schema, Text
from trimtab.api.alpaca_values import decimal_schema
from trimtab.api.body import decimal_in, flag_in, instant_in
from trimtab.brokers.broker import PRICE_MAX
from trimtab.core.errors import Malformed
from trimtab.core.money import HUNDRED, QUANTITY_PLACES, places

# No month ends before its 28th.
_DAY = r"20[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
_WORDS = r"[A-Za-z0-9_./-]+(?:,[A-Za-z0-9_./-]+)*"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


@dataclass(frozen=True, slots=True)
class Amount:
    """A positive decimal below a billion with so many places, as a string or a number."""

    decimals: int

    def read(self, value: object, path: str, /) -> Decimal:
        amount = decimal_in(value, path)
        if amount <= 0:
            raise BadValue(f"{path}: must be greater than 0")
        if places(amount) > self.decimals:
            raise BadValue(f"{path}: at most {self.decimals} decimal places")
        if amount >= PRICE_MAX:
            raise BadValue(f"{path}: must be less than a billion")
        return amount

    def schema(self) -> Schema:
        text, whole, number = decimal_schema(self.decimals)["anyOf"]
        below = text["pattern"].replace("[0-9]{1,18}", "0{0,9}[0-9]{1,9}")
        return {
            "anyOf": [
                text | {"pattern": below},
                whole | {"maximum": int(PRICE_MAX) - 1},
                # Fractions that a float writes without an exponent.
                number | {"minimum": 0.01, "maximum": int(PRICE_MAX) - 1, "multipleOf": 0.01},
            ],
            "examples": ["5"],
        }


SHARES = Amount(QUANTITY_PLACES)


@dataclass(frozen=True, slots=True)
class PartOfWhole:
    """A percentage above 0 and up to 100."""

    def read(self, value: object, path: str, /) -> Decimal:
        percent = Amount(QUANTITY_PLACES).read(value, path)
        if percent > HUNDRED:
            raise BadValue(f"{path}: must be at most 100")
        return percent

    def schema(self) -> Schema:
        return {"type": "string", "pattern": r"^(?:100|[1-9][0-9]?(?:\.[0-9]{1,9})?)$"}


@dataclass(frozen=True, slots=True)
class Flag:
    def read(self, value: object, path: str, /) -> bool:
        return flag_in(value, path)

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Never:
    """A flag that may be there, and is not set."""

    says: str

    def read(self, value: object, path: str, /) -> bool:
        if flag_in(value, path):
            raise BadValue(f"{path}: {self.says}")
        return False

    def schema(self) -> Schema:
        return {"const": False}


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of some texts, none of them empty."""

    most: int
    longest: int

    def read(self, value: object, path: str, /) -> list[str]:
        if not isinstance(value, list) or not 1 <= len(value) <= self.most:
            raise Malformed(path, f"must be a list of 1 to {self.most}")
        text = Text(self.longest, least=1)
        return [text.read(item, f"{path}[{i}]") for i, item in enumerate(value)]

    def schema(self) -> Schema:
        item = Text(self.longest, least=1).schema()
        return {"type": "array", "items": item, "minItems": 1, "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class WordFlag:
    """A flag in a query, as any client writes one."""

    def read(self, value: object, path: str, /) -> bool:
        word = str(value).lower()
        if word not in {"true", "false"}:
            raise Malformed(path, "must be true or false")
        return word == "true"

    def schema(self) -> Schema:
        return {"type": "string", "enum": ["true", "false", "True", "False"]}


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number in a query."""

    least: int
    most: int

    def read(self, value: object, path: str, /) -> int:
        text = str(value)
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not self.least <= int(text) <= self.most:
            raise Malformed(path, f"must be between {self.least} and {self.most}")
        return int(text)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant in a query, or a day: its first moment in UTC."""

    def read(self, value: object, path: str, /) -> datetime:
        text = str(value)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return datetime.combine(Day().read(text, path), time(), UTC)
        return instant_in(text, path)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{_DAY}(?:T{_TIME}Z)?$", "examples": ["2026-03-02T15:00:00Z"]}


@dataclass(frozen=True, slots=True)
class Day:
    def read(self, value: object, path: str, /) -> date:
        text = str(value)
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise Malformed(path, "invalid value")
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise Malformed(path, "invalid value") from error

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{_DAY}$", "examples": ["2026-03-02"]}


@dataclass(frozen=True, slots=True)
class Listed:
    """Words with commas between them."""

    def read(self, value: object, path: str, /) -> frozenset[str]:
        if not re.fullmatch(_WORDS, str(value), re.ASCII):
            raise Malformed(path, "invalid value")
        return frozenset(str(value).split(","))

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{_WORDS}$", "examples": ["SPY,TLT"]}
