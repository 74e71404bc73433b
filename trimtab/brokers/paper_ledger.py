"""The paper broker's ledger: facts in the order in which they happened, never rewritten.

Orders, accounts and positions can all be worked out from it; the audit does so.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from trimtab.brokers.broker import Feed, Transfer
from trimtab.core.run import Execution, Side
from trimtab.database import Row, Tx, instant, micros

ENTRY_COLUMNS = (
    "seq",
    "at",
    "kind",
    "account_id",
    "client_order_id",
    "broker_order_id",
    "symbol",
    "side",
    "quantity",
    "notional",
    "price",
    "amount",
    "execution_id",
    "ref",
    "reason",
    "ratio",
    "new_symbol",
    "position",
    "stamp",
)


class EntryKind(StrEnum):
    OPENED = "opened"
    SEEDED = "seeded"
    TRANSFER = "transfer"
    ACCEPTED = "accepted"
    EXECUTED = "executed"
    CANCELED = "canceled"
    REJECTED = "rejected"
    STATUS = "status"
    CORPORATE_ACTION = "corporate_action"
    SPLIT = "split"
    RENAMED = "renamed"
    PAID_OUT = "paid_out"
    DIVIDEND = "dividend"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One fact that will never be changed; `amount` is the change of cash in dollars.

    A corporate action is a fact of the market (its account is empty): its kind is the `reason`, its terms
    are `ratio`, `new_symbol` or the dollars per share in `price`. What it changes in each account follows
    it, under the same `ref`: by how many shares a split, how many shares all others. `position` is what
    the account holds of the symbol after an execution.
    """

    seq: int
    at: datetime
    kind: EntryKind
    account_id: str
    client_order_id: str | None = None
    broker_order_id: str | None = None
    symbol: str | None = None
    side: Side | None = None
    quantity: Decimal | None = None
    notional: Decimal | None = None
    price: Decimal | None = None
    amount: Decimal | None = None
    execution_id: str | None = None
    ref: str | None = None
    reason: str | None = None
    ratio: Decimal | None = None
    new_symbol: str | None = None
    position: Decimal | None = None


def insert_entries(tx: Tx, entries: Iterable[LedgerEntry], *, stamp: int) -> None:
    """Write facts, with the millisecond that the ids of their events bear."""
    tx.insert("ledger", ENTRY_COLUMNS, rows=[(*_entry_row(entry), stamp) for entry in entries])


def read_executions(tx: Tx, client_order_ids: Collection[str]) -> dict[str, list[Execution]]:
    """The executions of each order in their order; orders without any are absent."""
    executions: dict[str, list[Execution]] = {}
    rows = tx.rows(
        """
        SELECT client_order_id, execution_id, quantity, price, at FROM ledger
        WHERE kind = 'executed' AND client_order_id IN :ids ORDER BY seq
        """,
        ids=list(client_order_ids),
    )
    for row in rows:
        execution = Execution(
            execution_id=row["execution_id"],
            client_order_id=row["client_order_id"],
            quantity=Decimal(row["quantity"]),
            price=Decimal(row["price"]),
            at=instant(row["at"]),
        )
        executions.setdefault(execution.client_order_id, []).append(execution)
    return executions


def read_feed(tx: Tx, since: int) -> Feed:
    """Accounts whose holdings or status changed after the cursor, and the transfers among the causes."""
    cursor = tx.rows("SELECT last_seq FROM market")[0]["last_seq"]
    # Bounded on both sides, so that PostgreSQL reads a range of the key even before it has statistics.
    changed = tx.rows(
        """
        SELECT DISTINCT account_id FROM ledger WHERE seq > :since AND seq <= :cursor
            AND kind IN ('opened', 'seeded', 'transfer', 'executed', 'status', 'split', 'renamed',
                         'paid_out', 'dividend')
        """,
        since=since,
        cursor=cursor,
    )
    transfers = tx.rows(
        """
        SELECT ref, account_id, amount, at FROM ledger
        WHERE seq > :since AND seq <= :cursor AND kind = 'transfer' ORDER BY seq
        """,
        since=since,
        cursor=cursor,
    )
    return Feed(
        cursor=cursor,
        changed=frozenset(row["account_id"] for row in changed),
        transfers=tuple(_transfer(row) for row in transfers),
    )


def read_transfer(tx: Tx, ref: str) -> Transfer | None:
    row = tx.row(
        "SELECT ref, account_id, amount, at FROM ledger WHERE kind = 'transfer' AND ref = :ref", ref=ref
    )
    return None if row is None else _transfer(row)


def _transfer(row: Row) -> Transfer:
    return Transfer(
        ref=row["ref"],
        account_id=row["account_id"],
        amount=Decimal(row["amount"]),
        at=instant(row["at"]),
    )


def last_entry(tx: Tx) -> int:
    row = tx.row("SELECT MAX(seq) AS seq FROM ledger")
    assert row is not None, "an aggregate is a row"
    return row["seq"] or 0


def read_ledger(tx: Tx) -> list[LedgerEntry]:
    return [entry_of(row) for row in tx.rows("SELECT * FROM ledger ORDER BY seq")]


def entry_of(row: Row) -> LedgerEntry:
    return LedgerEntry(
        seq=row["seq"],
        at=instant(row["at"]),
        kind=EntryKind(row["kind"]),
        account_id=row["account_id"],
        client_order_id=row["client_order_id"],
        broker_order_id=row["broker_order_id"],
        symbol=row["symbol"],
        side=None if row["side"] is None else Side(row["side"]),
        quantity=_decimal(row["quantity"]),
        notional=_decimal(row["notional"]),
        price=_decimal(row["price"]),
        amount=_decimal(row["amount"]),
        execution_id=row["execution_id"],
        ref=row["ref"],
        reason=row["reason"],
        ratio=_decimal(row["ratio"]),
        new_symbol=row["new_symbol"],
        position=_decimal(row["position"]),
    )


def _entry_row(entry: LedgerEntry) -> tuple[object, ...]:
    return (
        entry.seq,
        micros(entry.at),
        entry.kind.value,
        entry.account_id,
        entry.client_order_id,
        entry.broker_order_id,
        entry.symbol,
        None if entry.side is None else entry.side.value,
        entry.quantity,
        entry.notional,
        entry.price,
        entry.amount,
        entry.execution_id,
        entry.ref,
        entry.reason,
        entry.ratio,
        entry.new_symbol,
        entry.position,
    )


def _decimal(stored: str | Decimal | None) -> Decimal | None:
    return None if stored is None else Decimal(stored)
