"""Plans, intents, executions and skips: exact, each once, and never taken back."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.rows import LATER, NOON, execution, insert_run, order, plan, run, skip
from trimtab.core.plan import Holdings
from trimtab.core.run import Execution, Order, OrderState, RunState, Side, order_id
from trimtab.core.skip import SkipReason
from trimtab.core.strategy import (
    Annually,
    AssetTarget,
    BandKind,
    CashTarget,
    Definition,
    DriftBand,
    Monthly,
    OnUpdate,
    Quarterly,
    StrategyTarget,
    Weekly,
)
from trimtab.database import Database, Tx
from trimtab.store import orders, runs
from trimtab.store.orders import Settled
from trimtab.store.plans import definition_from, definition_text, plan_from, plan_text
from trimtab.store.runs import Change
from trimtab.store.trades import Traded, traded_by_day

BUY = order(
    1,
    side=Side.BUY,
    quantity=None,
    notional=Decimal("12.30"),
    symbol="TLT",
    asset_id="asset-7",
    worst_price=Decimal("400.1234567890123456789012"),
    impact_bps_max=40,
)


@pytest.fixture
def with_run(db: Database) -> Database:
    insert_run(db)
    return db


def intend(db: Database, *intents: Order, epoch: int = 3) -> None:
    db.write(lambda tx: orders.insert_intents(tx, 1, epoch=epoch, intents=list(intents)))


def settled(of: Order, state: OrderState, *executions: Execution, reason: str | None = None) -> Settled:
    return Settled(
        client_order_id=of.client_order_id,
        state=state,
        broker_order_id="theirs" if state is not OrderState.REFUSED else None,
        reason=reason,
        executions=executions,
        reported_at=NOON,
    )


def settle(db: Database, *facts: Settled) -> None:
    db.write(lambda tx: orders.settle(tx, 1, "paper", settled=list(facts), now=LATER))


def stored(db: Database) -> list[Order]:
    return db.read(lambda tx: orders.orders(tx, 1, ["run"])).get("run", [])


def test_a_plan_comes_back_to_the_last_digit(with_run: Database) -> None:
    with_run.write(lambda tx: orders.insert_plans(tx, 1, {"run": plan()}, now=NOON))
    assert with_run.read(lambda tx: orders.plans(tx, 1, ["run", "none"])) == {"run": plan()}
    assert with_run.read(lambda tx: orders.plans(tx, 1, [])) == {}
    assert with_run.read(lambda tx: orders.plans(tx, 2, ["run"])) == {}


def test_a_plan_of_before_there_were_limits_has_none() -> None:
    """Bodies that are stored stay as they are."""
    made = replace(plan(), slippage_bps=0, impact_bps_max=1000)
    body, _ = plan_text(made)
    assert plan_from(body) == made
    old = body.replace(',"slippage_bps":0,"impact_bps_max":1000', "")
    assert len(old) < len(body)
    assert plan_from(old) == plan()


AMOUNTS = st.decimals(min_value=0, max_value=10**18, places=18)


@given(AMOUNTS, AMOUNTS, st.dictionaries(st.text(min_size=1), AMOUNTS, max_size=4))
def test_any_plan_comes_back(cash: Decimal, equity: Decimal, positions: dict[str, Decimal]) -> None:
    made = replace(
        plan(), holdings=Holdings(cash=cash, positions=positions), equity=equity, prices=dict(positions)
    )
    body, digest = plan_text(made)
    assert plan_from(body) == made
    assert len(digest) == 64
    assert plan_text(plan_from(body)) == (body, digest)


def test_every_kind_of_line_and_condition_comes_back() -> None:
    made = Definition(
        targets=(
            CashTarget(percent=Decimal("0.01")),
            AssetTarget(symbol="BRK.B", percent=Decimal("33.33")),
            StrategyTarget(strategy_id="other", percent=Decimal("66.66")),
        ),
        conditions=(
            DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal("2.5")),
            DriftBand(kind=BandKind.RELATIVE, percent=Decimal(20)),
            OnUpdate(),
            Weekly(weekday=4),
        ),
        cooldown_days=7,
    )
    assert definition_from(definition_text(made)) == made
    for rule in (Monthly(day=31), Quarterly(day=1), Annually(month=2, day=29)):
        one = replace(made, conditions=(rule,))
        assert definition_from(definition_text(one)) == one


def test_intents_come_back_as_they_were_meant(with_run: Database) -> None:
    intend(with_run, BUY, order())
    sell, buy = stored(with_run)
    assert sell == order(created_at=NOON, updated_at=NOON)
    assert buy == replace(BUY, created_at=NOON, updated_at=NOON)
    assert with_run.read(lambda tx: orders.orders(tx, 1, [])) == {}
    assert with_run.read(lambda tx: orders.orders_of(tx, [run(), run(id="none")])) == {"run": [sell, buy]}


def test_sending_again_keeps_the_time_of_the_first_intent(with_run: Database) -> None:
    intend(with_run, order(), BUY)
    with_run.write(lambda tx: orders.set_sent(tx, [order().client_order_id], epoch=9, now=LATER))
    sell, buy = stored(with_run)
    assert (sell.created_at, sell.sent_at) == (NOON, LATER)
    assert (buy.created_at, buy.sent_at) == (NOON, NOON)


def test_fills_add_up_exactly_and_each_counts_once(with_run: Database) -> None:
    """0.1 + 0.2 shares at 0.1 dollars make 0.03 dollars, not 0.030000000000000002."""
    sell = order(quantity=Decimal("0.3"))
    intend(with_run, sell)
    first = execution("x1", "0.1", "0.1", of=sell)
    second = execution("x2", "0.2", "0.1", of=sell)
    settle(with_run, settled(sell, OrderState.OPEN, first))
    settle(with_run, settled(sell, OrderState.OPEN, first, first))
    (half,) = stored(with_run)
    assert (half.state, half.filled_quantity, half.filled_value) == (
        OrderState.OPEN,
        Decimal("0.1"),
        Decimal("0.01"),
    )
    settle(with_run, settled(sell, OrderState.FILLED, second, first))
    (full,) = stored(with_run)
    assert (full.state, full.filled_quantity, full.filled_value, full.broker_order_id) == (
        OrderState.FILLED,
        Decimal("0.3"),
        Decimal("0.03"),
        "theirs",
    )


def test_a_report_that_knows_less_never_takes_back_a_fill(with_run: Database) -> None:
    sell = order()
    intend(with_run, sell)
    settle(with_run, settled(sell, OrderState.OPEN, execution("x1", "0.5", "400", of=sell)))
    settle(with_run, settled(sell, OrderState.OPEN))
    settle(with_run, settled(sell, OrderState.CANCELED, reason="by hand"))
    (canceled,) = stored(with_run)
    assert (canceled.filled_quantity, canceled.filled_value) == (Decimal("0.5"), Decimal(200))
    assert (canceled.state, canceled.reason) == (OrderState.CANCELED, "by hand")


def test_a_refusal_keeps_no_broker_id_and_says_why(with_run: Database) -> None:
    intend(with_run, order())
    settle(with_run, settled(order(), OrderState.REFUSED, reason="no such asset"))
    (refused,) = stored(with_run)
    assert (refused.state, refused.broker_order_id, refused.reason) == (
        OrderState.REFUSED,
        None,
        "no such asset",
    )


def test_many_orders_are_settled_together(with_run: Database) -> None:
    many = [order(n) for n in range(50)]
    intend(with_run, *many)
    settle(
        with_run,
        *(
            settled(o, OrderState.FILLED, execution(f"x{o.leg}", "1.000000001", f"{o.leg}.5", of=o))
            for o in many
        ),
    )
    assert [o.filled_value for o in stored(with_run)] == [
        Decimal("1.000000001") * (Decimal(n) + Decimal("0.5")) for n in range(50)
    ]


def test_executions_of_two_brokers_may_have_the_same_id(with_run: Database) -> None:
    intend(with_run, order())
    one = execution("x1", "0.1", "1", of=order())
    for broker in ("paper", "other", "paper"):
        with_run.write(lambda tx, b=broker: orders.insert_executions(tx, 1, b, executions=[one]))  # type: ignore[misc]
    assert len(with_run.read(lambda tx: tx.rows("SELECT * FROM executions"))) == 2


def ended(db: Database, run_id: str, *, cash: str, at: datetime, account_id: str = "ann") -> None:
    """A run that was planned with so much cash, and ended then."""
    made = insert_run(db, id=run_id, account_id=account_id)
    known = replace(plan(), holdings=Holdings(cash=Decimal(cash), positions={}))
    db.write(lambda tx: orders.insert_plans(tx, 1, {run_id: known}, now=at))
    db.write(lambda tx: runs.change(tx, [Change(run=made, state=RunState.CANCELED)], at))


def test_skips_come_back_and_those_of_the_plan_come_first(with_run: Database) -> None:
    late = skip(1, SkipReason.PRICE_MOVED)
    with_run.write(lambda tx: orders.insert_plans(tx, 1, {"run": plan()}, now=NOON))
    with_run.write(lambda tx: orders.insert_skips(tx, 1, {"run": [late], "none": []}))
    with_run.write(lambda tx: orders.insert_skips(tx, 1, {}))
    assert with_run.read(lambda tx: orders.skips(tx, 1, ["run"])) == {"run": [late]}
    assert with_run.read(lambda tx: orders.skips_of(tx, [run()])) == {"run": [skip(None), late]}


def test_trades_are_summed_by_day_and_symbol(with_run: Database) -> None:
    sell, again = order(0, quantity=Decimal(1)), order(2, quantity=Decimal(1))
    intend(with_run, sell, again, BUY)
    settle(
        with_run,
        settled(sell, OrderState.FILLED, execution("x1", "1", "0.1", of=sell)),
        settled(again, OrderState.FILLED, execution("x2", "1", "0.2", of=again)),
        settled(BUY, OrderState.FILLED, execution("x3", "3", "4.1", of=BUY)),
    )
    found = {each.symbol: each for each in with_run.read(lambda tx: list(traded_by_day(tx)))}
    on = NOON.date()
    assert found == {
        "SPY": Traded(on=on, symbol="SPY", shares=Decimal(-2), cash=Decimal("0.3"), value=Decimal("0.3")),
        "TLT": Traded(on=on, symbol="TLT", shares=Decimal(3), cash=Decimal("-12.3"), value=Decimal("12.3")),
    }


def test_an_order_id_is_a_name_for_the_intent_alone() -> None:
    """Another version would order everything anew if this changed."""
    assert order_id("acme", "run", leg=0, generation=0) == "f057c88a-0266-57b7-afd0-241e193cc210"
    ids = {
        order_id(t, r, leg=leg, generation=g) for t in "ab" for r in "ab" for leg in (0, 1) for g in (0, 1)
    }
    assert len(ids) == 16


def epochs(tx: Tx) -> list[int]:
    return [row["epoch"] for row in tx.rows("SELECT epoch FROM orders ORDER BY leg")]


def test_an_intent_carries_the_epoch_of_its_worker(with_run: Database) -> None:
    intend(with_run, order(), BUY, epoch=3)
    with_run.write(lambda tx: orders.set_sent(tx, [BUY.client_order_id], epoch=8, now=LATER))
    assert with_run.read(epochs) == [3, 8]
