"""A spot exchange of its own for tests: balances, orders and trades, with fees, filters and late arrivals.

It knows nothing of HTTP (exchange_server) nor of Trimtab. As at most exchanges a client order id must be
unique among open orders only: what arrives twice becomes two orders.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

EIGHT = Decimal("0.00000001")
QUOTE = "USD"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One market: its price, the steps of amounts and prices, and the smallest order in either currency."""

    base: str
    price: Decimal
    step: Decimal
    tick: Decimal
    least: Decimal
    least_cost: Decimal = Decimal(5)
    trading: bool = True

    @property
    def id(self) -> str:
        return self.base + QUOTE


@dataclass(kw_only=True)
class BookOrder:
    id: int
    client_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    cost: Decimal | None
    limit: Decimal | None
    at: datetime
    status: str = "NEW"
    filled: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    updated_at: datetime
    due_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.status in {"NEW", "PARTIALLY_FILLED"}


@dataclass(frozen=True)
class Rejected(Exception):
    """The exchange's own code and words."""

    code: int
    message: str


@dataclass(kw_only=True)
class Exchange:
    """`fee` is taken from what is received, or in `fee_coin`, at a tenth of its price, if there is one.

    Of each order a `first` part is executed at once and the rest after `rest_after`. `hides_until` keeps
    orders and trades out of sight, `balances_as_of` what accounts show.
    """

    clock: Callable[[], datetime]
    balances: dict[str, Decimal] = field(default_factory=dict)
    listings: dict[str, Listing] = field(default_factory=dict)
    fee: Decimal = Decimal(0)
    fee_coin: str | None = None
    first: Decimal = Decimal(1)
    rest_after: timedelta = timedelta(0)
    orders: list[BookOrder] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    arriving: list[tuple[datetime, dict[str, str]]] = field(default_factory=list)
    hidden_until: dict[str, datetime] = field(default_factory=dict)
    trades_hidden: bool = False
    shows_balances_of: dict[str, Decimal] | None = None
    prices_at: datetime | None = None

    def add_market(
        self, base: str, price: str, *, step: str, tick: str = "0.01", least: str | None = None
    ) -> None:
        self.listings[base + QUOTE] = Listing(
            base=base,
            price=Decimal(price),
            step=Decimal(step),
            tick=Decimal(tick),
            least=Decimal(least or step),
        )

    @property
    def accepted(self) -> list[str]:
        """The client order id of every order ever taken, as often as it was."""
        return [order.client_order_id for order in self.orders]

    def happen(self) -> None:
        """Let arrive what was under way, and execute what is due."""
        now = self.clock()
        late = [body for at, body in self.arriving if at <= now]
        self.arriving = [(at, body) for at, body in self.arriving if at > now]
        for body in late:
            self.take_late(body)
        for order in self.orders:
            if order.is_open and order.due_at is not None and order.due_at <= now:
                self._fill(order, order.quantity - order.filled)

    def take_late(self, body: dict[str, str]) -> None:
        """What arrives after its sender has hung up is taken or rejected all the same."""
        try:
            self.take(body)
        except Rejected:
            return

    def take(self, body: dict[str, str]) -> BookOrder:
        listing = self.listings.get(body["symbol"])
        if listing is None:
            raise Rejected(-1121, "Invalid symbol.")
        if not listing.trading:
            raise Rejected(-1013, "Market is closed.")
        name = body.get("newClientOrderId", f"auto-{len(self.orders)}")
        if any(order.is_open and order.client_order_id == name for order in self.orders):
            raise Rejected(-2010, "Duplicate order sent.")
        limit = Decimal(body["price"]) if body["type"] == "LIMIT" else None
        cost = Decimal(body["quoteOrderQty"]) if "quoteOrderQty" in body else None
        if cost is None:
            quantity = Decimal(body["quantity"])
        else:
            quantity = cost / listing.price // listing.step * listing.step
        self._require_fit(listing, quantity, limit)
        now = self.clock()
        order = BookOrder(
            id=1000 + len(self.orders),
            client_order_id=name,
            symbol=listing.id,
            side=body["side"],
            type=body["type"],
            quantity=quantity,
            cost=cost,
            limit=limit,
            at=now,
            updated_at=now,
        )
        self._require_covered(order, listing)
        self.orders.append(order)
        crosses = limit is None or (limit >= listing.price if order.side == "BUY" else limit <= listing.price)
        if not crosses:
            order.status = "EXPIRED"
            return order
        at_once = order.quantity * self.first // listing.step * listing.step
        order.due_at = now + self.rest_after
        if at_once:
            self._fill(order, at_once)
        return order

    def _require_fit(self, listing: Listing, quantity: Decimal, limit: Decimal | None) -> None:
        if quantity % listing.step or quantity < listing.least:
            raise Rejected(-1013, "Filter failure: LOT_SIZE")
        if limit is not None and limit % listing.tick:
            raise Rejected(-1013, "Filter failure: PRICE_FILTER")
        if quantity * (limit or listing.price) < listing.least_cost:
            raise Rejected(-1013, "Filter failure: NOTIONAL")

    def _require_covered(self, order: BookOrder, listing: Listing) -> None:
        coin, needed = (
            (QUOTE, order.quantity * (order.limit or listing.price))
            if order.side == "BUY"
            else (listing.base, order.quantity)
        )
        if needed > self.free(coin):
            raise Rejected(-2010, "Account has insufficient balance for requested action.")

    def locked(self, coin: str) -> Decimal:
        total = Decimal(0)
        for order in self.orders:
            listing = self.listings[order.symbol]
            left = order.quantity - order.filled
            if order.is_open and order.side == "BUY" and coin == QUOTE:
                total += left * (order.limit or listing.price)
            elif order.is_open and order.side == "SELL" and coin == listing.base:
                total += left
        return total

    def free(self, coin: str) -> Decimal:
        return self.balances.get(coin, Decimal(0)) - self.locked(coin)

    def _fill(self, order: BookOrder, quantity: Decimal) -> None:
        listing = self.listings[order.symbol]
        value = quantity * listing.price
        buys = order.side == "BUY"
        gained, amount = (listing.base, quantity) if buys else (QUOTE, value)
        given, price_of_it = (QUOTE, value) if buys else (listing.base, quantity)
        commission, coin = (amount * self.fee).quantize(EIGHT, ROUND_DOWN), gained
        if self.fee_coin is not None:
            coin = self.fee_coin
            rate = self.listings[coin + QUOTE].price if coin + QUOTE in self.listings else Decimal(1)
            commission = (value * self.fee / rate).quantize(EIGHT, ROUND_DOWN)
        self._move(gained, amount)
        self._move(given, -price_of_it)
        self._move(coin, -commission)
        order.filled += quantity
        order.spent += value
        order.updated_at = self.clock()
        order.status = "FILLED" if order.filled == order.quantity else "PARTIALLY_FILLED"
        self.trades.append(
            {
                "symbol": order.symbol,
                "id": sum(trade["symbol"] == order.symbol for trade in self.trades) + 1,
                "orderId": order.id,
                "orderListId": -1,
                "price": str(listing.price),
                "qty": str(quantity),
                "quoteQty": str(value),
                "commission": str(commission),
                "commissionAsset": coin,
                "time": milliseconds(order.updated_at),
                "isBuyer": buys,
                "isMaker": False,
                "isBestMatch": True,
            }
        )

    def _move(self, coin: str, amount: Decimal) -> None:
        self.balances[coin] = self.balances.get(coin, Decimal(0)) + amount

    def cancel(self, order: BookOrder) -> None:
        if not order.is_open:
            raise Rejected(-2011, "Unknown order sent.")
        order.status = "CANCELED"
        order.updated_at = self.clock()

    def find(self, query: dict[str, str]) -> BookOrder:
        """By its own id, or the newest of a client order id; what is hidden does not exist."""
        for order in reversed(self.orders):
            wanted = (
                str(order.id) == query["orderId"]
                if "orderId" in query
                else order.client_order_id == query.get("origClientOrderId")
            )
            if wanted and order.symbol == query["symbol"] and self.is_shown(order):
                return order
        raise Rejected(-2013, "Order does not exist.")

    def is_shown(self, order: BookOrder) -> bool:
        return self.hidden_until.get(order.client_order_id, order.at) <= self.clock()


def milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000 + at.microsecond // 1000
