"""Plans: worked examples to the cent, and the promises that hold for any account whatever."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.any_account import amounts, any_basis, any_request, limits
from tests.core.examples import basis, decimals, holdings, plan, weights
from trimtab.core import plan as plans
from trimtab.core.plan import Basis, Holdings, Leg, Plan, equity_of, make_plan, proceeds, unpriced
from trimtab.core.run import RunKind, Side
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.wording import less_than_minimum

INVEST, RAISE = RunKind.INVEST_CASH, RunKind.PARTIAL_LIQUIDATION


def at_a_dollar(*symbols: str) -> dict[str, Decimal]:
    return dict.fromkeys(symbols, Decimal(1))


def legs(made: Plan) -> str:
    """`sell A 2, buy B 120`: shares of sells, dollars of buys."""
    return ", ".join(
        f"{leg.side} {leg.symbol} {(leg.quantity or leg.notional or Decimal(0)).normalize():f}"
        for leg in made.legs
    )


def skips(made: Plan) -> str:
    """`sell A 0.5 ASSET_NOT_TRADABLE`."""
    return ", ".join(f"{s.side} {s.symbol} {s.notional.normalize():f} {s.reason}" for s in made.skips)


SMALL = "ORDER_LESS_THAN_MIN_NOTIONAL"
SHUT = "ASSET_NOT_TRADABLE"

# rule, what the plan is made from, legs, skips
FULL: list[tuple[str, dict[str, Any], str, str]] = [
    ("cash into two", {}, "buy A 500, buy B 500", ""),
    (
        "what is too much pays for what is missing",
        {"holdings": holdings("0", A="8", B="4"), "weights": weights(A="60", B="40")},
        "sell A 2, buy B 200",
        "",
    ),
    ("on target nothing is to be done", {"holdings": holdings("0", A="5", B="10")}, "", ""),
    (
        # A is worth 300, B 70: 115 / 3 = 38.333333333 shares bring $114.999999999.
        "sells are truncated to nine places, buys to cents",
        {"holdings": holdings("0", A="100", B="10"), "prices": decimals({"A": "3", "B": "7"})},
        "sell A 38.333333333, buy B 114.99",
        "",
    ),
    (
        "thirds of a hundred dollars",
        {
            "holdings": holdings("100"),
            "weights": weights(A="33.33", B="33.33", C="33.34"),
            "prices": at_a_dollar(*"ABC"),
        },
        "buy A 33.33, buy B 33.33, buy C 33.34",
        "",
    ),
    (
        # 3.333, 3.333 and 3.334: the cent left over goes to the largest fraction.
        "thirds of ten dollars",
        {
            "holdings": holdings("10"),
            "weights": weights(A="33.33", B="33.33", C="33.34"),
            "prices": at_a_dollar(*"ABC"),
        },
        "buy A 3.33, buy B 3.33, buy C 3.34",
        "",
    ),
    (
        "the odd cent goes to the first of equals",
        {"holdings": holdings("1000.01")},
        "buy A 500.01, buy B 500",
        "",
    ),
    (
        "a fraction of a cent stays in cash",
        {"holdings": holdings("1000.009"), "weights": weights(A="100")},
        "buy A 1000",
        "",
    ),
    (
        "the cash target stays in cash",
        {"weights": weights(A="60", B="35", cash="5")},
        "buy A 600, buy B 350",
        "",
    ),
    (
        # $1,000 in all: the target of cash is 100, there is 20; A is 80 above its 500.
        "cash below its target is raised by selling",
        {"holdings": holdings("20", A="5.8", B="8"), "weights": weights(A="50", B="40", cash="10")},
        "sell A 0.8",
        "",
    ),
    (
        "the buffer stays in cash",
        {"weights": weights(A="100"), "limits": limits(buffer="2")},
        "buy A 980",
        "",
    ),
    (
        # 98 % of 95 % of 1,000.
        "buffer and cash target both stay in cash",
        {"weights": weights(A="95", cash="5"), "limits": limits(buffer="2")},
        "buy A 931",
        "",
    ),
    (
        "what is set aside is not the strategy's",
        {"holdings": holdings("500", A="5"), "weights": weights(A="100"), "set_aside": Decimal(300)},
        "buy A 200",
        "",
    ),
    (
        # Equity is 1,000 - 700; A may keep 300 of its 500, and the 200 fill up what is set aside.
        "what is set aside and not there is raised",
        {"holdings": holdings("500", A="5"), "weights": weights(A="100"), "set_aside": Decimal(700)},
        "sell A 2",
        "",
    ),
    (
        "out of the strategy means out to the last digit",
        {
            "holdings": holdings("0", OLD="0.123456789123"),
            "prices": decimals({"A": "100", "B": "50", "OLD": "1000"}),
        },
        "sell OLD 0.123456789123, buy A 61.73, buy B 61.72",
        "",
    ),
    (
        "too small a buy is skipped",
        {"holdings": holdings("100"), "weights": weights(A="99.5", B="0.5")},
        "buy A 99.5",
        f"buy B 0.5 {SMALL}",
    ),
    (
        "too small a sell is skipped, and so is what it would have paid for",
        {"holdings": holdings("0", A="50.5", B="49.5"), "prices": at_a_dollar("A", "B")},
        "",
        f"sell A 0.5 {SMALL}, buy B 0.5 {SMALL}",
    ),
    (
        "exactly the minimum is traded",
        {"holdings": holdings("0", A="51", B="49"), "prices": at_a_dollar("A", "B")},
        "sell A 1, buy B 1",
        "",
    ),
    (
        "a full exit below the minimum is skipped too",
        {
            "holdings": holdings("0", A="5", B="10", OLD="0.9"),
            "prices": decimals({"A": "100", "B": "50", "OLD": "1"}),
        },
        "",
        f"sell OLD 0.9 {SMALL}, buy A 0.45 {SMALL}, buy B 0.45 {SMALL}",
    ),
    (
        "less than a cent is no trade and no skip",
        {
            "holdings": holdings("0.002", A="50.004", B="49.996", OLD="0.004"),
            "prices": at_a_dollar("A", "B", "OLD"),
        },
        "",
        "",
    ),
    (
        "a cent is a skip",
        {"holdings": holdings("0", A="50.01", B="49.99"), "prices": at_a_dollar("A", "B")},
        "",
        f"sell A 0.01 {SMALL}, buy B 0.01 {SMALL}",
    ),
    (
        # 600 in A, of which 400 are too much and cannot be sold: B and C miss 400 each, and share 400.
        "what cannot be sold leaves less to spend",
        {
            "holdings": holdings("400", A="600"),
            "weights": weights(A="20", B="40", C="40"),
            "prices": at_a_dollar(*"ABC"),
            "untradable": frozenset("A"),
        },
        "buy B 200, buy C 200",
        f"sell A 400 {SHUT}",
    ),
    (
        "a short budget is shared in proportion to what is missing",
        {
            "holdings": holdings("400", A="600"),
            "weights": weights(A="20", B="50", C="30"),
            "prices": at_a_dollar(*"ABC"),
            "untradable": frozenset("A"),
        },
        "buy B 250, buy C 150",
        f"sell A 400 {SHUT}",
    ),
    (
        "what cannot be bought leaves its money in cash",
        {"untradable": frozenset("B")},
        "buy A 500",
        f"buy B 500 {SHUT}",
    ),
    (
        "untradable dust is no skip",
        {
            "holdings": holdings("0", A="5", B="10", OLD="0.001"),
            "prices": decimals({"A": "100", "B": "50", "OLD": "1"}),
            "untradable": frozenset({"OLD"}),
        },
        "",
        "",
    ),
    (
        # 3.40 in all; 1.90 for two that miss 1.70 each would be 0.95 each: one of them gets what it misses.
        "where shares of a short budget are too small, fewer lines are bought",
        {
            "holdings": holdings("1.90", X="1.50"),
            "weights": weights(A="50", B="50"),
            "prices": at_a_dollar("A", "B", "X"),
            "untradable": frozenset("X"),
        },
        "buy A 1.7",
        f"sell X 1.5 {SHUT}, buy B 0.95 {SMALL}",
    ),
    (
        "debt is paid by selling",
        {"holdings": holdings("-100", A="6", B="10"), "weights": weights(A="50", B="50")},
        "sell A 1",
        "",
    ),
    ("without equity there is no plan", {"holdings": holdings("0")}, "", ""),
    ("nor with debts as large as the holdings", {"holdings": holdings("-100", A="1")}, "", ""),
    ("nor with debts only", {"holdings": holdings("-200", A="1")}, "", ""),
    (
        "all in cash",
        {"holdings": holdings("0", A="5", B="10"), "weights": weights(cash="100")},
        "sell A 5, sell B 10",
        "",
    ),
]


@pytest.mark.parametrize(
    ("changes", "traded", "skipped"), [pytest.param(*case[1:], id=case[0]) for case in FULL]
)
def test_a_full_rebalance_to_the_cent(changes: dict[str, Any], *, traded: str, skipped: str) -> None:
    made = make_plan(basis(**changes))
    assert (legs(made), skips(made), made.short) == (traded, skipped, False)


# rule, what the plan is made from, legs, skips, whether less was planned than asked for
INVESTED: list[tuple[str, dict[str, Any], str, str, bool]] = [
    (
        "all free cash into what is missing",
        {"holdings": holdings("100", A="6", B="6")},
        "buy B 100",
        "",
        False,
    ),
    (
        # 1,000 in all: A misses 100, B 110; 100 are there.
        "in proportion to what is missing",
        {
            "holdings": holdings("100", A="300", B="290", C="310"),
            "weights": weights(A="40", B="40", C="20"),
            "prices": at_a_dollar(*"ABC"),
        },
        "buy A 47.62, buy B 52.38",
        "",
        False,
    ),
    (
        "an amount bounds it",
        {"holdings": holdings("100", A="6", B="6"), "amount": Decimal(50)},
        "buy B 50",
        "",
        False,
    ),
    (
        "an amount of just what there is",
        {"holdings": holdings("100", A="6", B="6"), "amount": Decimal(100)},
        "buy B 100",
        "",
        False,
    ),
    (
        "more than there is falls short",
        {"holdings": holdings("100", A="6", B="6"), "amount": Decimal("100.01")},
        "buy B 100",
        "",
        True,
    ),
    ("nothing is ever sold", {"holdings": holdings("0", A="8", B="4")}, "", "", False),
    (
        "holdings outside the weights are left alone",
        {"holdings": holdings("100", OLD="900"), "prices": decimals({"A": "100", "B": "50", "OLD": "1"})},
        "buy A 50, buy B 50",
        "",
        False,
    ),
    (
        "the cash target is not free",
        {"holdings": holdings("100", A="9"), "weights": weights(A="90", cash="10")},
        "",
        "",
        False,
    ),
    (
        "nor is the buffer",
        {"holdings": holdings("100", A="9"), "weights": weights(A="100"), "limits": limits(buffer="4")},
        "buy A 60",
        "",
        False,
    ),
    (
        "nor is what is set aside",
        {"holdings": holdings("100", A="9"), "weights": weights(A="100"), "set_aside": Decimal(30)},
        "buy A 70",
        "",
        False,
    ),
    (
        "without free cash an amount falls short",
        {"holdings": holdings("100", A="9"), "weights": weights(A="90", cash="10"), "amount": Decimal(5)},
        "",
        "",
        True,
    ),
    ("without equity an amount falls short", {"holdings": holdings("0"), "amount": Decimal(5)}, "", "", True),
    ("without equity and amount nothing does", {"holdings": holdings("0")}, "", "", False),
    (
        "too small a share is skipped",
        {"holdings": holdings("1.50", A="5", B="10")},
        "",
        f"buy A 0.75 {SMALL}, buy B 0.75 {SMALL}",
        False,
    ),
]


@pytest.mark.parametrize(
    ("changes", "traded", "skipped", "short"), [pytest.param(*case[1:], id=case[0]) for case in INVESTED]
)
def test_investing_cash_to_the_cent(
    changes: dict[str, Any], *, traded: str, skipped: str, short: bool
) -> None:
    made = make_plan(basis(kind=INVEST, **changes))
    assert (legs(made), skips(made), made.short) == (traded, skipped, short)


# $1,000: 700 in A and 300 in B, which should be 60 and 40 %
OVER_AND_UNDER: dict[str, Any] = {
    "holdings": holdings("0", A="7", B="6"),
    "weights": weights(A="60", B="40"),
}

# rule, amount, what the plan is made from, legs, skips, whether less was planned than asked for
RAISED: list[tuple[str, str, dict[str, Any], str, str, bool]] = [
    # 900 will remain: 540 and 360. A is 160 above.
    ("the most overweight pays first", "100", OVER_AND_UNDER, "sell A 1", "", False),
    # 500 will remain: 300 and 200. A gives its 400, B its 100.
    ("down to the targets of what remains", "500", OVER_AND_UNDER, "sell A 4, sell B 2", "", False),
    ("everything", "1000", OVER_AND_UNDER, "sell A 7, sell B 6", "", False),
    ("more than everything falls short", "1000.01", OVER_AND_UNDER, "sell A 7, sell B 6", "", True),
    (
        # 600 will remain, 300 of them in A: 200 down to the target, 200 below it.
        "below the targets if that is not enough",
        "400",
        {"holdings": holdings("500", A="5"), "weights": weights(A="50", cash="50")},
        "sell A 4",
        "",
        False,
    ),
    (
        "enough shares are sold, not a nano too few",
        "100",
        {"holdings": holdings("0", A="100"), "weights": weights(A="100"), "prices": decimals({"A": "3"})},
        "sell A 33.333333334",
        "",
        False,
    ),
    (
        "outside the weights is the most overweight of all",
        "100",
        {
            "holdings": holdings("0", A="5", OLD="200"),
            "weights": weights(A="100"),
            "prices": decimals({"A": "100", "OLD": "1"}),
        },
        "sell OLD 100",
        "",
        False,
    ),
    (
        # 950 will remain, and half of it in cash: each is 262.50 above its 237.50. A is first by its name.
        "equals in the order of their symbols",
        "50",
        {"holdings": holdings("0", B="10", A="5"), "weights": weights(A="25", B="25", cash="50")},
        "sell A 0.5",
        "",
        False,
    ),
    (
        "what cannot be sold pays nothing",
        "100",
        {**OVER_AND_UNDER, "untradable": frozenset("A")},
        "sell B 2",
        "",
        False,
    ),
    (
        "and the plan falls short if nothing else is there",
        "400",
        {**OVER_AND_UNDER, "untradable": frozenset("A")},
        "sell B 6",
        f"sell A 400 {SHUT}",
        True,
    ),
    ("less than an order is raised by one order", "0.50", OVER_AND_UNDER, "sell A 0.01", "", False),
    (
        # Equity without the 200 is 800; 700 will remain: A 420, B 280.
        "what is set aside already is not counted again",
        "100",
        {
            "holdings": holdings("200", A="6", B="4"),
            "weights": weights(A="60", B="40"),
            "set_aside": Decimal(200),
        },
        "sell A 1",
        "",
        False,
    ),
    (
        # 950 will remain, of which the buffer keeps 10 %: A 855.
        "the buffer counts as remaining",
        "50",
        {"holdings": holdings("100", A="9"), "weights": weights(A="100"), "limits": limits(buffer="10")},
        "sell A 0.5",
        "",
        False,
    ),
    (
        # 600 will remain, 90 % of it invested: A 162, B 378. A gives its 338 and B the other 62.
        "targets leave room for the buffer",
        "400",
        {
            "holdings": holdings("0", A="5", B="10"),
            "weights": weights(A="30", B="70"),
            "limits": limits(buffer="10"),
        },
        "sell A 3.38, sell B 1.24",
        "",
        False,
    ),
    ("nothing is there to sell", "100", {"holdings": holdings("500")}, "", "", True),
    ("without equity it falls short", "100", {"holdings": holdings("0")}, "", "", True),
    ("nothing asked, nothing sold", "0", {"holdings": holdings("0", A="5", B="10")}, "", "", False),
]


@pytest.mark.parametrize(
    ("amount", "changes", "traded", "skipped", "short"),
    [pytest.param(*case[1:], id=case[0]) for case in RAISED],
)
def test_raising_cash_to_the_cent(
    amount: str, changes: dict[str, Any], *, traded: str, skipped: str, short: bool
) -> None:
    made = make_plan(basis(kind=RAISE, amount=Decimal(amount), **changes))
    assert (legs(made), skips(made), made.short) == (traded, skipped, short)


def test_a_plan_keeps_all_that_it_was_made_from() -> None:
    start = basis(
        holdings=holdings("500", A="5"),
        weights=weights(A="55", B="40", cash="5"),
        limits=limits(buffer="2"),
        set_aside=Decimal(100),
    )
    # Equity is 900; 98 % of 95 % is 93.1 %: 62.10 stay, and the 100 that are set aside.
    assert make_plan(start) == Plan(
        kind=RunKind.FULL_REBALANCE,
        weights=start.weights,
        holdings=start.holdings,
        prices=start.prices,
        equity=Decimal(900),
        reserve=Decimal("162.1"),
        min_notional=Decimal(1),
        legs=(
            # 98 % of 55 % of 900 is 485.10.
            Leg(
                number=0,
                symbol="A",
                side=Side.SELL,
                quantity=Decimal("0.149"),
                notional=None,
                price=Decimal(100),
            ),
            Leg(
                number=1,
                symbol="B",
                side=Side.BUY,
                quantity=None,
                notional=Decimal("352.80"),
                price=Decimal(50),
            ),
        ),
        skips=(),
        short=False,
    )


def test_sells_come_before_buys_and_each_in_the_order_of_its_symbols() -> None:
    made = make_plan(
        basis(
            holdings=holdings("0", D="300", B="300"),
            weights=weights(C="20", A="30", D="25", B="25"),
            prices=at_a_dollar(*"ABCD"),
        )
    )
    assert [(leg.number, leg.side, leg.symbol) for leg in made.legs] == [
        (0, Side.SELL, "B"),
        (1, Side.SELL, "D"),
        (2, Side.BUY, "C"),
        (3, Side.BUY, "A"),
    ]
    assert [leg.symbol for leg in made.sells] == ["B", "D"]
    assert [leg.symbol for leg in made.buys] == ["C", "A"]


def test_a_skip_says_why_in_the_vendor_s_words() -> None:
    small = make_plan(basis(holdings=holdings("100"), weights=weights(A="99.5", B="0.5")))
    assert small.skips == (
        Skip(
            leg=None,
            symbol="B",
            side=Side.BUY,
            notional=Decimal("0.50"),
            reason=SkipReason.LESS_THAN_MIN_NOTIONAL,
            details="order notional value ($0.5) is less than min-notional set for correspondent ($1)",
        ),
    )
    shut = make_plan(basis(untradable=frozenset("B")))
    assert [skip.details for skip in shut.skips] == ["asset B cannot be traded at the broker now"]
    assert less_than_minimum(Decimal(0), Decimal("1.00")) == (
        "order notional value ($0) is less than min-notional set for correspondent ($1)"
    )


def test_raising_cash_without_an_amount_is_refused() -> None:
    with pytest.raises(AssertionError, match="needs an amount"):
        make_plan(basis(kind=RAISE))


def test_a_kind_of_plan_that_nobody_knows_is_not_passed_over() -> None:
    with pytest.raises(AssertionError, match="unreachable"):
        make_plan(basis(kind=cast("RunKind", "tax_loss_harvest")))


def test_every_held_and_wanted_symbol_needs_a_price() -> None:
    wanted, held = weights(A="50", C="50"), holdings("1", B="1", D="0")
    assert unpriced(wanted, held, prices=at_a_dollar("A")) == ("B", "C", "D")
    assert unpriced(wanted, held, prices=at_a_dollar(*"ABCD")) == ()


def test_equity_is_cash_and_what_the_positions_are_worth() -> None:
    held = holdings("-10.5", A="0.5", B="2")
    assert equity_of(held, decimals({"A": "100.25", "B": "3", "C": "7"})) == Decimal("45.625")
    assert equity_of(holdings("7"), {}) == Decimal(7)


def test_proceeds_are_those_of_the_sells() -> None:
    assert proceeds(plan().legs) == Decimal(200)
    assert proceeds(plan().buys) == Decimal(0)


A_SALE = Leg(number=0, symbol="A", side=Side.SELL, quantity=Decimal(2), notional=None, price=Decimal(100))
A_BUY = Leg(number=1, symbol="B", side=Side.BUY, quantity=None, notional=Decimal("210.00"), price=Decimal(50))

# rule, legs, which promise is broken; the account has $60 and 10 A, and $50 must stay
BROKEN: list[tuple[str, list[Leg], str]] = [
    ("as much as there is", [A_SALE, A_BUY], ""),
    (
        "a cent more",
        [A_SALE, replace(A_BUY, notional=Decimal("210.01"))],
        "stay within proceeds plus free cash",
    ),
    ("both directions", [A_SALE, replace(A_BUY, symbol="A")], "one direction per symbol"),
    ("more than is held", [replace(A_SALE, quantity=Decimal("10.000000001"))], "no short sales"),
    ("a sale of nothing", [replace(A_SALE, quantity=Decimal(0))], "no short sales"),
]


@pytest.mark.parametrize(("made", "promise"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_a_plan_that_breaks_a_promise_does_not_leave_the_planner(made: list[Leg], promise: str) -> None:
    broken = plan(legs=tuple(made))
    if promise:
        with pytest.raises(AssertionError, match=promise):
            plans._assert_promises(broken)  # noqa: SLF001 - no input is known that reaches the refusal
    else:
        plans._assert_promises(broken)  # noqa: SLF001 - as above


# Any account whatever.


@dataclass(frozen=True, slots=True)
class After:
    """An account after a plan was filled at its prices, in fractions."""

    cash: Fraction
    positions: Mapping[str, Fraction]

    def equity(self, prices: Mapping[str, Decimal]) -> Fraction:
        return self.cash + sum(q * Fraction(prices[s]) for s, q in self.positions.items())


def filled(made: Plan) -> After:
    cash = Fraction(made.holdings.cash)
    positions = {s: Fraction(q) for s, q in made.holdings.positions.items()}
    for leg in made.legs:
        price = Fraction(made.prices[leg.symbol])
        if leg.quantity is not None:
            cash += Fraction(leg.quantity) * price
            positions[leg.symbol] -= Fraction(leg.quantity)
        else:
            assert leg.notional is not None
            cash -= Fraction(leg.notional)
            positions[leg.symbol] = positions.get(leg.symbol, Fraction(0)) + Fraction(leg.notional) / price
    return After(cash, positions)


def targets_of(start: Basis) -> dict[str, Fraction]:
    """Dollars wanted in each symbol that is held or wanted, worked out in fractions."""
    equity = Fraction(start.holdings.cash) - Fraction(start.set_aside)
    equity += sum(Fraction(q) * Fraction(start.prices[s]) for s, q in start.holdings.positions.items())
    invested = 1 - Fraction(start.limits.buffer_percent) / 100
    symbols = {*start.weights.assets, *start.holdings.positions}
    return {
        s: max(equity, Fraction(0)) * invested * Fraction(start.weights.assets.get(s, 0)) / 100
        for s in symbols
    }


CENT = Fraction(1, 100)


@given(any_request())
@settings(max_examples=250)
def test_whatever_is_asked_for_a_plan_keeps_its_promises(start: Basis) -> None:
    made = make_plan(start)
    traded = [leg.symbol for leg in made.legs]
    assert len(set(traded)) == len(traded), "one direction per symbol"
    assert not set(traded) & start.untradable, "only what can be traded"
    sold = sum((Fraction(leg.quantity or 0) * Fraction(leg.price) for leg in made.sells), Fraction(0))
    bought = sum((Fraction(leg.notional or 0) for leg in made.buys), Fraction(0))
    free = Fraction(start.holdings.cash) - Fraction(made.reserve)
    assert bought <= max(sold + free, Fraction(0)), "buys from proceeds and free cash"
    for leg in made.legs:
        assert leg.number == made.legs.index(leg)
        assert leg.price == start.prices[leg.symbol]
        value = leg.notional if leg.quantity is None else leg.quantity * leg.price
        assert value is not None
        assert value >= start.limits.min_notional, "no order below the minimum"
        if leg.notional is not None:
            assert leg.notional == leg.notional.quantize(Decimal("0.01")), "whole cents"
    for leg in made.sells:
        assert leg.quantity is not None
        assert 0 < leg.quantity <= start.holdings.positions[leg.symbol], "no short sale"
    after = filled(made)
    assert after.cash >= 0, "cash is never below zero"
    assert after.equity(start.prices) == Fraction(equity_of(start.holdings, start.prices)), (
        "equity is conserved"
    )


@given(any_basis())
@settings(max_examples=250)
def test_a_full_rebalance_that_skips_nothing_ends_at_the_targets(start: Basis) -> None:
    made = make_plan(start)
    if made.skips or made.equity <= 0:
        return
    after = filled(made)
    targets = targets_of(start)
    # Up to eight positions may each be a cent of dust off, and one line may have to bear it all.
    tolerance = (
        CENT * (1 + len(targets))
        if start.limits.min_notional < 1
        else CENT + Fraction(start.limits.min_notional)
    )
    for symbol, wanted in targets.items():
        value = after.positions.get(symbol, Fraction(0)) * Fraction(start.prices[symbol])
        assert abs(value - wanted) <= tolerance, symbol
        if symbol not in start.weights.assets:
            assert value < CENT, "out of the strategy means out"


@given(any_basis())
@settings(max_examples=250)
def test_a_full_rebalance_only_ever_moves_towards_the_targets(start: Basis) -> None:
    made = make_plan(start)
    after, targets = filled(made), targets_of(start)
    for leg in made.legs:
        price = Fraction(start.prices[leg.symbol])
        before = Fraction(start.holdings.positions.get(leg.symbol, 0)) * price
        value = after.positions[leg.symbol] * price
        if leg.side is Side.SELL:
            assert before > value >= targets[leg.symbol], "never sold below the target"
        else:
            assert before < value < targets[leg.symbol] + CENT, "never bought a cent above the target"


def settled(made: Plan) -> Holdings:
    """What a broker shows that cuts shares off after the ninth place and charges for what it delivers."""
    cash, positions = made.holdings.cash, dict(made.holdings.positions)
    for leg in made.legs:
        price = made.prices[leg.symbol]
        if leg.quantity is not None:
            cash += leg.quantity * price
            positions[leg.symbol] -= leg.quantity
        else:
            assert leg.notional is not None
            shares = Decimal(int(leg.notional * 10**9 / price)).scaleb(-9)
            cash -= shares * price
            positions[leg.symbol] = positions.get(leg.symbol, Decimal(0)) + shares
    return Holdings(cash=cash, positions=positions)


@given(any_basis())
@settings(max_examples=250)
def test_planning_again_on_the_result_sends_nothing(start: Basis) -> None:
    # With orders of a cent the second plan would still gather the dust of the first.
    start = replace(
        start, limits=replace(start.limits, min_notional=max(start.limits.min_notional, Decimal(1)))
    )
    made = make_plan(start)
    if made.skips:
        return
    again = make_plan(replace(start, holdings=settled(made)))
    assert again.legs == ()


@given(any_basis(), amounts(3000, 2))
def test_raising_cash_brings_the_amount_or_says_that_it_falls_short(start: Basis, amount: Decimal) -> None:
    made = make_plan(replace(start, kind=RAISE, amount=amount))
    raised = sum((Fraction(leg.quantity or 0) * Fraction(leg.price) for leg in made.sells), Fraction(0))
    assert not made.buys
    assert made.short == (raised < Fraction(amount))
    # One nano of each share, at most, is sold beyond what was asked for, and less than one order.
    beyond = sum((Fraction(leg.price) for leg in made.sells), Fraction(0)) / 10**9
    assert raised <= Fraction(amount) + beyond + Fraction(start.limits.min_notional)


@given(any_basis(), st.none() | amounts(3000, 2))
def test_investing_cash_never_sells_and_never_spends_more_than_the_amount(
    start: Basis, amount: Decimal | None
) -> None:
    made = make_plan(replace(start, kind=INVEST, amount=amount))
    spent = sum((Fraction(leg.notional or 0) for leg in made.buys), Fraction(0))
    free = max(Fraction(start.holdings.cash) - Fraction(made.reserve), Fraction(0))
    assert not made.sells
    assert spent <= (free if amount is None else min(Fraction(amount), free))
    assert {leg.symbol for leg in made.buys} <= set(start.weights.assets)


@given(any_request())
def test_the_same_world_makes_the_same_plan(start: Basis) -> None:
    turned = replace(
        start,
        holdings=Holdings(
            cash=start.holdings.cash, positions=dict(reversed(list(start.holdings.positions.items())))
        ),
        prices=dict(reversed(list(start.prices.items()))),
    )
    assert make_plan(turned).legs == make_plan(start).legs
