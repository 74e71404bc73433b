"""Cancelling a run at every moment of its life, over HTTP: what is answered, what it becomes, what it traded.

Each account holds two SPY at $400 and is to have one, and four TLT at $100: one sale, then one buy. So all
that can have been traded when the cancel arrives is known by hand.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from threading import Barrier
from uuid import UUID, uuid4

import httpx
import pytest
from alpaca.broker.client import BrokerClient
from alpaca.broker.enums import RunStatus
from alpaca.broker.models import RebalancingRun
from alpaca.common.exceptions import APIError

from tests.api.conftest import NewWorld, StartServer
from tests.api.servers import NO_TLS, Server
from tests.api.world import RUNS, SUBSCRIPTIONS, Json, World, weights
from trimtab.store import freezes
from trimtab.store.freezes import Freeze

HALVES = weights(SPY="50", TLT="50")
PATIENCE_S = 30
UNTRADED = {"cash": "0", "SPY": "2"}
HALF_SOLD = {"cash": "200", "SPY": "1.5"}
SOLD = {"cash": "400", "SPY": "1"}
HALF_BOUGHT = {"cash": "200", "SPY": "1", "TLT": "2"}
BOUGHT = {"cash": "0", "SPY": "1", "TLT": "4"}


@dataclass(frozen=True)
class Moment:
    """How a run comes to the moment at which it is cancelled, and what it has traded in the end.

    `then` is done between the cancel's answer and the engine's next look.
    """

    name: str
    reach: Callable[[World, str], None]
    ends: str
    held: dict[str, str]
    then: Callable[[World], object] = lambda _world: None


def waits(_world: World, _account_id: str) -> None:
    """Nobody has looked at it yet."""


def at_night(world: World, _account_id: str) -> None:
    world.later(hours=10)
    world.settle()


def no_broker(world: World, _account_id: str) -> None:
    world.set_faults(outage=True)
    world.settle()


def frozen(world: World, _account_id: str) -> None:
    """As `trimtab freeze --tenant` does beside a running server."""
    tenant_id = world.key.tenant_id
    stop = Freeze(id=str(uuid4()), tenant_id=tenant_id, account_id=None, symbol=None, reason="by hand")
    world.db.write(lambda tx: freezes.insert(tx, stop, world.now()))
    world.settle()


def selling(world: World, _account_id: str) -> None:
    """The sale works at the broker for a minute."""
    world.set_faults(fill_delay_s=60)
    world.settle()


def selling_unanswered(world: World, _account_id: str) -> None:
    world.set_faults(fill_delay_s=60, lost_reply=1)
    world.settle()


def selling_then_frozen(world: World, account_id: str) -> None:
    selling(world, account_id)
    frozen(world, account_id)


def selling_then_no_broker(world: World, account_id: str) -> None:
    selling(world, account_id)
    world.set_faults(fill_delay_s=60, outage=True)


def a_minute_later(world: World) -> None:
    world.later(seconds=60)


def half_sold(world: World, _account_id: str) -> None:
    world.set_faults(fill_delay_s=60, partial_fill=1)
    world.settle()
    a_minute_later(world)
    world.settle()


def sold_unseen(world: World, account_id: str) -> None:
    """The broker has filled the sale, and nobody has asked it since."""
    selling(world, account_id)
    a_minute_later(world)


def buying(world: World, account_id: str) -> None:
    sold_unseen(world, account_id)
    world.settle()


def buying_unanswered(world: World, account_id: str) -> None:
    sold_unseen(world, account_id)
    world.set_faults(fill_delay_s=60, lost_reply=1)
    world.settle()


def half_bought(world: World, account_id: str) -> None:
    sold_unseen(world, account_id)
    world.set_faults(fill_delay_s=60, partial_fill=1)
    world.settle()
    a_minute_later(world)
    world.settle()


def bought_unseen(world: World, account_id: str) -> None:
    buying(world, account_id)
    a_minute_later(world)


MOMENTS = [
    Moment("queued", waits, "CANCELED", UNTRADED),
    Moment("queued at night", at_night, "CANCELED", UNTRADED),
    Moment("queued, the broker is down", no_broker, "CANCELED", UNTRADED),
    Moment("queued, frozen", frozen, "CANCELED", UNTRADED),
    Moment("selling", selling, "CANCELED_MID_RUN", UNTRADED),
    Moment("selling, the reply was lost", selling_unanswered, "CANCELED_MID_RUN", UNTRADED),
    Moment("selling, then frozen", selling_then_frozen, "CANCELED_MID_RUN", UNTRADED),
    Moment("selling, then the broker is down", selling_then_no_broker, "CANCELED_MID_RUN", UNTRADED),
    Moment("half sold", half_sold, "CANCELED_MID_RUN", HALF_SOLD),
    Moment("sold, not recorded yet", sold_unseen, "CANCELED_MID_RUN", SOLD),
    Moment("the sale fills meanwhile", selling, "CANCELED_MID_RUN", SOLD, a_minute_later),
    Moment("buying", buying, "CANCELED_MID_RUN", SOLD),
    Moment("buying, the reply was lost", buying_unanswered, "CANCELED_MID_RUN", SOLD),
    Moment("half bought", half_bought, "CANCELED_MID_RUN", HALF_BOUGHT),
    Moment("all filled, not recorded yet", bought_unseen, "CANCELED_MID_RUN", BOUGHT),
    Moment("the buy fills meanwhile", buying, "CANCELED_MID_RUN", BOUGHT, a_minute_later),
]
at_every_moment = pytest.mark.parametrize("moment", [pytest.param(m, id=m.name) for m in MOMENTS])
SOME = ("queued", "half sold", "the sale fills meanwhile", "all filled, not recorded yet")
at_some_moments = pytest.mark.parametrize(
    "moment", [pytest.param(m, id=m.name) for m in MOMENTS if m.name in SOME]
)


def started(world: World, moment: Moment) -> tuple[str, str]:
    """An account and its run, brought to the moment."""
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, HALVES)
    moment.reach(world, account_id)
    return account_id, run_id


def mend(world: World) -> None:
    """Lift what was frozen, and let the market answer again, with a delay: so nothing is filled by it."""
    world.set_faults(fill_delay_s=600)
    tenant_id = world.key.tenant_id
    world.db.write(lambda tx: freezes.remove(tx, tenant_id=tenant_id, account_id=None, symbol=None))


def assert_ended(world: World, moment: Moment, *, account_id: str, run_id: str) -> None:
    """The run's end says what the broker's ledger says, and the positions are what it makes of them."""
    run, booked = world.show_run(run_id), world.ledger(account_id)
    now = world.get("/sandbox/clock")["now"]
    assert (run["status"], run["completed_at"], run["reason"]) == (moment.ends, None, None)
    assert run["canceled_at"] is not None
    assert run["created_at"] <= run["canceled_at"] <= now
    assert world.held(account_id) == moment.held
    keys = ("id", "client_order_id", "symbol", "side", "filled_qty", "filled_avg_price", "status")
    shown = {order["id"]: tuple(order[key] for key in keys) for order in run["orders"]}
    assert shown == {order["id"]: tuple(order[key] for key in keys) for order in booked}
    assert {order["status"] for order in booked} <= {"filled", "canceled"}
    assert (run["failed_orders"], run["skipped_orders"]) == ([], [])
    held = Decimal(2) - bought_of("SPY", booked, side="sell")
    assert Decimal(moment.held["SPY"]) == held
    assert Decimal(moment.held.get("TLT", "0")) == bought_of("TLT", booked, side="buy")


def bought_of(symbol: str, booked: list[Json], *, side: str) -> Decimal:
    filled = [Decimal(o["filled_qty"]) for o in booked if (o["symbol"], o["side"]) == (symbol, side)]
    return sum(filled, Decimal(0))


@at_every_moment
def test_after_the_answer_no_order_leaves_and_the_run_ends_canceled(world: World, moment: Moment) -> None:
    account_id, run_id = started(world, moment)
    path = f"{RUNS}/{run_id}"
    before = world.show_run(run_id)["status"]
    world.delete(path)
    sent = [order["id"] for order in world.ledger(account_id)]
    at_once = moment.ends == "CANCELED"
    assert before == ("QUEUED" if at_once else "IN_PROGRESS")
    assert world.show_run(run_id)["status"] == ("CANCELED" if at_once else "IN_PROGRESS")
    world.delete(path)
    moment.then(world)
    world.settle()
    mend(world)
    for _ in range(3):
        world.settle()
    assert_ended(world, moment, account_id=account_id, run_id=run_id)
    ended = world.show_run(run_id)
    world.later(minutes=30)
    world.settle()
    assert [order["id"] for order in world.ledger(account_id)] == sent
    assert world.show_run(run_id) == ended
    if at_once:
        world.delete(path)
    else:
        assert world.refused("DELETE", path, expect=422) == (42210007, "run cannot be canceled")
    assert world.show_run(run_id) == ended
    assert_reaches_its_targets(world, account_id)


def assert_reaches_its_targets(world: World, account_id: str) -> None:
    """A new run can be made, and finishes what the canceled one has begun."""
    world.open_market()
    again = world.run(account_id, HALVES)
    world.settle()
    assert world.show_run(again)["status"] == "COMPLETED_SUCCESS"
    assert world.held(account_id) == BOUGHT


def answers(*calls: Callable[[], httpx.Response]) -> list[int]:
    """The statuses of calls that are all made at once."""
    together = Barrier(len(calls))

    def call(number: int) -> int:
        together.wait(PATIENCE_S)
        return calls[number]().status_code

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, range(len(calls))))


@at_some_moments
def test_many_cancels_at_once_are_all_answered_well(world: World, moment: Moment) -> None:
    account_id, run_id = started(world, moment)
    assert answers(*[lambda: world.http.delete(f"{RUNS}/{run_id}")] * 6) == [204] * 6
    moment.then(world)
    mend(world)
    world.settle()
    assert_ended(world, moment, account_id=account_id, run_id=run_id)


def test_cancels_at_two_servers_at_once_are_all_answered_well(
    two_servers: list[Server], new_world: NewWorld
) -> None:
    world = new_world(two_servers[0])
    auth = (world.key.key_id, world.key.secret)
    with httpx.Client(base_url=two_servers[1].url, auth=auth, timeout=60, verify=NO_TLS) as door:
        for moment in MOMENTS:
            world.open_market()
            account_id, run_id = started(world, moment)
            path = f"{RUNS}/{run_id}"
            cancels = [lambda: world.http.delete(path), lambda: door.delete(path)] * 3  # noqa: B023 - called at once
            assert answers(*cancels) == [204] * 6, moment.name
            moment.then(world)
            mend(world)
            settles = [lambda: world.http.post("/sandbox/settle"), lambda: door.post("/sandbox/settle")]
            assert answers(*settles) == [200, 200]
            assert_ended(world, moment, account_id=account_id, run_id=run_id)


@at_some_moments
def test_another_tenant_cancels_nothing(world: World, other: World, moment: Moment) -> None:
    _account_id, run_id = started(world, moment)
    before = world.show_run(run_id)
    refused = other.refused("DELETE", f"{RUNS}/{run_id}", expect=404)
    assert refused == (40410000, "run not found")
    assert world.show_run(run_id) == before
    world.delete(f"{RUNS}/{run_id}")
    mend(world)
    world.settle()


# The subscription goes at the same moment.


@pytest.mark.parametrize("moment", [pytest.param(m, id=m.name) for m in MOMENTS if m.reach is not frozen])
def test_a_subscription_that_ends_at_the_same_moment_changes_nothing(world: World, moment: Moment) -> None:
    account_id = world.account("0", SPY="2")
    subscription_id = world.subscribe(account_id, world.portfolio(HALVES))
    run_id = str(world.runs(account_id)[0]["id"])
    moment.reach(world, account_id)
    both = answers(
        lambda: world.http.delete(f"{RUNS}/{run_id}"),
        lambda: world.http.delete(f"{SUBSCRIPTIONS}/{subscription_id}"),
    )
    assert both == [204, 204]
    moment.then(world)
    mend(world)
    world.settle()
    run = world.show_run(run_id)
    assert run["status"] == moment.ends
    assert run["reason"] in {None, "the account no longer follows these weights"}
    assert world.held(account_id) == moment.held
    assert len(world.runs(account_id)) == 1


@pytest.mark.parametrize("order", ["the run first", "the subscription first"])
def test_a_queued_run_and_its_subscription_may_go_in_any_order(world: World, order: str) -> None:
    account_id = world.account("0", SPY="2")
    subscription_id = world.subscribe(account_id, world.portfolio(HALVES))
    paths = [f"{RUNS}/{world.runs(account_id)[0]['id']}", f"{SUBSCRIPTIONS}/{subscription_id}"]
    for path in paths if order == "the run first" else reversed(paths):
        world.delete(path)
    world.settle()
    assert world.statuses(account_id) == [("full_rebalance", "CANCELED")]
    assert world.ledger(account_id) == []


def test_a_canceled_run_of_the_system_starts_no_cooldown(world: World) -> None:
    """Only what completed does (decisions page, 3)."""
    account_id = world.account("0", SPY="2")
    subscription_id = world.subscribe(account_id, world.portfolio(HALVES, cooldown_days=31))
    selling(world, account_id)
    world.delete(f"{RUNS}/{world.runs(account_id)[0]['id']}")
    world.settle()
    assert world.statuses(account_id)[0] == ("full_rebalance", "CANCELED_MID_RUN")
    assert world.get(f"{SUBSCRIPTIONS}/{subscription_id}")["last_rebalanced_at"] is None


# Other kinds of runs.


@pytest.mark.parametrize(
    ("kind", "side"), [("invest_cash", "buy"), ("partial_liquidation", "sell")], ids=["buys", "sells"]
)
def test_a_run_of_another_kind_is_canceled_alike(world: World, kind: str, side: str) -> None:
    account_id = world.account("400", SPY="1")
    run_id = world.run(account_id, HALVES, type=kind, amount="100")
    selling(world, account_id)
    ((order),) = world.ledger(account_id)
    assert (order["side"], order["status"]) == (side, "accepted")
    world.delete(f"{RUNS}/{run_id}")
    world.settle()
    run = world.show_run(run_id)
    assert (run["status"], run["type"]) == ("CANCELED_MID_RUN", kind)
    assert [(o["side"], o["status"]) for o in run["orders"]] == [(side, "canceled")]
    assert world.held(account_id) == {"cash": "400", "SPY": "1"}


# What has ended otherwise.


def completed(world: World) -> str:
    run_id = world.run(world.account("0", SPY="2"), HALVES)
    world.settle()
    return run_id


def adjusted(world: World) -> str:
    run_id = world.run(world.account("1"), HALVES)
    world.settle()
    return run_id


def timed_out(world: World) -> str:
    run_id = world.run(world.account("0", SPY="2"), HALVES)
    world.set_faults(fill_delay_s=86400)
    world.settle()
    world.later(hours=7)
    world.settle()
    return run_id


def canceled_half_way(world: World) -> str:
    run_id = world.run(world.account("0", SPY="2"), HALVES)
    world.set_faults(fill_delay_s=60)
    world.settle()
    world.delete(f"{RUNS}/{run_id}")
    world.settle()
    return run_id


ENDS: list[tuple[str, Callable[[World], str]]] = [
    ("COMPLETED_SUCCESS", completed),
    ("COMPLETED_ADJUSTED", adjusted),
    ("TIMEOUT", timed_out),
    ("CANCELED_MID_RUN", canceled_half_way),
]


@pytest.mark.parametrize(("status", "end"), ENDS, ids=[status for status, _ in ENDS])
def test_what_has_ended_otherwise_cannot_be_canceled(
    world: World, status: str, end: Callable[[World], str]
) -> None:
    run_id = end(world)
    before = world.show_run(run_id)
    assert before["status"] == status
    refused = world.refused("DELETE", f"{RUNS}/{run_id}", expect=422)
    assert refused == (42210007, "run cannot be canceled")
    assert world.show_run(run_id) == before


def test_what_has_failed_cannot_be_canceled(start_server: StartServer, new_world: NewWorld) -> None:
    """A run that has lost its deadline is one that nobody foresaw."""
    world = new_world(start_server("sqlite"))
    world.open_market()
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, HALVES)
    selling(world, account_id)
    world.db.write(lambda tx: tx.execute("UPDATE runs SET deadline_at = NULL"))
    world.settle()
    failed = world.show_run(run_id)
    assert failed["status"] == "ERROR"
    refused = world.refused("DELETE", f"{RUNS}/{run_id}", expect=422)
    assert refused == (42210007, "run cannot be canceled")
    assert world.show_run(run_id) == failed
    world.set_faults()
    assert_reaches_its_targets(world, account_id)


# With the official client.


@pytest.fixture
def client(world: World) -> Iterator[BrokerClient]:
    made = BrokerClient(world.key.key_id, world.key.secret, url_override=world.server.url)
    yield made
    made._session.close()  # noqa: SLF001 - nothing else closes it


def seen(client: BrokerClient, run_id: str) -> RebalancingRun:
    run = client.get_run_by_id(UUID(run_id))
    assert isinstance(run, RebalancingRun)
    return run


@pytest.mark.parametrize("reach", [selling, half_sold, sold_unseen, buying, bought_unseen])
def test_the_official_client_cancels_a_started_run(
    client: BrokerClient, world: World, reach: Callable[[World, str], None]
) -> None:
    account_id = world.account("0", SPY="2")
    run_id = world.run(account_id, HALVES)
    reach(world, account_id)
    client.cancel_run_by_id(UUID(run_id))
    assert seen(client, run_id).status is RunStatus.IN_PROGRESS
    client.cancel_run_by_id(UUID(run_id))
    world.settle()
    run = seen(client, run_id)
    assert run.status is RunStatus.CANCELED_MID_RUN
    assert run.canceled_at is not None
    booked = {order["id"]: order["filled_qty"] for order in world.ledger(account_id)}
    assert {str(order.id): order.filled_qty for order in run.orders or []} == booked
    with pytest.raises(APIError, match="run cannot be canceled") as refused:
        client.cancel_run_by_id(UUID(run_id))
    assert (refused.value.status_code, refused.value.code) == (422, 42210007)


@pytest.mark.parametrize("end", [completed, adjusted, timed_out])
def test_the_official_client_is_told_that_it_is_too_late(
    client: BrokerClient, world: World, end: Callable[[World], str]
) -> None:
    run_id = end(world)
    with pytest.raises(APIError, match="run cannot be canceled") as refused:
        client.cancel_run_by_id(UUID(run_id))
    assert (refused.value.status_code, refused.value.code) == (422, 42210007)
