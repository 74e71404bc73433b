"""Money that comes to the paper broker and goes: bank relationships, transfers, and journals between the
firm's account and its clients'.

Everything settles at once. A transfer moves cash with one entry of the ledger, a journal with two; who
asks again under the same id changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from trimtab.brokers.paper_holders import ensure_firm, require_own
from trimtab.brokers.paper_market import Market, read_book, write_book
from trimtab.core.errors import AccountNotActive, InsufficientCash, NotFound
from trimtab.database import Row, Tx, instant, micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A bank account of the client's; `details` are as they came."""

    id: str
    account_id: str
    created_at: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BankTransfer:
    """`amount` is positive for what came in, negative for what went out."""

    id: str
    account_id: str
    relationship_id: str
    amount: Decimal
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Cash from one account to another."""

    id: str
    from_account: str
    to_account: str
    amount: Decimal
    description: str
    created_at: datetime


def relate(tx: Tx, new: Relationship) -> Relationship | None:
    """The new relationship; None if the account has another."""
    found = read_relationship(tx, new.account_id)
    if found is not None:
        return found if found.id == new.id else None
    tx.insert(
        "ach_relationships",
        ("account_id", "relationship_id", "created_at", "details"),
        rows=[(new.account_id, new.id, micros(new.created_at), json.dumps(new.details))],
    )
    return new


def read_relationship(tx: Tx, account_id: str) -> Relationship | None:
    row = tx.row("SELECT * FROM ach_relationships WHERE account_id = :account_id", account_id=account_id)
    if row is None:
        return None
    return Relationship(
        id=row["relationship_id"],
        account_id=row["account_id"],
        created_at=instant(row["created_at"]),
        details=json.loads(row["details"]),
    )


def unrelate(tx: Tx, account_id: str, relationship_id: str) -> None:
    changed = tx.execute(
        """
        DELETE FROM ach_relationships
        WHERE account_id = :account_id AND relationship_id = :relationship_id
        """,
        account_id=account_id,
        relationship_id=relationship_id,
    )
    if not changed:
        raise NotFound("ach_relationship", relationship_id)


def transfer(tx: Tx, market: Market, new: BankTransfer) -> BankTransfer:
    """Pay in or out over the account's relationship. Raises NotFound, AccountNotActive, InsufficientCash."""
    known = _transfer_by_id(tx, new.id)
    if known is not None:
        return known
    relationship = read_relationship(tx, new.account_id)
    if relationship is None or relationship.id != new.relationship_id:
        raise NotFound("ach_relationship", new.relationship_id)
    _move(tx, market, {new.account_id: new.amount}, ref=new.id)
    tx.execute(
        """
        INSERT INTO transfers (number, transfer_id, account_id, relationship_id, amount, created_at)
        VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM transfers), :id, :account_id, :relationship_id,
                :amount, :now)
        """,
        id=new.id,
        account_id=new.account_id,
        relationship_id=new.relationship_id,
        amount=new.amount,
        now=micros(new.created_at),
    )
    return new


def read_transfers(
    tx: Tx, account_id: str, *, incoming: bool | None, limit: int, offset: int
) -> list[BankTransfer]:
    """The account's transfers, the oldest first; `incoming` None for both directions."""
    rows = tx.rows(
        """
        SELECT * FROM transfers WHERE account_id = :account_id
            AND (:sign = 0 OR (:sign = 1 AND CAST(amount AS REAL) > 0)
                OR (:sign = -1 AND CAST(amount AS REAL) < 0))
        ORDER BY number LIMIT :limit OFFSET :offset
        """,
        account_id=account_id,
        sign={None: 0, True: 1, False: -1}[incoming],
        limit=limit,
        offset=offset,
    )
    return [_transfer(row) for row in rows]


def read_transfer(tx: Tx, account_id: str, transfer_id: str) -> BankTransfer:
    found = _transfer_by_id(tx, transfer_id)
    if found is None or found.account_id != account_id:
        raise NotFound("transfer", transfer_id)
    return found


def journal(tx: Tx, market: Market, new: Sequence[Journal], *, tenant_id: str) -> list[Journal]:
    """Move cash between the firm's account and clients', all or nothing. Raises NotFound, AccountNotActive
    and InsufficientCash.
    """
    market = ensure_firm(tx, market, tenant_id)
    for each in new:
        for account_id in (each.from_account, each.to_account):
            require_own(tx, tenant_id, account_id)
    made = []
    for each in new:
        known = tx.row("SELECT * FROM journals WHERE journal_id = :id", id=each.id)
        if known is None:
            market = _enter_journal(tx, market, each, tenant_id=tenant_id)
        made.append(each if known is None else _journal(known))
    return made


def _enter_journal(tx: Tx, market: Market, new: Journal, *, tenant_id: str) -> Market:
    after = _move(tx, market, {new.from_account: -new.amount, new.to_account: new.amount}, ref=new.id)
    tx.execute(
        """
        INSERT INTO journals (number, journal_id, tenant_id, from_account, to_account, amount, description,
                              created_at)
        VALUES ((SELECT COALESCE(MAX(number), 0) + 1 FROM journals), :id, :tenant_id, :from_account,
                :to_account, :amount, :description, :now)
        """,
        id=new.id,
        tenant_id=tenant_id,
        from_account=new.from_account,
        to_account=new.to_account,
        amount=new.amount,
        description=new.description,
        now=micros(new.created_at),
    )
    return after


def numbered_id(first: str, number: int) -> str:
    """The id of one of many journals that one request makes."""
    return str(uuid5(UUID(first), str(number)))


def read_journals(tx: Tx, tenant_id: str) -> list[Journal]:
    rows = tx.rows("SELECT * FROM journals WHERE tenant_id = :tenant_id ORDER BY number", tenant_id=tenant_id)
    return [_journal(row) for row in rows]


def read_journal(tx: Tx, tenant_id: str, journal_id: str) -> Journal:
    row = tx.row(
        "SELECT * FROM journals WHERE journal_id = :id AND tenant_id = :tenant_id",
        id=journal_id,
        tenant_id=tenant_id,
    )
    if row is None:
        raise NotFound("journal", journal_id)
    return _journal(row)


def _move(tx: Tx, market: Market, amounts: Mapping[str, Decimal], *, ref: str) -> Market:
    book = read_book(tx, market, account_ids=amounts)
    for account_id, amount in amounts.items():
        account = book.accounts[account_id]
        if account.status != "ACTIVE":
            raise AccountNotActive(account_id=account_id)
        if amount < 0 and book.free_cash(account) + amount < 0:
            raise InsufficientCash(account_id=account_id)
        # Two entries of one journal are two transfers to the ledger.
        book.transfer(account, ref=ref if len(amounts) == 1 else f"{ref}:{account_id}", amount=amount)
    write_book(tx, book)
    return replace(market, seq=book.seq)


def _transfer_by_id(tx: Tx, transfer_id: str) -> BankTransfer | None:
    row = tx.row("SELECT * FROM transfers WHERE transfer_id = :id", id=transfer_id)
    return None if row is None else _transfer(row)


def _transfer(row: Row) -> BankTransfer:
    return BankTransfer(
        id=row["transfer_id"],
        account_id=row["account_id"],
        relationship_id=row["relationship_id"],
        amount=Decimal(row["amount"]),
        created_at=instant(row["created_at"]),
    )


def _journal(row: Row) -> Journal:
    return Journal(
        id=row["journal_id"],
        from_account=row["from_account"],
        to_account=row["to_account"],
        amount=Decimal(row["amount"]),
        description=row["description"],
        created_at=instant(row["created_at"]),
    )
