"""What the owner of an account does at the paper broker himself: orders under ids of his own, positions and
what they cost.

Such an order is named after its account and the client's own id (see `name_of`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trimtab.brokers.broker import Account, Refused, Unknown
from trimtab.brokers.paper_assets import Listing, new_listing, read_listings
from trimtab.brokers.paper_ledger import EntryKind, LedgerEntry, entry_of
from trimtab.brokers.paper_market import (
    Market,
    cancel_orders,
    read_book,
    read_market,
    read_matched_book,
    write_book,
)
from trimtab.brokers.paper_orders import PaperOrder, name_of, order_of, read_open_orders, read_orders
from trimtab.core.errors import NotFound
from trimtab.core.money import ZERO
from trimtab.core.run import Order, OrderState, Side
from trimtab.database import Tx, micros

LATEST = 2**62
# They change no position by themselves.
WITHOUT_SHARES = {EntryKind.OPENED, EntryKind.TRANSFER, EntryKind.DIVIDEND}


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What a client asks for under an id of its own; exactly one of `quantity` and `notional`."""

    account_id: str
    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    worst_price: Decimal | None

    def as_order(self, now: datetime) -> Order:
        return Order(
            client_order_id=name_of(self.account_id, self.client_order_id),
            # It belongs to no run of Trimtab's.
            run_id="",
            leg=0,
            generation=0,
            account_id=self.account_id,
            symbol=self.symbol,
            side=self.side,
            quantity=self.quantity,
            notional=self.notional,
            state=OrderState.SENDING,
            sent_at=now,
            worst_price=self.worst_price,
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """The account has an order with this id; `is_same` if it was asked for in the same words."""

    order: PaperOrder
    is_same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """`open` None for orders in every state; submitted after one instant and up to another."""

    open: bool | None
    after: datetime | None
    until: datetime | None
    newest_first: bool
    side: Side | None
    symbols: frozenset[str] | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What is held of one asset, what of it is free to be sold, and what it cost."""

    listing: Listing
    quantity: Decimal
    available: Decimal
    cost: Decimal

    @property
    def market_value(self) -> Decimal | None:
        return None if self.listing.price is None else self.quantity * self.listing.price


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An account as it is now: what it may spend, what it may sell, and the assets it holds."""

    account: Account
    free_cash: Decimal
    free_shares: Mapping[str, Decimal]
    listings: Mapping[str, Listing]

    @property
    def market_value(self) -> Decimal:
        """Of all positions; what has no price counts as nothing."""
        held = self.account.holdings.positions
        return sum((n * (self.listings[symbol].price or ZERO) for symbol, n in held.items()), ZERO)


def place(tx: Tx, market: Market, asked: OrderRequest) -> PaperOrder | Taken | Refused | Unknown:
    """Take the order, unless the account has one with its id."""
    order = asked.as_order(market.now)
    ids = [order.client_order_id, asked.client_order_id]
    book = read_matched_book(
        tx, market, account_ids=[asked.account_id], client_order_ids=ids, symbols=[asked.symbol]
    )
    known = [book.orders[key] for key in ids if key in book.orders]
    taken = next((each for each in known if each.account_id == asked.account_id), None)
    answer = Taken(taken, taken.is_same_as(order)) if taken is not None else book.take(order)
    write_book(tx, book)
    return answer


def list_orders(tx: Tx, account_id: str, wanted: OrderFilter) -> list[PaperOrder]:
    """Orders of an account, Trimtab's among them, in the order of acceptance or the other way round."""
    rows = tx.rows(
        """
        SELECT * FROM orders WHERE account_id = :account_id
            AND (:any_state = 1 OR (state = 'OPEN') = (:open = 1))
            AND submitted_at > :after AND submitted_at <= :until
            AND (:side = '' OR side = :side)
            AND (:any_symbol = 1 OR symbol IN :symbols)
        ORDER BY seq * :direction LIMIT :limit
        """,
        account_id=account_id,
        any_state=int(wanted.open is None),
        open=int(wanted.open is True),
        after=-1 if wanted.after is None else micros(wanted.after),
        until=LATEST if wanted.until is None else micros(wanted.until),
        side=wanted.side or "",
        any_symbol=int(wanted.symbols is None),
        symbols=sorted(wanted.symbols or ()),
        direction=-1 if wanted.newest_first else 1,
        limit=wanted.limit,
    )
    return [order_of(row) for row in rows]


def read_order(tx: Tx, account_id: str, broker_order_id: str) -> PaperOrder:
    row = tx.row(
        "SELECT * FROM orders WHERE account_id = :account_id AND broker_order_id = :id",
        account_id=account_id,
        id=broker_order_id,
    )
    if row is None:
        raise NotFound("order", broker_order_id)
    return order_of(row)


def read_order_named(tx: Tx, account_id: str, client_order_id: str) -> PaperOrder:
    """The account's order with this id, whoever sent it."""
    found = read_orders(tx, [name_of(account_id, client_order_id), client_order_id])
    own = next((order for order in found.values() if order.account_id == account_id), None)
    if own is None:
        raise NotFound("order", client_order_id)
    return own


def cancel_one(tx: Tx, market: Market, account_id: str, *, broker_order_id: str) -> bool:
    """False if it was final already. Raises NotFound."""
    order = read_order(tx, account_id, broker_order_id)
    return bool(cancel_orders(tx, market, [order.client_order_id]))


def cancel_all(tx: Tx, market: Market, account_id: str) -> list[PaperOrder]:
    return cancel_orders(tx, market, list(read_open_orders(tx, [account_id])))


def read_standing(tx: Tx, account_id: str, *, now: datetime) -> Standing:
    book = read_book(tx, read_market(tx, now), account_ids=[account_id])
    account = book.accounts[account_id]
    book.listings |= read_listings(tx, account.positions)
    return Standing(
        account=account.as_seen(),
        free_cash=max(book.free_cash(account), ZERO),
        free_shares={symbol: max(book.free_shares(account, symbol), ZERO) for symbol in account.positions},
        listings={symbol: book.listings.get(symbol, new_listing(symbol)) for symbol in account.positions},
    )


def read_positions(tx: Tx, account_id: str, *, now: datetime) -> list[Position]:
    """What the account holds, with what it cost: all that was ever traded in it is read for that."""
    standing = read_standing(tx, account_id, now=now)
    costs = costs_of(_changes(tx, account_id)) if standing.free_shares else {}
    return [
        Position(
            listing=standing.listings[symbol],
            quantity=quantity,
            available=standing.free_shares[symbol],
            cost=costs.get(symbol, ZERO),
        )
        for symbol, quantity in sorted(standing.account.holdings.positions.items())
    ]


def read_paid_in(tx: Tx, account_id: str) -> Decimal:
    """All cash that came without a trade, less what went; what the account began with came too."""
    rows = tx.rows(
        """
        SELECT amount FROM ledger WHERE account_id = :account_id AND kind IN ('opened', 'transfer')
            AND kind IN ('opened', 'seeded', 'transfer', 'split', 'renamed', 'paid_out', 'dividend')
        """,
        account_id=account_id,
    )
    return sum((Decimal(row["amount"]) for row in rows), ZERO)


def costs_of(entries: Sequence[LedgerEntry]) -> dict[str, Decimal]:
    """Dollars that what is held of each symbol cost, by the average price of all that was bought. Shares
    that an account was opened with cost what they were worth then; without a price at that time, nothing.
    """
    held: dict[str, Decimal] = {}
    costs: dict[str, Decimal] = {}
    for entry in entries:
        if entry.kind in WITHOUT_SHARES:
            continue
        assert entry.symbol is not None, "shares are of something"
        symbol, shares = entry.symbol, _shares_in(entry)
        before = held.pop(symbol, ZERO)
        cost = costs.pop(symbol, ZERO)
        after = before + shares
        if not after:
            continue
        if entry.kind is not EntryKind.SPLIT:
            cost = cost + shares * (entry.price or ZERO) if shares > 0 else cost * after / before
        held[entry.new_symbol or symbol], costs[entry.new_symbol or symbol] = after, cost
    return costs


def _shares_in(entry: LedgerEntry) -> Decimal:
    """By how many shares an entry changes a position; a rename only moves it."""
    assert entry.quantity is not None, "entries that change positions say by how much"
    if entry.kind is EntryKind.RENAMED:
        return ZERO
    gives = entry.side is Side.SELL or entry.kind is EntryKind.PAID_OUT
    return -entry.quantity if gives else entry.quantity


def _changes(tx: Tx, account_id: str) -> list[LedgerEntry]:
    """What has changed cash and positions of an account, in order."""
    rows = tx.rows(
        """
        SELECT ledger.* FROM ledger
        WHERE account_id = :account_id
            AND kind IN ('opened', 'seeded', 'transfer', 'split', 'renamed', 'paid_out', 'dividend')
        UNION ALL
        SELECT ledger.* FROM orders
        JOIN ledger ON ledger.client_order_id = orders.client_order_id AND ledger.kind = 'executed'
        WHERE orders.account_id = :account_id AND orders.executions > 0
        ORDER BY seq
        """,
        account_id=account_id,
    )
    return [entry_of(row) for row in rows]
