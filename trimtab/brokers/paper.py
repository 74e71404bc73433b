"""The paper broker: a market in a database of its own, default broker, test double and fault injector.

Nothing happens in it between calls: what is due is matched by the next question or order, with the
clock's now and the prices of that moment. Questions are answered from a snapshot and open a writing
transaction only if an order is due. All state lies in the database, so processes may share it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeVar

from trimtab.brokers.broker import (
    PRICE_MAX,
    Accepted,
    Account,
    Asset,
    Feed,
    OrderReport,
    Outcome,
    Traits,
    Unknown,
)
from trimtab.brokers.paper_accounts import (
    PaperAccount,
    read_account_ids,
    read_accounts,
    read_tenant,
    update_status,
    wallet_id,
)
from trimtab.brokers.paper_actions import Event, complete_prices, read_assets, refuse_former
from trimtab.brokers.paper_assets import (
    Listing,
    new_listing,
    read_all_listings,
    read_listings,
    read_prices,
    store_listings,
)
from trimtab.brokers.paper_book import Book
from trimtab.brokers.paper_corporate import Done, perform
from trimtab.brokers.paper_faults import Faults, parse_faults
from trimtab.brokers.paper_ledger import LedgerEntry, last_entry, read_feed, read_ledger, read_transfer
from trimtab.brokers.paper_market import (
    Market,
    cancel_orders,
    enter_account,
    lock_market,
    read_book,
    read_faults,
    read_matched_book,
    read_pulse,
    read_reports,
    update_faults,
    write_book,
)
from trimtab.brokers.paper_orders import LedgerOrder, PaperOrder, read_open_orders, read_orders, read_page
from trimtab.core.errors import BrokerDown, InsufficientCash, Malformed, NotFound
from trimtab.core.money import CENT_PLACES, QUANTITY_PLACES, ZERO, places
from trimtab.core.run import Order
from trimtab.database import Database, Tx

T = TypeVar("T")

STATUSES = ("ACTIVE", "INACTIVE", "ACCOUNT_CLOSED")
QUARANTINE = timedelta(seconds=5)
BATCH = 500
AMOUNT_PLACES = 18


class PaperBroker:
    """Implements Broker, and beside it what the owner of the market may do."""

    def __init__(
        self, db: Database, clock: Callable[[], datetime], *, quarantine: timedelta = QUARANTINE
    ) -> None:
        self._db = db
        self._clock = clock
        self._traits = Traits(name="paper", drops_duplicates=True, quarantine=quarantine, batch=BATCH)

    @property
    def traits(self) -> Traits:
        return self._traits

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        return self.ask(lambda tx: _seen_with_orders(tx, account_ids))

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        return self.ask(lambda tx: read_assets(tx, symbols))

    def prices(self, symbols: Collection[str]) -> dict[str, Decimal]:
        return self.ask(lambda tx: read_prices(tx, symbols))

    def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        now = self._clock()
        return self._db.write(lambda tx: _submit(tx, orders, now=now)) if orders else []

    def lookup(self, orders: Collection[Order]) -> dict[str, OrderReport]:
        ids = [order.client_order_id for order in orders]
        return self.ask(lambda tx: read_reports(tx, read_orders(tx, ids).values(), faults=read_faults(tx)))

    def cancel(self, orders: Collection[Order]) -> None:
        ids = [order.client_order_id for order in orders]
        self.act(lambda tx, market: cancel_orders(tx, market, ids))

    def feed(self, since: int) -> Feed:
        return self.ask(lambda tx: read_feed(tx, since))

    def wallet(self, owner: str, tenant_id: str, *, index: int) -> str:
        account_id = wallet_id(owner, tenant_id, index=index)
        new = PaperAccount(account_id=account_id, tenant_id=tenant_id, status="ACTIVE", cash=ZERO)

        def work(tx: Tx, market: Market) -> None:
            if read_tenant(tx, account_id) is None:
                enter_account(tx, market, new)

        self.act(work)
        return account_id

    def ask(self, question: Callable[[Tx], T]) -> T:
        """Answer from a snapshot, after matching what is due."""
        now = self._clock()

        def look(tx: Tx) -> tuple[T] | None:
            faults, is_due = read_pulse(tx, now)
            if faults.outage:
                raise BrokerDown
            return None if is_due else (question(tx),)

        def match(tx: Tx) -> T:
            write_book(tx, read_matched_book(tx, lock_market(tx, now)))
            return question(tx)

        answer = self._db.read(look)
        return self._db.write(match) if answer is None else answer[0]

    def act(self, deed: Callable[[Tx, Market], T]) -> T:
        """Do something in the market while nobody else does. Raises BrokerDown during an outage."""
        now = self._clock()

        def work(tx: Tx) -> T:
            market = lock_market(tx, now)
            if market.faults.outage:
                raise BrokerDown
            return deed(tx, market)

        return self._db.write(work)

    def open_account(
        self, account_id: str, tenant_id: str, *, cash: Decimal, positions: Mapping[str, Decimal]
    ) -> None:
        if cash < 0 or places(cash) > AMOUNT_PLACES:
            raise Malformed(path="cash", problem="must be zero or a positive amount")
        for index, quantity in enumerate(positions.values()):
            if quantity <= 0 or places(quantity) > QUANTITY_PLACES:
                raise Malformed(
                    path=f"positions[{index}].qty",
                    problem=f"must be more than zero, with at most {QUANTITY_PLACES} decimal places",
                )
        now = self._clock()
        account = PaperAccount(
            account_id=account_id,
            tenant_id=tenant_id,
            status="ACTIVE",
            cash=cash,
            positions=dict(positions),
        )

        self._db.write(lambda tx: enter_account(tx, lock_market(tx, now), account))

    def account(self, account_id: str) -> Account:
        """The account as it is, also during an outage; NotFound if there is none."""
        found = self._db.read(lambda tx: _seen(read_accounts(tx, [account_id])))
        if account_id not in found:
            raise NotFound(noun="account", id=account_id)
        return found[account_id]

    def current_prices(self, symbols: Collection[str]) -> dict[str, Decimal]:
        """Prices as they are, also during an outage."""
        return self._db.read(lambda tx: read_prices(tx, symbols))

    def tenant_of(self, account_id: str) -> str | None:
        """Whose account it is; None if there is no such account."""
        return self._db.read(lambda tx: read_tenant(tx, account_id))

    def set_status(self, account_id: str, status: str) -> None:
        """Closing an account cancels its open orders."""
        if status not in STATUSES:
            raise Malformed(path="status", problem=f"must be one of {', '.join(STATUSES)}")
        now = self._clock()

        def work(tx: Tx) -> None:
            book = read_book(tx, lock_market(tx, now), account_ids=[account_id])
            account = _account_in(book, account_id)
            update_status(tx, account_id, status=status)
            book.set_status(account, status)
            write_book(tx, book)

        self._db.write(work)

    def transfer(self, ref: str, account_id: str, *, amount: Decimal) -> None:
        """Pay in, or out if negative; the same transfer under the same `ref` again changes nothing."""
        if amount == 0 or places(amount) > AMOUNT_PLACES:
            raise Malformed(path="amount", problem="must be an amount other than zero")
        now = self._clock()

        def work(tx: Tx) -> None:
            book = read_book(tx, lock_market(tx, now), account_ids=[account_id])
            account = _account_in(book, account_id)
            earlier = read_transfer(tx, ref)
            if earlier is not None:
                if (earlier.account_id, earlier.amount) != (account_id, amount):
                    raise Malformed(path="ref", problem="was used for another transfer")
                return
            if account.cash + amount < 0:
                raise InsufficientCash(account_id=account_id)
            book.transfer(account, ref=ref, amount=amount)
            write_book(tx, book)

        self._db.write(work)

    def set_prices(self, prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Set these prices and return all; a symbol's first price makes it an asset that trades, and a
        price completes a split that had its quantities only.
        """
        for symbol, price in prices.items():
            if not symbol:
                raise Malformed(path="symbol", problem="must not be empty")
            if not 0 < price < PRICE_MAX or places(price) > AMOUNT_PLACES:
                raise Malformed(path=symbol, problem="must be more than zero and less than a billion")
        now = self._clock()

        def work(tx: Tx) -> dict[str, Listing]:
            lock_market(tx, now)
            refuse_former(tx, prices)
            known = read_listings(tx, prices)
            priced = (replace(known.get(s, new_listing(s)), price=price) for s, price in prices.items())
            store_listings(tx, priced)
            complete_prices(tx, prices)
            return read_all_listings(tx)

        listings = self._db.write(work)
        return {symbol: listing.price for symbol, listing in listings.items() if listing.price is not None}

    def set_asset(
        self,
        symbol: str,
        *,
        tradable: bool | None = None,
        fractionable: bool | None = None,
        active: bool | None = None,
        depth: Decimal | Literal["endless"] | None = None,
    ) -> Asset:
        """Change what is given; an unknown symbol becomes an asset without a price."""
        if isinstance(depth, Decimal) and (depth <= 0 or places(depth) > CENT_PLACES):
            raise Malformed(
                path="depth", problem=f"must be more than zero, with at most {CENT_PLACES} decimal places"
            )
        now = self._clock()

        def work(tx: Tx) -> Asset:
            lock_market(tx, now)
            refuse_former(tx, [symbol])
            listing = read_listings(tx, [symbol]).get(symbol, new_listing(symbol))
            asset = replace(
                listing.asset,
                tradable=listing.asset.tradable if tradable is None else tradable,
                fractionable=listing.asset.fractionable if fractionable is None else fractionable,
                active=listing.asset.active if active is None else active,
                depth=listing.asset.depth if depth is None else None if depth == "endless" else depth,
            )
            store_listings(tx, [replace(listing, asset=asset)])
            return asset

        return self._db.write(work)

    def corporate_action(self, event: Event) -> Done:
        """Do it to every account that holds the asset, whoever owns it (see paper_corporate)."""
        now = self._clock()
        return self._db.write(lambda tx: perform(tx, lock_market(tx, now), event))

    def set_faults(self, body: Mapping[str, object]) -> Faults:
        """Replace all faults by these; Malformed names the field that cannot be read."""
        faults = parse_faults(body)
        now = self._clock()

        def work(tx: Tx) -> None:
            lock_market(tx, now)
            update_faults(tx, faults)

        self._db.write(work)
        return faults

    def ledger_page(self, tenant_id: str, *, after: int, limit: int) -> list[LedgerOrder]:
        """Orders of a tenant that were ever accepted, in that order; `after` is the last `seq` seen."""
        return self._db.read(lambda tx: read_page(tx, tenant_id, after=after, limit=limit))

    def last_entry(self) -> int:
        """The `seq` of the ledger's last entry, 0 before the first."""
        return self._db.read(last_entry)

    def read_ledger(self) -> list[LedgerEntry]:
        return self._db.read(read_ledger)

    def read_accounts(self) -> dict[str, Account]:
        """All accounts, exactly as they are now."""
        return self._db.read(lambda tx: _seen(read_accounts(tx, read_account_ids(tx))))


def _submit(tx: Tx, orders: Sequence[Order], *, now: datetime) -> list[Outcome]:
    market = lock_market(tx, now)
    if market.faults.outage:
        return [Unknown("the broker does not answer")] * len(orders)
    book = read_matched_book(
        tx,
        market,
        account_ids={order.account_id for order in orders},
        client_order_ids=[order.client_order_id for order in orders],
        symbols={order.symbol for order in orders},
    )
    answers = [book.take(order) for order in orders]
    write_book(tx, book)
    reports = read_reports(tx, [a for a in answers if isinstance(a, PaperOrder)], faults=market.faults)
    return [
        Accepted(reports[answer.client_order_id]) if isinstance(answer, PaperOrder) else answer
        for answer in answers
    ]


def _account_in(book: Book, account_id: str) -> PaperAccount:
    if account_id not in book.accounts:
        raise NotFound(noun="account", id=account_id)
    return book.accounts[account_id]


def _seen_with_orders(tx: Tx, account_ids: Collection[str]) -> dict[str, Account]:
    accounts = read_accounts(tx, account_ids)
    for client_order_id, order in read_open_orders(tx, accounts).items():
        accounts[order.account_id].open_orders[client_order_id] = order
    return _seen(accounts)


def _seen(accounts: Mapping[str, PaperAccount]) -> dict[str, Account]:
    return {account_id: account.as_seen() for account_id, account in accounts.items()}
