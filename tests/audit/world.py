"""A small world in which all is well, worked out by hand, and edits that break it.

Account A (10 SPY and $1000, SPY at $100, TLT at $50) is brought to 30 % SPY, 60 % TLT and 10 % cash,
gets $500, and is rebalanced again, when one order is rejected; two more runs are canceled at one
instant of a standing clock. Account B has a run while it is empty, gets $100, and has an open run with
an order whose fate is unknown.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from tests.audit.facts import Fact
from trimtab.audit.ledger import Ledger
from trimtab.core.run import order_id
from trimtab.store.evidence import (
    Evidence,
    StoredAdjustment,
    StoredEnrollment,
    StoredEvent,
    StoredExecution,
    StoredOrder,
    StoredPlan,
    StoredRun,
    StoredSkip,
)

TENANT = "tenant"
# Places of the runs, the plans and the orders in the evidence.
FIRST, SECOND, CANCELED, CANCELED_TOO, EMPTY, OPEN = range(6)
FIRST_PLAN, SECOND_PLAN, EMPTY_PLAN, OPEN_PLAN = range(4)
SELL, BUY, REJECTED, SECOND_BUY, UNKNOWN = range(5)
# Places of the entries in the ledger.
OPENED_A, SEEDED, OPENED_B, SELL_ACCEPTED, SOLD, BUY_ACCEPTED, BOUGHT, BOUGHT_MORE = range(8)
DEPOSIT_A, DEPOSIT_B, TO_REJECT_ACCEPTED, REJECTION, SECOND_ACCEPTED, BOUGHT_AGAIN = range(8, 14)

Record = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    cash: Decimal
    positions: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    evidence: Evidence
    ledger: Ledger


Edit = Callable[[World], World]


def at(second: int) -> datetime:
    return datetime(2026, 3, 2, 15, 0, second, tzinfo=UTC)


def dec(text: str) -> Decimal:
    return Decimal(text)


def edit(table: str, place: int, **values: object) -> Edit:
    """Change one record of the evidence, or of the ledger's entries (table `entries`)."""

    def apply(world: World) -> World:
        records = list(_records(world, table))
        records[place] = replace(records[place], **values)
        return _with(world, table, records)

    return apply


def drop(table: str, place: int) -> Edit:
    def apply(world: World) -> World:
        records = list(_records(world, table))
        del records[place]
        return _with(world, table, records)

    return apply


def add(table: str, record: Record, *, place: int | None = None) -> Edit:
    """Add a record; with a place, in front of the one that is there."""

    def apply(world: World) -> World:
        records = list(_records(world, table))
        records.insert(len(records) if place is None else place, record)
        return _with(world, table, records)

    return apply


def again(table: str, place: int, **values: object) -> Edit:
    """Add a copy of a record with some values changed."""
    return lambda world: add(table, replace(_records(world, table)[place], **values))(world)


def balance(account_id: str, **values: object) -> Edit:
    def apply(world: World) -> World:
        changed = Money(**{"cash": dec("400"), "positions": HELD, **values})  # type: ignore[arg-type]
        balances = {**world.ledger.balances, account_id: changed}
        return replace(world, ledger=replace(world.ledger, balances=balances))

    return apply


def moving(*account_ids: str) -> Edit:
    return lambda world: replace(world, ledger=replace(world.ledger, moving=frozenset(account_ids)))


def body(place: int, **values: object) -> Edit:
    """Change the stored body of a plan, its hash with it."""

    def apply(world: World) -> World:
        plan = world.evidence.plans[place]
        text = json.dumps({**json.loads(plan.body), **values})
        return edit("plans", place, body=text, body_hash=digest(text))(world)

    return apply


def _records(world: World, table: str) -> tuple[Record, ...]:
    return tuple(world.ledger.entries if table == "entries" else getattr(world.evidence, table))


def _with(world: World, table: str, records: list[Record]) -> World:
    if table == "entries":
        return replace(world, ledger=replace(world.ledger, entries=tuple(records)))
    changed: dict[str, Any] = {table: tuple(records)}
    return replace(world, evidence=replace(world.evidence, **changed))


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


HELD = {"SPY": dec("6"), "TLT": dec("30")}
PRICES = {"SPY": "100", "TLT": "50"}
WEIGHTS = {"assets": {"SPY": "30", "TLT": "60"}, "cash": "10", "names_cash": True}
ALL_SPY = {"assets": {"SPY": "100"}, "cash": "0", "names_cash": False}


def leg(number: int, symbol: str, *, sell: str | None = None, buy: str | None = None) -> dict[str, object]:
    return {
        "number": number,
        "symbol": symbol,
        "side": "buy" if sell is None else "sell",
        "quantity": sell,
        "notional": buy,
        "price": PRICES[symbol],
    }


SKIPPED = {
    "leg": None,
    "symbol": "SPY",
    "side": "buy",
    "notional": "0.4",
    "reason": "ORDER_LESS_THAN_MIN_NOTIONAL",
    "details": "too small",
}


def plan(run_id: str, second: int, **values: object) -> StoredPlan:
    defaults = {
        "kind": "full_rebalance",
        "weights": WEIGHTS,
        "prices": PRICES,
        "min_notional": "1",
        "skips": [],
        "short": False,
    }
    text = json.dumps({**defaults, **values})
    return StoredPlan(run_id=run_id, body=text, body_hash=digest(text), planned_at=at(second))


def run(seq: int, id: str, account_id: str, state: str, **values: Any) -> StoredRun:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant_id": TENANT,
        "enrollment_id": None,
        "kind": "full_rebalance",
        "initiator": "api",
        "cause": "asked for",
        "slot": None,
        "adjusted": False,
    }
    return StoredRun(**{**defaults, "seq": seq, "id": id, "account_id": account_id, "state": state, **values})


def events(run_id: str, *steps: tuple[str, int]) -> tuple[StoredEvent, ...]:
    return tuple(
        StoredEvent(run_id=run_id, number=number, state=state, at=at(second))
        for number, (state, second) in enumerate(steps, start=1)
    )


def order(run_id: str, leg_number: int, symbol: str, state: str, **values: Any) -> StoredOrder:
    defaults: dict[str, Any] = {
        "generation": 0,
        "client_order_id": order_id(TENANT, run_id, leg=leg_number, generation=0),
        "account_id": "A",
        "side": "buy",
        "quantity": None,
        "notional": None,
        "worst_price": None,
        "impact_bps_max": None,
        "filled_quantity": dec("0"),
        "filled_value": dec("0"),
    }
    values = {"updated_at": values["intent_at"], **values}
    return StoredOrder(
        **{**defaults, "run_id": run_id, "leg": leg_number, "symbol": symbol, "state": state, **values}
    )


def execution(number: int, of: StoredOrder, *, quantity: str, price: str) -> StoredExecution:
    return StoredExecution(
        broker="paper",
        execution_id=f"x{number}",
        client_order_id=of.client_order_id,
        quantity=dec(quantity),
        price=dec(price),
    )


RUNS = (
    run(
        1,
        "run-1",
        "A",
        "COMPLETED",
        enrollment_id="enrollment-a",
        initiator="system",
        slot="enrollment:enrollment-a",
        created_at=at(0),
        finished_at=at(4),
    ),
    run(2, "run-2", "A", "COMPLETED", adjusted=True, created_at=at(6), finished_at=at(8)),
    run(3, "run-3", "A", "CANCELED", created_at=at(8), finished_at=at(8)),
    run(4, "run-4", "A", "CANCELED", created_at=at(8), finished_at=at(8)),
    run(
        5,
        "run-5",
        "B",
        "COMPLETED",
        initiator="system",
        slot="enrollment:enrollment-b",
        created_at=at(0),
        finished_at=at(0),
    ),
    run(6, "run-6", "B", "BUYING", created_at=at(6), finished_at=None),
)
PLANS = (
    plan(
        "run-1",
        0,
        holdings={"cash": "1000", "positions": {"SPY": "10"}},
        equity="2000",
        reserve="200",
        legs=[leg(0, "SPY", sell="4"), leg(1, "TLT", buy="1200.00")],
    ),
    plan(
        "run-2",
        6,
        holdings={"cash": "700", "positions": {"SPY": "6", "TLT": "24"}},
        equity="2500",
        reserve="250",
        legs=[leg(0, "SPY", buy="150.00"), leg(1, "TLT", buy="300.00")],
    ),
    plan(
        "run-5",
        0,
        weights=ALL_SPY,
        holdings={"cash": "0", "positions": {}},
        equity="0",
        reserve="0",
        legs=[],
    ),
    plan(
        "run-6",
        6,
        weights=ALL_SPY,
        holdings={"cash": "100", "positions": {}},
        equity="100",
        reserve="0",
        legs=[leg(0, "SPY", buy="100.00")],
    ),
)
ORDERS = (
    order(
        "run-1",
        0,
        "SPY",
        "FILLED",
        side="sell",
        quantity=dec("4"),
        intent_at=at(1),
        filled_quantity=dec("4"),
        filled_value=dec("400"),
    ),
    order(
        "run-1",
        1,
        "TLT",
        "FILLED",
        notional=dec("1200.00"),
        intent_at=at(2),
        filled_quantity=dec("24"),
        filled_value=dec("1200"),
    ),
    order("run-2", 0, "SPY", "REFUSED", notional=dec("150.00"), intent_at=at(7)),
    order(
        "run-2",
        1,
        "TLT",
        "FILLED",
        notional=dec("300.00"),
        intent_at=at(7),
        filled_quantity=dec("6"),
        filled_value=dec("300"),
    ),
    order("run-6", 0, "SPY", "SENDING", account_id="B", notional=dec("100.00"), intent_at=at(7)),
)
EXECUTIONS = (
    execution(1, ORDERS[SELL], quantity="4", price="100"),
    execution(2, ORDERS[BUY], quantity="10", price="50"),
    execution(3, ORDERS[BUY], quantity="14", price="50"),
    execution(4, ORDERS[SECOND_BUY], quantity="6", price="50"),
)
EVENTS = (
    *events("run-1", ("QUEUED", 0), ("PLANNED", 0), ("SELLING", 1), ("BUYING", 2), ("COMPLETED", 4)),
    *events("run-2", ("QUEUED", 6), ("PLANNED", 6), ("BUYING", 7), ("COMPLETED", 8)),
    *events("run-3", ("QUEUED", 8), ("CANCELED", 8)),
    *events("run-4", ("QUEUED", 8), ("CANCELED", 8)),
    *events("run-5", ("QUEUED", 0), ("PLANNED", 0), ("COMPLETED", 0)),
    *events("run-6", ("QUEUED", 6), ("PLANNED", 6), ("BUYING", 7)),
)


def placed(of: StoredOrder, **values: Any) -> dict[str, Any]:
    """What an entry says about an order."""
    return {
        "account_id": of.account_id,
        "client_order_id": of.client_order_id,
        "symbol": of.symbol,
        "side": of.side,
        **values,
    }


def accepted(of: StoredOrder, seq: int, second: int) -> Fact:
    return Fact(
        seq=seq, at=at(second), kind="accepted", **placed(of, quantity=of.quantity, notional=of.notional)
    )


def executed(of: StoredOrder, seq: int, second: int, **values: str) -> Fact:
    amounts = {name: dec(value) for name, value in values.items() if name != "execution_id"}
    return Fact(
        seq=seq,
        at=at(second),
        kind="executed",
        execution_id=values["execution_id"],
        **placed(of, **amounts),
    )


ENTRIES = (
    Fact(seq=1, at=at(0), kind="opened", account_id="A", amount=dec("1000")),
    Fact(seq=2, at=at(0), kind="seeded", account_id="A", symbol="SPY", quantity=dec("10")),
    Fact(seq=3, at=at(0), kind="opened", account_id="B", amount=dec("0")),
    accepted(ORDERS[SELL], 4, 1),
    executed(ORDERS[SELL], 5, 1, quantity="4", price="100", amount="400", execution_id="x1"),
    accepted(ORDERS[BUY], 6, 2),
    executed(ORDERS[BUY], 7, 3, quantity="10", price="50", amount="-500", execution_id="x2"),
    executed(ORDERS[BUY], 8, 4, quantity="14", price="50", amount="-700", execution_id="x3"),
    Fact(seq=9, at=at(5), kind="transfer", account_id="A", amount=dec("500"), ref="t1"),
    Fact(seq=10, at=at(5), kind="transfer", account_id="B", amount=dec("100"), ref="t2"),
    accepted(ORDERS[REJECTED], 11, 7),
    Fact(seq=12, at=at(7), kind="rejected", **placed(ORDERS[REJECTED], notional=dec("150.00"))),
    accepted(ORDERS[SECOND_BUY], 13, 7),
    executed(ORDERS[SECOND_BUY], 14, 7, quantity="6", price="50", amount="-300", execution_id="x4"),
)

WORLD = World(
    evidence=Evidence(
        runs=RUNS,
        plans=PLANS,
        orders=ORDERS,
        executions=EXECUTIONS,
        skips=(),
        events=EVENTS,
        adjustments=(
            StoredAdjustment(ref="t1", account_id="A", amount=dec("500")),
            StoredAdjustment(ref="t2", account_id="B", amount=dec("100")),
        ),
        enrollments=(
            StoredEnrollment(id="enrollment-a", tenant_id=TENANT, account_id="A"),
            StoredEnrollment(id="enrollment-b", tenant_id=TENANT, account_id="B"),
        ),
    ),
    ledger=Ledger(
        entries=ENTRIES,
        balances={"A": Money(cash=dec("400"), positions=HELD), "B": Money(cash=dec("100"))},
    ),
)

SKIP = StoredSkip(run_id="run-2", leg=0)


def edited(*edits: Edit) -> World:
    world = WORLD
    for each in edits:
        world = each(world)
    return world
