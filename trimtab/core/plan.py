"""From targets, holdings and prices to a plan: what to sell, what to buy, what to leave and why.

Three kinds of plan: a full rebalance to the targets, investing free cash below them, raising cash from above
them. All arithmetic is exact; amounts are rounded once, towards not trading: sells to nine places of a share,
buys to whole cents. No symbol is traded both ways, and buys never exceed proceeds plus free cash.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import assert_never

from trimtab.core.money import (
    ATTO,
    BASIS_POINTS,
    CENT,
    CENT_PLACES,
    HUNDRED,
    QUANTITY_PLACES,
    ZERO,
    divide_down,
    divide_up,
    down_to,
    round_down,
    up_to,
)
from trimtab.core.preferences import NO_PREFERENCES, Preferences
from trimtab.core.raising import Offer, raise_cash
from trimtab.core.run import RunKind, Side
from trimtab.core.skip import Skip, SkipReason
from trimtab.core.spending import fit
from trimtab.core.strategy import Weights
from trimtab.core.wording import less_than_minimum, no_price, too_much_impact


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Settled cash in dollars and positions in shares, as the broker last reported them."""

    cash: Decimal
    positions: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds every plan: smallest order in dollars, and percent of equity kept in cash.

    In basis points, where there is such a limit: how much worse than the plan's price an execution may
    be, and how far an order may move the market.
    """

    min_notional: Decimal
    buffer_percent: Decimal
    slippage_bps: int | None = None
    impact_bps_max: int | None = None

    def narrowed(self, preferences: Preferences) -> "Limits":
        """These limits with preferences in them, which never loosen one."""
        if preferences == NO_PREFERENCES:
            return self
        return replace(
            self,
            min_notional=max(self.min_notional, preferences.threshold or self.min_notional),
            slippage_bps=preferences.slippage_bps,
            impact_bps_max=preferences.impact_bps,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One intended trade: sells by `quantity` in shares, buys by `notional` in dollars."""

    number: int
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Legs and skips, and all that they were computed from. Immutable once stored.

    `reserve` is cash in dollars that buys must leave untouched: the cash target, the buffer and what
    was set aside. `min_notional` is the smallest order it was allowed, in dollars; `slippage_bps` and
    `impact_bps_max` bound how its orders may execute (see Limits). `short` is true if less was planned
    than was asked for. `last_actions` is the id of each symbol's last corporate action, if it had one:
    those after it have come since.
    """

    kind: RunKind
    weights: Weights
    holdings: Holdings
    prices: Mapping[str, Decimal]
    equity: Decimal
    reserve: Decimal
    min_notional: Decimal
    legs: tuple[Leg, ...]
    skips: tuple[Skip, ...]
    short: bool = False
    slippage_bps: int | None = None
    impact_bps_max: int | None = None
    last_actions: Mapping[str, str] = field(default_factory=dict)

    @property
    def sells(self) -> tuple[Leg, ...]:
        return tuple(leg for leg in self.legs if leg.side is Side.SELL)

    @property
    def buys(self) -> tuple[Leg, ...]:
        return tuple(leg for leg in self.legs if leg.side is Side.BUY)

    def worst_price(self, leg: Leg) -> Decimal | None:
        """The price that the leg must not execute beyond; None if there is no such limit."""
        if self.slippage_bps is None:
            return None
        worse = self.slippage_bps if leg.side is Side.BUY else -self.slippage_bps
        return max(leg.price * (BASIS_POINTS + worse) / BASIS_POINTS, ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """All that a plan is made from. `set_aside` is cash in dollars that is not the strategy's.

    `untradable` are held or wanted symbols that the broker does not trade now; `unsettled` are those with
    a corporate action that is not complete, with what it is. An order of as many dollars as a symbol's
    depth moves its price by as much again; those without one are endless. They trade in `increments`.
    """

    kind: RunKind
    amount: Decimal | None
    weights: Weights
    holdings: Holdings
    prices: Mapping[str, Decimal]
    set_aside: Decimal
    untradable: frozenset[str]
    limits: Limits
    depths: Mapping[str, Decimal] = field(default_factory=dict)
    increments: Mapping[str, Decimal] = field(default_factory=dict)
    unsettled: Mapping[str, str] = field(default_factory=dict)
    last_actions: Mapping[str, str] = field(default_factory=dict)


def unpriced(weights: Weights, holdings: Holdings, *, prices: Mapping[str, Decimal]) -> tuple[str, ...]:
    """The symbols held or wanted without a price. Equity is unknown while one of them is held."""
    return tuple(sorted(s for s in {*weights.assets, *holdings.positions} if s not in prices))


def equity_of(holdings: Holdings, prices: Mapping[str, Decimal]) -> Decimal:
    return holdings.cash + sum((q * prices[s] for s, q in holdings.positions.items()), ZERO)


def make_plan(basis: Basis) -> Plan:
    """The plan of one run. Everything held must have a price, and no corporate action under way; what is
    only wanted is skipped without.
    """
    equity = equity_of(basis.holdings, basis.prices) - basis.set_aside
    draft = _Draft(basis=basis, equity=equity)
    if equity > 0:
        match basis.kind:
            case RunKind.FULL_REBALANCE:
                _plan_full_rebalance(draft)
            case RunKind.INVEST_CASH:
                _plan_invest_cash(draft)
            case RunKind.PARTIAL_LIQUIDATION:
                _plan_partial_liquidation(draft)
            case _:
                assert_never(basis.kind)
    else:
        # An amount was asked for and nothing is there to make it from.
        draft.short = basis.amount is not None and basis.amount > 0
    plan = draft.finish()
    _assert_promises(plan)
    return plan


@dataclass(kw_only=True)
class _Draft:
    """A plan while it is being made."""

    basis: Basis
    equity: Decimal
    short: bool = False
    legs: list[Leg] = field(default_factory=list)
    skips: list[Skip] = field(default_factory=list)

    @property
    def reserve(self) -> Decimal:
        """The cash target and the buffer, of an equity that is at least zero, and what is set aside."""
        invested = HUNDRED - self.basis.limits.buffer_percent
        percent = HUNDRED - invested * (HUNDRED - self.basis.weights.cash) / HUNDRED
        return max(self.equity, ZERO) * percent / HUNDRED + self.basis.set_aside

    def target(self, symbol: str, equity: Decimal) -> Decimal:
        """Dollars of such an equity that the strategy wants in this symbol."""
        invested = HUNDRED - self.basis.limits.buffer_percent
        percent = self.basis.weights.assets.get(symbol, ZERO)
        return equity * invested * percent / (HUNDRED * HUNDRED)

    def value(self, symbol: str) -> Decimal:
        held = self.basis.holdings.positions.get(symbol, ZERO)
        return held * self.basis.prices[symbol] if held else ZERO

    def sell(self, symbol: str, quantity: Decimal) -> None:
        quantity = down_to(quantity, self.basis.increments.get(symbol, ATTO))
        if self.may_sell(symbol, quantity * self.basis.prices[symbol]):
            self._append(symbol, Side.SELL, quantity=quantity, notional=None)

    def buy(self, symbol: str, notional: Decimal) -> None:
        if self._may_move(symbol, Side.BUY, value=notional):
            self._append(symbol, Side.BUY, quantity=None, notional=notional)

    def may_sell(self, symbol: str, value: Decimal) -> bool:
        return self._may_trade(symbol, Side.SELL, value=value) and self._may_move(
            symbol, Side.SELL, value=value
        )

    def may_buy(self, symbol: str, value: Decimal) -> bool:
        return self._may_trade(symbol, Side.BUY, value=value)

    def most_to_sell(self, symbol: str) -> Decimal:
        """Dollars: all that is held, or as much of it as the market takes; nothing if it is closed."""
        value, most = self.value(symbol), self.basis.limits.impact_bps_max
        if symbol in self.basis.untradable:
            return ZERO
        depth = self.basis.depths.get(symbol)
        if depth is None or most is None or value * BASIS_POINTS <= most * depth:
            return value
        price = self.basis.prices[symbol]
        # Whole nano-shares, so that rounding up to one does not exceed it again.
        return divide_down(most * depth / BASIS_POINTS, price, to_places=QUANTITY_PLACES) * price

    def _append(self, symbol: str, side: Side, *, quantity: Decimal | None, notional: Decimal | None) -> None:
        price = self.basis.prices[symbol]
        number = len(self.legs)
        self.legs.append(
            Leg(number=number, symbol=symbol, side=side, quantity=quantity, notional=notional, price=price)
        )

    def _may_trade(self, symbol: str, side: Side, *, value: Decimal) -> bool:
        """Whether the trade may become a leg; if not, and it is at least a cent, it is a skip."""
        cents = round_down(value, CENT_PLACES)
        if cents == 0:
            # What rounding left over from an earlier run; no order could move it.
            return False
        if symbol in self.basis.untradable:
            details = f"asset {symbol} cannot be traded at the broker now"
            self._skip(symbol, side, cents=cents, reason=SkipReason.NOT_TRADABLE, details=details)
            return False
        if symbol in self.basis.unsettled:
            details = self.basis.unsettled[symbol]
            self._skip(symbol, side, cents=cents, reason=SkipReason.CORPORATE_ACTION, details=details)
            return False
        if symbol not in self.basis.prices:
            details = no_price([symbol])
            self._skip(symbol, side, cents=cents, reason=SkipReason.NO_PRICE, details=details)
            return False
        if value < self.basis.limits.min_notional:
            details = less_than_minimum(cents, self.basis.limits.min_notional)
            self._skip(symbol, side, cents=cents, reason=SkipReason.LESS_THAN_MIN_NOTIONAL, details=details)
            return False
        return True

    def _may_move(self, symbol: str, side: Side, *, value: Decimal) -> bool:
        """Whether the market is deep enough for the trade; if not, it is a skip.

        Asked of what would be sent and not of what is wanted, since a budget makes buys smaller.
        """
        depth, most = self.basis.depths.get(symbol), self.basis.limits.impact_bps_max
        if depth is None or most is None or value * BASIS_POINTS <= most * depth:
            return True
        details = too_much_impact(value, depth, bps_max=most)
        cents = round_down(value, CENT_PLACES)
        self._skip(symbol, side, cents=cents, reason=SkipReason.PRICE_IMPACT, details=details)
        return False

    def _skip(self, symbol: str, side: Side, *, cents: Decimal, reason: SkipReason, details: str) -> None:
        self.skips.append(
            Skip(leg=None, symbol=symbol, side=side, notional=cents, reason=reason, details=details)
        )

    def finish(self) -> Plan:
        return Plan(
            kind=self.basis.kind,
            weights=self.basis.weights,
            holdings=self.basis.holdings,
            prices=self.basis.prices,
            equity=self.equity,
            reserve=self.reserve,
            min_notional=self.basis.limits.min_notional,
            legs=tuple(self.legs),
            skips=tuple(self.skips),
            short=self.short,
            slippage_bps=self.basis.limits.slippage_bps,
            impact_bps_max=self.basis.limits.impact_bps_max,
            last_actions=self.basis.last_actions,
        )


def _plan_full_rebalance(draft: _Draft) -> None:
    basis = draft.basis
    symbols = sorted({*basis.weights.assets, *basis.holdings.positions})
    for symbol in symbols:
        held = basis.holdings.positions.get(symbol, ZERO)
        excess = draft.value(symbol) - draft.target(symbol, draft.equity)
        if excess > 0:
            wanted, price = symbol in basis.weights.assets, basis.prices[symbol]
            # Out of the strategy means out to the last share.
            quantity = divide_down(excess, price, to_places=QUANTITY_PLACES) if wanted else held
            draft.sell(symbol, min(quantity, held))
    _buy_shortfalls(draft, basis.holdings.cash - draft.reserve + proceeds(draft.legs))


def _plan_invest_cash(draft: _Draft) -> None:
    """Buys only, in proportion to what is missing; `amount` bounds it, else all free cash."""
    free = draft.basis.holdings.cash - draft.reserve
    wanted = free if draft.basis.amount is None else draft.basis.amount
    draft.short = wanted > free
    _buy_shortfalls(draft, min(wanted, free))


def _plan_partial_liquidation(draft: _Draft) -> None:
    """Raise `amount` in cash, the most overweight first, judged by the equity that will remain."""
    basis = draft.basis
    assert basis.amount is not None, "raising cash needs an amount"
    remaining = max(draft.equity - basis.amount, ZERO)
    smallest = max(basis.limits.min_notional, CENT)
    values = {symbol: draft.value(symbol) for symbol in basis.holdings.positions}
    over = {symbol: value - draft.target(symbol, remaining) for symbol, value in values.items()}
    market = {symbol: draft.most_to_sell(symbol) for symbol in values}
    offers = [Offer(symbol=symbol, over=over[symbol], most=market[symbol]) for symbol in values]
    for symbol, dollars in raise_cash(basis.amount, offers, smallest=smallest).items():
        exact = divide_up(dollars, basis.prices[symbol], to_places=QUANTITY_PLACES)
        quantity = up_to(exact, basis.increments.get(symbol, ATTO))
        draft.sell(symbol, min(quantity, basis.holdings.positions[symbol]))
    draft.short = proceeds(draft.legs) < basis.amount
    if draft.short:
        # Whatever could have given more says why it did not.
        most = max(basis.amount, smallest)
        wanted = {s: min(max(values[s], ZERO), most) for s in sorted(over, key=lambda s: (-over[s], s))}
    else:
        deep = [replace(o, most=values[o.symbol]) for o in offers if o.symbol not in basis.untradable]
        wanted = raise_cash(basis.amount, deep, smallest=smallest)
    for symbol, dollars in wanted.items():
        draft.may_sell(symbol, dollars)


def _buy_shortfalls(draft: _Draft, budget: Decimal) -> None:
    """Buy what is missing below each target, as far as the budget reaches."""
    symbols = draft.basis.weights.assets
    missing = {symbol: draft.target(symbol, draft.equity) - draft.value(symbol) for symbol in symbols}
    wanted = {s: amount for s, amount in missing.items() if amount > 0 and draft.may_buy(s, amount)}
    budget, whole = max(budget, ZERO), sum(wanted.values(), ZERO)
    for symbol, notional in fit(wanted, budget, smallest=draft.basis.limits.min_notional).items():
        if notional:
            draft.buy(symbol, notional)
        else:
            # What is given up says how little its share would have been.
            draft.may_buy(symbol, round_down(min(budget, whole) * wanted[symbol] / whole, CENT_PLACES))


def proceeds(legs: Iterable[Leg]) -> Decimal:
    """Dollars that the sells among the legs bring at the plan's prices."""
    return sum((leg.quantity * leg.price for leg in legs if leg.quantity is not None), ZERO)


def _assert_promises(plan: Plan) -> None:
    bought = sum((leg.notional for leg in plan.legs if leg.notional is not None), ZERO)
    free = max(plan.holdings.cash - plan.reserve + proceeds(plan.legs), ZERO)
    assert bought <= free, "buys stay within proceeds plus free cash"
    assert len({leg.symbol for leg in plan.legs}) == len(plan.legs), "one direction per symbol"
    for leg in plan.sells:
        assert leg.quantity is not None
        assert 0 < leg.quantity <= plan.holdings.positions[leg.symbol], "no short sales"
