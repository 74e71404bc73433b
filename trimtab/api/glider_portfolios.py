"""Glider's operations on portfolios: the accounts that follow a strategy, and their rebalances."""

from trimtab.api import glider_requests as requests
from trimtab.api import glider_wire as wire
from trimtab.api.glider_call import Call, Operation, PageOf
from trimtab.api.glider_errors import Invalid, Missing
from trimtab.api.glider_ids import (
    is_same_operation,
    operation_id,
    portfolio_id,
    run_id_in,
    ulid,
    uuid_of_ulid,
)
from trimtab.api.glider_paging import cut, page_in, paged
from trimtab.api.glider_performance import Live, PerformanceOut, performance_out
from trimtab.api.glider_positions import PositionsOut, positions_out
from trimtab.api.shapes import Choice, Query
from trimtab.core.enrollment import Enrollment, EnrollmentState
from trimtab.core.performance import History, Method
from trimtab.core.run import OrderState, Run, RunState
from trimtab.core.sessions import next_firing
from trimtab.core.strategy import Strategy
from trimtab.database import Tx
from trimtab.engine import actions, enrollment_actions
from trimtab.engine.cases import freeze_reason
from trimtab.engine.desk import Desk
from trimtab.engine.valuation import value_now
from trimtab.store import (
    enrollments,
    freezes,
    holdings,
    orders,
    runs,
    shards,
    strategies,
    valuations,
)
from trimtab.store.enrollments import EnrollmentFilter
from trimtab.store.holdings import Mirror
from trimtab.store.runs import RunFilter

READ = "portfolios:read"
WRITE = "portfolios:write"


def list_portfolios(call: Call) -> PageOf:
    page = page_in(call.query)
    wanted = _filter_in(call)

    def read(tx: Tx) -> PageOf:
        found, cursor = cut(enrollments.newest(tx, call.tenant_id, page=page, wanted=wanted), page)
        heads = strategies.heads(tx, {enrollment.strategy_id for enrollment in found})
        items = [
            wire.portfolio_out(_followed(call.front.desk, e, heads[e.strategy_id]), call.names) for e in found
        ]
        return PageOf(collection="portfolios", items=items, next_cursor=cursor)

    return call.front.desk.db.read(read)


def _filter_in(call: Call) -> EnrollmentFilter:
    given, strategy, status = (call.query.get(name) for name in ("ownerAccountId", "strategyId", "status"))
    owner = None if given is None else call.names.owner_in(given)
    if given is not None and owner is None:
        raise Invalid(["ownerAccountId: is not an id of an owner"])
    account_id = None if owner is None else call.names.account_in(owner)
    return EnrollmentFilter(
        account_id=account_id,
        owner=owner if account_id is None else None,
        # Well formed but too large for a ULID: it names nothing, and so finds nothing.
        strategy_id=None if strategy is None else uuid_of_ulid(strategy) or strategy,
        state=None if status is None else EnrollmentState(status),
    )


def show_portfolio(call: Call) -> wire.PortfolioDetailOut:
    return _shown(call, call.front.desk.db.read(call.enrollment))


def rename_portfolio(call: Call) -> wire.PortfolioDetailOut:
    if "portfolioName" not in call.body:
        return show_portfolio(call)
    name = call.body["portfolioName"]
    renamed = enrollment_actions.rename(call.front.desk, call.tenant_id, call.enrollment_id, name=name)
    return _shown(call, renamed)


def start_portfolio(call: Call) -> wire.PortfolioDetailOut:
    return _shown(call, enrollment_actions.resume(call.front.desk, call.tenant_id, call.enrollment_id))


def stop_portfolio(call: Call) -> wire.PortfolioDetailOut:
    return _shown(call, enrollment_actions.pause(call.front.desk, call.tenant_id, call.enrollment_id))


def show_positions(call: Call) -> PositionsOut:
    enrollment = call.front.desk.db.read(call.enrollment)
    return positions_out(call.front.desk, call.names, enrollment)


def show_performance(call: Call) -> PerformanceOut:
    desk = call.front.desk

    def read(tx: Tx) -> tuple[Enrollment, Mirror, History]:
        enrollment = call.enrollment(tx)
        since = enrollment.created_at.date()
        history = History(
            valuations=tuple(valuations.history(tx, enrollment.shard, enrollment.account_id, since=since)),
            flows=tuple(valuations.cash_flows(tx, enrollment.shard, enrollment.account_id)),
        )
        return enrollment, holdings.read(tx, enrollment.shard), history

    enrollment, mirror, history = desk.db.read(read)
    value = value_now(desk, mirror.block, enrollment.account_id)
    return performance_out(
        history,
        Live(at=desk.clock(), value=value, mirror_version=mirror.version),
        portfolio_id=portfolio_id(enrollment.id),
        strategy_id=ulid(enrollment.strategy_id),
        method=Method(call.query.get("returnMethod", Method.MWR)),
    )


def rebalance(call: Call) -> wire.RebalanceOut:
    run = actions.rebalance_now(call.front.desk, call.tenant_id, call.enrollment_id)
    return wire.rebalance_out(run, call.enrollment_id)


def list_operations(call: Call) -> PageOf:
    """Beyond the vendor, in the shape that its pages suggest: every run of the account, newest first."""
    page = page_in(call.query)

    def read(tx: Tx) -> PageOf:
        enrollment = call.enrollment(tx)
        wanted = RunFilter(account_id=enrollment.account_id)
        found, cursor = cut(runs.page(tx, call.tenant_id, page=page, wanted=wanted), page)
        items = [wire.operation_out(run, enrollment.id, under_way=state_under_way(tx, run)) for run in found]
        return PageOf(collection="operations", items=items, next_cursor=cursor)

    return call.front.desk.db.read(read)


def show_operation(call: Call) -> wire.OperationOut:
    given = call.path["operationId"]

    def read(tx: Tx) -> wire.OperationOut:
        enrollment = call.enrollment(tx)
        run_id = run_id_in(given)
        run = None if run_id is None else runs.one(tx, call.tenant_id, run_id)
        # A run of the account counts, also one from before it was enrolled: it may be the one in flight.
        if (
            run is None
            or run.account_id != enrollment.account_id
            or not is_same_operation(given, operation_id(run, enrollment.id))
        ):
            raise Missing("run", given)
        return wire.operation_out(run, enrollment.id, under_way=state_under_way(tx, run))

    return call.front.desk.db.read(read)


def state_under_way(tx: Tx, run: Run) -> str:
    """What keeps a started run busy: an order whose fate is open, a person who must act, or its work."""
    if run.state is RunState.QUEUED or not run.state.is_open:
        return "running"
    placed = orders.orders(tx, run.shard, [run.id]).get(run.id, [])
    if any(order.state is OrderState.SENDING for order in placed):
        return "retrying"
    account = shards.account(tx, run.account_id)
    covering = [f for f in freezes.all_freezes(tx) if f.covers(run.tenant_id, run.account_id)]
    waits_for_somebody = freeze_reason(covering) or (account is not None and account.held)
    return "awaiting_user" if waits_for_somebody else "running"


def _shown(call: Call, enrollment: Enrollment) -> wire.PortfolioDetailOut:
    heads = call.front.desk.db.read(lambda tx: strategies.heads(tx, [enrollment.strategy_id]))
    followed = _followed(call.front.desk, enrollment, heads[enrollment.strategy_id])
    return wire.portfolio_detail_out(followed, call.names)


def _followed(desk: Desk, enrollment: Enrollment, strategy: Strategy) -> wire.Followed:
    """With the next instant of its schedule or, without one, of its calendar rule (decisions page, 16)."""
    next_due_at = enrollment.next_due_at
    rule = strategy.definition.calendar_rule
    if strategy.frequency is None:
        next_due_at = None
        if rule is not None:
            sessions = desk.calendars[strategy.calendar]
            upcoming = sessions.day_of(sessions.next_open(desk.clock()))
            months = desk.evaluation.quarter_months
            firing = next_firing(sessions, rule, after=sessions.before(upcoming), quarter_months=months)
            next_due_at = None if firing is None else firing.opens_at
    return wire.Followed(enrollment=enrollment, strategy=strategy, next_due_at=next_due_at)


_PORTFOLIO = "/v2/portfolios/{portfolioId}"

OPERATIONS = (
    Operation(
        method="GET",
        path="/v2/portfolios",
        scope=READ,
        summary="List portfolios, newest first",
        act=list_portfolios,
        gives=wire.PortfolioOut,
        collection="portfolios",
        query=paged(
            ownerAccountId=requests.ACCOUNT_ID,
            strategyId=requests.ULID,
            status=Choice((EnrollmentState.ACTIVE, EnrollmentState.PAUSED)),
        ),
    ),
    Operation(
        method="GET",
        path=_PORTFOLIO,
        scope=READ,
        summary="Show a portfolio",
        act=show_portfolio,
        gives=wire.PortfolioDetailOut,
    ),
    Operation(
        method="PATCH",
        path=_PORTFOLIO,
        scope=WRITE,
        summary="Rename a portfolio; null takes the name away",
        act=rename_portfolio,
        gives=wire.PortfolioDetailOut,
        takes=requests.PORTFOLIO_PATCH,
    ),
    Operation(
        method="GET",
        path=f"{_PORTFOLIO}/positions",
        scope=READ,
        summary="Show what the portfolio holds, at current prices",
        act=show_positions,
        gives=PositionsOut,
    ),
    Operation(
        method="GET",
        path=f"{_PORTFOLIO}/performance",
        scope=READ,
        summary="Show what the portfolio was worth each day, and its returns",
        act=show_performance,
        gives=PerformanceOut,
        query=Query({"returnMethod": Choice(tuple(Method))}),
    ),
    Operation(
        method="POST",
        path=f"{_PORTFOLIO}/start",
        scope=WRITE,
        summary="Let scheduled runs happen again; the next is due at once",
        act=start_portfolio,
        gives=wire.PortfolioDetailOut,
    ),
    Operation(
        method="POST",
        path=f"{_PORTFOLIO}/stop",
        scope=WRITE,
        summary="Let no more scheduled runs happen",
        act=stop_portfolio,
        gives=wire.PortfolioDetailOut,
    ),
    Operation(
        method="POST",
        path=f"{_PORTFOLIO}/rebalance",
        scope=WRITE,
        summary="Rebalance now, or join the rebalance in flight",
        act=rebalance,
        gives=wire.RebalanceOut,
        status=202,
        any_id=True,
    ),
    Operation(
        method="GET",
        path=f"{_PORTFOLIO}/operations",
        scope=READ,
        summary="List rebalances, newest first (beyond the vendor)",
        act=list_operations,
        gives=wire.OperationOut,
        collection="operations",
        query=paged(),
    ),
    Operation(
        method="GET",
        path=f"{_PORTFOLIO}/operations/{{operationId}}",
        scope=READ,
        summary="Show how far a rebalance has come",
        act=show_operation,
        gives=wire.OperationOut,
        any_id=True,
    ),
)
