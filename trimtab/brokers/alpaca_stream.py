"""Alpaca's stream of trade events, read in a thread of its own: who has news is looked at sooner.

An event only says that something became of an order of an account. What it was is asked of the broker
afterwards, so that events may be doubled, out of order or missing; and while there is no stream the
engine asks by itself every few seconds.
"""

import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto

import httpx

from trimtab.brokers.alpaca_calls import Calls
from trimtab.brokers.alpaca_json import parsed

log = logging.getLogger(__name__)

# The second is what the vendor had before, and what keeps its shape.
PATHS = ("/v2/events/trades", "/v1/events/trades")
PAUSE_MIN_S, PAUSE_MAX_S = 1.0, 60.0
LINE_MAX_BYTES = 1 << 20
STOP_WITHIN_S = 5.0
ID_MAX = 64
NOT_FOUND = 404
# How a broker says that it does not know a cursor any more.
CURSOR_GONE = frozenset({400, 410, 416, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """`tell` is given the accounts with news and the cursor up to which they were read, and does both in
    one step: a cursor beyond news that nobody heard of would lose it. `cursor` is where it was left.
    """

    cursor: Callable[[], str | None]
    tell: Callable[[Collection[str], str | None], None]
    forget: Callable[[], None]


class _End(Enum):
    """Why a connection ended."""

    AGAIN = auto()
    NO_SUCH_PATH = auto()
    CURSOR_GONE = auto()


class TradeStream:
    """The thread that listens while a server runs."""

    def __init__(self, calls: Calls, news: News) -> None:
        self._calls = calls
        self._news = news
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._heard = False
        self._thread = threading.Thread(target=self._run, name="trade events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Hang up and end, also in the middle of a silence. Nothing is told any more, even if whoever is
        just being called takes long to answer.
        """
        self._stopping.set()
        with self._lock:
            if self._socket is not None:
                _hang_up(self._socket)
        self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        paths = list(PATHS)
        pause = PAUSE_MIN_S
        while not self._stopping.is_set():
            self._heard = False
            try:
                end = self._listen(paths[0])
                if end is _End.NO_SUCH_PATH:
                    paths.reverse()
                if end is _End.CURSOR_GONE:
                    log.warning("the broker does not know how far its events were read: from here on")
                    self._news.forget()
            except httpx.HTTPError as error:
                log.info("the stream of trade events was cut: %s", type(error).__name__)
            except Exception:  # the thread outlives whatever one connection meets
                log.exception("the stream of trade events will be opened again")
            pause = PAUSE_MIN_S if self._heard else pause
            self._stopping.wait(pause)
            pause = min(2 * pause, PAUSE_MAX_S)

    def _listen(self, path: str) -> _End:
        cursor = self._news.cursor()
        params = {} if cursor is None else {"since_id": cursor}
        with self._calls.stream(path, params) as response:
            if response.status_code == NOT_FOUND:
                return _End.NO_SUCH_PATH
            if cursor is not None and response.status_code in CURSOR_GONE:
                return _End.CURSOR_GONE
            if not response.is_success:
                log.warning("the broker answers %d when asked for trade events", response.status_code)
                return _End.AGAIN
            with self._listening_at(response):
                self._follow(response)
        return _End.AGAIN

    @contextmanager
    def _listening_at(self, response: httpx.Response) -> Iterator[None]:
        """While it is read, `stop` knows which socket to hang up."""
        at = response.extensions["network_stream"].get_extra_info("socket")
        with self._lock:
            self._socket = at
            if self._stopping.is_set():
                _hang_up(at)
        try:
            yield
        finally:
            with self._lock:
                self._socket = None

    def _follow(self, response: httpx.Response) -> None:
        """Tell of what each piece that arrives says, together, until something was dropped: that comes
        again from where we were.
        """
        for lines in _lines(response.iter_raw()):
            self._heard = True
            dropped = next(
                (n for n, each in enumerate(lines) if each.startswith(b":") and b"dropped" in each), None
            )
            events = [event for line in lines[:dropped] if (event := _event(line)) is not None]
            if self._stopping.is_set():
                return
            if events:
                cursors = [event.id for event in events if event.id is not None]
                self._news.tell({event.account_id for event in events}, cursors[-1] if cursors else None)
            if dropped is not None:
                log.warning("the broker has dropped trade events")
                return


def _hang_up(at: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        at.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class _Event:
    account_id: str
    id: str | None


def _lines(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """The whole lines of each piece; a line that never ends is thrown away."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield [line.rstrip(b"\r") for line in lines]
        if len(rest) > LINE_MAX_BYTES:
            rest = b""


def _event(line: bytes) -> _Event | None:
    """What a line says, if it is one of data with an account in it. The contract does not say where in
    an event the account stands: beside the order, or in it.
    """
    name, _, value = line.partition(b":")
    if name != b"data":
        return None
    try:
        told = parsed(value.strip())
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    order = told.get("order")
    account_id = _id(told.get("account_id") or (order.get("account_id") if isinstance(order, dict) else None))
    event_id = _id(told.get("event_id") or told.get("event_ulid"))
    return None if account_id is None else _Event(account_id, event_id)


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= ID_MAX and value.isprintable() else None
