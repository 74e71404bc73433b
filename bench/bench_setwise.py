"""How many more runs a second a shard finishes when its runs advance together than one at a time."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from trimtab.boot import Installation, new_id, open_installation
from trimtab.core.strategy import AssetTarget, CashTarget, Definition
from trimtab.engine.enrollment_actions import EnrollRequest, enroll
from trimtab.engine.local import settle
from trimtab.engine.strategy_actions import StrategyDraft, create_strategy
from trimtab.settings import load_settings
from trimtab.store import sandbox, shards, tenants
from trimtab.store.migrate import upgrade

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
RUNS = 300
MUST = 5


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    url = f"sqlite:///{folder / new_id()}.db"
    settings = load_settings({"TRIMTAB_DATABASE_URL": url, "TRIMTAB_SANDBOX": "1"}, folder / "no.env")
    upgrade(url)
    opened = open_installation(settings)
    opened.desk.db.write(lambda tx: sandbox.set_clock(tx, NOW))
    yield opened
    opened.close()


def prepared(house: Installation) -> tuple[str, str]:
    """A tenant and a strategy of theirs."""
    desk = house.desk
    tenant_id = desk.db.write(lambda tx: tenants.ensure_tenant(tx, new_id(), name="bench", now=NOW))
    assert house.paper is not None, "the settings name the paper broker"
    house.paper.set_prices({"SPY": Decimal("417.80"), "TLT": Decimal("137.62")})
    targets = (
        CashTarget(percent=Decimal(5)),
        AssetTarget(symbol="SPY", percent=Decimal(60)),
        AssetTarget(symbol="TLT", percent=Decimal(35)),
    )
    draft = StrategyDraft(
        name="60/35",
        description="",
        definition=Definition(targets=targets, conditions=(), cooldown_days=0),
        calendar=desk.calendar,
    )
    return tenant_id, create_strategy(desk, tenant_id, draft).id


def queue_run(house: Installation, tenant_id: str, *, strategy_id: str) -> None:
    account_id = new_id()
    assert house.paper is not None, "the settings name the paper broker"
    house.paper.open_account(
        account_id, tenant_id, cash=Decimal(5000), positions={"SPY": Decimal(20), "TLT": Decimal(3)}
    )
    house.desk.db.write(lambda tx: shards.claim_account(tx, account_id, tenant_id=tenant_id, now=NOW))
    enroll(house.desk, tenant_id, EnrollRequest(account_id=account_id, strategy_id=strategy_id))


def runs_a_second(folder: Path, *, together: bool) -> float:
    with installation(folder) as house:
        tenant_id, strategy_id = prepared(house)
        spent = 0.0
        for _ in range(RUNS):
            queue_run(house, tenant_id, strategy_id=strategy_id)
            if not together:
                started = perf_counter()
                settle(house.desk)
                spent += perf_counter() - started
        started = perf_counter()
        settle(house.desk)
        return RUNS / (spent + perf_counter() - started)


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        ratio = runs_a_second(folder, together=True) / runs_a_second(folder, together=False)
    print(json.dumps({"bench": "setwise", "ratio": round(ratio, 1), "must": MUST}))


if __name__ == "__main__":
    main()
