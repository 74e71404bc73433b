"""What Alpaca trades and at what prices: assets, remembered for minutes, and latest trades."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock
from urllib.parse import quote

from trimtab.brokers.alpaca_answers import is_own_error
from trimtab.brokers.alpaca_calls import Calls
from trimtab.brokers.alpaca_json import Object, flag_in, instant_in, object_in, price_in, text_in
from trimtab.brokers.broker import Asset
from trimtab.core.errors import BrokerDown

ASSET_KEPT = timedelta(minutes=5)
SYMBOLS_MAX = 100
STOCKS = "us_equity"
TRADES, SNAPSHOTS = "/v2/stocks/trades/latest", "/v2/stocks/snapshots"
NOT_FOUND = 404
UNKNOWN_SYMBOL = frozenset({400, 422})
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,31}", re.ASCII)


class AlpacaMarket:
    """`price_age_max`: how old the latest trade may be; None: as old as it likes."""

    def __init__(
        self, calls: Calls, clock: Callable[[], datetime], *, price_age_max: timedelta | None
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._price_age_max = price_age_max
        self._lock = Lock()
        self._assets: dict[str, tuple[datetime, Asset | None]] = {}

    def asset(self, symbol: str) -> Asset | None:
        """None if there is no such asset."""
        now = self._clock()
        with self._lock:
            asked_at, known = self._assets.get(symbol, (None, None))
        if asked_at is not None and timedelta(0) <= now - asked_at < ASSET_KEPT:
            return known
        asset = self._asked(symbol)
        with self._lock:
            self._assets[symbol] = (now, asset)
        return asset

    def _asked(self, symbol: str) -> Asset | None:
        if not SYMBOL.fullmatch(symbol):
            return None
        answer = self._calls.ask(f"/v1/assets/{quote(symbol, safe='')}")
        if answer.status == NOT_FOUND and is_own_error(answer):
            return None
        if not answer.is_success:
            raise BrokerDown(f"the broker answers {answer.status} when asked for the asset {symbol}")
        found = object_in(answer.body, "asset")
        is_stock = found.get("class", STOCKS) == STOCKS
        return Asset(
            symbol=text_in(found, "symbol"),
            asset_id=text_in(found, "id"),
            active=text_in(found, "status") == "active",
            # Anything else trades at other hours, by other rules.
            tradable=is_stock and flag_in(found, "tradable", default=False),
            fractionable=flag_in(found, "fractionable", default=False),
        )

    def prices(self, symbols: Collection[str]) -> dict[str, Decimal]:
        wanted = sorted(symbol for symbol in symbols if SYMBOL.fullmatch(symbol))
        chunks = [wanted[at : at + SYMBOLS_MAX] for at in range(0, len(wanted), SYMBOLS_MAX)]
        return {symbol: price for chunk in chunks for symbol, price in self._latest(chunk).items()}

    def _latest(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        """One symbol that the vendor does not know fails the whole question: it is asked in halves, until
        that symbol is alone.
        """
        params = {"symbols": ",".join(symbols)}
        answer = self._calls.ask(TRADES, params=params, at=self._calls.access.data_url)
        field = "trades"
        if answer.status == NOT_FOUND:
            answer = self._calls.ask(SNAPSHOTS, params=params, at=self._calls.access.data_url)
            field = "snapshots"
        if answer.status in UNKNOWN_SYMBOL:
            if len(symbols) == 1:
                return {}
            middle = len(symbols) // 2
            return self._latest(symbols[:middle]) | self._latest(symbols[middle:])
        if not answer.is_success:
            raise BrokerDown(f"the broker answers {answer.status} when asked for prices")
        told = object_in(answer.body, "prices")
        found = told.get(field, told)
        return self._usable(object_in(found, field), symbols)

    def _usable(self, told: Mapping[str, object], symbols: Sequence[str]) -> dict[str, Decimal]:
        now = self._clock()
        prices = {}
        for symbol in symbols:
            said = told.get(symbol)
            trade = said.get("latestTrade", said) if isinstance(said, dict) else None
            if isinstance(trade, dict) and self._is_fresh(trade, now):
                price = price_in(trade, "p")
                if price is not None:
                    prices[symbol] = price
        return prices

    def _is_fresh(self, trade: Object, now: datetime) -> bool:
        """A trade that does not say when it was is as old as can be."""
        if self._price_age_max is None:
            return True
        try:
            at = instant_in(trade, "t")
        except BrokerDown:
            return False
        return at is not None and now - at <= self._price_age_max
