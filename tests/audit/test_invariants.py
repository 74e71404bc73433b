"""Each invariant: hand-broken evidence that its check must find, and what must not alarm it."""

from dataclasses import replace

import pytest

from tests.audit.facts import Fact
from tests.audit.world import (
    BOUGHT,
    BOUGHT_AGAIN,
    BOUGHT_MORE,
    BUY,
    BUY_ACCEPTED,
    CANCELED,
    CANCELED_TOO,
    DEPOSIT_B,
    EMPTY,
    EMPTY_PLAN,
    FIRST,
    FIRST_PLAN,
    HELD,
    OPEN,
    OPENED_A,
    ORDERS,
    REJECTED,
    REJECTION,
    SECOND,
    SECOND_BUY,
    SECOND_PLAN,
    SEEDED,
    SELL,
    SELL_ACCEPTED,
    SKIP,
    SKIPPED,
    SOLD,
    TENANT,
    TO_REJECT_ACCEPTED,
    UNKNOWN,
    WEIGHTS,
    WORLD,
    Edit,
    accepted,
    add,
    again,
    at,
    balance,
    body,
    dec,
    drop,
    edit,
    edited,
    events,
    executed,
    leg,
    moving,
)
from trimtab.audit.check import audit
from trimtab.audit.report import Finding, Verdict
from trimtab.core.run import order_id
from trimtab.store.evidence import StoredEvent, StoredPlan


def finding(invariant: str, *edits: Edit) -> Finding:
    world = edited(*edits)
    findings = audit(world.evidence, world.ledger).findings
    return next(each for each in findings if each.id == invariant)


def later(of: int, generation: int, **values: object) -> Edit:
    """A further generation of an order, with its right id."""
    order = ORDERS[of]
    new_id = order_id(TENANT, order.run_id, leg=order.leg, generation=generation)
    return again("orders", of, generation=generation, client_order_id=new_id, **values)


LATER_BUY = replace(ORDERS[BUY], generation=1, client_order_id=order_id(TENANT, "run-1", leg=1, generation=1))
STRANGER = replace(ORDERS[BUY], client_order_id="made-by-hand")
# A sell of run-2, which has only buys in the intact world.
LATE_SELL = replace(
    ORDERS[SELL],
    run_id="run-2",
    leg=2,
    client_order_id=order_id(TENANT, "run-2", leg=2, generation=0),
    intent_at=at(7),
)


def bounded(of: int, worst_price: str) -> Edit:
    return edit("orders", of, worst_price=dec(worst_price))


# Run 1 as it would be with a slippage of 1 %: SPY is sold at $99 or more, TLT bought at $50.50 or less.
BOUNDED = [bounded(SELL, "99"), bounded(BUY, "50.5"), body(FIRST_PLAN, slippage_bps=100)]

BROKEN: list[tuple[str, list[Edit], str]] = [
    ("I1", [edit("orders", SELL, client_order_id="another")], "order another (run run-1 leg 0) must have"),
    ("I1", [edit("runs", FIRST, tenant_id="other")], "must have the id"),
    ("I1", [edit("orders", BUY, generation=1)], "leg 1 generation 1) must have the id"),
    ("I1", [later(UNKNOWN, 1, state="OPEN")], "run run-6 leg 0: generations 0, 1 are live at once"),
    (
        "I1",
        [edit("orders", SELL, quantity=dec("3")), later(SELL, 1, quantity=dec("1.5"))],
        "run run-1 leg 0: 4.5 shares accepted, 4 shares planned",
    ),
    ("I1", [later(BUY, 1, state="CANCELED", notional=dec("0.01"))], "$1200.01 accepted, $1200 planned"),
    ("I1", [edit("orders", SELL, run_id="nowhere")], "(run nowhere leg 0) belongs to no run"),
    ("I1", [again("entries", BUY_ACCEPTED, seq=15)], "was accepted 2 times by the broker"),
    (
        "I1",
        [add("orders", LATER_BUY), add("entries", accepted(LATER_BUY, 15, 8))],
        "the broker has two orders of account A, run run-1, leg 1",
    ),
    ("I2", [edit("orders", SELL, account_id="B")], "is for account B, its run A"),
    ("I2", [drop("plans", FIRST_PLAN)], "(run run-1 leg 0) has no plan"),
    ("I2", [edit("plans", FIRST_PLAN, planned_at=at(9))], "before its plan was stored"),
    ("I2", [edit("orders", SELL, leg=7)], "is of a leg that its plan does not have"),
    ("I2", [edit("orders", SELL, symbol="TLT")], "is to sell TLT, its plan says sell SPY"),
    ("I2", [edit("orders", SELL, side="buy")], "is to buy SPY, its plan says sell SPY"),
    ("I2", [edit("orders", SELL, quantity=dec("3"))], "is to sell 3 shares, its plan says 4 shares"),
    (
        "I2",
        [edit("orders", BUY, notional=None, quantity=dec("24"))],
        "is to buy 24 shares, its plan says $1200",
    ),
    ("I2", [edit("orders", BUY, notional=dec("1200.01"))], "is to buy $1200.01, more than its plan's $1200"),
    (
        # 1 % of the $100 and $50 that the plan was made at.
        "I2",
        [bounded(SELL, "99"), bounded(BUY, "50.51"), body(FIRST_PLAN, slippage_bps=100)],
        "(run run-1 leg 1) may execute up to $50.51, its plan says up to $50.5",
    ),
    (
        "I2",
        [bounded(SELL, "98.99"), bounded(BUY, "50.5"), body(FIRST_PLAN, slippage_bps=100)],
        "(run run-1 leg 0) may execute up to $98.99, its plan says up to $99",
    ),
    ("I2", [body(SECOND_PLAN, slippage_bps=0)], "may execute at any price, its plan says up to $100"),
    ("I2", [edit("orders", BUY, worst_price=dec("51"))], "up to $51, its plan says at any price"),
    ("I2", [edit("orders", BUY, impact_bps_max=9)], "may move its price by 9 bps, its plan says None"),
    ("I2", [body(FIRST_PLAN, impact_bps_max=9)], "may move its price by None bps, its plan says 9"),
    (
        "I2",
        [*BOUNDED, edit("executions", 0, price=dec("98.99"))],
        "(run run-1 leg 0) was executed at $98.99, it allows up to $99",
    ),
    (
        "I2",
        [*BOUNDED, edit("executions", 2, price=dec("50.500000001"))],
        "(run run-1 leg 1) was executed at $50.500000001, it allows up to $50.5",
    ),
    ("I2", [drop("orders", REJECTED)], "(buy SPY, account A) is at the broker and has no intent"),
    ("I2", [add("entries", accepted(STRANGER, 15, 8))], "order made-by-hand (buy TLT, account A) is at"),
    ("I2", [edit("orders", BUY, intent_at=at(3))], "before its intent"),
    ("I2", [edit("entries", BUY_ACCEPTED, account_id="B")], "is at the broker with another body: account B"),
    ("I2", [edit("entries", SELL_ACCEPTED, quantity=dec("5"))], "another body: account A, sell SPY, 5 sh"),
    ("I2", [edit("entries", BUY_ACCEPTED, side="sell")], "another body: account A, sell TLT, $1200"),
    ("I3", [drop("entries", BUY_ACCEPTED)], "is FILLED, and the broker has never accepted it"),
    ("I3", [edit("orders", UNKNOWN, state="OPEN")], "is OPEN, and the broker has never accepted it"),
    ("I3", [edit("orders", UNKNOWN, state="CANCELED")], "is CANCELED, and the broker has never accepted"),
    ("I3", [edit("orders", BUY, state="SENDING")], "is SENDING, and its run is COMPLETED"),
    ("I3", [edit("orders", SECOND_BUY, state="REFUSED")], "is REFUSED, and the broker has not rejected"),
    ("I3", [drop("entries", REJECTION)], "is REFUSED, and the broker has not rejected it"),
    (
        "I3",
        [edit("orders", SECOND_BUY, state="ABANDONED"), drop("entries", BOUGHT_AGAIN)],
        "is ABANDONED, and it is live at the broker",
    ),
    ("I3", [drop("entries", BOUGHT)], "is FILLED, and it is live at the broker"),
    ("I5", [edit("runs", SECOND, cause="")], "run run-2 has no cause"),
    ("I5", [edit("runs", SECOND, cause=" \t")], "run run-2 has no cause"),
    ("I5", [edit("runs", FIRST, slot=None)], "run run-1 was initiated by system and has no slot"),
    ("I5", [edit("runs", SECOND, slot="session:x")], "run run-2 was initiated by api and has the slot sess"),
    ("I5", [edit("runs", SECOND, enrollment_id="e9")], "run run-2 names enrollment e9, which does not exist"),
    ("I5", [edit("runs", SECOND, enrollment_id="enrollment-b")], "names enrollment enrollment-b of another"),
    (
        "I5",
        [edit("runs", SECOND, initiator="system", slot="enrollment:enrollment-a")],
        "runs run-1 and run-2 of account A share slot enrollment:enrollment-a",
    ),
    ("I6", [edit("events", 5, at=at(3))], "account A: runs run-1 (2026-03-02 15:00:00+00:00 to 2026-03-02"),
    ("I6", [edit("runs", EMPTY, account_id="A"), edit("events", 15, at=at(9))], "and run-2"),
    # A run of zero length inside another one, and one that began after it at the same instant.
    ("I6", [edit("events", 9, at=at(7)), edit("events", 10, at=at(7))], "and run-3"),
    ("I6", [edit("events", 10, at=at(9))], "run-3 (2026-03-02 15:00:08+00:00 to 2026-03-02 15:00:09"),
    ("I6", [drop("events", 8), edit("runs", SECOND, state="BUYING", finished_at=None)], "to now) and run-3"),
    ("I7", [balance("A", positions={**HELD, "SPY": dec("6.000000001")})], "holds 6.000000001 SPY at the br"),
    ("I7", [edit("entries", SEEDED, quantity=dec("11"))], "holds 6 SPY at the broker, its ledger makes it 7"),
    ("I7", [edit("entries", SOLD, side="buy")], "holds 6 SPY at the broker, its ledger makes it 14"),
    ("I7", [balance("B", positions={"GLD": dec("1")})], "account B holds 1 GLD at the broker, its ledger"),
    ("I7", [drop("executions", 1)], "execution x2 of order"),
    ("I7", [edit("executions", 1, price=dec("50.01"))], "is 10 at $50 at the broker and 10 at $50.01 in the"),
    ("I7", [edit("executions", 1, quantity=dec("9"))], "is 10 at $50 at the broker and 9 at $50 in the"),
    ("I7", [edit("executions", 1, execution_id="y")], "execution y of order"),
    ("I7", [drop("entries", BOUGHT_AGAIN)], "is missing at the broker and 6 at $50 in the database"),
    (
        "I8",
        [edit("entries", OPENED_A, amount=dec("799"))],
        "entry 8 (executed, account A) leaves $-1 in cash",
    ),
    ("I8", [edit("entries", SEEDED, quantity=dec("3"))], "entry 5 (executed, account A) leaves -1 SPY"),
    (
        "I8",
        [balance("A", cash=dec("400.01"))],
        "account A has $400.01 at the broker, its ledger makes it $40",
    ),
    ("I8", [edit("entries", SOLD, amount=dec("399"))], "moved $399, quantity times price is $400"),
    ("I8", [edit("entries", DEPOSIT_B, kind="gift")], "entry 10 (gift, account B) is of a kind that the aud"),
    (
        "I8",
        [add("entries", Fact(seq=15, at=at(9), kind="opened", account_id="C", amount=dec("1")))],
        "account C is in the ledger and has no balance",
    ),
    ("I8", [edit("adjustments", 0, ref="t9")], "adjustment t9 ($500, account A) is no transfer"),
    ("I8", [edit("adjustments", 0, amount=dec("501"))], "adjustment t1 ($501, account A) is $500 of account"),
    ("I8", [edit("adjustments", 0, account_id="B")], "adjustment t1 ($500, account B) is $500 of account A"),
    ("I9", [again("executions", 0)], "execution x1 of paper is stored twice"),
    ("I9", [edit("executions", 0, client_order_id="none")], "execution x1 is of no order: none"),
    ("I9", [edit("orders", SELL, filled_quantity=dec("3"))], "says 3 shares and $400 filled, its executions"),
    (
        "I9",
        [edit("orders", SELL, filled_value=dec("401"))],
        "says 4 shares and $401 filled, its executions 4",
    ),
    ("I9", [edit("orders", SELL, quantity=dec("3"))], "filled 4 of 3 shares"),
    ("I9", [edit("orders", BUY, notional=dec("1188.10"))], "filled $1200 of $1188.1"),
    ("I9", [edit("orders", SELL, quantity=dec("5"))], "is FILLED with 4 of 5"),
    ("I9", [edit("entries", BOUGHT, execution_id="x3")], "execution x3 is in the broker's ledger twice"),
    ("I10", [edit("events", 1, number=3)], "run run-1: its events are numbered 1, 3, 3, 4, 5"),
    ("I10", [drop("events", 2)], "run run-1: its events are numbered 1, 2, 4, 5"),
    ("I10", [edit("events", 0, state="PLANNED")], "run run-1 begins as PLANNED"),
    ("I10", [edit("events", 3, state="SELLING")], "run run-1 went from SELLING to SELLING"),
    ("I10", [edit("events", 10, state="TIMED_OUT")], "run run-3 went from QUEUED to TIMED_OUT"),
    (
        "I10",
        [add("events", StoredEvent(run_id="run-1", number=6, state="BUYING", at=at(5)))],
        "run run-1 went from COMPLETED to BUYING",
    ),
    ("I10", [edit("events", 6, state="ASLEEP")], "run run-2 went from ASLEEP to BUYING"),
    ("I10", [edit("runs", CANCELED, state="FAILED")], "run run-3 is FAILED, its last event says CANCELED"),
    ("I10", [edit("runs", CANCELED, finished_at=None)], "run run-3 is CANCELED and has no time of its end"),
    ("I10", [edit("runs", OPEN, finished_at=at(9))], "run run-6 is BUYING and ended at 2026-03-02 15:00:09"),
    ("I10", [drop("events", 9), drop("events", 9)], "run run-3 has no events"),
    ("I10", [edit("events", 0, run_id="run-9")], "event 1 (QUEUED) is of no run: run-9"),
    (
        "I11",
        [drop("entries", SOLD)],
        "run run-1: a buy reached the broker at entry 6, while sell",
    ),
    ("I11", [edit("entries", SOLD, quantity=dec("3.999999999"))], "is not final"),
    (
        "I11",
        [edit("entries", SOLD, quantity=dec("2")), again("entries", SOLD, seq=15, quantity=dec("2"))],
        "ended at entry 15",
    ),
    (
        "I11",
        [add("orders", LATE_SELL), add("entries", accepted(LATE_SELL, 15, 8))],
        "run run-2: a buy reached the broker at entry 11, while sell",
    ),
    ("I12", [edit("runs", FIRST, adjusted=True)], "run run-1 is adjusted without a reason"),
    (
        "I12",
        [edit("runs", FIRST, adjusted=True), edit("orders", BUY, updated_at=at(4))],
        "run run-1 is adjusted without a reason",
    ),
    ("I12", [edit("runs", SECOND, adjusted=False)], "run run-2 is not adjusted, although order"),
    ("I12", [body(FIRST_PLAN, short=True)], "is not adjusted, although less was planned than was asked for"),
    ("I12", [body(FIRST_PLAN, skips=[SKIPPED])], "is not adjusted, although 1 trades were skipped"),
    ("I12", [add("skips", replace(SKIP, run_id="run-1"))], "not adjusted, although 1 trades were skipped"),
    (
        "I12",
        [edit("orders", BUY, notional=dec("1199.00"))],
        "is not adjusted, although its buys are $1 smaller than planned",
    ),
    ("I12", [drop("orders", BUY)], "run run-1 is COMPLETED, legs 1 have no order, no skip"),
    ("I12", [edit("orders", BUY, filled_value=dec("1198.99"))], "run run-1: $1198.99 of TLT for 60 % of $20"),
    ("I12", [edit("orders", SELL, filled_quantity=dec("3.9"))], "run run-1: $610 of SPY for 30 % of $2000"),
    (
        "I12",
        [body(FIRST_PLAN, weights={**WEIGHTS, "assets": {"SPY": "31", "TLT": "59"}})],
        "run run-1: $600 of SPY for 31 % of $2000, more than $1 off",
    ),
    (
        "I12",
        [
            body(
                FIRST_PLAN, weights={"assets": {"TLT": "60"}, "cash": "40", "names_cash": True}, reserve="800"
            )
        ],
        "run run-1: $600 of SPY for 0 % of $2000",
    ),
    (
        "I12",
        [body(FIRST_PLAN, weights={"assets": {}, "cash": "100", "names_cash": True}, reserve="2000")],
        "run run-1: $1200 of TLT for 0 % of $2000",
    ),
    ("I12", [body(FIRST_PLAN, equity="1000")], "was planned for $1000, the account was worth $2000"),
    ("I12", [body(FIRST_PLAN, equity="2001")], "was planned for $2001, the account was worth $2000"),
    ("I12", [body(FIRST_PLAN, reserve="199")], "run run-1 reserves $199, less than 10 % of $2000"),
    ("I18", [edit("plans", FIRST_PLAN, body_hash="0")], "run run-1 is not the one that was stored"),
    ("I18", [edit("plans", FIRST_PLAN, body="{}")], "the plan of run run-1 cannot be read"),
    ("I18", [edit("plans", FIRST_PLAN, body="[1")], "the plan of run run-1 cannot be read"),
    ("I18", [body(FIRST_PLAN, equity="much")], "the plan of run run-1 cannot be read"),
    ("I18", [body(FIRST_PLAN, prices={"SPY": "100"})], "the plan of run run-1 cannot be read"),
    ("I18", [drop("plans", EMPTY_PLAN)], "run run-5 has no plan, and left the queue"),
    ("I18", [edit("plans", FIRST_PLAN, run_id="run-3")], "run run-3 has a plan, and never left the queue"),
    (
        "I18",
        [add("plans", StoredPlan(run_id="run-9", body="{}", body_hash="", planned_at=at(0)))],
        "the plan of run run-9 is of no run",
    ),
]

# The sell at $104 instead of $100: $16 more in cash, and nobody promised to chase prices.
MOVED_PRICE = [
    edit("executions", 0, price=dec("104")),
    edit("orders", SELL, filled_value=dec("416")),
    edit("entries", SOLD, price=dec("104"), amount=dec("416")),
    balance("A", cash=dec("416")),
]
LATE_FILL = executed(ORDERS[UNKNOWN], 16, 8, quantity="0.5", price="100", amount="-50", execution_id="x5")

HARMLESS: dict[str, list[Edit]] = {
    "intact": [],
    "a price moved between plan and fill": MOVED_PRICE,
    "buys smaller by less than an order": [
        edit(
            "orders", BUY, notional=dec("1199.50"), filled_quantity=dec("23.99"), filled_value=dec("1199.50")
        ),
        edit("executions", 2, quantity=dec("13.99")),
        edit("entries", BUY_ACCEPTED, notional=dec("1199.50")),
        edit("entries", BOUGHT_MORE, quantity=dec("13.99"), amount=dec("-699.50")),
        balance("A", cash=dec("400.50"), positions={**HELD, "TLT": dec("29.99")}),
    ],
    "all shares are sold and all cash is spent": [
        edit("entries", OPENED_A, amount=dec("800")),
        edit("entries", SEEDED, quantity=dec("4")),
        balance("A", cash=dec("200"), positions={"TLT": dec("30")}),
    ],
    "executions are as bad as they may be": [
        *BOUNDED,
        edit("executions", 0, price=dec("99")),
        edit("orders", SELL, filled_value=dec("396")),
        edit("entries", SOLD, price=dec("99"), amount=dec("396")),
        balance("A", cash=dec("396"), positions=HELD),
    ],
    "a sale that may slip by more than everything": [
        edit("orders", SELL, worst_price=dec("0")),
        edit("orders", BUY, worst_price=dec("125")),
        body(FIRST_PLAN, slippage_bps=15000),
    ],
    "an order that the broker never saw is refused": [
        drop("entries", REJECTION),
        drop("entries", TO_REJECT_ACCEPTED),
    ],
    "an order of an open run is given up": [edit("orders", UNKNOWN, state="ABANDONED")],
    "and surfaces while its run is open": [
        edit("orders", UNKNOWN, state="ABANDONED"),
        add("entries", accepted(ORDERS[UNKNOWN], 15, 8)),
    ],
    "the broker is ahead of an open run": [
        add("entries", accepted(ORDERS[UNKNOWN], 15, 8)),
        add("entries", LATE_FILL),
        balance("B", cash=dec("50"), positions={"SPY": dec("0.5")}),
    ],
    "the account changed while it was read": [
        moving("A"),
        add("entries", accepted(STRANGER, 15, 8)),
        drop("entries", BUY_ACCEPTED),
        edit("executions", 3, execution_id="x9"),
        balance("A", cash=dec("3"), positions={}),
    ],
    "a fill after the end of an adjusted run": [
        edit("runs", FIRST, adjusted=True),
        edit("orders", BUY, updated_at=at(5)),
    ],
    "a leg given up late": [
        drop("orders", REJECTED),
        drop("entries", REJECTION),
        drop("entries", TO_REJECT_ACCEPTED),
        add("skips", SKIP),
    ],
    "money was set aside": [
        edit("runs", CANCELED, kind="partial_liquidation"),
        body(
            FIRST_PLAN,
            holdings={"cash": "1100", "positions": {"SPY": "10"}},
            equity="2000",
            reserve="300",
        ),
    ],
    "a buffer is kept": [
        # 2 % of the equity beside the 10 % of what is left: 588, 1176 and 236 dollars.
        body(FIRST_PLAN, reserve="236", legs=[leg(0, "SPY", sell="4.12"), leg(1, "TLT", buy="1176.00")]),
        edit("orders", SELL, quantity=dec("4.12"), filled_quantity=dec("4.12"), filled_value=dec("412")),
        edit("orders", BUY, notional=dec("1176"), filled_quantity=dec("23.52"), filled_value=dec("1176")),
        edit("executions", 0, quantity=dec("4.12")),
        edit("executions", 2, quantity=dec("13.52")),
        edit("entries", SELL_ACCEPTED, quantity=dec("4.12")),
        edit("entries", SOLD, quantity=dec("4.12"), amount=dec("412")),
        edit("entries", BUY_ACCEPTED, notional=dec("1176")),
        edit("entries", BOUGHT_MORE, quantity=dec("13.52"), amount=dec("-676")),
        balance("A", cash=dec("436"), positions={"SPY": dec("5.88"), "TLT": dec("29.52")}),
    ],
    "the clock was set back before the next run": [
        edit("events", 9, at=at(0)),
        edit("events", 10, at=at(0)),
        edit("events", 0, at=at(1)),
        edit("plans", FIRST_PLAN, planned_at=at(1)),
    ],
    "a queued run fails": [
        edit("runs", CANCELED_TOO, state="FAILED"),
        edit("events", 12, state="FAILED"),
    ],
}


def test_the_intact_world_is_found_intact() -> None:
    report = audit(WORLD.evidence, WORLD.ledger)
    assert report.ok
    assert {each.verdict for each in report.findings} == {Verdict.PASSED}
    assert all(each.checked > 0 for each in report.findings)


@pytest.mark.parametrize(("invariant", "edits", "witness"), BROKEN)
def test_a_broken_world_is_found_broken(invariant: str, edits: list[Edit], witness: str) -> None:
    found = finding(invariant, *edits)
    assert found.verdict is Verdict.FAILED
    assert any(witness in each for each in found.witnesses), found.witnesses


@pytest.mark.parametrize("edits", HARMLESS.values(), ids=HARMLESS)
def test_what_is_right_does_not_alarm(edits: list[Edit]) -> None:
    world = edited(*edits)
    report = audit(world.evidence, world.ledger)
    assert [witness for each in report.findings for witness in each.witnesses] == []


def test_a_broker_may_spend_a_percent_and_a_cent_more_than_was_ordered() -> None:
    """It rounds shares, and trades a moment after it has sized them: 1.01 times $1,188.11 are $1,199.99."""
    assert finding("I9", edit("orders", BUY, notional=dec("1188.11"))).verdict is Verdict.PASSED


def test_every_invariant_is_broken_in_at_least_three_ways() -> None:
    times = [invariant for invariant, _, _ in BROKEN]
    assert all(times.count(each.id) >= 3 for each in audit(WORLD.evidence, WORLD.ledger).findings)


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ((0, 4), (4, 8), False),
        ((4, 4), (4, 4), False),
        ((4, 4), (4, 8), False),
        ((0, 4), (4, 4), False),
        ((4, 8), (0, 4), False),
        ((0, 4), (3, 8), True),
        ((0, 8), (3, 4), True),
        ((0, 8), (3, 3), True),
        ((4, 8), (4, 4), True),
        ((4, 8), (4, 8), True),
        ((0, None), (4, 8), True),
        ((4, None), (0, 4), False),
        ((0, None), (4, None), True),
    ],
)
def test_runs_overlap(
    first: tuple[int, int | None], second: tuple[int, int | None], *, overlap: bool
) -> None:
    found = finding("I6", *runs_of_c(first, second))
    assert (found.broken > 0) is overlap


def test_a_long_run_is_held_against_every_later_one() -> None:
    found = finding("I6", *runs_of_c((0, 8), (1, 2), (3, 4), (8, 9)))
    assert found.broken == 2
    assert all("run-7" in each for each in found.witnesses)


def runs_of_c(*spans: tuple[int, int | None]) -> list[Edit]:
    """Runs of account C, in the order of their insertion, with begin and end."""
    edits: list[Edit] = []
    for seq, (begin, end) in enumerate(spans, start=7):
        final = [] if end is None else [("CANCELED", end)]
        edits.append(
            again(
                "runs",
                CANCELED,
                seq=seq,
                id=f"run-{seq}",
                account_id="C",
                state="CANCELED" if final else "QUEUED",
                created_at=at(begin),
                finished_at=None if end is None else at(end),
            )
        )
        edits += [add("events", event) for event in events(f"run-{seq}", ("QUEUED", begin), *final)]
    return edits


LARGE = [
    body(
        FIRST_PLAN,
        holdings={"cash": "1000000", "positions": {"SPY": "10000"}},
        equity="2000000",
        reserve="200000",
    ),
    edit("orders", SELL, quantity=dec("4000"), filled_quantity=dec("4000"), filled_value=dec("400000")),
]


@pytest.mark.parametrize(
    ("account", "filled", "reached"),
    [
        # Of $2000: the smallest order, $1, counts. Of $2,000,000: 1 bp and a cent, $200.01.
        ([], "1199.00", True),
        ([], "1198.99", False),
        ([], "1201.00", True),
        ([], "1201.01", False),
        (LARGE, "1199799.99", True),
        (LARGE, "1199799.98", False),
        (LARGE, "1200200.01", True),
        (LARGE, "1200200.02", False),
    ],
)
def test_how_far_off_its_target_an_asset_may_be(account: list[Edit], filled: str, *, reached: bool) -> None:
    """TLT is to be 60 % of the equity, from nothing."""
    found = finding("I12", *account, edit("orders", BUY, filled_value=dec(filled)))
    assert (found.broken == 0) is reached
