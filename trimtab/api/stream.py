"""Server-sent events: each reader pulls from a feed at its own pace, and is told of news by the bell.

Nothing is kept for a reader here: where one was cut off, the id of its last event leads on. What the
feed is, and what its events look like, is its own business.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from trimtab.api.auth import KeyExpired, KeyInvalid
from trimtab.core import ulid
from trimtab.core.errors import BrokerDown, TrimtabError
from trimtab.engine.bell import Bell

log = logging.getLogger(__name__)

STREAMS_PER_KEY = 20
EVENTS_AT_ONCE = 100
PIECE_BYTES = 32 * 1024
FAREWELL_S = 1

HEARTBEAT = b":heartbeat\n\n"
TOO_SLOW = b": you are reading too slowly\n\n"
KEY_GONE = b": the key is no longer valid\n\n"
FAILED = b": internal server error\n\n"

_START: HTTPResponseStartEvent = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        # Proxies that collect what they pass on are asked not to.
        (b"x-accel-buffering", b"no"),
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """In seconds: between two looks for what other processes publish, between two signs of life, and
    until a reader who takes nothing is given up.
    """

    poll_s: float = 1
    heartbeat_s: float = 15
    patience_s: float = 30


PACE = Pace()


class TooManyStreams(TrimtabError):
    """The key has as many open streams as a key may have."""


class _TooSlow(Exception):
    """The reader does not take what it is sent."""


class _Over(Exception):
    """The reader has gone, or the server stops."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event as it goes over the wire."""

    event_id: str
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How far the feed went at a time: no event that comes later has an id up to `head`."""

    head: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The last id that belongs to a stream; with `ends_at`, it ends when the clock reads that."""

    last: str
    ends_at: datetime | None = None

    def is_reached(self, look: Look) -> bool:
        time_is_over = self.ends_at is not None and look.now >= self.ends_at
        return time_is_over or look.head >= self.last or ulid.text_of(ulid.first_of(look.now)) > self.last


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """One open stream. `stir` wakes its task; `over` is done once it need not go on."""

    over: asyncio.Future[None]
    stir: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        self.stir.set()


class Streams:
    """All streams of one feed that this process serves: they share one look at it, and end together."""

    def __init__(self, look: Callable[[], Look], bell: Bell, *, pace: Pace = PACE) -> None:
        self.look = look
        self.pace = pace
        self._bell = bell
        self._seats: dict[Seat, str] = {}
        self._stopping = False
        self._looking = asyncio.Lock()
        self._rung = True
        self._looked_at_s = 0.0
        self._seen: Look | None = None

    async def latest(self) -> Look:
        """A look not older than the last ring of the bell, nor than the time between two looks: however
        many streams ask, one asks the database.
        """
        async with self._looking:
            time_s = _time_s()
            if self._seen is None or self._rung or time_s - self._looked_at_s >= self.pace.poll_s:
                self._rung = False
                self._seen = await asyncio.to_thread(self.look)
                self._looked_at_s = time_s
            return self._seen

    @contextmanager
    def seat(self, key_id: str) -> Iterator[Seat]:
        """A place for one more stream of the key. Raises TooManyStreams."""
        if list(self._seats.values()).count(key_id) >= STREAMS_PER_KEY:
            raise TooManyStreams
        loop = asyncio.get_running_loop()
        taken = Seat(loop.create_future())

        def wake() -> None:
            self._rung = True
            loop.call_soon_threadsafe(taken.stir.set)

        self._seats[taken] = key_id
        self._rung = True
        if self._stopping:
            taken.end()
        try:
            with self._bell.heard_by(wake):
                yield taken
        finally:
            del self._seats[taken]

    def stop(self) -> None:
        """End all streams, and those that come."""
        self._stopping = True
        for seat in self._seats:
            seat.end()


@dataclass(slots=True)
class _Wire:
    """The way to one reader."""

    send: Send
    seat: Seat
    pace: Pace
    spoken_at_s: float = 0

    async def say(self, text: bytes) -> None:
        """Raises TooSlow if it is not taken in time, and Over if there is nobody to take it."""
        if self.seat.over.done():
            raise _Over
        sending = asyncio.ensure_future(self.send(_body(text, more=True)))
        done, _ = await asyncio.wait(
            {sending, self.seat.over}, timeout=self.pace.patience_s, return_when=asyncio.FIRST_COMPLETED
        )
        if sending not in done:
            sending.cancel()
            raise _Over if self.seat.over.done() else _TooSlow
        sending.result()
        self.spoken_at_s = _time_s()

    async def rest(self) -> None:
        """Until something stirs, or it is time to look. Raises Over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.pace.poll_s):
                await self.seat.stir.wait()
        self.seat.stir.clear()
        if self.seat.over.done():
            raise _Over

    async def close(self, last_words: bytes) -> None:
        """End the response, if the reader takes that soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self.send(_body(last_words, more=False))

    @property
    def has_been_silent(self) -> bool:
        return _time_s() - self.spoken_at_s >= self.pace.heartbeat_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The response to one reader, as an ASGI application.

    `frames` gives what lies after one id and up to another, in order, at most EVENTS_AT_ONCE; it and
    `recheck` raise KeyInvalid or KeyExpired once the reader's key opens nothing any more.
    """

    streams: Streams
    key_id: str
    after: str
    bound: Bound | None
    frames: Callable[[str, str], Sequence[Frame]]
    recheck: Callable[[], None]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        with self.streams.seat(self.key_id) as seat:
            leaving = asyncio.ensure_future(_leave(receive, seat))
            wire = _Wire(send, seat, self.streams.pace)
            try:
                await send(_START)
                await wire.close(await self._speak(wire))
            finally:
                leaving.cancel()

    async def _speak(self, wire: _Wire) -> bytes:
        """Say all there is to say; returns the last words."""
        try:
            await self._follow(wire)
        except _Over:
            return b""
        except _TooSlow:
            log.warning("a reader of key %s was too slow, and has to come again", self.key_id)
            return TOO_SLOW
        except (KeyInvalid, KeyExpired):
            return KEY_GONE
        except BrokerDown:
            # A broker that answers nothing does not keep its connections either.
            return b""
        except Exception:  # the response has begun: all that can be said is that we failed
            log.exception("unforeseen")
            return FAILED
        return b""

    async def _follow(self, wire: _Wire) -> None:
        """Until the bound is reached, if there is one."""
        await wire.say(HEARTBEAT)
        after = self.after
        while True:
            look = await self.streams.latest()
            upto = look.head if self.bound is None else min(look.head, self.bound.last)
            while after < upto:
                frames = await asyncio.to_thread(self.frames, after, upto)
                for piece in _pieces(frames):
                    await wire.say(piece)
                after = upto if len(frames) < EVENTS_AT_ONCE else frames[-1].event_id
            if self.bound is not None and self.bound.is_reached(look):
                return
            if wire.has_been_silent:
                await asyncio.to_thread(self.recheck)
                await wire.say(HEARTBEAT)
            await wire.rest()


def _pieces(frames: Sequence[Frame]) -> Iterator[bytes]:
    """Frames joined into few pieces, none of them long: what the reader does not take stays in memory."""
    piece = b""
    for frame in frames:
        piece += frame.text
        if len(piece) >= PIECE_BYTES:
            yield piece
            piece = b""
    if piece:
        yield piece


async def _leave(receive: Receive, seat: Seat) -> None:
    """End the stream once its reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    seat.end()


def _body(text: bytes, *, more: bool) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": text, "more_body": more}


def _time_s() -> float:
    return asyncio.get_running_loop().time()
