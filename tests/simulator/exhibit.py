"""Both sides of a simulated world collected for the checker."""

from datetime import datetime

from tests.engine.desks import EVERYTHING, HISTORY, TENANT
from tests.simulator.checker import Exhibit, Stop
from tests.simulator.clients import Promises
from tests.simulator.market import Market
from trimtab.database import Tx, instant
from trimtab.engine.desk import Desk
from trimtab.engine.publish import publish
from trimtab.store import feed, shards
from trimtab.store.evidence import read_evidence
from trimtab.store.feed import RunEvent

SILENT = frozenset({"SELLING", "BUYING"})


def collect(desk: Desk, market: Market, *, promises: Promises, surfaces: bool) -> Exhibit:
    publish(desk)
    accounts = {key: market.account(book) for key, book in market.books.items()}
    return Exhibit(
        facts=tuple(market.facts),
        balances={key: account.holdings for key, account in accounts.items()},
        evidence=desk.db.read(read_evidence),
        sent_at=desk.db.read(_sent_at),
        held=desk.db.read(shards.all_held),
        stops=tuple(
            Stop(account_id=f.account_id, symbol=f.symbol, begins_at=begin, ends_at=promises.thaws[f.id])
            for f, begin in promises.freezes
        ),
        asked=tuple(promises.runs),
        canceled=tuple(promises.canceled),
        told=desk.db.read(_told),
        happened=desk.db.read(_happened),
        drops_duplicates=desk.broker.traits.drops_duplicates,
        surfaces=surfaces,
        forgotten=_forgotten(market, promises),
        is_restored=promises.forgotten is not None,
    )


def _forgotten(market: Market, promises: Promises) -> frozenset[str]:
    """The orders that left in the time that a restored database knows nothing of."""
    if promises.forgotten is None:
        return frozenset()
    copied_at, restored_at = promises.forgotten
    return frozenset(key for key, at in market.sent_at.items() if copied_at <= at <= restored_at)


def _sent_at(tx: Tx) -> dict[str, datetime]:
    rows = tx.rows("SELECT client_order_id, sent_at FROM orders")
    return {row["client_order_id"]: instant(row["sent_at"]) for row in rows}


def _told(tx: Tx) -> dict[str, list[tuple[str, str]]]:
    told: dict[str, list[tuple[str, str]]] = {}
    for event in feed.between(tx, TENANT, after="", upto=feed.head(tx), limit=EVERYTHING.limit):
        if isinstance(event, RunEvent):
            told.setdefault(event.run.account_id, []).append((event.run.id, str(event.run.state)))
    return told


def _happened(tx: Tx) -> dict[str, list[tuple[str, str]]]:
    happened: dict[str, list[tuple[str, str]]] = {}
    for row in tx.rows(HISTORY):
        if row["state"] not in SILENT:
            happened.setdefault(row["account_id"], []).append((row["run_id"], row["state"]))
    return happened
