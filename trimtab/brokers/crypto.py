"""A spot account at any exchange that ccxt speaks to: one credential is one account, open day and night.

Symbols are the codes of coins; each is traded against one quote currency, which is the account's cash. No
exchange is trusted to refuse an id for good, most only while its order is open, so nothing is ever sent
again.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from ccxt.base.errors import InvalidOrder, OperationRejected, OrderNotFound

from trimtab.brokers.broker import (
    Accepted,
    Account,
    Asset,
    Feed,
    NotSent,
    OrderReport,
    Outcome,
    Refused,
    Traits,
    Unknown,
    usable_prices,
)
from trimtab.brokers.crypto_exchange import (
    CLIENT_ID_LENGTHS,
    Line,
    Repeated,
    Taken,
    number,
    open_exchange,
    price_in,
    spelled,
    unspelled,
)
from trimtab.brokers.crypto_orders import EPOCH, filled_of, instant, report
from trimtab.brokers.crypto_tickets import Market, market_in, ticket
from trimtab.core.errors import BrokerDown
from trimtab.core.money import ZERO, down_to
from trimtab.core.plan import Holdings
from trimtab.core.run import Order, OrderState, Side
from trimtab.settings_exchange import ExchangeSettings, account_at

# Orders leave one after the other: no more than can leave within SEND_WITHIN at an ordinary exchange.
BATCH = 5
SEND_WITHIN = timedelta(seconds=2)
MARKETS_KEPT = timedelta(hours=1)
# The amount for which an asset's increment is told, where it differs with the size.
ONE = Decimal(1)
# How far the exchange's clock may be behind ours where an order is found by its time.
CLOCK_SLACK = timedelta(seconds=5)
# How much of the money that was sent may be left over, in percent, where an order is found by it.
LEFT_OVER_PERCENT_MAX = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`quote` is the currency that is cash; `fee_coin`, if any, is kept for fees and not part of the
    portfolio; prices older than `price_age_max`, if there is one, are none.
    """

    quote: str
    quarantine: timedelta
    price_age_max: timedelta | None
    fee_coin: str = ""


class CryptoBroker:
    """Implements Broker."""

    def __init__(self, exchange: Any, clock: Callable[[], datetime], *, terms: Terms) -> None:
        self._line = Line(exchange)
        self._clock = clock
        self._terms = terms
        self._id_length = CLIENT_ID_LENGTHS.get(exchange.id)
        self._precision_mode: int = exchange.precisionMode
        self._by_cost: bool = bool(exchange.has.get("createMarketBuyOrderWithCost"))
        self._markets: dict[str, Market] = {}
        self._markets_at: datetime | None = None
        self._traits = Traits(
            name=exchange.id,
            drops_duplicates=False,
            quarantine=terms.quarantine,
            batch=BATCH,
            tells_changes=False,
        )
        self.account_id = account_at(exchange.id)

    @property
    def traits(self) -> Traits:
        return self._traits

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        """Of no id it is only asked whether the exchange answers."""
        markets = self._known_markets()
        held, working = self._line.ask(self._look)
        if self.account_id not in account_ids:
            return {}
        positions = {code: quantity for code, quantity in held.items() if code in markets and quantity > 0}
        holdings = Holdings(cash=held.get(self._terms.quote, ZERO), positions=positions)
        account = Account(account_id=self.account_id, status="ACTIVE", holdings=holdings, working=working)
        return {self.account_id: account}

    def _look(self, exchange: Any) -> tuple[dict[str, Decimal], frozenset[str]]:
        """What is held, and what is open: asked for first, so that what is executed in between shows as
        open, and no plan is made of an account from before it.
        """
        working = frozenset(self._our_id(each) for each in exchange.fetch_open_orders())
        totals = exchange.fetch_balance()["total"]
        return {code: number(total) for code, total in totals.items() if total is not None}, working

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        markets = self._known_markets()
        return {
            symbol: Asset(
                symbol=symbol,
                asset_id=f"{self._traits.name}:{markets[symbol].id}",
                active=markets[symbol].active,
                tradable=markets[symbol].active,
                fractionable=True,
                increment=markets[symbol].amounts.near(ONE),
            )
            for symbol in symbols
            if symbol in markets
        }

    def prices(self, symbols: Collection[str]) -> dict[str, Decimal]:
        markets = self._known_markets()
        wanted = {markets[symbol].name: symbol for symbol in sorted(symbols) if symbol in markets}
        if not wanted:
            return {}
        age_max = self._terms.price_age_max
        since = EPOCH if age_max is None else self._clock() - age_max

        def look(exchange: Any) -> dict[str, Decimal]:
            if exchange.has.get("fetchTickers"):
                tickers = exchange.fetch_tickers(list(wanted))
            else:
                tickers = {name: exchange.fetch_ticker(name) for name in wanted}
            return {
                symbol: price
                for name, symbol in wanted.items()
                if name in tickers
                # An exchange that stamps no prices shows those of now.
                and instant(tickers[name]["timestamp"], since) >= since
                and (price := price_in(tickers[name]["last"])) is not None
            }

        told = self._line.ask(look)
        return usable_prices(told)

    def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        return [self._submit(order) for order in orders]

    def _submit(self, order: Order) -> Outcome:
        if order.account_id != self.account_id:
            return Refused(f"no account {order.account_id}")
        try:
            market = self._known_markets().get(order.symbol)
            by_price = order.quantity is None and order.worst_price is None
            needs_price = by_price and not (self._by_cost and order.side is Side.BUY)
            price = self.prices([order.symbol]).get(order.symbol) if needs_price else None
        except BrokerDown as down:
            return NotSent(str(down))
        if market is None:
            return Refused(f"no asset {order.symbol}")
        if needs_price and price is None:
            return Refused(f"asset {order.symbol} has no current price")
        wanted = ticket(order, market, price=price, id_length=self._id_length)
        if isinstance(wanted, Refused):
            return wanted
        answer = self._line.send(wanted, may_leave=lambda: self._clock() <= order.sent_at + SEND_WITHIN)
        match answer:
            case Taken(found):
                return self._accepted(order, found)
            case Repeated() | Refused():
                return self._confirmed(order, answer)
            case _:
                return answer

    def _accepted(self, order: Order, found: Mapping[str, Any]) -> Outcome:
        """What it executed at once is not read from the answer: executions have one source, `lookup`."""
        echo = found.get("clientOrderId")
        if not found.get("id"):
            return Unknown("the answer names no order")
        if self._id_length is not None and echo and unspelled(str(echo)) != order.client_order_id:
            return Unknown(f"the answer names another order: {echo}")
        return Accepted(
            OrderReport(
                client_order_id=order.client_order_id,
                broker_order_id=str(found["id"]),
                account_id=order.account_id,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                notional=order.notional,
                state=OrderState.OPEN,
                filled=ZERO,
                executions=(),
                reason=None,
                updated_at=order.sent_at,
            )
        )

    def _confirmed(self, order: Order, answer: Repeated | Refused) -> Outcome:
        """What an order that was refused, or is there already, turns out to be when it is looked up. An
        exchange may refuse what it has taken, and a refusal where orders carry no ids is believed.
        """
        if isinstance(answer, Refused) and self._id_length is None:
            return answer
        try:
            known = self.lookup([order]).get(order.client_order_id)
        except BrokerDown as down:
            return Unknown(f"{answer.reason}; then {down}")
        if known is not None:
            return Accepted(known)
        return answer if isinstance(answer, Refused) else Unknown(answer.reason)

    def lookup(self, orders: Collection[Order]) -> dict[str, OrderReport]:
        markets = self._known_markets()
        reports = {}
        for order in orders:
            if order.symbol in markets:
                market = markets[order.symbol]
                found = self._line.ask(partial(self._report, order=order, market=market))
                if found is not None:
                    reports[order.client_order_id] = found
        return reports

    def _report(self, exchange: Any, *, order: Order, market: Market) -> OrderReport | None:
        found = self._find(exchange, order, market=market)
        if found is None:
            return None
        name = market.name
        return report(order, found, trades=self._trades(exchange, found, name=name), market=name)

    def _find(self, exchange: Any, order: Order, *, market: Market) -> dict[str, Any] | None:
        name = market.name
        with suppress(OrderNotFound):
            if order.broker_order_id is not None:
                return dict(exchange.fetch_order(order.broker_order_id, name))
            if self._id_length is not None:
                ours = spelled(order.client_order_id, self._id_length)
                return dict(exchange.fetch_order("", name, {"clientOrderId": ours}))
            return self._find_by_looks(exchange, order, market=market)
        return None

    def _find_by_looks(self, exchange: Any, order: Order, *, market: Market) -> dict[str, Any] | None:
        """Where orders carry no ids of ours: the only order of its market, side, amount and time, if there
        is exactly one.
        """
        name, since = market.name, order.sent_at - CLOCK_SLACK
        since_ms = (since - EPOCH) // timedelta(milliseconds=1)
        asked = [exchange.fetch_open_orders(name, since_ms)]
        for way in ("fetchOrders", "fetchClosedOrders"):
            if exchange.has.get(way) is True:
                asked.append(getattr(exchange, way)(name, since_ms))
                break
        found = {each["id"]: each for answer in asked for each in answer}
        until = order.sent_at + self._terms.quarantine
        alike = [
            each
            for each in found.values()
            if each["side"] == order.side
            and since <= instant(each["timestamp"], EPOCH) <= until
            and self._has_amount_of(order, each, market=market)
        ]
        return alike[0] if len(alike) == 1 else None

    def _has_amount_of(self, order: Order, found: Mapping[str, Any], *, market: Market) -> bool:
        if order.quantity is not None:
            sent = down_to(order.quantity, market.amounts.near(order.quantity))
            return found["amount"] is not None and number(found["amount"]) == sent
        assert order.notional is not None, "quantity or notional"
        cost = ZERO if found["cost"] is None else number(found["cost"])
        return 0 <= (order.notional - cost) * 100 <= order.notional * LEFT_OVER_PERCENT_MAX

    def _trades(self, exchange: Any, found: Mapping[str, Any], *, name: str) -> list[dict[str, Any]] | None:
        """All trades of an order; None at an exchange that shows no trades."""
        if not filled_of(found):
            return []
        if exchange.has.get("fetchOrderTrades"):
            return list(exchange.fetch_order_trades(found["id"], name))
        if exchange.has.get("fetchMyTrades"):
            trades = exchange.fetch_my_trades(name, found["timestamp"])
            return [trade for trade in trades if trade["order"] == found["id"]]
        return None

    def cancel(self, orders: Collection[Order]) -> None:
        """Every order is asked for, whatever becomes of the others."""
        markets = self._known_markets()
        troubles: list[BrokerDown] = []
        for order in orders:
            if order.symbol in markets:
                name = markets[order.symbol].name
                try:
                    self._line.ask(partial(self._cancel, order=order, name=name))
                except BrokerDown as down:
                    troubles.append(down)
        if troubles:
            raise troubles[0]

    def _cancel(self, exchange: Any, *, order: Order, name: str) -> None:
        # What can no longer be cancelled shows in `lookup`.
        with suppress(InvalidOrder, OperationRejected):
            if order.broker_order_id is not None:
                exchange.cancel_order(order.broker_order_id, name)
            elif self._id_length is not None:
                ours = spelled(order.client_order_id, self._id_length)
                exchange.cancel_order("", name, {"clientOrderId": ours})

    def feed(self, since: int) -> Feed:
        """Nothing: an exchange does not tell what changes, so the account is looked at each time."""
        return Feed(cursor=since, changed=frozenset(), transfers=())

    def wallet(self, owner: str, tenant_id: str, *, index: int) -> None:  # noqa: ARG002 - of the protocol
        """There are none."""
        return

    def _our_id(self, found: Mapping[str, Any]) -> str:
        return unspelled(str(found.get("clientOrderId") or found["id"]))

    def _known_markets(self) -> dict[str, Market]:
        """The spot markets against the quote currency, by base; read again after a while, for exchanges
        list, delist and change precision.
        """
        now = self._clock()
        if self._markets_at is None or now - self._markets_at > MARKETS_KEPT:
            self._markets = self._line.ask(self._load_markets)
            self._markets_at = now
        return self._markets

    def _load_markets(self, exchange: Any) -> dict[str, Market]:
        found = [
            market_in(raw, self._precision_mode)
            for raw in exchange.load_markets(reload=True).values()
            if raw["spot"] and raw["quote"] == self._terms.quote and raw["base"] != self._terms.fee_coin
        ]
        return {market.base: market for market in found if market is not None}


def open_crypto(
    settings: ExchangeSettings,
    clock: Callable[[], datetime],
    *,
    quarantine: timedelta,
    price_age_max: timedelta | None,
) -> CryptoBroker:
    """The account at the exchange that the settings name. Raises CannotStart."""
    terms = Terms(
        quote=settings.quote,
        quarantine=quarantine,
        price_age_max=price_age_max,
        fee_coin=settings.fee_coin,
    )
    return CryptoBroker(open_exchange(settings), clock, terms=terms)
