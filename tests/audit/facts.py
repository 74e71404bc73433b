"""What happened at a broker of the tests: facts in the order in which they happened, never rewritten."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact, in the words of `trimtab.audit.ledger.Entry`."""

    seq: int
    at: datetime
    kind: str
    account_id: str
    client_order_id: str | None = None
    symbol: str | None = None
    side: str | None = None
    quantity: Decimal | None = None
    notional: Decimal | None = None
    price: Decimal | None = None
    amount: Decimal | None = None
    execution_id: str | None = None
    ref: str | None = None
    reason: str | None = None
    ratio: Decimal | None = None
    new_symbol: str | None = None
