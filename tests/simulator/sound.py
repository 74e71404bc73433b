"""A life in which everything was right, written down by hand: what the tests of the rules of conduct spoil.

Account a0 has $100 and 10 SPY. Its one run sells 2 SPY at $100 and buys TLT for the $200, 2 shares at $100.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import msgspec

from tests.audit.facts import Fact
from tests.simulator.witness import Conduct, Sending
from trimtab.store.evidence import Evidence, StoredExecution, StoredOrder, StoredPlan, StoredRun

NAMES = UUID("6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21")
START = datetime.fromisoformat("2026-03-02T15:00:00+00:00")


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def name_of(leg: int, run_id: str = "run-1") -> str:
    return str(uuid5(NAMES, f"acme:{run_id}:{leg}:0"))


SELL, BUY = name_of(0), name_of(1)


def fact(seq: int, second: float, kind: str, **details: Any) -> Fact:
    account_id = details.pop("account_id", "a0")
    return Fact(seq=seq, at=at(second), kind=kind, account_id=account_id, **details)


FACTS = (
    fact(1, 0, "opened", amount=Decimal(100)),
    fact(2, 0, "seeded", symbol="SPY", quantity=Decimal(10)),
    fact(3, 3, "accepted", client_order_id=SELL, symbol="SPY", side="sell", quantity=Decimal(2)),
    fact(
        4,
        4,
        "executed",
        client_order_id=SELL,
        symbol="SPY",
        side="sell",
        quantity=Decimal(2),
        price=Decimal(100),
        amount=Decimal(200),
        execution_id="e1",
    ),
    fact(5, 6, "accepted", client_order_id=BUY, symbol="TLT", side="buy", notional=Decimal(200)),
    fact(
        6,
        7,
        "executed",
        client_order_id=BUY,
        symbol="TLT",
        side="buy",
        quantity=Decimal(2),
        price=Decimal(100),
        amount=Decimal(-200),
        execution_id="e2",
    ),
)
RUN = StoredRun(
    seq=1,
    id="run-1",
    tenant_id="acme",
    account_id="a0",
    enrollment_id="enrollment-1",
    kind="full_rebalance",
    initiator="system",
    cause="a band",
    slot="session:2026-03-02",
    state="COMPLETED",
    adjusted=False,
    created_at=at(1),
    finished_at=at(9),
)
PLAN: dict[str, Any] = {
    "holdings": {"cash": "100", "positions": {"SPY": "10"}},
    "reserve": "100",
    "prices": {"SPY": "100", "TLT": "100"},
}


def plan(run_id: str = "run-1", **changes: Any) -> StoredPlan:
    body = msgspec.json.encode(PLAN | changes).decode()
    return StoredPlan(run_id=run_id, body=body, body_hash="", planned_at=at(2))


def order(leg: int, **changes: Any) -> StoredOrder:
    """Leg 0 is the sale, leg 1 the purchase."""
    usual = StoredOrder(
        run_id="run-1",
        leg=leg,
        generation=0,
        client_order_id=name_of(leg),
        account_id="a0",
        symbol=("SPY", "TLT")[leg],
        side=("sell", "buy")[leg],
        quantity=(Decimal(2), None)[leg],
        notional=(None, Decimal(200))[leg],
        worst_price=None,
        impact_bps_max=None,
        state="FILLED",
        intent_at=at((2.5, 5.5)[leg]),
        filled_quantity=Decimal(2),
        filled_value=Decimal(200),
        updated_at=at(8),
    )
    return replace(usual, **changes)


def execution(leg: int, **changes: Any) -> StoredExecution:
    usual = StoredExecution(
        broker="simulated",
        execution_id=("e1", "e2")[leg],
        client_order_id=name_of(leg),
        quantity=Decimal(2),
        price=Decimal(100),
    )
    return replace(usual, **changes)


EVIDENCE = Evidence(
    runs=(RUN,),
    plans=(plan(),),
    orders=(order(0), order(1)),
    executions=(execution(0), execution(1)),
    skips=(),
    events=(),
    adjustments=(),
    enrollments=(),
)
CONDUCT = Conduct(
    evidence=EVIDENCE,
    facts=FACTS,
    faults=frozenset(),
    surfaces=False,
    drops_duplicates=True,
    sendings=(Sending(SELL, at(2.5), "Accepted"), Sending(BUY, at(5.5), "Accepted")),
    prices=((at(0), "SPY", Decimal(100)), (at(0), "TLT", Decimal(100))),
    looks=((at(8), "a0", {"SPY": Decimal(8), "TLT": Decimal(2)}),),
    counted={"run-1": 2},
    amounts={"run-1": Decimal(0)},
)
