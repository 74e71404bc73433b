"""What Schemathesis cannot know from a JSON Schema, for requests that are to be accepted.

Loaded by Schemathesis itself (see `openapi_run.toml`). A list of weights is made to sum to 100 and to
name nothing twice, symbols are some that the market knows, accounts and portfolios some that there are.
Whole numbers are written without a point, which a schema does not tell from 15.0. Everything else of a
request stays as it was drawn, and what is to be refused stays as it is.
"""

import json
import os
from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from itertools import cycle
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response

Json = Any
HUNDRED, CENT = Decimal(100), Decimal("0.01")

# {"accounts": [...], "portfolios": [...], "symbols": [...]}, made before the run.
WORLD: dict[str, list[str]] = json.loads(os.environ["OPENAPI_WORLD"])
ACCOUNTS = cycle(WORLD["accounts"])
PORTFOLIOS = cycle(WORLD["portfolios"])
created: set[str] = set()


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    meta = case.meta
    if isinstance(case.body, dict) and meta is not None and meta.generation.mode.is_positive:
        case.body = completed(case.body)


@schemathesis.hook
def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
    if case.operation.label == "POST /v1/rebalancing/portfolios" and response.status_code == 200:
        created.add(response.json()["id"])


def completed(body: Json) -> Json:
    """The body with what has to be true of it as a whole."""
    body = dict(body)
    if body.get("weights"):
        body["weights"] = list(summing(body["weights"]))
    if body.get("rebalance_conditions") is not None and body.get("rebalancing_conditions") is not None:
        del body["rebalancing_conditions"]
    for name in ("rebalance_conditions", "rebalancing_conditions"):
        if body.get(name):
            body[name] = list({kind_of(each): with_whole(each, "day") for each in body[name]}.values())
    body = with_whole(body, "cooldown_days")
    if "account_id" in body:
        body["account_id"] = next(ACCOUNTS)
    if "portfolio_id" in body and body["portfolio_id"] not in created:
        body["portfolio_id"] = next(PORTFOLIOS)
    return body


def with_whole(value: Json, name: str) -> Json:
    return value | {name: int(value[name])} if isinstance(value.get(name), float) else value


def kind_of(condition: Json) -> tuple[str, ...]:
    """Of each kind there may be one."""
    kind = condition["type"]
    return (kind, condition["sub_type"]) if kind == "drift_band" else (kind,)


def summing(weights: list[Json]) -> Iterator[Json]:
    """The lines that name what no other does, summing to 100; the first keeps its percentage if it can."""
    names = {"cash": iter(["cash"]), "asset": iter(WORLD["symbols"]), "portfolio": iter(WORLD["portfolios"])}
    all_named = (named(line, next(names[line["type"]], None)) for line in weights)
    first, *others = [line for line in all_named if line is not None]
    if not others:
        yield with_percent(first, HUNDRED)
        return
    if Decimal(str(first["percent"])) > HUNDRED - CENT * len(others):
        first = with_percent(first, CENT)
    yield first
    left = HUNDRED - Decimal(str(first["percent"]))
    share = (left / len(others)).quantize(CENT, rounding=ROUND_DOWN)
    for line in others[1:]:
        yield with_percent(line, share)
    yield with_percent(others[0], left - share * (len(others) - 1))


def named(line: Json, name: str | None) -> Json:
    """The line with this name, or None if there are no more names of its kind."""
    if name is None:
        return None
    field = {"cash": {}, "asset": {"symbol": name}, "portfolio": {"portfolio_id": name}}[line["type"]]
    return line | field


def with_percent(line: Json, percent: Decimal) -> Json:
    """As a string or a number, whichever was drawn."""
    return line | {"percent": str(percent) if isinstance(line["percent"], str) else float(percent)}
