"""What the paper broker does wrong on purpose, and how chance decides which orders it hits.

Chance is a hash of the seed, the order's number in the ledger and the kind of fault: the same script
meets the same faults again, whatever ids it is given, and a restart changes nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from decimal import Decimal
from hashlib import blake2b

from trimtab.core.errors import Malformed
from trimtab.core.money import ZERO

DRAWS = 2**64
FILL_DELAY_S_MAX = 366 * 24 * 60 * 60
SEED_MAX = 10**18 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """One set of faults; fractions are probabilities per order."""

    reject: tuple[str, ...] = ()
    partial_fill: Decimal = ZERO
    fill_delay_s: Decimal = ZERO
    lost_reply: Decimal = ZERO
    duplicate_event: Decimal = ZERO
    outage: bool = False
    seed: int = 0

    @property
    def fill_delay(self) -> timedelta:
        return timedelta(microseconds=int(self.fill_delay_s.scaleb(6)))

    def fills_in_halves(self, seq: int) -> bool:
        return self._hits(seq, "partial_fill", fraction=self.partial_fill)

    def loses_reply(self, seq: int) -> bool:
        return self._hits(seq, "lost_reply", fraction=self.lost_reply)

    def repeats_event(self, seq: int) -> bool:
        return self._hits(seq, "duplicate_event", fraction=self.duplicate_event)

    def _hits(self, seq: int, label: str, *, fraction: Decimal) -> bool:
        if fraction == 0:
            return False
        name = f"{self.seed}:{seq}:{label}"
        draw = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
        return draw < fraction * DRAWS

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)


FAULT_NAMES = tuple(field.name for field in fields(Faults))


def parse_faults(body: Mapping[str, object]) -> Faults:
    """The faults that a request names; Malformed names the first field that cannot be read."""
    for name in body:
        if name not in FAULT_NAMES:
            raise Malformed(path=name, problem=f"is not one of {', '.join(FAULT_NAMES)}")
    seed = _number("seed", body.get("seed", 0))
    if abs(seed) > SEED_MAX or seed != seed.to_integral_value():
        raise Malformed(path="seed", problem="must be a whole number of at most 18 digits")
    delay = _number("fill_delay_s", body.get("fill_delay_s", 0))
    if not 0 <= delay <= FILL_DELAY_S_MAX:
        raise Malformed(path="fill_delay_s", problem="must be between 0 and a year of seconds")
    outage = body.get("outage", False)
    if not isinstance(outage, bool):
        raise Malformed(path="outage", problem="must be true or false")
    return Faults(
        reject=_symbols("reject", body.get("reject", [])),
        partial_fill=_fraction("partial_fill", body),
        fill_delay_s=delay,
        lost_reply=_fraction("lost_reply", body),
        duplicate_event=_fraction("duplicate_event", body),
        outage=outage,
        seed=int(seed),
    )


def stored_faults(text: str) -> Faults:
    """The faults that `to_json` wrote; an empty object is none."""
    stored = json.loads(text)
    decimals = ("partial_fill", "fill_delay_s", "lost_reply", "duplicate_event")
    return Faults(
        reject=tuple(stored.get("reject", ())),
        outage=stored.get("outage", False),
        seed=stored.get("seed", 0),
        **{name: Decimal(stored.get(name, "0")) for name in decimals},
    )


def _number(path: str, value: object) -> Decimal:
    # To Python a bool is a number too; to JSON it is not.
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise Malformed(path=path, problem="must be a number")
    return Decimal(value)


def _fraction(path: str, body: Mapping[str, object]) -> Decimal:
    fraction = _number(path, body.get(path, 0))
    if not 0 <= fraction <= 1:
        raise Malformed(path=path, problem="must be a fraction between 0 and 1")
    return fraction


def _symbols(path: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Malformed(path=path, problem="must be a list of symbols")
    for index, symbol in enumerate(value):
        if not isinstance(symbol, str) or not symbol:
            raise Malformed(path=f"{path}[{index}]", problem="must be a symbol")
    return tuple(value)
