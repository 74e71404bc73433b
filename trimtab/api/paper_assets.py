"""What the paper market sells and when it is open, on the vendor's wire.

The market itself trades at any hour; clock and calendar are those of the exchange whose sessions this
installation keeps.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from trimtab.api import paper_trading_wire as wire
from trimtab.api.alpaca_call import READ, Call, Question
from trimtab.api.alpaca_queries import OneOf, Words
from trimtab.api.body import instant_text, uuid_of
from trimtab.api.paper_values import Day, Listed
from trimtab.brokers.paper_assets import Listing, read_all_listings
from trimtab.core.errors import BrokerDown, Malformed, NotFound
from trimtab.core.sessions import Session, Sessions

ASSETS = "/v1/assets"


def list_assets(call: Call) -> Sequence[wire.BrokerAssetOut]:
    """The market sells US equities only, on no exchange that it could name."""
    query = call.query
    shown = [wire.asset_out(each) for each in _listings(call)]
    return [
        each
        for each in shown
        if query["status"] in {None, each.status}
        and query["asset_class"] in {None, each.asset_class}
        and not query["exchange"]
        and (query["attributes"] is None or query["attributes"] & set(each.attributes))
    ]


def show_asset(call: Call) -> wire.BrokerAssetOut:
    name = call.names["symbol"]
    named = {name, uuid_of(name)}
    found = [each for each in _listings(call) if named & {each.asset.symbol, each.asset.asset_id}]
    if not found:
        raise NotFound("asset", name)
    return wire.asset_out(found[0])


def _listings(call: Call) -> Sequence[Listing]:
    return list(call.market.ask(read_all_listings).values())


def show_clock(call: Call) -> wire.MarketClockOut:
    sessions, now = _sessions(call), call.desk.clock()
    session = sessions.current(now)
    # Its last instant belongs to a session, and is when it closes.
    is_open = session is not None and now < session.closes_at
    return wire.MarketClockOut(
        timestamp=instant_text(now),
        is_open=is_open,
        next_open=instant_text(sessions.next_open(now)),
        next_close=instant_text(sessions.first_ending_after(now).closes_at),
    )


def list_sessions(call: Call) -> Sequence[wire.SessionOut]:
    sessions = _sessions(call)
    first, last = call.query["start"] or date.min, call.query["end"] or date.max
    return [
        wire.session_out(
            session, [at.astimezone(sessions.zone) for at in (session.opens_at, session.closes_at)]
        )
        for session in _known(sessions)
        if first <= session.on <= last
    ]


def _known(sessions: Sessions) -> Iterator[Session]:
    for on, opens_at, closes_at in zip(sessions.days, sessions.opens, sessions.closes, strict=True):
        yield Session(on=on, opens_at=opens_at, closes_at=closes_at)


def _sessions(call: Call) -> Sessions:
    return call.desk.calendars[call.desk.calendar]


OPERATIONS = (
    Question(
        path=ASSETS,
        scope=READ,
        summary="List what the market sells",
        act=list_assets,
        gives=wire.BrokerAssetOut,
        is_list=True,
        query={
            "status": OneOf({"active": "active", "inactive": "inactive"}),
            "asset_class": OneOf({"us_equity": "us_equity", "crypto": "crypto"}),
            "exchange": Words(),
            "attributes": Listed(),
        },
        refuses=(Malformed("status", "invalid value"), BrokerDown()),
    ),
    Question(
        path=ASSETS + "/{symbol}",
        scope=READ,
        summary="Show an asset by its symbol or its id",
        act=show_asset,
        gives=wire.BrokerAssetOut,
        refuses=(NotFound("asset", ""), BrokerDown()),
    ),
    Question(
        path="/v1/clock",
        scope=READ,
        summary="Whether the exchange is open, and when it opens and closes next",
        act=show_clock,
        gives=wire.MarketClockOut,
    ),
    Question(
        path="/v1/calendar",
        scope=READ,
        summary="List trading days with their hours in the exchange's own time",
        act=list_sessions,
        gives=wire.SessionOut,
        is_list=True,
        query={
            "start": Day(),
            "end": Day(),
            "date_type": OneOf({"TRADING": "TRADING", "SETTLEMENT": "SETTLEMENT"}),
        },
        refuses=(Malformed("start", "invalid value"),),
    ),
)
