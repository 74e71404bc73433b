"""Plans, orders, executions and skips of runs: written before they are sent, settled as facts arrive."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trimtab.core.money import ZERO
from trimtab.core.plan import Plan
from trimtab.core.run import Execution, Order, OrderState, Run, Side
from trimtab.core.skip import Skip, SkipReason
from trimtab.database import Row, Tx, instant, micros
from trimtab.store.plans import plan_from, plan_text


def insert_plans(tx: Tx, shard: int, plans: Mapping[str, Plan], *, now: datetime) -> None:
    """Store each run's plan, for good."""
    rows = [(shard, run_id, *plan_text(plan), micros(now)) for run_id, plan in plans.items()]
    tx.insert("plans", ("shard", "run_id", "body", "body_hash", "planned_at"), rows=rows)


def plans(tx: Tx, shard: int, run_ids: Collection[str]) -> dict[str, Plan]:
    if not run_ids:
        return {}
    rows = tx.rows(
        "SELECT run_id, body FROM plans WHERE shard = :shard AND run_id IN :ids",
        shard=shard,
        ids=list(run_ids),
    )
    return {row["run_id"]: plan_from(row["body"]) for row in rows}


_ORDER_COLUMNS = (
    "shard",
    "run_id",
    "leg",
    "generation",
    "client_order_id",
    "account_id",
    "symbol",
    "side",
    "quantity",
    "notional",
    "worst_price",
    "impact_bps_max",
    "state",
    "epoch",
    "intent_at",
    "sent_at",
    "asset_id",
    "filled_quantity",
    "filled_value",
    "updated_at",
)


def insert_intents(tx: Tx, shard: int, *, epoch: int, intents: Sequence[Order]) -> None:
    """Make intents durable, before anything is sent. An order id that exists is an error."""
    rows = [
        (
            shard,
            order.run_id,
            order.leg,
            order.generation,
            order.client_order_id,
            order.account_id,
            order.symbol,
            order.side,
            order.quantity,
            order.notional,
            order.worst_price,
            order.impact_bps_max,
            order.state,
            epoch,
            micros(order.sent_at),
            micros(order.sent_at),
            order.asset_id,
            ZERO,
            ZERO,
            micros(order.sent_at),
        )
        for order in intents
    ]
    tx.insert("orders", _ORDER_COLUMNS, rows=rows)


def set_sent(tx: Tx, client_order_ids: Collection[str], *, epoch: int, now: datetime) -> None:
    """Make the intent to send again durable."""
    tx.execute(
        "UPDATE orders SET sent_at = :now, epoch = :epoch, updated_at = :now WHERE client_order_id IN :ids",
        ids=list(client_order_ids),
        epoch=epoch,
        now=micros(now),
    )


def take_back(tx: Tx, shard: int, client_order_ids: Collection[str]) -> None:
    """Forget intents that have not left."""
    taken = tx.rows(
        """DELETE FROM orders WHERE shard = :shard AND state = 'SENDING' AND client_order_id IN :ids
           RETURNING run_id""",
        shard=shard,
        ids=list(client_order_ids),
    )
    for run_id, count in Counter(row["run_id"] for row in taken).items():
        tx.execute(
            "UPDATE runs SET orders_sent = orders_sent - :count WHERE shard = :shard AND id = :run_id",
            count=count,
            shard=shard,
            run_id=run_id,
        )


# Shares and dollars executed.
Filled = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What an order turned out to be; executions may repeat what is known already."""

    client_order_id: str
    state: OrderState
    broker_order_id: str | None
    reason: str | None
    executions: tuple[Execution, ...]
    reported_at: datetime | None


def settle(
    tx: Tx, shard: int, broker: str, *, settled: Sequence[Settled], now: datetime
) -> dict[str, Filled]:
    """Record states and executions; what was filled is the sum of the executions, each counted once, and is
    returned by order where there is any.

    Why an order was given up is no longer true once the broker shows it.
    """
    insert_executions(tx, shard, broker, executions=[e for one in settled for e in one.executions])
    filled = _filled(tx, [one.client_order_id for one in settled])
    nothing = (ZERO, ZERO)
    tx.many(
        """UPDATE orders SET state = :state, broker_order_id = COALESCE(:broker_order_id, broker_order_id),
                  reason = COALESCE(:reason, CASE WHEN state = 'ABANDONED' THEN NULL ELSE reason END),
                  filled_quantity = :quantity, filled_value = :value,
                  reported_at = COALESCE(:reported_at, reported_at), updated_at = :now
           WHERE client_order_id = :id""",
        [
            {
                "id": one.client_order_id,
                "state": one.state,
                "broker_order_id": one.broker_order_id,
                "reason": one.reason,
                "quantity": filled.get(one.client_order_id, nothing)[0],
                "value": filled.get(one.client_order_id, nothing)[1],
                "reported_at": None if one.reported_at is None else micros(one.reported_at),
                "now": micros(now),
            }
            for one in settled
        ],
    )
    return filled


def insert_executions(tx: Tx, shard: int, broker: str, *, executions: Sequence[Execution]) -> None:
    """Store the executions that are new; a repeated one changes nothing."""
    tx.many(
        """INSERT INTO executions (shard, broker, execution_id, client_order_id, quantity, price, executed_at,
                                   corrects)
           VALUES (:shard, :broker, :execution_id, :client_order_id, :quantity, :price, :at, :corrects)
           ON CONFLICT (broker, execution_id) DO NOTHING""",
        [
            {
                "shard": shard,
                "broker": broker,
                "execution_id": e.execution_id,
                "client_order_id": e.client_order_id,
                "quantity": e.quantity,
                "price": e.price,
                "at": micros(e.at),
                "corrects": e.corrects,
            }
            for e in executions
        ],
    )


def _filled(tx: Tx, client_order_ids: Collection[str]) -> dict[str, Filled]:
    """Shares and dollars executed per order. Summed here: SQLite would sum decimals as floats."""
    rows = tx.rows(
        "SELECT client_order_id, quantity, price FROM executions WHERE client_order_id IN :ids",
        ids=list(client_order_ids),
    )
    sums: dict[str, Filled] = defaultdict(lambda: (ZERO, ZERO))
    for row in rows:
        quantity, value = sums[row["client_order_id"]]
        traded = Decimal(row["quantity"])
        sums[row["client_order_id"]] = (quantity + traded, value + traded * Decimal(row["price"]))
    return sums


def orders(tx: Tx, shard: int, run_ids: Collection[str]) -> dict[str, list[Order]]:
    """The orders of each run, in the order of their legs."""
    if not run_ids:
        return {}
    rows = tx.rows(
        """SELECT * FROM orders WHERE shard = :shard AND run_id IN :ids
           ORDER BY run_id, leg, generation""",
        shard=shard,
        ids=list(run_ids),
    )
    found: dict[str, list[Order]] = defaultdict(list)
    for row in rows:
        found[row["run_id"]].append(_order(row))
    return found


def orders_of(tx: Tx, runs: Sequence[Run]) -> dict[str, list[Order]]:
    """The orders of runs of any shards, by run."""
    found: dict[str, list[Order]] = {}
    for shard, run_ids in _by_shard(runs).items():
        found |= orders(tx, shard, run_ids)
    return found


def skips_of(tx: Tx, runs: Sequence[Run]) -> dict[str, list[Skip]]:
    """All that the runs did not send, by run: skipped in planning, and given up later."""
    found: dict[str, list[Skip]] = {}
    for shard, run_ids in _by_shard(runs).items():
        late = skips(tx, shard, run_ids)
        for run_id, plan in plans(tx, shard, run_ids).items():
            found[run_id] = [*plan.skips, *late.get(run_id, ())]
    return found


def _by_shard(runs: Sequence[Run]) -> dict[int, list[str]]:
    grouped: dict[int, list[str]] = defaultdict(list)
    for run in runs:
        grouped[run.shard].append(run.id)
    return grouped


def insert_skips(tx: Tx, shard: int, skips: Mapping[str, Sequence[Skip]]) -> None:
    """Store the legs that each run gives up."""
    rows = [
        (shard, run_id, s.leg, s.symbol, s.side, s.notional, s.reason, s.details)
        for run_id, given_up in skips.items()
        for s in given_up
    ]
    columns = ("shard", "run_id", "leg", "symbol", "side", "notional", "reason", "details")
    if rows:
        tx.insert("skips", columns, rows=rows)


def skips(tx: Tx, shard: int, run_ids: Collection[str]) -> dict[str, list[Skip]]:
    """The legs given up after planning; the plan holds what was skipped in planning."""
    if not run_ids:
        return {}
    rows = tx.rows(
        "SELECT * FROM skips WHERE shard = :shard AND run_id IN :ids ORDER BY run_id, leg",
        shard=shard,
        ids=list(run_ids),
    )
    found: dict[str, list[Skip]] = defaultdict(list)
    for row in rows:
        found[row["run_id"]].append(
            Skip(
                leg=row["leg"],
                symbol=row["symbol"],
                side=Side(row["side"]),
                notional=Decimal(row["notional"]),
                reason=SkipReason(row["reason"]),
                details=row["details"],
            )
        )
    return found


def _order(row: Row) -> Order:
    return Order(
        client_order_id=row["client_order_id"],
        run_id=row["run_id"],
        leg=row["leg"],
        generation=row["generation"],
        account_id=row["account_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=_amount(row["quantity"]),
        notional=_amount(row["notional"]),
        state=OrderState(row["state"]),
        sent_at=instant(row["sent_at"]),
        worst_price=_amount(row["worst_price"]),
        impact_bps_max=row["impact_bps_max"],
        broker_order_id=row["broker_order_id"],
        filled_quantity=Decimal(row["filled_quantity"]),
        filled_value=Decimal(row["filled_value"]),
        reason=row["reason"],
        asset_id=row["asset_id"],
        created_at=instant(row["intent_at"]),
        updated_at=instant(row["updated_at"]),
        reported_at=None if row["reported_at"] is None else instant(row["reported_at"]),
    )


def _amount(stored: str | Decimal | None) -> Decimal | None:
    return None if stored is None else Decimal(stored)
