"""How much faster the screen dismisses a shard than the exact rules evaluate it, side by side."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter

import numpy as np

from trimtab.boot import read_sessions
from trimtab.core.enrollment import Enrollment, EnrollmentState, EvaluationPolicy, Standing, evaluate
from trimtab.core.plan import Holdings
from trimtab.core.strategy import (
    AssetTarget,
    BandKind,
    Definition,
    DriftBand,
    Strategy,
    StrategyStatus,
    flatten,
)
from trimtab.engine.screen import Rules, look, value
from trimtab.store.holdings import Mirrored, empty, fold

ACCOUNTS = 1000
ROUNDS = 5
MUST = 10
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SYMBOLS = tuple(f"S{i}" for i in range(10))
TARGETS = tuple(AssetTarget(symbol=s, percent=Decimal(10)) for s in SYMBOLS)
BANDS = (DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5)),)
POLICY = EvaluationPolicy(
    quarter_months=frozenset({1, 3, 6, 12}),
    update_waits=False,
    invest_cash_min=Decimal(10),
    buffer_percent=Decimal(0),
)
STRATEGY = Strategy(
    id="s",
    tenant_id="t",
    name="ten",
    description="",
    status=StrategyStatus.ACTIVE,
    version=1,
    updated_version=1,
    definition=Definition(targets=TARGETS, conditions=BANDS, cooldown_days=0),
    calendar="XNYS",
    hidden=False,
    created_at=NOW,
    updated_at=NOW,
)


def holdings(account: int) -> Holdings:
    positions = {s: Decimal(100 + (account * 7 + i) % 5).scaleb(-1) for i, s in enumerate(SYMBOLS)}
    return Holdings(cash=Decimal(account % 10), positions=positions)


def best_of(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = perf_counter()
        work()
        times.append(perf_counter() - started)
    return min(times)


def main() -> None:
    prices = {s: Decimal("41.37") + i for i, s in enumerate(SYMBOLS)}
    weights = flatten(TARGETS, lambda _id: ())
    sessions = read_sessions("XNYS")
    held = {f"a{i}": Mirrored(is_active=True, holdings=holdings(i)) for i in range(ACCOUNTS)}
    block = fold(empty().block, held)
    rows = np.arange(ACCOUNTS)
    rules = Rules(weights=weights, bands=BANDS, policy=POLICY)
    followed = Enrollment(
        id="e",
        shard=1,
        tenant_id="t",
        account_id="a",
        strategy_id="s",
        state=EnrollmentState.ACTIVE,
        created_at=NOW,
        updated_at=NOW,
        last_rebalanced_at=NOW,
        evaluated_on=sessions.before(NOW.date()),
        evaluated_version=1,
    )

    def exact() -> None:
        for row in range(ACCOUNTS):
            evaluate(
                Standing(
                    enrollment=followed,
                    strategy=STRATEGY,
                    weights=weights,
                    holdings=block.holdings(row),
                    prices=prices,
                    sessions=sessions,
                    session_on=NOW.date(),
                    now=NOW,
                ),
                POLICY,
            )

    def screened() -> None:
        look(value(block, prices, set_aside={}), rules, rows=rows)

    ratio = best_of(exact) / best_of(screened)
    print(json.dumps({"bench": "screen", "ratio": round(ratio, 1), "must": MUST}))


if __name__ == "__main__":
    main()
