"""A fast look at a whole shard: which accounts could be due at all.

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
NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Valued:
    """A block at current prices, in dollars; accounts with an unpriced position have no equity (nan)."""

    block: Block
    account_of: NDArray[np.int64]
    values: NDArray[np.float64]
    cash: NDArray[np.float64]
    equity: NDArray[np.float64]


def value(block: Block, prices: Mapping[str, Decimal]) -> Valued:
    accounts = len(block.account_ids)
    known = [float(prices[s]) if s in prices else float("nan") for s in block.symbols]
    price = np.array(known, np.float64)
    values = block.nanos * NANO * price[block.symbol_of]
    account_of = np.repeat(np.arange(accounts), np.diff(block.starts))
    cash = np.array(block.cash, np.float64) if accounts else np.zeros(0)
    equity = cash + np.bincount(account_of, weights=values, minlength=accounts)
    return Valued(block, account_of, values, cash, equity)


def may_be_due(
    valued: Valued, weights: Weights, *, bands: Sequence[DriftBand], policy: EvaluationPolicy
) -> NDArray[np.bool_]:
    """For each account of the block: whether a band or free cash could make a run for this strategy."""
    accounts = len(valued.block.account_ids)
    target_of = np.array([float(weights.assets.get(s, 0)) for s in valued.block.symbols])
    targets = target_of[valued.block.symbol_of]
    equity = valued.equity[valued.account_of]
    distance = np.abs(100 * valued.values - targets * equity)
    entry_broken = np.zeros(len(targets), np.bool_)
    due = np.isnan(valued.equity) | _lacks_a_target(valued, weights, targets=targets)
    cash_distance = np.abs(100 * valued.cash - float(weights.cash) * valued.equity)
    for band in bands:
        percent = float(band.percent) * (1 - MARGIN)
        slack = MARGIN * 100
        if band.kind is BandKind.ABSOLUTE:
            entry_broken |= distance > (percent - slack) * equity
            cash_broken = cash_distance > (percent - slack) * valued.equity
        else:
            entry_broken |= (targets > 0) & (distance > (targets * percent / 100 - slack) * equity)
            limit = float(weights.cash) * percent / 100 - slack
            cash_broken = cash_distance > limit * valued.equity
        if weights.names_cash:
            due |= cash_broken
    due |= np.bincount(valued.account_of[entry_broken], minlength=accounts) > 0
    if policy.invest_cash_min > 0 and weights.assets:
        invested = (100 - float(policy.buffer_percent)) * (100 - float(weights.cash)) / 10_000
        free = valued.cash - valued.equity * (1 - invested)
        due |= free > float(policy.invest_cash_min) - MARGIN * np.abs(valued.equity) - NANO
    return due


def _lacks_a_target(valued: Valued, weights: Weights, *, targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Accounts that hold none of some target: rare, and left to the exact rules."""
    accounts = len(valued.block.account_ids)
    held = np.bincount(valued.account_of, weights=targets > 0, minlength=accounts)
    return np.asarray(held < len(weights.assets))
