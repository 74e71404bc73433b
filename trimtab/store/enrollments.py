"""Enrollments: which account follows which strategy, and how far it has been evaluated."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import itemgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.core.enrollment import Enrollment, EnrollmentState, TradeMarker
from trimtab.database import Row, Tx, instant, micros

_CHAIN_IDS = msgspec.json.Decoder(tuple[int, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A place in a list and how far to read from it; `after` is the `seq` of the last item seen."""

    after: int | None
    limit: int


def insert(tx: Tx, enrollment: Enrollment) -> bool:
    """Whether it was stored; not if the account has one that has not ended."""
    stored = tx.execute(
        """INSERT INTO enrollments (shard, id, tenant_id, account_id, strategy_id, state, created_at,
                                    updated_at, evaluated_on, evaluated_version, trade_marker, name,
                                    next_due_at, owner, account_index, chain_ids)
           VALUES (:shard, :id, :tenant_id, :account_id, :strategy_id, :state, :created_at,
                   :updated_at, :evaluated_on, :evaluated_version, :trade_marker, :name,
                   :next_due_at, :owner, :account_index, :chain_ids)
           ON CONFLICT (shard, account_id) WHERE state <> 'ended' DO NOTHING""",
        shard=enrollment.shard,
        id=enrollment.id,
        tenant_id=enrollment.tenant_id,
        account_id=enrollment.account_id,
        strategy_id=enrollment.strategy_id,
        state=enrollment.state,
        created_at=micros(enrollment.created_at),
        updated_at=micros(enrollment.updated_at),
        evaluated_on=enrollment.evaluated_on.isoformat(),
        evaluated_version=enrollment.evaluated_version,
        trade_marker=enrollment.trade_marker,
        name=enrollment.name,
        next_due_at=_micros_or_none(enrollment.next_due_at),
        owner=enrollment.owner,
        account_index=enrollment.account_index,
        chain_ids=msgspec.json.encode(enrollment.chain_ids).decode(),
    )
    return stored == 1


def one(tx: Tx, tenant_id: str, enrollment_id: str) -> Enrollment | None:
    """An enrollment of the tenant that has not ended."""
    row = tx.row(
        "SELECT * FROM enrollments WHERE id = :id AND tenant_id = :tenant_id AND state <> 'ended'",
        id=enrollment_id,
        tenant_id=tenant_id,
    )
    return None if row is None else _enrollment(row)


def of_account(tx: Tx, shard: int, account_id: str) -> Enrollment | None:
    row = tx.row(
        """SELECT * FROM enrollments
           WHERE shard = :shard AND account_id = :account_id AND state <> 'ended'""",
        shard=shard,
        account_id=account_id,
    )
    return None if row is None else _enrollment(row)


def page(
    tx: Tx, tenant_id: str, *, page: Page, account_id: str | None, strategy_id: str | None
) -> list[tuple[int, Enrollment]]:
    """The tenant's enrollments with their `seq`, oldest first; one more than the limit if there is."""
    rows = tx.rows(
        """SELECT * FROM enrollments WHERE tenant_id = :tenant_id AND state <> 'ended'
             AND (:account_id = '' OR account_id = :account_id)
             AND (:strategy_id = '' OR strategy_id = :strategy_id)
             AND (:after < 0 OR (created_at, seq) > (
                   COALESCE((SELECT created_at FROM enrollments WHERE seq = :after), 0), :after))
           ORDER BY created_at, seq LIMIT :limit""",
        tenant_id=tenant_id,
        account_id=account_id or "",
        strategy_id=strategy_id or "",
        after=-1 if page.after is None else page.after,
        limit=page.limit + 1,
    )
    return [(row["seq"], _enrollment(row)) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentFilter:
    """Only enrollments that match every given value."""

    account_id: str | None = None
    owner: str | None = None
    strategy_id: str | None = None
    state: EnrollmentState | None = None


def newest(tx: Tx, tenant_id: str, *, page: Page, wanted: EnrollmentFilter) -> list[tuple[int, Enrollment]]:
    """The tenant's enrollments with their `seq`, newest first; one more than the limit if there is."""
    rows = tx.rows(
        """SELECT * FROM enrollments WHERE tenant_id = :tenant_id AND state <> 'ended'
             AND (:account_id = '' OR (account_id = :account_id AND owner IS NULL))
             AND (:owner = '' OR owner = :owner)
             AND (:strategy_id = '' OR strategy_id = :strategy_id)
             AND (:state = '' OR state = :state)
             AND (:after < 0 OR (created_at, seq) < (
                   COALESCE((SELECT created_at FROM enrollments WHERE seq = :after), 0), :after))
           ORDER BY created_at DESC, seq DESC LIMIT :limit""",
        tenant_id=tenant_id,
        account_id=wanted.account_id or "",
        owner=wanted.owner or "",
        strategy_id=wanted.strategy_id or "",
        state=wanted.state or "",
        after=-1 if page.after is None else page.after,
        limit=page.limit + 1,
    )
    return [(row["seq"], _enrollment(row)) for row in rows]


def following(tx: Tx, strategy_id: str) -> bool:
    """Whether any account follows the strategy."""
    row = tx.row(
        "SELECT 1 AS found FROM enrollments WHERE strategy_id = :id AND state <> 'ended' LIMIT 1",
        id=strategy_id,
    )
    return row is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The enrollments of a shard that have not ended, column by column.

    A sweep looks at all of them and closely at few, so only those few are read as values. Instants are
    microseconds since 1970, -1 for none; `open_run` is true where the account has an open run.
    """

    seqs: NDArray[np.int64]
    ids: Sequence[str]
    account_ids: Sequence[str]
    strategy_ids: Sequence[str]
    paused: NDArray[np.bool_]
    open_run: NDArray[np.bool_]
    last_rebalanced_at: NDArray[np.int64]
    evaluated_on: Sequence[str]
    evaluated_version: NDArray[np.int64]
    next_due_at: NDArray[np.int64]


def roster(tx: Tx, shard: int) -> Roster:
    rows = tx.rows(
        """SELECT e.seq, e.id, e.account_id, e.strategy_id, e.state = 'paused' AS paused,
                  COALESCE(e.last_rebalanced_at, -1) AS last_rebalanced_at,
                  e.evaluated_on, e.evaluated_version, COALESCE(e.next_due_at, -1) AS next_due_at
           FROM enrollments e WHERE e.shard = :shard AND e.state <> 'ended' ORDER BY e.account_id""",
        shard=shard,
    )
    working = tx.rows(
        """SELECT account_id FROM runs WHERE shard = :shard
           AND state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING')""",
        shard=shard,
    )
    busy = {row["account_id"] for row in working}
    # By column at once: a sweep reads everybody.
    columns = zip(*map(itemgetter(*_COLUMNS), rows), strict=True) if rows else ((),) * len(_COLUMNS)
    seqs, ids, account_ids, strategy_ids, paused, last, on, version, next_due_at = columns
    return Roster(
        seqs=np.array(seqs, np.int64),
        ids=ids,
        account_ids=account_ids,
        strategy_ids=strategy_ids,
        paused=np.array(paused, np.bool_),
        open_run=np.array([account_id in busy for account_id in account_ids], np.bool_),
        last_rebalanced_at=np.array(last, np.int64),
        evaluated_on=on,
        evaluated_version=np.array(version, np.int64),
        next_due_at=np.array(next_due_at, np.int64),
    )


_COLUMNS = (
    "seq",
    "id",
    "account_id",
    "strategy_id",
    "paused",
    "last_rebalanced_at",
    "evaluated_on",
    "evaluated_version",
    "next_due_at",
)


def by_ids(tx: Tx, enrollment_ids: Collection[str]) -> Sequence[Enrollment]:
    rows = tx.rows("SELECT * FROM enrollments WHERE id IN :ids", ids=list(enrollment_ids))
    return [_enrollment(row) for row in rows]


def still_active(tx: Tx, enrollment_ids: Collection[str]) -> set[str]:
    """Those that are still active, and will be until this transaction ends."""
    rows = tx.rows(
        "SELECT id FROM enrollments WHERE id IN :ids AND state = 'active' FOR SHARE", ids=list(enrollment_ids)
    )
    return {row["id"] for row in rows}


def pause(tx: Tx, enrollment_id: str, now: datetime) -> None:
    """Pause an active one."""
    tx.execute(
        "UPDATE enrollments SET state = 'paused', updated_at = :now WHERE id = :id AND state = 'active'",
        id=enrollment_id,
        now=micros(now),
    )


def resume(tx: Tx, enrollment_id: str, *, due_at: datetime | None, now: datetime) -> None:
    """Make a paused one active; `due_at` is when an interval schedule is due next."""
    tx.execute(
        """UPDATE enrollments SET state = 'active', next_due_at = :due_at, updated_at = :now,
                  resumptions = resumptions + 1
           WHERE id = :id AND state = 'paused'""",
        id=enrollment_id,
        due_at=_micros_or_none(due_at),
        now=micros(now),
    )


def rename(tx: Tx, enrollment_id: str, name: str | None, *, now: datetime) -> None:
    tx.execute(
        "UPDATE enrollments SET name = :name, updated_at = :now WHERE id = :id",
        id=enrollment_id,
        name=name,
        now=micros(now),
    )


def wallets(tx: Tx, tenant_id: str, owner: str) -> int:
    """How many accounts of this owner the tenant has ever enrolled."""
    row = tx.row(
        "SELECT COUNT(*) AS n FROM enrollments WHERE tenant_id = :tenant_id AND owner = :owner",
        tenant_id=tenant_id,
        owner=owner,
    )
    return 0 if row is None else int(row["n"])


def end(tx: Tx, enrollment_id: str, now: datetime) -> None:
    tx.execute(
        "UPDATE enrollments SET state = 'ended', updated_at = :now WHERE id = :id",
        id=enrollment_id,
        now=micros(now),
    )


def set_evaluated(
    tx: Tx, shard: int, enrollment_ids: Collection[str], *, on: date, version: int | None
) -> None:
    """Remember the session that was evaluated, and the strategy version unless it stays pending."""
    tx.execute(
        """UPDATE enrollments SET evaluated_on = :on,
                  evaluated_version = COALESCE(:version, evaluated_version)
           WHERE shard = :shard AND id IN :ids""",
        shard=shard,
        ids=list(enrollment_ids),
        on=on.isoformat(),
        version=version,
    )


def set_next_due(tx: Tx, shard: int, moved: Collection[tuple[Enrollment, datetime]]) -> None:
    """Move schedules on to their next instant, unless somebody has set them anew meanwhile."""
    tx.many(
        """UPDATE enrollments SET next_due_at = :next
           WHERE shard = :shard AND id = :id AND COALESCE(next_due_at, -1) = :seen""",
        [
            {
                "shard": shard,
                "id": enrollment.id,
                "seen": -1 if enrollment.next_due_at is None else micros(enrollment.next_due_at),
                "next": micros(next_at),
            }
            for enrollment, next_at in moved
        ],
    )


def set_rebalanced(tx: Tx, shard: int, enrollment_ids: Collection[str], *, at: datetime) -> None:
    tx.execute(
        """UPDATE enrollments SET last_rebalanced_at = :at, updated_at = :at
           WHERE shard = :shard AND id IN :ids""",
        shard=shard,
        ids=list(enrollment_ids),
        at=micros(at),
    )


def _enrollment(row: Row) -> Enrollment:
    return Enrollment(
        id=row["id"],
        shard=row["shard"],
        tenant_id=row["tenant_id"],
        account_id=row["account_id"],
        strategy_id=row["strategy_id"],
        state=EnrollmentState(row["state"]),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
        last_rebalanced_at=_instant_or_none(row["last_rebalanced_at"]),
        evaluated_on=date.fromisoformat(row["evaluated_on"]),
        evaluated_version=row["evaluated_version"],
        trade_marker=TradeMarker(row["trade_marker"]),
        name=row["name"],
        next_due_at=_instant_or_none(row["next_due_at"]),
        resumptions=row["resumptions"],
        owner=row["owner"],
        account_index=row["account_index"] or 0,
        chain_ids=_CHAIN_IDS.decode(row["chain_ids"] or "[]"),
    )


def _instant_or_none(stored: int | None) -> datetime | None:
    return None if stored is None else instant(stored)


def _micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)
