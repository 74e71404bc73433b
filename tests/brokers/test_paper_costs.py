"""What is held cost: the average of what was bought, through sales, splits, renames and payouts."""

from datetime import UTC, datetime
from decimal import Decimal

from trimtab.brokers.paper_ledger import EntryKind, LedgerEntry
from trimtab.brokers.paper_trading import costs_of
from trimtab.core.run import Side

AT = datetime(2026, 3, 2, 15, tzinfo=UTC)


def entry(kind: EntryKind, symbol: str | None, quantity: str | None, **others: object) -> LedgerEntry:
    changes = {name: Decimal(str(value)) if name == "price" else value for name, value in others.items()}
    return LedgerEntry(
        seq=1,
        at=AT,
        kind=kind,
        account_id="ann",
        symbol=symbol,
        quantity=None if quantity is None else Decimal(quantity),
        **changes,  # type: ignore[arg-type]
    )


def bought(quantity: str, price: str) -> LedgerEntry:
    return entry(EntryKind.EXECUTED, "SPY", quantity, side=Side.BUY, price=price)


def sold(quantity: str, price: str) -> LedgerEntry:
    return entry(EntryKind.EXECUTED, "SPY", quantity, side=Side.SELL, price=price)


def test_purchases_add_up() -> None:
    assert costs_of([bought("1", "400"), bought("2", "410")]) == {"SPY": Decimal(1220)}


def test_a_sale_takes_its_part_whatever_it_brought() -> None:
    assert costs_of([bought("4", "100"), sold("1", "999")]) == {"SPY": Decimal(300)}


def test_what_was_sold_out_is_forgotten() -> None:
    assert costs_of([bought("4", "100"), sold("4", "50"), bought("1", "60")]) == {"SPY": Decimal(60)}
    assert costs_of([bought("4", "100"), sold("4", "50")]) == {}


def test_a_split_and_a_rename_cost_nothing() -> None:
    split = entry(EntryKind.SPLIT, "SPY", "4")
    renamed = entry(EntryKind.RENAMED, "SPY", "8", new_symbol="SPYX")
    assert costs_of([bought("4", "100"), split]) == {"SPY": Decimal(400)}
    assert costs_of([bought("4", "100"), split, renamed]) == {"SPYX": Decimal(400)}


def test_what_an_account_began_with_cost_what_it_was_worth() -> None:
    begun = entry(EntryKind.SEEDED, "SPY", "2", price="50")
    assert costs_of([begun, bought("2", "100")]) == {"SPY": Decimal(300)}
    assert costs_of([entry(EntryKind.SEEDED, "SPY", "2")]) == {"SPY": Decimal(0)}


def test_cash_that_comes_changes_no_cost() -> None:
    dividend = entry(EntryKind.DIVIDEND, "SPY", "4", price="1")
    paid_in = entry(EntryKind.TRANSFER, None, None)
    assert costs_of([paid_in, bought("4", "100"), dividend]) == {"SPY": Decimal(400)}


def test_shares_that_were_taken_back_are_gone() -> None:
    assert costs_of([bought("4", "100"), entry(EntryKind.PAID_OUT, "SPY", "4", price="30")]) == {}
