"""What the broker says of orders: adopted if it is what was meant, an alarm if not, never undone by age.

bob has $400 and wants SPY, which costs $400; ann has 10 SPY and wants cash.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.engine.brokers import Rates
from tests.engine.desks import MONDAY, Setup, SqliteSite, World, new_world, targets
from tests.engine.machine import Machine
from trimtab.brokers.broker import OrderReport
from trimtab.core.run import Execution, Order, OrderState, Run, RunState, Side
from trimtab.engine.desk import Effects
from trimtab.engine.reports import learn
from trimtab.engine.turn import take_turn
from trimtab.store import freezes

SPY = targets(SPY="100")


def bob(world: World) -> Run:
    return world.request(world.open_account("bob", "400"), weights=SPY)


def ann(world: World) -> Run:
    """Half of her 10 SPY is to be sold."""
    return world.request(world.open_account("ann", "0", SPY="10"), weights=targets("50", SPY="50"))


def only_order(world: World, run: Run) -> Order:
    (order,) = world.orders(run)
    return order


def learning(world: World, run: Run) -> Effects[None]:
    """A turn that only asks what became of the orders of a run, ended or not."""
    turn = yield from take_turn(world.desk, run.shard)
    yield from learn(turn, world.orders(run))


def frozen(world: World) -> dict[str | None, str]:
    return {freeze.account_id: freeze.reason for freeze in world.db.write(freezes.all_freezes)}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"side": Side.SELL}, "it is to sell, not to buy"),
        ({"symbol": "TLT"}, "it is of TLT, not of SPY"),
        ({"account_id": "eve"}, "it is of account eve"),
        ({"notional": Decimal(401)}, "it is of $401, not of $400"),
    ],
)
@pytest.mark.parametrize("found_by", ["the answer", "the lookup"])
def test_a_strangers_order_under_our_id_is_not_adopted_and_freezes_the_account(
    sqlite_site: SqliteSite, changes: dict[str, object], why: str, found_by: str
) -> None:
    with new_world(sqlite_site, Setup(rates=Rates(loses_reply=found_by == "the lookup"))) as world:
        world.paper.set_faults({"fill_delay_s": 30})
        world.broker.told_as = lambda report: replace(report, **changes)  # type: ignore[arg-type]
        run = bob(world)
        world.settle()
        order = only_order(world, run)
        assert (order.state, order.filled_quantity) == (OrderState.REFUSED, Decimal(0))
        words = f"the broker shows another order as {order.client_order_id}: {why}"
        assert order.reason == words
        assert frozen(world) == {"bob": words}
        world.clock.forward(60)
        world.settle()
        assert len(world.broker_orders()) == 1, "nothing more leaves"


def test_a_second_order_under_one_id_freezes_the_account(world: World) -> None:
    world.paper.set_faults({"fill_delay_s": 30})
    run = bob(world)
    world.settle()
    world.broker.told_as = lambda report: replace(report, broker_order_id="another", state=OrderState.FILLED)
    world.clock.forward(5)
    world.settle()
    order = only_order(world, run)
    assert order.state is OrderState.OPEN
    assert f"it is a second one, another beside {order.broker_order_id}" in frozen(world)["bob"]


def more(quantity: str) -> Execution:
    return Execution(
        execution_id=f"more-{quantity}",
        client_order_id="",
        quantity=Decimal(quantity),
        price=Decimal(400),
        at=MONDAY,
    )


def with_more(report: OrderReport, execution: Execution, *, later_s: int = 0) -> OrderReport:
    """A report that has one execution more, changed at the broker so many seconds later."""
    one = replace(execution, client_order_id=report.client_order_id)
    return replace(
        report,
        executions=(*report.executions, one),
        filled=report.filled + execution.quantity,
        updated_at=report.updated_at + timedelta(seconds=later_s),
    )


def test_an_order_that_executes_too_much_is_recorded_and_freezes_the_account(world: World) -> None:
    world.broker.told_as = lambda report: with_more(report, more("1"))
    run = ann(world)
    world.settle()
    order = only_order(world, run)
    assert (order.state, order.filled_quantity) == (OrderState.FILLED, Decimal(6))
    assert "6 shares executed for $2400, 5 shares ordered" in frozen(world)["ann"]


def test_a_correction_takes_back_what_was_executed(world: World) -> None:
    world.paper.set_faults({"fill_delay_s": 30})
    run = ann(world)
    world.settle()
    world.clock.forward(30)
    world.broker.accounts_late_s = 60
    world.settle()
    assert only_order(world, run).filled_quantity == 5
    taken = replace(more("-2"), corrects="the first")
    world.broker.told_as = lambda report: with_more(report, taken, later_s=1)
    for _ in range(2):
        Machine(world=world).drive(learning(world, run))
    order = only_order(world, run)
    assert (order.state, order.filled_quantity, order.filled_value) == (
        OrderState.FILLED,
        Decimal(3),
        Decimal(1200),
    )
    rows = world.db.read(lambda tx: tx.rows("SELECT quantity, corrects FROM executions ORDER BY quantity"))
    assert [(Decimal(row["quantity"]), row["corrects"]) for row in rows] == [
        (Decimal(-2), "the first"),
        (Decimal(5), None),
    ]


def test_what_was_said_before_the_last_word_takes_nothing_back(world: World) -> None:
    run = ann(world)
    world.settle()
    before = only_order(world, run)
    assert before.reported_at == MONDAY
    older = replace(more("-2"), corrects="the first")
    world.broker.told_as = lambda report: with_more(report, older, later_s=-1)
    Machine(world=world).drive(learning(world, run))
    assert only_order(world, run) == before


def test_fewer_executions_without_a_correction_are_an_old_story(world: World) -> None:
    run = ann(world)
    world.settle()
    before = only_order(world, run)
    world.broker.told_as = lambda report: replace(report, executions=(), filled=Decimal(0))
    Machine(world=world).drive(learning(world, run))
    assert only_order(world, run) == before
    assert world.run(run.id).state is RunState.COMPLETED
