"""The gate: what may never be sent, whoever planned it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.examples import BUY_B, PRICES, SELL_A, order, plan
from trimtab.core.gate import Caps, Moment, Stopped, gate
from trimtab.core.skip import SkipReason

NOBODY: frozenset[str] = frozenset()
AT = Moment(prices=PRICES, frozen_symbols=NOBODY)


def test_an_order_of_the_plan_at_its_price_passes() -> None:
    assert gate(order(SELL_A), plan(), at=AT) is None
    assert gate(order(BUY_B), plan(), at=AT) is None


# the price of A now (planned: 100), the reason
COLLAR = [
    ("100", None),
    ("119.99", None),
    ("120", None),
    ("120.000000001", SkipReason.PRICE_MOVED),
    ("80", None),
    ("79.999999999", SkipReason.PRICE_MOVED),
    ("1000", SkipReason.PRICE_MOVED),
    ("10", SkipReason.PRICE_MOVED),
    ("0", SkipReason.NO_PRICE),
    ("-1", SkipReason.NO_PRICE),
    (None, SkipReason.NO_PRICE),
]


@pytest.mark.parametrize(("price", "reason"), COLLAR)
def test_a_price_may_move_twenty_percent_from_the_plan_and_no_nano_more(
    price: str | None, reason: SkipReason | None
) -> None:
    now = {} if price is None else {"A": Decimal(price)}
    stopped = gate(order(SELL_A), plan(), at=Moment(prices=now, frozen_symbols=NOBODY))
    assert (stopped.reason if stopped else None) == reason


# what the order asks for, the reason; the account holds 10 A and is worth $1,160
LIMITS: list[tuple[dict[str, Any], SkipReason | None]] = [
    ({"leg": SELL_A, "quantity": Decimal(10)}, None),
    ({"leg": SELL_A, "quantity": Decimal("10.000000001")}, SkipReason.OVER_LIMIT),
    ({"leg": SELL_A, "quantity": None, "notional": Decimal(1)}, SkipReason.OVER_LIMIT),
    ({"leg": SELL_A, "symbol": "C", "quantity": Decimal("0.000000001")}, SkipReason.OVER_LIMIT),
    ({"leg": BUY_B, "notional": Decimal("1160.00")}, None),
    ({"leg": BUY_B, "notional": Decimal("1160.01")}, SkipReason.OVER_LIMIT),
    ({"leg": BUY_B, "notional": None, "quantity": Decimal(1)}, SkipReason.OVER_LIMIT),
]


@pytest.mark.parametrize(("asked", "reason"), LIMITS)
def test_no_order_is_larger_than_what_the_account_was_seen_to_have(
    asked: dict[str, Any], reason: SkipReason | None
) -> None:
    stopped = gate(order(**asked), plan(), at=AT)
    assert (stopped.reason if stopped else None) == reason


def test_a_penny_stock_has_a_price() -> None:
    cheap = plan(prices={**PRICES, "A": Decimal("0.01")})
    assert gate(order(SELL_A), cheap, at=Moment(prices={"A": Decimal("0.01")}, frozen_symbols=NOBODY)) is None


def test_a_frozen_symbol_is_not_traded_and_the_others_are() -> None:
    assert gate(order(SELL_A), plan(), at=Moment(prices=PRICES, frozen_symbols=frozenset({"A"}))) == Stopped(
        SkipReason.FROZEN, "A is frozen"
    )
    assert gate(order(BUY_B), plan(), at=Moment(prices=PRICES, frozen_symbols=frozenset({"A"}))) is None


def test_a_stop_says_why() -> None:
    moved = gate(order(SELL_A), plan(), at=Moment(prices={"A": Decimal("130.50")}, frozen_symbols=NOBODY))
    assert moved == Stopped(SkipReason.PRICE_MOVED, "price $130.5 is more than 20 % from the plan's $100")
    assert gate(order(SELL_A), plan(), at=Moment(prices={}, frozen_symbols=NOBODY)) == Stopped(
        SkipReason.NO_PRICE, "A has no current price"
    )
    too_much = gate(order(SELL_A, quantity=Decimal(11)), plan(), at=AT)
    assert too_much == Stopped(SkipReason.OVER_LIMIT, "sells more A than the account holds")
    too_dear = gate(order(BUY_B, notional=Decimal(2000)), plan(), at=AT)
    assert too_dear == Stopped(SkipReason.OVER_LIMIT, "buys more B than the account is worth")


@given(
    st.sampled_from([SELL_A, BUY_B]),
    st.decimals("0.000000001", "5000", places=9),
    st.decimals("0.01", "500", places=2),
)
def test_whatever_is_asked_for_nothing_passes_that_is_too_large_or_too_far(
    leg: Any, amount: Decimal, price: Decimal
) -> None:
    wanted: dict[str, Any] = {"quantity" if leg is SELL_A else "notional": amount}
    planned = PRICES[leg.symbol]
    passes = (
        gate(order(leg, **wanted), plan(), at=Moment(prices={leg.symbol: price}, frozen_symbols=NOBODY))
        is None
    )
    largest = Decimal(10) if leg is SELL_A else Decimal(1160)
    near = planned * 4 / 5 <= price <= planned * 6 / 5
    assert passes == (near and amount <= largest)


# the caps, how old the prices are, how many orders the run has had, the reason; A costs $100, B $40
CAPS: list[tuple[Caps, int, int, SkipReason | None]] = [
    (Caps(order_max=Decimal(700)), 0, 0, None),
    (Caps(order_max=Decimal("699.99")), 0, 0, SkipReason.OVER_LIMIT),
    (Caps(run_orders_max=3), 0, 2, None),
    (Caps(run_orders_max=3), 0, 3, SkipReason.OVER_LIMIT),
    (Caps(price_age_max=timedelta(seconds=60)), 60, 0, None),
    (Caps(price_age_max=timedelta(seconds=60)), 61, 0, SkipReason.NO_PRICE),
]


@pytest.mark.parametrize(("caps", "age_s", "run_orders", "reason"), CAPS)
def test_no_order_exceeds_a_cap(caps: Caps, age_s: int, run_orders: int, reason: SkipReason | None) -> None:
    """7 A for $700, and a buy for as much."""
    moment = Moment(
        prices=PRICES,
        frozen_symbols=NOBODY,
        prices_age=timedelta(seconds=age_s),
        run_orders=run_orders,
        caps=caps,
    )
    for wanted in (order(SELL_A, quantity=Decimal(7)), order(BUY_B, notional=Decimal(700))):
        stopped = gate(wanted, plan(), at=moment)
        assert (stopped.reason if stopped else None) == reason


def test_the_collar_is_as_wide_as_the_installation_says() -> None:
    for price, reason in (
        ("105", None),
        ("105.01", SkipReason.PRICE_MOVED),
        ("94.99", SkipReason.PRICE_MOVED),
    ):
        moment = Moment(
            prices={"A": Decimal(price)}, frozen_symbols=NOBODY, caps=Caps(collar_percent=Decimal(5))
        )
        stopped = gate(order(SELL_A), plan(), at=moment)
        assert (stopped.reason if stopped else None) == reason
