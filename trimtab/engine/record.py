"""Writing a sweep's findings down: for every enrollment why it trades or does not, and how far it is.

What is written is what was seen; nothing is decided here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.core.evaluation import Reason
from trimtab.core.money import CENT_PLACES, plain
from trimtab.engine.followers import NEVER, Followers, World
from trimtab.engine.screen import Floats, Nearest, Places
from trimtab.store.evaluations import CODES, NOTHING, PERCENT_PLACES, Group, Note, Sheet, blank

# What fits into a record: weights beyond 214,748 % and cash beyond 90 trillion dollars are shown as that.
TEN_THOUSANDTHS_MAX = 2**31 - 1
CENTS_MAX = 9 * 10**15
CENTS = 10**CENT_PLACES
HAIR = 1e-6

# A symbol, None for cash, and its target in percent.
_Line = tuple[str | None, str]


def first_record(world: World, groups: Sequence[Followers]) -> Sheet:
    """All that is known before the exact rules have spoken; they overrule it for those that could be due."""
    sheet = blank(len(world.valued.block.account_ids))
    for followers in groups:
        _write(sheet, followers, world=world)
    return sheet


def note(sheet: Sheet, row: int, *, reason: Reason, words: Note | None = None) -> None:
    """What the exact rules say of the account in this row of the mirror."""
    sheet.records["reason"][row] = CODES[reason]
    if words is not None:
        sheet.notes[row] = words


def _write(sheet: Sheet, followers: Followers, *, world: World) -> None:
    records, rows = sheet.records, followers.rows
    records["enrollment"][rows] = world.roster.seqs[followers.members]
    records["group"][rows] = len(sheet.groups)
    records["reason"][rows] = _reasons(followers)
    ends = followers.cooldown_ends
    records["cooldown_ends"][rows] = np.where(ends == NEVER, NOTHING["cooldown_ends"], ends)
    if followers.strategy.frequency is not None:
        due = world.roster.next_due_at[followers.members]
        records["next_due"][rows] = np.where(due < 0, NOTHING["next_due"], due)
    records["free_cash"][rows] = _cents(followers.look.free_cash)
    lines: list[_Line] = [(s, plain(target)) for s, target in followers.rules.watched]
    symbols = world.valued.block.symbols
    for n, nearest in enumerate(followers.look.nearest):
        records[f"line_{n}"][rows] = _lines(nearest, lines, followers=followers, symbols=symbols)
        records[f"actual_{n}"][rows] = _ten_thousandths(nearest.actual)
    sheet.groups.append(_group(followers, lines))


def _reasons(followers: Followers) -> NDArray[np.uint8]:
    reasons = np.full(len(followers.rows), CODES[Reason.NOTHING_DUE], np.uint8)
    if followers.session is not None:
        reasons[followers.in_cooldown()] = CODES[Reason.IN_COOLDOWN]
    for reason, flags in followers.hindrances:
        reasons[flags] = CODES[reason]
    return reasons


def _group(followers: Followers, lines: list[_Line]) -> Group:
    return Group(
        strategy_id=followers.strategy.id,
        version=followers.strategy.version,
        session_on=None if followers.session is None else followers.session.on,
        invest_cash_min=plain(followers.rules.policy.invest_cash_min),
        lines=lines,
        bands=[(band.kind.value, plain(band.percent)) for band in followers.rules.bands],
    )


def _lines(nearest: Nearest, lines: list[_Line], *, followers: Followers, symbols: Sequence[str]) -> Places:
    """Places among `lines`, to which holdings outside the weights are appended, with a target of 0."""
    watched = len(followers.rules.watched)
    places = np.where(nearest.line < 0, NOTHING["line_0"], nearest.line)
    for line in set(nearest.line[nearest.line >= watched].tolist()):
        places[nearest.line == line] = len(lines)
        lines.append((symbols[line - watched], "0"))
    return places


def _cents(dollars: Floats) -> Places:
    """Whole cents, cut; a hair is what a float may lack of one."""
    cents = np.floor(np.clip(dollars * CENTS + HAIR, -CENTS_MAX, CENTS_MAX))
    return np.where(np.isnan(cents), NOTHING["free_cash"], cents).astype(np.int64)


def _ten_thousandths(percent: Floats) -> Places:
    most = TEN_THOUSANDTHS_MAX
    whole = np.rint(np.clip(percent * 10**PERCENT_PLACES, -most, most))
    return np.where(np.isnan(whole), NOTHING["actual_0"], whole).astype(np.int64)
