"""What corporate actions make of positions, of a run under way, and of orders that were planned before."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.core.examples import (
    BUY_B,
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
    weights,
)
from trimtab.core.corporate import (
    CorporateAction,
    Late,
    Payout,
    Rename,
    Split,
    describe,
    names_after,
    pending,
    positions_after,
    since,
)
from trimtab.core.decide import UNVALUED_POLL, decide
from trimtab.core.doubt import Traded, disagreement, doubt, unseen
from trimtab.core.gate import Moment, gate
from trimtab.core.plan import make_plan
from trimtab.core.run import OrderState, RunKind, RunState
from trimtab.core.skip import SkipReason
from trimtab.core.step import Abandon, CancelOrders, Finish, Look, StorePlan, Submit, Wait
from trimtab.core.strategy import AssetTarget, CashTarget, StrategyTarget, with_symbols

SPLIT = SkipReason.CORPORATE_ACTION


def split(new: str, old: str = "1", *, symbol: str = "A", late: Late | None = None) -> Split:
    return Split(id="1", symbol=symbol, new=Decimal(new), old=Decimal(old), late=late)


NEW_NAME = Rename(id="2", symbol="A", new_symbol="Z")
PAID = Payout(id="3", symbol="A")

# new for old, shares before, shares after: worked out by hand, to nine places and down
SHARES = [
    ("2", "1", "10", "20"),
    ("1.5", "1", "7", "10.5"),
    ("1.5", "1", "0.000000001", "0.000000001"),
    ("1.5", "1", "0.000000003", "0.000000004"),
    ("1.5", "1", "3.333333333", "4.999999999"),
    ("1", "10", "25", "2.5"),
    ("1", "10", "0.000000019", "0.000000001"),
    ("1", "10", "0.000000009", "0"),
    ("1", "3", "1", "0.333333333"),
    ("1", "3", "2", "0.666666666"),
    ("1", "7", "9200000000", "1314285714.285714285"),
]


@pytest.mark.parametrize(("new", "old", "before", "after"), SHARES)
def test_a_split_keeps_billionths_of_a_share_and_leaves_what_is_less(
    new: str, old: str, before: str, after: str
) -> None:
    assert split(new, old).shares(Decimal(before)) == Decimal(after)


# what happened to 10 A and 1 B, what the broker shows
AFTER: list[tuple[str, list[CorporateAction], dict[str, str]]] = [
    ("nothing", [], {"A": "10", "B": "1"}),
    ("a split", [split("3")], {"A": "30", "B": "1"}),
    ("a split whose price is late", [split("3", late=Late.PRICE)], {"A": "30", "B": "1"}),
    ("a split whose quantity is late", [split("3", late=Late.QUANTITY)], {"A": "10", "B": "1"}),
    ("a new name", [NEW_NAME], {"Z": "10", "B": "1"}),
    ("a new name that is held", [replace(NEW_NAME, new_symbol="B")], {"B": "11"}),
    ("a split and a new name", [split("2"), NEW_NAME], {"Z": "20", "B": "1"}),
    ("a new name and a split", [NEW_NAME, split("2", symbol="Z")], {"Z": "20", "B": "1"}),
    ("two splits", [split("2"), split("1", "4")], {"A": "5", "B": "1"}),
    ("paid out", [PAID], {"B": "1"}),
    (
        "something that is not held",
        [split("2", symbol="C"), replace(PAID, symbol="C")],
        {"A": "10", "B": "1"},
    ),
]


@pytest.mark.parametrize(("actions", "shown"), [pytest.param(*case[1:], id=case[0]) for case in AFTER])
def test_positions_follow_what_has_arrived(actions: list[CorporateAction], shown: dict[str, str]) -> None:
    assert positions_after(actions, decimals({"A": "10", "B": "1"})) == decimals(shown)


def test_those_after_the_last_one_known_have_come_since() -> None:
    actions: list[CorporateAction] = [split("2"), NEW_NAME, PAID]
    assert since(actions, None) == tuple(actions)
    assert since(actions, "1") == (NEW_NAME, PAID)
    assert since(actions, "3") == ()
    assert since(actions, "forgotten") == tuple(actions)


def test_a_symbol_is_followed_to_its_last_name() -> None:
    again = Rename(id="4", symbol="Z", new_symbol="Y")
    assert names_after([split("2"), NEW_NAME, again]) == {"A": "Y", "Z": "Y"}
    assert names_after([PAID]) == {}


@pytest.mark.parametrize(
    ("actions", "shown"),
    [
        # 2 A sold of ten: 10 for three made 30, less two; 10 to a third is 3.333333333, less two.
        ([split("3")], {"A": "28", "B": "2"}),
        ([split("1", "3")], {"A": "1.333333333", "B": "2"}),
        ([split("3"), NEW_NAME], {"Z": "28", "B": "2"}),
    ],
)
def test_an_order_that_a_split_overtook_is_believed_once_there_was_time_to_show_it(
    actions: list[CorporateAction], shown: dict[str, str]
) -> None:
    before = Traded(plan=plan(), orders=(SOLD,), changed_at=START, actions=tuple(actions))
    account = holdings("0", **shown)
    assert doubt(before, account, drops_duplicates=True) is None
    assert unseen(before, account, now=START) is not None
    assert doubt(replace(before, actions=()), account, drops_duplicates=True) is not None


def test_only_a_split_can_be_incomplete() -> None:
    late = split("2", late=Late.PRICE)
    assert pending([split("3"), NEW_NAME, PAID]) is None
    assert pending([split("3"), late]) == late


def test_each_has_a_line_for_people() -> None:
    assert describe(split("3", "2")) == "the split of A, 3 for 2, is done"
    assert describe(split("2", late=Late.QUANTITY)) == (
        "the split of A, 2 for 1, is not complete, its quantity is late"
    )
    assert describe(NEW_NAME) == "A is now Z"
    assert describe(PAID) == "A was delisted and paid out"


def test_targets_follow_a_new_name_and_two_that_become_one_are_added() -> None:
    nested, cash = StrategyTarget(strategy_id="A", percent=Decimal(10)), CashTarget(percent=Decimal(5))
    targets = (line("A", "20"), nested, line("B", "35"), cash, line("cash", "30"))
    assert with_symbols(targets, {"A": "Z"}) == (line("Z", "20"), *targets[1:])
    assert with_symbols(targets, {"A": "B"}) == (line("B", "55"), nested, cash, line("cash", "30"))
    assert with_symbols(targets, {}) == targets


def line(symbol: str, percent: str) -> AssetTarget:
    return AssetTarget(symbol=symbol, percent=Decimal(percent))


# Plans.


def test_a_line_that_is_only_wanted_is_skipped_while_it_splits_and_the_others_are_traded() -> None:
    made = make_plan(basis(unsettled={"B": "B splits"}, last_actions={"B": "1"}))
    assert [(leg.symbol, leg.notional) for leg in made.legs] == [("A", Decimal(500))]
    (skipped,) = made.skips
    assert (skipped.symbol, skipped.reason, skipped.details) == ("B", SPLIT, "B splits")
    assert skipped.notional == 500
    assert made.last_actions == {"B": "1"}


@pytest.mark.parametrize("kind", [RunKind.FULL_REBALANCE, RunKind.INVEST_CASH])
def test_a_line_that_is_only_wanted_is_skipped_without_a_price_and_the_others_are_traded(
    kind: RunKind,
) -> None:
    made = make_plan(basis(kind=kind, prices=decimals({"A": "100"})))
    assert [(leg.symbol, leg.notional) for leg in made.legs] == [("A", Decimal(500))]
    (skipped,) = made.skips
    assert (skipped.symbol, skipped.reason) == ("B", SkipReason.NO_PRICE)
    assert skipped.details == "no current price for B"
    assert decide(
        run(RunState.QUEUED), facts(plan=None, basis=basis(prices=decimals({"A": "100"}))), now=START
    ) == (StorePlan(make_plan(basis(prices=decimals({"A": "100"}))), DEADLINE))


# The gate.

# what happened, whether selling A, buying B may be sent
GATED: list[tuple[list[CorporateAction], bool, bool]] = [
    ([], True, True),
    # The price would have passed the collar: 10 for 9 moves it by a tenth.
    ([split("10", "9")], False, True),
    ([split("2", late=Late.PRICE)], False, True),
    ([NEW_NAME], False, True),
    ([PAID], False, True),
    ([split("2", symbol="B")], True, False),
    ([NEW_NAME, split("2", symbol="B")], False, False),
]


@pytest.mark.parametrize(("actions", "sells", "buys"), GATED)
def test_what_was_sized_before_a_corporate_action_is_not_sent_after_it(
    actions: list[CorporateAction], *, sells: bool, buys: bool
) -> None:
    for leg, passes in ((SELL_A, sells), (BUY_B, buys)):
        stopped = gate(
            order(leg), plan(), at=Moment(prices=PRICES, frozen_symbols=frozenset(), actions=actions)
        )
        assert (stopped is None) is passes
        assert stopped is None or stopped.reason is SPLIT


# Doubt: the run of the examples has sold 2 of 10 A.

SOLD = filled(SELL_A, "2", "200")

# what happened since the plan, what the account shows, whether it agrees
EXPLAINED: list[tuple[list[CorporateAction], dict[str, str], bool]] = [
    ([split("3")], {"A": "24", "B": "2"}, True),
    ([split("3")], {"A": "8", "B": "2"}, False),
    ([split("3")], {"A": "24.000000001", "B": "2"}, False),
    ([split("3", late=Late.QUANTITY)], {"A": "8", "B": "2"}, True),
    ([split("3", late=Late.QUANTITY)], {"A": "24", "B": "2"}, False),
    ([split("1", "3")], {"A": "2.666666666", "B": "2"}, True),
    ([split("1", "3")], {"A": "2.666666667", "B": "2"}, False),
    ([NEW_NAME], {"Z": "8", "B": "2"}, True),
    ([NEW_NAME], {"A": "8", "B": "2"}, False),
    ([PAID], {"B": "2"}, True),
    ([], {"A": "24", "B": "2"}, False),
]


@pytest.mark.parametrize(("actions", "shown", "agrees"), EXPLAINED)
def test_a_split_in_between_explains_the_positions_to_the_last_digit(
    actions: list[CorporateAction], shown: dict[str, str], *, agrees: bool
) -> None:
    before = Traded(plan=plan(), orders=(SOLD,), changed_at=START, actions=tuple(actions))
    assert (disagreement(before, holdings("0", **shown)) is None) is agrees


# A run under way. It sells two A for $200, then buys B for $120 and C for $80.

HALVED = (split("2", symbol="B"),)
OPEN, SENDING = OrderState.OPEN, OrderState.SENDING


def known(*orders: Any, **changes: Any) -> Any:
    ids = frozenset(each.client_order_id for each in orders)
    return facts(orders=orders, asked=ids, **changes)


def test_an_open_order_of_before_a_split_is_canceled_and_others_work_on() -> None:
    a, b = order(SELL_A, OPEN), order(BUY_B, OPEN)
    assert decide(run(), known(a, b, actions=HALVED), now=START) == CancelOrders((b.client_order_id,))
    canceled = known(a, b, actions=HALVED, cancel_asked=frozenset([b.client_order_id]))
    assert decide(run(), canceled, now=START) == Wait(DEADLINE, "orders are working at the broker")


def test_an_open_order_follows_a_new_name() -> None:
    b = order(BUY_B, OPEN)
    new_name = (replace(NEW_NAME, symbol="B"),)
    sold = filled(SELL_A, "2", "200")
    step = decide(run(RunState.BUYING), known(sold, b, actions=new_name), now=START)
    assert step == Wait(DEADLINE, "orders are working at the broker")


def test_after_a_split_its_line_is_given_up_and_the_other_is_bought() -> None:
    """$60 and $200 are there, $50 must stay: $80 of C, and the $120 for B are left."""
    shown = looked(holdings("260", A="8", B="4"))
    step = decide(run(RunState.SELLING), facts(orders=(SOLD,), basis=shown, actions=HALVED), now=START)
    assert isinstance(step, Submit)
    assert [(each.symbol, each.notional) for each in step.orders] == [("C", Decimal(80))]
    (skipped,) = step.skips
    assert (skipped.symbol, skipped.reason, skipped.details) == (
        "B",
        SPLIT,
        "the split of B, 2 for 1, is done",
    )


def test_an_order_that_may_have_been_sent_before_a_split_is_not_sent_again() -> None:
    lost = order(BUY_B, SENDING)
    asked = known(SOLD, lost, actions=HALVED)
    now = START + QUARANTINE
    assert decide(run(RunState.BUYING), asked, now=now) == Abandon((lost,))


def test_a_run_ends_when_the_split_explains_what_the_account_shows() -> None:
    bought = filled(BUY_B, "2.4", "120")
    skip_c = replace(skipped_c(), leg=2)
    shown = looked(holdings("140", A="8", B="8.8"))
    ended = facts(orders=(SOLD, bought), skips=(skip_c,), basis=shown, actions=HALVED)
    step = decide(run(RunState.BUYING), ended, now=START)
    assert step == Finish(state=RunState.COMPLETED, adjusted=True, rebalanced=True)
    unexplained = replace(ended, actions=())
    assert isinstance(decide(run(RunState.BUYING), unexplained, now=START), Wait)


def skipped_c() -> Any:
    made = make_plan(basis(unsettled={"B": "splits"}))
    return made.skips[0]


def test_what_is_held_and_splits_keeps_a_run_in_the_queue() -> None:
    held = basis(holdings=holdings("10", A="1"), unsettled={"A": "A splits", "B": "B splits"})
    assert decide(run(RunState.QUEUED), facts(plan=None), now=START) == Look()
    assert decide(run(RunState.QUEUED), facts(plan=None, basis=held), now=START) == Wait(
        START + UNVALUED_POLL, "A splits"
    )
    wanted = basis(weights=weights(A="50", B="50"), unsettled={"B": "B splits"})
    assert isinstance(decide(run(RunState.QUEUED), facts(plan=None, basis=wanted), now=START), StorePlan)
