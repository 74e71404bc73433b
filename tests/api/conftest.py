"""Servers and tenants for the tests of the outside.

One server per kind of database serves all tests of a process: each has a tenant, accounts and symbols
of its own. Clock and faults belong to the installation: a test that moves them says so by moving them,
and the next one finds a fresh morning. Tests that need other settings start a server of their own.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests import postgres
from tests.api.servers import NO_TLS, TRIMTAB, Server, audit, running
from tests.api.world import World, make_key, new_symbols
from trimtab.database import Database, open_database

KINDS = ["sqlite", "postgres"]
Databases = Callable[[str], AbstractContextManager[str]]
StartServer = Callable[..., Server]
NewWorld = Callable[[Server], World]


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Migrated databases, by kind; each is empty and private."""

    @contextmanager
    def database(kind: str) -> Iterator[str]:
        if kind == "sqlite":
            template: Path = request.getfixturevalue("sqlite_template")
            folder = tmp_path_factory.mktemp("database")
            yield f"sqlite:///{shutil.copy(template, folder / 'trimtab.db')}"
        else:
            server_url = request.getfixturevalue("postgres_server_url")
            name = request.getfixturevalue("postgres_template")
            with postgres.private_database(server_url, template=name) as url:
                yield url

    return database


@pytest.fixture(scope="session", params=KINDS)
def server(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The server that tests share; its clock stands at a morning, nothing is wrong with its market."""
    folder = tmp_path_factory.mktemp("server")
    with databases(request.param) as url, running(url, folder) as started:
        started.symbols = new_symbols()
        yield started
        found = audit(started)
        assert found.returncode == 0, f"what the tests left behind breaks an invariant:\n{found.stdout}"


@pytest.fixture(scope="module")
def two_servers(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers of one PostgreSQL database."""
    with (
        databases("postgres") as url,
        running(url, tmp_path_factory.mktemp("first")) as one,
        running(url, tmp_path_factory.mktemp("second")) as two,
    ):
        yield [one, two]
        assert [one.unforeseen(), two.unforeseen()] == ["", ""]
        assert audit(one).returncode == 0


@pytest.fixture(scope="session")
def database_of() -> Iterator[Callable[[Server], Database]]:
    """The database behind a server, opened beside it."""
    opened: dict[str, Database] = {}

    def find(server: Server) -> Database:
        if server.database_url not in opened:
            opened[server.database_url] = open_database(server.database_url)
        return opened[server.database_url]

    yield find
    for database in opened.values():
        database.close()


@pytest.fixture
def new_world(database_of: Callable[[Server], Database]) -> Iterator[NewWorld]:
    """Tenants of the test's own; at the end their money is counted."""
    with ExitStack() as stack:
        worlds: list[World] = []

        def make(server: Server) -> World:
            db = database_of(server)
            key = make_key(db, f"tenant {uuid4()}")
            auth = (key.key_id, key.secret)
            http = httpx.Client(base_url=server.url, auth=auth, timeout=60, verify=NO_TLS)
            world = World(server=server, db=db, key=key, http=stack.enter_context(http))
            worlds.append(world)
            return world

        yield make
        for world in worlds:
            world.assert_money_is_conserved()


@pytest.fixture
def world(server: Server, new_world: NewWorld) -> Iterator[World]:
    """A tenant at the shared server, on a morning when the market is open."""
    seen = server.log_length()
    made = new_world(server)
    if server.moved:
        made.open_market()
    yield made
    if unforeseen := server.unforeseen(seen):
        pytest.fail(f"the server met what nobody foresaw:\n{unforeseen}")


@pytest.fixture
def start_server(databases: Databases, tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of the test's own: `start_server("sqlite", TRIMTAB_RATE_LIMIT="5")`."""
    with ExitStack() as stack:

        def start(kind: str, program: tuple[str, ...] = TRIMTAB, /, **settings: str) -> Server:
            url = stack.enter_context(databases(kind))
            started = stack.enter_context(running(url, tmp_path / str(uuid4()), program, **settings))
            started.symbols = new_symbols()
            return started

        yield start


@pytest.fixture
def other(server: Server, new_world: NewWorld) -> World:
    """A second tenant at the shared server."""
    return new_world(server)
