"""The paper broker's corporate actions: what happened to its assets, and the tables that it lies in.

An asset keeps its id when it gets another symbol. A symbol that was given up stays its, so that whoever
asks by it is told the present one.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trimtab.brokers.broker import Asset
from trimtab.brokers.paper_assets import read_listings
from trimtab.core.corporate import CorporateAction, Late, Payout, Rename, Split
from trimtab.core.errors import CorporateActionRefused
from trimtab.database import Row, Tx, micros


class ActionKind(StrEnum):
    SPLIT = "split"
    REVERSE_SPLIT = "reverse_split"
    RENAME = "rename"
    DELIST = "delist"
    CASH_DIVIDEND = "cash_dividend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One corporate action as it was asked for. `terms` are new shares per old one (split), old ones per
    new one (reverse split), or dollars per share; `late` is the half of a split that is to follow.
    """

    kind: ActionKind
    symbol: str
    terms: Decimal | None = None
    new_symbol: str | None = None
    late: Late | None = None

    def as_split(self, ref: str) -> Split:
        assert self.terms is not None, "a split has a ratio"
        one, many = Decimal(1), self.terms
        new, old = (many, one) if self.kind is ActionKind.SPLIT else (one, many)
        return Split(id=ref, symbol=self.symbol, new=new, old=old, late=self.late)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event under its number."""

    number: int
    event: Event

    @property
    def ref(self) -> str:
        return f"{self.event.kind}:{self.number}"

    @property
    def as_seen(self) -> CorporateAction | None:
        """In the words of the broker protocol; None if it changes no position."""
        match self.event:
            case Event(kind=ActionKind.SPLIT | ActionKind.REVERSE_SPLIT):
                return self.event.as_split(self.ref)
            case Event(symbol=symbol, new_symbol=str(new_symbol)):
                return Rename(id=self.ref, symbol=symbol, new_symbol=new_symbol)
            case Event(kind=ActionKind.DELIST, symbol=symbol, terms=Decimal()):
                return Payout(id=self.ref, symbol=symbol)
            case _:
                return None


def record(tx: Tx, asset_id: str, event: Event, *, at: datetime) -> Recorded:
    number = int(tx.rows("SELECT COALESCE(MAX(number), 0) + 1 AS n FROM corporate_actions")[0]["n"])
    tx.execute(
        """
        INSERT INTO corporate_actions (number, at, asset_id, kind, symbol, new_symbol, terms, late)
        VALUES (:number, :at, :asset_id, :kind, :symbol, :new_symbol, :terms, :late)
        """,
        number=number,
        at=micros(at),
        asset_id=asset_id,
        kind=event.kind.value,
        symbol=event.symbol,
        new_symbol=event.new_symbol,
        terms=event.terms,
        late=None if event.late is None else event.late.value,
    )
    return Recorded(number=number, event=event)


def read_late(tx: Tx, asset_id: str) -> Recorded | None:
    """The asset's split that is not complete."""
    row = tx.row(
        "SELECT * FROM corporate_actions WHERE asset_id = :asset_id AND late IS NOT NULL", asset_id=asset_id
    )
    return None if row is None else _recorded(row)


def complete(tx: Tx, number: int) -> None:
    tx.execute("UPDATE corporate_actions SET late = NULL WHERE number = :number", number=number)


def complete_prices(tx: Tx, symbols: Collection[str]) -> None:
    """Splits of these that only lacked a price are complete: it has come."""
    tx.execute(
        """
        UPDATE corporate_actions SET late = NULL WHERE late = 'price'
            AND asset_id IN (SELECT asset_id FROM assets WHERE symbol IN :symbols)
        """,
        symbols=list(symbols),
    )


def read_assets(tx: Tx, symbols: Collection[str]) -> dict[str, Asset]:
    """Assets by a symbol that they have or had, with their corporate actions; unknown symbols are absent."""
    assets = {symbol: listing.asset for symbol, listing in read_listings(tx, symbols).items()}
    former = _present_symbols(tx, set(symbols) - assets.keys())
    if former:
        listings = read_listings(tx, former.values())
        assets |= {symbol: listings[present].asset for symbol, present in former.items()}
    actions: dict[str, list[CorporateAction]] = {}
    for row in tx.rows(
        "SELECT * FROM corporate_actions WHERE asset_id IN :ids ORDER BY number",
        ids=[asset.asset_id for asset in assets.values()],
    ):
        seen = _recorded(row).as_seen
        if seen is not None:
            actions.setdefault(row["asset_id"], []).append(seen)
    return {
        symbol: replace(asset, actions=tuple(actions[asset.asset_id])) if asset.asset_id in actions else asset
        for symbol, asset in assets.items()
    }


def refuse_former(tx: Tx, symbols: Collection[str]) -> None:
    """A symbol that an asset has given up is nobody else's: what was written with it still means that one."""
    for symbol, present in _present_symbols(tx, symbols).items():
        raise CorporateActionRefused(f"{symbol} is now {present}")


def give_up_symbol(tx: Tx, asset_id: str, *, symbol: str, new_symbol: str) -> None:
    tx.execute(
        "DELETE FROM former_symbols WHERE symbol = :symbol AND asset_id = :asset_id",
        symbol=new_symbol,
        asset_id=asset_id,
    )
    tx.execute(
        "INSERT INTO former_symbols (symbol, asset_id) VALUES (:symbol, :asset_id)",
        symbol=symbol,
        asset_id=asset_id,
    )
    tx.execute(
        "UPDATE assets SET symbol = :new_symbol WHERE asset_id = :asset_id",
        asset_id=asset_id,
        new_symbol=new_symbol,
    )


def _present_symbols(tx: Tx, symbols: Collection[str]) -> dict[str, str]:
    """What those of the symbols that were given up have become."""
    if not symbols:
        return {}
    rows = tx.rows(
        """
        SELECT f.symbol AS former, a.symbol AS present FROM former_symbols AS f
        JOIN assets AS a ON a.asset_id = f.asset_id WHERE f.symbol IN :symbols ORDER BY f.symbol
        """,
        symbols=list(symbols),
    )
    return {row["former"]: row["present"] for row in rows}


def _recorded(row: Row) -> Recorded:
    event = Event(
        kind=ActionKind(row["kind"]),
        symbol=row["symbol"],
        new_symbol=row["new_symbol"],
        terms=None if row["terms"] is None else Decimal(row["terms"]),
        late=None if row["late"] is None else Late(row["late"]),
    )
    return Recorded(number=row["number"], event=event)
