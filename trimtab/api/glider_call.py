"""One operation of Glider's wire: what it takes, who may, what it gives; and how it is served.

Every route goes the same way: key and scope, path, query, body, act, envelope. So no route can forget
its scope, and the same table that serves is what openapi.json shows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from litestar import Response, route
from litestar.handlers import HTTPRouteHandler

from trimtab.api.auth import Caller
from trimtab.api.body import json_object
from trimtab.api.front import AnyRequest, Front, FrontDesk
from trimtab.api.glider_errors import Invalid, Missing
from trimtab.api.glider_ids import Names, enrollment_id_in, uuid_of_ulid
from trimtab.api.shapes import Query, Record
from trimtab.core.enrollment import Enrollment
from trimtab.core.errors import NotFound
from trimtab.database import Tx
from trimtab.store import enrollments

_PATH_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read; `path`, `query` and `body` hold what their shapes made of them, `sent` the body
    as it came.
    """

    front: FrontDesk
    tenant_id: str
    caller: Caller | None
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    sent: Mapping[str, object]

    @property
    def names(self) -> Names:
        return Names(self.front.desk.broker.traits.name)

    @property
    def enrollment_id(self) -> str:
        """The enrollment that the path names. Raises Missing for what cannot be one."""
        given = self.path["portfolioId"]
        found = enrollment_id_in(given)
        if found is None:
            raise Missing("enrollment", given)
        return found

    def enrollment(self, tx: Tx) -> Enrollment:
        """The caller's enrollment that the path names. Raises NotFound."""
        found = enrollments.one(tx, self.tenant_id, self.enrollment_id)
        if found is None:
            raise NotFound("enrollment", self.enrollment_id)
        return found

    @property
    def strategy_id(self) -> str:
        given = self.path["strategyId"]
        found = uuid_of_ulid(given)
        if found is None:
            raise Missing("strategy", given)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOf:
    """A page of a named collection, and the cursor of the next one."""

    collection: str
    items: Sequence[msgspec.Struct]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer that was stored as it was first given."""

    status: int
    text: str


Result = msgspec.Struct | PageOf | Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` as OpenAPI writes it; `scope` None: any key, and no key at all if it is `public`. Without
    `takes`, a body is not even read. `gives` is the shape of `data`, or of one item of `collection`.
    """

    method: Literal["GET", "POST", "PUT", "PATCH"]
    path: str
    scope: str | None
    summary: str
    act: Callable[[Call], Result]
    gives: type[msgspec.Struct]
    collection: str | None = None
    status: int = 200
    takes: Record | None = None
    query: Query = field(default_factory=Query)
    public: bool = False
    # Where the vendor documents no 400: an id that cannot exist is one that does not.
    any_id: bool = False

    @property
    def name(self) -> str:
        return self.act.__name__


def served(operation: Operation) -> HTTPRouteHandler:
    """The route of one operation."""

    def without_body(front: Front, request: AnyRequest) -> Response[bytes]:
        return _serve(front, operation, request, body=None)

    def with_body(front: Front, request: AnyRequest, body: bytes) -> Response[bytes]:
        return _serve(front, operation, request, body=body)

    act = without_body if operation.takes is None else with_body
    path = re.sub(r"\{(\w+)\}", r"{\1:str}", operation.path)
    return route(path, http_method=operation.method, status_code=operation.status, sync_to_thread=True)(act)


def _serve(
    front: FrontDesk, operation: Operation, request: AnyRequest, *, body: bytes | None
) -> Response[bytes]:
    caller = None if operation.public else front.admit(request, operation.scope)
    problems: list[str] = []
    path = {name: str(value) for name, value in request.path_params.items()}
    if not operation.any_id:
        problems += [f"{name}: is not an id" for name, value in path.items() if not _PATH_ID.fullmatch(value)]
    query = operation.query.read(request.query_params, problems)
    sent: dict[str, object] = {}
    given: dict[str, Any] = {}
    if operation.takes is not None and body is not None:
        sent = json_object(body, request.headers.get("content-type"))
        given = operation.takes.read(sent, "", problems=problems)
    if problems:
        raise Invalid(problems)
    call = Call(
        front=front,
        tenant_id="" if caller is None else caller.tenant_id,
        caller=caller,
        path=path,
        query=query,
        body=given,
        sent=sent,
    )
    return _answer(operation, operation.act(call))


def _answer(operation: Operation, result: Result) -> Response[bytes]:
    if isinstance(result, Raw):
        return _json(result.text.encode(), result.status)
    return _json(success(result), operation.status)


def _json(text: bytes, status: int) -> Response[bytes]:
    return Response(text, status_code=status, media_type="application/json")


def success(result: msgspec.Struct | PageOf) -> bytes:
    """The envelope of what went well."""
    if isinstance(result, PageOf):
        data = {result.collection: result.items}
        return msgspec.json.encode({"success": True, "data": data, "nextCursor": result.next_cursor})
    return msgspec.json.encode({"success": True, "data": result})
