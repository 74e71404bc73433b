"""What must be true of how a life was lived: what every plan, order and cancel was allowed to be at its time.

The checker's rules look at the end of a life; these look at its moments, and need what only the simulated
world has seen: every sending, every price, what was asked to be cancelled, which faults there were. Where a
fault explains what would otherwise be wrong, the rule steps aside for lives with that fault.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from tests.audit.facts import Fact
from tests.simulator.weather import ODD, QUARANTINE_S, UNSTEADY
from tests.simulator.witness import ZERO, Conduct

CENT = Decimal("0.01")
MINUTE = timedelta(seconds=60)
# A worker looks at working orders every five seconds, and its driver every second.
LOOKED_WITHIN = timedelta(seconds=1)
CANCELED_WITHIN = timedelta(seconds=12)
# As long as any worker pauses or any account is shown as it was.
STALE_AT_MOST = timedelta(seconds=60)


def plans_start_from_what_is_there(conduct: Conduct) -> Iterator[str]:
    """A plan knows all that was traded before it, and all of the cash where none came or went."""
    if conduct.surfaces or conduct.faults & ODD:
        return
    moved = {fact.account_id for fact in conduct.facts if fact.kind == "transfer"}
    for plan in conduct.evidence.plans:
        run = next(run for run in conduct.evidence.runs if run.id == plan.run_id)
        before = [f for f in conduct.facts if f.account_id == run.account_id and f.at <= plan.planned_at]
        cash = sum((fact.amount or ZERO for fact in before), ZERO)
        shown = json.loads(plan.body)["holdings"]
        known = {symbol: Decimal(quantity) for symbol, quantity in shown["positions"].items()}
        there = _positions(before, run.account_id, until=plan.planned_at)
        if known != there:
            yield f"run {run.id} was planned from {known}, the account has {there}"
        # What is within fees and rounding is not told from them.
        traded = [f for f in before if f.kind == "executed"]
        rounding = sum((abs(f.amount or ZERO) / 1000 + Decimal("0.01") for f in traded), ZERO)
        if run.account_id not in moved and abs(Decimal(shown["cash"]) - cash) > rounding:
            yield f"run {run.id} was planned from ${shown['cash']}, the account has ${cash}"


def nobody_plans_beside_a_working_order(conduct: Conduct) -> Iterator[str]:
    """While an order of the account is open at the broker, whoever sent it, no plan is made."""
    if "account late" in conduct.faults:
        return
    looked_within = STALE_AT_MOST if conduct.faults & UNSTEADY else LOOKED_WITHIN
    spans: dict[str, tuple[str, datetime, datetime]] = {}
    for fact in conduct.facts:
        key = fact.client_order_id
        if key is not None and fact.kind == "accepted":
            spans.setdefault(key, (fact.account_id, fact.at, fact.at))
        elif key is not None and key in spans:
            spans[key] = (*spans[key][:2], fact.at)
    accounts = {run.id: run.account_id for run in conduct.evidence.runs}
    for plan in conduct.evidence.plans:
        for key, (account_id, since, until) in spans.items():
            works = since < plan.planned_at and plan.planned_at + looked_within < until
            if works and account_id == accounts[plan.run_id]:
                yield f"run {plan.run_id} was planned at {plan.planned_at}, {key} worked until {until}"


def runs_spend_their_own(conduct: Conduct) -> Iterator[str]:
    """Buys take executed proceeds and the cash that the plan left free, and no more. What was cut short, or
    is proven never to have been an order, gives back what it did not spend.
    """
    if conduct.faults & ODD:
        return
    plans, filled = conduct.plans, conduct.filled()
    for run_id, orders in conduct.of_runs().items():
        plan = plans[run_id]
        sold = sum((filled.get(o.client_order_id, (ZERO, ZERO))[1] for o in orders if o.side == "sell"), ZERO)
        gone = {"CANCELED", "REFUSED"} | ({"ABANDONED"} if conduct.drops_duplicates else set())
        meant = sum(
            (
                filled.get(o.client_order_id, (ZERO, ZERO))[1] if o.state in gone else o.notional or ZERO
                for o in orders
                if o.side == "buy"
            ),
            ZERO,
        )
        free = max(Decimal(plan["holdings"]["cash"]) - Decimal(plan["reserve"]) + sold, ZERO)
        if meant > free:
            yield f"run {run_id} buys for ${meant}, and has ${free}"


def nothing_is_ordered_that_cannot_be_paid(conduct: Conduct) -> Iterator[str]:
    """The broker refuses no order for want of cash or shares, unless cash has just gone elsewhere."""
    if conduct.surfaces or conduct.faults & ODD:
        return
    late = conduct.faults & (UNSTEADY | {"account late", "cash late", "request late"})
    for sending in conduct.sendings:
        order = conduct.orders.get(sending.client_order_id)
        if not sending.outcome.startswith("insufficient") or order is None:
            continue
        # What is sent again has the body of the first time.
        since = order.intent_at - (STALE_AT_MOST if late else timedelta(seconds=1))
        gone = [
            fact
            for fact in conduct.facts
            if fact.kind == "transfer"
            and fact.account_id == order.account_id
            and since <= fact.at
            and (fact.amount or ZERO) < 0
        ]
        if not gone:
            yield f"{order.side} of {order.symbol} for {order.account_id}: {sending.outcome}"


def caps_hold(conduct: Conduct) -> Iterator[str]:
    """I15: no order, no run and no minute has more than the installation allows."""
    caps = conduct.caps
    by_run: dict[str, set[str]] = defaultdict(set)
    for sending in conduct.sendings:
        order = conduct.orders.get(sending.client_order_id)
        if order is None:
            continue
        by_run[order.run_id].add(order.client_order_id)
        since = sending.sent_at - caps.price_age_max
        prices = [
            p for p in conduct.price_range(order.symbol, since=since, until=sending.sent_at) if p is not None
        ]
        value = order.notional or (order.quantity or ZERO) * min(prices, default=ZERO)
        if caps.order_max is not None and value > caps.order_max:
            yield f"{order.client_order_id} is worth ${value}"
    for run_id, ids in by_run.items():
        if caps.run_orders_max is not None and len(ids) > caps.run_orders_max:
            yield f"run {run_id} sent {len(ids)} orders"
    if "restore" in conduct.faults:
        # An old copy has forgotten what it sent in this minute.
        return
    times = sorted(s.sent_at for s in conduct.sendings if s.outcome != "NotSent")
    for at in times:
        sent = sum(at <= other < at + MINUTE for other in times)
        if caps.minute_orders_max is not None and sent > caps.minute_orders_max:
            yield f"{sent} orders left in the minute from {at}"


def prices_are_those_of_the_plan(conduct: Conduct) -> Iterator[str]:
    """The collar: when an order is meant, some price that is young enough is near the plan's."""
    plans, caps = conduct.plans, conduct.caps
    planned_at = {plan.run_id: plan.planned_at for plan in conduct.evidence.plans}
    for sending in conduct.sendings:
        order = conduct.orders.get(sending.client_order_id)
        if order is None:
            continue
        if "restore" in conduct.faults and sending.sent_at < planned_at[order.run_id]:
            # By a plan that is forgotten; the run was planned anew.
            continue
        planned = Decimal(plans[order.run_id]["prices"][order.symbol])
        since = sending.sent_at - caps.price_age_max
        had = conduct.price_range(order.symbol, since=since, until=sending.sent_at)
        if had and all(p is None or 100 * abs(p - planned) > caps.collar_percent * planned for p in had):
            yield f"{order.client_order_id} was planned at ${planned}, and cost {had} since {since}"


def slots_have_one_run(conduct: Conduct) -> Iterator[str]:
    """I13: what makes a run by itself makes one of each slot."""
    taken: set[tuple[str, str]] = set()
    for run in conduct.evidence.runs:
        if run.initiator != "system":
            continue
        if run.slot is None:
            yield f"run {run.id} has no slot"
            continue
        if (run.account_id, run.slot) in taken:
            yield f"run {run.id} is the second of {run.slot}"
        taken.add((run.account_id, run.slot))


def what_has_not_left_is_no_doubt(conduct: Conduct) -> Iterator[str]:
    """An order that never left is forgotten, not given up; unless another worker has taken over meanwhile,
    who cannot know.
    """
    if conduct.workers > 1 or conduct.faults & (UNSTEADY | ODD):
        return
    outcomes: dict[str, set[str]] = defaultdict(set)
    for sending in conduct.sendings:
        outcomes[sending.client_order_id].add(sending.outcome)
    for order in conduct.evidence.orders:
        if outcomes[order.client_order_id] == {"NotSent"} and order.state != "SENDING":
            yield f"{order.client_order_id} has not left and is {order.state}"


def nothing_is_given_up_without_need(conduct: Conduct) -> Iterator[str]:
    """Where duplicates are dropped, what is not there is sent again unless something forbids it."""
    forbids = {"freeze", "meanwhile", "price moves", "price gone", "split", "restore"}
    if not conduct.drops_duplicates or conduct.faults & forbids:
        return
    states = {run.id: run.state for run in conduct.evidence.runs}
    for order in conduct.evidence.orders:
        if order.state == "ABANDONED" and states[order.run_id] == "COMPLETED":
            yield f"{order.client_order_id} was given up"


def filled_is_filled(conduct: Conduct) -> Iterator[str]:
    """What is called filled was executed in full: to the last part of a share that its dollars buy."""
    if conduct.faults & ODD:
        return
    filled = conduct.filled()
    for order in conduct.evidence.orders:
        if order.state != "FILLED":
            continue
        shares, dollars = filled.get(order.client_order_id, (ZERO, ZERO))
        left = order.quantity - shares if order.quantity is not None else (order.notional or ZERO) - dollars
        if left > (ZERO if order.quantity is not None else CENT):
            yield f"{order.client_order_id} is FILLED, and {left} of it is not"


def orders_are_counted(conduct: Conduct) -> Iterator[str]:
    orders = conduct.of_runs()
    for run_id, counted in conduct.counted.items():
        if counted != len(orders.get(run_id, ())):
            yield f"run {run_id} says that it sent {counted} orders, it sent {len(orders.get(run_id, ()))}"


def raised_cash_stays(conduct: Conduct) -> Iterator[str]:
    """What was raised is in the reserve of every later plan, until a client wants it invested again."""
    if conduct.surfaces or conduct.faults & ODD:
        return
    paid = {f.account_id for f in conduct.facts if f.kind == "transfer" and (f.amount or ZERO) < 0}
    plans, orders = conduct.plans, conduct.of_runs()
    aside: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for run in conduct.evidence.runs:
        plan = plans.get(run.id)
        if plan is None or run.account_id in paid:
            continue
        if run.initiator == "api" and run.kind == "full_rebalance":
            aside[run.account_id] = ZERO
        wanted = min(aside[run.account_id], Decimal(plan["holdings"]["cash"]))
        if Decimal(plan["reserve"]) < wanted:
            yield f"run {run.id} reserves ${plan['reserve']}, ${wanted} were set aside"
        if run.kind == "partial_liquidation" and run.finished_at is not None:
            sold = sum((o.filled_value for o in orders.get(run.id, ())), ZERO)
            aside[run.account_id] += min(sold, conduct.amounts[run.id])


def what_is_stopped_is_cancelled(conduct: Conduct) -> Iterator[str]:
    """The kill switch reaches what works at the broker, where nothing keeps it from being heard."""
    if conduct.faults & (UNSTEADY | ODD):
        return
    filled = conduct.filled()
    ended: dict[str, datetime] = {}
    for fact in conduct.facts:
        key = fact.client_order_id or ""
        order = conduct.orders.get(key)
        if order is None or fact.kind not in {"canceled", "rejected", "executed"}:
            continue
        shares = filled.get(key, (ZERO, ZERO))[0]
        if fact.kind != "executed" or order.quantity is None or shares >= order.quantity:
            ended[key] = fact.at
    for fact in conduct.facts:
        order = conduct.orders.get(fact.client_order_id or "")
        if fact.kind != "accepted" or order is None:
            continue
        for account_id, begins_at, ends_at in conduct.stops:
            late = max(begins_at, fact.at) + CANCELED_WITHIN
            concerned = account_id in {None, order.account_id} and late < ends_at
            works = ended.get(order.client_order_id, late) >= late
            if concerned and works and conduct.cancels.get(order.client_order_id, ends_at) > late:
                yield f"{order.client_order_id} works on under a freeze since {begins_at}"


def nobody_who_paused_is_rebalanced(conduct: Conduct) -> Iterator[str]:
    for run in conduct.evidence.runs:
        yield from (
            f"run {run.id} was made at {run.created_at}, paused since {since}"
            for enrollment_id, since, until in conduct.paused
            if run.initiator == "system"
            and run.enrollment_id == enrollment_id
            and since < run.created_at < until
        )


def what_may_have_left_is_kept(conduct: Conduct) -> Iterator[str]:
    """No intent is forgotten, or made anew, once its order may be at the broker."""
    if "restore" in conduct.faults:
        return
    for sending in conduct.sendings:
        order = conduct.orders.get(sending.client_order_id)
        if sending.outcome != "NotSent" and (order is None or order.intent_at > sending.sent_at):
            yield f"{sending.client_order_id} was sent at {sending.sent_at} and then forgotten"


def what_may_surface_is_not_sent_again(conduct: Conduct) -> Iterator[str]:
    """The same order leaves again only where duplicates are dropped, and by an intent that is younger by
    the quarantine.
    """
    if "restore" in conduct.faults:
        return
    intents: dict[str, set[datetime]] = defaultdict(set)
    for sending in conduct.sendings:
        if sending.outcome != "NotSent":
            intents[sending.client_order_id].add(sending.sent_at)
    for key, times in intents.items():
        if len(times) > 1 and not conduct.drops_duplicates:
            yield f"{key} was meant to leave {len(times)} times"
        for before, after in pairwise(sorted(times)):
            if after - before < timedelta(seconds=QUARANTINE_S):
                yield f"{key} was meant to leave at {before}, and again at {after}"


def nothing_is_meant_after_a_cancel(conduct: Conduct) -> Iterator[str]:
    """Once a client was told that a run is cancelled, it gets no more orders."""
    if "restore" in conduct.faults:
        return
    for order in conduct.evidence.orders:
        canceled_at = conduct.canceled.get(order.run_id)
        if canceled_at is not None and order.intent_at > canceled_at:
            yield f"{order.client_order_id} was meant at {order.intent_at}, cancelled at {canceled_at}"


def nothing_is_meant_after_the_deadline(conduct: Conduct) -> Iterator[str]:
    """Once the market has closed on a run, it gets no more orders."""
    if "restore" in conduct.faults:
        # What was adopted has the time of its adoption.
        return
    for order in conduct.evidence.orders:
        deadline_at = conduct.deadlines.get(order.run_id)
        if deadline_at is not None and order.intent_at >= deadline_at:
            yield f"{order.client_order_id} was meant at {order.intent_at}, the deadline was {deadline_at}"


def runs_end_after_their_orders(conduct: Conduct) -> Iterator[str]:
    """Nothing happens at the broker to an order whose run is over."""
    if conduct.surfaces or conduct.faults & ODD:
        return
    ended = {run.id: run.finished_at for run in conduct.evidence.runs}
    for fact in conduct.facts:
        order = conduct.orders.get(fact.client_order_id or "")
        over_at = None if order is None else ended[order.run_id]
        if order is not None and over_at is not None and fact.at > over_at:
            yield f"{order.client_order_id} was {fact.kind} at {fact.at}, its run was over at {over_at}"


def runs_end_when_their_account_shows_it(conduct: Conduct) -> Iterator[str]:
    """A run that has traded is complete when the broker has shown its trades in the account, or has had a
    minute for it.
    """
    if conduct.surfaces or conduct.faults & (UNSTEADY | ODD):
        return
    orders = conduct.orders
    for run in conduct.evidence.runs:
        trades = [
            fact
            for fact in conduct.facts
            if fact.kind == "executed" and orders[fact.client_order_id or ""].run_id == run.id
        ]
        if run.state != "COMPLETED" or run.finished_at is None or not trades:
            continue
        ended_at = run.finished_at + LOOKED_WITHIN
        if run.finished_at - trades[-1].at >= MINUTE:
            continue
        held = _positions(conduct.facts, run.account_id, until=trades[-1].at)
        looks = (
            positions
            for at, account_id, positions in conduct.looks
            if account_id == run.account_id and trades[-1].at <= at <= ended_at
        )
        if held not in looks:
            yield f"run {run.id} ended at {run.finished_at}, nobody had seen {held} by then"


def _positions(facts: Sequence[Fact], account_id: str, *, until: datetime) -> dict[str, Decimal]:
    held: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for fact in facts:
        if fact.account_id == account_id and fact.at <= until and fact.kind in {"seeded", "executed"}:
            held[fact.symbol or ""] += (-1 if fact.side == "sell" else 1) * (fact.quantity or ZERO)
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


RULES = {
    "plans know": plans_start_from_what_is_there,
    "alone": nobody_plans_beside_a_working_order,
    "their own money": runs_spend_their_own,
    "can be paid": nothing_is_ordered_that_cannot_be_paid,
    "caps": caps_hold,
    "collar": prices_are_those_of_the_plan,
    "slots": slots_have_one_run,
    "has not left": what_has_not_left_is_no_doubt,
    "given up": nothing_is_given_up_without_need,
    "filled": filled_is_filled,
    "counted": orders_are_counted,
    "set aside": raised_cash_stays,
    "canceled in time": what_is_stopped_is_cancelled,
    "may have left": what_may_have_left_is_kept,
    "sent again": what_may_surface_is_not_sent_again,
    "after a cancel": nothing_is_meant_after_a_cancel,
    "after the deadline": nothing_is_meant_after_the_deadline,
    "over": runs_end_after_their_orders,
    "shown": runs_end_when_their_account_shows_it,
    "paused": nobody_who_paused_is_rebalanced,
}
"""Every rule by its name."""


def misconduct(conduct: Conduct) -> Iterator[tuple[str, str]]:
    """Each broken rule with its first witness."""
    for name, rule in RULES.items():
        witness = next(rule(conduct), None)
        if witness is not None:
            yield name, witness
