"""Glider's operations on strategies and on what a tenant prefers for all of its strategies."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from trimtab.api import glider_requests as requests
from trimtab.api import glider_wire as wire
from trimtab.api.glider_call import Call, Operation, PageOf
from trimtab.api.glider_errors import Invalid
from trimtab.api.glider_ids import ulid
from trimtab.api.glider_paging import cut, page_in, paged
from trimtab.api.glider_performance import StrategyPerformanceOut, strategy_performance_out
from trimtab.core.errors import IneligibleAssets, InvalidStrategy, NotFound
from trimtab.core.performance import index_points
from trimtab.core.strategy import (
    Frequency,
    Strategy,
    StrategyStatus,
    Target,
    asset_symbols,
    nested_ids,
    validate,
)
from trimtab.database import Tx
from trimtab.engine import strategy_actions
from trimtab.engine.cases import weights_of, with_nested
from trimtab.engine.strategy_actions import StrategyChange
from trimtab.store import preferences, strategies, valuations
from trimtab.store.enrollments import Page
from trimtab.store.strategies import Version

READ = "strategies:read"
WRITE = "strategies:write"
# The vendor shows at most twelve months.
HISTORY = timedelta(days=366)
EVERY_VERSION = Page(after=None, limit=2**31)


class ValidOut(wire.Out):
    valid: bool


def create_strategy(call: Call) -> wire.StrategyOut:
    draft = requests.draft_in(call.body, call.names)
    _refuse_assets(call, draft.definition.targets)
    created = strategy_actions.create_strategy(call.front.desk, call.tenant_id, draft)
    return _shown(call, created.id)


def validate_strategy(call: Call) -> ValidOut:
    draft = requests.draft_in(call.body, call.names)
    _refuse_assets(call, draft.definition.targets)
    problems = validate(draft.definition)
    if problems:
        raise InvalidStrategy(problems)
    return ValidOut(valid=True)


def list_strategies(call: Call) -> PageOf:
    page = page_in(call.query)

    def read(tx: Tx) -> PageOf:
        found, cursor = cut(strategies.newest(tx, call.tenant_id, page), page)
        heads = with_nested(tx, {strategy.id for strategy in found})
        items = [wire.strategy_out(s, weights_of(s, heads), names=call.names) for s in found]
        return PageOf(collection="strategies", items=items, next_cursor=cursor)

    return call.front.desk.db.read(read)


def show_strategy(call: Call) -> wire.StrategyOut:
    return _shown(call, call.strategy_id)


def change_strategy(call: Call) -> wire.StrategyOut:
    body = call.body
    change = StrategyChange(
        name=body.get("name"),
        # Null clears; no description is an empty one.
        description=(body["description"] or "") if "description" in body else None,
        is_public=body.get("isPublic"),
    )
    return _shown(call, _change(call, change).id)


def publish_version(call: Call) -> wire.VersionOut:
    targets = requests.targets_in(call.body["allocation"], call.names)
    # Before the assets are asked about: what is not there has none.
    _require_own(call)
    _refuse_assets(call, targets)
    change_log = call.body.get("changeLog")
    head = _change(call, StrategyChange(targets=targets, publishes=True, change_log=change_log))
    version = Version(
        number=head.version,
        definition=head.definition,
        change_log=change_log,
        created_at=head.updated_at,
    )
    return _version_out(call, version, head=head, heads={})


def list_versions(call: Call) -> PageOf:
    page = page_in(call.query)

    def read(tx: Tx) -> PageOf:
        head = _visible(tx, call)
        found, cursor = cut(strategies.versions(tx, head.id, page), page)
        nested = {id_ for version in found for id_ in nested_ids(version.definition.targets)}
        heads = with_nested(tx, nested)
        items = [_version_out(call, version, head=head, heads=heads) for version in found]
        return PageOf(collection="versions", items=items, next_cursor=cursor)

    return call.front.desk.db.read(read)


def show_performance(call: Call) -> StrategyPerformanceOut:
    now = call.front.desk.clock()
    since = now.date() - HISTORY

    def read(tx: Tx) -> StrategyPerformanceOut:
        head = _visible(tx, call)
        published = [version for _, version in strategies.versions(tx, head.id, EVERY_VERSION)]
        heads = with_nested(
            tx, {id_ for version in published for id_ in nested_ids(version.definition.targets)}
        )
        weights = [
            (version.created_at.date(), weights_of(replace(head, definition=version.definition), heads))
            for version in published
        ]
        symbols = {symbol for _, each in weights for symbol in each.assets}
        found = index_points(
            valuations.priced_days(tx, symbols, since=since),
            # The newest stands first.
            lambda on: next((each for published_on, each in weights if published_on <= on), None),
        )
        schedule = wire.ScheduleConfigOut(frequency=wire.frequency_of(head))
        return strategy_performance_out(found, strategy_id=ulid(head.id), schedule=schedule, as_of=now)

    return call.front.desk.db.read(read)


def show_schedule(call: Call) -> wire.ScheduleConfigOut:
    strategy = call.front.desk.db.read(lambda tx: _visible(tx, call))
    return wire.ScheduleConfigOut(frequency=wire.frequency_of(strategy))


def set_schedule(call: Call) -> wire.ScheduleConfigOut:
    changed = _change(call, StrategyChange(frequency=Frequency(call.body["frequency"])))
    return wire.ScheduleConfigOut(frequency=wire.frequency_of(changed))


def show_preferences(call: Call) -> wire.PreferencesOut:
    strategy = call.front.desk.db.read(lambda tx: _visible(tx, call))
    return wire.preferences_out(strategy.preferences)


def change_preferences(call: Call) -> wire.PreferencesOut:
    change = StrategyChange(preferences=requests.preferences_change_in(call.body.get("swap", {})))
    return wire.preferences_out(_change(call, change).preferences)


def show_tenant_preferences(call: Call) -> wire.PreferencesOut:
    found = call.front.desk.db.read(lambda tx: preferences.of_tenants(tx, [call.tenant_id]))
    return wire.preferences_out(found[call.tenant_id])


def change_tenant_preferences(call: Call) -> wire.PreferencesOut:
    change = requests.preferences_change_in(call.body.get("swap", {}))
    return wire.preferences_out(
        strategy_actions.change_tenant_preferences(call.front.desk, call.tenant_id, change)
    )


def _visible(tx: Tx, call: Call) -> Strategy:
    """A strategy of the caller's, or a public one."""
    strategy = strategies.visible(tx, call.tenant_id, call.strategy_id)
    if strategy is None:
        raise NotFound("strategy", call.strategy_id)
    return strategy


def _require_own(call: Call) -> None:
    own = call.front.desk.db.read(lambda tx: strategies.one(tx, call.tenant_id, call.strategy_id))
    if own is None or own.status is StrategyStatus.INACTIVE:
        raise NotFound("strategy", call.strategy_id)


def _change(call: Call, change: StrategyChange) -> Strategy:
    return strategy_actions.change_strategy(
        call.front.desk, call.tenant_id, strategy_id=call.strategy_id, change=change
    )


def _shown(call: Call, strategy_id: str) -> wire.StrategyOut:
    def read(tx: Tx) -> wire.StrategyOut:
        strategy = strategies.visible(tx, call.tenant_id, strategy_id)
        if strategy is None:
            raise NotFound("strategy", strategy_id)
        weights = weights_of(strategy, with_nested(tx, {strategy_id}))
        return wire.strategy_out(strategy, weights, names=call.names)

    return call.front.desk.db.read(read)


def _version_out(
    call: Call, version: Version, *, head: Strategy, heads: Mapping[str, Strategy]
) -> wire.VersionOut:
    """`heads` are the strategies that the version lists as they are now."""
    weights = weights_of(replace(head, definition=version.definition), heads)
    return wire.VersionOut(
        version=version.number,
        allocation=wire.allocation_out(weights, call.names),
        change_log=version.change_log,
        is_head=version.number == head.version,
        created_at=wire.instant_out(version.created_at),
    )


def _refuse_assets(call: Call, targets: Sequence[Target]) -> None:
    """The first gate: every asset is known and may be traded. All that are not are named."""
    try:
        strategy_actions.refuse_ineligible_assets(call.front.desk, asset_symbols(targets))
    except IneligibleAssets as error:
        lines = {symbol: i for i, symbol in reversed(list(enumerate(_symbols(targets))))}
        raise Invalid(
            [
                f"allocation.assets[{lines[symbol]}].assetId: asset is {why}"
                for symbol, why in error.reasons.items()
            ]
        ) from error


def _symbols(targets: Sequence[Target]) -> list[str]:
    """The symbol of each line; none for cash."""
    return [next(iter(asset_symbols([target])), "") for target in targets]


_STRATEGY = "/v2/strategies/{strategyId}"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v2/strategies",
        scope=WRITE,
        summary="Create a strategy",
        act=create_strategy,
        gives=wire.StrategyOut,
        status=201,
        takes=requests.STRATEGY_BODY,
    ),
    Operation(
        method="POST",
        path="/v2/strategies/validate",
        scope=WRITE,
        summary="Check a strategy as creating it would, and store nothing",
        act=validate_strategy,
        gives=ValidOut,
        takes=requests.STRATEGY_BODY,
    ),
    Operation(
        method="GET",
        path="/v2/strategies",
        scope=READ,
        summary="List strategies, newest first",
        act=list_strategies,
        gives=wire.StrategyOut,
        collection="strategies",
        query=paged(),
    ),
    Operation(
        method="GET",
        path=_STRATEGY,
        scope=READ,
        summary="Show a strategy",
        act=show_strategy,
        gives=wire.StrategyOut,
    ),
    Operation(
        method="PATCH",
        path=_STRATEGY,
        scope=WRITE,
        summary="Change name, description or visibility",
        act=change_strategy,
        gives=wire.StrategyOut,
        takes=requests.STRATEGY_PATCH,
    ),
    Operation(
        method="POST",
        path=f"{_STRATEGY}/versions",
        scope=WRITE,
        summary="Publish a version: every portfolio is re-targeted at its next run",
        act=publish_version,
        gives=wire.VersionOut,
        status=201,
        takes=requests.VERSION_BODY,
    ),
    Operation(
        method="GET",
        path=f"{_STRATEGY}/versions",
        scope=READ,
        summary="List versions, newest first",
        act=list_versions,
        gives=wire.VersionOut,
        collection="versions",
        query=paged(),
    ),
    Operation(
        method="GET",
        path=f"{_STRATEGY}/performance",
        scope=READ,
        summary="Show what the strategy's weights would have returned, day by day",
        act=show_performance,
        gives=StrategyPerformanceOut,
    ),
    Operation(
        method="GET",
        path=f"{_STRATEGY}/schedule",
        scope=READ,
        summary="Show the schedule",
        act=show_schedule,
        gives=wire.ScheduleConfigOut,
    ),
    Operation(
        method="PUT",
        path=f"{_STRATEGY}/schedule",
        scope=WRITE,
        summary="Set the schedule, effective from each portfolio's next cycle",
        act=set_schedule,
        gives=wire.ScheduleConfigOut,
        takes=requests.SCHEDULE_BODY,
    ),
    Operation(
        method="GET",
        path=f"{_STRATEGY}/preferences",
        scope=READ,
        summary="Show what the strategy prefers",
        act=show_preferences,
        gives=wire.PreferencesOut,
    ),
    Operation(
        method="PATCH",
        path=f"{_STRATEGY}/preferences",
        scope=WRITE,
        summary="Change what the strategy prefers; null clears",
        act=change_preferences,
        gives=wire.PreferencesOut,
        takes=requests.PREFERENCES_PATCH,
    ),
    Operation(
        method="GET",
        path="/v2/tenant/preferences",
        scope="tenant:read",
        summary="Show what the tenant prefers where its strategies prefer nothing",
        act=show_tenant_preferences,
        gives=wire.PreferencesOut,
    ),
    Operation(
        method="PATCH",
        path="/v2/tenant/preferences",
        scope="tenant:write",
        summary="Change what the tenant prefers; null clears",
        act=change_tenant_preferences,
        gives=wire.PreferencesOut,
        takes=requests.PREFERENCES_PATCH,
    ),
)
