"""What limits in basis points make of a plan, of its orders, and of prices that move meanwhile."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings

from tests.core.any_account import any_request, limits
from tests.core.examples import (
    BUY_B,
    BUY_C,
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
from trimtab.core.decide import decide
from trimtab.core.gate import Moment, Stopped, gate
from trimtab.core.plan import Basis, Plan, make_plan
from trimtab.core.run import Order, RunKind, RunState, Side
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.step import Abandon, Resend, Submit

INVEST, RAISE = RunKind.INVEST_CASH, RunKind.PARTIAL_LIQUIDATION
# A at $100 is $200 above its target, B at $50 as much below.
TOO_MUCH_A: dict[str, Any] = {"holdings": holdings("0", A="8", B="4"), "weights": weights(A="60", B="40")}


def shown(made: Plan) -> str:
    """`sell A 200, buy B 120`, in dollars; `not` is a skip for its impact."""
    done = [
        f"{leg.side} {leg.symbol} {(leg.notional or (leg.quantity or Decimal(0)) * leg.price).normalize():f}"
        for leg in made.legs
    ]
    skipped = [
        f"{'not ' if s.reason is SkipReason.PRICE_IMPACT else s.reason.value + ' '}"
        f"{s.side} {s.symbol} {s.notional.normalize():f}"
        for s in made.skips
    ]
    return ", ".join([*done, *skipped])


# rule, depths, limit in basis points, what the plan is made from, the plan; usually $500 go to A and B each
DEPTHS: list[tuple[str, dict[str, str], int | None, dict[str, Any], str]] = [
    ("exactly the limit", {"A": "50000"}, 100, {}, "buy A 500, buy B 500"),
    ("a cent less deep", {"A": "49999.99"}, 100, {}, "buy B 500, not buy A 500"),
    ("a limit of nothing", {"A": "999999999"}, 0, {}, "buy B 500, not buy A 500"),
    ("an endless market has no impact", {}, 0, {}, "buy A 500, buy B 500"),
    ("no limit", {"A": "0.01"}, None, {}, "buy A 500, buy B 500"),
    ("a sale at the limit", {"A": "20000"}, 100, TOO_MUCH_A, "sell A 200, buy B 200"),
    # Nothing is sold, and there is no cash.
    ("a sale beyond it", {"A": "19999.99"}, 100, TOO_MUCH_A, "not sell A 200"),
    ("a buy beyond it stays in cash", {"B": "19999.99"}, 100, TOO_MUCH_A, "sell A 200, not buy B 200"),
    # $500 are missing of each, $50 can be spent on each.
    (
        "what is sent counts, not what is missing",
        {"A": "5000"},
        100,
        {"kind": INVEST, "amount": Decimal(100)},
        "buy A 50, buy B 50",
    ),
    (
        "and is skipped in proportion",
        {"A": "4999.99"},
        100,
        {"kind": INVEST, "amount": Decimal(100)},
        "buy B 50, not buy A 50",
    ),
    (
        "what cannot be traded has no impact",
        {"A": "1"},
        0,
        {"untradable": frozenset("A")},
        "buy B 500, ASSET_NOT_TRADABLE buy A 500",
    ),
    (
        "what is too small has none either",
        {"B": "1"},
        0,
        {"weights": weights(A="99.95", B="0.05")},
        "buy A 999.5, ORDER_LESS_THAN_MIN_NOTIONAL buy B 0.5",
    ),
]


@pytest.mark.parametrize(
    ("depths", "most", "changes", "made"), [pytest.param(*case[1:], id=case[0]) for case in DEPTHS]
)
def test_what_would_move_the_market_too_far_is_skipped(
    depths: dict[str, str], most: int | None, *, changes: dict[str, Any], made: str
) -> None:
    start = basis(limits=limits(impact_bps_max=most), depths=decimals(depths), **changes)
    assert shown(make_plan(start)) == made


def test_cash_that_a_shallow_market_does_not_give_is_short() -> None:
    shallow = {"depths": decimals({"A": "10"}), "untradable": frozenset("B")}
    start = basis(kind=RAISE, amount=Decimal(200), **shallow, **TOO_MUCH_A)
    made = make_plan(replace(start, limits=limits(impact_bps_max=1000)))
    # A's market takes no more than a dollar, and B is closed.
    assert (shown(made), made.short) == ("sell A 1, not sell A 200, ASSET_NOT_TRADABLE sell B 200", True)
    assert not make_plan(start).short


def test_a_skip_names_the_impact_the_limit_and_the_depth() -> None:
    """$500 of $49,999.99 are 100.00002 basis points."""
    start = basis(limits=limits(impact_bps_max=100), depths=decimals({"A": "49999.99"}))
    assert make_plan(start).skips == (
        Skip(
            leg=None,
            symbol="A",
            side=Side.BUY,
            notional=Decimal("500.00"),
            reason=SkipReason.PRICE_IMPACT,
            details="price impact of 100.01 basis points is more than the 100 allowed "
            "(market depth $49999.99)",
        ),
    )
    assert SkipReason.PRICE_IMPACT.value == "PRICE_IMPACT_TOO_HIGH"


@given(any_request())
@settings(max_examples=250)
def test_no_leg_moves_the_market_too_far_and_no_other_is_skipped_for_it(start: Basis) -> None:
    made = make_plan(start)
    assert (made.slippage_bps, made.impact_bps_max) == (
        start.limits.slippage_bps,
        start.limits.impact_bps_max,
    )
    for leg in made.legs:
        value = Fraction(leg.notional or 0) + Fraction(leg.quantity or 0) * Fraction(leg.price)
        if leg.symbol in start.depths and made.impact_bps_max is not None:
            assert value / Fraction(start.depths[leg.symbol]) <= Fraction(made.impact_bps_max, 10_000)
    for skip in made.skips:
        if skip.reason is SkipReason.PRICE_IMPACT:
            assert made.impact_bps_max is not None
            impact = Fraction(skip.notional + Decimal("0.01")) / Fraction(start.depths[skip.symbol])
            assert impact > Fraction(made.impact_bps_max, 10_000)


# price of the leg, side, basis points, the worst price
WORST = [
    ("100", Side.SELL, 50, "99.5"),
    ("100", Side.BUY, 50, "100.5"),
    ("100", Side.BUY, 0, "100"),
    ("100", Side.SELL, 0, "100"),
    ("100", Side.SELL, 10_000, "0"),
    ("100", Side.SELL, 10_001, "0"),
    ("100", Side.BUY, 10_001, "200.01"),
    ("400.123456789012345678", Side.BUY, 1, "400.1634691346912469125678"),
    ("400.123456789012345678", Side.SELL, 1, "400.0834444433334444434322"),
    ("100", Side.SELL, None, None),
    ("100", Side.BUY, None, None),
]


@pytest.mark.parametrize(("price", "side", "bps", "worst"), WORST)
def test_the_worst_price_is_exact(price: str, side: Side, *, bps: int | None, worst: str | None) -> None:
    leg = replace(SELL_A if side is Side.SELL else BUY_B, price=Decimal(price))
    assert plan(slippage_bps=bps).worst_price(leg) == (None if worst is None else Decimal(worst))


SOLD = filled(SELL_A, "2", "200")
AFTER_SALE = holdings("260", A="8", B="2")
LIMITED = plan(slippage_bps=50, impact_bps_max=30)
SALE = order(SELL_A, worst_price=Decimal("99.5"), impact_bps_max=30)


def test_every_order_carries_the_limits_of_its_plan() -> None:
    assert decide(run(), facts(plan=LIMITED), now=START) == Submit(RunState.SELLING, (SALE,), ())
    known = facts(plan=LIMITED, orders=(SOLD,), basis=looked(AFTER_SALE))
    assert decide(run(RunState.SELLING), known, now=START) == Submit(
        RunState.BUYING,
        (
            order(BUY_B, worst_price=Decimal("50.25"), impact_bps_max=30),
            order(BUY_C, worst_price=Decimal("20.1"), impact_bps_max=30),
        ),
        (),
    )


BOUGHT = order(BUY_B, worst_price=Decimal("50.25"))
# the order, the price now, why it is stopped
PASSED: list[tuple[Order, str, str | None]] = [
    (SALE, "99.5", None),
    (SALE, "120", None),
    (SALE, "99.499999999", "price $99.499999999 is worse than the $99.5 that slippage allows"),
    (BOUGHT, "50.25", None),
    (BOUGHT, "40", None),
    (BOUGHT, "50.250000001", "price $50.250000001 is worse than the $50.25 that slippage allows"),
    (order(BUY_B), "60", None),
]


@pytest.mark.parametrize(("wanted", "price", "why"), PASSED)
def test_nothing_is_sent_that_its_limit_would_only_stop(wanted: Order, price: str, why: str | None) -> None:
    now = {**PRICES, wanted.symbol: Decimal(price)}
    stopped = gate(wanted, plan(), at=Moment(prices=now, frozen_symbols=frozenset()))
    assert stopped == (None if why is None else Stopped(SkipReason.PRICE_MOVED, why))


def test_a_lost_order_is_sent_again_with_its_limits_or_not_at_all() -> None:
    known = facts(plan=LIMITED, orders=(SALE,), asked=frozenset({SALE.client_order_id}))
    later = START + QUARANTINE
    assert decide(run(RunState.SELLING), known, now=later) == Resend((SALE,))
    moved = replace(known, prices=decimals({"A": "99.49"}))
    assert decide(run(RunState.SELLING), moved, now=later) == Abandon((SALE,))
