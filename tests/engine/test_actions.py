"""What the outside may ask, and what it is told: each action once granted and once for each refusal."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.engine.desks import MONDAY, TENANT, Ids, Site, World, new_world, targets
from trimtab.core.enrollment import EnrollmentState, TradeMarker
from trimtab.core.errors import (
    AccountNotActive,
    AlreadyEnrolled,
    BrokerDown,
    EnrolledElsewhere,
    IneligibleAssets,
    InvalidStrategy,
    NotEnrolled,
    NotFound,
    NothingToDelete,
    RunAlreadyOpen,
    StrategyInUse,
    StrategyNotActive,
)
from trimtab.core.run import Initiator, RunKind, RunState
from trimtab.core.strategy import (
    CashTarget,
    Definition,
    OnUpdate,
    Strategy,
    StrategyStatus,
    StrategyTarget,
    Target,
)
from trimtab.engine import actions, enrollment_actions, strategy_actions
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.store import enrollments, shards, strategies, tenants

OTHER = "other-id"


@pytest.fixture(autouse=True)
def _second_tenant(world: World) -> None:
    world.db.write(lambda tx: tenants.ensure_tenant(tx, OTHER, name="Other", now=MONDAY))


def ask(world: World, tenant_id: str = TENANT, **changes: object) -> actions.RunRequest:
    asked = actions.RunRequest(
        account_id="ann", kind=RunKind.FULL_REBALANCE, targets=targets(SPY="100"), amount=None
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


# Enrolling.


def test_enrolling_stores_what_was_asked_and_queues_a_first_run(world: World) -> None:
    strategy = world.strategy(SPY="100")
    world.open_account("ann", "100")
    request = EnrollRequest(account_id="ann", strategy_id=strategy.id, trade_marker=TradeMarker.UNSOLICITED)
    enrollment = enrollment_actions.enroll(world.desk, TENANT, request)
    assert world.enrollment("ann") == enrollment
    assert (enrollment.state, enrollment.trade_marker) == (EnrollmentState.ACTIVE, TradeMarker.UNSOLICITED)
    (run,) = world.runs("ann")
    assert (run.state, run.initiator, run.kind) == (
        RunState.QUEUED,
        Initiator.SYSTEM,
        RunKind.FULL_REBALANCE,
    )
    assert world.due_at() == world.clock.now


def test_an_account_follows_one_strategy_at_a_time(world: World) -> None:
    world.open_account("ann", "100")
    world.enroll("ann", world.strategy(SPY="100"))
    with pytest.raises(AlreadyEnrolled):
        world.enroll("ann", world.strategy(TLT="100"))
    assert len(world.runs()) == 1


def test_enrolling_while_a_run_is_open_makes_no_second_one(world: World) -> None:
    world.open_account("ann", "100")
    world.request("ann", weights=targets(SPY="100"))
    world.enroll("ann", world.strategy(SPY="100"))
    assert world.slots("ann") == ["api"]


def test_what_is_not_there_or_not_active_cannot_be_followed(world: World) -> None:
    strategy = world.strategy(SPY="100")
    with pytest.raises(NotFound):
        world.enroll("nobody", strategy)
    world.open_account("ann", "100")
    with pytest.raises(NotFound):
        world.enroll("ann", replace(strategy, id="nothing"))
    world.end(strategy)
    with pytest.raises(StrategyNotActive):
        world.enroll("ann", strategy)
    world.paper.set_status("ann", "INACTIVE")
    with pytest.raises(AccountNotActive):
        world.enroll("ann", world.strategy(SPY="100"))
    assert world.runs() == []


def test_a_hidden_strategy_cannot_be_followed(world: World) -> None:
    world.open_account("ann", "100")
    run = world.request("ann", weights=targets(SPY="100"))
    world.open_account("bob", "100")
    with pytest.raises(NotFound):
        world.enroll("bob", replace(world.strategy(SPY="100"), id=run.strategy_id))


def test_nothing_is_stored_while_the_broker_is_down(world: World) -> None:
    strategy = world.strategy(SPY="100")
    world.open_account("ann", "100")
    world.paper.set_faults({"outage": True})
    before = world.dump()
    with pytest.raises(BrokerDown):
        world.enroll("ann", strategy)
    with pytest.raises(BrokerDown):
        world.request("ann", weights=targets(SPY="100"))
    assert world.dump() == before


def test_leaving_cancels_the_queued_run_and_keeps_positions(world: World) -> None:
    world.open_account("ann", "100")
    world.enroll("ann", world.strategy(SPY="100"))
    enrollment_actions.end_enrollment(world.desk, TENANT, world.enrollment("ann").id)
    assert world.ends("ann") == ["CANCELED"]
    assert world.enrollments("ann") == []
    world.settle()
    assert world.holdings("ann") == "cash 100"


def test_leaving_lets_a_started_run_finish(world: World) -> None:
    world.open_account("ann", "100")
    world.enroll("ann", world.strategy(SPY="100"))
    world.paper.set_faults({"fill_delay_s": 1})
    world.settle()
    enrollment_actions.end_enrollment(world.desk, TENANT, world.enrollment("ann").id)
    world.clock.forward(1)
    world.settle()
    assert world.ends("ann") == ["COMPLETED"]


def test_leaving_leaves_a_run_alone_that_is_not_its_own(world: World) -> None:
    world.open_account("ann", "100")
    world.request("ann", weights=targets(SPY="100"))
    world.enroll("ann", world.strategy(SPY="100"))
    enrollment_actions.end_enrollment(world.desk, TENANT, world.enrollment("ann").id)
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED]


def test_leaving_twice_or_anothers_is_not_found(world: World) -> None:
    world.open_account("ann", "100")
    enrollment = world.enroll("ann", world.strategy(SPY="100"))
    with pytest.raises(NotFound):
        enrollment_actions.end_enrollment(world.desk, OTHER, enrollment.id)
    enrollment_actions.end_enrollment(world.desk, TENANT, enrollment.id)
    with pytest.raises(NotFound):
        enrollment_actions.end_enrollment(world.desk, TENANT, enrollment.id)


# Whose account.


def test_an_account_belongs_to_the_tenant_that_names_it_first(world: World) -> None:
    world.open_account("ann", "100")
    world.request("ann", weights=targets(SPY="100"))
    with pytest.raises(NotFound):
        actions.request_run(world.desk, OTHER, ask(world))
    assert world.record("ann").tenant_id == TENANT


def test_an_account_that_was_assigned_belongs_to_nobody_else(world: World) -> None:
    world.open_account("ann", "100")
    world.db.write(lambda tx: shards.assign(tx, "ann", tenant_id=OTHER, now=MONDAY))
    with pytest.raises(NotFound):
        world.request("ann", weights=targets(SPY="100"))


def test_of_two_tenants_that_name_an_account_at_once_one_has_it(world: World) -> None:
    for n in range(6):
        world.open_account(f"a{n}", "100")

        def claim(tenant_id: str, n: int = n) -> str | None:
            try:
                return enrollment_actions.claim_account(world.desk, tenant_id, f"a{n}").tenant_id
            except NotFound:
                return None

        with ThreadPoolExecutor(4) as pool:
            owners = list(pool.map(claim, [TENANT, OTHER, TENANT, OTHER]))
        owner = world.record(f"a{n}").tenant_id
        expected = [owner if tenant_id == owner else None for tenant_id in (TENANT, OTHER) * 2]
        assert owners == expected
    assert world.shards() == [1]


def test_accounts_fill_one_shard_after_the_other(world: World) -> None:
    world.open_account("ann", "100")
    world.open_account("bob", "100")
    enrollment_actions.claim_account(world.desk, TENANT, "ann")
    world.db.write(lambda tx: tx.execute("UPDATE shards SET accounts = 1000"))
    enrollment_actions.claim_account(world.desk, TENANT, "bob")
    assert (world.record("ann").shard, world.record("bob").shard) == (1, 2)


def test_naming_an_account_again_counts_it_once(world: World) -> None:
    world.open_account("ann", "100")
    for _ in range(3):
        enrollment_actions.claim_account(world.desk, TENANT, "ann")
    row = world.db.read(lambda tx: tx.row("SELECT accounts FROM shards"))
    assert row is not None
    assert row["accounts"] == 1


# Asking for runs.


def test_a_run_with_weights_has_a_hidden_strategy_of_its_own(world: World) -> None:
    world.open_account("ann", "100")
    run = world.request("ann", weights=targets(SPY="100"))
    assert world.strategies() == []
    assert world.db.read(lambda tx: strategies.one(tx, TENANT, run.strategy_id)) is None
    found = world.db.read(lambda tx: strategies.heads(tx, [run.strategy_id]))[run.strategy_id]
    assert found.hidden
    assert found.definition.targets == targets(SPY="100")


def test_a_follower_asks_without_weights_and_others_with(world: World) -> None:
    world.open_account("ann", "100")
    for kind in (RunKind.FULL_REBALANCE, RunKind.INVEST_CASH):
        with pytest.raises(NotEnrolled):
            world.request("ann", kind)
    world.enroll("ann", world.strategy(SPY="100"))
    with pytest.raises(EnrolledElsewhere):
        world.request("ann", weights=targets(SPY="100"))


def test_cash_can_be_raised_from_an_account_that_follows_nothing(world: World) -> None:
    world.open_account("ann", "0", SPY="1")
    world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="100")
    world.settle()
    assert world.holdings("ann") == "cash 100, SPY 0.75"


def test_a_second_run_is_refused_while_one_is_open(world: World) -> None:
    world.open_account("ann", "100")
    world.request("ann", weights=targets(SPY="100"))
    before = world.dump()
    with pytest.raises(RunAlreadyOpen):
        world.request("ann", weights=targets(TLT="100"))
    assert world.dump() == before, "no hidden strategy is left behind"


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        (targets(SPY="99"), InvalidStrategy),
        (targets(SPY="50", XYZ="50"), IneligibleAssets),
        ((StrategyTarget(strategy_id="nothing", percent=Decimal(100)),), NotFound),
    ],
)
def test_weights_that_cannot_be_traded_are_refused(
    world: World, weights: tuple[Target, ...], error: type[Exception]
) -> None:
    world.open_account("ann", "100")
    with pytest.raises(error):
        world.request("ann", weights=weights)
    assert world.runs() == []


def test_a_run_of_another_tenant_cannot_be_canceled(world: World) -> None:
    world.open_account("ann", "100")
    run = world.request("ann", weights=targets(SPY="100"))
    for tenant_id, run_id in ((OTHER, run.id), (TENANT, "nothing")):
        with pytest.raises(NotFound):
            actions.cancel_run(world.desk, tenant_id, run_id)
    assert world.run(run.id).state is RunState.QUEUED


# Strategies.


def test_a_change_makes_a_version_and_keeps_the_old_one(world: World) -> None:
    strategy = world.strategy(OnUpdate(), SPY="100", cooldown_days=3)
    changed = world.change(strategy, targets=targets(SPY="50", TLT="50"), name="new")
    assert (changed.version, changed.updated_version, changed.name) == (2, 2, "new")
    assert world.change(strategy, name="newer").version == 2
    assert world.change(strategy, targets=targets(SPY="50", TLT="50")).version == 2
    third = world.change(strategy, cooldown_days=4)
    assert (third.version, third.updated_version) == (3, 2)
    stored = world.db.read(lambda tx: strategies.definitions(tx, [(strategy.id, n) for n in (1, 2, 3)]))
    assert [stored[strategy.id, n].cooldown_days for n in (1, 2, 3)] == [3, 3, 4]
    assert stored[strategy.id, 1].targets == targets(SPY="100")


def test_two_changes_at_once_are_two_versions(world: World) -> None:
    strategy = world.strategy(SPY="100")
    percents = [str(percent) for percent in range(10, 50, 5)]

    def change(percent: str) -> int:
        return world.change(strategy, targets=targets(SPY=percent, TLT=str(100 - int(percent)))).version

    with ThreadPoolExecutor(8) as pool:
        versions = sorted(pool.map(change, percents))
    assert versions == list(range(2, 10))
    assert world.strategies()[0].version == 9


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"targets": ()}, InvalidStrategy),
        ({"targets": targets(SPY="101")}, InvalidStrategy),
        ({"cooldown_days": -1}, InvalidStrategy),
        ({"conditions": (OnUpdate(), OnUpdate())}, InvalidStrategy),
        ({"targets": targets(XYZ="100")}, IneligibleAssets),
    ],
)
def test_a_change_that_breaks_the_rules_changes_nothing(
    world: World, change: dict[str, object], error: type[Exception]
) -> None:
    strategy = world.strategy(SPY="100")
    before = world.dump()
    with pytest.raises(error):
        world.change(strategy, **change)
    assert world.dump() == before


def test_strategies_of_others_are_missing(world: World) -> None:
    strategy = world.strategy(SPY="100")
    change = strategy_actions.StrategyChange(name="mine")
    with pytest.raises(NotFound):
        strategy_actions.change_strategy(world.desk, OTHER, strategy_id=strategy.id, change=change)
    with pytest.raises(NotFound):
        strategy_actions.end_strategy(world.desk, OTHER, strategy.id)
    world.open_account("bob", "100")
    request = EnrollRequest(account_id="bob", strategy_id=strategy.id)
    with pytest.raises(NotFound):
        enrollment_actions.enroll(world.desk, OTHER, request)


def test_a_strategy_in_use_cannot_be_ended(world: World) -> None:
    inner = world.strategy(SPY="100")
    outer = nest(world, inner.id)
    world.open_account("ann", "100")
    enrollment = world.enroll("ann", outer)
    for strategy in (outer, inner):
        with pytest.raises(StrategyInUse):
            world.end(strategy)
    enrollment_actions.end_enrollment(world.desk, TENANT, enrollment.id)
    world.end(outer)
    world.end(inner)
    with pytest.raises(NothingToDelete):
        world.end(inner)
    assert world.strategies() == []
    with pytest.raises(StrategyNotActive):
        world.change(inner, name="again")


def nest(world: World, *inner: str) -> Strategy:
    """Half cash, the other half these strategies."""
    share = Decimal(50) / len(inner)
    lines: tuple[Target, ...] = (
        CashTarget(percent=Decimal(50)),
        *(StrategyTarget(strategy_id=each, percent=share) for each in inner),
    )
    draft = strategy_actions.StrategyDraft(
        name="nest",
        description="",
        definition=Definition(targets=lines, conditions=(), cooldown_days=0),
        calendar=world.desk.calendar,
    )
    return strategy_actions.create_strategy(world.desk, TENANT, draft)


def test_nested_strategies_are_traded_as_what_they_hold(world: World) -> None:
    """Half in cash, a quarter in SPY, a quarter half SPY and half TLT."""
    outer = nest(world, world.strategy(SPY="100").id, world.strategy(SPY="50", TLT="50").id)
    world.enroll(world.open_account("ann", "1600"), outer)
    world.settle()
    assert world.holdings("ann") == "cash 800, SPY 1.5, TLT 2"


def test_a_strategy_never_contains_itself(world: World) -> None:
    inner = world.strategy(SPY="100")
    outer = nest(world, inner.id)
    lines = (StrategyTarget(strategy_id=outer.id, percent=Decimal(100)),)
    with pytest.raises(InvalidStrategy):
        world.change(inner, targets=lines)
    with pytest.raises(InvalidStrategy):
        world.change(outer, targets=(StrategyTarget(strategy_id=outer.id, percent=Decimal(100)),))


def test_two_changes_at_once_never_close_a_circle(site: Site) -> None:
    """Each puts the other into itself, and sees it as it was before."""
    with new_world(site) as world:
        for _ in range(5):
            one, two = world.strategy(SPY="100"), world.strategy(SPY="100")

            def put_in(pair: tuple[Strategy, Strategy]) -> bool:
                into, what = pair
                try:
                    world.change(into, targets=(StrategyTarget(strategy_id=what.id, percent=Decimal(100)),))
                except InvalidStrategy:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                done = list(pool.map(put_in, [(one, two), (two, one)]))
            assert sorted(done) == [False, True]


def test_a_strategy_whose_asset_is_gone_is_set_aside_and_comes_back_when_it_is_asked_for(
    world: World,
) -> None:
    strategy = world.strategy(SPY="50", TLT="50")
    untouched = world.strategy(SPY="100")
    world.paper.set_asset("TLT", active=False)
    strategy_actions.review_assets(world.desk)
    assert [each.status for each in world.strategies()] == [
        StrategyStatus.NEEDS_ADJUSTMENT,
        StrategyStatus.ACTIVE,
    ]
    assert untouched.version == 1
    with pytest.raises(IneligibleAssets):
        world.change(strategy, reactivate=True)
    assert world.change(strategy, name="still").status is StrategyStatus.NEEDS_ADJUSTMENT
    assert world.change(strategy, targets=targets(SPY="100")).status is StrategyStatus.ACTIVE


def test_ids_of_different_sources_never_meet() -> None:
    """What the tests with several workers rest on."""
    one, two = Ids(1), Ids(2)
    assert len({one() for _ in range(9)} | {two() for _ in range(9)}) == 18
    assert enrollments.Page(after=None, limit=1).limit == 1
