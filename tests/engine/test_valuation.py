"""What accounts were worth from day to day, by the clock of a test: once a day, and exact to the cent.

ann holds SPY 15 at $400 and TLT 40 at $100, which is her target and $10,000, and follows a strategy
that never trades again. New York is five hours behind UTC until March 8th.
"""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from tests.engine.desks import World, new_york
from trimtab.core.errors import Fenced
from trimtab.core.money import plain, round_nearest
from trimtab.core.performance import History, Method, Valuation, changes, points, windows
from trimtab.core.plan import Holdings
from trimtab.database import Tx
from trimtab.engine.desk import drive
from trimtab.engine.mirror import follow_broker
from trimtab.engine.sweep import sweep
from trimtab.engine.turn import take_turn
from trimtab.engine.valuation import in_cents
from trimtab.store import valuations
from trimtab.store.holdings import Block, Mirrored, empty, fold
from trimtab.store.valuations import CENTS_MAX


def ann(world: World) -> None:
    world.enroll(world.open_account("ann", "0", SPY="15", TLT="40"), world.strategy(SPY="60", TLT="40"))
    world.settle()


def history(world: World, account_id: str = "ann") -> History:
    def read(tx: Tx) -> History:
        since = new_york("2026-03-01 12:00").date()
        return History(
            valuations=tuple(valuations.history(tx, 1, account_id, since=since)),
            flows=tuple(valuations.cash_flows(tx, 1, account_id)),
        )

    return world.db.read(read)


def shown(world: World, account_id: str = "ann") -> list[str]:
    """As text: `03-02 10000`, with the flow if there was one."""
    return [
        f"{point.on:%m-%d} {plain(point.value)}" + (f" {point.flow:+}" if point.flow else "")
        for point in points(history(world, account_id))
    ]


def daily(world: World, method: Method, account_id: str = "ann") -> list[str]:
    found = changes(points(history(world, account_id)), method)[1:]
    return [plain(round_nearest(percent, 4)) for percent in found if percent is not None]


def test_days_with_a_deposit_and_a_withdrawal(world: World) -> None:
    """SPY to $440 makes $10,600; $500 come that afternoon; TLT to $110 makes $11,500; $400 leave on the
    next day that anybody looks, just before.
    """
    ann(world)
    world.at("2026-03-03 10:00")
    world.set_prices(SPY="440")
    world.settle()
    world.at("2026-03-03 15:00")
    world.transfer("ann", "500")
    world.settle()
    world.at("2026-03-04 10:00")
    world.set_prices(TLT="110")
    world.settle()
    world.at("2026-03-09 09:00")
    world.transfer("ann", "-400")
    world.settle_on("2026-03-09")
    assert shown(world) == ["03-02 10000", "03-03 10600", "03-04 11500 +500", "03-09 11100 -400"]
    # 10600 / 10000; 11500 / 11100; 11100 / 11100.
    assert daily(world, Method.TWR) == ["6", "3.6036", "0"]
    # 600 / 10000; 400 / 10850; 0.
    assert daily(world, Method.MWR) == ["6", "3.6866", "0"]
    (all_,) = (w for w in windows(points(history(world)), Method.TWR) if w.name == "all")
    # 1.06 × 11500 / 11100
    assert plain(round_nearest(all_.percent, 4)) == "9.8198"
    world.require_sound()


def test_a_day_is_valued_once_by_its_first_sweep(world: World) -> None:
    ann(world)
    world.set_prices(SPY="800")
    world.transfer("ann", "500")
    world.at("2026-03-02 16:00")
    world.settle()
    assert history(world).valuations == (Valuation(new_york("2026-03-02 10:00"), Decimal(10_000), 1),)


def test_days_are_those_of_utc(world: World) -> None:
    """19:00 in New York is midnight."""
    ann(world)
    world.set_prices(SPY="440")
    world.at("2026-03-02 18:59:59")
    world.settle()
    assert shown(world) == ["03-02 10000"]
    world.at("2026-03-02 19:00")
    world.settle()
    assert shown(world) == ["03-02 10000", "03-03 10600"]


def test_a_day_on_which_nobody_looks_has_no_point(world: World) -> None:
    ann(world)
    world.settle_on("2026-03-03", "2026-03-06", "2026-03-09")
    assert shown(world) == [f"03-{day} 10000" for day in ("02", "03", "06", "09")]


def test_an_account_that_comes_in_the_middle_of_a_day_is_valued_then(world: World) -> None:
    """And nobody else is again. What came to it before is its first value."""
    ann(world)
    world.settle_on("2026-03-03")
    world.set_prices(SPY="800")
    world.at("2026-03-03 14:00")
    world.open_account("bob", "500")
    world.transfer("bob", "250.25")
    world.enroll("bob", world.strategies()[0])
    world.settle()
    assert shown(world, "bob") == ["03-03 750.25"]
    assert shown(world) == ["03-02 10000", "03-03 10000"]
    world.settle_on("2026-03-04")
    assert shown(world, "bob") == ["03-03 750.25", "03-04 750.25"]
    assert shown(world) == ["03-02 10000", "03-03 10000", "03-04 16000"]


def test_a_missing_price_leaves_the_account_without_a_value_until_it_comes(world: World) -> None:
    ann(world)
    world.open_account("bob", "100", OLD="2", SPY="1")
    world.enroll("bob", world.strategies()[0])
    world.settle()
    world.settle_on("2026-03-03")
    assert shown(world, "bob") == []
    world.set_prices(OLD="10", SPY="800")
    world.at("2026-03-03 15:00")
    world.settle()
    assert shown(world, "bob") == ["03-03 920"]
    assert history(world, "bob").valuations[0].at == world.clock.now
    assert shown(world) == ["03-02 10000", "03-03 10000"], "ann's of that morning stays"
    world.require_sound()


# Money, and the order in which the mirror saw it.


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_deposit_at_the_instant_of_a_valuation_but_after_it_is_not_in_it(world: World, looks: int) -> None:
    """The clock stands; whether anybody looks again on that day changes nothing."""
    ann(world)
    world.transfer("ann", "500")
    for _ in range(looks):
        world.settle()
    assert shown(world) == ["03-02 10000"]
    world.settle_on("2026-03-03", "2026-03-04")
    assert shown(world) == ["03-02 10000", "03-03 10500 +500", "03-04 10500"]
    for method in Method:
        assert daily(world, method) == ["0", "0"]
    world.require_sound()


def test_an_account_that_is_enrolled_empty_and_funded_at_the_same_instant(world: World) -> None:
    """It buys SPY 0.75 and TLT 2 for its $500; SPY to $440 makes $530."""
    ann(world)
    world.enroll(world.open_account("bob", "0"), world.strategies()[0])
    world.settle()
    world.transfer("bob", "500")
    world.settle()
    world.request("bob")
    world.settle()
    assert world.holdings("bob") == "cash 0, SPY 0.75, TLT 2"
    assert shown(world, "bob") == ["03-02 0"]
    world.set_prices(SPY="440")
    world.settle_on("2026-03-03")
    assert shown(world, "bob") == ["03-02 0", "03-03 530 +500"]
    # 530 / 500; 30 / 250.
    assert (daily(world, Method.TWR, "bob"), daily(world, Method.MWR, "bob")) == (["6"], ["12"])
    world.require_sound()


def test_a_deposit_before_the_first_look_is_part_of_the_first_value(world: World) -> None:
    ann(world)
    world.enroll(world.open_account("bob", "0"), world.strategies()[0])
    world.transfer("bob", "500")
    world.settle()
    world.settle_on("2026-03-03")
    assert shown(world, "bob") == ["03-02 500", "03-03 500"]


def test_a_deposit_on_a_day_without_a_look_is_in_the_next_value(world: World) -> None:
    ann(world)
    world.at("2026-03-04 10:00")
    world.transfer("ann", "500")
    world.settle_on("2026-03-06")
    assert shown(world) == ["03-02 10000", "03-06 10500 +500"]


def test_a_deposit_that_the_broker_dates_back_is_no_gain(world: World) -> None:
    """It surfaces on Tuesday and is dated before the account was enrolled on Monday."""
    ann(world)
    world.at("2026-02-27 10:00")
    world.transfer("ann", "500")
    world.settle_on("2026-03-03")
    assert shown(world) == ["03-02 10000", "03-03 10500 +500"]


def test_a_worker_that_dies_before_it_stores_values_counts_no_money_twice(world: World) -> None:
    """The next one finds the deposit in the mirror already."""
    ann(world)
    world.at("2026-03-03 10:00")
    world.transfer("ann", "500")
    turn = drive(take_turn(world.desk, 1), world.desk)
    followed = drive(follow_broker(turn), world.desk)
    drive(turn.commit(lambda tx: followed.store(tx, turn)), world.desk)
    assert shown(world) == ["03-02 10000"]
    world.settle()
    world.settle_on("2026-03-04")
    assert shown(world) == ["03-02 10000", "03-03 10500 +500", "03-04 10500"]


def test_money_that_comes_while_the_shard_is_read_is_part_of_that_days_value(world: World) -> None:
    """It is stamped after the turn began, and does not count again in the next point."""
    ann(world)
    world.at("2026-03-03 10:00")
    left = iter([True])

    def pay(call: str) -> None:
        if call == "feed" and next(left, False):
            world.clock.forward(1)
            world.transfer("ann", "500")

    world.broker.before = pay
    world.settle()
    world.settle_on("2026-03-04")
    assert shown(world) == ["03-02 10000", "03-03 10500 +500", "03-04 10500"]
    assert daily(world, Method.TWR) == ["0", "0"]


def test_a_worker_that_was_overtaken_stores_no_values(world: World) -> None:
    ann(world)
    world.at("2026-03-03 10:00")
    turn = drive(take_turn(world.desk, 1), world.desk)
    drive(take_turn(world.desk, 1), world.desk)
    with pytest.raises(Fenced):
        drive(sweep(turn), world.desk)
    assert shown(world) == ["03-02 10000"]


# To the cent.


def block_of(cash: str, positions: dict[str, str], *, is_active: bool = True) -> Block:
    held = Holdings(cash=Decimal(cash), positions={s: Decimal(q) for s, q in positions.items()})
    return fold(empty().block, {"ann": Mirrored(is_active=is_active, holdings=held)})


PRICES = {"A": "0.01", "B": "0.000000000000000001", "C": "123456789.123456789", "D": "999999999"}

# the case, cash, positions, cents
CENTS: list[tuple[str, str, dict[str, str], int | None]] = [
    ("nothing", "0", {}, 0),
    ("half a cent goes to the even one, down", "0.005", {}, 0),
    ("half a cent goes to the even one, up", "0.015", {}, 2),
    ("the same in debt", "-0.015", {}, -2),
    ("half a cent of shares", "0", {"A": "0.5"}, 0),
    ("a nano more", "0", {"A": "0.500000001"}, 1),
    ("a nano less than one and a half", "0", {"A": "1.499999999"}, 1),
    ("cash and shares are rounded together", "0.0025", {"A": "0.25"}, 0),
    ("and not each", "0.0025", {"A": "0.250000001"}, 1),
    ("the smallest product tips the half", "0.005", {"B": "0.000000001"}, 1),
    # 9,000,000,000 × 123456789.123456789 = 1111111102111111101 exactly.
    ("beyond what 64 bits hold in cents", "0", {"C": "9000000000"}, None),
    # 700,000,000 × 123456789.123456789 = 86419752386419752.3
    ("beyond what a float holds", "0.01", {"C": "700000000"}, 8641975238641975231),
    ("the most there is a record for", "92233720368547758.07", {}, CENTS_MAX),
    ("a cent more", "92233720368547758.08", {}, None),
    ("as much in debt", "-92233720368547758.07", {}, -CENTS_MAX),
    ("a cent more in debt", "-92233720368547758.08", {}, None),
    ("no price", "5", {"A": "1", "X": "1"}, None),
]


@pytest.mark.parametrize(
    ("cash", "positions", "cents"), [row[1:] for row in CENTS], ids=[row[0] for row in CENTS]
)
def test_an_account_is_worth_so_many_cents(
    cash: str, positions: dict[str, str], *, cents: int | None
) -> None:
    prices = {symbol: Decimal(price) for symbol, price in PRICES.items()}
    found = in_cents(block_of(cash, positions), prices, rows=[0])
    assert found == ({} if cents is None else {0: cents})


def test_an_account_whose_shares_the_mirror_cannot_hold_has_no_value() -> None:
    prices = {"A": Decimal(1)}
    assert in_cents(block_of("5", {"A": "9223372036.854775808"}), prices, rows=[0]) == {}
    assert in_cents(block_of("5", {"A": "9223372036.854775807"}), prices, rows=[0]) == {0: 922337204185}
    assert in_cents(block_of("5", {"A": "2"}, is_active=False), prices, rows=[0]) == {0: 700}


def test_no_rows_have_no_values() -> None:
    assert in_cents(block_of("5", {"A": "1"}), {}, rows=[]) == {}


def made_up(chance: Random, symbols: list[str]) -> Iterator[tuple[str, Mirrored]]:
    for n in range(200):
        held = {s: Decimal(chance.randrange(1, 10**14)).scaleb(-9) for s in symbols if chance.random() < 0.5}
        cash = Decimal(chance.randrange(-(10**9), 10**9)).scaleb(-chance.randrange(7))
        yield f"a{n}", Mirrored(is_active=True, holdings=Holdings(cash=cash, positions=held))


@pytest.mark.parametrize("seed", range(10))
def test_any_account_is_worth_the_exact_sum_rounded_half_to_even(seed: int) -> None:
    chance = Random(seed)
    symbols = [f"S{n}" for n in range(12)]
    prices = {s: Decimal(chance.randrange(1, 10**9)).scaleb(-chance.randrange(8)) for s in symbols[1:]}
    accounts = dict(made_up(chance, symbols))
    block = fold(empty().block, accounts)
    rows = chance.sample(range(200), 150)
    expected = {}
    for row in rows:
        held = accounts[block.account_ids[row]].holdings
        if held.positions.keys() <= prices.keys():
            worth = sum(Fraction(q) * Fraction(prices[s]) for s, q in held.positions.items())
            expected[row] = round((worth + Fraction(held.cash)) * 100)
    assert in_cents(block, prices, rows=rows) == expected
