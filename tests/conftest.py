"""Fixtures for every test: private, migrated databases on SQLite and on PostgreSQL.

One PostgreSQL serves the whole suite: the process that collects the tests owns it, and worker
processes are told its address. Each process migrates one template per kind of database; a test gets
a copy, which costs milliseconds.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.workermanage import WorkerController

from tests import postgres
from trimtab.database import Database, open_database
from trimtab.store.migrate import upgrade

SERVER = pytest.StashKey[postgres.Server]()

# The same examples every time, however slow the machine: a red build can be repeated.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


def server_of(config: pytest.Config) -> postgres.Server:
    """This run's PostgreSQL, started when it is first asked for."""
    if SERVER not in config.stash:
        worker_input: dict[str, str] | None = getattr(config, "workerinput", None)
        config.stash[SERVER] = (
            postgres.start_server()
            if worker_input is None
            else postgres.Server(url=worker_input["postgres_url"])
        )
    return config.stash[SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker process where the suite's PostgreSQL is."""
    node.workerinput["postgres_url"] = server_of(node.config).url


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()


@pytest.fixture(scope="session")
def postgres_server_url(request: pytest.FixtureRequest) -> str:
    return server_of(request.config).url


@pytest.fixture(scope="session")
def postgres_template(postgres_server_url: str) -> Iterator[str]:
    """The name of a migrated database to copy; nothing stays connected to it."""
    with postgres.private_database(postgres_server_url) as url:
        upgrade(url)
        yield postgres.database_name(url)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file to copy."""
    path = tmp_path_factory.mktemp("template") / "trimtab.db"
    upgrade(f"sqlite:///{path}")
    assert not path.with_name("trimtab.db-wal").exists(), "the migration left its database open"
    return path


@pytest.fixture
def empty_postgres_url(postgres_server_url: str) -> Iterator[str]:
    """A PostgreSQL database without any table."""
    with postgres.private_database(postgres_server_url) as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server_url: str, postgres_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database of the test's own."""
    with postgres.private_database(postgres_server_url, template=postgres_template) as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite file of the test's own."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'trimtab.db')}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of the test's own: the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()
