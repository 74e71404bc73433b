"""Enrolment in two stages: the first reserves nothing, the second happens once and is answered once.

The answers are those of the notes on Glider's contract (3.6, 4.12) and of its table of idempotency: the
first answer stands, whoever asks and whatever happens in between.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.engine.desks import MONDAY, TENANT, Place, PostgresSite, World, found, open_world, world_at
from tests.engine.interleaving import Stop, Watched, desk_on, wait_for_a_lock
from tests.engine.intervals import BALANCED, DAY, OTHER, START, follow, leave, mix, public, second_tenant
from trimtab.core.enrollment import Enrollment, Flow
from trimtab.core.errors import AccountNotActive, AlreadyEnrolled, NotFound, StrategyNotActive, TrimtabError
from trimtab.core.run import RunState
from trimtab.core.strategy import Strategy
from trimtab.engine import flow_actions
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.engine.flow_actions import FlowRequest
from trimtab.store import flows, tenants
from trimtab.store.flows import Answer
from trimtab.store.tenants import Key

PATIENCE_S = 60
KEY, SECOND_KEY, OTHERS_KEY = "key-1", "key-2", "key-of-other"
WALLET = "eip155:0:0x52908400098527886e0f7030069857d2e4169ee7"
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def _keys(request: pytest.FixtureRequest) -> None:
    if "world" in request.fixturenames:
        make_keys(request.getfixturevalue("world"))


def make_keys(world: World) -> None:
    """Two keys of one tenant, one of another."""
    second_tenant(world)
    for key_id, tenant_id in ((KEY, TENANT), (SECOND_KEY, TENANT), (OTHERS_KEY, OTHER)):
        key = Key(
            key_id=key_id,
            tenant_id=tenant_id,
            tenant_name="",
            secret_hash=key_id,
            scopes=frozenset({"portfolios:write"}),
            created_at=MONDAY,
            expires_at=None,
            revoked_at=None,
        )
        world.db.write(lambda tx, key=key: tenants.insert_key(tx, key))  # type: ignore[misc]


def asked(strategy: Strategy, account_id: str | None = "ann", **changes: object) -> FlowRequest:
    request = FlowRequest(
        key_id=KEY,
        owner=f"trimtab:paper:{account_id}",
        account_id=account_id,
        strategy_id=strategy.id,
        chain_ids=(8453,),
        agent="trimtab:paper:agent",
    )
    return replace(request, **changes)  # type: ignore[arg-type] # fields of the value


def begin(world: World, request: FlowRequest, tenant_id: str = TENANT) -> Flow:
    return flow_actions.begin_flow(world.desk, tenant_id, request)


def begun(world: World, account_id: str = "ann") -> Flow:
    """A flow for an account of $10,000 and a daily strategy."""
    world.open_account(account_id, "0", **BALANCED)
    return begin(world, asked(mix(world), account_id))


def wanted(flow: Flow, account_id: str = "ann") -> EnrollRequest:
    return EnrollRequest(account_id=account_id, strategy_id=flow.strategy_id, name="Mine")


def said(enrollment: Enrollment, body: str = "body") -> Answer:
    return Answer(body_hash=body, status=201, text=f"enrolled {enrollment.id}")


REFUSED = Answer(body_hash="other body", status=400, text="no")


def complete(world: World, flow: Flow, request: EnrollRequest | None = None, body: str = "body") -> Answer:
    return flow_actions.complete_flow(
        world.desk, flow, request or wanted(flow), answer=lambda enrollment: said(enrollment, body)
    )


def standing(world: World, flow: Flow, key_id: str = KEY) -> tuple[Flow, Answer | None] | None:
    now = world.clock.now
    return world.db.read(lambda tx: flows.one(tx, key_id, flow.id, now=now))


# The first stage.


def test_a_flow_remembers_what_was_asked_and_lasts_a_day(world: World) -> None:
    world.open_account("ann", "100")
    strategy = mix(world)
    flow = begin(world, asked(strategy))
    assert standing(world, flow) == (flow, None)
    assert (flow.tenant_id, flow.key_id, flow.owner) == (TENANT, KEY, "trimtab:paper:ann")
    assert (flow.strategy_id, flow.chain_ids, flow.agent) == (strategy.id, (8453,), "trimtab:paper:agent")
    assert (flow.created_at, flow.expires_at) == (START, START + DAY)
    assert len(bytes.fromhex(flow.message)) == 32


def test_the_first_stage_reserves_nothing(world: World) -> None:
    """Not the account, not its number, not the strategy; only the flow is stored."""
    world.open_account("ann", "100")
    strategy = mix(world)
    before = world.dump()
    first = begin(world, asked(strategy))
    second = begin(world, asked(strategy))
    assert world.dump() == before
    assert first.id != second.id
    assert first.message != second.message
    assert first.account_index == second.account_index == 0
    follow(world, strategy, "bob")
    world.end(mix(world))


def test_a_wallets_number_is_peeked_at_until_an_enrolment_takes_it(world: World) -> None:
    strategy = mix(world)
    request = asked(strategy, None, owner=WALLET)
    first, again = begin(world, request), begin(world, request)
    assert (first.account_index, again.account_index) == (0, 0)
    world.open_account("w0", "0", **BALANCED)
    complete(world, first, replace(wanted(first, "w0"), owner=WALLET))
    assert begin(world, request).account_index == 1
    assert begin(world, replace(request, owner=WALLET[:-1] + "0")).account_index == 0
    leave(world, world.enrollment("w0"))
    assert begin(world, request).account_index == 1, "a number is not given twice"


def test_another_tenants_wallets_are_not_counted(world: World) -> None:
    strategy = public(world)
    first = begin(world, asked(strategy, None, owner=WALLET))
    world.open_account("w0", "0", **BALANCED)
    complete(world, first, replace(wanted(first, "w0"), owner=WALLET))
    request = asked(strategy, None, owner=WALLET, key_id=OTHERS_KEY)
    assert begin(world, request, OTHER).account_index == 0


def test_what_may_not_be_used_cannot_be_begun_with(world: World) -> None:
    world.open_account("ann", "100")
    private = mix(world)
    with pytest.raises(NotFound, match="nothing"):
        begin(world, replace(asked(private), strategy_id="nothing"))
    with pytest.raises(NotFound, match="nobody"):
        begin(world, asked(private, "nobody"))
    world.enroll("ann", private)
    with pytest.raises(NotFound, match="ann"):
        begin(world, asked(public(world), key_id=OTHERS_KEY), OTHER)
    world.open_account("bob", "100")
    with pytest.raises(NotFound, match=private.id):
        begin(world, asked(private, "bob", key_id=OTHERS_KEY), OTHER)
    ended = public(world)
    world.end(ended)
    for tenant_id, key_id in ((TENANT, KEY), (OTHER, OTHERS_KEY)):
        with pytest.raises((NotFound, StrategyNotActive)):
            begin(world, asked(ended, "bob", key_id=key_id), tenant_id)
    world.paper.set_status("bob", "INACTIVE")
    with pytest.raises(AccountNotActive):
        begin(world, asked(private, "bob"))
    rows = world.db.read(lambda tx: tx.rows("SELECT id FROM flows"))
    assert rows == []


def test_a_public_strategy_can_be_begun_with_by_another_tenant(world: World) -> None:
    world.open_account("bob", "0", **BALANCED)
    flow = begin(world, asked(public(world), "bob", key_id=OTHERS_KEY), OTHER)
    complete(world, flow, wanted(flow, "bob"))
    world.settle()
    assert world.record("bob").tenant_id == OTHER


# The second stage.


def test_the_second_stage_enrolls_with_a_first_run_and_an_answer(world: World) -> None:
    flow = begun(world)
    answer = complete(world, flow)
    enrollment = world.enrollment("ann")
    assert answer == said(enrollment)
    assert (enrollment.name, enrollment.next_due_at) == ("Mine", START)
    assert [run.state for run in world.runs("ann")] == [RunState.QUEUED]
    assert standing(world, flow) == (flow, answer)


def test_a_flow_is_completed_once(world: World) -> None:
    flow = begun(world)
    first = complete(world, flow)
    before = world.dump()
    with pytest.raises(AlreadyEnrolled):
        complete(world, flow)
    assert world.dump() == before
    again = flow_actions.record_answer(world.desk, flow, REFUSED)
    assert again == first, "the first answer stands, whatever the second would have been"
    assert standing(world, flow) == (flow, first)


def test_a_flow_that_was_answered_enrolls_nobody_else(world: World) -> None:
    """Completed, left, and sent once more: the answer of the first time, and no second enrollment."""
    flow = begun(world)
    first = complete(world, flow)
    leave(world, world.enrollment("ann"))
    before = world.dump()
    assert complete(world, flow, body="another") == first
    assert world.dump() == before


def test_a_refusal_that_was_recorded_first_stands_and_nobody_is_enrolled(world: World) -> None:
    """Of two second stages at once one was refused, and its answer came first."""
    flow = begun(world)
    assert flow_actions.record_answer(world.desk, flow, REFUSED) == REFUSED
    before = world.dump()
    assert complete(world, flow) == REFUSED
    # The claim of the account is a matter of its own.
    claims = {"accounts", "shards"}
    assert {k: v for k, v in world.dump().items() if k not in claims} == {
        k: v for k, v in before.items() if k not in claims
    }
    assert world.enrollments("ann") == []
    assert world.runs("ann") == []
    assert standing(world, flow) == (flow, REFUSED)


def test_two_refusals_leave_the_first(world: World) -> None:
    flow = begun(world)
    second = replace(REFUSED, text="no, never")
    assert flow_actions.record_answer(world.desk, flow, REFUSED) == REFUSED
    assert flow_actions.record_answer(world.desk, flow, second) == REFUSED


def test_an_answer_that_fails_leaves_nothing(world: World) -> None:
    """The enrollment and its answer are one transaction: there is none without the other."""
    flow = begun(world)

    def dies(_enrollment: Enrollment) -> Answer:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow_actions.complete_flow(world.desk, flow, wanted(flow), answer=dies)
    assert world.enrollments("ann") == []
    assert world.runs("ann") == []
    assert standing(world, flow) == (flow, None)
    assert complete(world, flow).status == 201


def test_a_flow_outlives_its_process(world: World) -> None:
    """Begun by one, completed by the next; both see the same."""
    flow = begun(world)
    answer = complete(world, flow)
    place = Place(address(world.db), address(world.paper_db))
    with world_at(place, clock=world.clock, series=1) as another:
        assert standing(another, flow) == (flow, answer)
        assert another.enrollment("ann") == world.enrollment("ann")


def address(db: object) -> str:
    url = getattr(db, "url", None)
    return url if isinstance(url, str) else f"sqlite:///{getattr(db, 'path', '')}"


# Expired, and other keys.


def test_a_flow_ends_after_a_day(world: World) -> None:
    flow = begun(world)
    answer = complete(world, flow)
    world.clock.now = START + DAY - MICROSECOND
    assert standing(world, flow) == (flow, answer)
    world.clock.now = START + DAY
    assert standing(world, flow) is None


def test_flows_that_have_ended_are_gone_when_the_next_begins(world: World) -> None:
    early = begun(world)
    world.clock.now = START + DAY - MICROSECOND
    late = begin(world, asked(mix(world)))
    world.clock.now = START + DAY
    last = begin(world, asked(mix(world)))
    rows = world.db.read(lambda tx: tx.rows("SELECT id FROM flows"))
    assert {row["id"] for row in rows} == {late.id, last.id}
    assert early.id not in {late.id, last.id}


def test_a_flow_is_its_keys_alone(world: World) -> None:
    """Not another tenant's, nor another key's of the same tenant (4.12)."""
    flow = begun(world)
    assert standing(world, flow, SECOND_KEY) is None
    assert standing(world, flow, OTHERS_KEY) is None
    assert standing(world, flow) is not None


# Many second stages at once.


def send(world: World, flow: Flow, body: str, account_id: str = "ann") -> Answer:
    """As a server does: complete, or record why not."""
    try:
        return complete(world, flow, wanted(flow, account_id), body)
    except TrimtabError as error:
        refusal = Answer(body_hash=body, status=409, text=type(error).__name__)
        return flow_actions.record_answer(world.desk, flow, refusal)


def all_at_once(*clients: Callable[[], Answer]) -> list[Answer]:
    together = threading.Barrier(len(clients))

    def run(client: Callable[[], Answer]) -> Answer:
        together.wait(PATIENCE_S)
        return client()

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(run, clients))


def test_second_stages_of_one_flow_at_once_are_all_answered_the_same(world: World) -> None:
    for number in range(4):
        account_id = f"a{number}"
        flow = begun(world, account_id)
        answers = all_at_once(
            *(lambda f=flow, n=n, a=account_id: send(world, f, f"body {n}", a) for n in range(6))
        )
        assert len(set(answers)) == 1
        assert standing(world, flow) == (flow, answers[0])
        followed = world.enrollments(account_id)
        if answers[0].status == 201:
            assert answers[0].text == f"enrolled {followed[0].id}"
        else:
            assert followed == []
        assert len(world.runs(account_id)) == len(followed)


def test_flows_of_one_account_at_once_enroll_it_once(world: World) -> None:
    """Each reserved nothing; the first to commit has the account."""
    for number in range(3):
        account_id = f"a{number}"
        begun_flows = [begun(world, account_id)]
        begun_flows += [begin(world, asked(mix(world), account_id)) for _ in range(4)]
        answers = all_at_once(
            *(lambda f=flow, a=account_id: send(world, f, "body", a) for flow in begun_flows)
        )
        assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
        assert {answer.text for answer in answers if answer.status == 409} == {"AlreadyEnrolled"}
        (enrollment,) = world.enrollments(account_id)
        (winner,) = [flow for flow, answer in zip(begun_flows, answers, strict=True) if answer.status == 201]
        assert enrollment.strategy_id == winner.strategy_id
        assert len(world.runs(account_id)) == 1
    world.settle()
    world.require_sound()


def test_a_refusal_that_comes_while_a_second_stage_commits_waits_and_is_told(
    postgres_site: PostgresSite,
) -> None:
    """And one that is being recorded makes the second stage wait, and then undo itself."""
    with postgres_site.empty() as place:
        world = found(open_world(place))
        make_keys(world)
        for number, refusal_first in enumerate((False, True)):
            account_id = f"a{number}"
            flow = begun(world, account_id)
            dbs = Watched(place.main_url), Watched(place.main_url)
            stop = Stop("SELECT * FROM flows")
            dbs[0].at = stop
            desks = [desk_on(world, db) for db in dbs]

            def enroll(desk: object, flow: Flow = flow, account_id: str = account_id) -> Answer:
                return flow_actions.complete_flow(
                    desk,  # type: ignore[arg-type] # one of the two
                    flow,
                    wanted(flow, account_id),
                    answer=said,
                )

            def refuse(desk: object, flow: Flow = flow) -> Answer:
                return flow_actions.record_answer(desk, flow, REFUSED)  # type: ignore[arg-type] # as above

            acts = (refuse, enroll) if refusal_first else (enroll, refuse)
            try:
                with ThreadPoolExecutor(2) as pool:
                    first = pool.submit(acts[0], desks[0])
                    assert stop.reached.wait(PATIENCE_S)
                    second = pool.submit(acts[1], desks[1])
                    wait_for_a_lock(place.main_url)
                    stop.go_on.set()
                    answers = first.result(PATIENCE_S), second.result(PATIENCE_S)
            finally:
                for db in dbs:
                    db.close()
            assert answers[0] == answers[1]
            assert (answers[0] == REFUSED) == refusal_first
            assert len(world.enrollments(account_id)) == (not refusal_first)
            assert len(world.runs(account_id)) == (not refusal_first)
        world.close()
