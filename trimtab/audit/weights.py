"""The promise of the product: after an unadjusted full rebalance every asset is on its target.

I12. A share that was held counts at the plan's price, a purchase at what it cost: the same thing while
prices stand still, and no run is blamed for prices that moved between its plan and its fills.
"""

from collections.abc import Callable
from decimal import Decimal

from trimtab.audit.archive import Archive, Dossier
from trimtab.audit.plan_body import PlanBody
from trimtab.audit.tally import Tally
from trimtab.core.money import HUNDRED, ZERO, plain

CENT = Decimal("0.01")
# What no broker takes an order for, in dollars.


def targets_are_reached(archive: Archive) -> Callable[[Dossier, Tally], None]:
    """I12 for one run; cash is set aside only in accounts that cash was raised from."""
    raised_from = {run.account_id for run in archive.evidence.runs if run.kind == "partial_liquidation"}

    def check(dossier: Dossier, tally: Tally) -> None:
        run, body = dossier.run, dossier.body
        if run.state != "COMPLETED" or body is None:
            return
        tally.checked += 1
        legs = sorted(body.legs.keys() - {o.leg for o in dossier.orders} - {s.leg for s in dossier.skips})
        if legs:
            tally.fail(f"run {run.id} is COMPLETED, legs {', '.join(map(str, legs))} have no order, no skip")
        _reasons_are_there(dossier, body, tally=tally)
        if run.kind == "full_rebalance" and not run.adjusted and body.equity > 0:
            _equity_is_all(dossier, body, may_set_aside=run.account_id in raised_from, tally=tally)
            _on_target(dossier, body, tally=tally)

    return check


def _reasons_are_there(dossier: Dossier, body: PlanBody, *, tally: Tally) -> None:
    """A run is adjusted if and only if there is a reason; what came after its end excuses it."""
    run = dossier.run
    reason = _reason(dossier, body)
    if reason and not run.adjusted:
        tally.fail(f"run {run.id} is not adjusted, although {reason}")
    late = any(run.finished_at is not None and o.updated_at > run.finished_at for o in dossier.orders)
    if run.adjusted and not reason and not late:
        tally.fail(f"run {run.id} is adjusted without a reason")


def _reason(dossier: Dossier, body: PlanBody) -> str | None:
    if body.short:
        return "less was planned than was asked for"
    if body.skips or dossier.skips:
        return f"{body.skips + len(dossier.skips)} trades were skipped"
    for order in dossier.orders:
        if order.state != "FILLED":
            return f"order {order.client_order_id} is {order.state}"
    smaller = ZERO
    for order in dossier.orders:
        leg = body.legs.get(order.leg)
        if leg is not None and order.side == "buy":
            smaller += (leg.notional or ZERO) - (order.notional or ZERO)
    return f"its buys are ${plain(smaller)} smaller than planned" if smaller >= body.minimum_order else None


def _equity_is_all(dossier: Dossier, body: PlanBody, *, may_set_aside: bool, tally: Tally) -> None:
    """The plan was made from all that the account held, but for what was set aside and the reserve."""
    run = dossier.run
    if body.equity > body.worth or (body.equity != body.worth and not may_set_aside):
        tally.fail(
            f"run {run.id} was planned for ${plain(body.equity)}, the account was worth ${plain(body.worth)}"
        )
    if _invested(body) * HUNDRED > body.equity * (HUNDRED - body.cash_percent):
        tally.fail(
            f"run {run.id} reserves ${plain(body.reserve)}, less than {plain(body.cash_percent)} % of "
            f"${plain(body.equity)}"
        )


def _invested(body: PlanBody) -> Decimal:
    """Dollars for all assets together: the equity without its cash target and the buffer."""
    set_aside = body.worth - body.equity
    return body.equity - (body.reserve - set_aside)


def _on_target(dossier: Dossier, body: PlanBody, *, tally: Tally) -> None:
    tolerance = max(body.equity.scaleb(-4) + CENT, body.minimum_order)
    # Nothing is divided: all is multiplied by the percentage that the assets have together.
    together = HUNDRED - body.cash_percent
    values = _values(dossier, body)
    for symbol in sorted(body.percents.keys() | values.keys()):
        value, percent = values.get(symbol, ZERO), body.percents.get(symbol, ZERO)
        if together > 0:
            is_off = abs(value * together - _invested(body) * percent) > tolerance * together
        else:
            is_off = abs(value) > tolerance
        if is_off:
            tally.fail(
                f"run {dossier.run.id}: ${plain(value)} of {symbol} for {plain(percent)} % of "
                f"${plain(body.equity)}, more than ${plain(tolerance)} off"
            )


def _values(dossier: Dossier, body: PlanBody) -> dict[str, Decimal]:
    """Dollars per symbol after the run's fills."""
    values = {symbol: held * body.prices[symbol] for symbol, held in body.positions.items()}
    for order in dossier.orders:
        if order.side == "buy":
            values[order.symbol] = values.get(order.symbol, ZERO) + order.filled_value
        else:
            price = body.prices.get(order.symbol, ZERO)
            values[order.symbol] = values.get(order.symbol, ZERO) - order.filled_quantity * price
    return values
