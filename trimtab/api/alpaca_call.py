"""One operation of this wire: who may, what it takes and gives, how it can be refused; and how it is
served.

Every route goes the same way: key and scope, the ids in the path, then query or body, then the act. The
same table that serves is what openapi.json shows, so that no route can be missing from it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, assert_never

import msgspec
from litestar import Response, route
from litestar.handlers import HTTPRouteHandler

from trimtab.api.alpaca_once import HEADER, Keep, Shown, answer_once, new_id_of
from trimtab.api.alpaca_shapes import Named, Required, Shape, id_in
from trimtab.api.auth import Caller, ScopeMissing
from trimtab.api.body import Object, is_storable
from trimtab.api.front import AnyRequest, Front, FrontDesk
from trimtab.brokers.paper import PaperBroker
from trimtab.core.errors import NotFound
from trimtab.engine.desk import Desk

READ = "portfolios:read"
WRITE = "portfolios:write"
WITHDRAW = "portfolios:withdraw"
# Amounts are strings; where the vendor writes numbers, they are decimals here.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
WRITE_STRATEGIES = "strategies:write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read: its tenant, what its path names, and what its query shapes made of its query.

    `paper` is the paper broker, where this is the face of one. `new_id` makes the id of what a request
    makes: the same one again if it is asked again with the same Idempotency-Key, without which it is not
    `is_repeatable`.
    """

    desk: Desk
    tenant_id: str
    scopes: frozenset[str]
    names: Mapping[str, str]
    query: Mapping[str, Any]
    paper: PaperBroker | None
    is_repeatable: bool
    new_id: Callable[[], str]

    @property
    def id(self) -> str:
        """The only thing that the path names, or the last."""
        return list(self.names.values())[-1]

    @property
    def account_id(self) -> str:
        return self.names["account_id"]

    def require(self, scope: str) -> None:
        """Raise ScopeMissing if the caller may not do what its body asks for."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)

    @property
    def market(self) -> PaperBroker:
        assert self.paper is not None, "only the paper broker's face serves what asks for its market"
        return self.paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` as OpenAPI writes it; what it names is an id if it is called one, else any text. `refuses` are
    examples of every way in which its act says no: what each is called and told is looked up where it is
    answered.
    """

    path: str
    scope: str
    summary: str
    refuses: tuple[Exception, ...] = ()

    @property
    def names(self) -> list[str]:
        """What stands in braces in its path."""
        return re.findall(r"\{(\w+)\}", self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Operation):
    """A GET. It is answered with what it `gives`, or a bare list of that; it `needs` some of its query."""

    act: Callable[[Call], Shown]
    gives: type[msgspec.Struct]
    is_list: bool = False
    query: Mapping[str, Shape] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    method: Literal["GET"] = "GET"


class Acting(Protocol):
    """Does what a body asks for, and gives its answer to `keep` in the transaction of its effect."""

    __name__: str

    def __call__(self, call: Call, given: Any, /, *, keep: Keep) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Operation):
    """A POST or PATCH: it acts once per Idempotency-Key, and keeps its answer in the act's transaction.
    Without `takes` its body is not looked at.
    """

    method: Literal["POST", "PATCH"]
    act: Acting
    takes: Named | None
    gives: type[msgspec.Struct]
    is_list: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal(Operation):
    """A DELETE, which is answered with nothing."""

    act: Callable[[Call], object]
    method: Literal["DELETE"] = "DELETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing(Operation):
    """A DELETE that is answered with what it began, under a `status` of its own."""

    act: Callable[[Call], Shown]
    gives: type[msgspec.Struct]
    status: int
    is_list: bool = False
    query: Mapping[str, Shape] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    method: Literal["DELETE"] = "DELETE"


AnyOperation = Question | Command | Removal | Closing


def served(operation: AnyOperation) -> HTTPRouteHandler:
    """The route of one operation."""
    match operation:
        case Question():
            act, status = _answering(operation), 200
        case Closing(status=told):
            act, status = _answering(operation), told
        case Command():
            act, status = _commanded(operation), 200
        case Removal():
            act, status = _removing(operation), 204
        case _:
            assert_never(operation)
    path = re.sub(r"\{(\w+)\}", r"{\1:str}", operation.path)
    return route(path, http_method=operation.method, status_code=status, sync_to_thread=True)(act)


def _answering(operation: Question | Closing) -> Callable[..., object]:
    def answer(front: Front, request: AnyRequest) -> Response[bytes]:
        shown = operation.act(_call(front, operation, request, caller=front.admit(request, operation.scope)))
        return Response(_ENCODER.encode(shown), media_type="application/json")

    return answer


def _commanded(operation: Command) -> Callable[..., object]:
    def answer(front: Front, request: AnyRequest, body: bytes) -> Response[bytes]:
        caller = front.admit(request, operation.scope)
        call = _call(front, operation, request, caller=caller)

        def read() -> Object:
            return {} if operation.takes is None else front.body(request, body)

        def act(sent: Object, keep: Keep) -> None:
            given = None if operation.takes is None else operation.takes.read(sent)
            operation.act(call, given, keep=keep)

        return answer_once(front, request, read, caller=caller, act=act)

    return answer


def _removing(operation: Removal) -> Callable[..., object]:
    def remove(front: Front, request: AnyRequest) -> None:
        operation.act(_call(front, operation, request, caller=front.admit(request, operation.scope)))

    return remove


def _call(front: FrontDesk, operation: AnyOperation, request: AnyRequest, *, caller: Caller) -> Call:
    names = {name: _named(request.path_params[name], name) for name in operation.names}
    query = {}
    if isinstance(operation, Question | Closing):
        for name, shape in operation.query.items():
            # One that is there more than once is a list, for those that take one.
            sent = ",".join(request.query_params.getall(name, []))
            if not sent and name in operation.needs:
                raise Required(name)
            query[name] = shape.read(sent, name) if sent else None
    return Call(
        desk=front.desk,
        tenant_id=caller.tenant_id,
        scopes=caller.scopes,
        names=names,
        query=query,
        paper=front.paper,
        is_repeatable=HEADER in request.headers,
        new_id=lambda: new_id_of(front, request, caller),
    )


def _named(text: str, name: str) -> str:
    """What a path names. Raises MalformedId for a bad id, NotFound for what nothing can be called."""
    if name.endswith("_id"):
        return id_in(text, name)
    if not is_storable(text):
        raise NotFound(name, text)
    return text
