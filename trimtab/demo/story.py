"""What happens in the demo, session by session, and every word of it through HTTP.

Accounts are opened and subscribed in the first sessions and get a deposit every second year; on three dates
somebody uses the rest of `/v1`, or asks `/v2` to rebalance an account now.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from trimtab.core.money import ZERO
from trimtab.core.plan import Holdings
from trimtab.demo.client import Client, Operation
from trimtab.demo.customers import Customer, sampled
from trimtab.demo.drift import Twins
from trimtab.demo.market import Market, noon
from trimtab.demo.strategies import CHANGED, CHANGED_WEIGHTS, RECIPES
from trimtab.demo.watch import Watch

THREADS = 4
# The Monday after the rescue of Bear Stearns: a client of `/v2` rebalances now.
REQUEST_ON = date(2008, 3, 17)
# A client of `/v1` asks for a run and thinks better of it.
CANCEL_ON = date(2008, 5, 1)
# One strategy gets new weights.
CHANGE_ON = date(2012, 1, 3)
# The states after which there is no other.
OPERATION_ENDS = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A rebalance that was asked for through `/v2`, and the states it was seen in."""

    on: date
    operation: Operation
    states: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Course:
    """What has happened so far; `paid_in` is the dollars that came on each day."""

    asked: Asked | None = None
    sessions: int = 0
    evaluated: int = 0
    runs_finished: int = 0
    orders: int = 0
    deposits: int = 0
    paid_in: dict[date, Decimal] = field(default_factory=dict)


class Story:
    """The demo's customers on their way through the market's days."""

    def __init__(self, client: Client, market: Market, *, customers: Sequence[Customer]) -> None:
        self._client = client
        self._market = market
        self._customers = customers
        self._pool = ThreadPoolExecutor(THREADS)
        self._portfolio_ids: list[str] = []
        self._account_ids: dict[int, str] = {}
        self._sampled = {customer.number: customer for customer in sampled(customers)}
        self._month_ends = market.month_ends
        self.course = Course()
        self.twins = Twins()
        self.watch = Watch()

    def play(self, tell: Callable[[date, Course], None]) -> None:
        """Go through all sessions; `tell` is called when one is over."""
        with self._pool:
            for session, day in enumerate(self._market.days):
                self._open_session(day)
                if not self._portfolio_ids:
                    self._portfolio_ids = [self._client.create_portfolio(recipe) for recipe in RECIPES]
                self._enroll([c for c in self._customers if c.enrolls_in == session], day)
                self._deposit([c for c in self._customers if c.deposits_in(session)], day)
                self._use_the_rest(day)
                self._settle()
                self._poll()
                if day in self._month_ends:
                    self._look(day)
                tell(day, self.course)

    def _open_session(self, day: date) -> None:
        with self.watch.time("clock_and_prices"):
            self._client.set_clock(noon(day))
            self._client.set_prices(self._market.closes[day])

    def _enroll(self, new: Sequence[Customer], day: date) -> None:
        with self.watch.time("enrolment"):
            account_ids = list(self._pool.map(self._open_account, new))
        for customer, account_id in zip(new, account_ids, strict=True):
            self._account_ids[customer.number] = account_id
            self._note_money(customer, customer.start, day=day)

    def _open_account(self, customer: Customer) -> str:
        account_id = self._client.open_account(customer.start)
        self._client.subscribe(account_id, self._portfolio_ids[customer.recipe])
        return account_id

    def _deposit(self, due: Sequence[Customer], day: date) -> None:
        with self.watch.time("deposits"):
            # Taking the results lets an error of one of them rise.
            list(self._pool.map(self._pay_in, due))
        self.course.deposits += len(due)
        for customer in due:
            self._note_money(customer, customer.deposit, day=day)

    def _pay_in(self, customer: Customer) -> None:
        self._client.deposit(self._account_ids[customer.number], customer.deposit)

    def _note_money(self, customer: Customer, amount: Decimal, *, day: date) -> None:
        self.course.paid_in[day] = self.course.paid_in.get(day, ZERO) + amount
        if customer.number in self._sampled:
            self.twins.pay_in(customer, amount, prices=self._market.closes[day])

    def _use_the_rest(self, day: date) -> None:
        """Three moments that show what else a client can do."""
        if day == REQUEST_ON:
            # Before the day's runs: none is in flight that it would join, and none just ended (429).
            operation = self._client.rebalance_now(self._account_ids[0])
            states = (self._client.state_of(operation),)
            self.course.asked = Asked(on=day, operation=operation, states=states)
        elif day == CANCEL_ON:
            self._client.cancel_run(self._client.request_run(self._account_ids[0]))
        elif day == CHANGE_ON:
            self._client.change_weights(self._portfolio_ids[CHANGED], CHANGED_WEIGHTS)
            self.twins.change_weights(CHANGED, CHANGED_WEIGHTS)

    def _settle(self) -> None:
        with self.watch.time("settle"):
            settled = self._client.settle()
        self.course.sessions += 1
        self.course.evaluated += settled.evaluated
        self.course.runs_finished += settled.runs_finished
        self.course.orders += settled.orders

    def _poll(self) -> None:
        """Ask how far the rebalance has come that was asked for, session by session until it has ended."""
        asked = self.course.asked
        if asked is not None and asked.states[-1] not in OPERATION_ENDS:
            states = (*asked.states, self._client.state_of(asked.operation))
            self.course.asked = replace(asked, states=states)

    def _look(self, day: date) -> None:
        """Compare the sampled accounts and their twins with the targets of the day."""
        seen = [customer for customer in self._sampled.values() if customer.number in self._account_ids]
        with self.watch.time("sampling"):
            kept = list(self._pool.map(self._holdings, seen))
        for customer, holdings in zip(seen, kept, strict=True):
            self.twins.compare(customer, holdings, on=day, prices=self._market.closes[day])

    def _holdings(self, customer: Customer) -> Holdings:
        return self._client.holdings(self._account_ids[customer.number])
