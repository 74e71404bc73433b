"""A restored copy compared with the broker, shard by shard, before anything of it may move.

The broker went on after the copy was made: it may have orders of runs that are still open here, and this
database has forgotten their intents. Ids of orders follow from run and leg, so they are found: those of a
planned run are adopted, and a queued run that has orders has been carried out already. What the broker holds
is right. Orders of runs that were made after the copy cannot be found; while they are open, no plan is made
(see `core.decide`), and what they traded is in the positions that every plan is made from.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from trimtab.brokers.broker import Account, Broker, OrderReport
from trimtab.core.decide import intent, skip
from trimtab.core.doubt import disagreement, traded
from trimtab.core.errors import BrokerDown
from trimtab.core.money import ZERO
from trimtab.core.run import Order, OrderState, RunState, Side, order_id
from trimtab.core.skip import Skip, SkipReason
from trimtab.database import Tx
from trimtab.engine import reports
from trimtab.engine.cases import Case, open_cases
from trimtab.engine.desk import Effects, ask, ask_each, read
from trimtab.engine.turn import Turn
from trimtab.store import holdings, orders, restores, runs
from trimtab.store.runs import Change

log = logging.getLogger(__name__)

# A copy may be older than the mirror's first look at an account, which may have sold all that it held since:
# as many legs are asked for as hardly any account has positions.
_PERHAPS_HELD = {f"position {n}" for n in range(50)}
# Of a question about many orders, in one turn; then the shard waits for another.
TRIES_MAX = 5

CARRIED_OUT = "restored from a backup: the broker has orders of this run that this database has forgotten"
OVERTAKEN = "restored from a backup: the broker went on, and the account is not what this run left it"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An order that the broker has and this database had forgotten, or was about to send."""

    case: Case
    order: Order
    report: OrderReport


def reconcile(turn: Turn) -> Effects[bool]:
    """Compare a restored shard with the broker, adopt what is found, and lift the freeze with the last;
    whether that could be done. Whatever was on its way when the copy took over must have arrived.
    """
    begun_at = yield from turn.commit(lambda tx: restores.begin(tx, turn.now))
    settled_at = begun_at + turn.desk.broker.traits.quarantine
    if turn.now < settled_at:
        turn.wake_by(settled_at)
        return False
    cases = yield from read(partial(open_cases, shard=turn.shard, only=None, now=turn.now))
    forgotten = yield from _look_for(turn, [case for case in cases if case.plan is not None])
    yield from reports.learn_names(turn, [(found.order, found.report) for found in forgotten])
    carried_out = yield from _carried_out(turn, [case for case in cases if case.plan is None])
    yield from turn.commit(lambda tx: _store(tx, turn, forgotten, carried_out=carried_out))
    yield from _end_overtaken(turn)
    turn.lifted = yield from turn.commit(lambda tx: restores.reconciled(tx, turn.shard, turn.now))
    log.warning(
        "shard %d of a restored copy: %d forgotten orders adopted, %d runs were carried out already%s",
        turn.shard,
        len(forgotten),
        len(carried_out),
        "; nothing is frozen for it any more" if turn.lifted else "",
    )
    return True


def _look_for(turn: Turn, planned: Sequence[Case]) -> Effects[list[_Found]]:
    """Ask the broker for an order of every leg that has none here, or only an intent."""
    wanted = {o.client_order_id: (case, o) for case in planned for o in _perhaps_sent(case, turn.now)}
    shown = yield from _looked_up([order for _, order in wanted.values()])
    return [
        _Found(case=wanted[key][0], order=wanted[key][1], report=report)
        for key, report in sorted(shown.items())
    ]


def _looked_up(wanted: Sequence[Order]) -> Effects[dict[str, OrderReport]]:
    """What the broker has of these; each that cannot be asked about is asked about again, for one answer that
    is missing would leave everything frozen.
    """
    shown: dict[str, OrderReport] = {}
    left = tuple(wanted)
    tries = 0
    while left and tries < TRIES_MAX:
        tries += 1
        found, missing = yield from ask_each(partial(_lookup, wanted=left))
        shown |= found
        left = tuple(order for order in left if order.client_order_id in missing)
    if left:
        raise BrokerDown(f"the broker does not say what it has of {len(left)} orders")
    return shown


def _lookup(broker: Broker, wanted: Sequence[Order]) -> dict[str, OrderReport]:
    return broker.lookup(wanted)


def _perhaps_sent(case: Case, now: datetime) -> Iterator[Order]:
    """At their legs' full amounts. An intent of this database may have been taken back since, and have left
    later for another amount.
    """
    assert case.plan is not None, "only planned runs have legs"
    meant = {order.leg: order.sent_at for order in case.orders if order.state is OrderState.SENDING}
    known = {order.leg for order in case.orders} | {skip.leg for skip in case.skips}
    for leg in case.plan.legs:
        if leg.number in meant or leg.number not in known:
            sent_at = meant.get(leg.number, now)
            yield intent(case.run, leg, plan=case.plan, notional=leg.notional, now=sent_at)


def _carried_out(turn: Turn, queued: Sequence[Case]) -> Effects[set[str]]:
    """The ids of queued runs of which the broker has an order: of any leg that they may have had."""
    if not queued:
        return set()
    mirror = yield from read(lambda tx: holdings.read(tx, turn.shard))
    rows = {account_id: row for row, account_id in enumerate(mirror.block.account_ids)}
    wanted: list[Order] = []
    for case in queued:
        row = rows.get(case.run.account_id)
        held = _PERHAPS_HELD if row is None else set(mirror.block.holdings(row).positions)
        wanted += [_of_any_leg(case, leg, now=turn.now) for leg in range(len({*case.weights.assets, *held}))]
    shown = yield from _looked_up(wanted)
    return {order.run_id for order in wanted if order.client_order_id in shown}


def _of_any_leg(case: Case, leg: int, *, now: datetime) -> Order:
    """An order to ask for; what it would be to do is not known."""
    run = case.run
    return Order(
        client_order_id=order_id(run.tenant_id, run.id, leg=leg, generation=0),
        run_id=run.id,
        leg=leg,
        generation=0,
        account_id=run.account_id,
        symbol="",
        side=Side.SELL,
        quantity=ZERO,
        notional=None,
        state=OrderState.SENDING,
        sent_at=now,
    )


def _store(tx: Tx, turn: Turn, forgotten: Sequence[_Found], *, carried_out: set[str]) -> None:
    """The forgotten intents with what became of them, and the end of what has been carried out."""
    for run_id in sorted(carried_out):
        runs.cancel_queued(tx, run_id, reason=CARRIED_OUT, now=turn.now)
    by_run: dict[str, list[_Found]] = {}
    for found in forgotten:
        by_run.setdefault(found.case.run.id, []).append(found)
    changes = [_with_orders(found) for found in by_run.values()]
    applied = runs.change(tx, changes, turn.now)
    ours = [found for found in forgotten if found.case.run.id in applied]
    intents = [_as_sent(found) for found in ours]
    orders.take_back(tx, turn.shard, [order.client_order_id for order in intents])
    orders.insert_intents(tx, turn.shard, epoch=turn.epoch, intents=intents)
    given_up = {found[0].case.run.id: _too_late(found) for found in by_run.values() if _has_bought(found)}
    orders.insert_skips(tx, turn.shard, {key: skips for key, skips in given_up.items() if key in applied})
    reports.store(tx, turn, [reports.said(turn, o, f.report) for o, f in zip(intents, ours, strict=True)])


def _with_orders(found: Sequence[_Found]) -> Change:
    state = RunState.BUYING if _has_bought(found) else RunState.SELLING
    return Change(run=found[0].case.run, state=state, more_orders=len(found))


def _has_bought(found: Sequence[_Found]) -> bool:
    in_it = found[0].case.run.state is RunState.BUYING
    return in_it or any(each.order.side is Side.BUY for each in found)


def _too_late(found: Sequence[_Found]) -> list[Skip]:
    """Sells of which the broker knows nothing although the buys have begun: they have been given up, or
    refused, and what became of them is forgotten.
    """
    case = found[0].case
    assert case.plan is not None, "only planned runs have legs"
    known = {order.leg for order in case.orders} | {given_up.leg for given_up in case.skips}
    known |= {each.order.leg for each in found}
    details = "restored from a backup: what became of this order is forgotten"
    return [
        skip(leg, SkipReason.FORGOTTEN, details=details) for leg in case.plan.sells if leg.number not in known
    ]


def _as_sent(found: _Found) -> Order:
    """The intent as it must have been: a buy may have been for less than its leg."""
    order, shown = found.order, found.report.notional
    if order.notional is None or shown is None or shown > order.notional:
        return order
    return replace(order, notional=shown)


def _end_overtaken(turn: Turn) -> Effects[None]:
    """End planned runs that have no order open, and whose account is not what they left, or will not be
    once the order of a later run has been executed: the broker went on without them, and is right.
    """
    planned = yield from read(partial(_planned, turn=turn))
    known = [order for case in planned for order in case.orders if order.state.may_change]
    if known and (yield from reports.learn(turn, known)):
        planned = yield from read(partial(_planned, turn=turn))
    if not planned:
        return
    ids = {case.run.account_id for case in planned}
    accounts = yield from ask(lambda broker: broker.accounts(ids))
    changes = [
        Change(run=case.run, state=RunState.CANCELED, stop=RunState.CANCELED, reason=OVERTAKEN)
        for case in planned
        if _is_overtaken(turn, case, accounts.get(case.run.account_id))
    ]
    turn.finished |= yield from turn.commit(lambda tx: runs.change(tx, changes, turn.now))


def _planned(tx: Tx, turn: Turn) -> list[Case]:
    cases = open_cases(tx, turn.shard, only=None, now=turn.now)
    return [case for case in cases if case.plan is not None]


def _is_overtaken(turn: Turn, case: Case, account: Account | None) -> bool:
    assert case.plan is not None, "only planned runs are"
    if account is None or any(order.state.is_open for order in case.orders):
        return False
    if account.working:
        # What a later run sent changes the account sooner or later; an order of this one is its own.
        ours = {_of_any_leg(case, leg.number, now=turn.now).client_order_id for leg in case.plan.legs}
        return not account.working <= ours
    before = traded(case.run, case.plan, orders=case.orders)
    return disagreement(before, account.holdings, overtaken=True) is not None
