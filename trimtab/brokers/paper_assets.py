"""The paper broker's assets with their last prices, and the table they lie in."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid5

from trimtab.brokers.broker import Asset
from trimtab.brokers.paper_orders import PaperOrder
from trimtab.core.money import (
    BASIS_POINTS,
    CENT_PLACES,
    QUANTITY_PLACES,
    ZERO,
    divide_down,
    divide_up,
    plain,
)
from trimtab.core.run import Order, Side
from trimtab.database import Row, Tx

# Ids of assets are names in this namespace: the same on every machine and in every run.
ASSET_NAMESPACE = UUID("3b0a0b52-6f1c-4f0d-8a43-5d1d7a0c9e64")
# Of prices that follow from a depth; a price that was set is traded at with all its digits.
MOVED_PRICE_PLACES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An asset with its last price, if it ever had one; it does not trade while a split is not complete."""

    asset: Asset
    price: Decimal | None
    splits: bool = False

    @property
    def trading_price(self) -> Decimal | None:
        """The price it trades at now; None while it is halted."""
        return self.price if self.asset.active and self.asset.tradable and not self.splits else None

    @property
    def trading_places(self) -> int:
        return QUANTITY_PLACES if self.asset.fractionable else 0

    def price_for(self, order: Order | PaperOrder) -> Decimal:
        """The price at which every share of the order trades now, rounded against whoever sent it.

        It is zero if a sell is worth as much as the whole market: nobody is left to buy.
        """
        assert self.price is not None, "what never had a price is not traded"
        depth = self.asset.depth
        if depth is None:
            return self.price
        worth = self._worth(order)
        if order.side is Side.BUY:
            return divide_up(self.price * (depth + worth), depth, to_places=MOVED_PRICE_PLACES)
        return divide_down(self.price * max(depth - worth, ZERO), depth, to_places=MOVED_PRICE_PLACES)

    def why_not_at(self, price: Decimal, order: PaperOrder) -> str | None:
        """Why the order must not execute at the price that the market has for it; None if it may."""
        if price == 0:
            return f"the market of {order.symbol} is not deep enough for it"
        if order.worst_price is not None and order.side.is_worse(price, order.worst_price):
            return f"its price would be ${plain(price)}, its limit is ${plain(order.worst_price)}"
        return self._why_too_much(order)

    def _why_too_much(self, order: PaperOrder) -> str | None:
        depth, most = self.asset.depth, order.impact_bps_max
        if depth is None or most is None:
            return None
        moved = self._worth(order) * BASIS_POINTS
        if moved <= most * depth:
            return None
        shown = plain(divide_up(moved, depth, to_places=CENT_PLACES))
        return f"it would move the price by {shown} basis points, its limit is {most}"

    def _worth(self, order: Order | PaperOrder) -> Decimal:
        """Dollars, of the whole order and not of what is left of it: parts move the market together."""
        assert self.price is not None, "what never had a price is not traded"
        if order.quantity is not None:
            return order.quantity * self.price
        assert order.notional is not None, "quantity or notional"
        return order.notional


def new_listing(symbol: str) -> Listing:
    """An asset that may be traded in every way, once it has a price."""
    asset = Asset(
        symbol=symbol,
        asset_id=str(uuid5(ASSET_NAMESPACE, symbol)),
        active=True,
        tradable=True,
        fractionable=True,
    )
    return Listing(asset=asset, price=None)


_LISTINGS = """
    SELECT assets.*, EXISTS (
        SELECT 1 FROM corporate_actions AS c WHERE c.asset_id = assets.asset_id AND c.late IS NOT NULL
    ) AS splits FROM assets
"""


def read_listings(tx: Tx, symbols: Collection[str]) -> dict[str, Listing]:
    return _listings(tx.rows(f"{_LISTINGS} WHERE symbol IN :symbols", symbols=list(symbols)))


def read_prices(tx: Tx, symbols: Collection[str]) -> dict[str, Decimal]:
    """Last prices; symbols that never had one are absent."""
    rows = tx.rows(
        "SELECT symbol, price FROM assets WHERE symbol IN :symbols AND price IS NOT NULL",
        symbols=list(symbols),
    )
    return {row["symbol"]: Decimal(row["price"]) for row in rows}


def read_all_listings(tx: Tx) -> dict[str, Listing]:
    return _listings(tx.rows(f"{_LISTINGS} ORDER BY symbol"))


def store_listings(tx: Tx, listings: Iterable[Listing]) -> None:
    tx.many(
        """
        INSERT INTO assets (symbol, asset_id, active, tradable, fractionable, price, depth)
        VALUES (:symbol, :asset_id, :active, :tradable, :fractionable, :price, :depth)
        ON CONFLICT (symbol) DO UPDATE SET active = excluded.active, tradable = excluded.tradable,
            fractionable = excluded.fractionable, price = excluded.price, depth = excluded.depth
        """,
        [
            {
                "symbol": listing.asset.symbol,
                "asset_id": listing.asset.asset_id,
                "active": int(listing.asset.active),
                "tradable": int(listing.asset.tradable),
                "fractionable": int(listing.asset.fractionable),
                "price": listing.price,
                "depth": listing.asset.depth,
            }
            for listing in listings
        ],
    )


def _listings(rows: Iterable[Row]) -> dict[str, Listing]:
    return {
        row["symbol"]: Listing(
            asset=Asset(
                symbol=row["symbol"],
                asset_id=row["asset_id"],
                active=bool(row["active"]),
                tradable=bool(row["tradable"]),
                fractionable=bool(row["fractionable"]),
                depth=_decimal(row["depth"]),
            ),
            price=_decimal(row["price"]),
            splits=bool(row["splits"]),
        )
        for row in rows
    }


def _decimal(stored: str | Decimal | None) -> Decimal | None:
    return None if stored is None else Decimal(stored)
