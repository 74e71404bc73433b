"""Runs driven to their end through any misfortune: they always end, send nothing twice, and spend only
what is there. The broker of small_broker checks every order as it is posted.
"""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.any_account import any_basis
from tests.core.examples import basis, decimals, holdings, weights
from tests.core.small_broker import SECOND, Chance, SmallBroker, SmallEngine
from trimtab.core.doubt import POSITIONS_GRACE
from trimtab.core.plan import Basis
from trimtab.core.run import OrderState, RunState, Side
from trimtab.core.step import Wait

STORMY_TURNS = 12
# The end of a quarantine, the grace for positions, and a few turns of five seconds.
CALM_TIME = timedelta(seconds=30) + POSITIONS_GRACE + timedelta(seconds=60)


def drive(start: Basis, chance: Chance, *, drops_duplicates: bool) -> SmallEngine:
    """A run to its end: some turns in which anything may happen, then calm."""
    broker = SmallBroker(basis=start, drops_duplicates=drops_duplicates, chance=chance)
    engine = SmallEngine(broker=broker)
    turns = 0
    calm_since: datetime | None = None

    def wait(step: Wait) -> None:
        nonlocal turns, calm_since
        turns += 1
        misfortune(engine)
        if turns >= STORMY_TURNS and calm_since is None:
            calm_since = broker.now
            make_calm(engine)
        broker.pass_time(next_moment(engine, step))
        check_cash(engine)

    engine.go(wait)
    if calm_since is not None:
        assert broker.now - calm_since <= CALM_TIME, "not final soon after the last fault"
    return engine


def next_moment(engine: SmallEngine, step: Wait) -> datetime:
    broker = engine.broker
    match broker.draw("time", *["poll"] * 6, "a second", "until", "long"):
        case "a second":
            return broker.now + SECOND
        case "until" if step.until is not None:
            return step.until
        case "long":
            return broker.now + timedelta(minutes=50)
    poll = broker.now + timedelta(seconds=5)
    return poll if step.until is None else min(poll, step.until)


MISFORTUNES = (
    "deposit",
    "withdrawal",
    "freeze",
    "freeze",
    "thaw",
    "thaw",
    "symbol",
    "jump",
    "no price",
    "cancel",
)


def misfortune(engine: SmallEngine) -> None:
    broker = engine.broker
    symbols = sorted(broker.basis.prices)
    match broker.draw("world", *["nothing"] * 10, *MISFORTUNES):
        case "deposit":
            broker.cash += 5000
            broker.external += 5000
        case "withdrawal":
            broker.cash -= 25
            broker.external -= 25
        case "freeze":
            broker.frozen = "frozen: by hand"
        case "thaw":
            broker.frozen = None
        case "symbol":
            broker.frozen_symbols = {broker.chance("frozen symbol", symbols)}
        case "jump":
            symbol = broker.chance("jump of", symbols)
            broker.prices[symbol] = broker.basis.prices[symbol] * Decimal("1.25")
        case "no price":
            broker.prices.pop(broker.chance("no price of", symbols), None)
        case "cancel" if engine.run.state.is_open:
            engine.run = replace(engine.run, stop=engine.run.stop or RunState.CANCELED)


def make_calm(engine: SmallEngine) -> None:
    broker = engine.broker
    broker.calm = True
    broker.frozen = None
    broker.frozen_symbols = set()
    broker.prices = dict(broker.basis.prices)


def check_cash(engine: SmallEngine) -> None:
    """Trades alone never take cash below what must stay of it."""
    if engine.plan is not None:
        floor = min(engine.plan.holdings.cash, engine.plan.reserve)
        drift = engine.plan.holdings.cash - engine.broker.basis.holdings.cash
        assert engine.broker.cash - engine.broker.external + drift >= floor, "the reserve was spent"


def check_end(engine: SmallEngine) -> None:
    finish, broker, orders = engine.finish, engine.broker, list(engine.orders.values())
    assert finish is not None
    assert broker.is_quiet, "ended while an order could still be filled"
    if engine.run.stop is not None:
        assert finish.state is engine.run.stop
    abandoned = any(order.state is OrderState.ABANDONED for order in orders)
    if abandoned and not broker.drops_duplicates:
        assert finish.hold, "the fate of an order is open, and the account is not held"
    assert finish.rebalanced <= (finish.state is RunState.COMPLETED)
    assert finish.adjusted <= (finish.state is RunState.COMPLETED)
    check_positions(engine)
    if finish.state is not RunState.COMPLETED:
        return
    assert engine.plan is not None
    dealt_with = [order.leg for order in orders] + [skip.leg for skip in engine.skips]
    assert sorted(leg for leg in dealt_with if leg is not None) == [leg.number for leg in engine.plan.legs]
    if not finish.adjusted:
        assert not engine.skips
        assert all(order.state is OrderState.FILLED for order in orders)


def check_positions(engine: SmallEngine) -> None:
    """Whatever the end: what was traded is shown by the account, or the account is held."""
    assert engine.finish is not None
    orders = list(engine.orders.values())
    completed = engine.finish.state is RunState.COMPLETED
    if engine.finish.hold is None and (completed or any(order.filled_quantity for order in orders)):
        assert engine.plan is not None
        expected = dict(engine.plan.holdings.positions)
        for order in orders:
            sign = 1 if order.side is Side.BUY else -1
            expected[order.symbol] = expected.get(order.symbol, Decimal(0)) + sign * order.filled_quantity
        # What it showed last; the fill of a canceled order may come after that.
        assert engine.seen is not None
        shown = engine.seen.positions
        assert {s: q for s, q in expected.items() if q} == {s: q for s, q in shown.items() if q}


@given(any_basis(), st.sampled_from(["dedups", "does not"]), st.data())
@settings(max_examples=150)
def test_whatever_happens_a_run_ends_and_sends_nothing_twice(
    start: Basis, broker: str, data: st.DataObject
) -> None:
    def chance(what: str, ways: object) -> str:
        assert isinstance(ways, list | tuple)
        drawn: str = data.draw(st.sampled_from(ways), label=what)
        return drawn

    check_end(drive(start, chance, drops_duplicates=broker == "dedups"))


MIXED = basis(
    holdings=holdings("60", A="10", B="2", D="30"),
    weights=weights(A="50", B="25", C="20", cash="5"),
    prices=decimals({"A": "100", "B": "50", "C": "20", "D": "10"}),
)


@pytest.mark.parametrize("drops_duplicates", [True, False], ids=["dedups", "does not"])
def test_hundreds_of_seeds_reach_every_end(*, drops_duplicates: bool) -> None:
    reached: Counter[str] = Counter()
    for seed in range(1500):
        random = Random(seed)
        seen: list[str] = []

        def chance(what: str, ways: object, random: Random = random, seen: list[str] = seen) -> str:
            assert isinstance(ways, list | tuple)
            chosen: str = random.choice(ways)
            seen.append(f"{what}: {chosen}")
            return chosen

        engine = drive(MIXED, chance, drops_duplicates=drops_duplicates)
        check_end(engine)
        finish = engine.finish
        assert finish is not None
        reached.update(set(seen))
        reached[finish.state] += 1
        reached["held"] += finish.hold is not None
        reached["clean"] += finish.state is RunState.COMPLETED and not finish.adjusted
        reached["abandoned"] += any(o.state is OrderState.ABANDONED for o in engine.orders.values())
        reached["sent again"] += any(len(each) > 1 for each in engine.broker.posted.values())
    expected = [RunState.COMPLETED, RunState.CANCELED, RunState.TIMED_OUT, "clean", "abandoned"]
    # Where duplicates are dropped, whatever was executed after all is found by asking once more.
    expected += [] if drops_duplicates else ["held"]
    ways = ["refused", "lost", "reply lost", "late", "works", "fills"]
    assert {each for each in expected if not reached[each]} == set()
    assert {way for way in ways if reached[f"post: {way}"] < 20} == set()
    assert {
        way for way in ("ignored", "filled first", "filled after all") if reached[f"cancel: {way}"] < 5
    } == set()
    assert (reached["sent again"] > 0) == drops_duplicates


def test_without_misfortune_a_run_ends_at_once_and_in_full() -> None:
    def chance(_what: str, ways: object) -> str:
        assert isinstance(ways, list | tuple)
        first: str = ways[0]
        return first

    engine = drive(MIXED, chance, drops_duplicates=True)
    finish = engine.finish
    assert finish is not None
    assert (finish.state, finish.adjusted, finish.rebalanced, finish.hold) == (
        RunState.COMPLETED,
        False,
        True,
        None,
    )
    # $1,460 in all: 730 in A, 365 in B, 292 in C, and 73 stay in cash.
    assert engine.broker.holdings() == holdings("73", A="7.3", B="7.3", C="14.6", D="0")
