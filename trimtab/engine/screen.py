"""A fast look at a whole shard: how every account stands to its strategy, and which could be due at all.

Floats decide nothing here. Every comparison has a margin, so that an account near a band is always
let through to the exact rules; what is held back here is certain not to be due.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from trimtab.core.enrollment import EvaluationPolicy
from trimtab.core.strategy import BandKind, DriftBand, Weights
from trimtab.store.holdings import Block

# Relative margin: a billion times the rounding of a float64, a thousandth of a cent on $10,000.
MARGIN = 1e-9
SLACK = MARGIN * 100
NANO = 1e-9

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Valued:
    """A block at current prices, in dollars, cash without what is set aside; accounts with an unpriced
    position have no equity (nan).
    """

    block: Block
    prices: Mapping[str, Decimal]
    values: Floats
    cash: Floats
    equity: Floats


def value(block: Block, prices: Mapping[str, Decimal], *, set_aside: Mapping[str, Decimal]) -> Valued:
    accounts = len(block.account_ids)
    known = [float(prices[s]) if s in prices else float("nan") for s in block.symbols]
    price = np.array(known, np.float64)
    values = block.nanos * NANO * price[block.symbol_of]
    account_of = np.repeat(np.arange(accounts), block.starts[1:] - block.starts[:-1])
    cash = np.array(block.cash, np.float64) if accounts else np.zeros(0)
    if set_aside:
        cash -= [float(set_aside.get(account_id, 0)) for account_id in block.account_ids]
    equity = cash + np.bincount(account_of, weights=values, minlength=accounts)
    return Valued(block, prices, values, cash, equity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the accounts of one strategy are looked at by; `frozen` lines are left as they are."""

    weights: Weights
    bands: Sequence[DriftBand]
    policy: EvaluationPolicy
    frozen: frozenset[str] = frozenset()

    @property
    def watched(self) -> tuple[tuple[str | None, Decimal], ...]:
        """The lines that bands test, with their targets in percent; None is cash."""
        assets = self.weights.assets.items()
        lines: list[tuple[str | None, Decimal]] = [(s, t) for s, t in assets if s not in self.frozen]
        return (*lines, (None, self.weights.cash)) if self.weights.names_cash else tuple(lines)


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each account, the line nearest to the edge of one band and its percent of equity.

    Lines count along those that are watched and, after them, along the symbols of the block; -1 is none.
    """

    line: Places
    actual: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Some accounts of a block at a glance, one entry each: whether only the exact rules can tell, whether
    a band could be broken, the free cash in dollars, and whether it could be enough to be invested.
    """

    unclear: Flags
    drifted: Flags
    free_cash: Floats
    invests: Flags
    nearest: tuple[Nearest, ...]

    @property
    def may_be_due(self) -> Flags:
        return self.unclear | self.drifted | self.invests


def look(valued: Valued, rules: Rules, *, rows: Places) -> Look:
    """The accounts in these rows of the block, in this order."""
    equity = valued.equity[rows]
    held, outside = _by_line(valued, rules, rows=rows)
    targets = np.array([*(float(target) for _, target in rules.watched), 0.0])
    distance = np.abs(100 * held - targets * equity[:, None])
    drifted = np.zeros(len(rows), np.bool_)
    # An account that has nothing or cannot be valued, or a target without a price, is nothing for floats.
    priced = all(symbol is None or symbol in valued.prices for symbol, _ in rules.watched)
    cash = valued.cash[rows]
    rounding = MARGIN * (np.abs(cash) + equity - cash)
    unclear: Flags = ~(equity > rounding) if priced else np.ones(len(rows), np.bool_)
    nearest = []
    for band in rules.bands:
        broken, line = _test(band, distance, targets=targets, equity=equity)
        drifted |= broken
        nearest.append(_nearest(line, held, outside=outside, equity=equity))
    free_cash = _free_cash(valued, rules, rows=rows)
    least = float(rules.policy.invest_cash_min)
    pays = least > 0 and bool(rules.weights.assets)
    invests = free_cash > least - MARGIN * np.abs(equity) - NANO if pays else np.zeros(len(rows), np.bool_)
    return Look(
        unclear=unclear, drifted=drifted, free_cash=free_cash, invests=invests, nearest=tuple(nearest)
    )


def _by_line(valued: Valued, rules: Rules, *, rows: Places) -> tuple[Floats, Places]:
    """Dollars by account and watched line, the largest holding outside the weights as one line more; and
    which symbol that is.
    """
    symbols = [symbol for symbol, _ in rules.watched if symbol is not None]
    entries = _entries(valued.block, rows, symbols=symbols)
    held = entries.values(valued, shape=(len(rows), len(rules.watched) + 1))
    if rules.weights.names_cash:
        held[:, len(symbols)] = valued.cash[rows]
    found = np.flatnonzero(entries.column < 0)
    if rules.frozen:
        frozen = [i for i, symbol in enumerate(valued.block.symbols) if symbol in rules.frozen]
        found = found[~np.isin(entries.symbol[found], frozen)]
    outside = np.full(len(rows), -1)
    if len(found):
        # In the order of their value: of what is written to one place, the last stays.
        found = found[np.argsort(valued.values[entries.entry[found]], kind="stable")]
        held[entries.member[found], -1] = valued.values[entries.entry[found]]
        outside[entries.member[found]] = entries.symbol[found]
    return held, outside


@dataclass(frozen=True, slots=True)
class _Entries:
    """The positions of some accounts: each one's place in the block, that of its account among the rows, its
    symbol, and that symbol's place among those that were asked for; -1 if it is not.
    """

    entry: Places
    member: Places
    symbol: Places
    column: Places

    def values(self, valued: Valued, *, shape: tuple[int, int]) -> Floats:
        """Dollars by account and by symbol asked for."""
        held = np.zeros(shape)
        inside = self.column >= 0
        held[self.member[inside], self.column[inside]] = valued.values[self.entry[inside]]
        return held


def _entries(block: Block, rows: Places, *, symbols: Sequence[str]) -> _Entries:
    sizes = block.starts[rows + 1] - block.starts[rows]
    before = np.cumsum(sizes) - sizes
    entry = np.arange(sizes.sum()) + np.repeat(block.starts[rows] - before, sizes)
    place = {symbol: i for i, symbol in enumerate(symbols)}
    column_of = np.array([place.get(symbol, -1) for symbol in block.symbols], np.int64)
    symbol = block.symbol_of[entry].astype(np.int64)
    return _Entries(entry, np.repeat(np.arange(len(rows)), sizes), symbol, column_of[symbol])


def _test(band: DriftBand, distance: Floats, *, targets: Floats, equity: Floats) -> tuple[Flags, Places]:
    """Where the band could be broken, and each account's line that is nearest to its edge; -1 if none."""
    percent = float(band.percent) * (1 - MARGIN)
    if band.kind is BandKind.ABSOLUTE:
        line = np.argmax(distance, axis=1)
        farthest = distance[np.arange(len(distance)), line]
        return farthest > (percent - SLACK) * equity, line
    watched = np.flatnonzero(targets > 0)
    if not len(watched):
        return np.zeros(len(distance), np.bool_), np.full(len(distance), -1)
    limit = targets[watched] * percent / 100 - SLACK
    broken: Flags = np.any(distance[:, watched] > limit * equity[:, None], axis=1)
    return broken, watched[np.argmax(distance[:, watched] / targets[watched], axis=1)]


def _nearest(line: Places, held: Floats, *, outside: Places, equity: Floats) -> Nearest:
    last = held.shape[1] - 1
    whole = np.where(equity > 0, equity, np.nan)
    actual = 100 * held[np.arange(len(held)), line] / whole
    # The last line stands for whichever symbol is outside the weights; nothing there is no line.
    line = np.where(line == last, np.where(outside >= 0, last + outside, -1), line)
    return Nearest(np.where(np.isnan(actual), -1, line), actual)


def _free_cash(valued: Valued, rules: Rules, *, rows: Places) -> Floats:
    """Cash above the target, the buffer, and what the frozen lines still lack."""
    equity = valued.equity[rows]
    buffered = (100 - float(rules.policy.buffer_percent)) / 100
    free = valued.cash[rows] - equity * (1 - buffered * (100 - float(rules.weights.cash)) / 100)
    frozen = [(s, float(t)) for s, t in rules.weights.assets.items() if s in rules.frozen]
    if frozen:
        entries = _entries(valued.block, rows, symbols=[symbol for symbol, _ in frozen])
        held = entries.values(valued, shape=(len(rows), len(frozen)))
        wanted = equity[:, None] * buffered * np.array([target / 100 for _, target in frozen])
        free -= np.maximum(wanted - held, 0).sum(axis=1)
    return free
