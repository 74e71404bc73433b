"""Orders folded from ledger entries: when they are final, and what repeats."""

import pytest

from tests.audit.facts import Fact
from tests.audit.world import at, dec
from trimtab.audit.ledger import BrokerOrder, broker_orders


def fact(seq: int, kind: str, **amounts: str) -> Fact:
    return Fact(
        seq=seq,
        at=at(seq),
        kind=kind,
        account_id="A",
        client_order_id="order",
        symbol="SPY",
        side="buy",
        **{name: dec(value) for name, value in amounts.items()},  # type: ignore[arg-type]
    )


def fold(*facts: Fact) -> BrokerOrder:
    return broker_orders(facts)["order"]


FINAL_CASES: list[tuple[list[Fact], int | None]] = [
    ([fact(1, "accepted", quantity="2")], None),
    ([fact(1, "accepted", quantity="2"), fact(2, "executed", quantity="1.999999999", price="10")], None),
    ([fact(1, "accepted", quantity="2"), fact(2, "executed", quantity="2", price="10")], 2),
    ([fact(1, "accepted", quantity="2"), fact(2, "canceled"), fact(3, "executed", quantity="2")], 2),
    ([fact(1, "accepted", quantity="2"), fact(2, "rejected")], 2),
    ([fact(1, "rejected")], 1),
    # A billionth of a share at $10 is $0.00000001: what is left buys one more, or nothing.
    ([fact(1, "accepted", notional="10.00000001"), fact(2, "executed", quantity="1", price="10")], None),
    ([fact(1, "accepted", notional="10.000000009"), fact(2, "executed", quantity="1", price="10")], 2),
    ([fact(1, "accepted", notional="10"), fact(2, "executed", quantity="0.9", price="10")], None),
]


@pytest.mark.parametrize(("facts", "final_seq"), FINAL_CASES)
def test_an_order_is_final_when_nothing_is_left_of_it(facts: list[Fact], final_seq: int | None) -> None:
    assert fold(*facts).final_seq == final_seq


def test_an_order_is_live_from_its_acceptance_to_its_end() -> None:
    accepted = fact(1, "accepted", quantity="2")
    assert fold(accepted).is_live
    assert not fold(accepted, fact(2, "canceled")).is_live
    assert not fold(fact(1, "rejected")).is_live


def test_repeated_acceptances_are_counted() -> None:
    accepted = fact(1, "accepted", quantity="2")
    assert fold(accepted).repeats == 0
    assert fold(accepted, accepted, accepted).repeats == 2


def test_what_is_of_no_order_is_left_out() -> None:
    assert broker_orders([Fact(seq=1, at=at(1), kind="opened", account_id="A")]) == {}
