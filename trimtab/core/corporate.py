"""Corporate actions: what an issuer does to the shares of an asset, and what that makes of a position.

Only those that change positions by a rule: a split, a new name, shares that were paid out. A dividend is
money, and the broker shows it as such.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import assert_never

from trimtab.core.money import QUANTITY_PLACES, divide_down, plain

COMPARABLE_PLACES = 18


class Late(StrEnum):
    """The half of a split that the broker does not show yet: it and the other half do not fit together."""

    QUANTITY = "quantity"
    PRICE = "price"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`new` shares stand where `old` ones stood; a reverse split has more old ones than new."""

    id: str
    symbol: str
    new: Decimal
    old: Decimal
    late: Late | None = None

    def shares(self, quantity: Decimal) -> Decimal:
        """What a position becomes; less than a billionth of a share is left behind."""
        return divide_down(quantity * self.new, self.old, to_places=QUANTITY_PLACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    id: str
    symbol: str
    new_symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Every share was taken back for cash."""

    id: str
    symbol: str


CorporateAction = Split | Rename | Payout


def pending(actions: Iterable[CorporateAction]) -> Split | None:
    """The split that is not complete, if there is one: quantity and price do not fit together."""
    return next((each for each in actions if isinstance(each, Split) and each.late is not None), None)


def since(actions: Sequence[CorporateAction], last_id: str | None) -> tuple[CorporateAction, ...]:
    """Those after the one with that id; all of them if it is not there."""
    ids = [action.id for action in actions]
    return tuple(actions[ids.index(last_id) + 1 :] if last_id in ids else actions)


def positions_after(
    actions: Iterable[CorporateAction], positions: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """What the broker shows of these positions after the actions, as far as they have arrived."""
    after = dict(positions)
    for action in actions:
        if after.get(action.symbol, 0) <= 0:
            continue
        match action:
            case Split(symbol=symbol, late=late):
                if late is not Late.QUANTITY:
                    after[symbol] = action.shares(after[symbol])
            case Rename(symbol=symbol, new_symbol=new_symbol):
                after[new_symbol] = after.get(new_symbol, Decimal(0)) + after.pop(symbol)
            case Payout(symbol=symbol):
                del after[symbol]
            case _:
                assert_never(action)
    return after


def names_after(actions: Iterable[CorporateAction]) -> dict[str, str]:
    """What each symbol that was given up has become."""
    names: dict[str, str] = {}
    for action in actions:
        if isinstance(action, Rename):
            names = {old: action.new_symbol if new == action.symbol else new for old, new in names.items()}
            names[action.symbol] = action.new_symbol
    return names


def comparable(price: Decimal, actions: Iterable[CorporateAction]) -> Decimal:
    """The price, in dollars, of what one share of the beginning has become: it goes on through splits."""
    for action in actions:
        if isinstance(action, Split):
            price = divide_down(price * action.new, action.old, to_places=COMPARABLE_PLACES)
    return price


def describe(action: CorporateAction) -> str:
    """One line for people."""
    match action:
        case Split(symbol=symbol, new=new, old=old, late=late):
            state = "is done" if late is None else f"is not complete, its {late} is late"
            return f"the split of {symbol}, {plain(new)} for {plain(old)}, {state}"
        case Rename(symbol=symbol, new_symbol=new_symbol):
            return f"{symbol} is now {new_symbol}"
        case Payout(symbol=symbol):
            return f"{symbol} was delisted and paid out"
        case _:
            assert_never(action)
