"""Every rule of the conformance suite can be broken: a broker that lies in one way is found by that rule.

Each liar stands before an honest broker and changes one thing that is said or done. Without this a rule that
never fails would look like one that is kept.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid5

import pytest

from tests.brokers import test_conformance as suite
from tests.brokers.stages import CASH, STAGES
from trimtab.brokers.broker import Accepted, Account, Broker, Feed, OrderReport, Outcome, Refused, Unknown
from trimtab.core.errors import BrokerDown
from trimtab.core.run import Execution, Order, OrderState, Side

Lie = Callable[..., Any]
AGAIN = UUID(int=1)
drifting = count()
RULES = {
    name.removeprefix("test_"): rule
    for name, rule in inspect.getmembers(suite, inspect.isfunction)
    if name.startswith("test_c")
}


@dataclass
class Liar:
    """Says what the honest broker says, but for its lies, by method; each is handed the honest method."""

    honest: Broker
    lies: dict[str, Lie]

    def __getattr__(self, name: str) -> Any:
        told = getattr(self.honest, name)
        lie = self.lies.get(name)
        if lie is None:
            return told
        return partial(lie, told) if callable(told) else lie(told)


def each(method: str, change: Callable[[Any], Any]) -> dict[str, Lie]:
    """Change everything that the method answers with."""
    return {method: lambda told, asked: {key: change(answer) for key, answer in told(asked).items()}}


def accounts(change: Callable[[Account], Account]) -> dict[str, Lie]:
    return each("accounts", change)


def cash(change: Callable[[Decimal], Decimal]) -> dict[str, Lie]:
    return accounts(lambda a: replace(a, holdings=replace(a.holdings, cash=change(a.holdings.cash))))


def reports(change: Callable[[OrderReport], OrderReport]) -> dict[str, Lie]:
    return each("lookup", change)


def executions(change: Callable[[Execution], Execution]) -> dict[str, Lie]:
    return reports(lambda report: replace(report, executions=tuple(map(change, report.executions))))


def outcomes(change: Callable[[Outcome], Outcome]) -> dict[str, Lie]:
    return {"submit": lambda told, orders: [change(outcome) for outcome in told(orders)]}


def sent(change: Callable[[Order], Order]) -> dict[str, Lie]:
    return {"submit": lambda told, orders: told([change(order) for order in orders])}


@dataclass
class Forgetful:
    """Remembers the first report ever given, and gives it for everything."""

    first: list[OrderReport] = field(default_factory=list)

    def __call__(self, told: Lie, orders: list[Order]) -> dict[str, OrderReport]:
        found = told(orders)
        self.first += found.values()
        return {order.client_order_id: self.first[0] for order in orders} if self.first else found


def counted() -> Callable[[str], str]:
    numbers = count()
    return lambda text: f"{text}:{next(numbers)}"


def resends(told: Lie, orders: list[Order]) -> list[Outcome]:
    """As a library does that retries."""
    answers = told(orders)
    if any(isinstance(answer, Unknown) for answer in answers):
        told([replace(order, client_order_id=str(uuid5(AGAIN, order.client_order_id))) for order in orders])
    return cast("list[Outcome]", answers)


def raises(told: Lie, orders: list[Order]) -> list[Outcome]:
    answers = told(orders)
    if any(isinstance(answer, Unknown) for answer in answers):
        raise BrokerDown
    return cast("list[Outcome]", answers)


def quiet(told: Lie, asked: list[str]) -> Any:
    """As a cache does that hides an outage."""
    try:
        return told(asked)
    except BrokerDown:
        return {}


def everything_is(key: str) -> Lie:
    return lambda told, asked: dict.fromkeys(asked, told([key])[key])


def of_known_ids(told: Lie, orders: list[Order]) -> None:
    told([order for order in orders if order.broker_order_id])


def all_transfers(told: Lie, since: int) -> Feed:
    return cast("Feed", replace(told(since), transfers=told(0).transfers))


def never_the_same(told: Lie, owner: str, tenant_id: str, *, index: int) -> str:
    return f"{told(owner, tenant_id, index=index)}:{next(drifting)}"


def never(_told: Lie, *_asked: object) -> None:
    return None


def always_down(_told: Lie, *_asked: object) -> None:
    raise BrokerDown


def unknown_is_refused(outcome: Outcome) -> Outcome:
    return Refused("no answer") if isinstance(outcome, Unknown) else outcome


def refused_is_silent(outcome: Outcome) -> Outcome:
    return Refused("") if isinstance(outcome, Refused) else outcome


def all_is_accepted(told: Lie, orders: list[Order]) -> list[Outcome]:
    kept = [answer for answer in told(orders) if isinstance(answer, Accepted)]
    return [kept[0]] * len(orders)


def with_zeros(account: Account) -> Account:
    shown = {"SPY": Decimal(0), **account.holdings.positions}
    return replace(account, holdings=replace(account.holdings, positions=shown))


def twice(report: OrderReport) -> OrderReport:
    doubled = tuple(replace(e, quantity=2 * e.quantity) for e in report.executions)
    return replace(report, filled=2 * report.filled, executions=doubled)


def new_id(another: Callable[[str], str]) -> Callable[[Order], Order]:
    return lambda order: replace(order, client_order_id=another(order.client_order_id))


def dearer(order: Order) -> Order:
    return order if order.notional is None else replace(order, notional=order.notional + 1)


LIARS: list[tuple[str, str, dict[str, Lie]]] = [
    ("c01", "cash is a nano off", cash(lambda c: c + Decimal("1e-9"))),
    ("c02", "every account is there", {"accounts": everything_is("ann")}),
    ("c03", "a word of its own for active", accounts(lambda a: replace(a, status="APPROVED"))),
    ("c04", "nothing means everything", {"prices": lambda told, asked: told(asked or ["SPY"])}),
    ("c05", "each look is another", cash(lambda c: c + next(drifting))),
    ("c06", "accounts are remembered", cash(lambda _: CASH)),
    ("c07", "every symbol is there", {"assets": everything_is("SPY")}),
    ("c08", "whole shares only", each("assets", lambda a: replace(a, fractionable=False))),
    ("c09", "prices went through floats", each("prices", lambda price: price + Decimal("1e-15"))),
    ("c10", "all is bought", reports(lambda r: replace(r, side=Side.BUY))),
    ("c10", "more than was meant", reports(lambda r: replace(r, quantity=Decimal(99)))),
    ("c11", "two ids for one order", reports(lambda r: replace(r, broker_order_id=r.client_order_id))),
    ("c12", "any order will do", {"lookup": Forgetful()}),
    ("c13", "answers in the order of arrival", {"submit": lambda told, orders: told(orders)[::-1]}),
    ("c13", "one answer for all", {"submit": all_is_accepted}),
    ("c14", "refusals without a reason", outcomes(refused_is_silent)),
    ("c15", "one account for everybody", sent(lambda order: replace(order, account_id="ann"))),
    ("c16", "an id for each attempt", sent(new_id(counted()))),
    ("c17", "the body is not compared", sent(new_id(counted()))),
    ("c18", "a lost answer is a refusal", outcomes(unknown_is_refused)),
    ("c19", "a lost order is a refusal", outcomes(unknown_is_refused)),
    ("c20", "what is unknown is sent again", {"submit": resends}),
    ("c21", "sending raises", {"submit": raises}),
    ("c23", "nothing ever ends", reports(lambda r: replace(r, state=OrderState.OPEN))),
    ("c23", "executions are forgotten", reports(lambda r: replace(r, executions=()))),
    ("c24", "executions count double", reports(twice)),
    ("c25", "prices are a dollar off", executions(lambda e: replace(e, price=e.price + 1))),
    ("c26", "a dollar is added for the fee", sent(dearer)),
    ("c27", "what is gone shows as zero", accounts(with_zeros)),
    ("c28", "a part is all", reports(lambda r: replace(r, state=OrderState.FILLED))),
    ("c29", "an id for each look", executions(lambda e: replace(e, execution_id=f"{next(drifting)}"))),
    ("c30", "what was known is known differently", reports(lambda r: replace(r, reason="of old"))),
    ("c31", "nothing is working", accounts(lambda a: replace(a, working=frozenset()))),
    ("c32", "cancels are swallowed", {"cancel": never}),
    ("c33", "cancels by its own id only", {"cancel": of_known_ids}),
    ("c34", "a cancel that comes late is an error", {"cancel": always_down}),
    ("c35", "an outage is hidden", {"prices": quiet}),
    ("c36", "trades are not told", {"feed": lambda told, since: replace(told(since), changed=frozenset())}),
    ("c36", "everything is told again", {"feed": lambda told, _since: told(0)}),
    ("c37", "transfers are told again", {"feed": all_transfers}),
    ("c38", "a wallet for each question", {"wallet": never_the_same}),
    ("c39", "batches of nothing", {"traits": lambda told: replace(told, batch=0)}),
    ("c40", "prices are floats", executions(lambda e: replace(e, price=cast("Decimal", float(e.price))))),
]
ON_A_WIRE: list[tuple[str, str, dict[str, Lie]]] = [
    ("c22", "an intent never ages", sent(lambda o: replace(o, sent_at=o.sent_at.replace(year=2027)))),
    ("c18", "what is unknown is sent again", {"submit": resends}),
]


@pytest.mark.parametrize(
    ("rule", "lies"), [pytest.param(r, lies, id=f"{r}: {what}") for r, what, lies in LIARS]
)
def test_a_broker_that_lies_is_found(rule: str, lies: dict[str, Lie], tmp_path: Path) -> None:
    assert_found("paper", rule, lies=lies, folder=tmp_path)


@pytest.mark.parametrize("where", ["crypto", "alpaca"])
@pytest.mark.parametrize(
    ("rule", "lies"), [pytest.param(r, lies, id=f"{r}: {what}") for r, what, lies in ON_A_WIRE]
)
def test_a_broker_on_a_wire_that_lies_is_found(
    rule: str, lies: dict[str, Lie], where: str, tmp_path: Path
) -> None:
    assert_found(where, rule, lies=lies, folder=tmp_path)


def assert_found(where: str, rule: str, *, lies: dict[str, Lie], folder: Path) -> None:
    with STAGES[where](folder) as stage:
        stage.broker = cast("Broker", Liar(stage.broker, lies))
        with pytest.raises((AssertionError, BrokerDown, KeyError, pytest.fail.Exception)):
            RULES[rule](stage)


def test_every_rule_has_been_broken() -> None:
    assert {rule for rule, _, _ in [*LIARS, *ON_A_WIRE]} == RULES.keys()
