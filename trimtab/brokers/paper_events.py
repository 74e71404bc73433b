"""What happened to orders, as a client of the paper broker is told: read from the ledger, in its order.

An event is named by a ULID of its entry's millisecond and number, so that names sort as the ledger does
and lead back into it. It shows the order as it was then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from trimtab.brokers.paper_ledger import EntryKind, LedgerEntry, entry_of, read_executions
from trimtab.brokers.paper_market import read_faults
from trimtab.brokers.paper_orders import PaperOrder, read_orders
from trimtab.core import ulid
from trimtab.core.money import ZERO
from trimtab.core.run import Execution, OrderState
from trimtab.database import Row, Tx

ENDS = {
    EntryKind.CANCELED: OrderState.CANCELED,
    EntryKind.REJECTED: OrderState.REFUSED,
    EntryKind.ACCEPTED: OrderState.OPEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeEvent:
    """One fact about an order, which is shown as it was then; `times` is more than one if a fault doubles
    it.
    """

    id: str
    at: datetime
    entry: LedgerEntry
    order: PaperOrder
    times: int


def head(tx: Tx) -> str:
    """No event that comes later has an id up to this one."""
    row = tx.rows("SELECT last_seq, stamp FROM market")[0]
    return _id(row["stamp"], row["last_seq"])


def read_events(tx: Tx, tenant_id: str, *, after: str, upto: str, limit: int) -> list[TradeEvent]:
    """A tenant's events after one id and up to another, in order."""
    rows = tx.rows(
        """
        SELECT ledger.* FROM ledger JOIN accounts ON accounts.account_id = ledger.account_id
        WHERE ledger.seq > :after AND ledger.seq <= :upto
            AND ledger.kind IN ('accepted', 'executed', 'canceled', 'rejected') AND ledger.stamp IS NOT NULL
            AND accounts.tenant_id = :tenant_id
        ORDER BY ledger.seq LIMIT :limit
        """,
        after=_last_number(tx, after),
        upto=_last_number(tx, upto),
        tenant_id=tenant_id,
        limit=limit,
    )
    return list(_events(tx, rows))


def _events(tx: Tx, rows: Sequence[Row]) -> Iterator[TradeEvent]:
    names = {row["client_order_id"] for row in rows}
    orders, executions = read_orders(tx, names), read_executions(tx, names)
    faults = read_faults(tx)
    for row in rows:
        entry = entry_of(row)
        assert entry.client_order_id is not None, "events are of orders"
        order = orders[entry.client_order_id]
        yield TradeEvent(
            id=_id(row["stamp"], entry.seq),
            at=entry.at,
            entry=entry,
            order=_as_it_was(order, entry, executions=executions.get(order.client_order_id, [])),
            times=2 if faults.repeats_event(order.seq) else 1,
        )


def _as_it_was(order: PaperOrder, entry: LedgerEntry, *, executions: Sequence[Execution]) -> PaperOrder:
    """The order right after an entry."""
    done = 0 if entry.kind is EntryKind.ACCEPTED else len(executions)
    if entry.kind is EntryKind.EXECUTED:
        done = 1 + [each.execution_id for each in executions].index(entry.execution_id or "")
    state = ENDS.get(entry.kind)
    if state is None:
        is_last = done == len(executions) and order.state is OrderState.FILLED
        state = OrderState.FILLED if is_last else OrderState.OPEN
    return replace(
        order,
        state=state,
        executions=done,
        filled_quantity=sum((each.quantity for each in executions[:done]), ZERO),
        filled_value=_value(executions[:done]),
        reason=entry.reason,
        updated_at=entry.at,
    )


def _value(executions: Sequence[Execution]) -> Decimal:
    return sum((each.quantity * each.price for each in executions), ZERO)


def _id(stamp: int, number: int) -> str:
    return ulid.text_of(_number(stamp, number))


def _last_number(tx: Tx, event_id: str) -> int:
    """The number of the last entry that an id lies not before; an id may be one that was never given, and
    only say a time. Looked for in halves: the ledger has no index of it that every order would pay for.
    """
    value = ulid.number_in(event_id)
    assert value is not None, "ids are read before they are asked for"
    low, high = 0, int(tx.rows("SELECT last_seq FROM market")[0]["last_seq"])
    # As a rule it is one of ours, and names its entry.
    middle = min(value & (1 << ulid.BITS_BELOW_TIME) - 1, high)
    while low < high:
        entry = tx.row(
            "SELECT seq, stamp FROM ledger WHERE seq > :low AND seq <= :middle ORDER BY seq DESC LIMIT 1",
            low=low,
            middle=middle,
        )
        # Entries of the version before have no time, and come before all that have one.
        found = 0 if entry is None else _number(entry["stamp"] or 0, entry["seq"])
        if found == value:
            return middle
        if found < value:
            low = middle
        else:
            high = middle - 1
        middle = (low + high + 1) // 2
    return low


def _number(stamp: int, number: int) -> int:
    return (stamp << ulid.BITS_BELOW_TIME) + number
