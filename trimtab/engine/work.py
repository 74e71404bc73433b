"""What a driver asks for: one whole turn at a shard: held accounts, evaluation, then every open run.

A shard of a restored copy is compared with the broker before all that.
"""

import logging

from trimtab.core.errors import BrokerDown
from trimtab.engine.advance import advance
from trimtab.engine.desk import Desk, Effects
from trimtab.engine.late import look_back
from trimtab.engine.reconcile import reconcile
from trimtab.engine.release import release
from trimtab.engine.sweep import sweep
from trimtab.engine.turn import RETRY_BROKER, Turn, take_turn
from trimtab.store import shards

log = logging.getLogger(__name__)


def work(desk: Desk, shard: int) -> Effects[Turn]:
    """Take the shard, release what is proven, evaluate, and advance the runs; says in the shard when it
    needs a worker next.

    A broker that is down ends the turn early; what was committed stands, and the rest waits.
    """
    turn = yield from take_turn(desk, shard)
    try:
        if not turn.is_restored or (yield from reconcile(turn)):
            yield from look_back(turn)
            yield from release(turn)
            yield from sweep(turn)
            yield from advance(turn)
            turn.reached = True
    except BrokerDown as error:
        log.warning("shard %d: %s", shard, error)
        turn.wake_by(turn.now + RETRY_BROKER)
    wake_at = turn.wake_at
    if wake_at is not None:
        # Only while the shard is ours: whoever has taken it since and died is missed because it has left no
        # time. A far time of ours would hide that.
        yield from turn.commit(lambda tx: shards.mark_due(tx, shard, wake_at))
    return turn
