"""What only the simulated world has seen of a life: every sending, every price, what was shown and asked."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.audit.facts import Fact
from trimtab.core.gate import NO_CAPS, Caps
from trimtab.store.evidence import Evidence, StoredOrder

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sending:
    """An order on its way: `sent_at` is that of its intent, `outcome` what the broker's face answered."""

    client_order_id: str
    sent_at: datetime
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What was seen while it happened. `prices` are changes, None for a price that is gone; `cancels` are
    when each order was first asked to be cancelled; `paused` from when to when no run of an enrollment may
    be made; `looks` are the positions that were shown. `counted` and `amounts` are the tables' own, by run:
    how many orders it says it has sent, and the dollars it is to raise; `canceled` is when clients were told
    that a run is, `deadlines` are when each that was begun must have ended.
    """

    evidence: Evidence
    facts: Sequence[Fact]
    faults: frozenset[str]
    surfaces: bool
    drops_duplicates: bool
    workers: int = 1
    caps: Caps = NO_CAPS
    sendings: Sequence[Sending] = ()
    prices: Sequence[tuple[datetime, str, Decimal | None]] = ()
    cancels: Mapping[str, datetime] = field(default_factory=dict)
    stops: Sequence[tuple[str | None, datetime, datetime]] = ()
    paused: Sequence[tuple[str, datetime, datetime]] = ()
    looks: Sequence[tuple[datetime, str, Mapping[str, Decimal]]] = ()
    counted: Mapping[str, int] = field(default_factory=dict)
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    canceled: Mapping[str, datetime] = field(default_factory=dict)
    deadlines: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def plans(self) -> dict[str, Any]:
        return {plan.run_id: json.loads(plan.body) for plan in self.evidence.plans}

    @property
    def orders(self) -> dict[str, StoredOrder]:
        return {order.client_order_id: order for order in self.evidence.orders}

    def of_runs(self) -> dict[str, list[StoredOrder]]:
        found: dict[str, list[StoredOrder]] = defaultdict(list)
        for order in self.evidence.orders:
            found[order.run_id].append(order)
        return found

    def filled(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Shares and dollars that the broker executed, by order."""
        done: dict[str, tuple[Decimal, Decimal]] = {}
        for fact in self.facts:
            if fact.kind == "executed" and fact.client_order_id is not None:
                shares, dollars = done.get(fact.client_order_id, (ZERO, ZERO))
                value = abs(fact.amount or ZERO)
                done[fact.client_order_id] = (shares + (fact.quantity or ZERO), dollars + value)
        return done

    def price_range(self, symbol: str, *, since: datetime, until: datetime) -> list[Decimal | None]:
        """Every price that the symbol had in that time."""
        had: list[Decimal | None] = []
        for at, changed, price in self.prices:
            if changed == symbol and at <= until:
                had = [price] if at <= since else [*had, price]
        return had
