"""A fill that crosses the cancel and shows after the end of its run gets its record all the same.

ann holds 25 GLD at $200 and wants none; the sell is cancelled while it is under way.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.engine.desks import MONDAY, Site, SqliteSite, World, new_world
from tests.engine.scenarios import ann_asked_for
from trimtab.brokers.broker import OrderReport
from trimtab.core.run import Execution, Order, OrderState
from trimtab.store import watches

LATE = Execution(execution_id="late", client_order_id="", quantity=Decimal(3), price=Decimal(200), at=MONDAY)


def executed_after_all(state: OrderState) -> Callable[[OrderReport], OrderReport]:
    """What is told of the order once three shares have crossed the cancel."""

    def told(report: OrderReport) -> OrderReport:
        late = replace(LATE, client_order_id=report.client_order_id)
        return replace(report, state=state, executions=(late,), filled=Decimal(3))

    return told


def sell(world: World) -> Order:
    return world.orders(world.runs("ann")[0])[0]


def canceled(world: World) -> None:
    """A run that has ended with its sell cancelled, and nothing traded."""
    ann_asked_for(world)
    world.paper.set_faults({"fill_delay_s": 600})
    world.settle()
    world.cancel(world.runs("ann")[0])
    world.settle()
    assert world.ends("ann") == ["CANCELED+"]
    assert (sell(world).state, sell(world).filled_quantity) == (OrderState.CANCELED, Decimal(0))


@pytest.mark.parametrize("state", [OrderState.CANCELED, OrderState.FILLED])
def test_a_fill_that_shows_within_a_minute_is_recorded(site: Site, state: OrderState) -> None:
    with new_world(site) as world:
        canceled(world)
        world.broker.told_as = executed_after_all(state)
        due_at = world.due_at()
        assert due_at is not None, "somebody comes back by himself"
        world.clock.now = due_at
        world.settle()
        assert (sell(world).state, sell(world).filled_quantity) == (state, Decimal(3))
        assert world.ends("ann") == ["CANCELED+"]


def test_nobody_asks_any_more_when_the_minute_is_over(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site) as world:
        canceled(world)
        for _ in range(6):
            world.clock.forward(15)
            world.settle()
        assert world.db.read(lambda tx: watches.watched(tx, 1)) is None
        asked: list[str] = []
        world.broker.before = asked.append
        world.clock.forward(15)
        world.settle()
        assert "lookup" not in asked


def test_a_run_whose_orders_were_all_executed_is_not_watched(sqlite_site: SqliteSite) -> None:
    with new_world(sqlite_site) as world:
        ann_asked_for(world)
        world.settle()
        assert world.ends("ann") == ["COMPLETED"]
        assert world.db.read(lambda tx: watches.watched(tx, 1)) is None
