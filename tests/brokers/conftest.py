"""Fixtures for tests of brokers: a paper market on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.market import Market
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.database import Database, open_database


@pytest.fixture(params=["sqlite", "postgres"])
def paper_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a paper broker may put its tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'paper.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def paper_database(paper_url: str) -> Iterator[Database]:
    opened = open_database(paper_url, schema=SCHEMA)
    prepare(opened)
    yield opened
    opened.close()


@pytest.fixture
def market(paper_database: Database) -> Market:
    return Market(paper_database)
