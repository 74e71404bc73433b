"""The broker of the proofs: Alpaca's wire with a journal of its own, in real time, with faults of its own.

Orders execute when the market gets to them, in parts, late or not at all; answers are lost before and after
acceptance, requests arrive when nobody waits for them any more, events come twice and out of order. It
lives in the process of the test and outlives every server.
"""

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from random import Random

from tests.brokers.alpaca_server import (
    FAULTS,
    FINAL,
    KEY,
    LOST_BEFORE,
    ORDER_FAULTS,
    AlpacaServer,
    Fault,
    Json,
    ServedOrder,
    served,
)

TICK_S = 0.02
TOO_MANY = Fault(status=429, body=b'{"code": 42910000}', headers={"Retry-After": "1"})
PRICES = {"SPY": "417.83", "TLT": "137.62", "GLD": "200"}


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How often what goes wrong, of each call or order. `late_s` is the longest that a request is under way,
    `slow_s` the longest that the market takes for the next part of an order.
    """

    orders: float = 0
    questions: float = 0
    events: float = 0
    rejects: float = 0
    waits: float = 0.6
    late_s: float = 1.5
    slow_s: float = 1.5


FAIR = Weather(waits=0)
SLOW = Weather(waits=1, slow_s=3)
# Of questions few: a sweep asks hundreds of them, and is over with the first that fails.
BAD = Weather(orders=0.15, questions=0.003, events=0.3, rejects=0.03)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What became of an order, at a moment: an event of it, with what was executed of it by then."""

    at: datetime
    event: str
    order: ServedOrder
    quantity: Decimal
    value: Decimal


class Exchange(AlpacaServer):
    """`journal` is everything that ever happened to orders here, in order; `strangers` are refusals that no
    fault explains, `order_faults` the calls with orders that went wrong. `on_order` is told of every order
    that arrives, before it is taken.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(wall_clock)
        self.weather = FAIR
        self.journal: list[Fact] = []
        self.canceling: list[tuple[datetime, str]] = []
        self.strangers: list[str] = []
        self.order_faults = 0
        self.on_order: Callable[[], None] = lambda: None
        self.draw = self._fault
        self.fills = self._at_once
        self._chance = Random(seed)
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self.set_prices(**PRICES)

    # What goes wrong on the way.

    def _fault(self, method: str, path: str) -> Fault | None:
        if method == "POST":
            self.on_order()
            return self._order_fault()
        if path.startswith("/v2/events"):
            return LOST_BEFORE if self._happens(self.weather.events) else None
        if not self._happens(self.weather.questions):
            return None
        return self._chance.choice([*FAULTS, TOO_MANY])

    def _order_fault(self) -> Fault | None:
        if not self._happens(self.weather.orders):
            return None
        self.order_faults += 1
        # What an order suffers after it was accepted is what hurts.
        kinds = self._chance.choice([ORDER_FAULTS, ORDER_FAULTS, FAULTS, (TOO_MANY,)])
        return self._chance.choice(kinds)

    def _happens(self, rate: float) -> bool:
        return self._chance.random() < rate

    def say(self, event_id: str, text: str) -> None:
        """Tell twice, or after what comes next."""
        if self._happens(self.weather.events):
            self._later(partial(super().say, event_id, text), within_s=self.weather.late_s)
            return
        super().say(event_id, text)
        if self._happens(self.weather.events):
            super().say(event_id, text)

    # What the market does.

    def _at_once(self) -> Decimal | None:
        if not self._happens(self.weather.waits):
            return Decimal(1)
        return self._chance.choice([Decimal("0.3"), None])

    def take(self, account_id: str, body: Json) -> tuple[int, object]:
        with self.lock:
            known = str(body["client_order_id"]) in self.orders
            status, answer = super().take(account_id, body)
            if status == 200:
                self._plan(self.orders[str(body["client_order_id"])])
            elif not known:
                self.strangers.append(f"{body} was answered {status}: {answer}")
            return status, answer

    def _plan(self, order: ServedOrder) -> None:
        """The rest of an order that is open: some parts, or its end."""
        if order.status in FINAL:
            return
        slow_s = self.weather.slow_s
        if self._happens(self.weather.rejects):
            self._later(partial(self._end, order), within_s=slow_s)
            return
        for part in self._chance.choice([(), (Decimal("0.4"),)]):
            self._later(partial(self._execute, order, part), within_s=slow_s)
        self._later(partial(self._execute, order, Decimal(1)), within_s=slow_s, after_s=slow_s)

    def _execute(self, order: ServedOrder, part: Decimal) -> None:
        if order.status not in FINAL:
            self.fill(order.client_order_id, part)

    def _end(self, order: ServedOrder) -> None:
        if order.status not in FINAL:
            self.change(order, "expired" if order.filled else "rejected")

    def _later(self, work: Callable[[], object], *, within_s: float, after_s: float = 0) -> None:
        at = time.monotonic() + after_s + self._chance.uniform(0, within_s)
        heapq.heappush(self._due, (at, next(self._numbers), work))

    def tick(self) -> None:
        """Let everything happen whose time has come."""
        with self.lock:
            late, self.late = self.late, []
            for account_id, body in late:
                self._later(partial(self.take, account_id, body), within_s=self.weather.late_s)
            while self._due and self._due[0][0] <= time.monotonic():
                heapq.heappop(self._due)[2]()

    @property
    def has_plans(self) -> bool:
        """Whether something is still under way."""
        with self.lock:
            return bool(self._due or self.late)

    # What is written down.

    def tell(self, order: ServedOrder, event: str) -> None:
        fact = Fact(at=self.clock(), event=event, order=order, quantity=order.filled, value=order.spent)
        self.journal.append(fact)
        super().tell(order, event)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Json) -> tuple[int, object]:
        if method == "DELETE":
            self.canceling.append((self.clock(), path.rpartition("/")[2]))
        return super().answer(method, path, query, body)


@contextmanager
def open_exchange(seed: int) -> Iterator[Exchange]:
    """An exchange that can be reached, and whose market moves."""
    exchange = Exchange(seed)
    closing = threading.Event()

    def trade() -> None:
        while not closing.wait(TICK_S):
            exchange.tick()

    with served(exchange):
        market = threading.Thread(target=trade, name="market")
        market.start()
        try:
            yield exchange
        finally:
            closing.set()
            market.join()


def settings_of(exchange: Exchange, quarantine_s: int) -> dict[str, str]:
    """What a server has to be told to trade there, in real time and around the clock."""
    key_id, secret = KEY
    return {
        "TRIMTAB_SANDBOX": "0",
        "TRIMTAB_MARKET": "24/7",
        "TRIMTAB_BROKER": "alpaca",
        "TRIMTAB_ALPACA_URL": exchange.url,
        "TRIMTAB_ALPACA_KEY_ID": key_id,
        "TRIMTAB_ALPACA_SECRET": secret,
        "TRIMTAB_PRICE_AGE_MAX_S": "0",
        "TRIMTAB_QUARANTINE_S": str(quarantine_s),
        "TRIMTAB_MINUTE_ORDERS_MAX": "0",
        "TRIMTAB_INVEST_CASH_MIN": "0",
        "TRIMTAB_RATE_LIMIT": "6000000",
    }
