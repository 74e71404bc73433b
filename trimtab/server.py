"""One process that serves both faces of Trimtab and, unless it is a sandbox, drives the engine.

The dialects are applications of their own under one small dispatcher, so that each answers every
failure in its own shape, unknown routes included. Everything runs in one process: a kill -9 leaves
nothing behind that could hold the port or the database.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import LifeSpanScope

from trimtab.api.alpaca_events import EVENTS, events_application, rebalancer_streams
from trimtab.api.alpaca_routes import alpaca_application, paper_application
from trimtab.api.auth import Caller, Credentials, Door, FirmDoor, RateLimit
from trimtab.api.front import FrontDesk
from trimtab.api.glider_routes import glider_application
from trimtab.api.keys import ALL_SCOPES, key_state, new_key
from trimtab.api.paper_data import STOCKS, data_application
from trimtab.api.paper_events import TRADES, trade_streams, trades_application
from trimtab.api.probes import probes_application
from trimtab.api.sandbox import Elsewhere, market_application, sandbox_application
from trimtab.api.stream import Streams
from trimtab.boot import Installation, open_installation
from trimtab.core.errors import CannotStart
from trimtab.database import Tx
from trimtab.engine.local import LocalDriver
from trimtab.settings import Settings
from trimtab.store import tenants

log = logging.getLogger(__name__)

BETA = "/v1/beta/"
FIRM = "firm"
# A reader who takes nothing keeps its connection open for as long as it likes.
STOP_WITHIN_S = 20


Dispatch = Callable[[Scope | LifeSpanScope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Face:
    """What a process shows, and the streams in it, which have to be ended before it can end."""

    dispatch: Dispatch
    streams: Sequence[Streams]


def application(installation: Installation, *, has_reconciled: Callable[[], bool]) -> Face:
    """All applications behind one dispatcher."""
    settings = installation.settings
    door = Door(
        db=installation.desk.db,
        wall_clock=installation.wall_clock,
        rate=RateLimit(settings.rate_limit),
    )
    front = FrontDesk(desk=installation.desk, door=door, paper=installation.paper)
    streams = [rebalancer_streams(front.desk)]
    # The vendor's streams and prices lie inside other prefixes, and so come first.
    applications = {f"{EVENTS}/": events_application(front, streams[0])}
    if front.paper is not None:
        streams.append(trade_streams(front.desk, front.paper))
        applications |= _outer_applications(front, streams[-1])
    applications["/v1/"] = alpaca_application(front)
    applications["/v2/"] = glider_application(front.desk, door)
    if settings.sandbox:
        applications["/sandbox/"] = sandbox_application(front, front.paper or Elsewhere(settings.alpaca_url))
    probes = probes_application(front, needs_key=not settings.is_loopback, has_reconciled=has_reconciled)
    return Face(_dispatcher(applications, probes), streams)


def paper_face(installation: Installation, expected: Credentials | None) -> Face:
    """The paper broker alone: its market is set through the sandbox, which nobody reaches from outside."""
    settings = installation.settings
    door = FirmDoor(
        firm=_firm(installation),
        expected=expected,
        wall_clock=installation.wall_clock,
        rate=RateLimit(settings.rate_limit),
    )
    paper = installation.paper
    assert paper is not None, "opened with the paper broker"
    front = FrontDesk(desk=installation.desk, door=door, paper=paper)
    streams = trade_streams(front.desk, paper)
    applications = _outer_applications(front, streams) | {"/v1/": paper_application(front)}
    if settings.is_loopback:
        applications["/sandbox/"] = market_application(front, paper)
    # Nobody else's accounts are looked at here.
    probes = probes_application(front, needs_key=not settings.is_loopback, has_reconciled=lambda: True)
    return Face(_dispatcher(applications, probes), [streams])


def _outer_applications(front: FrontDesk, streams: Streams) -> dict[str, Litestar]:
    """What of the paper broker's face lies outside `/v1`, and the stream in it, which is no operation."""
    trades = trades_application(front, streams)
    return {f"{path}/": trades for path in TRADES} | {f"{STOCKS}/": data_application(front)}


def _firm(installation: Installation) -> Caller:
    """The one tenant of a paper broker that is a program of its own. Answers are kept
    by the key that asked: the firm's is one whose secret nobody has.
    """
    new_id, now = installation.desk.new_id(), installation.wall_clock()

    def ensure(tx: Tx) -> Caller:
        tenant_id = tenants.ensure_tenant(tx, new_id, name=FIRM, now=now)
        found = next((key for key in tenants.keys(tx) if key.tenant_id == tenant_id), None)
        if found is None:
            found, _ = new_key(tenant_id, ALL_SCOPES, now=now)
            tenants.insert_key(tx, found)
        return Caller(tenant_id=tenant_id, tenant_name=FIRM, key_id=found.key_id, scopes=ALL_SCOPES)

    return installation.desk.db.write(ensure)


def _dispatcher(applications: dict[str, Litestar], otherwise: Litestar) -> Dispatch:
    async def dispatch(scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await otherwise(scope, receive, send)
            return
        path = scope["path"]
        if path.startswith(BETA):
            # The vendor's first prefix, still in its guide: the same routes, the same answers.
            path = "/v1/" + path.removeprefix(BETA)
            scope["path"] = path
            scope["raw_path"] = path.encode()
        inside = path if path.endswith("/") else f"{path}/"
        chosen = next((app for prefix, app in applications.items() if inside.startswith(prefix)), otherwise)
        await chosen(scope, receive, send)

    return dispatch


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    Raises CannotStart, WrongSchema and CannotOpenDatabase before the port is open.
    """
    installation = open_installation(settings)
    try:
        _refuse_open_door(installation)
        with _driven(installation) as has_reconciled:
            face = application(installation, has_reconciled=has_reconciled)
            # What has been imported and built stays for good: no collection has to look at it.
            gc.collect()
            gc.freeze()
            asyncio.run(_serve(settings, face))
    finally:
        installation.close()


@contextmanager
def _driven(installation: Installation) -> Iterator[Callable[[], bool]]:
    """While it lasts, the engine works and the broker's news is heard; in a sandbox only `settle` works.

    Yields whether everything has been compared with the broker since the start, which no sandbox waits for.
    """
    if installation.settings.sandbox:
        yield lambda: True
        return
    driver, stream = LocalDriver(installation.desk), installation.stream
    driver.start()
    if stream is not None:
        stream.start()
    try:
        yield lambda: driver.has_reconciled
    finally:
        if stream is not None:
            stream.stop()
        driver.stop()


def serve_paper(settings: Settings, expected: Credentials | None) -> None:
    """Serve the paper broker alone until SIGTERM or SIGINT; without an `expected` key any is good."""
    installation = open_installation(settings)
    try:
        asyncio.run(_serve(settings, paper_face(installation, expected)))
    finally:
        installation.close()


def _refuse_open_door(installation: Installation) -> None:
    settings = installation.settings
    now = installation.wall_clock()
    keys = installation.desk.db.read(tenants.keys)
    if not settings.is_loopback and not any(key_state(key, now) == "active" for key in keys):
        raise CannotStart(
            f"TRIMTAB_LISTEN is {settings.host}: first make a key with `trimtab keys create --tenant NAME`"
        )


async def _serve(settings: Settings, face: Face) -> None:
    server = Server(
        face.dispatch,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server.serve())

    def stop() -> None:
        for streams in face.streams:
            streams.stop()
        server.stop()  # type: ignore[no-untyped-call]
        loop.call_later(STOP_WITHIN_S, serving.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    log.info("listening on http://%s:%d", settings.host, settings.port)
    try:
        await serving
    except asyncio.CancelledError:
        log.warning("stopped, with answers left that nobody took")
