"""Trade events: every fact about an order, as it was then, in the ledger's order, also after a crash."""

from datetime import datetime
from typing import Any

import pytest

from tests.api.paper.face import Face, Json, events_in
from tests.api.servers import answers_with, respawn


def told(events: list[Json]) -> list[tuple[Any, ...]]:
    """What each event says of its order."""
    return [
        (
            each["event"],
            each["order"]["status"],
            each["order"]["filled_qty"],
            each.get("qty"),
            each.get("price"),
            each.get("position_qty"),
        )
        for each in events
    ]


def test_an_order_is_told_as_it_was_at_each_event(face: Face) -> None:
    account = face.account("1000")
    face.order(account, qty="0.5")
    face.set_faults(partial_fill=1)
    order = face.order(account, qty="1")
    face.later(seconds=1)
    events = face.events_of(account)
    assert told(events) == [
        ("new", "new", "0", None, None, None),
        ("fill", "filled", "0.5", "0.5", "400", "0.5"),
        ("new", "new", "0", None, None, None),
        ("partial_fill", "partially_filled", "0.5", "0.5", "400", "1"),
        ("fill", "filled", "1", "0.5", "400", "1.5"),
    ]
    last = events[-1]
    assert last["order"] == face.call("GET", face.trading(account, f"/orders/{order['id']}"))
    assert (last["timestamp"], last["at"]) == (last["order"]["filled_at"], last["order"]["filled_at"])
    assert len({each["execution_id"] for each in events}) == len(events)
    assert [each["event_id"] for each in events] == sorted(each["event_id"] for each in events)


def test_what_is_canceled_and_rejected_is_told(face: Face) -> None:
    account = face.account("1000")
    face.set_faults(reject=["TLT"], fill_delay_s=60)
    rejected = face.order(account, symbol="TLT", qty="1")
    assert rejected["status"] == "rejected"
    order = face.order(account, qty="1")
    face.call("DELETE", face.trading(account, f"/orders/{order['id']}"), expect=204)
    assert [line[:2] for line in told(face.events_of(account))] == [
        ("new", "new"),
        ("rejected", "rejected"),
        ("new", "new"),
        ("canceled", "canceled"),
    ]


def test_an_event_is_told_twice_if_that_is_the_fault(face: Face) -> None:
    account = face.account("1000")
    face.set_faults(duplicate_event=1)
    face.order(account, qty="1")
    events = face.events_of(account)
    assert [each["event"] for each in events] == ["new", "new", "fill", "fill"]
    assert events[0] == events[1]
    assert events[2] == events[3]


def test_a_reader_is_told_what_happens_while_it_reads(face: Face) -> None:
    account = face.account("1000")
    with face.http.stream("GET", "/v2/events/trades") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ":heartbeat"
        face.order(account, qty="1")
        events = events_in(lines)
        assert [next(events)["event"] for _ in range(2)] == ["new", "fill"]


def test_a_reader_comes_back_with_its_last_id_after_a_crash(face: Face) -> None:
    account = face.account("1000")
    for _ in range(3):
        face.order(account, notional="10")
    before = face.events_of(account)
    face.server.process.kill()
    face.server.process.wait()
    respawn(face.server)
    assert answers_with(face.server, 200)
    assert face.events_of(account) == before
    middle = before[2]["event_id"]
    rest = [each for each in face.events(middle, count=3) if each["account_id"] == account]
    assert rest == before[3:6]
    resumed = face.events(count=3, **{"Last-Event-Id": middle})
    assert resumed == rest
    face.order(account, notional="10")
    assert [each["event"] for each in face.events(before[-1]["event_id"], count=2)] == ["new", "fill"]


def test_the_older_twin_tells_the_same(face: Face) -> None:
    account = face.account("1000")
    face.order(account, qty="1")
    events = face.events_of(account)
    now = datetime.fromisoformat(face.call("GET", "/sandbox/clock")["now"])
    for query in (
        {"since": "2026-03-04", "until": now.isoformat()},
        {"since_ulid": events[0]["event_id"], "until_ulid": events[1]["event_id"]},
    ):
        with face.http.stream("GET", "/v1/events/trades", params=query) as answer:
            assert events[1] in list(events_in(answer.iter_lines()))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"since": "soon"}, "since: invalid value"),
        ({"until": "2026-03-05"}, "since is required if until is given"),
        ({"since_id": "x"}, "since_id: invalid value"),
        ({"since": "2026-03-05", "since_id": "0" * 26}, "since and since_id cannot be used together"),
    ],
)
def test_what_is_wrong_with_a_window_is_said(face: Face, query: dict[str, str], message: str) -> None:
    assert face.call("GET", "/v2/events/trades", expect=400, **query)["message"] == message


def test_an_outage_ends_the_stream_and_lets_none_begin(face: Face) -> None:
    with face.http.stream("GET", "/v2/events/trades") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ":heartbeat"
        face.set_faults(outage=True)
        assert [line for line in lines if line.startswith("data")] == []
    assert face.call("GET", "/v2/events/trades", expect=503)["code"] == 50310000
