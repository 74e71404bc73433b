"""The broker's side of the evidence, in the audit's own words.

The audit asks no broker: whoever calls it fills a Ledger from whatever the broker has. Entries and
balances are described by shape, so that a long ledger need not be copied; orders are folded here from
the entries alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from trimtab.core.money import QUANTITY_PLACES, ZERO

SMALLEST_PART = Decimal(1).scaleb(-QUANTITY_PLACES)


class Entry(Protocol):
    """One fact; `seq` rises in the order of what happened, `amount` is the change of cash in dollars.

    `kind` is opened, seeded, transfer, accepted, executed, canceled, rejected or status; or
    corporate_action, a fact of the market that has no account and whose kind is the `reason`, followed
    under the same `ref` by what it changes in each account: split, renamed, paid_out or dividend.
    """

    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def kind(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def client_order_id(self) -> str | None: ...
    @property
    def symbol(self) -> str | None: ...
    @property
    def side(self) -> str | None: ...
    @property
    def quantity(self) -> Decimal | None: ...
    @property
    def notional(self) -> Decimal | None: ...
    @property
    def price(self) -> Decimal | None: ...
    @property
    def amount(self) -> Decimal | None: ...
    @property
    def execution_id(self) -> str | None: ...
    @property
    def ref(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def ratio(self) -> Decimal | None: ...
    @property
    def new_symbol(self) -> str | None: ...


class Balance(Protocol):
    """What an account holds now, exactly."""

    @property
    def cash(self) -> Decimal: ...
    @property
    def positions(self) -> Mapping[str, Decimal]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All entries in the order of `seq`, the balances now, and the accounts in motion.

    `moving` are accounts that changed at the broker while the two sides were read: they cannot be
    compared, and are only reported. `watched` finds them.
    """

    entries: Sequence[Entry]
    balances: Mapping[str, Balance]
    moving: frozenset[str] = frozenset()


def watched(last: int, after: Sequence[Entry], *, balances: Mapping[str, Balance]) -> Ledger:
    """The last entry there was before the database was read, the balances read in between, and the ledger
    read after.
    """
    moving = frozenset(entry.account_id for entry in after if entry.seq > last)
    return Ledger(entries=after, balances=balances, moving=moving)


@dataclass(slots=True, kw_only=True)
class BrokerOrder:
    """An order as its entries tell it. `final_seq` is the entry after which nothing was left of it;
    `repeats` counts acceptances after the first.
    """

    first: Entry
    client_order_id: str
    accepted: bool = False
    rejected: bool = False
    final_seq: int | None = None
    repeats: int = 0
    executions: list[Entry] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        return self.accepted and self.final_seq is None

    def add(self, entry: Entry) -> None:
        match entry.kind:
            case "accepted":
                self.repeats += self.accepted
                self.accepted = True
            case "rejected":
                self.rejected = True
                self._end(entry)
            case "canceled":
                self._end(entry)
            case "executed":
                self.executions.append(entry)
                if self._nothing_left(entry):
                    self._end(entry)
            case _:
                pass

    def _end(self, entry: Entry) -> None:
        if self.final_seq is None:
            self.final_seq = entry.seq

    def _nothing_left(self, last: Entry) -> bool:
        """Whether not even the smallest part of a share is still to be traded at the last price."""
        if self.first.quantity is not None:
            done = sum((entry.quantity or ZERO for entry in self.executions), ZERO)
            return done >= self.first.quantity
        spent = sum(((entry.quantity or ZERO) * (entry.price or ZERO) for entry in self.executions), ZERO)
        return (self.first.notional or ZERO) - spent < (last.price or ZERO) * SMALLEST_PART


def broker_orders(entries: Collection[Entry]) -> dict[str, BrokerOrder]:
    """Every order that the ledger speaks of, by client order id."""
    orders: dict[str, BrokerOrder] = {}
    for entry in entries:
        key = entry.client_order_id
        if key is None:
            continue
        if key not in orders:
            orders[key] = BrokerOrder(first=entry, client_order_id=key)
        orders[key].add(entry)
    return orders
