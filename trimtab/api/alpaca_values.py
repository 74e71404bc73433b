"""The single values of this wire's bodies: names, percentages, amounts and days, each with its schema."""

import re
from dataclasses import dataclass
from decimal import Decimal

from trimtab.api.alpaca_shapes import NULL, BadValue, Required, Schema, empty
from trimtab.api.body import Number, decimal_in, text_in
from trimtab.core.enrollment import TradeMarker
from trimtab.core.errors import Malformed, TrimtabError
from trimtab.core.money import CENT_PLACES, places
from trimtab.core.run import RunKind
from trimtab.core.strategy import DAYS_IN_MONTH, NAME_MAX, PERCENT_PLACES

DIGITS_MAX = 18  # on either side of the point: see core.money
# Above it every float is whole, and those who write JSON begin to use exponents, which are refused.
FRACTIONS_MAX = 10**15
# What Python calls blank, spelled out: the classes of other regular expressions differ from it.
_BLANK = r"\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NOT_ZERO = r"(?!\+?0+(?:\.0+)?$)"


@dataclass
class InvalidTradeMarker(TrimtabError):
    def __str__(self) -> str:
        return "invalid trade_marker"


@dataclass(frozen=True, slots=True)
class NewName:
    """A name that must be there: what is blank is not."""

    def read(self, value: object, path: str, /) -> str:
        text = text_in(value or "", path, longest=NAME_MAX)
        if not text.strip():
            raise Required(path)
        return text

    def schema(self) -> Schema:
        pattern = rf"^[^\u0000]*[^\u0000{_BLANK}][^\u0000]*$"
        return {"type": "string", "minLength": 1, "maxLength": NAME_MAX, "pattern": pattern}


@dataclass(frozen=True, slots=True)
class OtherName(NewName):
    """A name in place of another one."""

    def read(self, value: object, path: str, /) -> str:
        if value is None or value == "":
            raise empty(path)
        text = text_in(value, path, longest=NAME_MAX)
        if not text.strip():
            raise Malformed(path, "invalid value")
        return text


@dataclass(frozen=True, slots=True)
class Percent:
    """A string or a number; that it is positive and has two places is the core's to check. One of a
    whole is at most 100, and may be zero where a line of zero is dropped.
    """

    of_whole: bool
    or_zero: bool = False

    def read(self, value: object, path: str, /) -> Decimal:
        return decimal_in(value, path)

    def schema(self) -> Schema:
        if not self.of_whole:
            return decimal_schema(PERCENT_PLACES)
        least = 0 if self.or_zero else 10**-PERCENT_PLACES
        below = rf"0{{0,{DIGITS_MAX - 2}}}[0-9]{{1,2}}{_fraction(PERCENT_PLACES)}"
        text = rf"\+?(?:{below}|0{{0,{DIGITS_MAX - 3}}}100(?:\.0{{1,{DIGITS_MAX}}})?)"
        pattern = (
            rf"^(?:{text}|-0{{1,{DIGITS_MAX}}}(?:\.0{{1,{DIGITS_MAX}}})?)$"
            if self.or_zero
            else rf"^{_NOT_ZERO}{text}$"
        )
        number = {"type": "number", "minimum": least, "maximum": 100, "multipleOf": 10**-PERCENT_PLACES}
        return {"anyOf": [{"type": "string", "pattern": pattern}, number], "examples": ["33.33"]}


@dataclass(frozen=True, slots=True)
class Dollars:
    """A positive amount of whole cents, as a string or a number."""

    def read(self, value: object, path: str, /) -> Decimal:
        amount = decimal_in(value, f"{path} must be a decimal")
        if amount <= 0:
            raise BadValue(f"{path} must be greater than 0")
        if places(amount) > CENT_PLACES:
            raise BadValue(f"{path}: at most two decimal places")
        return amount

    def schema(self) -> Schema:
        return decimal_schema(CENT_PLACES)


@dataclass(frozen=True, slots=True)
class NoDollars:
    def read(self, value: object, path: str, /) -> None:
        decimal_in(value, f"{path} must be a decimal")
        raise BadValue(f"{path}: not permitted for full_rebalance")

    def schema(self) -> Schema:
        return NULL


def decimal_schema(decimals: int) -> Schema:
    """A positive decimal with so many places, beyond which there may be zeros; never an exponent."""
    text = rf"^{_NOT_ZERO}\+?[0-9]{{1,{DIGITS_MAX}}}{_fraction(decimals)}$"
    smallest = 10**-decimals
    return {
        "anyOf": [
            {"type": "string", "pattern": text},
            {"type": "integer", "minimum": 1, "maximum": 10**DIGITS_MAX - 1},
            {"type": "number", "minimum": smallest, "maximum": FRACTIONS_MAX, "multipleOf": smallest},
        ],
        "examples": ["5"],
    }


def _fraction(decimals: int) -> str:
    return rf"(?:\.[0-9]{{1,{decimals}}}0{{0,{DIGITS_MAX - decimals}}})?"


@dataclass(frozen=True, slots=True)
class DayOfMonth:
    """A day that may be written as a number; months that do not have it use the session before."""

    def read(self, value: object, path: str, /) -> int:
        if value == "":
            raise empty(path)
        if not isinstance(value, str) or not _DAY_OF_MONTH.fullmatch(value):
            raise Malformed(path, "invalid value")
        return int(value)

    def schema(self) -> Schema:
        text = {"type": "string", "pattern": f"^(?:{_DAY_OF_MONTH.pattern})$"}
        return {"anyOf": [text, {"type": "integer", "minimum": 1, "maximum": 31}], "examples": ["15"]}


_DAY_OF_MONTH = re.compile(r"0?[1-9]|[12][0-9]|3[01]", re.ASCII)


@dataclass(frozen=True, slots=True)
class DayOfYear:
    """A month and a day of it, `02-29` included."""

    def read(self, value: object, path: str, /) -> tuple[int, int]:
        if value == "":
            raise empty(path)
        if not isinstance(value, str) or isinstance(value, Number) or not _DAY_OF_YEAR.fullmatch(value):
            raise Malformed(path, "invalid value")
        return int(value[:2]), int(value[3:])

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{_DAY_OF_YEAR.pattern})$", "examples": ["02-29"]}


_DAYS = {31: "0[1-9]|[12][0-9]|3[01]", 30: "0[1-9]|[12][0-9]|30", 29: "0[1-9]|[12][0-9]"}
_DAY_OF_YEAR = re.compile(
    "|".join(f"{month:02d}-(?:{_DAYS[days]})" for month, days in enumerate(DAYS_IN_MONTH, 1)), re.ASCII
)


@dataclass(frozen=True, slots=True)
class Marker:
    def read(self, value: object, _path: str, /) -> TradeMarker:
        if value not in tuple(TradeMarker):
            raise InvalidTradeMarker
        return TradeMarker(str(value))

    def schema(self) -> Schema:
        return {"type": "string", "enum": [each.value for each in TradeMarker]}


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of run; the third is beyond the vendor, and not named in what is said of others."""

    def read(self, value: object, _path: str, /) -> RunKind:
        if value not in tuple(RunKind):
            raise BadValue("type must be full_rebalance or invest_cash")
        return RunKind(str(value))

    def schema(self) -> Schema:
        return {"type": "string", "enum": [each.value for each in RunKind]}


@dataclass(frozen=True, slots=True)
class Nothing:
    """A text that has to be empty."""

    kind: str

    def read(self, value: object, path: str, /) -> None:
        if value != "":
            raise BadValue(f"{path}: not permitted for {self.kind}")

    def schema(self) -> Schema:
        return {"type": "string", "maxLength": 0}
