"""The database and the broker's ledger side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

from trimtab.audit.archive import Archive
from trimtab.audit.ledger import BrokerOrder, Ledger, broker_orders


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    archive: Archive
    ledger: Ledger
    orders: Mapping[str, BrokerOrder]


def compare(archive: Archive, ledger: Ledger) -> Comparison:
    return Comparison(archive=archive, ledger=ledger, orders=broker_orders(ledger.entries))
