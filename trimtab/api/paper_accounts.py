"""Accounts of the paper broker, on the vendor's wire: opened, shown, closed."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from trimtab.api import paper_requests as requests
from trimtab.api import paper_trading_wire as trading
from trimtab.api import paper_wire as wire
from trimtab.api.alpaca_call import READ, WRITE, Call, Command, Question
from trimtab.api.alpaca_errors import AlreadyThere, StillHolds
from trimtab.api.alpaca_once import Keep
from trimtab.api.alpaca_queries import OneOf, Words
from trimtab.api.alpaca_shapes import Required
from trimtab.api.paper_values import Listed, Moment
from trimtab.brokers.paper_assets import read_prices
from trimtab.brokers.paper_holders import (
    CLOSED,
    Holding,
    NewHolder,
    close_holder,
    open_holder,
    read_holding,
    read_holdings,
    require_own,
)
from trimtab.brokers.paper_market import Market
from trimtab.brokers.paper_trading import read_paid_in, read_standing
from trimtab.core.errors import BrokerDown, Malformed, NotFound
from trimtab.core.money import ZERO, plain
from trimtab.database import Tx
from trimtab.store import shards

ACCOUNTS = "/v1/accounts"
ACCOUNT = ACCOUNTS + "/{account_id}"
TRADING = "/v1/trading/accounts/{account_id}"
EVERYTHING = frozenset(wire.ENTITIES)


def open_account(call: Call, given: Mapping[str, Any], *, keep: Keep) -> None:
    """The account can be followed at once: it is its tenant's before anybody is told of it."""
    new = NewHolder(
        account_id=call.new_id(),
        tenant_id=call.tenant_id,
        email=given["contact"]["email_address"].lower(),
        details=given,
    )
    if not call.market.act(lambda tx, market: open_holder(tx, market, new)):
        raise AlreadyThere("email address already exists")
    shown = _shown(call, new.account_id)

    def claim(tx: Tx) -> None:
        now = call.desk.clock()
        shards.claim_account(tx, new.account_id, tenant_id=call.tenant_id, now=now)
        keep(tx, shown)

    call.desk.db.write(claim)


def list_accounts(call: Call) -> Sequence[wire.BrokerAccountOut]:
    query = call.query
    words = (query["query"] or "").lower().split()
    statuses = query["status"]

    def wanted(holding: Holding) -> bool:
        return (
            (statuses is None or holding.account.status in statuses)
            and (query["created_after"] is None or holding.opened_at > query["created_after"])
            and (query["created_before"] is None or holding.opened_at < query["created_before"])
            and holding.mentions(words)
        )

    def read(tx: Tx) -> list[wire.BrokerAccountOut]:
        found = [each for each in read_holdings(tx, call.tenant_id) if wanted(each)]
        prices = read_prices(tx, {s for each in found for s in each.account.holdings.positions})
        entities = query["entities"] or frozenset()
        return [wire.account_out(each, equity=_equity(each, prices), entities=entities) for each in found]

    shown = call.market.ask(read)
    return shown if query["sort"] == "asc" else shown[::-1]


def show_account(call: Call) -> wire.BrokerAccountOut:
    return _shown(call, call.account_id)


def _shown(call: Call, account_id: str) -> wire.BrokerAccountOut:
    def read(tx: Tx) -> wire.BrokerAccountOut:
        holding = read_holding(tx, call.tenant_id, account_id)
        prices = read_prices(tx, holding.account.holdings.positions)
        return wire.account_out(holding, equity=_equity(holding, prices), entities=EVERYTHING)

    return call.market.ask(read)


def _equity(holding: Holding, prices: Mapping[str, Decimal]) -> str:
    """What the account is worth; what has no price counts as nothing."""
    held = holding.account.holdings
    return plain(held.cash + sum((n * prices.get(s, ZERO) for s, n in held.positions.items()), ZERO))


def close_account(call: Call, _given: None, *, keep: Keep) -> None:
    def close(tx: Tx, market: Market) -> bool:
        require_own(tx, call.tenant_id, call.account_id)
        return close_holder(tx, market, call.account_id)

    if not call.market.act(close):
        raise StillHolds
    closed = wire.ClosedOut(account_id=call.account_id, status=CLOSED)
    call.desk.db.write(lambda tx: keep(tx, closed))


def show_trade_account(call: Call) -> wire.TradeAccountOut:
    def read(tx: Tx) -> wire.TradeAccountOut:
        holding = read_holding(tx, call.tenant_id, call.account_id)
        return wire.trade_account_out(holding, read_standing(tx, call.account_id, now=call.desk.clock()))

    return call.market.ask(read)


def show_history(call: Call) -> trading.HistoryOut:
    now = call.desk.clock()

    def read(tx: Tx) -> trading.HistoryOut:
        require_own(tx, call.tenant_id, call.account_id)
        standing = read_standing(tx, call.account_id, now=now)
        return trading.history_out(standing, read_paid_in(tx, call.account_id), now=now)

    return call.market.ask(read)


OPERATIONS = (
    Command(
        method="POST",
        path=ACCOUNTS,
        scope=WRITE,
        summary="Open an account: active at once, without money, and ready to follow a portfolio",
        act=open_account,
        takes=requests.ACCOUNT,
        gives=wire.BrokerAccountOut,
        refuses=(
            Required("contact"),
            Malformed("contact.city", "invalid value"),
            AlreadyThere("email address already exists"),
            BrokerDown(),
        ),
    ),
    Question(
        path=ACCOUNTS,
        scope=READ,
        summary="List accounts, the newest first, the firm's own among them",
        act=list_accounts,
        gives=wire.BrokerAccountOut,
        is_list=True,
        query={
            "query": Words(),
            "created_after": Moment(),
            "created_before": Moment(),
            "status": Listed(),
            "sort": OneOf({"asc": "asc", "desc": "desc"}),
            "entities": Listed(),
        },
        refuses=(Malformed("sort", "invalid value"), BrokerDown()),
    ),
    Question(
        path=ACCOUNT,
        scope=READ,
        summary="Show an account with what its holder said",
        act=show_account,
        gives=wire.BrokerAccountOut,
        refuses=(NotFound("account", ""), BrokerDown()),
    ),
    Command(
        method="POST",
        path=ACCOUNT + "/actions/close",
        scope=WRITE,
        summary="Close an account that holds nothing; its open orders are canceled",
        act=close_account,
        takes=None,
        gives=wire.ClosedOut,
        refuses=(StillHolds(), NotFound("account", ""), BrokerDown()),
    ),
    Question(
        path=TRADING + "/account",
        scope=READ,
        summary="Show an account as one that trades: cash, equity, what it may spend",
        act=show_trade_account,
        gives=wire.TradeAccountOut,
        refuses=(NotFound("account", ""), BrokerDown()),
    ),
    Question(
        path=TRADING + "/account/portfolio/history",
        scope=READ,
        summary="What the account is worth now, and what was paid in",
        act=show_history,
        gives=trading.HistoryOut,
        refuses=(NotFound("account", ""), BrokerDown()),
    ),
)
