"""A shard's open runs, each taken from step to step until every run waits or is done.

`core.decide` decides one by one; this acts in bulk. One pass reads the runs, decides, groups the
steps by kind and performs each kind set-wise; then it reads again, but only the runs that moved. An
advance is a generator of effects: whoever drives it may stop between any two, and the next advance
goes on from what is stored.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from trimtab.brokers.broker import Broker, usable_prices
from trimtab.core.decide import decide
from trimtab.core.sessions import Window, window
from trimtab.core.step import (
    Abandon,
    Ask,
    CancelOrders,
    Fail,
    Finish,
    Look,
    Resend,
    Step,
    StorePlan,
    Submit,
    Wait,
)
from trimtab.engine import steps
from trimtab.engine.cases import Case, facts_of, open_cases
from trimtab.engine.desk import Effects, ask, read
from trimtab.engine.turn import Turn

log = logging.getLogger(__name__)

# More passes than any run has steps; only a step that does not move its run could get here.
PASSES_MAX = 200
POLL = timedelta(seconds=5)


def advance(turn: Turn) -> Effects[None]:
    """Take every open run of the shard as far as it goes now."""
    moved: set[str] | None = None
    for _ in range(PASSES_MAX):
        cases = yield from read(partial(open_cases, shard=turn.shard, only=moved, now=turn.now))
        if not cases:
            return
        turn.look_at_clock()
        decided = yield from _decide_all(turn, cases)
        for case, step in decided:
            if isinstance(step, Wait):
                _wait(turn, case, step)
        moved = (yield from _perform(turn, decided)) - turn.resting
        if not moved:
            return
    raise AssertionError(f"shard {turn.shard}: a run did not come to rest in {PASSES_MAX} passes")


def _decide_all(turn: Turn, cases: Sequence[Case]) -> Effects[list[tuple[Case, Step]]]:
    """Decide every case; those that need a look at their account get it and are decided again."""
    yield from _learn_prices(turn, cases)
    windows = _windows(turn, cases)
    decided = [(case, _decide(turn, case, windows[case.strategy.calendar])) for case in cases]
    blind = [case for case, step in decided if isinstance(step, Look)]
    if not blind:
        return decided
    yield from steps.look(turn, blind)
    all_anew = yield from _look_again(turn, blind)
    return [
        (
            case,
            _decide(turn, case, windows[case.strategy.calendar])
            if all_anew or isinstance(step, Look)
            else step,
        )
        for case, step in decided
        if case.run.id not in turn.resting
    ]


def _windows(turn: Turn, cases: Sequence[Case]) -> dict[str, Window]:
    calendars = {case.strategy.calendar for case in cases}
    return {name: window(turn.desk.calendars[name], turn.now) for name in calendars}


def _wait(turn: Turn, case: Case, wait: Wait) -> None:
    """Come back when the run has to go on, and soon if the broker is working on its orders."""
    turn.wake_by(wait.until)
    if any(order.state.is_open for order in case.orders):
        turn.wake_by(turn.now + POLL)


def _concerned(turn: Turn, cases: Sequence[Case]) -> set[str]:
    """The symbols that matter to these cases, by all that is known."""
    seen = turn.seen
    accounts = [seen.accounts[c.run.account_id] for c in cases if c.run.account_id in seen.accounts]
    named = set[str]().union(*(case.symbols for case in cases), *(a.holdings.positions for a in accounts))
    return named | {seen.present(symbol) for symbol in named}


def _learn_prices(turn: Turn, cases: Sequence[Case]) -> Effects[None]:
    """Ask for the asset behind every symbol that matters, and then for its price: once per turn, and again
    when that was long ago.
    """
    seen = turn.seen
    fresh = {s for s, at in seen.asked_at.items() if turn.now - at < turn.desk.caps.price_age_max / 2}
    new = _concerned(turn, cases) - fresh
    while new:
        yield from _ask_quotes(turn, cases, concerned=new, unpriced=new)
        fresh |= new
        # What some of them have become.
        new = {seen.present(symbol) for symbol in new} - fresh


def _look_again(turn: Turn, cases: Sequence[Case]) -> Effects[bool]:
    """After a look at accounts: whether a corporate action came between it and what was known of the
    assets. Then quantities of after it would meet prices of before: those accounts are looked at anew.
    """
    concerned = _concerned(turn, cases)
    unpriced = concerned - turn.seen.asked_at.keys()
    return (yield from _ask_quotes(turn, cases, concerned=concerned, unpriced=unpriced))


def _ask_quotes(
    turn: Turn, cases: Sequence[Case], *, concerned: set[str], unpriced: set[str]
) -> Effects[bool]:
    """Ask for prices, then for assets, and again for the prices of those that a corporate action has changed
    since they were asked for last; whether there were any. Their accounts have to be looked at anew.
    """
    seen = turn.seen

    def price(broker: Broker, symbols: set[str]) -> None:
        for symbol in symbols:
            seen.prices.pop(symbol, None)
        seen.prices |= usable_prices(broker.prices(symbols)) if symbols else {}

    def question(broker: Broker) -> set[str]:
        price(broker, unpriced)
        assets = broker.assets(concerned)
        moved = {s for s, asset in assets.items() if asset.actions != seen.actions(s)}
        seen.assets |= assets
        price(broker, moved)
        return moved

    moved = yield from ask(question)
    seen.asked_at |= dict.fromkeys(unpriced | moved, turn.now)
    if moved:
        seen.forget(case.run.account_id for case in cases if moved & _concerned(turn, [case]))
    return bool(moved)


def _decide(turn: Turn, case: Case, window: Window) -> Step:
    try:
        return decide(
            case.run, facts_of(case, turn.seen, desk=turn.desk, window=window, now=turn.now), now=turn.now
        )
    except Exception:  # one run that nobody foresaw must not stop the others of its shard
        log.exception("run %s cannot be decided", case.run.id)
        if case.run.stop is not None:
            return Wait(None, "the run cannot be decided")
        return Fail("internal error while deciding the next step")


def _perform(turn: Turn, decided: Sequence[tuple[Case, Step]]) -> Effects[set[str]]:
    """Perform the steps kind by kind, cancels first, then sells, then buys, then questions."""
    by_kind: dict[type[Step], list[tuple[Case, Step]]] = {}
    for case, step in decided:
        by_kind.setdefault(type(step), []).append((case, step))
    by_kind.pop(Wait, None)
    for kind, performer in PERFORMERS.items():
        if kind in by_kind:
            yield from performer(turn, by_kind[kind])
    return {case.run.id for group in by_kind.values() for case, _ in group}


# In this order: the fewer orders are working, the safer; and what may free money comes before what
# spends it.
PERFORMERS: Mapping[type[Step], Callable[[Turn, Sequence[tuple[Case, Any]]], Effects[None]]] = {
    Fail: steps.fail,
    CancelOrders: steps.cancel_orders,
    Resend: steps.resend,
    Submit: steps.submit,
    Abandon: steps.abandon,
    Ask: steps.look_up,
    StorePlan: steps.store_plans,
    Finish: steps.finish,
}
