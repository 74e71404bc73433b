"""What the owner of the paper market may do, and what its ledger and its feed say afterwards."""

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from tests.brokers.market import OPENING, Market, named, order
from trimtab.brokers.broker import Account, Transfer
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.core.errors import CannotOpenDatabase, InsufficientCash, Malformed, NotFound
from trimtab.core.plan import Holdings
from trimtab.core.run import OrderState, Side
from trimtab.database import Database, Tx, open_database


class TestSchema:
    def test_preparing_again_changes_nothing(self, market: Market) -> None:
        before = market.broker.read_ledger()
        prepare(market.db)
        assert market.broker.read_ledger() == before

    def test_another_version_is_refused(self, paper_database: Database) -> None:
        paper_database.write(lambda tx: tx.execute("UPDATE market SET schema_version = 99"))
        with pytest.raises(CannotOpenDatabase, match="of version 99, this program needs 4"):
            prepare(paper_database)

    def test_it_is_all_there_after_a_restart(self, market: Market, paper_url: str) -> None:
        market.send(order("one", Side.SELL, quantity="1"))
        reopened = open_database(paper_url, schema=SCHEMA)
        prepare(reopened)
        again = PaperBroker(reopened, lambda: OPENING)
        assert again.lookup(named("one")) == market.broker.lookup(named("one"))
        assert again.read_accounts() == market.broker.read_accounts()
        assert again.read_ledger() == market.broker.read_ledger()
        reopened.close()

    @pytest.mark.parametrize("statement", ["UPDATE ledger SET quantity = '1'", "DELETE FROM ledger"])
    def test_the_ledger_cannot_be_rewritten(self, market: Market, statement: str) -> None:
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="never rewritten"):
            market.db.write(lambda tx: tx.execute(statement))

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE accounts SET cash = '-0.01'",
            "UPDATE positions SET quantity = '-1'",
            "UPDATE positions SET quantity = '0'",
            "UPDATE assets SET price = '0'",
        ],
    )
    def test_the_database_refuses_nonsense(self, market: Market, statement: str) -> None:
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.CheckViolation)):
            market.db.write(lambda tx: tx.execute(statement))


class TestAccounts:
    def test_as_the_broker_shows_them(self, market: Market) -> None:
        ann = Account(
            account_id="ann",
            status="ACTIVE",
            holdings=Holdings(cash=Decimal(1000), positions={"SPY": Decimal(10)}),
        )
        assert market.broker.accounts(["ann", "eve"]) == {"ann": ann}
        assert market.broker.accounts([]) == {}
        assert market.broker.account("ann") == ann
        assert set(market.broker.read_accounts()) == {"ann", "bob"}

    def test_whose_they_are(self, market: Market) -> None:
        assert (market.broker.tenant_of("ann"), market.broker.tenant_of("eve")) == ("tenant", None)

    def test_unknown_ones(self, market: Market) -> None:
        with pytest.raises(NotFound):
            market.broker.account("eve")
        with pytest.raises(NotFound):
            market.broker.set_status("eve", "INACTIVE")
        with pytest.raises(NotFound):
            market.broker.transfer("ref", "eve", amount=Decimal(1))

    @pytest.mark.parametrize(
        ("cash", "positions", "path"),
        [
            ("-0.01", {}, "cash"),
            ("1", {"SPY": "1", "TLT": "0"}, "positions[1].qty"),
            ("1", {"SPY": "-1"}, "positions[0].qty"),
            ("1", {"SPY": "0.0000000001"}, "positions[0].qty"),
        ],
    )
    def test_impossible_ones(self, market: Market, cash: str, positions: dict[str, str], path: str) -> None:
        held = {symbol: Decimal(quantity) for symbol, quantity in positions.items()}
        with pytest.raises(Malformed) as caught:
            market.broker.open_account("new", "tenant", cash=Decimal(cash), positions=held)
        assert caught.value.path == path
        assert market.broker.tenant_of("new") is None

    def test_status(self, market: Market) -> None:
        market.broker.set_status("ann", "INACTIVE")
        assert market.broker.accounts(["ann"])["ann"].is_active is False
        with pytest.raises(Malformed):
            market.broker.set_status("ann", "ASLEEP")

    def test_closing_cancels_what_is_open(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        market.send(order("open", Side.SELL, quantity="1"))
        market.broker.set_status("ann", "ACCOUNT_CLOSED")
        market.clock.forward(60)
        report = market.broker.lookup(named("open"))["open"]
        assert (report.state, report.reason) == (OrderState.CANCELED, "the account was closed")
        assert market.cash() == Decimal(1000)

    def test_an_inactive_account_keeps_its_open_orders(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        market.send(order("open", Side.SELL, quantity="1"))
        market.broker.set_status("ann", "INACTIVE")
        market.clock.forward(30)
        assert market.broker.lookup(named("open"))["open"].state is OrderState.FILLED


class TestTransfers:
    def test_in_and_out_to_the_last_digit(self, market: Market) -> None:
        market.broker.transfer("in", "ann", amount=Decimal("0.000000001"))
        assert market.cash() == Decimal("1000.000000001")
        market.broker.transfer("out", "ann", amount=Decimal("-1000.000000001"))
        assert market.cash() == Decimal(0)

    def test_not_below_zero(self, market: Market) -> None:
        with pytest.raises(InsufficientCash):
            market.broker.transfer("out", "ann", amount=Decimal("-1000.01"))
        assert market.cash() == Decimal(1000)
        assert market.broker.feed(0).transfers == ()

    def test_not_nothing(self, market: Market) -> None:
        with pytest.raises(Malformed):
            market.broker.transfer("ref", "ann", amount=Decimal(0))

    def test_once_per_ref(self, market: Market) -> None:
        for _ in range(2):
            market.broker.transfer("ref", "ann", amount=Decimal(5))
        assert market.cash() == Decimal(1005)
        for account_id, amount in (("ann", Decimal(6)), ("bob", Decimal(5))):
            with pytest.raises(Malformed):
                market.broker.transfer("ref", account_id, amount=amount)


class TestAssets:
    def test_the_first_price_makes_an_asset(self, market: Market) -> None:
        everything = market.broker.set_prices({"GLD": Decimal("180.25"), "SPY": Decimal(401)})
        assert everything == {"GLD": Decimal("180.25"), "SPY": Decimal(401), "TLT": Decimal("125.50")}
        gold = market.broker.assets(["GLD", "XYZ"])["GLD"]
        assert (gold.active, gold.tradable, gold.fractionable) == (True, True, True)
        # uuid5 of the name: the same on every machine.
        assert gold.asset_id == "16f183b1-15f1-5569-a2bc-22ab6ba5f376"

    def test_a_price_leaves_the_rest_of_an_asset_alone(self, market: Market) -> None:
        market.broker.set_asset("SPY", fractionable=False)
        changed = market.broker.set_asset("SPY", tradable=False)
        market.broker.set_prices({"SPY": Decimal(402)})
        assert market.broker.assets(["SPY"]) == {"SPY": changed}
        assert (changed.active, changed.tradable, changed.fractionable) == (True, False, False)
        assert market.broker.prices(["SPY"]) == {"SPY": Decimal(402)}

    def test_an_asset_without_a_price(self, market: Market) -> None:
        market.broker.set_asset("XYZ", active=False)
        assert market.broker.assets(["XYZ"])["XYZ"].active is False
        assert market.broker.prices(["XYZ", "TLT"]) == {"TLT": Decimal("125.50")}

    @pytest.mark.parametrize("price", ["0", "-1", "1000000000", "0.0000000000000000001"])
    def test_impossible_prices(self, market: Market, price: str) -> None:
        with pytest.raises(Malformed) as caught:
            market.broker.set_prices({"TLT": Decimal(1), "SPY": Decimal(price)})
        assert caught.value.path == "SPY"
        assert market.broker.prices(["TLT"]) == {"TLT": Decimal("125.50")}


class TestFeed:
    def test_what_happened_since(self, market: Market) -> None:
        start = market.broker.feed(0)
        assert (start.cursor, sorted(start.changed), start.transfers) == (3, ["ann", "bob"], ())
        market.broker.transfer("in", "bob", amount=Decimal(5))
        market.clock.forward(60)
        market.broker.transfer("out", "bob", amount=Decimal(-2))
        news = market.broker.feed(start.cursor)
        assert news.changed == {"bob"}
        assert news.transfers == (
            Transfer(ref="in", account_id="bob", amount=Decimal(5), at=OPENING),
            Transfer(ref="out", account_id="bob", amount=Decimal(-2), at=OPENING + timedelta(seconds=60)),
        )
        assert market.broker.feed(news.cursor) == type(news)(cursor=5, changed=frozenset(), transfers=())

    def test_only_executions_change_holdings(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        since = market.broker.feed(0).cursor
        market.sell(quantity="1")
        accepted = market.broker.feed(since)
        assert (accepted.cursor, accepted.changed) == (4, frozenset())
        market.clock.forward(30)
        assert market.broker.feed(accepted.cursor).changed == {"ann"}


class TestLedger:
    def test_every_kind_of_entry(self, market: Market) -> None:
        market.broker.transfer("in", "ann", amount=Decimal(10))
        market.send(order("filled", Side.BUY, symbol="TLT", notional="125.50"))
        market.broker.set_faults({"reject": ["TLT"], "fill_delay_s": 9})
        market.send(order("rejected", Side.BUY, symbol="TLT", quantity="1"))
        market.send(order("canceled", Side.SELL, quantity="2"))
        market.broker.cancel(named("canceled"))
        assert [
            (e.seq, str(e.kind), e.account_id, e.client_order_id, e.symbol, e.side, e.quantity, e.notional)
            for e in market.broker.read_ledger()
        ] == [
            (1, "opened", "ann", None, None, None, None, None),
            (2, "seeded", "ann", None, "SPY", None, 10, None),
            (3, "opened", "bob", None, None, None, None, None),
            (4, "transfer", "ann", None, None, None, None, None),
            (5, "accepted", "ann", "filled", "TLT", "buy", None, Decimal("125.5")),
            (6, "executed", "ann", "filled", "TLT", "buy", 1, None),
            (7, "accepted", "ann", "rejected", "TLT", "buy", 1, None),
            (8, "rejected", "ann", "rejected", "TLT", "buy", 1, None),
            (9, "accepted", "ann", "canceled", "SPY", "sell", 2, None),
            (10, "canceled", "ann", "canceled", "SPY", "sell", 2, None),
        ]
        entries = {entry.seq: entry for entry in market.broker.read_ledger()}
        assert (entries[1].amount, entries[4].amount) == (Decimal(1000), Decimal(10))
        assert entries[4].ref == "in"
        assert (entries[6].price, entries[6].amount) == (Decimal("125.5"), Decimal("-125.5"))
        assert entries[6].execution_id == f"{entries[5].broker_order_id}:1"
        assert {entry.at for entry in entries.values()} == {OPENING}

    def test_the_list_of_all_orders(self, market: Market) -> None:
        market.broker.open_account("eve", "other", cash=Decimal(100), positions={})
        market.send(order("filled", Side.BUY, symbol="TLT", notional="100"))
        market.send(order("refused", Side.SELL, quantity="99"))
        market.send(order("eves", Side.BUY, account_id="eve", notional="100"))
        market.broker.set_faults({"partial_fill": 1})
        market.send(order("canceled", Side.SELL, quantity="5"))
        market.clock.forward(0.5)
        market.broker.cancel(named("canceled"))
        first, second = market.broker.ledger_page("tenant", after=0, limit=10)
        assert (first.client_order_id, first.account_id, first.symbol) == ("filled", "ann", "TLT")
        assert (first.qty, first.notional, first.side) == (None, Decimal(100), Side.BUY)
        assert (first.filled_qty, first.filled_avg_price) == (Decimal("0.796812749"), Decimal("125.5"))
        assert (first.status, first.filled_at, first.canceled_at) == (OrderState.FILLED, OPENING, None)
        assert first.id == market.broker.lookup(named("filled"))["filled"].broker_order_id
        assert (second.client_order_id, second.status) == ("canceled", OrderState.CANCELED)
        assert (second.qty, second.filled_qty) == (Decimal(5), Decimal("2.5"))
        assert (second.submitted_at, second.filled_at) == (OPENING, None)
        assert second.canceled_at == OPENING + timedelta(seconds=0.5)
        assert market.broker.ledger_page("tenant", after=0, limit=1) == [first]
        assert market.broker.ledger_page("tenant", after=first.seq, limit=9) == [second]
        assert [
            listed.client_order_id for listed in market.broker.ledger_page("other", after=0, limit=9)
        ] == ["eves"]

    def test_the_average_of_two_prices_is_cut_off(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1})
        outcome = market.buy(quantity="0.000000003")
        market.broker.set_prices({"SPY": Decimal(401)})
        market.clock.forward(1)
        market.report(outcome)
        # (1 × 400 + 2 × 401) / 3 = 400.666…
        average = market.broker.ledger_page("tenant", after=0, limit=1)[0].filled_avg_price
        assert average == Decimal("400.666666666666666666")


def test_questions_write_only_when_something_is_due(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.broker.set_faults({"fill_delay_s": 30})
    market.send(order("open", Side.SELL, quantity="1"))
    writes_seen = 0
    write = market.db.write

    def count(work: Callable[[Tx], object]) -> object:
        nonlocal writes_seen
        writes_seen += 1
        return write(work)

    monkeypatch.setattr(market.db, "write", count)
    for seconds, writes in ((0, 0), (29, 0), (1, 1), (3600, 1)):
        market.clock.forward(seconds)
        market.broker.lookup(named("open"))
        market.broker.accounts(["ann"])
        market.broker.feed(0)
        market.broker.prices(["SPY"])
        assert writes_seen == writes
    market.send(order("halted", Side.SELL, quantity="1"))
    market.broker.set_asset("SPY", tradable=False)
    before = writes_seen
    market.clock.forward(3600)
    market.broker.lookup(named("halted"))
    assert writes_seen == before
