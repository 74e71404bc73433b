"""One exchange behind ccxt, made strict: what is asked of it leaves once, and no number is a float.

ccxt speaks the wire; this decides how it may. One call at a time, no retries, no redirects, numbers as
the text that the exchange wrote, and one table that says what an error proves of an order.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import ccxt
from ccxt.base.errors import (
    ArgumentsRequired,
    AuthenticationError,
    BadRequest,
    DuplicateOrderId,
    InsufficientFunds,
    InvalidOrder,
    MarketClosed,
    OrderNotCached,
    OrderNotFound,
    RestrictedLocation,
)

from trimtab.brokers.broker import NotSent, Refused, Unknown
from trimtab.core.errors import BrokerDown, CannotStart
from trimtab.settings_exchange import ExchangeSettings

T = TypeVar("T")

TIMEOUT_MS = 10_000
SERVER_ERROR = 500
WHY_LENGTH_MAX = 300
NEEDED = ("fetchBalance", "fetchMarkets", "createOrder", "fetchOrder", "fetchOpenOrders", "cancelOrder")
# Signed addresses tell more than a reason should.
_QUERY = re.compile(r"\?\S+")


# How long a client order id may be where ccxt sends one with an order, and finds and cancels the order by
# it. Read in ccxt 4.5 (createOrder, fetchOrder, cancelOrder of each) and in the exchanges' own notes; where
# it is 32, only letters and digits are allowed. An exchange that is not listed is taken to have none.
CLIENT_ID_LENGTHS: Mapping[str, int] = {"binance": 36, "binanceus": 36, "bitget": 32, "okx": 32}


@dataclass(frozen=True, slots=True)
class Taken:
    """What the exchange answered to an order that it took."""

    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Repeated:
    """An order with this client order id is there already."""

    reason: str


Answer = Taken | Repeated | Refused | Unknown | NotSent


# What an order was proven not to become: the first that fits counts, and what is not listed proves nothing.
# OrderNotFound and OrderNotCached come from looks that some exchanges' classes take after they have sent.
VERDICTS: tuple[tuple[type[Exception], type[Repeated | Refused | Unknown]], ...] = (
    (DuplicateOrderId, Repeated),
    (OrderNotFound, Unknown),
    (OrderNotCached, Unknown),
    (InvalidOrder, Refused),
    (InsufficientFunds, Refused),
    (BadRequest, Refused),
    (ArgumentsRequired, Refused),
    (AuthenticationError, Refused),
    (MarketClosed, Refused),
    (RestrictedLocation, Refused),
)


class Line:
    """The only way to the exchange: one call at a time, each of them once."""

    def __init__(self, exchange: Any) -> None:
        self._exchange = exchange
        self._lock = Lock()
        self._status = 0
        exchange.session.hooks["response"].append(self._note)

    def ask(self, question: Callable[[Any], T]) -> T:
        """The answer to a question; BrokerDown for whatever stands in its way, a broken answer too."""
        # ccxt sets the rounding of the thread's decimals.
        with self._lock, localcontext():
            try:
                return question(self._exchange)
            except Exception as error:  # an answer that cannot be read is no answer
                raise BrokerDown(why(error)) from error

    def send(self, ticket: "Ticket", *, may_leave: Callable[[], bool]) -> Answer:
        """Send an order once, unless it has waited for too long by the time that the line is free."""
        with self._lock, localcontext():
            if not may_leave():
                return NotSent("the intent to send it was too old")
            self._status = 0
            try:
                return Taken(ticket.send(self._exchange))
            except Exception as error:  # the order is out: nothing that follows may look like a refusal
                return verdict(error, self._status)

    def _note(self, response: Any, **_options: object) -> None:
        self._status = response.status_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An order as ccxt takes it: `amount` in units of the base, or `cost` in units of the quote; with a
    `price` it is executed at once no worse than at that, or not at all.
    """

    market: str
    side: str
    amount: str | None = None
    cost: str | None = None
    price: str | None = None
    client_order_id: str | None = None

    def send(self, exchange: Any) -> dict[str, Any]:
        params = {} if self.client_order_id is None else {"clientOrderId": self.client_order_id}
        if self.cost is not None:
            answer = exchange.create_market_buy_order_with_cost(self.market, self.cost, params)
        elif self.price is not None:
            bounded = {**params, "timeInForce": "IOC"}
            answer = exchange.create_order(self.market, "limit", self.side, self.amount, self.price, bounded)
        else:
            answer = exchange.create_order(self.market, "market", self.side, self.amount, None, params)
        return dict(answer)


def verdict(error: Exception, status: int) -> Answer:
    """What an error proves of the order that was being sent.

    A server error proves nothing, whatever its body says: exchanges say themselves that such an order may
    have been taken.
    """
    if status >= SERVER_ERROR:
        return Unknown(why(error))
    # Binance's "Duplicate order sent." is an InvalidOrder to ccxt.
    if isinstance(error, InvalidOrder) and "duplicate" in str(error).lower():
        return Repeated(why(error))
    for kind, proven in VERDICTS:
        if isinstance(error, kind):
            return proven(why(error))
    return Unknown(why(error))


def why(error: Exception) -> str:
    """One line without the signature of the request."""
    text = " ".join(_QUERY.sub("", str(error)).split())
    return f"{type(error).__name__}: {text}"[:WHY_LENGTH_MAX]


def number(text: object) -> Decimal:
    """The number that the exchange wrote, if it is one."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text} is no amount")
    return value


def price_in(text: object) -> Decimal | None:
    """A price that the exchange wrote; None if it is none: one market's trouble is not to stop the others."""
    try:
        return number(text)
    except (ArithmeticError, TypeError, ValueError):
        return None


def spelled(client_order_id: str, length_max: int) -> str:
    """Our id as the exchange takes it: where its 36 characters are too many, the 32 digits among them."""
    return client_order_id if len(client_order_id) <= length_max else UUID(client_order_id).hex


def unspelled(text: str) -> str:
    """The id that was spelled like this; that of a stranger's order stays as it is."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


def open_exchange(settings: ExchangeSettings) -> Any:
    """The exchange, set up for spot trading. Raises CannotStart."""
    name = settings.name
    if name not in ccxt.exchanges:
        raise CannotStart(f"TRIMTAB_BROKER is 'ccxt:{name}': ccxt knows no exchange of that name")
    exchange = getattr(ccxt, name)(
        {
            "apiKey": settings.key,
            "secret": settings.secret,
            "password": settings.password,
            "enableRateLimit": True,
            "timeout": TIMEOUT_MS,
            "options": {
                "defaultType": "spot",
                "maxRetriesOnFailure": 0,
                # What is never traded here is not loaded: derivatives, margin pairs, deposit networks.
                "fetchMarkets": {"types": ["spot"]},
                "fetchMargins": False,
                "fetchCurrencies": False,
                "fetchOpenOrders": {"warnWithoutSymbol": False},
            },
        }
    )
    exchange.has["fetchCurrencies"] = False
    exchange.number = str
    # A redirect could make of one order two.
    exchange.session.max_redirects = 0
    missing = [each for each in NEEDED if not exchange.has.get(each)]
    if missing:
        raise CannotStart(f"{name} cannot be traded through ccxt: it lacks {', '.join(missing)}")
    if settings.url:
        exchange.urls["api"] = _moved(exchange.urls["api"], settings.url)
    return exchange


def _moved(address: Any, url: str) -> Any:
    """An address, or a tree of them, with another scheme and host."""
    if isinstance(address, Mapping):
        return {key: _moved(value, url) for key, value in address.items()}
    return url.rstrip("/") + urlsplit(address).path
