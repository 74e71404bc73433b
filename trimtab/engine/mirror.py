"""Folding the broker's feed into a shard's mirror of holdings.

Between runs the broker is right: whatever it shows is adopted, and cash that came or went without a
trade of ours is recorded as an adjustment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

from trimtab.brokers.broker import Account, Broker, Feed, Transfer
from trimtab.core.money import ZERO
from trimtab.database import Tx
from trimtab.engine.desk import Effects, ask, ask_each, read
from trimtab.engine.turn import Turn
from trimtab.store import holdings, shards
from trimtab.store.holdings import Adjustment, Mirror, Mirrored

# The feed is shared by all shards: a cursor that only others' accounts have moved is not worth a
# write each time.
CURSOR_SLACK = 10_000
# A market that never rests must not keep a sweep from its work: what comes later is for the next one.
LOOKS_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """The mirror as of now, and the money in each account that is not its strategy's.

    What is new in it is stored with the findings of the sweep that follows.
    """

    mirror: Mirror
    is_new: bool
    transfers: tuple[Transfer, ...]
    set_aside: Mapping[str, Decimal]

    def store(self, tx: Tx, turn: Turn) -> None:
        if not self.is_new:
            return
        holdings.write(tx, turn.shard, mirror=self.mirror)
        adjustments = [
            Adjustment(
                ref=t.ref,
                account_id=t.account_id,
                amount=t.amount,
                at=t.at,
                version=self.mirror.version,
            )
            for t in self.transfers
        ]
        name = turn.desk.broker.traits.name
        holdings.insert_adjustments(tx, turn.shard, name, adjustments=adjustments)
        paid = {t.account_id for t in self.transfers if t.amount < 0 and t.account_id in self.set_aside}
        shards.set_aside(tx, {account_id: self.set_aside[account_id] for account_id in paid})


def follow_broker(turn: Turn) -> Effects[Followed]:
    """Bring the shard's mirror up to the broker's present state."""
    before, ours, set_aside = yield from read(lambda tx: _read(tx, turn.shard))
    # Where the broker does not tell what changes, every account may have.
    told = turn.desk.broker.traits.tells_changes
    new = ours - set(before.block.account_ids) if told else ours
    news = yield from _news(before.cursor, ours, new=new, all_anew=not told)
    if not news.seen and news.cursor - before.cursor < CURSOR_SLACK:
        return Followed(mirror=before, is_new=False, transfers=(), set_aside=set_aside)
    changed = {
        account_id: Mirrored(is_active=account.is_active, holdings=account.holdings)
        for account_id, account in news.seen.items()
    }
    block = holdings.fold(before.block, changed) if changed else before.block
    return Followed(
        mirror=Mirror(before.version + 1, news.cursor, block),
        is_new=True,
        transfers=tuple(news.transfers),
        set_aside=_after_withdrawals(set_aside, news.transfers),
    )


def _read(tx: Tx, shard: int) -> tuple[Mirror, set[str], dict[str, Decimal]]:
    """The stored mirror, the ids of the shard's accounts, and what is set aside in them."""
    mirror = holdings.read(tx, shard)
    known = mirror.block.account_ids
    # Accounts stay for good: if their number is the block's, they are the block's.
    ours = known if shards.account_count(tx, shard) == len(known) else shards.account_ids(tx, shard)
    return mirror, set(ours), shards.amounts_set_aside(tx, shard)


@dataclass(slots=True, kw_only=True)
class _News:
    """Accounts as seen after everything up to the cursor had happened, and the transfers among it."""

    cursor: int
    seen: dict[str, Account] = field(default_factory=dict)
    transfers: list[Transfer] = field(default_factory=list)


def _news(cursor: int, ours: set[str], *, new: set[str], all_anew: bool) -> Effects[_News]:
    """Look at what has changed, and again at what changed while we looked, until nothing has.

    So each transfer is counted once, and with holdings that contain it. Where all accounts are looked at
    anew each time, one that cannot be seen stays as it was.
    """
    news = _News(cursor=cursor)
    stale = set(new)
    for _ in range(LOOKS_MAX):
        since = news.cursor
        feed: Feed = yield from ask(partial(_feed_since, since=since))
        news.cursor = feed.cursor
        news.transfers += [transfer for transfer in feed.transfers if transfer.account_id in ours]
        stale |= feed.changed & ours
        if not stale:
            break
        found, missing = yield from ask_each(partial(_accounts, account_ids=frozenset(stale)))
        news.seen |= found
        if missing and not all_anew:
            # What was told of them must be told again.
            return _News(cursor=cursor, seen=news.seen)
        stale = set()
    return news


def _feed_since(broker: Broker, since: int) -> Feed:
    return broker.feed(since)


def _accounts(broker: Broker, account_ids: frozenset[str]) -> dict[str, Account]:
    return broker.accounts(account_ids)


def _after_withdrawals(set_aside: Mapping[str, Decimal], transfers: Sequence[Transfer]) -> dict[str, Decimal]:
    """Money that leaves an account is taken first from what was set aside for leaving."""
    left = dict(set_aside)
    for transfer in transfers:
        if transfer.amount < 0 and transfer.account_id in left:
            left[transfer.account_id] = max(left[transfer.account_id] + transfer.amount, ZERO)
    return left
