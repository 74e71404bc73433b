"""Orders and positions of the paper broker, on the vendor's wire."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from trimtab.api import paper_requests as requests
from trimtab.api import paper_trading_wire as wire
from trimtab.api.alpaca_call import READ, WRITE, Call, Closing, Command, Question, Removal
from trimtab.api.alpaca_errors import (
    DuplicateOrder,
    NotCancelable,
    NotCovered,
    OrderRefused,
    ReplyLost,
    told_of,
)
from trimtab.api.alpaca_once import Keep
from trimtab.api.alpaca_queries import OneOf
from trimtab.api.alpaca_shapes import BadValue, Required, Text
from trimtab.api.body import uuid_of
from trimtab.api.paper_accounts import TRADING
from trimtab.api.paper_values import SHARES, Count, Listed, Moment, PartOfWhole, WordFlag
from trimtab.brokers import paper_book, paper_trading
from trimtab.brokers.broker import Refused, Unknown
from trimtab.brokers.paper_holders import require_own
from trimtab.brokers.paper_market import Market
from trimtab.brokers.paper_orders import PaperOrder
from trimtab.brokers.paper_trading import OrderFilter, OrderRequest, Position, Taken
from trimtab.core.errors import BrokerDown, Malformed, NotFound
from trimtab.core.money import HUNDRED, round_down
from trimtab.core.run import Side
from trimtab.database import Tx

ORDERS = TRADING + "/orders"
POSITIONS = TRADING + "/positions"
ORDERS_DEFAULT, ORDERS_MAX = 50, 500
IS_OPEN = {"open": True, "closed": False, "all": None}


def create_order(call: Call, given: requests.OrderBody, *, keep: Keep) -> None:
    key = call.new_id()
    asked = OrderRequest(
        account_id=call.account_id,
        client_order_id=given.client_order_id or key,
        symbol=given.symbol,
        side=given.side,
        quantity=given.quantity,
        notional=given.notional,
        worst_price=given.limit_price,
    )
    shown = _placed(call, asked)
    call.desk.db.write(lambda tx: keep(tx, shown))


def _placed(call: Call, asked: OrderRequest) -> wire.BrokerOrderOut:
    """The order, once the market has taken it. Raises a refusal that says why it has not, or ReplyLost."""

    def work(tx: Tx, market: Market) -> PaperOrder | Taken | Refused | Unknown:
        require_own(tx, call.tenant_id, asked.account_id)
        return paper_trading.place(tx, market, asked)

    answer = call.market.act(work)
    call.desk.bell.ring()
    match answer:
        case Taken(order=order, is_same=True) if call.is_repeatable:
            return _shown(call, [order])[0]
        case Taken():
            raise DuplicateOrder
        case paper_book.NotCovered(reason=reason):
            raise NotCovered(f"insufficient buying power: {reason}")
        case Refused(reason=reason):
            raise OrderRefused(reason)
        case Unknown():
            raise ReplyLost
        case _:
            return _shown(call, [answer])[0]


def _shown(call: Call, orders: Sequence[PaperOrder]) -> list[wire.BrokerOrderOut]:
    assets = call.market.assets({order.symbol for order in orders})
    return [wire.order_out(order, assets[order.symbol].asset_id) for order in orders]


def list_orders(call: Call) -> Sequence[wire.BrokerOrderOut]:
    query = call.query
    wanted = OrderFilter(
        open=IS_OPEN[query["status"] or "open"],
        after=query["after"],
        until=query["until"],
        newest_first=query["direction"] != "asc",
        side=query["side"],
        symbols=query["symbols"],
        limit=query["limit"] or ORDERS_DEFAULT,
    )

    def read(tx: Tx) -> list[PaperOrder]:
        require_own(tx, call.tenant_id, call.account_id)
        return paper_trading.list_orders(tx, call.account_id, wanted)

    return _shown(call, call.market.ask(read))


def show_order(call: Call) -> wire.BrokerOrderOut:
    def read(tx: Tx) -> PaperOrder:
        require_own(tx, call.tenant_id, call.account_id)
        return paper_trading.read_order(tx, call.account_id, call.id)

    return _shown(call, [call.market.ask(read)])[0]


def show_order_by_client_order_id(call: Call) -> wire.BrokerOrderOut:
    named = call.query["client_order_id"]

    def read(tx: Tx) -> PaperOrder:
        require_own(tx, call.tenant_id, call.account_id)
        return paper_trading.read_order_named(tx, call.account_id, named)

    return _shown(call, [call.market.ask(read)])[0]


def cancel_order(call: Call) -> None:
    def work(tx: Tx, market: Market) -> bool:
        require_own(tx, call.tenant_id, call.account_id)
        return paper_trading.cancel_one(tx, market, call.account_id, broker_order_id=call.id)

    canceled = call.market.act(work)
    call.desk.bell.ring()
    if not canceled:
        raise NotCancelable("order")


def cancel_orders(call: Call) -> Sequence[wire.CanceledOut]:
    return [wire.CanceledOut(id=order.broker_order_id) for order in _canceled(call)]


def _canceled(call: Call) -> list[PaperOrder]:
    def work(tx: Tx, market: Market) -> list[PaperOrder]:
        require_own(tx, call.tenant_id, call.account_id)
        return paper_trading.cancel_all(tx, market, call.account_id)

    canceled = call.market.act(work)
    call.desk.bell.ring()
    return canceled


def list_positions(call: Call) -> Sequence[wire.PositionOut]:
    return [wire.position_out(position) for position in _positions(call)]


def show_position(call: Call) -> wire.PositionOut:
    return wire.position_out(_position(call))


def _positions(call: Call) -> Sequence[Position]:
    now = call.desk.clock()

    def read(tx: Tx) -> Sequence[Position]:
        require_own(tx, call.tenant_id, call.account_id)
        return paper_trading.read_positions(tx, call.account_id, now=now)

    return call.market.ask(read)


def _position(call: Call) -> Position:
    """The position that the path names by its symbol or its asset's id."""
    name = call.names["symbol"]
    named = {name, uuid_of(name)}
    found = [p for p in _positions(call) if named & {p.listing.asset.symbol, p.listing.asset.asset_id}]
    if not found:
        raise NotFound("position", name)
    return found[0]


def close_position(call: Call) -> wire.BrokerOrderOut:
    """Sell all of it, or the part that is asked for."""
    quantity, percentage = call.query["qty"], call.query["percentage"]
    if quantity is not None and percentage is not None:
        raise BadValue("only one of qty or percentage is accepted")
    position = _position(call)
    if percentage is not None:
        places = position.listing.trading_places
        quantity = round_down(position.quantity * percentage / HUNDRED, places)
    return _placed(call, _sale(call, position, quantity=quantity or position.quantity))


def close_positions(call: Call) -> Sequence[wire.ClosingOut]:
    if call.query["cancel_orders"]:
        _canceled(call)
    return list(_closed(call, _positions(call)))


def _closed(call: Call, positions: Sequence[Position]) -> Iterable[wire.ClosingOut]:
    for position in positions:
        symbol = position.listing.asset.symbol
        try:
            order = _placed(call, _sale(call, position, quantity=position.quantity))
        except (NotCovered, OrderRefused) as error:
            told = told_of(error)
            yield wire.ClosingOut(symbol=symbol, status=told.status, body=told.body)
        else:
            yield wire.ClosingOut(symbol=symbol, status=200, body=msgspec.to_builtins(order))


def _sale(call: Call, position: Position, *, quantity: Decimal) -> OrderRequest:
    return OrderRequest(
        account_id=call.account_id,
        client_order_id=call.desk.new_id(),
        symbol=position.listing.asset.symbol,
        side=Side.SELL,
        quantity=quantity,
        notional=None,
        worst_price=None,
    )


_ACCOUNT = (NotFound("account", ""), BrokerDown())
_ORDER = (NotFound("order", ""), BrokerDown())
_POSITION = (NotFound("position", ""), BrokerDown())

OPERATIONS = (
    Command(
        method="POST",
        path=ORDERS,
        scope=WRITE,
        summary="Ask for an order: shares or dollars, at the market or within a limit",
        act=create_order,
        takes=requests.ORDER,
        gives=wire.BrokerOrderOut,
        refuses=(
            Required("symbol"),
            Malformed("side", "invalid value"),
            BadValue("qty or notional is required"),
            NotCovered("costs $500, only $100 is free"),
            DuplicateOrder(),
            OrderRefused("no asset XYZ"),
            OrderRefused("a buy is for at least $1"),
            *_ACCOUNT,
        ),
    ),
    Question(
        path=ORDERS,
        scope=READ,
        summary="List orders, those that are open unless `status` says otherwise, the newest first",
        act=list_orders,
        gives=wire.BrokerOrderOut,
        is_list=True,
        query={
            "status": OneOf({word: word for word in IS_OPEN}),
            "limit": Count(1, ORDERS_MAX),
            "after": Moment(),
            "until": Moment(),
            "direction": OneOf({"asc": "asc", "desc": "desc"}),
            "nested": WordFlag(),
            "side": OneOf({side.value: side for side in Side}),
            "symbols": Listed(),
        },
        refuses=(Malformed("status", "invalid value"), *_ACCOUNT),
    ),
    Closing(
        path=ORDERS,
        scope=WRITE,
        summary="Cancel all open orders of an account",
        act=cancel_orders,
        gives=wire.CanceledOut,
        is_list=True,
        status=207,
        refuses=_ACCOUNT,
    ),
    Question(
        path=ORDERS + ":by_client_order_id",
        scope=READ,
        summary="Show the order with an id of the client's own",
        act=show_order_by_client_order_id,
        gives=wire.BrokerOrderOut,
        query={"client_order_id": Text(requests.CLIENT_ORDER_ID_MAX, least=1)},
        needs=("client_order_id",),
        refuses=(Required("client_order_id"), *_ORDER),
    ),
    Question(
        path=ORDERS + "/{order_id}",
        scope=READ,
        summary="Show an order",
        act=show_order,
        gives=wire.BrokerOrderOut,
        query={"nested": WordFlag()},
        refuses=(Malformed("nested", "must be true or false"), *_ORDER),
    ),
    Removal(
        path=ORDERS + "/{order_id}",
        scope=WRITE,
        summary="Cancel an order; what has filled stays",
        act=cancel_order,
        refuses=(NotCancelable("order"), *_ORDER),
    ),
    Question(
        path=POSITIONS,
        scope=READ,
        summary="List positions with what they cost and what they are worth",
        act=list_positions,
        gives=wire.PositionOut,
        is_list=True,
        refuses=_ACCOUNT,
    ),
    Closing(
        path=POSITIONS,
        scope=WRITE,
        summary="Sell everything, once open orders are canceled if that is asked for",
        act=close_positions,
        gives=wire.ClosingOut,
        is_list=True,
        status=207,
        query={"cancel_orders": WordFlag()},
        refuses=(Malformed("cancel_orders", "must be true or false"), *_ACCOUNT),
    ),
    Question(
        path=POSITIONS + "/{symbol}",
        scope=READ,
        summary="Show a position by its symbol or its asset's id",
        act=show_position,
        gives=wire.PositionOut,
        refuses=_POSITION,
    ),
    Closing(
        path=POSITIONS + "/{symbol}",
        scope=WRITE,
        summary="Sell a position, or `qty` shares or a `percentage` of it",
        act=close_position,
        gives=wire.BrokerOrderOut,
        status=200,
        query={"qty": SHARES, "percentage": PartOfWhole()},
        refuses=(
            BadValue("only one of qty or percentage is accepted"),
            NotCovered("only 1 shares of SPY are free to be sold"),
            OrderRefused("asset SPY is not tradable"),
            *_POSITION,
        ),
    ),
)
