"""Orders: none twice, none unknown, none lost, none filled twice, sells before buys.

I1, I2, I3, I9 and I11. Each check takes what it looks at and a Tally, which it tells how much it has
seen and what is broken.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from uuid import UUID, uuid5

from trimtab.audit.archive import ACCEPTED_ORDER_STATES, LIVE_ORDER_STATES, Archive, Dossier
from trimtab.audit.comparison import Comparison
from trimtab.audit.ledger import BrokerOrder
from trimtab.audit.plan_body import PlanBody, PlannedLeg
from trimtab.audit.tally import Tally
from trimtab.core.money import ZERO, plain
from trimtab.store.evidence import StoredOrder

# Stated again and not imported: an id that changed its making would order everything anew.
ORDER_NAMESPACE = UUID("6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21")
# What a real broker may spend of an order for one dollar: it sizes it in shares at one price, rounds them,
# and executes them at another price, a moment later. Beyond that the account is frozen (ADR 0012).
OVERSPENT = Decimal("1.01")
CENT = Decimal("0.01")


def name(order: StoredOrder) -> str:
    generation = f" generation {order.generation}" if order.generation else ""
    return f"order {order.client_order_id} (run {order.run_id} leg {order.leg}{generation})"


def amount_of(quantity: Decimal | None, notional: Decimal | None) -> str:
    shares = "" if quantity is None else f"{plain(quantity)} shares"
    dollars = "" if notional is None else f"${plain(notional)}"
    return " and ".join(filter(None, (shares, dollars))) or "nothing"


def ids_follow_from_legs(dossier: Dossier, tally: Tally) -> None:
    """I1: whoever plans the same leg again names the same order."""
    for order in dossier.orders:
        tally.checked += 1
        intent = f"{dossier.run.tenant_id}:{order.run_id}:{order.leg}:{order.generation}"
        expected = str(uuid5(ORDER_NAMESPACE, intent))
        if order.client_order_id != expected:
            tally.fail(f"{name(order)} must have the id {expected}")


def legs_are_ordered_once(dossier: Dossier, tally: Tally) -> None:
    """I1: one live order per leg, and all generations together within the plan."""
    legs: dict[int, list[StoredOrder]] = defaultdict(list)
    for order in dossier.orders:
        legs[order.leg].append(order)
    for leg, orders in legs.items():
        where = f"run {dossier.run.id} leg {leg}"
        live = [order.generation for order in orders if order.state in LIVE_ORDER_STATES]
        if len(live) > 1:
            tally.fail(f"{where}: generations {', '.join(map(str, live))} are live at once")
        planned = dossier.body and dossier.body.legs.get(leg)
        if planned:
            excess = _excess(planned, [order for order in orders if order.state in ACCEPTED_ORDER_STATES])
            if excess:
                tally.fail(f"{where}: {excess}")


def _excess(planned: PlannedLeg, accepted: Iterable[StoredOrder]) -> str | None:
    """How all generations of a leg together are more than what was planned."""
    shares, dollars = ZERO, ZERO
    for order in accepted:
        shares += order.quantity or ZERO
        dollars += order.notional or ZERO
    if shares <= (planned.quantity or ZERO) and dollars <= (planned.notional or ZERO):
        return None
    ordered = amount_of(shares or None, dollars or None)
    return f"{ordered} accepted, {amount_of(planned.quantity, planned.notional)} planned"


def orders_have_runs(archive: Archive, tally: Tally) -> None:
    """I1: an order without a run has no leg to be counted for."""
    for order in archive.evidence.orders:
        if order.run_id not in archive.runs:
            tally.fail(f"{name(order)} belongs to no run")


def broker_has_each_leg_once(both: Comparison, tally: Tally) -> None:
    """I1: counted at the broker by leg, not only by id."""
    legs: dict[tuple[str, str, int], str] = {}
    for found in both.orders.values():
        tally.checked += 1
        if found.repeats:
            tally.fail(f"order {found.client_order_id} was accepted {found.repeats + 1} times by the broker")
        order = both.archive.orders.get(found.client_order_id)
        if order is None:
            continue
        leg = (found.first.account_id, order.run_id, order.leg)
        other = legs.setdefault(leg, found.client_order_id)
        if other != found.client_order_id:
            tally.fail(
                f"the broker has two orders of account {leg[0]}, run {leg[1]}, leg {leg[2]}: "
                f"{other} and {found.client_order_id}"
            )


def orders_follow_the_plan(dossier: Dossier, tally: Tally) -> None:
    """I2: an intent is a leg of a plan that was stored before."""
    for order in dossier.orders:
        tally.checked += 1
        if order.account_id != dossier.run.account_id:
            tally.fail(f"{name(order)} is for account {order.account_id}, its run {dossier.run.account_id}")
        if dossier.plan is None:
            tally.fail(f"{name(order)} has no plan")
            continue
        if order.intent_at < dossier.plan.planned_at:
            tally.fail(f"{name(order)} was meant at {order.intent_at}, before its plan was stored")
        if dossier.body is None:
            continue
        why = _departure(order, dossier.body.legs.get(order.leg)) or _other_limits(order, dossier.body)
        if why:
            tally.fail(f"{name(order)} {why}")


def _departure(order: StoredOrder, leg: PlannedLeg | None) -> str | None:
    """How an order differs from the leg of its plan."""
    if leg is None:
        return "is of a leg that its plan does not have"
    if (order.symbol, order.side) != (leg.symbol, leg.side):
        return f"is to {order.side} {order.symbol}, its plan says {leg.side} {leg.symbol}"
    if order.quantity != leg.quantity or (order.notional is None) != (leg.notional is None):
        more = "its plan says"
    elif order.notional is not None and leg.notional is not None and order.notional > leg.notional:
        more = "more than its plan's"
    else:
        return None
    ordered, planned = amount_of(order.quantity, order.notional), amount_of(leg.quantity, leg.notional)
    return f"is to {order.side} {ordered}, {more} {planned}"


def _other_limits(order: StoredOrder, body: PlanBody) -> str | None:
    """How the limits of an order differ from those of its plan."""
    worst = None
    if body.slippage_bps is not None and order.symbol in body.prices:
        worse = body.slippage_bps if order.side == "buy" else -body.slippage_bps
        worst = max(body.prices[order.symbol] * (10_000 + worse) / 10_000, ZERO)
    if order.worst_price != worst:
        return f"may execute {_up_to(order.worst_price)}, its plan says {_up_to(worst)}"
    if order.impact_bps_max != body.impact_bps_max:
        return f"may move its price by {order.impact_bps_max} bps, its plan says {body.impact_bps_max}"
    return None


def _up_to(worst: Decimal | None) -> str:
    return "at any price" if worst is None else f"up to ${plain(worst)}"


def executions_keep_their_limit(archive: Archive, tally: Tally) -> None:
    """I2: nothing is executed at a price that was not meant to be accepted."""
    for order in archive.evidence.orders:
        if order.worst_price is None:
            continue
        for execution in archive.executions.get(order.client_order_id, ()):
            tally.checked += 1
            beyond = execution.price - order.worst_price
            if (beyond if order.side == "buy" else -beyond) > 0:
                tally.fail(
                    f"{name(order)} was executed at ${plain(execution.price)}, "
                    f"it allows {_up_to(order.worst_price)}"
                )


def broker_knows_only_intents(both: Comparison, tally: Tally) -> None:
    """I2: what the broker has was meant before it was sent, in every detail."""
    for found in both.orders.values():
        first = found.first
        # What is named after its account was sent by its owner, past Trimtab.
        if first.account_id in both.ledger.moving or _is_owners(found.client_order_id, first.account_id):
            continue
        tally.checked += 1
        order = both.archive.orders.get(found.client_order_id)
        forgotten = both.archive.is_forgotten(first.at)
        if order is None and forgotten:
            continue
        if order is None:
            tally.fail(
                f"order {found.client_order_id} ({first.side} {first.symbol}, account {first.account_id}) "
                "is at the broker and has no intent"
            )
            continue
        if order.intent_at > first.at and not forgotten:
            tally.fail(f"{name(order)} reached the broker at {first.at}, before its intent {order.intent_at}")
        theirs = (first.account_id, first.symbol, first.side, first.quantity, first.notional)
        ours = (order.account_id, order.symbol, order.side, order.quantity, order.notional)
        if found.accepted and theirs != ours:
            tally.fail(
                f"{name(order)} is at the broker with another body: account {first.account_id}, "
                f"{first.side} {first.symbol}, {amount_of(first.quantity, first.notional)}"
            )


def _is_owners(client_order_id: str, account_id: str) -> bool:
    return client_order_id.startswith(f"{account_id}:")


def fates_are_known_at_the_end(dossier: Dossier, tally: Tally) -> None:
    """I3: no run ends while an order's fate is unknown."""
    for order in dossier.orders:
        if order.state == "SENDING" and dossier.is_final:
            tally.fail(f"{name(order)} is SENDING, and its run is {dossier.run.state}")


def broker_confirms_fates(both: Comparison, tally: Tally) -> None:
    """I3: what was accepted is at the broker, and what is over is over there too."""
    for order in both.archive.evidence.orders:
        if order.account_id in both.ledger.moving:
            continue
        tally.checked += 1
        why = _contradiction(order, both.orders.get(order.client_order_id), archive=both.archive)
        if why:
            tally.fail(f"{name(order)} is {order.state}, {why}")


def _contradiction(order: StoredOrder, found: BrokerOrder | None, *, archive: Archive) -> str | None:
    """What the broker says against the stored state of an order."""
    accepted = found is not None and found.accepted
    if order.state in ACCEPTED_ORDER_STATES and not accepted:
        return "and the broker has never accepted it"
    if found is None:
        return None
    if order.state == "REFUSED" and not found.rejected:
        return "and the broker has not rejected it"
    # An abandoned order may surface while its run is still there to take it up.
    taken_up = order.state == "ABANDONED" and order.account_id in archive.open_accounts
    if order.state not in LIVE_ORDER_STATES and found.is_live and not taken_up:
        return "and it is live at the broker"
    return None


def fills_are_applied_once(archive: Archive, tally: Tally) -> None:
    """I9: the filled amounts are those of the executions, within the order."""
    seen: set[tuple[str, str]] = set()
    for execution in archive.evidence.executions:
        key = (execution.broker, execution.execution_id)
        if key in seen:
            tally.fail(f"execution {execution.execution_id} of {execution.broker} is stored twice")
        seen.add(key)
        if execution.client_order_id not in archive.orders:
            tally.fail(f"execution {execution.execution_id} is of no order: {execution.client_order_id}")
    for order in archive.evidence.orders:
        tally.checked += 1
        _fills_add_up(order, archive, tally=tally)


def _fills_add_up(order: StoredOrder, archive: Archive, *, tally: Tally) -> None:
    executions = archive.executions.get(order.client_order_id, ())
    quantity = sum((e.quantity for e in executions), ZERO)
    value = sum((e.quantity * e.price for e in executions), ZERO)
    if (order.filled_quantity, order.filled_value) != (quantity, value):
        tally.fail(
            f"{name(order)} says {amount_of(order.filled_quantity, order.filled_value)} filled, "
            f"its executions {amount_of(quantity, value)}"
        )
    if order.quantity is not None and order.filled_quantity > order.quantity:
        tally.fail(f"{name(order)} filled {plain(order.filled_quantity)} of {plain(order.quantity)} shares")
    if order.notional is not None and order.filled_value > order.notional * OVERSPENT + CENT:
        tally.fail(f"{name(order)} filled ${plain(order.filled_value)} of ${plain(order.notional)}")
    if order.state == "FILLED" and order.quantity is not None and order.filled_quantity < order.quantity:
        tally.fail(f"{name(order)} is FILLED with {plain(order.filled_quantity)} of {plain(order.quantity)}")


def broker_executes_once(both: Comparison, tally: Tally) -> None:
    """I9: execution ids are unique at the broker."""
    seen: set[str | None] = set()
    for entry in both.ledger.entries:
        if entry.kind == "executed":
            tally.checked += 1
            if entry.execution_id in seen:
                tally.fail(f"execution {entry.execution_id} is in the broker's ledger twice")
            seen.add(entry.execution_id)


def sells_end_before_buys(both: Comparison, tally: Tally) -> None:
    """I11: judged by the order of the ledger, not by clocks."""
    runs: dict[str, list[BrokerOrder]] = defaultdict(list)
    for found in both.orders.values():
        order = both.archive.orders.get(found.client_order_id)
        if order is not None:
            runs[order.run_id].append(found)
    for run_id, orders in runs.items():
        tally.checked += 1
        first_buy = min((o.first.seq for o in orders if o.first.side == "buy"), default=None)
        if first_buy is None:
            continue
        for sell in orders:
            if sell.first.side == "sell" and (sell.final_seq is None or sell.final_seq > first_buy):
                ended = "is not final" if sell.final_seq is None else f"ended at entry {sell.final_seq}"
                tally.fail(
                    f"run {run_id}: a buy reached the broker at entry {first_buy}, "
                    f"while sell {sell.client_order_id} {ended}"
                )
