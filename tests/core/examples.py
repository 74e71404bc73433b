"""Values that the tests of the core are made from: builders with plain defaults, without rules."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from trimtab.core.plan import Basis, Holdings, Leg, Limits, Plan
from trimtab.core.run import Initiator, Order, OrderState, Run, RunKind, RunState, Side, order_id
from trimtab.core.sessions import Sessions, Window
from trimtab.core.step import Facts
from trimtab.core.strategy import Weights

NEW_YORK = ZoneInfo("America/New_York")
ZERO = Decimal(0)


def utc(text: str) -> datetime:
    """`2024-07-08 13:30` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def new_york(text: str) -> datetime:
    """`2024-07-08 09:30` on the clocks of New York, as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def day(text: str) -> date:
    return date.fromisoformat(text)


def days(text: str) -> list[date]:
    return [day(each) for each in text.split()]


def decimals(texts: dict[str, str]) -> dict[str, Decimal]:
    return {symbol: Decimal(text) for symbol, text in texts.items()}


def holdings(cash: str, **positions: str) -> Holdings:
    return Holdings(cash=Decimal(cash), positions=decimals(positions))


def weights(cash: str | None = None, **assets: str) -> Weights:
    return Weights(assets=decimals(assets), cash=Decimal(cash or "0"), names_cash=cash is not None)


def a_market(*open_days: str) -> Sessions:
    """A market that is open from 09:30 to 16:00 in New York on exactly these days."""
    return Sessions(
        calendar="by hand",
        zone=NEW_YORK,
        continuous=False,
        days=tuple(day(each) for each in open_days),
        opens=tuple(new_york(f"{each} 09:30") for each in open_days),
        closes=tuple(new_york(f"{each} 16:00") for each in open_days),
    )


def basis(**changes: Any) -> Basis:
    """$1,000 in cash to be put half into A at $100 and half into B at $50."""
    usual = Basis(
        kind=RunKind.FULL_REBALANCE,
        amount=None,
        weights=weights(A="50", B="50"),
        holdings=holdings("1000"),
        prices=decimals({"A": "100", "B": "50"}),
        set_aside=ZERO,
        untradable=frozenset(),
        limits=Limits(min_notional=Decimal(1), buffer_percent=ZERO),
    )
    return replace(usual, **changes)


# The run that the tests of `decide` and `gate` look at: sell two A for $200, buy B for $120 and C for
# $80. Its account has $60 in cash, of which $50 must stay.

START = utc("2024-07-08 14:00")
DEADLINE = utc("2024-07-08 20:00")
QUARANTINE = timedelta(seconds=30)
SELL_A = Leg(number=0, symbol="A", side=Side.SELL, quantity=Decimal(2), notional=None, price=Decimal(100))
BUY_B = Leg(number=1, symbol="B", side=Side.BUY, quantity=None, notional=Decimal("120.00"), price=Decimal(50))
BUY_C = Leg(number=2, symbol="C", side=Side.BUY, quantity=None, notional=Decimal("80.00"), price=Decimal(20))
BEFORE = holdings("60", A="10", B="2")
PRICES = decimals({"A": "100", "B": "50", "C": "20"})


def plan(**changes: Any) -> Plan:
    usual = Plan(
        kind=RunKind.FULL_REBALANCE,
        weights=weights(A="70", B="18", C="7", cash="5"),
        holdings=BEFORE,
        prices=PRICES,
        equity=Decimal(1160),
        reserve=Decimal(50),
        min_notional=Decimal(1),
        legs=(SELL_A, BUY_B, BUY_C),
        skips=(),
    )
    return replace(usual, **changes)


def run(state: RunState = RunState.PLANNED, **changes: Any) -> Run:
    usual = Run(
        id="run-1",
        shard=0,
        tenant_id="tenant-1",
        account_id="account-1",
        strategy_id="strategy-1",
        strategy_version=1,
        kind=RunKind.FULL_REBALANCE,
        initiator=Initiator.SYSTEM,
        cause="a test",
        created_at=START,
        updated_at=START,
        state=state,
        deadline_at=None if state is RunState.QUEUED else DEADLINE,
    )
    return replace(usual, **changes)


def order(leg: Leg, state: OrderState = OrderState.SENDING, **changes: Any) -> Order:
    usual = Order(
        client_order_id=order_id("tenant-1", "run-1", leg=leg.number, generation=0),
        run_id="run-1",
        leg=leg.number,
        generation=0,
        account_id="account-1",
        symbol=leg.symbol,
        side=leg.side,
        quantity=leg.quantity,
        notional=leg.notional,
        state=state,
        sent_at=START,
    )
    return replace(usual, **changes)


def filled(leg: Leg, quantity: str, value: str, **changes: Any) -> Order:
    return order(
        leg, OrderState.FILLED, filled_quantity=Decimal(quantity), filled_value=Decimal(value), **changes
    )


def facts(**changes: Any) -> Facts:
    """A healthy world: open market, active account, current prices, a broker that drops duplicates."""
    usual = Facts(
        plan=plan(),
        orders=(),
        skips=(),
        window=Window(is_open=True, may_start=True, opens_at=utc("2024-07-09 13:30"), deadline_at=DEADLINE),
        strategy_active=True,
        account_active=True,
        basis=None,
        prices=PRICES,
        frozen=None,
        frozen_symbols=frozenset(),
        asked=frozenset(),
        cancel_asked=frozenset(),
        drops_duplicates=True,
        quarantine=QUARANTINE,
        previous=None,
    )
    return replace(usual, **changes)


def looked(held: Holdings) -> Basis:
    """A fresh look at the account of `run`."""
    return basis(weights=weights(A="70", B="18", C="7", cash="5"), holdings=held, prices=PRICES)
