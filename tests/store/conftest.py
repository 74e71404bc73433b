"""Fixtures for tests of the store: a migrated database with two tenants, two accounts and a strategy."""

import pytest

from tests.store.rows import NOON, furnish
from trimtab.database import Database
from trimtab.store import tenants
from trimtab.store.tenants import Key


@pytest.fixture
def db(database: Database) -> Database:
    furnish(database)
    return database


@pytest.fixture
def keyed(db: Database) -> Database:
    """With two keys of the first tenant."""
    for key_id in ("key", "second"):
        key = Key(
            key_id=key_id,
            tenant_id="acme",
            tenant_name="Acme",
            secret_hash="hash",
            scopes=frozenset(),
            created_at=NOON,
            expires_at=None,
            revoked_at=None,
        )
        db.write(lambda tx, key=key: tenants.insert_key(tx, key))  # type: ignore[misc]
    return db
