"""Real accounts at the Alpaca Broker API, one HTTP call for each thing asked and each order sent.

An order is sent once, never by the HTTP library again, and what its answer means is in one table
(alpaca_answers). Questions of one kind are asked a few at once; orders of one account leave one after
another, in the order in which they were given.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from urllib.parse import quote

from trimtab.brokers.alpaca_answers import Judgement, Verdict, has_message, is_own_error, judge
from trimtab.brokers.alpaca_budget import Use
from trimtab.brokers.alpaca_calls import AT_ONCE, Answer, Calls, NoRoom, Silence
from trimtab.brokers.alpaca_json import (
    cut_in,
    exact_in,
    flag_in,
    instant_in,
    list_in,
    object_in,
    required,
    text_in,
    unreadable,
)
from trimtab.brokers.alpaca_market import STOCKS, AlpacaMarket
from trimtab.brokers.alpaca_orders import WireOrder, body_of, report_of, wire_order
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
)
from trimtab.core.errors import BrokerDown, BrokerPartlyDown
from trimtab.core.plan import Holdings
from trimtab.core.run import Order, Side

T = TypeVar("T")
R = TypeVar("R")

BATCH = 20
# An intent older than this is not sent any more: what it was allowed by may have changed.
SEND_WITHIN = timedelta(seconds=2)
OPEN_ORDERS_MAX = 500
NO_SUCH_ACCOUNT = frozenset({401, 403, 404, 422})
REFUSED_KEYS = frozenset({401, 403})
NOT_FOUND = 404
# What a cancel finds when there is nothing left to cancel.
NOTHING_TO_CANCEL = frozenset({404, 409, 422})
ACCOUNT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", re.ASCII)


class AlpacaBroker:
    """Implements Broker. `clock` is the engine's."""

    def __init__(
        self,
        calls: Calls,
        clock: Callable[[], datetime],
        *,
        quarantine: timedelta,
        price_age_max: timedelta | None,
    ) -> None:
        self.calls = calls
        self._clock = clock
        self._market = AlpacaMarket(calls, clock, price_age_max=price_age_max)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="alpaca")
        self._traits = Traits(
            name="alpaca", drops_duplicates=True, quarantine=quarantine, batch=BATCH, tells_changes=False
        )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.calls.close()

    @property
    def traits(self) -> Traits:
        return self._traits

    def reach(self) -> datetime | None:
        """See whether it answers and takes our keys; what time it is there, if it says."""
        answer = self.calls.ask("/v1/clock")
        if answer.status in REFUSED_KEYS:
            raise BrokerDown("the broker refuses these keys: check TRIMTAB_ALPACA_KEY_ID and _SECRET")
        return instant_in(object_in(answer.body, "clock"), "timestamp") if answer.is_success else None

    def accounts(self, account_ids: Collection[str]) -> dict[str, Account]:
        """Of no id it is only asked whether the broker answers."""
        if not account_ids:
            self.reach()
        return self._each(self._account, {each: each for each in account_ids if ACCOUNT_ID.fullmatch(each)})

    def assets(self, symbols: Collection[str]) -> dict[str, Asset]:
        wanted = list(symbols)
        found = zip(wanted, self._all(self._market.asset, wanted), strict=True)
        return {symbol: asset for symbol, asset in found if asset is not None}

    def prices(self, symbols: Collection[str]) -> Mapping[str, Decimal]:
        return self._market.prices(symbols)

    def submit(self, orders: Sequence[Order]) -> list[Outcome]:
        by_account: dict[str, list[Order]] = defaultdict(list)
        for order in orders:
            by_account[order.account_id].append(order)
        sent = self._all(
            lambda group: [(o.client_order_id, self._send(o)) for o in group], by_account.values()
        )
        outcomes = dict(pair for group in sent for pair in group)
        return [outcomes[order.client_order_id] for order in orders]

    def lookup(self, orders: Collection[Order]) -> dict[str, OrderReport]:
        def report(order: Order) -> OrderReport | None:
            seen = self._find(order)
            return None if seen is None else report_of(order, seen)

        return self._each(report, {order.client_order_id: order for order in orders})

    def cancel(self, orders: Collection[Order]) -> None:
        """Every order is asked for, whatever becomes of the others."""
        self._each(self._cancel, {order.client_order_id: order for order in orders})

    def feed(self, since: int) -> Feed:
        """Alpaca has no list of all that changed: accounts are looked at again and again."""
        return Feed(cursor=since, changed=frozenset(), transfers=())

    def wallet(self, owner: str, tenant_id: str, *, index: int) -> None:  # noqa: ARG002 - as Broker has it
        return None

    def _all(self, work: Callable[[T], R], on: Iterable[T]) -> list[R]:
        """Do it to each, several at once; the first that fails keeps those not yet begun from beginning."""
        items = list(on)
        return [work(items[0])] if len(items) == 1 else list(self._pool.map(work, items))

    def _each(self, question: Callable[[T], R | None], about: Mapping[str, T]) -> dict[str, R]:
        """Ask about each, by id; None is no answer. Raises BrokerPartlyDown if some could not be asked about,
        and BrokerDown if none of many could.
        """

        def attempt(item: T) -> R | BrokerDown | None:
            try:
                return question(item)
            except BrokerDown as error:
                return error

        told = dict(zip(about, self._all(attempt, about.values()), strict=True))
        troubles = {key: answer for key, answer in told.items() if isinstance(answer, BrokerDown)}
        answers = {
            key: answer
            for key, answer in told.items()
            if answer is not None and not isinstance(answer, BrokerDown)
        }
        if troubles:
            why = next(iter(troubles.values())).why
            # A few may be of one account that is in trouble: that says nothing of the broker.
            if len(troubles) == len(about) > AT_ONCE:
                raise BrokerDown(why)
            raise BrokerPartlyDown(why=why, answers=answers, missing=frozenset(troubles))
        return answers

    def _send(self, order: Order) -> Outcome:
        age = self._clock() - order.sent_at
        if age > SEND_WITHIN:
            return NotSent(f"the intent was {age.total_seconds():.1f} s old before its turn came")
        said = self.calls.call(
            "POST",
            self._orders_url(order.account_id),
            use=Use.SELL if order.side is Side.SELL else Use.BUY,
            body=body_of(order),
        )
        judged = judge(said, order.client_order_id)
        match judged.verdict:
            case Verdict.ACCEPTED:
                assert isinstance(said, Answer)
                return _accepted(order, said)
            case Verdict.NOT_SENT:
                return NotSent(judged.why)
            case Verdict.UNKNOWN:
                return Unknown(judged.why)
            case Verdict.REFUSED | Verdict.DUPLICATE:
                return self._confirmed(order, judged)

    def _confirmed(self, order: Order, judged: Judgement) -> Outcome:
        """What an order that was refused, or is there already, turns out to be when it is looked up. A
        broker may call a duplicate what it likes, and may refuse what it has accepted. Whether it is the
        order that was meant, the engine compares.
        """
        try:
            seen = self._find(order)
        except BrokerDown as error:
            return Unknown(f"{judged.why}; then {error}")
        if seen is None:
            return Refused(judged.why) if judged.verdict is Verdict.REFUSED else Unknown(judged.why)
        return Accepted(report_of(order, seen))

    def _find(self, order: Order) -> WireOrder | None:
        """The order under this client order id; None if the broker itself says that there is none."""
        path = f"{_account_path(order.account_id)}/orders:by_client_order_id"
        answer = self.calls.ask(path, params={"client_order_id": order.client_order_id})
        if answer.status == NOT_FOUND and has_message(answer):
            return None
        if not answer.is_success:
            raise BrokerDown(f"the broker answers {answer.status} when asked for an order")
        seen = wire_order(answer.body)
        if seen.client_order_id != order.client_order_id:
            raise unreadable("client_order_id", seen.client_order_id)
        return seen

    def _cancel(self, order: Order) -> None:
        """Raises BrokerDown if it could not be asked for."""
        broker_order_id = order.broker_order_id
        if broker_order_id is None:
            seen = self._find(order)
            if seen is None:
                return
            broker_order_id = seen.id
        url = f"{self._orders_url(order.account_id)}/{quote(broker_order_id, safe='')}"
        match self.calls.call("DELETE", url, use=Use.CANCEL):
            case Answer(status=status) as answer:
                if not answer.is_success and status not in NOTHING_TO_CANCEL:
                    raise BrokerDown(f"the broker answers {status} to a cancel")
            case Silence(why=why):
                raise BrokerDown(why)
            case NoRoom(until):
                raise BrokerDown(f"the broker's rate limit is used up until {until:%H:%M:%S} UTC")

    def _orders_url(self, account_id: str) -> str:
        return f"{self.calls.access.url}{_account_path(account_id)}/orders"

    def _account(self, account_id: str) -> Account | None:
        """Open orders are asked for first: what is executed in between is then seen as open, and no plan
        is made of cash from before it and shares from after.
        """
        path = _account_path(account_id)
        params = {"status": "open", "limit": str(OPEN_ORDERS_MAX), "nested": "false"}
        answer = self.calls.ask(f"{path}/orders", params=params)
        if answer.status in NO_SUCH_ACCOUNT:
            self._require_absence(answer)
            return None
        working = [text_in(object_in(o, "order"), "client_order_id") for o in self._list(answer, "orders")]
        positions = self._list(self.calls.ask(f"{path}/positions"), "positions")
        answer = self.calls.ask(f"{path}/account")
        if not answer.is_success:
            raise BrokerDown(f"the broker answers {answer.status} when asked for an account")
        return _account_of(
            account_id, object_in(answer.body, "account"), positions=positions, working=working
        )

    def _require_absence(self, answer: Answer) -> None:
        """Raises BrokerDown unless it is this account that cannot be had: the vendor calls one that it does
        not know unauthorized, and our keys may be that too. One that is closed to us must not keep the
        others of its shard waiting.
        """
        if not is_own_error(answer):
            raise BrokerDown(f"the broker answers {answer.status} when asked for an account")
        if answer.status in REFUSED_KEYS:
            self.reach()

    def _list(self, answer: Answer, what: str) -> list[object]:
        if not answer.is_success:
            raise BrokerDown(f"the broker answers {answer.status} when asked for {what}")
        return list_in(answer.body, what)


def _account_path(account_id: str) -> str:
    return f"/v1/trading/accounts/{quote(account_id, safe='')}"


def _accepted(order: Order, said: Answer) -> Outcome:
    """What the broker shows under our id; an echo that cannot be read proves nothing: it is looked up."""
    try:
        return Accepted(report_of(order, wire_order(said.body)))
    except BrokerDown as error:
        return Unknown(str(error))


def _account_of(
    account_id: str, told: Mapping[str, object], *, positions: Sequence[object], working: Sequence[str]
) -> Account:
    status = text_in(told, "status")
    blocks = [
        name
        for name in ("trading_blocked", "account_blocked", "trade_suspended_by_user")
        if flag_in(told, name, default=False)
    ]
    held: dict[str, Decimal] = {}
    for each in positions:
        found = object_in(each, "position")
        symbol, quantity = text_in(found, "symbol"), required(exact_in(found, "qty"), "qty")
        if symbol in held:
            raise unreadable("positions", f"{symbol} twice")
        if quantity < 0 or found.get("side", "long") != "long":
            # What is owed is not held, and is nothing that a rebalancing could sell.
            blocks.append(f"short of {symbol}")
        elif found.get("asset_class", STOCKS) != STOCKS:
            blocks.append(f"holds {symbol}, which is no stock")
        elif quantity > 0:
            held[symbol] = quantity
    cash = required(cut_in(told, "cash"), "cash")
    return Account(
        account_id=account_id,
        status=f"{status}: {', '.join(blocks)}" if blocks else status,
        holdings=Holdings(cash=cash, positions=held),
        working=frozenset(working),
    )
