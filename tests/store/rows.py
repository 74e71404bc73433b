"""Values for tests of the store, with plain defaults: change what a test is about."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from trimtab.core.enrollment import Enrollment, EnrollmentState, TradeMarker
from trimtab.core.plan import Holdings, Leg, Plan
from trimtab.core.run import Execution, Initiator, Order, OrderState, Run, RunKind, Side, order_id
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.strategy import AssetTarget, Definition, Strategy, StrategyStatus, Weights
from trimtab.database import Database, Tx
from trimtab.store import enrollments, runs, shards, strategies, tenants

NOON = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)


def strategy(**changes: Any) -> Strategy:
    usual = Strategy(
        id="mix",
        tenant_id="acme",
        name="Mix",
        description="half and half",
        status=StrategyStatus.ACTIVE,
        version=1,
        updated_version=1,
        definition=Definition(
            targets=(AssetTarget(symbol="SPY", percent=Decimal(100)),), conditions=(), cooldown_days=0
        ),
        calendar="XNYS",
        hidden=False,
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(usual, **changes)


def enrollment(**changes: Any) -> Enrollment:
    usual = Enrollment(
        id="follows",
        shard=1,
        tenant_id="acme",
        account_id="ann",
        strategy_id="mix",
        state=EnrollmentState.ACTIVE,
        created_at=NOON,
        updated_at=NOON,
        last_rebalanced_at=None,
        evaluated_on=date(2026, 2, 27),
        evaluated_version=1,
        trade_marker=TradeMarker.DISCRETIONARY,
    )
    return replace(usual, **changes)


def run(**changes: Any) -> Run:
    usual = Run(
        id="run",
        shard=1,
        tenant_id="acme",
        account_id="ann",
        strategy_id="mix",
        strategy_version=1,
        enrollment_id=None,
        kind=RunKind.FULL_REBALANCE,
        initiator=Initiator.API,
        cause="asked for",
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(usual, **changes)


def order(leg: int = 0, **changes: Any) -> Order:
    usual = Order(
        client_order_id=order_id("acme", "run", leg=leg, generation=0),
        run_id="run",
        leg=leg,
        generation=0,
        account_id="ann",
        symbol="SPY",
        side=Side.SELL,
        quantity=Decimal("1.000000001"),
        notional=None,
        state=OrderState.SENDING,
        sent_at=NOON,
    )
    return replace(usual, **changes)


def execution(execution_id: str, quantity: str, price: str, *, of: Order) -> Execution:
    return Execution(
        execution_id=execution_id,
        client_order_id=of.client_order_id,
        quantity=Decimal(quantity),
        price=Decimal(price),
        at=LATER,
    )


def plan() -> Plan:
    """One sell, one buy, one skip; every kind of amount in it has more digits than a float."""
    return Plan(
        kind=RunKind.FULL_REBALANCE,
        weights=Weights(
            assets={"SPY": Decimal("33.33"), "TLT": Decimal("66.67")}, cash=Decimal(0), names_cash=False
        ),
        holdings=Holdings(cash=Decimal("123456789012.34"), positions={"SPY": Decimal("123456789.000000001")}),
        prices={"SPY": Decimal("400.123456789012345678"), "TLT": Decimal("0.000001")},
        equity=Decimal("49506173000.123456789012345678901234567"),
        reserve=Decimal("0.1"),
        min_notional=Decimal("1.00"),
        legs=(
            Leg(
                number=0,
                symbol="SPY",
                side=Side.SELL,
                quantity=Decimal("0.000000001"),
                notional=None,
                price=Decimal("400.1"),
            ),
            Leg(
                number=1,
                symbol="TLT",
                side=Side.BUY,
                quantity=None,
                notional=Decimal("12.30"),
                price=Decimal("0.000001"),
            ),
        ),
        skips=(skip(None),),
        short=True,
    )


def skip(leg: int | None, reason: SkipReason = SkipReason.LESS_THAN_MIN_NOTIONAL) -> Skip:
    return Skip(
        leg=leg,
        symbol="GLD",
        side=Side.BUY,
        notional=Decimal("0.99"),
        reason=reason,
        details="too small: ünïcödé ✓",
    )


def furnish(db: Database) -> None:
    """The tenants acme and other, the accounts ann and bob in shard 1, and the strategy mix."""

    def work(tx: Tx) -> None:
        for tenant_id in ("acme", "other"):
            tenants.ensure_tenant(tx, tenant_id, name=tenant_id.title(), now=NOON)
        for account_id in ("ann", "bob"):
            shards.claim_account(tx, account_id, tenant_id="acme", now=NOON)
        strategies.insert(tx, strategy())

    db.write(work)


def insert_run(db: Database, **changes: Any) -> Run:
    made = run(**changes)
    assert db.write(lambda tx: runs.insert(tx, [made])) == {made.id}
    return made


def insert_enrollment(db: Database, **changes: Any) -> Enrollment:
    made = enrollment(**changes)
    assert db.write(lambda tx: enrollments.insert(tx, made))
    return made
