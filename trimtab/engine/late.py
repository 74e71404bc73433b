"""Fills that come after the end of their run: looked for as long as a broker may take to show them.

A cancel that the broker has confirmed may cross an execution. The account shows it in any case, and every
plan is made from what the account shows; here the execution gets its record.
"""

from datetime import timedelta

from trimtab.core.doubt import POSITIONS_GRACE
from trimtab.engine import reports
from trimtab.engine.desk import Effects, read
from trimtab.engine.turn import Turn
from trimtab.store import watches

WATCHED_FOR = POSITIONS_GRACE
WATCH_POLL = timedelta(seconds=15)


def look_back(turn: Turn) -> Effects[None]:
    """Ask once more what became of orders that were cut short when their runs ended not long ago."""
    found = yield from read(lambda tx: watches.watched(tx, turn.shard))
    if found is None:
        return
    placed, until = found
    cut_short = [order for order in placed if order.state.may_change]
    if cut_short:
        yield from reports.learn(turn, cut_short)
    if turn.now >= until:
        yield from turn.commit(lambda tx: watches.end(tx, turn.shard, turn.now))
    else:
        turn.wake_by(min(turn.now + WATCH_POLL, until))
