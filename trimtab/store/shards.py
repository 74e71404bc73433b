"""Shards and the accounts in them: whose an account is, and which worker may write it now.

Every account lives in one shard for good. A worker takes a shard by raising its epoch; each later
transaction of that worker locks the shard row at that epoch first, so that a worker that was paused
and overtaken can write nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trimtab.core.errors import Fenced
from trimtab.database import Row, Tx, micros

ACCOUNTS_PER_SHARD = 1000
LEFT_AFTER = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """`held` says why no order may leave for this account, if none may."""

    account_id: str
    shard: int
    tenant_id: str
    set_aside: Decimal
    held: str | None


def claim_account(tx: Tx, account_id: str, *, tenant_id: str, now: datetime) -> AccountRecord:
    """The account's record; the first tenant that names an account has it from then on."""
    found = account(tx, account_id)
    if found is not None:
        return found
    tx.execute(
        """INSERT INTO accounts (account_id, shard, tenant_id, claimed_at, set_aside)
           VALUES (:account_id, :shard, :tenant_id, :now, '0') ON CONFLICT (account_id) DO NOTHING""",
        account_id=account_id,
        shard=_place(tx),
        tenant_id=tenant_id,
        now=micros(now),
    )
    claimed = account(tx, account_id)
    assert claimed is not None, "claimed by us or by another"
    return claimed


def _place(tx: Tx) -> int:
    """A shard with room for one more account; a new one when the last is full."""
    while True:
        row = tx.row(
            """UPDATE shards SET accounts = accounts + 1
               WHERE shard = (SELECT MAX(shard) FROM shards) AND accounts < :most RETURNING shard""",
            most=ACCOUNTS_PER_SHARD,
        )
        if row is not None:
            return int(row["shard"])
        tx.execute(
            """INSERT INTO shards (shard, accounts) SELECT COALESCE(MAX(shard), 0) + 1, 0 FROM shards
               WHERE true ON CONFLICT (shard) DO NOTHING"""
        )


def account(tx: Tx, account_id: str) -> AccountRecord | None:
    found = accounts(tx, [account_id])
    return found.get(account_id)


def accounts(tx: Tx, account_ids: Collection[str]) -> dict[str, AccountRecord]:
    rows = tx.rows(
        "SELECT account_id, shard, tenant_id, set_aside, held FROM accounts WHERE account_id IN :ids",
        ids=list(account_ids),
    )
    return {row["account_id"]: account_from(row) for row in rows}


def account_from(row: Row) -> AccountRecord:
    return AccountRecord(
        account_id=row["account_id"],
        shard=row["shard"],
        tenant_id=row["tenant_id"],
        set_aside=Decimal(row["set_aside"]),
        held=row["held"],
    )


def account_count(tx: Tx, shard: int) -> int:
    row = tx.row("SELECT accounts FROM shards WHERE shard = :shard", shard=shard)
    assert row is not None, "the shard exists"
    return int(row["accounts"])


def account_ids(tx: Tx, shard: int) -> list[str]:
    rows = tx.rows("SELECT account_id FROM accounts WHERE shard = :shard", shard=shard)
    return [row["account_id"] for row in rows]


def assign(tx: Tx, account_id: str, *, tenant_id: str, now: datetime) -> AccountRecord:
    """Give an account that nobody has claimed to a tenant; returns whose it is."""
    return claim_account(tx, account_id, tenant_id=tenant_id, now=now)


def numbers(tx: Tx) -> Sequence[int]:
    return [row["shard"] for row in tx.rows("SELECT shard FROM shards ORDER BY shard")]


def to_work(tx: Tx, now: datetime, *, idle_since: datetime | None) -> Sequence[int]:
    """The shards that are due, those that no worker has taken since `idle_since`, and those with open
    runs that their last worker left without saying when to come back: it died, or knew no time.
    """
    rows = tx.rows(
        """SELECT shard FROM shards s
           WHERE due_at <= :now OR COALESCE(taken_at, 0) <= :idle_since
              OR (due_at IS NULL AND taken_at <= :left_since AND EXISTS (
                  SELECT 1 FROM runs r WHERE r.shard = s.shard
                    AND r.state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING')))
           ORDER BY due_at, shard""",
        now=micros(now),
        idle_since=-1 if idle_since is None else micros(idle_since),
        left_since=micros(now - LEFT_AFTER),
    )
    return [row["shard"] for row in rows]


def lock(tx: Tx, shard: int) -> None:
    """Keep every other writer of the shard waiting until this transaction ends."""
    tx.row("SELECT shard FROM shards WHERE shard = :shard FOR UPDATE", shard=shard)


def mark_due(tx: Tx, shard: int, at: datetime) -> None:
    """Ask for a worker at `at`, or earlier if that was asked for before."""
    tx.execute(
        """UPDATE shards SET due_at = :at WHERE shard = :shard AND (due_at IS NULL OR due_at > :at)""",
        shard=shard,
        at=micros(at),
    )


def mark_all_due(tx: Tx, at: datetime) -> None:
    """Ask for a worker in every shard at `at`, or earlier where that was asked for before."""
    tx.execute("UPDATE shards SET due_at = :at WHERE due_at IS NULL OR due_at > :at", at=micros(at))


def mark_followers_due(tx: Tx, strategy_ids: Collection[str], at: datetime) -> None:
    """Ask for a worker in every shard with an account that follows one of the strategies."""
    tx.execute(
        """UPDATE shards SET due_at = :at WHERE (due_at IS NULL OR due_at > :at) AND shard IN (
             SELECT DISTINCT shard FROM enrollments WHERE strategy_id IN :ids AND state = 'active')""",
        ids=list(strategy_ids),
        at=micros(at),
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """The epoch that all later transactions of the writer must find, and whether the shard has to be
    compared with the broker before anything in it may move.
    """

    epoch: int
    is_restored: bool


def take(tx: Tx, shard: int, *, now: datetime) -> Taken:
    """Become the shard's writer."""
    row = tx.row(
        """UPDATE shards SET epoch = epoch + 1, due_at = NULL, taken_at = :now
           WHERE shard = :shard RETURNING epoch, restored""",
        shard=shard,
        now=micros(now),
    )
    assert row is not None, "the shard exists"
    return Taken(epoch=int(row["epoch"]), is_restored=bool(row["restored"]))


def guard(tx: Tx, shard: int, epoch: int) -> None:
    """Lock the shard at our epoch for this transaction; raises Fenced if another has taken it."""
    row = tx.row("SELECT epoch FROM shards WHERE shard = :shard FOR SHARE", shard=shard)
    if row is None or row["epoch"] != epoch:
        raise Fenced(shard=shard, epoch=epoch)


def amounts_set_aside(tx: Tx, shard: int) -> dict[str, Decimal]:
    """The accounts of a shard with money that is not the strategy's, and how many dollars."""
    rows = tx.rows(
        "SELECT account_id, set_aside FROM accounts WHERE shard = :shard AND set_aside <> '0'", shard=shard
    )
    return {row["account_id"]: Decimal(row["set_aside"]) for row in rows}


def set_aside(tx: Tx, amounts: dict[str, Decimal]) -> None:
    """Store how many dollars of each account are not the strategy's."""
    tx.many(
        "UPDATE accounts SET set_aside = :amount WHERE account_id = :account_id",
        [{"account_id": account_id, "amount": amount} for account_id, amount in amounts.items()],
    )


def hold(tx: Tx, reasons: dict[str, str]) -> None:
    """Let no order leave for these accounts until they are released."""
    tx.many(
        "UPDATE accounts SET held = :why WHERE account_id = :account_id",
        [{"account_id": account_id, "why": why} for account_id, why in reasons.items()],
    )


def held(tx: Tx, shard: int) -> list[str]:
    """The ids of the shard's held accounts."""
    rows = tx.rows("SELECT account_id FROM accounts WHERE shard = :shard AND held IS NOT NULL", shard=shard)
    return [row["account_id"] for row in rows]


def all_held(tx: Tx) -> dict[str, str]:
    """Every held account, and why."""
    rows = tx.rows("SELECT account_id, held FROM accounts WHERE held IS NOT NULL ORDER BY account_id")
    return {row["account_id"]: row["held"] for row in rows}


def release(tx: Tx, account_ids: Collection[str]) -> None:
    """Let orders leave again for these accounts."""
    tx.execute("UPDATE accounts SET held = NULL WHERE account_id IN :ids", ids=list(account_ids))
