"""Each kind of step performed for many runs at once, in the order of the protocol.

Plans are stored before anything is sent; intents are committed, for no more orders than the broker
takes in one batch, before they are sent; answers are recorded in one commit. Every commit first makes
sure that the shard is still ours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from trimtab.brokers.broker import Accepted, Broker, NotSent
from trimtab.core.money import ZERO
from trimtab.core.run import Order, OrderState, RunKind, RunState, Side
from trimtab.core.step import Abandon, Ask, CancelOrders, Fail, Finish, Resend, StorePlan, Submit
from trimtab.database import Tx
from trimtab.engine import desk as effects
from trimtab.engine import reports
from trimtab.engine.cases import Case, frozen_symbols
from trimtab.engine.desk import Effects
from trimtab.engine.late import WATCH_POLL, WATCHED_FOR
from trimtab.engine.turn import RETRY_BROKER, Turn
from trimtab.store import enrollments, freezes, orders, rates, runs, shards, watches
from trimtab.store.freezes import Freeze
from trimtab.store.runs import Change

# When an order for which there was no room, at the broker or in the tenant's minute, is tried again.
ROOM_POLL = timedelta(seconds=1)


def fail(turn: Turn, cases: Sequence[tuple[Case, Fail]]) -> Effects[None]:
    changes = [
        Change(run=case.run, state=case.run.state, stop=RunState.FAILED, reason=step.reason)
        for case, step in cases
    ]
    yield from turn.commit(lambda tx: runs.change(tx, changes, turn.now))


def look(turn: Turn, cases: Sequence[Case]) -> Effects[None]:
    """See the accounts as they are now; runs of those that cannot be seen rest."""
    ids = {case.run.account_id for case in cases}
    found, missing = yield from effects.ask_each(lambda broker: broker.accounts(ids))
    turn.seen.accounts |= found
    turn.seen.looked |= ids - missing
    for case in cases:
        if case.run.account_id in missing:
            turn.rest(case.run.id, until=turn.now + RETRY_BROKER)


def store_plans(turn: Turn, cases: Sequence[tuple[Case, StorePlan]]) -> Effects[None]:
    changes = [
        Change(
            run=case.run,
            state=RunState.PLANNED,
            strategy_version=case.strategy.version,
            deadline_at=step.deadline_at,
        )
        for case, step in cases
    ]

    def store(tx: Tx) -> None:
        applied = runs.change(tx, changes, turn.now)
        ours = [(case, step) for case, step in cases if case.run.id in applied]
        orders.insert_plans(tx, turn.shard, {case.run.id: step.plan for case, step in ours}, now=turn.now)
        reclaimed = [case.run.account_id for case, _ in ours if _takes_back(case)]
        shards.set_aside(tx, dict.fromkeys(reclaimed, ZERO))

    yield from turn.commit(store)


def _takes_back(case: Case) -> bool:
    """Whether this run invests again what was set aside for a withdrawal."""
    return case.account.set_aside > case.set_aside


def submit(turn: Turn, cases: Sequence[tuple[Case, Submit]]) -> Effects[None]:
    """Commit intents and send them, batch by batch; sells leave before buys."""
    sells_first = sorted(cases, key=lambda pair: pair[1].state is RunState.BUYING)
    for batch in _batches(sells_first, turn.desk.broker.traits.batch):
        turn.look_at_clock()
        sent = yield from turn.commit(_intents_of(turn, batch))
        unsent = yield from _send(turn, sent)
        if unsent:
            yield from _take_back(turn, unsent, none_left=len(unsent) == len(sent))


def _batches(cases: Sequence[tuple[Case, Submit]], orders_max: int) -> Iterator[list[tuple[Case, Submit]]]:
    """Whole runs, as many as fit; a run larger than a batch is a batch of its own."""
    batch: list[tuple[Case, Submit]] = []
    size = 0
    for case, step in cases:
        if batch and size + len(step.orders) > orders_max:
            yield batch
            batch, size = [], 0
        batch.append((case, step))
        size += len(step.orders)
    if batch:
        yield batch


def _intents_of(turn: Turn, batch: Sequence[tuple[Case, Submit]]) -> Callable[[Tx], list[Order]]:
    return lambda tx: _commit_intents(tx, turn, batch)


def _commit_intents(tx: Tx, turn: Turn, batch: Sequence[tuple[Case, Submit]]) -> list[Order]:
    """Store the intents of runs that are as we saw them, in time and not frozen, as many as may leave in
    this minute; returns what may be sent. The others are decided again.
    """
    frozen = freezes.locked_freezes(tx)
    free = [
        (case, step)
        for case, step in batch
        if not _is_late(case, turn)
        and not _is_stale(case, turn)
        and not _is_frozen(turn, case, step.orders, frozen=frozen)
    ]
    free = _with_room(tx, turn, free)
    changes = [Change(run=case.run, state=step.state, more_orders=len(step.orders)) for case, step in free]
    applied = runs.change(tx, changes, turn.now)
    ours = [(case, step) for case, step in free if case.run.id in applied]
    intents = [
        replace(order, asset_id=turn.seen.asset_id(order.symbol), sent_at=turn.now)
        for _, step in ours
        for order in step.orders
    ]
    orders.insert_intents(tx, turn.shard, epoch=turn.epoch, intents=intents)
    orders.insert_skips(tx, turn.shard, {case.run.id: step.skips for case, step in ours})
    return intents


def _with_room(tx: Tx, turn: Turn, steps: Sequence[tuple[Case, Submit]]) -> list[tuple[Case, Submit]]:
    """The steps with no more orders than their tenants may send in this minute; what has no room rests."""
    orders_max = turn.desk.caps.minute_orders_max
    if orders_max is None:
        return list(steps)
    by_tenant: dict[str, list[tuple[Case, Submit]]] = {}
    for case, step in steps:
        by_tenant.setdefault(case.run.tenant_id, []).append((case, step))
    allowed = []
    for tenant_id, theirs in sorted(by_tenant.items()):
        room = left = rates.room(tx, tenant_id, turn.now, orders_max=orders_max)
        for case, step in theirs:
            leaving = step.orders[:left]
            left -= len(leaving)
            if len(leaving) < len(step.orders):
                turn.rest(case.run.id, until=turn.now + ROOM_POLL)
            if leaving or not step.orders:
                allowed.append((case, replace(step, orders=leaving)))
        rates.count(tx, tenant_id, turn.now, orders=room - left)
    return allowed


def _is_late(case: Case, turn: Turn) -> bool:
    return case.run.deadline_at is not None and turn.now >= case.run.deadline_at


def _is_stale(case: Case, turn: Turn) -> bool:
    """Whether the prices that the gate has seen have become too old since: then it has to look again."""
    assert case.plan is not None, "what is sent was planned"
    return turn.seen.prices_age(case.plan.prices, turn.now) > turn.desk.caps.price_age_max


def _is_frozen(turn: Turn, case: Case, intended: Sequence[Order], *, frozen: Sequence[Freeze]) -> bool:
    """Whether a freeze covers the account, or a symbol among the orders."""
    covering = [f for f in frozen if f.covers(case.run.tenant_id, case.run.account_id)]
    symbols = frozen_symbols(covering, turn.seen)
    return any(f.symbol is None for f in covering) or any(order.symbol in symbols for order in intended)


def resend(turn: Turn, cases: Sequence[tuple[Case, Resend]]) -> Effects[None]:
    """Send the same ids and bodies again; the intent to do so is durable first. What does not leave this
    time may have left the first time: it stays an open question.
    """
    turn.look_at_clock()

    def intend(tx: Tx) -> list[Order]:
        frozen = freezes.locked_freezes(tx)
        free = [
            (case, Submit(case.run.state, step.orders, ()))
            for case, step in cases
            if not _is_late(case, turn) and not _is_frozen(turn, case, step.orders, frozen=frozen)
        ]
        allowed = [order for _, step in _with_room(tx, turn, free) for order in step.orders]
        ids = [order.client_order_id for order in allowed]
        orders.set_sent(tx, ids, epoch=turn.epoch, now=turn.now)
        return [replace(order, sent_at=turn.now) for order in allowed]

    yield from _send(turn, (yield from turn.commit(intend)))


def _send(turn: Turn, sent: Sequence[Order]) -> Effects[list[Order]]:
    """Send what is meant and record the answers; returns what has not left."""
    if not sent:
        return []
    answers = list(zip(sent, (yield from effects.send(sent)), strict=True))
    accepted = [(order, outcome.report) for order, outcome in answers if isinstance(outcome, Accepted)]
    yield from reports.learn_names(turn, accepted)
    said = [one for order, outcome in answers if (one := reports.outcome_said(turn, order, outcome))]
    yield from reports.record(turn, said)
    unsent = [order for order, outcome in answers if isinstance(outcome, NotSent)]
    turn.orders += len(sent) - len(unsent)
    turn.seen.forget(order.account_id for order in sent)
    # An order that was accepted and is still open has just been seen.
    turn.seen.told_at |= {one.order.client_order_id: turn.now for one in said}
    return unsent


def _take_back(turn: Turn, unsent: Sequence[Order], *, none_left: bool) -> Effects[None]:
    """Forget the intents of orders that have not left: their runs decide anew, through every check again,
    and later if the broker had no room for even one.
    """
    yield from turn.commit(lambda tx: orders.take_back(tx, turn.shard, [o.client_order_id for o in unsent]))
    if none_left:
        for order in unsent:
            turn.rest(order.run_id, until=turn.now + ROOM_POLL)


def look_up(turn: Turn, cases: Sequence[tuple[Case, Ask]]) -> Effects[None]:
    """Ask what became of orders; record what changed."""
    wanted = {client_order_id for _, step in cases for client_order_id in step.client_order_ids}
    yield from reports.learn(
        turn, [o for case, _ in cases for o in case.orders if o.client_order_id in wanted]
    )


def cancel_orders(turn: Turn, cases: Sequence[tuple[Case, CancelOrders]]) -> Effects[None]:
    ids = {client_order_id for _, step in cases for client_order_id in step.client_order_ids}
    unwanted = [o for case, _ in cases for o in case.orders if o.client_order_id in ids]
    missing = yield from ask_to_cancel(unwanted)
    turn.seen.cancel_asked |= ids - missing
    for order in unwanted:
        if order.client_order_id in missing:
            turn.rest(order.run_id, until=turn.now + RETRY_BROKER)
    for client_order_id in ids:
        turn.seen.told_at.pop(client_order_id, None)


def ask_to_cancel(unwanted: Sequence[Order]) -> Effects[frozenset[str]]:
    """Ask the broker to cancel orders; the ids of those of which it could not be asked."""

    def question(broker: Broker) -> dict[str, None]:
        broker.cancel(unwanted)
        return {}

    _, missing = yield from effects.ask_each(question)
    return missing


def abandon(turn: Turn, cases: Sequence[tuple[Case, Abandon]]) -> Effects[None]:
    reason = "the broker does not know this order"
    given_up = [
        reports.without_report(order, OrderState.ABANDONED, reason=reason)
        for _, step in cases
        for order in step.orders
    ]
    yield from reports.record(turn, given_up)


def finish(turn: Turn, cases: Sequence[tuple[Case, Finish]]) -> Effects[None]:
    """End runs, with all that follows: cooldown, money set aside, a hold; one commit."""
    changes = [
        Change(run=case.run, state=step.state, adjusted=step.adjusted, reason=step.reason)
        for case, step in cases
    ]

    def end(tx: Tx) -> set[str]:
        applied = runs.change(tx, changes, turn.now)
        ours = [(case, step) for case, step in cases if case.run.id in applied]
        rebalanced = [case.run.enrollment_id for case, step in ours if step.rebalanced]
        followed = [enrollment_id for enrollment_id in rebalanced if enrollment_id is not None]
        enrollments.set_rebalanced(tx, turn.shard, followed, at=turn.now)
        shards.set_aside(tx, _raised(turn, [case for case, _ in ours]))
        shards.hold(tx, {case.run.account_id: step.hold for case, step in ours if step.hold})
        cut_short = [case.run.id for case, _ in ours if _is_cut_short(case)]
        watches.begin(tx, turn.shard, cut_short, until=turn.now + WATCHED_FOR)
        return applied

    turn.finished |= yield from turn.commit(end)
    if any(_is_cut_short(case) for case, _ in cases):
        turn.wake_by(turn.now + WATCH_POLL)


def _is_cut_short(case: Case) -> bool:
    """Whether an execution may still come of an order that is over."""
    return any(order.state.may_change for order in case.orders)


def _raised(turn: Turn, cases: Sequence[Case]) -> dict[str, Decimal]:
    """Per account, what is set aside once the cash that these runs raised is added: no more than the
    account was last seen to hold, for it may have been withdrawn already.
    """
    raised = {}
    for case in cases:
        if case.run.kind is RunKind.PARTIAL_LIQUIDATION and case.run.amount is not None:
            sold = sum((o.filled_value for o in case.orders if o.side is Side.SELL), ZERO)
            wanted = case.account.set_aside + min(sold, case.run.amount)
            account = turn.seen.accounts.get(case.run.account_id)
            cash = wanted if account is None else max(account.holdings.cash, ZERO)
            raised[case.run.account_id] = min(wanted, cash)
    return raised
