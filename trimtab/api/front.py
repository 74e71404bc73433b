"""What every route works with, and how each response tells the caller's remaining allowance."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from litestar import Litestar, Request, Router, route
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import SkipValidation
from litestar.response import Response
from litestar.types import BeforeMessageSendHookHandler, Message, Scope

from trimtab.api.auth import Allowance, Caller, Credentials, Door, FirmDoor, credentials
from trimtab.api.body import Object, json_object
from trimtab.api.underway import Underway
from trimtab.brokers.paper import PaperBroker
from trimtab.engine.desk import Desk

AnyRequest = Request[object, object, State]
BODY_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDesk:
    """The desk and the door, and where a dialect's callers have their key; routes get everything else
    from the request. `paper` is there where the broker is the paper one.
    """

    desk: Desk
    door: Door | FirmDoor
    paper: PaperBroker | None = None
    key_in: Callable[[Mapping[str, str]], Credentials] = credentials
    underway: Underway = field(default_factory=Underway)

    def admit(self, request: AnyRequest, scope: str | None) -> Caller:
        """The caller of this request, if the key is good and has the scope."""
        return self.door.admit(self.key_in(request.headers), request.scope["state"], scope=scope)

    def body(self, request: AnyRequest, body: bytes) -> Object:
        return json_object(body, request.headers.get("content-type"))


# Routes take it by name, as it is: it is not a value to be parsed.
Front = NamedDependency[SkipValidation[FrontDesk]]


def sub_application(
    front: FrontDesk,
    routes: list[HTTPRouteHandler],
    error_response: Callable[[AnyRequest, Exception], Response[dict[str, object]]],
    *,
    before_send: Sequence[BeforeMessageSendHookHandler] = (),
    **others: object,
) -> Litestar:
    """One dialect: its routes, and one way of answering every failure, unknown routes included.

    `before_send` sees each response on its way; `others` are what its routes may ask for by name beside
    the front.
    """
    given: dict[str, object] = {"front": front, **others}
    # Through a router, each path is registered once with all its methods: registered one after another,
    # Litestar wraps the earlier ones in one more thread each time, and the third no longer unwraps.
    return Litestar(
        route_handlers=[Router("/", route_handlers=[*_options(routes), *routes])],
        dependencies={name: _provide(value) for name, value in given.items()},
        exception_handlers={Exception: error_response},
        before_send=[_show_allowance, *before_send],
        request_max_body_size=BODY_MAX_BYTES,
        openapi_config=None,
        logging_config=None,
    )


def _options(routes: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """What each path answers to OPTIONS. Litestar's own answer names one method of several."""
    methods: dict[str, set[str]] = {}
    for each in routes:
        for path in each.paths:
            methods.setdefault(path, {"OPTIONS"}).update(each.http_methods)
    return [_allowing(path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _allowing(path: str, allowed: str) -> HTTPRouteHandler:
    def options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return route(path, http_method="OPTIONS", status_code=204, sync_to_thread=False)(options)


def _provide(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


async def _show_allowance(message: Message, scope: Scope) -> None:
    """Add the X-RateLimit headers once the caller is known."""
    allowance = scope["state"].get("allowance")
    if message["type"] == "http.response.start" and isinstance(allowance, Allowance):
        headers = MutableScopeHeaders.from_message(message)
        headers["X-RateLimit-Limit"] = str(allowance.limit)
        headers["X-RateLimit-Remaining"] = str(max(0, allowance.remaining))
        headers["X-RateLimit-Reset"] = str(allowance.reset_at_s)
