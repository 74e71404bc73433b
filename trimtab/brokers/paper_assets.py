"""The paper broker's assets with their last prices, and the table they lie in."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid5

from trimtab.brokers.broker import Asset
from trimtab.core.money import QUANTITY_PLACES
from trimtab.database import Row, Tx

# Ids of assets are names in this namespace: the same on every machine and in every run.
ASSET_NAMESPACE = UUID("3b0a0b52-6f1c-4f0d-8a43-5d1d7a0c9e64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """An asset with its last price, if it ever had one."""

    asset: Asset
    price: Decimal | None

    @property
    def trading_price(self) -> Decimal | None:
        """The price it trades at now; None while it is halted."""
        return self.price if self.asset.active and self.asset.tradable else None

    @property
    def trading_places(self) -> int:
        return QUANTITY_PLACES if self.asset.fractionable else 0


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


def read_listings(tx: Tx, symbols: Collection[str]) -> dict[str, Listing]:
    return _listings(tx.rows("SELECT * FROM assets WHERE symbol IN :symbols", symbols=list(symbols)))


def read_all_listings(tx: Tx) -> dict[str, Listing]:
    return _listings(tx.rows("SELECT * FROM assets ORDER BY symbol"))


def store_listings(tx: Tx, listings: Iterable[Listing]) -> None:
    tx.many(
        """
        INSERT INTO assets (symbol, asset_id, active, tradable, fractionable, price)
        VALUES (:symbol, :asset_id, :active, :tradable, :fractionable, :price)
        ON CONFLICT (symbol) DO UPDATE SET active = excluded.active, tradable = excluded.tradable,
            fractionable = excluded.fractionable, price = excluded.price
        """,
        [
            {
                "symbol": listing.asset.symbol,
                "asset_id": listing.asset.asset_id,
                "active": int(listing.asset.active),
                "tradable": int(listing.asset.tradable),
                "fractionable": int(listing.asset.fractionable),
                "price": listing.price,
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
            ),
            price=None if row["price"] is None else Decimal(row["price"]),
        )
        for row in rows
    }
