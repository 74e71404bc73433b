"""Trade events of the paper broker, as the vendor streams them: `GET /v2/events/trades`, and its older twin
under `/v1`, which the official client asks.

They are read from the broker's ledger, which never changes: whoever comes back with the last id it has
seen misses nothing and sees nothing twice, unless that is the fault that was asked for.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid5

import msgspec
from litestar import Litestar, get
from litestar.types import ASGIApp

from trimtab.api.alpaca_call import READ
from trimtab.api.alpaca_errors import error_response
from trimtab.api.alpaca_events import LAST_EVENT_ID, Listening, window_in
from trimtab.api.auth import Caller
from trimtab.api.body import instant_text
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.api.paper_trading_wire import order_out
from trimtab.api.stream import EVENTS_AT_ONCE, Frame, Look, Stream, Streams
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_events import TradeEvent, head, read_events
from trimtab.brokers.paper_ledger import EntryKind
from trimtab.brokers.paper_orders import ORDER_NAMESPACE
from trimtab.core.money import plain
from trimtab.core.run import OrderState
from trimtab.engine.desk import Desk

TRADES = ("/v2/events/trades", "/v1/events/trades")
WORDS = {
    EntryKind.ACCEPTED: "new",
    EntryKind.CANCELED: "canceled",
    EntryKind.REJECTED: "rejected",
}


def trade_streams(desk: Desk, paper: PaperBroker) -> Streams:
    def look() -> Look:
        """What is due is executed before the look; the clock first: what comes later comes after it."""
        now = desk.clock()
        return Look(head=paper.ask(head), now=now)

    return Streams(look, desk.bell)


def trades_application(front: FrontDesk, streams: Streams) -> Litestar:
    return sub_application(front, list(ROUTES), error_response, streams=streams)


def follow_trades(front: Front, streams: Listening, request: AnyRequest) -> ASGIApp:
    caller = front.admit(request, READ)
    after, bound = window_in(_ulids_by_any_name(request.query_params), request.headers.get(LAST_EVENT_ID))
    # During an outage nothing is begun either.
    present = streams.look().head
    return Stream(
        streams=streams,
        key_id=caller.key_id,
        after=present if after is None else after,
        bound=bound,
        frames=_frames(front, caller),
        recheck=lambda: front.door.recheck(caller.key_id),
    )


# One for each path: Litestar wraps the function of a handler with two of them twice.
ROUTES = [get(path, sync_to_thread=True)(follow_trades) for path in TRADES]


def _ulids_by_any_name(query: Mapping[str, str]) -> Mapping[str, str]:
    """The older twin calls ULIDs so, because its ids were numbers once."""
    renamed = {"since_ulid": "since_id", "until_ulid": "until_id"}
    return {renamed.get(name, name): value for name, value in query.items()}


def _frames(front: FrontDesk, caller: Caller) -> Callable[[str, str], list[Frame]]:
    paper = front.paper
    assert paper is not None, "only the paper broker's face serves its events"

    def frames(after: str, upto: str) -> list[Frame]:
        front.door.recheck(caller.key_id)
        found = paper.ask(
            lambda tx: read_events(tx, caller.tenant_id, after=after, upto=upto, limit=EVENTS_AT_ONCE)
        )
        ids = {s: asset.asset_id for s, asset in paper.assets({each.order.symbol for each in found}).items()}
        return [Frame(each.id, frame(each, ids[each.order.symbol]) * each.times) for each in found]

    return frames


def frame(event: TradeEvent, asset_id: str) -> bytes:
    # In ASCII, for readers that take other characters for ends of lines.
    data = json.dumps(payload(event, asset_id), separators=(",", ":"))
    return f"id: {event.id}\ndata: {data}\n\n".encode("ascii")


def payload(event: TradeEvent, asset_id: str) -> dict[str, Any]:
    entry = event.entry
    at = instant_text(event.at)
    shown: dict[str, Any] = {
        "event_id": event.id,
        "event": event_word(event),
        "at": at,
        "timestamp": at,
        "account_id": entry.account_id,
        # Every event has one at the vendor; that of an execution is unique among them.
        "execution_id": str(uuid5(ORDER_NAMESPACE, entry.execution_id or event.id)),
        "order": msgspec.to_builtins(order_out(event.order, asset_id)),
    }
    if entry.kind is EntryKind.EXECUTED:
        for name, value in (
            ("qty", entry.quantity),
            ("price", entry.price),
            ("position_qty", entry.position),
        ):
            shown[name] = None if value is None else plain(value)
    return shown


def event_word(event: TradeEvent) -> str:
    if event.entry.kind is EntryKind.EXECUTED:
        return "fill" if event.order.state is OrderState.FILLED else "partial_fill"
    return WORDS[event.entry.kind]
