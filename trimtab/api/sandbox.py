"""The sandbox: a market of one's own over HTTP, with a clock that stands still until it is set.

Only mounted when it is switched on. It takes the keys of `/v1` and answers failures in its shape.
Clock, prices, assets, faults and settling belong to the installation; accounts and orders to a tenant.
"""

import re
import threading
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Litestar, get, post, put
from litestar.params import Dependency

from trimtab.api.alpaca_errors import error_response
from trimtab.api.alpaca_requests import BadValue, Required, id_in
from trimtab.api.alpaca_routes import row_position, row_token
from trimtab.api.auth import Caller
from trimtab.api.body import (
    Number,
    Object,
    decimal_in,
    flag_in,
    instant_in,
    instant_text,
    is_storable,
    text_in,
)
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.brokers.broker import Asset
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_orders import LedgerOrder
from trimtab.core.errors import ClockRunsForward, Malformed, NotFound
from trimtab.core.money import CENT_PLACES, HUNDRED, ZERO, parse_decimal, plain, round_down, round_nearest
from trimtab.core.plan import equity_of
from trimtab.core.run import OrderState
from trimtab.engine.local import settle
from trimtab.engine.strategy_actions import review_assets
from trimtab.store import sandbox, shards

ORDERS_MAX = 1000
WEIGHT_PLACES = 6
PRICE_PLACES = 9
SYMBOL_MAX = 64

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


@dataclass(frozen=True, slots=True)
class Market:
    """The market behind the sandbox, and the lock that lets one `settle` work at a time."""

    paper: PaperBroker
    settling: threading.Lock


Playground = Annotated[Market, Dependency(skip_validation=True)]


def sandbox_application(front: FrontDesk, paper: PaperBroker) -> Litestar:
    playground = Market(paper, threading.Lock())
    return sub_application(front, ROUTES, error_response, playground=playground)


@get("/sandbox/clock", sync_to_thread=True)
def show_clock(front: Front, request: AnyRequest) -> ClockOut:
    front.admit(request, None)
    return _clock_out(front)


@put("/sandbox/clock", sync_to_thread=True)
def set_clock(front: Front, request: AnyRequest, body: bytes) -> ClockOut:
    front.admit(request, None)
    asked = front.body(request, body)
    if "now" not in asked:
        raise Required("now")
    now = instant_in(asked["now"], "now")
    for sessions in front.desk.calendars.values():
        # Refused here, or every later call would have to refuse to decide.
        sessions.next_open(now)
        sessions.current(now)
    if not front.desk.db.write(lambda tx: sandbox.set_clock(tx, now)):
        raise ClockRunsForward(front.desk.clock())
    return _clock_out(front)


def _clock_out(front: FrontDesk) -> ClockOut:
    is_set = front.desk.db.read(sandbox.clock) is not None
    return ClockOut(now=instant_text(front.desk.clock()), simulated=is_set)


@put("/sandbox/prices", sync_to_thread=True)
def set_prices(front: Front, playground: Playground, request: AnyRequest, body: bytes) -> dict[str, str]:
    front.admit(request, None)
    asked = front.body(request, body)
    prices = {_symbol_in(symbol): _positive_in(price, symbol) for symbol, price in asked.items()}
    return {symbol: plain(price) for symbol, price in sorted(playground.paper.set_prices(prices).items())}


def _symbol_in(symbol: object, path: str = "symbol") -> str:
    found = text_in(symbol, path, longest=SYMBOL_MAX)
    if not found or not is_storable(found):
        raise Malformed(path, "invalid value")
    return found


def _positive_in(value: object, path: str) -> Decimal:
    amount = decimal_in(value, path)
    if amount <= 0:
        raise BadValue(f"{path}: must be greater than 0")
    return amount


@put("/sandbox/assets/{symbol:str}", sync_to_thread=True)
def set_asset(
    front: Front, playground: Playground, request: AnyRequest, symbol: str, body: bytes
) -> AssetOut:
    front.admit(request, None)
    asked = front.body(request, body)
    _refuse_others(asked, ("tradable", "fractionable", "status"))
    status = asked.get("status")
    if status not in (None, "active", "inactive"):
        raise Malformed("status", "invalid value")
    flags = {name: flag_in(asked[name], name) for name in ("tradable", "fractionable") if name in asked}
    asset = playground.paper.set_asset(
        _symbol_in(symbol), active=None if status is None else status == "active", **flags
    )
    review_assets(front.desk)
    return _asset_out(asset)


def _asset_out(asset: Asset) -> AssetOut:
    return AssetOut(
        symbol=asset.symbol,
        tradable=asset.tradable,
        fractionable=asset.fractionable,
        status="active" if asset.active else "inactive",
    )


def _refuse_others(asked: Object, known: tuple[str, ...]) -> None:
    for name in asked:
        if name not in known:
            raise BadValue(f"{name}: unknown field, known are {', '.join(known)}")


@post("/sandbox/accounts", status_code=200, sync_to_thread=True)
def open_account(
    front: Front, playground: Playground, request: AnyRequest, body: bytes
) -> dict[str, str]:
    caller = front.admit(request, None)
    asked = front.body(request, body)
    _refuse_others(asked, ("cash", "positions"))
    cash = ZERO if asked.get("cash") is None else _cents_in(asked["cash"], "cash")
    if cash < 0:
        raise BadValue("cash: must be 0 or more")
    positions = _positions_in(asked.get("positions"))
    account_id, now = front.desk.new_id(), front.desk.clock()
    playground.paper.open_account(account_id, caller.tenant_id, cash=cash, positions=positions)
    front.desk.db.write(
        lambda tx: shards.claim_account(tx, account_id, tenant_id=caller.tenant_id, now=now)
    )
    return {"account_id": account_id}


def _cents_in(value: object, path: str) -> Decimal:
    amount = decimal_in(value, path)
    if round_down(amount, CENT_PLACES) != amount:
        raise BadValue(f"{path}: at most two decimal places")
    return amount


def _positions_in(value: object) -> dict[str, Decimal]:
    if value is None:
        return {}
    if not isinstance(value, list):
        raise Malformed("positions", "invalid value")
    positions: dict[str, Decimal] = {}
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise Malformed(f"positions[{i}]", "invalid value")
        symbol = _symbol_in(item.get("symbol"), f"positions[{i}].symbol")
        if symbol in positions:
            raise BadValue(f"positions[{i}].symbol: {symbol} is there twice")
        positions[symbol] = _positive_in(item.get("qty"), f"positions[{i}].qty")
    return positions


@get("/sandbox/accounts/{account_id:str}", sync_to_thread=True)
def show_account(
    front: Front, playground: Playground, request: AnyRequest, account_id: str
) -> AccountOut:
    caller = front.admit(request, None)
    return _account_out(playground.paper, _own(playground.paper, caller, account_id))


@put("/sandbox/accounts/{account_id:str}", sync_to_thread=True)
def set_account_status(
    front: Front, playground: Playground, request: AnyRequest, account_id: str, body: bytes
) -> AccountOut:
    caller = front.admit(request, None)
    own = _own(playground.paper, caller, account_id)
    asked = front.body(request, body)
    _refuse_others(asked, ("status",))
    if "status" not in asked:
        raise Required("status")
    playground.paper.set_status(own, text_in(asked["status"], "status", longest=SYMBOL_MAX))
    return _account_out(playground.paper, own)


@post("/sandbox/accounts/{account_id:str}/cash", status_code=200, sync_to_thread=True)
def transfer_cash(
    front: Front, playground: Playground, request: AnyRequest, account_id: str, body: bytes
) -> AccountOut:
    caller = front.admit(request, None)
    own = _own(playground.paper, caller, account_id)
    asked = front.body(request, body)
    _refuse_others(asked, ("amount",))
    if "amount" not in asked:
        raise Required("amount")
    amount = _cents_in(asked["amount"], "amount")
    playground.paper.transfer(front.desk.new_id(), own, amount=amount)
    return _account_out(playground.paper, own)


def _own(paper: PaperBroker, caller: Caller, account_id: str) -> str:
    """The id of the caller's account; another tenant's account is missing."""
    own = id_in(account_id, "account_id")
    if paper.tenant_of(own) != caller.tenant_id:
        raise NotFound("account", own)
    return own


def _account_out(paper: PaperBroker, account_id: str) -> AccountOut:
    account = paper.account(account_id)
    prices = paper.current_prices(account.holdings.positions)
    priced = all(symbol in prices for symbol in account.holdings.positions)
    equity = equity_of(account.holdings, prices) if priced else None
    return AccountOut(
        account_id=account_id,
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


@put("/sandbox/faults", sync_to_thread=True)
def set_faults(
    front: Front, playground: Playground, request: AnyRequest, body: bytes
) -> dict[str, object]:
    front.admit(request, None)
    asked = {name: _plain_value(value) for name, value in front.body(request, body).items()}
    playground.paper.set_faults(asked)
    return front.body(request, body)


def _plain_value(value: object) -> object:
    """Numbers as decimals; all else as it came, for the broker to judge."""
    decimal = parse_decimal(value) if isinstance(value, Number) else None
    return value if decimal is None else decimal


@post("/sandbox/settle", status_code=200, sync_to_thread=True)
def settle_now(front: Front, playground: Playground, request: AnyRequest) -> SettledOut:
    front.admit(request, None)
    with playground.settling:
        settled = settle(front.desk)
    return SettledOut(
        evaluated=settled.evaluated,
        runs_created=settled.runs_created,
        runs_finished=settled.runs_finished,
        orders=settled.orders,
    )


@get("/sandbox/orders", sync_to_thread=True)
def list_orders(front: Front, playground: Playground, request: AnyRequest) -> LedgerOut:
    caller = front.admit(request, None)
    limit, cursor = request.query_params.get("limit"), request.query_params.get("cursor")
    if limit and not (re.fullmatch(r"[0-9]{1,4}", limit, re.ASCII) and 1 <= int(limit) <= ORDERS_MAX):
        raise Malformed("limit", f"must be between 1 and {ORDERS_MAX}")
    size = int(limit) if limit else ORDERS_MAX
    after = row_position(cursor, "cursor") if cursor else 0
    found = playground.paper.ledger_page(caller.tenant_id, after=after, limit=size + 1)
    more = len(found) > size
    return LedgerOut(
        orders=[_order_out(order) for order in found[:size]],
        next_cursor=row_token(found[size - 1].seq) if more else None,
    )


def _order_out(order: LedgerOrder) -> LedgerOrderOut:
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


ROUTES = [
    show_clock,
    set_clock,
    set_prices,
    set_asset,
    open_account,
    show_account,
    set_account_status,
    transfer_cash,
    set_faults,
    settle_now,
    list_orders,
]
