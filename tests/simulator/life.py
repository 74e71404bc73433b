"""One life of a world, from its seed to its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

from tests.simulator.checker import broken
from tests.simulator.conduct import misconduct
from tests.simulator.database import memory_database
from tests.simulator.exhibit import collect, unmirrored, witnessed
from tests.simulator.tape import Script, Seed, Tape
from tests.simulator.weather import Profile
from tests.simulator.workers import Wrong
from tests.simulator.world import SimulatedWorld, open_world
from trimtab.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """`rule` is what was broken, None if nothing was; `draws` are the draws that were not harmless."""

    rule: str | None
    why: str
    digest: str
    draws: Mapping[str, int]
    seen: frozenset[str]
    steps: int
    seconds: timedelta
    lines: tuple[str, ...]


def live(
    source: Seed | Script, profile: Profile, *, keeps_lines: bool = False, db: Database | None = None
) -> Life:
    """Live through all that the source says, in memory unless another empty database is given."""
    if db is None:
        db = memory_database()
        db.begin_anew()
    tape = Tape(source)
    world = open_world(tape, profile, db=db)
    world.time.keeps_lines = keeps_lines
    rule, why = None, ""
    try:
        world.live()
        _check(world, profile)
    except Wrong as error:
        rule, why = error.rule, error.what
        world.time.write("checker", f"{rule}: {why}")
    return Life(
        rule=rule,
        why=why,
        digest=world.time.digest,
        draws=dict(tape.drawn),
        seen=frozenset(world.time.seen),
        steps=world.time.steps,
        seconds=world.time.now - world.time.began_at,
        lines=tuple(world.time.lines),
    )


def _check(world: SimulatedWorld, profile: Profile) -> None:
    exhibit = collect(
        world.desk, world.market, promises=world.promises, surfaces=world.market.weather.surfaces
    )
    for order in exhibit.evidence.orders:
        world.time.write("end", f"{order.client_order_id} {order.state} {order.filled_quantity}")
        world.time.tag(f"order {order.state}")
    for reason in world.db.read(lambda tx: tx.rows("SELECT DISTINCT reason FROM skips ORDER BY reason")):
        world.time.tag(f"skip {reason['reason']}")
    for run in exhibit.evidence.runs:
        world.time.write("end", f"{run.id} {run.state}{'*' * run.adjusted} {run.account_id}")
        world.time.tag(f"ended {run.state}{'*' * run.adjusted}")
        sent = any(order.run_id == run.id for order in exhibit.evidence.orders)
        world.time.tag(f"ended {run.state} {'with' if sent else 'without'} orders")
    conduct = witnessed(exhibit, world.desk, market=world.market, promises=world.promises)
    for rule, witness in chain(broken(exhibit), misconduct(conduct), unmirrored(world.desk, world.market)):
        if profile.demands(rule):
            raise Wrong(rule, witness)
