"""The sandbox: a market of one's own over HTTP, with a clock that stands still until it is set.

Only mounted when it is switched on. It takes the keys of `/v1` and answers failures in its shape.
Clock, prices, assets, corporate actions, faults and settling belong to the installation; accounts and
orders to a tenant.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from litestar import HttpMethod, Litestar, MediaType, Response, get, post, put, route
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation

from trimtab.api.alpaca_errors import error_response, ids_in_body
from trimtab.api.alpaca_queries import row_position, row_token
from trimtab.api.alpaca_shapes import BadValue, Required, id_in
from trimtab.api.auth import Caller
from trimtab.api.body import (
    Number,
    Object,
    decimal_in,
    flag_in,
    instant_in,
    instant_text,
    text_in,
)
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.api.sandbox_actions import SYMBOL_MAX, event_in, refuse_others, symbol_in
from trimtab.api.sandbox_wire import (
    AccountOut,
    ActionOut,
    AssetOut,
    ClockOut,
    LedgerOut,
    SettledOut,
    account_out,
    action_out,
    asset_out,
    ledger_order_out,
)
from trimtab.brokers.paper import PaperBroker
from trimtab.core.errors import ClockRunsForward, Malformed, NotFound
from trimtab.core.money import CENT_PLACES, ZERO, parse_decimal, plain, round_down
from trimtab.engine.local import settle
from trimtab.engine.publish import publish
from trimtab.engine.strategy_actions import review_assets
from trimtab.store import sandbox, shards

ORDERS_MAX = 1000


Paper = NamedDependency[SkipValidation[PaperBroker]]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The address of a market that is not ours to move: prices, assets, accounts and faults are set there."""

    url: str


def sandbox_application(front: FrontDesk, market: PaperBroker | Elsewhere) -> Litestar:
    """Without a market of one's own only clock and settling are here, and the rest says where it is."""
    if isinstance(market, Elsewhere):
        return sub_application(
            front, [show_clock, set_clock, settle_now, *_signposts(market)], error_response
        )
    return sub_application(front, ROUTES, error_response, paper=market)


def _signposts(market: Elsewhere) -> list[HTTPRouteHandler]:
    """What answers on the paths of the market, with its methods: the address of the market."""

    def point(front: Front, request: AnyRequest) -> Response[dict[str, object]]:
        front.admit(request, None)
        message = f"not here: the broker is at {market.url}"
        return Response({"code": 40410000, "message": message}, status_code=404)

    methods: dict[str, set[HttpMethod]] = {}
    for each in ROUTES:
        if each not in {show_clock, set_clock, settle_now}:
            for path in each.paths:
                methods.setdefault(path, set()).update(HttpMethod(m) for m in each.http_methods)
    return [
        route(path, http_method=sorted(known), sync_to_thread=True)(point) for path, known in methods.items()
    ]


def market_application(front: FrontDesk, paper: PaperBroker) -> Litestar:
    """The sandbox of a paper broker that is a program of its own: without an engine nothing is settled."""
    routes = [route for route in ROUTES if route is not settle_now]
    return sub_application(front, routes, error_response, paper=paper)


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
        sessions.before(sessions.first_ending_after(now).on)
    # What has happened bears the time at which it did, whenever it is read.
    publish(front.desk)
    if not front.desk.db.write(lambda tx: sandbox.set_clock(tx, now)):
        raise ClockRunsForward(front.desk.clock())
    return _clock_out(front)


def _clock_out(front: FrontDesk) -> ClockOut:
    is_set = front.desk.db.read(sandbox.clock) is not None
    return ClockOut(now=instant_text(front.desk.clock()), simulated=is_set)


@put("/sandbox/prices", sync_to_thread=True)
def set_prices(front: Front, paper: Paper, request: AnyRequest, body: bytes) -> dict[str, str]:
    front.admit(request, None)
    asked = front.body(request, body)
    prices = {symbol_in(symbol): _positive_in(price, symbol) for symbol, price in asked.items()}
    return {symbol: plain(price) for symbol, price in sorted(paper.set_prices(prices).items())}


def _positive_in(value: object, path: str) -> Decimal:
    amount = decimal_in(value, path)
    if amount <= 0:
        raise BadValue(f"{path}: must be greater than 0")
    return amount


@put("/sandbox/assets/{symbol:str}", sync_to_thread=True)
def set_asset(front: Front, paper: Paper, request: AnyRequest, symbol: str, body: bytes) -> AssetOut:
    front.admit(request, None)
    asked = front.body(request, body)
    refuse_others(asked, ("tradable", "fractionable", "status", "depth"))
    status = asked.get("status")
    if status not in (None, "active", "inactive"):
        raise Malformed("status", "invalid value")
    flags = {name: flag_in(asked[name], name) for name in ("tradable", "fractionable") if name in asked}
    asset = paper.set_asset(
        symbol_in(symbol),
        active=None if status is None else status == "active",
        depth=_depth_in(asked) if "depth" in asked else None,
        **flags,
    )
    review_assets(front.desk)
    return asset_out(asset)


def _depth_in(asked: Object) -> Decimal | Literal["endless"]:
    value = asked["depth"]
    return "endless" if value is None else _positive_in(value, "depth")


@post("/sandbox/corporate-actions", status_code=200, sync_to_thread=True)
def act_on_asset(front: Front, paper: Paper, request: AnyRequest, body: bytes) -> ActionOut:
    front.admit(request, None)
    event = event_in(front.body(request, body))
    with ids_in_body():
        done = paper.corporate_action(event)
    review_assets(front.desk)
    return action_out(event, done)


@post("/sandbox/accounts", status_code=200, sync_to_thread=True)
def open_account(front: Front, paper: Paper, request: AnyRequest, body: bytes) -> dict[str, str]:
    caller = front.admit(request, None)
    asked = front.body(request, body)
    refuse_others(asked, ("cash", "positions"))
    cash = ZERO if asked.get("cash") is None else _cents_in(asked["cash"], "cash")
    if cash < 0:
        raise BadValue("cash: must be 0 or more")
    positions = _positions_in(asked.get("positions"))
    account_id, now = front.desk.new_id(), front.desk.clock()
    paper.open_account(account_id, caller.tenant_id, cash=cash, positions=positions)
    front.desk.db.write(lambda tx: shards.claim_account(tx, account_id, tenant_id=caller.tenant_id, now=now))
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
        symbol = symbol_in(item.get("symbol"), f"positions[{i}].symbol")
        if symbol in positions:
            raise BadValue(f"positions[{i}].symbol: {symbol} is there twice")
        positions[symbol] = _positive_in(item.get("qty"), f"positions[{i}].qty")
    return positions


@get("/sandbox/accounts/{account_id:str}", sync_to_thread=True)
def show_account(front: Front, paper: Paper, request: AnyRequest, account_id: str) -> AccountOut:
    caller = front.admit(request, None)
    return _shown(paper, _own(paper, caller, account_id=account_id))


@put("/sandbox/accounts/{account_id:str}", sync_to_thread=True)
def set_account_status(
    front: Front, paper: Paper, request: AnyRequest, account_id: str, body: bytes
) -> AccountOut:
    caller = front.admit(request, None)
    own = _own(paper, caller, account_id=account_id)
    asked = front.body(request, body)
    refuse_others(asked, ("status",))
    if "status" not in asked:
        raise Required("status")
    paper.set_status(own, text_in(asked["status"], "status", longest=SYMBOL_MAX))
    return _shown(paper, own)


@post("/sandbox/accounts/{account_id:str}/cash", status_code=200, sync_to_thread=True)
def transfer_cash(
    front: Front, paper: Paper, request: AnyRequest, account_id: str, body: bytes
) -> AccountOut:
    caller = front.admit(request, None)
    own = _own(paper, caller, account_id=account_id)
    asked = front.body(request, body)
    refuse_others(asked, ("amount",))
    if "amount" not in asked:
        raise Required("amount")
    amount = _cents_in(asked["amount"], "amount")
    paper.transfer(front.desk.new_id(), own, amount=amount)
    return _shown(paper, own)


def _own(paper: PaperBroker, caller: Caller, *, account_id: str) -> str:
    """The id of the caller's account; another tenant's account is missing."""
    own = id_in(account_id, "account_id")
    if paper.tenant_of(own) != caller.tenant_id:
        raise NotFound("account", own)
    return own


def _shown(paper: PaperBroker, account_id: str) -> AccountOut:
    account = paper.account(account_id)
    return account_out(account, paper.current_prices(account.holdings.positions))


@put("/sandbox/faults", sync_to_thread=True)
def set_faults(front: Front, paper: Paper, request: AnyRequest, body: bytes) -> Response[bytes]:
    front.admit(request, None)
    asked = {name: _plain_value(value) for name, value in front.body(request, body).items()}
    paper.set_faults(asked)
    # As it was written, numbers as numbers.
    return Response(body, media_type=MediaType.JSON)


def _plain_value(value: object) -> object:
    """Numbers as decimals; all else as it came, for the broker to judge."""
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    if isinstance(value, Number):
        # One that is no decimal of ours is no symbol either.
        return parse_decimal(value)
    return value


@post("/sandbox/settle", status_code=200, sync_to_thread=True)
def settle_now(front: Front, request: AnyRequest) -> SettledOut:
    front.admit(request, None)
    with front.desk.db.alone():
        settled = settle(front.desk)
    return SettledOut(
        evaluated=settled.evaluated,
        runs_created=settled.runs_created,
        runs_finished=settled.runs_finished,
        orders=settled.orders,
    )


@get("/sandbox/orders", sync_to_thread=True)
def list_orders(front: Front, paper: Paper, request: AnyRequest) -> LedgerOut:
    caller = front.admit(request, None)
    limit, cursor = request.query_params.get("limit"), request.query_params.get("cursor")
    if limit and not (re.fullmatch(r"[0-9]{1,4}", limit, re.ASCII) and 1 <= int(limit) <= ORDERS_MAX):
        raise Malformed("limit", f"must be between 1 and {ORDERS_MAX}")
    size = int(limit) if limit else ORDERS_MAX
    after = row_position(cursor, "cursor") if cursor else 0
    found = paper.ledger_page(caller.tenant_id, after=after, limit=size + 1)
    more = len(found) > size
    return LedgerOut(
        orders=[ledger_order_out(order) for order in found[:size]],
        next_cursor=row_token(found[size - 1].seq) if more else None,
    )


ROUTES = [
    show_clock,
    set_clock,
    set_prices,
    set_asset,
    act_on_asset,
    open_account,
    show_account,
    set_account_status,
    transfer_cash,
    set_faults,
    settle_now,
    list_orders,
]
