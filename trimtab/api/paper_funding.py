"""Money of the paper broker's accounts, on the vendor's wire: bank relationships, transfers, journals.

Everything settles at once. What takes money out of a client's account needs the scope for that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.api import paper_requests as requests
from trimtab.api import paper_wire as wire
from trimtab.api.alpaca_call import READ, WITHDRAW, WRITE, Call, Command, Question, Removal
from trimtab.api.alpaca_errors import AlreadyThere, NotCancelable, NotCovered, UnknownReference, ids_in_body
from trimtab.api.alpaca_once import Keep
from trimtab.api.alpaca_queries import OneOf
from trimtab.api.alpaca_shapes import Id, MalformedId, Required
from trimtab.api.paper_accounts import ACCOUNT
from trimtab.api.paper_values import Count, Day, Listed
from trimtab.brokers import paper_funding as funding
from trimtab.brokers.paper_funding import BankTransfer, Journal, Relationship
from trimtab.brokers.paper_holders import firm_id, require_own
from trimtab.brokers.paper_market import Market
from trimtab.core.errors import AccountNotActive, BrokerDown, InsufficientCash, Malformed, NotFound
from trimtab.database import Tx

RELATIONSHIPS = ACCOUNT + "/ach_relationships"
TRANSFERS = ACCOUNT + "/transfers"
JOURNALS = "/v1/journals"
TRANSFERS_DEFAULT = 100
TRANSFERS_MAX = 1000
OFFSET_MAX = 999_999_999
APPROVED, EXECUTED = "APPROVED", "executed"


def create_relationship(call: Call, given: Mapping[str, Any], *, keep: Keep) -> None:
    new = Relationship(
        id=call.new_id(), account_id=call.account_id, created_at=call.desk.clock(), details=given
    )

    def work(tx: Tx, _market: Market) -> Relationship | None:
        require_own(tx, call.tenant_id, call.account_id)
        return funding.relate(tx, new)

    made = call.market.act(work)
    if made is None:
        raise AlreadyThere("account has an ach relationship already")
    call.desk.db.write(lambda tx: keep(tx, wire.relationship_out(made)))


def list_relationships(call: Call) -> Sequence[wire.RelationshipOut]:
    statuses = call.query["statuses"]

    def read(tx: Tx) -> Relationship | None:
        require_own(tx, call.tenant_id, call.account_id)
        return funding.read_relationship(tx, call.account_id)

    found = call.market.ask(read)
    is_wanted = statuses is None or APPROVED in statuses
    return [wire.relationship_out(found)] if found is not None and is_wanted else []


def delete_relationship(call: Call) -> None:
    def work(tx: Tx, _market: Market) -> None:
        require_own(tx, call.tenant_id, call.account_id)
        funding.unrelate(tx, call.account_id, call.id)

    call.market.act(work)


def create_transfer(call: Call, given: Mapping[str, Any], *, keep: Keep) -> None:
    incoming = given["direction"] == "INCOMING"
    if not incoming:
        call.require(WITHDRAW)
    new = BankTransfer(
        id=call.new_id(),
        account_id=call.account_id,
        relationship_id=given["relationship_id"],
        amount=given["amount"] if incoming else -given["amount"],
        created_at=call.desk.clock(),
    )

    def work(tx: Tx, market: Market) -> BankTransfer:
        require_own(tx, call.tenant_id, call.account_id)
        with ids_in_body(path_id=call.account_id):
            return funding.transfer(tx, market, new)

    made = call.market.act(work)
    call.desk.db.write(lambda tx: keep(tx, wire.transfer_out(made)))


def list_transfers(call: Call) -> Sequence[wire.TransferOut]:
    query = call.query

    def read(tx: Tx) -> list[BankTransfer]:
        require_own(tx, call.tenant_id, call.account_id)
        return funding.read_transfers(
            tx,
            call.account_id,
            incoming=query["direction"],
            limit=query["limit"] or TRANSFERS_DEFAULT,
            offset=query["offset"] or 0,
        )

    return [wire.transfer_out(each) for each in call.market.ask(read)]


def cancel_transfer(call: Call) -> None:
    """Every transfer is complete as soon as it is there."""

    def read(tx: Tx) -> None:
        require_own(tx, call.tenant_id, call.account_id)
        funding.read_transfer(tx, call.account_id, call.id)

    call.market.ask(read)
    raise NotCancelable("transfer")


def create_journal(call: Call, given: Mapping[str, Any], *, keep: Keep) -> None:
    (made,) = _journaled(call, [_journal(call, given, journal_id=call.new_id())])
    call.desk.db.write(lambda tx: keep(tx, made))


def create_journals(call: Call, given: Mapping[str, Any], *, keep: Keep) -> None:
    """All of them or none."""
    first = call.new_id()
    made = _journaled(
        call,
        [
            _journal(call, {**given, **entry}, journal_id=funding.numbered_id(first, number))
            for number, entry in enumerate(given["entries"])
        ],
    )
    call.desk.db.write(lambda tx: keep(tx, made))


def create_reverse_journals(call: Call, given: Mapping[str, Any], *, keep: Keep) -> None:
    """As `create_journals`, into one account."""
    create_journals(call, given, keep=keep)


def _journal(call: Call, given: Mapping[str, Any], *, journal_id: str) -> Journal:
    sides = given["from_account"], given["to_account"]
    firm = firm_id(call.tenant_id)
    if sides.count(firm) != 1:
        raise UnknownReference(f"cash is journaled between the firm's account, {firm}, and a client's")
    if given["to_account"] == firm:
        call.require(WITHDRAW)
    return Journal(
        id=journal_id,
        from_account=given["from_account"],
        to_account=given["to_account"],
        amount=given["amount"],
        description=given.get("description", ""),
        created_at=call.desk.clock(),
    )


def _journaled(call: Call, new: Sequence[Journal]) -> list[wire.JournalOut]:
    def work(tx: Tx, market: Market) -> list[Journal]:
        return funding.journal(tx, market, new, tenant_id=call.tenant_id)

    try:
        with ids_in_body():
            return [wire.journal_out(each) for each in call.market.act(work)]
    except InsufficientCash as error:
        raise NotCovered("insufficient balance") from error


def list_journals(call: Call) -> Sequence[wire.JournalOut]:
    query = call.query

    def is_wanted(each: Journal) -> bool:
        on = each.created_at.date()
        return (
            query["status"] in {None, EXECUTED}
            and query["from_account"] in {None, each.from_account}
            and query["to_account"] in {None, each.to_account}
            and (query["after"] is None or on >= query["after"])
            and (query["before"] is None or on <= query["before"])
        )

    found = call.market.ask(lambda tx: funding.read_journals(tx, call.tenant_id))
    return [wire.journal_out(each) for each in found if is_wanted(each)]


def show_journal(call: Call) -> wire.JournalOut:
    return wire.journal_out(call.market.ask(lambda tx: funding.read_journal(tx, call.tenant_id, call.id)))


def cancel_journal(call: Call) -> None:
    """Every journal is executed as soon as it is there."""
    show_journal(call)
    raise NotCancelable("journal")


_JOURNAL_REFUSALS = (
    Required("entry_type"),
    Malformed("entry_type", "invalid value"),
    MalformedId("to_account"),
    UnknownReference("cash is journaled between the firm's account and a client's"),
    NotCovered("insufficient balance"),
    AccountNotActive(""),
    BrokerDown(),
)
_STATUSES = ("queued", "sent_to_clearing", "pending", EXECUTED, "rejected", "canceled", "refused")

OPERATIONS = (
    Command(
        method="POST",
        path=RELATIONSHIPS,
        scope=WRITE,
        summary="Connect an account with a bank account; approved at once",
        act=create_relationship,
        takes=requests.RELATIONSHIP,
        gives=wire.RelationshipOut,
        refuses=(
            Required("account_owner_name"),
            NotFound("account", ""),
            AlreadyThere("account has an ach relationship already"),
            BrokerDown(),
        ),
    ),
    Question(
        path=RELATIONSHIPS,
        scope=READ,
        summary="List the bank accounts of an account: one or none",
        act=list_relationships,
        gives=wire.RelationshipOut,
        is_list=True,
        query={"statuses": Listed()},
        refuses=(Malformed("statuses", "invalid value"), NotFound("account", ""), BrokerDown()),
    ),
    Removal(
        path=RELATIONSHIPS + "/{ach_relationship_id}",
        scope=WRITE,
        summary="Forget a bank account; its transfers stay",
        act=delete_relationship,
        refuses=(NotFound("ach_relationship", ""), BrokerDown()),
    ),
    Command(
        method="POST",
        path=TRANSFERS,
        scope=WRITE,
        summary="Pay in, or out (scope `portfolios:withdraw`), over the bank account; settled at once",
        act=create_transfer,
        takes=requests.TRANSFER,
        gives=wire.TransferOut,
        refuses=(
            Required("amount"),
            Malformed("amount must be a decimal", "invalid value"),
            NotFound("account", ""),
            MalformedId("relationship_id"),
            InsufficientCash(""),
            AccountNotActive(""),
            BrokerDown(),
        ),
    ),
    Question(
        path=TRANSFERS,
        scope=READ,
        summary="List transfers, the oldest first, from an offset on",
        act=list_transfers,
        gives=wire.TransferOut,
        is_list=True,
        query={
            "direction": OneOf({"INCOMING": True, "OUTGOING": False}),
            "limit": Count(1, TRANSFERS_MAX),
            "offset": Count(0, OFFSET_MAX),
        },
        refuses=(Malformed("offset", "invalid value"), NotFound("account", ""), BrokerDown()),
    ),
    Removal(
        path=TRANSFERS + "/{transfer_id}",
        scope=WRITE,
        summary="Cancel a transfer: refused, because all are complete",
        act=cancel_transfer,
        refuses=(NotFound("transfer", ""), NotCancelable("transfer"), BrokerDown()),
    ),
    Command(
        method="POST",
        path=JOURNALS,
        scope=WRITE,
        summary="Move cash from the firm's account to a client's, or back (scope `portfolios:withdraw`)",
        act=create_journal,
        takes=requests.JOURNAL,
        gives=wire.JournalOut,
        refuses=_JOURNAL_REFUSALS,
    ),
    Command(
        method="POST",
        path=JOURNALS + "/batch",
        scope=WRITE,
        summary="Move cash from the firm's account to many: all or none",
        act=create_journals,
        takes=requests.JOURNALS,
        gives=wire.JournalOut,
        is_list=True,
        refuses=_JOURNAL_REFUSALS,
    ),
    Command(
        method="POST",
        path=JOURNALS + "/reverse_batch",
        scope=WRITE,
        summary="Move cash from many accounts to the firm's: all or none (scope `portfolios:withdraw`)",
        act=create_reverse_journals,
        takes=requests.REVERSE_JOURNALS,
        gives=wire.JournalOut,
        is_list=True,
        refuses=_JOURNAL_REFUSALS,
    ),
    Question(
        path=JOURNALS,
        scope=READ,
        summary="List journals, the oldest first",
        act=list_journals,
        gives=wire.JournalOut,
        is_list=True,
        query={
            "after": Day(),
            "before": Day(),
            "status": OneOf({each: each for each in _STATUSES}),
            "entry_type": OneOf({"JNLC": "JNLC"}),
            "to_account": Id("to_account"),
            "from_account": Id("from_account"),
        },
        refuses=(Malformed("after", "invalid value"), MalformedId("to_account"), BrokerDown()),
    ),
    Question(
        path=JOURNALS + "/{journal_id}",
        scope=READ,
        summary="Show a journal",
        act=show_journal,
        gives=wire.JournalOut,
        refuses=(NotFound("journal", ""), BrokerDown()),
    ),
    Removal(
        path=JOURNALS + "/{journal_id}",
        scope=WRITE,
        summary="Cancel a journal: refused, because all are executed",
        act=cancel_journal,
        refuses=(NotFound("journal", ""), NotCancelable("journal"), BrokerDown()),
    ),
)
