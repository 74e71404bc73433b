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

# {"accounts": [...], "firm": [...], "portfolios": [...], "symbols": [...]}, made before the run.
WORLD: dict[str, list[str]] = json.loads(os.environ["OPENAPI_WORLD"])
ACCOUNTS = cycle(WORLD["accounts"])
PORTFOLIOS = cycle(WORLD["portfolios"])
created: set[str] = set()


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive:
        return
    if isinstance(case.body, dict):
        case.body = BROKERS.get(case.operation.label, lambda body: body)(completed(case.body))
    if "qty" in (case.query or {}):
        case.query.pop("percentage", None)
    if case.path_parameters.get("account_id", "") not in created | {""}:
        case.path_parameters["account_id"] = next(ACCOUNTS)


@schemathesis.hook
def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
    makes = {"POST /v1/rebalancing/portfolios", "POST /v1/accounts"}
    if case.operation.label in makes and response.status_code == 200:
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


def an_order(body: Json) -> Json:
    """One amount, a limit if it is called so, and a symbol that is sold."""
    if body.get("qty") is None and body.get("notional") is None:
        body["qty"] = "1"
    elif body.get("qty") is not None:
        body.pop("notional", None)
    body.pop("limit_price", None)
    limit = {"limit_price": "10"} if body["type"] == "limit" else {}
    return body | limit | {"symbol": WORLD["symbols"][0]}


def a_bank(body: Json) -> Json:
    """One that a third party vouches for needs no more."""
    return body | {"processor_token": body.get("processor_token") or "token"}


def a_journal(body: Json) -> Json:
    return body | {"from_account": WORLD["firm"][0], "to_account": next(ACCOUNTS)}


def journals(body: Json) -> Json:
    entries = [each | {"to_account": next(ACCOUNTS)} for each in body["entries"]]
    return body | {"from_account": WORLD["firm"][0], "entries": entries}


def journals_back(body: Json) -> Json:
    entries = [each | {"from_account": next(ACCOUNTS)} for each in body["entries"]]
    return body | {"to_account": WORLD["firm"][0], "entries": entries}


BROKERS = {
    "POST /v1/trading/accounts/{account_id}/orders": an_order,
    "POST /v1/accounts/{account_id}/ach_relationships": a_bank,
    "POST /v1/journals": a_journal,
    "POST /v1/journals/batch": journals,
    "POST /v1/journals/reverse_batch": journals_back,
}


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
