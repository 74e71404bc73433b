"""A broker and an engine as small as they can be, to drive `decide` to the end through any misfortune.

Whatever may go one way or another is asked of `chance`. The broker keeps the truth: what was posted, what
was executed, what the account holds. It checks at every post what may never be posted; the engine does
what a step says and keeps only what it was told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never

from tests.core.examples import DEADLINE, QUARANTINE, START, run, utc
from trimtab.core.decide import decide
from trimtab.core.gate import Moment, gate
from trimtab.core.plan import Basis, Holdings, Plan
from trimtab.core.run import ORDER_TRANSITIONS, TRANSITIONS, Order, OrderState, Run, RunState, Side
from trimtab.core.sessions import Window
from trimtab.core.skip import Skip
from trimtab.core.step import (
    Abandon,
    Ask,
    CancelOrders,
    Facts,
    Fail,
    Finish,
    Look,
    Resend,
    StorePlan,
    Submit,
    Wait,
)

Chance = Callable[[str, Sequence[str]], str]
OPEN_MARKET = Window(is_open=True, may_start=True, opens_at=utc("2024-07-09 13:30"), deadline_at=DEADLINE)
SECOND = timedelta(seconds=1)
STEPS_MAX = 500


@dataclass(slots=True)
class Placed:
    """An order as the broker has it."""

    order: Order
    state: OrderState = OrderState.OPEN
    quantity: Decimal = Decimal(0)
    value: Decimal = Decimal(0)


@dataclass(slots=True, kw_only=True)
class SmallBroker:
    basis: Basis
    drops_duplicates: bool
    chance: Chance
    now: datetime = START
    calm: bool = False
    cash: Decimal = Decimal(0)
    external: Decimal = Decimal(0)
    positions: dict[str, Decimal] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    frozen: str | None = None
    frozen_symbols: set[str] = field(default_factory=set)
    placed: dict[str, Placed] = field(default_factory=dict)
    posted: dict[str, list[Order]] = field(default_factory=dict)
    on_the_way: list[tuple[datetime, Order, str]] = field(default_factory=list)
    after_cancel: list[str] = field(default_factory=list)
    shown_late: Holdings | None = None

    def __post_init__(self) -> None:
        self.cash = self.basis.holdings.cash
        self.positions = dict(self.basis.holdings.positions)
        self.prices = dict(self.basis.prices)

    def draw(self, what: str, *ways: str) -> str:
        """One of the ways; the first of them once the world is calm."""
        return ways[0] if self.calm else self.chance(what, ways)

    # What may never be posted.

    def post(self, order: Order, plan: Plan) -> OrderState | None:
        """Take an order; the answer is the state it was given, or None if it is lost."""
        self._check(order, plan)
        self.posted.setdefault(order.client_order_id, []).append(order)
        match self.draw("post", "fills", "works", "refused", "lost", "reply lost", "late"):
            case "fills":
                self._arrive(order, "fill")
            case "works":
                self._arrive(order, "work")
            case "refused":
                if order.client_order_id not in self.placed:
                    return OrderState.REFUSED
            case "reply lost":
                self._arrive(order, "fill")
                return None
            case "late":
                arrives_at = self.now + QUARANTINE - SECOND
                self.on_the_way.append((arrives_at, order, "fill"))
                return None
            case _:
                return None
        return self.placed[order.client_order_id].state

    def _check(self, order: Order, plan: Plan) -> None:
        before = self.posted.get(order.client_order_id, [])
        assert self.drops_duplicates or not before, "an order was sent twice where duplicates count"
        for earlier in before:
            same = replace(earlier, sent_at=order.sent_at, updated_at=order.updated_at)
            assert order == same, "the same id, another body"
        legs = [each[0].leg for key, each in self.posted.items() if key != order.client_order_id]
        assert order.leg not in legs, "a leg was sent under two ids"
        assert self.frozen is None, "sent while frozen"
        verdict = gate(
            order, plan, at=Moment(prices=self.prices, frozen_symbols=frozenset(self.frozen_symbols))
        )
        assert verdict is None, "sent what the gate stops"
        assert order.worst_price == plan.worst_price(plan.legs[order.leg]), "without its limit"
        assert order.impact_bps_max == plan.impact_bps_max, "without its limit"
        if order.side is Side.SELL:
            assert order.quantity is not None
            assert order.quantity <= plan.holdings.positions[order.symbol]
            return
        assert not any(o.side is Side.SELL for _, o, _ in self.on_the_way), "a sale is still on its way"
        working = [p for p in self.placed.values() if p.state is OrderState.OPEN]
        assert not any(p.order.side is Side.SELL for p in working), "a sale is still working"
        bought = {key: each[0].notional for key, each in self.posted.items() if each[0].side is Side.BUY}
        bought[order.client_order_id] = order.notional
        spent = sum((notional or Decimal(0) for notional in bought.values()), Decimal(0))
        sold = sum((p.value for p in self.placed.values() if p.order.side is Side.SELL), Decimal(0))
        assert spent <= sold + max(plan.holdings.cash - plan.reserve, Decimal(0)), "spent what is not there"

    # What happens at the market.

    def _arrive(self, order: Order, fate: str) -> None:
        if order.client_order_id in self.placed:
            assert self.drops_duplicates, "the broker has the order twice"
            return
        self.placed[order.client_order_id] = Placed(order)
        if fate == "fill":
            self.fill(order.client_order_id, "all")

    def fill(self, client_order_id: str, share: str) -> None:
        """Execute what is left of an order, or half of it, up to 4 % away from the price."""
        placed = self.placed[client_order_id]
        order = placed.order
        price = self.prices.get(order.symbol, self.basis.prices[order.symbol])
        price *= Decimal(self.draw("slip", "1", "0.96", "1.04"))
        if order.worst_price is not None and order.side.is_worse(price, order.worst_price):
            placed.state = OrderState.CANCELED
            return
        if order.quantity is not None:
            left = order.quantity - placed.quantity
            quantity = left if share == "all" else left / 2
            sign = -1
        else:
            assert order.notional is not None
            left = order.notional - placed.value
            dollars = left if share == "all" else left / 2
            quantity = Decimal(int(dollars * 10**9 / price)).scaleb(-9)
            sign = 1
        value = quantity * price
        placed.quantity += quantity
        placed.value += value
        self.cash -= sign * value
        self.positions[order.symbol] = self.positions.get(order.symbol, Decimal(0)) + sign * quantity
        assert self.positions[order.symbol] >= 0, "sold short"
        if share == "all" and placed.state is OrderState.OPEN:
            placed.state = OrderState.FILLED

    def cancel(self, client_order_id: str) -> None:
        placed = self.placed.get(client_order_id)
        if placed is None or placed.state is not OrderState.OPEN:
            return
        match self.draw("cancel", "canceled", "ignored", "filled first", "filled after all"):
            case "canceled":
                placed.state = OrderState.CANCELED
            case "filled first":
                self.fill(client_order_id, "all")
            case "filled after all":
                placed.state = OrderState.CANCELED
                self.after_cancel.append(client_order_id)

    def pass_time(self, until: datetime) -> None:
        """Let orders arrive, be filled and end, until this moment."""
        self.shown_late = self.holdings()
        self.now = until
        arrived = [each for each in self.on_the_way if each[0] <= until]
        self.on_the_way = [each for each in self.on_the_way if each[0] > until]
        for _, order, fate in arrived:
            self._arrive(order, fate)
        for client_order_id in self.after_cancel:
            self.fill(client_order_id, "all")
        self.after_cancel = []
        for client_order_id, placed in self.placed.items():
            if placed.state is OrderState.OPEN:
                match self.draw("work", "fill", "half", "nothing", "expire"):
                    case "fill":
                        self.fill(client_order_id, "all")
                    case "half":
                        self.fill(client_order_id, "half")
                    case "expire":
                        placed.state = OrderState.CANCELED

    def holdings(self) -> Holdings:
        return Holdings(cash=self.cash, positions=dict(self.positions))

    def look(self) -> Holdings:
        """The account as it is, or as it was before time last passed."""
        lags = self.draw("look", "now", "now", "now", "late") == "late"
        return self.shown_late if lags and self.shown_late is not None else self.holdings()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing that was sent can still happen, but for what the broker says is over."""
        return not self.on_the_way and all(p.state is not OrderState.OPEN for p in self.placed.values())


@dataclass(slots=True, kw_only=True)
class SmallEngine:
    """Performs steps one after the other; what it has learned from the broker lasts for one turn."""

    broker: SmallBroker
    run: Run = field(default_factory=lambda: run(RunState.QUEUED))
    plan: Plan | None = None
    orders: dict[str, Order] = field(default_factory=dict)
    skips: list[Skip] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    cancel_asked: set[str] = field(default_factory=set)
    seen: Holdings | None = None
    finish: Finish | None = None

    def facts(self) -> Facts:
        broker = self.broker
        return Facts(
            plan=self.plan,
            orders=tuple(sorted(self.orders.values(), key=lambda order: order.leg)),
            skips=tuple(self.skips),
            window=OPEN_MARKET,
            strategy_active=True,
            account_active=True,
            basis=None if self.seen is None else replace(broker.basis, holdings=self.seen),
            prices=broker.prices,
            frozen=broker.frozen,
            frozen_symbols=frozenset(broker.frozen_symbols),
            asked=frozenset(self.asked),
            cancel_asked=frozenset(self.cancel_asked),
            drops_duplicates=broker.drops_duplicates,
            quarantine=QUARANTINE,
            previous=None,
        )

    def go(self, until_wait: Callable[[Wait], None]) -> None:
        """Perform steps until the run is final; each wait is handed to the caller."""
        for _ in range(STEPS_MAX):
            self.step(until_wait)
            if self.finish is not None:
                return
        raise AssertionError("the run does not end")

    def step(self, until_wait: Callable[[Wait], None]) -> None:
        step = decide(self.run, self.facts(), now=self.broker.now)
        match step:
            case Look():
                self.seen = self.broker.look()
            case StorePlan(plan=plan, deadline_at=deadline_at):
                self.plan = plan
                self._enter(RunState.PLANNED)
                self.run = replace(self.run, deadline_at=deadline_at)
            case Submit(state=state, orders=orders, skips=skips):
                assert self.run.stop is None, "sent although it is to stop"
                assert self.run.deadline_at is None or self.broker.now < self.run.deadline_at
                self._enter(state)
                self.skips += skips
                for order in orders:
                    assert order.client_order_id not in self.orders, "an intent twice"
                    self.orders[order.client_order_id] = order
                self._send(orders)
            case Resend(orders=orders):
                for order in orders:
                    self.orders[order.client_order_id] = replace(order, sent_at=self.broker.now)
                self._send([self.orders[order.client_order_id] for order in orders])
            case Ask(client_order_ids=ids):
                for client_order_id in ids:
                    self._learn(client_order_id)
                self.asked |= set(ids)
            case CancelOrders(client_order_ids=ids):
                for client_order_id in ids:
                    self.broker.cancel(client_order_id)
                self.cancel_asked |= set(ids)
                self.asked -= set(ids)
            case Abandon(orders=orders):
                for order in orders:
                    self._record(order.client_order_id, OrderState.ABANDONED)
            case Wait():
                self.asked, self.cancel_asked, self.seen = set(), set(), None
                until_wait(step)
            case Finish():
                assert step.state in TRANSITIONS[self.run.state], "an illegal end"
                self.finish = step
            case Fail():
                raise AssertionError("decide never fails a run by itself")
            case _:
                assert_never(step)

    def _enter(self, state: RunState) -> None:
        if state is not self.run.state:
            assert state in TRANSITIONS[self.run.state], "an illegal transition"
        self.run = replace(self.run, state=state, updated_at=self.broker.now)

    def _send(self, orders: Sequence[Order]) -> None:
        assert self.plan is not None
        self.seen = None
        for order in orders:
            answer = self.broker.post(order, self.plan)
            if answer is OrderState.REFUSED:
                self._record(order.client_order_id, answer)
            elif answer is not None:
                self._learn(order.client_order_id)
                self.asked.add(order.client_order_id)

    def _learn(self, client_order_id: str) -> None:
        """Record what the broker shows of an order, if it shows it."""
        placed = self.broker.placed.get(client_order_id)
        known = self.orders[client_order_id]
        if placed is None or (placed.state, placed.quantity) == (known.state, known.filled_quantity):
            return
        self._record(client_order_id, placed.state)
        self.orders[client_order_id] = replace(
            self.orders[client_order_id], filled_quantity=placed.quantity, filled_value=placed.value
        )

    def _record(self, client_order_id: str, state: OrderState) -> None:
        known = self.orders[client_order_id]
        assert state is known.state or state in ORDER_TRANSITIONS[known.state], "an illegal order state"
        self.orders[client_order_id] = replace(known, state=state, updated_at=self.broker.now)
        self.seen = None
