"""The enrollments of a shard, by the strategy that they follow, as one sweep sees them.

Most of them are dismissed here, a whole group at a time: who cannot be evaluated now and why, and who
is certain not to be due. The rest is for the exact rules.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from trimtab.brokers.broker import Asset
from trimtab.core.evaluation import Reason
from trimtab.core.sessions import Session, Sessions, Span, calendar_due, cooldown_ends_on
from trimtab.core.strategy import OnIneligible, Strategy, StrategyStatus, asset_symbols
from trimtab.database import instant, micros
from trimtab.engine.cases import ineligible, weights_of
from trimtab.engine.desk import Desk
from trimtab.engine.quotes import renamed
from trimtab.engine.screen import Flags, Look, Places, Rules, Valued, look
from trimtab.store.enrollments import Roster

NEVER = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the followers of every strategy are looked at with: the mirror at current prices, who may
    trade, the strategies with all that is nested in them, and the broker's assets by the symbols they had.
    """

    desk: Desk
    now: datetime
    roster: Roster
    heads: Mapping[str, Strategy]
    valued: Valued
    active: Flags
    assets: Mapping[str, Asset]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followers:
    """`members` are places in the roster, `rows` their accounts' in the mirror; entry by entry with them
    stand what was seen, the ordinal of the day on which the cooldown ends, and who may be evaluated now.

    `hindrances` name those that may not be and why. `session` is None while the market is closed.
    """

    strategy: Strategy
    rules: Rules
    sessions: Sessions
    session: Session | None
    members: Places
    rows: Places
    look: Look
    cooldown_ends: Places
    able: Flags
    hindrances: tuple[tuple[Reason, Flags], ...]

    def in_cooldown(self) -> Flags:
        assert self.session is not None, "a cooldown counts in sessions"
        ends: Flags = self.cooldown_ends > self.session.on.toordinal()
        return ends


def all_followers(world: World) -> Iterator[Followers]:
    """Every strategy that is followed in the shard. Accounts that the broker has never shown are left out."""
    row_of = {account_id: row for row, account_id in enumerate(world.valued.block.account_ids)}
    rows = np.array([row_of.get(account_id, -1) for account_id in world.roster.account_ids], np.int64)
    # Strategies by number: whole columns are compared with it at once.
    numbers: dict[str, int] = {}
    number = np.array([numbers.setdefault(s, len(numbers)) for s in world.roster.strategy_ids], np.int64)
    for strategy_id, wanted in numbers.items():
        members = np.flatnonzero((number == wanted) & (rows >= 0))
        if len(members):
            yield _followers(world, world.heads[strategy_id], members=members, rows=rows[members])


def rules_of(strategy: Strategy, world: World) -> Rules:
    weights = renamed(weights_of(strategy, world.heads), world.assets)
    frozen = frozenset[str]()
    if strategy.on_ineligible is OnIneligible.FREEZE_LINE:
        frozen = ineligible(weights.assets, {asset.symbol: asset for asset in world.assets.values()})
    return Rules(
        weights=weights,
        bands=strategy.definition.bands,
        policy=world.desk.evaluation.for_strategy(strategy),
        frozen=frozen,
    )


def _followers(world: World, strategy: Strategy, *, members: Places, rows: Places) -> Followers:
    sessions = world.desk.calendars[strategy.calendar]
    session = sessions.current(world.now) if sessions.may_evaluate(world.now) else None
    rules = rules_of(strategy, world)
    roster = world.roster
    everybody, nobody = np.ones(len(members), np.bool_), np.zeros(len(members), np.bool_)
    hindrances = (
        (Reason.MARKET_CLOSED, everybody if session is None else nobody),
        (Reason.RUN_OPEN, roster.open_run[members]),
        (Reason.ACCOUNT_NOT_ACTIVE, ~world.active[rows]),
        (Reason.STRATEGY_NOT_ACTIVE, nobody if strategy.status is StrategyStatus.ACTIVE else everybody),
        (Reason.PAUSED, roster.paused[members]),
    )
    return Followers(
        strategy=strategy,
        rules=rules,
        sessions=sessions,
        session=session,
        members=members,
        rows=rows,
        look=look(world.valued, rules, rows=rows),
        cooldown_ends=_cooldown_ends(strategy, sessions, last=roster.last_rebalanced_at[members].tolist()),
        able=~np.logical_or.reduce([flags for _, flags in hindrances]),
        hindrances=hindrances,
    )


def _cooldown_ends(strategy: Strategy, sessions: Sessions, *, last: list[int]) -> Places:
    """The ordinals of the days on which cooldowns end; NEVER where there was no rebalance."""
    days = strategy.definition.cooldown_days
    # Many were rebalanced at the same instant.
    ends = {
        at: cooldown_ends_on(sessions, instant(at), cooldown_days=days).toordinal() if at >= 0 else NEVER
        for at in set(last)
    }
    return np.array([ends[at] for at in last], np.int64)


def may_be_due(followers: Followers, world: World) -> Flags:
    """Who of those that may be evaluated could be due: for these the exact rules decide."""
    roster, members, strategy = world.roster, followers.members, followers.strategy
    evaluated_on = [roster.evaluated_on[member] for member in members]
    due_after = {
        on: _calendar_may_be_due(followers, world, after=date.fromisoformat(on)) for on in set(evaluated_on)
    }
    called = followers.look.drifted | np.array([due_after[on] for on in evaluated_on], np.bool_)
    never_rebalanced = followers.cooldown_ends == NEVER
    updated = roster.evaluated_version[members] < strategy.updated_version
    could: Flags = followers.look.unclear | followers.look.invests | never_rebalanced | updated
    could |= called & ~followers.in_cooldown()
    if strategy.frequency is not None:
        # -1, an enrollment whose schedule has no instant yet, is before any time.
        could |= roster.next_due_at[members] <= micros(world.now)
    could &= followers.able
    return could


def _calendar_may_be_due(followers: Followers, world: World, *, after: date) -> bool:
    rule = followers.strategy.definition.calendar_rule
    if rule is None or followers.session is None:
        return False
    span = Span(after=after, until=followers.session.on, eligible_from=None)
    months = world.desk.evaluation.quarter_months
    return calendar_due(followers.sessions, rule, span=span, quarter_months=months) is not None


def targets_of(heads: Mapping[str, Strategy]) -> set[str]:
    """The symbols that any of these strategies names."""
    return {symbol for strategy in heads.values() for symbol in asset_symbols(strategy.definition.targets)}
