"""Works out from nothing but the ledger what the paper broker's accounts and orders must be now.

It shares no code with the broker, and it refuses a ledger that no honest market could have written.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from trimtab.brokers.broker import Account
from trimtab.brokers.paper_ledger import LedgerEntry

NANO = Decimal("0.000000001")


@dataclass
class ReplayedOrder:
    quantity: Decimal | None
    notional: Decimal | None
    state: str = "OPEN"
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)

    def execute(self, quantity: Decimal, price: Decimal) -> None:
        assert self.state == "OPEN", "only open orders fill"
        self.filled += quantity
        self.value += quantity * price
        if self.quantity is not None:
            assert self.filled <= self.quantity, "overfilled"
            done = self.filled == self.quantity
        else:
            assert self.notional is not None
            assert self.value <= self.notional, "overspent"
            done = self.notional - self.value < NANO * price
        self.state = "FILLED" if done else "OPEN"


@dataclass
class Replay:
    cash: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(dict))
    orders: dict[str, ReplayedOrder] = field(default_factory=dict)
    execution_ids: set[str] = field(default_factory=set)
    fact: LedgerEntry | None = None
    reached: set[str] = field(default_factory=set)

    def apply(self, entry: LedgerEntry) -> None:
        match entry.kind.value:
            case "opened":
                assert entry.account_id not in self.cash
                self.cash[entry.account_id] = Decimal(0)
                self._pay(entry)
            case "seeded":
                self._hold(entry, 1)
            case "transfer":
                self._pay(entry)
            case "accepted":
                assert entry.client_order_id is not None
                assert entry.client_order_id not in self.orders, "accepted twice"
                self.orders[entry.client_order_id] = ReplayedOrder(entry.quantity, entry.notional)
            case "executed":
                self._execute(entry)
            case "status":
                assert entry.reason in {"ACTIVE", "INACTIVE", "ACCOUNT_CLOSED"}
            case "canceled" | "rejected":
                assert entry.client_order_id is not None
                order = self.orders[entry.client_order_id]
                assert order.state == "OPEN", "final twice"
                order.state = "CANCELED" if entry.kind.value == "canceled" else "REFUSED"
            case "corporate_action":
                assert entry.account_id == ""
                self.fact, self.reached = entry, set()
            case other:
                self._belongs(entry)
                self._act(entry, other)

    def _belongs(self, entry: LedgerEntry) -> None:
        assert self.fact is not None
        assert (entry.ref, entry.symbol) == (self.fact.ref, self.fact.symbol)
        assert entry.account_id not in self.reached, "reached twice"
        self.reached.add(entry.account_id)

    def _act(self, entry: LedgerEntry, kind: str) -> None:
        assert self.fact is not None
        assert entry.symbol is not None
        held = self.positions[entry.account_id]
        before = held[entry.symbol]
        match kind:
            case "split":
                assert entry.quantity is not None
                assert self.fact.ratio is not None
                exact = before * self.fact.ratio if self.fact.reason == "split" else before / self.fact.ratio
                held[entry.symbol] = before + entry.quantity
                assert 0 <= exact - held[entry.symbol] < NANO
                if not held[entry.symbol]:
                    del held[entry.symbol]
            case "renamed":
                assert entry.new_symbol is not None
                assert entry.quantity == before
                held[entry.new_symbol] = held.pop(entry.symbol)
            case "paid_out":
                assert entry.quantity == held.pop(entry.symbol)
                assert entry.amount == before * (entry.price or Decimal(0))
                self._pay(entry)
            case "dividend":
                assert entry.quantity == before
                assert entry.amount is not None
                assert entry.price is not None
                assert abs(entry.amount - before * entry.price) < Decimal("0.02")
                assert entry.amount == round(entry.amount, 2)
                self._pay(entry)
            case other:
                raise AssertionError(other)

    def _execute(self, entry: LedgerEntry) -> None:
        assert entry.client_order_id is not None
        assert entry.quantity is not None
        assert entry.price is not None
        assert entry.execution_id is not None
        assert entry.execution_id not in self.execution_ids, "executed twice"
        self.execution_ids.add(entry.execution_id)
        sign = 1 if entry.side == "buy" else -1
        assert entry.amount == -sign * entry.quantity * entry.price, "settlement is exact"
        self._pay(entry)
        self._hold(entry, sign)
        self.orders[entry.client_order_id].execute(entry.quantity, entry.price)

    def _pay(self, entry: LedgerEntry) -> None:
        assert entry.amount is not None
        self.cash[entry.account_id] += entry.amount
        assert self.cash[entry.account_id] >= 0, "debt"

    def _hold(self, entry: LedgerEntry, sign: int) -> None:
        assert entry.symbol is not None
        assert entry.quantity is not None
        assert entry.quantity > 0
        held = self.positions[entry.account_id]
        held[entry.symbol] = held.get(entry.symbol, Decimal(0)) + sign * entry.quantity
        assert held[entry.symbol] >= 0, "short position"
        if held[entry.symbol] == 0:
            del held[entry.symbol]


def replay(ledger: Sequence[LedgerEntry]) -> Replay:
    assert [entry.seq for entry in ledger] == list(range(1, len(ledger) + 1)), "numbers without holes"
    replayed = Replay()
    for entry in ledger:
        replayed.apply(entry)
    return replayed


def assert_same(replayed: Replay, accounts: dict[str, Account]) -> None:
    assert replayed.cash == {key: account.holdings.cash for key, account in accounts.items()}
    for account_id, account in accounts.items():
        assert replayed.positions[account_id] == account.holdings.positions
