"""The vendor's own client, alpaca-py 0.44, unmodified: every call of the broker that a rebalancer's owner
makes, with its models parsing every answer.
"""

from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import pytest
from alpaca.broker.client import BrokerClient
from alpaca.broker.enums import (
    AccountEntities,
    ACHRelationshipStatus,
    BankAccountType,
    JournalEntryType,
    JournalStatus,
    RunStatus,
    TransferDirection,
    TransferStatus,
    TransferTiming,
    WeightType,
)
from alpaca.broker.models import (
    Account,
    ACHRelationship,
    Agreement,
    Contact,
    Disclosures,
    Identity,
    Journal,
    Order,
    Portfolio,
    RebalancingRun,
    TradeAccount,
    Transfer,
)
from alpaca.broker.requests import (
    BatchJournalRequestEntry,
    CreateAccountRequest,
    CreateACHRelationshipRequest,
    CreateACHTransferRequest,
    CreateBatchJournalRequest,
    CreateJournalRequest,
    CreatePortfolioRequest,
    CreateReverseBatchJournalRequest,
    CreateSubscriptionRequest,
    GetEventsRequest,
    GetJournalsRequest,
    GetTransfersRequest,
    LimitOrderRequest,
    ListAccountsRequest,
    MarketOrderRequest,
    ReverseBatchJournalRequestEntry,
    Weight,
)
from alpaca.common.enums import Sort
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import (
    AccountStatus,
    AssetClass,
    AssetStatus,
    OrderSide,
    OrderStatus,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.models import Asset, Calendar, Clock, PortfolioHistory, Position
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrdersRequest,
)

from tests.api.paper.face import HOLDER, WITH_ENGINE, Face

T = TypeVar("T")
DAY = TimeInForce.DAY
# Their types ask for what their own code adds.
MARKET: Any = MarketOrderRequest
LIMIT: Any = LimitOrderRequest
LISTED: Any = ListAccountsRequest


def parsed(answer: object, model: type[T]) -> T:
    """The answer as the client's own model; it also has a mode that returns plain dicts."""
    assert isinstance(answer, model)
    return answer


def all_parsed(answer: object, model: type[T]) -> list[T]:
    assert isinstance(answer, list)
    return [parsed(item, model) for item in answer]


def opened(client: BrokerClient, face: Face) -> Account:
    contact = HOLDER["contact"] | {"email_address": face.holder()["contact"]["email_address"]}
    request = CreateAccountRequest(
        contact=Contact(**contact),
        identity=Identity(**HOLDER["identity"]),
        disclosures=Disclosures(**HOLDER["disclosures"]),
        agreements=[Agreement(**each) for each in HOLDER["agreements"]],
    )
    return parsed(client.create_account(request), Account)


def funded(client: BrokerClient, face: Face, amount: str = "1000") -> UUID:
    account = opened(client, face)
    pay_in(client, account.id, amount)
    return account.id


def pay_in(client: BrokerClient, account_id: UUID, amount: str) -> Transfer:
    bank = CreateACHRelationshipRequest(
        account_owner_name="Ann Doe",
        bank_account_type=BankAccountType.CHECKING,
        bank_account_number="32131231abc",
        bank_routing_number="123103716",
        nickname="home",
    )
    made = parsed(client.create_ach_relationship_for_account(account_id, bank), ACHRelationship)
    assert made.status is ACHRelationshipStatus.APPROVED
    return moved(client, account_id, amount, made.id)


def moved(
    client: BrokerClient,
    account_id: UUID,
    amount: str,
    relationship_id: UUID,
    direction: TransferDirection = TransferDirection.INCOMING,
) -> Transfer:
    request = CreateACHTransferRequest(
        amount=amount, direction=direction, timing=TransferTiming.IMMEDIATE, relationship_id=relationship_id
    )
    return parsed(client.create_transfer_for_account(account_id, request), Transfer)


def bought(client: BrokerClient, account_id: UUID, symbol: str = "SPY", **amount: float) -> Order:
    request = MARKET(symbol=symbol, side=OrderSide.BUY, time_in_force=DAY, **amount)
    return parsed(client.submit_order_for_account(account_id, request), Order)


def test_an_account_comes_back_as_it_was_opened(client: BrokerClient, face: Face) -> None:
    account = opened(client, face)
    assert (account.status, account.currency, account.last_equity) == (AccountStatus.ACTIVE, "USD", "0")
    assert account.identity is not None
    assert account.identity.family_name == "Doe"
    assert parsed(client.get_account_by_id(account.id), Account) == account


def test_accounts_are_found_by_what_their_holder_said(client: BrokerClient, face: Face) -> None:
    one, two = opened(client, face), opened(client, face)
    assert one.contact is not None
    request = LISTED(
        query=f"doe {one.contact.email_address}", sort=Sort.ASC, entities=[AccountEntities.CONTACT]
    )
    (found,) = all_parsed(client.list_accounts(request), Account)
    assert (found.id, found.contact, found.identity) == (one.id, one.contact, None)
    wanted = LISTED(status=[AccountStatus.INACTIVE, AccountStatus.ACTIVE])
    newest = all_parsed(client.list_accounts(wanted), Account)
    assert [each.id for each in newest[:2]] == [two.id, one.id]
    assert {each.status for each in newest} <= {AccountStatus.ACTIVE, AccountStatus.INACTIVE}
    assert client.list_accounts(LISTED(status=[AccountStatus.REJECTED])) == []


def test_an_account_is_closed_once_it_is_empty(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face, "100")
    with pytest.raises(APIError, match="still holds cash"):
        client.close_account(account_id)
    (bank,) = all_parsed(client.get_ach_relationships_for_account(account_id), ACHRelationship)
    moved(client, account_id, "100", bank.id, TransferDirection.OUTGOING)
    client.close_account(account_id)
    assert parsed(client.get_account_by_id(account_id), Account).status is AccountStatus.ACCOUNT_CLOSED
    assert parsed(client.get_trade_account_by_id(account_id), TradeAccount).trading_blocked


def test_money_comes_from_a_bank_and_goes_back(client: BrokerClient, face: Face) -> None:
    account = opened(client, face)
    came = pay_in(client, account.id, "500.25")
    assert (came.status, came.amount) == (TransferStatus.COMPLETE, "500.25")
    (bank,) = all_parsed(
        client.get_ach_relationships_for_account(account.id, [ACHRelationshipStatus.APPROVED]),
        ACHRelationship,
    )
    went = moved(client, account.id, "100.25", bank.id, TransferDirection.OUTGOING)
    trade_account = parsed(client.get_trade_account_by_id(account.id), TradeAccount)
    assert (trade_account.cash, trade_account.buying_power, trade_account.equity) == ("400", "400", "400")
    everything = all_parsed(client.get_transfers_for_account(account.id), Transfer)
    assert [each.id for each in everything] == [came.id, went.id]
    only = GetTransfersRequest(direction=TransferDirection.OUTGOING)
    assert [each.id for each in all_parsed(client.get_transfers_for_account(account.id, only), Transfer)] == [
        went.id
    ]
    with pytest.raises(APIError, match="not cancelable"):
        client.cancel_transfer_for_account(account.id, came.id)
    client.delete_ach_relationship_for_account(account.id, bank.id)
    assert client.get_ach_relationships_for_account(account.id) == []


def test_the_loop_over_transfers_ends_whatever_the_size_of_its_pages(
    client: BrokerClient, face: Face
) -> None:
    account = opened(client, face)
    first = pay_in(client, account.id, "1")
    assert first.relationship_id is not None
    for cents in range(1, 7):
        moved(client, account.id, f"1.0{cents}", first.relationship_id)
    paged = client.get_transfers_for_account(account.id, GetTransfersRequest(limit=3))
    amounts = [each.amount for each in all_parsed(paged, Transfer)]
    assert amounts == ["1", "1.01", "1.02", "1.03", "1.04", "1.05", "1.06"]


def test_cash_is_journaled_between_the_firm_and_its_clients(client: BrokerClient, face: Face) -> None:
    one, two = opened(client, face).id, opened(client, face).id
    firm = UUID(face.firm())
    request = CreateJournalRequest(
        from_account=firm, entry_type=JournalEntryType.CASH, to_account=one, amount=51.0, description="gift"
    )
    journal = parsed(client.create_journal(request), Journal)
    assert (journal.status, journal.net_amount) == (JournalStatus.EXECUTED, 51.0)
    assert parsed(client.get_journal_by_id(journal.id), Journal) == journal
    many = CreateBatchJournalRequest(
        entry_type=JournalEntryType.CASH,
        from_account=firm,
        entries=[BatchJournalRequestEntry(to_account=each, amount="2.5") for each in (one, two)],
    )
    assert len(all_parsed(client.create_batch_journal(many), Journal)) == 2
    back = CreateReverseBatchJournalRequest(
        entry_type=JournalEntryType.CASH,
        to_account=firm,
        entries=[ReverseBatchJournalRequestEntry(from_account=one, amount=3.5)],
    )
    (returned,) = all_parsed(client.create_reverse_batch_journal(back), Journal)
    assert (face.cash(str(one)), face.cash(str(two))) == ("50", "2.5")
    found = all_parsed(client.get_journals(GetJournalsRequest(from_account=one)), Journal)
    assert [each.id for each in found] == [returned.id]
    with pytest.raises(APIError, match="not cancelable"):
        client.cancel_journal_by_id(journal.id)


def test_orders_are_filled_and_found_again(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)
    request = MARKET(
        symbol="SPY", notional=25.5, side=OrderSide.BUY, time_in_force=DAY, client_order_id="mine"
    )
    order = parsed(client.submit_order_for_account(account_id, request), Order)
    # 25.5 / 400 = 0.06375
    assert (order.status, order.filled_qty, order.filled_avg_price) == (OrderStatus.FILLED, "0.06375", "400")
    assert (order.client_order_id, order.notional, order.qty) == ("mine", "25.5", None)
    assert parsed(client.get_order_for_account_by_id(account_id, order.id), Order) == order
    assert parsed(client.get_order_for_account_by_client_id(account_id, "mine"), Order) == order
    assert client.get_orders_for_account(account_id) == []
    closed = GetOrdersRequest(
        status=QueryOrderStatus.CLOSED, limit=5, nested=True, symbols=["SPY", "TLT"], side=OrderSide.BUY
    )
    assert all_parsed(client.get_orders_for_account(account_id, closed), Order) == [order]


def test_a_limit_is_kept(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)

    def limited(price: float) -> Order:
        request = LIMIT(symbol="SPY", qty=1, limit_price=price, side=OrderSide.BUY, time_in_force=DAY)
        return parsed(client.submit_order_for_account(account_id, request), Order)

    assert limited(399.99).status is OrderStatus.CANCELED
    kept = limited(400.01)
    assert (kept.status, kept.filled_avg_price, kept.limit_price) == (OrderStatus.FILLED, "400", "400.01")


def test_an_order_id_is_used_once(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)
    request = MARKET(symbol="SPY", notional=10, side=OrderSide.BUY, time_in_force=DAY, client_order_id="once")
    client.submit_order_for_account(account_id, request)
    with pytest.raises(APIError) as refused:
        client.submit_order_for_account(account_id, request)
    assert (refused.value.status_code, refused.value.code) == (422, 40010001)
    assert refused.value.message == "client_order_id must be unique"
    assert face.cash(str(account_id)) == "990"


def test_open_orders_are_canceled_one_by_one_and_all_together(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)
    face.set_faults(fill_delay_s=60)
    one, two, three = (bought(client, account_id, notional=10) for _ in range(3))
    assert one.status is OrderStatus.NEW
    client.cancel_order_for_account_by_id(account_id, one.id)
    with pytest.raises(APIError, match="not cancelable"):
        client.cancel_order_for_account_by_id(account_id, one.id)
    canceled = client.cancel_orders_for_account(account_id)
    assert isinstance(canceled, list)
    assert {(each.id, each.status) for each in canceled} == {(two.id, 200), (three.id, 200)}
    assert face.cash(str(account_id)) == "1000"


def test_positions_are_shown_and_closed(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)
    bought(client, account_id, qty=1)
    bought(client, account_id, "TLT", qty=3)
    spy, tlt = all_parsed(client.get_all_positions_for_account(account_id), Position)
    assert (spy.symbol, spy.qty, spy.avg_entry_price, spy.market_value) == ("SPY", "1", "400", "400")
    assert parsed(client.get_open_position_for_account(account_id, tlt.asset_id), Position) == tlt
    half = ClosePositionRequest(percentage="50")
    sold = parsed(client.close_position_for_account(account_id, "SPY", half), Order)
    assert (sold.side, sold.filled_qty, sold.status) == (OrderSide.SELL, "0.5", OrderStatus.FILLED)
    closed = client.close_all_positions_for_account(account_id, cancel_orders=True)
    assert isinstance(closed, list)
    assert [(each.symbol, each.status) for each in closed] == [("SPY", 200), ("TLT", 200)]
    assert client.get_all_positions_for_account(account_id) == []
    assert face.cash(str(account_id)) == "1000"
    with pytest.raises(APIError, match="position not found"):
        client.get_open_position_for_account(account_id, "SPY")


def test_history_says_what_was_paid_in_and_what_came_of_it(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)
    bought(client, account_id, qty=1)
    face.call("PUT", "/sandbox/prices", {"SPY": "450"})
    history = parsed(client.get_portfolio_history_for_account(account_id), PortfolioHistory)
    assert (history.equity, history.profit_loss, history.base_value) == ([1050.0], [50.0], 1000.0)
    assert history.profit_loss_pct == [0.05]


def test_what_the_market_sells_is_listed(client: BrokerClient) -> None:
    request = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
    listed = {each.symbol: each for each in all_parsed(client.get_all_assets(request), Asset)}
    assert {"SPY", "TLT", "GLD"} <= set(listed)
    spy = parsed(client.get_asset("SPY"), Asset)
    assert (spy.tradable, spy.fractionable, spy.easy_to_borrow) == (True, True, False)
    assert parsed(client.get_asset(str(spy.id)), Asset) == spy
    with pytest.raises(APIError, match="asset not found"):
        client.get_asset("NONE")


def test_the_clock_and_the_calendar_are_the_exchanges(client: BrokerClient, face: Face) -> None:
    clock = parsed(client.get_clock(), Clock)
    assert clock.is_open
    assert clock.timestamp < clock.next_close < clock.next_open
    request = GetCalendarRequest(start=date(2026, 11, 25), end=date(2026, 11, 30))
    days = all_parsed(client.get_calendar(request), Calendar)
    # Thanksgiving has no session, and the day after it half of one.
    shown = [(each.date.day, f"{each.open:%H:%M}", f"{each.close:%H:%M}") for each in days]
    assert shown == [(25, "09:30", "16:00"), (27, "09:30", "13:00"), (30, "09:30", "16:00")]
    assert len(all_parsed(client.get_calendar(), Calendar)) > 250 * 30


def test_trade_events_are_read_by_the_clients_own_method(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face)
    bought(client, account_id, notional=10)
    now = face.call("GET", "/sandbox/clock")["now"]
    told = list(client.get_trade_events(GetEventsRequest(since="2026-03-04", until=now)))
    assert [each.count('"event":"new"') + each.count('"event":"fill"') for each in told[-2:]] == [1, 1]
    assert all(str(account_id) in each for each in told[-2:])


@pytest.mark.parametrize("face", WITH_ENGINE, indirect=True)
def test_from_an_empty_account_to_its_targets(client: BrokerClient, face: Face) -> None:
    account_id = funded(client, face, "10000")
    request = CreatePortfolioRequest(
        name="60/40",
        description="",
        weights=[
            Weight(type=WeightType.ASSET, symbol="SPY", percent=60),
            Weight(type=WeightType.ASSET, symbol="TLT", percent=40),
        ],
        cooldown_days=0,
    )
    portfolio = parsed(client.create_portfolio(request), Portfolio)
    client.create_subscription(CreateSubscriptionRequest(account_id=account_id, portfolio_id=portfolio.id))
    face.call("POST", "/sandbox/settle")
    (run,) = [
        run for run in all_parsed(client.get_all_runs(), RebalancingRun) if run.account_id == account_id
    ]
    assert run.status is RunStatus.COMPLETED_SUCCESS
    positions = all_parsed(client.get_all_positions_for_account(account_id), Position)
    # 6000 / 400 and 4000 / 100
    assert {each.symbol: Decimal(each.qty) for each in positions} == {"SPY": Decimal(15), "TLT": Decimal(40)}
    orders = client.get_orders_for_account(account_id, GetOrdersRequest(status=QueryOrderStatus.ALL))
    assert {order.client_order_id for order in all_parsed(orders, Order)} == {
        order.client_order_id for order in run.orders or []
    }
