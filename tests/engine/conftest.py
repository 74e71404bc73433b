"""Fixtures for tests of the engine: worlds on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.desks import PostgresSite, Site, SqliteSite, World, new_world


@pytest.fixture(scope="session")
def sqlite_site(sqlite_template: Path) -> SqliteSite:
    return SqliteSite(sqlite_template)


@pytest.fixture(scope="session")
def postgres_site(postgres_server_url: str, postgres_template: str) -> PostgresSite:
    return PostgresSite(postgres_server_url, postgres_template)


@pytest.fixture(params=["sqlite", "postgres"])
def site(request: pytest.FixtureRequest) -> Site:
    """Where worlds can be built: the test runs once on each kind of database."""
    chosen: Site = request.getfixturevalue(f"{request.param}_site")
    return chosen


@pytest.fixture
def world(site: Site) -> Iterator[World]:
    """A tenant, a market with prices, and nothing else."""
    with new_world(site) as made:
        yield made


@pytest.fixture
def sqlite_world(sqlite_site: SqliteSite) -> Iterator[World]:
    """The same on SQLite only: for rules that no database can change."""
    with new_world(sqlite_site) as made:
        yield made
