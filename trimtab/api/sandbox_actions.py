"""Corporate actions as the sandbox takes them: one shape for each type, no field too many."""

from decimal import Decimal
from typing import TypeVar

from trimtab.api.alpaca_shapes import BadValue, Required
from trimtab.api.body import Object, decimal_in, is_storable, text_in
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.core.corporate import Late
from trimtab.core.errors import Malformed

K = TypeVar("K", ActionKind, Late)

SYMBOL_MAX = 64
# By type: the field with its terms, and whether it must be there.
TERMS = {
    ActionKind.SPLIT: ("ratio", True),
    ActionKind.REVERSE_SPLIT: ("ratio", True),
    ActionKind.DELIST: ("cash_per_share", False),
    ActionKind.CASH_DIVIDEND: ("amount", True),
}
SPLITS = {ActionKind.SPLIT, ActionKind.REVERSE_SPLIT}


def event_in(asked: Object) -> Event:
    kind = _one_of(ActionKind, asked, path="type")
    if kind is None:
        raise Required("type")
    terms, required = TERMS.get(kind, (None, False))
    known = ["type", "symbol", *([terms] if terms else [])]
    known += ["late"] if kind in SPLITS else []
    known += ["new_symbol"] if kind is ActionKind.RENAME else []
    refuse_others(asked, tuple(known))
    return Event(
        kind=kind,
        symbol=_required_symbol(asked, "symbol"),
        terms=None if terms is None else _amount_in(asked, terms, required=required),
        new_symbol=_required_symbol(asked, "new_symbol") if kind is ActionKind.RENAME else None,
        late=_one_of(Late, asked, path="late"),
    )


def refuse_others(asked: Object, known: tuple[str, ...]) -> None:
    for name in asked:
        if name not in known:
            raise BadValue(f"{name}: unknown field, known are {', '.join(known)}")


def symbol_in(symbol: object, path: str = "symbol") -> str:
    found = text_in(symbol, path, longest=SYMBOL_MAX)
    if not found or not is_storable(found):
        raise Malformed(path, "invalid value")
    return found


def _required_symbol(asked: Object, path: str) -> str:
    if path not in asked:
        raise Required(path)
    return symbol_in(asked[path], path)


def _amount_in(asked: Object, path: str, *, required: bool) -> Decimal | None:
    if asked.get(path) is None:
        if required:
            raise Required(path)
        return None
    return decimal_in(asked[path], path)


def _one_of(kinds: type[K], asked: Object, *, path: str) -> K | None:
    value = asked.get(path)
    if value is None:
        return None
    found = next((kind for kind in kinds if kind == value), None)
    if found is None:
        raise Malformed(path, f"must be one of {', '.join(kinds)}")
    return found
