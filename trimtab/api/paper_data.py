"""The last prices of the paper market in the shapes of the vendor's data API, for whoever points its data
address here. Outer routes: they lie inside the other dialect's prefix.

A price here is the one that the next order trades at, so it is as young as the clock.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from litestar import Litestar, Response, get

from trimtab.api.alpaca_call import READ
from trimtab.api.alpaca_errors import error_response
from trimtab.api.alpaca_shapes import Required
from trimtab.api.body import instant_text, is_storable
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.core.errors import Malformed, NotFound

STOCKS = "/v2/stocks"
# Prices are JSON numbers there.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def data_application(front: FrontDesk) -> Litestar:
    return sub_application(front, list(ROUTES), error_response)


@get(f"{STOCKS}/trades/latest", sync_to_thread=True)
def latest_trades(front: Front, request: AnyRequest) -> Response[bytes]:
    now, prices = _asked(front, request)
    return _answer({"trades": {symbol: _trade(price, now) for symbol, price in prices.items()}})


@get(f"{STOCKS}/snapshots", sync_to_thread=True)
def snapshots(front: Front, request: AnyRequest) -> Response[bytes]:
    now, prices = _asked(front, request)
    return _answer({symbol: {"latestTrade": _trade(price, now)} for symbol, price in prices.items()})


@get(f"{STOCKS}/{{symbol:str}}/trades/latest", sync_to_thread=True)
def latest_trade(front: Front, request: AnyRequest) -> Response[bytes]:
    front.admit(request, READ)
    symbol = str(request.path_params["symbol"])
    now, prices = _last(front, [symbol])
    if symbol not in prices:
        raise NotFound("trade", symbol)
    return _answer({"symbol": symbol, "trade": _trade(prices[symbol], now)})


ROUTES = [latest_trades, snapshots, latest_trade]


def _asked(front: FrontDesk, request: AnyRequest) -> tuple[datetime, Mapping[str, Decimal]]:
    """The prices of the symbols in the query; those without one are left out, as at the vendor."""
    front.admit(request, READ)
    symbols = request.query_params.get("symbols")
    if not symbols:
        raise Required("symbols")
    return _last(front, symbols.split(","))


def _last(front: FrontDesk, symbols: list[str]) -> tuple[datetime, Mapping[str, Decimal]]:
    assert front.paper is not None, "only the paper broker's face serves its prices"
    if not all(map(is_storable, symbols)):
        raise Malformed("symbols", "invalid value")
    return front.desk.clock(), front.paper.prices(symbols)


def _trade(price: Decimal, now: datetime) -> dict[str, Any]:
    return {"t": instant_text(now), "x": "V", "p": price, "s": 1, "c": ["@"], "i": 1, "z": "A"}


def _answer(shown: object) -> Response[bytes]:
    return Response(_ENCODER.encode(shown), media_type="application/json")
