"""What the broker says of symbols at one moment: the assets behind them, and prices that are prices."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from trimtab.brokers.broker import Asset, Broker, usable_prices
from trimtab.core.corporate import comparable, describe
from trimtab.core.money import ZERO
from trimtab.core.strategy import Weights
from trimtab.engine.desk import Effects, ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """Assets and prices by symbol; `unsettled` are those with a corporate action that is not complete,
    with what it is.
    """

    assets: Mapping[str, Asset]
    prices: Mapping[str, Decimal]
    unsettled: Mapping[str, str]

    @property
    def settled(self) -> dict[str, Decimal]:
        """The prices that may be multiplied with what is held."""
        return {symbol: price for symbol, price in self.prices.items() if symbol not in self.unsettled}

    @property
    def comparable(self) -> dict[str, Decimal]:
        """Prices that can be compared from day to day, through splits and under every name."""
        settled = self.settled
        return {
            symbol: comparable(settled[asset.symbol], asset.actions)
            for symbol, asset in self.assets.items()
            if asset.symbol in settled
        }


def ask_quotes(symbols: Collection[str]) -> Effects[Quotes]:
    """Ask about these symbols, and about those that some of them have become."""

    def question(broker: Broker) -> Quotes:
        assets = broker.assets(symbols)
        present = {*symbols, *(asset.symbol for asset in assets.values())}
        prices = usable_prices(broker.prices(present))
        return Quotes(assets=assets, prices=prices, unsettled=unsettled(assets))

    return (yield from ask(question))


def unsettled(assets: Mapping[str, Asset]) -> dict[str, str]:
    """What is not complete, by the present symbol."""
    found = {asset.symbol: asset.pending for asset in assets.values()}
    return {symbol: describe(split) for symbol, split in found.items() if split is not None}


def renamed(weights: Weights, assets: Mapping[str, Asset]) -> Weights:
    """The weights with each asset under its present symbol: what was renamed is not what is not wanted."""
    if all(symbol not in assets or assets[symbol].symbol == symbol for symbol in weights.assets):
        return weights
    present: dict[str, Decimal] = {}
    for symbol, percent in weights.assets.items():
        name = assets[symbol].symbol if symbol in assets else symbol
        present[name] = present.get(name, ZERO) + percent
    return replace(weights, assets=present)
