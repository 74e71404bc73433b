"""Actions on strategies: create, change, end, and the review when an asset can no longer be traded.

A change to a strategy touches no account: it writes the strategy and those that it is nested in, and
marks the shards of their followers due.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from trimtab.brokers.broker import Asset
from trimtab.core.errors import (
    BrokerDown,
    IneligibleAssets,
    InvalidStrategy,
    NotFound,
    NothingToDelete,
    Problem,
    StrategyInUse,
    StrategyNotActive,
)
from trimtab.core.nesting import Shelf, above, below, way_back
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.core.strategy import (
    NESTING_MAX,
    Condition,
    Definition,
    Frequency,
    OnIneligible,
    Strategy,
    StrategyStatus,
    Target,
    asset_symbols,
    nested_ids,
    nesting_depth,
    validate,
)
from trimtab.database import Tx
from trimtab.engine.cases import ineligible, with_nested
from trimtab.engine.desk import Desk, store_nothing
from trimtab.engine.renames import follow_renames
from trimtab.store import enrollments, preferences, shards, strategies

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyDraft:
    """A strategy that is to be made; `calendar` is the one its sessions follow."""

    name: str
    description: str
    definition: Definition
    calendar: str
    frequency: Frequency | None = None
    preferences: Preferences = NO_PREFERENCES
    is_public: bool = False
    on_ineligible: OnIneligible = OnIneligible.NEEDS_ADJUSTMENT


def create_strategy(
    desk: Desk,
    tenant_id: str,
    draft: StrategyDraft,
    *,
    also: Callable[[Tx, Strategy], None] = store_nothing,
) -> Strategy:
    """Store version 1; `also` stores in the same transaction what must not be without it.

    Raises InvalidStrategy, IneligibleAssets, NotFound and StrategyNotActive.
    """
    now = desk.clock()
    _refuse_problems(draft.definition)
    refuse_ineligible_assets(desk, asset_symbols(draft.definition.targets))
    strategy = Strategy(
        id=desk.new_id(),
        tenant_id=tenant_id,
        name=draft.name,
        description=draft.description,
        status=StrategyStatus.ACTIVE,
        version=1,
        updated_version=1,
        definition=draft.definition,
        calendar=draft.calendar,
        hidden=False,
        created_at=now,
        updated_at=now,
        frequency=draft.frequency,
        preferences=draft.preferences,
        is_public=draft.is_public,
        on_ineligible=draft.on_ineligible,
    )

    def store(tx: Tx) -> None:
        refuse_nesting(tx, strategy)
        strategies.insert(tx, strategy)
        also(tx, strategy)

    desk.db.write(store)
    return strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChange:
    """What to change; None keeps what is there. `reactivate` asks for the status active, `publishes` for
    a new version, whether or not it says something new.
    """

    name: str | None = None
    description: str | None = None
    is_public: bool | None = None
    frequency: Frequency | None = None
    preferences: Callable[[Preferences], Preferences] | None = None
    on_ineligible: OnIneligible | None = None
    targets: tuple[Target, ...] | None = None
    conditions: tuple[Condition, ...] | None = None
    cooldown_days: int | None = None
    reactivate: bool = False
    publishes: bool = False
    change_log: str | None = None


def change_strategy(
    desk: Desk,
    tenant_id: str,
    *,
    strategy_id: str,
    change: StrategyChange,
    also: Callable[[Tx, Strategy], None] = store_nothing,
) -> Strategy:
    """Change the head; new targets, conditions or cooldown make a new version. `also` is as in
    `create_strategy`, and is asked even if nothing changes.

    A strategy that needs adjustment is active again once all its assets are eligible, or those that are
    not are lines that it freezes. Raises NotFound, StrategyNotActive (it has ended), InvalidStrategy and
    IneligibleAssets.
    """
    before, heads = desk.db.read(lambda tx: _with_nested(tx, tenant_id, strategy_id, change=change))
    definition = _changed(before.definition, change)
    _refuse_problems(definition)
    required = change.targets is not None or change.reactivate
    in_question = required or before.status is StrategyStatus.NEEDS_ADJUSTMENT
    symbols = _must_be_eligible(before, change, heads=heads)
    eligible = in_question and _are_eligible(desk, symbols, required=required)

    def store(tx: Tx) -> Strategy:
        head = strategies.locked(tx, tenant_id, strategy_id)
        if head is None or head.status is StrategyStatus.INACTIVE:
            raise StrategyNotActive(strategy_id)
        after = _next_head(head, change)
        if eligible:
            after = replace(after, status=StrategyStatus.ACTIVE)
        if after != head:
            # Once the strategy is ours: a later version is not older.
            after = replace(after, updated_at=desk.clock())
            _store_head(tx, after, head=head, change_log=change.change_log)
        also(tx, after)
        return after

    return desk.db.write(store)


def _renew_above(tx: Tx, strategy: Strategy) -> frozenset[str]:
    """Make a version of every strategy that holds this one: with its targets, theirs have changed."""
    outer = above(strategy.id, _shelf_around(tx, strategy))
    if outer:
        log_line = f"version {strategy.version} of {strategy.id}, which is nested in this one"
        strategies.renew(tx, outer, now=strategy.updated_at, change_log=log_line)
    return outer


def _store_head(tx: Tx, after: Strategy, *, head: Strategy, change_log: str | None) -> None:
    refuse_nesting(tx, after)
    if after.version != head.version:
        strategies.insert_version(tx, after, change_log=change_log)
    strategies.update_head(tx, after)
    retargeted = after.definition.targets != head.definition.targets
    outer = _renew_above(tx, after) if retargeted else frozenset()
    shards.mark_followers_due(tx, [after.id, *outer], after.updated_at)


def _changed(definition: Definition, change: StrategyChange) -> Definition:
    return Definition(
        targets=definition.targets if change.targets is None else change.targets,
        conditions=definition.conditions if change.conditions is None else change.conditions,
        cooldown_days=definition.cooldown_days if change.cooldown_days is None else change.cooldown_days,
    )


def _next_head(head: Strategy, change: StrategyChange) -> Strategy:
    definition = _changed(head.definition, change)
    version = head.version + (change.publishes or definition != head.definition)
    retargets = (definition.targets, definition.conditions) != (
        head.definition.targets,
        head.definition.conditions,
    )
    return replace(
        head,
        name=head.name if change.name is None else change.name,
        description=head.description if change.description is None else change.description,
        is_public=head.is_public if change.is_public is None else change.is_public,
        on_ineligible=head.on_ineligible if change.on_ineligible is None else change.on_ineligible,
        frequency=head.frequency if change.frequency is None else change.frequency,
        preferences=head.preferences if change.preferences is None else change.preferences(head.preferences),
        version=version,
        updated_version=version if retargets else head.updated_version,
        definition=definition,
    )


def change_tenant_preferences(
    desk: Desk, tenant_id: str, change: Callable[[Preferences], Preferences]
) -> Preferences:
    """Change what a tenant prefers for its accounts, wherever the strategies they follow prefer nothing."""

    def store(tx: Tx) -> Preferences:
        changed = change(preferences.locked_of_tenant(tx, tenant_id))
        preferences.set_of_tenant(tx, tenant_id, changed)
        return changed

    return desk.db.write(store)


def end_strategy(desk: Desk, tenant_id: str, strategy_id: str) -> None:
    """Make a strategy inactive, for good.

    Raises NotFound, NothingToDelete if it is already, and StrategyInUse while an account follows it
    or an active strategy lists it.
    """
    now = desk.clock()

    def store(tx: Tx) -> None:
        head = strategies.locked(tx, tenant_id, strategy_id)
        if head is None:
            raise NotFound("strategy", strategy_id)
        if head.status is StrategyStatus.INACTIVE:
            raise NothingToDelete(strategy_id)
        if enrollments.following(tx, strategy_id):
            raise StrategyInUse("portfolio has active subscriptions")
        listing = strategies.listing(tx, tenant_id, strategies.StrategyFilter())
        if any(strategy_id in nested_ids(other.definition.targets) for other in listing):
            raise StrategyInUse("portfolio is listed in the weights of an active portfolio")
        strategies.end(tx, strategy_id, now)

    desk.db.write(store)


def review_assets(desk: Desk) -> None:
    """Follow assets that were renamed, and set aside every active strategy with an asset that is not
    eligible any more, in its own lines or in those of a strategy nested in it; unless it freezes such
    lines.

    Its QUEUED runs are cancelled by the engine, which finds it not active. While the broker is down
    there is nothing to review by.
    """
    now = desk.clock()
    heads = desk.db.read(strategies.in_use)
    named = {head.id: asset_symbols(head.definition.targets) for head in heads}
    symbols = {symbol for found in named.values() for symbol in found}
    try:
        known = desk.broker.assets(symbols)
    except BrokerDown as error:
        log.warning("assets were not reviewed: %s", error)
        return
    follow_renames(desk, heads, known=known)
    working = {head.id: head for head in heads if head.status is StrategyStatus.ACTIVE}
    lost = ineligible(symbols, known)
    hit = _suspended({id_ for id_ in working if lost & set(named[id_])}, working)
    if hit:

        def store(tx: Tx) -> None:
            strategies.suspend(tx, hit, now)
            shards.mark_followers_due(tx, hit, now)

        desk.db.write(store)


def _suspended(hit: set[str], working: Mapping[str, Strategy]) -> list[str]:
    """Of the active strategies with an ineligible asset, and of those they are nested in, the ones that
    stop for it.
    """
    shelf = {id_: strategy.definition.targets for id_, strategy in working.items()} if hit else {}
    concerned = hit.union(*(above(id_, shelf) for id_ in hit))
    return sorted(id_ for id_ in concerned if working[id_].on_ineligible is OnIneligible.NEEDS_ADJUSTMENT)


def require_followable(tx: Tx, tenant_id: str, strategy_id: str) -> Strategy:
    """A strategy that the tenant may let accounts follow now, locked: its own or a public one."""
    own = strategies.locked(tx, tenant_id, strategy_id)
    return _only_active(own or strategies.visible(tx, tenant_id, strategy_id), strategy_id)


def _only_active(strategy: Strategy | None, strategy_id: str) -> Strategy:
    if strategy is None:
        raise NotFound("strategy", strategy_id)
    if strategy.status is not StrategyStatus.ACTIVE:
        raise StrategyNotActive(strategy_id)
    return strategy


def refuse_ineligible_assets(desk: Desk, symbols: Collection[str]) -> None:
    """Raise IneligibleAssets unless each asset is an active, tradable, fractionable one."""
    known = desk.broker.assets(symbols) if symbols else {}
    known = {symbol: asset for symbol, asset in known.items() if asset.symbol == symbol}
    found = {symbol: _why_ineligible(known.get(symbol)) for symbol in symbols}
    reasons = {symbol: why for symbol, why in found.items() if why is not None}
    if reasons:
        raise IneligibleAssets(reasons)


def _must_be_eligible(before: Strategy, change: StrategyChange, *, heads: Mapping[str, Strategy]) -> set[str]:
    """The symbols that the strategy as it is to be may name only if they are eligible: where it freezes
    lines, those that it did not name before; else all, also of the strategies nested in it.
    """
    definition = _changed(before.definition, change)
    own = set(asset_symbols(definition.targets))
    if (change.on_ineligible or before.on_ineligible) is OnIneligible.FREEZE_LINE:
        return own.difference(asset_symbols(before.definition.targets))
    shelf = {id_: head.definition.targets for id_, head in heads.items()} | {before.id: definition.targets}
    inner = below(before.id, shelf) & heads.keys()
    return own.union(*(asset_symbols(heads[id_].definition.targets) for id_ in inner))


def _are_eligible(desk: Desk, symbols: Collection[str], *, required: bool) -> bool:
    """Whether all assets are eligible; if they must be, IneligibleAssets says which are not."""
    try:
        refuse_ineligible_assets(desk, symbols)
    except IneligibleAssets:
        if required:
            raise
        return False
    return True


def refuse_nesting(tx: Tx, strategy: Strategy) -> None:
    """Raise unless every nested strategy is the tenant's, active, does not lead back here, and none of
    the tenant's strategies comes to nest deeper than is allowed.
    """
    ids = nested_ids(strategy.definition.targets)
    if not ids:
        return
    for nested_id in ids:
        _only_active(strategies.locked(tx, strategy.tenant_id, nested_id), nested_id)
    shelf = _shelf_around(tx, strategy)
    circle = way_back(strategy.id, shelf)
    if circle:
        text = f"weights: a portfolio cannot contain itself: {' > '.join(circle)}"
        raise InvalidStrategy([Problem("weights", text)])
    if nesting_depth(shelf) > NESTING_MAX:
        raise InvalidStrategy([Problem("weights", f"weights: portfolios nest at most {NESTING_MAX} deep")])


def _shelf_around(tx: Tx, strategy: Strategy) -> Shelf:
    """The tenant's strategies that hold others, with this one as it is to be.

    All that it leads to or that lead to it are locked: two changes at once, each harmless, could close a
    circle together, or pass each other by on the way up.
    """
    locked = {strategy.id}
    while True:
        shelf = {s.id: s.definition.targets for s in strategies.nesting(tx, strategy.tenant_id)}
        shelf[strategy.id] = strategy.definition.targets
        around = above(strategy.id, shelf) | below(strategy.id, shelf)
        if around <= locked:
            return shelf
        # Whoever had them before us may have changed the ways: look again.
        strategies.lock(tx, around - locked)
        locked |= around


def _with_nested(
    tx: Tx, tenant_id: str, strategy_id: str, *, change: StrategyChange
) -> tuple[Strategy, dict[str, Strategy]]:
    """The strategy, and by their ids those that are nested in it once the change is made."""
    strategy = strategies.one(tx, tenant_id, strategy_id)
    if strategy is None:
        raise NotFound("strategy", strategy_id)
    return strategy, with_nested(tx, nested_ids(_changed(strategy.definition, change).targets))


def _refuse_problems(definition: Definition) -> None:
    problems = validate(definition)
    if problems:
        raise InvalidStrategy(problems)


def _why_ineligible(asset: Asset | None) -> str | None:
    return "not found" if asset is None else asset.why_ineligible
