"""What customers, clients and operators do meanwhile, through the engine's actions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from tests.engine.desks import TENANT, targets
from tests.simulator.market import Market
from tests.simulator.workers import Wrong
from trimtab.core.errors import TrimtabError
from trimtab.core.run import RunKind
from trimtab.core.strategy import Definition, OnUpdate, Strategy
from trimtab.database import Tx
from trimtab.engine import actions, enrollment_actions, strategy_actions
from trimtab.engine.actions import RunRequest
from trimtab.engine.desk import Desk
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.engine.strategy_actions import StrategyChange, StrategyDraft
from trimtab.store import freezes, shards
from trimtab.store.freezes import Freeze

MOMENTS = 200
SYMBOLS = ("SPY", "TLT", "GLD", "IWM")
MIXES: tuple[Mapping[str, str], ...] = (
    {"SPY": "50", "TLT": "30", "GLD": "20"},
    {"SPY": "60", "TLT": "40"},
    {"IWM": "100"},
    {"GLD": "34", "IWM": "33", "TLT": "33"},
    {"SPY": "40", "TLT": "35", "cash": "25"},
)
ACCOUNTS = (1, 1, 2, 2, 3, 5, 8)
AGAIN_MAX = 3
PAUSED_S = 10


@dataclass(slots=True, kw_only=True)
class Promises:
    """What clients were told, and when: runs that exist, runs that are cancelled, freezes and their ends.

    `forgotten` is the time between a copy of the database and its return: what was promised then is lost.
    """

    runs: dict[str, datetime] = field(default_factory=dict)
    canceled: dict[str, datetime] = field(default_factory=dict)
    freezes: list[tuple[Freeze, datetime]] = field(default_factory=list)
    thaws: dict[str, datetime] = field(default_factory=dict)
    pauses: list[tuple[str, datetime, datetime]] = field(default_factory=list)
    forgotten: tuple[datetime, datetime] | None = None

    def forget_since(self, copied_at: datetime, *, now: datetime) -> None:
        self.forgotten = (copied_at, now)
        self.runs = {key: at for key, at in self.runs.items() if at <= copied_at}
        self.canceled = {key: at for key, at in self.canceled.items() if at <= copied_at}
        for stop, begins_at in self.freezes:
            if begins_at > copied_at:
                self.thaws.setdefault(stop.id, now)


class OpenRun(NamedTuple):
    """What is asked of an open run."""

    id: str
    account_id: str
    state: str


@dataclass(slots=True, kw_only=True)
class Clients:
    """`rouse` lets the workers know that there may be work."""

    desk: Desk
    market: Market
    rouse: Callable[[], None]
    storm_s: int
    promises: Promises = field(default_factory=Promises)
    strategy: Strategy | None = None
    accounts: list[str] = field(default_factory=list)

    def settle_in(self) -> None:
        """Accounts with something in them, most of which follow the one strategy."""
        tape = self.market.tape
        self.market.calm = True
        self.strategy = strategy_actions.create_strategy(
            self.desk, TENANT, self._draft(tape.choice("first mix", len(MIXES)))
        )
        for n in range(ACCOUNTS[tape.choice("accounts", len(ACCOUNTS))]):
            account_id = f"a{n}"
            positions = {
                s: Decimal(1 + tape.choice("position", 40_000)) / 1000
                for s in SYMBOLS
                if tape.choice("holds", 2)
            }
            self.market.open_account(account_id, Decimal(tape.choice("cash", 5000)), positions)
            self.accounts.append(account_id)
            if tape.choice("stays out", 4) < 3:
                self._enroll(account_id)
        self.market.calm = False

    def _draft(self, mix: int) -> StrategyDraft:
        definition = Definition(targets=targets(**MIXES[mix]), conditions=(OnUpdate(),), cooldown_days=0)
        return StrategyDraft(name="mix", description="", definition=definition, calendar=self.desk.calendar)

    @property
    def _doings(self) -> Mapping[str, Callable[[], None]]:
        return {
            "cancel": self._cancel,
            "manual run": self._ask_for_a_run,
            "raise cash": self._raise_cash,
            "new weights": self._change_weights,
            "leave": self._leave,
            "pause enrollment": self._pause,
            "freeze": self._freeze,
            "transfers": self._transfer,
        }

    def meanwhile(self) -> None:
        """Do something this very instant, between two effects of a worker: half of the time a freeze."""
        doings = self._doings
        names = ["freeze"] * len(doings) + [*doings]
        name = names[self.market.tape.choice("meanwhile", len(names))]
        self._do(name, doings[name])

    def plan(self) -> None:
        """Choose who does what, and when; most of it while the first runs are under way."""
        for name, action in self._doings.items():
            for _ in range(AGAIN_MAX):
                if self.market.happens(name):
                    part = self.market.tape.choice("moment", MOMENTS) / MOMENTS
                    self.market.time.after(self.storm_s * part**3, partial(self._do, name, action))

    def _do(self, name: str, action: Callable[[], None]) -> None:
        """What is refused is no harm; what was promised is kept in mind."""
        for state in {run.state for run in self.desk.db.read(open_runs)}:
            self.market.time.tag(f"{name} while a run is {state}")
        try:
            action()
        except TrimtabError as error:
            self.market.time.tag(f"{name}: {type(error).__name__}")
            self.market.time.write("client", name, result=type(error).__name__)
        else:
            self.market.time.write("client", name)
        self.rouse()

    def _anyone(self) -> str:
        return self.accounts[self.market.tape.choice("who", len(self.accounts))]

    def _enroll(self, account_id: str) -> None:
        assert self.strategy is not None, "there is one from the start"
        request = EnrollRequest(account_id=account_id, strategy_id=self.strategy.id)
        enrollment_actions.enroll(self.desk, TENANT, request)

    def _cancel(self) -> None:
        found = self.desk.db.read(open_runs)
        if found:
            run = found[self.market.tape.choice("which run", len(found))]
            self.market.time.tag(f"cancel of a run that is {run.state}")
            actions.cancel_run(self.desk, TENANT, run.id)
            self.promises.canceled[run.id] = self.market.time.now

    def _ask_for_a_run(self) -> None:
        account_id = self._anyone()
        mix = MIXES[self.market.tape.choice("manual mix", len(MIXES))]
        follows = self._enrollment(account_id) is not None
        request = RunRequest(
            account_id=account_id,
            kind=RunKind.FULL_REBALANCE,
            targets=() if follows else targets(**mix),
            amount=None,
        )
        self._request(request)

    def _raise_cash(self) -> None:
        amount = Decimal(1 + self.market.tape.choice("amount", 900))
        request = RunRequest(
            account_id=self._anyone(), kind=RunKind.PARTIAL_LIQUIDATION, targets=(), amount=amount
        )
        self._request(request)

    def _request(self, request: RunRequest) -> None:
        run = actions.request_run(self.desk, TENANT, request)
        self.promises.runs[run.id] = self.market.time.now

    def _change_weights(self) -> None:
        assert self.strategy is not None, "there is one from the start"
        mix = MIXES[self.market.tape.choice("new mix", len(MIXES))]
        change = StrategyChange(targets=targets(**mix))
        strategy_actions.change_strategy(self.desk, TENANT, strategy_id=self.strategy.id, change=change)

    def _enrollment(self, account_id: str) -> str | None:
        row = self.desk.db.read(
            lambda tx: tx.row(
                "SELECT id FROM enrollments WHERE account_id = :id AND state <> 'ended'", id=account_id
            )
        )
        return None if row is None else str(row["id"])

    def _leave(self) -> None:
        """Stop following, or begin to."""
        account_id = self._anyone()
        enrollment_id = self._enrollment(account_id)
        if enrollment_id is None:
            self._enroll(account_id)
        else:
            enrollment_actions.end_enrollment(self.desk, TENANT, enrollment_id)

    def _pause(self) -> None:
        enrollment_id = self._enrollment(self._anyone())
        if enrollment_id is not None:
            enrollment_actions.pause(self.desk, TENANT, enrollment_id)
            now = self.market.time.now
            self.promises.pauses.append((enrollment_id, now, now + timedelta(seconds=PAUSED_S)))
            self.market.time.after(
                PAUSED_S, lambda: self._do("resume enrollment", lambda: self._resume(enrollment_id))
            )

    def _resume(self, enrollment_id: str) -> None:
        enrollment_actions.resume(self.desk, TENANT, enrollment_id)
        now = self.market.time.now
        pauses = self.promises.pauses
        self.promises.pauses = [(key, since, min(until, now)) for key, since, until in pauses]

    def _freeze(self) -> None:
        """An account, a symbol, or everything of the tenant; lifted when all is calm again, or sooner."""
        scope = self.market.tape.choice("freeze what", 3)
        stop = Freeze(
            id=self.desk.new_id(),
            tenant_id=TENANT if scope == 2 else None,
            account_id=self._anyone() if scope == 0 else None,
            symbol=SYMBOLS[self.market.tape.choice("freeze symbol", 4)] if scope == 1 else None,
            reason="by hand",
        )
        now = self.market.time.now
        self.desk.db.write(lambda tx: freezes.insert(tx, stop, now))
        self._wake()
        self.market.time.tag(f"freeze of {('an account', 'a symbol', 'a tenant')[scope]}")
        self.promises.freezes.append((stop, now))
        if self.market.tape.choice("thaws", 2):
            self.market.time.after(8, lambda: self._do("thaw", partial(self._thaw, stop)))

    def _thaw(self, stop: Freeze) -> None:
        self.desk.db.write(
            lambda tx: freezes.remove(
                tx, tenant_id=stop.tenant_id, account_id=stop.account_id, symbol=stop.symbol
            )
        )
        now = self.market.time.now
        scope = (stop.tenant_id, stop.account_id, stop.symbol)
        for other, _ in self.promises.freezes:
            if (other.tenant_id, other.account_id, other.symbol) == scope:
                self.promises.thaws.setdefault(other.id, now)
        self._wake()

    def _wake(self) -> None:
        """As `trimtab freeze` and `trimtab thaw` do."""
        now = self.market.time.now
        self.desk.db.write(lambda tx: shards.mark_all_due(tx, now))
        self.rouse()

    def _transfer(self) -> None:
        tape = self.market.tape
        amount = Decimal(1 + tape.choice("money", 2000)) * (-1 if tape.choice("goes out", 2) else 1)
        done = self.market.transfer(self.desk.new_id(), self._anyone(), amount)
        self.market.time.tag(("money goes" if amount < 0 else "money comes") if done else "no money to go")

    def calm_down(self) -> None:
        """Whoever stopped something lets it go on; an alarm of the engine stays."""
        present = {stop.id for stop in self.desk.db.read(freezes.all_freezes)}
        for stop, _ in self.promises.freezes:
            if stop.id in present:
                self._thaw(stop)
        self.rouse()

    def require_final(self) -> None:
        """Every run has ended by now, unless its account is held."""
        held = {*self.desk.db.read(shards.all_held), *self.desk.db.read(frozen_accounts)}
        stuck = [run.id for run in self.desk.db.read(open_runs) if run.account_id not in held]
        if stuck:
            raise Wrong("final in time", f"still open: {', '.join(stuck)}")


def open_runs(tx: Tx) -> list[OpenRun]:
    """In the order in which they came."""
    rows = tx.rows(
        """SELECT id, account_id, state FROM runs
           WHERE state IN ('QUEUED', 'PLANNED', 'SELLING', 'BUYING') ORDER BY seq"""
    )
    return [OpenRun(row["id"], row["account_id"], row["state"]) for row in rows]


def frozen_accounts(tx: Tx) -> set[str]:
    return {stop.account_id for stop in freezes.all_freezes(tx) if stop.account_id is not None}


def ignore(_answer: object) -> None:
    """What an action says is of no interest here."""
