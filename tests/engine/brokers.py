"""A broker that does what real ones do on bad days: a second implementation of the Broker protocol.

It stands between the engine and the paper market. Requests get lost or arrive later, replies get
lost, accounts and orders show late, and any call may find the broker down. What is sent twice becomes
two orders, unless its traits promise that it drops duplicates; chance is seeded, and asked in the order
of ids, so that a failing seed can be run again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from trimtab.brokers.broker import (
    Accepted,
    Account,
    Asset,
    Feed,
    OrderReport,
    Outcome,
    Refused,
    Traits,
    Unknown,
)
from trimtab.brokers.paper import PaperBroker
from trimtab.core.errors import BrokerDown, BrokerPartlyDown
from trimtab.core.run import Order

# What the market calls an order that reached it a second time under the same client order id.
AGAIN = ":again"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Probabilities of each fault per order or call, and the longest delays in seconds.

    `answers_within_s` is what a call may take of the clock's time.
    """

    loses_request: float = 0
    delays_request: float = 0
    loses_reply: float = 0
    is_down: float = 0
    loses_cancel: float = 0
    request_late_s: float = 0
    order_late_s: float = 0
    account_late_s: float = 0
    answers_within_s: float = 0


@dataclass(frozen=True, kw_only=True)
class _Underway:
    order: Order
    arrives_at: datetime


@dataclass(kw_only=True)
class _Shown:
    """What could be seen of an account, and since when."""

    since: list[datetime] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)


class FaultyBroker:
    """Faults by chance stop at `calm_from`; what is under way by then still arrives.

    `before` is called with the name of each call before anything happens, `sent` when orders have been
    taken: the world may change there.
    `tell_the_oldest` repeats the first that was told of each order; `accounts_late_s` shows accounts as
    they were that long ago; `told_as` changes what is told of orders; of
    `troubled` accounts it can be asked nothing; `told_prices` are told instead of the
    market's, None is no price.
    """

    def __init__(
        self,
        paper: PaperBroker,
        clock: Callable[[], datetime],
        *,
        traits: Traits,
        rates: Rates,
        chance: Random | None = None,
    ) -> None:
        self.paper = paper
        self.rates = rates
        self.chance = chance or Random(0)
        self.calm_from: datetime | None = None
        self.forward: Callable[[float], None] = lambda _seconds: None
        self.before: Callable[[str], None] = lambda _call: None
        self.sent: Callable[[], None] = lambda: None
        self.tell_the_oldest = False
        self.accounts_late_s = 0
        self.troubled: frozenset[str] = frozenset()
        self.told_as: Callable[[OrderReport], OrderReport] = lambda report: report
        self.told_prices: dict[str, Decimal | None] = {}
        self.deliveries: Counter[str] = Counter()
        self._clock = clock
        self._traits = traits
        self._underway: list[_Underway] = []
        self._visible_at: dict[str, datetime] = {}
        self._told: dict[str, list[OrderReport]] = defaultdict(list)
        self._shown: dict[str, _Shown] = defaultdict(_Shown)

    @property
    def traits(self) -> Traits:
        return self._traits

    @property
    def repeated(self) -> list[str]:
        """The orders that reached the market more than once."""
        return [client_order_id for client_order_id, times in self.deliveries.items() if times > 1]

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        self._begin("accounts")
        well = [account_id for account_id in sorted(account_ids) if account_id not in self.troubled]
        self._look_at(well)
        shown = {each: self._as_shown(each) for each in well if self._shown[each].since}
        self._own_up(shown, set(account_ids) - set(well))
        return shown

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        self._begin("assets")
        return self.paper.assets(symbols)

    def prices(self, symbols: Collection[str]) -> Mapping[str, Decimal]:
        self._begin("prices")
        told = {symbol: price for symbol, price in self.told_prices.items() if symbol in symbols}
        prices = {**self.paper.prices(symbols), **told}
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        try:
            self._begin("submit")
        except BrokerDown as error:
            return [Unknown(str(error))] * len(orders)
        outcomes = [self._send(order) for order in orders]
        self.sent()
        return outcomes

    def lookup(self, orders: Collection[Order]) -> dict[str, OrderReport]:
        self._begin("lookup")
        now = self._clock()
        well = [order for order in orders if order.account_id not in self.troubled]
        visible = [order for order in well if self._visible_at.get(order.client_order_id, now) <= now]
        told = {key: self._as_told(key, report) for key, report in sorted(self.paper.lookup(visible).items())}
        self._own_up(told, {order.client_order_id for order in orders if order.account_id in self.troubled})
        return told

    def cancel(self, orders: Collection[Order]) -> None:
        self._begin("cancel")
        in_order = sorted(orders, key=lambda order: order.client_order_id)
        well = [order for order in in_order if order.account_id not in self.troubled]
        self.paper.cancel([order for order in well if not self._happens("loses_cancel")])
        self._own_up({}, {order.client_order_id for order in orders if order.account_id in self.troubled})

    def feed(self, since: int) -> Feed:
        self._begin("feed")
        return self.paper.feed(since)

    def wallet(self, owner: str, tenant_id: str, *, index: int) -> str | None:
        self._begin("wallet")
        return self.paper.wallet(owner, tenant_id, index=index)

    def _own_up(self, answers: Mapping[str, Any], missing: set[str]) -> None:
        if missing:
            raise BrokerPartlyDown(answers=answers, missing=frozenset(missing))

    def _begin(self, call: str) -> None:
        """Let time pass, let arrive what was under way, and perhaps fail."""
        self.before(call)
        if self.rates.answers_within_s and not self.is_calm:
            self.forward(self.chance.uniform(0, self.rates.answers_within_s))
        now = self._clock()
        arriving = [each for each in self._underway if each.arrives_at <= now]
        self._underway = [each for each in self._underway if each.arrives_at > now]
        for each in sorted(arriving, key=lambda each: each.arrives_at):
            self._deliver(each.order)
        if self._happens("is_down"):
            raise BrokerDown

    def _send(self, order: Order) -> Outcome:
        if self._happens("loses_request"):
            return Unknown("the connection was reset")
        if self._happens("delays_request"):
            late = timedelta(seconds=self.chance.uniform(0, self.rates.request_late_s))
            self._underway.append(_Underway(order=order, arrives_at=self._clock() + late))
            return Unknown("no answer in time")
        outcome = self._deliver(order)
        if self._happens("loses_reply"):
            self._hide(order.client_order_id)
            return Unknown("no answer in time")
        if isinstance(outcome, Accepted):
            return Accepted(self._as_told(order.client_order_id, outcome.report))
        return outcome

    def _deliver(self, order: Order) -> Outcome:
        """Let an order reach the market; the second time it is one more order, or is dropped."""
        self._look_at([order.account_id])
        key = order.client_order_id
        if self.paper.lookup([order]) and not self._traits.drops_duplicates:
            self.deliveries[key] += 1
            outcome = self.paper.submit([replace(order, client_order_id=key + AGAIN)])[0]
        else:
            outcome = self.paper.submit([order])[0]
            if not isinstance(outcome, Refused):
                self.deliveries[key] = 1
        self._look_at([order.account_id])
        return outcome

    def _hide(self, client_order_id: str) -> None:
        late = timedelta(seconds=self.chance.uniform(0, self.rates.order_late_s))
        self._visible_at[client_order_id] = self._clock() + late

    def _as_told(self, client_order_id: str, report: OrderReport) -> OrderReport:
        """The order as it is, or as it was told first."""
        told = self._told[client_order_id]
        told.append(self.told_as(report))
        return told[0] if self.tell_the_oldest else told[-1]

    def _look_at(self, account_ids: Collection[str]) -> None:
        """Remember how accounts are now, and since when."""
        for account_id, account in self.paper.accounts(account_ids).items():
            shown = self._shown[account_id]
            if not shown.accounts or shown.accounts[-1] != account:
                shown.since.append(self._clock())
                shown.accounts.append(account)

    def _as_shown(self, account_id: str) -> Account:
        shown = self._shown[account_id]
        if self.accounts_late_s:
            late = timedelta(seconds=self.accounts_late_s)
        elif self.is_calm or not self.rates.account_late_s:
            return shown.accounts[-1]
        else:
            late = timedelta(seconds=self.chance.uniform(0, self.rates.account_late_s))
        seen = [n for n, since in enumerate(shown.since) if since <= self._clock() - late]
        return shown.accounts[seen[-1] if seen else 0]

    @property
    def is_calm(self) -> bool:
        return self.calm_from is not None and self._clock() >= self.calm_from

    def _happens(self, fault: str) -> bool:
        rate: float = getattr(self.rates, fault)
        return bool(rate) and not self.is_calm and self.chance.random() < rate
