"""The order protocol, row by row: what a run does next in each state, for each fact.

The run is that of `examples`: sell two A for $200, then buy B for $120 and C for $80; $60 are in cash, of
which $50 must stay.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from tests.core.examples import (
    BEFORE,
    BUY_B,
    BUY_C,
    DEADLINE,
    PRICES,
    QUARANTINE,
    SELL_A,
    START,
    basis,
    decimals,
    facts,
    filled,
    holdings,
    looked,
    order,
    plan,
    run,
    utc,
    weights,
)
from trimtab.core.decide import UNVALUED_POLL, decide
from trimtab.core.doubt import CASH_GRACE, POSITIONS_GRACE, Traded
from trimtab.core.plan import Holdings, Leg, Plan
from trimtab.core.run import Order, OrderState, RunKind, RunState, Side, order_id
from trimtab.core.sessions import Window
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.step import Abandon, Ask, CancelOrders, Finish, Look, Resend, Step, StorePlan, Submit, Wait

QUEUED, PLANNED = RunState.QUEUED, RunState.PLANNED
SELLING, BUYING, COMPLETED = RunState.SELLING, RunState.BUYING, RunState.COMPLETED
CANCELED, FAILED, TIMED_OUT = RunState.CANCELED, RunState.FAILED, RunState.TIMED_OUT
SENDING, OPEN = OrderState.SENDING, OrderState.OPEN

ID_A, ID_B, ID_C = (order_id("tenant-1", "run-1", leg=n, generation=0) for n in range(3))
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
KILL = "frozen: by hand"
NOTHING = holdings("0")

# The account after the sale for just what was planned, and after the buys.
SOLD = filled(SELL_A, "2", "200")
AFTER_SALE = holdings("260", A="8", B="2")
BOUGHT = (SOLD, filled(BUY_B, "2.4", "120"), filled(BUY_C, "4", "80"))
AFTER_ALL = holdings("60", A="8", B="4.4", C="4")


def asked(*ids: str) -> dict[str, Any]:
    return {"asked": frozenset(ids)}


def skip(leg: Leg, reason: SkipReason, details: str) -> Skip:
    notional = Decimal(200) if leg is SELL_A else leg.notional
    assert notional is not None
    return Skip(
        leg=leg.number, symbol=leg.symbol, side=leg.side, notional=notional, reason=reason, details=details
    )


# The queue.

SHUT = Window(is_open=False, may_start=False, opens_at=utc("2024-07-09 13:30"), deadline_at=None)
CASH = basis(holdings=holdings("1000"))

# rule, the run, what is known, the step
QUEUE: list[tuple[str, dict[str, Any], dict[str, Any], Step]] = [
    ("look before planning", {}, {}, Look()),
    ("canceled", {"stop": CANCELED}, {}, Finish(state=CANCELED)),
    (
        "canceled, with its reason",
        {"stop": CANCELED, "reason": "asked"},
        {},
        Finish(state=CANCELED, reason="asked"),
    ),
    ("failed", {"stop": FAILED, "reason": "internal"}, {}, Finish(state=FAILED, reason="internal")),
    ("canceled while frozen", {"stop": CANCELED}, {"frozen": KILL}, Finish(state=CANCELED)),
    ("canceled while shut", {"stop": CANCELED}, {"window": SHUT}, Finish(state=CANCELED)),
    (
        "canceled for a strategy that is gone too",
        {"stop": CANCELED, "reason": "asked"},
        {"strategy_active": False},
        Finish(state=CANCELED, reason="asked"),
    ),
    (
        "the strategy is gone",
        {},
        {"strategy_active": False},
        Finish(state=CANCELED, reason="the weights to follow are not active"),
    ),
    (
        "the strategy is gone, frozen and shut",
        {},
        {"strategy_active": False, "frozen": KILL, "window": SHUT},
        Finish(state=CANCELED, reason="the weights to follow are not active"),
    ),
    ("frozen", {}, {"frozen": KILL}, Wait(None, KILL)),
    ("frozen and shut", {}, {"frozen": KILL, "window": SHUT}, Wait(None, KILL)),
    ("frozen although all is known", {}, {"frozen": KILL, "basis": CASH}, Wait(None, KILL)),
    ("shut", {}, {"window": SHUT}, Wait(utc("2024-07-09 13:30"), "the market does not let runs start now")),
    (
        "open but too late",
        {},
        {"window": replace(SHUT, is_open=True)},
        Wait(utc("2024-07-09 13:30"), "the market does not let runs start now"),
    ),
    (
        "shut although all is known",
        {},
        {"window": SHUT, "basis": CASH},
        Wait(utc("2024-07-09 13:30"), "the market does not let runs start now"),
    ),
    (
        "the account is closed",
        {},
        {"account_active": False, "basis": basis(holdings=NOTHING)},
        Finish(state=CANCELED, reason="the account is not active"),
    ),
    ("nobody has looked whether the account is closed", {}, {"account_active": False}, Look()),
    (
        "a price of something held is missing",
        {},
        {"basis": replace(CASH, holdings=holdings("0", OLD="1"))},
        Wait(START + UNVALUED_POLL, "no current price for OLD"),
    ),
    (
        "a split of something held is not complete",
        {},
        {"basis": replace(CASH, holdings=holdings("0", A="1"), unsettled={"A": "A splits"})},
        Wait(START + UNVALUED_POLL, "A splits"),
    ),
    ("a frozen symbol holds nothing up", {}, {"frozen_symbols": frozenset("A")}, Look()),
]


@pytest.mark.parametrize(("about", "known", "step"), [pytest.param(*case[1:], id=case[0]) for case in QUEUE])
def test_in_the_queue(about: dict[str, Any], known: dict[str, Any], step: Step) -> None:
    assert decide(run(QUEUED, **about), facts(plan=None, **known), now=START) == step


def test_a_plan_is_stored_with_its_deadline_before_anything_is_sent() -> None:
    step = decide(run(QUEUED), facts(plan=None, basis=CASH), now=START)
    assert isinstance(step, StorePlan)
    assert step.deadline_at == DEADLINE
    assert [(leg.symbol, leg.notional) for leg in step.plan.legs] == [
        ("A", Decimal(500)),
        ("B", Decimal(500)),
    ]


# What the account's last run has traded: two A, of ten, just now.

JUST_SOLD = Traded(plan=plan(), orders=(SOLD,), changed_at=START)
CASH_LATE = "the broker shows $300, our fills make it $260"
NOT_SHOWN = "the broker shows 10 A, our fills make it 8"
TOO_NEW = Wait(START + timedelta(seconds=5), NOT_SHOWN)

# rule, what was traded, the account, when, what the run does: None if it makes its plan
AFTER_ANOTHER: list[tuple[str, Traded | None, Holdings, datetime, Step | None]] = [
    ("nothing was traded lately", None, BEFORE, START, None),
    ("the account shows it", JUST_SOLD, holdings("260", A="8", B="2"), START, None),
    ("the account does not show it", JUST_SOLD, BEFORE, START, TOO_NEW),
    (
        "it shows the shares of now and other cash",
        JUST_SOLD,
        holdings("300", A="8", B="2"),
        START,
        Wait(START + timedelta(seconds=5), CASH_LATE),
    ),
    (
        "also at the last moment",
        JUST_SOLD,
        holdings("300", A="8", B="2"),
        START + CASH_GRACE - MICROSECOND,
        Wait(START + CASH_GRACE, CASH_LATE),
    ),
    (
        "then the cash has come without our knowledge",
        JUST_SOLD,
        holdings("300", A="8", B="2"),
        START + CASH_GRACE,
        None,
    ),
    (
        "a thousandth and a cent are fees and rounding",
        JUST_SOLD,
        holdings("259.79", A="8", B="2"),
        START,
        None,
    ),
    (
        "and no more",
        JUST_SOLD,
        holdings("259.78", A="8", B="2"),
        START,
        Wait(START + timedelta(seconds=5), "the broker shows $259.78, our fills make it $260"),
    ),
    (
        "nor does one after a run that traded nothing, though it knew the cash",
        replace(JUST_SOLD, orders=()),
        holdings("300", A="10", B="2"),
        START,
        Wait(START + timedelta(seconds=5), "the broker shows $300, our fills make it $60"),
    ),
    (
        "what is known to have come has come",
        replace(JUST_SOLD, moved=frozenset(map(Decimal, ("0", "40")))),
        holdings("300", A="8", B="2"),
        START,
        None,
    ),
    (
        "nor at the last moment",
        JUST_SOLD,
        BEFORE,
        START + MINUTE - MICROSECOND,
        Wait(START + MINUTE, NOT_SHOWN),
    ),
    ("a minute later the broker is right", JUST_SOLD, BEFORE, START + MINUTE, None),
    (
        "a run that traded nothing had seen what was traded before it",
        replace(JUST_SOLD, plan=plan(holdings=AFTER_SALE), orders=()),
        BEFORE,
        START,
        TOO_NEW,
    ),
]


@pytest.mark.parametrize(
    ("previous", "account", "now", "step"), [pytest.param(*case[1:], id=case[0]) for case in AFTER_ANOTHER]
)
def test_a_plan_knows_what_was_traded_just_before(
    previous: Traded | None, account: Holdings, *, now: datetime, step: Step | None
) -> None:
    known = facts(plan=None, previous=previous, basis=looked(account))
    decided = decide(run(QUEUED), known, now=now)
    assert isinstance(decided, StorePlan) if step is None else decided == step


def test_whoever_waits_for_the_account_can_be_canceled() -> None:
    known = facts(plan=None, previous=JUST_SOLD, basis=looked(BEFORE))
    assert decide(run(QUEUED, stop=CANCELED), known, now=START) == Finish(state=CANCELED)
    closed = replace(known, account_active=False)
    gone = Finish(state=CANCELED, reason="the account is not active")
    assert decide(run(QUEUED), closed, now=START) == gone


def test_an_account_without_money_gets_an_empty_plan() -> None:
    step = decide(run(QUEUED), facts(plan=None, basis=basis(holdings=NOTHING)), now=START)
    assert isinstance(step, StorePlan)
    assert (step.plan.legs, step.plan.skips) == ((), ())


@pytest.mark.parametrize("days", [0, 1, 30])
def test_a_run_never_times_out_in_the_queue(days: int) -> None:
    assert decide(run(QUEUED), facts(plan=None), now=START + timedelta(days=days)) == Look()


# Sells.

FIRST_SALE = Submit(SELLING, (order(SELL_A, sent_at=START + MINUTE),), ())
WORKING = "orders are working at the broker"

# rule, the run's state, its orders, what is known, the step, a minute after the start
SELLS: list[tuple[str, RunState, tuple[Order, ...], dict[str, Any], Step]] = [
    ("sells come first", PLANNED, (), {}, FIRST_SALE),
    ("sells need no look at the account", PLANNED, (), {"basis": looked(BEFORE)}, FIRST_SALE),
    ("nothing leaves while frozen", PLANNED, (), {"frozen": KILL}, Wait(DEADLINE, KILL)),
    ("a working sale is asked about", SELLING, (order(SELL_A, OPEN),), {}, Ask((ID_A,))),
    ("a working sale is waited for", SELLING, (order(SELL_A, OPEN),), asked(ID_A), Wait(DEADLINE, WORKING)),
    (
        "a sale half filled is waited for",
        SELLING,
        (order(SELL_A, OPEN, filled_quantity=Decimal(1), filled_value=Decimal(100)),),
        {**asked(ID_A), "basis": looked(holdings("160", A="9", B="2"))},
        Wait(DEADLINE, WORKING),
    ),
    ("a sale that may have been sent is asked about", SELLING, (order(SELL_A),), {}, Ask((ID_A,))),
    ("the account is looked at after the sale", SELLING, (SOLD,), {}, Look()),
]


@pytest.mark.parametrize(
    ("state", "orders", "known", "step"), [pytest.param(*case[1:], id=case[0]) for case in SELLS]
)
def test_sells(state: RunState, orders: tuple[Order, ...], *, known: dict[str, Any], step: Step) -> None:
    assert decide(run(state), facts(orders=orders, **known), now=START + MINUTE) == step


def test_all_sells_leave_together_and_only_sells() -> None:
    second = Leg(number=1, symbol="B", side=Side.SELL, quantity=Decimal(1), notional=None, price=Decimal(50))
    made = plan(legs=(SELL_A, second, replace(BUY_C, number=2)))
    step = decide(run(), facts(plan=made), now=START)
    assert step == Submit(SELLING, (order(SELL_A), order(second)), ())


def test_buys_wait_for_the_last_sale() -> None:
    second = Leg(number=1, symbol="B", side=Side.SELL, quantity=Decimal(1), notional=None, price=Decimal(50))
    made = plan(legs=(SELL_A, second, replace(BUY_C, number=2)))
    known = facts(plan=made, orders=(SOLD, order(second, OPEN)), **asked(ID_B), basis=looked(AFTER_SALE))
    assert decide(run(SELLING), known, now=START) == Wait(DEADLINE, WORKING)


# Buys: what they may spend.

# rule, the sale, cash now, what is bought, what is given up
SPENT: list[tuple[str, Order, str, dict[str, str], dict[str, str]]] = [
    ("all that was planned", SOLD, "260", {"B": "120.00", "C": "80.00"}, {}),
    # 192 and 10 are free: 202, more than the 200 that were planned.
    (
        "fills 4 % worse eat the free cash first",
        filled(SELL_A, "2", "192"),
        "252",
        {"B": "120.00", "C": "80.00"},
        {},
    ),
    # 160 and 10 are 170: 170 x 0.6 and 170 x 0.4.
    (
        "fills 20 % worse shrink all buys alike",
        filled(SELL_A, "2", "160"),
        "220",
        {"B": "102.00", "C": "68.00"},
        {},
    ),
    (
        "a better fill buys no more than was planned",
        filled(SELL_A, "2", "230"),
        "290",
        {"B": "120.00", "C": "80.00"},
        {},
    ),
    (
        "half a sale",
        order(SELL_A, OrderState.CANCELED, filled_quantity=Decimal(1), filled_value=Decimal(100)),
        "160",
        {"B": "66.00", "C": "44.00"},
        {},
    ),
    (
        "a refused sale leaves the free cash",
        order(SELL_A, OrderState.REFUSED),
        "60",
        {"B": "6.00", "C": "4.00"},
        {},
    ),
    (
        "money that came in is not the run's",
        order(SELL_A, OrderState.REFUSED),
        "5060",
        {"B": "6.00", "C": "4.00"},
        {},
    ),
    (
        "money that came in does not replace bad fills",
        filled(SELL_A, "2", "160"),
        "9220",
        {"B": "102.00", "C": "68.00"},
        {},
    ),
    ("money that went out is gone", SOLD, "150", {"B": "60.00", "C": "40.00"}, {}),
    ("proceeds that the broker does not show are not spent", SOLD, "60", {"B": "6.00", "C": "4.00"}, {}),
    ("the reserve is not spent", SOLD, "50", {}, {"B": "0", "C": "0"}),
    ("nor touched", SOLD, "20", {}, {"B": "0", "C": "0"}),
    # 2.40 to spend: 1.44 and 0.96 would be too little for the one, so the other gets all.
    ("a buy below the smallest order is given up", SOLD, "52.40", {"B": "2.40"}, {"C": "0"}),
    ("a fraction of a cent is not spent", SOLD, "150.009", {"B": "60.00", "C": "40.00"}, {}),
]


@pytest.mark.parametrize(
    ("sale", "cash", "bought", "given_up"), [pytest.param(*case[1:], id=case[0]) for case in SPENT]
)
def test_buys_spend_executed_proceeds_and_free_cash_and_nothing_else(
    sale: Order, cash: str, *, bought: dict[str, str], given_up: dict[str, str]
) -> None:
    at = START + MINUTE
    left = str(10 - sale.filled_quantity)
    known = facts(orders=(sale,), **asked(ID_A), basis=looked(holdings(cash, A=left, B="2")))
    step = decide(run(SELLING), known, now=at)
    of = {"B": BUY_B, "C": BUY_C}
    planned = {"B": "120", "C": "80"}
    assert step == Submit(
        BUYING,
        tuple(order(of[s], notional=Decimal(each), sent_at=at) for s, each in bought.items()),
        tuple(
            skip(of[s], SkipReason.INSUFFICIENT_CASH, f"${planned[s]} planned, ${rest} left to spend")
            for s, rest in given_up.items()
        ),
    )


def test_positions_that_nothing_explains_after_their_time_give_up_the_buys() -> None:
    known = facts(orders=(SOLD,), **asked(ID_A), basis=looked(holdings("260", A="7", B="2")))
    ends_at = START + POSITIONS_GRACE
    why = "the broker shows 7 A, our fills make it 8"
    assert decide(run(SELLING), known, now=ends_at - MINUTE / 60) == Wait(ends_at, why)
    given_up = tuple(skip(leg, SkipReason.UNEXPLAINED, why) for leg in (BUY_B, BUY_C))
    assert decide(run(SELLING), known, now=ends_at) == Submit(BUYING, (), given_up)


def test_positions_that_had_their_time_are_not_waited_for_again() -> None:
    """Without orders a run has just changed, by giving its buys up."""
    made = plan(legs=(replace(BUY_B, number=0),))
    why = "the broker shows 7 A, our fills make it 10"
    given_up = (skip(made.legs[0], SkipReason.UNEXPLAINED, why),)
    known = facts(plan=made, skips=given_up, basis=looked(holdings("260", A="7", B="2")))
    step = decide(run(BUYING, updated_at=START), known, now=START + SECOND)
    assert step == Finish(state=COMPLETED, adjusted=True, rebalanced=True, hold=why)


def test_a_plan_without_sells_buys_at_once_from_free_cash() -> None:
    made = plan(holdings=holdings("250"), legs=(replace(BUY_B, number=0), replace(BUY_C, number=1)))
    step = decide(run(), facts(plan=made, basis=looked(holdings("250"))), now=START)
    assert isinstance(step, Submit)
    assert (step.state, [each.notional for each in step.orders]) == (BUYING, [Decimal(120), Decimal(80)])


def test_what_buys_of_this_run_have_taken_is_not_spent_again() -> None:
    # B was bought for 120 before C could be sent: 260 - 120 are there, 50 must stay, 80 are left to spend.
    bought = filled(BUY_B, "2.4", "120")
    step = decide(
        run(BUYING),
        facts(orders=(SOLD, bought), basis=looked(holdings("140", A="8", B="4.4"))),
        now=START,
    )
    assert step == Submit(BUYING, (order(BUY_C),), ())
    dear = filled(BUY_B, "2.4", "170")
    short = decide(
        run(BUYING), facts(orders=(SOLD, dear), basis=looked(holdings("90", A="8", B="4.4"))), now=START
    )
    assert short == Submit(BUYING, (order(BUY_C, notional=Decimal("40.00")),), ())


@pytest.mark.parametrize(("drops_duplicates", "left"), [(True, "60"), (False, "40")])
def test_the_dollars_of_a_buy_that_may_surface_are_not_spent_again(
    left: str, *, drops_duplicates: bool
) -> None:
    """The sale brought 50: 110 are there, 50 must stay. Of the 60, B was to take 20 and was given up."""
    given_up = order(BUY_B, OrderState.ABANDONED, notional=Decimal(20))
    sold_badly = filled(SELL_A, "2", "50")
    known = facts(
        orders=(sold_badly, given_up),
        basis=looked(holdings("110", A="8", B="2")),
        drops_duplicates=drops_duplicates,
    )
    step = decide(run(BUYING), known, now=START)
    assert isinstance(step, Submit)
    assert [each.notional for each in step.orders] == [Decimal(left)]


def test_the_smallest_order_of_a_run_is_the_one_it_was_planned_with() -> None:
    """$60 and a reserve of $50 were planned with orders of at least $7."""
    buy = replace(BUY_B, number=0, notional=Decimal("10.00"))
    made = plan(holdings=holdings("60"), legs=(buy,), min_notional=Decimal(7))
    enough = decide(run(), facts(plan=made, basis=looked(holdings("57"))), now=START)
    assert enough == Submit(BUYING, (order(buy, notional=Decimal("7.00")),), ())
    less = decide(run(), facts(plan=made, basis=looked(holdings("56.99"))), now=START)
    assert isinstance(less, Submit)
    assert (less.orders, [given.reason for given in less.skips]) == ((), [SkipReason.INSUFFICIENT_CASH])


def test_buys_wait_for_cash_that_does_not_show_the_sells() -> None:
    """And not for ever: then it has gone elsewhere."""
    stale = facts(orders=(SOLD,), basis=looked(holdings("60", A="8", B="2")))
    why = "the broker shows $60, our fills make it $260"
    assert decide(run(SELLING), stale, now=START) == Wait(START + timedelta(seconds=5), why)
    step = decide(run(SELLING), stale, now=START + CASH_GRACE)
    assert isinstance(step, Submit)
    assert sum(order.notional or 0 for order in step.orders) <= 60


# The gate.

MOVED = "price $121 is more than 20 % from the plan's $100"


def test_what_the_gate_stops_becomes_a_skip_and_the_rest_is_sent() -> None:
    other = Leg(number=1, symbol="B", side=Side.SELL, quantity=Decimal(1), notional=None, price=Decimal(50))
    now = decimals({"A": "121", "B": "50", "C": "20"})
    step = decide(run(), facts(plan=plan(legs=(SELL_A, other)), prices=now), now=START)
    assert step == Submit(SELLING, (order(other),), (skip(SELL_A, SkipReason.PRICE_MOVED, MOVED),))


def test_if_the_gate_stops_all_sells_the_run_goes_on_to_its_buys() -> None:
    now = decimals({"A": "121", "B": "50", "C": "20"})
    stopped = skip(SELL_A, SkipReason.PRICE_MOVED, MOVED)
    assert decide(run(), facts(prices=now), now=START) == Submit(SELLING, (), (stopped,))
    step = decide(run(SELLING), facts(prices=now, skips=(stopped,), basis=looked(BEFORE)), now=START)
    # Only the $10 that are free: 6 and 4.
    assert step == Submit(
        BUYING, (order(BUY_B, notional=Decimal("6.00")), order(BUY_C, notional=Decimal("4.00"))), ()
    )


# rule, what is known, reason, details
GATED: list[tuple[str, dict[str, Any], SkipReason, str]] = [
    ("a frozen symbol", {"frozen_symbols": frozenset("B")}, SkipReason.FROZEN, "B is frozen"),
    ("no price", {"prices": decimals({"C": "20"})}, SkipReason.NO_PRICE, "B has no current price"),
    (
        "a price far away",
        {"prices": decimals({"B": "61", "C": "20"})},
        SkipReason.PRICE_MOVED,
        "price $61 is more than 20 % from the plan's $50",
    ),
]


@pytest.mark.parametrize(
    ("known", "reason", "details"), [pytest.param(*case[1:], id=case[0]) for case in GATED]
)
def test_the_gate_stands_before_buys_too(known: dict[str, Any], reason: SkipReason, details: str) -> None:
    step = decide(run(SELLING), facts(orders=(SOLD,), basis=looked(AFTER_SALE), **known), now=START)
    assert step == Submit(BUYING, (order(BUY_C),), (skip(BUY_B, reason, details),))


# Orders whose fate is unknown.

LATER = START + QUARANTINE
LOST_SALE, LOST_BUY = order(SELL_A), order(BUY_B)
UNKNOWN = "an order's fate is unknown"

# rule, when, what is known, the step; the order was sent at START and the broker does not show it
LOST: list[tuple[str, datetime, dict[str, Any], Step]] = [
    ("asked about first", START, {}, Ask((ID_A,))),
    ("asked about first, also after the quarantine", LATER, {}, Ask((ID_A,))),
    ("asked about first, also when frozen", START, {"frozen": KILL}, Ask((ID_A,))),
    ("waited for", START, asked(ID_A), Wait(LATER, UNKNOWN)),
    ("waited for until the quarantine ends", LATER - MICROSECOND, asked(ID_A), Wait(LATER, UNKNOWN)),
    ("sent again after it, the same", LATER, asked(ID_A), Resend((LOST_SALE,))),
    (
        "given up where duplicates would count twice",
        LATER,
        {**asked(ID_A), "drops_duplicates": False},
        Abandon((LOST_SALE,)),
    ),
    (
        "waited for there as well",
        LATER - MICROSECOND,
        {**asked(ID_A), "drops_duplicates": False},
        Wait(LATER, UNKNOWN),
    ),
    ("not sent again while frozen", LATER, {**asked(ID_A), "frozen": KILL}, Abandon((LOST_SALE,))),
    ("nor its symbol", LATER, {**asked(ID_A), "frozen_symbols": frozenset("A")}, Abandon((LOST_SALE,))),
    (
        "nor at a price that moved away",
        LATER,
        {**asked(ID_A), "prices": decimals({"A": "70"})},
        Abandon((LOST_SALE,)),
    ),
    ("nor without a price", LATER, {**asked(ID_A), "prices": {}}, Abandon((LOST_SALE,))),
    ("waited for while frozen", START, {**asked(ID_A), "frozen": KILL}, Wait(LATER, UNKNOWN)),
]


@pytest.mark.parametrize(("now", "known", "step"), [pytest.param(*case[1:], id=case[0]) for case in LOST])
def test_an_order_whose_fate_is_unknown(now: datetime, known: dict[str, Any], *, step: Step) -> None:
    assert decide(run(SELLING), facts(orders=(LOST_SALE,), **known), now=now) == step


def test_a_run_that_buys_gives_up_the_sells_that_are_not_there() -> None:
    """Only a restored copy can have both: the original had given the sell up, and gone on."""
    known = facts(orders=(LOST_SALE, LOST_BUY), **asked(ID_A, ID_B))
    assert decide(run(BUYING), known, now=LATER) == Abandon((LOST_SALE,))
    assert decide(run(BUYING), known, now=START) == Wait(LATER, UNKNOWN)


def test_of_several_unknown_orders_each_has_its_own_quarantine() -> None:
    early, late = order(BUY_B, sent_at=START), order(BUY_C, sent_at=START + SECOND)
    known = facts(orders=(SOLD, early, late), **asked(ID_B, ID_C))
    assert decide(run(BUYING), known, now=START) == Wait(LATER, UNKNOWN)
    assert decide(run(BUYING), known, now=LATER) == Resend((early,))
    assert decide(run(BUYING), known, now=LATER + SECOND) == Resend((early, late))


def test_only_what_the_gate_stops_is_given_up() -> None:
    known = facts(
        orders=(SOLD, order(BUY_B), order(BUY_C)), **asked(ID_B, ID_C), frozen_symbols=frozenset("B")
    )
    assert decide(run(BUYING), known, now=LATER) == Abandon((order(BUY_B),))
    given_up = replace(known, orders=(SOLD, order(BUY_B, OrderState.ABANDONED), order(BUY_C)))
    assert decide(run(BUYING), given_up, now=LATER) == Resend((order(BUY_C),))


def test_no_sale_and_no_buy_leaves_while_a_fate_is_unknown() -> None:
    second = Leg(number=1, symbol="B", side=Side.SELL, quantity=Decimal(1), notional=None, price=Decimal(50))
    made = plan(legs=(SELL_A, second, replace(BUY_C, number=2)))
    known = facts(plan=made, orders=(LOST_SALE,), **asked(ID_A), basis=looked(BEFORE))
    assert decide(run(SELLING), known, now=START) == Wait(LATER, UNKNOWN)


def test_only_what_was_not_asked_about_is_asked_about() -> None:
    known = facts(orders=(SOLD, order(BUY_B, OPEN), order(BUY_C, OPEN)), **asked(ID_B))
    assert decide(run(BUYING), known, now=START) == Ask((ID_C,))


def test_a_given_up_sale_earns_nothing_and_the_run_goes_on() -> None:
    known = facts(orders=(order(SELL_A, OrderState.ABANDONED),), basis=looked(BEFORE))
    step = decide(run(SELLING), known, now=START)
    assert isinstance(step, Submit)
    assert [each.notional for each in step.orders] == [Decimal("6.00"), Decimal("4.00")]


# Stopping: a cancel, a failure, the deadline; and a freeze, which stops orders but not the run.

POLL = timedelta(seconds=5)
LATE = "the deadline passed before all orders were done"
WAYS: dict[str, tuple[dict[str, Any], datetime, RunState, str | None]] = {
    "cancel": ({"stop": CANCELED}, START + MINUTE, CANCELED, None),
    "failure": ({"stop": FAILED, "reason": "internal"}, START + MINUTE, FAILED, "internal"),
    "deadline": ({}, DEADLINE, TIMED_OUT, LATE),
    "cancel at the deadline": ({"stop": CANCELED}, DEADLINE, CANCELED, None),
}
FREEZE: tuple[dict[str, Any], datetime, RunState, str | None] = ({}, START + MINUTE, BUYING, None)
STATES_AND_ORDERS: list[tuple[RunState, tuple[Order, ...]]] = [
    (PLANNED, ()),
    (SELLING, (order(SELL_A, OrderState.REFUSED),)),
    (SELLING, (order(SELL_A, OrderState.CANCELED),)),
    (SELLING, (order(SELL_A, OrderState.ABANDONED),)),
    (BUYING, (order(SELL_A, OrderState.CANCELED), order(BUY_C, OrderState.REFUSED))),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", range(len(STATES_AND_ORDERS)))
@pytest.mark.parametrize(
    "known",
    [{}, {"frozen": KILL}, {"basis": looked(BEFORE)}, {"basis": looked(NOTHING)}],
    ids=["", "frozen", "looked", "the account is gone"],
)
def test_a_stopped_run_that_has_traded_nothing_ends_at_once(
    way: str, at: int, *, known: dict[str, Any]
) -> None:
    about, now, final, reason = WAYS[way]
    state, orders = STATES_AND_ORDERS[at]
    step = decide(run(state, **about), facts(orders=orders, **known), now=now)
    assert step == Finish(state=final, reason=reason)


# What a stopped run has traded, the account that shows it, and one that does not yet.
TRADED: list[tuple[RunState, tuple[Order, ...], Holdings, str]] = [
    (SELLING, (SOLD,), holdings("260", A="8", B="2"), "the broker shows 10 A, our fills make it 8"),
    (
        SELLING,
        (order(SELL_A, OrderState.CANCELED, filled_quantity=Decimal(1), filled_value=Decimal(100)),),
        holdings("160", A="9", B="2"),
        "the broker shows 10 A, our fills make it 9",
    ),
    (
        BUYING,
        (*BOUGHT[:2], order(BUY_C, OrderState.CANCELED)),
        holdings("140", A="8", B="4.4"),
        "the broker shows 10 A, our fills make it 8",
    ),
    (
        BUYING,
        (
            order(SELL_A, OrderState.REFUSED),
            order(BUY_B, OrderState.CANCELED, filled_quantity=Decimal("0.1"), filled_value=Decimal(5)),
        ),
        holdings("55", A="10", B="2.1"),
        "the broker shows 2 B, our fills make it 2.1",
    ),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", range(len(TRADED)))
@pytest.mark.parametrize("known", [{}, {"frozen": KILL}], ids=["", "frozen"])
def test_a_stopped_run_that_has_traded_ends_when_the_account_shows_it(
    way: str, at: int, *, known: dict[str, Any]
) -> None:
    about, now, final, reason = WAYS[way]
    state, orders, account, why = TRADED[at]
    orders = tuple(replace(each, updated_at=now) for each in orders)
    stopped = run(state, **about)
    assert decide(stopped, facts(orders=orders, **known), now=now) == Look()
    shown = facts(orders=orders, basis=looked(account), **known)
    assert decide(stopped, shown, now=now) == Finish(state=final, reason=reason)
    late = facts(orders=orders, basis=looked(BEFORE), **known)
    cut_short = tuple(o.client_order_id for o in orders if o.state is OrderState.CANCELED)
    if cut_short:
        # An execution may have crossed the cancel.
        assert decide(stopped, late, now=now) == Ask(cut_short)
        late = replace(late, **asked(*cut_short))
    assert decide(stopped, late, now=now) == Wait(now + POLL, why)
    assert decide(stopped, late, now=now + MINUTE - MICROSECOND) == Wait(now + MINUTE, why)
    held = decide(stopped, late, now=now + MINUTE)
    assert held == Finish(state=final, reason=reason, hold=why)


@pytest.mark.parametrize("way", WAYS)
def test_an_account_that_is_gone_keeps_no_run_open(way: str) -> None:
    """The broker knows it no longer: it shows nothing, and is not active."""
    about, now, final, reason = WAYS[way]
    gone = facts(
        orders=(replace(SOLD, updated_at=now),),
        basis=looked(NOTHING),
        account_active=False,
        strategy_active=False,
    )
    why = "the broker shows 0 A, our fills make it 8"
    stopped = run(SELLING, **about)
    assert decide(stopped, gone, now=now) == Wait(now + POLL, why)
    assert decide(stopped, gone, now=now + MINUTE) == Finish(state=final, reason=reason, hold=why)


def test_a_client_who_cancels_again_and_again_does_not_put_off_the_end() -> None:
    late = facts(orders=(replace(SOLD, updated_at=START),), basis=looked(BEFORE))
    insisting = run(SELLING, stop=CANCELED, updated_at=START + MINUTE)
    step = decide(insisting, late, now=START + MINUTE)
    assert isinstance(step, Finish)
    assert step.hold == "the broker shows 10 A, our fills make it 8"


@pytest.mark.parametrize("frozen", [None, KILL])
def test_a_run_that_was_done_before_its_deadline_completes_after_it(frozen: str | None) -> None:
    known = facts(orders=BOUGHT, frozen=frozen)
    assert decide(run(BUYING), known, now=DEADLINE) == Look()
    known = replace(known, basis=looked(AFTER_ALL))
    assert decide(run(BUYING), known, now=DEADLINE) == Finish(state=COMPLETED, rebalanced=True)
    canceled = run(BUYING, stop=CANCELED)
    assert decide(canceled, known, now=DEADLINE) == Finish(state=CANCELED)


def test_buys_wait_until_the_positions_show_the_sells() -> None:
    sold = (replace(SOLD, updated_at=START),)
    unseen = facts(orders=sold, basis=looked(BEFORE))
    why = "the broker shows 10 A, our fills make it 8"
    assert decide(run(SELLING), unseen, now=START) == Wait(START + POLL, why)
    step = decide(run(SELLING), unseen, now=START + MINUTE)
    assert isinstance(step, Submit)


@pytest.mark.parametrize("way", [*WAYS, "freeze"])
def test_a_stopped_run_first_asks_about_and_cancels_its_open_orders_and_waits_for_that(way: str) -> None:
    about, now, _, _ = WAYS.get(way, FREEZE)
    known = facts(
        orders=(SOLD, order(BUY_B, OPEN), order(BUY_C, OPEN)), frozen=KILL if way == "freeze" else None
    )
    stopped = run(BUYING, **about)
    assert decide(stopped, known, now=now) == Ask((ID_B, ID_C))
    known = replace(known, **asked(ID_B, ID_C))
    assert decide(stopped, known, now=now) == CancelOrders((ID_B, ID_C))
    known = replace(known, cancel_asked=frozenset({ID_B}))
    assert decide(stopped, known, now=now) == CancelOrders((ID_C,))
    known = replace(known, cancel_asked=frozenset({ID_B, ID_C}))
    assert decide(stopped, known, now=now) == Wait(None, "cancels are under way at the broker")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("drops_duplicates", [True, False], ids=["dedups", "does not"])
def test_a_stopped_run_never_ends_while_a_fate_is_unknown(way: str, *, drops_duplicates: bool) -> None:
    about, now, final, reason = WAYS[way]
    lost = order(BUY_B, sent_at=now)
    known = facts(orders=(SOLD, lost), **asked(ID_B), drops_duplicates=drops_duplicates)
    stopped = run(BUYING, **about)
    assert decide(stopped, known, now=now) == Wait(now + QUARANTINE, UNKNOWN)
    assert decide(stopped, known, now=now + QUARANTINE) == Abandon((lost,))
    given_up = replace(
        known, orders=(SOLD, replace(lost, state=OrderState.ABANDONED)), basis=looked(AFTER_SALE)
    )
    hold = None if drops_duplicates else "the fate of an order is unknown"
    assert decide(stopped, given_up, now=now + QUARANTINE) == Finish(state=final, reason=reason, hold=hold)


@pytest.mark.parametrize("way", [*WAYS, "freeze"])
def test_working_orders_are_canceled_at_once_although_another_s_fate_is_unknown(way: str) -> None:
    about, now, _, _ = WAYS.get(way, FREEZE)
    known = facts(
        orders=(SOLD, order(BUY_B, sent_at=now), order(BUY_C, OPEN)),
        frozen=KILL if way == "freeze" else None,
        **asked(ID_B, ID_C),
    )
    stopped = run(BUYING, **about)
    assert decide(stopped, known, now=now) == CancelOrders((ID_C,))
    known = replace(known, cancel_asked=frozenset({ID_C}))
    assert decide(stopped, known, now=now) == Wait(now + QUARANTINE, UNKNOWN)


def test_the_deadline_is_exact() -> None:
    before = decide(run(), facts(), now=DEADLINE - MICROSECOND)
    assert before == Submit(SELLING, (order(SELL_A, sent_at=DEADLINE - MICROSECOND),), ())
    assert decide(run(), facts(), now=DEADLINE) == Finish(state=TIMED_OUT, reason=LATE)


def test_a_canceled_run_ends_canceled_even_if_everything_was_filled() -> None:
    known = facts(orders=BOUGHT, basis=looked(AFTER_ALL))
    assert decide(run(BUYING, stop=CANCELED), known, now=START) == Finish(state=CANCELED)


def test_a_thawed_run_goes_on_with_what_was_not_sent() -> None:
    stopped = order(SELL_A, OrderState.CANCELED)
    frozen = facts(orders=(stopped,), frozen=KILL)
    assert decide(run(SELLING), frozen, now=START) == Wait(DEADLINE, KILL)
    thawed = replace(frozen, frozen=None, basis=looked(BEFORE))
    step = decide(run(SELLING), thawed, now=START)
    assert isinstance(step, Submit)
    assert [each.symbol for each in step.orders] == ["B", "C"], "the canceled sale is not sent again"


FILLED_ALL = looked(AFTER_ALL)
REFUSED_C = (*BOUGHT[:2], order(BUY_C, OrderState.REFUSED))
CUT_SHORT = (
    *BOUGHT[:2],
    order(BUY_C, OrderState.CANCELED, filled_quantity=Decimal(4), filled_value=Decimal(80)),
)
DONE = Finish(state=COMPLETED, rebalanced=True)
DONE_BUT = replace(DONE, adjusted=True)
WITHOUT_C = looked(holdings("140", A="8", B="4.4"))

# rule, orders, what is known, when, the step
STOPPED_LATE: list[tuple[str, tuple[Order, ...], dict[str, Any], datetime, Step]] = [
    ("the deadline finds everything filled", BOUGHT, {"basis": FILLED_ALL}, DEADLINE, DONE),
    ("and nobody has looked yet", BOUGHT, {}, DEADLINE, Look()),
    ("the deadline finds an order refused", REFUSED_C, {"basis": WITHOUT_C}, DEADLINE, DONE_BUT),
    (
        "the deadline finds an order cut short",
        CUT_SHORT,
        {"basis": FILLED_ALL},
        DEADLINE,
        Finish(state=TIMED_OUT, reason=LATE),
    ),
    (
        "the deadline finds an order given up",
        (*BOUGHT[:2], order(BUY_C, OrderState.ABANDONED)),
        {"basis": WITHOUT_C},
        DEADLINE,
        Finish(state=TIMED_OUT, reason=LATE),
    ),
    (
        "the deadline finds a leg unsent",
        BOUGHT[:2],
        {"basis": WITHOUT_C},
        DEADLINE,
        Finish(state=TIMED_OUT, reason=LATE),
    ),
    ("a freeze finds everything filled", BOUGHT, {"basis": FILLED_ALL, "frozen": KILL}, START, DONE),
    ("a freeze finds an order refused", REFUSED_C, {"basis": WITHOUT_C, "frozen": KILL}, START, DONE_BUT),
    (
        "a freeze finds an order cut short",
        CUT_SHORT,
        {"basis": FILLED_ALL, "frozen": KILL},
        START,
        Wait(DEADLINE, KILL),
    ),
    (
        "a freeze finds a leg unsent",
        BOUGHT[:2],
        {"basis": WITHOUT_C, "frozen": KILL},
        START,
        Wait(DEADLINE, KILL),
    ),
]


@pytest.mark.parametrize(
    ("orders", "known", "now", "step"), [pytest.param(*case[1:], id=case[0]) for case in STOPPED_LATE]
)
def test_a_deadline_or_a_freeze_stops_only_what_is_not_done(
    orders: tuple[Order, ...], known: dict[str, Any], *, now: datetime, step: Step
) -> None:
    assert decide(run(BUYING), facts(orders=orders, **known), now=now) == step


def test_working_orders_of_a_frozen_symbol_are_canceled_and_the_others_go_on() -> None:
    known = facts(
        orders=(SOLD, order(BUY_B, OPEN), order(BUY_C, OPEN)),
        frozen_symbols=frozenset("B"),
        **asked(ID_B, ID_C),
    )
    assert decide(run(BUYING), known, now=START) == CancelOrders((ID_B,))
    known = replace(known, cancel_asked=frozenset({ID_B}))
    assert decide(run(BUYING), known, now=START) == Wait(DEADLINE, WORKING)


# The end.

EMPTY: dict[str, Any] = {"plan": plan(legs=())}
SKIPPED_A = skip(SELL_A, SkipReason.FROZEN, "A is frozen")
PLAN_SKIP = replace(SKIPPED_A, leg=None)


def shrunk(*notionals: str) -> tuple[Order, ...]:
    """Both buys, filled for less than was planned: $120 and $80."""
    return (
        SOLD,
        filled(BUY_B, "2.4", notionals[0], notional=Decimal(notionals[0])),
        filled(BUY_C, "4", notionals[1], notional=Decimal(notionals[1])),
    )


# What neither orders nor skips tell of an end that is adjusted.
UNSEEN = {
    "less than was asked for": "less could be sold than was asked for",
    "buys that shrank by an order together": "its buys are $1 smaller than planned: there was less to spend",
}
# rule, orders, what is known, the account, whether adjusted
ENDS: list[tuple[str, tuple[Order, ...], dict[str, Any], Holdings, bool]] = [
    ("everything filled", BOUGHT, {}, AFTER_ALL, False),
    ("nothing to send", (), EMPTY, BEFORE, False),
    ("nothing to send, something skipped", (), {"plan": plan(legs=(), skips=(PLAN_SKIP,))}, BEFORE, True),
    ("less than was asked for", (), {"plan": plan(legs=(), short=True)}, BEFORE, True),
    ("a skip on the way", BOUGHT[1:], {"skips": (SKIPPED_A,)}, holdings("60", A="10", B="4.4", C="4"), True),
    ("a refused order", REFUSED_C, {}, holdings("140", A="8", B="4.4"), True),
    (
        "an order canceled at the broker",
        (
            *BOUGHT[:2],
            order(BUY_C, OrderState.CANCELED, filled_quantity=Decimal(1), filled_value=Decimal(20)),
        ),
        {},
        holdings("120", A="8", B="4.4", C="1"),
        True,
    ),
    (
        "an order given up, provably never there",
        (*BOUGHT[:2], order(BUY_C, OrderState.ABANDONED)),
        {},
        holdings("140", A="8", B="4.4"),
        True,
    ),
    ("buys that shrank by less than an order", shrunk("119.60", "79.41"), {}, AFTER_ALL, False),
    ("buys that shrank by an order together", shrunk("119.60", "79.40"), {}, AFTER_ALL, True),
    ("cash that came in is nobody's business", BOUGHT, {}, holdings("5060", A="8", B="4.4", C="4"), False),
    ("a position of zero is no position", BOUGHT, {}, holdings("60", A="8", B="4.4", C="4", D="0"), False),
]


@pytest.mark.parametrize(
    ("rule", "orders", "known", "account", "adjusted"), [pytest.param(*case, id=case[0]) for case in ENDS]
)
def test_a_run_completes_when_the_positions_agree(
    rule: str, orders: tuple[Order, ...], *, known: dict[str, Any], account: Holdings, adjusted: bool
) -> None:
    about = run(BUYING if orders else PLANNED)
    assert decide(about, facts(orders=orders, **known), now=START) == Look()
    step = decide(about, facts(orders=orders, basis=looked(account), **known), now=START)
    why = UNSEEN.get(rule)
    assert step == Finish(state=COMPLETED, adjusted=adjusted, reason=why, rebalanced=True)


# rule, the run, its plan, whether the cooldown starts
REBALANCED: list[tuple[str, dict[str, Any], Plan, bool]] = [
    ("a full rebalance", {}, plan(legs=()), True),
    ("investing cash", {"kind": RunKind.INVEST_CASH}, plan(legs=()), False),
    ("raising cash", {"kind": RunKind.PARTIAL_LIQUIDATION}, plan(legs=()), False),
    ("a full rebalance of a cent", {}, plan(legs=(), equity=Decimal("0.01")), True),
    ("a full rebalance of nothing", {}, plan(legs=(), equity=Decimal(0)), False),
]


@pytest.mark.parametrize(
    ("about", "made", "rebalanced"), [pytest.param(*case[1:], id=case[0]) for case in REBALANCED]
)
def test_only_a_full_rebalance_of_something_starts_the_cooldown(
    about: dict[str, Any], made: Plan, *, rebalanced: bool
) -> None:
    step = decide(run(**about), facts(plan=made, basis=looked(BEFORE)), now=START)
    assert step == Finish(state=COMPLETED, rebalanced=rebalanced)


# rule, the account, what differs
DIFFERING = [
    (
        "a fill that the broker does not show",
        holdings("60", A="8", B="2", C="4"),
        "the broker shows 2 B, our fills make it 4.4",
    ),
    (
        "a nano",
        holdings("60", A="8", B="4.4", C="4.000000001"),
        "the broker shows 4.000000001 C, our fills make it 4",
    ),
    ("a position that is gone", holdings("60", A="8", B="4.4"), "the broker shows 0 C, our fills make it 4"),
    (
        "a position from nowhere",
        holdings("60", A="8", B="4.4", C="4", D="1"),
        "the broker shows 1 D, our fills make it 0",
    ),
]


@pytest.mark.parametrize(("account", "why"), [pytest.param(*case[1:], id=case[0]) for case in DIFFERING])
def test_if_the_positions_differ_the_run_waits_a_minute_and_then_the_account_is_held(
    account: Holdings, why: str
) -> None:
    known = facts(orders=BOUGHT, basis=looked(account))
    assert decide(run(BUYING), known, now=START) == Wait(START + POLL, why)
    assert decide(run(BUYING), known, now=START + MINUTE - MICROSECOND) == Wait(START + MINUTE, why)
    held = decide(run(BUYING), known, now=START + MINUTE)
    assert held == Finish(state=COMPLETED, rebalanced=True, hold=why)


def test_the_minute_counts_from_the_last_change_of_an_order() -> None:
    last = replace(BOUGHT[2], updated_at=START + 10 * MINUTE)
    lagging = holdings("60", A="8", B="4.4")
    known = facts(
        orders=(replace(BOUGHT[0], updated_at=START + MINUTE), BOUGHT[1], last), basis=looked(lagging)
    )
    why = "the broker shows 0 C, our fills make it 4"
    now = START + 10 * MINUTE + SECOND
    assert decide(run(BUYING), known, now=now) == Wait(now + POLL, why)
    held = decide(run(BUYING), known, now=START + 11 * MINUTE)
    assert held == Finish(state=COMPLETED, rebalanced=True, hold=why)


def test_where_duplicates_count_twice_a_given_up_order_holds_the_account() -> None:
    orders = (*BOUGHT[:2], order(BUY_C, OrderState.ABANDONED))
    known = facts(orders=orders, basis=looked(holdings("140", A="8", B="4.4")), drops_duplicates=False)
    assert decide(run(BUYING), known, now=START) == Finish(
        state=COMPLETED, adjusted=True, rebalanced=True, hold="the fate of an order is unknown"
    )


def test_a_given_up_order_that_was_filled_after_all_shows_in_the_positions() -> None:
    orders = (*BOUGHT[:2], order(BUY_C, OrderState.ABANDONED))
    known = facts(orders=orders, basis=looked(AFTER_ALL), drops_duplicates=False)
    why = "the broker shows 4 C, our fills make it 0"
    assert decide(run(BUYING), known, now=START) == Ask((ID_C,))
    known = replace(known, **asked(ID_C))
    assert decide(run(BUYING), known, now=START) == Wait(START + POLL, why)
    assert decide(run(BUYING), known, now=START + MINUTE) == Finish(
        state=COMPLETED, adjusted=True, rebalanced=True, hold=why
    )


# What holds whatever is known.

ORDER_STATES = [None, *OrderState]
KNOWN: list[dict[str, Any]] = [
    dict(zip(("frozen", "drops_duplicates", "basis", "asked", "cancel_asked"), each, strict=True))
    for each in product(
        (None, KILL),
        (True, False),
        (None, looked(AFTER_SALE)),
        (frozenset[str](), frozenset({ID_A, ID_B})),
        (frozenset[str](), frozenset({ID_A, ID_B})),
    )
]


def in_state(leg: Leg, state: OrderState | None) -> list[Order]:
    return [] if state is None else [order(leg, state)]


@pytest.mark.parametrize("sale", ORDER_STATES, ids=str)
@pytest.mark.parametrize("buy", ORDER_STATES, ids=str)
@pytest.mark.parametrize("stop", [None, CANCELED, FAILED], ids=str)
def test_whatever_is_known_a_step_keeps_the_protocol(
    sale: OrderState | None, buy: OrderState | None, *, stop: RunState | None
) -> None:
    orders = (*in_state(SELL_A, sale), *in_state(BUY_B, buy))
    has_open = any(each.state.is_open for each in orders)
    has_unknown = any(each.state is SENDING for each in orders)
    state = BUYING if buy else SELLING if sale else PLANNED
    for known, now in product(KNOWN, (START, LATER, DEADLINE)):
        step = decide(run(state, stop=stop), facts(orders=orders, **known), now=now)
        stopping = stop is not None or now >= DEADLINE
        match step:
            case Submit():
                assert not stopping, "nothing leaves a stopped run"
                assert not known["frozen"], "nor a frozen account"
                assert not has_unknown, "nor while a fate is unknown"
                legs = [each.leg for each in step.orders] + [each.leg for each in step.skips]
                assert not set(legs) & {each.leg for each in orders}, "no leg is sent twice"
                buys = any(each.side is Side.BUY for each in step.orders)
                assert not (buys and (has_open or not sale)), "no buy before the last sale is final"
                assert not (buys and known["basis"] is None), "no buy without a look at the account"
            case Resend():
                assert known["drops_duplicates"], "never sent again where duplicates count"
                assert not stopping
                assert not known["frozen"]
                assert now >= START + QUARANTINE
            case Abandon():
                assert now >= START + QUARANTINE
                assert all(each.state is SENDING for each in step.orders)
            case Finish():
                assert not has_open, "no run ends with an open order"
                assert step.state is (stop or (TIMED_OUT if stopping else COMPLETED))
            case Wait(until=until):
                assert until is None or until > now, "a wait ends in the future"
            case CancelOrders():
                assert stopping or known["frozen"]
            case Ask():
                assert not set(step.client_order_ids) & known["asked"], "nothing is asked twice"
            case _:
                assert step == Look()
                assert known["basis"] is None


def test_a_final_run_takes_no_step() -> None:
    for state in (COMPLETED, CANCELED, FAILED, TIMED_OUT):
        with pytest.raises(AssertionError, match="takes no step"):
            decide(run(state), facts(), now=START)


def test_a_started_run_has_a_plan_and_a_deadline() -> None:
    with pytest.raises(AssertionError, match="has a plan"):
        decide(run(), facts(plan=None), now=START)
    with pytest.raises(AssertionError, match="has a deadline"):
        decide(run(deadline_at=None), facts(), now=START)


def test_the_plan_s_targets_are_those_that_were_stored() -> None:
    # The strategy has changed since: what is left of the plan is carried out all the same.
    changed = replace(looked(AFTER_SALE), weights=weights(Z="100"), prices=PRICES)
    step = decide(run(SELLING), facts(orders=(SOLD,), basis=changed, strategy_active=False), now=START)
    assert step == Submit(BUYING, (order(BUY_B), order(BUY_C)), ())
