"""The rules of conduct see: a right life breaks none, and each stops lives that are wrong in one thing."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.simulator import conduct
from tests.simulator.sound import (
    BUY,
    CONDUCT,
    EVIDENCE,
    FACTS,
    RUN,
    SELL,
    at,
    fact,
    order,
    plan,
)
from tests.simulator.witness import Conduct, Sending
from trimtab.core.gate import Caps
from trimtab.store.evidence import Evidence, StoredOrder

EXACT_MIN = 3


def evidence(**changes: Any) -> Evidence:
    return replace(EVIDENCE, **changes)


def orders(**changes: Any) -> tuple[StoredOrder, ...]:
    """Both orders, the purchase spoiled."""
    return (order(0), order(1, **changes))


def lived(**changes: Any) -> Conduct:
    return replace(CONDUCT, **changes)


def recorded(**changes: Any) -> Conduct:
    return lived(evidence=evidence(**changes))


def sent(key: str, second: float, outcome: str = "Accepted") -> Sending:
    return Sending(key, at(second), outcome)


PAID_OUT = fact(7, 3, "transfer", amount=Decimal(-50))
SOLD_FOR_LESS = replace(FACTS[3], amount=Decimal(150), price=Decimal(75))
GIVEN_UP = (order(0), order(1, state="ABANDONED", filled_quantity=Decimal(0)))
RAISED = replace(RUN, kind="partial_liquidation")
LATER = replace(RUN, seq=2, id="run-2", slot="session:2026-03-03")
WORKS_ON = FACTS[:3]
LATE_PLAN = replace(plan(), planned_at=at(6.5))
SLOW = (*FACTS[:5], replace(FACTS[5], at=at(20)))
BY_HAND = (
    *FACTS,
    fact(7, 1, "accepted", client_order_id="by hand", symbol="SPY", side="buy", notional=Decimal(1)),
    fact(8, 30, "canceled", client_order_id="by hand"),
)
LATE = at(60)
MOMENT = timedelta(microseconds=1)


def raised(reserve: str, *, later: Any = LATER, amount: str = "150") -> Conduct:
    """The run raised cash; a later one plans with that reserve."""
    after = replace(plan("run-2", reserve=reserve), planned_at=at(10))
    both = evidence(runs=(RAISED, later), plans=(plan(), after))
    return lived(evidence=both, amounts={"run-1": Decimal(amount), "run-2": Decimal(0)})


# rule, what is wrong, the conduct
WRONG_WAYS: list[tuple[str, str, Conduct]] = [
    (
        "plans know",
        "too many shares",
        recorded(plans=(plan(holdings={"cash": "100", "positions": {"SPY": "11"}}),)),
    ),
    (
        "plans know",
        "a position is missing",
        recorded(plans=(plan(holdings={"cash": "100", "positions": {}}),)),
    ),
    (
        "plans know",
        "too much cash",
        recorded(plans=(plan(holdings={"cash": "300", "positions": {"SPY": "10"}}),)),
    ),
    ("plans know", "a trade of before is missing", recorded(plans=(replace(plan(), planned_at=at(5)),))),
    (
        "alone",
        "beside its own sale",
        lived(facts=(*FACTS[:3], replace(FACTS[3], at=at(9))), evidence=evidence(plans=(LATE_PLAN,))),
    ),
    ("alone", "beside its own purchase", lived(facts=SLOW, evidence=evidence(plans=(LATE_PLAN,)))),
    ("alone", "beside a stranger's", lived(facts=BY_HAND)),
    ("their own money", "the reserve is spent", recorded(plans=(plan(reserve="100.01"),))),
    ("their own money", "planned proceeds", lived(facts=(*FACTS[:3], SOLD_FOR_LESS, *FACTS[4:]))),
    ("their own money", "what nobody has", recorded(orders=orders(notional=Decimal("200.01")))),
    (
        "their own money",
        "what a doubtful order may take",
        lived(
            evidence=evidence(orders=GIVEN_UP, plans=(plan(reserve="101"),)),
            facts=FACTS[:4],
            drops_duplicates=False,
        ),
    ),
    ("can be paid", "no cash", lived(sendings=(sent(BUY, 5.5, "insufficient buying power"),))),
    ("can be paid", "no shares", lived(sendings=(sent(SELL, 2.5, "insufficient quantity"),))),
    (
        "can be paid",
        "paid out long before",
        lived(sendings=(sent(BUY, 5.5, "insufficient buying power"),), facts=(*FACTS, PAID_OUT)),
    ),
    ("caps", "too large a buy", lived(caps=Caps(order_max=Decimal(199)))),
    (
        "caps",
        "too large a sale",
        lived(caps=Caps(order_max=Decimal(199)), sendings=(sent(SELL, 2.5),)),
    ),
    ("caps", "too many of a run", lived(caps=Caps(run_orders_max=1))),
    ("caps", "too many a minute", lived(caps=Caps(minute_orders_max=1))),
    (
        "caps",
        "too many a minute with repeats",
        lived(
            caps=Caps(minute_orders_max=1), sendings=(sent(SELL, 2.5, "Unknown"), sent(SELL, 62, "Unknown"))
        ),
    ),
    ("collar", "costs more than planned", lived(prices=((at(0), "TLT", Decimal(121)),))),
    ("collar", "costs less than planned", lived(prices=((at(0), "SPY", Decimal(79)),))),
    ("collar", "nobody knows what it costs", lived(prices=((at(0), "TLT", None),))),
    (
        "collar",
        "cost that too long ago",
        lived(
            prices=((at(0), "TLT", Decimal(100)), (at(1), "TLT", Decimal(121))),
            caps=Caps(price_age_max=at(3) - at(0)),
        ),
    ),
    ("slots", "no slot", recorded(runs=(replace(RUN, slot=None),))),
    ("slots", "two of one slot", recorded(runs=(RUN, replace(RUN, seq=2, id="run-2")))),
    ("slots", "the third of another", recorded(runs=(RUN, LATER, replace(LATER, seq=3, id="run-3")))),
    *(
        (
            "has not left",
            f"and is {state}",
            lived(
                evidence=evidence(orders=orders(state=state)), sendings=(sent(BUY, 5.5, "NotSent"),) * times
            ),
        )
        for state, times in (("ABANDONED", 1), ("ABANDONED", 2), ("FILLED", 1), ("REFUSED", 1))
    ),
    ("given up", "on a fine day", recorded(orders=GIVEN_UP)),
    ("given up", "the sale", recorded(orders=(order(0, state="ABANDONED"), order(1)))),
    ("given up", "both", recorded(orders=(order(0, state="ABANDONED"), order(1, state="ABANDONED")))),
    ("filled", "nothing of it", lived(facts=FACTS[:5])),
    ("filled", "half of a sale", lived(facts=(replace(FACTS[3], quantity=Decimal(1)), FACTS[5]))),
    ("filled", "two cents are left", lived(facts=(FACTS[3], replace(FACTS[5], amount=Decimal("-199.98"))))),
    ("counted", "one too many", lived(counted={"run-1": 3})),
    ("counted", "none", lived(counted={"run-1": 0})),
    ("counted", "of a run without orders", lived(counted={"run-1": 2, "run-2": 1})),
    ("set aside", "nothing is kept", raised("0")),
    ("set aside", "a cent is lacking", raised("99.99")),
    ("set aside", "invested by the next cash run", raised("50", later=replace(LATER, kind="invest_cash"))),
    (
        "set aside",
        "spent by the next raise",
        raised("50", later=replace(LATER, kind="partial_liquidation", initiator="api")),
    ),
    ("canceled in time", "never", lived(facts=WORKS_ON, stops=((None, at(4), LATE),))),
    (
        "canceled in time",
        "too late",
        lived(facts=WORKS_ON, stops=(("a0", at(4), LATE),), cancels={SELL: at(20)}),
    ),
    (
        "canceled in time",
        "another one",
        lived(facts=WORKS_ON, stops=(("a0", at(4), LATE),), cancels={BUY: at(5)}),
    ),
    ("may have left", "no intent", recorded(orders=(order(0),))),
    ("may have left", "another intent since", recorded(orders=orders(intent_at=at(5.6)))),
    (
        "may have left",
        "and was not answered",
        lived(evidence=evidence(orders=(order(0),)), sendings=(sent(BUY, 5.5, "Unknown"),)),
    ),
    ("over", "bought after the end", recorded(runs=(replace(RUN, finished_at=at(6.5)),))),
    ("over", "ordered after the end", recorded(runs=(replace(RUN, finished_at=at(5.8)),))),
    (
        "over",
        "cancelled after the end",
        lived(facts=(*FACTS, fact(7, 9.5, "canceled", client_order_id=BUY))),
    ),
    ("shown", "nobody has looked", lived(looks=())),
    ("shown", "shown without the purchase", lived(looks=((at(8), "a0", {"SPY": Decimal(8)}),))),
    ("shown", "shown before it was so", lived(looks=((at(6.9), *CONDUCT.looks[0][1:]),))),
    ("shown", "shown too late", lived(looks=((at(11), *CONDUCT.looks[0][1:]),))),
    ("sent again", "at once", lived(sendings=(sent(SELL, 2), sent(SELL, 3)))),
    ("sent again", "before the quarantine was over", lived(sendings=(sent(SELL, 2), sent(SELL, 11.9)))),
    (
        "sent again",
        "where duplicates are taken",
        lived(sendings=(sent(SELL, 2, "Unknown"), sent(SELL, 60)), drops_duplicates=False),
    ),
    ("after a cancel", "both orders", lived(canceled={"run-1": at(0)})),
    ("after a cancel", "the purchase", lived(canceled={"run-1": at(3)})),
    ("after a cancel", "at once", lived(canceled={"run-1": EVIDENCE.orders[1].intent_at - MOMENT})),
    ("after the deadline", "both orders", lived(deadlines={"run-1": at(0)})),
    ("after the deadline", "the purchase", lived(deadlines={"run-1": at(3)})),
    ("after the deadline", "with it", lived(deadlines={"run-1": EVIDENCE.orders[1].intent_at})),
    ("paused", "in the middle", lived(paused=(("enrollment-1", at(0), at(2)),))),
    ("paused", "at its beginning", lived(paused=(("enrollment-1", at(0.999), at(10)),))),
    ("paused", "at its end", lived(paused=(("enrollment-1", at(-9), at(1.001)),))),
]


@pytest.mark.parametrize("rule", conduct.RULES)
def test_a_right_life_breaks_no_rule_of_conduct(rule: str) -> None:
    assert list(conduct.RULES[rule](CONDUCT)) == []


@pytest.mark.parametrize(("rule", "wrong"), [(rule, wrong) for rule, _, wrong in WRONG_WAYS])
def test_a_wrong_way_is_seen(rule: str, wrong: Conduct) -> None:
    assert list(conduct.RULES[rule](wrong))


def test_every_rule_has_at_least_three_wrong_lives() -> None:
    wrong = [rule for rule, *_ in WRONG_WAYS]
    counted = {rule: wrong.count(rule) for rule in conduct.RULES}
    assert {rule: n for rule, n in counted.items() if n < EXACT_MIN} == {}
    assert set(wrong) == counted.keys()


def test_the_first_broken_rule_of_a_life_is_named() -> None:
    named_first = next(conduct.misconduct(lived(counted={"run-1": 3})))
    assert named_first == ("counted", "run run-1 says that it sent 3 orders, it sent 2")
