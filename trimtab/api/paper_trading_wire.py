"""Orders, positions and assets of the paper broker as its wire shows them: the vendor's keys and words."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from trimtab.api.alpaca_wire import DecimalText, Instant, Uuid
from trimtab.api.body import instant_text
from trimtab.brokers.broker import PRICE_PLACES
from trimtab.brokers.paper_assets import Listing
from trimtab.brokers.paper_orders import PaperOrder, client_id_of
from trimtab.brokers.paper_trading import Position, Standing
from trimtab.core.money import plain, round_down, round_nearest
from trimtab.core.run import OrderState, Side
from trimtab.core.sessions import Session

ORDER_WORDS = {
    OrderState.OPEN: "new",
    OrderState.FILLED: "filled",
    OrderState.CANCELED: "canceled",
    OrderState.REFUSED: "rejected",
}
PARTLY_FILLED = "partially_filled"
RATIO_PLACES = 9
COST_PLACES = 9
TimeOfDay = Annotated[str, msgspec.Meta(extra_json_schema={"examples": ["09:30"]})]


class BrokerOrderOut(msgspec.Struct, kw_only=True):
    id: Uuid
    client_order_id: str
    created_at: Instant
    updated_at: Instant
    submitted_at: Instant
    filled_at: Instant | None
    expired_at: None = None
    cancel_requested_at: Instant | None
    canceled_at: Instant | None
    failed_at: Instant | None
    replaced_at: None = None
    replaced_by: None = None
    replaces: None = None
    asset_id: Uuid
    symbol: str
    asset_class: Literal["us_equity"] = "us_equity"
    notional: DecimalText | None
    qty: DecimalText | None
    filled_qty: DecimalText
    filled_avg_price: DecimalText | None
    order_class: Literal[""] = ""
    order_type: Literal["market", "limit"]
    type: Literal["market", "limit"]
    side: Side
    position_intent: Literal["buy_to_open", "sell_to_close"]
    time_in_force: Literal["day"] = "day"
    limit_price: DecimalText | None
    stop_price: None = None
    status: Annotated[
        str, msgspec.Meta(extra_json_schema={"enum": sorted([PARTLY_FILLED, *ORDER_WORDS.values()])})
    ]
    extended_hours: bool = False
    legs: None = None
    trail_percent: None = None
    trail_price: None = None
    hwm: None = None
    commission: Literal["0"] = "0"
    subtag: None = None
    source: None = None


class CanceledOut(msgspec.Struct, kw_only=True):
    """One order of many, and how the request to cancel it was answered."""

    id: Uuid
    status: Literal[200] = 200


class ClosingOut(msgspec.Struct, kw_only=True):
    """One position of many: the order that is to close it, or the code and message of its refusal."""

    symbol: str
    status: int
    body: dict[str, Any]


class PositionOut(msgspec.Struct, kw_only=True):
    """Values are null where the market has no price. It keeps no prices of the day before: nothing has
    changed since.
    """

    asset_id: Uuid
    symbol: str
    exchange: Literal[""] = ""
    asset_class: Literal["us_equity"] = "us_equity"
    asset_marginable: bool = False
    qty: DecimalText
    qty_available: DecimalText
    side: Literal["long"] = "long"
    avg_entry_price: DecimalText
    cost_basis: DecimalText
    market_value: DecimalText | None
    current_price: DecimalText | None
    lastday_price: DecimalText | None
    change_today: Literal["0"] = "0"
    unrealized_pl: DecimalText | None
    unrealized_plpc: DecimalText | None
    unrealized_intraday_pl: Literal["0"] = "0"
    unrealized_intraday_plpc: Literal["0"] = "0"


class BrokerAssetOut(msgspec.Struct, kw_only=True):
    id: Uuid
    asset_class: Literal["us_equity"] = msgspec.field(name="class", default="us_equity")
    exchange: Literal[""] = ""
    symbol: str
    name: str
    status: Literal["active", "inactive"]
    tradable: bool
    fractionable: bool
    marginable: bool = False
    shortable: bool = False
    easy_to_borrow: bool = False
    maintenance_margin_requirement: Literal[100] = 100
    attributes: list[str] = msgspec.field(default_factory=list)


class MarketClockOut(msgspec.Struct, kw_only=True):
    timestamp: Instant
    is_open: bool
    next_open: Instant
    next_close: Instant


class SessionOut(msgspec.Struct, kw_only=True):
    """A trading day in the market's own time."""

    date: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date"})]
    open: TimeOfDay
    close: TimeOfDay
    session_open: str
    session_close: str
    settlement_date: Annotated[str, msgspec.Meta(extra_json_schema={"format": "date"})]


class HistoryOut(msgspec.Struct, kw_only=True):
    """One point: the market keeps no prices of the past. `base_value` is what was paid in, less what was
    paid out. The vendor writes these amounts as JSON numbers.
    """

    timestamp: list[int]
    equity: list[Decimal]
    profit_loss: list[Decimal]
    profit_loss_pct: list[Decimal | None]
    base_value: Decimal
    timeframe: Literal["1D"] = "1D"
    cashflow: dict[str, Any] = msgspec.field(default_factory=dict)


def order_out(order: PaperOrder, asset_id: str) -> BrokerOrderOut:
    partly = order.state is OrderState.OPEN and order.filled_quantity > 0
    updated = instant_text(order.updated_at)
    submitted = instant_text(order.submitted_at)
    canceled = updated if order.state is OrderState.CANCELED else None
    kind: Literal["market", "limit"] = "market" if order.worst_price is None else "limit"
    return BrokerOrderOut(
        id=order.broker_order_id,
        client_order_id=client_id_of(order),
        created_at=submitted,
        updated_at=updated,
        submitted_at=submitted,
        filled_at=updated if order.state is OrderState.FILLED else None,
        cancel_requested_at=canceled,
        canceled_at=canceled,
        failed_at=updated if order.state is OrderState.REFUSED else None,
        asset_id=asset_id,
        symbol=order.symbol,
        notional=_optional(order.notional),
        qty=_optional(order.quantity),
        filled_qty=plain(order.filled_quantity),
        filled_avg_price=_average(order.filled_value, order.filled_quantity),
        order_type=kind,
        type=kind,
        side=order.side,
        position_intent="buy_to_open" if order.side is Side.BUY else "sell_to_close",
        limit_price=_optional(order.worst_price),
        status=PARTLY_FILLED if partly else ORDER_WORDS[order.state],
    )


def position_out(position: Position) -> PositionOut:
    # What is left of a cost after a sale has as many places as the shares that were sold.
    value, cost = position.market_value, round_nearest(position.cost, COST_PLACES)
    gain = None if value is None else value - cost
    price = _optional(position.listing.price)
    return PositionOut(
        asset_id=position.listing.asset.asset_id,
        symbol=position.listing.asset.symbol,
        qty=plain(position.quantity),
        qty_available=plain(position.available),
        avg_entry_price=plain(round_nearest(position.cost / position.quantity, COST_PLACES)),
        cost_basis=plain(cost),
        market_value=_optional(value),
        current_price=price,
        lastday_price=price,
        unrealized_pl=_optional(gain),
        unrealized_plpc=None if gain is None or not cost else plain(round_down(gain / cost, RATIO_PLACES)),
    )


def asset_out(listing: Listing) -> BrokerAssetOut:
    asset = listing.asset
    return BrokerAssetOut(
        id=asset.asset_id,
        symbol=asset.symbol,
        name=asset.symbol,
        status="active" if asset.active else "inactive",
        tradable=asset.tradable and listing.price is not None,
        fractionable=asset.fractionable,
        attributes=["fractional_eh_enabled"] if asset.fractionable else [],
    )


def session_out(session: Session, times: Sequence[datetime]) -> SessionOut:
    """A session with its open and close in the market's time."""
    opens, closes = times
    on = session.on.isoformat()
    return SessionOut(
        date=on,
        open=f"{opens:%H:%M}",
        close=f"{closes:%H:%M}",
        session_open=f"{opens:%H%M}",
        session_close=f"{closes:%H%M}",
        settlement_date=on,
    )


def history_out(standing: Standing, paid_in: Decimal, *, now: datetime) -> HistoryOut:
    equity = standing.account.holdings.cash + standing.market_value
    gain, base = equity - paid_in, paid_in
    return HistoryOut(
        timestamp=[int(now.timestamp())],
        equity=[_short(equity)],
        profit_loss=[_short(gain)],
        profit_loss_pct=[round_down(gain / base, RATIO_PLACES) if base else None],
        base_value=_short(base),
    )


def _average(value: Decimal, quantity: Decimal) -> str | None:
    """With as many places as a price may have: the average of one execution is its price."""
    return plain(round_down(value / quantity, PRICE_PLACES)) if quantity else None


def _short(value: Decimal) -> Decimal:
    """A number without trailing zeros."""
    return Decimal(plain(value))


def _optional(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
