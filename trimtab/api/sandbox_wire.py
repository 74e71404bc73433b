"""The shapes of the sandbox's answers: decimals as strings, weights in percent of equity."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from trimtab.api.body import instant_text
from trimtab.brokers.broker import Account, Asset
from trimtab.brokers.paper_actions import Event
from trimtab.brokers.paper_corporate import Done
from trimtab.brokers.paper_orders import LedgerOrder
from trimtab.core.money import HUNDRED, plain, round_down, round_nearest
from trimtab.core.plan import equity_of
from trimtab.core.run import OrderState

WEIGHT_PLACES = 6
PRICE_PLACES = 9

LEDGER_STATUSES = {
    OrderState.OPEN: "accepted",
    OrderState.FILLED: "filled",
    OrderState.CANCELED: "canceled",
    OrderState.REFUSED: "rejected",
}


class ClockOut(msgspec.Struct, kw_only=True):
    now: str
    simulated: bool


class AssetOut(msgspec.Struct, kw_only=True):
    symbol: str
    tradable: bool
    fractionable: bool
    status: str
    depth: str | None


class ActionOut(msgspec.Struct, kw_only=True):
    """`symbol` is the asset's now; `paid` is what all accounts together got, in dollars."""

    id: str
    type: str
    symbol: str
    price: str | None
    accounts: int
    paid: str
    late: str | None


class PositionOut(msgspec.Struct, kw_only=True):
    symbol: str
    qty: str
    price: str | None
    market_value: str | None
    weight: str | None


class AccountOut(msgspec.Struct, kw_only=True):
    """`equity` and the values are null where a price is missing."""

    account_id: str
    status: str
    cash: str
    equity: str | None
    positions: list[PositionOut]


class LedgerOrderOut(msgspec.Struct, kw_only=True):
    id: str
    client_order_id: str
    account_id: str
    symbol: str
    side: str
    qty: str | None
    notional: str | None
    filled_qty: str
    filled_avg_price: str | None
    status: str
    submitted_at: str
    filled_at: str | None
    canceled_at: str | None


class LedgerOut(msgspec.Struct, kw_only=True):
    orders: list[LedgerOrderOut]
    next_cursor: str | None


class SettledOut(msgspec.Struct, kw_only=True):
    evaluated: int
    runs_created: int
    runs_finished: int
    orders: int


def asset_out(asset: Asset) -> AssetOut:
    return AssetOut(
        symbol=asset.symbol,
        tradable=asset.tradable,
        fractionable=asset.fractionable,
        status="active" if asset.active else "inactive",
        depth=None if asset.depth is None else plain(asset.depth),
    )


def action_out(event: Event, done: Done) -> ActionOut:
    return ActionOut(
        id=done.ref,
        type=event.kind.value,
        symbol=done.symbol,
        price=None if done.price is None else plain(done.price),
        accounts=done.accounts,
        paid=plain(done.paid),
        late=None if done.late is None else done.late.value,
    )


def account_out(account: Account, prices: Mapping[str, Decimal]) -> AccountOut:
    priced = all(symbol in prices for symbol in account.holdings.positions)
    equity = equity_of(account.holdings, prices) if priced else None
    return AccountOut(
        account_id=account.account_id,
        status=account.status,
        cash=plain(account.holdings.cash),
        equity=None if equity is None else plain(equity),
        positions=[
            _position_out(symbol, quantity, price=prices.get(symbol), equity=equity)
            for symbol, quantity in sorted(account.holdings.positions.items())
        ],
    )


def _position_out(
    symbol: str, quantity: Decimal, *, price: Decimal | None, equity: Decimal | None
) -> PositionOut:
    value = None if price is None else quantity * price
    weight = None if value is None or not equity else round_nearest(HUNDRED * value / equity, WEIGHT_PLACES)
    return PositionOut(
        symbol=symbol,
        qty=plain(quantity),
        price=None if price is None else plain(price),
        market_value=None if value is None else plain(value),
        weight=None if weight is None else plain(weight),
    )


def ledger_order_out(order: LedgerOrder) -> LedgerOrderOut:
    partly = order.status is OrderState.OPEN and order.filled_qty > 0
    average = order.filled_avg_price
    return LedgerOrderOut(
        id=order.id,
        client_order_id=order.client_order_id,
        account_id=order.account_id,
        symbol=order.symbol,
        side=order.side.value,
        qty=None if order.qty is None else plain(order.qty),
        notional=None if order.notional is None else plain(order.notional),
        filled_qty=plain(order.filled_qty),
        filled_avg_price=None if average is None else plain(round_down(average, PRICE_PLACES)),
        status="partially_filled" if partly else LEDGER_STATUSES[order.status],
        submitted_at=instant_text(order.submitted_at),
        filled_at=_optional_instant(order.filled_at),
        canceled_at=_optional_instant(order.canceled_at),
    )


def _optional_instant(at: datetime | None) -> str | None:
    return None if at is None else instant_text(at)
