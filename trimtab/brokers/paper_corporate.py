"""The rules of the paper broker's corporate actions: what each does to every account that holds the asset.

One transaction does all of it, whoever owns the accounts: the fact of the market is entered, then what it
changes in each of them, so that anybody can follow it. Shares are kept to a billionth and rounded down,
prices to 18 places; what a dividend pays is split to the cent and sums to what was paid.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import assert_never

from trimtab.brokers.broker import PRICE_MAX, PRICE_PLACES
from trimtab.brokers.paper_accounts import PaperAccount
from trimtab.brokers.paper_actions import (
    ActionKind,
    Event,
    Recorded,
    complete,
    give_up_symbol,
    read_late,
    record,
    refuse_former,
)
from trimtab.brokers.paper_assets import Listing, read_listings, store_listings
from trimtab.brokers.paper_book import Book
from trimtab.brokers.paper_ledger import EntryKind, LedgerEntry
from trimtab.brokers.paper_market import Market, read_book, read_matched_book, write_book
from trimtab.brokers.paper_orders import accounts_with_open_orders, rename_open_orders
from trimtab.core.corporate import Late
from trimtab.core.errors import CorporateActionRefused, Malformed, NotFound
from trimtab.core.money import (
    CENT_PLACES,
    QUANTITY_PLACES,
    ZERO,
    divide_down,
    places,
    plain,
    round_down,
    split,
)
from trimtab.database import Tx

RATIO_MAX = 10_000
# With the most a price may be, within the digits that money is calculated with.
SHARES_MAX = Decimal(10) ** 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a corporate action did: to how many accounts, and the dollars that they got; `price` is the
    asset's now, `late` what is still to follow.
    """

    ref: str
    symbol: str
    price: Decimal | None
    accounts: int
    paid: Decimal
    late: Late | None


# What an action changes in one account, as entries without their number.
Change = Callable[[PaperAccount, Decimal], LedgerEntry | None]


def perform(tx: Tx, market: Market, event: Event) -> Done:
    """Do what is asked, or refuse it whole.

    What is due is executed before. Raises Malformed, NotFound and CorporateActionRefused.
    """
    _refuse_terms(event)
    listing = read_listings(tx, [event.symbol]).get(event.symbol)
    if listing is None:
        raise NotFound("asset", event.symbol)
    before = read_matched_book(tx, market)
    write_book(tx, before)
    market = replace(market, seq=before.seq)
    late = read_late(tx, listing.asset.asset_id)
    if late is not None:
        return _complete(tx, market, late, asked=event, listing=listing)
    match event.kind:
        case ActionKind.SPLIT | ActionKind.REVERSE_SPLIT:
            return _split(tx, market, event, listing=listing)
        case ActionKind.RENAME:
            return _rename(tx, market, event, listing=listing)
        case ActionKind.DELIST:
            return _delist(tx, market, event, listing=listing)
        case ActionKind.CASH_DIVIDEND:
            return _pay_dividend(tx, market, event, listing=listing)
        case _:
            assert_never(event.kind)


def _refuse_terms(event: Event) -> None:
    match event:
        case Event(kind=ActionKind.SPLIT | ActionKind.REVERSE_SPLIT, terms=Decimal() as ratio):
            if not 1 < ratio <= RATIO_MAX or places(ratio) > QUANTITY_PLACES:
                text = f"must be more than 1 and at most {RATIO_MAX}, with at most {QUANTITY_PLACES} places"
                raise Malformed(path="ratio", problem=text)
        case Event(kind=ActionKind.DELIST, terms=Decimal() as cash):
            if not 0 <= cash < PRICE_MAX or places(cash) > PRICE_PLACES:
                raise Malformed(path="cash_per_share", problem="must be zero or more, below a billion")
        case Event(kind=ActionKind.CASH_DIVIDEND, terms=Decimal() as amount):
            if not 0 < amount < PRICE_MAX or places(amount) > PRICE_PLACES:
                raise Malformed(path="amount", problem="must be more than zero and less than a billion")
        case _:
            pass


def _split(tx: Tx, market: Market, event: Event, *, listing: Listing) -> Done:
    """Both halves at once, or one of them: then nothing is traded until the other has followed."""
    recorded = record(tx, listing.asset.asset_id, event, at=market.now)
    book = _book_of(tx, market, event.symbol)
    orders = [order for order in book.orders.values() if order.symbol == event.symbol]
    book.cancel(orders, f"{event.symbol} was split")
    accounts = 0 if event.late is Late.QUANTITY else _multiply(book, recorded)
    write_book(tx, book)
    if event.late is not Late.PRICE:
        listing = _divide(tx, recorded, listing)
    return _done(recorded, listing, accounts=accounts, late=event.late)


def _complete(tx: Tx, market: Market, late: Recorded, *, asked: Event, listing: Listing) -> Done:
    """The same split without anything late: what is missing of it follows."""
    asset = listing.asset
    if asked != replace(late.event, late=None):
        half = late.event.late
        text = f"the split of {asset.symbol} is not complete: its {half} is late; ask for it again without"
        raise CorporateActionRefused(f'{text} "late"')
    complete(tx, late.number)
    accounts = 0
    if late.event.late is Late.QUANTITY:
        book = _book_of(tx, market, asset.symbol)
        accounts = _multiply(book, late)
        write_book(tx, book)
    else:
        listing = _divide(tx, late, listing)
    return _done(late, listing, accounts=accounts)


def _multiply(book: Book, recorded: Recorded) -> int:
    """The quantities of a split; less than a billionth of a share is left behind, and worth nothing."""
    terms = recorded.event.as_split(recorded.ref)

    def change(account: PaperAccount, held: Decimal) -> LedgerEntry | None:
        more = terms.shares(held) - held
        if held + more >= SHARES_MAX:
            raise Malformed(path="ratio", problem=f"account {account.account_id} would hold too many shares")
        account.settle(terms.symbol, shares=more, amount=ZERO)
        return (
            _of_account(book, account, kind=EntryKind.SPLIT, recorded=recorded, quantity=more)
            if more
            else None
        )

    _enter_fact(book, recorded, ratio=recorded.event.terms)
    return _change_each(book, terms.symbol, change=change)


def _divide(tx: Tx, recorded: Recorded, listing: Listing) -> Listing:
    """The price of a split, rounded down where it has no end."""
    if listing.price is None:
        return listing
    terms = recorded.event.as_split(recorded.ref)
    price = divide_down(listing.price * terms.old, terms.new, to_places=PRICE_PLACES)
    if not 0 < price < PRICE_MAX:
        raise Malformed(path="ratio", problem=f"the price would be ${plain(price)}")
    listing = replace(listing, price=price)
    store_listings(tx, [listing])
    return listing


def _rename(tx: Tx, market: Market, event: Event, *, listing: Listing) -> Done:
    symbol, new_symbol, asset = event.symbol, event.new_symbol, listing.asset
    assert new_symbol is not None, "a new name"
    if read_listings(tx, [new_symbol]) or _is_held(tx, new_symbol):
        raise CorporateActionRefused(f"{new_symbol} is the symbol of another asset")
    give_up_symbol(tx, asset.asset_id, symbol=symbol, new_symbol=new_symbol)
    # After it has taken its name: one that it had before is its own again.
    refuse_former(tx, [new_symbol])
    recorded = record(tx, asset.asset_id, event, at=market.now)
    book = _book_of(tx, market, symbol)

    def change(account: PaperAccount, held: Decimal) -> LedgerEntry:
        account.settle(symbol, shares=-held, amount=ZERO)
        account.settle(new_symbol, shares=held, amount=ZERO)
        entry = _of_account(book, account, kind=EntryKind.RENAMED, recorded=recorded, quantity=held)
        return replace(entry, new_symbol=new_symbol)

    _enter_fact(book, recorded, new_symbol=new_symbol)
    accounts = _change_each(book, symbol, change=change)
    write_book(tx, book)
    rename_open_orders(tx, symbol, new_symbol=new_symbol)
    renamed = replace(listing, asset=replace(asset, symbol=new_symbol))
    return _done(recorded, renamed, accounts=accounts)


def _delist(tx: Tx, market: Market, event: Event, *, listing: Listing) -> Done:
    """No more trading; with an amount, every share is taken back for it, to the last digit."""
    recorded = record(tx, listing.asset.asset_id, event, at=market.now)
    listing = replace(listing, asset=replace(listing.asset, active=False, tradable=False))
    store_listings(tx, [listing])
    book = _book_of(tx, market, event.symbol)
    orders = [order for order in book.orders.values() if order.symbol == event.symbol]
    book.cancel(orders, f"{event.symbol} was delisted")
    cash = event.terms
    _enter_fact(book, recorded, price=cash)
    accounts, paid = 0, ZERO
    if cash is not None:

        def change(account: PaperAccount, held: Decimal) -> LedgerEntry:
            account.settle(event.symbol, shares=-held, amount=held * cash)
            entry = _of_account(book, account, kind=EntryKind.PAID_OUT, recorded=recorded, quantity=held)
            return replace(entry, price=cash, amount=held * cash)

        accounts = _change_each(book, event.symbol, change=change)
        paid = sum((e.amount or ZERO for e in book.entries if e.kind is EntryKind.PAID_OUT), ZERO)
    write_book(tx, book)
    return _done(recorded, listing, accounts=accounts, paid=paid)


def _pay_dividend(tx: Tx, market: Market, event: Event, *, listing: Listing) -> Done:
    """The whole, down to the cent, in parts that sum to it; what is below a cent stays with the issuer."""
    assert event.terms is not None, "dollars per share"
    recorded = record(tx, listing.asset.asset_id, event, at=market.now)
    book = _book_of(tx, market, event.symbol)
    holders = _holders(book, event.symbol)
    shares = [account.positions[event.symbol] for account in holders]
    total = round_down(sum(shares, ZERO) * event.terms, CENT_PLACES)
    parts = dict(zip((a.account_id for a in holders), split(total, shares), strict=True))

    def change(account: PaperAccount, held: Decimal) -> LedgerEntry | None:
        amount = parts[account.account_id]
        if not amount:
            return None
        account.add_cash(amount)
        entry = _of_account(book, account, kind=EntryKind.DIVIDEND, recorded=recorded, quantity=held)
        return replace(entry, price=event.terms, amount=amount)

    _enter_fact(book, recorded, price=event.terms)
    accounts = _change_each(book, event.symbol, change=change)
    write_book(tx, book)
    return _done(recorded, listing, accounts=accounts, paid=total)


def _book_of(tx: Tx, market: Market, symbol: str) -> Book:
    """Everybody who holds the asset or has an order for it."""
    rows = tx.rows("SELECT account_id FROM positions WHERE symbol = :symbol", symbol=symbol)
    holders = {row["account_id"] for row in rows}
    return read_book(tx, market, account_ids=holders | accounts_with_open_orders(tx, symbol))


def _is_held(tx: Tx, symbol: str) -> bool:
    """A position may be of something that was never priced."""
    return tx.row("SELECT 1 FROM positions WHERE symbol = :symbol LIMIT 1", symbol=symbol) is not None


def _holders(book: Book, symbol: str) -> list[PaperAccount]:
    return [account for _, account in sorted(book.accounts.items()) if symbol in account.positions]


def _change_each(book: Book, symbol: str, *, change: Change) -> int:
    """Change every account that holds it, in the order of their ids; how many have changed."""
    entries = [entry for a in _holders(book, symbol) if (entry := change(a, a.positions[symbol]))]
    book.entries += entries
    return len(entries)


def _enter_fact(
    book: Book,
    recorded: Recorded,
    *,
    ratio: Decimal | None = None,
    price: Decimal | None = None,
    new_symbol: str | None = None,
) -> None:
    book.entries.append(
        LedgerEntry(
            seq=book.next_seq(),
            at=book.now,
            kind=EntryKind.CORPORATE_ACTION,
            account_id="",
            symbol=recorded.event.symbol,
            reason=recorded.event.kind.value,
            ref=recorded.ref,
            ratio=ratio,
            price=price,
            new_symbol=new_symbol,
        )
    )


def _of_account(
    book: Book, account: PaperAccount, *, kind: EntryKind, recorded: Recorded, quantity: Decimal
) -> LedgerEntry:
    return LedgerEntry(
        seq=book.next_seq(),
        at=book.now,
        kind=kind,
        account_id=account.account_id,
        symbol=recorded.event.symbol,
        quantity=quantity,
        ref=recorded.ref,
    )


def _done(
    recorded: Recorded,
    listing: Listing,
    *,
    accounts: int,
    paid: Decimal = ZERO,
    late: Late | None = None,
) -> Done:
    return Done(
        ref=recorded.ref,
        symbol=listing.asset.symbol,
        price=listing.price,
        accounts=accounts,
        paid=paid,
        late=late,
    )
