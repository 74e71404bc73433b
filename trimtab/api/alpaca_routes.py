"""Alpaca's Rebalancing API as one application: its operations, its failures, and its own description.

What belongs to another tenant answers exactly like what is not there.
"""

from importlib.metadata import version

import msgspec
from litestar import Litestar, Response, get

from trimtab.api import alpaca_evaluations, alpaca_portfolios, alpaca_runs, alpaca_subscriptions
from trimtab.api.alpaca_call import served
from trimtab.api.alpaca_errors import error_response
from trimtab.api.alpaca_openapi import document
from trimtab.api.front import FrontDesk, sub_application

OPERATIONS = (
    *alpaca_portfolios.OPERATIONS,
    *alpaca_subscriptions.OPERATIONS,
    *alpaca_evaluations.OPERATIONS,
    *alpaca_runs.OPERATIONS,
)


def alpaca_application(front: FrontDesk) -> Litestar:
    return sub_application(front, list(ROUTES), error_response)


@get("/v1/openapi.json", sync_to_thread=False)
def openapi_json() -> Response[bytes]:
    """What this application can do, for people and for programs that write clients."""
    return Response(_DOCUMENT, media_type="application/json")


_DOCUMENT = msgspec.json.encode(document(OPERATIONS, version("trimtab")))
ROUTES = (*(served(operation) for operation in OPERATIONS), openapi_json)
