"""How one transaction sees the paper broker's market: a Book is read under lock and written back.

Every writing transaction begins by locking the market's one row until it commits. Hence ledger
numbers are given in the order of commits (a sequence would not do that, and a feed's cursor could
pass a number that is not committed yet), and no other row needs a lock.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from trimtab.brokers.broker import OrderReport
from trimtab.brokers.paper_accounts import PaperAccount, insert_account, read_accounts, update_holdings
from trimtab.brokers.paper_actions import refuse_former
from trimtab.brokers.paper_assets import read_listings
from trimtab.brokers.paper_book import Book
from trimtab.brokers.paper_faults import Faults, stored_faults
from trimtab.brokers.paper_ledger import insert_entries, read_executions
from trimtab.brokers.paper_orders import (
    PaperOrder,
    accounts_with_due_orders,
    insert_orders,
    read_open_orders,
    read_orders,
    update_orders,
)
from trimtab.database import Row, Tx, micros

MICROS_PER_STAMP = 1000
CANCELED = "canceled on request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market at a moment: the ledger's last number, the faults, and the millisecond for its events,
    which never falls.
    """

    now: datetime
    seq: int
    faults: Faults
    stamp: int


def lock_market(tx: Tx, now: datetime) -> Market:
    """Keep every other writer out until the end of the transaction."""
    return _market(tx.rows("SELECT * FROM market WHERE id = 1 FOR UPDATE")[0], now)


def read_market(tx: Tx, now: datetime) -> Market:
    """The market as a snapshot shows it."""
    return _market(tx.rows("SELECT * FROM market")[0], now)


def _market(row: Row, now: datetime) -> Market:
    return Market(
        now=now,
        seq=row["last_seq"],
        faults=stored_faults(row["faults"]),
        stamp=max(row["stamp"], micros(now) // MICROS_PER_STAMP),
    )


def read_faults(tx: Tx) -> Faults:
    return stored_faults(tx.rows("SELECT faults FROM market")[0]["faults"])


def update_faults(tx: Tx, faults: Faults) -> None:
    tx.execute("UPDATE market SET faults = :faults", faults=faults.to_json())


def read_pulse(tx: Tx, now: datetime) -> tuple[Faults, bool]:
    """The faults, and whether an order is due that is not halted."""
    pulse = tx.rows(
        """
        SELECT faults, EXISTS (
            SELECT 1 FROM orders JOIN assets ON assets.symbol = orders.symbol
            WHERE orders.state = 'OPEN' AND orders.due_at <= :now
                AND assets.active = 1 AND assets.tradable = 1
        ) AS due
        FROM market
        """,
        now=micros(now),
    )[0]
    return stored_faults(pulse["faults"]), bool(pulse["due"])


def read_book(
    tx: Tx,
    market: Market,
    *,
    account_ids: Collection[str] = (),
    client_order_ids: Collection[str] = (),
    symbols: Collection[str] = (),
) -> Book:
    """Read these things, and the accounts of the open orders among them with all their open orders."""
    # Not asked for nothing: PostgreSQL would keep the plan it made for an empty list, a scan.
    orders = read_orders(tx, client_order_ids) if client_order_ids else {}
    concerned = {*account_ids, *(order.account_id for order in orders.values() if order.state.is_open)}
    accounts = read_accounts(tx, concerned)
    for client_order_id, order in read_open_orders(tx, accounts).items():
        orders[client_order_id] = order
        accounts[order.account_id].open_orders[client_order_id] = order
    return Book(
        now=market.now,
        faults=market.faults,
        seq=market.seq,
        stamp=market.stamp,
        accounts=accounts,
        listings=read_listings(tx, {*symbols, *(order.symbol for order in orders.values())}),
        orders=orders,
    )


def read_matched_book(
    tx: Tx,
    market: Market,
    *,
    account_ids: Collection[str] = (),
    client_order_ids: Collection[str] = (),
    symbols: Collection[str] = (),
) -> Book:
    """As `read_book`, after everything in the market that is due was matched."""
    book = read_book(
        tx,
        market,
        account_ids={*account_ids, *accounts_with_due_orders(tx, market.now)},
        client_order_ids=client_order_ids,
        symbols=symbols,
    )
    book.match_due()
    return book


def write_book(tx: Tx, book: Book) -> None:
    """Write what the book has changed."""
    if not book.entries:
        return
    insert_entries(tx, book.entries, stamp=book.stamp)
    insert_orders(tx, book.placed)
    placed = {order.client_order_id for order in book.placed}
    update_orders(tx, [order for key, order in book.changed.items() if key not in placed])
    update_holdings(tx, book.accounts.values())
    tx.execute("UPDATE market SET last_seq = :seq, stamp = :stamp", seq=book.seq, stamp=book.stamp)


def enter_account(tx: Tx, market: Market, account: PaperAccount) -> Market:
    """A new account with what it begins with; the market after it."""
    refuse_former(tx, account.positions)
    book = read_book(tx, market, symbols=account.positions)
    insert_account(tx, account)
    book.open_account(account)
    write_book(tx, book)
    return replace(market, seq=book.seq)


def cancel_orders(tx: Tx, market: Market, client_order_ids: Collection[str]) -> list[PaperOrder]:
    """Cancel those of them that are still open once what is due was matched; they are returned."""
    book = read_matched_book(tx, market, client_order_ids=client_order_ids)
    found = [book.orders[key] for key in client_order_ids if key in book.orders]
    canceled = [order for order in found if order.state.is_open]
    book.cancel(canceled, CANCELED)
    write_book(tx, book)
    return canceled


def read_reports(tx: Tx, orders: Collection[PaperOrder], *, faults: Faults) -> dict[str, OrderReport]:
    """The orders as the broker shows them, with their executions from the ledger."""
    executions = read_executions(tx, [order.client_order_id for order in orders if order.executions])
    for order in orders:
        listed = executions.get(order.client_order_id)
        if listed and faults.repeats_event(order.seq):
            listed.append(listed[0])
    return {
        order.client_order_id: OrderReport(
            client_order_id=order.client_order_id,
            broker_order_id=order.broker_order_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            notional=order.notional,
            state=order.state,
            filled=order.filled_quantity,
            executions=tuple(executions.get(order.client_order_id, ())),
            reason=order.reason,
            updated_at=order.updated_at,
        )
        for order in orders
    }
