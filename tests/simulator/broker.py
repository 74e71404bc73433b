"""The way between the engine and the market: requests get lost, come late or twice, replies get lost.

It implements the broker's protocol with every fault that the weather has. An order's answer may come at
once, late or never; what was sent and not answered is `Unknown`, and may still arrive.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache, cached_property
from typing import Any

from tests.simulator.market import Market, Placed
from tests.simulator.weather import QUARANTINE_S, SEND_WITHIN_S, Duplicates
from tests.simulator.witness import Sending
from trimtab.brokers.broker import (
    Accepted,
    Account,
    Asset,
    Feed,
    NotSent,
    OrderReport,
    Outcome,
    Refused,
    Traits,
    Transfer,
    Unknown,
)
from trimtab.core.errors import BrokerDown, BrokerPartlyDown
from trimtab.core.run import Order

NAME = "simulated"
LOOKUP_LATE_S = 1.5
ACCOUNT_LATE_S = (4, 1, 12, 25)
CASH_LATE_S = (2, 1, 4, 12)


@dataclass(kw_only=True)
class SimulatedBroker:
    """`dead` is the call that fails until the faults are over; `deliveries` counts acceptances by id."""

    market: Market
    dead: str | None = None
    deliveries: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    @cached_property
    def traits(self) -> Traits:
        weather = self.market.weather
        return Traits(
            name=NAME,
            drops_duplicates=weather.duplicates is Duplicates.DROPPED,
            quarantine=timedelta(seconds=QUARANTINE_S),
            batch=weather.batch,
            tells_changes=weather.tells_changes,
        )

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        self._begin("accounts", account_ids)
        known = [key for key in sorted(account_ids) if key in self.market.books]
        missing = {key for key in known if self.market.happens("account in trouble")}
        found = {key: self._account(key) for key in known if key not in missing}
        now = self.market.time.now
        self.market.looks.extend((now, key, account.holdings.positions) for key, account in found.items())
        own_up(found, missing)
        return found

    def _account(self, account_id: str) -> Account:
        if self.market.happens("account late"):
            late = ACCOUNT_LATE_S[self.market.tape.choice("account late by", len(ACCOUNT_LATE_S))]
            return self.market.late_account(account_id, timedelta(seconds=late))
        present = self.market.account(self.market.books[account_id])
        if self.market.happens("cash late"):
            late = CASH_LATE_S[self.market.tape.choice("cash late by", len(CASH_LATE_S))]
            before = self.market.late_account(account_id, timedelta(seconds=late)).holdings
            return replace(present, holdings=replace(present.holdings, cash=before.cash))
        return present

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        self._begin("assets", symbols)
        return {symbol: asset(symbol) for symbol in sorted(symbols) if symbol in self.market.last}

    def prices(self, symbols: Collection[str]) -> Mapping[str, Decimal]:
        self._begin("prices", symbols)
        return {s: self.market.prices[s] for s in sorted(symbols) if s in self.market.prices}

    def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        return [self._noted(order, self._submit(order)) for order in orders]

    def _noted(self, order: Order, outcome: Outcome) -> Outcome:
        said = outcome.reason if isinstance(outcome, Refused) else type(outcome).__name__
        self.market.sendings.append(Sending(order.client_order_id, order.sent_at, said))
        return outcome

    def _submit(self, order: Order) -> Outcome:
        market, time = self.market, self.market.time
        if time.now > order.sent_at + timedelta(seconds=SEND_WITHIN_S):
            time.tag("intent too old to be sent")
            return NotSent("the intent is too old")
        try:
            self._begin("submit", [order.client_order_id])
        except BrokerDown as error:
            time.tag("broker down while sending")
            return Unknown(str(error))
        if market.happens("no room"):
            return NotSent("no room")
        market.sent_at.setdefault(order.client_order_id, time.now)
        if market.happens("request lost"):
            return Unknown("the connection was reset")
        if market.happens("request late"):
            late = timedelta(seconds=1 + market.tape.choice("request late by", market.weather.late_s))
            time.at(min(time.now + late, market.calm_at), lambda: self._arrive_late(order))
            return Unknown("no answer in time")
        outcome = self._arrive(order)
        if market.happens("reply lost"):
            time.tag(f"reply lost: {type(outcome).__name__}")
            return Unknown("no answer in time")
        return outcome

    def _arrive_late(self, order: Order) -> None:
        late = self.market.time.now - order.sent_at
        past = late > timedelta(seconds=QUARANTINE_S)
        self.market.time.tag("order arrives after the quarantine" if past else "order arrives late")
        outcome = self._arrive(order)
        self.market.time.write("network", f"late {order.client_order_id[:8]}", result=type(outcome).__name__)

    def _arrive(self, order: Order) -> Outcome:
        """An order reaches the market, perhaps for the second time."""
        market = self.market
        known = market.placed.get(order.client_order_id, [])
        if known and self._drops(known):
            market.time.tag("duplicate dropped")
            return Accepted(known[-1].told[-1])
        why = market.why_refused(order)
        if why is not None:
            market.time.tag(f"refused: {why}")
            return Refused(why)
        visible_at = market.time.now
        if market.happens("lookup late"):
            visible_at += timedelta(seconds=LOOKUP_LATE_S)
        self.deliveries[order.client_order_id] += 1
        first = market.take(order, visible_at=visible_at).told
        if len(first) > 1:
            market.time.tag("fill arrives before ack")
        return Accepted(first[0])

    def _drops(self, known: Sequence[Placed]) -> bool:
        match self.market.weather.duplicates:
            case Duplicates.DROPPED:
                return True
            case Duplicates.DROPPED_WHILE_OPEN:
                return known[-1].is_open
            case Duplicates.TAKEN:
                return False

    def lookup(self, orders: Collection[Order]) -> dict[str, OrderReport]:
        ids = sorted(order.client_order_id for order in orders)
        self._begin("lookup", ids)
        if any(key in self.market.placed and not self._visible(key) for key in ids):
            self.market.time.tag("an order is not shown yet")
        if any(key not in self.market.placed for key in ids):
            self.market.time.tag("a question about an order that is not there")
        missing = {key for key in ids if self.market.happens("account in trouble")}
        answered = [key for key in ids if key not in missing]
        found = {key: self._report(known[-1]) for key in answered if (known := self._visible(key))}
        own_up(found, missing)
        return found

    def _visible(self, client_order_id: str) -> list[Placed]:
        now = self.market.time.now
        return [one for one in self.market.placed.get(client_order_id, []) if one.visible_at <= now]

    def _report(self, one: Placed) -> OrderReport:
        market, told = self.market, one.told
        report = told[-1]
        if len(told) > 1 and market.happens("older report"):
            report = told[market.tape.choice("how old a report", len(told))]
        if report.executions and market.happens("shuffled executions"):
            report = market.shuffled(report)
        return report

    def cancel(self, orders: Collection[Order]) -> None:
        ids = sorted(order.client_order_id for order in orders)
        self._begin("cancel", ids)
        missing = {key for key in ids if self.market.happens("account in trouble")}
        for key in ids:
            if key not in missing:
                self.market.cancels.setdefault(key, self.market.time.now)
                for one in self.market.placed.get(key, []):
                    self._cancel(one)
        own_up({}, missing)

    def _cancel(self, one: Placed) -> None:
        if self.market.happens("cancel lost"):
            return
        if self.market.happens("cancel late"):
            late = 1 + self.market.tape.choice("cancel late by", 4)
            self.market.time.after(late, lambda: self.market.cancel(one))
            return
        self.market.cancel(one)

    def feed(self, since: int) -> Feed:
        self._begin("feed", [str(since)])
        news = self.market.feed[since:]
        return Feed(
            cursor=len(self.market.feed),
            changed=frozenset(each for each in news if isinstance(each, str) and self.traits.tells_changes),
            transfers=tuple(each for each in news if isinstance(each, Transfer)),
        )

    def wallet(self, owner: str, tenant_id: str, *, index: int) -> str | None:
        raise AssertionError(f"nobody asks for wallet {index} of {owner} and {tenant_id}")

    def _begin(self, call: str, about: Collection[str]) -> None:
        """Every call may fail."""
        self.calls += 1
        self.market.time.write("broker", f"{call} {' '.join(sorted(key[:8] for key in about))}")
        if self.market.calm:
            return
        if self.dead == call:
            self.market.time.tag(f"{call} is dead")
            raise BrokerDown
        if self.market.happens("call fails"):
            self.market.time.tag(f"{call} fails")
            raise BrokerDown


@cache
def asset(symbol: str) -> Asset:
    """Nothing ever happens to it."""
    return Asset(symbol=symbol, asset_id=f"asset-{symbol}", active=True, tradable=True, fractionable=True)


def own_up(answers: Mapping[str, Any], missing: set[str]) -> None:
    """Say which answers did not come."""
    if missing:
        raise BrokerPartlyDown(answers=answers, missing=frozenset(missing))
