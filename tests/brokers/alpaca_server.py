"""A broker that is not ours: Alpaca's wire from a small ledger of its own, with all that goes wrong there.

Written from the contract alone and without any code of the paper broker, so that both can be wrong only
separately. Faults are queued one by one, or drawn by chance from a seed. Time is the test's.
"""

import base64
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from urllib.parse import parse_qs, unquote, urlsplit

Json = dict[str, object]

KEY = ("key", "secret")
SHARE = Decimal("0.000000001")
FINAL = {"filled", "canceled", "rejected", "expired", "done_for_day", "replaced"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one call goes wrong. `takes`: what it asks for is done all the same; `late`: only later, by
    `arrive`. `hangs_up` ends the connection without an answer, `cut` in the middle of one; `drips` sends
    one byte after the other, so many seconds apart.
    """

    status: int = 200
    body: bytes | None = None
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: bool = False
    late: bool = False
    hangs_up: bool = False
    cut: bool = False
    drips_s: float = 0


LOST_BEFORE = Fault(hangs_up=True)
LOST_AFTER = Fault(hangs_up=True, takes=True)
LATE = Fault(hangs_up=True, late=True)
LIE = Fault(takes=True, status=422, body=b'{"code": 42210000, "message": "said no and did it"}')


def refusal(status: int, message: str, code: int | None = None) -> Fault:
    body = {"code": status * 100_000 + 10_000 if code is None else code, "message": message}
    return Fault(status=status, body=json.dumps(body).encode())


@dataclass(kw_only=True)
class ServedAccount:
    cash: Decimal
    positions: dict[str, Decimal]
    status: str = "ACTIVE"
    more: Json = field(default_factory=dict)


@dataclass(kw_only=True)
class ServedOrder:
    id: str
    account_id: str
    client_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal | None
    notional: Decimal | None
    limit: Decimal | None
    at: datetime
    status: str = "new"
    filled: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    updated_at: datetime | None = None

    def shown(self) -> Json:
        return {
            "id": self.id,
            "client_order_id": self.client_order_id,
            "created_at": _time(self.at),
            "submitted_at": _time(self.at),
            "updated_at": _time(self.updated_at or self.at),
            "filled_at": _time(self.updated_at or self.at) if self.filled else None,
            "symbol": self.symbol,
            "asset_class": "us_equity",
            "side": self.side,
            "type": self.type,
            "time_in_force": "day",
            "qty": None if self.quantity is None else str(self.quantity),
            "notional": None if self.notional is None else str(self.notional),
            "filled_qty": str(self.filled),
            "filled_avg_price": str(self.spent / self.filled) if self.filled else None,
            "status": self.status,
            "extended_hours": False,
        }


def _time(at: datetime) -> str:
    # With nanoseconds, as the vendor writes them.
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


class AlpacaServer:
    """The ledger and its faults; every method may be called while the server runs.

    `queued` are faults of the next calls of a method; `draw` is asked for one whenever none is queued.
    `fills` is the part of an order that executes at once; None leaves it open. `posts` counts every
    arrival of an order by its client order id, `calls` the calls by method and path.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.accounts: dict[str, ServedAccount] = {}
        self.orders: dict[str, ServedOrder] = {}
        self.prices: dict[str, Decimal] = {}
        self.assets: dict[str, Json] = {}
        self.queued: dict[str, deque[Fault]] = {"POST": deque(), "GET": deque(), "DELETE": deque()}
        self.draw: Callable[[str, str], Fault | None] = lambda _method, _path: None
        self.fills: Callable[[], Decimal | None] = lambda: Decimal(1)
        self.posts: Counter[str] = Counter()
        self.calls: list[str] = []
        self.events: list[tuple[str, str]] = []
        self.late: list[tuple[str, Json]] = []
        self.duplicate_status = 422
        self.headers: dict[str, str] = {}
        self.news = threading.Condition(self.lock)
        self.port = 0
        self.closing = False
        self.paths_gone: set[str] = set()
        self.hides_orders = 0
        self.cursors: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open_account(self, account_id: str, cash: str, **positions: str) -> str:
        held = {symbol: Decimal(quantity) for symbol, quantity in positions.items()}
        self.accounts[account_id] = ServedAccount(cash=Decimal(cash), positions=held)
        return account_id

    def set_prices(self, **prices: str) -> None:
        self.prices |= {symbol: Decimal(price) for symbol, price in prices.items()}

    def arrive(self) -> None:
        """What was late is here now."""
        with self.lock:
            due, self.late = self.late, []
            for account_id, body in due:
                self.take(account_id, body)

    def take(self, account_id: str, body: Json) -> tuple[int, object]:
        """An order arrives."""
        with self.lock:
            key = str(body["client_order_id"])
            self.posts[key] += 1
            if account_id not in self.accounts:
                return 404, {"code": 40410000, "message": "account not found"}
            if key in self.orders:
                return self.duplicate_status, {"code": 40010001, "message": "client_order_id must be unique"}
            order = self._order(account_id, body)
            price = self.prices[order.symbol]
            if order.side == "buy" and (order.notional or (order.quantity or 0) * price) > (
                self.accounts[account_id].cash
            ):
                return 403, {"code": 40310000, "message": "insufficient buying power"}
            self.orders[key] = order
            self.tell(order, "new")
            part = self.fills()
            if part is not None:
                self.fill(key, part)
            return 200, order.shown()

    def _order(self, account_id: str, body: Json) -> ServedOrder:
        quantity, notional, limit = (body.get(name) for name in ("qty", "notional", "limit_price"))
        assert (quantity is None) != (notional is None), body
        return ServedOrder(
            id=f"order-{len(self.orders) + 1}",
            account_id=account_id,
            client_order_id=str(body["client_order_id"]),
            symbol=str(body["symbol"]),
            side=str(body["side"]),
            type=str(body["type"]),
            quantity=None if quantity is None else Decimal(str(quantity)),
            notional=None if notional is None else Decimal(str(notional)),
            limit=None if limit is None else Decimal(str(limit)),
            at=self.clock(),
        )

    def fill(self, key: str, part: Decimal = Decimal(1)) -> None:
        """Execute this part of what is left of an order, at the present price; all dollars are spent."""
        with self.lock:
            order = self.orders[key]
            account, price = self.accounts[order.account_id], self.prices[order.symbol]
            if order.notional is None:
                left = (order.quantity or Decimal(0)) - order.filled
            else:
                left = ((order.notional - order.spent) / price).quantize(SHARE, rounding=ROUND_DOWN)
            quantity = (left * part).quantize(SHARE, rounding=ROUND_DOWN)
            sign = 1 if order.side == "buy" else -1
            held = account.positions.get(order.symbol, Decimal(0)) + sign * quantity
            account.positions[order.symbol] = held
            if held == 0:
                del account.positions[order.symbol]
            account.cash -= sign * quantity * price
            order.filled += quantity
            order.spent += quantity * price
            self.change(order, "filled" if quantity == left else "partially_filled")

    def change(self, order: ServedOrder, status: str) -> None:
        with self.lock:
            order.status = status
            order.updated_at = self.clock()
            self.tell(order, status)

    def tell(self, order: ServedOrder, event: str) -> None:
        number = len(self.events) + 1
        body = {"event": event, "event_id": f"{number:026d}", "account_id": order.account_id}
        self.say(f"{number:026d}", f"data: {json.dumps({**body, 'order': order.shown()})}\n\n")

    def say(self, event_id: str, text: str) -> None:
        """Send text on the stream, to those who listen and to those who will."""
        with self.news:
            self.events.append((event_id, text))
            self.news.notify_all()

    def has_news_after(self, told: int) -> bool:
        return self.closing or len(self.events) > told

    def close_orders(self, status: str = "canceled") -> None:
        for order in self.orders.values():
            if order.status not in FINAL:
                self.change(order, status)

    # The wire.

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            self.calls.append(f"{method} {path}")
            queue = self.queued[method]
            return queue.popleft() if queue else self.draw(method, path)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Json) -> tuple[int, object]:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        with self.lock:
            if path in self.paths_gone:
                return 404, {"code": 40410000, "message": "endpoint not found"}
            match method, parts:
                case "GET", ["v1", "clock"]:
                    return 200, {"timestamp": _time(self.clock()), "is_open": True}
                case "GET", ["v1", "assets", symbol]:
                    return self._asset(symbol)
                case "GET", ["v2", "stocks", "trades", "latest"]:
                    return 200, {"trades": self._trades(query)}
                case "GET", ["v2", "stocks", "snapshots"]:
                    trades = self._trades(query)
                    return 200, {symbol: {"latestTrade": trade} for symbol, trade in trades.items()}
                case _, ["v1", "trading", "accounts", account_id, *rest]:
                    if account_id not in self.accounts and method == "GET":
                        return 401, {"code": 40110000, "message": "request is not authorized"}
                    return self._of_account(method, account_id, rest=rest, query=query, body=body)
        return 404, {"code": 40410000, "message": "endpoint not found"}

    def _asset(self, symbol: str) -> tuple[int, object]:
        if symbol not in self.prices:
            return 404, {"code": 40410000, "message": f"asset not found for {symbol}"}
        flags = {"status": "active", "tradable": True, "fractionable": True}
        return 200, {"id": f"id-{symbol}", "class": "us_equity", "symbol": symbol, **flags} | (
            self.assets.get(symbol, {})
        )

    def _trades(self, query: Mapping[str, str]) -> Json:
        symbols = query["symbols"].split(",")
        known = {s: self.prices[s] for s in symbols if s in self.prices}
        return {
            symbol: {"t": _time(self.clock()), "p": float(price), "s": 1} for symbol, price in known.items()
        }

    def _of_account(
        self, method: str, account_id: str, *, rest: list[str], query: Mapping[str, str], body: Json
    ) -> tuple[int, object]:
        match method, rest:
            case "POST", ["orders"]:
                return self.take(account_id, body)
            case "GET", ["orders:by_client_order_id"]:
                found = self.orders.get(query["client_order_id"])
                if found is None or self._hides():
                    return 404, {"code": 40410000, "message": "order not found"}
                return 200, found.shown()
            case "GET", ["orders"]:
                ours = [o for o in self.orders.values() if o.account_id == account_id]
                return 200, [o.shown() for o in ours if o.status not in FINAL]
            case "DELETE", ["orders", order_id]:
                return self._cancel(order_id)
            case "GET", ["account"]:
                account = self.accounts[account_id]
                return 200, {
                    "id": account_id,
                    "status": account.status,
                    "cash": str(account.cash),
                } | account.more
            case "GET", ["positions"]:
                held = self.accounts[account_id].positions
                return 200, [
                    {"symbol": s, "qty": str(q), "side": "long", "asset_class": "us_equity"}
                    for s, q in held.items()
                ]
            case _:
                return 405, {"code": 40510000, "message": "method not allowed"}

    def _hides(self) -> bool:
        hidden = self.hides_orders > 0
        self.hides_orders -= hidden
        return hidden

    def _cancel(self, order_id: str) -> tuple[int, object]:
        found = next((o for o in self.orders.values() if o.id == order_id), None)
        if found is None:
            return 404, {"code": 40410000, "message": "order not found"}
        if found.status in FINAL:
            return 422, {"code": 42210000, "message": f"order is already in {found.status!r} state"}
        self.change(found, "canceled")
        return 204, None

    # What a test asserts of the ledger.

    def twice(self) -> list[tuple[str, str, str]]:
        """Legs that were ordered more than once: nothing of ours buys or sells one symbol twice."""
        legs = Counter((o.account_id, o.symbol, o.side) for o in self.orders.values() if o.filled)
        return [leg for leg, times in legs.items() if times > 1]


class _Call(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Or each answer waits for the other side to have taken note of its headers.
    disable_nagle_algorithm = True
    server: "_Http"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, method: str) -> None:
        broker = self.server.broker
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        told = self.rfile.read(length)
        if len(told) < length:
            # Whoever asked has died in the middle of it.
            self.close_connection = True
            return
        body: Json = json.loads(told or b"{}")
        expected = "Basic " + base64.b64encode(":".join(KEY).encode()).decode()
        if self.headers["Authorization"] != expected:
            self._send(401, {"code": 40110000, "message": "unauthorized"})
            return
        fault = broker.fault(method, address.path)
        if fault is not None:
            self._fail(fault, method, address.path, body=body)
        elif address.path.endswith("/events/trades") and address.path not in broker.paths_gone:
            self._stream(query.get("since_id"))
        else:
            self._send(*broker.answer(method, address.path, query, body))

    def _fail(self, fault: Fault, method: str, path: str, *, body: Json) -> None:
        broker = self.server.broker
        answer: tuple[int, object] = (200, None)
        if fault.takes:
            answer = broker.answer(method, path, {}, body)
        if fault.late:
            with broker.lock:
                broker.late.append((path.split("/")[4], body))
        if fault.hangs_up:
            self.close_connection = True
            return
        told = json.dumps(answer[1]).encode() if fault.body is None else fault.body
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", fault.kind)
        self.send_header("Content-Length", str(len(told) + 10 * fault.cut))
        self.end_headers()
        with suppress(OSError):
            for byte in told if fault.drips_s else ():
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(fault.drips_s)
            if not fault.drips_s:
                self.wfile.write(told)
        self.close_connection = self.close_connection or fault.cut

    def _send(self, status: int, body: object) -> None:
        told = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in self.server.broker.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def _stream(self, since: str | None) -> None:
        broker = self.server.broker
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        with broker.news:
            broker.cursors.append(since)
            broker.news.notify_all()
            told = len(broker.events) if since is None else sum(key <= since for key, _ in broker.events)
        with suppress(OSError):
            self.wfile.write(b":heartbeat\n")
            self.wfile.flush()
            while not broker.closing:
                with broker.news:
                    broker.news.wait_for(partial(broker.has_news_after, told))
                    new, told = broker.events[told:], len(broker.events)
                for key, text in new:
                    if key == "hang up":
                        return
                    self.wfile.write(text.encode())
                self.wfile.flush()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    # Hundreds of connections may come at once.
    request_queue_size = 128

    def __init__(self, broker: AlpacaServer) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.broker = broker

    def handle_error(self, *_: object) -> None:
        """Clients may go when they like."""


@contextmanager
def alpaca_server(clock: Callable[[], datetime]) -> Iterator[AlpacaServer]:
    broker = AlpacaServer(clock)
    with served(broker):
        yield broker


@contextmanager
def served(broker: AlpacaServer) -> Iterator[None]:
    """While it lasts, the broker can be reached."""
    http = _Http(broker)
    broker.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with broker.news:
            broker.closing = True
            broker.news.notify_all()
        http.shutdown()
        http.server_close()
        thread.join()


def weather(
    seed: int, rate: float, *, until: Callable[[], bool] = lambda: False, lies: bool = True
) -> Callable[[str, str], Fault | None]:
    """Faults by chance, of every kind that a call may meet; `lies`: refusals of what was accepted too."""
    chance = Random(seed)
    orders = [fault for fault in ORDER_FAULTS if lies or fault is not LIE]

    def draw(method: str, path: str) -> Fault | None:
        if until() or chance.random() >= rate or path.startswith("/v2/events"):
            return None
        kinds: list[Fault] = [*FAULTS, *(orders if method == "POST" else ())]
        return chance.choice(kinds)

    return draw


FAULTS = (
    LOST_BEFORE,
    Fault(status=500, body=b'{"error": "oops", "message": "oops"}'),
    Fault(status=502, body=b"<html>Bad Gateway</html>", kind="text/html"),
    Fault(status=503, body=b""),
    Fault(status=200, body=b"{"),
    Fault(status=200, body=b"<html>Welcome</html>", kind="text/html"),
    Fault(status=200, body=b"null"),
    Fault(status=200, body=b'{"qty": NaN}'),
    Fault(status=302, body=b"", headers={"Location": "/elsewhere"}),
    Fault(status=404, body=b"not found", kind="text/plain"),
)
ORDER_FAULTS = (
    LOST_AFTER,
    LATE,
    Fault(takes=True, status=500, body=b"{}"),
    Fault(takes=True, status=504, body=b"<html>Gateway Time-out</html>", kind="text/html"),
    Fault(takes=True, body=b"garbage"),
    Fault(takes=True, cut=True),
    Fault(takes=True, kind="text/plain"),
    Fault(takes=True, status=408, body=b""),
    LIE,
)
