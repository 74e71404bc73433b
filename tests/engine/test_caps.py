"""What the installation allows at most: orders a minute for one tenant, orders a run, dollars an order.

SPY costs $400, TLT $100, GLD $200; everybody holds GLD only and wants half SPY, half TLT: one sell, two buys.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.engine.brokers import Rates
from tests.engine.desks import Setup, Site, SqliteSite, World, new_world
from tests.engine.machine import Machine
from trimtab.core.gate import Caps
from trimtab.core.skip import SkipReason
from trimtab.engine.desk import drive
from trimtab.engine.work import work
from trimtab.store import orders

MINUTE = timedelta(seconds=60)


@contextmanager
def capped(site: Site, caps: Caps, *, accounts: int = 1, rates: Rates | None = None) -> Iterator[World]:
    with new_world(site, Setup(caps=caps, rates=rates or Rates())) as world:
        strategy = world.strategy(SPY="50", TLT="50")
        for n in range(accounts):
            world.enroll(world.open_account(f"account-{n}", "0", GLD="10"), strategy)
        yield world


def accepted_at(world: World) -> list[datetime]:
    return [entry.at for entry in world.paper.read_ledger() if entry.kind == "accepted"]


def most_in_a_minute(times: list[datetime]) -> int:
    return max(sum(at <= other < at + MINUTE for other in times) for at in times)


@pytest.mark.parametrize("orders_max", [1, 2, 4])
def test_no_minute_has_more_orders_of_a_tenant_than_allowed_and_every_run_ends(
    site: Site, orders_max: int
) -> None:
    with capped(site, Caps(minute_orders_max=orders_max), accounts=3) as world:
        Machine(world=world).work_on()
        assert world.ends() == ["COMPLETED"] * 3
        times = accepted_at(world)
        assert len(times) == 9
        assert most_in_a_minute(times) <= orders_max
        assert {world.holdings(f"account-{n}") for n in range(3)} == {"cash 0, SPY 2.5, TLT 10"}
        world.require_sound()


def test_what_is_sent_again_counts_too(sqlite_site: SqliteSite) -> None:
    """Every request is lost until the calm: nothing but repeats."""
    with capped(sqlite_site, Caps(minute_orders_max=2), rates=Rates(loses_request=1)) as world:
        sends: list[datetime] = []
        world.broker.before = lambda call: sends.append(world.clock.now) if call == "submit" else None
        give_up_at = world.clock.now + timedelta(minutes=5)
        while world.clock.now < give_up_at:
            drive(work(world.desk, 1), world.desk)
            world.clock.forward(1)
        assert len(sends) >= 8, "it was sent again and again"
        assert all(later - earlier >= MINUTE for earlier, later in pairwise(sends[::2]))


def test_a_run_sends_no_more_orders_than_allowed_and_says_what_it_left(sqlite_site: SqliteSite) -> None:
    with capped(sqlite_site, Caps(run_orders_max=2)) as world:
        world.settle()
        (run,) = world.runs()
        assert world.ends() == ["COMPLETED*"]
        assert len(world.broker_orders()) == 2
        skips = world.db.read(lambda tx: orders.skips_of(tx, [run]))[run.id]
        assert [(skip.symbol, skip.reason) for skip in skips] == [("TLT", SkipReason.OVER_LIMIT)]


def test_no_order_is_larger_than_allowed(sqlite_site: SqliteSite) -> None:
    """Selling 10 GLD would be $2,000."""
    with capped(sqlite_site, Caps(order_max=Decimal("1999.99"))) as world:
        world.settle()
        assert world.broker_orders() == []
        assert world.ends() == ["COMPLETED*"]


def test_prices_are_asked_for_again_when_a_turn_takes_long(sqlite_site: SqliteSite) -> None:
    """Each answer takes up to 20 seconds: the plan's price is never what an order is judged by later."""
    with capped(sqlite_site, Caps(), accounts=3, rates=Rates(answers_within_s=20)) as world:
        asked: list[datetime] = []
        sent: list[datetime] = []

        def note(call: str) -> None:
            if call in {"prices", "submit"}:
                (asked if call == "prices" else sent).append(world.clock.now)

        world.broker.before = note
        Machine(world=world).work_on()
        assert world.ends() == ["COMPLETED"] * 3
        for at in sent:
            assert at - max(each for each in asked if each <= at) <= Caps().price_age_max + timedelta(
                seconds=20
            )
        world.require_sound()
