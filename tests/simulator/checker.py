"""What must be true at the end of every life, whatever happened in it.

The checker asks nobody but the simulated broker's books and the tables; what an order id is made of and
which state may follow which it says again by itself, and it imports nothing of the engine. After its own
rules come those of `trimtab audit`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from uuid import UUID, uuid5

from tests.audit.facts import Fact
from trimtab.audit.check import audit
from trimtab.audit.ledger import Ledger
from trimtab.audit.report import Verdict
from trimtab.core.plan import Holdings
from trimtab.store.evidence import Evidence, StoredOrder

ORDER_NAMESPACE = UUID("6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21")
FINAL = frozenset({"COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"})
NEXT: Mapping[str, str] = {
    "": "QUEUED",
    "QUEUED": "PLANNED CANCELED FAILED",
    "PLANNED": "SELLING BUYING COMPLETED CANCELED FAILED TIMED_OUT",
    "SELLING": "BUYING COMPLETED CANCELED FAILED TIMED_OUT",
    "BUYING": "COMPLETED CANCELED FAILED TIMED_OUT",
}
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A freeze as it was promised: in force from its commit until it was lifted; None covers all."""

    account_id: str | None
    symbol: str | None
    begins_at: datetime
    ends_at: datetime

    def covers(self, order: StoredOrder, at: datetime) -> bool:
        within = self.begins_at < at < self.ends_at
        return within and self.account_id in {None, order.account_id} and self.symbol in {None, order.symbol}


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Both sides at the end of a life, and what was promised meanwhile.

    `sent_at` are the times of the last intents by client order id. `surfaces`: whether orders could reach
    the broker after they had been given up. `told` and `happened` are the changes of runs in the feed and
    in the tables, by account. `forgotten` are orders that left in a time that a restored database knows
    nothing of; `frozen` are accounts that a person must look at.
    """

    facts: Sequence[Fact]
    balances: Mapping[str, Holdings]
    evidence: Evidence
    sent_at: Mapping[str, datetime]
    held: Mapping[str, str]
    stops: Sequence[Stop]
    asked: Sequence[str]
    canceled: Sequence[str]
    told: Mapping[str, Sequence[tuple[str, str]]]
    happened: Mapping[str, Sequence[tuple[str, str]]]
    drops_duplicates: bool
    surfaces: bool
    frozen: Mapping[str, str] = field(default_factory=dict)
    forgotten: frozenset[str] = frozenset()
    is_restored: bool = False

    @cached_property
    def orders(self) -> dict[str, StoredOrder]:
        return {order.client_order_id: order for order in self.evidence.orders}

    @cached_property
    def touched(self) -> set[str]:
        """The accounts in which somebody has traded past us."""
        return {fact.account_id for fact in self.of("executed") if fact.client_order_id is None}

    @cached_property
    def overfilled(self) -> dict[str, datetime]:
        """The accounts in which the broker has executed more than was ordered, and since when."""
        ordered = {fact.client_order_id: fact for fact in self.of("accepted")}
        done: dict[str | None, tuple[Decimal, Decimal]] = defaultdict(lambda: (ZERO, ZERO))
        since: dict[str | None, datetime] = {}
        for fact in self.of("executed"):
            key, quantity = fact.client_order_id, fact.quantity or ZERO
            shares, dollars = done[key]
            done[key] = (shares + quantity, dollars + quantity * (fact.price or ZERO))
            if key not in ordered or not _is_too_much(ordered[key], *done[key]):
                since.pop(key, None)
            else:
                since.setdefault(key, fact.at)
        latest_first = sorted(since.items(), key=lambda each: each[1], reverse=True)
        return {ordered[key].account_id: at for key, at in latest_first}

    @cached_property
    def surprised(self) -> set[str]:
        """The accounts in which the broker has executed what it had canceled, or has taken back what somebody
        may have sold on by hand.
        """
        taken_back = {fact.account_id for fact in self.of("executed") if (fact.quantity or ZERO) < 0}
        by_hand = {fact.account_id for fact in self.of("executed") if fact.client_order_id is None}
        canceled = {fact.client_order_id: fact.seq for fact in self.of("canceled")}
        return (taken_back & by_hand) | {
            fact.account_id
            for fact in self.of("executed")
            if fact.seq > canceled.get(fact.client_order_id, fact.seq)
        }

    def of(self, *kinds: str) -> Iterator[Fact]:
        return (fact for fact in self.facts if fact.kind in kinds)


def _is_too_much(ordered: Fact, shares: Decimal, dollars: Decimal) -> bool:
    """More shares than ordered, or more dollars by a hundredth and a cent."""
    if ordered.quantity is not None:
        return shares > ordered.quantity
    return dollars > (ordered.notional or ZERO) * Decimal("1.01") + Decimal("0.01")


def nothing_is_ordered_twice(exhibit: Exhibit) -> Iterator[str]:
    orders = exhibit.orders
    legs: set[tuple[str, str, int]] = set()
    for fact in exhibit.of("accepted"):
        order = orders.get(fact.client_order_id or "")
        if order is not None:
            leg = (fact.account_id, order.run_id, order.leg)
            if leg in legs:
                yield f"run {order.run_id} leg {order.leg} of {fact.account_id}"
            legs.add(leg)
    accepted = [fact.client_order_id for fact in exhibit.of("accepted")]
    yield from (str(key) for key in sorted(filter(None, {k for k in accepted if accepted.count(k) > 1})))


def what_is_ordered_was_meant(exhibit: Exhibit) -> Iterator[str]:
    orders = exhibit.orders
    for fact in exhibit.of("accepted"):
        order = orders.get(fact.client_order_id or "")
        if order is None:
            if fact.client_order_id not in exhibit.forgotten:
                yield f"nobody meant {fact.client_order_id}"
            continue
        theirs = (fact.account_id, fact.symbol, fact.side, fact.quantity, fact.notional)
        ours = (order.account_id, order.symbol, order.side, order.quantity, order.notional)
        if theirs != ours:
            yield f"{ours} was meant, {theirs} was ordered"
        if order.intent_at > fact.at and order.client_order_id not in exhibit.forgotten:
            yield f"{fact.client_order_id} was ordered before it was meant"


def ids_name_legs(exhibit: Exhibit) -> Iterator[str]:
    tenants = {run.id: run.tenant_id for run in exhibit.evidence.runs}
    for order in exhibit.evidence.orders:
        meant = f"{tenants.get(order.run_id)}:{order.run_id}:{order.leg}:{order.generation}"
        if order.client_order_id != str(uuid5(ORDER_NAMESPACE, meant)):
            yield f"{order.client_order_id} of {meant}"


def sells_end_before_buys_begin(exhibit: Exhibit) -> Iterator[str]:
    if exhibit.surfaces:
        return
    orders = exhibit.orders
    working: dict[str, set[str]] = defaultdict(set)
    buying: set[str] = set()
    for fact in exhibit.facts:
        order = orders.get(fact.client_order_id or "")
        if order is None:
            continue
        run_id, key = order.run_id, order.client_order_id
        if fact.kind == "accepted" and fact.side == "sell":
            if run_id in buying:
                yield f"run {run_id} sells after it has begun to buy"
            working[run_id].add(key)
        elif fact.kind == "accepted":
            if working[run_id]:
                yield f"run {run_id} buys while {len(working[run_id])} sells are working"
            buying.add(run_id)
        elif fact.kind in {"canceled", "rejected"} or _sold(fact, order, exhibit):
            working[run_id].discard(key)


def _sold(fact: Fact, order: StoredOrder, exhibit: Exhibit) -> bool:
    """Whether the sell is sold in full with this execution."""
    if fact.kind != "executed" or order.quantity is None:
        return False
    parts = (f for f in exhibit.of("executed") if f.client_order_id == order.client_order_id)
    return sum((f.quantity or ZERO for f in parts if f.seq <= fact.seq), ZERO) >= order.quantity


def nobody_owes(exhibit: Exhibit) -> Iterator[str]:
    """What is sold again in the belief that it was not sold is owed: the broker said so."""
    surprised = exhibit.surprised
    cash: dict[str, Decimal] = defaultdict(lambda: ZERO)
    held: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for fact in exhibit.facts:
        cash[fact.account_id] += fact.amount or ZERO
        if cash[fact.account_id] < 0 and fact.account_id not in surprised:
            yield f"{fact.account_id} has ${cash[fact.account_id]} after entry {fact.seq}"
        if fact.kind in {"seeded", "executed"} and fact.symbol is not None:
            sign = -1 if fact.side == "sell" else 1
            held[fact.account_id, fact.symbol] += sign * (fact.quantity or ZERO)
            if held[fact.account_id, fact.symbol] < 0 and fact.account_id not in surprised:
                yield f"{fact.account_id} is short of {fact.symbol} after entry {fact.seq}"
    for account_id, balance in exhibit.balances.items():
        shares = {s: q for (account, s), q in held.items() if account == account_id and q}
        if (cash[account_id], shares) != (balance.cash, dict(balance.positions)):
            yield f"{account_id} has {balance}, its entries make it {cash[account_id]} and {shares}"


def fills_are_known_once(exhibit: Exhibit) -> Iterator[str]:
    """What was executed for a run that has ended is known, each execution once."""
    open_accounts = {run.account_id for run in exhibit.evidence.runs if run.state not in FINAL}
    theirs = {
        f.execution_id: (f.client_order_id, f.quantity, f.price)
        for f in exhibit.of("executed")
        if f.client_order_id is not None
    }
    ours = {e.execution_id: (e.client_order_id, e.quantity, e.price) for e in exhibit.evidence.executions}
    accounts = {order.client_order_id: order.account_id for order in exhibit.evidence.orders}
    for execution_id in sorted(theirs.keys() | ours.keys(), key=str):
        theirs_is, ours_is = theirs.get(execution_id), ours.get(str(execution_id))
        key = (theirs_is or ours_is or ("",))[0]
        account_id = accounts.get(str(key))
        unknown = account_id in open_accounts or (account_id is None and key in exhibit.forgotten)
        if theirs_is != ours_is and not (ours_is is None and unknown):
            yield f"{execution_id} is {theirs_is} there and {ours_is} here"
    filled: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for execution in exhibit.evidence.executions:
        filled[execution.client_order_id] += execution.quantity
    for order in exhibit.evidence.orders:
        if order.filled_quantity != filled[order.client_order_id]:
            yield f"{order.client_order_id} says {order.filled_quantity}, not {filled[order.client_order_id]}"


def states_follow_the_table(exhibit: Exhibit) -> Iterator[str]:
    last: dict[str, str] = defaultdict(str)
    for event in exhibit.evidence.events:
        if event.state not in NEXT.get(last[event.run_id], "").split():
            yield f"run {event.run_id} went from {last[event.run_id] or 'nothing'} to {event.state}"
        last[event.run_id] = event.state
    for run in exhibit.evidence.runs:
        if run.state == "FAILED":
            yield f"run {run.id} failed, and nobody foresaw why"
        if run.state != last[run.id]:
            yield f"run {run.id} is {run.state}, its last event says {last[run.id]}"


def fates_are_the_brokers(exhibit: Exhibit) -> Iterator[str]:
    """What we say an order has become is what it has become."""
    live: dict[str, str] = {}
    for fact in exhibit.of("accepted", "canceled", "rejected"):
        live[fact.client_order_id or ""] = fact.kind
    final = {run.id for run in exhibit.evidence.runs if run.state in FINAL}
    for order in exhibit.evidence.orders:
        there = live.get(order.client_order_id, "nowhere")
        wrong = {
            "SENDING": order.run_id in final,
            "OPEN": order.run_id in final,
            "FILLED": there == "nowhere",
            "CANCELED": there != "canceled",
            "REFUSED": there not in {"rejected", "nowhere"},
            "ABANDONED": there != "nowhere" and order.account_id not in exhibit.held,
        }
        if wrong[order.state]:
            yield f"{order.client_order_id} is {order.state} here and {there} there"


def promises_are_kept(exhibit: Exhibit) -> Iterator[str]:
    states = {run.id: run.state for run in exhibit.evidence.runs}
    yield from (f"run {run_id} is lost" for run_id in exhibit.asked if run_id not in states)
    for run_id in exhibit.canceled:
        if states.get(run_id, "CANCELED") != "CANCELED":
            yield f"run {run_id} was cancelled and is {states[run_id]}"


def every_run_ends(exhibit: Exhibit) -> Iterator[str]:
    for run in exhibit.evidence.runs:
        if run.state not in FINAL and run.account_id not in {*exhibit.held, *exhibit.frozen}:
            yield f"run {run.id} is {run.state}"


def nothing_is_meant_under_a_freeze(exhibit: Exhibit) -> Iterator[str]:
    # What was adopted has the time of its adoption.
    for order in (each for each in exhibit.evidence.orders if each.client_order_id not in exhibit.forgotten):
        at = exhibit.sent_at[order.client_order_id]
        yield from (
            f"{order.client_order_id} was meant at {at} under a freeze since {stop.begins_at}"
            for stop in exhibit.stops
            if stop.covers(order, at)
        )


def accounts_are_held_while_in_doubt(exhibit: Exhibit) -> Iterator[str]:
    """Held is an account with an order of which nobody can know whether it will surface, and no other. The
    run of one that waits for a person has not come to its end.
    """
    accepted = {fact.client_order_id for fact in exhibit.of("accepted")}
    lost = {
        order.account_id
        for order in exhibit.evidence.orders
        if order.state == "ABANDONED" and order.client_order_id not in accepted
    }
    doubtful = set() if exhibit.drops_duplicates else lost
    at_work = {run.account_id for run in exhibit.evidence.runs if run.state not in FINAL}
    waiting = at_work & exhibit.frozen.keys()
    yield from (
        f"{account_id} is not held" for account_id in sorted(doubtful - exhibit.held.keys() - waiting)
    )
    if exhibit.is_restored:
        # What happened in the time that was forgotten may leave more in doubt.
        return
    odd = {*exhibit.touched, *exhibit.surprised, *exhibit.overfilled}
    yield from (
        f"{account_id} is held: {exhibit.held[account_id]}"
        for account_id in sorted(exhibit.held.keys() - doubtful - odd)
    )


def too_much_freezes(exhibit: Exhibit) -> Iterator[str]:
    """An account in which too much was executed waits for a person, and no other does. A person who thaws an
    account has looked.
    """
    overfilled = exhibit.overfilled
    thawed = {
        stop.account_id
        for stop in exhibit.stops
        if stop.symbol is None
        and stop.account_id in overfilled
        and stop.ends_at > overfilled[stop.account_id]
    }
    yield from (
        f"{account_id} is not frozen"
        for account_id in sorted(overfilled.keys() - exhibit.frozen.keys() - thawed)
    )
    frozen = exhibit.frozen.keys() - overfilled.keys()
    yield from (f"{account_id} is frozen: {exhibit.frozen[account_id]}" for account_id in sorted(frozen))


def the_feed_tells_what_happened(exhibit: Exhibit) -> Iterator[str]:
    for account_id in sorted(exhibit.told.keys() | exhibit.happened.keys()):
        told, happened = exhibit.told.get(account_id, ()), exhibit.happened.get(account_id, ())
        if list(told) != list(happened):
            yield f"{account_id}: {happened} happened, {told} was told"


RULES: Mapping[str, Callable[[Exhibit], Iterator[str]]] = {
    "no order twice": nothing_is_ordered_twice,
    "nothing without an intent": what_is_ordered_was_meant,
    "ids name legs": ids_name_legs,
    "sells before buys": sells_end_before_buys_begin,
    "nobody owes": nobody_owes,
    "fills once": fills_are_known_once,
    "legal states": states_follow_the_table,
    "true fates": fates_are_the_brokers,
    "promises": promises_are_kept,
    "every run ends": every_run_ends,
    "kill switch": nothing_is_meant_under_a_freeze,
    "held while in doubt": accounts_are_held_while_in_doubt,
    "too much": too_much_freezes,
    "the feed": the_feed_tells_what_happened,
}
"""Every rule by its name; the name of the first that is broken is what a life failed for."""


def broken(exhibit: Exhibit) -> Iterator[tuple[str, str]]:
    """Each broken rule with its first witness."""
    for name, rule in RULES.items():
        witness = next(rule(exhibit), None)
        if witness is not None:
            yield name, witness
    report = audit(exhibit.evidence, Ledger(entries=exhibit.facts, balances=exhibit.balances))
    for finding in report.findings:
        # A sell that surfaces after it was given up ends after the buys; the audit knows that too much was
        # executed, and not whose fault it is.
        excused = {"I11"} if exhibit.surfaces else set()
        excused |= {"I9", "I12"} if exhibit.overfilled else set()
        excused |= {"I8"} if exhibit.surprised else set()
        if finding.verdict is Verdict.FAILED and finding.id not in excused:
            yield finding.id, finding.witnesses[0]
