"""The twin of an account and its drift, against an example that was worked out by hand.

An account of $1,000 buys 60 % A at $10 and 40 % B at $20: 60 A and 20 B. Then A doubles: 60 A are worth
$1,200, 20 B still $400, together $1,600, of which A is 75 %: 15 points off. A deposit of $200 then
buys $120 of A at $20 and $80 of B at $20: 66 A and 24 B, $1,320 and $480 of $1,800, of which A is
73 1/3 %: 13.34 points off, rounded up.
"""

from datetime import date
from decimal import Decimal

from trimtab.core.plan import Holdings
from trimtab.core.strategy import Weights
from trimtab.demo.customers import make_customers
from trimtab.demo.drift import NOTHING, Twins, Worst, drift, invest
from trimtab.demo.strategies import RECIPES

WEIGHTS = Weights(assets={"A": Decimal(60), "B": Decimal(40)}, cash=Decimal(0), names_cash=False)
BEFORE = {"A": Decimal(10), "B": Decimal(20)}
AFTER = {"A": Decimal(20), "B": Decimal(20)}


def test_a_twin_is_bought_once_and_left_alone() -> None:
    bought = invest(NOTHING, Decimal(1000), weights=WEIGHTS, prices=BEFORE)
    assert bought == Holdings(cash=Decimal(0), positions={"A": Decimal(60), "B": Decimal(20)})
    assert drift(bought, weights=WEIGHTS, prices=BEFORE) == Decimal(0)
    assert drift(bought, weights=WEIGHTS, prices=AFTER) == Decimal(15)


def test_a_deposit_buys_at_the_targets_and_mends_nothing() -> None:
    held = Holdings(cash=Decimal(0), positions={"A": Decimal(60), "B": Decimal(20)})
    more = invest(held, Decimal(200), weights=WEIGHTS, prices=AFTER)
    assert more == Holdings(cash=Decimal(0), positions={"A": Decimal(66), "B": Decimal(24)})
    assert drift(more, weights=WEIGHTS, prices=AFTER) == Decimal("13.34")


def test_a_share_that_does_not_divide_leaves_its_rest_in_cash() -> None:
    thirds = Weights(assets={"A": Decimal(90)}, cash=Decimal(10), names_cash=True)
    bought = invest(NOTHING, Decimal(10), weights=thirds, prices={"A": Decimal(7)})
    # 9 / 7 = 1.285714285714…, and 1.285714285 × 7 = 8.999999995
    assert bought.positions == {"A": Decimal("1.285714285")}
    assert bought.cash == Decimal("1.000000005")


def test_cash_and_strangers_count_as_lines() -> None:
    idle = Holdings(cash=Decimal(100), positions={})
    assert drift(idle, weights=WEIGHTS, prices=BEFORE) == Decimal(100)
    stranger = Holdings(cash=Decimal(0), positions={"C": Decimal(1)})
    assert drift(stranger, weights=WEIGHTS, prices={**BEFORE, "C": Decimal(5)}) == Decimal(100)


def test_the_worst_of_each_strategy_is_kept() -> None:
    customer = make_customers(1)[0]
    assert RECIPES[customer.recipe].weights.assets == {
        "SPY": Decimal(60),
        "TLT": Decimal(20),
        "IEF": Decimal(20),
    }
    twins = Twins()
    level = {"SPY": Decimal(10), "TLT": Decimal(10), "IEF": Decimal(10)}
    twins.pay_in(customer, Decimal(1000), prices=level)
    kept = Holdings(cash=Decimal(0), positions={"SPY": Decimal(60), "TLT": Decimal(20), "IEF": Decimal(20)})
    first, second = date(2008, 1, 31), date(2008, 2, 29)
    # SPY from $10 to $20: 60 shares are $1,200 of $1,600.
    twins.compare(customer, kept, on=first, prices={**level, "SPY": Decimal(20)})
    better = Holdings(cash=Decimal(0), positions={"SPY": Decimal(58), "TLT": Decimal(21), "IEF": Decimal(21)})
    twins.compare(customer, better, on=second, prices=level)
    assert [(each.strategy, each.kept, each.alone) for each in twins.strayed] == [
        ("Sixty-forty", Worst(points=Decimal(15), on=first), Worst(points=Decimal(15), on=first))
    ]
