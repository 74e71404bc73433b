"""Runs on Alpaca's wire, with what became of their legs."""

from collections.abc import Sequence
from dataclasses import replace

from trimtab.api import alpaca_requests as requests
from trimtab.api import alpaca_wire as wire
from trimtab.api.alpaca_call import READ, WRITE, Call, Command, Question, Removal
from trimtab.api.alpaca_errors import UnknownReference, ids_in_body
from trimtab.api.alpaca_once import Keep
from trimtab.api.alpaca_queries import PAGED, OneOf, cut, one_of, page_of
from trimtab.api.alpaca_shapes import BadValue, Id, MalformedId, Required
from trimtab.core.errors import (
    AccountNotActive,
    BrokerDown,
    EnrolledElsewhere,
    IneligibleAssets,
    InvalidStrategy,
    Malformed,
    NotEnrolled,
    NotFound,
    Problem,
    RunAlreadyOpen,
    RunIsFinal,
    StrategyNotActive,
)
from trimtab.core.run import Run, RunKind
from trimtab.database import Tx
from trimtab.engine import actions
from trimtab.store import orders, runs, strategies

RUNS = "/v1/rebalancing/runs"
RUN = RUNS + "/{run_id}"


def create_run(call: Call, asked: actions.RunRequest, *, keep: Keep) -> None:
    with ids_in_body():
        actions.request_run(
            call.desk, call.tenant_id, asked, also=lambda tx, run: keep(tx, _shown(tx, [run])[0])
        )


def list_runs(call: Call) -> wire.RunsOut:
    page = page_of(call.query)
    wanted = replace(
        call.query["status"] or runs.RunFilter(),
        account_id=call.query["account_id"],
        kind=call.query["type"],
    )

    def read(tx: Tx) -> tuple[list[wire.RunOut], str | None]:
        found, token = cut(runs.page(tx, call.tenant_id, page=page, wanted=wanted), page)
        return _shown(tx, found), token

    shown, token = call.desk.db.read(read)
    return wire.RunsOut(runs=shown, next_page_token=token)


def show_run(call: Call) -> wire.RunOut:
    def read(tx: Tx) -> wire.RunOut:
        run = runs.one(tx, call.tenant_id, call.id)
        if run is None:
            raise NotFound("run", call.id)
        return _shown(tx, [run])[0]

    return call.desk.db.read(read)


def cancel_run(call: Call) -> None:
    actions.cancel_run(call.desk, call.tenant_id, call.id)


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


OPERATIONS = (
    Command(
        method="POST",
        path=RUNS,
        scope=WRITE,
        summary="Ask for a run of an account: with weights of its own, or of the portfolio it follows",
        act=create_run,
        takes=requests.RUN,
        gives=wire.RunOut,
        refuses=(
            Required("account_id"),
            BadValue("type must be full_rebalance or invest_cash"),
            Malformed("amount must be a decimal", "invalid value"),
            BadValue("amount: not permitted for full_rebalance"),
            InvalidStrategy([Problem("weights", "weights must sum to 100")]),
            MalformedId("account_id"),
            UnknownReference("account not found"),
            IneligibleAssets({"XYZ": "not found"}),
            StrategyNotActive(""),
            AccountNotActive(""),
            EnrolledElsewhere(""),
            NotEnrolled(""),
            RunAlreadyOpen(""),
            BrokerDown(),
        ),
    ),
    Question(
        path=RUNS,
        scope=READ,
        summary="List runs, page by page, the newest first",
        act=list_runs,
        gives=wire.RunsOut,
        query={
            **PAGED,
            "status": OneOf(wire.STATUSES),
            "account_id": Id("account_id"),
            "type": one_of(RunKind),
        },
        refuses=(
            Malformed("limit", "must be between 1 and 1000"),
            Malformed("page_token", "invalid value"),
            Malformed("status", "invalid value"),
            MalformedId("account_id"),
        ),
    ),
    Question(
        path=RUN,
        scope=READ,
        summary="Show a run",
        act=show_run,
        gives=wire.RunOut,
        refuses=(NotFound("run", ""),),
    ),
    Removal(
        path=RUN,
        scope=WRITE,
        summary="Cancel a run: at once while it is queued, else no further order is sent",
        act=cancel_run,
        refuses=(NotFound("run", ""), RunIsFinal("")),
    ),
)
