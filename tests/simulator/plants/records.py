"""Planted bugs in what is remembered: runs, events, the mirror, who is due and when, whose a thing is."""

from tests.simulator.plants.plant import Plant

RUNS = "trimtab/store/runs.py"
SHARDS = "trimtab/store/shards.py"
SWEEP = "trimtab/engine/sweep.py"
MIRROR = "trimtab/engine/mirror.py"
SESSIONS = "trimtab/core/sessions.py"
ENROLLMENT = "trimtab/core/enrollment.py"
SCHEMA = "trimtab/store/migrations/versions/m0001_first_light.py"
RECONCILE = "trimtab/engine/reconcile.py"

PLANTS = (
    Plant(
        number="P71",
        name="an account may have two open runs",
        file=SCHEMA,
        old="CREATE UNIQUE INDEX runs_open ON",
        new="CREATE INDEX runs_open ON",
    ),
    Plant(
        number="P72",
        name="automatic runs have no slot",
        file=ENROLLMENT,
        old="        slot=due.slot,\n",
        new="        slot=None,\n",
    ),
    Plant(
        number="P73",
        name="a change of state has no event",
        file=RUNS,
        old="    moved = [c for c in current if c.state is not c.run.state]\n",
        new="    moved = [c for c in current if c.state is not c.run.state and c.state.is_open]\n",
    ),
    Plant(
        number="P74",
        name="a cancel at once is not news",
        file=RUNS,
        old="    outbox.put(tx, [_entry(run, run.state, strategy_version=run.strategy_version, at=now)])\n",
        new="",
    ),
    Plant(
        number="P75",
        name="the newest commit is published first",
        file="trimtab/store/outbox.py",
        old='"SELECT seq, entries FROM outbox ORDER BY seq LIMIT :most"',
        new='"SELECT seq, entries FROM outbox ORDER BY seq DESC LIMIT :most"',
    ),
    Plant(
        number="P76",
        name="a cancel is written over by the worker",
        file=RUNS,
        old='            f"""UPDATE runs SET stop = \'CANCELED\', updated_at = :now, version = version + 1\n',
        new='            f"""UPDATE runs SET updated_at = :now, version = version + 1\n',
        profile="clients",
    ),
    Plant(
        number="P77",
        name="a run that was cancelled in the queue is carried out",
        file="trimtab/core/decide.py",
        old="    if run.stop is not None:\n        return Finish(state=run.stop, reason=run.reason)\n",
        new="",
        test="tests/core/test_decide.py",
    ),
    Plant(
        number="P78",
        name="a run that buys is not seen as open",
        file=RUNS,
        old="_OPEN = \"('QUEUED', 'PLANNED', 'SELLING', 'BUYING')\"\n",
        new="_OPEN = \"('QUEUED', 'PLANNED', 'SELLING')\"\n",
    ),
    Plant(
        number="P79",
        name="a shard that its worker has left is left for good",
        file=SHARDS,
        old="              OR (due_at IS NULL AND taken_at <= :left_since AND EXISTS (\n",
        new="              OR (due_at IS NULL AND taken_at > :left_since AND EXISTS (\n",
    ),
    Plant(
        number="P80",
        name="a later time replaces an earlier one at which a shard is due",
        file=SHARDS,
        old='"""UPDATE shards SET due_at = :at WHERE shard = :shard AND (due_at IS NULL OR due_at > :at)"""',
        new='"""UPDATE shards SET due_at = :at WHERE shard = :shard AND (due_at IS NULL OR due_at < :at)"""',
    ),
    Plant(
        number="P81",
        name="an intent that is taken back still counts",
        file="trimtab/store/orders.py",
        old='            "UPDATE runs SET orders_sent = orders_sent - :count WHERE shard = :shard AND id = :run_id",\n',
        new='            "UPDATE runs SET orders_sent = orders_sent - :count + 1 WHERE shard = :shard AND id = :run_id",\n',
    ),
    Plant(
        number="P83",
        name="the mirror's cursor moves on without the accounts that changed",
        file=MIRROR,
        old="    block = holdings.fold(before.block, changed) if changed else before.block\n",
        new="    block = holdings.fold(before.block, changed) if new or not told else before.block\n",
        profile="steady",
    ),
    Plant(
        number="P85",
        name="whoever has paused is rebalanced all the same",
        file=SWEEP,
        old="    active = enrollments.still_active(tx, concerned) if concerned else set()\n",
        new="    active = concerned\n",
        profile="clients",
    ),
    Plant(
        number="P86",
        name="the cooldown is a day too short",
        file=SESSIONS,
        old="    return sessions.day_of(last_rebalanced_at) + timedelta(days=cooldown_days)\n",
        new="    return sessions.day_of(last_rebalanced_at) + timedelta(days=cooldown_days - 1)\n",
        test="tests/core/test_enrollment.py",
    ),
    Plant(
        number="P87",
        name="days are those of Greenwich",
        file=SESSIONS,
        old="        return at.astimezone(self.zone).date()\n",
        new="        return at.date()\n",
        test="tests/core/test_sessions.py",
    ),
    Plant(
        number="P88",
        name="an early close is not known",
        file=SESSIONS,
        old="        return self.continuous or now <= session.closes_at - START_ENDS_BEFORE_CLOSE\n",
        new="        return self.continuous or now <= session.closes_at\n",
        test="tests/core/test_sessions.py",
    ),
    Plant(
        number="P89",
        name="a split on the way is not seen",
        file="trimtab/core/gate.py",
        old="        if action.symbol == order.symbol:\n",
        new="        if action.symbol == order.symbol and at.run_orders < 0:\n",
        test="tests/engine/test_corporate_actions.py",
    ),
    Plant(
        number="P90",
        name="a restored copy is not frozen",
        file="trimtab/store/restores.py",
        old="    freezes.insert(tx, everything, now)\n",
        new="",
        test="tests/engine/test_restores.py::test_every_shard_is_compared_before_anything_moves",
    ),
    Plant(
        number="P91",
        name="a restored copy is not compared with the broker",
        file=RECONCILE,
        old="    shown = yield from _lookup([order for _, order in wanted.values()])\n",
        new="    shown = yield from _lookup([order for _, order in wanted.values()][:0])\n",
        test="tests/engine/test_restores.py::test_a_copy_of_any_moment_ends_where_the_original_did",
    ),
    Plant(
        number="P92",
        name="a restored copy carries out again what was queued",
        file=RECONCILE,
        old="    return {order.run_id for order in wanted if order.client_order_id in shown}\n",
        new="    return {order.run_id for order in wanted[:0] if order.client_order_id in shown}\n",
        profile="restore",
    ),
    Plant(
        number="P93",
        name="the first shard that is compared ends the freeze of a restored copy",
        file="trimtab/store/restores.py",
        old="    if left:\n",
        new="    if left and not left:\n",
        test="tests/engine/test_restores.py::test_every_shard_is_compared_before_anything_moves",
    ),
    Plant(
        number="P94",
        name="the cooldown begins with runs that were not carried out",
        file="trimtab/core/decide.py",
        old="        rebalanced=completed and full and plan.equity > 0,\n",
        new="        rebalanced=full and plan.equity > 0,\n",
        test="tests/core/test_decide.py",
    ),
    Plant(
        number="P95",
        name="an idempotency key replays the answer that another client was given",
        file="trimtab/store/replies.py",
        old="           WHERE tenant_id = :tenant_id AND key_id = :key_id AND method = :method AND path = :path\n",
        new="           WHERE tenant_id = :tenant_id AND method = :method AND path = :path\n",
        test="tests/store/test_replies.py",
    ),
    Plant(
        number="P96",
        name="an old picture of the cash is planned from",
        file="trimtab/core/doubt.py",
        old="    if abs(holdings.cash - expected) <= CENT * len(sides):\n",
        new="    if sides or not sides:\n",
        test="tests/core/test_decide.py::test_a_plan_knows_what_was_traded_just_before",
    ),
)
