"""What the broker says of orders: whether it is news, whether it is the order that was meant, its record.

A report never takes back what is known, unless it says that it corrects it. What is not the order that was
meant is never adopted, and its account is frozen; so is the account of an order that executed too much.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never
from uuid import uuid5

from trimtab.brokers.broker import Accepted, NotSent, OrderReport, Outcome, Refused, Unknown
from trimtab.core.adoption import difference, excess
from trimtab.core.run import ORDER_NAMESPACE, ORDER_TRANSITIONS, Order, OrderState
from trimtab.database import Tx
from trimtab.engine import desk as effects
from trimtab.engine.desk import Effects
from trimtab.engine.turn import RETRY_BROKER, Turn
from trimtab.store import freezes, orders
from trimtab.store.freezes import Freeze
from trimtab.store.orders import Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was said of an order, to be recorded; `alarm` freezes its account."""

    order: Order
    settled: Settled
    alarm: str | None = None


def learn(turn: Turn, known: Sequence[Order]) -> Effects[list[Order]]:
    """Ask what became of these orders and record what is new; returns those of which there are news. The
    runs of orders that could not be asked about rest.
    """
    orders_by_id = {order.client_order_id: order for order in known}
    reports, missing = yield from effects.ask_each(lambda broker: broker.lookup(known))
    news = [
        (orders_by_id[key], report) for key, report in reports.items() if _is_news(orders_by_id[key], report)
    ]
    yield from learn_names(turn, news)
    yield from record(turn, [said(turn, order, report) for order, report in news])
    turn.seen.told_at |= dict.fromkeys(orders_by_id.keys() - missing, turn.now)
    for client_order_id in missing:
        turn.rest(orders_by_id[client_order_id].run_id, until=turn.now + RETRY_BROKER)
    turn.seen.forget(order.account_id for order, _ in news)
    return [order for order, _ in news]


def learn_names(turn: Turn, found: Sequence[tuple[Order, OrderReport]]) -> Effects[None]:
    """Ask anew what assets are called now where an order is shown under another symbol than it had."""
    renamed = {order.symbol for order, report in found if report.symbol != order.symbol}
    if renamed:
        turn.seen.assets |= yield from effects.ask(lambda broker: broker.assets(renamed))


def _is_news(order: Order, report: OrderReport) -> bool:
    """Whether the broker says more than is recorded. What it said before its last word says less, and so
    does what knows less of executions, or of an end, unless it corrects them.
    """
    if order.reported_at is not None and report.updated_at < order.reported_at:
        return False
    corrected = any(execution.corrects is not None for execution in report.executions)
    if report.filled < order.filled_quantity and not corrected:
        return False
    if _follows(order, report.state):
        return report.state is not order.state or report.filled != order.filled_quantity
    return corrected and report.filled != order.filled_quantity


def _follows(order: Order, state: OrderState) -> bool:
    return state is order.state or state in ORDER_TRANSITIONS[order.state]


def outcome_said(turn: Turn, order: Order, outcome: Outcome) -> Said | None:
    """What an outcome proves; nothing, if it is unknown."""
    match outcome:
        case Accepted(report):
            return said(turn, order, report)
        case Refused(reason):
            return without_report(order, OrderState.REFUSED, reason=reason)
        case Unknown() | NotSent():
            return None
        case _:
            assert_never(outcome)


def said(turn: Turn, order: Order, report: OrderReport) -> Said:
    """What a report of an order is recorded as."""
    other = difference(order, report.body, present_symbol=turn.seen.present(order.symbol))
    if other is None and order.broker_order_id not in {None, report.broker_order_id}:
        other = f"it is a second one, {report.broker_order_id} beside {order.broker_order_id}"
    if other is not None:
        return _alarming(order, f"the broker shows another order as {order.client_order_id}: {other}")
    settled = Settled(
        client_order_id=order.client_order_id,
        state=report.state if _follows(order, report.state) else order.state,
        broker_order_id=report.broker_order_id,
        reason=report.reason,
        executions=report.executions,
        reported_at=report.updated_at,
    )
    return Said(order=order, settled=settled)


def _alarming(order: Order, why: str) -> Said:
    """Nothing of a stranger is adopted; an intent whose id is taken has not become an order."""
    state = OrderState.REFUSED if order.state is OrderState.SENDING else order.state
    return Said(order=order, settled=without_report(order, state, reason=why).settled, alarm=why)


def without_report(order: Order, state: OrderState, *, reason: str) -> Said:
    """An order that came to an end of which the broker shows nothing."""
    settled = Settled(
        client_order_id=order.client_order_id,
        state=state,
        broker_order_id=None,
        reason=reason,
        executions=(),
        reported_at=None,
    )
    return Said(order=order, settled=settled)


def record(turn: Turn, news: Sequence[Said]) -> Effects[None]:
    """Store what was said, and freeze the accounts that it alarms for, in one commit."""
    if news:
        yield from turn.commit(lambda tx: store(tx, turn, news))


def store(tx: Tx, turn: Turn, news: Sequence[Said]) -> None:
    name = turn.desk.broker.traits.name
    settled = [one.settled for one in news]
    filled = orders.settle(tx, turn.shard, name, settled=settled, now=turn.now)
    alarms = [(one.order, one.alarm) for one in news if one.alarm is not None]
    for order in (one.order for one in news):
        quantity, value = filled.get(order.client_order_id, (order.filled_quantity, order.filled_value))
        over = excess(order, quantity=quantity, value=value)
        if over is not None:
            alarms.append((order, f"the broker executed too much of {order.client_order_id}: {over}"))
    _freeze(tx, turn, alarms)


def _freeze(tx: Tx, turn: Turn, alarms: Iterable[tuple[Order, str]]) -> None:
    """Freeze the account of each order until a person has looked; once per order."""
    for order, why in alarms:
        stop = Freeze(
            id=str(uuid5(ORDER_NAMESPACE, f"freeze:{order.client_order_id}")),
            tenant_id=None,
            account_id=order.account_id,
            symbol=None,
            reason=why,
        )
        freezes.insert(tx, stop, turn.now)
