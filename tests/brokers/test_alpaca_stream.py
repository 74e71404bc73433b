"""Alpaca's trade events: who has news is told, each place in the stream is read, whatever comes between."""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.brokers.alpaca_server import AlpacaServer, Fault
from tests.brokers.market import order
from tests.brokers.trading import Trading, trading
from trimtab.brokers import alpaca_stream
from trimtab.brokers.alpaca_stream import News, TradeStream
from trimtab.core.run import Side

PATIENCE_S = 20
SELL = order("sell", Side.SELL, quantity="1")


@dataclass
class Heard:
    """What the stream told, in order."""

    cursor: str | None = None
    told: list[tuple[set[str], str | None]] = field(default_factory=list)
    forgotten: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    fails: int = 0

    def news(self) -> News:
        return News(cursor=lambda: self.cursor, tell=self.tell, forget=self.forget)

    def tell(self, account_ids: Collection[str], cursor: str | None) -> None:
        with self.changed:
            if self.fails:
                self.fails -= 1
                raise OSError("the database is away")
            self.told.append((set(account_ids), cursor))
            self.cursor = cursor or self.cursor
            self.changed.notify_all()

    def forget(self) -> None:
        with self.changed:
            self.cursor = None
            self.forgotten += 1

    def until(self, cursor: str) -> None:
        """Wait until the stream has been read to there."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.cursor == cursor, PATIENCE_S), self.told


def event(number: int) -> str:
    return f"{number:026d}"


@contextmanager
def listening(at: Trading, heard: Heard) -> Iterator[TradeStream]:
    stream = TradeStream(at.broker.calls, heard.news())
    stream.start()
    try:
        yield stream
    finally:
        stream.stop()


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests need not wait to be polite."""
    monkeypatch.setattr(alpaca_stream, "PAUSE_MIN_S", 0.01)
    monkeypatch.setattr(alpaca_stream, "PAUSE_MAX_S", 0.05)


def connected(server: AlpacaServer, times: int = 1) -> None:
    with server.news:
        assert server.news.wait_for(lambda: len(server.cursors) >= times, PATIENCE_S)


def test_an_order_that_changes_is_news_of_its_account() -> None:
    with trading() as at, listening(at, heard := Heard()):
        connected(at.server)
        at.send(SELL)
        heard.until(event(2))
        assert set().union(*(accounts for accounts, _ in heard.told)) == {"ann"}


def test_what_happened_while_nobody_listened_is_heard_from_where_it_was_left() -> None:
    with trading() as at:
        at.send(SELL)
        heard = Heard(cursor=event(1))
        with listening(at, heard):
            heard.until(event(2))
        assert at.server.cursors == [event(1)]
        assert heard.told == [({"ann"}, event(2))]


@pytest.mark.parametrize(
    "noise",
    [
        ":heartbeat\n",
        "data: {\n\n",
        "data: NaN\n\n",
        "data: []\n\n",
        'data: {"event": "fill"}\n\n',
        'data: {"account_id": null, "event_id": "x"}\n\n',
        'data: {"account_id": "a\\u0000", "event_id": "x"}\n\n',
        'data: {"account_id": "ann", "event_id": "\\ud800"}\n\n',
        "event: trade\nid: 5\nretry: 10\n\n",
        "nonsense\r\n\r\n",
        "\n\n\n",
        "data: " + "[" * 100_000 + "\n",
        "data: " + "x" * (2 << 20) + "\n",
        ": internal server error\n",
    ],
    ids=range(14),
)
def test_noise_is_no_news_and_stops_nothing(noise: str) -> None:
    with trading() as at, listening(at, heard := Heard()):
        connected(at.server)
        at.server.say(event(1), noise)
        at.send(SELL)
        heard.until(event(3))
        assert {accounts for told, _ in heard.told for accounts in told} == {"ann"}


def test_events_may_be_doubled_and_out_of_order() -> None:
    with trading() as at, listening(at, heard := Heard()):
        connected(at.server)
        for key in (1, 3, 2, 2, 1):
            at.server.say(event(key), f'data: {{"account_id": "a{key}", "event_id": "{event(key)}"}}\n\n')
        at.server.say(event(9), f'data: {{"account_id": "last", "event_id": "{event(9)}"}}\n\n')
        heard.until(event(9))
        assert set().union(*(accounts for accounts, _ in heard.told)) == {"a1", "a2", "a3", "last"}


@pytest.mark.parametrize("text", ["", ": you are reading too slowly, dropped 7 messages\n"])
def test_a_stream_that_ends_or_drops_events_is_read_again_from_where_it_was_left(text: str) -> None:
    with trading() as at, listening(at, heard := Heard()):
        connected(at.server)
        at.send(SELL)
        heard.until(event(2))
        at.server.say("hang up" if not text else event(3), text)
        connected(at.server, 2)
        at.server.events = [each for each in at.server.events if each[1] not in {"", text}]
        at.server.say(event(4), f'data: {{"account_id": "bob", "event_id": "{event(4)}"}}\n\n')
        heard.until(event(4))
        assert at.server.cursors[:2] == [None, event(2)]


def test_what_came_before_the_dropped_events_is_told_and_what_came_after_is_read_again() -> None:
    with trading() as at:
        events = [f'data: {{"account_id": "a{n}", "event_id": "{event(n)}"}}\n' for n in (1, 2)]
        at.server.say(event(1), events[0] + ": you are reading too slowly, dropped 1 messages\n" + events[1])
        with listening(at, heard := Heard(cursor=event(0))):
            connected(at.server, 2)
        assert heard.told[0] == ({"a1"}, event(1))
        assert at.server.cursors[:2] == [event(0), event(1)]


def test_a_cursor_that_the_broker_has_forgotten_is_forgotten() -> None:
    with trading() as at:
        at.server.queued["GET"].append(Fault(status=422, body=b"{}"))
        with listening(at, heard := Heard(cursor="ancient")):
            connected(at.server)
            assert (heard.forgotten, at.server.cursors) == (1, [None])


def test_the_stream_of_the_first_version_will_do() -> None:
    with trading() as at:
        at.server.paths_gone = {"/v2/events/trades"}
        with listening(at, heard := Heard()):
            connected(at.server)
            at.send(SELL)
            heard.until(event(2))


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=401), Fault(hangs_up=True)], ids=range(3))
def test_a_stream_that_cannot_be_had_is_asked_for_again(fault: Fault) -> None:
    with trading() as at:
        at.server.queued["GET"] += [fault, fault]
        with listening(at, Heard()):
            connected(at.server)


def test_news_that_could_not_be_told_is_read_again() -> None:
    with trading() as at:
        at.send(SELL)
        with listening(at, heard := Heard(cursor=event(1), fails=1)):
            heard.until(event(2))
        assert at.server.cursors == [event(1), event(1)]


def test_stopping_does_not_wait_for_the_next_event() -> None:
    with trading() as at, listening(at, Heard()) as stream:
        connected(at.server)
        stopper = threading.Thread(target=stream.stop)
        stopper.start()
        stopper.join(PATIENCE_S)
        assert not stopper.is_alive()


def test_a_stream_that_falls_silent_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.brokers.alpaca_calls.SILENCE_S", 0.1)
    with trading() as at, listening(at, Heard()):
        connected(at.server, 3)
