"""A broker at a served Alpaca: one clock that is set, one account, and short ways to order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.brokers.alpaca_server import KEY, AlpacaServer, alpaca_server
from tests.brokers.market import Clock
from trimtab.brokers.alpaca import AlpacaBroker
from trimtab.brokers.alpaca_budget import Budget
from trimtab.brokers.alpaca_calls import Access, Calls
from trimtab.brokers.broker import Outcome
from trimtab.core.rates import Window, portion
from trimtab.core.run import Order

PRICE_AGE_MAX = timedelta(minutes=15)


@dataclass(slots=True)
class Shared:
    """What processes share of the rate limit, without a database."""

    clock: Callable[[], datetime]
    known: Window | None = None

    def __call__(self, told: Window | None) -> tuple[Window | None, int]:
        self.known, granted = portion(self.known, told, now=self.clock())
        return self.known, granted


@dataclass(slots=True, kw_only=True)
class Trading:
    """`ann` has $1,000 and 2 SPY; SPY costs $400, TLT $100."""

    clock: Clock
    server: AlpacaServer
    broker: AlpacaBroker

    def send(self, order: Order) -> Outcome:
        (outcome,) = self.broker.submit([order])
        return outcome


@contextmanager
def trading(*, secret: str = KEY[1], price_age_max: timedelta | None = PRICE_AGE_MAX) -> Iterator[Trading]:
    clock = Clock()
    with alpaca_server(clock) as server:
        server.open_account("ann", "1000", SPY="2")
        server.set_prices(SPY="400", TLT="100")
        broker = broker_at(server, clock, secret=secret, price_age_max=price_age_max)
        made = Trading(clock=clock, server=server, broker=broker)
        try:
            yield made
        finally:
            made.broker.close()


def broker_at(
    server: AlpacaServer,
    clock: Clock,
    *,
    secret: str = KEY[1],
    price_age_max: timedelta | None = PRICE_AGE_MAX,
    url: str | None = None,
) -> AlpacaBroker:
    access = Access(url=url or server.url, data_url=url or server.url, key_id=KEY[0], secret=secret)
    return AlpacaBroker(
        Calls(access, Budget(Shared(clock), clock)),
        clock,
        quarantine=timedelta(seconds=30),
        price_age_max=price_age_max,
    )
