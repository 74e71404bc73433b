"""One process that serves both faces of Trimtab and, unless it is a sandbox, drives the engine.

The dialects are applications of their own under one small dispatcher, so that each answers every
failure in its own shape, unknown routes included. Everything runs in one process: a kill -9 leaves
nothing behind that could hold the port or the database.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import LifeSpanScope

from trimtab.api.alpaca_events import EVENTS, events_application
from trimtab.api.alpaca_routes import alpaca_application
from trimtab.api.auth import Door, RateLimit
from trimtab.api.front import FrontDesk
from trimtab.api.glider_routes import glider_application
from trimtab.api.keys import key_state
from trimtab.api.probes import probes_application
from trimtab.api.sandbox import Elsewhere, sandbox_application
from trimtab.api.stream import Streams
from trimtab.boot import Installation, open_installation
from trimtab.core.errors import CannotStart
from trimtab.engine.local import LocalDriver
from trimtab.settings import Settings
from trimtab.store import tenants

log = logging.getLogger(__name__)

BETA = "/v1/beta/"
# A reader who takes nothing keeps its connection open for as long as it likes.
STOP_WITHIN_S = 20


Dispatch = Callable[[Scope | LifeSpanScope, Receive, Send], Awaitable[None]]


def application(
    installation: Installation, streams: Streams, *, has_reconciled: Callable[[], bool]
) -> Dispatch:
    """All applications behind one dispatcher."""
    settings = installation.settings
    door = Door(
        db=installation.desk.db,
        wall_clock=installation.wall_clock,
        rate=RateLimit(settings.rate_limit),
    )
    front = FrontDesk(desk=installation.desk, door=door)
    applications = {
        # The vendor's stream lies inside the other dialect's prefix, and so comes first.
        f"{EVENTS}/": events_application(front, streams),
        "/v1/": alpaca_application(front),
        "/v2/": glider_application(front.desk, door),
    }
    if settings.sandbox:
        market = installation.paper or Elsewhere(settings.alpaca_url)
        applications["/sandbox/"] = sandbox_application(front, market)
    probes = probes_application(front, needs_key=not settings.is_loopback, has_reconciled=has_reconciled)
    return _dispatcher(applications, probes)


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
        # What has been imported stays for good: left out of every collection, it costs a twentieth less.
        gc.collect()
        gc.freeze()
        with _driven(installation) as has_reconciled:
            asyncio.run(_serve(installation, has_reconciled))
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


def _refuse_open_door(installation: Installation) -> None:
    settings = installation.settings
    now = installation.wall_clock()
    keys = installation.desk.db.read(tenants.keys)
    if not settings.is_loopback and not any(key_state(key, now) == "active" for key in keys):
        raise CannotStart(
            f"TRIMTAB_LISTEN is {settings.host}: first make a key with `trimtab keys create --tenant NAME`"
        )


async def _serve(installation: Installation, has_reconciled: Callable[[], bool]) -> None:
    settings = installation.settings
    streams = Streams(installation.desk)
    server = Server(
        application(installation, streams, has_reconciled=has_reconciled),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server.serve())

    def stop() -> None:
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
