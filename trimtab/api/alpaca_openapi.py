"""openapi.json of Alpaca's dialect, made from the values that serve it: nothing is described twice.

Routes and their answers come from the table of operations, bodies and queries from the shapes that
read them, refusals from the one table of errors. What no JSON Schema can say stands in the
descriptions: that weights sum to 100, for one.
"""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from trimtab.api import alpaca_once
from trimtab.api.alpaca_call import AnyOperation, Closing, Command, Question, Removal
from trimtab.api.alpaca_errors import WHEN, IdempotencyKeyReused, told_of
from trimtab.api.alpaca_shapes import IGNORED, MalformedId, Named, Schema
from trimtab.api.auth import KeyMissing, RateLimited, ScopeMissing
from trimtab.api.body import NotJson, Undecodable
from trimtab.api.underway import StillRunning
from trimtab.core.errors import Malformed

# A name in a path: something, but neither NUL nor what divides paths.
NAME = r"^[^\u0000/]+$"
REF = "#/components/schemas/{name}"
ABOUT = """Accounts are kept at the weights of the portfolios they follow. `/v1/rebalancing` has another name,
`/v1/beta/rebalancing`, the vendor's first prefix.

Decimals are strings; in requests also JSON numbers. No number is written with an exponent, no whole one
with a point. NUL is refused in every text. Unknown query parameters are ignored, and one without a value
counts as left out. Errors have a numeric `code`, whose first three digits are the status, and a `message`
that names the field. What belongs to another tenant answers exactly like what is not there."""

SECURITY_SCHEMES: Schema = {
    "basic": {"type": "http", "scheme": "basic", "description": "Key id and secret"},
    "keyId": {"type": "apiKey", "in": "header", "name": "APCA-API-KEY-ID"},
    "keySecret": {"type": "apiKey", "in": "header", "name": "APCA-API-SECRET-KEY"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
ERROR: Schema = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "integer", "description": "Says what is wrong; begins with the status"},
        "message": {"type": "string", "minLength": 1, "description": "For people; names the field"},
        "error": {"type": "string", "description": "With status 500 only"},
    },
}
_COUNT: Schema = {"type": "integer", "minimum": 0}
ALLOWANCE: Schema = {
    "X-RateLimit-Limit": {"schema": _COUNT, "description": "Requests a minute that the key may make"},
    "X-RateLimit-Remaining": {"schema": _COUNT, "description": "Those that are left of them"},
    "X-RateLimit-Reset": {"schema": _COUNT, "description": "When there are all again, in unix seconds"},
}
REPLAYED: Schema = {
    "Idempotency-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "There if the request was sent before, and this is its first answer again",
    }
}
RETRY_AFTER: Schema = {
    "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "Seconds"}
}
# They may be answered before the caller is known.
EARLY = {HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.INTERNAL_SERVER_ERROR}
# Refusals that an Idempotency-Key brings back.
KEPT = {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}


def document(operations: Sequence[AnyOperation], bodies: Sequence[Named], *, version: str) -> Schema:
    """The whole OpenAPI 3.1 document; `bodies` are all that operations take, and what these are made of."""
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, operations)
    named = {each.name: {"title": each.name, **each.shape.schema()} for each in bodies}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trimtab, Alpaca's Broker API", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(map(_tag, operations))],
        "paths": paths,
        "components": {
            "schemas": {**_answers(operations), **named, "Ignored": IGNORED, "Error": ERROR},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _described(operation: AnyOperation, operations: Sequence[AnyOperation]) -> Schema:
    described: Schema = {
        "operationId": operation.act.__name__,
        "summary": operation.summary,
        "description": f"Scope: `{operation.scope}`",
        "tags": [_tag(operation)],
        "parameters": list(_parameters(operation)),
        "responses": {**_answered(operation, operations), **_refused(operation)},
        # OpenAPI 3.1 lets every scheme name what is needed of the caller.
        "security": [
            {"basic": [operation.scope]},
            {"keyId": [operation.scope], "keySecret": [operation.scope]},
            {"apiKey": [operation.scope]},
        ],
    }
    if isinstance(operation, Command) and operation.takes is not None:
        content = _json(
            operation.takes.schema(),
            {f"{n}": {"value": each} for n, each in enumerate(operation.takes.examples, 1)},
        )
        described["requestBody"] = {"required": True, "content": content}
    return described


def _tag(operation: AnyOperation) -> str:
    parts = [part for part in operation.path.split("/")[2:] if not part.startswith("{")]
    return parts[1] if parts[0] == "rebalancing" else parts[0]


def _parameters(operation: AnyOperation) -> Iterator[Schema]:
    for name in operation.names:
        schema = {"type": "string"} | ({"format": "uuid"} if name.endswith("_id") else {"pattern": NAME})
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if isinstance(operation, Question | Closing):
        for name, shape in operation.query.items():
            how = {"required": True} if name in operation.needs else {"allowEmptyValue": True}
            yield {"name": name, "in": "query", **how, "schema": shape.schema()}
    if isinstance(operation, Command):
        yield {
            "name": alpaca_once.HEADER,
            "in": "header",
            "description": "With it the request may be sent again after a lost answer: it acts once",
            "schema": {"type": "string", "maxLength": 255, "pattern": alpaca_once.KEY.pattern},
        }


def _answered(operation: AnyOperation, operations: Sequence[AnyOperation]) -> Schema:
    headers = _required(ALLOWANCE)
    if isinstance(operation, Removal):
        return {"204": {"description": "Done", "headers": headers}}
    if isinstance(operation, Question):
        return {"200": {"description": "Shown", "headers": headers, "content": _given(operation)}}
    if isinstance(operation, Closing):
        shown = {"description": "Begun", "headers": headers, "content": _given(operation)}
        return {str(operation.status): shown}
    answered = {"description": "Done", "headers": headers | REPLAYED, "content": _given(operation)}
    if not operation.is_list:
        answered["links"] = dict(_links(operation, operations))
    return {"200": answered}


def _links(operation: Command, operations: Sequence[AnyOperation]) -> Iterator[tuple[str, Schema]]:
    """To what may be done with what the operation has made."""
    for other in operations:
        if other.path.startswith(f"{operation.path}/{{") and "id" in operation.gives.__struct_fields__:
            *above, made = other.names[: len(operation.names) + 1]
            parameters = {name: f"$request.path.{name}" for name in above} | {made: "$response.body#/id"}
            if other.names == list(parameters):
                yield other.act.__name__, {"operationId": other.act.__name__, "parameters": parameters}


def _required(headers: Schema) -> Schema:
    return {name: {"required": True, **header} for name, header in headers.items()}


def _given(operation: Question | Command | Closing) -> Schema:
    item: Schema = {"$ref": REF.format(name=operation.gives.__name__)}
    return _json({"type": "array", "items": item} if operation.is_list else item)


def _refused(operation: AnyOperation) -> Schema:
    """Every refusal by its status, with its codes and an example of each message."""
    by_status: dict[int, list[dict[str, Any]]] = {}
    for error in _refusals(operation):
        told = told_of(error)
        by_status.setdefault(told.status, []).append(told.body)
    return {str(status): _refusal(status, told) for status, told in sorted(by_status.items())}


def _refusals(operation: AnyOperation) -> Iterator[Exception]:
    yield from (KeyMissing(), ScopeMissing(operation.scope), RateLimited(1))
    yield RuntimeError("what nobody foresaw")
    yield from (MalformedId(name) for name in operation.names if name.endswith("_id"))
    if isinstance(operation, Command):
        if operation.takes is not None:
            yield from (Undecodable(), NotJson())
        yield from (StillRunning(), IdempotencyKeyReused())
        yield Malformed(alpaca_once.HEADER, alpaca_once.KEY_RULE)
        yield RequestEntityTooLarge()
    yield from operation.refuses


def _refusal(status: int, told: list[dict[str, Any]]) -> Schema:
    codes = sorted({body["code"] for body in told})
    schema = {"allOf": [{"$ref": REF.format(name="Error")}, {"properties": {"code": {"enum": codes}}}]}
    headers: Schema = {}
    if status != HTTPStatus.UNAUTHORIZED:
        headers |= ALLOWANCE if status in EARLY else _required(ALLOWANCE)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers |= RETRY_AFTER
    if status in KEPT:
        headers |= REPLAYED
    return {
        "description": "; ".join(_capitalised(WHEN[code]) for code in codes),
        "headers": headers,
        "content": _json(schema, {_slug(body["message"]): {"value": body} for body in told}),
    }


def _slug(message: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", message.lower()).strip("-")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _json(schema: Schema, examples: Schema | None = None) -> Schema:
    shown: Schema = {"schema": schema}
    return {"application/json": shown | {"examples": examples} if examples else shown}


def _answers(operations: Sequence[AnyOperation]) -> Schema:
    """The schemas of everything that is answered with: every member is always there, unless it is unset."""
    given = [operation.gives for operation in operations if not isinstance(operation, Removal)]
    (items, shown) = msgspec.json.schema_components(given, ref_template=REF)
    assert items, "something is answered"
    return {name: _whole(schema) for name, schema in shown.items()}


def _whole(schema: Schema) -> Schema:
    """The schema of a struct whose defaults are sent like everything else, or of an enumeration."""
    if "properties" not in schema:
        return {"type": "string", **schema}
    properties = schema["properties"]
    sent = [name for name in properties if name in schema["required"] or "default" in properties[name]]
    shown = {name: _without_default(_as_sent(member)) for name, member in properties.items()}
    return schema | {"properties": shown, "required": sent}


def _without_default(member: Schema) -> Schema:
    return {key: value for key, value in member.items() if key != "default"}


def _as_sent(value: Any) -> Any:
    """Decimals are sent as numbers: an amount that goes as a string is a string before."""
    match value:
        case {"type": "string", "format": "decimal"}:
            return {"type": "number"}
        case dict():
            return {key: _as_sent(member) for key, member in value.items()}
        case list():
            return [_as_sent(member) for member in value]
        case _:
            return value
