"""Corporate actions in a ledger: an honest one adds up, and whatever is planted in it stands out.

A and B hold SPY (10 and 3.333333333), C holds none. SPY is split three for two, pays $0.005 a share, is
split back ten for one, becomes NEW, and NEW is taken back for $7.77 a share.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.audit.facts import Fact
from tests.audit.test_paper_ledger import NOTHING, broken
from tests.audit.world import Money, at, dec
from trimtab.audit.check import audit
from trimtab.audit.ledger import Ledger

FACTS: tuple[dict[str, Any], ...] = (
    {"kind": "opened", "account_id": "A", "amount": dec("0")},
    {"kind": "seeded", "account_id": "A", "symbol": "SPY", "quantity": dec("10")},
    {"kind": "opened", "account_id": "B", "amount": dec("0")},
    {"kind": "seeded", "account_id": "B", "symbol": "SPY", "quantity": dec("3.333333333")},
    {"kind": "opened", "account_id": "C", "amount": dec("0")},
    {"kind": "corporate_action", "symbol": "SPY", "reason": "split", "ratio": dec("1.5"), "ref": "1"},
    {"kind": "split", "account_id": "A", "symbol": "SPY", "quantity": dec("5"), "ref": "1"},
    # 4.9999999995 is 4.999999999.
    {"kind": "split", "account_id": "B", "symbol": "SPY", "quantity": dec("1.666666666"), "ref": "1"},
    # $0.099999999995 is nine cents: 6.75 and 2.25 of them.
    {
        "kind": "corporate_action",
        "symbol": "SPY",
        "reason": "cash_dividend",
        "price": dec("0.005"),
        "ref": "2",
    },
    {"kind": "dividend", "account_id": "A", "symbol": "SPY", "amount": dec("0.07"), "ref": "2"},
    {"kind": "dividend", "account_id": "B", "symbol": "SPY", "amount": dec("0.02"), "ref": "2"},
    {"kind": "corporate_action", "symbol": "SPY", "reason": "reverse_split", "ratio": dec("10"), "ref": "3"},
    {"kind": "split", "account_id": "A", "symbol": "SPY", "quantity": dec("-13.5"), "ref": "3"},
    # 4.999999999 is 0.499999999.
    {"kind": "split", "account_id": "B", "symbol": "SPY", "quantity": dec("-4.5"), "ref": "3"},
    {"kind": "corporate_action", "symbol": "SPY", "reason": "rename", "new_symbol": "NEW", "ref": "4"},
    {
        "kind": "renamed",
        "account_id": "A",
        "symbol": "SPY",
        "new_symbol": "NEW",
        "quantity": dec("1.5"),
        "ref": "4",
    },
    {
        "kind": "renamed",
        "account_id": "B",
        "symbol": "SPY",
        "new_symbol": "NEW",
        "quantity": dec("0.499999999"),
        "ref": "4",
    },
    {"kind": "corporate_action", "symbol": "NEW", "reason": "delist", "price": dec("7.77"), "ref": "5"},
    {
        "kind": "paid_out",
        "account_id": "A",
        "symbol": "NEW",
        "quantity": dec("1.5"),
        "price": dec("7.77"),
        "amount": dec("11.655"),
        "ref": "5",
    },
    {
        "kind": "paid_out",
        "account_id": "B",
        "symbol": "NEW",
        "quantity": dec("0.499999999"),
        "price": dec("7.77"),
        "amount": dec("3.88499999223"),
        "ref": "5",
    },
)
SPLIT_A, SPLIT_B, DIVIDEND, DIVIDEND_A, DIVIDEND_B = 6, 7, 8, 9, 10
REVERSE_B, RENAMED_A, RENAMED_B, PAID_A = 13, 15, 16, 18
CASH = {"A": dec("11.725"), "B": dec("3.90499999223"), "C": dec("0")}

Facts = list[Fact]
Edit = Callable[[Facts], None]


def ledger(*edits: Edit, until: int | None = None, **positions: Mapping[str, Decimal]) -> Ledger:
    entries = [
        Fact(**{"seq": seq, "at": at(0), "account_id": "", **fact})
        for seq, fact in enumerate(FACTS[:until], 1)
    ]
    for edit in edits:
        edit(entries)
    cash = {
        name: sum((e.amount or dec("0") for e in entries if e.account_id == name), dec("0")) for name in CASH
    }
    balances = {name: Money(cash=cash[name], positions=positions.get(name, {})) for name in CASH}
    return Ledger(entries=entries, balances=balances)


def test_an_honest_ledger_adds_up() -> None:
    honest = ledger()
    assert {name: held.cash for name, held in honest.balances.items()} == CASH
    report = audit(NOTHING, honest)
    assert report.ok, [finding.witnesses for finding in report.findings]


def change(place: int, **values: Any) -> Edit:
    def apply(entries: Facts) -> None:
        entries[place] = replace(entries[place], **values)

    return apply


def drop(place: int) -> Edit:
    def apply(entries: Facts) -> None:
        del entries[place]

    return apply


def again(place: int, **values: Any) -> Edit:
    return lambda entries: entries.insert(place + 1, replace(entries[place], **values))


NANO = dec("0.000000001")
AFTER_SPLIT = {"A": {"SPY": dec("15")}, "B": {"SPY": dec("4.999999999")}}

# name, the edit, how far the ledger goes, what the accounts then hold (as the ledger has it), what is broken
PLANTED: list[tuple[str, Edit, int, dict[str, dict[str, Decimal]], set[str]]] = [
    (
        "a billionth of a share too many, in the ledger and in the account",
        change(SPLIT_B, quantity=dec("1.666666667")),
        8,
        AFTER_SPLIT | {"B": {"SPY": dec("5")}},
        {"I7"},
    ),
    (
        "a billionth too many, in the account only",
        change(0),
        8,
        AFTER_SPLIT | {"B": {"SPY": dec("5")}},
        {"I7"},
    ),
    ("a holder was forgotten", drop(SPLIT_A), 8, AFTER_SPLIT | {"A": {"SPY": dec("10")}}, {"I7"}),
    (
        "a split that was not announced",
        drop(5),
        7,
        AFTER_SPLIT | {"B": {"SPY": dec("4.999999999")}},
        {"I7"},
    ),
    (
        "twice for one account",
        again(SPLIT_A),
        8,
        AFTER_SPLIT | {"A": {"SPY": dec("20")}},
        {"I7"},
    ),
    (
        "somebody who holds none",
        again(SPLIT_A, account_id="C"),
        8,
        AFTER_SPLIT | {"C": {"SPY": dec("5")}},
        {"I7"},
    ),
    ("of another action", change(SPLIT_A, ref="7"), 8, AFTER_SPLIT, {"I7"}),
    ("another ratio", change(5, ratio=dec("1.6")), 8, AFTER_SPLIT, {"I7"}),
    (
        "rounded up",
        change(REVERSE_B, quantity=dec("-4.499999999")),
        14,
        {"A": {"SPY": dec("1.5")}, "B": {"SPY": dec("0.5")}},
        {"I7"},
    ),
    ("a cent to the wrong one", change(DIVIDEND_A, amount=dec("0.08")), 11, AFTER_SPLIT, {"I8"}),
    ("a cent to nobody", change(DIVIDEND_B, amount=dec("0.01")), 11, AFTER_SPLIT, {"I8"}),
    ("a dividend forgotten", drop(DIVIDEND_A), 11, AFTER_SPLIT, {"I8"}),
    ("a dividend of somebody else", change(DIVIDEND_A, account_id="C"), 11, AFTER_SPLIT, {"I8"}),
    (
        "another name",
        change(RENAMED_A, new_symbol="NEWER"),
        17,
        {"A": {"NEWER": dec("1.5")}, "B": {"NEW": dec("0.499999999")}},
        {"I7"},
    ),
    (
        "half renamed",
        change(RENAMED_B, quantity=dec("0.4")),
        17,
        {"A": {"NEW": dec("1.5")}, "B": {"SPY": dec("0.099999999"), "NEW": dec("0.4")}},
        {"I7"},
    ),
    ("paid out for too little", change(PAID_A, amount=dec("11.65")), 20, {}, {"I8"}),
    (
        "more shares than there are",
        change(PAID_A, quantity=dec("2")),
        20,
        {"A": {"NEW": dec("-0.5")}},
        {"I7", "I8"},
    ),
    (
        "an unknown kind",
        change(SPLIT_A, kind="gift", amount=dec("1")),
        8,
        AFTER_SPLIT | {"A": {"SPY": dec("10")}},
        {"I7", "I8"},
    ),
]


@pytest.mark.parametrize(
    ("edit", "until", "positions", "invariants"), [pytest.param(*case[1:], id=case[0]) for case in PLANTED]
)
def test_what_was_planted_stands_out(
    edit: Edit, until: int, *, positions: dict[str, dict[str, Decimal]], invariants: set[str]
) -> None:
    kept = {name: {s: q for s, q in held.items() if q} for name, held in positions.items()}
    assert broken(audit(NOTHING, ledger(edit, until=until, **kept))) == invariants
