"""The numbered rules that every broker keeps, one test each; docs/reference/conformance.md lists them.

A rule is its docstring. It speaks of what a broker shows, never of how it works.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.api.servers import TRIMTAB, running
from tests.brokers.stages import (
    CASH,
    HELD_PRICE,
    HELD_QUANTITY,
    OTHER_PRICE,
    STAGES,
    Stage,
    alpaca_at_trimtab_paper,
)
from trimtab.brokers.broker import (
    Accepted,
    Account,
    NotSent,
    OrderReport,
    Outcome,
    Refused,
    Unknown,
    usable_prices,
)
from trimtab.core.adoption import Body, difference
from trimtab.core.errors import BrokerDown
from trimtab.core.run import Order, OrderState, Side

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/conformance.md"
HALF = Decimal("0.5")
# What brokers that tell an average price leave uncertain in the money.
TINY = Decimal("1e-12")


@pytest.fixture(params=[*STAGES, "alpaca-on-paper"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    if request.param in STAGES:
        opening = STAGES[request.param](tmp_path)
    else:
        opening = alpaca_at_trimtab_paper(request.getfixturevalue("trimtab_paper_url"))
    with opening as ready:
        yield ready


@pytest.fixture(scope="module")
def trimtab_paper_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`trimtab paper` in a process of its own; each stage has an account of its own there."""
    folder = tmp_path_factory.mktemp("trimtab-paper")
    database = f"sqlite:///{folder / 'market.db'}"
    with running(database, folder, TRIMTAB, ("paper", "--database", database)) as server:
        yield server.url


def account(stage: Stage) -> Account:
    return stage.broker.accounts([stage.wings.account_id])[stage.wings.account_id]


def position(stage: Stage, symbol: str) -> Decimal:
    return account(stage).holdings.positions.get(symbol, Decimal(0))


def send(stage: Stage, order: Order) -> Outcome:
    (outcome,) = stage.broker.submit([order])
    return outcome


def shown(stage: Stage, order: Order) -> OrderReport:
    return stage.broker.lookup([order])[order.client_order_id]


def done(stage: Stage, order: Order) -> OrderReport:
    assert isinstance(send(stage, order), Accepted)
    return shown(stage, order)


def knowing(order: Order, report: OrderReport) -> Order:
    """The order as it is known once the report has been recorded."""
    return replace(
        order,
        broker_order_id=report.broker_order_id,
        state=report.state,
        filled_quantity=order.filled_quantity + sum(e.quantity for e in report.executions),
        filled_value=order.filled_value + sum(e.quantity * e.price for e in report.executions),
    )


def body_of(report: OrderReport) -> Body:
    return Body(
        account_id=report.account_id,
        symbol=report.symbol,
        side=report.side,
        quantity=report.quantity,
        notional=report.notional,
    )


def test_c01(stage: Stage) -> None:
    """An account shows its cash and its positions to the last digit."""
    assert account(stage).holdings.cash == CASH
    assert account(stage).holdings.positions == {stage.wings.held: HELD_QUANTITY}


def test_c02(stage: Stage) -> None:
    """An account that the broker does not know is absent, and no error."""
    asked = [stage.wings.account_id, "nobody"]
    assert set(stage.broker.accounts(asked)) == {stage.wings.account_id}


def test_c03(stage: Stage) -> None:
    """An account that may trade says ACTIVE."""
    assert account(stage).status == "ACTIVE"
    assert account(stage).is_active


def test_c04(stage: Stage) -> None:
    """Asked about nothing, it answers nothing."""
    broker = stage.broker
    assert broker.accounts([]) == {}
    assert broker.assets([]) == {}
    assert dict(broker.prices([])) == {}
    assert broker.lookup([]) == {}
    assert broker.submit([]) == []
    broker.cancel([])


def test_c05(stage: Stage) -> None:
    """Two looks at a market in which nothing happens are equal."""
    order = stage.sell()
    done(stage, order)
    assert account(stage) == account(stage)
    assert shown(stage, order) == shown(stage, order)


def test_c06(stage: Stage) -> None:
    """Money that was paid in shows with the next look."""
    stage.wings.deposit(Decimal("12.34"))
    assert account(stage).holdings.cash == CASH + Decimal("12.34")


def test_c07(stage: Stage) -> None:
    """A symbol that the broker does not know has no asset and no price."""
    assert stage.broker.assets(["NOSUCH"]) == {}
    assert dict(stage.broker.prices(["NOSUCH"])) == {}


def test_c08(stage: Stage) -> None:
    """What trades, in fractions, may be named by strategies, and is called by its own symbol."""
    symbols = [stage.wings.held, stage.wings.other]
    assets = stage.broker.assets([*symbols, "NOSUCH"])
    assert {symbol: (asset.symbol, asset.is_eligible) for symbol, asset in assets.items()} == {
        symbol: (symbol, True) for symbol in symbols
    }
    assert len({asset.asset_id for asset in assets.values()}) == 2


def test_c09(stage: Stage) -> None:
    """Prices are the market's to the last digit, and all of them are usable."""
    prices = dict(stage.broker.prices([stage.wings.held, stage.wings.other, "NOSUCH"]))
    assert prices == {stage.wings.held: HELD_PRICE, stage.wings.other: OTHER_PRICE}
    assert usable_prices(prices) == prices


def test_c10(stage: Stage) -> None:
    """An accepted order shows under its client order id as what was meant: account, symbol, side, amount."""
    for order in (stage.sell(), stage.buy()):
        report = done(stage, order)
        assert report.client_order_id == order.client_order_id
        assert difference(order, body_of(report), present_symbol=order.symbol) is None


def test_c11(stage: Stage) -> None:
    """The broker's own id of an order is the same in its acceptance and at every look."""
    order = stage.sell()
    outcome = send(stage, order)
    assert isinstance(outcome, Accepted)
    known = replace(order, broker_order_id=outcome.report.broker_order_id)
    ids = {shown(stage, each).broker_order_id for each in (order, known)}
    assert ids == {outcome.report.broker_order_id}
    assert "" not in ids


def test_c12(stage: Stage) -> None:
    """An order that was never sent is absent, and no error."""
    done(stage, stage.sell())
    assert stage.broker.lookup([stage.sell()]) == {}


def test_c13(stage: Stage) -> None:
    """Outcomes come one for each order, in the order of sending."""
    orders = [stage.sell("1"), stage.buy("1000000"), stage.buy()]
    outcomes = stage.broker.submit(orders)
    expected = (Accepted, Refused, Accepted)
    assert [isinstance(o, kind) for o, kind in zip(outcomes, expected, strict=True)] == [True] * 3
    accepted = [o.report.client_order_id for o in outcomes if isinstance(o, Accepted)]
    assert accepted == [orders[0].client_order_id, orders[2].client_order_id]


def test_c14(stage: Stage) -> None:
    """What is refused says why, is no order, and changes nothing."""
    order = stage.buy("1000000")
    outcome = send(stage, order)
    assert isinstance(outcome, Refused)
    assert outcome.reason
    assert stage.broker.lookup([order]) == {}
    assert account(stage).holdings.cash == CASH
    assert stage.wings.taken() == []


def test_c15(stage: Stage) -> None:
    """An account that the broker does not know is never traded for."""
    order = replace(stage.buy(), account_id="nobody")
    assert not isinstance(send(stage, order), Accepted)
    assert stage.wings.taken() == []


def test_c16(stage: Stage) -> None:
    """What is sent twice is one order, unless the traits say that it may not be."""
    stage.wings.execute_at_once(Decimal(1))
    order = stage.sell()
    done(stage, order)
    again = send(stage, order)
    if stage.broker.traits.drops_duplicates:
        assert isinstance(again, Accepted)
        assert stage.wings.taken() == [order.client_order_id]
        assert position(stage, order.symbol) == HELD_QUANTITY - 2
    else:
        assert isinstance(again, Accepted | Refused | Unknown)


def test_c17(stage: Stage) -> None:
    """Where duplicates are dropped, another order under a used id is refused, or the first is shown."""
    first = stage.sell()
    before = done(stage, first)
    if not stage.broker.traits.drops_duplicates:
        pytest.skip("nothing is promised of ids that have been used")
    for other in (
        replace(first, quantity=Decimal(1)),
        replace(first, side=Side.BUY),
        replace(first, symbol=stage.wings.other),
    ):
        outcome = send(stage, other)
        if isinstance(outcome, Accepted):
            assert difference(other, body_of(outcome.report), present_symbol=other.symbol) is not None
        else:
            assert isinstance(outcome, Refused)
    assert shown(stage, first) == before
    assert len(stage.wings.taken()) == 1


def test_c18(stage: Stage) -> None:
    """A lost answer is Unknown, and the order shows when it is looked up."""
    order = stage.sell()
    with stage.wings.losing_answers():
        assert isinstance(send(stage, order), Unknown)
    report = shown(stage, order)
    assert report.filled == 2
    assert stage.wings.taken() == [order.client_order_id]


def test_c19(stage: Stage) -> None:
    """An order that was lost on its way is Unknown, and absent when it is looked up."""
    order = stage.sell()
    with stage.wings.losing_orders():
        assert isinstance(send(stage, order), Unknown)
    assert stage.broker.lookup([order]) == {}
    assert stage.wings.taken() == []
    assert position(stage, order.symbol) == HELD_QUANTITY


def test_c20(stage: Stage) -> None:
    """Whatever happens to an order, it leaves at most once for each time that it is sent."""
    order = stage.sell()
    with stage.wings.losing_answers():
        send(stage, order)
    stage.wings.execute_the_rest()
    assert stage.wings.taken() == [order.client_order_id]
    assert position(stage, order.symbol) == HELD_QUANTITY - 2


def test_c21(stage: Stage) -> None:
    """Sending never raises: while the broker is down an order is Unknown, or has not left."""
    order = stage.buy()
    with stage.wings.down():
        assert isinstance(send(stage, order), Unknown | NotSent)
    assert stage.broker.lookup([order]) == {}


def test_c22(stage: Stage) -> None:
    """Where sending takes time, an intent older than two seconds does not leave, and a new one may."""
    order = stage.sell()
    if not stage.wings.sends_over_a_wire:
        pytest.skip("sending takes no time")
    stage.clock.forward(2.001)
    assert isinstance(send(stage, order), NotSent)
    assert stage.broker.lookup([order]) == {}
    assert isinstance(send(stage, replace(order, sent_at=stage.clock.now)), Accepted)
    assert stage.wings.taken() == [order.client_order_id]


def test_c23(stage: Stage) -> None:
    """An order that was executed whole is FILLED, and its executions add up to what it filled."""
    report = done(stage, stage.sell())
    assert (report.state, report.filled) == (OrderState.FILLED, Decimal(2))
    assert sum(e.quantity for e in report.executions) == report.filled
    assert {e.client_order_id for e in report.executions} == {report.client_order_id}


def test_c24(stage: Stage) -> None:
    """Executions add up to the change of the position."""
    sold, bought = done(stage, stage.sell()), done(stage, stage.buy())
    assert position(stage, stage.wings.held) == HELD_QUANTITY - sold.filled
    assert position(stage, stage.wings.other) == bought.filled
    assert sum(e.quantity for e in bought.executions) == bought.filled


def test_c25(stage: Stage) -> None:
    """Quantities times prices add up to the change of cash."""
    sold, bought = done(stage, stage.sell()), done(stage, stage.buy())
    proceeds = sum(e.quantity * e.price for e in sold.executions)
    cost = sum(e.quantity * e.price for e in bought.executions)
    assert abs(account(stage).holdings.cash - (CASH + proceeds - cost)) < TINY


def test_c26(stage: Stage) -> None:
    """A buy spends no more than its money, and a sell gives no more than its quantity."""
    bought = done(stage, stage.buy("999.99"))
    assert CASH - account(stage).holdings.cash <= Decimal("999.99")
    assert bought.filled > 9
    sold = done(stage, stage.sell("0.123456789"))
    assert Decimal("0.12") < sold.filled <= Decimal("0.123456789")


def test_c27(stage: Stage) -> None:
    """All that is held can be sold, and is not shown as a position any more."""
    done(stage, stage.sell(str(HELD_QUANTITY)))
    assert account(stage).holdings.positions == {}


def test_c28(stage: Stage) -> None:
    """An order executed in part is OPEN with that part, and FILLED with the rest."""
    stage.wings.execute_at_once(HALF)
    order = stage.sell()
    part = done(stage, order)
    assert (part.state, part.filled) == (OrderState.OPEN, Decimal(1))
    assert position(stage, order.symbol) == HELD_QUANTITY - 1
    stage.wings.execute_the_rest()
    whole = shown(stage, order)
    assert (whole.state, whole.filled) == (OrderState.FILLED, Decimal(2))


def test_c29(stage: Stage) -> None:
    """Followed from look to look, each execution comes under one id, and they add up to what was filled."""
    stage.wings.execute_at_once(HALF)
    order = stage.buy()
    known, seen = order, dict[str, Decimal]()
    assert isinstance(send(stage, order), Accepted)
    for step in range(4):
        if step == 2:
            stage.wings.execute_the_rest()
        report = shown(stage, known)
        fresh = tuple(e for e in report.executions if e.execution_id not in seen)
        seen |= {e.execution_id: e.quantity for e in fresh}
        known = knowing(known, replace(report, executions=fresh))
        assert sum(seen.values()) == report.filled
    assert known.state is OrderState.FILLED
    assert len(seen) == 2
    assert position(stage, order.symbol) == sum(seen.values())


def test_c30(stage: Stage) -> None:
    """A broker that is opened anew shows the same orders, executions and accounts."""
    order = stage.sell()
    before = done(stage, order)
    with stage.wings.open() as again:
        assert again.lookup([order])[order.client_order_id] == before
        assert again.accounts([stage.wings.account_id])[stage.wings.account_id] == account(stage)
        assert again.traits == stage.broker.traits


def test_c31(stage: Stage) -> None:
    """An order that can still execute is named by its account as working; one that has ended is not."""
    stage.wings.execute_at_once(HALF)
    order = stage.sell()
    done(stage, order)
    assert account(stage).working == {order.client_order_id}
    stage.wings.execute_the_rest()
    assert account(stage).working == frozenset()


def test_c32(stage: Stage) -> None:
    """A cancelled order is CANCELED, keeps what it executed, and executes no more."""
    stage.wings.execute_at_once(HALF)
    order = stage.sell()
    known = knowing(order, done(stage, order))
    stage.broker.cancel([known])
    report = shown(stage, order)
    assert (report.state, report.filled) == (OrderState.CANCELED, Decimal(1))
    stage.wings.execute_the_rest()
    assert shown(stage, order).filled == 1
    assert position(stage, order.symbol) == HELD_QUANTITY - 1
    assert account(stage).working == frozenset()


def test_c33(stage: Stage) -> None:
    """An order is cancelled by its client order id alone, as after an answer that was lost."""
    stage.wings.execute_at_once(Decimal(0))
    order = stage.sell()
    with stage.wings.losing_answers():
        send(stage, order)
    stage.broker.cancel([order])
    assert shown(stage, order).state is OrderState.CANCELED


def test_c34(stage: Stage) -> None:
    """Cancelling what has ended, or what never came, is no error and changes nothing."""
    order = stage.sell()
    report = done(stage, order)
    stage.broker.cancel([knowing(order, report), stage.sell()])
    assert shown(stage, order) == report


def test_c35(stage: Stage) -> None:
    """While the broker is down every question raises BrokerDown, and afterwards it is answered."""
    broker, order = stage.broker, stage.sell()
    done(stage, order)
    questions: list[Callable[[], object]] = [
        lambda: broker.accounts([stage.wings.account_id]),
        lambda: broker.prices([stage.wings.held]),
        lambda: broker.lookup([order]),
        lambda: broker.cancel([order]),
    ]
    with stage.wings.down():
        for question in questions:
            with pytest.raises(BrokerDown):
                question()
    for question in questions:
        question()
    assert shown(stage, order).filled == 2


def test_c36(stage: Stage) -> None:
    """Where changes are told, a trade names its account after the cursor, and once; where not, nothing is."""
    before = stage.broker.feed(0).cursor
    assert stage.broker.feed(before).changed == frozenset()
    done(stage, stage.sell())
    news = stage.broker.feed(before)
    told = {stage.wings.account_id} if stage.broker.traits.tells_changes else set()
    assert news.changed == told
    assert news.cursor >= before
    assert stage.broker.feed(news.cursor).changed == frozenset()


def test_c37(stage: Stage) -> None:
    """Where changes are told, money that was paid in is told once, with its amount, and trades are not."""
    before = stage.broker.feed(0).cursor
    stage.wings.deposit(Decimal(50))
    done(stage, stage.sell())
    news = stage.broker.feed(before)
    amounts = [(t.account_id, t.amount) for t in news.transfers]
    told = [(stage.wings.account_id, Decimal(50))] if stage.broker.traits.tells_changes else []
    assert amounts == told
    assert stage.broker.feed(news.cursor).transfers == ()


def test_c38(stage: Stage) -> None:
    """An owner's wallet is the same account each time, and another one's is another, where there are any."""
    first, again, second = (
        stage.broker.wallet(owner, "tenant", index=0)
        for owner in ("eip155:1:0xa", "eip155:1:0xa", "eip155:1:0xb")
    )
    assert first == again
    assert first is None or first != second


def test_c39(stage: Stage) -> None:
    """The traits bound what is under way: a name, a quarantine, and batches of at least one order."""
    traits = stage.broker.traits
    assert traits.name
    assert traits.batch >= 1
    assert traits.quarantine.total_seconds() > 0


def test_c40(stage: Stage) -> None:
    """No report, price or holding has more digits than amounts are calculated with, and none is a float."""
    done(stage, stage.sell("0.123456789"))
    report = done(stage, stage.buy("33.33"))
    numbers = [
        *account(stage).holdings.positions.values(),
        account(stage).holdings.cash,
        *(number for e in report.executions for number in (e.quantity, e.price)),
    ]
    for number in numbers:
        assert isinstance(number, Decimal)
        assert -int(number.as_tuple().exponent) <= 30


def test_the_page_lists_every_rule_and_nothing_else() -> None:
    tests = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    rules = [(name[5:].upper(), inspect.getdoc(test)) for name, test in tests if name.startswith("test_c")]
    listed = re.findall(r"^\| (C\d\d) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert listed == rules
    assert len(rules) >= 30
