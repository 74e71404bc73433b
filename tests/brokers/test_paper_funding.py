"""What is asked again under the same id was done already: the answer may have been lost with a process."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar
from uuid import uuid4

import pytest

from tests.brokers.market import OPENING, Market
from tests.brokers.replay import assert_same, replay
from trimtab.brokers import paper_funding as funding
from trimtab.brokers.paper_funding import BankTransfer, Journal, Relationship
from trimtab.brokers.paper_holders import NewHolder, firm_id, open_holder, read_holdings
from trimtab.core.errors import InsufficientCash, NotFound

T = TypeVar("T")
BANK = Relationship(id="bank", account_id="ann", created_at=OPENING, details={})


def twice(deed: Callable[[], T]) -> T:
    first = deed()
    assert deed() == first
    return first


def transfer(amount: str, transfer_id: str = "one") -> BankTransfer:
    return BankTransfer(
        id=transfer_id,
        account_id="ann",
        relationship_id="bank",
        amount=Decimal(amount),
        created_at=OPENING,
    )


@pytest.fixture
def bank(market: Market) -> Market:
    twice(lambda: market.broker.act(lambda tx, _market: funding.relate(tx, BANK)))
    return market


def test_a_transfer_moves_money_once(bank: Market) -> None:
    for amount, transfer_id in (("100", "in"), ("-50.5", "out")):
        new = transfer(amount, transfer_id)
        assert twice(lambda new=new: bank.broker.act(lambda tx, m: funding.transfer(tx, m, new))) == new  # type: ignore[misc]
    assert bank.cash() == Decimal("1049.5")
    assert_same(replay(bank.broker.read_ledger()), bank.broker.read_accounts())


def test_more_than_is_free_is_not_paid_out(bank: Market) -> None:
    bank.broker.set_faults({"fill_delay_s": 60})
    bank.buy(notional="900")
    with pytest.raises(InsufficientCash):
        bank.broker.act(lambda tx, m: funding.transfer(tx, m, transfer("-100.01")))
    bank.broker.act(lambda tx, m: funding.transfer(tx, m, transfer("-100")))
    bank.clock.now += timedelta(seconds=60)
    assert bank.broker.accounts(["ann"])["ann"].holdings.cash == 0


def test_a_relationship_that_is_gone_carries_nothing(bank: Market) -> None:
    bank.broker.act(lambda tx, _market: funding.unrelate(tx, "ann", "bank"))
    with pytest.raises(NotFound):
        bank.broker.act(lambda tx, m: funding.transfer(tx, m, transfer("1")))


def test_journals_move_money_once_and_all_or_none(market: Market) -> None:
    firm = firm_id("tenant")

    def journal(journal_id: str, account_id: str, amount: str) -> Journal:
        return Journal(
            id=journal_id,
            from_account=firm,
            to_account=account_id,
            amount=Decimal(amount),
            description="",
            created_at=OPENING,
        )

    new = [journal("one", "ann", "5"), journal("two", "bob", "7")]
    assert (
        twice(lambda: market.broker.act(lambda tx, m: funding.journal(tx, m, new, tenant_id="tenant"))) == new
    )
    assert [str(market.cash(each)) for each in ("ann", "bob", firm)] == ["1005", "57", "999988"]
    too_much = [journal("three", "ann", "5"), journal("four", "bob", "10000000")]
    with pytest.raises(InsufficientCash):
        market.broker.act(lambda tx, m: funding.journal(tx, m, too_much, tenant_id="tenant"))
    assert [str(market.cash(each)) for each in ("ann", "bob", firm)] == ["1005", "57", "999988"]
    assert_same(replay(market.broker.read_ledger()), market.broker.read_accounts())


def test_an_account_is_opened_once(market: Market) -> None:
    ids = [str(uuid4()), str(uuid4())]

    def opened(account_id: str) -> bool:
        new = NewHolder(account_id=account_id, tenant_id="tenant", email="a@b.c", details={})
        return market.broker.act(lambda tx, m: open_holder(tx, m, new))

    assert twice(lambda: opened(ids[0]))
    assert not twice(lambda: opened(ids[1]))
    found = {
        each.account.account_id: each for each in market.broker.ask(lambda tx: read_holdings(tx, "tenant"))
    }
    assert set(found) == {"ann", "bob", firm_id("tenant"), ids[0]}
    assert found[firm_id("tenant")].is_firm
    assert {each.opened_at for each in found.values()} == {OPENING}
