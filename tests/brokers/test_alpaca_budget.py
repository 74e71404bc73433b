"""Near the end of the rate limit questions wait first, then buys, then sells; cancels go last of all."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.brokers.alpaca_server import KEY, Fault, alpaca_server
from tests.brokers.market import OPENING, Clock, order
from tests.brokers.trading import Shared, trading
from trimtab.brokers.alpaca import AlpacaBroker
from trimtab.brokers.alpaca_budget import Budget, Use
from trimtab.brokers.alpaca_calls import Access, Calls
from trimtab.brokers.broker import NotSent, Unknown
from trimtab.core.errors import BrokerDown
from trimtab.core.run import Side

RESET = int(OPENING.timestamp()) + 30
ENDS_AT = OPENING + timedelta(seconds=30)


def headers(left: int, *, limit: int = 1000, reset: object = RESET) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(reset),
    }


def allowed(budget: Budget) -> set[Use]:
    return {use for use in Use if budget.spend(use) is None}


@pytest.mark.parametrize(
    ("left", "uses"),
    [
        (1000, set(Use)),
        (204, set(Use)),
        (200, {Use.CANCEL, Use.SELL, Use.BUY}),
        (100, {Use.CANCEL, Use.SELL}),
        (50, {Use.CANCEL}),
        (1, {Use.CANCEL}),
        (0, set()),
    ],
)
def test_who_may_still_call(left: int, uses: set[Use]) -> None:
    clock = Clock()
    budget = Budget(Shared(clock), clock)
    budget.learn(200, headers(left))
    assert allowed(budget) == uses
    assert left > 0 or budget.spend(Use.CANCEL) == ENDS_AT
    clock.forward(30)
    assert allowed(budget) == set(Use)


def test_without_headers_there_is_no_limit() -> None:
    clock = Clock()
    budget = Budget(Shared(clock), clock)
    for _ in range(100):
        assert allowed(budget) == set(Use)
        budget.learn(200, {})


def test_what_is_left_is_counted_between_answers() -> None:
    clock = Clock()
    budget = Budget(Shared(clock), clock)
    budget.learn(200, headers(210, limit=1000))
    assert sum(budget.spend(Use.READ) is None for _ in range(50)) == 10


def test_processes_share_what_is_left() -> None:
    clock = Clock()
    shared = Shared(clock)
    ours, theirs = Budget(shared, clock), Budget(shared, clock)
    ours.learn(429, headers(0))
    assert ours.spend(Use.CANCEL) == theirs.spend(Use.CANCEL) == ENDS_AT


@pytest.mark.parametrize(
    ("said", "waits_s"),
    [
        (headers(0), 30),
        (headers(0, reset=RESET + 3600), 60),
        (headers(0, reset=RESET - 60), 1),
        (headers(0, reset="soon"), 1),
        ({}, 1),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "999999999999"}, 60),
        ({"Retry-After": "-1"}, 1),
    ],
    ids=range(8),
)
def test_429_waits_for_a_reset_that_can_be_believed(said: dict[str, str], waits_s: int) -> None:
    clock = Clock()
    budget = Budget(Shared(clock), clock)
    budget.learn(429, said)
    assert budget.spend(Use.CANCEL) == clock.now + timedelta(seconds=waits_s)
    clock.forward(waits_s)
    assert budget.spend(Use.CANCEL) is None


def test_429_without_a_reset_waits_longer_each_time() -> None:
    clock = Clock()
    budget = Budget(Shared(clock), clock)
    waits = []
    for _ in range(8):
        budget.learn(429, {})
        until = budget.spend(Use.CANCEL)
        assert until is not None
        waits.append((until - clock.now).total_seconds())
        clock.now = until
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_end_that_moves_with_every_answer_still_comes() -> None:
    """Some brokers refill all the time, and say each time that it will take another minute."""
    clock = Clock()
    budget = Budget(Shared(clock), clock)
    for second in range(59):
        budget.learn(200, headers(150, reset=int(clock.now.timestamp()) + 60))
        assert budget.spend(Use.READ) is not None, second
        clock.forward(1)
    clock.forward(1)
    assert budget.spend(Use.READ) is None


def test_at_the_end_of_the_limit_orders_do_not_leave_and_questions_say_until_when() -> None:
    with trading() as at:
        at.server.queued["POST"].append(Fault(status=429, body=b"{}", headers={"Retry-After": "60"}))
        assert isinstance(at.send(order("first", Side.BUY, notional="5")), Unknown)
        assert isinstance(at.send(order("second", Side.SELL, quantity="1")), NotSent)
        with pytest.raises(BrokerDown, match="rate limit is used up until"):
            at.broker.prices(["SPY"])
        assert len(at.server.calls) == 1


def test_prices_from_elsewhere_have_a_limit_of_their_own() -> None:
    with trading() as at, alpaca_server(at.clock) as data:
        data.set_prices(SPY="401")
        data.headers = headers(0)
        at.broker.close()
        access = Access(url=at.server.url, data_url=data.url, key_id=KEY[0], secret=KEY[1])
        budget = Budget(Shared(at.clock), at.clock)
        at.broker = AlpacaBroker(
            Calls(access, budget), at.clock, quarantine=timedelta(seconds=30), price_age_max=None
        )
        assert at.broker.prices(["SPY"]) == at.broker.prices(["SPY"]) == {"SPY": Decimal(401)}
        assert set(at.broker.accounts(["ann"])) == {"ann"}
