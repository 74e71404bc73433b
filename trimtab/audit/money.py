"""Shares and cash: the broker's ledger adds up, and the database says the same.

I7 and I8.
"""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from trimtab.audit.comparison import Comparison
from trimtab.audit.ledger import Entry
from trimtab.audit.tally import Tally
from trimtab.core.money import ZERO, plain
from trimtab.store.evidence import StoredOrder

CASH_KINDS = frozenset({"opened", "transfer", "executed", "paid_out", "dividend"})
OTHER_KINDS = frozenset({"seeded", "accepted", "canceled", "rejected", "status", "split", "renamed"})


def positions_follow_from_executions(both: Comparison, tally: Tally) -> None:
    """I7: what an account began with, plus what it bought, less what it sold, and what corporate actions
    made of it, is what it holds.
    """
    positions: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    for entry in both.ledger.entries:
        for symbol, moved in shares(entry):
            positions[entry.account_id][symbol] += moved
    for account_id in positions.keys() | both.ledger.balances.keys():
        if account_id in both.ledger.moving:
            continue
        balance = both.ledger.balances.get(account_id)
        held = {} if balance is None else balance.positions
        for symbol in sorted(positions[account_id].keys() | held.keys()):
            tally.checked += 1
            counted, shown = positions[account_id][symbol], held.get(symbol, ZERO)
            if counted != shown:
                tally.fail(
                    f"account {account_id} holds {plain(shown)} {symbol} at the broker, "
                    f"its ledger makes it {plain(counted)}"
                )


def shares(entry: Entry) -> Iterator[tuple[str, Decimal]]:
    """By how many shares of which symbols an entry changes positions."""
    if entry.symbol is None or entry.quantity is None:
        return
    match entry.kind:
        case "seeded" | "split":
            yield entry.symbol, entry.quantity
        case "executed":
            yield entry.symbol, entry.quantity if entry.side == "buy" else -entry.quantity
        case "paid_out":
            yield entry.symbol, -entry.quantity
        case "renamed":
            yield entry.symbol, -entry.quantity
            yield entry.new_symbol or "", entry.quantity
        case _:
            pass


def executions_are_the_brokers(both: Comparison, tally: Tally) -> None:
    """I7: an execution is known here if and only if it is known there, to the last digit.

    While a run is open, the broker may know more.
    """
    for order in both.archive.evidence.orders:
        if order.account_id not in both.ledger.moving:
            tally.checked += 1
            _same_executions(order, both, tally=tally)


def _same_executions(order: StoredOrder, both: Comparison, *, tally: Tally) -> None:
    found = both.orders.get(order.client_order_id)
    theirs = {e.execution_id: (e.quantity, e.price) for e in (found.executions if found else ())}
    ours = {
        e.execution_id: (e.quantity, e.price) for e in both.archive.executions.get(order.client_order_id, ())
    }
    if theirs == ours:
        return
    for execution_id in sorted(map(str, theirs.keys() | ours.keys())):
        mine, yours = ours.get(execution_id), theirs.get(execution_id)
        if mine == yours or (mine is None and order.account_id in both.archive.open_accounts):
            continue
        tally.fail(
            f"execution {execution_id} of order {order.client_order_id} is {_said(yours)} at the broker "
            f"and {_said(mine)} in the database"
        )


def _said(execution: tuple[Decimal | None, Decimal | None] | None) -> str:
    if execution is None:
        return "missing"
    quantity, price = execution
    return f"{plain(quantity or ZERO)} at ${plain(price or ZERO)}"


def cash_is_never_overdrawn(both: Comparison, tally: Tally) -> None:
    """I8: no prefix of the ledger leaves an account owing cash or shares; all of it is the balance."""
    cash: dict[str, Decimal] = defaultdict(lambda: ZERO)
    held: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
    for entry in both.ledger.entries:
        tally.checked += 1
        if entry.kind == "corporate_action":
            # What it moves is in the entries that follow it, each of an account.
            continue
        where = f"entry {entry.seq} ({entry.kind}, account {entry.account_id})"
        cash[entry.account_id] += _cash(entry, where, tally=tally)
        if cash[entry.account_id] < 0:
            tally.fail(f"{where} leaves ${plain(cash[entry.account_id])} in cash")
        for symbol, moved in shares(entry):
            key = (entry.account_id, symbol)
            held[key] += moved
            if held[key] < 0:
                tally.fail(f"{where} leaves {plain(held[key])} {symbol}")
    for account_id in sorted((cash.keys() | both.ledger.balances.keys()) - both.ledger.moving):
        balance = both.ledger.balances.get(account_id)
        if balance is None:
            tally.fail(f"account {account_id} is in the ledger and has no balance at the broker")
        elif balance.cash != cash[account_id]:
            tally.fail(
                f"account {account_id} has ${plain(balance.cash)} at the broker, "
                f"its ledger makes it ${plain(cash[account_id])}"
            )


def _cash(entry: Entry, where: str, *, tally: Tally) -> Decimal:
    """By how many dollars an entry changes the cash."""
    amount = entry.amount or ZERO
    if entry.kind == "executed":
        value = (entry.quantity or ZERO) * (entry.price or ZERO)
        due = -value if entry.side == "buy" else value
        if amount != due:
            tally.fail(f"{where} moved ${plain(amount)}, quantity times price is ${plain(due)}")
    elif entry.kind not in CASH_KINDS | OTHER_KINDS:
        tally.fail(f"{where} is of a kind that the audit does not know")
    return amount


def adjustments_are_transfers(both: Comparison, tally: Tally) -> None:
    """I8: cash that the mirror booked without a trade came or went at the broker."""
    transfers = {e.ref: (e.account_id, e.amount) for e in both.ledger.entries if e.kind == "transfer"}
    for adjustment in both.archive.evidence.adjustments:
        tally.checked += 1
        what = f"adjustment {adjustment.ref} (${plain(adjustment.amount)}, account {adjustment.account_id})"
        if adjustment.ref not in transfers:
            tally.fail(f"{what} is no transfer at the broker")
            continue
        account_id, amount = transfers[adjustment.ref]
        if (account_id, amount) != (adjustment.account_id, adjustment.amount):
            tally.fail(f"{what} is ${plain(amount or ZERO)} of account {account_id} at the broker")
