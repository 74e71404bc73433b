"""The bodies of the broker's wire: what opens an account, moves money and asks for an order.

Of a holder is read what the official client insists on when it is shown again; the rest is ignored, as
everything that a paper market has no use for.
"""

from dataclasses import dataclass
from decimal import Decimal

from trimtab.api.alpaca_shapes import (
    BadValue,
    Choice,
    Field,
    Given,
    Id,
    ListOf,
    Named,
    Record,
    Refused,
    Required,
    Schema,
    Text,
    optional,
    required,
)
from trimtab.api.alpaca_values import Dollars
from trimtab.api.paper_values import SHARES, Amount, Flag, Never, Texts
from trimtab.brokers.broker import PRICE_PLACES
from trimtab.core.run import Side

WORD_MAX = 200
CLIENT_ORDER_ID_MAX = 128
SYMBOL_MAX = 64
ENTRIES_MAX = 100
MARKET, LIMIT = "market", "limit"

_WORD = Text(WORD_MAX)
_SOME = Text(WORD_MAX, least=1)


def _words(*names: str) -> dict[str, Field]:
    return {name: optional(_WORD) for name in names}


_CONTACT = Record(
    fields={
        "email_address": required(_SOME, "No two accounts may have the same."),
        "street_address": required(Texts(most=5, longest=WORD_MAX)),
        "city": required(_SOME),
        "state": optional(_SOME),
        **_words("phone_number", "unit", "postal_code", "country"),
    }
)
_IDENTITY = Record(
    fields={
        "given_name": required(_SOME),
        "family_name": required(_SOME),
        "country_of_tax_residence": required(_SOME),
        **_words("middle_name", "date_of_birth", "tax_id", "country_of_citizenship", "country_of_birth"),
    }
)
_DISCLOSURES = Record(
    fields={
        "immediate_family_exposed": required(Flag()),
        "is_control_person": optional(Flag()),
        "is_affiliated_exchange_or_finra": optional(Flag()),
        "is_politically_exposed": optional(Flag()),
    }
)
_AGREEMENTS = (
    "margin_agreement",
    "account_agreement",
    "customer_agreement",
    "crypto_agreement",
    "options_agreement",
    "custodial_customer_agreement",
)
AGREEMENT = Named(
    "AgreementRequest",
    Record(
        fields={
            "agreement": required(Choice(_AGREEMENTS)),
            "signed_at": required(_SOME),
            "ip_address": required(_SOME),
            "revision": optional(_WORD),
        }
    ),
)


@dataclass(frozen=True, slots=True)
class Block:
    """An object inside a body."""

    record: Record

    def read(self, value: object, path: str, /) -> Given:
        if not isinstance(value, dict):
            raise BadValue(f"{path}: must be an object")
        read: Given = self.record.read(value, path)
        return read

    def schema(self) -> Schema:
        return self.record.schema()


ACCOUNT = Named(
    "AccountCreateRequest",
    Record(
        fields={
            "contact": required(Block(_CONTACT)),
            "identity": required(Block(_IDENTITY)),
            "disclosures": required(Block(_DISCLOSURES)),
            "agreements": required(ListOf(AGREEMENT, most=10)),
            "currency": optional(Choice(("USD",))),
            "account_type": optional(_SOME),
        }
    ),
    examples=(
        {
            "contact": {
                "email_address": "ann@example.com",
                "phone_number": "555-666-7788",
                "street_address": ["20 N San Mateo Dr"],
                "city": "San Mateo",
                "state": "CA",
                "postal_code": "94401",
                "country": "USA",
            },
            "identity": {
                "given_name": "Ann",
                "family_name": "Doe",
                "date_of_birth": "1990-01-01",
                "country_of_tax_residence": "USA",
            },
            "disclosures": {"immediate_family_exposed": False},
            "agreements": [
                {
                    "agreement": "customer_agreement",
                    "signed_at": "2026-03-02T15:00:00Z",
                    "ip_address": "203.0.113.7",
                }
            ],
        },
    ),
)


def _relationship(given: Given) -> Given:
    """With a token of a third party the bank's own words are not needed: it has them."""
    if "processor_token" not in given:
        for name in ("account_owner_name", "bank_account_type", "bank_account_number", "bank_routing_number"):
            if name not in given:
                raise Required(name)
    return given


RELATIONSHIP = Named(
    "ACHRelationshipCreateRequest",
    Record(
        fields={
            "account_owner_name": optional(_SOME, "Needed without `processor_token`, as the next three."),
            "bank_account_type": optional(Choice(("CHECKING", "SAVINGS"))),
            "bank_account_number": optional(_SOME),
            "bank_routing_number": optional(_SOME),
            "nickname": optional(_WORD),
            "processor_token": optional(_SOME),
        },
        make=_relationship,
    ),
    examples=(
        {
            "account_owner_name": "Ann Doe",
            "bank_account_type": "CHECKING",
            "bank_account_number": "32131231abc",
            "bank_routing_number": "123103716",
        },
    ),
)
TRANSFER = Named(
    "TransferCreateRequest",
    Record(
        fields={
            "transfer_type": required(Choice(("ach",)), "Wires are not served."),
            "relationship_id": required(Id("relationship_id")),
            "amount": required(Dollars()),
            "direction": required(Choice(("INCOMING", "OUTGOING"))),
            "timing": optional(Choice(("immediate",))),
        }
    ),
    examples=(
        {
            "transfer_type": "ach",
            "relationship_id": "0f5f2f0e-0c56-4c0e-9a0e-6a4a4b0c7a11",
            "amount": "500",
            "direction": "INCOMING",
        },
    ),
)

_CASH_ONLY = optional(Refused(lambda path: BadValue(f"{path}: only cash journals (JNLC) are served")))
_ENTRY_TYPE = required(Choice(("JNLC",)), "Securities are not journaled.")
_DESCRIPTION = optional(Text(1000))


def _journal_entry(name: str, other: str) -> Named:
    return Named(
        name,
        Record(
            fields={
                other: required(Id(other)),
                "amount": required(Dollars()),
                "description": _DESCRIPTION,
            }
        ),
    )


def _journals(name: str, one: str, *, entry: Named) -> Named:
    return Named(
        name,
        Record(
            fields={
                "entry_type": _ENTRY_TYPE,
                one: required(Id(one)),
                "entries": required(ListOf(entry, most=ENTRIES_MAX, least=1)),
            }
        ),
    )


JOURNAL = Named(
    "JournalCreateRequest",
    Record(
        fields={
            "entry_type": _ENTRY_TYPE,
            "from_account": required(Id("from_account")),
            "to_account": required(Id("to_account")),
            "amount": required(Dollars()),
            "symbol": _CASH_ONLY,
            "qty": _CASH_ONLY,
            "description": _DESCRIPTION,
        }
    ),
)
JOURNAL_TO = _journal_entry("BatchJournalEntry", "to_account")
JOURNAL_FROM = _journal_entry("ReverseBatchJournalEntry", "from_account")
JOURNALS = _journals("BatchJournalCreateRequest", "from_account", entry=JOURNAL_TO)
REVERSE_JOURNALS = _journals("ReverseBatchJournalCreateRequest", "to_account", entry=JOURNAL_FROM)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBody:
    """What an order asks for; `client_order_id` None if the broker is to name it."""

    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    client_order_id: str | None


def _order(given: Given) -> OrderBody:
    quantity, notional = given.get("qty"), given.get("notional")
    if quantity is None and notional is None:
        raise BadValue("qty or notional is required")
    if quantity is not None and notional is not None:
        raise BadValue("only one of qty or notional is accepted")
    limit_price = given.get("limit_price")
    if (given["type"] == LIMIT) != (limit_price is not None):
        missing, needless = (
            "limit_price is required for limit orders",
            "limit_price: not permitted for market",
        )
        raise BadValue(missing if limit_price is None else needless)
    return OrderBody(
        symbol=given["symbol"],
        side=Side(given["side"]),
        quantity=quantity,
        notional=notional,
        limit_price=limit_price,
        client_order_id=given.get("client_order_id"),
    )


_REFUSED = optional(Refused(lambda path: BadValue(f"{path}: not supported")))
ORDER = Named(
    "OrderCreateRequest",
    Record(
        fields={
            "symbol": required(Text(SYMBOL_MAX, least=1)),
            "side": required(Choice(tuple(Side))),
            "type": required(
                Choice((MARKET, LIMIT)),
                "A limit order executes at once within its limit, or is canceled: nothing rests here.",
            ),
            "time_in_force": required(Choice(("day",))),
            "qty": optional(SHARES, "Shares; either this or `notional`."),
            "notional": optional(Amount(2), "Dollars; either this or `qty`."),
            "limit_price": optional(Amount(PRICE_PLACES), "With type `limit`, and only then."),
            "client_order_id": optional(
                Text(CLIENT_ORDER_ID_MAX, least=1), "No two orders of an account share one."
            ),
            "extended_hours": optional(Never("only regular hours are served")),
            "order_class": optional(Choice(("", "simple"))),
            "stop_price": _REFUSED,
            "trail_price": _REFUSED,
            "trail_percent": _REFUSED,
            "legs": _REFUSED,
            "take_profit": _REFUSED,
            "stop_loss": _REFUSED,
        },
        make=_order,
    ),
    examples=(
        {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day", "notional": "25.5"},
        {
            "symbol": "SPY",
            "side": "buy",
            "type": "limit",
            "time_in_force": "day",
            "qty": "1",
            "limit_price": "500",
        },
    ),
)
PAPER_BODIES = (
    AGREEMENT,
    ACCOUNT,
    RELATIONSHIP,
    TRANSFER,
    JOURNAL_TO,
    JOURNAL_FROM,
    JOURNAL,
    JOURNALS,
    REVERSE_JOURNALS,
    ORDER,
)
