"""Orders on Alpaca's wire: what is sent, and which executions follow from what is told."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.brokers.alpaca_server import FINAL
from tests.brokers.market import OPENING, order
from trimtab.brokers.alpaca_orders import STATES, body_of, report_of, wire_order
from trimtab.brokers.broker import OrderReport
from trimtab.core.errors import BrokerDown
from trimtab.core.money import plain
from trimtab.core.run import Order, OrderState, Side

SELL = order("ours", Side.SELL, quantity="10")


def told(
    status: str = "partially_filled", filled: str = "0", average: str | None = None, **more: object
) -> dict[str, object]:
    return {
        "id": "theirs",
        "client_order_id": "ours",
        "symbol": "SPY",
        "side": "sell",
        "qty": "10",
        "notional": None,
        "status": status,
        "filled_qty": filled,
        "filled_avg_price": average,
        "updated_at": OPENING.isoformat(),
        **more,
    }


def report(known: Order, said: object) -> OrderReport:
    return report_of(known, wire_order(said))


def learned(known: Order, said: OrderReport) -> Order:
    """The order as it is known once the report is recorded, worked out from its executions alone."""
    return replace(
        known,
        state=said.state,
        filled_quantity=known.filled_quantity + sum(e.quantity for e in said.executions),
        filled_value=known.filled_value + sum(e.quantity * e.price for e in said.executions),
        reported_at=said.updated_at,
    )


def named(said: OrderReport) -> list[tuple[str, str]]:
    return [(e.execution_id, f"{plain(e.quantity)} at {plain(e.price)}") for e in said.executions]


@pytest.mark.parametrize(
    ("given_order", "body"),
    [
        (order("a", Side.SELL, quantity="0.123456789"), {"qty": "0.123456789", "type": "market"}),
        (order("a", Side.BUY, notional="25.50"), {"notional": "25.5", "type": "market"}),
        (
            order("a", Side.BUY, notional="25", worst_price="400.019"),
            {"notional": "25", "type": "limit", "limit_price": "400.01"},
        ),
        (
            order("a", Side.SELL, quantity="3", worst_price="399.981"),
            {"qty": "3", "type": "limit", "limit_price": "399.99"},
        ),
        (
            order("a", Side.SELL, quantity="3", worst_price="0.12341"),
            {"qty": "3", "type": "limit", "limit_price": "0.1235"},
        ),
        (order("a", Side.SELL, quantity="3", worst_price="0"), {"qty": "3", "type": "market"}),
    ],
    ids=["shares", "dollars", "buy limit", "sell limit", "below a dollar", "any price will do"],
)
def test_what_is_sent(given_order: Order, body: dict[str, str]) -> None:
    sides = {"symbol": "SPY", "side": given_order.side.value}
    assert body_of(given_order) == {**sides, "time_in_force": "day", "client_order_id": "a", **body}


# The contract's list, written down once more, with what each is here: open unless it is named.
ENDS = {
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELED,
    "expired": OrderState.CANCELED,
    "replaced": OrderState.CANCELED,
    "done_for_day": OrderState.CANCELED,
    "rejected": OrderState.REFUSED,
}
IN_FORCE = (
    "new",
    "partially_filled",
    "accepted",
    "pending_new",
    "accepted_for_bidding",
    "stopped",
    "suspended",
)
IN_BETWEEN = ("pending_cancel", "pending_replace", "calculated", "held", "pending_review")


def test_every_status_of_the_contract_has_a_state() -> None:
    assert dict.fromkeys((*IN_FORCE, *IN_BETWEEN), OrderState.OPEN) | ENDS == STATES
    assert set(ENDS) == FINAL


def test_an_unknown_status_is_that_of_an_order_that_may_still_trade(caplog: pytest.LogCaptureFixture) -> None:
    assert report(SELL, told("teleported")).state is OrderState.OPEN
    assert "unknown status teleported" in caplog.text


@pytest.mark.parametrize(
    ("said", "state", "shares"),
    [
        (told("filled", "0"), OrderState.OPEN, 0),
        (told("filled", "10", None), OrderState.OPEN, 0),
        (told("filled", "10", "0"), OrderState.OPEN, 0),
        (told("canceled", "4", None), OrderState.OPEN, 0),
        (told("rejected", "4", None), OrderState.OPEN, 0),
        (told("filled", "10", "400"), OrderState.FILLED, 10),
        (told("rejected", "0"), OrderState.REFUSED, 0),
        (told("rejected", "4", "400"), OrderState.CANCELED, 4),
        (told("canceled", "4", "400"), OrderState.CANCELED, 4),
        (told("filled", "12", "400"), OrderState.FILLED, 12),
        (told("canceled", "0E-9"), OrderState.CANCELED, 0),
        (told("filled", "1E+1", "400"), OrderState.FILLED, 10),
    ],
)
def test_states_and_what_was_filled(said: object, state: OrderState, shares: int) -> None:
    found = report(SELL, said)
    assert found.state is state
    assert found.filled == sum(e.quantity for e in found.executions) == Decimal(shares)


def test_a_whole_that_grows_is_executions_that_add_up() -> None:
    known = SELL
    first = report(known, told(filled="4", average="400"))
    assert named(first) == [("theirs:4", "4 at 400")]
    known = learned(known, first)
    # 4 at 400 and 6 at 410 are 10 at 406.
    second = report(known, told("filled", "10", "406"))
    assert named(second) == [("theirs:10", "6 at 410")]
    assert learned(known, second).filled_value == 4060


def test_the_same_news_is_the_same_execution() -> None:
    once, again = (report(SELL, told(filled="4", average="400")) for _ in range(2))
    assert once == again
    assert report(learned(SELL, once), told(filled="4", average="400")).executions == ()


def test_a_whole_that_shrinks_later_is_a_correction() -> None:
    known = learned(SELL, report(SELL, told(filled="4", average="400")))
    later = (OPENING + timedelta(seconds=1)).isoformat()
    found = report(known, told("canceled", "1", "400", updated_at=later))
    assert named(found) == [(f"theirs:1:{later}", "-3 at 400")]
    assert found.executions[0].corrects == "theirs:4"
    assert learned(known, found).filled_value == 400


def test_a_whole_that_shrinks_to_nothing_is_a_correction() -> None:
    """All of it was taken back, and there is no average of nothing."""
    known = learned(SELL, report(SELL, told(filled="4", average="400")))
    later = (OPENING + timedelta(seconds=1)).isoformat()
    found = report(known, told("canceled", "0", None, updated_at=later))
    assert named(found) == [(f"theirs:0:{later}", "-4 at 400")]
    assert (found.state, found.filled) == (OrderState.CANCELED, Decimal(0))
    assert learned(known, found).filled_value == 0


@pytest.mark.parametrize("seconds", [0, -1])
def test_an_older_answer_says_nothing_new(seconds: int) -> None:
    known = replace(
        SELL,
        state=OrderState.CANCELED,
        filled_quantity=Decimal(4),
        filled_value=Decimal(1600),
        reported_at=OPENING,
    )
    earlier = (OPENING + timedelta(seconds=seconds)).isoformat()
    found = report(known, told("new", "1", "400", updated_at=earlier))
    assert found.state is OrderState.CANCELED
    assert found.filled == Decimal(4)
    assert found.executions == ()


def test_an_average_is_cut_to_the_places_that_are_stored() -> None:
    found = report(SELL, told(filled="3", average="133.3333333333333333333333333"))
    assert found.executions[0].price == Decimal("133.333333333333333333")


@given(
    fills=st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**6)), min_size=1, max_size=8),
    places=st.integers(2, 18),
)
def test_executions_add_up_to_what_the_broker_says_in_all(fills: list[tuple[int, int]], places: int) -> None:
    """However often it is asked in between, and however it rounds its average."""
    known, shares, dollars = SELL, Decimal(0), Decimal(0)
    for count, cents in fills:
        shares += Decimal(count).scaleb(-9)
        dollars += Decimal(count).scaleb(-9) * Decimal(cents).scaleb(-2)
        average = format(round(dollars / shares, places) or Decimal("0.01"), "f")
        known = learned(known, report(known, told(filled=format(shares, "f"), average=average)))
        assert known.filled_quantity == shares


@pytest.mark.parametrize("limit", ["399.99", "400.01"])
def test_a_rounded_average_shows_no_execution_beyond_the_limit(limit: str) -> None:
    limited = replace(SELL, worst_price=Decimal(limit))
    known = learned(limited, report(limited, told(filled="4", average="400.02")))
    found = report(known, told(filled="4.000000001", average="400.01"))
    assert found.executions[0].price >= Decimal(limit)


NO_QUANTITIES: tuple[object, ...] = (
    "NaN",
    "Infinity",
    "-1",
    "1_0",
    " 1",
    "\u0661",
    "",
    "1e400",
    "9" * 19,
    [],
    True,
)
HOSTILE: list[dict[str, object]] = [{"filled_qty": value} for value in NO_QUANTITIES]
HOSTILE += [{"id": value} for value in (None, "", 7, "x" * 300, "a\nb")]
HOSTILE += [{"side": value} for value in (None, "hold", 3)]
HOSTILE += [{"updated_at": value} for value in (None, "yesterday", "2026-03-02T15:00:00", 7, "9999999-01-01")]
HOSTILE += [{"status": None}, {"symbol": []}, {"qty": "NaN"}, {"notional": "1..0"}, {"client_order_id": None}]
HOSTILE += [{"filled_avg_price": value} for value in ("NaN", "-", "1e999", "12:00")]


@pytest.mark.parametrize("field", HOSTILE, ids=lambda field: repr(field)[:40])
def test_a_field_that_cannot_be_read_is_named(field: dict[str, object]) -> None:
    (name,) = field
    with pytest.raises(BrokerDown, match=name):
        wire_order(told(**field))  # type: ignore[arg-type]


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=20) | st.decimals().map(str) | st.integers().map(str),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=5,
)
FIELDS = [*told(), "filled_at", "submitted_at"]


@settings(max_examples=500)
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_whatever_a_field_says_the_order_is_read_or_the_broker_is_down(field: str, value: object) -> None:
    """And what is read adds up: never less than nothing, never more than was told, never at no price."""
    try:
        found = report(SELL, told(**{"filled_qty": "4", "filled_avg_price": "400", field: value}))  # type: ignore[arg-type]
    except BrokerDown:
        return
    assert found.filled >= 0
    assert sum(execution.quantity for execution in found.executions) == found.filled
    assert all(execution.price > 0 for execution in found.executions)
    assert found.state is not OrderState.FILLED or found.filled > 0


@pytest.mark.parametrize("value", [None, [], "order", 7])
def test_what_is_no_object_is_no_order(value: object) -> None:
    with pytest.raises(BrokerDown):
        wire_order(value)


def test_times_are_read_with_nanoseconds_and_any_offset() -> None:
    found = wire_order(told(updated_at="2026-03-02T10:00:00.123456789-05:00"))
    assert found.updated_at == datetime.fromisoformat("2026-03-02T15:00:00.123456+00:00")
