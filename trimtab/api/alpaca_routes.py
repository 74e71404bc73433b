"""The operations of Alpaca's Rebalancing API: read the request, act, show the result.

Each route names its scope when it admits the caller, and gets its tenant from nowhere else. What
belongs to another tenant answers exactly like what is not there.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from litestar import Litestar, Response, delete, get, patch, post

from trimtab.api import alpaca_requests as requests
from trimtab.api import alpaca_wire as wire
from trimtab.api.alpaca_errors import SubscriptionMissing, error_response, ids_in_body
from trimtab.api.alpaca_once import Keep, answer_once
from trimtab.api.alpaca_requests import id_in, text_query
from trimtab.api.body import Object
from trimtab.api.front import AnyRequest, Front, FrontDesk, sub_application
from trimtab.core.errors import Malformed, NotFound
from trimtab.core.run import Run, RunKind
from trimtab.core.strategy import StrategyStatus, asset_symbols
from trimtab.database import Tx
from trimtab.engine import actions, enrollment_actions, strategy_actions
from trimtab.store import enrollments, orders, runs, strategies
from trimtab.store.enrollments import Page

T = TypeVar("T")

READ = "portfolios:read"
WRITE = "portfolios:write"
WRITE_STRATEGIES = "strategies:write"

PORTFOLIOS = "/v1/rebalancing/portfolios"
SUBSCRIPTIONS = "/v1/rebalancing/subscriptions"
RUNS = "/v1/rebalancing/runs"

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
ROW_NUMBER_MAX = 2**62


@post(PORTFOLIOS, status_code=200, sync_to_thread=True)
def create_portfolio(front: Front, request: AnyRequest, body: bytes) -> Response[bytes]:
    caller = front.admit(request, WRITE_STRATEGIES)

    def act(sent: Object, keep: Keep) -> None:
        draft = requests.draft_in(sent, calendar=front.desk.calendar)
        with ids_in_body():
            strategy_actions.create_strategy(
                front.desk,
                caller.tenant_id,
                draft,
                also=lambda tx, created: keep(tx, wire.portfolio_out(created)),
            )

    return answer_once(front, request, body, caller=caller, act=act)


@get(PORTFOLIOS, sync_to_thread=True)
def list_portfolios(front: Front, request: AnyRequest) -> list[wire.PortfolioOut]:
    caller = front.admit(request, READ)
    query = request.query_params
    portfolio_id = query.get("portfolio_id")
    wanted = strategies.StrategyFilter(
        name=text_query(query.get("name"), "name"),
        description=text_query(query.get("description"), "description"),
        id=id_in(portfolio_id, "portfolio_id") if portfolio_id else None,
        status=_choice(query.get("status"), StrategyStatus, path="status"),
    )
    symbol = text_query(query.get("symbol"), "symbol")
    found = front.desk.db.read(lambda tx: strategies.listing(tx, caller.tenant_id, wanted))
    return [
        wire.portfolio_out(strategy)
        for strategy in found
        if symbol is None or symbol in asset_symbols(strategy.definition.targets)
    ]


@get(PORTFOLIOS + "/{portfolio_id:str}", sync_to_thread=True)
def show_portfolio(front: Front, request: AnyRequest, portfolio_id: str) -> wire.PortfolioOut:
    caller = front.admit(request, READ)
    wanted = id_in(portfolio_id, "portfolio_id")
    strategy = front.desk.db.read(lambda tx: strategies.one(tx, caller.tenant_id, wanted))
    if strategy is None:
        raise NotFound("strategy", wanted)
    return wire.portfolio_out(strategy)


@patch(PORTFOLIOS + "/{portfolio_id:str}", sync_to_thread=True)
def change_portfolio(front: Front, request: AnyRequest, portfolio_id: str, body: bytes) -> Response[bytes]:
    caller = front.admit(request, WRITE_STRATEGIES)
    wanted = id_in(portfolio_id, "portfolio_id")

    def act(sent: Object, keep: Keep) -> None:
        change = requests.change_in(sent)
        with ids_in_body(path_id=wanted):
            strategy_actions.change_strategy(
                front.desk,
                caller.tenant_id,
                strategy_id=wanted,
                change=change,
                also=lambda tx, changed: keep(tx, wire.portfolio_out(changed)),
            )

    return answer_once(front, request, body, caller=caller, act=act)


@delete(PORTFOLIOS + "/{portfolio_id:str}", sync_to_thread=True)
def delete_portfolio(front: Front, request: AnyRequest, portfolio_id: str) -> None:
    caller = front.admit(request, WRITE_STRATEGIES)
    strategy_actions.end_strategy(front.desk, caller.tenant_id, id_in(portfolio_id, "portfolio_id"))


@post(SUBSCRIPTIONS, status_code=200, sync_to_thread=True)
def create_subscription(front: Front, request: AnyRequest, body: bytes) -> Response[bytes]:
    caller = front.admit(request, WRITE)

    def act(sent: Object, keep: Keep) -> None:
        asked = requests.subscription_in(sent)
        with ids_in_body():
            enrollment_actions.enroll(
                front.desk,
                caller.tenant_id,
                asked,
                also=lambda tx, enrollment: keep(tx, wire.subscription_out(enrollment)),
            )

    return answer_once(front, request, body, caller=caller, act=act)


@get(SUBSCRIPTIONS, sync_to_thread=True)
def list_subscriptions(front: Front, request: AnyRequest) -> wire.SubscriptionsOut:
    caller = front.admit(request, READ)
    query = request.query_params
    account_id, portfolio_id = query.get("account_id"), query.get("portfolio_id")
    page = _page(query.get("limit"), query.get("page_token"))
    account = id_in(account_id, "account_id") if account_id else None
    portfolio = id_in(portfolio_id, "portfolio_id") if portfolio_id else None
    rows = front.desk.db.read(
        lambda tx: enrollments.page(
            tx, caller.tenant_id, page=page, account_id=account, strategy_id=portfolio
        )
    )
    found, token = _cut(rows, page)
    return wire.SubscriptionsOut(
        subscriptions=[wire.subscription_out(enrollment) for enrollment in found], next_page_token=token
    )


@get(SUBSCRIPTIONS + "/{subscription_id:str}", sync_to_thread=True)
def show_subscription(front: Front, request: AnyRequest, subscription_id: str) -> wire.SubscriptionOut:
    caller = front.admit(request, READ)
    wanted = id_in(subscription_id, "subscription_id")
    enrollment = front.desk.db.read(lambda tx: enrollments.one(tx, caller.tenant_id, wanted))
    if enrollment is None:
        raise NotFound("enrollment", wanted)
    return wire.subscription_out(enrollment)


@delete(SUBSCRIPTIONS + "/{subscription_id:str}", sync_to_thread=True)
def delete_subscription(front: Front, request: AnyRequest, subscription_id: str) -> None:
    caller = front.admit(request, WRITE)
    wanted = id_in(subscription_id, "subscription_id")
    try:
        enrollment_actions.end_enrollment(front.desk, caller.tenant_id, wanted)
    except NotFound as error:
        raise SubscriptionMissing from error


@post(RUNS, status_code=200, sync_to_thread=True)
def create_run(front: Front, request: AnyRequest, body: bytes) -> Response[bytes]:
    caller = front.admit(request, WRITE)

    def act(sent: Object, keep: Keep) -> None:
        asked = requests.run_in(sent)
        with ids_in_body():
            actions.request_run(
                front.desk, caller.tenant_id, asked, also=lambda tx, run: keep(tx, _shown(tx, [run])[0])
            )

    return answer_once(front, request, body, caller=caller, act=act)


@get(RUNS, sync_to_thread=True)
def list_runs(front: Front, request: AnyRequest) -> wire.RunsOut:
    caller = front.admit(request, READ)
    query = request.query_params
    page = _page(query.get("limit"), query.get("page_token"))
    account_id, status = query.get("account_id"), query.get("status")
    if status and status not in wire.STATUSES:
        raise Malformed("status", "invalid value")
    wanted = replace(
        wire.STATUSES[status] if status else runs.RunFilter(),
        account_id=id_in(account_id, "account_id") if account_id else None,
        kind=_choice(query.get("type"), RunKind, path="type"),
    )

    def read(tx: Tx) -> tuple[list[wire.RunOut], str | None]:
        found, token = _cut(runs.page(tx, caller.tenant_id, page=page, wanted=wanted), page)
        return _shown(tx, found), token

    shown, token = front.desk.db.read(read)
    return wire.RunsOut(runs=shown, next_page_token=token)


@get(RUNS + "/{run_id:str}", sync_to_thread=True)
def show_run(front: Front, request: AnyRequest, run_id: str) -> wire.RunOut:
    caller = front.admit(request, READ)
    wanted = id_in(run_id, "run_id")

    def read(tx: Tx) -> wire.RunOut:
        run = runs.one(tx, caller.tenant_id, wanted)
        if run is None:
            raise NotFound("run", wanted)
        return _shown(tx, [run])[0]

    return front.desk.db.read(read)


@delete(RUNS + "/{run_id:str}", sync_to_thread=True)
def cancel_run(front: Front, request: AnyRequest, run_id: str) -> None:
    caller = front.admit(request, WRITE)
    actions.cancel_run(front.desk, caller.tenant_id, id_in(run_id, "run_id"))


ROUTES = [
    create_portfolio,
    list_portfolios,
    show_portfolio,
    change_portfolio,
    delete_portfolio,
    create_subscription,
    list_subscriptions,
    show_subscription,
    delete_subscription,
    create_run,
    list_runs,
    show_run,
    cancel_run,
]


def alpaca_application(front: FrontDesk) -> Litestar:
    return sub_application(front, list(ROUTES), error_response)


def _shown(tx: Tx, found: Sequence[Run]) -> list[wire.RunOut]:
    """Runs with what became of their legs, in a few queries whatever their number."""
    definitions = strategies.definitions(tx, {(run.strategy_id, run.strategy_version) for run in found})
    placed = orders.orders_of(tx, found)
    skipped = orders.skips_of(tx, found)
    return [
        wire.run_out(
            run,
            targets=definitions[run.strategy_id, run.strategy_version].targets,
            orders=placed.get(run.id, ()),
            skips=skipped.get(run.id, ()),
        )
        for run in found
    ]


def _choice(value: str | None, choices: type[T], *, path: str) -> T | None:
    """A query value that must be one of an enumeration."""
    if not value:
        return None
    try:
        return choices(value)  # type: ignore[call-arg]
    except ValueError as error:
        raise Malformed(path, "invalid value") from error


def _page(limit: str | None, token: str | None) -> Page:
    size = LIMIT_DEFAULT
    if limit:
        if not re.fullmatch(r"[0-9]{1,9}", limit, re.ASCII) or not 1 <= int(limit) <= LIMIT_MAX:
            raise Malformed("limit", f"must be between 1 and {LIMIT_MAX}")
        size = int(limit)
    return Page(after=row_position(token, "page_token") if token else None, limit=size)


def row_position(token: str, path: str) -> int:
    """The place in the list that a token names: base64 of a number, or the number itself."""
    text = token
    if not re.fullmatch(r"[0-9]+", text, re.ASCII):
        try:
            text = b64decode(token, validate=True).decode("ascii")
        except (Base64Error, ValueError) as error:
            raise Malformed(path, "invalid value") from error
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or int(text) > ROW_NUMBER_MAX:
        raise Malformed(path, "invalid value")
    return int(text)


def _cut(rows: Sequence[tuple[int, T]], page: Page) -> tuple[list[T], str | None]:
    """The items of one page, and the token of the next if there is one; never an empty token."""
    items = [item for _, item in rows[: page.limit]]
    if len(rows) <= page.limit:
        return items, None
    return items, row_token(rows[page.limit - 1][0])


def row_token(seq: int) -> str:
    """The token of a place in a list; opaque to clients."""
    return b64encode(str(seq).encode()).decode()
