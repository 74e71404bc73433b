"""`GET /v2/events/rebalancer`: Alpaca's stream of what became of runs and portfolios.

It lies inside the other dialect's prefix, and speaks this one's (notes on the contract, 5). A payload is
what GET shows, as it was at the event: without the order lists, and without what a condition leaves empty.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from litestar.types import ASGIApp

from trimtab.api import alpaca_wire as wire
from trimtab.api.alpaca_errors import error_response
from trimtab.api.alpaca_shapes import BadValue
from trimtab.api.auth import Caller
from trimtab.api.body import instant_in, instant_text
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.api.stream import EVENTS_AT_ONCE, Bound, Frame, Look, Stream, Streams
from trimtab.core import ulid
from trimtab.core.errors import Malformed
from trimtab.core.run import RunState
from trimtab.engine.desk import Desk
from trimtab.engine.publish import publish
from trimtab.store import feed
from trimtab.store.feed import Event, RunEvent, StrategyEvent

EVENTS = "/v2/events/rebalancer"
SCOPE = "portfolios:read"
LAST_EVENT_ID = "last-event-id"
ORDER_LISTS = {"orders", "failed_orders", "skipped_orders"}
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def rebalancer_streams(desk: Desk) -> Streams:
    def look() -> Look:
        """Publish what waits, and see how far the feed goes. The clock first: what is not in the feed by
        then comes later.
        """
        now = desk.clock()
        publish(desk)
        return Look(head=desk.db.read(feed.head), now=now)

    return Streams(look, desk.bell)


Listening = NamedDependency[SkipValidation[Streams]]


def events_application(front: FrontDesk, streams: Streams) -> Litestar:
    return sub_application(front, list(ROUTES), error_response, streams=streams)


@get(EVENTS, sync_to_thread=True)
def follow_events(front: Front, streams: Listening, request: AnyRequest) -> ASGIApp:
    caller = front.admit(request, SCOPE)
    after, bound = window_in(request.query_params, request.headers.get(LAST_EVENT_ID))
    return Stream(
        streams=streams,
        key_id=caller.key_id,
        after=streams.look().head if after is None else after,
        bound=bound,
        frames=_frames(front, caller),
        recheck=lambda: front.door.recheck(caller.key_id),
    )


ROUTES = [follow_events]


def window_in(query: Mapping[str, str], last_event_id: str | None) -> tuple[str | None, Bound | None]:
    """The id after which a stream begins, None for the present, and its bound, None if it has no end.

    Raises Malformed and BadValue.
    """
    since, until = (_instant_in(query, name) for name in ("since", "until"))
    since_id, until_id = (_id_in(query, name) for name in ("since_id", "until_id"))
    # What a reader says when it comes back: it has read on since its query was written.
    resumed = _id_in({LAST_EVENT_ID: last_event_id}, LAST_EVENT_ID) if last_event_id else None
    _refuse_both(since=since, since_id=since_id)
    _refuse_both(since=since, last_event_id=resumed)
    _refuse_both(until=until, until_id=until_id)
    after = since_id if resumed is None else resumed
    _refuse_alone(until=until, since=since)
    _refuse_alone(until_id=until_id, since_id=after)
    if since is not None:
        # Up to the last id of the millisecond before.
        after = ulid.text_of(max(0, ulid.first_of(since) - 1))
    if until is not None:
        return after, Bound(last=ulid.text_of(ulid.last_of(until)), ends_at=until)
    return after, None if until_id is None else Bound(last=until_id)


def _instant_in(query: Mapping[str, str], name: str) -> datetime | None:
    """An instant, or a day: its first moment in UTC."""
    text = query.get(name)
    if text is None or not DAY.fullmatch(text):
        return None if text is None else instant_in(text, name)
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError as error:
        raise Malformed(name, "invalid value") from error


def _id_in(given: Mapping[str, str | None], name: str) -> str | None:
    text = given.get(name)
    if text is None:
        return None
    number = ulid.number_in(text.upper())
    if number is None:
        raise Malformed(name, "invalid value")
    return ulid.text_of(number)


def _refuse_both(**given: object) -> None:
    if all(value is not None for value in given.values()):
        raise BadValue(f"{' and '.join(given)} cannot be used together")


def _refuse_alone(**given: object) -> None:
    """The first needs the second."""
    (name, value), (needed, other) = given.items()
    if value is not None and other is None:
        raise BadValue(f"{needed} is required if {name} is given")


def _frames(front: FrontDesk, caller: Caller) -> Callable[[str, str], list[Frame]]:
    def frames(after: str, upto: str) -> list[Frame]:
        front.door.recheck(caller.key_id)
        found = front.desk.db.read(
            lambda tx: feed.between(tx, caller.tenant_id, after=after, upto=upto, limit=EVENTS_AT_ONCE)
        )
        return [Frame(event.id, frame(event)) for event in found]

    return frames


def frame(event: Event) -> bytes:
    shown = {
        "event_id": event.id,
        "event_type": event_type(event),
        "at": instant_text(event.at),
        "payload": payload(event),
    }
    # In ASCII, for readers that take other characters for ends of lines.
    data = json.dumps(shown, separators=(",", ":"))
    return f"id: {event.id}\nevent: {shown['event_type']}\ndata: {data}\n\n".encode("ascii")


def event_type(event: Event) -> str:
    if isinstance(event, StrategyEvent):
        return "portfolio.status_changed"
    return "run.created" if event.run.state is RunState.QUEUED else "run.status_changed"


def payload(event: Event) -> dict[str, Any]:
    return _run_payload(event) if isinstance(event, RunEvent) else _portfolio_payload(event)


def _run_payload(event: RunEvent) -> dict[str, Any]:
    run = wire.run_out(event.run, targets=event.targets, orders=(), skips=())
    # This stream does not tell a run that was cancelled on its way from one that had not begun.
    run.status = "CANCELED" if event.run.state is RunState.CANCELED else run.status
    shown = msgspec.to_builtins(run)
    return {name: value for name, value in shown.items() if name not in ORDER_LISTS}


def _portfolio_payload(event: StrategyEvent) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(wire.portfolio_out(event.strategy))
    conditions = [
        {name: value for name, value in condition.items() if value is not None}
        for condition in shown["rebalance_conditions"]
    ]
    return {**shown, "rebalance_conditions": conditions}
