"""The checker sees: a sound exhibit passes, and every rule stops exhibits that are wrong in one thing.

One account sells ten GLD at $200 and buys SPY at $400 for $1,000 and TLT at $100 for $1,000.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest

from tests.audit.facts import Fact
from tests.engine.desks import MONDAY
from tests.simulator.checker import ORDER_NAMESPACE, RULES, Exhibit, Stop
from trimtab.core.plan import Holdings
from trimtab.store.evidence import Evidence, StoredEvent, StoredExecution, StoredOrder, StoredRun

ACCOUNT, RUN, TENANT = "a0", "run", "acme"
SELL, SPY, TLT = (str(uuid5(ORDER_NAMESPACE, f"{TENANT}:{RUN}:{leg}:0")) for leg in range(3))


def at(seconds: float) -> datetime:
    return MONDAY + timedelta(seconds=seconds)


def facts(*wanted: tuple[str, float, Mapping[str, Any]]) -> tuple[Fact, ...]:
    return tuple(
        Fact(seq=n, at=at(when), kind=kind, account_id=ACCOUNT, **details)
        for n, (kind, when, details) in enumerate(wanted, start=1)
    )


def accepted(key: str, symbol: str, side: str, *, amount: str) -> dict[str, Any]:
    sized = {"quantity" if side == "sell" else "notional": Decimal(amount)}
    return {"client_order_id": key, "symbol": symbol, "side": side, **sized}


def executed(key: str, symbol: str, quantity: str, *, price: str) -> dict[str, Any]:
    side = "sell" if key == SELL else "buy"
    value = Decimal(quantity) * Decimal(price) * (1 if key == SELL else -1)
    found = {"client_order_id": key, "symbol": symbol, "side": side, "execution_id": f"of {symbol}"}
    return {**found, "quantity": Decimal(quantity), "price": Decimal(price), "amount": value}


OPENED = ("opened", 0.0, {"amount": Decimal(0)})
SEEDED = ("seeded", 0.0, {"symbol": "GLD", "quantity": Decimal(10)})
SELL_ACCEPTED = ("accepted", 2.0, accepted(SELL, "GLD", "sell", amount="10"))
SELL_EXECUTED = ("executed", 3.0, executed(SELL, "GLD", "10", price="200"))
SPY_ACCEPTED = ("accepted", 5.0, accepted(SPY, "SPY", "buy", amount="1000"))
SPY_EXECUTED = ("executed", 6.0, executed(SPY, "SPY", "2.5", price="400"))
TLT_ACCEPTED = ("accepted", 5.5, accepted(TLT, "TLT", "buy", amount="1000"))
TLT_EXECUTED = ("executed", 6.5, executed(TLT, "TLT", "10", price="100"))
STORY = (
    *(OPENED, SEEDED, SELL_ACCEPTED, SELL_EXECUTED, SPY_ACCEPTED, TLT_ACCEPTED),
    *(SPY_EXECUTED, TLT_EXECUTED),
)


def order(key: str, leg: int, *, symbol: str, meant_at: float, filled: tuple[str, str]) -> StoredOrder:
    sells = key == SELL
    return StoredOrder(
        run_id=RUN,
        leg=leg,
        generation=0,
        client_order_id=key,
        account_id=ACCOUNT,
        symbol=symbol,
        side="sell" if sells else "buy",
        quantity=Decimal(10) if sells else None,
        notional=None if sells else Decimal(1000),
        worst_price=None,
        impact_bps_max=None,
        state="FILLED",
        intent_at=at(meant_at),
        filled_quantity=Decimal(filled[0]),
        filled_value=Decimal(filled[0]) * Decimal(filled[1]),
        updated_at=at(7),
    )


def execution(key: str, symbol: str, quantity: str, *, price: str) -> StoredExecution:
    return StoredExecution(
        broker="simulated",
        execution_id=f"of {symbol}",
        client_order_id=key,
        quantity=Decimal(quantity),
        price=Decimal(price),
    )


def events(*states: str) -> tuple[StoredEvent, ...]:
    return tuple(StoredEvent(run_id=RUN, number=n, state=s, at=at(n)) for n, s in enumerate(states, start=1))


EVIDENCE = Evidence(
    runs=(
        StoredRun(
            seq=1,
            id=RUN,
            tenant_id=TENANT,
            account_id=ACCOUNT,
            enrollment_id=None,
            kind="full_rebalance",
            initiator="api",
            cause="asked for",
            slot=None,
            state="COMPLETED",
            adjusted=False,
            created_at=at(0),
            finished_at=at(8),
        ),
    ),
    plans=(),
    orders=(
        order(SELL, 0, symbol="GLD", meant_at=1, filled=("10", "200")),
        order(SPY, 1, symbol="SPY", meant_at=4, filled=("2.5", "400")),
        order(TLT, 2, symbol="TLT", meant_at=4, filled=("10", "100")),
    ),
    executions=(
        execution(SELL, "GLD", "10", price="200"),
        execution(SPY, "SPY", "2.5", price="400"),
        execution(TLT, "TLT", "10", price="100"),
    ),
    skips=(),
    events=events("QUEUED", "PLANNED", "SELLING", "BUYING", "COMPLETED"),
    adjustments=(),
    enrollments=(),
)
SOUND = Exhibit(
    facts=facts(*STORY),
    balances={ACCOUNT: Holdings(cash=Decimal(0), positions={"SPY": Decimal("2.5"), "TLT": Decimal(10)})},
    evidence=EVIDENCE,
    sent_at={SELL: at(1), SPY: at(4), TLT: at(4)},
    held={},
    stops=(),
    asked=(RUN,),
    canceled=(),
    told={ACCOUNT: [(RUN, "QUEUED"), (RUN, "COMPLETED")]},
    happened={ACCOUNT: [(RUN, "QUEUED"), (RUN, "COMPLETED")]},
    drops_duplicates=True,
    surfaces=False,
)


def story(*wanted: tuple[str, float, Mapping[str, Any]]) -> Exhibit:
    return replace(SOUND, facts=facts(*wanted))


def evidence(**changes: Any) -> Exhibit:
    return replace(SOUND, evidence=replace(EVIDENCE, **changes))


def orders_with(number: int, **changes: Any) -> Exhibit:
    changed = (replace(each, **changes) if each.leg == number else each for each in EVIDENCE.orders)
    return evidence(orders=tuple(changed))


def run_with(**changes: Any) -> Exhibit:
    return evidence(runs=(replace(EVIDENCE.runs[0], **changes),))


def without(kind: str, key: str) -> Exhibit:
    return story(*(e for e in STORY if not (e[0] == kind and e[2].get("client_order_id") == key)))


EVERYTHING = Stop(account_id=None, symbol=None, begins_at=at(3), ends_at=at(9))
HALF = execution(TLT, "TLT", "5", price="100")
WRONG: Mapping[str, list[Callable[[], Exhibit]]] = {
    "no order twice": [
        lambda: story(*STORY, SELL_ACCEPTED),
        lambda: story(*STORY, SPY_ACCEPTED),
        # Another id, but the same leg.
        lambda: orders_with(2, leg=1),
    ],
    "nothing without an intent": [
        lambda: evidence(orders=EVIDENCE.orders[1:]),
        lambda: orders_with(1, intent_at=at(5.1)),
        lambda: orders_with(1, notional=Decimal(999)),
        lambda: orders_with(0, side="buy"),
        lambda: orders_with(0, account_id="a1"),
    ],
    "ids name legs": [
        lambda: orders_with(0, leg=7),
        lambda: orders_with(0, generation=1),
        lambda: run_with(tenant_id="other"),
    ],
    "sells before buys": [
        lambda: story(OPENED, SEEDED, SELL_ACCEPTED, SPY_ACCEPTED, SELL_EXECUTED),
        lambda: story(OPENED, SEEDED, SPY_ACCEPTED, SELL_ACCEPTED, SELL_EXECUTED),
        lambda: without("executed", SELL),
    ],
    "nobody owes": [
        # Paid before the money was there, sold what was not there, and a balance that is not its entries.
        lambda: story(OPENED, SEEDED, SPY_ACCEPTED, SPY_EXECUTED, SELL_ACCEPTED, SELL_EXECUTED),
        lambda: story(OPENED, SELL_ACCEPTED, SELL_EXECUTED),
        lambda: without("executed", TLT),
        lambda: replace(SOUND, balances={ACCOUNT: Holdings(cash=Decimal(1), positions={})}),
    ],
    "fills once": [
        lambda: evidence(executions=EVIDENCE.executions[:2]),
        lambda: without("executed", TLT),
        lambda: evidence(executions=(*EVIDENCE.executions[:2], HALF)),
        lambda: orders_with(2, filled_quantity=Decimal(20)),
    ],
    "legal states": [
        lambda: evidence(events=events("QUEUED", "SELLING", "BUYING", "COMPLETED")),
        lambda: evidence(events=events("QUEUED", "PLANNED", "SELLING", "BUYING", "SELLING", "COMPLETED")),
        lambda: evidence(events=events("QUEUED", "PLANNED")),
        lambda: replace(
            run_with(state="FAILED"),
            evidence=replace(run_with(state="FAILED").evidence, events=events("QUEUED", "FAILED")),
        ),
    ],
    "true fates": [
        lambda: orders_with(0, state="SENDING"),
        lambda: orders_with(0, state="OPEN"),
        lambda: orders_with(0, state="CANCELED"),
        lambda: orders_with(0, state="REFUSED"),
        lambda: orders_with(0, state="ABANDONED"),
        lambda: without("accepted", TLT),
    ],
    "promises": [
        lambda: replace(SOUND, asked=(RUN, "another")),
        lambda: replace(SOUND, canceled=(RUN,)),
        lambda: replace(run_with(state="TIMED_OUT"), canceled=(RUN,)),
    ],
    "every run ends": [
        lambda: run_with(state="QUEUED"),
        lambda: run_with(state="SELLING"),
        lambda: run_with(state="BUYING"),
    ],
    "kill switch": [
        lambda: replace(SOUND, stops=(EVERYTHING,)),
        lambda: replace(SOUND, stops=(replace(EVERYTHING, account_id=ACCOUNT),)),
        lambda: replace(SOUND, stops=(replace(EVERYTHING, symbol="TLT"),)),
    ],
    "held while in doubt": [
        lambda: replace(SOUND, held={ACCOUNT: "for no reason"}),
        lambda: replace(without("accepted", TLT), drops_duplicates=False, evidence=_abandoned()),
        lambda: replace(without("accepted", TLT), held={ACCOUNT: "dropped"}, evidence=_abandoned()),
    ],
    "too much": [
        lambda: replace(SOUND, frozen={ACCOUNT: "for no reason"}),
        lambda: story(*STORY, ("executed", 7.0, executed(TLT, "TLT", "1", price="100"))),
        lambda: story(*STORY, ("executed", 7.0, executed(SELL, "GLD", "0.000000001", price="200"))),
    ],
    "the feed": [
        lambda: replace(SOUND, told={}),
        lambda: replace(SOUND, told={ACCOUNT: [(RUN, "COMPLETED"), (RUN, "QUEUED")]}),
        lambda: replace(SOUND, told={ACCOUNT: [*SOUND.told[ACCOUNT], (RUN, "COMPLETED")]}),
    ],
}


def _abandoned() -> Evidence:
    return orders_with(2, state="ABANDONED", filled_quantity=Decimal(0)).evidence


def test_every_rule_passes_what_is_sound() -> None:
    assert {name: list(rule(SOUND)) for name, rule in RULES.items()} == {name: [] for name in RULES}


def test_every_rule_has_at_least_three_wrong_exhibits() -> None:
    assert WRONG.keys() == RULES.keys()
    assert all(len(exhibits) >= 3 for exhibits in WRONG.values())


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, wrong in WRONG.items() for number in range(len(wrong))]
)
def test_a_rule_stops_what_is_wrong(name: str, number: int) -> None:
    assert next(RULES[name](WRONG[name][number]()), None) is not None


def test_a_freeze_of_something_else_stops_nothing() -> None:
    elsewhere = (replace(EVERYTHING, account_id="a1"), replace(EVERYTHING, symbol="IWM"))
    exhibit = replace(SOUND, stops=(*elsewhere, replace(EVERYTHING, begins_at=at(4))))
    assert list(RULES["kill switch"](exhibit)) == []


def test_what_a_restored_database_has_forgotten_needs_no_intent() -> None:
    exhibit = replace(evidence(orders=EVIDENCE.orders[1:]), forgotten=frozenset({SELL}), is_restored=True)
    assert list(RULES["nothing without an intent"](exhibit)) == []
