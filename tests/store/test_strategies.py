"""Strategies: one head each, every version for good, listed for their tenant."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.store.rows import LATER, NOON, strategy
from trimtab.core.strategy import AssetTarget, Definition, OnUpdate, StrategyStatus
from trimtab.database import Database
from trimtab.store import strategies
from trimtab.store.strategies import StrategyFilter

NEW = Definition(
    targets=(AssetTarget(symbol="TLT", percent=Decimal(100)),), conditions=(OnUpdate(),), cooldown_days=9
)
SECOND = strategy(
    version=2, updated_version=2, definition=NEW, updated_at=LATER, name="Mix 2", description=""
)


def second_version(db: Database) -> None:
    db.write(lambda tx: strategies.insert_version(tx, SECOND))
    db.write(lambda tx: strategies.update_head(tx, SECOND))


def test_a_strategy_comes_back_as_it_was_stored(db: Database) -> None:
    assert db.read(lambda tx: strategies.one(tx, "acme", "mix")) == strategy()
    assert db.write(lambda tx: strategies.locked(tx, "acme", "mix")) == strategy()
    assert db.read(lambda tx: strategies.heads(tx, ["mix", "none"])) == {"mix": strategy()}
    assert db.read(lambda tx: strategies.heads(tx, [])) == {}


def test_a_strategy_of_another_tenant_is_missing(db: Database) -> None:
    assert db.read(lambda tx: strategies.one(tx, "other", "mix")) is None
    assert db.write(lambda tx: strategies.locked(tx, "other", "mix")) is None


def test_the_head_shows_its_version_and_old_ones_stay(db: Database) -> None:
    second_version(db)
    assert db.read(lambda tx: strategies.one(tx, "acme", "mix")) == SECOND
    stored = db.read(lambda tx: strategies.definitions(tx, [("mix", 1), ("mix", 2), ("mix", 3), ("none", 1)]))
    assert stored == {("mix", 1): strategy().definition, ("mix", 2): NEW}
    assert db.read(lambda tx: strategies.definitions(tx, [])) == {}


def test_a_hidden_strategy_is_no_tenants_but_the_engine_finds_it(db: Database) -> None:
    hidden = strategy(id="own", hidden=True, name="", description="")
    db.write(lambda tx: strategies.insert(tx, hidden))
    assert db.read(lambda tx: strategies.one(tx, "acme", "own")) is None
    assert [each.id for each in db.read(lambda tx: strategies.listing(tx, "acme", StrategyFilter()))] == [
        "mix"
    ]
    assert db.read(lambda tx: strategies.heads(tx, ["own"])) == {"own": hidden}
    assert {each.id for each in db.read(strategies.working)} == {"mix", "own"}


def test_strategies_are_suspended_together_and_what_has_ended_stays_ended(db: Database) -> None:
    for name in ("two", "gone"):
        db.write(lambda tx, name=name: strategies.insert(tx, strategy(id=name)))  # type: ignore[misc]
    db.write(lambda tx: strategies.end(tx, "gone", LATER))
    db.write(lambda tx: strategies.suspend(tx, ["mix", "two", "gone", "none"], LATER))
    db.write(lambda tx: strategies.suspend(tx, [], LATER))
    assert db.read(strategies.working) == []
    expected = replace(strategy(), status=StrategyStatus.NEEDS_ADJUSTMENT, updated_at=LATER)
    assert db.read(lambda tx: strategies.one(tx, "acme", "mix")) == expected
    gone = db.read(lambda tx: strategies.one(tx, "acme", "gone"))
    assert gone is not None
    assert gone.status is StrategyStatus.INACTIVE


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (StrategyFilter(), ["mix", "late", "odd"]),
        (StrategyFilter(status=StrategyStatus.ACTIVE), ["mix", "late"]),
        (StrategyFilter(status=StrategyStatus.INACTIVE), ["gone"]),
        (StrategyFilter(status=StrategyStatus.NEEDS_ADJUSTMENT), ["odd"]),
        (StrategyFilter(name="Mix"), ["mix"]),
        (StrategyFilter(name="mix"), []),
        (StrategyFilter(description="other words"), ["late"]),
        (StrategyFilter(id="odd"), ["odd"]),
        (StrategyFilter(id="gone"), []),
        (StrategyFilter(id="gone", status=StrategyStatus.INACTIVE), ["gone"]),
        (StrategyFilter(name="Mix", description="other words"), []),
    ],
)
def test_a_list_shows_what_matches_every_wish_oldest_first(
    db: Database, wanted: StrategyFilter, ids: list[str]
) -> None:
    later = NOON + timedelta(seconds=1)
    for each in (
        strategy(id="odd", name="Odd", status=StrategyStatus.NEEDS_ADJUSTMENT, created_at=LATER),
        strategy(id="gone", name="Gone", status=StrategyStatus.INACTIVE, created_at=later),
        strategy(id="late", name="Late", description="other words", created_at=later),
        strategy(id="theirs", tenant_id="other"),
    ):
        db.write(lambda tx, each=each: strategies.insert(tx, each))  # type: ignore[misc]
    assert [each.id for each in db.read(lambda tx: strategies.listing(tx, "acme", wanted))] == ids
