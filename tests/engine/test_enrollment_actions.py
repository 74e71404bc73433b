"""Pausing, resuming and renaming, and following what other tenants have made public.

The answers are those of the notes on Glider's contract (3.3, 3.5, 4.12, 4.13, 9.12, 9.17).
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pytest

from tests.engine.desks import TENANT, World, targets
from tests.engine.intervals import (
    BALANCED,
    DAY,
    HOUR,
    OTHER,
    START,
    follow,
    follow_as_other,
    followed,
    leave,
    mix,
    pause,
    public,
    rebalance,
    resume,
    second_tenant,
    settle_at,
)
from trimtab.core.enrollment import Enrollment, EnrollmentState
from trimtab.core.errors import NotFound, StrategyInUse, StrategyNotActive
from trimtab.core.run import Run
from trimtab.core.strategy import Frequency, Strategy
from trimtab.engine import enrollment_actions, strategy_actions
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.store import enrollments

PATIENCE_S = 60
Act = Callable[[World, Enrollment, str], Enrollment]


@pytest.fixture(autouse=True)
def _second_tenant(request: pytest.FixtureRequest) -> None:
    for name in {"world", "sqlite_world"} & set(request.fixturenames):
        second_tenant(request.getfixturevalue(name))


def call_it_growth(world: World, enrollment: Enrollment, tenant_id: str = TENANT) -> Enrollment:
    return enrollment_actions.rename(world.desk, tenant_id, enrollment.id, name="Growth")


def call_it_nothing(world: World, enrollment: Enrollment, tenant_id: str = TENANT) -> Enrollment:
    return enrollment_actions.rename(world.desk, tenant_id, enrollment.id, name=None)


ACTIVE, PAUSED = EnrollmentState.ACTIVE, EnrollmentState.PAUSED
SHORT = {"pause": pause, "resume": resume, "growth": call_it_growth, "nothing": call_it_nothing}

# Each act an hour after the one before it; then the state, the name, after how many hours the schedule
# is due and the enrollment has changed last, and how often it was resumed.
Row = tuple[str, EnrollmentState, str | None, int, int, int]
TABLE: list[Row] = [
    ("", ACTIVE, "Mine", 24, 0, 0),
    ("pause", PAUSED, "Mine", 24, 1, 0),
    ("pause pause", PAUSED, "Mine", 24, 1, 0),
    ("resume", ACTIVE, "Mine", 24, 0, 0),
    ("pause resume", ACTIVE, "Mine", 2, 2, 1),
    ("pause resume resume", ACTIVE, "Mine", 2, 2, 1),
    ("pause resume pause", PAUSED, "Mine", 2, 3, 1),
    ("pause resume pause resume", ACTIVE, "Mine", 4, 4, 2),
    ("growth", ACTIVE, "Growth", 24, 1, 0),
    ("nothing", ACTIVE, None, 24, 1, 0),
    ("pause growth", PAUSED, "Growth", 24, 2, 0),
    ("growth pause nothing resume", ACTIVE, None, 4, 4, 1),
]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_acts_one_after_the_other(sqlite_world: World, row: Row) -> None:
    acts, state, name, due, updated, resumptions = row
    world = sqlite_world
    world.open_account("ann", "0", **BALANCED)
    request = EnrollRequest(account_id="ann", strategy_id=mix(world).id, name="Mine")
    enrolled = enrollment_actions.enroll(world.desk, TENANT, request)
    world.settle()
    shown = world.enrollment("ann")
    for act in acts.split():
        world.clock.forward(3600)
        shown = SHORT[act](world, enrolled)
    expected = replace(
        enrolled,
        state=state,
        name=name,
        next_due_at=START + due * HOUR,
        resumptions=resumptions,
        last_rebalanced_at=START,
        evaluated_on=shown.evaluated_on,
        updated_at=START + updated * HOUR,
    )
    assert shown == world.enrollment("ann") == expected


@pytest.mark.parametrize("act", [pause, resume, call_it_growth])
def test_an_act_is_stored_and_shown_on_each_database(world: World, act: Act) -> None:
    enrollment = followed(world, mix(world))
    if act is resume:
        pause(world, enrollment, TENANT)
        world.settle()
    world.clock.forward(60)
    shown = act(world, enrollment, TENANT)
    assert world.enrollment("ann") == shown
    assert shown.updated_at == START.replace(minute=1)
    assert world.due_at() == START.replace(minute=1), "somebody looks at once"


@pytest.mark.parametrize("act", [pause, resume, call_it_growth])
def test_what_is_another_tenants_or_has_ended_is_missing_and_stays_as_it_is(world: World, act: Act) -> None:
    strategy = public(world)
    ann = followed(world, strategy)
    bob = follow_as_other(world, strategy)
    world.settle()
    cat = followed(world, strategy, "cat")
    leave(world, cat)
    if act is resume:
        pause(world, ann)
        pause(world, bob, OTHER)
    before = world.dump()
    for tenant_id, enrollment in ((OTHER, ann), (TENANT, bob), (TENANT, cat), (TENANT, replace(ann, id="x"))):
        with pytest.raises(NotFound, match=enrollment.id):
            act(world, enrollment, tenant_id)
    assert world.dump() == before


def test_without_a_schedule_a_pause_keeps_conditions_away(world: World) -> None:
    strategy = mix(world, None)
    enrollment = followed(world, strategy)
    assert pause(world, enrollment).next_due_at is None
    world.transfer("ann", "1000")
    settle_at(world, START + HOUR)
    assert len(world.runs("ann")) == 1
    assert resume(world, enrollment).next_due_at is None
    assert world.enrollment("ann").state is ACTIVE


def test_open_runs_finish_while_paused(world: World) -> None:
    enrollment = world.enroll(world.open_account("ann", "1000"), mix(world))
    world.paper.set_faults({"fill_delay_s": 10})
    world.settle()
    pause(world, enrollment)
    settle_at(world, START.replace(second=10))
    assert world.ends("ann") == ["COMPLETED"]
    assert world.holdings("ann") == "cash 0, SPY 1.5, TLT 4"
    assert world.enrollment("ann").last_rebalanced_at == START.replace(second=10)


def test_a_paused_account_can_leave(world: World) -> None:
    enrollment = followed(world, mix(world))
    pause(world, enrollment)
    assert leave(world, enrollment)
    assert world.enrollments("ann") == []


def test_of_many_that_pause_and_resume_at_once_the_last_wins_and_each_sees_its_own(world: World) -> None:
    """Each caller gets the state it saw (3.3)."""
    enrollment = followed(world, mix(world))
    together = threading.Barrier(8)

    def act(number: int) -> EnrollmentState:
        together.wait(PATIENCE_S)
        return (pause if number % 2 else resume)(world, enrollment).state

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(act, range(8)))
    assert seen == [ACTIVE, PAUSED] * 4
    assert world.enrollment("ann").state in {ACTIVE, PAUSED}
    assert world.enrollment("ann").updated_at == START


def test_what_was_asked_for_is_stored(world: World) -> None:
    """A name of people, a wallet as owner, and its chains."""
    world.open_account("ann", "100")
    owner = "eip155:0:0x52908400098527886e0f7030069857d2e4169ee7"
    request = EnrollRequest(
        account_id="ann",
        strategy_id=mix(world).id,
        name="Größe (2): A & B/C'",
        owner=owner,
        account_index=3,
        chain_ids=(8453, 1),
    )
    made = enrollment_actions.enroll(world.desk, TENANT, request)
    assert world.enrollment("ann") == made
    assert (made.name, made.owner, made.account_index, made.chain_ids) == (
        "Größe (2): A & B/C'",
        owner,
        3,
        (8453, 1),
    )
    assert (made.created_at, made.next_due_at, made.state) == (START, START, ACTIVE)


# What others have made public.


def change_as_owner(world: World, strategy: Strategy, **changes: object) -> Strategy:
    change = strategy_actions.StrategyChange(**changes)  # type: ignore[arg-type] # one of its fields
    return strategy_actions.change_strategy(world.desk, TENANT, strategy_id=strategy.id, change=change)


def test_another_tenants_accounts_follow_a_public_strategy(world: World) -> None:
    strategy = public(world)
    followed(world, strategy)
    enrollment = follow_as_other(world, strategy)
    assert (enrollment.tenant_id, enrollment.strategy_id) == (OTHER, strategy.id)
    world.settle()
    found = world.db.read(lambda tx: enrollments.one(tx, OTHER, enrollment.id))
    assert found is not None
    assert (found.last_rebalanced_at, found.next_due_at) == (START, START + DAY)
    run = rebalance_after_a_minute(world, enrollment)
    assert (run.tenant_id, run.account_id, run.enrollment_id) == (OTHER, "bob", enrollment.id)
    assert world.enrollments("bob") == [], "the owner of the strategy does not see them"
    world.require_sound()


def rebalance_after_a_minute(world: World, enrollment: Enrollment) -> Run:
    world.clock.forward(60)
    return rebalance(world, enrollment, OTHER)


def test_a_new_version_of_a_public_strategy_is_for_all_its_followers(world: World) -> None:
    strategy = public(world)
    follow_as_other(world, strategy)
    world.settle()
    change_as_owner(world, strategy, targets=targets(SPY="100"), publishes=True)
    settle_at(world, START + DAY)
    assert world.holdings("bob") == "cash 0, SPY 25"


def test_a_new_schedule_of_a_public_strategy_is_for_all_its_followers(world: World) -> None:
    strategy = public(world)
    enrollment = follow_as_other(world, strategy)
    world.settle()
    change_as_owner(world, strategy, frequency=Frequency.WEEKLY)
    settle_at(world, START + DAY)
    found = world.db.read(lambda tx: enrollments.one(tx, OTHER, enrollment.id))
    assert found is not None
    assert found.next_due_at == START + 8 * DAY


def test_what_is_not_public_is_missing_for_other_tenants(world: World) -> None:
    for account_id, strategy in (("bob", mix(world)), ("cat", replace(public(world), id="nothing"))):
        with pytest.raises(NotFound, match=strategy.id):
            follow_as_other(world, strategy, account_id)
    world.open_account("ann", "100")
    hidden = world.request("ann", weights=targets(SPY="100")).strategy_id
    with pytest.raises(NotFound):
        follow_as_other(world, replace(public(world), id=hidden), "dan")
    assert [run.account_id for run in world.runs()] == ["ann"]


def test_what_becomes_private_keeps_its_followers_and_gets_no_new_ones(world: World) -> None:
    strategy = public(world)
    follow_as_other(world, strategy)
    world.settle()
    assert not change_as_owner(world, strategy, is_public=False).is_public
    with pytest.raises(NotFound):
        follow_as_other(world, strategy, "cat")
    world.transfer("bob", "1000")
    settle_at(world, START + DAY)
    # $11,000: SPY for $6,600, TLT for $4,400.
    assert world.holdings("bob") == "cash 0, SPY 16.5, TLT 44"


def test_what_is_made_public_can_be_followed_at_once(world: World) -> None:
    strategy = mix(world)
    assert change_as_owner(world, strategy, is_public=True).version == 1
    assert follow_as_other(world, strategy).tenant_id == OTHER


def test_others_cannot_change_or_end_a_public_strategy(world: World) -> None:
    """Writes only for the owner (9.12)."""
    strategy = public(world)
    before = world.dump()
    change = strategy_actions.StrategyChange(name="mine")
    with pytest.raises(NotFound):
        strategy_actions.change_strategy(world.desk, OTHER, strategy_id=strategy.id, change=change)
    with pytest.raises(NotFound):
        strategy_actions.end_strategy(world.desk, OTHER, strategy.id)
    assert world.dump() == before


def test_a_strategy_that_another_tenant_follows_cannot_be_ended(world: World) -> None:
    strategy = public(world)
    enrollment = follow_as_other(world, strategy)
    with pytest.raises(StrategyInUse):
        world.end(strategy)
    assert leave(world, enrollment, OTHER)
    world.end(strategy)


def test_an_inactive_strategy_is_said_to_be_so_to_its_owner_only(world: World) -> None:
    """For others it is as if it had never been."""
    strategy = public(world)
    world.end(strategy)
    with pytest.raises(StrategyNotActive):
        follow(world, strategy)
    with pytest.raises(NotFound):
        follow_as_other(world, strategy)


def test_a_strategy_that_needs_adjustment_cannot_be_followed_by_anybody(world: World) -> None:
    strategy = public(world)
    world.paper.set_asset("TLT", tradable=False)
    strategy_actions.review_assets(world.desk)
    with pytest.raises(StrategyNotActive):
        follow(world, strategy)
    with pytest.raises(StrategyNotActive):
        follow_as_other(world, strategy)
    assert world.runs() == []


def test_an_owner_who_ends_a_strategy_while_another_enrolls_leaves_nobody_behind(world: World) -> None:
    """Either the strategy has a follower and goes on, or it has ended without one."""
    for number in range(6):
        strategy = public(world)
        account_id = f"a{number}"
        world.open_account(account_id, "100")
        enrollment_actions.claim_account(world.desk, OTHER, account_id)
        together = threading.Barrier(2)

        def enroll(account_id: str = account_id, strategy: Strategy = strategy) -> bool:
            together.wait(PATIENCE_S)  # noqa: B023 - this round's
            request = EnrollRequest(account_id=account_id, strategy_id=strategy.id)
            try:
                enrollment_actions.enroll(world.desk, OTHER, request)
            except (NotFound, StrategyNotActive):
                return False
            return True

        def end(strategy: Strategy = strategy) -> bool:
            together.wait(PATIENCE_S)  # noqa: B023 - this round's
            try:
                world.end(strategy)
            except StrategyInUse:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            enrolled, ended = pool.submit(enroll), pool.submit(end)
            assert enrolled.result(PATIENCE_S) != ended.result(PATIENCE_S)


def test_the_moment_of_an_action_is_the_clocks(world: World) -> None:
    world.clock.now = at = datetime.fromisoformat("2026-03-04 01:02:03.000004+00:00")
    enrollment = follow(world, mix(world))
    assert (enrollment.created_at, enrollment.updated_at, enrollment.next_due_at) == (at, at, at)
    assert world.enrollment("ann") == enrollment
