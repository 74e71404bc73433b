"""The paper broker's orders: what the market knows of each, and the table they lie in."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from trimtab.brokers.broker import PRICE_PLACES
from trimtab.core.money import QUANTITY_PLACES, ZERO, divide_down
from trimtab.core.run import Order, OrderState, Side
from trimtab.database import MICROSECOND, Row, Tx, instant, micros

# Ids of orders are names in this namespace: a test that is repeated sees the same ones.
ORDER_NAMESPACE = UUID("c2f1f7d6-1f0e-4bb4-9a55-0d2f4f1b6a37")
ORDER_COLUMNS = (
    "seq",
    "client_order_id",
    "broker_order_id",
    "tenant_id",
    "account_id",
    "symbol",
    "side",
    "quantity",
    "notional",
    "worst_price",
    "impact_bps_max",
    "submitted_at",
    "delay_us",
    "state",
    "halves",
    "due_at",
    "executions",
    "filled_quantity",
    "filled_value",
    "reason",
    "updated_at",
    "sent_as",
)


@dataclass(slots=True, kw_only=True)
class PaperOrder:
    """An order as the market keeps it. `delay` is the time between two matchings; `halves` says that
    the next one fills about half of it. It is canceled rather than executed beyond `worst_price` or with
    an impact above `impact_bps_max`. `sent_as` is the symbol it came with, if that has changed since.
    """

    seq: int
    client_order_id: str
    broker_order_id: str
    tenant_id: str
    account_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    submitted_at: datetime
    delay: timedelta
    state: OrderState
    halves: bool
    due_at: datetime
    updated_at: datetime
    worst_price: Decimal | None = None
    impact_bps_max: int | None = None
    executions: int = 0
    filled_quantity: Decimal = ZERO
    filled_value: Decimal = ZERO
    reason: str | None = None
    sent_as: str | None = None

    def left_at(self, price: Decimal) -> Decimal:
        """Shares still to be traded if all of them trade at this price."""
        if self.quantity is not None:
            return self.quantity - self.filled_quantity
        assert self.notional is not None, "quantity or notional"
        return divide_down(self.notional - self.filled_value, price, to_places=QUANTITY_PLACES)

    def cost_at(self, price: Decimal) -> Decimal:
        """Cash that the rest of a buy may still take."""
        if self.notional is not None:
            return self.notional - self.filled_value
        return self.left_at(price) * price

    def is_same_as(self, order: Order) -> bool:
        return _body(self, self.sent_as or self.symbol) == _body(order, order.symbol)


def _body(order: Order | PaperOrder, symbol: str) -> tuple[object, ...]:
    amount = (order.quantity, order.notional)
    limits = (order.worst_price, order.impact_bps_max)
    return (order.account_id, symbol, order.side, *amount, *limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOrder:
    """One line of the list of all orders ever accepted; `id` is the broker's."""

    seq: int
    client_order_id: str
    id: str
    account_id: str
    symbol: str
    side: Side
    qty: Decimal | None
    notional: Decimal | None
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    status: OrderState
    submitted_at: datetime
    filled_at: datetime | None
    canceled_at: datetime | None


def name_of(account_id: str, client_order_id: str) -> str:
    """What an order is called that the owner of an account sent himself. Named after its account, two
    clients may use one id, nobody can take an id that Trimtab's engine will use, and the ledger tells the
    two apart.
    """
    return f"{account_id}:{client_order_id}"


def client_id_of(order: PaperOrder) -> str:
    """The id that its sender gave it."""
    return order.client_order_id.removeprefix(name_of(order.account_id, ""))


def broker_order_id(client_order_id: str) -> str:
    return str(uuid5(ORDER_NAMESPACE, client_order_id))


def read_orders(tx: Tx, client_order_ids: Collection[str]) -> dict[str, PaperOrder]:
    return _orders(tx.rows("SELECT * FROM orders WHERE client_order_id IN :ids", ids=list(client_order_ids)))


def read_open_orders(tx: Tx, account_ids: Collection[str]) -> dict[str, PaperOrder]:
    return _orders(
        tx.rows("SELECT * FROM orders WHERE state = 'OPEN' AND account_id IN :ids", ids=list(account_ids))
    )


def accounts_with_due_orders(tx: Tx, now: datetime) -> set[str]:
    # Not DISTINCT: for that SQLite would read every open order.
    rows = tx.rows("SELECT account_id FROM orders WHERE state = 'OPEN' AND due_at <= :now", now=micros(now))
    return {row["account_id"] for row in rows}


def accounts_with_open_orders(tx: Tx, symbol: str) -> set[str]:
    rows = tx.rows(
        "SELECT DISTINCT account_id FROM orders WHERE state = 'OPEN' AND symbol = :symbol", symbol=symbol
    )
    return {row["account_id"] for row in rows}


def rename_open_orders(tx: Tx, symbol: str, *, new_symbol: str) -> None:
    tx.execute(
        """
        UPDATE orders SET sent_as = COALESCE(sent_as, symbol), symbol = :new_symbol
        WHERE state = 'OPEN' AND symbol = :symbol
        """,
        symbol=symbol,
        new_symbol=new_symbol,
    )


def insert_orders(tx: Tx, orders: Iterable[PaperOrder]) -> None:
    tx.insert("orders", ORDER_COLUMNS, rows=[_order_row(order) for order in orders])


def update_orders(tx: Tx, orders: Iterable[PaperOrder]) -> None:
    tx.many(
        """
        UPDATE orders SET state = :state, halves = :halves, due_at = :due_at, executions = :executions,
            filled_quantity = :filled_quantity, filled_value = :filled_value, reason = :reason,
            updated_at = :updated_at
        WHERE client_order_id = :client_order_id
        """,
        [dict(zip(ORDER_COLUMNS, _order_row(order), strict=True)) for order in orders],
    )


def read_page(tx: Tx, tenant_id: str, *, after: int, limit: int) -> list[LedgerOrder]:
    rows = tx.rows(
        "SELECT * FROM orders WHERE tenant_id = :tenant_id AND seq > :after ORDER BY seq LIMIT :limit",
        tenant_id=tenant_id,
        after=after,
        limit=limit,
    )
    return [_ledger_order(order) for order in _orders(rows).values()]


def _ledger_order(order: PaperOrder) -> LedgerOrder:
    average = None
    if order.filled_quantity:
        # As many places as a price may have, so that one execution's average is its price.
        average = divide_down(order.filled_value, order.filled_quantity, to_places=PRICE_PLACES)
    return LedgerOrder(
        seq=order.seq,
        client_order_id=client_id_of(order),
        id=order.broker_order_id,
        account_id=order.account_id,
        symbol=order.symbol,
        side=order.side,
        qty=order.quantity,
        notional=order.notional,
        filled_qty=order.filled_quantity,
        filled_avg_price=average,
        status=order.state,
        submitted_at=order.submitted_at,
        filled_at=order.updated_at if order.state is OrderState.FILLED else None,
        canceled_at=order.updated_at if order.state is OrderState.CANCELED else None,
    )


def _orders(rows: Iterable[Row]) -> dict[str, PaperOrder]:
    return {row["client_order_id"]: order_of(row) for row in rows}


def order_of(row: Row) -> PaperOrder:
    return PaperOrder(
        seq=row["seq"],
        client_order_id=row["client_order_id"],
        broker_order_id=row["broker_order_id"],
        tenant_id=row["tenant_id"],
        account_id=row["account_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=_decimal(row["quantity"]),
        notional=_decimal(row["notional"]),
        worst_price=_decimal(row["worst_price"]),
        impact_bps_max=row["impact_bps_max"],
        submitted_at=instant(row["submitted_at"]),
        delay=row["delay_us"] * MICROSECOND,
        state=OrderState(row["state"]),
        halves=bool(row["halves"]),
        due_at=instant(row["due_at"]),
        executions=row["executions"],
        filled_quantity=Decimal(row["filled_quantity"]),
        filled_value=Decimal(row["filled_value"]),
        reason=row["reason"],
        updated_at=instant(row["updated_at"]),
        sent_as=row["sent_as"],
    )


def _order_row(order: PaperOrder) -> tuple[object, ...]:
    return (
        order.seq,
        order.client_order_id,
        order.broker_order_id,
        order.tenant_id,
        order.account_id,
        order.symbol,
        order.side.value,
        order.quantity,
        order.notional,
        order.worst_price,
        order.impact_bps_max,
        micros(order.submitted_at),
        order.delay // MICROSECOND,
        order.state.value,
        int(order.halves),
        micros(order.due_at),
        order.executions,
        order.filled_quantity,
        order.filled_value,
        order.reason,
        micros(order.updated_at),
        order.sent_as,
    )


def _decimal(stored: str | Decimal | None) -> Decimal | None:
    return None if stored is None else Decimal(stored)
