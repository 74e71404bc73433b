"""The paper broker's own ledger as evidence: it adds up, and what nobody meant to order stands out."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.audit.world import WORLD
from tests.brokers.market import Market
from trimtab.audit.check import audit
from trimtab.audit.ledger import Ledger, watched
from trimtab.audit.report import Report
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.brokers.paper_schema import prepare
from trimtab.core.corporate import Late
from trimtab.database import open_database
from trimtab.store.evidence import Evidence

NOTHING = Evidence(
    runs=(),
    plans=(),
    orders=(),
    executions=(),
    skips=(),
    events=(),
    adjustments=(),
    enrollments=(),
)


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    database = open_database(f"sqlite:///{tmp_path / 'paper.db'}")
    prepare(database)
    yield Market(database)
    database.close()


def ledger_of(market: Market) -> Ledger:
    last = market.broker.last_entry()
    accounts = market.broker.read_accounts()
    balances = {account_id: account.holdings for account_id, account in accounts.items()}
    return watched(last, market.broker.read_ledger(), balances=balances)


def broken(report: Report) -> set[str]:
    return {each.id for each in report.findings if each.broken}


def test_a_ledger_without_orders_is_in_order(market: Market) -> None:
    market.broker.transfer("gift", "bob", amount=Decimal("12.34"))
    ledger = ledger_of(market)
    assert ledger.moving == frozenset()
    assert audit(NOTHING, ledger).ok


def test_a_ledger_adds_up_and_its_orders_are_strangers(market: Market) -> None:
    market.broker.set_faults({"partial_fill": 1, "reject": ["TLT"]})
    market.sell(quantity="3.3")
    market.buy("TLT", notional="100.00")
    market.clock.forward(60)
    market.broker.set_prices({"SPY": Decimal("401.37")})
    market.buy(notional="77.77")
    report = audit(NOTHING, ledger_of(market))
    assert broken(report) == {"I2"}
    strangers = next(each for each in report.findings if each.id == "I2")
    assert strangers.broken == 3


def test_a_world_and_a_broker_that_do_not_belong_together(market: Market) -> None:
    assert broken(audit(WORLD.evidence, ledger_of(market))) == {"I3", "I7", "I8"}


def test_corporate_actions_of_the_paper_broker_are_in_order(market: Market) -> None:
    """And a cent too many in one entry is found."""
    for name in ("cat", "dan", "eve"):
        market.broker.open_account(name, "t", cash=Decimal(0), positions={"SPY": Decimal("3.333333333")})
    for event in (
        Event(kind=ActionKind.SPLIT, symbol="SPY", terms=Decimal("1.5")),
        Event(kind=ActionKind.CASH_DIVIDEND, symbol="SPY", terms=Decimal("0.0333")),
        Event(kind=ActionKind.REVERSE_SPLIT, symbol="SPY", terms=Decimal(7), late=Late.QUANTITY),
        Event(kind=ActionKind.REVERSE_SPLIT, symbol="SPY", terms=Decimal(7)),
        Event(kind=ActionKind.RENAME, symbol="SPY", new_symbol="NEW"),
        Event(kind=ActionKind.DELIST, symbol="NEW", terms=Decimal("1.01")),
        Event(kind=ActionKind.SPLIT, symbol="TLT", terms=Decimal(2)),
    ):
        market.broker.corporate_action(event)
    ledger = ledger_of(market)
    assert audit(NOTHING, ledger).ok
    place = next(n for n, entry in enumerate(ledger.entries) if entry.kind == "dividend")
    entries = list(market.broker.read_ledger())
    entries[place] = replace(entries[place], amount=(entries[place].amount or Decimal(0)) + Decimal("0.01"))
    assert broken(audit(NOTHING, replace(ledger, entries=entries))) == {"I8"}
