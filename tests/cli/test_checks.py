"""`trimtab doctor` and `trimtab audit`: their findings, their marks, their exit codes."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.cli.conftest import Trimtab
from trimtab.boot import open_paper_database
from trimtab.brokers.paper_faults import parse_faults
from trimtab.brokers.paper_market import update_faults
from trimtab.settings import SETTINGS, load_settings


def findings(printed: str) -> list[tuple[str, str, str]]:
    return [(each["check"], each["level"], each["text"]) for each in json.loads(printed)["findings"]]


def test_doctor_of_a_sound_installation(trimtab: Trimtab) -> None:
    trimtab.works("keys", "create", "--tenant", "acme")
    with closing(open_paper_database(load_settings(trimtab.settings))):
        pass
    report = json.loads(trimtab.works("doctor", "--json"))
    assert report["ok"] is True
    assert {tuple(each) for each in report["findings"]} == {("check", "level", "text", "hint")}
    # The suite's PostgreSQL does not wait for the disk, and doctor says so.
    unsafe = {(each["level"], "power cut" in each["text"]) for each in report["findings"]} - {("ok", False)}
    on_postgres = trimtab.settings["TRIMTAB_DATABASE_URL"].startswith("postgres")
    assert unsafe == {("warning" if on_postgres else "ok", True)}
    said = {(each["check"], each["text"]) for each in report["findings"]}
    assert {
        ("settings", "every setting can be used"),
        ("database", "reachable, schema 0006"),
        ("broker", "paper, 0 assets, 0 accounts"),
        ("keys", "1 active"),
        ("freezes", "none in force"),
    } <= said
    assert any("calendar XNYS knows 1990-01-02 to " in text and "10 years ahead" in text for _, text in said)


def test_doctor_before_the_first_start_makes_no_file(on_nothing: Trimtab) -> None:
    printed = on_nothing.works("doctor")
    assert "warning  database  no file " in printed
    assert "→ `trimtab serve` or `trimtab keys create --tenant NAME` makes it" in printed
    assert list(on_nothing.folder.iterdir()) == []


def test_doctor_says_what_keeps_the_server_from_starting(on_sqlite: Trimtab) -> None:
    done = on_sqlite("doctor", TRIMTAB_MARKET="MOON", TRIMTAB_LISTEN="192.0.2.1:8000")
    assert (done.code, done.err) == (1, "")
    assert "fatal    clock     TRIMTAB_MARKET is 'MOON': no such calendar" in done.out
    assert "fatal    keys      no active key, which 192.0.2.1 must not be served without" in done.out
    assert "→ trimtab keys create --tenant NAME" in done.out


@pytest.mark.parametrize(
    ("settings", "check", "text"),
    [
        ({"TRIMTAB_SANDBX": "1"}, "settings", "unknown setting TRIMTAB_SANDBX"),
        ({"TRIMTAB_DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/x"}, "database", "u:…@127.0.0.1:1/x"),
        ({"TRIMTAB_DATABASE_URL": "sqlite:///."}, "database", "unable to open database file"),
    ],
)
def test_doctor_goes_as_far_as_it_can(
    on_nothing: Trimtab, settings: dict[str, str], check: str, text: str
) -> None:
    done = on_nothing("doctor", "--json", **settings)
    assert (done.code, done.err) == (1, "")
    assert json.loads(done.out)["ok"] is False
    assert "secret" not in done.out
    fatal = [(found, said) for found, level, said in findings(done.out) if level == "fatal"]
    assert [found for found, _ in fatal] == [check]
    assert text in fatal[0][1]


def test_doctor_of_an_empty_database(on_nothing: Trimtab, empty_postgres_url: str) -> None:
    (on_nothing.folder / "trimtab.db").touch()
    empty = "reachable, no schema yet; this version needs 0006"
    assert ("database", "warning", empty) in findings(on_nothing.works("doctor", "--json"))
    done = on_nothing("doctor", "--json", TRIMTAB_DATABASE_URL=empty_postgres_url)
    assert done.code == 1
    assert ("database", "fatal", empty) in findings(done.out)


def test_doctor_of_a_newer_database(on_sqlite: Trimtab) -> None:
    with closing(sqlite3.connect(on_sqlite.folder / "trimtab.db")) as plain, plain:
        plain.execute("UPDATE alembic_version SET version_num = '9999'")
    done = on_sqlite("doctor")
    assert done.code == 1
    assert "fatal    database  schema 9999 was made by a newer Trimtab; this one needs 0006" in done.out


def test_doctor_tells_the_sandbox_clock_and_a_played_outage(on_sqlite: Trimtab) -> None:
    on_sqlite.settings["TRIMTAB_SANDBOX"] = "1"
    assert "the sandbox's, not set yet: it shows real time" in on_sqlite.works("doctor")
    with closing(sqlite3.connect(on_sqlite.folder / "trimtab.db")) as plain, plain:
        # 2060-01-01 00:00 UTC, beyond every calendar.
        plain.execute("INSERT INTO sandbox_clock VALUES (1, 2840140800000000)")
    with closing(open_paper_database(load_settings(on_sqlite.settings))) as paper:
        paper.write(lambda tx: update_faults(tx, parse_faults({"outage": True})))
    done = on_sqlite("doctor")
    assert done.code == 1
    assert "ok       clock     the sandbox's, it stands at 2060-01-01 00:00 UTC" in done.out
    assert "which does not cover 2060-01-01" in done.out
    assert "warning  broker    the paper broker plays an outage" in done.out


def test_all_settings_are_listed_without_secrets(on_nothing: Trimtab) -> None:
    (on_nothing.folder / ".env").write_text("TRIMTAB_MARKET=XLON\nOTHER=1\n", encoding="utf-8")
    url = "postgresql://u:se@cret@h/x?password=pass"
    printed = on_nothing.works("doctor", "--settings", "--json", TRIMTAB_DATABASE_URL=url)
    shown = {each["name"]: each for each in json.loads(printed)["settings"]}
    assert list(shown) == [setting.name for setting in SETTINGS]
    assert shown["TRIMTAB_DATABASE_URL"]["value"] == "postgresql://u:…@h/x?password=…"
    assert shown["TRIMTAB_MARKET"]["value"] == "XLON"
    assert (shown["TRIMTAB_QUARTERS"]["value"], shown["TRIMTAB_QUARTERS"]["default"]) == ("1,3,6,12",) * 2
    text = on_nothing.works("doctor", "--settings")
    assert all(f"{setting.name}=" in text and setting.meaning in text for setting in SETTINGS)


def test_a_wrong_setting_is_listed_and_still_an_error(on_nothing: Trimtab) -> None:
    done = on_nothing("doctor", "--settings", TRIMTAB_SANDBOX="yes")
    assert done.code == 1
    assert "TRIMTAB_SANDBOX=yes" in done.out
    assert done.err == "trimtab: TRIMTAB_SANDBOX is 'yes': give 0 or 1\n"


def test_audit_of_a_sound_database(trimtab: Trimtab) -> None:
    with closing(open_paper_database(load_settings(trimtab.settings))):
        pass
    printed = trimtab.works("audit")
    assert printed.startswith("I1   passed   no order twice (0 checked)\n")
    assert printed.endswith("no invariant is broken\n")
    report = json.loads(trimtab.works("audit", "--json"))
    assert report["ok"] is True
    assert {each["verdict"] for each in report["invariants"]} == {"passed"}


def test_audit_finds_what_is_broken(on_sqlite: Trimtab) -> None:
    with closing(sqlite3.connect(on_sqlite.folder / "trimtab.db")) as plain, plain:
        plain.execute("INSERT INTO events VALUES (1, 'no such run', 1, 'QUEUED', 0)")
    done = on_sqlite("audit")
    assert (done.code, done.err) == (1, "")
    assert done.out.endswith("broken: I10\n")
    assert "I10  failed   legal changes of state only" in done.out
    assert "       " in done.out, "witnesses are indented"
    # There is no ledger to compare with, and none is made.
    assert "I7   not run  executions add up to positions" in done.out
    assert not list(on_sqlite.folder.glob("*paper*"))
    done = on_sqlite("audit", "--json")
    assert (done.code, json.loads(done.out)["ok"]) == (1, False)
