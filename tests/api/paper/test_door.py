"""Away from loopback the paper broker takes its one key, and nobody sets its market."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from trimtab.api.auth import Credentials
from trimtab.boot import Installation, open_installation
from trimtab.server import Face, paper_face
from trimtab.settings import load_settings
from trimtab.store.migrate import upgrade

# exchange_calendars reads its sessions so, and routes take bodies as Litestar 2 has them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Series.values returning"),
    pytest.mark.filterwarnings("ignore:.*Reserved kwarg"),
]
FIRM = Credentials("firm", "secret")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    url = f"sqlite:///{tmp_path / 'paper.db'}"
    upgrade(url)
    settings = load_settings({"TRIMTAB_DATABASE_URL": url}, tmp_path / "no.env")
    opened = open_installation(replace(settings, host="192.0.2.1", sandbox=True))
    yield opened
    opened.close()


def ask(face: Face, path: str, auth: tuple[str, str] | None) -> int:
    async def answered() -> int:
        transport = httpx.ASGITransport(face.dispatch)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://paper") as http:
            return (await http.get(path, auth=auth)).status_code

    return asyncio.run(answered())


def test_only_the_firms_key_opens_anything_and_the_sandbox_is_not_there(installation: Installation) -> None:
    face = paper_face(installation, FIRM)
    for path in ("/v1/clock", "/v1/assets", "/metrics", "/readyz"):
        assert ask(face, path, (FIRM.key_id, FIRM.secret)) == 200
        assert ask(face, path, (FIRM.key_id, "wrong")) == 401
        assert ask(face, path, None) == 401
    assert ask(face, "/sandbox/clock", (FIRM.key_id, FIRM.secret)) == 404


def test_the_firm_is_one_however_often_it_is_started(installation: Installation) -> None:
    for _ in range(2):
        paper_face(installation, None)
    rows = installation.desk.db.read(lambda tx: tx.rows("SELECT name FROM tenants"))
    keys = installation.desk.db.read(lambda tx: tx.rows("SELECT key_id FROM keys"))
    assert [row["name"] for row in rows] == ["firm"]
    assert len(keys) == 1
