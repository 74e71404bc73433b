"""A cancel before any effect of the engine, on bad days at the broker, with a worker that lives or dies.

ann has $10,000, must sell GLD for $5,000 and buy SPY for $2,000 and TLT for $4,000 (see scenarios). After
the answer nothing new is intended, whatever was under way is brought to its end and recorded as the broker
has it, and a new run finishes what the first has begun.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from tests.engine.brokers import Rates
from tests.engine.desks import PLAIN, PostgresSite, Setup, Site, World, new_world, targets
from tests.engine.machine import Machine, Point
from tests.engine.scenarios import ANN, ANN_ENDS, ann_asked_for
from tests.engine.test_races import cancels
from trimtab.core.run import OrderState, Run, RunState
from trimtab.store import shards

PROVED = 10_000


@dataclass(frozen=True, kw_only=True)
class BadDay:
    setup: Setup = PLAIN
    faults: Mapping[str, object] = field(default_factory=dict)


def by_chance(**rates: float) -> Setup:
    return replace(PLAIN, rates=Rates(**rates))


BAD_DAYS = {
    "a delay": BadDay(faults={"fill_delay_s": 7}),
    "partial fills": BadDay(faults={"fill_delay_s": 7, "partial_fill": 1}),
    "requests are lost": BadDay(setup=by_chance(loses_request=0.6)),
    "requests arrive late": BadDay(setup=by_chance(delays_request=1, request_late_s=4)),
    "replies are lost and orders show late": BadDay(
        setup=by_chance(loses_reply=1, order_late_s=4), faults={"fill_delay_s": 3}
    ),
    "the same, and nothing is dropped twice": BadDay(
        setup=replace(by_chance(loses_reply=1, order_late_s=4), drops_duplicates=False)
    ),
    "cancels are lost": BadDay(setup=by_chance(loses_cancel=0.7), faults={"fill_delay_s": 30}),
    "accounts show late": BadDay(setup=by_chance(account_late_s=10), faults={"fill_delay_s": 2}),
    "often down": BadDay(setup=by_chance(is_down=0.3), faults={"fill_delay_s": 7}),
}


@dataclass(frozen=True)
class Cancel:
    """What the client was told, and which orders were intended when it was."""

    promised: bool
    intended: frozenset[str]


def intended(world: World, run: Run) -> frozenset[str]:
    return frozenset(order.client_order_id for order in world.orders(run))


def cancel_before(number: int, world: World, *, run: Run, dies: bool) -> Cancel | None:
    """Work to the end, with a cancel before this effect; None if there are fewer effects."""
    seen: list[Cancel] = []

    def cancel_now(at: int) -> None:
        if at == number:
            promised = cancels(world, run)
            seen.append(Cancel(promised, intended(world, run)))

    points = frozenset({Point(number)} if dies else ())
    machine = Machine(world=world, points=points, before=cancel_now)
    machine.work_on()
    return seen[0] if seen else None


def assert_as_the_broker_has_it(world: World, run: Run) -> None:
    """What was recorded of each order is what the market did, and makes the positions what they are."""
    recorded = world.orders(run)
    reports = world.paper.lookup(recorded)
    traded = Counter[str]()
    for order in recorded:
        report = reports.get(order.client_order_id)
        if report is None:
            assert order.state in {OrderState.ABANDONED, OrderState.REFUSED}
            continue
        filled = sum((execution.quantity for execution in report.executions), Decimal(0))
        assert (order.state, order.filled_quantity) == (report.state, filled)
        traded[order.symbol] += filled if order.side == "buy" else -filled  # type: ignore[assignment] # a Decimal
    before = {symbol: Decimal(quantity) for symbol, quantity in ANN[1].items()}
    expected = {s: before.get(s, Decimal(0)) + traded[s] for s in {*before, *traded}}
    held = world.paper.account("ann").holdings.positions
    assert dict(held) == {symbol: quantity for symbol, quantity in expected.items() if quantity}


def assert_kept(world: World, run: Run, cancel: Cancel) -> None:
    ended = world.run(run.id)
    assert ended.state is (RunState.CANCELED if cancel.promised else RunState.COMPLETED)
    assert ended.finished_at is not None
    if cancel.promised:
        assert intended(world, run) == cancel.intended, "nothing new leaves after the answer"
        assert (ended.orders_sent > 0) == bool(cancel.intended)
    accepted = Counter(world.broker_orders())
    assert accepted.keys() <= intended(world, run)
    assert set(accepted.values()) <= {1}
    assert_as_the_broker_has_it(world, run)
    assert cancels(world, run) == (cancel.promised and not cancel.intended)
    assert world.run(run.id) == ended
    world.require_sound()


def assert_goes_on(world: World) -> None:
    """On a good day another run takes the account to its targets; first a person has to look at one that
    is held because nobody can prove that an order never arrived (decisions page, 29).
    """
    world.paper.set_faults({})
    world.broker.calm_from = world.clock.now
    if world.record("ann").held is not None:
        assert not world.broker.traits.drops_duplicates
        world.db.write(lambda tx: shards.release(tx, ["ann"]))
    world.request("ann", weights=targets(SPY="60", TLT="40"))
    Machine(world=world).work_on()
    assert world.ends("ann")[1] == "COMPLETED"
    assert world.holdings("ann") == ANN_ENDS
    world.require_sound()


def cancel_everywhere(site: Site, day: BadDay, *, dies: bool, first: int, stride: int) -> Counter[str]:
    """A cancel before every so manieth effect, each in a world of its own; how the runs ended."""
    ends = Counter[str]()
    for number in range(first, PROVED, stride):
        with new_world(site, day.setup) as world:
            ann_asked_for(world)
            world.paper.set_faults(day.faults)
            run = world.runs("ann")[0]
            cancel = cancel_before(number, world, run=run, dies=dies)
            if cancel is None:
                return ends
            ends[world.ends("ann")[0]] += 1
            assert_kept(world, run, cancel)
            assert_goes_on(world)
    raise AssertionError("a run without an end")


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_cancel_on_a_bad_day_is_kept(sqlite_site: Site, day: str, *, dies: bool) -> None:
    ends = cancel_everywhere(sqlite_site, BAD_DAYS[day], dies=dies, first=int(dies), stride=7)
    assert ends["CANCELED+"] > 0


@pytest.mark.prove
@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
@pytest.mark.parametrize("day", BAD_DAYS)
def test_a_cancel_before_every_effect_of_a_bad_day_is_kept(site: Site, day: str, *, dies: bool) -> None:
    stride = 7 if isinstance(site, PostgresSite) else 1
    ends = cancel_everywhere(site, BAD_DAYS[day], dies=dies, first=0, stride=stride)
    assert ends["CANCELED"] > 0
    assert ends["CANCELED+"] > 0


# Holds and the close.


@pytest.mark.parametrize("is_started", [False, True], ids=["queued", "selling"])
def test_a_run_of_a_held_account_can_be_canceled(world: World, *, is_started: bool) -> None:
    ann_asked_for(world)
    world.paper.set_faults({"fill_delay_s": 60})
    if is_started:
        world.settle()
    world.db.write(lambda tx: shards.hold(tx, {"ann": "by hand"}))
    world.settle()
    run = world.runs("ann")[0]
    world.cancel(run)
    world.settle()
    assert world.ends("ann") == ["CANCELED+" if is_started else "CANCELED"]
    assert world.holdings("ann") == "cash 1000, GLD 25, SPY 10"
    world.db.write(lambda tx: shards.release(tx, ["ann"]))
    assert_goes_on(world)


def test_a_cancel_between_the_close_and_the_next_look_is_kept(world: World) -> None:
    """The run would have timed out; the client who was faster was promised otherwise."""
    world.at("2026-03-02 15:45")
    ann_asked_for(world)
    world.paper.set_faults({"fill_delay_s": 3600})
    world.settle()
    world.at("2026-03-02 16:00:01")
    world.cancel(world.runs("ann")[0])
    world.settle()
    assert world.ends("ann") == ["CANCELED+"]
    world.require_sound()


def test_a_cancel_that_the_broker_confirms_after_the_close_is_kept(sqlite_site: Site) -> None:
    with new_world(sqlite_site, by_chance(loses_cancel=1)) as world:
        world.at("2026-03-02 15:45")
        ann_asked_for(world)
        world.paper.set_faults({"fill_delay_s": 86_400})
        world.settle()
        world.cancel(world.runs("ann")[0])
        world.settle()
        world.at("2026-03-02 16:30")
        world.settle()
        assert world.ends("ann") == ["SELLING+"]
        world.broker.calm_from = world.clock.now
        world.settle()
        assert world.ends("ann") == ["CANCELED+"]
        world.require_sound()
