"""Raising cash: the amount or at most one smallest order above it, and never less if it can be had."""

import random
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.core.any_account import limits
from tests.core.examples import basis, decimals, holdings, weights
from trimtab.core.plan import Basis, Holdings, Plan, make_plan
from trimtab.core.raising import Offer, raise_cash
from trimtab.core.run import RunKind, Side
from trimtab.core.skip import SkipReason
from trimtab.core.strategy import Weights


def offers(text: str) -> list[Offer]:
    """`A 10/50`: 10 dollars above the target, 50 in all."""
    found = []
    for line in text.split(", ") if text else []:
        symbol, number = line.split()
        over, most = number.split("/")
        found.append(Offer(symbol=symbol, over=Decimal(over), most=Decimal(most)))
    return found


# rule, amount, what is offered, what is sold; the smallest order is $5
GIVEN = [
    ("the most overweight pays alone", "30", "A 20/50, B 40/90", "B 30"),
    ("down to its target, then the next", "50", "A 20/50, B 40/90", "B 40, A 10"),
    ("then below the targets", "70", "A 20/50, B 40/90", "B 50, A 20"),
    ("the least overweight last", "140", "A 20/50, B 40/90", "B 90, A 50"),
    ("all there is, if that is too little", "200", "A 20/50, B 40/90", "B 90, A 50"),
    # 40 down to the target; the other 3 are no order of A's.
    ("a slice below an order goes to one who sells", "43", "A 20/50, B 40/90", "B 43"),
    ("an order's worth goes to the next", "45", "A 20/50, B 40/90", "B 40, A 5"),
    ("too little above the target is not sold for its own sake", "43", "A 3/50, B 40/90", "B 43"),
    # B has sold out, 3 are left: one whole order, two dollars too much.
    ("one whole order where only a slice is left", "93", "A -10/50, B 40/90", "B 90, A 5"),
    ("whose turn it is pays it", "93", "A -10/50, B 40/90, C -9/50", "B 90, C 5"),
    ("a slice passes over who does not sell", "93", "A -10/50, B 40/90, C 20/30", "B 73, C 20"),
    ("an amount below an order is one order", "0.01", "A 20/50, B 40/90", "B 5"),
    ("just an order", "5", "A 20/50, B 40/90", "B 5"),
    ("nothing asked, nothing sold", "0", "A 20/50", ""),
    ("what is not worth an order is not offered", "10", "A 4.99/4.99, B 0/20", "B 10"),
    ("and alone it gives nothing", "1", "A 4.99/4.99", ""),
    ("all offers together fall a cent short", "55.01", "A 5/5, B 0/50", "A 5, B 50"),
    ("equals in the order of their symbols", "30", "B 20/50, A 20/50", "A 20, B 10"),
    ("a market that takes less than is above the target", "30", "A 5/50, B 40/10", "B 10, A 20"),
    ("nobody offers anything", "30", "", ""),
]


@pytest.mark.parametrize(
    ("amount", "offered", "sold"), [pytest.param(*case[1:], id=case[0]) for case in GIVEN]
)
def test_the_most_overweight_gives_first(amount: str, offered: str, *, sold: str) -> None:
    given = raise_cash(Decimal(amount), offers(offered), smallest=Decimal(5))
    assert ", ".join(f"{symbol} {dollars.normalize():f}" for symbol, dollars in given.items()) == sold


# rule, amount, depths, untradable, shares sold, skips; $700 in A, $300 in B, both at $1, which should be
# 60 and 40 %; no order may move the market by more than 100 basis points
BOUNDED = [
    ("a market as deep as the order", "100", {"A": "10000"}, "", "A 100", "", False),
    # A may sell 99.99; B pays the rest of 0.01 with one smallest order.
    ("a market a cent too shallow", "100", {"A": "9999"}, "", "A 99.99, B 1", "A 100 PRICE_IMPACT", False),
    ("a market that takes no order", "100", {"A": "99.99"}, "", "B 100", "A 100 PRICE_IMPACT", False),
    (
        "markets that take less than is asked for",
        "500",
        {"A": "10000", "B": "50"},
        "",
        "A 100",
        "A 500 PRICE_IMPACT, B 300 PRICE_IMPACT",
        True,
    ),
    ("a closed market", "400", {}, "A", "B 300", "A 400 NOT_TRADABLE", True),
    ("a closed market that is not needed", "200", {}, "A", "B 200", "", False),
]


@pytest.mark.parametrize(
    ("amount", "depths", "shut", "sold", "skipped", "short"), [pytest.param(*c[1:], id=c[0]) for c in BOUNDED]
)
def test_what_the_market_does_not_take_the_others_give(
    amount: str, depths: dict[str, str], *, shut: str, sold: str, skipped: str, short: bool
) -> None:
    made = make_plan(
        basis(
            kind=RunKind.PARTIAL_LIQUIDATION,
            amount=Decimal(amount),
            holdings=holdings("0", A="700", B="300"),
            weights=weights(A="60", B="40"),
            prices=decimals({"A": "1", "B": "1"}),
            untradable=frozenset(shut),
            limits=limits(impact_bps_max=100),
            depths=decimals(depths),
        )
    )
    assert (
        ", ".join(f"{leg.symbol} {(leg.quantity or Decimal(0)).normalize():f}" for leg in made.legs) == sold
    )
    assert ", ".join(f"{s.symbol} {s.notional.normalize():f} {s.reason.name}" for s in made.skips) == skipped
    assert made.short == short


def test_a_position_below_an_order_says_why_the_plan_falls_short() -> None:
    made = make_plan(
        basis(
            kind=RunKind.PARTIAL_LIQUIDATION,
            amount=Decimal(50),
            holdings=holdings("0", A="0.4", B="0.001", C="0.5"),
            weights=weights(A="100"),
            prices=decimals({"A": "100", "B": "1", "C": "1"}),
        )
    )
    assert [(leg.symbol, leg.quantity) for leg in made.legs] == [("A", Decimal("0.4"))]
    # A tenth of a cent of B is no trade that anybody could make.
    assert [(s.symbol, s.side, s.notional, s.reason) for s in made.skips] == [
        ("C", Side.SELL, Decimal("0.50"), SkipReason.LESS_THAN_MIN_NOTIONAL)
    ]
    assert made.short


def test_without_a_smallest_order_a_cent_is_the_smallest() -> None:
    made = make_plan(
        basis(
            kind=RunKind.PARTIAL_LIQUIDATION,
            amount=Decimal("10.001"),
            holdings=holdings("0", A="10", B="10"),
            weights=weights(cash="100"),
            prices=decimals({"A": "1", "B": "1"}),
            limits=limits(min_notional="0"),
        )
    )
    assert [(leg.symbol, leg.quantity) for leg in made.legs] == [("A", Decimal(10)), ("B", Decimal("0.01"))]
    assert (made.skips, made.short) == ((), False)


# Accounts by the thousand, against a check that knows nothing of how the planner decides.


def an_account(chance: random.Random) -> Basis:
    """An account with a request to raise cash; amounts close to what it can give come up often."""
    symbols = [f"S{n}" for n in range(chance.randint(1, 8))]
    prices = {s: Decimal(chance.randint(1, 10 ** chance.randint(2, 7))).scaleb(-4) for s in symbols}
    worth = {s: chance.choice([0, 0.4, 1, 1.3, 8, 60, 900]) * (1 + chance.random()) for s in symbols}
    positions = {s: Decimal(int(worth[s] / float(prices[s]) * 10**9)).scaleb(-9) for s in symbols}
    value = sum((positions[s] * prices[s] for s in symbols), Decimal(0))
    amount = chance.choice(
        [
            Decimal(chance.randint(1, 500)).scaleb(-2),
            (value * chance.randint(1, 120) / 100).quantize(Decimal("0.01")),
            positions[symbols[0]] * prices[symbols[0]] + Decimal("0.01"),
        ]
    )
    cuts = sorted(chance.sample(range(1, 10000), len(symbols)))
    lines = {s: Decimal(b - a).scaleb(-2) for s, a, b in zip(symbols, [0, *cuts], cuts, strict=False)}
    lines = {s: percent for s, percent in lines.items() if chance.random() < 0.8}
    named = Weights(assets=lines, cash=100 - sum(lines.values(), Decimal(0)), names_cash=True)
    return Basis(
        kind=RunKind.PARTIAL_LIQUIDATION,
        amount=amount,
        weights=named if chance.random() < 0.8 else Weights(assets={}, cash=Decimal(100), names_cash=True),
        holdings=Holdings(cash=Decimal(chance.choice([1, 50, 1000])), positions=positions),
        prices={s: prices[s] for s in symbols},
        set_aside=Decimal(chance.choice([0, 0, 1])),
        untradable=frozenset(s for s in symbols if chance.random() < 0.1),
        limits=limits(
            chance.choice(["0.01", "1", "5"]),
            chance.choice(["0", "2"]),
            impact_bps_max=chance.choice([None, 100]),
        ),
        depths={s: Decimal(chance.choice([50, 5000, 50000])) for s in symbols if chance.random() < 0.4},
    )


def can_give(start: Basis, symbol: str) -> Fraction:
    """Dollars of one position that may be sold: nothing below an order, nothing that moves the market."""
    price, held = Fraction(start.prices[symbol]), Fraction(start.holdings.positions[symbol])
    most = 0 if symbol in start.untradable else held
    if start.limits.impact_bps_max is not None and symbol in start.depths:
        bound = Fraction(start.depths[symbol]) * start.limits.impact_bps_max / 10_000
        if most * price > bound:
            most = Fraction(bound / price * 10**9 // 1, 10**9)
    return most * price if most * price >= Fraction(start.limits.min_notional) else Fraction(0)


def above_target(start: Basis, symbol: str) -> Fraction:
    """Dollars above the target in the equity that remains."""
    worth = {s: Fraction(q) * Fraction(start.prices[s]) for s, q in start.holdings.positions.items()}
    equity = Fraction(start.holdings.cash) + sum(worth.values()) - Fraction(start.set_aside)
    remaining = max(equity - Fraction(start.amount or 0), Fraction(0))
    invested = remaining * (100 - Fraction(start.limits.buffer_percent)) / 100
    return worth[symbol] - invested * Fraction(start.weights.assets.get(symbol, 0)) / 100


def check(start: Basis, made: Plan) -> None:
    smallest, amount = Fraction(start.limits.min_notional), Fraction(start.amount or 0)
    gives = {symbol: can_give(start, symbol) for symbol in start.holdings.positions}
    sold = {leg.symbol: Fraction(leg.quantity or 0) * Fraction(leg.price) for leg in made.sells}
    assert len(sold) == len(made.legs)
    assert all(smallest <= dollars <= gives[symbol] for symbol, dollars in sold.items())
    raised = sum(sold.values(), Fraction(0))
    if sum(gives.values()) >= amount:
        assert not made.short
        assert amount <= raised <= amount + smallest + Fraction(1, 100)
    else:
        assert made.short
        assert raised == sum(gives.values()), "then all that can be had"
    over = {symbol: above_target(start, symbol) for symbol in gives}
    for symbol, most in gives.items():
        first = min(over[symbol], most)
        later = [other for other in sold if over[other] < over[symbol]]
        if later and first >= smallest:
            assert sold.get(symbol, 0) >= first, "nobody sells before the more overweight are on target"


@pytest.mark.parametrize(
    ("seed", "accounts"),
    [pytest.param(1, 400, id="some"), pytest.param(2, 10_000, id="many", marks=pytest.mark.prove)],
)
def test_cash_is_raised_to_the_amount_and_at_most_one_smallest_order_above(seed: int, accounts: int) -> None:
    chance = random.Random(seed)
    for number in range(accounts):
        start = an_account(chance)
        made = make_plan(start)
        try:
            check(start, made)
        except AssertionError as error:
            error.add_note(f"account {number} of seed {seed}: {start}\n{made}")
            raise
