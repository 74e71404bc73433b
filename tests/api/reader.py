"""A reader of the event stream: frames as they come over a real connection, split by the rules of the
published standard and by nothing of ours.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.api.servers import NO_TLS
from tests.api.world import Json, World

EVENTS = "/v2/events/rebalancer"
# Nobody waits so long for a frame that is on its way.
PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Frame:
    id: str
    event: str
    data: Json


@dataclass(slots=True)
class Reader:
    """`comments` are those met so far, without their colon; `pieces` is what the connection gives."""

    response: httpx.Response
    pieces: Iterator[bytes] = field(init=False)
    rest: bytes = b""
    comments: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pieces = self.response.iter_raw()

    def blocks(self) -> Iterator[str]:
        """What stands between empty lines, until the server ends the stream."""
        while True:
            block, end, rest = self.rest.partition(b"\n\n")
            if end:
                self.rest = rest
                yield block.decode("ascii")
                continue
            piece = next(self.pieces, None)
            if piece is None:
                assert self.rest == b"", "the stream ended within a frame"
                return
            self.rest += piece

    def frames(self) -> Iterator[Frame]:
        for block in self.blocks():
            if block.startswith(":"):
                self.comments.append(block.removeprefix(":"))
            else:
                fields = dict(line.split(": ", 1) for line in block.split("\n"))
                assert list(fields) == ["id", "event", "data"]
                yield Frame(fields["id"], fields["event"], json.loads(fields["data"]))

    def next(self) -> Frame:
        return next(self.frames())

    def take(self, count: int) -> list[Frame]:
        return [self.next() for _ in range(count)]


@contextmanager
def following(world: World, *, last_event_id: str | None = None, **query: str) -> Iterator[Reader]:
    """An open stream with a connection of its own."""
    headers = {} if last_event_id is None else {"Last-Event-Id": last_event_id}
    auth = (world.key.key_id, world.key.secret)
    with (
        httpx.Client(auth=auth, timeout=PATIENCE_S, verify=NO_TLS) as http,
        http.stream("GET", world.server.url + EVENTS, params=query, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        yield Reader(response)


def until_now(world: World) -> list[Frame]:
    """Everything there is."""
    with following(world, since="2000-01-01", until=world.now().isoformat()) as reader:
        return list(reader.frames())


def told(frames: list[Frame]) -> list[str]:
    """What each frame says, in short."""
    return [f"{frame.event} {frame.data['payload']['status']}" for frame in frames]
