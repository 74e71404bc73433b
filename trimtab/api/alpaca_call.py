"""One operation of this wire: who may, what it takes and gives, how it can be refused; and how it is
served.

Every route goes the same way: key and scope, the id in the path, then query or body, then the act. The
same table that serves is what openapi.json shows, so that no route can be missing from it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, assert_never

import msgspec
from litestar import Response, route
from litestar.handlers import HTTPRouteHandler

from trimtab.api.alpaca_once import Keep, answer_once
from trimtab.api.alpaca_shapes import Named, Shape, id_in
from trimtab.api.auth import Caller
from trimtab.api.body import Object
from trimtab.api.front import AnyRequest, Front, FrontDesk
from trimtab.engine.desk import Desk

READ = "portfolios:read"
WRITE = "portfolios:write"
WRITE_STRATEGIES = "strategies:write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read: its tenant, the id in its path, and what its query shapes made of its query."""

    desk: Desk
    tenant_id: str
    id: str
    query: Mapping[str, Any]


Shown = msgspec.Struct | Sequence[msgspec.Struct]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` as OpenAPI writes it, with one id at most. `refuses` are examples of every way in which its
    act says no: what each is called and told is looked up where it is answered.
    """

    path: str
    scope: str
    summary: str
    refuses: tuple[Exception, ...] = ()

    @property
    def id_name(self) -> str | None:
        found = re.search(r"\{(\w+)\}", self.path)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Operation):
    """A GET. It is answered with what it `gives`, or a bare list of that."""

    act: Callable[[Call], Shown]
    gives: type[msgspec.Struct]
    is_list: bool = False
    query: Mapping[str, Shape] = field(default_factory=dict)
    method: Literal["GET"] = "GET"


class Acting(Protocol):
    """Does what a body asks for, and gives its answer to `keep` in the transaction of its effect."""

    __name__: str

    def __call__(self, call: Call, given: Any, /, *, keep: Keep) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Operation):
    """A POST or PATCH: it acts once per Idempotency-Key, and keeps its answer in the act's transaction."""

    method: Literal["POST", "PATCH"]
    act: Acting
    takes: Named
    gives: type[msgspec.Struct]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(Operation):
    """A DELETE, which is answered with nothing."""

    act: Callable[[Call], object]
    method: Literal["DELETE"] = "DELETE"


AnyOperation = Question | Command | Removal


def served(operation: AnyOperation) -> HTTPRouteHandler:
    """The route of one operation."""
    match operation:
        case Question():
            act, status = _answering(operation), 200
        case Command():
            act, status = _commanded(operation), 200
        case Removal():
            act, status = _removing(operation), 204
        case _:
            assert_never(operation)
    path = re.sub(r"\{(\w+)\}", r"{\1:str}", operation.path)
    return route(path, http_method=operation.method, status_code=status, sync_to_thread=True)(act)


def _answering(operation: Question) -> Callable[..., object]:
    def answer(front: Front, request: AnyRequest) -> Response[bytes]:
        shown = operation.act(_call(front, operation, request, caller=front.admit(request, operation.scope)))
        return Response(msgspec.json.encode(shown), media_type="application/json")

    return answer


def _commanded(operation: Command) -> Callable[..., object]:
    def answer(front: Front, request: AnyRequest, body: bytes) -> Response[bytes]:
        caller = front.admit(request, operation.scope)
        call = _call(front, operation, request, caller=caller)

        def act(sent: Object, keep: Keep) -> None:
            operation.act(call, operation.takes.read(sent), keep=keep)

        return answer_once(front, request, body, caller=caller, act=act)

    return answer


def _removing(operation: Removal) -> Callable[..., object]:
    def remove(front: Front, request: AnyRequest) -> None:
        operation.act(_call(front, operation, request, caller=front.admit(request, operation.scope)))

    return remove


def _call(front: FrontDesk, operation: AnyOperation, request: AnyRequest, *, caller: Caller) -> Call:
    name = operation.id_name
    query = {}
    id_ = "" if name is None else id_in(request.path_params[name], name)
    if isinstance(operation, Question):
        for name, shape in operation.query.items():
            sent = request.query_params.get(name)
            query[name] = shape.read(sent, name) if sent else None
    return Call(desk=front.desk, tenant_id=caller.tenant_id, id=id_, query=query)
