"""What sweeps have found: one packed block per shard and sweep, with a record for every enrollment.

A record stands where its account stands in the mirror, for a fold leaves every account in its place
and appends new ones. Columns are packed one after another and compressed together. Blocks are kept
for a while (TRIMTAB_EVALUATION_DAYS) and then dropped by the sweep that comes next.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.core.enrollment import Enrollment
from trimtab.core.evaluation import Evaluation, NearestLine, Reason
from trimtab.core.money import CENT_PLACES
from trimtab.core.strategy import BandKind, DriftBand
from trimtab.database import Row, Tx, instant, micros
from trimtab.store import holdings
from trimtab.store.enrollments import Page

PERCENT_PLACES = 4
# One band of each kind is all that a strategy may have.
BANDS_MAX = len(BandKind)

# What stands in a record for each reason. Stored: never given a new meaning.
CODES: dict[Reason, int] = {
    Reason.TRIGGERED: 1,
    Reason.NOTHING_DUE: 2,
    Reason.IN_COOLDOWN: 3,
    Reason.ALREADY_RUN: 4,
    Reason.OVERTAKEN: 5,
    Reason.RUN_OPEN: 6,
    Reason.PAUSED: 7,
    Reason.STRATEGY_NOT_ACTIVE: 8,
    Reason.ACCOUNT_NOT_ACTIVE: 9,
    Reason.MARKET_CLOSED: 10,
    Reason.NO_PRICE: 11,
    Reason.NO_EQUITY: 12,
    Reason.CORPORATE_ACTION: 13,
}
_REASONS = {code: reason for reason, code in CODES.items()}

# enrollment: its `seq`, 0 where the account has none; group: whose strategy it follows; cooldown_ends: the
# ordinal of a date; next_due: microseconds since 1970; free_cash: cents; for each band the line nearest to
# its edge and what that line is of equity, in 1/10,000 of a percent. The lowest number of a kind is none.
RECORD = np.dtype(
    [
        ("enrollment", "<i8"),
        ("group", "<i2"),
        ("reason", "u1"),
        ("cooldown_ends", "<i4"),
        ("next_due", "<i8"),
        ("free_cash", "<i8"),
        *[(f"line_{n}", "<i4") for n in range(BANDS_MAX)],
        *[(f"actual_{n}", "<i4") for n in range(BANDS_MAX)],
    ]
)


class Group(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What the records of one strategy's followers have in common. `lines` are symbols, None for cash,
    with their targets in percent; `bands` kinds with theirs; both as text.
    """

    strategy_id: str
    version: int
    session_on: date | None
    invest_cash_min: str
    lines: list[tuple[str | None, str]]
    bands: list[tuple[str, str]]


class Note(msgspec.Struct, array_like=True, frozen=True):
    """What only some records have: words, and the run that was made."""

    details: str
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sweep's findings; `records` and `notes` by the accounts' rows in the mirror."""

    records: NDArray[Any]
    groups: list[Group] = field(default_factory=list)
    notes: dict[int, Note] = field(default_factory=dict)


# The fields that may be empty, with what stands there then.
NOTHING = {
    name: int(np.iinfo(RECORD[name]).min)
    for name in RECORD.names or ()
    if name not in {"enrollment", "group", "reason"}
}


def blank(accounts: int) -> Sheet:
    records = np.zeros(accounts, RECORD)
    for name, nothing in NOTHING.items():
        records[name] = nothing
    return Sheet(records)


def insert(tx: Tx, shard: int, sheet: Sheet, *, epoch: int, at: datetime) -> None:
    columns = b"".join(sheet.records[name].tobytes() for name in RECORD.names or ())
    packed = msgspec.msgpack.encode([len(sheet.records), sheet.groups, sheet.notes, columns])
    tx.execute(
        "INSERT INTO evaluations (shard, epoch, at, block) VALUES (:shard, :epoch, :at, :block)",
        shard=shard,
        epoch=epoch,
        at=micros(at),
        # The quickest level: it costs a third of the others and gives nearly as much.
        block=zlib.compress(packed, 1),
    )


def drop(tx: Tx, shard: int, *, before: datetime) -> None:
    tx.execute(
        "DELETE FROM evaluations WHERE shard = :shard AND at < :before", shard=shard, before=micros(before)
    )


def page(tx: Tx, enrollment: Enrollment, page: Page) -> list[tuple[int, Evaluation]]:
    """The enrollment's evaluations with their place in the list, newest first; one more than the limit
    if there is.
    """
    rows = {
        account_id: row
        for row, account_id in enumerate(holdings.read(tx, enrollment.shard).block.account_ids)
    }
    seq = tx.row("SELECT seq FROM enrollments WHERE id = :id", id=enrollment.id)
    assert seq is not None, "the enrollment is stored"
    found: list[tuple[int, Evaluation]] = []
    after, place = page.after, rows.get(enrollment.account_id)
    while place is not None and len(found) <= page.limit:
        blocks = _blocks(tx, enrollment, after=after, limit=page.limit + 1)
        for block in blocks:
            evaluation = _evaluation(block, place, seq=seq["seq"])
            if evaluation is not None:
                found.append((block["epoch"], evaluation))
        if len(blocks) <= page.limit:
            break
        after = blocks[-1]["epoch"]
    return found[: page.limit + 1]


def _blocks(tx: Tx, enrollment: Enrollment, *, after: int | None, limit: int) -> Sequence[Row]:
    return tx.rows(
        """SELECT epoch, at, block FROM evaluations
           WHERE shard = :shard AND at >= :since AND (:after < 0 OR epoch < :after)
           ORDER BY epoch DESC LIMIT :limit""",
        shard=enrollment.shard,
        since=micros(enrollment.created_at),
        after=-1 if after is None else after,
        limit=limit,
    )


_PACKED = msgspec.msgpack.Decoder(tuple[int, list[Group], dict[int, Note], bytes])


def _evaluation(block: Row, place: int, *, seq: int) -> Evaluation | None:
    """The record at that place; None if it is not the enrollment's."""
    accounts, groups, notes, columns = _PACKED.decode(zlib.decompress(block["block"]))
    if place >= accounts:
        return None
    record = _record(columns, accounts, place=place)
    if record["enrollment"] != seq:
        return None
    group = groups[record["group"] or 0]
    note = notes.get(place)
    free_cash, cooldown_ends, next_due = record["free_cash"], record["cooldown_ends"], record["next_due"]
    return Evaluation(
        at=instant(block["at"]),
        strategy_id=group.strategy_id,
        strategy_version=group.version,
        session_on=group.session_on,
        reason=_REASONS[record["reason"] or 0],
        details=None if note is None else note.details,
        run_id=None if note is None else note.run_id,
        nearest=tuple(_nearest(group, record)),
        free_cash=None if free_cash is None else Decimal(free_cash).scaleb(-CENT_PLACES),
        invest_cash_min=Decimal(group.invest_cash_min),
        cooldown_ends_on=None if cooldown_ends is None else date.fromordinal(cooldown_ends),
        next_due_at=None if next_due is None else instant(next_due),
    )


def _record(columns: bytes, accounts: int, *, place: int) -> dict[str, int | None]:
    record: dict[str, int | None] = {}
    begins = 0
    for name in RECORD.names or ():
        kind = RECORD[name]
        stored = int(np.frombuffer(columns, kind, count=1, offset=begins + place * kind.itemsize)[0])
        record[name] = None if stored == NOTHING.get(name) else stored
        begins += accounts * kind.itemsize
    return record


def _nearest(group: Group, record: dict[str, int | None]) -> Iterator[NearestLine]:
    for n, (kind, percent) in enumerate(group.bands):
        line, actual = record[f"line_{n}"], record[f"actual_{n}"]
        if line is not None and actual is not None:
            symbol, target = group.lines[line]
            yield NearestLine(
                band=DriftBand(kind=BandKind(kind), percent=Decimal(percent)),
                symbol=symbol,
                target=Decimal(target),
                actual=Decimal(actual).scaleb(-PERCENT_PLACES),
            )
