"""Migrate, freeze, thaw, assign and back up, and what each says when it cannot."""

import json
import shlex
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.cli.conftest import Trimtab
from trimtab.boot import open_paper_database
from trimtab.brokers.paper import PaperBroker
from trimtab.database import Database, open_database
from trimtab.settings import load_settings
from trimtab.store import freezes, shards, tenants

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def with_tenants(database: Database, *names: str) -> None:
    for name in names:
        database.write(lambda tx, name=name: tenants.ensure_tenant(tx, f"id-{name}", name=name, now=NOW))  # type: ignore[misc]


def frozen(database: Database) -> list[tuple[str | None, str | None, str | None, str]]:
    found = database.write(freezes.all_freezes)
    return [(each.tenant_id, each.account_id, each.symbol, each.reason) for each in found]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_migrate_makes_a_database_and_leaves_a_current_one(
    request: pytest.FixtureRequest, on_nothing: Trimtab, kind: str
) -> None:
    if kind == "postgres":
        on_nothing.settings["TRIMTAB_DATABASE_URL"] = request.getfixturevalue("empty_postgres_url")
        needs = "trimtab: the database has no schema yet, this version needs 0006: run `trimtab migrate`\n"
        assert on_nothing.fails("keys", "list") == needs
        assert on_nothing.fails("serve") == needs
        assert on_nothing.fails("audit") == needs
    assert on_nothing.works("migrate") == "migrated from nothing to schema 0006\n"
    assert on_nothing.works("migrate") == "the database has schema 0006 already\n"
    assert on_nothing.works("keys", "list").startswith("no keys; make one: ")


def test_a_newer_schema_is_left_alone(trimtab: Trimtab, database: Database) -> None:
    database.write(lambda tx: tx.execute("UPDATE alembic_version SET version_num = '9999'"))
    assert "schema 9999, of a newer Trimtab" in trimtab.fails("migrate")
    assert "schema 9999" in trimtab.fails("keys", "list")
    assert "schema 9999" in trimtab.fails("serve")
    assert database.read(lambda tx: tx.rows("SELECT * FROM alembic_version"))[0]["version_num"] == "9999"


def test_freeze_and_thaw(trimtab: Trimtab) -> None:
    with closing(open_database(trimtab.settings["TRIMTAB_DATABASE_URL"])) as database:
        with_tenants(database, "acme", "the other")
        ann = database.write(lambda tx: shards.claim_account(tx, "ann", tenant_id="id-acme", now=NOW))
        database.write(lambda tx: shards.take(tx, ann.shard, now=NOW))

        assert trimtab.works("freeze") == "frozen: everything; lift it with: trimtab thaw\n"
        assert database.read(lambda tx: shards.to_work(tx, datetime.now(UTC), idle_since=None)) == [
            ann.shard
        ], "asked to look"
        narrow = ("--tenant", "the other", "--account", "ann", "--symbol", "SPY")
        printed = trimtab.works("freeze", *narrow, "--reason", "bad prices")
        mend = "trimtab thaw --tenant 'the other' --account ann --symbol SPY"
        assert printed == f"frozen: tenant the other, account ann, symbol SPY; lift it with: {mend}\n"
        assert frozen(database) == [
            (None, None, None, "by hand"),
            ("id-the other", "ann", "SPY", "bad prices"),
        ]

        left = f"still frozen: tenant the other, account ann, symbol SPY (bad prices); lift it with: {mend}\n"
        assert trimtab.works("thaw") == f"lifted 1 freeze\n{left}"
        assert trimtab.works("thaw") == f"lifted 0 freezes\n{left}"
        assert trimtab.works(*shlex.split(mend)[1:]) == "lifted 1 freeze\n"
        assert frozen(database) == []


def test_a_person_releases_a_held_account(trimtab: Trimtab) -> None:
    why = "the broker shows 3 SPY, our fills make it 4"
    with closing(open_database(trimtab.settings["TRIMTAB_DATABASE_URL"])) as database:
        with_tenants(database, "acme")
        for name in ("ann", "bob b"):
            database.write(
                lambda tx, name=name: shards.claim_account(tx, name, tenant_id="id-acme", now=NOW)  # type: ignore[misc]
            )
        database.write(lambda tx: shards.hold(tx, {"ann": why, "bob b": "the fate of an order is unknown"}))

        def held() -> set[str]:
            return set(database.read(shards.all_held))

        bob = (
            "account bob b (the fate of an order is unknown); release it with: trimtab thaw --account 'bob b'"
        )
        ann = f"account ann ({why}); release it with: trimtab thaw --account ann"
        both = f"lifted 0 freezes\nstill held: {ann}\nstill held: {bob}\n"
        assert trimtab.works("thaw") == both
        assert trimtab.works("thaw", "--account", "ann", "--symbol", "SPY") == both
        assert trimtab.works("thaw", "--account", "ann", "--tenant", "acme") == both
        found = json.loads(trimtab.works("doctor", "--json"))["findings"]
        said = {(each["level"], each["text"], each["hint"]) for each in found if each["check"] == "holds"}
        assert (
            "warning",
            f"account ann is held: {why}",
            "look at it; if it is right: trimtab thaw --account ann",
        ) in said
        assert held() == {"ann", "bob b"}

        trimtab.works("freeze", "--account", "ann")
        printed = trimtab.works("thaw", "--account", "ann")
        assert printed == f"lifted 1 freeze\nreleased account ann, which was held: {why}\nstill held: {bob}\n"
        assert held() == {"bob b"}
        assert trimtab.works("thaw", "--account", "ann") == f"lifted 0 freezes\nstill held: {bob}\n"
        assert trimtab.works("thaw", "--account", "nobody") == f"lifted 0 freezes\nstill held: {bob}\n"


def test_an_unknown_tenant_is_not_made_by_a_freeze(on_sqlite: Trimtab) -> None:
    expected = "trimtab: no tenant acmee: `trimtab keys list` names them\n"
    assert on_sqlite.fails("freeze", "--tenant", "acmee") == expected
    assert on_sqlite.fails("thaw", "--tenant", "acmee") == expected


def test_an_unknown_account_is_frozen_and_said(on_sqlite: Trimtab) -> None:
    done = on_sqlite("freeze", "--account", "nobody")
    assert (done.code, done.out) == (
        0,
        "frozen: account nobody; lift it with: trimtab thaw --account nobody\n",
    )
    assert done.err == "trimtab: no account nobody is known yet; it is frozen if it ever comes\n"


def test_an_account_is_assigned_once(trimtab: Trimtab) -> None:
    with closing(open_database(trimtab.settings["TRIMTAB_DATABASE_URL"])) as database:
        with_tenants(database, "acme", "other")
        for _ in range(2):
            assert trimtab.works("accounts", "assign", "ann", "--tenant", "acme") == "account ann is acme's\n"
        refused = trimtab.fails("accounts", "assign", "ann", "--tenant", "other")
        assert refused == "trimtab: account ann is acme's already, and stays there\n"
        assert "no tenant nobody" in trimtab.fails("accounts", "assign", "bob", "--tenant", "nobody")
        assert set(database.read(lambda tx: shards.accounts(tx, ["ann", "bob"]))) == {"ann"}


def test_a_backup_is_a_frozen_copy_of_both_files(on_sqlite: Trimtab) -> None:
    with closing(open_paper_database(load_settings(on_sqlite.settings))) as paper_db:
        paper = PaperBroker(paper_db, lambda: NOW)
        paper.open_account("ann", "id-acme", cash=Decimal(1000), positions={})
        on_sqlite.works("keys", "create", "--tenant", "acme")
        on_sqlite.works("accounts", "assign", "ann", "--tenant", "acme")
        printed = on_sqlite.works("backup", "copy.db")
    assert printed == "copied to copy.db and copy.db-paper.db; the copy is frozen\n"
    assert sorted(path.name for path in on_sqlite.folder.glob("copy*")) == ["copy.db", "copy.db-paper.db"]

    on_sqlite.settings["TRIMTAB_DATABASE_URL"] = "sqlite:///copy.db"
    found = json.loads(on_sqlite.works("doctor", "--json"))["findings"]
    said = {(each["check"], each["level"], each["text"]) for each in found}
    reason = "restored from a backup: ends by itself once everything has been compared with the broker"
    assert ("freezes", "warning", f"in force for everything: {reason}") in said
    assert ("broker", "ok", "paper, 0 assets, 1 accounts") in said
    assert "not run" not in on_sqlite.works("audit")
    waits = "still waiting: `trimtab serve` compares this restored copy with the broker first\n"
    assert on_sqlite.works("thaw") == "lifted 1 freeze\n" + waits


@pytest.mark.parametrize("taken", ["copy.db", "copy.db-paper.db"])
def test_a_backup_never_overwrites(on_sqlite: Trimtab, taken: str) -> None:
    (on_sqlite.folder / taken).write_text("mine", encoding="utf-8")
    refused = on_sqlite.fails("backup", "copy.db")
    assert refused == f"trimtab: {taken} exists already: name another file\n"
    assert [path.name for path in on_sqlite.folder.glob("copy*")] == [taken]
    assert (on_sqlite.folder / taken).read_text(encoding="utf-8") == "mine"


def test_a_backup_that_cannot_be_written_leaves_nothing(on_sqlite: Trimtab) -> None:
    assert "unable to open database file" in on_sqlite.fails("backup", "nowhere/copy.db")
    assert sorted(path.name for path in on_sqlite.folder.iterdir()) == ["trimtab.db"]


def test_an_empty_file_is_not_worth_a_backup(on_nothing: Trimtab) -> None:
    assert "there is no such file" in on_nothing.fails("backup", "copy.db")
    (on_nothing.folder / "trimtab.db").touch()
    assert "no schema yet" in on_nothing.fails("backup", "copy.db")
    assert not list(on_nothing.folder.glob("copy*"))


def test_postgresql_is_backed_up_by_its_own_tool(on_nothing: Trimtab) -> None:
    url = "postgresql://trimtab:secret@db.example.com/trimtab"
    line = on_nothing.fails("backup", "copy.dump", TRIMTAB_DATABASE_URL=url)
    assert "pg_dump --format=custom --file=copy.dump 'postgresql://trimtab:…@db.example.com/trimtab'" in line
