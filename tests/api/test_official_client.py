"""The vendor's own client, alpaca-py 0.44, unmodified: every rebalancing method, with its models parsing
every answer.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from alpaca.broker.client import BrokerClient
from alpaca.broker.enums import (
    CalendarSubType,
    DriftBandSubType,
    PortfolioStatus,
    RebalancingConditionsType,
    RunInitiatedFrom,
    RunStatus,
    RunType,
    WeightType,
)
from alpaca.broker.models import Portfolio, RebalancingRun, Subscription
from alpaca.broker.requests import (
    CreatePortfolioRequest,
    CreateRunRequest,
    CreateSubscriptionRequest,
    GetPortfoliosRequest,
    GetRunsRequest,
    GetSubscriptionsRequest,
    RebalancingConditions,
    UpdatePortfolioRequest,
    Weight,
)
from alpaca.common.enums import PaginationType
from alpaca.common.exceptions import APIError

from tests.api.world import World

T = TypeVar("T")

CASH_5 = Weight(type=WeightType.CASH, percent=5)
SPY_60 = Weight(type=WeightType.ASSET, symbol="SPY", percent=60)
TLT_35 = Weight(type=WeightType.ASSET, symbol="TLT", percent=35)
SPY_ONLY = [Weight(type=WeightType.ASSET, symbol="SPY", percent=100)]
BAND_5 = RebalancingConditions(
    type=RebalancingConditionsType.DRIFT_BAND, sub_type=DriftBandSubType.ABSOLUTE, percent=5
)
BAND_20 = RebalancingConditions(
    type=RebalancingConditionsType.DRIFT_BAND, sub_type=DriftBandSubType.RELATIVE, percent=20
)


@pytest.fixture
def client(world: World) -> Iterator[BrokerClient]:
    made = BrokerClient(world.key.key_id, world.key.secret, url_override=world.server.url)
    yield made
    made._session.close()  # noqa: SLF001 - it has no close of its own, and an open socket is a warning


def parsed(answer: object, model: type[T]) -> T:
    """The answer as the client's own model; it also has a mode that returns plain dicts."""
    assert isinstance(answer, model)
    return answer


def all_parsed(answer: object, model: type[T]) -> list[T]:
    assert isinstance(answer, list)
    return [parsed(item, model) for item in answer]


def created(client: BrokerClient, *, name: str = "P", cooldown_days: int = 0) -> Portfolio:
    request = CreatePortfolioRequest(
        name=name, description="d", weights=[CASH_5, SPY_60, TLT_35], cooldown_days=cooldown_days
    )
    return parsed(client.create_portfolio(request), Portfolio)


def subscribed(client: BrokerClient, account_id: str, portfolio_id: UUID) -> Subscription:
    request = CreateSubscriptionRequest(account_id=UUID(account_id), portfolio_id=portfolio_id)
    return parsed(client.create_subscription(request), Subscription)


def test_a_created_portfolio_comes_back_as_it_was_sent(client: BrokerClient) -> None:
    request = CreatePortfolioRequest(
        name="Balanced",
        description="stocks and bonds",
        weights=[CASH_5, SPY_60, TLT_35],
        cooldown_days=7,
        rebalance_conditions=[BAND_5, BAND_20],
    )
    portfolio = parsed(client.create_portfolio(request), Portfolio)
    assert (portfolio.name, portfolio.description) == ("Balanced", "stocks and bonds")
    assert portfolio.status is PortfolioStatus.ACTIVE
    assert portfolio.cooldown_days == 7
    assert portfolio.weights == [CASH_5, SPY_60, TLT_35]
    assert portfolio.rebalance_conditions == [BAND_5, BAND_20]
    assert portfolio.created_at == portfolio.updated_at
    assert parsed(client.get_portfolio_by_id(portfolio.id), Portfolio) == portfolio


def test_thirds_sent_as_floats_sum_to_exactly_100(client: BrokerClient) -> None:
    thirds = [
        Weight(type=WeightType.ASSET, symbol="SPY", percent=33.33),
        Weight(type=WeightType.ASSET, symbol="TLT", percent=33.33),
        Weight(type=WeightType.ASSET, symbol="GLD", percent=33.34),
    ]
    request = CreatePortfolioRequest(name="Thirds", description="", weights=thirds, cooldown_days=0)
    assert parsed(client.create_portfolio(request), Portfolio).weights == thirds


@pytest.mark.parametrize(
    ("sub_type", "day"),
    [
        (CalendarSubType.WEEKLY, "Monday"),
        (CalendarSubType.WEEKLY, "Friday"),
        (CalendarSubType.MONTHLY, "1"),
        (CalendarSubType.MONTHLY, "31"),
        (CalendarSubType.QUARTERLY, "15"),
        (CalendarSubType.ANNUALLY, "02-29"),
        (CalendarSubType.ANNUALLY, "12-31"),
    ],
)
def test_every_calendar_condition_comes_back_as_it_was_sent(
    client: BrokerClient, sub_type: CalendarSubType, day: str
) -> None:
    rule = RebalancingConditions(type=RebalancingConditionsType.CALENDAR, sub_type=sub_type, day=day)
    request = CreatePortfolioRequest(
        name="C", description="", weights=SPY_ONLY, cooldown_days=0, rebalance_conditions=[rule, BAND_5]
    )
    assert parsed(client.create_portfolio(request), Portfolio).rebalance_conditions == [rule, BAND_5]


def test_portfolios_are_filtered_by_every_field(client: BrokerClient) -> None:
    first, second = created(client, name="First"), created(client, name="Second")
    gold = CreatePortfolioRequest(
        name="Gold",
        description="shiny",
        weights=[Weight(type=WeightType.ASSET, symbol="GLD", percent=100)],
        cooldown_days=0,
    )
    third = parsed(client.create_portfolio(gold), Portfolio)
    client.inactivate_portfolio_by_id(second.id)

    def found(**fields: object) -> list[str]:
        answer = client.get_all_portfolios(GetPortfoliosRequest.model_validate(fields))
        return [portfolio.name for portfolio in all_parsed(answer, Portfolio)]

    assert [p.id for p in all_parsed(client.get_all_portfolios(), Portfolio)] == [first.id, third.id]
    assert found(name="First") == ["First"]
    assert found(description="shiny") == ["Gold"]
    assert found(symbol="GLD") == ["Gold"]
    assert found(symbol="SPY") == ["First"]
    assert found(portfolio_id=third.id) == ["Gold"]
    assert found(status=PortfolioStatus.INACTIVE) == ["Second"]
    assert found(status=PortfolioStatus.ACTIVE, symbol="TLT") == ["First"]
    assert found(name="First", symbol="GLD") == []


def test_an_update_changes_what_it_names(client: BrokerClient) -> None:
    portfolio = created(client, cooldown_days=3)
    request = UpdatePortfolioRequest(name="New", weights=SPY_ONLY, rebalance_conditions=[BAND_5])
    updated = parsed(client.update_portfolio_by_id(portfolio.id, request), Portfolio)
    assert (updated.name, updated.description, updated.cooldown_days) == ("New", "d", 3)
    assert updated.weights == SPY_ONLY
    assert updated.rebalance_conditions == [BAND_5]
    assert parsed(client.get_portfolio_by_id(portfolio.id), Portfolio) == updated


def test_an_update_of_nothing_changes_nothing(client: BrokerClient) -> None:
    portfolio = created(client)
    unchanged = client.update_portfolio_by_id(portfolio.id, UpdatePortfolioRequest())
    assert parsed(unchanged, Portfolio) == portfolio


def test_an_inactivated_portfolio_is_inactive_for_good(client: BrokerClient) -> None:
    portfolio = created(client)
    client.inactivate_portfolio_by_id(portfolio.id)
    assert parsed(client.get_portfolio_by_id(portfolio.id), Portfolio).status is PortfolioStatus.INACTIVE
    with pytest.raises(APIError) as refused:
        client.inactivate_portfolio_by_id(portfolio.id)
    assert (refused.value.status_code, refused.value.code) == (422, 42210000)
    assert refused.value.message == "nothing to delete"


def test_subscribing_makes_a_run_that_is_shown_until_it_ends(client: BrokerClient, world: World) -> None:
    account_id = world.account("10000")
    subscription = subscribed(client, account_id, created(client).id)
    assert subscription.account_id == UUID(account_id)
    assert subscription.last_rebalanced_at is None
    assert parsed(client.get_subscription_by_id(subscription.id), Subscription) == subscription

    (queued,) = all_parsed(client.get_all_runs(), RebalancingRun)
    assert queued.status is RunStatus.QUEUED
    assert queued.initiated_from is RunInitiatedFrom.SYSTEM
    assert queued.portfolio_id == subscription.portfolio_id
    assert queued.orders == []

    world.settle()
    run = parsed(client.get_run_by_id(queued.id), RebalancingRun)
    assert run.status is RunStatus.COMPLETED_SUCCESS
    assert run.weights == [CASH_5, SPY_60, TLT_35]
    assert run.completed_at is not None
    orders = {order.symbol: order for order in run.orders or []}
    # 60 % and 35 % of 10,000 dollars, at 400 and 100 dollars.
    assert {s: (o.notional, o.filled_qty, o.filled_avg_price) for s, o in orders.items()} == {
        "SPY": ("6000", "15", "400"),
        "TLT": ("3500", "35", "100"),
    }
    again = parsed(client.get_subscription_by_id(subscription.id), Subscription)
    assert again.last_rebalanced_at == run.completed_at


def test_what_was_skipped_and_refused_is_parsed_too(client: BrokerClient, world: World) -> None:
    refused, small = world.symbol("10"), world.symbol("10")
    # 0.05 % of 1,000 dollars is half a dollar, less than the smallest order.
    request = CreateRunRequest(
        account_id=UUID(world.account("1000")),
        type=RunType.FULL_REBALANCE,
        weights=[
            Weight(type=WeightType.ASSET, symbol="SPY", percent=89.95),
            Weight(type=WeightType.ASSET, symbol=refused, percent=10),
            Weight(type=WeightType.ASSET, symbol=small, percent=0.05),
        ],
    )
    run_id = parsed(client.create_manual_run(request), RebalancingRun).id
    world.set_faults(reject=[refused])
    world.settle()
    run = parsed(client.get_run_by_id(run_id), RebalancingRun)
    assert run.status is RunStatus.COMPLETED_ADJUSTED
    assert [order.symbol for order in run.orders or []] == ["SPY"]
    assert [order.symbol for order in run.failed_orders or []] == [refused]
    (skipped,) = run.skipped_orders or []
    assert (skipped.symbol, skipped.side, skipped.notional) == (small, "buy", "0.5")
    assert (skipped.currency, skipped.reason) == ("USD", "ORDER_LESS_THAN_MIN_NOTIONAL")
    assert skipped.reason_details == (
        "order notional value ($0.5) is less than min-notional set for correspondent ($1)"
    )


def test_unsubscribing_ends_the_subscription_and_its_queued_run(client: BrokerClient, world: World) -> None:
    subscription = subscribed(client, world.account("10"), created(client).id)
    client.unsubscribe_account(subscription.id)
    assert all_parsed(client.get_all_subscriptions(), Subscription) == []
    (run,) = all_parsed(client.get_all_runs(), RebalancingRun)
    assert run.status is RunStatus.CANCELED
    for method in (client.get_subscription_by_id, client.unsubscribe_account):
        with pytest.raises(APIError) as refused:
            method(subscription.id)
        assert refused.value.status_code == (404 if method == client.get_subscription_by_id else 422)
        assert "exist" in refused.value.message or "not found" in refused.value.message


def test_a_manual_run_is_made_shown_and_canceled(client: BrokerClient, world: World) -> None:
    account_id = UUID(world.account("100"))
    request = CreateRunRequest(account_id=account_id, type=RunType.FULL_REBALANCE, weights=SPY_ONLY)
    run = parsed(client.create_manual_run(request), RebalancingRun)
    assert (run.status, run.initiated_from) == (RunStatus.QUEUED, RunInitiatedFrom.API)
    assert (run.account_id, run.weights) == (account_id, SPY_ONLY)
    client.cancel_run_by_id(run.id)
    canceled = parsed(client.get_run_by_id(run.id), RebalancingRun)
    assert canceled.status is RunStatus.CANCELED
    assert canceled.canceled_at is not None
    client.cancel_run_by_id(run.id)


def test_an_empty_list_of_weights_means_the_subscribed_portfolio(client: BrokerClient, world: World) -> None:
    account_id = world.account("1000")
    portfolio = created(client)
    subscribed(client, account_id, portfolio.id)
    world.settle()
    world.pay_in(account_id, "5")
    request = CreateRunRequest(account_id=UUID(account_id), type=RunType.INVEST_CASH, weights=[])
    run = parsed(client.create_manual_run(request), RebalancingRun)
    assert (run.type, run.portfolio_id) == (RunType.INVEST_CASH, portfolio.id)
    world.settle()
    done = parsed(client.get_run_by_id(run.id), RebalancingRun)
    # 5 dollars more: targets rise by 3 and 1.75; the cash target keeps a quarter.
    assert {o.symbol: o.notional for o in done.orders or []} == {"SPY": "3", "TLT": "1.75"}


def test_runs_are_filtered_by_account_and_type(client: BrokerClient, world: World) -> None:
    one, two = world.account("100"), world.account("100")
    for account_id, kind in ((one, RunType.FULL_REBALANCE), (two, RunType.INVEST_CASH)):
        client.create_manual_run(CreateRunRequest(account_id=UUID(account_id), type=kind, weights=SPY_ONLY))

    def found(**fields: object) -> list[UUID]:
        answer = client.get_all_runs(GetRunsRequest.model_validate(fields))
        return [run.account_id for run in all_parsed(answer, RebalancingRun)]

    assert found() == [UUID(two), UUID(one)]
    assert found(account_id=one) == [UUID(one)]
    assert found(type=RunType.INVEST_CASH) == [UUID(two)]
    assert found(account_id=one, type=RunType.INVEST_CASH) == []


def test_pages_join_to_the_whole_list_whatever_their_size(client: BrokerClient, world: World) -> None:
    portfolio = created(client)
    accounts = [world.account() for _ in range(5)]
    ids = [subscribed(client, account_id, portfolio.id).id for account_id in accounts]

    def listed(limit: int, **others: int) -> list[UUID]:
        page = GetSubscriptionsRequest(portfolio_id=portfolio.id, limit=limit)
        found = client.get_all_subscriptions(page, **others)  # type: ignore[arg-type]
        return [subscription.id for subscription in all_parsed(found, Subscription)]

    assert [listed(limit) for limit in (1, 2, 4, 5, 6)] == [ids] * 5
    assert listed(2, max_items_limit=3) == ids[:3]
    one = GetSubscriptionsRequest(account_id=UUID(accounts[3]))
    assert [s.id for s in all_parsed(client.get_all_subscriptions(one), Subscription)] == [ids[3]]

    pages = client.get_all_subscriptions(
        GetSubscriptionsRequest(limit=2), handle_pagination=PaginationType.ITERATOR
    )
    assert [len(page) for page in pages] == [2, 2, 1]  # type: ignore[arg-type]
    first = client.get_all_subscriptions(
        GetSubscriptionsRequest(limit=2), handle_pagination=PaginationType.NONE
    )
    assert [s.id for s in all_parsed(first, Subscription)] == ids[:2]

    runs = all_parsed(client.get_all_runs(GetRunsRequest(limit=2)), RebalancingRun)
    assert [str(run.account_id) for run in runs] == accounts[::-1]
    assert len(all_parsed(client.get_all_runs(max_items_limit=3), RebalancingRun)) == 3


def test_an_empty_list_has_no_pages(client: BrokerClient) -> None:
    assert all_parsed(client.get_all_subscriptions(), Subscription) == []
    assert all_parsed(client.get_all_runs(), RebalancingRun) == []
    assert all_parsed(client.get_all_portfolios(), Portfolio) == []


def test_refusals_arrive_with_code_and_message(client: BrokerClient, world: World) -> None:
    unknown = uuid4()
    portfolio = created(client)
    account_id = UUID(world.account("10"))
    halves = [Weight(type=WeightType.ASSET, symbol="SPY", percent=50)]
    calls: list[tuple[Callable[[], object], int, int, str]] = [
        (lambda: client.get_portfolio_by_id(unknown), 404, 40410000, "portfolio not found"),
        (lambda: client.get_subscription_by_id(unknown), 404, 40410000, "subscription not found"),
        (lambda: client.get_run_by_id(unknown), 404, 40410000, "run not found"),
        (lambda: client.cancel_run_by_id(unknown), 404, 40410000, "run not found"),
        (lambda: client.unsubscribe_account(unknown), 422, 42210000, "subscription doesn't exist"),
        (lambda: client.get_portfolio_by_id("nonsense"), 422, 42210000, "invalid portfolio_id"),
        (
            lambda: client.update_portfolio_by_id(portfolio.id, UpdatePortfolioRequest(weights=halves)),
            400,
            40010001,
            "weights must sum to 100",
        ),
        (
            lambda: client.create_subscription(
                CreateSubscriptionRequest(account_id=account_id, portfolio_id=unknown)
            ),
            422,
            42210000,
            "portfolio not found",
        ),
        (
            lambda: client.create_subscription(
                CreateSubscriptionRequest(account_id=unknown, portfolio_id=portfolio.id)
            ),
            422,
            42210000,
            "account not found",
        ),
    ]
    for call, status, code, message in calls:
        with pytest.raises(APIError) as refused:
            call()
        error = refused.value
        assert (error.status_code, error.code, error.message) == (status, code, message)


def test_a_wrong_secret_is_unauthorized(world: World) -> None:
    stranger = BrokerClient(world.key.key_id, "wrong", url_override=world.server.url)
    with pytest.raises(APIError) as refused:
        stranger.get_all_portfolios()
    stranger._session.close()  # noqa: SLF001 - as in the fixture
    assert (refused.value.status_code, refused.value.code) == (401, 40110000)
    assert refused.value.message == "unauthorized"
