"""What a report says: verdicts with and without the broker's ledger, what is only reported, its texts."""

import json

import pytest

from tests.audit.facts import Fact
from tests.audit.world import (
    BUY,
    FIRST,
    ORDERS,
    SECOND_BUY,
    UNKNOWN,
    WORLD,
    Edit,
    accepted,
    add,
    at,
    dec,
    edit,
    edited,
    moving,
)
from trimtab.audit.check import TITLES, audit
from trimtab.audit.ledger import watched
from trimtab.audit.report import Report, as_json, lines
from trimtab.audit.tally import WITNESSES_MAX

BROKER_ONLY = {"I7", "I8", "I11"}
BOTH_SIDES = {"I1", "I2", "I3", "I9"}


def report(*edits: Edit) -> Report:
    world = edited(*edits)
    return audit(world.evidence, world.ledger)


def test_without_a_ledger_the_brokers_side_is_not_run() -> None:
    found = audit(WORLD.evidence, None).findings
    assert {each.id for each in found if each.verdict == "not run"} == BROKER_ONLY
    assert {each.id for each in found if each.partial} == BOTH_SIDES
    assert {each.verdict for each in found if each.id not in BROKER_ONLY} == {"passed"}


def test_without_a_ledger_the_database_is_still_checked() -> None:
    broken = edited(edit("orders", BUY, filled_quantity=dec("1")))
    found = audit(broken.evidence, None)
    assert not found.ok
    assert [each.id for each in found.findings if each.verdict == "failed"] == ["I9"]


def test_with_a_ledger_nothing_is_partial() -> None:
    assert not any(each.partial for each in report().findings)


def test_open_runs_are_reported_and_not_failed() -> None:
    found = report(moving("A"))
    assert found.ok
    assert found.open_accounts.first == ("B",)
    assert found.moving_accounts.first == ("A",)
    assert found.open_orders.count == 1
    assert ORDERS[UNKNOWN].client_order_id in found.open_orders.first[0]


def test_an_open_order_is_reported_once_its_run_has_ended() -> None:
    ended = report(edit("orders", SECOND_BUY, state="OPEN"))
    assert any("(run run-2 leg 1) is OPEN" in each for each in ended.open_orders.first)
    working = report(edit("orders", UNKNOWN, state="OPEN"))
    assert working.open_orders.count == 0


def test_witnesses_are_the_first_of_many() -> None:
    gifts = [Fact(seq=seq, at=at(9), kind="gift", account_id="A") for seq in range(15, 40)]
    edits = [add("entries", gift) for gift in gifts]
    found = next(each for each in report(*edits).findings if each.id == "I8")
    assert found.broken == 25
    assert len(found.witnesses) == WITNESSES_MAX
    assert any(line.strip() == "and 5 more" for line in lines(report(*edits)))


def test_as_json() -> None:
    made = json.loads(json.dumps(as_json(report(edit("runs", FIRST, cause="")))))
    assert made["ok"] is False
    assert [each["id"] for each in made["invariants"]] == list(TITLES)
    broken = [each for each in made["invariants"] if each["verdict"] == "failed"]
    assert broken == [
        {
            "id": "I5",
            "title": "no run without a recorded cause",
            "verdict": "failed",
            "partial": False,
            "checked": 6,
            "broken": 1,
            "witnesses": ["run run-1 has no cause"],
        }
    ]
    assert made["open_accounts"] == {"count": 1, "first": ["B"]}


def test_lines() -> None:
    intact = list(lines(report()))
    assert intact[0] == "I1   passed   no order twice (9 checked)"
    assert "accounts with open runs: 1 (B)" in intact
    assert intact[-1] == "no invariant is broken"
    assert len(intact) == len(TITLES) + 3
    assert list(lines(report(edit("runs", FIRST, cause=""))))[-1] == "broken: I5"
    alone = list(lines(audit(WORLD.evidence, None)))
    assert "I7   not run  executions add up to positions (the broker's ledger cannot be read)" in alone
    assert (
        "I1   passed   no order twice (5 checked; in the database only: the broker's ledger cannot be read)"
        in alone
    )


@pytest.mark.parametrize(("seen", "changed"), [(14, set()), (13, {"A"}), (0, {"A", "B"})])
def test_accounts_that_change_while_they_are_read_are_moving(seen: int, changed: set[str]) -> None:
    entries = WORLD.ledger.entries
    ledger = watched(seen, entries, balances=WORLD.ledger.balances)
    assert ledger.moving == changed
    assert ledger.entries == entries


def test_an_order_sent_while_the_two_sides_are_read_is_no_stranger() -> None:
    entries = WORLD.ledger.entries
    opened = Fact(seq=15, at=at(8), kind="opened", account_id="C", amount=dec("1"))
    new = accepted(ORDERS[UNKNOWN], 16, 8)
    ledger = watched(entries[-1].seq, (*entries, opened, new), balances=WORLD.ledger.balances)
    assert ledger.moving == {"B", "C"}
    assert audit(WORLD.evidence, ledger).ok
