"""Whose account it is at the paper broker: what was said of its holder when it was opened, and the firm's
own account, which journals move cash from and to.

What a holder says of itself is kept as it came and means nothing to the market. Accounts that the sandbox
opened have no holder.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from trimtab.brokers.broker import Account
from trimtab.brokers.paper_accounts import PaperAccount, read_accounts, read_tenant, update_status
from trimtab.brokers.paper_market import Market, enter_account, read_book, write_book
from trimtab.core.errors import NotFound
from trimtab.core.money import ZERO
from trimtab.database import Tx, instant

# The firm's accounts are names in this namespace, one for each tenant.
FIRM_NAMESPACE = UUID("8f0c8a39-5f54-4e0b-8f6e-2f4a6b1f5d11")
FIRM_CASH = Decimal(1_000_000)
NUMBER_DIGITS = 10
CLOSED = "ACCOUNT_CLOSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHolder:
    """What an account is opened with; `details` are the blocks of the request, as they came."""

    account_id: str
    tenant_id: str
    email: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """An account with what is known of its holder."""

    account: Account
    tenant_id: str
    opened_at: datetime
    details: Mapping[str, Any]

    @property
    def number(self) -> str:
        """The account's number: digits of its id, the same at every look."""
        return account_number(self.account.account_id)

    @property
    def is_firm(self) -> bool:
        return self.account.account_id == firm_id(self.tenant_id)

    def mentions(self, words: Iterable[str]) -> bool:
        """Whether each word stands in its number, name, telephone number or e-mail address."""
        contact, identity = self.details.get("contact", {}), self.details.get("identity", {})
        said = [self.number, contact.get("email_address"), contact.get("phone_number")]
        said += [identity.get("given_name"), identity.get("family_name")]
        texts = [text.lower() for text in said if isinstance(text, str)]
        return all(any(word in text for text in texts) for word in words)


def account_number(account_id: str) -> str:
    return f"{UUID(account_id).int % 10**NUMBER_DIGITS:0{NUMBER_DIGITS}d}"


def firm_id(tenant_id: str) -> str:
    return str(uuid5(FIRM_NAMESPACE, tenant_id))


def open_holder(tx: Tx, market: Market, new: NewHolder) -> bool:
    """An account without money, and the firm's with it if the tenant is new. False, and nothing happens,
    if the tenant has another account with this e-mail address.
    """
    taken = tx.row(
        "SELECT account_id FROM holders WHERE tenant_id = :tenant_id AND email = :email",
        tenant_id=new.tenant_id,
        email=new.email,
    )
    if taken is not None:
        return str(taken["account_id"]) == new.account_id
    enter_account(tx, ensure_firm(tx, market, new.tenant_id), _empty(new.account_id, new.tenant_id))
    tx.insert(
        "holders",
        ("account_id", "tenant_id", "email", "details"),
        rows=[(new.account_id, new.tenant_id, new.email, json.dumps(new.details))],
    )
    return True


def close_holder(tx: Tx, market: Market, account_id: str) -> bool:
    """Close an account, and cancel its open orders. False, and nothing happens, if it still holds something:
    that would be out of reach.
    """
    book = read_book(tx, market, account_ids=[account_id])
    account = book.accounts[account_id]
    if account.cash or account.positions:
        return False
    update_status(tx, account_id, status=CLOSED)
    book.set_status(account, CLOSED)
    write_book(tx, book)
    return True


def ensure_firm(tx: Tx, market: Market, tenant_id: str) -> Market:
    """The market once the tenant's firm has its account."""
    account_id = firm_id(tenant_id)
    if read_tenant(tx, account_id) is not None:
        return market
    return enter_account(tx, market, _empty(account_id, tenant_id, cash=FIRM_CASH))


def _empty(account_id: str, tenant_id: str, *, cash: Decimal = ZERO) -> PaperAccount:
    return PaperAccount(account_id=account_id, tenant_id=tenant_id, status="ACTIVE", cash=cash)


def require_own(tx: Tx, tenant_id: str, account_id: str) -> None:
    """Raises NotFound for an account that is not there, and for another tenant's alike."""
    if read_tenant(tx, account_id) != tenant_id:
        raise NotFound("account", account_id)


def read_holding(tx: Tx, tenant_id: str, account_id: str) -> Holding:
    require_own(tx, tenant_id, account_id)
    return _holdings(tx, [account_id])[0]


def read_holdings(tx: Tx, tenant_id: str) -> list[Holding]:
    """All accounts of a tenant, the oldest first."""
    rows = tx.rows("SELECT account_id FROM accounts WHERE tenant_id = :tenant_id", tenant_id=tenant_id)
    return _holdings(tx, [row["account_id"] for row in rows])


def _holdings(tx: Tx, account_ids: list[str]) -> list[Holding]:
    accounts = read_accounts(tx, account_ids)
    opened = tx.rows(
        """
        SELECT account_id, at FROM ledger
        WHERE account_id IN :ids AND kind = 'opened'
            AND kind IN ('opened', 'seeded', 'transfer', 'split', 'renamed', 'paid_out', 'dividend')
        ORDER BY seq
        """,
        ids=account_ids,
    )
    details = {
        row["account_id"]: json.loads(row["details"])
        for row in tx.rows(
            "SELECT account_id, details FROM holders WHERE account_id IN :ids", ids=account_ids
        )
    }
    return [
        Holding(
            account=accounts[row["account_id"]].as_seen(),
            tenant_id=accounts[row["account_id"]].tenant_id,
            opened_at=instant(row["at"]),
            details=details.get(row["account_id"], {}),
        )
        for row in opened
    ]
