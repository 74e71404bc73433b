"""Portfolios on Alpaca's wire: strategies, each shown by its head."""

from trimtab.api import alpaca_requests as requests
from trimtab.api import alpaca_wire as wire
from trimtab.api.alpaca_call import READ, WRITE_STRATEGIES, Call, Command, Question, Removal
from trimtab.api.alpaca_errors import UnknownReference, ids_in_body
from trimtab.api.alpaca_once import Keep
from trimtab.api.alpaca_queries import Words, one_of
from trimtab.api.alpaca_shapes import BadValue, Given, Id, MalformedId, Required
from trimtab.core.errors import (
    BrokerDown,
    IneligibleAssets,
    InvalidStrategy,
    Malformed,
    NotFound,
    NothingToDelete,
    Problem,
    StrategyInUse,
    StrategyNotActive,
)
from trimtab.core.strategy import StrategyStatus, asset_symbols
from trimtab.engine import strategy_actions
from trimtab.store import strategies

PORTFOLIOS = "/v1/rebalancing/portfolios"
PORTFOLIO = PORTFOLIOS + "/{portfolio_id}"


def create_portfolio(call: Call, given: Given, *, keep: Keep) -> None:
    draft = requests.draft_of(given, calendar=call.desk.calendar)
    with ids_in_body():
        strategy_actions.create_strategy(
            call.desk,
            call.tenant_id,
            draft,
            also=lambda tx, created: keep(tx, wire.portfolio_out(created)),
        )


def list_portfolios(call: Call) -> list[wire.PortfolioOut]:
    wanted = strategies.StrategyFilter(
        name=call.query["name"],
        description=call.query["description"],
        id=call.query["portfolio_id"],
        status=call.query["status"],
    )
    symbol = call.query["symbol"]
    found = call.desk.db.read(lambda tx: strategies.listing(tx, call.tenant_id, wanted))
    return [
        wire.portfolio_out(strategy)
        for strategy in found
        if symbol is None or symbol in asset_symbols(strategy.definition.targets)
    ]


def show_portfolio(call: Call) -> wire.PortfolioOut:
    strategy = call.desk.db.read(lambda tx: strategies.one(tx, call.tenant_id, call.id))
    if strategy is None:
        raise NotFound("strategy", call.id)
    return wire.portfolio_out(strategy)


def change_portfolio(call: Call, change: strategy_actions.StrategyChange, *, keep: Keep) -> None:
    with ids_in_body(path_id=call.id):
        strategy_actions.change_strategy(
            call.desk,
            call.tenant_id,
            strategy_id=call.id,
            change=change,
            also=lambda tx, changed: keep(tx, wire.portfolio_out(changed)),
        )


def delete_portfolio(call: Call) -> None:
    strategy_actions.end_strategy(call.desk, call.tenant_id, call.id)


_DRAFTED = (
    Malformed("weights[0].percent", "invalid value"),
    InvalidStrategy([Problem("weights", "weights must sum to 100")]),
    InvalidStrategy([Problem("weights", "duplicate assets: SPY")]),
    InvalidStrategy([Problem("rebalance_conditions", "only one calendar condition is allowed")]),
    BadValue("rebalance_conditions[0].day: not permitted for drift_band"),
    MalformedId("portfolio_id"),
    UnknownReference("portfolio not found"),
    IneligibleAssets({"XYZ": "not found"}),
    IneligibleAssets({"SPY": "not fractionable"}),
    StrategyNotActive(""),
    BrokerDown(),
)

OPERATIONS = (
    Command(
        method="POST",
        path=PORTFOLIOS,
        scope=WRITE_STRATEGIES,
        summary="Create a portfolio",
        act=create_portfolio,
        takes=requests.DRAFT,
        gives=wire.PortfolioOut,
        refuses=(Required("name"), Required("weights"), *_DRAFTED),
    ),
    Question(
        path=PORTFOLIOS,
        scope=READ,
        summary="List portfolios, those that are inactive only if asked for by their status",
        act=list_portfolios,
        gives=wire.PortfolioOut,
        is_list=True,
        query={
            "name": Words(),
            "description": Words(),
            "portfolio_id": Id("portfolio_id"),
            "status": one_of(StrategyStatus),
            "symbol": Words(),
        },
        refuses=(Malformed("status", "invalid value"), MalformedId("portfolio_id")),
    ),
    Question(
        path=PORTFOLIO,
        scope=READ,
        summary="Show a portfolio",
        act=show_portfolio,
        gives=wire.PortfolioOut,
        refuses=(NotFound("strategy", ""),),
    ),
    Command(
        method="PATCH",
        path=PORTFOLIO,
        scope=WRITE_STRATEGIES,
        summary="Change a portfolio: what is left out stays as it is",
        act=change_portfolio,
        takes=requests.CHANGE,
        gives=wire.PortfolioOut,
        refuses=(Malformed("name", "value is empty"), *_DRAFTED, NotFound("strategy", "")),
    ),
    Removal(
        path=PORTFOLIO,
        scope=WRITE_STRATEGIES,
        summary="Archive a portfolio: it is inactive from then on, and can still be shown",
        act=delete_portfolio,
        refuses=(
            NotFound("strategy", ""),
            NothingToDelete(""),
            StrategyInUse("portfolio has active subscriptions"),
            StrategyInUse("portfolio is listed in the weights of an active portfolio"),
        ),
    ),
)
