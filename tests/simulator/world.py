"""A whole Trimtab in memory, with its workers, its customers and a market, living through bad days.

Faults happen in the first minute. From then on everything must come to its end by itself.
"""

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.engine.desks import CALENDARS, EXCHANGE, MONDAY, TENANT, Ids
from tests.simulator.broker import SimulatedBroker
from tests.simulator.clients import Clients, Promises
from tests.simulator.database import MemoryDatabase
from tests.simulator.market import Market
from tests.simulator.tape import Tape
from tests.simulator.timeline import Timeline
from tests.simulator.weather import QUARANTINE_S, Profile, draw_weather
from tests.simulator.workers import Watch, Worker, Wrong, due
from trimtab.core.enrollment import EvaluationPolicy
from trimtab.core.gate import NO_CAPS, Caps
from trimtab.core.plan import Limits
from trimtab.core.run import FINAL_STATES, Order, TriggerPolicy
from trimtab.core.sessions import Sessions
from trimtab.database import Database
from trimtab.engine.desk import Desk
from trimtab.store import restores, tenants

STORM_S = 40
# What "overnight" makes of the exchange's hours: it closes soon, and opens a minute later.
CLOSES_S = 45 * 60
OPENS_S = CLOSES_S + 60
FINAL_WITHIN_S = QUARANTINE_S + 60
# Sweeps after that take up what had to wait, and release what is proven.
AFTERWARDS_S = 700
PRICES = {"SPY": "400", "TLT": "100", "GLD": "200", "IWM": "31.25"}
SYMBOLS = tuple(PRICES)
MOVES_MAX = 3


@dataclass(slots=True, kw_only=True)
class SimulatedWorld:
    """`epoch` is the one with which the shard, there is only one, was taken last."""

    time: Timeline
    tape: Tape
    db: Database
    market: Market
    broker: SimulatedBroker
    desk: Desk
    clients: Clients = field(init=False)
    workers: list[Worker] = field(default_factory=list)
    copied_at: datetime = MONDAY
    epoch: int | None = None

    def __post_init__(self) -> None:
        self.clients = Clients(desk=self.desk, market=self.market, rouse=self.rouse, storm_s=STORM_S)

    @property
    def promises(self) -> Promises:
        return self.clients.promises

    def live(self) -> None:
        """From the first customer to the end of every run."""
        clients = self.clients
        clients.settle_in()
        self._plan_misfortunes()
        clients.plan()
        self.rouse()
        self.time.run(self.market.calm_at, lambda: False)
        self._calm_down()
        clients.calm_down()
        final_by = self.market.calm_at + timedelta(seconds=FINAL_WITHIN_S)
        self.time.run(final_by, self._is_at_rest)
        # What surfaces late, was forgotten or cannot be explained is waited for from the last fill on.
        limited = self.desk.caps.minute_orders_max is not None
        unexplained = self.market.weather.surfaces or "somebody trades past us" in self.time.seen
        if not limited and not unexplained and self.promises.forgotten is None:
            clients.require_final()
        if not self._is_at_rest():
            self.time.run(final_by + timedelta(seconds=AFTERWARDS_S), self._is_at_rest)

    def _is_at_rest(self) -> bool:
        """Whether nobody is at work, and no run is open and no account held but for an order that is lost
        for ever.
        """
        for worker in self.workers:
            if worker.effects is not None:
                return False
        if self.market.weather.rate("fill after cancel") and self.db.read(is_watched):
            return False
        under_way, held, in_doubt = self.db.read(what_waits)
        if under_way or in_doubt.keys() & self.market.placed.keys():
            return False
        lost = set() if self.broker.traits.drops_duplicates else set(in_doubt.values())
        return held <= lost

    def _plan_misfortunes(self) -> None:
        """What happens once, at some moment: a dead endpoint, a blocked account, a price that is gone."""
        market, tape = self.market, self.tape
        calls = ("lookup", "submit", "accounts", "prices", "cancel", "feed", "assets")
        if market.happens("endpoint dead"):
            self._sometime(lambda: setattr(self.broker, "dead", calls[tape.choice("dead", len(calls))]))
        if market.happens("account blocked"):
            self._sometime(lambda: market.set_status("a0", "INACTIVE"))
        if market.happens("price gone"):
            self._sometime(lambda: market.quote(SYMBOLS[tape.choice("gone", len(SYMBOLS))], None))
        for _ in range(MOVES_MAX):
            if market.happens("price moves"):
                self._sometime(self._move_price)

        if market.happens("overnight"):
            night_s = STORM_S * (tape.choice("night falls", 100) / 100) ** 3
            self.time.after(night_s, self._fall_asleep)
        if market.happens("manual order"):
            self._sometime(lambda: market.trade_by_hand("a0"))
        if market.happens("restore"):
            copied_s = STORM_S * (tape.choice("copied", 100) / 100) ** 2 / 2
            self.time.after(copied_s, self._copy)
            self.time.after(copied_s + 0.05 + tape.choice("restored after", 200) / 10, self._restore)

    def _fall_asleep(self) -> None:
        """No machine of ours is at work until the market has closed, or has opened again."""
        wakes_at = MONDAY + timedelta(seconds=CLOSES_S + self.tape.choice("wakes", 100))
        self.time.tag("nobody is at work when the market closes")
        if self.tape.choice("machines are suspended", 2):
            for worker in self.workers:
                if not worker.is_idle:
                    self.time.tag(f"suspended before {worker.label}")
                worker.sleeps_until = wakes_at
        else:
            for worker in self.workers:
                worker.die(again_s=(wakes_at - self.time.now).total_seconds())
        if self.tape.choice("orders are for the day", 2):
            self.time.at(MONDAY + timedelta(seconds=CLOSES_S), self.market.close)

    def _copy(self) -> None:
        assert isinstance(self.db, MemoryDatabase), "others cannot be put back"
        self.db.back_up()
        self.time.write("operator", "makes a copy of the database")
        self.copied_at = self.time.now
        for state in self.db.read(what_is_open):
            self.time.tag(f"copied with {state}")

    def _restore(self) -> None:
        """Everybody is stopped, the copy takes the place of the database, and says so of itself."""
        for state in self.db.read(what_is_open):
            self.time.tag(f"restored with {state}")
        assert isinstance(self.db, MemoryDatabase), "others cannot be put back"
        hasty = self.market.happens("hasty restore")
        for worker in self.workers:
            worker.die(again_s=None if hasty else QUARANTINE_S)
        self.db.restore()
        now = self.time.now
        self.db.write(lambda tx: restores.mark(tx, self.desk.new_id(), now))
        self.time.write("operator", "puts the copy back")
        self.promises.forget_since(self.copied_at, now=now)

    def _sometime(self, action: Callable[[], Any]) -> None:
        self.time.after(self.tape.choice("moment", STORM_S * 4) / 4, action)

    def _move_price(self) -> None:
        symbol = SYMBOLS[self.tape.choice("moving", len(SYMBOLS))]
        factor = Decimal(("1.03", "0.7", "1.3", "0.94")[self.tape.choice("move", 4)])
        self.time.tag("price moves beyond the collar" if abs(factor - 1) > Decimal("0.2") else "price moves")
        self.market.quote(symbol, self.market.last[symbol] * factor)
        self.time.write("market", f"{symbol} costs {self.market.last[symbol]}")

    def _calm_down(self) -> None:
        self.time.write("world", "is calm")
        self.broker.dead = None
        self.market.calm_down()
        self.rouse()

    def rouse(self) -> None:
        """Let every worker that rests see whether it is wanted."""
        idle = [worker for worker in self.workers if worker.is_idle]
        due_at = self.db.read(due) if idle else None
        if due_at is not None:
            for worker in idle:
                worker.rest(due_at)

    def taken(self, worker: Worker) -> None:
        """A worker has taken the shard: what it finds there, and whether it overtakes another."""
        self.epoch = worker.epoch
        overtaken = [each for each in self.workers if each is not worker and each.epoch and not each.is_idle]
        if not overtaken and not worker.is_new:
            return
        states = self.db.read(what_is_open)
        for when in (["takeover"] if overtaken else []) + (["start"] if worker.is_new else []):
            for state in states:
                self.time.tag(f"{when} with {state}")
        if any(each.outcomes for each in overtaken):
            self.time.tag("takeover in the middle of a sending")
        worker.is_new = False

    def before_send(self, order: Order) -> None:
        """What must be durable before an order leaves: the same order, as an intent."""
        row = self.db.read(
            lambda tx: tx.row(
                "SELECT symbol, side, quantity, notional FROM orders WHERE client_order_id = :id",
                id=order.client_order_id,
            )
        )
        if row is None:
            raise Wrong("intent before send", f"{order.client_order_id} leaves without an intent")
        stored = (row["symbol"], row["side"], amount(row["quantity"]), amount(row["notional"]))
        meant = (order.symbol, str(order.side), amount(order.quantity), amount(order.notional))
        if stored != meant:
            raise Wrong("intent before send", f"{stored} was meant, {meant} is sent")

    def may_write(self, epoch: int, commit: Callable[[], Any]) -> Any:
        """Whoever was overtaken changes nothing of runs and orders."""
        if epoch == self.epoch:
            return commit()
        self.time.tag("an overtaken worker commits")
        before = self.db.read(what_is_guarded)
        try:
            return commit()
        finally:
            if self.db.read(what_is_guarded) != before:
                raise Wrong("fencing", f"epoch {epoch} wrote under {self.epoch}")


def amount(stored: str | Decimal | None) -> Decimal | None:
    return None if stored is None else Decimal(stored)


def what_is_guarded(tx: Any) -> list[tuple[Any, ...]]:
    tables = {
        "runs": "SELECT id, state, version FROM runs ORDER BY id",
        "orders": "SELECT client_order_id, state, sent_at, filled_quantity, epoch FROM orders ORDER BY 1",
        "executions": "SELECT execution_id FROM executions ORDER BY 1",
        "accounts": "SELECT account_id, held, set_aside FROM accounts ORDER BY 1",
    }
    return [tuple(row) for sql in tables.values() for row in tx.rows(sql)]


def what_is_open(tx: Any) -> list[str]:
    """The states of open runs, and those of orders whose fate is open."""
    rows = tx.rows(
        """SELECT DISTINCT 'a run ' || state AS what FROM runs
           WHERE state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING')
           UNION SELECT DISTINCT 'an order ' || state FROM orders WHERE state IN ('SENDING', 'OPEN')
           ORDER BY 1"""
    )
    return [row["what"] for row in rows]


def what_waits(tx: Any) -> tuple[set[str], set[str], dict[str, str]]:
    """The accounts with a run that is under way, those that are held, whose runs have to wait, and the
    orders that were given up or have surfaced and still work, with their accounts.
    """
    rows = tx.rows(
        """SELECT account_id, COALESCE(held, (
             SELECT MIN(reason) FROM freezes f WHERE f.account_id = a.account_id)) AS held
           FROM accounts a WHERE held IS NOT NULL OR EXISTS (
             SELECT 1 FROM runs r WHERE r.shard = a.shard AND r.account_id = a.account_id
               AND r.state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING'))"""
    )
    held = {row["account_id"] for row in rows if row["held"] is not None}
    in_doubt = tx.rows("SELECT client_order_id, account_id FROM orders WHERE state IN ('ABANDONED', 'OPEN')")
    return (
        {row["account_id"] for row in rows} - held,
        held,
        {row["client_order_id"]: row["account_id"] for row in in_doubt},
    )


def is_watched(tx: Any) -> bool:
    """Whether a fill that comes after the end of its run is still looked for."""
    return tx.row("SELECT 1 AS watched FROM watches LIMIT 1") is not None


def open_world(tape: Tape, profile: Profile, *, db: Database) -> SimulatedWorld:
    """A tenant, a market with prices, workers, and nobody else yet, in an empty database."""
    weather = draw_weather(tape, profile)
    time = Timeline(began_at=MONDAY, now=MONDAY)
    night = bool(weather.rate("overnight"))
    calm_at = MONDAY + timedelta(seconds=OPENS_S + STORM_S if night else STORM_S)
    market = Market(calm_at=calm_at, time=time, tape=tape, weather=weather)
    for symbol, price in PRICES.items():
        market.quote(symbol, Decimal(price))
    broker = SimulatedBroker(market=market)
    desk = _desk(db, broker, lambda: time.now, tape=tape)
    if night:
        desk = replace(desk, calendars={**CALENDARS, EXCHANGE: _short_days()})
    db.write(lambda tx: tenants.ensure_tenant(tx, TENANT, name="Acme", now=MONDAY))
    world = SimulatedWorld(
        time=time,
        tape=tape,
        db=db,
        market=market,
        broker=broker,
        desk=desk,
    )
    watch = Watch(
        before_send=world.before_send,
        may_write=world.may_write,
        rouse=world.rouse,
        meanwhile=world.clients.meanwhile,
        taken=world.taken,
    )
    world.workers = [
        Worker(name=f"worker {n}", desk=desk, market=market, watch=watch, number=n)
        for n in range(weather.workers)
    ]
    return world


def _short_days() -> Sessions:
    """The exchange's days, but Monday's session is over soon, and Tuesday's begins a minute later."""
    usual, closes_at = CALENDARS[EXCHANGE], MONDAY + timedelta(seconds=CLOSES_S)
    today = bisect(usual.opens, MONDAY) - 1
    opens, closes = list(usual.opens), list(usual.closes)
    closes[today], opens[today + 1] = closes_at, MONDAY + timedelta(seconds=OPENS_S)
    return replace(usual, opens=tuple(opens), closes=tuple(closes))


def _caps(tape: Tape) -> Caps:
    return Caps(
        order_max=(None, Decimal(3000), Decimal(700))[tape.choice("dollars an order", 3)],
        run_orders_max=(None, 3, 2, 1)[tape.choice("orders a run", 4)],
        minute_orders_max=(None, 20, 10, 6)[tape.choice("orders a minute", 4)],
        price_age_max=timedelta(seconds=(60, 3)[tape.choice("price age", 2)]),
    )


def _desk(db: Database, broker: SimulatedBroker, clock: Callable[[], datetime], *, tape: Tape) -> Desk:
    buffer_percent = Decimal(("0", "0", "5")[tape.choice("buffer", 3)])
    return Desk(
        db=db,
        broker=broker,
        calendars=CALENDARS,
        calendar=EXCHANGE,
        evaluation=EvaluationPolicy(
            quarter_months=frozenset({1, 4, 7, 10}),
            update_waits=False,
            invest_cash_min=Decimal(("0", "10")[tape.choice("invests cash", 2)]),
            buffer_percent=buffer_percent,
        ),
        limits=Limits(min_notional=Decimal(1), buffer_percent=buffer_percent),
        caps=_caps(tape) if broker.market.happens("caps") else NO_CAPS,
        trigger=TriggerPolicy(cooldown=timedelta(seconds=60), after=FINAL_STATES),
        evaluations_kept=timedelta(days=30),
        clock=clock,
        new_id=Ids(),
    )
