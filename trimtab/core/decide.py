"""What a run does next: data in, one step out.

This is the order protocol of the reliability notes (section 2) as a pure function, so that every
schedule of crashes and faults can be tried without a thread: the plan is stored before the first
send, an order's fate is looked up and never assumed, sells end before buys begin, buys spend executed
proceeds and free cash only, and a run that has traded ends when the broker's positions agree. `decide`
decides one run; the engine performs the steps of many runs together.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain

from trimtab.core.adoption import excess
from trimtab.core.corporate import Split
from trimtab.core.doubt import disagreement, doubt, open_fate, traded, unseen, unseen_cash
from trimtab.core.gate import Moment, Stopped, gate
from trimtab.core.money import ZERO, plain
from trimtab.core.plan import Basis, Leg, Plan, make_plan
from trimtab.core.run import Order, OrderState, Run, RunKind, RunState, Side, order_id
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.spending import fit
from trimtab.core.step import (
    Abandon,
    Ask,
    CancelOrders,
    Facts,
    Finish,
    Look,
    Resend,
    Step,
    StorePlan,
    Submit,
    Wait,
)
from trimtab.core.wording import no_price

# An order that nobody here has sent may stay for days.
WORKING_POLL = timedelta(seconds=60)
# Nobody tells when a price is back, or a corporate action complete.
UNVALUED_POLL = timedelta(seconds=15)


def decide(run: Run, facts: Facts, *, now: datetime) -> Step:
    """The next step of an open run."""
    assert run.state.is_open, "a final run takes no step"
    if run.state is RunState.QUEUED:
        return _begin(run, facts, now=now)
    assert facts.plan is not None, "a run that has left the queue has a plan"
    return _settle_orders(run, facts, now=now) or _carry_on(run, facts, plan=facts.plan, now=now)


def _begin(run: Run, facts: Facts, *, now: datetime) -> Step:
    if run.stop is not None:
        return Finish(state=run.stop, reason=run.reason)
    if not facts.strategy_active:
        return Finish(state=RunState.CANCELED, reason="the weights to follow are not active")
    if facts.frozen:
        return Wait(None, facts.frozen)
    if not facts.window.may_start or facts.window.deadline_at is None:
        return Wait(facts.window.opens_at, "the market does not let runs start now")
    if facts.basis is None:
        return Look()
    if not facts.account_active:
        return Finish(state=RunState.CANCELED, reason="the account is not active")
    if facts.is_working:
        return Wait(now + WORKING_POLL, "an order of the account is still open at the broker")
    if facts.previous is not None:
        shown = facts.basis.holdings
        late = unseen(facts.previous, shown, now=now) or unseen_cash(facts.previous, shown, now=now)
        if late is not None:
            return Wait(*late)
    unvalued = _why_unvalued(facts.basis)
    if unvalued is not None:
        return Wait(now + UNVALUED_POLL, unvalued)
    return StorePlan(make_plan(facts.basis), facts.window.deadline_at)


def _why_unvalued(basis: Basis) -> str | None:
    """Why the account has no known worth: something that it holds has no price that fits its quantity."""
    held = sorted(basis.holdings.positions)
    unsettled = [basis.unsettled[symbol] for symbol in held if symbol in basis.unsettled]
    if unsettled:
        return unsettled[0]
    missing = [symbol for symbol in held if symbol not in basis.prices]
    return no_price(missing) if missing else None


def _stop(run: Run, now: datetime) -> RunState | None:
    """The final state that the run is being wound down to, if it is."""
    if run.stop is not None:
        return run.stop
    assert run.deadline_at is not None, "a planned run has a deadline"
    return RunState.TIMED_OUT if now >= run.deadline_at else None


def _settle_orders(run: Run, facts: Facts, *, now: datetime) -> Step | None:
    """The step that open orders need first; None if no fate is open that matters now."""
    open_orders = [order for order in facts.orders if order.state.is_open]
    unasked = tuple(o.client_order_id for o in open_orders if o.client_order_id not in facts.asked)
    if unasked:
        return Ask(unasked)
    stopping = _stop(run, now) is not None or facts.frozen is not None
    stopped = facts.frozen_symbols | {a.symbol for a in facts.actions if isinstance(a, Split)}
    # Before any fate is waited for: what a kill switch or a deadline stops must not work on meanwhile, nor
    # what was sized before a split.
    uncanceled = tuple(
        o.client_order_id
        for o in open_orders
        if o.state is OrderState.OPEN
        and (stopping or o.symbol in stopped)
        and o.client_order_id not in facts.cancel_asked
    )
    if uncanceled:
        return CancelOrders(uncanceled)
    unknown = [order for order in open_orders if order.state is OrderState.SENDING]
    if unknown:
        return _resolve_unknown(run, unknown, facts=facts, now=now, stopping=stopping)
    return Wait(None, "cancels are under way at the broker") if stopping and open_orders else None


def _resolve_unknown(
    run: Run, unknown: Sequence[Order], *, facts: Facts, now: datetime, stopping: bool
) -> Step:
    """Orders that were sent, perhaps, and that the broker does not show.

    A run that buys sells no more: where a restored copy has such a sell, the original had given it up.
    """
    settled = [order for order in unknown if now >= order.sent_at + facts.quarantine]
    if not settled:
        return Wait(min(o.sent_at for o in unknown) + facts.quarantine, "an order's fate is unknown")
    if stopping or not facts.drops_duplicates:
        return Abandon(tuple(settled))
    too_late = Side.SELL if run.state is RunState.BUYING else None
    refused = [o for o in settled if o.side is too_late or _stopped(o, facts, run_orders=0)]
    return Abandon(tuple(refused)) if refused else Resend(tuple(settled))


def _carry_on(run: Run, facts: Facts, *, plan: Plan, now: datetime) -> Step:
    """No fate is open: send what is still to be sent, or end."""
    stop = _stop(run, now)
    done = _is_done(facts, plan)
    if stop is not None and not (run.stop is None and done):
        return _end_stopped(stop, run, facts=facts, plan=plan, now=now)
    if facts.frozen and not done:
        return Wait(run.deadline_at, facts.frozen)
    sells = _unsent(plan.sells, facts)
    if sells:
        orders = [intent(run, leg, plan=plan, notional=None, now=now) for leg in sells]
        return _gated(RunState.SELLING, orders, skips=(), facts=facts)
    if any(order.state.is_open for order in facts.orders):
        return Wait(run.deadline_at, "orders are working at the broker")
    wait = _await_positions(run, facts, plan=plan, now=now)
    if wait is not None:
        return wait
    buys = _unsent(plan.buys, facts)
    if buys:
        return _give_up(run, facts, buys=buys, plan=plan) or _submit_buys(run, facts, buys=buys, now=now)
    return _end(RunState.COMPLETED, run, facts=facts, plan=plan, hold=_doubt(run, facts, plan=plan))


def _end_stopped(state: RunState, run: Run, *, facts: Facts, plan: Plan, now: datetime) -> Step:
    """End at once if nothing was traded. Else the account must show it first: the next plan is made
    from what it shows.
    """
    if not any(order.filled_quantity for order in facts.orders):
        fate = open_fate(facts.orders, drops_duplicates=facts.drops_duplicates)
        return _end(state, run, facts=facts, plan=plan, hold=fate)
    wait = _await_positions(run, facts, plan=plan, now=now)
    return wait or _end(state, run, facts=facts, plan=plan, hold=_doubt(run, facts, plan=plan))


def _is_done(facts: Facts, plan: Plan) -> bool:
    """Whether nothing is left to send and no order was cut short: neither a deadline nor a freeze has
    anything to stop.
    """
    cut_short = {OrderState.CANCELED, OrderState.ABANDONED}
    return not _unsent(plan.legs, facts) and all(order.state not in cut_short for order in facts.orders)


def _await_positions(run: Run, facts: Facts, *, plan: Plan, now: datetime) -> Look | Ask | Wait | None:
    """Wait while the broker's account does not show what its orders say, but not for ever: in its positions,
    and in its cash if that is still to be spent or set aside. An execution may have crossed a cancel: the
    order shows it when it is asked for once more.
    """
    if facts.basis is None:
        return Look()
    before = traded(run, plan, orders=facts.orders, actions=facts.actions, moved=facts.moved)
    cut_short = tuple(
        order.client_order_id
        for order in facts.orders
        if order.state.may_change and not order.state.is_open and order.client_order_id not in facts.asked
    )
    if cut_short and disagreement(before, facts.basis.holdings) is not None:
        return Ask(cut_short)
    if any(given_up.reason is SkipReason.UNEXPLAINED for given_up in facts.skips):
        # They have had their time.
        return None
    late = unseen(before, facts.basis.holdings, now=now)
    has_traded = any(order.filled_quantity for order in facts.orders)
    if late is None and has_traded and (run.kind is RunKind.PARTIAL_LIQUIDATION or _unsent(plan.buys, facts)):
        late = unseen_cash(before, facts.basis.holdings, now=now)
    return None if late is None else Wait(*late)


def _give_up(run: Run, facts: Facts, *, buys: Sequence[Leg], plan: Plan) -> Submit | None:
    """Positions that have had their time and are still not explained stop the run (decisions page, 28):
    somebody else trades in the account, or it is not what it was planned for.
    """
    assert facts.basis is not None, "somebody has looked at the account"
    before = traded(run, plan, orders=facts.orders, actions=facts.actions)
    why = disagreement(before, facts.basis.holdings, overtaken=True)
    if why is None:
        return None
    return Submit(RunState.BUYING, (), tuple(skip(leg, SkipReason.UNEXPLAINED, details=why) for leg in buys))


def _doubt(run: Run, facts: Facts, *, plan: Plan) -> str | None:
    """Why the account must be held, if it must."""
    assert facts.basis is not None, "somebody has looked at the account"
    before = traded(run, plan, orders=facts.orders, actions=facts.actions)
    return doubt(before, facts.basis.holdings, drops_duplicates=facts.drops_duplicates)


def _unsent(legs: Sequence[Leg], facts: Facts) -> list[Leg]:
    dealt_with = {order.leg for order in facts.orders} | {skip.leg for skip in facts.skips}
    return [leg for leg in legs if leg.number not in dealt_with]


def intent(run: Run, leg: Leg, *, plan: Plan, notional: Decimal | None, now: datetime) -> Order:
    """The order to send for a leg, in dollars if `notional` is given."""
    return Order(
        client_order_id=order_id(run.tenant_id, run.id, leg=leg.number, generation=0),
        run_id=run.id,
        leg=leg.number,
        generation=0,
        account_id=run.account_id,
        symbol=leg.symbol,
        side=leg.side,
        quantity=leg.quantity,
        notional=notional,
        state=OrderState.SENDING,
        sent_at=now,
        worst_price=plan.worst_price(leg),
        impact_bps_max=plan.impact_bps_max,
    )


def _gated(state: RunState, orders: Sequence[Order], *, skips: tuple[Skip, ...], facts: Facts) -> Submit:
    """The orders that the gate lets through; the others become skips."""
    assert facts.plan is not None
    passed: list[Order] = []
    stopped: list[Skip] = []
    for order in orders:
        verdict = _stopped(order, facts, run_orders=len(facts.orders) + len(passed))
        if verdict is None:
            passed.append(order)
        else:
            leg = facts.plan.legs[order.leg]
            stopped.append(skip(leg, verdict.reason, details=verdict.details))
    return Submit(state, tuple(passed), (*skips, *stopped))


def _stopped(order: Order, facts: Facts, *, run_orders: int) -> Stopped | None:
    assert facts.plan is not None, "what is sent was planned"
    moment = Moment(
        prices=facts.prices,
        prices_age=facts.prices_age,
        frozen_symbols=facts.frozen_symbols,
        actions=facts.actions,
        run_orders=run_orders,
        caps=facts.caps,
    )
    return gate(order, facts.plan, at=moment)


def skip(leg: Leg, reason: SkipReason, *, details: str) -> Skip:
    """A leg given up."""
    notional = leg.notional if leg.quantity is None else leg.quantity * leg.price
    assert notional is not None
    return Skip(
        leg=leg.number, symbol=leg.symbol, side=leg.side, notional=notional, reason=reason, details=details
    )


def _submit_buys(run: Run, facts: Facts, *, buys: Sequence[Leg], now: datetime) -> Submit:
    """Size the buys to the money that is really there, never above what was planned."""
    assert facts.plan is not None
    wanted = {leg.symbol: leg.notional for leg in buys if leg.notional is not None}
    budget = max(_budget(facts, facts.plan), ZERO)
    parts = fit(wanted, budget, smallest=facts.plan.min_notional)
    orders: list[Order] = []
    skips: list[Skip] = []
    for leg in buys:
        assert leg.notional is not None
        notional = min(parts[leg.symbol], leg.notional)
        if notional < facts.plan.min_notional:
            details = f"${plain(leg.notional)} planned, ${plain(notional)} left to spend"
            skips.append(skip(leg, SkipReason.INSUFFICIENT_CASH, details=details))
        else:
            orders.append(intent(run, leg, plan=facts.plan, notional=notional, now=now))
    return _gated(RunState.BUYING, orders, skips=tuple(skips), facts=facts)


def _budget(facts: Facts, plan: Plan) -> Decimal:
    """Dollars that buys may still spend: executed proceeds plus free cash, less what buys took.

    Money that came in during the run is not the run's to spend; money that went out is gone. Where duplicates
    are not dropped, a buy that was given up may surface: its dollars wait for it.
    """
    assert facts.basis is not None
    proceeds = sum((o.filled_value for o in facts.orders if o.side is Side.SELL), ZERO)
    bought = sum((o.filled_value for o in facts.orders if o.side is Side.BUY), ZERO)
    cash = min(facts.basis.holdings.cash + bought, plan.holdings.cash + proceeds)
    doubtful = () if facts.drops_duplicates else facts.orders
    given_up = [o for o in doubtful if o.side is Side.BUY and o.state is OrderState.ABANDONED]
    waiting = sum(((o.notional or ZERO) - o.filled_value for o in given_up), ZERO)
    return cash - plan.reserve - bought - waiting


def _end(state: RunState, run: Run, *, facts: Facts, plan: Plan, hold: str | None) -> Finish:
    completed = state is RunState.COMPLETED
    full = run.kind is RunKind.FULL_REBALANCE
    return Finish(
        state=state,
        adjusted=completed and _is_adjusted(facts, plan),
        reason=run.reason or _reason(state, facts, plan=plan),
        rebalanced=completed and full and plan.equity > 0,
        hold=hold,
    )


def _reason(state: RunState, facts: Facts, *, plan: Plan) -> str | None:
    """What neither the orders nor the skips of the run tell."""
    if state is RunState.TIMED_OUT:
        return "the deadline passed before all orders were done"
    if state is not RunState.COMPLETED:
        return None
    if plan.short:
        return "less could be sold than was asked for"
    left = _left_over(facts, plan)
    return f"its buys are ${plain(left)} smaller than planned: there was less to spend" if left else None


def _is_exceeded(order: Order) -> bool:
    return excess(order, quantity=order.filled_quantity, value=order.filled_value) is not None


def _is_adjusted(facts: Facts, plan: Plan) -> bool:
    """Whether something was skipped, refused or left over."""
    if plan.short or any(True for _ in chain(plan.skips, facts.skips)):
        return True
    if any(order.state is not OrderState.FILLED or _is_exceeded(order) for order in facts.orders):
        return True
    return _left_over(facts, plan) > 0


def _left_over(facts: Facts, plan: Plan) -> Decimal:
    """The dollars by which the buys shrank; nothing while together they would not have made an order."""
    planned = {leg.number: leg.notional for leg in plan.buys}
    left = sum(
        ((planned[o.leg] or ZERO) - (o.notional or ZERO) for o in facts.orders if o.side is Side.BUY), ZERO
    )
    return left if left >= plan.min_notional else ZERO
