"""The one publisher: gives what is committed its ids, in an order that holds for every reader.

Anybody may publish at any time, in any process; they take turns at the feed's head.
"""

from itertools import accumulate

from trimtab.core import ulid
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.store import feed, outbox

# A commit of the engine may change a thousand runs; other writers wait as long as we hold the database.
COMMITS_AT_ONCE = 16


def publish(desk: Desk) -> int:
    """Publish all that was committed before; returns how many events that were."""
    published = 0
    while desk.db.read(outbox.is_waiting):
        published += desk.db.write(lambda tx: _publish_some(tx, desk))
    if published:
        desk.bell.ring()
    return published


def _publish_some(tx: Tx, desk: Desk) -> int:
    last = ulid.number_in(feed.locked_head(tx)) or 0
    # What is read now was committed before, and all that it follows was too.
    entries = outbox.take(tx, COMMITS_AT_ONCE)
    if entries:
        now = desk.clock()
        chances = (int(desk.new_id().replace("-", ""), 16) for _ in entries)
        ids = accumulate(
            chances, lambda before, chance: ulid.successor(before, at=now, chance=chance), initial=last
        )
        next(ids)
        feed.append(tx, [(ulid.text_of(id_), entry) for id_, entry in zip(ids, entries, strict=True)])
    return len(entries)
