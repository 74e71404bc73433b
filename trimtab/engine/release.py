"""Held accounts: looked at in every turn, and released once the broker proves them.

An account is held by the end of its last planned run, and the rule that held it releases it. Nothing is
ever sent here: orders are looked up, and one that surfaces after its run has ended is cancelled, for
nobody waits for it any more. Where there is nothing held, the broker is not asked.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from trimtab.core.doubt import Traded, doubt
from trimtab.core.run import OrderState
from trimtab.database import Tx
from trimtab.engine import reports
from trimtab.engine.advance import POLL
from trimtab.engine.cases import Seen, last_traded
from trimtab.engine.desk import Effects, ask, ask_each, read
from trimtab.engine.steps import ask_to_cancel
from trimtab.engine.turn import Turn
from trimtab.store import shards

log = logging.getLogger(__name__)


def release(turn: Turn) -> Effects[None]:
    """Look at what is held, and release what is in doubt no longer."""
    held = yield from read(partial(_read, shard=turn.shard))
    if not held:
        return
    unsettled = [o for before in held.values() for o in before.orders if o.state.may_change]
    if unsettled and (yield from reports.learn(turn, unsettled)):
        held = yield from read(partial(_read, shard=turn.shard))
    yield from _cancel_surfaced(turn, held.values())
    # After the orders: what is executed in between leaves the account in doubt until the next look.
    accounts, _ = yield from ask_each(lambda broker: broker.accounts(held.keys()))
    held = yield from _with_actions(held)
    drops_duplicates = turn.desk.broker.traits.drops_duplicates
    proven = [
        account_id
        for account_id, account in accounts.items()
        if doubt(held[account_id], account.holdings, drops_duplicates=drops_duplicates) is None
    ]
    if proven:
        yield from turn.commit(lambda tx: shards.release(tx, proven))
        log.info("shard %d: released, for the broker proves them: %s", turn.shard, ", ".join(proven))


def _read(tx: Tx, shard: int) -> dict[str, Traded]:
    """What is held, by account; a hold that no run explains is left to a person."""
    account_ids = shards.held(tx, shard)
    return last_traded(tx, shard, account_ids) if account_ids else {}


def _with_actions(held: dict[str, Traded]) -> Effects[dict[str, Traded]]:
    """With the corporate actions since; a split must not hold an account that it explains."""
    seen = Seen()
    symbols = {s for before in held.values() for s in {*before.plan.holdings.positions, *before.plan.prices}}
    seen.assets |= yield from ask(lambda broker: broker.assets(symbols))
    return {key: replace(before, actions=seen.actions_since(before.plan)) for key, before in held.items()}


def _cancel_surfaced(turn: Turn, held: Iterable[Traded]) -> Effects[None]:
    surfaced = [o for before in held for o in before.orders if o.state is OrderState.OPEN]
    if surfaced:
        yield from ask_to_cancel(surfaced)
        turn.wake_by(turn.now + POLL)
