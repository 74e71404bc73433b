"""Shards, accounts, tenants, freezes and the clock: small tables that everything rests on."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.store.rows import LATER, NOON, insert_enrollment, insert_run
from trimtab.core.errors import Fenced
from trimtab.database import Database
from trimtab.store import freezes, inspection, sandbox, shards, tenants
from trimtab.store.freezes import Freeze
from trimtab.store.shards import AccountRecord
from trimtab.store.tenants import Key


def to_work(db: Database, *, at: int = 0, idle_s: int | None = None) -> list[int]:
    """The shards that want a worker so many seconds after NOON."""
    now = NOON + timedelta(seconds=at)
    since = None if idle_s is None else now - timedelta(seconds=idle_s)
    return list(db.read(lambda tx: shards.to_work(tx, now, idle_since=since)))


def record(db: Database, account_id: str = "ann") -> AccountRecord | None:
    return db.read(lambda tx: shards.account(tx, account_id))


def test_the_first_to_name_an_account_has_it(db: Database) -> None:
    claimed = db.write(lambda tx: shards.claim_account(tx, "ann", tenant_id="other", now=LATER))
    assert claimed.tenant_id == "acme"
    assert record(db) == AccountRecord(
        account_id="ann", shard=1, tenant_id="acme", set_aside=Decimal(0), held=None
    )
    assert record(db, "nobody") is None
    assert db.write(lambda tx: shards.assign(tx, "cat", tenant_id="other", now=NOON)).tenant_id == "other"
    assert db.read(lambda tx: shards.accounts(tx, [])) == {}
    assert sorted(db.read(lambda tx: shards.account_ids(tx, 1))) == ["ann", "bob", "cat"]


def test_a_full_shard_is_followed_by_a_new_one(db: Database) -> None:
    for n in range(998):
        db.write(lambda tx, n=n: shards.claim_account(tx, f"a{n}", tenant_id="acme", now=NOON))  # type: ignore[misc]
    assert list(db.read(shards.numbers)) == [1]
    last = db.write(lambda tx: shards.claim_account(tx, "one more", tenant_id="acme", now=NOON))
    assert last.shard == 2
    assert list(db.read(shards.numbers)) == [1, 2]
    counts = db.read(
        lambda tx: [row["accounts"] for row in tx.rows("SELECT accounts FROM shards ORDER BY shard")]
    )
    assert counts == [1000, 1]


def test_a_shard_is_due_from_the_earliest_wish(db: Database) -> None:
    assert to_work(db) == []
    db.write(lambda tx: shards.mark_due(tx, 1, NOON + timedelta(seconds=9)))
    db.write(lambda tx: shards.mark_due(tx, 1, NOON + timedelta(seconds=5)))
    db.write(lambda tx: shards.mark_due(tx, 1, NOON + timedelta(seconds=7)))
    assert to_work(db, at=4) == []
    assert to_work(db, at=5) == [1]


def test_taking_a_shard_raises_its_epoch_and_clears_the_wish(db: Database) -> None:
    db.write(lambda tx: shards.mark_due(tx, 1, NOON))
    first = db.write(lambda tx: shards.take(tx, 1, now=NOON)).epoch
    second = db.write(lambda tx: shards.take(tx, 1, now=NOON)).epoch
    assert second == first + 1
    assert to_work(db, at=1) == []
    with pytest.raises(Fenced):
        db.write(lambda tx: shards.guard(tx, 1, first))
    db.write(lambda tx: shards.guard(tx, 1, second))
    with pytest.raises(Fenced):
        db.write(lambda tx: shards.guard(tx, 7, 1))


def test_a_shard_that_nobody_took_for_long_is_worked(db: Database) -> None:
    assert to_work(db, idle_s=60) == [1], "never taken"
    db.write(lambda tx: shards.take(tx, 1, now=NOON))
    assert to_work(db, at=59, idle_s=60) == []
    assert to_work(db, at=60, idle_s=60) == [1]
    assert to_work(db, at=600) == [], "outside market hours"


def test_a_shard_with_open_runs_that_its_worker_left_without_a_word_is_worked_soon(db: Database) -> None:
    insert_run(db)
    db.write(lambda tx: shards.take(tx, 1, now=NOON))
    assert to_work(db, at=1) == []
    assert to_work(db, at=30) == [1]
    db.write(lambda tx: shards.mark_due(tx, 1, NOON + timedelta(seconds=100)))
    assert to_work(db, at=30) == []


def test_a_change_of_a_strategy_wakes_the_shards_of_its_followers(db: Database) -> None:
    insert_enrollment(db)
    db.write(lambda tx: shards.mark_followers_due(tx, ["none"], NOON))
    db.write(lambda tx: shards.mark_followers_due(tx, [], NOON))
    assert to_work(db) == []
    db.write(lambda tx: shards.mark_followers_due(tx, ["mix"], NOON))
    assert to_work(db) == [1]


def test_money_that_is_not_the_strategys_is_kept_per_account(db: Database) -> None:
    assert db.read(lambda tx: shards.amounts_set_aside(tx, 1)) == {}
    db.write(lambda tx: shards.set_aside(tx, {"ann": Decimal("0.30"), "bob": Decimal("10.1")}))
    db.write(lambda tx: shards.set_aside(tx, {"bob": Decimal("0.00")}))
    db.write(lambda tx: shards.set_aside(tx, {}))
    found = db.read(lambda tx: shards.amounts_set_aside(tx, 1))
    assert {account_id: amount for account_id, amount in found.items() if amount} == {"ann": Decimal("0.3")}
    assert db.read(lambda tx: shards.amounts_set_aside(tx, 2)) == {}


def test_a_held_account_says_why(db: Database) -> None:
    db.write(lambda tx: shards.hold(tx, {"ann": "the fate of an order is unknown"}))
    found = record(db)
    assert found is not None
    assert found.held == "the fate of an order is unknown"


def test_held_accounts_are_listed_by_shard_and_released_one_by_one(db: Database) -> None:
    assert db.read(lambda tx: shards.held(tx, 1)) == []
    db.write(lambda tx: shards.hold(tx, {"bob": "why", "ann": "because"}))
    assert sorted(db.read(lambda tx: shards.held(tx, 1))) == ["ann", "bob"]
    assert db.read(lambda tx: shards.held(tx, 2)) == []
    assert db.read(shards.all_held) == {"ann": "because", "bob": "why"}
    db.write(lambda tx: shards.release(tx, ["ann", "nobody"]))
    assert db.read(shards.all_held) == {"bob": "why"}


# Freezes.


def freeze(freeze_id: str, **scope: str) -> Freeze:
    scopes: dict[str, str | None] = {"tenant_id": None, "account_id": None, "symbol": None}
    return Freeze(id=freeze_id, reason="why", **(scopes | scope))


@pytest.mark.parametrize(
    ("stop", "covers"),
    [
        (freeze("1"), True),
        (freeze("1", tenant_id="acme"), True),
        (freeze("1", tenant_id="other"), False),
        (freeze("1", account_id="ann"), True),
        (freeze("1", account_id="bob"), False),
        (freeze("1", tenant_id="acme", account_id="ann"), True),
        (freeze("1", tenant_id="other", account_id="ann"), False),
    ],
)
def test_a_freeze_covers_what_matches_every_word_of_it(stop: Freeze, covers: bool) -> None:  # noqa: FBT001
    assert stop.covers("acme", "ann") == covers


def test_freezes_come_back_and_are_lifted_by_their_exact_scope(db: Database) -> None:
    stops = [
        freeze("1"),
        freeze("2", tenant_id="acme"),
        freeze("3", tenant_id="acme", account_id="ann"),
        freeze("4", symbol="SPY"),
        freeze("5"),
    ]
    for n, stop in enumerate(stops):
        db.write(lambda tx, n=n, stop=stop: freezes.insert(tx, stop, NOON + timedelta(seconds=n)))  # type: ignore[misc]
    assert list(db.read(freezes.all_freezes)) == stops
    assert list(db.write(freezes.locked_freezes)) == stops
    assert db.write(lambda tx: freezes.remove(tx, tenant_id=None, account_id=None, symbol=None)) == 2
    assert db.write(lambda tx: freezes.remove(tx, tenant_id=None, account_id="ann", symbol=None)) == 0
    assert db.write(lambda tx: freezes.remove(tx, tenant_id="acme", account_id="ann", symbol=None)) == 1
    assert [each.id for each in db.read(freezes.all_freezes)] == ["2", "4"]


# Tenants and keys.

KEY = Key(
    key_id="k1",
    tenant_id="acme",
    tenant_name="Acme",
    secret_hash="ab12",
    scopes=frozenset({"portfolios:read", "strategies:write"}),
    created_at=NOON,
    expires_at=LATER,
    revoked_at=None,
)


def test_a_tenant_is_made_once_per_name(db: Database) -> None:
    assert db.write(lambda tx: tenants.ensure_tenant(tx, "new", name="Acme", now=LATER)) == "acme"
    assert db.write(lambda tx: tenants.ensure_tenant(tx, "new", name="New", now=LATER)) == "new"
    assert db.read(lambda tx: tenants.tenant_named(tx, "New")) == "new"
    assert db.read(lambda tx: tenants.tenant_named(tx, "new")) is None
    assert db.read(inspection.tenant_names) == {"acme": "Acme", "new": "New", "other": "Other"}


def test_a_key_comes_back_with_the_name_of_its_tenant(db: Database) -> None:
    plain = Key(
        key_id="k0",
        tenant_id="other",
        tenant_name="Other",
        secret_hash="00",
        scopes=frozenset(),
        created_at=LATER,
        expires_at=None,
        revoked_at=None,
    )
    for key in (plain, KEY):
        db.write(lambda tx, key=key: tenants.insert_key(tx, key))  # type: ignore[misc]
    assert db.read(lambda tx: tenants.key(tx, "k1")) == KEY
    assert db.read(lambda tx: tenants.key(tx, "none")) is None
    assert list(db.read(tenants.keys)) == [KEY, plain]


def test_a_key_is_revoked_once(db: Database) -> None:
    db.write(lambda tx: tenants.insert_key(tx, KEY))
    assert db.write(lambda tx: tenants.revoke_key(tx, "k1", NOON))
    assert db.write(lambda tx: tenants.revoke_key(tx, "k1", LATER))
    assert not db.write(lambda tx: tenants.revoke_key(tx, "none", LATER))
    found = db.read(lambda tx: tenants.key(tx, "k1"))
    assert found is not None
    assert found.revoked_at == NOON


# The sandbox's clock, and what an operator asks.


def test_the_clock_is_set_forward_and_never_back(db: Database) -> None:
    assert db.read(sandbox.clock) is None
    assert db.write(lambda tx: sandbox.set_clock(tx, NOON))
    assert db.write(lambda tx: sandbox.set_clock(tx, NOON))
    assert not db.write(lambda tx: sandbox.set_clock(tx, NOON - timedelta(microseconds=1)))
    assert db.read(sandbox.clock) == NOON
    assert db.write(lambda tx: sandbox.set_clock(tx, LATER))
    assert db.read(sandbox.clock) == LATER


def test_a_database_tells_how_safely_it_keeps_what_it_was_given(db: Database) -> None:
    found = db.read(inspection.durability)
    if db.dialect == "sqlite":
        assert found.is_safe
        assert found.how == "journal_mode wal, synchronous 2"
    else:
        assert not found.is_safe, "the suite's server saves nothing"
        assert found.how == "fsync off, synchronous_commit on"
