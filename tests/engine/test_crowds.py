"""A hundred thousand accounts, a quarter of them at the very edge of a band: by the exact rule, by the
screen before it, and by whole sweeps of a database, each against fractions.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from tests.core.drifting import Crowd, crowds, is_at_an_edge, wanted
from tests.engine.desks import MONDAY, TENANT, Setup, Site, World, new_world
from tests.engine.test_screen import block_of
from trimtab.brokers.broker import Account, Asset, Feed, Traits
from trimtab.core.drift import first_breach
from trimtab.core.enrollment import Enrollment, EnrollmentState, EvaluationPolicy
from trimtab.core.plan import Holdings
from trimtab.core.strategy import AssetTarget, CashTarget, Definition, Strategy, StrategyStatus
from trimtab.database import Tx
from trimtab.engine.desk import Desk, Effects, drive
from trimtab.engine.screen import Rules, look, value
from trimtab.engine.sweep import sweep
from trimtab.engine.turn import take_turn
from trimtab.store import enrollments, shards, strategies

ALL = 100_000
SIZE = 25
YESTERDAY = MONDAY - timedelta(days=3)

some_or_all = pytest.mark.parametrize(
    "count", [pytest.param(10_000, id="some"), pytest.param(ALL, id="all", marks=pytest.mark.prove)]
)


@some_or_all
def test_the_exact_rule_agrees_with_fractions(count: int) -> None:
    differing, verdicts = [], Counter[tuple[bool, bool]]()
    for crowd in crowds("exact", count, size=SIZE, cash_min="0"):
        for held in crowd.accounts:
            broken = first_breach(crowd.bands, crowd.weights, holdings=held, prices=crowd.prices) is not None
            if broken != (wanted(crowd, held) == "full_rebalance"):
                differing.append((crowd.bands, crowd.weights, crowd.prices, held))
            verdicts[broken, is_at_an_edge(crowd, held)] += 1
    assert differing == []
    assert verdicts.total() == count
    assert min(verdicts[broken, True] for broken in (True, False)) > count / 25, "few are at an edge"


@some_or_all
@pytest.mark.parametrize("cash_min", ["0", "10"])
def test_the_screen_dismisses_nobody_who_is_due(count: int, cash_min: str) -> None:
    missed, dismissed = [], 0
    policy = EvaluationPolicy(
        quarter_months=frozenset({1}),
        update_waits=False,
        invest_cash_min=Decimal(cash_min),
        buffer_percent=Decimal(0),
    )
    for crowd in crowds(f"screen {cash_min}", count, size=SIZE, cash_min=cash_min):
        block = block_of({f"{n:02}": held for n, held in enumerate(crowd.accounts)})
        rules = Rules(weights=crowd.weights, bands=crowd.bands, policy=policy)
        rows = np.arange(len(crowd.accounts))
        flags = look(value(block, crowd.prices, set_aside={}), rules, rows=rows).may_be_due
        for held, flag in zip(crowd.accounts, flags, strict=True):
            dismissed += not flag
            if not flag and wanted(crowd, held):
                missed.append((crowd.bands, crowd.weights, crowd.prices, held))
    assert missed == []
    assert dismissed > count / 20, "a screen that lets everybody through is none"


@dataclass(kw_only=True)
class Standstill:
    """A broker that shows accounts and prices, at which nothing ever happens."""

    traits: Traits
    held: dict[str, Holdings]
    known_prices: dict[str, Decimal]

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        return {key: Account(account_id=key, status="ACTIVE", holdings=self.held[key]) for key in account_ids}

    def prices(self, symbols: Collection[str]) -> Mapping[str, Decimal]:
        return {symbol: self.known_prices[symbol] for symbol in symbols}

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        return {
            symbol: Asset(symbol=symbol, asset_id=symbol, active=True, tradable=True, fractionable=True)
            for symbol in symbols
        }

    def feed(self, since: int) -> Feed:
        return Feed(cursor=since, changed=frozenset(), transfers=())


def renamed(crowd: Crowd, number: int) -> Crowd:
    """The same with symbols of its own: all crowds are swept at one set of prices."""

    def own(symbol: str) -> str:
        return f"{symbol}{number}"

    return replace(
        crowd,
        weights=replace(crowd.weights, assets={own(s): t for s, t in crowd.weights.assets.items()}),
        prices={own(s): price for s, price in crowd.prices.items()},
        accounts=tuple(
            Holdings(cash=held.cash, positions={own(s): q for s, q in held.positions.items()})
            for held in crowd.accounts
        ),
    )


def strategy_of(crowd: Crowd, number: int) -> Strategy:
    cash = [CashTarget(percent=crowd.weights.cash)] if crowd.weights.names_cash else []
    assets = [AssetTarget(symbol=s, percent=t) for s, t in crowd.weights.assets.items()]
    return Strategy(
        id=f"strategy {number}",
        tenant_id=TENANT,
        name="crowd",
        description="",
        status=StrategyStatus.ACTIVE,
        version=1,
        updated_version=1,
        definition=Definition(targets=(*cash, *assets), conditions=crowd.bands, cooldown_days=0),
        calendar="exchange",
        hidden=False,
        created_at=YESTERDAY,
        updated_at=YESTERDAY,
    )


def follow(tx: Tx, account_id: str, strategy: Strategy) -> None:
    """Let the account follow, rebalanced and evaluated last on Friday: all that is due is by its holdings."""
    shard = shards.claim_account(tx, account_id, tenant_id=TENANT, now=YESTERDAY).shard
    enrollment = Enrollment(
        id=f"enrollment of {account_id}",
        shard=shard,
        tenant_id=TENANT,
        account_id=account_id,
        strategy_id=strategy.id,
        state=EnrollmentState.ACTIVE,
        created_at=YESTERDAY,
        updated_at=YESTERDAY,
        last_rebalanced_at=None,
        evaluated_on=YESTERDAY.date(),
        evaluated_version=1,
    )
    assert enrollments.insert(tx, enrollment)
    enrollments.set_rebalanced(tx, shard, [enrollment.id], at=YESTERDAY)


def settle_down(world: World, gathered: list[Crowd]) -> Standstill:
    """Store the crowds; account ids are `crowd member`."""
    broker = Standstill(traits=world.desk.broker.traits, held={}, known_prices={})
    for first in range(0, len(gathered), 40):  # a shard's worth in a transaction

        def store(tx: Tx) -> None:
            for number, crowd in enumerate(gathered[first : first + 40], start=first):  # noqa: B023 - called at once
                strategy = strategy_of(crowd, number)
                strategies.insert(tx, strategy)
                broker.known_prices |= crowd.prices
                for member, held in enumerate(crowd.accounts):
                    broker.held[f"{number} {member}"] = held
                    follow(tx, f"{number} {member}", strategy)

        world.db.write(store)
    return broker


def swept(desk: Desk, shard: int) -> Effects[frozenset[str]]:
    turn = yield from take_turn(desk, shard)
    yield from sweep(turn)
    return turn.evaluated


def verdicts_of(world: World) -> Iterator[tuple[str, str]]:
    rows = world.db.read(lambda tx: tx.rows("SELECT account_id, kind, state FROM runs"))
    for row in rows:
        assert row["state"] == "QUEUED"
        yield row["account_id"], row["kind"]


@pytest.mark.parametrize(
    ("count", "cash_min"),
    [
        pytest.param(1_500, "0", id="some, cash rests"),
        pytest.param(1_500, "10", id="some, cash is invested"),
        pytest.param(ALL, "10", id="all", marks=pytest.mark.prove),
    ],
)
def test_a_sweep_queues_what_fractions_say_and_nothing_else(site: Site, count: int, cash_min: str) -> None:
    with new_world(site, Setup(invest_cash_min=cash_min)) as world:
        made = crowds(f"sweep {cash_min}", count, size=SIZE, cash_min=cash_min)
        gathered = [renamed(crowd, number) for number, crowd in enumerate(made)]
        desk = replace(world.desk, broker=settle_down(world, gathered))  # type: ignore[arg-type] # takes no orders
        evaluated = [drive(swept(desk, shard), desk) for shard in world.shards()]
        expected = {
            f"{number} {member}": verdict
            for number, crowd in enumerate(gathered)
            for member, held in enumerate(crowd.accounts)
            if (verdict := wanted(crowd, held))
        }
        assert dict(verdicts_of(world)) == expected
        assert sum(map(len, evaluated)) > count * 0.8
