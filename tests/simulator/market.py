"""A market in memory, written anew: accounts, prices, orders, executions, and the books of it all.

It shares nothing with the paper broker but the protocol's words. What a market does wrong by itself it
draws from the tape; what gets lost between it and us is its broker's business (see broker).
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

from tests.audit.facts import Fact
from tests.simulator.tape import Tape
from tests.simulator.timeline import Timeline
from tests.simulator.weather import Weather
from tests.simulator.witness import Sending
from trimtab.brokers.broker import Account, OrderReport, Transfer
from trimtab.core.plan import Holdings
from trimtab.core.run import Execution, Order, OrderState, Side

ZERO = Decimal(0)
SMALLEST_PART = Decimal("0.000000001")
FILL_DELAYS_S = (0.2, 0, 0.6, 1, 3)
SLOW_FILL_DELAYS_S = (1, 5, 12, 20)
# An execution is taken back before anybody has heard of it, or after.
BUSTS_S = (0.1, 2, 6)
SLIPS = tuple(map(Decimal, ("1", "0.995", "1.004", "1.02", "0.96")))


@dataclass(slots=True)
class Book:
    """An account as it truly is. `seen` is what it was, and since when, for looks that are late."""

    account_id: str
    cash: Decimal
    positions: dict[str, Decimal]
    status: str = "ACTIVE"
    seen: list[tuple[datetime, Account]] = field(default_factory=list)


@dataclass(slots=True)
class Placed:
    """An order at the market; `told` are the reports it could have given, oldest first."""

    order: Order
    broker_order_id: str
    at: datetime
    visible_at: datetime
    state: OrderState = OrderState.OPEN
    reason: str | None = None
    quantity: Decimal = ZERO
    value: Decimal = ZERO
    parts_left: int = 1
    executions: list[Execution] = field(default_factory=list)
    told: list[OrderReport] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state is OrderState.OPEN

    @property
    def reserved(self) -> Decimal:
        """Dollars or shares that it may still take."""
        if not self.is_open:
            return ZERO
        if self.order.side is Side.SELL:
            return (self.order.quantity or ZERO) - self.quantity
        return (self.order.notional or ZERO) - self.value


@dataclass(slots=True, kw_only=True)
class Market:
    """`prices` are current and may be missing; `last` are the last ones there were. All chance ends at
    `calm_at`; `sent_at` is when each order first left for the market.
    """

    calm_at: datetime
    time: Timeline
    tape: Tape
    weather: Weather
    last: dict[str, Decimal] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    placed: dict[str, list[Placed]] = field(default_factory=lambda: defaultdict(list))
    sent_at: dict[str, datetime] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    feed: list[str | Transfer] = field(default_factory=list)
    sendings: list[Sending] = field(default_factory=list)
    quoted: list[tuple[datetime, str, Decimal | None]] = field(default_factory=list)
    cancels: dict[str, datetime] = field(default_factory=dict)
    looks: list[tuple[datetime, str, Mapping[str, Decimal]]] = field(default_factory=list)
    calm: bool = False
    _orders: int = 0
    _executions: int = 0

    def happens(self, fault: str, label: str | None = None, *, times: int = 1) -> bool:
        """Whether a fault happens here, where it does so that many times as often."""
        if self.calm or fault not in self.weather.rates:
            return False
        if not self.tape.happens(label or fault, self.weather.rates[fault] * times):
            return False
        self.time.tag(fault)
        return True

    def quote(self, symbol: str, price: Decimal | None) -> None:
        """The symbol's price from now on; None: nobody says it, though it is still traded at the last one."""
        self.quoted.append((self.time.now, symbol, price))
        if price is None:
            self.prices.pop(symbol, None)
        else:
            self.last[symbol] = self.prices[symbol] = price

    def open_account(self, account_id: str, cash: Decimal, positions: Mapping[str, Decimal]) -> None:
        book = self.books[account_id] = Book(account_id, cash, dict(positions))
        self.enter("opened", account_id, amount=cash)
        for symbol, quantity in positions.items():
            self.enter("seeded", account_id, symbol=symbol, quantity=quantity)
        self.changed(book)

    def enter(self, kind: str, account_id: str, **details: Any) -> None:
        fact = Fact(seq=len(self.facts) + 1, at=self.time.now, kind=kind, account_id=account_id, **details)
        self.facts.append(fact)

    def changed(self, book: Book) -> None:
        """Tell the feed, and remember how the account was seen from now on."""
        self.feed.append(book.account_id)
        book.seen.append((self.time.now, self.account(book)))

    def account(self, book: Book) -> Account:
        held = {symbol: quantity for symbol, quantity in book.positions.items() if quantity}
        working = frozenset(key for key, one in self._open_orders(book.account_id))
        return Account(
            account_id=book.account_id,
            status=book.status,
            holdings=Holdings(cash=book.cash, positions=held),
            working=working,
        )

    def _open_orders(self, account_id: str) -> list[tuple[str, Placed]]:
        return [
            (key, one)
            for key, orders in self.placed.items()
            for one in orders
            if one.is_open and one.order.account_id == account_id
        ]

    def free(self, book: Book, side: Side, symbol: str) -> Decimal:
        """What a new order of that side may take: dollars, or shares of the symbol."""
        taken = sum(
            (
                one.reserved
                for _, one in self._open_orders(book.account_id)
                if one.order.side is side and (side is Side.BUY or one.order.symbol == symbol)
            ),
            ZERO,
        )
        return (book.cash if side is Side.BUY else book.positions.get(symbol, ZERO)) - taken

    def transfer(self, ref: str, account_id: str, amount: Decimal) -> bool:
        """Pay in, or out if there is as much that no order may take; whether it was done."""
        book = self.books[account_id]
        if amount < 0 and self.free(book, Side.BUY, "") + amount < 0:
            return False
        book.cash += amount
        self.enter("transfer", account_id, amount=amount, ref=ref)
        self.feed.append(Transfer(ref=ref, account_id=account_id, amount=amount, at=self.time.now))
        self.changed(book)
        return True

    def set_status(self, account_id: str, status: str) -> None:
        book = self.books[account_id]
        book.status = status
        self.enter("status", account_id, reason=status)
        self.changed(book)

    # Orders.

    def why_refused(self, order: Order) -> str | None:
        book = self.books.get(order.account_id)
        if book is None or book.status != "ACTIVE":
            return "account is not active"
        if order.symbol not in self.last:
            return "no such asset"
        wanted = order.quantity if order.side is Side.SELL else order.notional
        assert wanted is not None, "sells have a quantity, buys have dollars"
        if wanted > self.free(book, order.side, order.symbol):
            return "insufficient buying power" if order.side is Side.BUY else "insufficient quantity"
        return "refused at random" if self.happens("refused") else None

    def take(self, order: Order, *, visible_at: datetime) -> Placed:
        """Accept an order; it will be executed, or not, by chance."""
        self._orders += 1
        one = Placed(order, f"broker-{self._orders}", self.time.now, visible_at)
        one.parts_left = 1 + (self.tape.choice("parts", 4) if self.happens("partial fills") else 0)
        self.placed[order.client_order_id].append(one)
        self.enter(
            "accepted",
            order.account_id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=str(order.side),
            quantity=order.quantity,
            notional=order.notional,
        )
        self._tell(one)
        self.changed(self.books[order.account_id])
        if self.happens("rejected later"):
            self.time.after(1 + self.tape.choice("rejected after", 4), lambda: self._reject(one))
        elif self.happens("filled before ack"):
            self._fill(one)
        elif not self.happens("never fills"):
            self._plan_fill(one)
        return one

    def _plan_fill(self, one: Placed) -> None:
        slow = self.happens("slow fills")
        delays = SLOW_FILL_DELAYS_S if slow else FILL_DELAYS_S
        self.time.after(delays[self.tape.choice("fill delay", len(delays))], lambda: self._fill(one))

    def _reject(self, one: Placed) -> None:
        if one.is_open:
            one.state, one.reason = OrderState.REFUSED, "rejected by the exchange"
            self.enter(
                "rejected", one.order.account_id, client_order_id=one.order.client_order_id, reason=one.reason
            )
            self.time.tag("rejected after a part was filled" if one.quantity else "rejected")
            self._tell(one)
            self.changed(self.books[one.order.account_id])

    def cancel(self, one: Placed) -> None:
        if not one.is_open:
            self.time.tag("cancel comes after the end of the order")
            return
        self.time.tag("cancel after a partial fill" if one.quantity else "cancel before any fill")
        self._end(one, "canceled on request")
        if self.happens("fill after cancel"):
            self.time.after(1 + self.tape.choice("filled after cancel by", 3), lambda: self._fill_late(one))

    def _fill_late(self, one: Placed) -> None:
        """What was under way when the cancel was confirmed."""
        price = self._price(one.order.symbol)
        left = (one.order.quantity or ZERO) - one.quantity
        if one.order.side is Side.BUY:
            free = self.free(self.books[one.order.account_id], Side.BUY, "")
            left = min((one.order.notional or ZERO) - one.value, free) / price
        quantity = (left / 2).quantize(SMALLEST_PART, rounding=ROUND_DOWN)
        if quantity > 0:
            self.execute(one, quantity, price)
            self._tell(one)
            self.changed(self.books[one.order.account_id])

    def _end(self, one: Placed, reason: str) -> None:
        one.state, one.reason = OrderState.CANCELED, reason
        self.enter("canceled", one.order.account_id, client_order_id=one.order.client_order_id, reason=reason)
        self._tell(one)
        self.changed(self.books[one.order.account_id])

    def _fill(self, one: Placed) -> None:
        """Execute one part; the last takes all that is left."""
        if not one.is_open:
            return
        one.parts_left -= 1
        price = self._price(one.order.symbol)
        limit = one.order.worst_price
        if limit is not None and one.order.side.is_worse(price, limit):
            self._end(one, "its limit was not met")
            return
        quantity = self._part(one, price)
        if quantity:
            self.execute(one, quantity, price)
        if one.parts_left:
            self._plan_fill(one)
            self.time.tag("a part is filled")
            if quantity and self.happens("bust"):
                self.time.after(BUSTS_S[self.tape.choice("taken back by", 3)], lambda: self._bust(one))
        else:
            one.state = OrderState.FILLED
            if self.happens("overfill"):
                self._overfill(one, quantity / 2, price)
        self._tell(one)
        self.changed(self.books[one.order.account_id])

    def _overfill(self, one: Placed, wanted: Decimal, price: Decimal) -> None:
        """Execute more than was ordered, if the account has as much."""
        more = wanted.quantize(SMALLEST_PART, rounding=ROUND_DOWN)
        cost = more if one.order.side is Side.SELL else more * price
        if 0 < cost <= self.free(self.books[one.order.account_id], one.order.side, one.order.symbol):
            self.execute(one, more, price)
            self.time.tag("too much is executed")

    def _bust(self, one: Placed) -> None:
        """Take the last execution back, as long as the order works. Another may follow, or nothing."""
        last, book = one.executions[-1], self.books[one.order.account_id]
        value = last.quantity * last.price
        affordable = one.order.side is Side.BUY or self.free(book, Side.BUY, "") >= value
        if one.is_open and last.quantity > 0 and affordable:
            self.execute(one, -last.quantity, last.price, corrects=last.execution_id)
            self.time.tag("an execution is taken back")
            if self.tape.choice("nothing follows", 2):
                self._end(one, "done for the day")
                return
            self._tell(one)
            self.changed(book)

    def trade_by_hand(self, account_id: str) -> None:
        """Somebody sells half of what the account has of something, past us."""
        book = self.books[account_id]
        free = {s: self.free(book, Side.SELL, s) / 2 for s in sorted(book.positions)}
        symbol = next((s for s, quantity in free.items() if quantity > SMALLEST_PART), None)
        if symbol is None:
            return
        quantity, price = free[symbol].quantize(SMALLEST_PART, rounding=ROUND_DOWN), self.last[symbol]
        self._executions += 1
        self._move(book, Side.SELL, symbol, quantity=quantity, price=price)
        self.enter(
            "executed",
            account_id,
            symbol=symbol,
            side=str(Side.SELL),
            quantity=quantity,
            price=price,
            amount=quantity * price,
            execution_id=f"execution-{self._executions}",
        )
        self.time.tag("somebody trades past us")
        self.time.write("market", f"{account_id} sells {quantity} {symbol} by hand")
        self.changed(book)

    def _move(self, book: Book, side: Side, symbol: str, *, quantity: Decimal, price: Decimal) -> None:
        sign = 1 if side is Side.BUY else -1
        book.cash -= sign * quantity * price
        book.positions[symbol] = book.positions.get(symbol, ZERO) + sign * quantity

    def _price(self, symbol: str) -> Decimal:
        price = self.last[symbol]
        if self.happens("slippage"):
            price *= SLIPS[self.tape.choice("slip", len(SLIPS))]
        return price

    def _part(self, one: Placed, price: Decimal) -> Decimal:
        left = one.reserved if one.order.side is Side.SELL else one.reserved / price
        if one.parts_left:
            left = left * (1 + self.tape.choice("part", 8)) / 10
        return left.quantize(SMALLEST_PART, rounding=ROUND_DOWN)

    def execute(self, one: Placed, quantity: Decimal, price: Decimal, *, corrects: str | None = None) -> None:
        order, value = one.order, quantity * price
        sign = 1 if order.side is Side.BUY else -1
        self._executions += 1
        done = Execution(
            execution_id=f"execution-{self._executions}",
            client_order_id=order.client_order_id,
            quantity=quantity,
            price=price,
            at=self.time.now,
            corrects=corrects,
        )
        one.executions.append(done)
        one.quantity += quantity
        one.value += value
        self._move(self.books[order.account_id], order.side, order.symbol, quantity=quantity, price=price)
        self.enter(
            "executed",
            order.account_id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=str(order.side),
            quantity=quantity,
            price=price,
            amount=-sign * value,
            execution_id=done.execution_id,
        )

    def _tell(self, one: Placed) -> None:
        """What the order says of itself from now on."""
        self.time.write("market", f"{one.order.client_order_id[:8]} {one.state} {one.quantity}")
        one.told.append(
            OrderReport(
                client_order_id=one.order.client_order_id,
                broker_order_id=one.broker_order_id,
                account_id=one.order.account_id,
                symbol=one.order.symbol,
                side=one.order.side,
                quantity=one.order.quantity,
                notional=one.order.notional,
                state=one.state,
                filled=one.quantity,
                executions=tuple(one.executions),
                reason=one.reason,
                updated_at=self.time.now,
            )
        )

    def close(self) -> None:
        """Orders are for the day: what still works expires."""
        for one in (one for orders in self.placed.values() for one in orders if one.is_open):
            self.time.tag("an order expires at the close")
            self._end(one, "expired at the close")

    def calm_down(self) -> None:
        """Faults are over: prices and accounts are back, and what works at the market is executed soon."""
        self.calm = True
        for symbol, price in self.last.items():
            self.quote(symbol, price)
        for account_id, book in self.books.items():
            if book.status != "ACTIVE":
                self.set_status(account_id, "ACTIVE")
        for orders in list(self.placed.values()):
            for one in orders:
                if one.is_open:
                    one.parts_left = 1
                    self._plan_fill(one)

    def late_account(self, account_id: str, late: timedelta) -> Account:
        """The account as it was that long ago."""
        seen = self.books[account_id].seen
        known = [account for since, account in seen if since <= self.time.now - late]
        if known[-1:] != [seen[-1][1]]:
            self.time.tag("account shown as it was")
        return known[-1] if known else seen[0][1]

    def shuffled(self, report: OrderReport) -> OrderReport:
        """The same, its executions doubled and in another order."""
        return replace(report, executions=(*reversed(report.executions), *report.executions[:1]))
