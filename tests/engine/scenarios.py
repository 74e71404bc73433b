"""Stories that a worker may die in, each with its end worked out by hand.

SPY costs $400, TLT $100, GLD $200. Every account follows 60 % SPY and 40 % TLT. The end is the same
wherever the worker dies, because prices stand still and nothing else chances to happen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from tests.engine.brokers import Rates
from tests.engine.desks import MONDAY, PLAIN, Setup, World, targets
from tests.engine.machine import Machine
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.core.corporate import Late
from trimtab.core.errors import RunIsFinal
from trimtab.core.run import RunKind
from trimtab.core.strategy import Strategy
from trimtab.store import freezes
from trimtab.store.freezes import Freeze

CLOSE = MONDAY + timedelta(hours=6)
LAST_START = CLOSE - timedelta(minutes=15)

# $10,000: sell GLD for $5,000, buy SPY for $2,000 and TLT for $4,000.
ANN = ("1000", {"SPY": "10", "GLD": "25"})
ANN_ENDS = "cash 0, SPY 15, TLT 40"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`prepare` makes the world, `play` lets it run to the end, with a worker that may die.

    `holdings` and `runs` are how accounts end, and their runs (see World.ends); `held` are accounts
    that are held at the end.
    """

    prepare: Callable[[World], None]
    play: Callable[[Machine], None]
    holdings: Mapping[str, str]
    runs: Mapping[str, list[str]]
    held: frozenset[str] = frozenset()
    setup: Setup = PLAIN
    faults: Mapping[str, object] = field(default_factory=dict)


def mix(world: World) -> Strategy:
    return world.strategy(SPY="60", TLT="40")


def ann_enrolled(world: World) -> None:
    cash, positions = ANN
    world.enroll(world.open_account("ann", cash, **positions), mix(world))


def ann_rebalanced(world: World) -> None:
    ann_enrolled(world)
    world.settle()


# Six accounts of one shard, each with another thing to do.
SIX: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "ann": (*ANN, ANN_ENDS),
    "bob": ("5000", {}, "cash 0, SPY 7.5, TLT 20"),
    "cat": ("0", {"TLT": "100"}, "cash 0, SPY 15, TLT 40"),
    # $2,400: SPY $1,440, TLT $960.
    "dan": ("0", {"SPY": "1", "GLD": "10"}, "cash 0, SPY 3.6, TLT 9.6"),
    "eve": ("0", {"SPY": "15", "TLT": "40"}, "cash 0, SPY 15, TLT 40"),
    "fay": ("0", {}, "cash 0"),
}
SIX_HOLDINGS = {account_id: end for account_id, (_, _, end) in SIX.items()}
SIX_RUNS = {account_id: ["COMPLETED"] for account_id in SIX}


def ann_asked_for(world: World) -> None:
    """An account that follows nothing, and a run with weights of its own."""
    cash, positions = ANN
    world.request(world.open_account("ann", cash, **positions), weights=targets(SPY="60", TLT="40"))


def ann_at_the_last_moment(world: World) -> None:
    """Runs may start until 15 minutes before the close."""
    world.clock.now = LAST_START
    ann_enrolled(world)


def six_enrolled(world: World) -> None:
    strategy = mix(world)
    for account_id, (cash, positions, _) in SIX.items():
        world.enroll(world.open_account(account_id, cash, **positions), strategy)


def just_work(machine: Machine) -> None:
    machine.work_on()


def outage_between_sell_and_buys(machine: Machine) -> None:
    """The sell fills after 8 seconds; from second 4 to second 60 the broker is down."""
    world = machine.world
    machine.work()
    world.clock.forward(4)
    world.paper.set_faults({"outage": True, "fill_delay_s": 8})
    machine.work()
    world.clock.forward(26)
    machine.work()
    world.clock.forward(30)
    world.paper.set_faults({"fill_delay_s": 8})
    machine.work_on()


def outage_from_the_start(machine: Machine) -> None:
    world = machine.world
    world.paper.set_faults({"outage": True})
    machine.work()
    world.clock.forward(60)
    machine.work()
    world.paper.set_faults({})
    machine.work_on()


def cancel_while_selling(machine: Machine) -> None:
    """Nothing fills within a minute, and the cancel comes before."""
    world = machine.world
    machine.work()
    world.clock.forward(30)
    world.cancel(world.runs("ann")[0])
    machine.work_on()


def nothing_fills_before_the_close(machine: Machine) -> None:
    """The sell would fill the next day."""
    world = machine.world
    machine.work()
    world.clock.now = LAST_START + timedelta(minutes=8)
    machine.work()
    world.clock.now = CLOSE - timedelta(seconds=7)
    machine.work_on()
    assert CLOSE <= world.clock.now <= CLOSE + timedelta(seconds=5)


def money_comes(machine: Machine) -> None:
    """$600: up to $6,360 of SPY and $4,240 of TLT."""
    machine.world.transfer("ann", "600")
    machine.work_on()


def money_is_wanted_and_withdrawn(machine: Machine) -> None:
    """$1,000 from SPY $6,000 and TLT $4,000: what remains is $5,400 and $3,600."""
    world = machine.world
    machine.work()
    world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="1000")
    machine.work_on()
    assert world.record("ann").set_aside == 1000, world.record("ann")
    world.transfer("ann", "-1000")
    machine.work()
    assert world.record("ann").set_aside == 0


def freeze_while_selling(machine: Machine) -> None:
    """The sell is cancelled; after the thaw $1,000 is spent: $333.33 of SPY, $666.67 of TLT."""
    world = machine.world
    machine.work()
    stop = Freeze(id="freeze", tenant_id=None, account_id="ann", symbol=None, reason="by hand")
    world.db.write(lambda tx: freezes.insert(tx, stop, world.clock.now))
    world.clock.forward(5)
    machine.work()
    world.clock.forward(60)
    machine.work()
    world.db.write(lambda tx: freezes.remove(tx, tenant_id=None, account_id="ann", symbol=None))
    machine.work_on()


def split_while_selling(machine: Machine) -> None:
    """Two for one: SPY is not bought, TLT is. The quantities come when the run has ended, and the next
    run finds $2,000 in cash, 20 SPY at $200 and TLT on target.
    """
    world = machine.world
    machine.work()
    split = Event(kind=ActionKind.SPLIT, symbol="SPY", terms=Decimal(2), late=Late.QUANTITY)
    world.paper.corporate_action(split)
    machine.work_on()
    machine.work()
    world.paper.corporate_action(replace(split, late=None))
    machine.work()
    world.request("ann", weights=targets(SPY="60", TLT="40"))
    machine.work_on()


def rename_while_buying(machine: Machine) -> None:
    """The order for SPY is open when SPY becomes NEW, however long it took to get there."""
    world = machine.world
    machine.work()
    while not any(entry.symbol == "SPY" and entry.kind == "accepted" for entry in world.paper.read_ledger()):
        world.clock.forward(1)
        machine.work()
    world.paper.corporate_action(Event(kind=ActionKind.RENAME, symbol="SPY", new_symbol="NEW"))
    machine.work_on()


def cancel_too_late(machine: Machine) -> None:
    """A finished run cannot be cancelled."""
    machine.work_on()
    try:
        machine.world.cancel(machine.world.runs("ann")[0])
    except RunIsFinal:
        return
    raise AssertionError("a finished run was cancelled")


SCENARIOS: Mapping[str, Scenario] = {
    "full": Scenario(
        prepare=ann_enrolled,
        play=just_work,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
    ),
    "rejects": Scenario(
        prepare=ann_enrolled,
        play=just_work,
        holdings={"ann": "cash 4000, SPY 15"},
        runs={"ann": ["COMPLETED*"]},
        faults={"reject": ["TLT"]},
    ),
    "partial fills and delays": Scenario(
        prepare=ann_enrolled,
        play=just_work,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
        faults={"partial_fill": 1, "fill_delay_s": 7},
    ),
    "lost replies": Scenario(
        prepare=ann_enrolled,
        play=just_work,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
        faults={"lost_reply": 1, "duplicate_event": 1},
    ),
    "lost replies, partial fills and delays": Scenario(
        prepare=ann_enrolled,
        play=just_work,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
        faults={"lost_reply": 1, "partial_fill": 1, "fill_delay_s": 3, "duplicate_event": 1},
    ),
    "outage from the start": Scenario(
        prepare=ann_enrolled,
        play=outage_from_the_start,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
    ),
    "outage between sell and buys": Scenario(
        prepare=ann_enrolled,
        play=outage_between_sell_and_buys,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
        faults={"fill_delay_s": 8},
    ),
    # Nobody but a broker that drops duplicates is sent the same order again, so nothing is traded.
    "lost requests, never sent again": Scenario(
        prepare=ann_enrolled,
        play=just_work,
        holdings={"ann": "cash 1000, GLD 25, SPY 10"},
        runs={"ann": ["COMPLETED*"]},
        held=frozenset({"ann"}),
        setup=Setup(drops_duplicates=False, rates=Rates(loses_request=1)),
    ),
    "cancel while selling": Scenario(
        prepare=ann_asked_for,
        play=cancel_while_selling,
        holdings={"ann": "cash 1000, GLD 25, SPY 10"},
        runs={"ann": ["CANCELED+"]},
        faults={"fill_delay_s": 60},
    ),
    "cancel too late": Scenario(
        prepare=ann_enrolled,
        play=cancel_too_late,
        holdings={"ann": ANN_ENDS},
        runs={"ann": ["COMPLETED"]},
    ),
    "timeout at the close": Scenario(
        prepare=ann_at_the_last_moment,
        play=nothing_fills_before_the_close,
        holdings={"ann": "cash 1000, GLD 25, SPY 10"},
        runs={"ann": ["TIMED_OUT+"]},
        faults={"partial_fill": 1, "fill_delay_s": 86_400},
    ),
    "cash is invested": Scenario(
        prepare=ann_rebalanced,
        play=money_comes,
        holdings={"ann": "cash 0, SPY 15.9, TLT 42.4"},
        runs={"ann": ["COMPLETED", "COMPLETED"]},
        setup=Setup(invest_cash_min="10"),
    ),
    "cash is raised": Scenario(
        prepare=ann_rebalanced,
        play=money_is_wanted_and_withdrawn,
        holdings={"ann": "cash 0, SPY 13.5, TLT 36"},
        runs={"ann": ["COMPLETED", "COMPLETED"]},
        setup=Setup(invest_cash_min="10"),
    ),
    "freeze while selling": Scenario(
        prepare=ann_enrolled,
        play=freeze_while_selling,
        holdings={"ann": "cash 0, GLD 25, SPY 10.833325, TLT 6.6667"},
        runs={"ann": ["COMPLETED*"]},
        faults={"fill_delay_s": 15},
    ),
    "split while selling": Scenario(
        prepare=ann_asked_for,
        play=split_while_selling,
        holdings={"ann": "cash 0, SPY 30, TLT 40"},
        runs={"ann": ["COMPLETED*", "COMPLETED"]},
        faults={"fill_delay_s": 15},
    ),
    "rename while buying": Scenario(
        prepare=ann_asked_for,
        play=rename_while_buying,
        holdings={"ann": "cash 0, NEW 15, TLT 40"},
        runs={"ann": ["COMPLETED"]},
        faults={"fill_delay_s": 15},
    ),
    "six accounts": Scenario(prepare=six_enrolled, play=just_work, holdings=SIX_HOLDINGS, runs=SIX_RUNS),
    "six accounts in batches of two, half the replies lost": Scenario(
        prepare=six_enrolled,
        play=just_work,
        holdings=SIX_HOLDINGS,
        runs=SIX_RUNS,
        setup=Setup(batch=2),
        faults={"lost_reply": "0.5", "partial_fill": "0.5", "seed": 3},
    ),
}
