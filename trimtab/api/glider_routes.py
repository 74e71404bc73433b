"""Glider's V2 API as one application: its operations, its failures, and the traces every answer carries."""

import re
from importlib.metadata import version

import msgspec
from litestar import Litestar, Response, get
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.types import Message, Scope

from trimtab.api import glider_enrolment, glider_meta, glider_portfolios, glider_strategies
from trimtab.api.auth import Door, credentials_in_api_key
from trimtab.api.front import FrontDesk, sub_application
from trimtab.api.glider_call import served
from trimtab.api.glider_errors import error_response
from trimtab.api.glider_ids import ulid
from trimtab.api.glider_openapi import document
from trimtab.engine.desk import Desk

OPERATIONS = (
    *glider_meta.OPERATIONS,
    *glider_strategies.OPERATIONS,
    *glider_enrolment.OPERATIONS,
    *glider_portfolios.OPERATIONS,
)
_TRACE = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


def glider_application(desk: Desk, door: Door) -> Litestar:
    front = FrontDesk(desk=desk, door=door, key_in=credentials_in_api_key)

    async def show_traces(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            given = Headers.from_scope(scope).get("x-correlation-id", "")
            headers = MutableScopeHeaders.from_message(message)
            headers["X-Request-Id"] = f"req_{ulid(desk.new_id())}"
            is_good = _TRACE.fullmatch(given) is not None
            headers["X-Correlation-Id"] = given if is_good else f"corr_{ulid(desk.new_id())}"

    routes = [served(operation) for operation in OPERATIONS]
    return sub_application(front, [*routes, openapi_json], error_response, before_send=[show_traces])


@get("/v2/openapi.json", sync_to_thread=False)
def openapi_json() -> Response[bytes]:
    """What this application can do, for people and for programs that write clients."""
    return Response(_DOCUMENT, media_type="application/json")


_DOCUMENT = msgspec.json.encode(document(OPERATIONS, version("trimtab")))
