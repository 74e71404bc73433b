"""Free cash through the sandbox: when it is invested, into what, to the cent, and when it is not.

From issue 4: cash above a threshold, $10 by default, buys the under-weight only, in proportion to their
shortfall, whatever cooldown and conditions say, at most once a session and only if no full rebalance ran.
Every account follows its portfolio since the day before, so that nothing else is due.
"""

from decimal import Decimal

import pytest

from tests.api.conftest import NewWorld, StartServer
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, band, calendar, weights

INVESTED = ("invest_cash", "COMPLETED_SUCCESS")
REBALANCED = ("full_rebalance", "COMPLETED_SUCCESS")
FORTY_SIXTY = weights(SPY="40", TLT="60")
Condition = dict[str, str]


def follower(
    world: World,
    wanted: list[dict[str, str]] = FORTY_SIXTY,
    *conditions: Condition,
    cash: str = "1000",
    cooldown_days: int = 0,
) -> str:
    """An account that was brought to its targets on the session before this morning."""
    account_id = world.account(cash)
    world.subscribe(account_id, world.portfolio(wanted, *conditions, cooldown_days=cooldown_days))
    world.settle()
    assert world.statuses(account_id) == [REBALANCED]
    world.next_day()
    world.settle()
    return account_id


def since(world: World, account_id: str) -> list[tuple[str, str]]:
    """The runs after the first."""
    return world.statuses(account_id)[1:]


def bought(world: World, account_id: str) -> dict[str, str]:
    """What the last run has bought, in dollars; it has sold nothing."""
    run = world.runs(account_id)[-1]
    assert {order["side"] for order in run["orders"]} <= {"buy"}
    return {order["symbol"]: order["notional"] for order in run["orders"]}


# The threshold.


@pytest.mark.parametrize("amount", ["0.01", "9.99", "10", "10.00"])
def test_ten_dollars_are_not_above_ten_dollars(world: World, amount: str) -> None:
    account_id = follower(world)
    world.pay_in(account_id, amount)
    world.settle()
    assert since(world, account_id) == []


def test_small_deposits_are_invested_once_they_are_enough_together(world: World) -> None:
    account_id = follower(world)
    for _ in range(2):
        world.pay_in(account_id, "5")
        world.settle()
    assert since(world, account_id) == []
    world.pay_in(account_id, "0.01")
    world.settle()
    assert since(world, account_id) == [INVESTED]


def test_zero_as_the_threshold_never_invests(start_server: StartServer, new_world: NewWorld) -> None:
    world = new_world(start_server("sqlite", TRIMTAB_INVEST_CASH_MIN="0"))
    world.open_market()
    account_id = follower(world)
    for amount in ("0.01", "10.01", "100000"):
        world.pay_in(account_id, amount)
        world.settle()
        world.next_day()
        world.settle()
    assert since(world, account_id) == []
    world.open_market()
    # Asked for, it is invested all the same.
    world.run(account_id, type="invest_cash")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert world.held(account_id)["cash"] == "0"


def test_another_threshold_is_as_exact(start_server: StartServer, new_world: NewWorld) -> None:
    world = new_world(start_server("sqlite", TRIMTAB_INVEST_CASH_MIN="250.5"))
    world.open_market()
    account_id = follower(world)
    world.pay_in(account_id, "250.50")
    world.settle()
    assert since(world, account_id) == []
    world.pay_in(account_id, "0.01")
    world.settle()
    # 40 % and 60 % of 250.51: 100.204 and 150.306.
    assert bought(world, account_id) == {"SPY": "100.2", "TLT": "150.31"}


# Only what is missing, and in which proportion.


def three(world: World) -> tuple[str, str, str]:
    """Three assets at $10."""
    return world.symbol("10"), world.symbol("10"), world.symbol("10")


def test_what_is_overweight_stays_and_the_rest_shares_by_its_shortfall(world: World) -> None:
    """$1,100: of one $440 are wanted and $600 held; of the others $120 and $140 are missing, $100 are there.

    100 x 120 / 260 = 46.153…; 100 x 140 / 260 = 53.846…
    """
    one, two, six = three(world)
    account_id = follower(world, weights(**{one: "40", two: "40", six: "20"}))
    assert world.held(account_id) == {"cash": "0", one: "40", two: "40", six: "20"}
    world.set_prices({one: "15", two: "8", six: "4"})
    world.pay_in(account_id, "100")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert bought(world, account_id) == {two: "46.15", six: "53.85"}
    assert world.held(account_id) == {"cash": "0", one: "40", two: "45.76875", six: "33.4625"}


def test_a_holding_outside_the_weights_stays(world: World) -> None:
    """SPY is taken out of the portfolio; without a condition that is met nothing is rebalanced."""
    account_id = follower(world)
    (subscription,) = world.get(SUBSCRIPTIONS, account_id=account_id)["subscriptions"]
    world.patch(f"{PORTFOLIOS}/{subscription['portfolio_id']}", {"weights": weights(TLT="100")})
    world.pay_in(account_id, "20")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert world.held(account_id) == {"cash": "0", "SPY": "1", "TLT": "6.2"}


@pytest.mark.parametrize(
    ("amount", "spent"),
    [
        # 20 % of it belongs to the cash target: 80 % of $12.50 are $10.
        ("12.50", None),
        # $10.008 are free: ten dollars and no cent more.
        ("12.51", "10"),
        ("100", "80"),
        ("33.33", "26.66"),
    ],
)
def test_a_cash_target_grows_with_the_account_and_is_not_free(
    world: World, amount: str, spent: str | None
) -> None:
    account_id = follower(world, weights(cash="20", TLT="80"))
    assert world.held(account_id) == {"cash": "200", "TLT": "8"}
    world.pay_in(account_id, amount)
    world.settle()
    if spent is None:
        assert since(world, account_id) == []
        return
    assert since(world, account_id) == [INVESTED]
    assert bought(world, account_id) == {"TLT": spent}
    assert Decimal(world.held(account_id)["cash"]) == 200 + Decimal(amount) - Decimal(spent)


@pytest.mark.parametrize("amount", ["10.01", "11.11", "99.99", "1234.57", "50000.03"])
def test_what_is_spent_is_what_is_free_less_than_a_cent(world: World, amount: str) -> None:
    wanted = weights(cash="3.33", SPY="33.33", TLT="33.34", GLD="30")
    account_id = follower(world, wanted, cash="3000")
    before = Decimal(world.held(account_id)["cash"])
    world.pay_in(account_id, amount)
    equity = Decimal(world.show(account_id)["equity"])
    free = before + Decimal(amount) - equity * Decimal("0.0333")
    world.settle()
    if free <= 10:
        assert since(world, account_id) == []
        return
    spent = sum(map(Decimal, bought(world, account_id).values()))
    assert free - Decimal("0.01") < spent <= free


# Whatever cooldown and conditions say.


def test_a_cooldown_does_not_keep_cash_and_is_not_moved_by_it(world: World) -> None:
    account_id = follower(world, FORTY_SIXTY, band("5"), cooldown_days=31)
    (subscription,) = world.get(SUBSCRIPTIONS, account_id=account_id)["subscriptions"]
    world.pay_in(account_id, "1000")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert world.held(account_id) == {"cash": "0", "SPY": "2", "TLT": "12"}
    after = world.get(f"{SUBSCRIPTIONS}/{subscription['id']}")
    assert after["last_rebalanced_at"] == subscription["last_rebalanced_at"]


@pytest.mark.parametrize(
    "conditions",
    [(), (band("50"), band("99", "relative")), (calendar("annually", "02-28"),)],
    ids=["none", "bands that hold", "a day that is far"],
)
def test_no_condition_has_to_be_met(world: World, conditions: tuple[Condition, ...]) -> None:
    account_id = follower(world, FORTY_SIXTY, *conditions)
    world.pay_in(account_id, "100")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert bought(world, account_id) == {"SPY": "40", "TLT": "60"}


# Once a session, and not beside a full rebalance.


def test_cash_is_invested_at_most_once_a_session(world: World) -> None:
    account_id = follower(world)
    for _ in range(3):
        world.pay_in(account_id, "100")
        world.settle()
        world.later(minutes=30)
    assert since(world, account_id) == [INVESTED]
    assert world.held(account_id)["cash"] == "200"
    world.next_day()
    world.settle()
    assert since(world, account_id) == [INVESTED] * 2
    assert world.held(account_id)["cash"] == "0"


@pytest.mark.parametrize("kind", ["full_rebalance", "invest_cash"])
def test_a_run_asked_for_in_between_gives_no_second_chance(world: World, kind: str) -> None:
    account_id = follower(world)
    world.pay_in(account_id, "100")
    world.settle()
    world.run(account_id, type=kind)
    world.settle()
    world.pay_in(account_id, "100")
    world.settle()
    assert since(world, account_id) == [INVESTED, (kind, "COMPLETED_SUCCESS")]
    world.next_day()
    world.settle()
    assert since(world, account_id)[2:] == [INVESTED]


def test_cash_invested_by_hand_does_not_use_up_the_session(world: World) -> None:
    """Manual runs are outside the count (decisions page, 1)."""
    account_id = follower(world)
    world.pay_in(account_id, "8")
    world.run(account_id, type="invest_cash")
    world.settle()
    world.pay_in(account_id, "100")
    world.settle()
    assert [run["initiated_from"] for run in world.runs(account_id)[1:]] == ["api", "system"]
    assert since(world, account_id) == [INVESTED] * 2


def drifted(world: World, *conditions: Condition, cooldown_days: int = 0) -> str:
    """TLT for $500, and $1,000 of another asset whose price has doubled; half of each is wanted."""
    one = world.symbol("10")
    wanted = weights(TLT="50", **{one: "50"})
    account_id = follower(world, wanted, *conditions, cooldown_days=cooldown_days)
    world.set_prices({one: "20"})
    return account_id


def test_in_the_cooldown_a_broken_band_waits_and_cash_does_not(world: World) -> None:
    """$1,600 in all: TLT lacks $300, the other has $200 too much, and $100 are free."""
    account_id = drifted(world, band("5"), cooldown_days=31)
    world.pay_in(account_id, "100")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert bought(world, account_id) == {"TLT": "100"}


def test_a_full_rebalance_comes_first_and_leaves_nothing_to_invest(world: World) -> None:
    """With $500 in cash there are $1,000 for each."""
    account_id = drifted(world, band("5"))
    world.pay_in(account_id, "500")
    world.settle()
    assert since(world, account_id) == [REBALANCED]
    assert world.held(account_id)["cash"] == "0"
    assert world.held(account_id)["TLT"] == "10"


def test_after_a_full_rebalance_of_the_session_cash_waits_for_the_next(world: World) -> None:
    account_id = drifted(world, band("5"))
    world.settle()
    assert since(world, account_id) == [REBALANCED]
    world.pay_in(account_id, "100")
    world.settle()
    world.later(hours=3)
    world.settle()
    assert since(world, account_id) == [REBALANCED]
    world.next_day()
    world.settle()
    assert since(world, account_id) == [REBALANCED, INVESTED]


def test_nor_is_it_invested_beside_a_full_rebalance_that_was_canceled(world: World) -> None:
    account_id = drifted(world, band("5"))
    world.set_faults(fill_delay_s=60)
    world.settle()
    world.delete(f"{RUNS}/{world.runs(account_id)[-1]['id']}")
    world.settle()
    world.set_faults()
    world.pay_in(account_id, "100")
    world.settle()
    assert since(world, account_id) == [("full_rebalance", "CANCELED_MID_RUN")]


def test_at_night_and_in_the_last_half_hour_cash_waits(world: World) -> None:
    """15:00 UTC is 10:00 or 11:00 in New York, so that 6 hours 30 minutes later it is too late or closed."""
    account_id = follower(world)
    world.later(hours=6.5)
    world.pay_in(account_id, "100")
    world.settle()
    assert since(world, account_id) == []
    world.next_day()
    world.settle()
    assert since(world, account_id) == [INVESTED]


# Asked for by a client.


@pytest.mark.parametrize(
    ("amount", "status", "spent"),
    [
        # Less than the threshold, and than what is free; what was not asked for stays.
        ("5", "COMPLETED_SUCCESS", {"SPY": "2", "TLT": "3"}),
        (None, "COMPLETED_SUCCESS", {"SPY": "3.2", "TLT": "4.8"}),
        ("8", "COMPLETED_SUCCESS", {"SPY": "3.2", "TLT": "4.8"}),
        ("8.01", "COMPLETED_ADJUSTED", {"SPY": "3.2", "TLT": "4.8"}),
    ],
)
def test_a_client_may_invest_less_than_the_threshold(
    world: World, amount: str | None, status: str, spent: dict[str, str]
) -> None:
    account_id = follower(world)
    world.pay_in(account_id, "8")
    asked: Json = {} if amount is None else {"amount": amount}
    world.run(account_id, type="invest_cash", **asked)
    world.settle()
    assert since(world, account_id) == [("invest_cash", status)]
    assert bought(world, account_id) == spent
    assert Decimal(world.held(account_id)["cash"]) == 8 - sum(map(Decimal, spent.values()))


def test_a_client_who_invests_nothing_is_told_of_success(world: World) -> None:
    account_id = follower(world)
    world.run(account_id, type="invest_cash")
    world.settle()
    assert since(world, account_id) == [INVESTED]
    assert bought(world, account_id) == {}


# First money (decisions page, 10).


@pytest.mark.parametrize("amount", ["5", "10"])
def test_the_first_money_makes_a_full_rebalance_whatever_the_threshold(world: World, amount: str) -> None:
    account_id = world.account()
    subscription_id = world.subscribe(account_id, world.portfolio(FORTY_SIXTY, cooldown_days=31))
    world.settle()
    assert world.statuses(account_id) == [REBALANCED]
    assert world.runs(account_id)[0]["orders"] == []
    path = f"{SUBSCRIPTIONS}/{subscription_id}"
    assert world.get(path)["last_rebalanced_at"] is None
    world.next_day()
    world.settle()
    world.pay_in(account_id, amount)
    world.settle()
    assert world.statuses(account_id) == [REBALANCED] * 2
    assert [run["initiated_from"] for run in world.runs(account_id)] == ["system", "system"]
    assert world.held(account_id)["cash"] == "0"
    assert world.get(path)["last_rebalanced_at"] == world.get("/sandbox/clock")["now"]
    world.next_day()
    world.pay_in(account_id, "100")
    world.settle()
    assert world.statuses(account_id)[2:] == [INVESTED]
