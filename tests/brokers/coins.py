"""A crypto broker on a running test exchange: two coins, a clock that is set, short ways to order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from tests.brokers import market
from tests.brokers.exchange_book import QUOTE, Exchange
from tests.brokers.exchange_server import KEY, SECRET, ExchangeServer, running_exchange
from tests.brokers.market import Clock
from trimtab.brokers.broker import OrderReport, Outcome
from trimtab.brokers.crypto import CryptoBroker, Terms
from trimtab.brokers.crypto_exchange import open_exchange
from trimtab.core.run import Order, Side
from trimtab.settings_exchange import ExchangeSettings

TERMS = Terms(quote=QUOTE, quarantine=timedelta(seconds=60), price_age_max=timedelta(seconds=60))


def broker_at(
    server: ExchangeServer,
    clock: Callable[[], datetime],
    *,
    terms: Terms = TERMS,
    secret: str = SECRET,
    name: str = "binance",
) -> CryptoBroker:
    exchange = open_exchange(ExchangeSettings(name=name, key=KEY, secret=secret, url=server.url))
    # No pauses between calls: nobody is overrun here.
    exchange.rateLimit = 0.001
    return CryptoBroker(exchange, clock, terms=terms)


def exchange_with(clock: Callable[[], datetime], **balances: str) -> Exchange:
    """BTC costs $60,000, ETH $3,000."""
    exchange = Exchange(clock=clock, balances={coin: Decimal(amount) for coin, amount in balances.items()})
    exchange.add_market("BTC", "60000", step="0.00001")
    exchange.add_market("ETH", "3000", step="0.0001", least="0.001")
    return exchange


@dataclass
class Coins:
    """The account has $10,000 and 0.5 BTC."""

    clock: Clock
    exchange: Exchange
    server: ExchangeServer
    broker: CryptoBroker
    sent: list[Order] = field(default_factory=list)

    def order(
        self,
        side: Side,
        symbol: str = "BTC",
        *,
        quantity: str | None = None,
        notional: str | None = None,
        worst_price: str | None = None,
    ) -> Order:
        made = market.order(
            str(UUID(int=len(self.sent) + 1, version=4)),
            side,
            symbol=symbol,
            account_id=self.broker.account_id,
            quantity=quantity,
            notional=notional,
            worst_price=worst_price,
        )
        self.sent.append(made)
        return made

    def send(self, order: Order) -> Outcome:
        (outcome,) = self.broker.submit([order])
        return outcome

    def sell(self, quantity: str, symbol: str = "BTC") -> Outcome:
        return self.send(self.order(Side.SELL, symbol, quantity=quantity))

    def buy(self, notional: str, symbol: str = "ETH") -> Outcome:
        return self.send(self.order(Side.BUY, symbol, notional=notional))

    @property
    def last(self) -> OrderReport | None:
        """What the broker shows of the order that was sent last."""
        order = self.sent[-1]
        return self.broker.lookup([order]).get(order.client_order_id)

    @property
    def holdings(self) -> dict[str, Decimal]:
        held = self.broker.accounts([self.broker.account_id])[self.broker.account_id].holdings
        return {QUOTE: held.cash, **held.positions}


@contextmanager
def open_coins() -> Iterator[Coins]:
    clock = Clock()
    exchange = exchange_with(clock, USD="10000", BTC="0.5")
    with running_exchange(exchange) as server:
        yield Coins(clock, exchange, server, broker_at(server, clock))
