"""The audit reads the stored text of a plan by itself: here is one that the store has written."""

from decimal import Decimal

from trimtab.audit.plan_body import PlanBody, PlannedLeg, read_body
from trimtab.core.plan import Basis, Holdings, Limits, make_plan
from trimtab.core.run import RunKind
from trimtab.core.strategy import Weights
from trimtab.store.plans import plan_text


def dec(text: str) -> Decimal:
    return Decimal(text)


def test_a_stored_plan_is_read() -> None:
    # $900 in GLD, $600 in SPY and $500 are $2000; $100 of the cash are not the strategy's. GLD is out of
    # the strategy and not traded now; SPY is to fall to $570, AGG to rise from nothing to $1140, but
    # without the $900 in GLD there is less to spend: $500 and $30, less the $100 and $190 of reserve.
    basis = Basis(
        kind=RunKind.FULL_REBALANCE,
        amount=None,
        weights=Weights(assets={"AGG": dec("6E+1"), "SPY": dec("30")}, cash=dec("10"), names_cash=True),
        holdings=Holdings(cash=dec("500"), positions={"GLD": dec("9"), "SPY": dec("6.0")}),
        prices={"AGG": dec("50.5"), "GLD": dec("100"), "SPY": dec("100")},
        set_aside=dec("100"),
        untradable=frozenset({"GLD"}),
        limits=Limits(min_notional=dec("1"), buffer_percent=dec("0"), slippage_bps=50, impact_bps_max=100),
    )
    body, _ = plan_text(make_plan(basis))
    assert read_body(body) == PlanBody(
        percents={"AGG": dec("60"), "SPY": dec("30")},
        cash_percent=dec("10"),
        cash=dec("500"),
        positions={"GLD": dec("9"), "SPY": dec("6")},
        prices={"AGG": dec("50.5"), "GLD": dec("100"), "SPY": dec("100")},
        equity=dec("1900"),
        reserve=dec("290"),
        minimum_order=dec("1"),
        legs={
            0: PlannedLeg(symbol="SPY", side="sell", quantity=dec("0.3"), notional=None),
            1: PlannedLeg(symbol="AGG", side="buy", quantity=None, notional=dec("240")),
        },
        skips=1,
        short=False,
        slippage_bps=50,
        impact_bps_max=100,
    )


def test_what_the_account_was_worth() -> None:
    body = PlanBody(
        percents={},
        cash_percent=dec("0"),
        cash=dec("0.000000001"),
        positions={"SPY": dec("3.333333333")},
        prices={"SPY": dec("417.83")},
        equity=dec("0"),
        reserve=dec("0"),
        minimum_order=dec("1"),
        legs={},
        skips=0,
        short=False,
        slippage_bps=None,
        impact_bps_max=None,
    )
    assert body.worth == dec("1392.76666652739") + dec("0.000000001")
