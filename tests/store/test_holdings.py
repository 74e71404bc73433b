"""The mirror's packed block: what was written is what is read, and a fold replaces whole accounts."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from tests.store.rows import LATER, NOON, insert_run, plan
from trimtab.core.plan import Holdings
from trimtab.database import Database, Tx
from trimtab.store import holdings, orders
from trimtab.store.holdings import Adjustment, Mirror, Mirrored

BIG = Decimal("9223372036.854775807")


def mirrored(cash: str, *, is_active: bool = True, **positions: str) -> Mirrored:
    held = {symbol: Decimal(quantity) for symbol, quantity in positions.items()}
    return Mirrored(is_active=is_active, holdings=Holdings(cash=Decimal(cash), positions=held))


def shown(block: holdings.Block) -> dict[str, tuple[bool, Holdings]]:
    return {
        account_id: (block.active[row], block.holdings(row))
        for row, account_id in enumerate(block.account_ids)
    }


def as_shown(**accounts: Mirrored) -> dict[str, tuple[bool, Holdings]]:
    return {account_id: (each.is_active, each.holdings) for account_id, each in accounts.items()}


def test_a_shard_without_a_mirror_has_an_empty_one(db: Database) -> None:
    mirror = db.read(lambda tx: holdings.read(tx, 1))
    assert (mirror.version, mirror.cursor, shown(mirror.block)) == (0, 0, {})


def test_a_block_comes_back_to_the_last_digit(db: Database) -> None:
    accounts = {
        "ann": mirrored("0.000000000000000001", SPY="0.000000001", TLT="123456789.987654321"),
        "bob": mirrored("99999999999999999.99", is_active=False),
        "ünïcödé": mirrored("0", SPY=str(BIG)),
    }
    block = holdings.fold(holdings.empty().block, accounts)
    db.write(lambda tx: holdings.write(tx, 1, mirror=Mirror(7, 99, block)))
    found = db.read(lambda tx: holdings.read(tx, 1))
    assert (found.version, found.cursor) == (7, 99)
    assert shown(found.block) == as_shown(**accounts)
    assert shown(db.read(lambda tx: holdings.read(tx, 2)).block) == {}


def test_a_block_is_replaced_by_the_next(db: Database) -> None:
    first = holdings.fold(holdings.empty().block, {"ann": mirrored("1", SPY="2"), "bob": mirrored("3")})
    db.write(lambda tx: holdings.write(tx, 1, mirror=Mirror(1, 5, first)))
    read = db.read(lambda tx: holdings.read(tx, 1)).block
    second = holdings.fold(read, {"ann": mirrored("4", TLT="5"), "cat": mirrored("6", SPY="7")})
    db.write(lambda tx: holdings.write(tx, 1, mirror=Mirror(2, 6, second)))
    found = db.read(lambda tx: holdings.read(tx, 1))
    assert (found.version, found.cursor) == (2, 6)
    assert shown(found.block) == as_shown(
        ann=mirrored("4", TLT="5"), bob=mirrored("3"), cat=mirrored("6", SPY="7")
    )


def test_what_does_not_fit_is_never_evaluated() -> None:
    beyond = BIG + Decimal("0.000000001")
    block = holdings.fold(holdings.empty().block, {"ann": mirrored("1", SPY=str(beyond), TLT="1")})
    assert block.active == [False]


def test_folding_does_not_touch_the_block_it_begins_with() -> None:
    before = holdings.fold(holdings.empty().block, {"ann": mirrored("1", SPY="2")})
    holdings.fold(before, {"ann": mirrored("3", TLT="4"), "bob": mirrored("5", GLD="6")})
    assert shown(before) == as_shown(ann=mirrored("1", SPY="2"))
    assert before.symbols == ["SPY"]


def adjustment(ref: str, amount: str, *, account_id: str = "ann", at: datetime = LATER) -> Adjustment:
    return Adjustment(ref=ref, account_id=account_id, amount=Decimal(amount), at=at, version=1)


def test_what_moved_since_a_plan_came_after_it_or_was_known_to_it_already(db: Database) -> None:
    made = [insert_run(db, id=str(n), account_id=account_id) for n, account_id in enumerate(("ann", "bob"))]
    db.write(lambda tx: orders.insert_plans(tx, 1, {run.id: plan() for run in made}, now=LATER))
    moved = [
        adjustment("before", "1000", at=NOON),
        adjustment("a", "0.10"),
        adjustment("b", "0.03"),
        adjustment("later", "-5", at=LATER + timedelta(days=1)),
        adjustment("elsewhere", "7", account_id="cat"),
    ]
    db.write(lambda tx: holdings.insert_adjustments(tx, 1, "paper", adjustments=moved))
    ids = [run.id for run in made]
    found = db.read(lambda tx: holdings.moved_since_plan(tx, 1, ids))
    assert found == {"0": frozenset(map(Decimal, ("0", "-5", "-4.97", "-4.87")))}
    assert db.read(lambda tx: holdings.moved_since_plan(tx, 1, [])) == {}


def test_an_adjustment_is_stored_once_per_broker_and_reference(db: Database) -> None:
    for broker, listed in (
        ("paper", [adjustment("t1", "0.10"), adjustment("t2", "-5")]),
        ("paper", [adjustment("t2", "-5"), adjustment("t3", "7")]),
        ("other", [adjustment("t1", "1")]),
        ("other", []),
    ):
        db.write(
            lambda tx, broker=broker, listed=listed: holdings.insert_adjustments(  # type: ignore[misc]
                tx, 1, broker, adjustments=listed
            )
        )

    def read(tx: Tx) -> list[tuple[str, str, Decimal]]:
        rows = tx.rows("SELECT broker, ref, amount FROM adjustments ORDER BY broker, ref")
        return [(row["broker"], row["ref"], Decimal(row["amount"])) for row in rows]

    assert db.read(read) == [
        ("other", "t1", Decimal(1)),
        ("paper", "t1", Decimal("0.1")),
        ("paper", "t2", Decimal(-5)),
        ("paper", "t3", Decimal(7)),
    ]


@pytest.mark.parametrize("accounts", [1, 1000])
def test_a_block_of_a_whole_shard_comes_back(db: Database, accounts: int) -> None:
    made = {
        f"a{n}": Mirrored(
            is_active=True,
            holdings=Holdings(
                cash=Decimal(n) / 8,
                positions={f"S{k}": Decimal(f"{n + 1}.{k + 1:09}") for k in range(n % 12)},
            ),
        )
        for n in range(accounts)
    }
    block = holdings.fold(holdings.empty().block, made)
    db.write(lambda tx: holdings.write(tx, 1, mirror=Mirror(1, 1, block)))
    assert shown(db.read(lambda tx: holdings.read(tx, 1)).block) == as_shown(**made)
    assert NOON < LATER
