"""The test exchange over a real socket, in the words of Binance's spot API: signed, throttled and faulty.

Shapes and error codes are those of the public notes on REST API v3; signatures and receive windows are
checked as there. Faults are scripted per order, or drawn by a seed.
"""

import hashlib
import hmac
import json
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.brokers.exchange_book import QUOTE, BookOrder, Exchange, Listing, Rejected, milliseconds

KEY, SECRET = "test-key", "test-secret"
UNAVAILABLE = (503, {"code": -1000, "msg": "An unknown error occurred while processing the request."})
TIMED_OUT = (
    504,
    {"code": -1007, "msg": "Timeout waiting for response from backend server. Send status unknown."},
)

# What may become of an order on its way: whether it is taken, and what its sender is told.
TAKEN_BEFORE: Mapping[str, Any] = {
    "lost_answer": "hang up",
    "unavailable_after": UNAVAILABLE,
    "timeout_after": TIMED_OUT,
    "refused_by_proxy_after": (502, "<html>Bad Gateway</html>"),
    "insufficient_after": (500, {"code": -2010, "msg": "Account has insufficient balance for it."}),
    "garbled": (200, '{"symbol": "BTCUSD", "ord'),
    "redirect_after": (307, ""),
    "said_no_and_did_it": (400, {"code": -2010, "msg": "This action is disabled on this account."}),
}
NEVER_TAKEN: Mapping[str, Any] = {
    "lost_request": "hang up",
    "unavailable": UNAVAILABLE,
    "throttled": (429, {"code": -1003, "msg": "Too many requests."}),
    "banned": (418, {"code": -1003, "msg": "Way too many requests; IP banned."}),
    "too_many_orders": (400, {"code": -1015, "msg": "Too many new orders; current limit is 50."}),
    "disconnected": (400, {"code": -1001, "msg": "Internal error; unable to process your request."}),
}
FAULTS = (*TAKEN_BEFORE, *NEVER_TAKEN, "late")


@dataclass
class Faults:
    """`orders` is the script, one for each order that comes ("" for none); beyond it each fault happens by
    chance at its rate. `reads_down` answers no question.
    """

    orders: deque[str] = field(default_factory=deque)
    rates: dict[str, float] = field(default_factory=dict)
    chance: Random = field(default_factory=lambda: Random(0))
    late: timedelta = timedelta(seconds=20)
    hides_for: timedelta = timedelta(0)
    reads_down: bool = False
    cancels_lost: int = 0
    happened: Counter[str] = field(default_factory=Counter)

    def next(self) -> str:
        if self.orders:
            fault = self.orders.popleft()
        else:
            drawn = [name for name, rate in sorted(self.rates.items()) if self.chance.random() < rate]
            fault = drawn[0] if drawn else ""
        self.happened[fault] += 1
        return fault


@dataclass
class ExchangeServer:
    """A running exchange; `url` is where it is, `requests` all that were made of it."""

    exchange: Exchange
    url: str
    faults: Faults = field(default_factory=Faults)
    requests: list[str] = field(default_factory=list)
    mangle: Callable[[Any], Any] = lambda content: content
    lock: Lock = field(default_factory=Lock)

    def answer(self, method: str, target: str, body: str, key: str | None) -> Any:
        """A status with a body, or the wish to hang up."""
        path, query_text = urlsplit(target).path, urlsplit(target).query
        with self.lock:
            self.requests.append(f"{method} {path}")
            query = dict(parse_qsl(query_text or body))
            try:
                if path not in PUBLIC:
                    require_signature(query_text or body, key)
                self.exchange.happen()
                if method == "POST" and path == "/api/v3/order":
                    return self._take(query)
                if method == "GET" and self.faults.reads_down:
                    return UNAVAILABLE
                if method == "DELETE" and self.faults.cancels_lost:
                    self.faults.cancels_lost -= 1
                    return UNAVAILABLE
                return 200, self.mangle(ROUTES[method, path](self.exchange, query))
            except Rejected as no:
                return 400, {"code": no.code, "msg": no.message}

    def _take(self, body: dict[str, str]) -> Any:
        fault = self.faults.next()
        if fault in NEVER_TAKEN:
            return NEVER_TAKEN[fault]
        if fault == "late":
            self.exchange.arriving.append((self.exchange.clock() + self.faults.late, body))
            return "hang up"
        if fault == "rejected":
            raise Rejected(-2010, "This action is disabled on this account.")
        order = self.exchange.take(body)
        if fault in TAKEN_BEFORE:
            # One that is refused and taken shows at once: nobody could know of one that does not.
            hides_for = timedelta(0) if fault == "said_no_and_did_it" else self.faults.hides_for
            self.exchange.hidden_until[order.client_order_id] = order.at + hides_for
            return TAKEN_BEFORE[fault]
        return 200, self.mangle(shown(order) | {"fills": [], "transactTime": milliseconds(order.at)})


def require_signature(text: str, key: str | None) -> None:
    signed, _, signature = text.rpartition("&signature=")
    expected = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if key != KEY:
        raise Rejected(-2015, "Invalid API-key, IP, or permissions for action.")
    if not hmac.compare_digest(signature, expected):
        raise Rejected(-1022, "Signature for this request is not valid.")
    query = dict(parse_qsl(signed))
    age_ms = milliseconds(datetime.now(UTC)) - int(query["timestamp"])
    if not -1000 < age_ms <= int(query.get("recvWindow", "5000")):
        raise Rejected(-1021, "Timestamp for this request is outside of the recvWindow.")


def shown(order: BookOrder) -> dict[str, Any]:
    return {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": str(order.limit or "0.00000000"),
        "origQty": str(order.quantity),
        "executedQty": str(order.filled),
        "origQuoteOrderQty": str(order.cost or "0.00000000"),
        "cummulativeQuoteQty": str(order.spent),
        "status": order.status,
        "timeInForce": "GTC" if order.limit is None else "IOC",
        "type": order.type,
        "side": order.side,
        "time": milliseconds(order.at),
        "updateTime": milliseconds(order.updated_at),
        "isWorking": True,
    }


def exchange_info(exchange: Exchange, _query: dict[str, str]) -> dict[str, Any]:
    return {"timezone": "UTC", "symbols": [described(each) for each in exchange.listings.values()]}


def described(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.id,
        "status": "TRADING" if listing.trading else "BREAK",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": QUOTE,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": str(listing.tick),
                "maxPrice": "1000000.00000000",
                "tickSize": str(listing.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": str(listing.least),
                "maxQty": "900000.00000000",
                "stepSize": str(listing.step),
            },
            {"filterType": "NOTIONAL", "minNotional": str(listing.least_cost), "applyMinToMarket": True},
        ],
        "permissions": ["SPOT"],
    }


def tickers(exchange: Exchange, query: dict[str, str]) -> list[dict[str, Any]]:
    at = milliseconds(exchange.prices_at or exchange.clock())
    return [
        {
            "symbol": name,
            "lastPrice": str(exchange.listings[name].price),
            "openTime": at - 86_400_000,
            "closeTime": at,
        }
        for name in json.loads(query["symbols"])
    ]


def account(exchange: Exchange, _query: dict[str, str]) -> dict[str, Any]:
    shown_balances = exchange.shows_balances_of
    if shown_balances is not None:
        balances = [
            {"asset": coin, "free": str(total), "locked": "0"} for coin, total in shown_balances.items()
        ]
    else:
        balances = [
            {"asset": coin, "free": str(exchange.free(coin)), "locked": str(exchange.locked(coin))}
            for coin in exchange.balances
        ]
    return {"accountType": "SPOT", "canTrade": True, "updateTime": 0, "balances": balances}


def open_orders(exchange: Exchange, query: dict[str, str]) -> list[dict[str, Any]]:
    return [
        shown(order)
        for order in exchange.orders
        if order.is_open and exchange.is_shown(order) and query.get("symbol", order.symbol) == order.symbol
    ]


def all_orders(exchange: Exchange, query: dict[str, str]) -> list[dict[str, Any]]:
    return [
        shown(order)
        for order in exchange.orders
        if exchange.is_shown(order)
        and query["symbol"] == order.symbol
        and milliseconds(order.at) >= int(query.get("startTime", "0"))
    ]


def my_trades(exchange: Exchange, query: dict[str, str]) -> list[dict[str, Any]]:
    if exchange.trades_hidden:
        return []
    return [
        trade
        for trade in exchange.trades
        if trade["symbol"] == query["symbol"]
        and query.get("orderId", str(trade["orderId"])) == str(trade["orderId"])
    ]


def cancel(exchange: Exchange, query: dict[str, str]) -> dict[str, Any]:
    try:
        order = exchange.find(query)
    except Rejected as no:
        raise Rejected(-2011, "Unknown order sent.") from no
    exchange.cancel(order)
    return shown(order) | {"origClientOrderId": order.client_order_id, "clientOrderId": "the-cancel"}


PUBLIC = {"/api/v3/exchangeInfo", "/api/v3/ticker/24hr"}
ROUTES = {
    ("GET", "/api/v3/exchangeInfo"): exchange_info,
    ("GET", "/api/v3/ticker/24hr"): tickers,
    ("GET", "/api/v3/account"): account,
    ("GET", "/api/v3/openOrders"): open_orders,
    ("GET", "/api/v3/allOrders"): all_orders,
    ("GET", "/api/v3/order"): lambda exchange, query: shown(exchange.find(query)),
    ("GET", "/api/v3/myTrades"): my_trades,
    ("DELETE", "/api/v3/order"): cancel,
}


class Connection(BaseHTTPRequestHandler):
    """One client; `server.exchange_server` is whose."""

    protocol_version = "HTTP/1.1"
    # One packet for an answer, at once: the tests ask thousands of times.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        server: ExchangeServer = self.server.exchange_server  # type: ignore[attr-defined]
        answer = server.answer(method, self.path, body, self.headers.get("X-MBX-APIKEY"))
        if answer == "hang up":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, content = answer
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.path)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_args: object) -> None:
        """Nothing: the tests see every request."""


@contextmanager
def running_exchange(exchange: Exchange) -> Iterator[ExchangeServer]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Connection)
    httpd.daemon_threads = True
    server = ExchangeServer(exchange, f"http://127.0.0.1:{httpd.server_address[1]}")
    httpd.exchange_server = server  # type: ignore[attr-defined]
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


STRANGE: tuple[Any, ...] = (
    *(None, "", "NaN", "Infinity", "-1", "0", "1e400", "abc", 10**30, -5, 0.1, True),
    *([], {}, [None], {"symbol": 1}, "9" * 400, "1E-30", "0x10"),
)


def mangled(content: Any, chance: Random) -> Any:
    """An answer with some of its values replaced, left out or doubled."""
    if chance.random() < 0.04:
        return chance.choice(STRANGE)
    if isinstance(content, dict):
        # ccxt counts up to a precision one by one: a great one would keep it busy for years.
        kept = {
            key: value if key.endswith("Precision") else mangled(value, chance)
            for key, value in content.items()
        }
        return {key: value for key, value in kept.items() if chance.random() > 0.02}
    if isinstance(content, list):
        return [mangled(each, chance) for each in content for _ in range(1 + (chance.random() < 0.02))]
    return content
