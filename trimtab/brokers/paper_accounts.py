"""The paper broker's accounts: cash and positions as they are now, and the tables they lie in."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID, uuid5

from trimtab.brokers.broker import Account
from trimtab.brokers.paper_orders import PaperOrder
from trimtab.core.money import ZERO
from trimtab.core.plan import Holdings
from trimtab.database import Tx

# Accounts of wallets are names in this namespace: whoever asks for a wallet again finds its account.
WALLET_NAMESPACE = UUID("d6a1f0f4-54bb-4f4b-9a1e-7c0c8a5b2e93")


@dataclass(slots=True, kw_only=True)
class PaperAccount:
    """An account with its open orders; `moved` are symbols whose stored position is out of date."""

    account_id: str
    tenant_id: str
    status: str
    cash: Decimal
    positions: dict[str, Decimal] = field(default_factory=dict)
    open_orders: dict[str, PaperOrder] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    cash_moved: bool = False

    def settle(self, symbol: str, *, shares: Decimal, amount: Decimal) -> None:
        """Book a trade: both are negative for what is given away."""
        self.add_cash(amount)
        held = self.positions.get(symbol, ZERO) + shares
        assert held >= 0, "no short positions"
        self.moved.add(symbol)
        if held:
            self.positions[symbol] = held
        else:
            del self.positions[symbol]

    def add_cash(self, amount: Decimal) -> None:
        self.cash += amount
        assert self.cash >= 0, "no debt"
        self.cash_moved = True

    def as_seen(self) -> Account:
        """The account in the words of the broker protocol."""
        return Account(
            account_id=self.account_id,
            status=self.status,
            holdings=Holdings(cash=self.cash, positions=self.positions),
            working=frozenset(self.open_orders),
        )


def wallet_id(owner: str, tenant_id: str, *, index: int) -> str:
    """The account id of a wallet; a name in JSON, so that no two wallets share one."""
    return str(uuid5(WALLET_NAMESPACE, json.dumps([tenant_id, owner, index])))


def read_accounts(tx: Tx, account_ids: Collection[str]) -> dict[str, PaperAccount]:
    """Accounts by id, without their open orders; unknown ids are absent."""
    ids = list(account_ids)
    accounts = {
        row["account_id"]: PaperAccount(
            account_id=row["account_id"],
            tenant_id=row["tenant_id"],
            status=row["status"],
            cash=Decimal(row["cash"]),
        )
        for row in tx.rows("SELECT * FROM accounts WHERE account_id IN :ids", ids=ids)
    }
    for row in tx.rows("SELECT * FROM positions WHERE account_id IN :ids", ids=ids):
        accounts[row["account_id"]].positions[row["symbol"]] = Decimal(row["quantity"])
    return accounts


def read_account_ids(tx: Tx) -> list[str]:
    return [row["account_id"] for row in tx.rows("SELECT account_id FROM accounts ORDER BY account_id")]


def read_tenant(tx: Tx, account_id: str) -> str | None:
    row = tx.row("SELECT tenant_id FROM accounts WHERE account_id = :account_id", account_id=account_id)
    return None if row is None else str(row["tenant_id"])


def insert_account(tx: Tx, account: PaperAccount) -> None:
    tx.insert(
        "accounts",
        ("account_id", "tenant_id", "status", "cash"),
        rows=[(account.account_id, account.tenant_id, account.status, account.cash)],
    )
    tx.insert(
        "positions",
        ("account_id", "symbol", "quantity"),
        rows=[(account.account_id, symbol, quantity) for symbol, quantity in account.positions.items()],
    )


def update_status(tx: Tx, account_id: str, *, status: str) -> None:
    tx.execute(
        "UPDATE accounts SET status = :status WHERE account_id = :account_id",
        status=status,
        account_id=account_id,
    )


def update_holdings(tx: Tx, accounts: Iterable[PaperAccount]) -> None:
    """Write the cash and the positions that have moved."""
    cash: list[dict[str, object]] = []
    held: list[dict[str, object]] = []
    gone: list[dict[str, object]] = []
    for account in accounts:
        if account.cash_moved:
            cash.append({"account_id": account.account_id, "cash": account.cash})
        for symbol in account.moved:
            key: dict[str, object] = {"account_id": account.account_id, "symbol": symbol}
            if symbol in account.positions:
                held.append({**key, "quantity": account.positions[symbol]})
            else:
                gone.append(key)
    tx.many("UPDATE accounts SET cash = :cash WHERE account_id = :account_id", cash)
    tx.many("DELETE FROM positions WHERE account_id = :account_id AND symbol = :symbol", gone)
    tx.many(
        """
        INSERT INTO positions (account_id, symbol, quantity) VALUES (:account_id, :symbol, :quantity)
        ON CONFLICT (account_id, symbol) DO UPDATE SET quantity = excluded.quantity
        """,
        held,
    )
