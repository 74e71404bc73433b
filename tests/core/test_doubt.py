"""When an account is held and when it is released: one rule, row by row.

The run is that of `examples`: it sold two A of ten and bought 2.4 B; two B were there before.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.core.examples import BUY_B, BUY_C, SELL_A, START, filled, holdings, order, plan, run
from trimtab.core.doubt import POSITIONS_GRACE, POSITIONS_POLL, Traded, doubt, traded, unseen
from trimtab.core.plan import Holdings
from trimtab.core.run import Order, OrderState

SOLD = filled(SELL_A, "2", "200")
BOUGHT = filled(BUY_B, "2.4", "120")
AFTER = holdings("140", A="8", B="4.4")
UNKNOWN = "the fate of an order is unknown"
OPEN = "an order is still open"
SECOND = timedelta(seconds=1)


def third(state: OrderState, quantity: str = "0") -> Order:
    return order(BUY_C, state, filled_quantity=Decimal(quantity), filled_value=20 * Decimal(quantity))


# rule, what became of the third order, the account, in doubt where duplicates are dropped, and elsewhere
DOUBTS: list[tuple[str, tuple[Order, ...], Holdings, str | None, str | None]] = [
    ("all is shown", (), AFTER, None, None),
    ("cash proves nothing", (), replace(AFTER, cash=Decimal(9)), None, None),
    ("given up", (third(OrderState.ABANDONED),), AFTER, None, UNKNOWN),
    ("shown as canceled after all", (third(OrderState.CANCELED),), AFTER, None, None),
    ("shown as refused after all", (third(OrderState.REFUSED),), AFTER, None, None),
    ("shown as open after all", (third(OrderState.OPEN),), AFTER, OPEN, OPEN),
    (
        "shown as filled, and so does the account",
        (third(OrderState.FILLED, "4"),),
        holdings("60", A="8", B="4.4", C="4"),
        None,
        None,
    ),
    (
        "shown as filled, and the account does not show it",
        (third(OrderState.FILLED, "4"),),
        AFTER,
        "the broker shows 0 C, our fills make it 4",
        "the broker shows 0 C, our fills make it 4",
    ),
    (
        "given up, and the account shows it filled",
        (third(OrderState.ABANDONED),),
        holdings("60", A="8", B="4.4", C="4"),
        "the broker shows 4 C, our fills make it 0",
        "the broker shows 4 C, our fills make it 0",
    ),
    (
        "somebody else has sold",
        (),
        holdings("240", A="7", B="4.4"),
        "the broker shows 7 A, our fills make it 8",
        "the broker shows 7 A, our fills make it 8",
    ),
    (
        "the account is empty",
        (),
        holdings("0"),
        "the broker shows 0 A, our fills make it 8",
        "the broker shows 0 A, our fills make it 8",
    ),
]


@pytest.mark.parametrize(
    ("more", "account", "dropped", "elsewhere"), [pytest.param(*case[1:], id=case[0]) for case in DOUBTS]
)
def test_an_account_is_in_doubt(
    more: tuple[Order, ...], account: Holdings, *, dropped: str | None, elsewhere: str | None
) -> None:
    before = Traded(plan=plan(), orders=(SOLD, BOUGHT, *more), changed_at=START)
    assert doubt(before, account, drops_duplicates=True) == dropped
    assert doubt(before, account, drops_duplicates=False) == elsewhere


def test_what_is_not_shown_is_waited_for_as_long_as_it_may_take() -> None:
    before = Traded(plan=plan(), orders=(SOLD, BOUGHT), changed_at=START)
    late = holdings("260", A="8", B="2")
    why = "the broker shows 2 B, our fills make it 4.4"
    end = START + POSITIONS_GRACE
    assert unseen(before, AFTER, now=START) is None
    assert unseen(before, late, now=START) == (START + POSITIONS_POLL, why)
    assert unseen(before, late, now=end - SECOND) == (end, why)
    assert unseen(before, late, now=end) is None


def test_time_counts_from_the_last_change_of_an_order_and_else_from_the_run() -> None:
    changed = run(updated_at=START + 9 * SECOND)
    orders = [
        replace(SOLD, updated_at=START + 5 * SECOND),
        replace(BOUGHT, updated_at=START + 3 * SECOND),
        third(OrderState.REFUSED),
    ]
    assert traded(changed, plan(), orders=orders).changed_at == START + 5 * SECOND
    assert traded(changed, plan(), orders=[]).changed_at == START + 9 * SECOND


def test_an_order_that_was_given_up_or_canceled_may_still_change() -> None:
    assert {state for state in OrderState if not state.may_change} == {OrderState.FILLED, OrderState.REFUSED}
