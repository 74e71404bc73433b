"""How Glider's wire writes ids: ours in another spelling, assets and accounts as CAIP texts.

A ULID and a UUID are both 128 bits, so an id means the same thing in both dialects. Decisions page, 21,
names the assets and accounts of brokers without wallets.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote, unquote
from uuid import UUID

from trimtab.api.body import uuid_of
from trimtab.core.enrollment import Enrollment
from trimtab.core.run import Initiator, Run, RunKind
from trimtab.core.ulid import number_in, text_of

PORTFOLIO_PREFIX = "pf_"

CASH = "USD"
# The chains on which a wallet may have accounts: Ethereum, Optimism, BNB, Polygon, Base, Arbitrum.
CHAINS = frozenset({1, 10, 56, 137, 8453, 42161})
# CAIP-19 and CAIP-10 of the chain standards, as far as letters go.
CAIP_19 = re.compile(
    r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}/[-a-z0-9]{3,8}:[-.%a-zA-Z0-9]{1,128}(?:/[-.%a-zA-Z0-9]{1,78})?",
    re.ASCII,
)
CAIP_10 = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}:[-.%a-zA-Z0-9]{1,128}", re.ASCII)
_EVM_OWNER = re.compile(r"eip155:0:(0x[0-9a-f]{40})", re.ASCII)


def ulid(id_: str) -> str:
    """A UUID as 26 digits of Crockford's base 32."""
    return text_of(UUID(id_).int)


def uuid_of_ulid(text: str) -> str | None:
    """The UUID that `ulid` would write so; None if there is none."""
    number = number_in(text)
    return None if number is None else str(UUID(int=number))


def portfolio_id(enrollment_id: str) -> str:
    return PORTFOLIO_PREFIX + ulid(enrollment_id)


def enrollment_id_in(text: str) -> str | None:
    return uuid_of_ulid(text.removeprefix(PORTFOLIO_PREFIX)) if text.startswith(PORTFOLIO_PREFIX) else None


def operation_id(run: Run, enrollment_id: str) -> str:
    """The operation that a run is for a portfolio. The colons of its inner part are written `%3A`."""
    if run.kind is RunKind.PARTIAL_LIQUIDATION:
        return f"op_{ulid(run.id)}"
    portfolio = portfolio_id(enrollment_id)
    trigger = "manual" if run.initiator is Initiator.API else "scheduled"
    inner = quote(f"{portfolio}:{trigger}:req_{ulid(run.id)}", safe="")
    return f"rebalance:{portfolio}:{inner}"


def run_id_in(text: str) -> str | None:
    """The run that an operation id ends with, whichever way its colons are written."""
    return uuid_of_ulid(re.split("[:_]", unquote(unquote(text)))[-1])


def is_same_operation(given: str, canonical: str) -> bool:
    """Whether a client that may have encoded the id once, twice or not at all means this one."""
    return unquote(unquote(given)) == unquote(canonical)


def evm_address(owner: str) -> str | None:
    """The address of an owner that is a wallet on the chains of Ethereum; lower-case."""
    found = _EVM_OWNER.fullmatch(owner)
    return found.group(1) if found else None


def normal_caip(text: str) -> str:
    """Addresses of Ethereum's chains are one whatever their case; all others are as they are written."""
    return text.lower() if text.lower().startswith("eip155:") else text


@dataclass(frozen=True, slots=True)
class Names:
    """CAIP texts at one broker."""

    broker: str

    def account(self, account_id: str) -> str:
        return f"trimtab:{self.broker}:{account_id}"

    def account_in(self, owner: str) -> str | None:
        """The account that an owner id of this broker names."""
        prefix = self.account("")
        return uuid_of(owner.removeprefix(prefix)) if owner.startswith(prefix) else None

    def owner_in(self, text: str) -> str | None:
        """An owner id in the one spelling it has here; None if it cannot be anybody's."""
        owner = normal_caip(text)
        if owner.startswith("eip155:"):
            return owner if evm_address(owner) else None
        if owner.startswith(self.account("")):
            account_id = self.account_in(owner)
            return None if account_id is None else self.account(account_id)
        return owner

    def asset(self, symbol: str) -> str:
        if CAIP_19.fullmatch(symbol):
            return symbol
        return f"trimtab:{self.broker}/symbol:{quote(symbol, safe='')}"

    @property
    def cash(self) -> str:
        return f"trimtab:{self.broker}/cash:{CASH}"

    def symbol_in(self, asset_id: str) -> str:
        """The broker's symbol for an asset; a chain's own asset id is its symbol."""
        prefix = f"trimtab:{self.broker}/symbol:"
        if asset_id.startswith(prefix):
            return unquote(asset_id.removeprefix(prefix))
        return normal_caip(asset_id)

    def owner(self, enrollment: Enrollment) -> str:
        return self.account(enrollment.account_id) if enrollment.owner is None else enrollment.owner

    def smart_accounts(self, enrollment: Enrollment) -> list[str]:
        """One per chain of a wallet; else the account itself."""
        if enrollment.owner is None:
            return [self.account(enrollment.account_id)]
        address = wallet_address(enrollment.account_id)
        return [f"eip155:{chain_id}:{address}" for chain_id in enrollment.chain_ids]

    def agent(self, tenant_id: str, owner: str) -> str:
        """Who trades for the owner: one name per tenant, written like the owner's."""
        if evm_address(owner):
            return f"eip155:0:{wallet_address(tenant_id)}"
        return self.account(f"agent-{ulid(tenant_id)}")


def wallet_address(id_: str) -> str:
    """An address in the style of Ethereum, the same for the same id."""
    return "0x" + sha256(id_.encode()).hexdigest()[:40]
