"""Exact amounts: decimals from text, named rounding, and a split that loses nothing.

Every thread of the process calculates with 60 digits, set here once, so that no product of a
quantity, a price and a percentage is ever rounded on its way. Where rounding is wanted it has a name.
"""

import decimal
import re
from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

DIGITS = 60
decimal.DefaultContext.prec = DIGITS
decimal.setcontext(decimal.DefaultContext.copy())

ZERO = Decimal(0)
# No amount has more places than a smallest unit of this.
ATTO = Decimal("1e-18")
CENT = Decimal("0.01")
HUNDRED = Decimal(100)
BASIS_POINTS = Decimal(10_000)
CENT_PLACES = 2
QUANTITY_PLACES = 9

# One strict pattern for every decimal that comes in (decisions page, 19). The lengths are ours: no
# amount of money, quantity or percentage needs more, and arithmetic stays exact within DIGITS.
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)


def parse_decimal(text: str) -> Decimal | None:
    """The decimal that `text` writes, or None if it is not one: no exponent, space, underscore or NaN."""
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def plain(value: Decimal) -> str:
    """The shortest decimal text: no exponent, no trailing zeros, no minus before zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def places(value: Decimal) -> int:
    """How many decimal places the value needs."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "only finite amounts have places"
    return max(0, -exponent)


def round_down(value: Decimal, to_places: int) -> Decimal:
    """Towards zero."""
    return value.quantize(Decimal(1).scaleb(-to_places), rounding=ROUND_DOWN)


def round_nearest(value: Decimal, to_places: int) -> Decimal:
    """To the nearest, halves to even: for showing only."""
    return value.quantize(Decimal(1).scaleb(-to_places), rounding=ROUND_HALF_EVEN)


def divide_down(amount: Decimal, by: Decimal, *, to_places: int) -> Decimal:
    """The largest multiple of 10^-places that is not above amount / by; both at least zero."""
    assert amount >= 0, "only shares of positive amounts are divided"
    assert by > 0, "the divisor must be positive"
    return (amount.scaleb(to_places) // by).scaleb(-to_places)


def divide_up(amount: Decimal, by: Decimal, *, to_places: int) -> Decimal:
    """The smallest multiple of 10^-places that is not below amount / by; both at least zero."""
    down = divide_down(amount, by, to_places=to_places)
    return down if down * by == amount else down + Decimal(1).scaleb(-to_places)


def down_to(value: Decimal, increment: Decimal) -> Decimal:
    """The largest multiple of the increment that is not above the value, which is at least zero."""
    return value // increment * increment


def up_to(value: Decimal, increment: Decimal) -> Decimal:
    """The smallest multiple of the increment that is not below the value, which is at least zero."""
    down = down_to(value, increment)
    return down if down == value else down + increment


def split(total: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Divide `total`, a whole number of cents, in proportion to `weights`; the parts sum to it exactly.

    Each part is within one cent of its share. Cents that rounding leaves over go to the largest
    fractions, ties to the earlier weight.
    """
    assert total >= 0, "only positive totals are split"
    assert round_down(total, CENT_PLACES) == total, "the total is in whole cents"
    whole = sum(weights, ZERO)
    if not weights or whole == 0:
        assert total == 0, "nothing to split to"
        return [ZERO for _ in weights]
    parts = [divide_down(total * weight, whole, to_places=CENT_PLACES) for weight in weights]
    left = int((total - sum(parts, ZERO)).scaleb(CENT_PLACES))
    by_fraction = sorted(range(len(weights)), key=lambda i: (parts[i] * whole - total * weights[i], i))
    for i in by_fraction[:left]:
        parts[i] += CENT
    assert sum(parts, ZERO) == total, "a split loses nothing"
    return parts
