"""Folding the broker's feed into a shard's mirror of holdings.

Between runs the broker is right: whatever it shows is adopted, and cash that came or went without a
trade of ours is recorded as an adjustment. Money that leaves an account is taken first from what was
set aside for leaving.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from trimtab.brokers.broker import Account, Feed, Transfer
from trimtab.core.money import ZERO
from trimtab.database import Tx
from trimtab.engine.desk import Effects, ask, read
from trimtab.engine.steps import Turn
from trimtab.store import holdings, shards
from trimtab.store.holdings import Adjustment, Mirror, Mirrored

# The feed is shared by all shards: a cursor that only others' accounts have moved is not worth a
# write each time.
CURSOR_SLACK = 10_000


@dataclass(frozen=True, slots=True)
class _Before:
    mirror: Mirror
    account_ids: list[str]


def follow_broker(turn: Turn) -> Effects[Mirror]:
    """The shard's mirror, brought up to the broker's present state."""
    before = yield from read(
        lambda tx: _Before(holdings.read(tx, turn.shard), shards.account_ids(tx, turn.shard))
    )
    mirror = before.mirror
    feed: Feed = yield from ask(lambda broker: broker.feed(mirror.cursor))
    ours = set(before.account_ids)
    stale = (feed.changed & ours) | (ours - set(mirror.block.account_ids))
    if not stale and feed.cursor - mirror.cursor < CURSOR_SLACK:
        return mirror
    seen: dict[str, Account] = yield from ask(lambda broker: broker.accounts(stale))
    changed = {
        account_id: Mirrored(is_active=account.is_active, holdings=account.holdings)
        for account_id, account in seen.items()
    }
    block = holdings.fold(mirror.block, changed) if changed else mirror.block
    after = Mirror(mirror.version + 1, feed.cursor, block)
    transfers = [transfer for transfer in feed.transfers if transfer.account_id in ours]

    def store(tx: Tx) -> None:
        holdings.write(tx, turn.shard, after)
        _adopt_transfers(tx, turn, transfers)

    yield from turn.commit(store)
    return after


def _adopt_transfers(tx: Tx, turn: Turn, transfers: Sequence[Transfer]) -> None:
    adjustments = [
        Adjustment(ref=t.ref, account_id=t.account_id, amount=t.amount, at=t.at) for t in transfers
    ]
    holdings.insert_adjustments(tx, turn.shard, turn.desk.broker.traits.name, adjustments=adjustments)
    withdrawn: dict[str, Decimal] = {}
    for transfer in transfers:
        if transfer.amount < 0:
            withdrawn[transfer.account_id] = withdrawn.get(transfer.account_id, ZERO) - transfer.amount
    records = shards.accounts(tx, withdrawn)
    shards.set_aside(
        tx,
        {
            account_id: max(record.set_aside - withdrawn[account_id], ZERO)
            for account_id, record in records.items()
            if record.set_aside > 0
        },
    )
