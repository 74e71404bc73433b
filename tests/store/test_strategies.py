"""Strategies: one head each, every version for good, listed for their tenant."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.store.rows import LATER, NOON, insert_run, strategy
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.core.strategy import (
    AssetTarget,
    Definition,
    Frequency,
    OnUpdate,
    Strategy,
    StrategyStatus,
    StrategyTarget,
)
from trimtab.database import Database
from trimtab.store import runs, strategies
from trimtab.store.enrollments import Page
from trimtab.store.strategies import StrategyFilter, Version

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


def test_only_strategies_that_hold_others_are_nesting(db: Database) -> None:
    holding = Definition(
        targets=(StrategyTarget(strategy_id="mix", percent=Decimal(100)),), conditions=(), cooldown_days=0
    )
    nest = strategy(id="nest", definition=holding)
    named = strategy(id="named", description="strategy_id")
    ended = strategy(id="ended", definition=holding, status=StrategyStatus.INACTIVE)
    hidden = strategy(id="hidden", definition=holding, hidden=True)
    for each in (nest, named, ended, hidden):
        db.write(lambda tx, each=each: strategies.insert(tx, each))  # type: ignore[misc]
    assert db.read(lambda tx: strategies.nesting(tx, "acme")) == [nest]
    assert db.read(lambda tx: strategies.nesting(tx, "other")) == []


def test_renewed_strategies_have_a_version_that_says_the_same(db: Database) -> None:
    second_version(db)
    other = strategy(id="other")
    db.write(lambda tx: strategies.insert(tx, other))
    db.write(lambda tx: strategies.lock(tx, ["mix", "none"]))
    db.write(lambda tx: strategies.renew(tx, {"mix"}, now=LATER, change_log="why"))
    assert db.read(lambda tx: strategies.heads(tx, ["mix", "other"])) == {
        "mix": replace(SECOND, version=3, updated_version=3, updated_at=LATER),
        "other": other,
    }
    newest = db.read(lambda tx: strategies.versions(tx, "mix", Page(after=None, limit=1)))[0]
    assert newest == (3, Version(number=3, definition=NEW, change_log="why", created_at=LATER))


def test_a_hidden_strategy_is_no_tenants_but_the_engine_finds_it(db: Database) -> None:
    hidden = strategy(id="own", hidden=True, name="", description="")
    db.write(lambda tx: strategies.insert(tx, hidden))
    assert db.read(lambda tx: strategies.one(tx, "acme", "own")) is None
    assert [each.id for each in db.read(lambda tx: strategies.listing(tx, "acme", StrategyFilter()))] == [
        "mix"
    ]
    assert db.read(lambda tx: strategies.heads(tx, ["own"])) == {"own": hidden}
    assert [each.id for each in db.read(strategies.in_use)] == ["mix"]


def test_a_hidden_strategy_is_in_use_while_its_run_is_open(db: Database) -> None:
    db.write(lambda tx: strategies.insert(tx, strategy(id="own", hidden=True)))
    insert_run(db, strategy_id="own", enrollment_id=None)
    assert {each.id for each in db.read(strategies.in_use)} == {"mix", "own"}
    db.write(lambda tx: runs.cancel_queued(tx, "run", reason=None, now=LATER))
    assert [each.id for each in db.read(strategies.in_use)] == ["mix"]


def test_strategies_are_suspended_together_and_what_has_ended_stays_ended(db: Database) -> None:
    for name in ("two", "gone"):
        db.write(lambda tx, name=name: strategies.insert(tx, strategy(id=name)))  # type: ignore[misc]
    db.write(lambda tx: strategies.end(tx, "gone", LATER))
    db.write(lambda tx: strategies.suspend(tx, ["mix", "two", "gone", "none"], LATER))
    db.write(lambda tx: strategies.suspend(tx, [], LATER))
    expected = replace(strategy(), status=StrategyStatus.NEEDS_ADJUSTMENT, updated_at=LATER)
    assert {each.id: each.status for each in db.read(strategies.in_use)} == dict.fromkeys(
        ["mix", "two"], StrategyStatus.NEEDS_ADJUSTMENT
    )
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


# What Glider's dialect keeps and lists.


def exact(**changes: object) -> Preferences:
    return replace(NO_PREFERENCES, **changes)  # type: ignore[arg-type] # its fields


FULL = strategy(
    id="full",
    frequency=Frequency.MONTHLY,
    is_public=True,
    preferences=exact(slippage_bps=0, impact_bps=1000, threshold=Decimal("5.00")),
)


def test_schedule_preferences_and_publicity_come_back(db: Database) -> None:
    db.write(lambda tx: strategies.insert(tx, FULL))
    found = db.read(lambda tx: strategies.one(tx, "acme", "full"))
    assert found == FULL
    assert str(found.preferences.threshold) == "5.00"
    changed = replace(
        FULL,
        frequency=Frequency.HOURLY,
        is_public=False,
        preferences=exact(slippage_bps=7, threshold=Decimal("1234567890123.10")),
    )
    db.write(lambda tx: strategies.update_head(tx, changed))
    found = db.read(lambda tx: strategies.one(tx, "acme", "full"))
    assert found == changed
    assert str(found.preferences.threshold) == "1234567890123.10"
    none = replace(changed, frequency=None, preferences=NO_PREFERENCES)
    db.write(lambda tx: strategies.update_head(tx, none))
    assert db.read(lambda tx: strategies.one(tx, "acme", "full")) == none


@pytest.mark.parametrize("percent", ["60.00", "60.0", "60", "0.10", "99.99", "100"])
def test_weights_keep_their_zeros(db: Database, percent: str) -> None:
    definition = Definition(
        targets=(AssetTarget(symbol="SPY", percent=Decimal(percent)),), conditions=(), cooldown_days=0
    )
    second = strategy(version=2, updated_version=2, definition=definition)
    db.write(lambda tx: strategies.insert_version(tx, second, change_log="zeros"))
    db.write(lambda tx: strategies.update_head(tx, second))
    head = db.read(lambda tx: strategies.one(tx, "acme", "mix"))
    (_, version), _ = db.read(lambda tx: strategies.versions(tx, "mix", ALL))
    assert head is not None
    for found in (head.definition, version.definition):
        assert [str(target.percent) for target in found.targets] == [percent]


def insert_all(db: Database, *made: Strategy) -> None:
    for each in made:
        db.write(lambda tx, each=each: strategies.insert(tx, each))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "owner", "others"),
    [
        ({}, True, False),
        ({"is_public": True}, True, True),
        ({"is_public": True, "status": StrategyStatus.NEEDS_ADJUSTMENT}, True, True),
        ({"status": StrategyStatus.NEEDS_ADJUSTMENT}, True, False),
        ({"is_public": True, "status": StrategyStatus.INACTIVE}, False, False),
        ({"is_public": True, "hidden": True}, False, False),
        ({"hidden": True}, False, False),
    ],
)
def test_what_is_public_can_be_seen_by_all_and_the_rest_by_its_owner(
    db: Database, changes: dict[str, Any], *, owner: bool, others: bool
) -> None:
    made = strategy(id="shown", **changes)
    insert_all(db, made)
    assert db.read(lambda tx: strategies.visible(tx, "acme", "shown")) == (made if owner else None)
    assert db.read(lambda tx: strategies.visible(tx, "other", "shown")) == (made if others else None)
    assert db.read(lambda tx: strategies.visible(tx, "other", "none")) is None
    assert db.read(lambda tx: strategies.one(tx, "other", "shown")) is None, "to be written by its owner"


def nine(db: Database) -> None:
    """s0 to s8 in threes of one instant, after mix; and what is on no page."""
    later = NOON + timedelta(hours=1)
    insert_all(db, *(strategy(id=f"s{n}", created_at=later + timedelta(seconds=n // 3)) for n in range(9)))
    insert_all(
        db,
        strategy(id="hidden", hidden=True, created_at=LATER),
        strategy(id="gone", status=StrategyStatus.INACTIVE, created_at=LATER),
        strategy(id="theirs", tenant_id="other", is_public=True, created_at=LATER),
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 10, 11])
def test_page_after_page_shows_everything_once_newest_first(db: Database, limit: int) -> None:
    nine(db)
    seen: list[str] = []
    after: int | None = None
    while found := newest(db, limit=limit, after=after):
        assert (len(found) > limit) == (len(seen) + limit < 10)
        seen += [each for _, each in found[:limit]]
        after = found[:limit][-1][0]
    assert seen == [*(f"s{n}" for n in range(8, -1, -1)), "mix"]


def newest(
    db: Database, *, limit: int = 100, after: int | None = None, tenant_id: str = "acme"
) -> list[tuple[int, str]]:
    page = Page(after=after, limit=limit)
    return [(seq, each.id) for seq, each in db.read(lambda tx: strategies.newest(tx, tenant_id, page))]


def test_a_page_shows_the_tenants_own_that_have_not_ended(db: Database) -> None:
    nine(db)
    db.write(lambda tx: strategies.suspend(tx, ["s4"], LATER))
    db.write(lambda tx: strategies.end(tx, "s5", LATER))
    assert [each for _, each in newest(db)] == ["s8", "s7", "s6", "s4", "s3", "s2", "s1", "s0", "mix"]
    assert [each for _, each in newest(db, tenant_id="other")] == ["theirs"]


def test_one_that_is_stored_or_ends_between_two_pages_shifts_none(db: Database) -> None:
    nine(db)
    first = newest(db, limit=4)[:4]
    insert_all(db, strategy(id="new", created_at=LATER + timedelta(days=1)))
    db.write(lambda tx: strategies.end(tx, "s5", LATER))
    assert [each for _, each in newest(db, limit=4, after=first[-1][0])] == ["s4", "s3", "s2", "s1", "s0"]


ALL = Page(after=None, limit=1000)


def seven_versions(db: Database) -> None:
    insert_all(db, strategy(id="b"))
    for n in range(2, 8):
        log = None if n % 2 else f"change {n}"
        made = strategy(version=n, updated_at=NOON + timedelta(seconds=n // 3))
        db.write(lambda tx, made=made, log=log: strategies.insert_version(tx, made, change_log=log))  # type: ignore[misc]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_page_after_page_shows_every_version_once_newest_first(db: Database, limit: int) -> None:
    """By number, however the clock stood."""
    seven_versions(db)
    seen: list[int] = []
    after: int | None = None
    while True:
        page = Page(after=after, limit=limit)
        found = db.read(lambda tx, page=page: strategies.versions(tx, "mix", page))  # type: ignore[misc]
        if not found:
            break
        assert all(number == version.number for number, version in found)
        assert (len(found) > limit) == (len(seen) + limit < 7)
        seen += [number for number, _ in found[:limit]]
        after = found[:limit][-1][0]
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_a_version_comes_back_with_its_log_and_time(db: Database) -> None:
    seven_versions(db)
    found = dict(db.read(lambda tx: strategies.versions(tx, "mix", ALL)))
    assert found[4] == Version(
        number=4,
        definition=strategy().definition,
        change_log="change 4",
        created_at=NOON + timedelta(seconds=1),
    )
    assert (found[1].change_log, found[1].created_at, found[7].change_log) == (None, NOON, None)
    assert [number for number, _ in db.read(lambda tx: strategies.versions(tx, "b", ALL))] == [1]
    assert db.read(lambda tx: strategies.versions(tx, "none", ALL)) == []


def test_a_frequency_that_nobody_knows_is_refused_by_the_database(db: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)check"):
        db.write(lambda tx: tx.execute("UPDATE strategies SET frequency = 'yearly'"))
    with pytest.raises(Exception, match=r"(?i)check"):
        db.write(lambda tx: tx.execute("UPDATE strategies SET is_public = 2"))
