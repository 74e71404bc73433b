"""The rules of the paper broker's market: what it refuses, what it reserves, how it fills.

A Book is the part of the market that one transaction works on: read at once, changed in memory by
these rules, written at once (paper_market). Settlement is exact: cash changes by quantity times
price, unrounded, and there are no fees.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from trimtab.brokers.broker import Refused, Unknown
from trimtab.brokers.paper_accounts import PaperAccount
from trimtab.brokers.paper_assets import Listing
from trimtab.brokers.paper_faults import Faults
from trimtab.brokers.paper_ledger import EntryKind, LedgerEntry
from trimtab.brokers.paper_orders import PaperOrder, broker_order_id
from trimtab.core.money import CENT_PLACES, QUANTITY_PLACES, ZERO, divide_down, places, plain, round_down
from trimtab.core.run import Order, OrderState, Side

BUY_NOTIONAL_MIN = Decimal(1)
# The rest of a partial fill never comes at the same moment, so that there is something to see.
REST_DELAY_MIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class NotCovered(Refused):
    """Refused for want of cash or shares."""


@dataclass(slots=True, kw_only=True)
class Book:
    """What one transaction works on: its accounts with their open orders, and what it has changed."""

    now: datetime
    faults: Faults
    seq: int
    stamp: int
    accounts: dict[str, PaperAccount]
    listings: dict[str, Listing]
    orders: dict[str, PaperOrder]
    entries: list[LedgerEntry] = field(default_factory=list)
    placed: list[PaperOrder] = field(default_factory=list)
    changed: dict[str, PaperOrder] = field(default_factory=dict)

    def open_account(self, account: PaperAccount) -> None:
        """Enter a new account with what it begins with."""
        self.entries.append(
            LedgerEntry(
                seq=self.next_seq(),
                at=self.now,
                kind=EntryKind.OPENED,
                account_id=account.account_id,
                amount=account.cash,
            )
        )
        for symbol, quantity in account.positions.items():
            self.entries.append(
                LedgerEntry(
                    seq=self.next_seq(),
                    at=self.now,
                    kind=EntryKind.SEEDED,
                    account_id=account.account_id,
                    symbol=symbol,
                    quantity=quantity,
                    price=self.listings[symbol].price if symbol in self.listings else None,
                )
            )

    def transfer(self, account: PaperAccount, *, ref: str, amount: Decimal) -> None:
        account.add_cash(amount)
        self.entries.append(
            LedgerEntry(
                seq=self.next_seq(),
                at=self.now,
                kind=EntryKind.TRANSFER,
                account_id=account.account_id,
                amount=amount,
                ref=ref,
            )
        )

    def set_status(self, account: PaperAccount, status: str) -> None:
        """Enter a new status; closing cancels what is open."""
        self.entries.append(
            LedgerEntry(
                seq=self.next_seq(),
                at=self.now,
                kind=EntryKind.STATUS,
                account_id=account.account_id,
                reason=status,
            )
        )
        if status == "ACCOUNT_CLOSED":
            self.cancel(account.open_orders.values(), "the account was closed")

    def match_due(self) -> None:
        """Fill what is due and not halted, in the order of acceptance, at the current prices."""
        due = [order for order in self.orders.values() if order.state.is_open and order.due_at <= self.now]
        for order in sorted(due, key=lambda order: order.seq):
            if self.listings[order.symbol].trading_price is not None:
                self._match(order)

    def take(self, order: Order) -> PaperOrder | Refused | Unknown:
        """What becomes of a new order; one that is known already becomes nothing new."""
        known = self.orders.get(order.client_order_id)
        if known is not None:
            if known.is_same_as(order):
                return known
            return Refused("duplicate client order id with another body")
        why = self._why_not(order)
        if why is not None:
            return Refused(why)
        price = self.listings[order.symbol].price_for(order)
        why = self._why_not_covered(order, self.accounts[order.account_id], price=price)
        if why is not None:
            return NotCovered(why)
        placed = self._place(order)
        if order.symbol in self.faults.reject:
            self._reject(placed)
        elif placed.due_at <= self.now:
            self._match(placed)
        return Unknown("the reply was lost") if self.faults.loses_reply(placed.seq) else placed

    def cancel(self, orders: Iterable[PaperOrder], reason: str) -> None:
        """Cancel those that are still open; fills stay."""
        for order in list(orders):
            if order.state.is_open:
                order.reason = reason
                self._close(order, OrderState.CANCELED)
                self._enter(order, EntryKind.CANCELED)

    def _why_not(self, order: Order) -> str | None:
        account = self.accounts.get(order.account_id)
        if account is None:
            return f"no account {order.account_id}"
        if account.status != "ACTIVE":
            return f"account {order.account_id} is not active"
        listing = self.listings.get(order.symbol)
        if listing is None:
            return f"no asset {order.symbol}"
        if not listing.asset.active:
            return f"asset {order.symbol} is not active"
        if not listing.asset.tradable:
            return f"asset {order.symbol} is not tradable"
        if listing.splits:
            return f"asset {order.symbol} has a split that is not complete"
        if listing.price is None:
            return f"asset {order.symbol} has no price"
        return _why_no_such_amount(order, listing)

    def _why_not_covered(self, order: Order, account: PaperAccount, *, price: Decimal) -> str | None:
        """Orders that are open have first call on cash and shares."""
        if price == 0:
            return f"the market of {order.symbol} is not deep enough for it"
        quantity = order.quantity
        if quantity is None:
            assert order.notional is not None, "quantity or notional"
            quantity = divide_down(order.notional, price, to_places=QUANTITY_PLACES)
            if quantity == 0:
                return f"${plain(order.notional)} is less than the smallest part of a share"
        if order.side is Side.SELL:
            free = self.free_shares(account, order.symbol)
            if quantity > free:
                return f"only {plain(max(free, ZERO))} shares of {order.symbol} are free to be sold"
            return None
        cost = quantity * price if order.notional is None else order.notional
        free = self.free_cash(account)
        return f"costs ${plain(cost)}, only ${plain(max(free, ZERO))} is free" if cost > free else None

    def free_cash(self, account: PaperAccount) -> Decimal:
        """What open buys do not lay claim to; below zero if prices have risen since they were accepted."""
        claims = (
            order.cost_at(self.listings[order.symbol].price_for(order))
            for order in account.open_orders.values()
            if order.side is Side.BUY
        )
        return account.cash - sum(claims, ZERO)

    def free_shares(self, account: PaperAccount, symbol: str) -> Decimal:
        """What open sells do not lay claim to."""
        claims = (
            self._claimed_shares(order)
            for order in account.open_orders.values()
            if order.side is Side.SELL and order.symbol == symbol
        )
        return account.positions.get(symbol, ZERO) - sum(claims, ZERO)

    def _claimed_shares(self, order: PaperOrder) -> Decimal:
        price = self.listings[order.symbol].price_for(order)
        # At no price at all it will be canceled.
        return order.left_at(price) if price else ZERO

    def _place(self, order: Order) -> PaperOrder:
        account = self.accounts[order.account_id]
        delay = self.faults.fill_delay
        seq = self.next_seq()
        placed = PaperOrder(
            seq=seq,
            client_order_id=order.client_order_id,
            broker_order_id=broker_order_id(order.client_order_id),
            tenant_id=account.tenant_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            notional=order.notional,
            worst_price=order.worst_price,
            impact_bps_max=order.impact_bps_max,
            submitted_at=self.now,
            delay=delay,
            state=OrderState.OPEN,
            halves=self.faults.fills_in_halves(seq),
            due_at=self.now + delay,
            updated_at=self.now,
        )
        self.orders[placed.client_order_id] = placed
        self.placed.append(placed)
        account.open_orders[placed.client_order_id] = placed
        self._enter(placed, EntryKind.ACCEPTED, seq=placed.seq)
        return placed

    def _reject(self, order: PaperOrder) -> None:
        order.reason = f"{order.symbol} is rejected by the market"
        self._close(order, OrderState.REFUSED)
        self._enter(order, EntryKind.REJECTED)

    def _match(self, order: PaperOrder) -> None:
        """Fill an order once: all of it or its first half, as far as cash or shares reach."""
        listing = self.listings[order.symbol]
        price = listing.price_for(order)
        why_not = listing.why_not_at(price, order)
        if why_not is not None:
            self.cancel([order], why_not)
            return
        trading_places = listing.trading_places
        wanted = order.left_at(price)
        if order.halves:
            smallest = Decimal(1).scaleb(-trading_places)
            wanted = min(wanted, max(round_down(wanted / 2, trading_places), smallest))
        quantity = self._within_reach(order, wanted, price=price)
        if quantity > 0:
            self._execute(order, quantity, price=price)
        if quantity < wanted or quantity == 0:
            self.cancel([order], f"{plain(quantity)} of {plain(wanted)} shares were within reach")
        elif order.left_at(price) == 0:
            self._close(order, OrderState.FILLED)
        else:
            order.halves = False
            order.due_at = self.now + max(order.delay, REST_DELAY_MIN)

    def _within_reach(self, order: PaperOrder, wanted: Decimal, *, price: Decimal) -> Decimal:
        account = self.accounts[order.account_id]
        if order.side is Side.SELL:
            return min(wanted, account.positions.get(order.symbol, ZERO))
        if wanted * price <= account.cash:
            return wanted
        return divide_down(account.cash, price, to_places=self.listings[order.symbol].trading_places)

    def _execute(self, order: PaperOrder, quantity: Decimal, *, price: Decimal) -> None:
        value = quantity * price
        buys = order.side is Side.BUY
        shares, amount = (quantity, -value) if buys else (-quantity, value)
        self.accounts[order.account_id].settle(order.symbol, shares=shares, amount=amount)
        order.filled_quantity += quantity
        order.filled_value += value
        order.executions += 1
        order.updated_at = self.now
        self.changed[order.client_order_id] = order
        self.entries.append(
            LedgerEntry(
                seq=self.next_seq(),
                at=self.now,
                kind=EntryKind.EXECUTED,
                account_id=order.account_id,
                client_order_id=order.client_order_id,
                broker_order_id=order.broker_order_id,
                symbol=order.symbol,
                side=order.side,
                quantity=quantity,
                price=price,
                amount=amount,
                execution_id=f"{order.broker_order_id}:{order.executions}",
                position=self.accounts[order.account_id].positions.get(order.symbol, ZERO),
            )
        )

    def _close(self, order: PaperOrder, state: OrderState) -> None:
        order.state = state
        order.updated_at = self.now
        self.changed[order.client_order_id] = order
        del self.accounts[order.account_id].open_orders[order.client_order_id]

    def next_seq(self) -> int:
        self.seq += 1
        return self.seq

    def _enter(self, order: PaperOrder, kind: EntryKind, *, seq: int | None = None) -> None:
        """Write a fact about the whole order into the ledger."""
        self.entries.append(
            LedgerEntry(
                seq=self.next_seq() if seq is None else seq,
                at=self.now,
                kind=kind,
                account_id=order.account_id,
                client_order_id=order.client_order_id,
                broker_order_id=order.broker_order_id,
                symbol=order.symbol,
                side=order.side,
                quantity=order.quantity,
                notional=order.notional,
                reason=order.reason,
            )
        )


def _why_no_such_amount(order: Order, listing: Listing) -> str | None:
    """What is wrong with the quantity or the notional as such."""
    if order.quantity is not None:
        if order.quantity <= 0:
            return "the quantity must be more than zero"
        if places(order.quantity) > QUANTITY_PLACES:
            return f"the quantity has more than {QUANTITY_PLACES} decimal places"
        if places(order.quantity) > listing.trading_places:
            return f"asset {order.symbol} is traded in whole shares only"
        return None
    assert order.notional is not None, "quantity or notional"
    if order.notional <= 0:
        return "the notional must be more than zero"
    if places(order.notional) > CENT_PLACES:
        return f"the notional has more than {CENT_PLACES} decimal places"
    if not listing.asset.fractionable:
        return f"asset {order.symbol} is traded in whole shares only"
    if order.side is Side.BUY and order.notional < BUY_NOTIONAL_MIN:
        return f"a buy is for at least ${plain(BUY_NOTIONAL_MIN)}"
    return None
