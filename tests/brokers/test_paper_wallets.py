"""Wallets at the paper broker: an account for each, the same one whoever asks and however often."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import pytest

from tests.brokers.market import OPENING, Market
from trimtab.brokers.broker import Broker
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import SCHEMA
from trimtab.core.errors import BrokerDown
from trimtab.core.plan import Holdings
from trimtab.database import open_database

OWNER = "eip155:0:0x52908400098527886E0F7030069857D2E4169EE7"
# uuid5 of `["tenant", OWNER, 0]`: the same on every machine.
ACCOUNT = "364cf1fa-520b-55f7-a27d-8ec839e3773c"


def test_a_new_wallet_has_an_active_account_without_money(market: Market) -> None:
    since = market.broker.feed(0).cursor
    account_id = market.broker.wallet(OWNER, "tenant", index=0)
    assert account_id == ACCOUNT
    account = market.broker.accounts([account_id])[account_id]
    assert (account.is_active, account.holdings) == (True, Holdings(cash=Decimal(0), positions={}))
    assert market.broker.tenant_of(account_id) == "tenant"
    assert market.broker.feed(since).changed == {account_id}


def test_whoever_asks_again_finds_it_as_it_is(market: Market) -> None:
    broker: Broker = market.broker
    account_id = broker.wallet(OWNER, "tenant", index=0)
    assert account_id is not None
    market.broker.transfer("in", account_id, amount=Decimal(5))
    market.broker.set_status(account_id, "INACTIVE")
    before = market.broker.read_ledger()
    assert broker.wallet(OWNER, "tenant", index=0) == account_id
    assert market.broker.read_ledger() == before
    assert market.cash(account_id) == Decimal(5)
    assert not market.broker.account(account_id).is_active


def test_each_tenant_owner_and_index_has_its_own(market: Market) -> None:
    asked = [
        (OWNER, "tenant", 0),
        (OWNER, "tenant", 1),
        (OWNER, "other", 0),
        (OWNER[:-1] + "8", "tenant", 0),
        ('a", 1', "tenant", 0),
        ("a", "tenant", 10),
        ("a", "tenant", 1),
    ]
    ids = [market.broker.wallet(owner, tenant_id, index=index) for owner, tenant_id, index in asked]
    assert len(set(ids)) == len(asked)
    assert [market.broker.tenant_of(each) for each in ids] == [tenant_id for _, tenant_id, _ in asked]


def test_a_broker_that_is_down_opens_and_finds_nothing(market: Market) -> None:
    market.broker.wallet(OWNER, "tenant", index=0)
    market.broker.set_faults({"outage": True})
    before = market.broker.read_ledger()
    for index in (0, 1):
        with pytest.raises(BrokerDown):
            market.broker.wallet(OWNER, "tenant", index=index)
    assert market.broker.read_ledger() == before


def test_many_who_ask_at_once_get_one(market: Market, paper_url: str) -> None:
    def ask() -> str:
        with closing(open_database(paper_url, schema=SCHEMA)) as own:
            return PaperBroker(own, lambda: OPENING).wallet(OWNER, "tenant", index=0)

    with ThreadPoolExecutor(6) as pool:
        found = [asked.result() for asked in [pool.submit(ask) for _ in range(12)]]
    assert set(found) == {ACCOUNT}
    opened = [e.account_id for e in market.broker.read_ledger() if e.kind == "opened"]
    assert opened == ["ann", "bob", ACCOUNT]
