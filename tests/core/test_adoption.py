"""Is what the broker shows the order that was meant, and did it execute more? Worked out by hand."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.core.examples import utc
from trimtab.core.adoption import Body, difference, excess
from trimtab.core.run import Order, OrderState, Side

SELL = Order(
    client_order_id="id",
    run_id="run",
    leg=0,
    generation=0,
    account_id="ann",
    symbol="SPY",
    side=Side.SELL,
    quantity=Decimal("2.5"),
    notional=None,
    state=OrderState.SENDING,
    sent_at=utc("2026-03-02 15:00"),
)
BUY = replace(SELL, side=Side.BUY, quantity=None, notional=Decimal("100.00"))


def shown(order: Order, **changes: object) -> Body:
    body = Body(
        account_id=order.account_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        notional=order.notional,
    )
    return replace(body, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [SELL, BUY])
def test_the_order_itself_is_adopted(order: Order) -> None:
    assert difference(order, shown(order), present_symbol="SPY") is None


def test_an_order_is_adopted_under_the_present_symbol_of_its_asset() -> None:
    assert difference(SELL, shown(SELL, symbol="NEW"), present_symbol="NEW") is None
    assert difference(SELL, shown(SELL, symbol="NEW"), present_symbol="SPY") == "it is of NEW, not of SPY"


@pytest.mark.parametrize(
    ("order", "changes", "why"),
    [
        (SELL, {"account_id": "bob"}, "it is of account bob"),
        (SELL, {"side": Side.BUY}, "it is to buy, not to sell"),
        (SELL, {"quantity": Decimal("2.500000001")}, "it is of 2.500000001 shares, not of 2.5 shares"),
        (SELL, {"quantity": None, "notional": Decimal(9)}, "it is of $9, not of 2.5 shares"),
        (SELL, {"quantity": None}, "it is of nothing, not of 2.5 shares"),
        (BUY, {"notional": Decimal("100.01")}, "it is of $100.01, not of $100"),
    ],
)
def test_another_order_is_not_adopted(order: Order, changes: dict[str, object], why: str) -> None:
    assert difference(order, shown(order, **changes), present_symbol=order.symbol) == why


@pytest.mark.parametrize(
    ("order", "changes"),
    [
        # An exchange with six places.
        (SELL, {"quantity": Decimal("2.499999")}),
        # An exchange that buys by quantity.
        (BUY, {"notional": None, "quantity": Decimal("0.25")}),
        (BUY, {"notional": Decimal("99.99")}),
    ],
)
def test_what_a_broker_has_rounded_down_is_adopted(order: Order, changes: dict[str, object]) -> None:
    assert difference(order, shown(order, **changes), present_symbol=order.symbol) is None


@pytest.mark.parametrize(
    ("order", "quantity", "value", "is_too_much"),
    [
        (SELL, "2.5", "1000", False),
        (SELL, "2.500000001", "1000", True),
        (BUY, "0.25", "100", False),
        # 1 % and a cent: as far as a market moves in the moment between sizing and execution.
        (BUY, "0.25", "101.01", False),
        (BUY, "0.25", "101.02", True),
    ],
)
def test_more_than_was_ordered_is_an_excess(
    order: Order, quantity: str, value: str, *, is_too_much: bool
) -> None:
    why = excess(order, quantity=Decimal(quantity), value=Decimal(value))
    assert (why is not None) == is_too_much
    assert why is None or "ordered" in why
