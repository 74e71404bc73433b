"""Preferences of tenants and strategies come back to the digit, and nought is not nothing."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.store.rows import strategy
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.database import Database
from trimtab.store import preferences, strategies

EACH = [
    NO_PREFERENCES,
    Preferences(slippage_bps=0),
    Preferences(impact_bps=0),
    Preferences(slippage_bps=1000, impact_bps=1000, threshold=Decimal("1.00")),
    Preferences(threshold=Decimal(1)),
    Preferences(threshold=Decimal("5.0")),
    Preferences(threshold=Decimal(100)),
    Preferences(threshold=Decimal("12345678901234567890.10")),
]


def of(db: Database, tenant_id: str) -> Preferences:
    return db.read(lambda tx: preferences.of_tenants(tx, [tenant_id]))[tenant_id]


@pytest.mark.parametrize("preferred", EACH, ids=str)
def test_what_a_tenant_prefers_comes_back_to_the_digit(db: Database, preferred: Preferences) -> None:
    db.write(lambda tx: preferences.set_of_tenant(tx, "acme", preferred))
    for found in (of(db, "acme"), db.write(lambda tx: preferences.locked_of_tenant(tx, "acme"))):
        assert found == preferred
        assert str(found.threshold) == str(preferred.threshold)
    assert of(db, "other") == NO_PREFERENCES


@pytest.mark.parametrize("preferred", EACH, ids=str)
def test_what_a_strategy_prefers_comes_back_to_the_digit(db: Database, preferred: Preferences) -> None:
    made = strategy(id="prefers", preferences=preferred)
    db.write(lambda tx: strategies.insert(tx, made))
    found = db.read(lambda tx: strategies.heads(tx, ["prefers", "mix"]))
    assert found["prefers"] == made
    assert str(found["prefers"].preferences.threshold) == str(preferred.threshold)
    assert found["mix"].preferences == NO_PREFERENCES


def test_one_preference_changes_and_the_others_stay(db: Database) -> None:
    full = Preferences(slippage_bps=3, impact_bps=4, threshold=Decimal("5.50"))
    db.write(lambda tx: preferences.set_of_tenant(tx, "acme", full))
    db.write(lambda tx: preferences.set_of_tenant(tx, "acme", replace(full, impact_bps=None)))
    assert of(db, "acme") == Preferences(slippage_bps=3, threshold=Decimal("5.50"))
    db.write(lambda tx: preferences.set_of_tenant(tx, "acme", NO_PREFERENCES))
    assert of(db, "acme") == NO_PREFERENCES


def test_many_tenants_are_read_at_once(db: Database) -> None:
    db.write(lambda tx: preferences.set_of_tenant(tx, "other", Preferences(slippage_bps=9)))
    found = db.read(lambda tx: preferences.of_tenants(tx, ["acme", "other", "nobody"]))
    assert found == {"acme": NO_PREFERENCES, "other": Preferences(slippage_bps=9)}
    assert db.read(lambda tx: preferences.of_tenants(tx, [])) == {}
