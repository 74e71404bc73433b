"""Corporate actions: what the ledger enters for each account follows from the terms and from what it held.

I7 for shares, I8 for cash. Every holder is reached and nobody else is. The arithmetic is done again here:
shares are kept to nine places and rounded down, dividends are whole cents that sum to the whole.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import NamedTuple

from trimtab.audit.comparison import Comparison
from trimtab.audit.ledger import SMALLEST_PART, Entry
from trimtab.audit.money import shares
from trimtab.audit.tally import Tally
from trimtab.core.money import ZERO, plain

CENTS = 100
OF_ACCOUNTS = frozenset({"split", "renamed", "paid_out", "dividend"})


class Change(NamedTuple):
    """What one account gets: shares of a symbol more or less, dollars, and what its shares are called."""

    shares: Decimal
    amount: Decimal
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A corporate action, what it must change by account, and what was entered."""

    fact: Entry
    due: Mapping[str, Change]
    entered: dict[str, Change]

    def differences(self, tally: Tally) -> Iterator[tuple[str, Change, Change]]:
        """What is due and what was entered, for each account in one of them."""
        nothing = Change(ZERO, ZERO, self.fact.symbol or "")
        for account_id in sorted(self.due.keys() | self.entered.keys()):
            tally.checked += 1
            where = f"{self.fact.ref} of {self.fact.symbol}, account {account_id}:"
            yield where, self.due.get(account_id, nothing), self.entered.get(account_id, nothing)


def shares_follow_from_terms(both: Comparison, tally: Tally) -> None:
    """I7: each holder's shares become what the terms say, to the last digit."""
    for step in _steps(both.ledger.entries):
        for where, due, entered in step.differences(tally):
            if (due.shares, due.symbol) != (entered.shares, entered.symbol):
                tally.fail(
                    f"{where} changed by {plain(entered.shares)} {entered.symbol}, "
                    f"its terms make it {plain(due.shares)} {due.symbol}"
                )


def cash_follows_from_terms(both: Comparison, tally: Tally) -> None:
    """I8: each holder gets what the terms say, and together they get the whole."""
    for step in _steps(both.ledger.entries):
        for where, due, entered in step.differences(tally):
            if due.amount != entered.amount:
                tally.fail(f"{where} got ${plain(entered.amount)}, its terms make it ${plain(due.amount)}")


def _steps(entries: Sequence[Entry]) -> Iterator[Step]:
    """Every corporate action; what belongs to none is one of its own, with nothing due."""
    held: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    step: Step | None = None
    for entry in entries:
        if entry.kind == "corporate_action":
            if step is not None:
                yield step
            holders = {account: q for account, q in sorted(held[entry.symbol or ""].items()) if q > 0}
            step = Step(fact=entry, due=_due(entry, holders), entered={})
        elif entry.kind in OF_ACCOUNTS:
            if step is None or entry.ref != step.fact.ref or entry.account_id in step.entered:
                yield Step(fact=entry, due={}, entered={entry.account_id: _entered(entry)})
            else:
                step.entered[entry.account_id] = _entered(entry)
        for symbol, moved in shares(entry):
            held[symbol][entry.account_id] += moved
    if step is not None:
        yield step


def _entered(entry: Entry) -> Change:
    moved = next(shares(entry), (entry.symbol or "", ZERO))[1]
    return Change(moved, entry.amount or ZERO, entry.new_symbol or entry.symbol or "")


def _due(fact: Entry, holders: Mapping[str, Decimal]) -> dict[str, Change]:
    """What the action changes for each holder; who gets nothing is left out."""
    symbol = fact.symbol or ""
    match fact.reason:
        case "split" | "reverse_split":
            return {
                account: Change(more, ZERO, symbol)
                for account, quantity in holders.items()
                if (more := _after(fact, quantity) - quantity)
            }
        case "rename":
            return {account: Change(-q, ZERO, fact.new_symbol or "") for account, q in holders.items()}
        case "delist" if fact.price is not None:
            return {account: Change(-q, q * fact.price, symbol) for account, q in holders.items()}
        case "cash_dividend":
            parts = _parts(holders, fact.price or ZERO)
            return {account: Change(ZERO, part, symbol) for account, part in parts.items() if part}
        case _:
            return {}


def _after(fact: Entry, quantity: Decimal) -> Decimal:
    ratio = Fraction(fact.ratio or 1)
    shares_now = Fraction(quantity) * (ratio if fact.reason == "split" else 1 / ratio)
    return int(shares_now / Fraction(SMALLEST_PART)) * SMALLEST_PART


def _parts(holders: Mapping[str, Decimal], per_share: Decimal) -> dict[str, Decimal]:
    """A dividend in whole cents; those left over go to whoever is owed the largest part of one."""
    together = sum(holders.values(), ZERO)
    whole = int((together * per_share * CENTS).quantize(Decimal(1), rounding=ROUND_DOWN))
    owed = {account: Fraction(whole) * Fraction(q) / Fraction(together) for account, q in holders.items()}
    cents = {account: int(exact) for account, exact in owed.items()}
    by_part = sorted(owed, key=lambda account: (cents[account] - owed[account], account))
    for account in by_part[: whole - sum(cents.values())]:
        cents[account] += 1
    return {account: Decimal(count) / CENTS for account, count in cents.items()}
