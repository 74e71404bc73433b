"""Every broker on a stage of its own, where the conformance suite can make it meet good days and bad ones.

On each stage there is one account with $10,000 and ten of `held`, at $400; `other` costs $100. Orders are
executed at once and whole, unless the stage is told otherwise.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from uuid import UUID

import httpx

from tests.brokers import coins, market, trading
from tests.brokers.alpaca_server import LOST_AFTER, LOST_BEFORE, AlpacaServer, Fault, alpaca_server
from tests.brokers.exchange_book import Exchange
from tests.brokers.exchange_server import ExchangeServer, running_exchange
from tests.brokers.market import Clock
from trimtab.brokers.alpaca import AlpacaBroker
from trimtab.brokers.alpaca_budget import Budget
from trimtab.brokers.alpaca_calls import Access, Calls
from trimtab.brokers.broker import Broker
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.core.run import Order, Side
from trimtab.database import open_database

CASH, HELD_QUANTITY = Decimal(10_000), Decimal(10)
HELD_PRICE, OTHER_PRICE = Decimal(400), Decimal(100)
ANY_KEY = ("any", "key")
FOREVER_S = 24 * 60 * 60
FOREVER = timedelta(seconds=FOREVER_S)


class Wings(Protocol):
    """What happens behind a broker. `sends_over_a_wire` says that sending takes time."""

    held: str
    other: str
    account_id: str
    sends_over_a_wire: bool

    def open(self) -> AbstractContextManager[Broker]: ...
    def losing_answers(self) -> AbstractContextManager[None]: ...
    def losing_orders(self) -> AbstractContextManager[None]: ...
    def down(self) -> AbstractContextManager[None]: ...
    def execute_at_once(self, part: Decimal) -> None: ...
    def execute_the_rest(self) -> None: ...
    def deposit(self, amount: Decimal) -> None: ...
    def taken(self) -> list[str]: ...


@dataclass
class Stage:
    """A broker, the time that is set for it, and short ways to order."""

    wings: Wings
    clock: Clock
    broker: Broker
    made: int = 0

    def order(
        self,
        side: Side,
        symbol: str | None = None,
        *,
        quantity: str | None = None,
        notional: str | None = None,
    ) -> Order:
        self.made += 1
        made = market.order(
            str(UUID(int=self.made, version=4)),
            side,
            symbol=symbol or (self.wings.held if side is Side.SELL else self.wings.other),
            account_id=self.wings.account_id,
            quantity=quantity,
            notional=notional,
        )
        return replace(made, sent_at=self.clock.now)

    def sell(self, quantity: str = "2") -> Order:
        return self.order(Side.SELL, quantity=quantity)

    def buy(self, notional: str = "1000") -> Order:
        return self.order(Side.BUY, notional=notional)


@dataclass
class PaperWings:
    """The paper broker in this process, on SQLite."""

    clock: Clock
    url: str
    held: str = "SPY"
    other: str = "TLT"
    account_id: str = "ann"
    sends_over_a_wire: bool = False
    _owner: PaperBroker = field(init=False)
    _pace: dict[str, object] = field(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[Broker]:
        db = open_database(self.url, schema=SCHEMA)
        prepare(db)
        self._owner = PaperBroker(db, self.clock)
        yield self._owner
        db.close()

    def set_up(self) -> None:
        self._owner.set_prices({self.held: HELD_PRICE, self.other: OTHER_PRICE})
        self._owner.open_account(self.account_id, "tenant", cash=CASH, positions={self.held: HELD_QUANTITY})

    @contextmanager
    def _faults(self, **faults: object) -> Iterator[None]:
        self._owner.set_faults({**self._pace, **faults})
        yield
        self._owner.set_faults(self._pace)

    def losing_answers(self) -> AbstractContextManager[None]:
        return self._faults(lost_reply=1)

    def losing_orders(self) -> AbstractContextManager[None]:
        return self._faults(outage=True)

    def down(self) -> AbstractContextManager[None]:
        return self._faults(outage=True)

    def execute_at_once(self, part: Decimal) -> None:
        self._pace = {"partial_fill": 1} if 0 < part < 1 else {} if part else {"fill_delay_s": FOREVER_S}
        self._owner.set_faults(self._pace)

    def execute_the_rest(self) -> None:
        self.clock.now += FOREVER

    def deposit(self, amount: Decimal) -> None:
        self._owner.transfer("deposit", self.account_id, amount=amount)

    def taken(self) -> list[str]:
        return [e.client_order_id or "" for e in self._owner.read_ledger() if e.kind == "accepted"]


@dataclass
class ExchangeWings:
    """The crypto broker at a served exchange."""

    clock: Clock
    exchange: Exchange
    server: ExchangeServer
    held: str = "ETH"
    other: str = "SOL"
    sends_over_a_wire: bool = True
    account_id: str = field(init=False)

    @contextmanager
    def open(self) -> Iterator[Broker]:
        broker = coins.broker_at(self.server, self.clock)
        self.account_id = broker.account_id
        yield broker

    @contextmanager
    def _all_orders(self, fault: str) -> Iterator[None]:
        self.server.faults.rates = {fault: 1}
        yield
        self.server.faults.rates = {}

    def losing_answers(self) -> AbstractContextManager[None]:
        return self._all_orders("lost_answer")

    def losing_orders(self) -> AbstractContextManager[None]:
        return self._all_orders("lost_request")

    @contextmanager
    def down(self) -> Iterator[None]:
        self.server.faults.reads_down, self.server.faults.cancels_lost = True, 99
        with self._all_orders("unavailable"):
            yield
        self.server.faults.reads_down, self.server.faults.cancels_lost = False, 0

    def execute_at_once(self, part: Decimal) -> None:
        self.exchange.first, self.exchange.rest_after = part, FOREVER

    def execute_the_rest(self) -> None:
        self.clock.now += FOREVER

    def deposit(self, amount: Decimal) -> None:
        self.exchange.balances["USD"] += amount

    def taken(self) -> list[str]:
        return self.exchange.accepted


@dataclass
class AlpacaWings:
    """The Alpaca broker at a served Alpaca."""

    clock: Clock
    server: AlpacaServer
    held: str = "SPY"
    other: str = "TLT"
    account_id: str = "ann"
    sends_over_a_wire: bool = True

    @contextmanager
    def open(self) -> Iterator[Broker]:
        broker = trading.broker_at(self.server, self.clock)
        yield broker
        broker.close()

    @contextmanager
    def _all_calls(self, method: str, fault: Fault) -> Iterator[None]:
        self.server.draw = lambda called, _path: fault if called == method or not method else None
        yield
        self.server.draw = lambda _method, _path: None

    def losing_answers(self) -> AbstractContextManager[None]:
        return self._all_calls("POST", LOST_AFTER)

    def losing_orders(self) -> AbstractContextManager[None]:
        return self._all_calls("POST", LOST_BEFORE)

    def down(self) -> AbstractContextManager[None]:
        return self._all_calls("", Fault(status=503, body=b""))

    def execute_at_once(self, part: Decimal) -> None:
        self.server.fills = lambda: part or None

    def execute_the_rest(self) -> None:
        for key, order in self.server.orders.items():
            if order.status in {"new", "partially_filled"}:
                self.server.fill(key)

    def deposit(self, amount: Decimal) -> None:
        self.server.accounts[self.account_id].cash += amount

    def taken(self) -> list[str]:
        return list(self.server.orders)


@dataclass
class ServedPaperWings:
    """The Alpaca broker at `trimtab paper`, over a real socket."""

    clock: Clock
    market: httpx.Client
    held: str = "SPY"
    other: str = "TLT"
    sends_over_a_wire: bool = True
    account_id: str = field(init=False)
    _pace: dict[str, object] = field(default_factory=dict)

    def set_up(self) -> None:
        self._put("faults", {})
        shown = self.market.get("/sandbox/clock").raise_for_status().json()
        if shown["simulated"]:
            self.clock.now = datetime.fromisoformat(shown["now"])
        self._put("clock", {"now": self.clock.now.isoformat()})
        self._put("prices", {self.held: str(HELD_PRICE), self.other: str(OTHER_PRICE)})
        begins_with = {"cash": str(CASH), "positions": [{"symbol": self.held, "qty": str(HELD_QUANTITY)}]}
        opened = self.market.post("/sandbox/accounts", json=begins_with).raise_for_status()
        self.account_id = opened.json()["account_id"]

    def _put(self, what: str, body: object) -> None:
        self.market.put(f"/sandbox/{what}", json=body).raise_for_status()

    @contextmanager
    def open(self) -> Iterator[Broker]:
        url, (key_id, secret) = str(self.market.base_url), ANY_KEY
        access = Access(url=url.rstrip("/"), data_url=url.rstrip("/"), key_id=key_id, secret=secret)
        calls = Calls(access, Budget(trading.Shared(self.clock), self.clock))
        broker = AlpacaBroker(calls, self.clock, quarantine=timedelta(seconds=30), price_age_max=None)
        yield broker
        broker.close()

    @contextmanager
    def _faults(self, **faults: object) -> Iterator[None]:
        self._put("faults", {**self._pace, **faults})
        yield
        self._put("faults", self._pace)

    def losing_answers(self) -> AbstractContextManager[None]:
        return self._faults(lost_reply=1)

    def losing_orders(self) -> AbstractContextManager[None]:
        return self._faults(outage=True)

    def down(self) -> AbstractContextManager[None]:
        return self._faults(outage=True)

    def execute_at_once(self, part: Decimal) -> None:
        self._pace = {"partial_fill": 1} if 0 < part < 1 else {} if part else {"fill_delay_s": FOREVER_S}
        self._put("faults", self._pace)

    def execute_the_rest(self) -> None:
        self.clock.now += FOREVER
        self._put("clock", {"now": self.clock.now.isoformat()})

    def deposit(self, amount: Decimal) -> None:
        cash = f"/sandbox/accounts/{self.account_id}/cash"
        self.market.post(cash, json={"amount": str(amount)}).raise_for_status()

    def taken(self) -> list[str]:
        told = self.market.get("/sandbox/orders", params={"limit": 1000}).raise_for_status().json()
        return [o["client_order_id"] for o in told["orders"] if o["account_id"] == self.account_id]


@contextmanager
def paper_in_process(folder: Path) -> Iterator[Stage]:
    clock = Clock()
    wings = PaperWings(clock, f"sqlite:///{folder / 'paper.db'}")
    with wings.open() as broker:
        wings.set_up()
        yield Stage(wings, clock, broker)


@contextmanager
def crypto_at_an_exchange(_folder: Path) -> Iterator[Stage]:
    clock = Clock()
    exchange = coins.exchange_with(clock, USD=str(CASH), ETH=str(HELD_QUANTITY))
    exchange.add_market("ETH", str(HELD_PRICE), step="0.0001")
    exchange.add_market("SOL", str(OTHER_PRICE), step="0.001")
    with running_exchange(exchange) as server:
        wings = ExchangeWings(clock, exchange, server)
        with wings.open() as broker:
            yield Stage(wings, clock, broker)


@contextmanager
def alpaca_at_a_served_alpaca(_folder: Path) -> Iterator[Stage]:
    clock = Clock()
    with alpaca_server(clock) as server:
        wings = AlpacaWings(clock, server)
        server.set_prices(**{wings.held: str(HELD_PRICE), wings.other: str(OTHER_PRICE)})
        server.open_account(wings.account_id, str(CASH), **{wings.held: str(HELD_QUANTITY)})
        with wings.open() as broker:
            yield Stage(wings, clock, broker)


@contextmanager
def alpaca_at_trimtab_paper(url: str) -> Iterator[Stage]:
    clock = Clock()
    with httpx.Client(base_url=url, auth=ANY_KEY, trust_env=False) as market_client:
        wings = ServedPaperWings(clock, market_client)
        wings.set_up()
        with wings.open() as broker:
            yield Stage(wings, clock, broker)


# A broker that is to be trusted with orders has a line here.
STAGES: dict[str, Callable[[Path], AbstractContextManager[Stage]]] = {
    "paper": paper_in_process,
    "crypto": crypto_at_an_exchange,
    "alpaca": alpaca_at_a_served_alpaca,
}
