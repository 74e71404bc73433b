"""The paper broker's face, served twice: by `trimtab paper` alone, and by `trimtab serve` beside the rest.

Each face is a process of its own on each kind of database; tests have clients and accounts of their own.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from alpaca.broker.client import BrokerClient

from tests.api.conftest import Databases
from tests.api.paper.face import FACES, Face
from tests.api.servers import NO_TLS, SERVE, TRIMTAB, audit, running
from tests.api.world import make_key
from trimtab.api.keys import ALL_SCOPES
from trimtab.database import open_database


@pytest.fixture(scope="session", params=FACES)
def face(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Face]:
    command, _, kind = request.param.partition("-")
    with ExitStack() as stack:
        url = stack.enter_context(databases(kind))
        words = ("paper", "--database", url) if command == "paper" else SERVE
        folder = tmp_path_factory.mktemp(request.param)
        server = stack.enter_context(running(url, folder, TRIMTAB, words))
        keys = [("any", "key"), ("other", "key")]
        if command == "serve":
            db = open_database(url)
            stack.callback(db.close)
            made = [make_key(db, name, scopes=ALL_SCOPES) for name in ("first", "second")]
            keys = [(key.key_id, key.secret) for key in made]
        clients = [httpx.Client(base_url=server.url, auth=key, timeout=60, verify=NO_TLS) for key in keys]
        made_face = Face(
            server=server,
            key=keys[0],
            http=stack.enter_context(clients[0]),
            stranger=stack.enter_context(clients[1]),
        )
        yield made_face
        assert server.unforeseen() == ""
        found = audit(server)
        assert found.returncode == 0, found.stdout


@pytest.fixture(autouse=True)
def morning(request: pytest.FixtureRequest) -> None:
    """The market is whole, and open."""
    if "face" in request.fixturenames:
        found: Face = request.getfixturevalue("face")
        found.open_market()


@pytest.fixture
def client(face: Face) -> Iterator[BrokerClient]:
    made = BrokerClient(*face.key, url_override=face.server.url)
    yield made
    made._session.close()  # noqa: SLF001 - it has no close of its own, and an open socket is a warning
