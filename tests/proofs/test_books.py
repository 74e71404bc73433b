"""The books of the proofs see what they are there for: pairs of a journal and tables, each wrong by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.brokers.alpaca_server import ServedOrder
from tests.proofs.books import EPOCH, Books, broken, order_id
from tests.proofs.exchange import Fact

AT = EPOCH + timedelta(seconds=10)
KEY = order_id("acme", "run", leg=0, generation=0)
AGAIN = order_id("acme", "run", leg=0, generation=1)
TENTH = Decimal("0.1")


def order(key: str, **given: Any) -> ServedOrder:
    """A buy of $40 of SPY at $400, done."""
    done = ServedOrder(
        id=f"at exchange {key}",
        account_id="ann",
        client_order_id=key,
        symbol="SPY",
        side="buy",
        type="market",
        quantity=None,
        notional=Decimal(40),
        limit=None,
        at=AT,
        status="filled",
        filled=TENTH,
        spent=Decimal(40),
    )
    return replace(done, **given)


def sound() -> dict[str, Any]:
    """One run that bought for $40, as both sides have it."""
    bought = order(KEY)
    intent = {"client_order_id": KEY, "run_id": "run", "leg": 0, "generation": 0, "account_id": "ann"}
    intent |= {"symbol": "SPY", "side": "buy", "quantity": None, "notional": "40.00", "state": "FILLED"}
    intent |= {"intent_at": 9_000_000, "filled_quantity": "0.1", "filled_value": "40"}
    run = {"id": "run", "seq": 1, "tenant_id": "acme", "account_id": "ann", "state": "COMPLETED"}
    run |= {"adjusted": 0, "reason": None, "finished_at": 12_000_000}
    execution = {"client_order_id": KEY, "quantity": "0.1", "price": "400"}
    return {
        "tables": {
            "runs": [run],
            "orders": [intent],
            "executions": [execution],
            "freezes": [],
            "accounts": [{"account_id": "ann", "held": None}],
        },
        "journal": [Fact(at=AT, event="filled", order=bought, quantity=TENTH, value=Decimal(40))],
        "orders": [bought],
        "began": {"ann": {"cash": Decimal(100)}},
        "ends": {"ann": {"cash": Decimal(60), "SPY": TENTH}},
        "prices": {"SPY": Decimal(400)},
        "named": {"run": {"SPY": 40, "cash": 60}},
    }


def test_what_is_right_breaks_no_rule() -> None:
    assert broken(Books(**sound())) == []


def row(table: str, **changed: Any) -> Callable[[dict[str, Any]], None]:
    """The first row of a table, otherwise."""
    return lambda both: both["tables"][table][0].update(changed)


def twice(both: dict[str, Any]) -> None:
    both["orders"].append(order(AGAIN))


def unmeant(both: dict[str, Any]) -> None:
    both["tables"]["orders"].clear()


def lost(both: dict[str, Any]) -> None:
    both["named"]["another"] = {}


def overdrawn(both: dict[str, Any]) -> None:
    both["began"]["ann"]["cash"] = Decimal(39)


def not_executed(both: dict[str, Any]) -> None:
    both["ends"]["ann"]["SPY"] = Decimal("0.2")


def elsewhere(both: dict[str, Any]) -> None:
    both["named"]["run"] = {"SPY": 60, "cash": 40}


def refused(both: dict[str, Any]) -> None:
    both["strangers"] = ["insufficient buying power"]


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "two orders of one run": (twice, "nothing_is_ordered_twice"),
    "no intent": (unmeant, "what_is_ordered_was_meant"),
    "another amount": (row("orders", notional="41"), "what_is_ordered_was_meant"),
    "an intent that came later": (row("orders", intent_at=11_000_000), "what_is_ordered_was_meant"),
    "an id of another leg": (row("orders", leg=1), "ids_name_legs"),
    "a run that is missing": (lost, "no_run_is_lost"),
    "a run that goes on": (row("runs", state="BUYING"), "no_run_is_lost"),
    "a run that failed": (row("runs", state="FAILED"), "no_run_is_lost"),
    "a fate that is not true": (row("orders", state="REFUSED"), "fates_are_the_exchanges"),
    "an amount that is not true": (row("orders", filled_quantity="0.2"), "fills_are_the_exchanges"),
    "half an execution": (row("executions", quantity="0.05"), "fills_are_the_exchanges"),
    "a debt": (overdrawn, "accounts_are_what_was_executed"),
    "shares from nowhere": (not_executed, "accounts_are_what_was_executed"),
    "another target": (elsewhere, "successes_are_on_target"),
    "a hold": (row("accounts", held="in doubt"), "nothing_is_held_for_good"),
    "a refusal": (refused, "nobody_is_refused_without_cause"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_seen(what: str) -> None:
    breaks, rule = WRONG[what]
    both = sound()
    breaks(both)
    assert rule in {each.partition(":")[0] for each in broken(Books(**both))}
