"""Strategies and their immutable versions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from trimtab.core.strategy import Definition, Frequency, OnIneligible, Strategy, StrategyStatus
from trimtab.database import Row, Tx, instant, micros
from trimtab.store import outbox
from trimtab.store.enrollments import Page
from trimtab.store.plans import definition_from, definition_text
from trimtab.store.preferences import preference_params, preferences_from

_HEADS = """SELECT s.*, v.definition FROM strategies s
            JOIN strategy_versions v ON v.strategy_id = s.id AND v.version = s.version"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFilter:
    """Only strategies that match every given value; without a status, inactive ones are left out."""

    name: str | None = None
    description: str | None = None
    id: str | None = None
    status: StrategyStatus | None = None


def insert(tx: Tx, strategy: Strategy) -> None:
    tx.execute(
        """INSERT INTO strategies (id, tenant_id, name, description, status, version, updated_version,
                                   calendar, hidden, created_at, updated_at, frequency, is_public,
                                   slippage_bps, impact_bps, threshold, on_ineligible)
           VALUES (:id, :tenant_id, :name, :description, :status, :version, :updated_version,
                   :calendar, :hidden, :created_at, :updated_at, :frequency, :is_public,
                   :slippage_bps, :impact_bps, :threshold, :on_ineligible)""",
        **_head_params(strategy),
        tenant_id=strategy.tenant_id,
        calendar=strategy.calendar,
        hidden=int(strategy.hidden),
        created_at=micros(strategy.created_at),
    )
    insert_version(tx, strategy)


def insert_version(tx: Tx, strategy: Strategy, *, change_log: str | None = None) -> None:
    """Store the head's definition under its version."""
    tx.execute(
        """INSERT INTO strategy_versions (strategy_id, version, definition, created_at, change_log)
           VALUES (:id, :version, :definition, :at, :change_log)""",
        change_log=change_log,
        id=strategy.id,
        version=strategy.version,
        definition=definition_text(strategy.definition),
        at=micros(strategy.updated_at),
    )


def update_head(tx: Tx, strategy: Strategy) -> None:
    """Store everything of the head but its definition."""
    before = tx.row("SELECT status FROM strategies WHERE id = :id FOR UPDATE", id=strategy.id)
    tx.execute(
        """UPDATE strategies SET name = :name, description = :description, status = :status,
                  version = :version, updated_version = :updated_version, updated_at = :updated_at,
                  frequency = :frequency, is_public = :is_public, slippage_bps = :slippage_bps,
                  impact_bps = :impact_bps, threshold = :threshold, on_ineligible = :on_ineligible
           WHERE id = :id""",
        **_head_params(strategy),
    )
    if before is not None and before["status"] != strategy.status:
        outbox.put(tx, [outbox.of_strategy(strategy)])


def _head_params(strategy: Strategy) -> dict[str, object]:
    return {
        "id": strategy.id,
        "name": strategy.name,
        "description": strategy.description,
        "status": strategy.status,
        "version": strategy.version,
        "updated_version": strategy.updated_version,
        "updated_at": micros(strategy.updated_at),
        "frequency": strategy.frequency,
        "is_public": int(strategy.is_public),
        "on_ineligible": strategy.on_ineligible,
        **preference_params(strategy.preferences),
    }


def locked(tx: Tx, tenant_id: str, strategy_id: str) -> Strategy | None:
    """A listed strategy of the tenant, locked against other writers until the transaction ends."""
    tx.row("SELECT id FROM strategies WHERE id = :id FOR UPDATE", id=strategy_id)
    return one(tx, tenant_id, strategy_id)


def lock(tx: Tx, strategy_ids: Collection[str]) -> None:
    """Lock strategies against other writers until the transaction ends."""
    # In one order, so that two who lock several seldom wait for each other.
    tx.rows("SELECT id FROM strategies WHERE id IN :ids ORDER BY id FOR UPDATE", ids=list(strategy_ids))


def one(tx: Tx, tenant_id: str, strategy_id: str) -> Strategy | None:
    """A listed strategy of the tenant."""
    row = tx.row(
        _HEADS + " WHERE s.id = :id AND s.tenant_id = :tenant_id AND s.hidden = 0",
        id=strategy_id,
        tenant_id=tenant_id,
    )
    return None if row is None else _strategy(row)


def visible(tx: Tx, tenant_id: str, strategy_id: str) -> Strategy | None:
    """A strategy that the tenant may read and follow: its own or a public one, and not ended."""
    row = tx.row(
        _HEADS
        + """ WHERE s.id = :id AND (s.tenant_id = :tenant_id OR s.is_public = 1) AND s.hidden = 0
              AND s.status <> 'inactive'""",
        id=strategy_id,
        tenant_id=tenant_id,
    )
    return None if row is None else _strategy(row)


def newest(tx: Tx, tenant_id: str, page: Page) -> list[tuple[int, Strategy]]:
    """The tenant's strategies that have not ended, with their `seq`, newest first; one more than the
    limit if there is.
    """
    rows = tx.rows(
        _HEADS  # noqa: S608 - a constant
        + """ WHERE s.tenant_id = :tenant_id AND s.hidden = 0 AND s.status <> 'inactive'
              AND (:after < 0 OR (s.created_at, s.seq) < (
                    COALESCE((SELECT created_at FROM strategies WHERE seq = :after), 0), :after))
              ORDER BY s.created_at DESC, s.seq DESC LIMIT :limit""",
        tenant_id=tenant_id,
        after=-1 if page.after is None else page.after,
        limit=page.limit + 1,
    )
    return [(row["seq"], _strategy(row)) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One published version, as it will always be."""

    number: int
    definition: Definition
    change_log: str | None
    created_at: datetime


def versions(tx: Tx, strategy_id: str, page: Page) -> list[tuple[int, Version]]:
    """A strategy's versions with their number, newest first; one more than the limit if there is."""
    rows = tx.rows(
        """SELECT * FROM strategy_versions WHERE strategy_id = :id AND (:after < 0 OR version < :after)
           ORDER BY version DESC LIMIT :limit""",
        id=strategy_id,
        after=-1 if page.after is None else page.after,
        limit=page.limit + 1,
    )
    return [
        (
            row["version"],
            Version(
                number=row["version"],
                definition=definition_from(row["definition"]),
                change_log=row["change_log"],
                created_at=instant(row["created_at"]),
            ),
        )
        for row in rows
    ]


def listing(tx: Tx, tenant_id: str, wanted: StrategyFilter) -> Sequence[Strategy]:
    """The tenant's listed strategies, oldest first."""
    rows = tx.rows(
        _HEADS
        + """ WHERE s.tenant_id = :tenant_id AND s.hidden = 0
              AND (:name = '' OR s.name = :name)
              AND (:description = '' OR s.description = :description)
              AND (:id = '' OR s.id = :id)
              AND (s.status = :status OR (:status = '' AND s.status <> 'inactive'))
              ORDER BY s.created_at, s.seq""",
        tenant_id=tenant_id,
        name=wanted.name or "",
        description=wanted.description or "",
        id=wanted.id or "",
        status=wanted.status or "",
    )
    return [_strategy(row) for row in rows]


def nesting(tx: Tx, tenant_id: str) -> Sequence[Strategy]:
    """The tenant's listed strategies that hold others and have not ended."""
    rows = tx.rows(
        _HEADS
        + """ WHERE s.tenant_id = :tenant_id AND s.hidden = 0 AND s.status <> 'inactive'
              AND v.definition LIKE '%"strategy_id"%'""",
        tenant_id=tenant_id,
    )
    return [_strategy(row) for row in rows]


def renew(tx: Tx, strategy_ids: Collection[str], *, now: datetime, change_log: str) -> None:
    """Give strategies a new version of the same definition, which those who follow are due for."""
    ids, at = list(strategy_ids), micros(now)
    tx.execute(
        """UPDATE strategies SET version = version + 1, updated_version = version + 1, updated_at = :at
           WHERE id IN :ids""",
        ids=ids,
        at=at,
    )
    tx.execute(
        """INSERT INTO strategy_versions (strategy_id, version, definition, created_at, change_log)
           SELECT s.id, s.version, v.definition, :at, :change_log FROM strategies s
           JOIN strategy_versions v ON v.strategy_id = s.id AND v.version = s.version - 1
           WHERE s.id IN :ids""",
        ids=ids,
        at=at,
        change_log=change_log,
    )


def heads(tx: Tx, strategy_ids: Collection[str]) -> dict[str, Strategy]:
    """Strategies by id, hidden ones too, whoever owns them."""
    rows = tx.rows(_HEADS + " WHERE s.id IN :ids", ids=list(strategy_ids))
    return {row["id"]: _strategy(row) for row in rows}


def in_use(tx: Tx) -> Sequence[Strategy]:
    """Every strategy that may still be followed, and the hidden ones of open runs: those whose assets are
    reviewed. The hidden ones of runs that have ended stay for good, and nobody follows them again.
    """
    rows = tx.rows(
        _HEADS  # noqa: S608 - a constant
        + """ WHERE s.status <> 'inactive' AND s.hidden = 0
              UNION ALL """
        + _HEADS
        + """ WHERE s.status <> 'inactive' AND s.hidden = 1
              AND s.id IN (SELECT strategy_id FROM runs
                           WHERE state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING'))"""
    )
    return [_strategy(row) for row in rows]


def calendars(tx: Tx) -> set[str]:
    """The names of all calendars that any strategy goes by."""
    return {row["calendar"] for row in tx.rows("SELECT DISTINCT calendar FROM strategies")}


def definitions(tx: Tx, versions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Definition]:
    """Stored definitions by (strategy id, version)."""
    rows = tx.rows(
        "SELECT strategy_id, version, definition FROM strategy_versions WHERE strategy_id IN :ids",
        ids=list({strategy_id for strategy_id, _ in versions}),
    )
    wanted = set(versions)
    return {
        (row["strategy_id"], row["version"]): definition_from(row["definition"])
        for row in rows
        if (row["strategy_id"], row["version"]) in wanted
    }


def end(tx: Tx, strategy_id: str, now: datetime) -> None:
    living = [StrategyStatus.ACTIVE, StrategyStatus.NEEDS_ADJUSTMENT]
    _set_status(tx, [strategy_id], StrategyStatus.INACTIVE, before=living, now=now)


def suspend(tx: Tx, strategy_ids: Collection[str], now: datetime) -> None:
    """Mark strategies that are still active as in need of adjustment."""
    working = [StrategyStatus.ACTIVE]
    _set_status(tx, strategy_ids, StrategyStatus.NEEDS_ADJUSTMENT, before=working, now=now)


def _set_status(
    tx: Tx,
    strategy_ids: Collection[str],
    status: StrategyStatus,
    *,
    before: list[StrategyStatus],
    now: datetime,
) -> None:
    """Give a status to those that have one of those before it. Of hidden strategies nobody is told."""
    changed = tx.rows(
        """UPDATE strategies SET status = :status, updated_at = :now
           WHERE id IN :ids AND status IN :before RETURNING id""",
        ids=list(strategy_ids),
        status=status,
        before=before,
        now=micros(now),
    )
    after = heads(tx, [row["id"] for row in changed])
    outbox.put(tx, [outbox.of_strategy(after[id_]) for id_ in sorted(after) if not after[id_].hidden])


def _strategy(row: Row) -> Strategy:
    return Strategy(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        description=row["description"],
        status=StrategyStatus(row["status"]),
        version=row["version"],
        updated_version=row["updated_version"],
        definition=definition_from(row["definition"]),
        calendar=row["calendar"],
        hidden=bool(row["hidden"]),
        created_at=instant(row["created_at"]),
        updated_at=instant(row["updated_at"]),
        frequency=None if row["frequency"] is None else Frequency(row["frequency"]),
        preferences=preferences_from(row),
        is_public=bool(row["is_public"]),
        on_ineligible=OnIneligible(row["on_ineligible"]),
    )
