"""Preferences as the columns that strategies and tenants have for them."""

from collections.abc import Collection
from decimal import Decimal

from trimtab.core.preferences import Preferences
from trimtab.database import Row, Tx


def preference_params(preferences: Preferences) -> dict[str, object]:
    return {
        "slippage_bps": preferences.slippage_bps,
        "impact_bps": preferences.impact_bps,
        "threshold": preferences.threshold,
    }


def preferences_from(row: Row) -> Preferences:
    threshold = row["threshold"]
    return Preferences(
        slippage_bps=row["slippage_bps"],
        impact_bps=row["impact_bps"],
        threshold=None if threshold is None else Decimal(threshold),
    )


def of_tenants(tx: Tx, tenant_ids: Collection[str]) -> dict[str, Preferences]:
    """What whole tenants prefer, by their id."""
    rows = tx.rows("SELECT * FROM tenants WHERE id IN :ids", ids=list(tenant_ids))
    return {row["id"]: preferences_from(row) for row in rows}


def locked_of_tenant(tx: Tx, tenant_id: str) -> Preferences:
    """What a tenant prefers, locked against other writers until the transaction ends."""
    tx.row("SELECT id FROM tenants WHERE id = :id FOR UPDATE", id=tenant_id)
    return of_tenants(tx, [tenant_id])[tenant_id]


def set_of_tenant(tx: Tx, tenant_id: str, preferences: Preferences) -> None:
    tx.execute(
        """UPDATE tenants SET slippage_bps = :slippage_bps, impact_bps = :impact_bps,
                  threshold = :threshold WHERE id = :id""",
        id=tenant_id,
        **preference_params(preferences),
    )
