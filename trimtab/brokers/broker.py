"""What Trimtab asks of a broker, and the three answers an order can get.

A broker is a place with prices, accounts and orders. It is always asked about many things at once,
because the engine works on a whole shard; a broker that answers one by one loops inside. Every
question may raise BrokerDown; `submit` never does: an order whose fate is open is `Unknown`. Questions about
accounts and orders, and cancels, may raise BrokerPartlyDown, so that one account in trouble does not keep
the others waiting.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from trimtab.core.adoption import Body
from trimtab.core.corporate import CorporateAction, Split, pending
from trimtab.core.money import places
from trimtab.core.plan import Holdings
from trimtab.core.run import Execution, Order, OrderState, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What may be relied on.

    `quarantine` is longer than an order can take to surface after it was sent; `batch` is how many
    orders may be under way at once, so that a crash leaves dozens of open questions, not thousands.
    `tells_changes`: whether `feed` names every account that changes; where it does not, all accounts are
    looked at again and again.
    """

    name: str
    drops_duplicates: bool
    quarantine: timedelta
    batch: int
    tells_changes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as the broker sees it now; `status` is the broker's word, ACTIVE if it may trade.

    `working` are the client order ids of all its open orders, whoever sent them.
    """

    account_id: str
    status: str
    holdings: Holdings
    working: frozenset[str] = frozenset()

    @property
    def is_active(self) -> bool:
        return self.status == "ACTIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What is traded. An order of V dollars executes on average at price x (1 + V / `depth`) if it buys and
    price x (1 - V / `depth`) if it sells: its impact is V / `depth`. None: the market is endless.

    Quantities are traded in multiples of `increment`, if there is one.
    `actions` are all the corporate actions that changed positions in it, oldest first.
    """

    symbol: str
    asset_id: str
    active: bool
    tradable: bool
    fractionable: bool
    depth: Decimal | None = None
    increment: Decimal | None = None
    actions: tuple[CorporateAction, ...] = ()

    @property
    def pending(self) -> Split | None:
        """A split of which the broker shows the price or the quantities only: the two must not be
        multiplied.
        """
        return pending(self.actions)

    @property
    def is_eligible(self) -> bool:
        """Whether a strategy may name it (notes on Alpaca's contract, 2.2)."""
        return self.active and self.tradable and self.fractionable

    @property
    def why_ineligible(self) -> str | None:
        flags = {
            "not active": self.active,
            "not tradable": self.tradable,
            "not fractionable": self.fractionable,
        }
        return next((why for why, holds in flags.items() if not holds), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """An order as the broker sees it, last changed there at `updated_at`.

    `filled` is the quantity executed in all; `executions` are at least those that the asker did not know
    of, and may repeat: their ids tell.
    """

    client_order_id: str
    broker_order_id: str
    account_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    state: OrderState
    filled: Decimal
    executions: tuple[Execution, ...]
    reason: str | None
    updated_at: datetime

    @property
    def body(self) -> Body:
        return Body(
            account_id=self.account_id,
            symbol=self.symbol,
            side=self.side,
            quantity=self.quantity,
            notional=self.notional,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    report: OrderReport


@dataclass(frozen=True, slots=True)
class Refused:
    """Proven never to have become an order."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may or may not be an order now: look it up, never assume."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing has left: the intent was too old by then, or the broker had no room for it. It may be sent
    again at once, by a new intent.
    """

    reason: str


Outcome = Accepted | Refused | Unknown | NotSent


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Cash that came (positive) or went (negative) without a trade; `ref` is unique at the broker."""

    ref: str
    account_id: str
    amount: Decimal
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What happened since a cursor: accounts whose holdings or status changed, and cash transfers."""

    cursor: int
    changed: frozenset[str]
    transfers: tuple[Transfer, ...]


# Keeps every product of a price and a quantity within the digits that money is calculated with.
PRICE_MAX = Decimal(10) ** 9
PRICE_PLACES = 18


def usable_prices(prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The boundary: what is zero, negative, not a number or beyond all bounds is no price, and its symbol
    has none. One symbol's trouble is not to stop the others.
    """
    return {
        symbol: price
        for symbol, price in prices.items()
        if price.is_finite() and 0 < price < PRICE_MAX and places(price) <= PRICE_PLACES
    }


class Broker(Protocol):
    @property
    def traits(self) -> Traits: ...

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        """Accounts by id; unknown ids are absent."""

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        """Assets by the symbol asked for; unknown symbols are absent. One that had the symbol before it
        was renamed is there, and says its present symbol.
        """

    def prices(self, symbols: Collection[str]) -> Mapping[str, Decimal]:
        """Current prices: each more than zero, and as young as the broker calls current. A symbol without
        one is absent: none was ever made, it is stale, or it is no price. What a broker says all the same
        goes no further than `usable_prices`.
        """

    def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        """Send each order once, in this order; one outcome each."""

    def lookup(self, orders: Collection[Order]) -> dict[str, OrderReport]:
        """What became of orders, by client order id; those that the broker does not know are absent. What
        an order says of itself is what is known of it so far.
        """

    def cancel(self, orders: Collection[Order]) -> None:
        """Ask to cancel; whether it worked shows in `lookup`."""

    def feed(self, since: int) -> Feed:
        """What happened after the cursor; 0 is the beginning."""

    def wallet(self, owner: str, tenant_id: str, *, index: int) -> str | None:
        """The account that holds a wallet's assets at this broker, opened if it is new; None where there
        are no wallets.
        """
