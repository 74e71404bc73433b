"""What accounts were worth: every record comes back to the cent, for its account, day and instant.

The mirror of shard 1 holds ann, bob and cat in the rows 0, 1 and 2.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from trimtab.core.performance import CashFlow, Valuation
from trimtab.core.plan import Holdings
from trimtab.database import Database
from trimtab.store import holdings, valuations
from trimtab.store.holdings import Adjustment, Mirror, Mirrored

ANN, BOB, CAT = range(3)
MONDAY = date(2026, 3, 2)
MORNING = datetime(2026, 3, 2, 0, 0, 1, 123456, tzinfo=UTC)
EVENING = datetime(2026, 3, 2, 23, 59, 59, 999999, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


@pytest.fixture
def mirrored(db: Database) -> Database:
    fold_in(db, "ann", "bob", "cat")
    return db


def fold_in(db: Database, *account_ids: str) -> None:
    """Let these accounts be seen with no money."""
    penniless = Mirrored(is_active=True, holdings=Holdings(cash=Decimal(0), positions={}))
    before = db.read(lambda tx: holdings.read(tx, 1))
    block = holdings.fold(before.block, dict.fromkeys(account_ids, penniless))
    db.write(lambda tx: holdings.write(tx, 1, mirror=Mirror(before.version + 1, 1, block)))


def add(db: Database, cents: dict[int, int], at: datetime = MORNING, *, version: int = 1) -> None:
    db.write(lambda tx: valuations.add(tx, 1, cents, at=at, version=version))


def unvalued(db: Database, on: date = MONDAY, *, accounts: int = 3, shard: int = 1) -> list[int]:
    return db.read(lambda tx: valuations.unvalued(tx, shard, on=on, accounts=accounts))


def history(db: Database, account_id: str, *, since: date = MONDAY, shard: int = 1) -> list[Valuation]:
    return db.read(lambda tx: valuations.history(tx, shard, account_id, since=since))


def flows(db: Database, account_id: str, *, shard: int = 1) -> list[CashFlow]:
    return db.read(lambda tx: valuations.cash_flows(tx, shard, account_id))


def test_nobody_has_a_value_before_the_first(mirrored: Database) -> None:
    assert unvalued(mirrored) == [ANN, BOB, CAT]
    assert history(mirrored, "ann") == []


def test_a_value_is_found_by_its_account(mirrored: Database) -> None:
    add(mirrored, {ANN: 1_000_001, BOB: 0, CAT: -1})
    assert unvalued(mirrored) == []
    assert history(mirrored, "ann") == [Valuation(MORNING, Decimal("10000.01"), 1)]
    assert history(mirrored, "bob") == [Valuation(MORNING, Decimal(0), 1)]
    assert history(mirrored, "cat") == [Valuation(MORNING, Decimal("-0.01"), 1)]
    assert history(mirrored, "dan") == []


@pytest.mark.parametrize("cents", [valuations.CENTS_MAX, -valuations.CENTS_MAX])
def test_the_largest_values_come_back_to_the_cent(mirrored: Database, cents: int) -> None:
    add(mirrored, {BOB: cents})
    assert history(mirrored, "bob") == [Valuation(MORNING, Decimal(cents) / 100, 1)]


@pytest.mark.parametrize("cents", [valuations.CENTS_MAX + 1, -valuations.CENTS_MAX - 1])
def test_what_does_not_fit_is_refused(mirrored: Database, cents: int) -> None:
    with pytest.raises(AssertionError, match="does not fit"):
        add(mirrored, {ANN: 1, BOB: cents})
    assert unvalued(mirrored) == [ANN, BOB, CAT]


def test_who_could_not_be_valued_has_no_record_of_that_day(mirrored: Database) -> None:
    add(mirrored, {ANN: 100, CAT: 300})
    assert unvalued(mirrored) == [BOB]
    assert history(mirrored, "bob") == []
    add(mirrored, {ANN: 101, BOB: 201}, MORNING + ONE_DAY)
    assert unvalued(mirrored, MONDAY + ONE_DAY) == [CAT]
    assert history(mirrored, "bob") == [Valuation(MORNING + ONE_DAY, Decimal("2.01"), 1)]
    assert history(mirrored, "cat") == [Valuation(MORNING, Decimal(3), 1)]


def test_a_value_that_comes_later_in_the_day_has_its_own_instant_and_version(mirrored: Database) -> None:
    add(mirrored, {ANN: 100})
    add(mirrored, {CAT: 300}, EVENING, version=2**62)
    assert unvalued(mirrored) == [BOB]
    assert history(mirrored, "ann") == [Valuation(MORNING, Decimal(1), 1)]
    assert history(mirrored, "cat") == [Valuation(EVENING, Decimal(3), 2**62)]


def test_the_first_value_of_a_day_is_kept(mirrored: Database) -> None:
    add(mirrored, {ANN: 100, CAT: 300})
    add(mirrored, {ANN: 999, BOB: 200, CAT: 999}, EVENING, version=2)
    found = [history(mirrored, name)[0] for name in ("ann", "bob", "cat")]
    assert [v.value for v in found] == [1, 2, 3]
    assert [v.mirror_version for v in found] == [1, 2, 1]


def test_an_account_that_comes_has_a_history_from_its_first_day(mirrored: Database) -> None:
    """It stands after the others, whose places stay."""
    add(mirrored, {ANN: 100, BOB: 200, CAT: 300})
    fold_in(mirrored, "zoe", "bob", "aya")
    assert sorted(unvalued(mirrored, accounts=5)) == [3, 4]
    add(mirrored, {3: 400, 4: 500}, EVENING)
    add(mirrored, {ANN: 101, BOB: 201, CAT: 301, 3: 401, 4: 501}, EVENING + ONE_DAY)
    assert [v.value for v in history(mirrored, "bob")] == [2, Decimal("2.01")]
    assert [v.value for v in history(mirrored, "zoe")] == [4, Decimal("4.01")]
    assert [v.value for v in history(mirrored, "aya")] == [5, Decimal("5.01")]


def test_a_history_is_in_the_order_of_its_days_and_begins_where_asked(mirrored: Database) -> None:
    days = [MORNING + n * ONE_DAY for n in (300, 0, 31, 1, 29)]
    for n, at in enumerate(days):
        add(mirrored, {ANN: n, BOB: 7}, at)
    assert [v.at for v in history(mirrored, "ann")] == sorted(days)
    since = (MORNING + 29 * ONE_DAY).date()
    assert [v.at for v in history(mirrored, "ann", since=since)] == sorted(days)[2:]


def test_shards_are_apart(mirrored: Database) -> None:
    add(mirrored, {ANN: 100})
    assert unvalued(mirrored, shard=2) == [ANN, BOB, CAT]
    assert history(mirrored, "ann", shard=2) == []


def test_a_whole_shard_for_a_year_comes_back(mirrored: Database) -> None:
    fold_in(mirrored, *(f"a{n}" for n in range(997)))
    for day in range(0, 365, 7):
        add(mirrored, {row: 1000 * day + row for row in range(1000)}, MORNING + day * ONE_DAY)
    for account_id, row in (("ann", 0), ("a0", 3), ("a996", 999)):
        found = [int(v.value * 100) for v in history(mirrored, account_id)]
        assert found == [1000 * day + row for day in range(0, 365, 7)]


# Flows.


def adjust(db: Database, ref: str, account_id: str, *, amount: str, version: int) -> None:
    came = Adjustment(ref=ref, account_id=account_id, amount=Decimal(amount), at=MORNING, version=version)
    db.write(lambda tx: holdings.insert_adjustments(tx, 1, "paper", adjustments=[came]))


def test_flows_are_an_accounts_own_in_the_order_they_were_seen_to_the_last_digit(mirrored: Database) -> None:
    adjust(mirrored, "t1", "ann", amount="-0.01", version=10)
    adjust(mirrored, "t2", "ann", amount="123456789012.345678901", version=9)
    adjust(mirrored, "t3", "bob", amount="7", version=9)
    assert flows(mirrored, "ann") == [
        CashFlow(9, Decimal("123456789012.345678901")),
        CashFlow(10, Decimal("-0.01")),
    ]
    assert flows(mirrored, "bob") == [CashFlow(9, Decimal(7))]
    assert flows(mirrored, "cat") == []
    assert flows(mirrored, "ann", shard=2) == []


def test_a_transfer_that_is_seen_again_keeps_the_version_that_saw_it_first(mirrored: Database) -> None:
    adjust(mirrored, "t1", "ann", amount="5", version=3)
    adjust(mirrored, "t1", "ann", amount="5", version=4)
    assert flows(mirrored, "ann") == [CashFlow(3, Decimal(5))]
