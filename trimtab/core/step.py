"""What is known about a run, and the steps it can take next.

The words between `decide`, which chooses a step from the facts, and whoever collects the facts and performs
the steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from trimtab.core.corporate import CorporateAction
from trimtab.core.doubt import NOTHING_MOVED, Traded
from trimtab.core.gate import NO_CAPS, Caps
from trimtab.core.plan import Basis, Plan
from trimtab.core.run import Order, RunState
from trimtab.core.sessions import Window
from trimtab.core.skip import Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known about one run at this moment.

    `basis` is made from a fresh look at the account and is None until somebody has looked since the
    run's orders last changed. `prices` are those of `prices_age` ago. `asked` and `cancel_asked` are the
    client order ids whose state, or whose cancellation, has been asked for just now: an order still open
    after that is waited for. `frozen` names the kill switch or hold that covers the account. `previous` is
    the account's last planned run, if it ended just now: for a QUEUED run, whose plan must know what was
    traded. One that traded nothing counts too, for its own plan knew what was traded before it.
    `actions` are the corporate actions in the plan's symbols since it was made, `moved` what may have
    come or gone since without a trade (see Traded). `is_working`: whether an
    order of the account is open at the broker, whoever sent it. `caps` bound what may be sent.
    """

    plan: Plan | None
    orders: tuple[Order, ...]
    skips: tuple[Skip, ...]
    window: Window
    strategy_active: bool
    account_active: bool
    basis: Basis | None
    prices: Mapping[str, Decimal]
    frozen: str | None
    frozen_symbols: frozenset[str]
    asked: frozenset[str]
    cancel_asked: frozenset[str]
    drops_duplicates: bool
    quarantine: timedelta
    previous: Traded | None
    is_working: bool = False
    caps: Caps = NO_CAPS
    prices_age: timedelta = timedelta(0)
    actions: tuple[CorporateAction, ...] = ()
    moved: frozenset[Decimal] = NOTHING_MOVED


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`, or before something happens."""

    until: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the broker for the account as it is now."""


@dataclass(frozen=True, slots=True)
class StorePlan:
    plan: Plan
    deadline_at: datetime


@dataclass(frozen=True, slots=True)
class Submit:
    """Commit the intents and send them; `skips` are legs given up instead."""

    state: RunState
    orders: tuple[Order, ...]
    skips: tuple[Skip, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Look these orders up at the broker."""

    client_order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CancelOrders:
    client_order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resend:
    """Send again what provably was not accepted: the same ids, the same bodies."""

    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give up orders that the broker does not know after the quarantine."""

    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """`rebalanced` starts the cooldown; `hold` freezes the account with that reason."""

    state: RunState
    adjusted: bool = False
    reason: str | None = None
    rebalanced: bool = False
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Wind the run down as FAILED: what the engine does with a run that cannot be decided."""

    reason: str


Step = Fail | Wait | Look | StorePlan | Submit | Ask | CancelOrders | Resend | Abandon | Finish
