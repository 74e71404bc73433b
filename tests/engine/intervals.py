"""Accounts on interval schedules, as Glider's dialect makes them: a market that never closes, no conditions.

SPY costs $400 and TLT $100. ann holds SPY 15 and TLT 40: $10,000, and 60 % and 40 % of it. She is
enrolled on Monday, 2 March 2026, at 15:00 UTC.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from tests.engine.desks import CONTINUOUS, MONDAY, TENANT, World, targets
from trimtab.core.enrollment import Enrollment
from trimtab.core.errors import NotFound
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.core.run import Initiator, Run, RunKind
from trimtab.core.strategy import Condition, Definition, Frequency, Strategy
from trimtab.engine import actions, enrollment_actions, strategy_actions
from trimtab.engine.desk import drive
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.engine.strategy_actions import StrategyDraft
from trimtab.engine.work import work
from trimtab.store import tenants

OTHER = "other-id"
START = MONDAY
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
BALANCED = {"SPY": "15", "TLT": "40"}
DRAFT = StrategyDraft(
    name="mix",
    description="",
    definition=Definition(targets=targets(SPY="60", TLT="40"), conditions=(), cooldown_days=0),
    calendar=CONTINUOUS,
)


def second_tenant(world: World) -> None:
    world.db.write(lambda tx: tenants.ensure_tenant(tx, OTHER, name="Other", now=MONDAY))


def mix(
    world: World,
    frequency: Frequency | None = Frequency.DAILY,
    *conditions: Condition,
    calendar: str = CONTINUOUS,
    preferences: Preferences = NO_PREFERENCES,
) -> Strategy:
    """60 % SPY and 40 % TLT."""
    draft = replace(
        DRAFT,
        definition=replace(DRAFT.definition, conditions=conditions),
        calendar=calendar,
        frequency=frequency,
        preferences=preferences,
    )
    return strategy_actions.create_strategy(world.desk, TENANT, draft)


def public(world: World, frequency: Frequency | None = Frequency.DAILY) -> Strategy:
    draft = replace(DRAFT, frequency=frequency, is_public=True)
    return strategy_actions.create_strategy(world.desk, TENANT, draft)


def follow(world: World, strategy: Strategy, account_id: str = "ann") -> Enrollment:
    """A balanced account of $10,000 follows the strategy; its first run has not started."""
    return world.enroll(world.open_account(account_id, "0", **BALANCED), strategy)


def followed(world: World, strategy: Strategy, account_id: str = "ann") -> Enrollment:
    """The same, and the first run is done."""
    follow(world, strategy, account_id)
    world.settle()
    assert world.ends(account_id) == ["COMPLETED"]
    return world.enrollment(account_id)


def follow_as_other(world: World, strategy: Strategy, account_id: str = "bob") -> Enrollment:
    """An account of another tenant follows the strategy."""
    world.open_account(account_id, "0", **BALANCED)
    request = EnrollRequest(account_id=account_id, strategy_id=strategy.id)
    return enrollment_actions.enroll(world.desk, OTHER, request)


def settle_at(world: World, *instants: datetime) -> None:
    for at in instants:
        world.clock.now = at
        world.settle()


def one_turn(world: World) -> None:
    drive(work(world.desk, 1), world.desk)


def while_sweeping(world: World, act: Callable[[], object]) -> None:
    """Do something between the reading and the writing of the next sweep."""
    left = iter([act])

    def before(call: str) -> None:
        if call == "prices":
            for each in left:
                each()

    world.broker.before = before


def next_due(world: World, account_id: str = "ann") -> datetime | None:
    return world.enrollment(account_id).next_due_at


def scheduled_at(world: World, account_id: str = "ann") -> list[datetime]:
    """When each run was made that the schedule made, oldest first."""
    made = [run for run in world.runs(account_id) if (run.slot or "").startswith("due:")]
    assert all((run.initiator, run.kind) == (Initiator.SYSTEM, RunKind.FULL_REBALANCE) for run in made)
    return [run.created_at for run in made]


def rebalance(world: World, enrollment: Enrollment, tenant_id: str = TENANT) -> Run:
    return actions.rebalance_now(world.desk, tenant_id, enrollment.id)


def pause(world: World, enrollment: Enrollment, tenant_id: str = TENANT) -> Enrollment:
    return enrollment_actions.pause(world.desk, tenant_id, enrollment.id)


def resume(world: World, enrollment: Enrollment, tenant_id: str = TENANT) -> Enrollment:
    return enrollment_actions.resume(world.desk, tenant_id, enrollment.id)


def leave(world: World, enrollment: Enrollment, tenant_id: str = TENANT) -> bool:
    """Stop following; whether it was followed."""
    try:
        enrollment_actions.end_enrollment(world.desk, tenant_id, enrollment.id)
    except NotFound:
        return False
    return True


def prefer(world: World, **preferences: int | str | None) -> None:
    """Change what the tenant prefers; amounts as text."""
    given = {name: Decimal(value) if isinstance(value, str) else value for name, value in preferences.items()}
    strategy_actions.change_tenant_preferences(
        world.desk,
        TENANT,
        lambda known: replace(known, **given),  # type: ignore[arg-type] # fields of the value
    )
