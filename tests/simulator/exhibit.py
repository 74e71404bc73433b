"""Both sides of a simulated world collected for the checker."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial

from tests.engine.desks import HISTORY, TENANT
from tests.simulator.checker import Exhibit, Stop
from tests.simulator.clients import Promises
from tests.simulator.market import Market
from tests.simulator.witness import Conduct
from trimtab.database import Tx, instant
from trimtab.engine.desk import Desk, drive
from trimtab.engine.publish import publish
from trimtab.engine.sweep import sweep
from trimtab.engine.turn import take_turn
from trimtab.store import freezes, holdings, shards
from trimtab.store.evidence import read_evidence

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
        frozen=desk.db.read(_frozen),
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


def unmirrored(desk: Desk, market: Market) -> Iterator[tuple[str, str]]:
    """Accounts that a last evaluation, on a quiet day, does not see as they are: between runs the broker is
    right (decisions page, 28). An account that was shown late stays as it was shown until it changes again.
    """
    if market.weather.rate("account late") or market.weather.rate("cash late"):
        return
    for shard in desk.db.read(shards.numbers):
        turn = drive(take_turn(desk, shard), desk)
        drive(sweep(turn), desk)
        block = desk.db.read(partial(holdings.read, shard=shard)).block
        for account_id in desk.db.read(partial(shards.account_ids, shard=shard)):
            there = market.account(market.books[account_id]).holdings
            here = None
            if account_id in block.account_ids:
                here = block.holdings(block.account_ids.index(account_id))
            if here != there:
                yield "the mirror", f"{account_id} has {there}, the mirror shows {here}"


def witnessed(exhibit: Exhibit, desk: Desk, *, market: Market, promises: Promises) -> Conduct:
    rows = desk.db.read(lambda tx: tx.rows("SELECT id, orders_sent, amount, deadline_at FROM runs"))
    return Conduct(
        evidence=exhibit.evidence,
        facts=exhibit.facts,
        faults=frozenset({*market.weather.rates, *(["freeze"] if promises.freezes else [])}),
        surfaces=exhibit.surfaces,
        drops_duplicates=exhibit.drops_duplicates,
        workers=market.weather.workers,
        caps=desk.caps,
        sendings=market.sendings,
        prices=market.quoted,
        cancels=market.cancels,
        looks=market.looks,
        stops=[(s.account_id, s.begins_at, s.ends_at) for s in exhibit.stops if s.symbol is None],
        paused=promises.pauses,
        counted={row["id"]: row["orders_sent"] for row in rows},
        canceled=dict(promises.canceled),
        amounts={row["id"]: Decimal(row["amount"] or 0) for row in rows},
        deadlines={row["id"]: instant(row["deadline_at"]) for row in rows if row["deadline_at"] is not None},
    )


def _forgotten(market: Market, promises: Promises) -> frozenset[str]:
    """The orders that left in the time that a restored database knows nothing of."""
    if promises.forgotten is None:
        return frozenset()
    copied_at, restored_at = promises.forgotten
    return frozenset(key for key, at in market.sent_at.items() if copied_at <= at <= restored_at)


def _frozen(tx: Tx) -> dict[str, str]:
    return {f.account_id: f.reason for f in freezes.all_freezes(tx) if f.account_id is not None}


def _sent_at(tx: Tx) -> dict[str, datetime]:
    rows = tx.rows("SELECT client_order_id, sent_at FROM orders")
    return {row["client_order_id"]: instant(row["sent_at"]) for row in rows}


def _told(tx: Tx) -> dict[str, list[tuple[str, str]]]:
    told: dict[str, list[tuple[str, str]]] = {}
    rows = tx.rows(
        """SELECT r.account_id, f.run_id, f.state FROM feed f JOIN runs r ON r.id = f.run_id
           WHERE f.tenant_id = :tenant_id ORDER BY f.event_id""",
        tenant_id=TENANT,
    )
    for row in rows:
        told.setdefault(row["account_id"], []).append((row["run_id"], row["state"]))
    return told


def _happened(tx: Tx) -> dict[str, list[tuple[str, str]]]:
    happened: dict[str, list[tuple[str, str]]] = {}
    for row in tx.rows(HISTORY):
        if row["state"] not in SILENT:
            happened.setdefault(row["account_id"], []).append((row["run_id"], row["state"]))
    return happened
