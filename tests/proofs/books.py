"""Both sides compared at the end: the exchange's journal and the tables, read as they are.

Nothing of the engine, of the store or of `trimtab audit` is asked: what an order id is made of, which states
are final and what an account must hold is said again here.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

import psycopg
from psycopg.rows import dict_row

from tests.brokers.alpaca_server import FINAL as FINAL_AT_EXCHANGE
from tests.brokers.alpaca_server import ServedOrder
from tests.proofs.exchange import Exchange, Fact

Row = Mapping[str, Any]
Holdings = dict[str, Decimal]

ORDER_NAMESPACE = UUID("6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21")
FINAL = {"COMPLETED", "CANCELED", "FAILED", "TIMED_OUT"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The smallest order: what is nearer to its target than that is not traded.
NEAR = Decimal("1.01")
CASH = "cash"
WITNESSES = 5
# More than any run here could have.
LEGS_MAX, GENERATIONS_MAX = 8, 3
# What the tables may say of an order that the exchange calls so.
STATES = {
    "filled": {"FILLED"},
    "canceled": {"CANCELED"},
    "expired": {"CANCELED"},
    "rejected": {"REFUSED"},
}
TABLES = ("runs", "orders", "executions", "freezes", "accounts", "restores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """`began` is what each account held before anything happened, `named` what every run was asked for that
    an answer named. `forgets`: the tables are an old copy, and need not know everything.
    """

    tables: Mapping[str, Sequence[Row]]
    journal: Sequence[Fact]
    orders: Sequence[ServedOrder]
    began: Mapping[str, Holdings]
    ends: Mapping[str, Holdings]
    prices: Mapping[str, Decimal]
    named: Mapping[str, Mapping[str, int]]
    strangers: Sequence[str] = ()
    forgets: bool = False
    intents: dict[str, Row] = field(default_factory=dict)
    runs: dict[str, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.intents.update({row["client_order_id"]: row for row in self.tables["orders"]})
        self.runs.update({row["id"]: row for row in self.tables["runs"]})

    def known(self) -> Iterator[tuple[ServedOrder, Row]]:
        """Every order with its intent."""
        for order in self.orders:
            if order.client_order_id in self.intents:
                yield order, self.intents[order.client_order_id]


def read_tables(database_url: str) -> dict[str, list[Row]]:
    if database_url.startswith("sqlite"):
        path = Path(database_url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(path)) as file:
            file.row_factory = sqlite3.Row
            return {t: [dict(row) for row in file.execute(f"SELECT * FROM {t}")] for t in TABLES}  # noqa: S608
    with psycopg.connect(urlsplit(database_url).geturl(), row_factory=dict_row) as server:
        return {t: list(server.execute(f"SELECT * FROM {t}")) for t in TABLES}  # noqa: S608


def nothing_is_ordered_twice(books: Books) -> Iterator[str]:
    ids = Counter(order.client_order_id for order in books.orders)
    yield from (f"{key} was accepted {times} times" for key, times in ids.items() if times > 1)
    for (run_id, what), orders in _of_runs(books).items():
        if len(orders) > 1:
            yield f"run {run_id} has {len(orders)} orders of {what}: {sorted(orders)}"


def _of_runs(books: Books) -> dict[tuple[str, str], set[str]]:
    """By run and symbol, the accepted orders: no run needs two of one symbol. Their ids say whose they are,
    also where the intents are forgotten.
    """
    accepted = {order.client_order_id: order for order in books.orders}
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in books.runs.values():
        for leg, generation in product(range(LEGS_MAX), range(GENERATIONS_MAX)):
            key = order_id(run["tenant_id"], run["id"], leg=leg, generation=generation)
            if key in accepted:
                found[run["id"], accepted[key].symbol].add(key)
                found[run["id"], f"leg {leg}"].add(key)
    return found


def order_id(tenant_id: str, run_id: str, *, leg: int, generation: int) -> str:
    return str(uuid5(ORDER_NAMESPACE, f"{tenant_id}:{run_id}:{leg}:{generation}"))


def what_is_ordered_was_meant(books: Books) -> Iterator[str]:
    for order in books.orders:
        row = books.intents.get(order.client_order_id)
        if row is None:
            if not books.forgets:
                yield f"nobody meant {order.client_order_id}"
            continue
        theirs = (order.account_id, order.symbol, order.side, order.quantity, order.notional)
        amounts = (_decimal(row["quantity"]), _decimal(row["notional"]))
        ours = (row["account_id"], row["symbol"], row["side"], *amounts)
        if theirs != ours:
            yield f"{ours} was meant, {theirs} was ordered"
        if instant(row["intent_at"]) > order.at and not books.forgets:
            yield f"{order.client_order_id} was ordered at {order.at}, before it was meant"


def ids_name_legs(books: Books) -> Iterator[str]:
    for key, row in books.intents.items():
        run = books.runs.get(row["run_id"])
        if run is None:
            yield f"the order {key} is of no run"
            continue
        if key != order_id(run["tenant_id"], run["id"], leg=row["leg"], generation=row["generation"]):
            yield f"{key} does not follow from run {run['id']}, leg {row['leg']}"


def no_run_is_lost(books: Books) -> Iterator[str]:
    if not books.forgets:
        yield from (f"run {run_id} is lost" for run_id in books.named if run_id not in books.runs)
    yield from (
        f"run {key} is {run['state']}" for key, run in books.runs.items() if run["state"] not in FINAL
    )
    yield from (f"run {key} failed: {r['reason']}" for key, r in books.runs.items() if r["state"] == "FAILED")


def fates_are_the_exchanges(books: Books) -> Iterator[str]:
    there = {order.client_order_id: order.status for order in books.orders}
    for key, row in books.intents.items():
        expected = STATES.get(there[key], {there[key]}) if key in there else {"REFUSED", "ABANDONED"}
        if row["state"] not in expected:
            yield f"{key} is {row['state']}, at the exchange {there.get(key, 'nowhere')}"
    yield from (f"{o.client_order_id} is still {o.status}" for o in books.orders if not _is_over(o))


def _is_over(order: ServedOrder) -> bool:
    return order.status in FINAL_AT_EXCHANGE


def fills_are_the_exchanges(books: Books) -> Iterator[str]:
    executed: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in books.tables["executions"]:
        quantity, price = Decimal(row["quantity"]), Decimal(row["price"])
        executed[row["client_order_id"]][0] += quantity
        executed[row["client_order_id"]][1] += quantity * price
    for order, row in books.known():
        theirs = (order.filled, order.spent)
        ours = (Decimal(row["filled_quantity"]), Decimal(row["filled_value"]))
        if not ours == theirs == tuple(executed[order.client_order_id]):
            yield f"{order.client_order_id} has {ours}, its executions {executed[order.client_order_id]}"
            yield f"… at the exchange {theirs}"


def accounts_are_what_was_executed(books: Books) -> Iterator[str]:
    """Entry by entry; nobody ever owes anything."""
    now = {account_id: dict(held) for account_id, held in books.began.items()}
    for fact, quantity, value in _executed(books.journal):
        account, order = now[fact.order.account_id], fact.order
        sign = 1 if order.side == "buy" else -1
        account[order.symbol] = account.get(order.symbol, Decimal(0)) + sign * quantity
        account[CASH] -= sign * value
        for name in (CASH, order.symbol):
            if account[name] < 0:
                yield f"{order.account_id} has {account[name]} {name} after {order.client_order_id}"
    for account_id, held in now.items():
        ours = {name: each for name, each in held.items() if each}
        theirs = {name: each for name, each in books.ends[account_id].items() if each}
        if ours != theirs:
            yield f"{account_id} has {theirs}, its entries make it {ours}"


def _executed(journal: Sequence[Fact]) -> Iterator[tuple[Fact, Decimal, Decimal]]:
    """What each entry has executed more than the last of its order."""
    known: dict[str, tuple[Decimal, Decimal]] = {}
    for fact in journal:
        key = fact.order.client_order_id
        quantity, value = known.get(key, (Decimal(0), Decimal(0)))
        known[key] = (fact.quantity, fact.value)
        if fact.quantity != quantity:
            yield fact, fact.quantity - quantity, fact.value - value


def successes_are_on_target(books: Books) -> Iterator[str]:
    """After every run that says so, as the journal has it at the last entry of the run."""
    by_account: dict[str, list[Row]] = defaultdict(list)
    for run in sorted(books.runs.values(), key=lambda run: run["seq"]):
        by_account[run["account_id"]].append(run)
    traded: dict[str, list[tuple[Fact, Decimal, Decimal]]] = defaultdict(list)
    for entry in _executed(books.journal):
        row = books.intents.get(entry[0].order.client_order_id)
        traded["" if row is None else row["run_id"]].append(entry)
    for account_id, runs in by_account.items():
        held = dict(books.began[account_id])
        for run in runs:
            _apply(held, traded[run["id"]])
            targets = books.named.get(run["id"])
            succeeded = run["state"] == "COMPLETED" and not run["adjusted"]
            if succeeded and targets is not None and not books.forgets:
                yield from (f"run {run['id']}: {off}" for off in off_target(held, targets, books.prices))


def _apply(held: Holdings, entries: Sequence[tuple[Fact, Decimal, Decimal]]) -> None:
    for fact, quantity, value in entries:
        sign = 1 if fact.order.side == "buy" else -1
        held[fact.order.symbol] = held.get(fact.order.symbol, Decimal(0)) + sign * quantity
        held[CASH] -= sign * value


def off_target(held: Holdings, targets: Mapping[str, int], prices: Mapping[str, Decimal]) -> Iterator[str]:
    values = {name: each if name == CASH else each * prices[name] for name, each in held.items()}
    equity = sum(values.values(), Decimal(0))
    lines = {*values, *targets} - {CASH}
    for symbol in sorted(lines):
        wanted = equity * targets.get(symbol, 0) / 100
        if abs(values.get(symbol, Decimal(0)) - wanted) > NEAR:
            yield f"${values.get(symbol, Decimal(0)):.2f} of {symbol}, wanted were ${wanted:.2f}"


def nothing_is_held_for_good(books: Books) -> Iterator[str]:
    yield from (f"frozen: {dict(row)}" for row in books.tables["freezes"])
    for row in books.tables["accounts"]:
        if row["held"] is not None:
            yield f"account {row['account_id']} is held: {row['held']}"


def nobody_is_refused_without_cause(books: Books) -> Iterator[str]:
    """An order for money or shares that are not there is one that should not have been sent."""
    yield from books.strangers


Rules = tuple[Callable[[Books], Iterator[str]], ...]

AT_ANY_MOMENT: Rules = (
    nothing_is_ordered_twice,
    what_is_ordered_was_meant,
    ids_name_legs,
    accounts_are_what_was_executed,
    nobody_is_refused_without_cause,
)
AT_THE_END: Rules = (
    *AT_ANY_MOMENT,
    no_run_is_lost,
    fates_are_the_exchanges,
    fills_are_the_exchanges,
    successes_are_on_target,
    nothing_is_held_for_good,
)


def broken(books: Books, rules: Rules = AT_THE_END) -> list[str]:
    """The first witnesses of every rule that is broken."""
    found = []
    for rule in rules:
        witnesses = list(rule(books))
        found += [f"{rule.__name__}: {each}" for each in witnesses[:WITNESSES]]
    return found


def holdings_of(exchange: Exchange) -> dict[str, Holdings]:
    return {
        account_id: {CASH: account.cash} | account.positions
        for account_id, account in exchange.accounts.items()
    }


def slowest_end(books: Books, since: datetime) -> timedelta:
    """How long after this moment the last run ended."""
    ends = [instant(run["finished_at"]) for run in books.runs.values() if run["finished_at"] is not None]
    return max((end - since for end in ends), default=timedelta(0))


def instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _decimal(stored: Any) -> Decimal | None:
    return None if stored is None else Decimal(stored)
