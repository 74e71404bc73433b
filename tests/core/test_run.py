"""Runs and orders as values: what may follow what, and the names of orders."""

from datetime import timedelta
from decimal import Decimal
from itertools import product
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import BUY_B, SELL_A, START, order
from trimtab.core.run import (
    FINAL_STATES,
    ORDER_TRANSITIONS,
    TRANSITIONS,
    Initiator,
    OrderState,
    Run,
    RunKind,
    RunState,
    Side,
    TriggerPolicy,
    order_id,
)

# Written out again, from the words of the protocol: state, then all that may come next.
RUN_EDGES = {
    "QUEUED": "PLANNED CANCELED FAILED",
    "PLANNED": "SELLING BUYING COMPLETED CANCELED FAILED TIMED_OUT",
    "SELLING": "BUYING COMPLETED CANCELED FAILED TIMED_OUT",
    "BUYING": "COMPLETED CANCELED FAILED TIMED_OUT",
    "COMPLETED": "",
    "CANCELED": "",
    "FAILED": "",
    "TIMED_OUT": "",
}
ORDER_EDGES = {
    "SENDING": "OPEN FILLED CANCELED REFUSED ABANDONED",
    "OPEN": "FILLED CANCELED REFUSED",
    "FILLED": "",
    "CANCELED": "FILLED",
    "REFUSED": "",
    "ABANDONED": "OPEN FILLED CANCELED REFUSED",
}


@pytest.mark.parametrize(("before", "after"), list(product(RunState, RunState)))
def test_a_run_moves_only_along_the_published_edges(before: RunState, after: RunState) -> None:
    assert (after in TRANSITIONS[before]) == (after.value in RUN_EDGES[before.value].split())


@pytest.mark.parametrize(("before", "after"), list(product(OrderState, OrderState)))
def test_an_order_moves_only_along_the_published_edges(before: OrderState, after: OrderState) -> None:
    assert (after in ORDER_TRANSITIONS[before]) == (after.value in ORDER_EDGES[before.value].split())


def test_a_run_is_open_until_it_is_completed_canceled_failed_or_timed_out() -> None:
    assert {state for state in RunState if state.is_open} == {
        RunState.QUEUED,
        RunState.PLANNED,
        RunState.SELLING,
        RunState.BUYING,
    }


def test_an_order_is_open_while_its_fate_is() -> None:
    assert {state for state in OrderState if state.is_open} == {OrderState.SENDING, OrderState.OPEN}


@pytest.mark.parametrize(("quantity", "notional"), [("1", "1"), (None, None)])
def test_an_order_is_for_a_quantity_or_for_an_amount(quantity: str | None, notional: str | None) -> None:
    amount = None if quantity is None else Decimal(quantity)
    value = None if notional is None else Decimal(notional)
    with pytest.raises(AssertionError, match="not both"):
        order(SELL_A, quantity=amount, notional=value)


def test_a_new_run_has_sent_nothing_and_waits_in_the_queue() -> None:
    new = Run(
        id="r",
        shard=0,
        tenant_id="t",
        account_id="a",
        strategy_id="s",
        strategy_version=1,
        kind=RunKind.INVEST_CASH,
        initiator=Initiator.API,
        cause="asked for",
        created_at=START,
        updated_at=START,
    )
    assert (new.state, new.stop, new.adjusted, new.orders_sent, new.version) == (
        RunState.QUEUED,
        None,
        False,
        0,
        1,
    )


def test_a_new_order_has_executed_nothing() -> None:
    assert (order(SELL_A).filled_quantity, order(SELL_A).filled_value) == (Decimal(0), Decimal(0))


def test_order_ids_never_change_from_one_version_to_the_next() -> None:
    # Orders that an earlier version has sent are found again by these names.
    namespace = UUID("6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21")
    assert order_id("t", "r", leg=0, generation=0) == str(uuid5(namespace, "t:r:0:0"))
    assert order_id("t", "r", leg=0, generation=0) == "6c09832f-aea9-5f91-b0aa-4a5b008f9331"
    assert order(BUY_B).client_order_id == order_id("tenant-1", "run-1", leg=1, generation=0)


names = st.tuples(st.uuids().map(str), st.uuids().map(str), st.integers(0, 999), st.integers(0, 9))


@given(names, names)
def test_two_intents_share_an_id_only_if_they_are_the_same(
    one: tuple[str, str, int, int], other: tuple[str, str, int, int]
) -> None:
    ids = [
        order_id(tenant, run, leg=leg, generation=generation) for tenant, run, leg, generation in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)
    assert len(ids[0]) == 36


@pytest.mark.parametrize(
    ("side", "price", "worse"),
    [
        (Side.BUY, "100.01", True),
        (Side.BUY, "100.00", False),
        (Side.BUY, "99.99", False),
        (Side.SELL, "99.99", True),
        (Side.SELL, "100.00", False),
        (Side.SELL, "100.01", False),
    ],
)
def test_a_buyer_would_rather_pay_less_and_a_seller_be_paid_more(
    side: Side, price: str, *, worse: bool
) -> None:
    assert side.is_worse(Decimal(price), Decimal(100)) is worse


# Whoever asks again has to wait: the cooldown in seconds, how long ago the last run ended (None: there was
# none), and how long to wait; nothing or less is no wait.
WAITS = [
    (60, None, 0),
    (60, 0, 60),
    (60, 1, 59),
    (60, 59, 1),
    (60, 59.5, 0.5),
    (60, 60, 0),
    (60, 61, -1),
    (60, 86_400, -86_340),
    (0, 0, 0),
    (0, 5, -5),
    (3600, 60, 3540),
    # The last run ended after the moment that is asked about.
    (60, -5, 65),
]


@pytest.mark.parametrize(("cooldown", "ago", "wait"), WAITS)
def test_a_client_waits_from_the_end_of_the_last_run(cooldown: float, ago: float | None, wait: float) -> None:
    policy = TriggerPolicy(cooldown=timedelta(seconds=cooldown), after=FINAL_STATES)
    finished_at = None if ago is None else START - timedelta(seconds=ago)
    assert policy.wait(finished_at, START) == timedelta(seconds=wait)


def test_final_states_are_those_that_nothing_follows() -> None:
    assert {"COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"} == FINAL_STATES


def test_the_broker_may_have_news_of_orders_that_something_may_follow() -> None:
    """A cancelled one may have been filled, one that was given up may have arrived; the rest is final."""
    assert {state for state in OrderState if state.may_change} == {
        OrderState.SENDING,
        OrderState.OPEN,
        OrderState.CANCELED,
        OrderState.ABANDONED,
    }
