"""Alpaca's event stream over HTTP: what is told, to whom, from where to where."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import httpx
import pytest
import sseclient
from alpaca.broker.client import BrokerClient

from tests.api.reader import EVENTS, Frame, following, told, until_now
from tests.api.servers import NO_TLS
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, World, band, calendar, make_key, weights
from trimtab.api.keys import DEFAULT_SCOPES
from trimtab.api.stream import STREAMS_PER_KEY
from trimtab.store import tenants

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RUN_KEYS = [
    *("id", "type", "amount", "initiated_from", "initiated_by", "status", "reason", "account_id"),
    *("portfolio_id", "weights", "completed_at", "canceled_at", "created_at", "updated_at"),
]
WHOLE_RUN = ["run.created QUEUED", "run.status_changed IN_PROGRESS", "run.status_changed COMPLETED_SUCCESS"]


def time_in(event_id: str) -> int:
    """The milliseconds in an id: its first ten digits."""
    number = 0
    for digit in event_id[:10]:
        number = number * 32 + CROCKFORD.index(digit)
    return number


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


# What is told.


def test_the_life_of_a_run_is_told_as_it_was_each_time(world: World) -> None:
    at = text(world.now())
    account = world.account("1000")
    shares = weights(SPY="60", TLT="40")
    run_id = world.run(account, shares)
    world.settle()
    run = world.show_run(run_id)
    frames = until_now(world)
    assert told(frames) == WHOLE_RUN
    for frame in frames:
        assert list(frame.data) == ["event_id", "event_type", "at", "payload"]
        assert (frame.data["event_id"], frame.data["event_type"], frame.data["at"]) == (
            frame.id,
            frame.event,
            at,
        )
        assert list(frame.data["payload"]) == RUN_KEYS
    created, started, completed = (frame.data["payload"] for frame in frames)
    assert created == {
        "id": run_id,
        "type": "full_rebalance",
        "amount": None,
        "initiated_from": "api",
        "initiated_by": "api",
        "status": "QUEUED",
        "reason": None,
        "account_id": account,
        "portfolio_id": run["portfolio_id"],
        "weights": [
            {"type": "asset", "symbol": "SPY", "percent": "60"},
            {"type": "asset", "symbol": "TLT", "percent": "40"},
        ],
        "completed_at": None,
        "canceled_at": None,
        "created_at": at,
        "updated_at": at,
    }
    assert started == {**created, "status": "IN_PROGRESS"}
    assert completed == {**created, "status": "COMPLETED_SUCCESS", "completed_at": at}
    assert completed == {name: value for name, value in run.items() if name in RUN_KEYS}


def test_each_event_has_the_weights_of_its_time(world: World) -> None:
    portfolio = world.portfolio(weights(SPY="100"))
    world.subscribe(world.account("1000"), portfolio)
    world.patch(f"{PORTFOLIOS}/{portfolio}", {"weights": weights(TLT="100")})
    world.settle()
    symbols = [frame.data["payload"]["weights"][0]["symbol"] for frame in until_now(world)]
    assert symbols == ["SPY", "TLT", "TLT"]


def test_a_run_that_was_cancelled_before_it_began(world: World) -> None:
    run_id = world.run(world.account("1000"), weights(SPY="100"))
    world.delete(f"{RUNS}/{run_id}")
    frames = until_now(world)
    assert told(frames) == ["run.created QUEUED", "run.status_changed CANCELED"]
    assert frames[-1].data["payload"]["canceled_at"] == text(world.now())


def test_a_run_that_was_cancelled_on_its_way_is_only_cancelled_here(world: World) -> None:
    world.set_faults(fill_delay_s=3600)
    run_id = world.run(world.account("1000"), weights(SPY="100"))
    world.settle()
    world.delete(f"{RUNS}/{run_id}")
    world.settle()
    world.later(seconds=60)
    world.settle()
    assert world.show_run(run_id)["status"] == "CANCELED_MID_RUN"
    assert told(until_now(world)) == [*WHOLE_RUN[:2], "run.status_changed CANCELED"]


def test_a_portfolio_is_told_with_what_its_conditions_say_and_nothing_else(world: World) -> None:
    symbol = world.symbol("10")
    rules = [band("5"), calendar("quarterly", "15"), {"type": "on_portfolio_update"}]
    portfolio = world.portfolio(weights(cash="5", **{symbol: "95"}), *rules, cooldown_days=3)
    whole = world.get(f"{PORTFOLIOS}/{portfolio}")
    world.put(f"/sandbox/assets/{symbol}", {"tradable": False})
    later = text(world.later(minutes=1))
    world.put(f"/sandbox/assets/{symbol}", {"tradable": True})
    world.patch(f"{PORTFOLIOS}/{portfolio}", {"name": "Näme \u2028\x85 😀"})
    world.delete(f"{PORTFOLIOS}/{portfolio}")
    frames = until_now(world)
    changed = "portfolio.status_changed"
    assert told(frames) == [f"{changed} needs_adjustment", f"{changed} active", f"{changed} inactive"]
    assert frames[0].data["payload"] == {
        **whole,
        "status": "needs_adjustment",
        "weights": [
            {"type": "cash", "symbol": None, "percent": "5"},
            {"type": "asset", "symbol": symbol, "percent": "95"},
        ],
        "rebalance_conditions": [
            {"type": "drift_band", "sub_type": "absolute", "percent": "5"},
            {"type": "calendar", "sub_type": "quarterly", "day": "15"},
            {"type": "on_portfolio_update"},
        ],
    }
    names = [frame.data["payload"]["name"] for frame in frames]
    assert names == ["P", "Näme \u2028\x85 😀", "Näme \u2028\x85 😀"]
    assert frames[1].data["payload"]["updated_at"] == later


def test_the_hidden_portfolio_of_a_run_is_never_told_of(world: World) -> None:
    symbol = world.symbol("10")
    run_id = world.run(world.account("1000"), weights(**{symbol: "100"}))
    world.put(f"/sandbox/assets/{symbol}", {"tradable": False})
    world.settle()
    assert {frame.data["payload"]["id"] for frame in until_now(world)} == {run_id}


def test_a_run_of_the_other_dialect_is_told_too(world: World) -> None:
    portfolio = world.portfolio(weights(SPY="100"))
    subscription = world.subscribe(world.account("1000"), portfolio)
    world.settle()
    world.delete(f"{SUBSCRIPTIONS}/{subscription}")
    assert told(until_now(world)) == WHOLE_RUN
    (created, *_) = until_now(world)
    assert created.data["payload"]["initiated_from"] == "system"


# Ids and time.


def test_in_a_standing_clock_ids_still_grow_and_have_its_time(world: World) -> None:
    now = world.now()
    for _ in range(3):
        world.run(world.account("1000"), weights(SPY="100"))
    world.settle()
    ids = [frame.id for frame in until_now(world)]
    assert len(ids) == 9
    assert all(one < two for one, two in pairwise(ids))
    assert {time_in(id_) for id_ in ids} == {milliseconds(now)}


def test_what_has_happened_bears_its_own_time_though_nobody_read_it(world: World) -> None:
    now = world.now()
    world.run(world.account("1000"), weights(SPY="100"))
    world.later(hours=1)
    (frame,) = until_now(world)
    assert time_in(frame.id) == milliseconds(now)


# From where, to where.


@dataclass(frozen=True, slots=True)
class Hour:
    at: datetime
    frames: list[Frame]


def three_hours(world: World) -> list[Hour]:
    """At each of three hours a run is asked for and cancelled."""
    hours: list[Hour] = []
    for _ in range(3):
        at = world.later(hours=1)
        run_id = world.run(world.account("1000"), weights(SPY="100"))
        world.delete(f"{RUNS}/{run_id}")
        known = sum(len(hour.frames) for hour in hours)
        hours.append(Hour(at, until_now(world)[known:]))
    assert [len(hour.frames) for hour in hours] == [2, 2, 2]
    return hours


# What is asked for and what comes, by number: hour 1 has the events 1 and 2, hour 2 has 3 and 4, hour 3
# has 5 and 6. T2 is the time of hour 2, I3 the id of event 3, and so on; H is Last-Event-Id.
WINDOWS = [
    ("since=T1 until=T3", "123456"),
    ("since=T2 until=T3", "3456"),
    ("since=T2 until=T2", "34"),
    ("since=T2+1ms until=T3", "56"),
    ("since=T2+1us until=T3", "3456"),
    ("since=T1 until=T2-1ms", "12"),
    ("since=T3 until=T1", ""),
    ("since=D until=T3", "123456"),
    ("since=1970-01-01 until=T2", "1234"),
    ("since=0001-01-01T00:00:00Z until=D", ""),
    ("since_id=I1 until_id=I6", "23456"),
    ("since_id=I2 until_id=I4", "34"),
    ("since_id=I2 until_id=I3", "3"),
    ("since_id=I4 until_id=I4", ""),
    ("since_id=I4 until_id=I2", ""),
    ("since_id=i2 until_id=i4", "34"),
    ("since_id=00000000000000000000000000 until_id=I6", "123456"),
    ("H=I3 until_id=I6", "456"),
    ("H=I3 since_id=I1 until_id=I6", "456"),
    ("H=I1 since_id=I3 until_id=I6", "23456"),
    ("H=00000000000000000000000000 until_id=I2", "12"),
]

REFUSED = [
    ("since=T1 since_id=I1", "since and since_id cannot be used together"),
    ("since=T1 H=I1", "since and last_event_id cannot be used together"),
    ("since=T1 since_id=I1 H=I1", "since and since_id cannot be used together"),
    ("since=T1 until=T2 until_id=I2", "until and until_id cannot be used together"),
    ("since_id=I1 until=T2 until_id=I2", "until and until_id cannot be used together"),
    ("until=T2", "since is required if until is given"),
    ("until=T2 since_id=I1", "since is required if until is given"),
    ("until=T2 H=I1", "since is required if until is given"),
    ("until_id=I2", "since_id is required if until_id is given"),
    ("until_id=I2 since=T1", "since_id is required if until_id is given"),
    ("since=yesterday", "since: invalid value"),
    ("since=", "since: invalid value"),
    ("since=2026-02-30", "since: invalid value"),
    ("since=2026-3-2", "since: invalid value"),
    ("since=2026-03-02T10:00:00", "since: invalid value"),
    ("since=1772452800", "since: invalid value"),
    ("since=T1 until=tomorrow", "until: invalid value"),
    ("since_id=1", "since_id: invalid value"),
    ("since_id=", "since_id: invalid value"),
    ("since_id=8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "since_id: invalid value"),
    ("since_id=9f5c8d2e-1c1b-4e57-9f0e-0c9d5e8f7a6b", "since_id: invalid value"),
    ("since_id=I1 until_id=U", "until_id: invalid value"),
    ("H=1", "last-event-id: invalid value"),
    ("H=1 since_id=I1", "last-event-id: invalid value"),
    ("since_id=1 H=I1", "since_id: invalid value"),
]


def asked(words: str, hours: list[Hour]) -> tuple[dict[str, str], str | None]:
    """Query and Last-Event-Id of a row."""
    ids = [frame.id for hour in hours for frame in hour.frames]
    values = {"D": hours[0].at.date().isoformat()}
    for number, hour in enumerate(hours, start=1):
        values[f"T{number}"] = text(hour.at)
        values[f"T{number}+1ms"] = text(hour.at + timedelta(milliseconds=1))
        values[f"T{number}-1ms"] = text(hour.at - timedelta(milliseconds=1))
        # The same instant in other clothes.
        values[f"T{number}+1us"] = (hour.at + timedelta(hours=5, microseconds=1)).isoformat()[:-6] + "+05:00"
    for number, id_ in enumerate(ids, start=1):
        values |= {f"I{number}": id_, f"i{number}": id_.lower()}
    query = {
        name: values.get(word, word) for name, _, word in (pair.partition("=") for pair in words.split())
    }
    return query, query.pop("H", None)


def test_windows(world: World) -> None:
    hours = three_hours(world)
    everything = [frame for hour in hours for frame in hour.frames]
    for words, numbers in WINDOWS:
        query, last_event_id = asked(words, hours)
        with following(world, last_event_id=last_event_id, **query) as reader:
            assert list(reader.frames()) == [everything[int(number) - 1] for number in numbers], words


def test_what_is_no_window_is_refused(world: World) -> None:
    hours = three_hours(world)
    for words, message in REFUSED:
        query, last_event_id = asked(words, hours)
        headers = {} if last_event_id is None else {"Last-Event-Id": last_event_id}
        answer = world.http.get(EVENTS, params=query, headers=headers)
        assert (answer.status_code, answer.json()) == (400, {"code": 40010001, "message": message}), words


def test_without_a_beginning_only_what_comes_is_told(world: World) -> None:
    world.run(world.account("1000"), weights(SPY="100"))
    with following(world) as reader, following(world, last_event_id="") as other:
        run_id = world.run(world.account("1000"), weights(SPY="100"))
        for frame in (reader.next(), other.next()):
            assert (frame.event, frame.data["payload"]["id"]) == ("run.created", run_id)


def test_history_goes_over_into_the_present(world: World) -> None:
    world.run(world.account("1000"), weights(SPY="100"))
    with following(world, since="2000-01-01") as reader:
        assert told([reader.next()]) == WHOLE_RUN[:1]
        world.settle()
        assert told(reader.take(2)) == WHOLE_RUN[1:]
        assert reader.comments[0] == "heartbeat"


def test_a_reader_goes_on_where_it_was_cut_off(world: World) -> None:
    with following(world) as reader:
        world.run(world.account("1000"), weights(SPY="100"))
        last = reader.next()
    world.settle()
    with following(world, last_event_id=last.id, since_id="00000000000000000000000000") as reader:
        assert told(reader.take(2)) == WHOLE_RUN[1:]
        world.run(world.account("1000"), weights(SPY="100"))
        assert told([reader.next()]) == WHOLE_RUN[:1]


def test_a_stream_ends_once_the_clock_reads_its_end(world: World) -> None:
    end = world.now() + timedelta(hours=1)
    with following(world, since="2000-01-01", until=text(end)) as reader:
        world.run(world.account("1000"), weights(SPY="100"))
        assert told([reader.next()]) == WHOLE_RUN[:1]
        world.set_clock(end)
        assert list(reader.frames()) == []


def test_a_stream_ends_with_the_event_that_was_named_for_it(world: World) -> None:
    world.run(world.account("1000"), weights(SPY="100"))
    first = until_now(world)[0].id
    last = first[:-6] + "ZZZZZZ"
    with following(world, since_id=first, until_id=last) as reader:
        # It may be that no event ever has this id.
        world.later(seconds=1)
        assert list(reader.frames()) == []


def test_a_long_history_comes_whole(world: World) -> None:
    portfolio = world.portfolio(weights(SPY="100"))
    accounts = [world.account("1000") for _ in range(70)]
    for account in accounts:
        world.subscribe(account, portfolio)
    world.settle()
    frames = until_now(world)
    assert len(frames) == 210
    for account in accounts:
        assert told([f for f in frames if f.data["payload"]["account_id"] == account]) == WHOLE_RUN


# To whom.


def test_each_tenant_is_told_of_its_own(world: World, other: World) -> None:
    with following(world) as ours, following(other) as theirs:
        run_id = world.run(world.account("1000"), weights(SPY="100"))
        their_id = other.run(other.account("1000"), weights(SPY="100"))
        first = ours.next()
        assert first.data["payload"]["id"] == run_id
        assert theirs.next().data["payload"]["id"] == their_id
    assert [frame.data["payload"]["id"] for frame in until_now(other)] == [their_id]
    # An id of another tenant is a place in time, and shows nothing else.
    with following(other, since_id=first.id, until_id="7" + "Z" * 25) as reader:
        world.run(world.account("1000"), weights(SPY="100"))
        assert reader.next().data["payload"]["id"] == their_id
        other.run(other.account("1000"), weights(SPY="100"))
        assert reader.next().data["payload"]["initiated_from"] == "api"


@pytest.mark.parametrize("scheme", ["basic", "apca"])
def test_keys_come_as_alpaca_has_them(world: World, scheme: str) -> None:
    key_id, secret = world.key.key_id, world.key.secret
    headers = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret} if scheme == "apca" else {}
    answer = httpx.get(
        world.server.url + EVENTS,
        params={"since": "2000-01-01", "until": "2000-01-02"},
        headers=headers,
        auth=(key_id, secret) if scheme == "basic" else None,
        verify=NO_TLS,
    )
    assert (answer.status_code, answer.text) == (200, ":heartbeat\n\n")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert "x-ratelimit-remaining" in answer.headers


def test_who_may_not_listen(world: World) -> None:
    deaf = make_key(world.db, "deaf", scopes=DEFAULT_SCOPES - {"portfolios:read"})
    unauthorized, forbidden = (40110000, "unauthorized"), (40310000, "forbidden")
    for auth, status, told_so in [
        (None, 401, unauthorized),
        ((world.key.key_id, "wrong"), 401, unauthorized),
        ((deaf.key_id, deaf.secret), 403, forbidden),
    ]:
        answer = httpx.get(world.server.url + EVENTS, auth=auth, verify=NO_TLS)
        assert (answer.status_code, tuple(answer.json().values())) == (status, told_so)


def test_refusals_around_it_are_alpacas_too(world: World) -> None:
    assert world.refused("POST", EVENTS, {}, expect=405) == (40510000, "method not allowed")
    assert world.refused("GET", f"{EVENTS}/more", expect=404) == (40410000, "not found")
    beside = world.call("GET", "/v2/events", expect=404).json()
    assert beside["success"] is False


def test_a_key_that_is_revoked_hears_nothing_more(world: World) -> None:
    with following(world) as reader:
        world.run(world.account("1000"), weights(SPY="100"))
        reader.next()
        second = make_key(world.db, "unused").key_id
        assert second != world.key.key_id
        account = world.account("1000")
        world.db.write(lambda tx: tenants.revoke_key(tx, world.key.key_id, datetime.now().astimezone()))
        heir = heir_of(world)
        heir.run(account, weights(SPY="100"))
        assert list(reader.frames()) == []
        assert reader.comments[-1] == " the key is no longer valid"


def heir_of(world: World) -> World:
    """The same tenant with another key, which the world has from here on."""
    rows = world.db.read(
        lambda tx: tx.rows("SELECT name FROM tenants WHERE id = :id", id=world.key.tenant_id)
    )
    world.key = make_key(world.db, rows[0]["name"])
    world.http.auth = httpx.BasicAuth(world.key.key_id, world.key.secret)
    return world


def test_a_key_has_so_many_streams_and_no_more(world: World, other: World) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(following(world)) for _ in range(STREAMS_PER_KEY)]
        assert world.refused("GET", EVENTS, expect=429) == (42910001, "too many open event streams")
        with following(other):
            pass
        # One that goes leaves its place to the next; the server learns of it in its own time.
        streams[0].response.close()
        assert any(world.http.get(EVENTS, params=CLOSED).status_code == 200 for _ in range(100))


CLOSED = {"since": "2000-01-01", "until": "2000-01-02"}


# The official client's parser.


def test_the_official_clients_session_and_parser_read_it(world: World) -> None:
    client = BrokerClient(world.key.key_id, world.key.secret, url_override=world.server.url)
    world.run(world.account("1000"), weights(SPY="100"))
    world.settle()
    with client._session.get(  # noqa: SLF001 - it has no method for this stream, but for others like it
        world.server.url + EVENTS,
        params={"since": "2000-01-01", "until": text(world.now())},
        stream=True,
        headers=client._get_sse_headers(),  # noqa: SLF001
    ) as response:
        events = list(sseclient.SSEClient(response.iter_content()).events())
    frames = until_now(world)
    assert [(event.id, event.event) for event in events] == [(frame.id, frame.event) for frame in frames]
    assert len(events) == 3
