"""Open runs with all that is known about them, read for a whole shard in a few queries."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from trimtab.brokers.broker import Account, Asset
from trimtab.core.corporate import CorporateAction, since
from trimtab.core.doubt import NOTHING_MOVED, POSITIONS_GRACE, Traded, traded
from trimtab.core.money import ZERO
from trimtab.core.plan import Basis, Holdings, Plan
from trimtab.core.preferences import Preferences
from trimtab.core.run import Initiator, Order, OrderState, Run, RunKind, RunState
from trimtab.core.sessions import Window
from trimtab.core.skip import Skip
from trimtab.core.step import Facts
from trimtab.core.strategy import Strategy, StrategyStatus, Target, Weights, flatten, nested_ids
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.engine.quotes import renamed, unsettled
from trimtab.store import freezes, holdings, orders, runs, shards, strategies
from trimtab.store.freezes import Freeze


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One open run and what the database knows about it."""

    run: Run
    plan: Plan | None
    orders: tuple[Order, ...]
    skips: tuple[Skip, ...]
    strategy: Strategy
    weights: Weights
    account: shards.AccountRecord
    freezes: tuple[Freeze, ...]
    previous: Traded | None
    preferences: Preferences
    moved: frozenset[Decimal]

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols that the next step may have to know of, as far as the database can tell."""
        concerned = {f.symbol for f in self.freezes if f.symbol is not None} | self.weights.assets.keys()
        for plan in (self.plan, None if self.previous is None else self.previous.plan):
            if plan is not None:
                concerned |= {*plan.prices, *plan.weights.assets}
        return frozenset(concerned)

    @property
    def set_aside(self) -> Decimal:
        """Dollars that are not the strategy's; a full rebalance that a client asks for takes them back."""
        if self.run.initiator is Initiator.API and self.run.kind is RunKind.FULL_REBALANCE:
            return Decimal(0)
        return self.account.set_aside


@dataclass(slots=True)
class Seen:
    """What this turn has learned from the broker so far. An account is forgotten when its orders move.

    `prices` and `assets` are by the symbol asked for, at `asked_at`; all that is there was there together,
    with no corporate action in between (see `advance`). `told_at` is when each order was last asked about,
    or earlier.
    """

    told_at: dict[str, datetime] = field(default_factory=dict)
    cancel_asked: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    accounts: dict[str, Account] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    assets: dict[str, Asset] = field(default_factory=dict)
    asked_at: dict[str, datetime] = field(default_factory=dict)

    def has_been_told(self, order: Order, *, quarantine: timedelta, now: datetime) -> bool:
        """Whether what the broker said of an order still counts. That it does not show one is no word on it
        once the quarantine is over, if it was said before that.
        """
        at = self.told_at.get(order.client_order_id)
        if at is None or order.state is not OrderState.SENDING:
            return at is not None
        over_at = order.sent_at + quarantine
        return now < over_at or at >= over_at

    def prices_age(self, symbols: Iterable[str], now: datetime) -> timedelta:
        """How long ago the oldest of these prices was asked for."""
        return max((now - self.asked_at[s] for s in symbols if s in self.asked_at), default=timedelta(0))

    def asset_id(self, symbol: str) -> str | None:
        asset = self.assets.get(symbol)
        return None if asset is None else asset.asset_id

    def actions(self, symbol: str) -> tuple[CorporateAction, ...]:
        """The corporate actions in a symbol, as far as they are known."""
        return self.assets[symbol].actions if symbol in self.assets else ()

    def present(self, symbol: str) -> str:
        """The symbol that the asset has now."""
        asset = self.assets.get(symbol)
        return symbol if asset is None else asset.symbol

    def actions_since(self, plan: Plan) -> tuple[CorporateAction, ...]:
        """The corporate actions since a plan, in its symbols."""
        concerned = [
            (symbol, asset.actions)
            for symbol, asset in self.assets.items()
            if asset.actions and (symbol in plan.weights.assets or symbol in plan.holdings.positions)
        ]
        return tuple(a for s, actions in sorted(concerned) for a in since(actions, plan.last_actions.get(s)))

    def forget(self, account_ids: Iterable[str]) -> None:
        for account_id in account_ids:
            self.accounts.pop(account_id, None)
            self.looked.discard(account_id)


def open_cases(tx: Tx, shard: int, *, only: Collection[str] | None, now: datetime) -> list[Case]:
    """The shard's open runs, or those among `only`, in the order in which they came."""
    found = runs.open_runs(tx, shard, only=only)
    if not found:
        return []
    # A run that waits in the queue has nothing yet.
    queued = [one.run.account_id for one in found if one.run.state is RunState.QUEUED]
    ids = [one.run.id for one in found if one.run.state is not RunState.QUEUED]
    plans = orders.plans(tx, shard, ids)
    placed = orders.orders(tx, shard, ids)
    given_up = orders.skips(tx, shard, ids)
    moved = holdings.moved_since_plan(tx, shard, ids)
    followed = {one.run.strategy_id for one in found}
    heads = with_nested(tx, followed)
    weights = {strategy_id: weights_of(heads[strategy_id], heads) for strategy_id in followed}
    frozen = freezes.all_freezes(tx)
    previous = _just_traded(tx, shard, queued, since=now - POSITIONS_GRACE) if queued else {}
    return [
        Case(
            run=one.run,
            plan=plans.get(one.run.id),
            orders=tuple(placed.get(one.run.id, ())),
            skips=tuple(given_up.get(one.run.id, ())),
            strategy=heads[one.run.strategy_id],
            weights=weights[one.run.strategy_id],
            account=one.account,
            freezes=tuple(f for f in frozen if f.covers(one.run.tenant_id, one.run.account_id)),
            previous=previous.get(one.run.account_id),
            preferences=heads[one.run.strategy_id].preferences.or_else(one.preferences),
            moved=moved.get(one.run.id, NOTHING_MOVED),
        )
        for one in found
    ]


def last_traded(tx: Tx, shard: int, account_ids: Collection[str]) -> dict[str, Traded]:
    """By account, what its last planned run has traded, if that has ended."""
    return _traded(tx, shard, [run for run in runs.last_planned(tx, account_ids) if run.finished_at])


def _just_traded(tx: Tx, shard: int, account_ids: Collection[str], *, since: datetime) -> dict[str, Traded]:
    """By account, what its last planned run has traded, if that ended not before `since`."""
    last = runs.last_planned(tx, account_ids)
    ended = {run.account_id: run.id for run in last if run.finished_at and run.finished_at >= since}
    found = _traded(tx, shard, [run for run in last if run.account_id in ended])
    moved = holdings.moved_since_plan(tx, shard, ended.values())
    return {
        account_id: replace(found[account_id], moved=moved.get(run_id, NOTHING_MOVED))
        for account_id, run_id in ended.items()
    }


def _traded(tx: Tx, shard: int, ended: Sequence[Run]) -> dict[str, Traded]:
    ids = [run.id for run in ended]
    plans = orders.plans(tx, shard, ids)
    placed = orders.orders(tx, shard, ids)
    return {run.account_id: traded(run, plans[run.id], orders=placed.get(run.id, ())) for run in ended}


def with_nested(tx: Tx, strategy_ids: Collection[str]) -> dict[str, Strategy]:
    """Strategies by id, and all that are nested in them, however deep."""
    known: dict[str, Strategy] = {}
    wanted = set(strategy_ids)
    while wanted:
        found = strategies.heads(tx, wanted)
        known |= found
        wanted = {n for s in found.values() for n in nested_ids(s.definition.targets)} - known.keys()
    return known


def weights_of(strategy: Strategy, heads: Mapping[str, Strategy]) -> Weights:
    def targets_of(strategy_id: str) -> Sequence[Target]:
        return heads[strategy_id].definition.targets

    return flatten(strategy.definition.targets, targets_of)


def freeze_reason(covering: Iterable[Freeze]) -> str | None:
    """Why the whole account is frozen; a freeze of one symbol does not freeze the account."""
    return next((f"frozen: {f.reason}" for f in covering if f.symbol is None), None)


def facts_of(case: Case, seen: Seen, *, desk: Desk, window: Window, now: datetime) -> Facts:
    """What `decide` may know about the case now."""
    held = f"held: {case.account.held}" if case.account.held else None
    account = seen.accounts.get(case.run.account_id)
    previous = case.previous
    return Facts(
        plan=case.plan,
        orders=case.orders,
        skips=case.skips,
        window=window,
        strategy_active=case.strategy.status is StrategyStatus.ACTIVE,
        account_active=account is not None and account.is_active,
        basis=_basis(case, seen, desk=desk),
        prices=seen.prices,
        frozen=freeze_reason(case.freezes) or held,
        frozen_symbols=frozen_symbols(case.freezes, seen),
        asked=frozenset(
            order.client_order_id
            for order in case.orders
            if seen.has_been_told(order, quarantine=desk.broker.traits.quarantine, now=now)
        ),
        cancel_asked=frozenset(
            o.client_order_id for o in case.orders if o.client_order_id in seen.cancel_asked
        ),
        drops_duplicates=desk.broker.traits.drops_duplicates,
        quarantine=desk.broker.traits.quarantine,
        previous=None if previous is None else replace(previous, actions=seen.actions_since(previous.plan)),
        caps=desk.caps,
        prices_age=timedelta(0) if case.plan is None else seen.prices_age(case.plan.prices, now),
        is_working=account is not None and bool(account.working),
        actions=() if case.plan is None else seen.actions_since(case.plan),
        moved=case.moved,
    )


def frozen_symbols(covering: Iterable[Freeze], seen: Seen) -> frozenset[str]:
    """The symbols that are frozen; a freeze stays with an asset that gets another name."""
    named = {f.symbol for f in covering if f.symbol is not None}
    return frozenset(named | {seen.present(symbol) for symbol in named})


def _basis(case: Case, seen: Seen, *, desk: Desk) -> Basis | None:
    """What a plan would be made from; None before the account has been looked at."""
    if case.run.account_id not in seen.looked:
        return None
    account = seen.accounts.get(case.run.account_id)
    # An account that the broker does not know holds nothing and is not active.
    shown = Holdings(cash=ZERO, positions={}) if account is None else account.holdings
    weights = renamed(case.weights, seen.assets)
    wanted = {*weights.assets, *shown.positions}
    known = {symbol: seen.assets[symbol] for symbol in wanted if symbol in seen.assets}
    return Basis(
        kind=case.run.kind,
        amount=case.run.amount,
        weights=weights,
        holdings=shown,
        prices={s: seen.prices[s] for s in wanted if s in seen.prices},
        # What has been withdrawn since is not set aside any more, though nobody has recorded it yet.
        set_aside=min(case.set_aside, max(shown.cash, ZERO)),
        untradable=_untradable(weights, wanted, assets=known),
        increments={s: asset.increment for s, asset in known.items() if asset.increment is not None},
        depths={symbol: asset.depth for symbol, asset in known.items() if asset.depth is not None},
        unsettled=unsettled(known),
        last_actions={symbol: asset.actions[-1].id for symbol, asset in known.items() if asset.actions},
        limits=desk.limits.narrowed(case.preferences),
    )


def ineligible(symbols: Iterable[str], assets: Mapping[str, Asset]) -> frozenset[str]:
    """Those that a strategy may not name: unknown, not active, not tradable or not fractionable."""
    return frozenset(s for s in symbols if s not in assets or not assets[s].is_eligible)


def _untradable(weights: Weights, wanted: set[str], *, assets: Mapping[str, Asset]) -> frozenset[str]:
    """Lines of the strategy that are not eligible, and other holdings that cannot be sold now."""
    outside = wanted - weights.assets.keys()
    return ineligible(weights.assets, assets).union(s for s in outside if not is_tradable(assets.get(s)))


def is_tradable(asset: Asset | None) -> bool:
    return asset is not None and asset.active and asset.tradable
