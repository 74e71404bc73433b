"""Alpaca's Broker API as one application: its operations, its failures, and its own description.

What belongs to another tenant answers exactly like what is not there.
"""

from collections.abc import Sequence
from importlib.metadata import version

import msgspec
from litestar import Litestar, Response, get

from trimtab.api import (
    alpaca_evaluations,
    alpaca_portfolios,
    alpaca_runs,
    alpaca_subscriptions,
    paper_accounts,
    paper_assets,
    paper_funding,
    paper_trading,
)
from trimtab.api.alpaca_call import AnyOperation, served
from trimtab.api.alpaca_errors import error_response
from trimtab.api.alpaca_openapi import document
from trimtab.api.alpaca_requests import BODIES
from trimtab.api.alpaca_shapes import Named
from trimtab.api.front import FrontDesk, sub_application
from trimtab.api.paper_requests import PAPER_BODIES

OPERATIONS = (
    *alpaca_portfolios.OPERATIONS,
    *alpaca_subscriptions.OPERATIONS,
    *alpaca_evaluations.OPERATIONS,
    *alpaca_runs.OPERATIONS,
)

# What the paper broker serves beside them, as the vendor does.
PAPER_OPERATIONS = (
    *paper_accounts.OPERATIONS,
    *paper_funding.OPERATIONS,
    *paper_trading.OPERATIONS,
    *paper_assets.OPERATIONS,
)


def alpaca_application(front: FrontDesk) -> Litestar:
    """The rebalancing API, and the broker's own where that is the paper one."""
    if front.paper is None:
        return _application(front, OPERATIONS, BODIES)
    return _application(front, (*OPERATIONS, *PAPER_OPERATIONS), (*BODIES, *PAPER_BODIES))


def paper_application(front: FrontDesk) -> Litestar:
    """The paper broker alone."""
    return _application(front, PAPER_OPERATIONS, PAPER_BODIES)


def _application(front: FrontDesk, operations: Sequence[AnyOperation], bodies: Sequence[Named]) -> Litestar:
    shown = msgspec.json.encode(document(operations, bodies, version=version("trimtab")))

    @get("/v1/openapi.json", sync_to_thread=False)
    def openapi_json() -> Response[bytes]:
        """What this application can do, for people and for programs that write clients."""
        return Response(shown, media_type="application/json")

    return sub_application(front, [*map(served, operations), openapi_json], error_response)
