"""Fixtures for tests of the store: a migrated database with two tenants, two accounts and a strategy."""

import pytest

from tests.store.rows import furnish
from trimtab.database import Database


@pytest.fixture
def db(database: Database) -> Database:
    furnish(database)
    return database
