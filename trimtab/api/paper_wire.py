"""The broker's accounts and money as its wire shows them: the vendor's keys, those that its client insists
on always among them.

Cash is exact, and shown as it is. What a holder never said is left out, because null is not understood.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from trimtab.api.alpaca_wire import DecimalText, Instant, Uuid
from trimtab.api.body import instant_text
from trimtab.brokers.paper_funding import BankTransfer, Journal, Relationship
from trimtab.brokers.paper_holders import Holding
from trimtab.brokers.paper_trading import Standing
from trimtab.core.money import plain

Day = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date", "examples": ["2026-03-02"]})]
Block = Annotated[dict[str, Any], msgspec.Meta(description="As it was sent")]
ENTITIES = ("contact", "identity", "disclosures", "agreements")


class BrokerAccountOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: Uuid
    account_number: str
    status: str
    crypto_status: Literal["INACTIVE"]
    currency: Literal["USD"]
    last_equity: DecimalText
    created_at: Instant
    account_type: str
    contact: Block | msgspec.UnsetType = msgspec.UNSET
    identity: Block | msgspec.UnsetType = msgspec.UNSET
    disclosures: Block | msgspec.UnsetType = msgspec.UNSET
    agreements: list[Block] | msgspec.UnsetType = msgspec.UNSET


class ClosedOut(msgspec.Struct, kw_only=True):
    account_id: Uuid
    status: str


class TradeAccountOut(msgspec.Struct, kw_only=True):
    """An account without credit: what it may spend is its cash."""

    id: Uuid
    account_number: str
    status: str
    crypto_status: Literal["INACTIVE"] = "INACTIVE"
    currency: Literal["USD"] = "USD"
    cash: DecimalText
    cash_withdrawable: DecimalText
    cash_transferable: DecimalText
    buying_power: DecimalText
    regt_buying_power: DecimalText
    non_marginable_buying_power: DecimalText
    options_buying_power: Literal["0"] = "0"
    equity: DecimalText
    portfolio_value: DecimalText
    long_market_value: DecimalText
    short_market_value: Literal["0"] = "0"
    position_market_value: DecimalText
    initial_margin: DecimalText
    maintenance_margin: Literal["0"] = "0"
    last_maintenance_margin: Literal["0"] = "0"
    accrued_fees: Literal["0"] = "0"
    pending_transfer_in: Literal["0"] = "0"
    pending_transfer_out: Literal["0"] = "0"
    sma: Literal["0"] = "0"
    multiplier: Literal["1"] = "1"
    shorting_enabled: bool = False
    trading_blocked: bool
    transfers_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool = False
    created_at: Instant
    # What was at the close of the session before: this market keeps no such books.
    previous_close: None = None
    last_equity: DecimalText
    last_long_market_value: None = None
    last_short_market_value: None = None
    last_cash: None = None
    last_initial_margin: None = None
    last_regt_buying_power: None = None
    last_buying_power: None = None
    clearing_broker: None = None


class RelationshipOut(msgspec.Struct, kw_only=True):
    id: Uuid
    account_id: Uuid
    created_at: Instant
    updated_at: Instant
    status: Literal["APPROVED"] = "APPROVED"
    account_owner_name: str
    bank_account_type: str
    bank_account_number: str
    bank_routing_number: str
    nickname: str | None
    processor_token: str | None


class TransferOut(msgspec.Struct, kw_only=True):
    id: Uuid
    relationship_id: Uuid
    account_id: Uuid
    type: Literal["ach"] = "ach"
    status: Literal["COMPLETE"] = "COMPLETE"
    currency: Literal["USD"] = "USD"
    amount: DecimalText
    requested_amount: DecimalText
    fee: Literal["0"] = "0"
    fee_payment_method: Literal["user"] = "user"
    direction: Literal["INCOMING", "OUTGOING"]
    created_at: Instant
    updated_at: Instant
    expires_at: Instant
    reason: None = None
    additional_information: None = None


class JournalOut(msgspec.Struct, kw_only=True):
    id: Uuid
    entry_type: Literal["JNLC"] = "JNLC"
    from_account: Uuid
    to_account: Uuid
    status: Literal["executed"] = "executed"
    net_amount: DecimalText
    symbol: None = None
    qty: None = None
    price: None = None
    currency: Literal["USD"] = "USD"
    description: str
    settle_date: Day
    system_date: Day


EXPIRES_AFTER = timedelta(days=7)


def account_out(holding: Holding, *, equity: str, entities: frozenset[str]) -> BrokerAccountOut:
    shown = BrokerAccountOut(
        id=holding.account.account_id,
        account_number=holding.number,
        status=holding.account.status,
        crypto_status="INACTIVE",
        currency="USD",
        last_equity=equity,
        created_at=instant_text(holding.opened_at),
        account_type="firm" if holding.is_firm else holding.details.get("account_type", "trading"),
    )
    for name in ENTITIES:
        if name in entities and name in holding.details:
            setattr(shown, name, holding.details[name])
    return shown


def trade_account_out(holding: Holding, standing: Standing) -> TradeAccountOut:
    worth = standing.market_value
    free = plain(standing.free_cash)
    equity = plain(standing.account.holdings.cash + worth)
    blocked = not standing.account.is_active
    return TradeAccountOut(
        id=holding.account.account_id,
        account_number=holding.number,
        status=holding.account.status,
        cash=plain(standing.account.holdings.cash),
        cash_withdrawable=free,
        cash_transferable=free,
        buying_power=free,
        regt_buying_power=free,
        non_marginable_buying_power=free,
        equity=equity,
        portfolio_value=equity,
        long_market_value=plain(worth),
        position_market_value=plain(worth),
        initial_margin=plain(worth),
        trading_blocked=blocked,
        transfers_blocked=blocked,
        account_blocked=blocked,
        created_at=instant_text(holding.opened_at),
        last_equity=equity,
    )


def relationship_out(relationship: Relationship) -> RelationshipOut:
    details = relationship.details
    created = instant_text(relationship.created_at)
    return RelationshipOut(
        id=relationship.id,
        account_id=relationship.account_id,
        created_at=created,
        updated_at=created,
        account_owner_name=details.get("account_owner_name", ""),
        bank_account_type=details.get("bank_account_type", ""),
        bank_account_number=details.get("bank_account_number", ""),
        bank_routing_number=details.get("bank_routing_number", ""),
        nickname=details.get("nickname"),
        processor_token=details.get("processor_token"),
    )


def transfer_out(transfer: BankTransfer) -> TransferOut:
    amount, created = plain(abs(transfer.amount)), instant_text(transfer.created_at)
    return TransferOut(
        id=transfer.id,
        relationship_id=transfer.relationship_id,
        account_id=transfer.account_id,
        amount=amount,
        requested_amount=amount,
        direction="INCOMING" if transfer.amount > 0 else "OUTGOING",
        created_at=created,
        updated_at=created,
        expires_at=instant_text(transfer.created_at + EXPIRES_AFTER),
    )


def journal_out(journal: Journal) -> JournalOut:
    on = journal.created_at.date().isoformat()
    return JournalOut(
        id=journal.id,
        from_account=journal.from_account,
        to_account=journal.to_account,
        net_amount=plain(journal.amount),
        description=journal.description,
        settle_date=on,
        system_date=on,
    )
