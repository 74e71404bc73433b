"""openapi.json of Glider's dialect, made from the tables that serve it: nothing is described twice."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from trimtab.api.glider_call import Operation
from trimtab.api.shapes import Schema

REF = "#/components/schemas/{name}"
REFUSALS = {
    "400": "The request is malformed or breaks a rule; `details` names every problem",
    "401": "The key is missing, unknown or expired",
    "403": "The key lacks the scope of this operation",
    "404": "There is no such thing, or it is another tenant's",
    "409": "The flow is in use with another body, or the portfolio exists",
    "413": "The body is larger than 1 MiB",
    "415": "The body is not JSON",
    "429": "Too soon, or too many requests; see the Retry-After header",
    "503": "The broker cannot be reached",
    "500": "Something nobody foresaw",
}
ERROR_SCHEMA: Schema = {
    "type": "object",
    "required": ["success", "error"],
    "properties": {
        "success": {"const": False},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "pattern": "^API_[0-9]{3}$"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "string"}},
            },
        },
    },
}
TRACE_HEADERS: Schema = {
    name: {"schema": {"type": "string"}} for name in ("X-Request-Id", "X-Correlation-Id")
}


def document(operations: Sequence[Operation], version: str) -> Schema:
    """The whole OpenAPI 3.1 document."""
    _, components = msgspec.json.schema_components(
        {operation.gives for operation in operations}, ref_template=REF
    )
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trimtab, Glider V2 dialect", "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": ERROR_SCHEMA},
            "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _described(operation: Operation) -> Schema:
    described: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {str(operation.status): _answered(operation), **_refused(operation)},
    }
    if operation.scope is not None:
        described["description"] = f"Scope: `{operation.scope}`"
    described["security"] = [] if operation.public else [{"apiKey": []}]
    if operation.takes is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.takes.schema())}
    return described


def _path_parameters(operation: Operation) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]


def _query_parameters(operation: Operation) -> list[Schema]:
    return [
        {"name": name, "in": "query", "required": False, "schema": shape.schema()}
        for name, shape in operation.query.parameters.items()
    ]


def _answered(operation: Operation) -> Schema:
    item: Schema = {"$ref": REF.format(name=operation.gives.__name__)}
    properties: dict[str, Any] = {"success": {"const": True}, "data": item}
    if operation.collection is not None:
        properties["data"] = {
            "type": "object",
            "required": [operation.collection],
            "properties": {operation.collection: {"type": "array", "items": item}},
        }
        properties["nextCursor"] = {"type": ["string", "null"]}
    schema = {"type": "object", "required": list(properties), "properties": properties}
    return {"description": operation.summary, "headers": TRACE_HEADERS, "content": _json(schema)}


def _refused(operation: Operation) -> Schema:
    """Every refusal the operation can answer with."""
    statuses = {"429", "500"}
    statuses |= set() if operation.public else {"401"}
    statuses |= {"403"} if operation.scope else set()
    statuses |= {"400", "413", "415", "503"} if operation.takes else set()
    statuses |= {"400"} if operation.query.parameters else set()
    if "{" in operation.path:
        statuses |= {"404"} if operation.any_id else {"400", "404"}
    statuses |= {"409"} if operation.path == "/v2/enroll" else set()
    error = _json({"$ref": REF.format(name="Error")})
    return {
        status: {"description": REFUSALS[status], "headers": TRACE_HEADERS, "content": error}
        for status in sorted(statuses)
    }


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
