"""Whole rebalances at a broker that is not ours, over a real socket, in good weather and in bad."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest

from tests.brokers.alpaca_server import KEY, LIE, AlpacaServer, Fault, alpaca_server, weather
from tests.engine.desks import Setup, Site, World, new_world
from trimtab.audit.check import audit
from trimtab.audit.report import lines
from trimtab.brokers.alpaca import AlpacaBroker
from trimtab.brokers.alpaca_budget import Budget
from trimtab.brokers.alpaca_calls import Access, Calls
from trimtab.core.rates import Window
from trimtab.core.run import RunKind
from trimtab.core.strategy import BandKind, DriftBand
from trimtab.store import budgets
from trimtab.store.evidence import read_evidence

QUARANTINE_S = 30
SEEDS = 12
ACCOUNTS = ("ann", "bob", "cat")


@contextmanager
def at_alpaca(site: Site) -> Iterator[tuple[World, AlpacaServer]]:
    """A world whose desk trades at the served broker."""
    with new_world(site, Setup(quarantine_s=QUARANTINE_S)) as world, alpaca_server(world.clock) as server:

        def share(told: Window | None) -> tuple[Window | None, int]:
            return world.db.write(lambda tx: budgets.take(tx, "alpaca", told, now=world.clock()))

        key_id, secret = KEY
        access = Access(url=server.url, data_url=server.url, key_id=key_id, secret=secret)
        broker = AlpacaBroker(
            Calls(access, Budget(share, world.clock)),
            world.clock,
            quarantine=timedelta(seconds=QUARANTINE_S),
            price_age_max=timedelta(minutes=15),
        )
        world.desk = replace(world.desk, broker=broker)
        server.set_prices(SPY="400", TLT="100", GLD="200")
        try:
            yield world, server
        finally:
            broker.close()


def weights(server: AlpacaServer, account_id: str) -> dict[str, Decimal]:
    account = server.accounts[account_id]
    values = {symbol: quantity * server.prices[symbol] for symbol, quantity in account.positions.items()}
    equity = account.cash + sum(values.values())
    return {symbol: 100 * value / equity for symbol, value in values.items()}


def require_sound(world: World) -> None:
    report = audit(world.db.read(read_evidence), None)
    assert report.ok, "\n".join(lines(report))
    assert report.open_orders.count == 0, report.open_orders.first


def test_accounts_come_to_their_targets_at_a_broker_that_is_not_ours(site: Site) -> None:
    with at_alpaca(site) as (world, server):
        mix = world.strategy(SPY="60", TLT="40")
        server.open_account("ann", "1000", GLD="5")
        server.open_account("bob", "500")
        for name in ("ann", "bob"):
            world.enroll(name, mix)
        world.settle()
        assert world.ends() == ["COMPLETED", "COMPLETED"]
        assert weights(server, "ann") == {"SPY": 60, "TLT": 40}
        assert weights(server, "bob") == {"SPY": 60, "TLT": 40}
        first = next(order for order in server.orders.values() if order.account_id == "ann")
        assert (first.symbol, first.side) == ("GLD", "sell")
        require_sound(world)


def test_what_was_withdrawn_where_nobody_tells_of_it_is_not_missed_at_the_targets(site: Site) -> None:
    """$10,000, of which $1,000 are raised and leave: $5,400 and $3,600 of $9,000 are right."""
    with at_alpaca(site) as (world, server):
        server.open_account("ann", "10000")
        drift = DriftBand(kind=BandKind.ABSOLUTE, percent=Decimal(5))
        world.enroll("ann", world.strategy(drift, SPY="60", TLT="40"))
        world.settle()
        world.request("ann", RunKind.PARTIAL_LIQUIDATION, amount="1000")
        world.settle()
        server.accounts["ann"].cash -= 1000
        for day in ("2026-03-03", "2026-03-04"):
            world.settle_on(day)
        assert world.slots("ann") == ["enrollment", "api"]
        assert weights(server, "ann") == {"SPY": 60, "TLT": 40}


def test_partial_fills_add_up(site: Site) -> None:
    with at_alpaca(site) as (world, server):
        server.fills = lambda: None
        server.open_account("ann", "0", GLD="5")
        world.enroll("ann", world.strategy(SPY="60", TLT="40"))
        world.settle()
        (sell,) = server.orders
        for part in ("0.3", "0.3", "1"):
            server.prices["GLD"] += 1
            server.fill(sell, Decimal(part))
            world.clock.forward(5)
            world.settle()
        (run,) = world.runs()
        (sold, *_) = world.orders(run)
        assert sold.filled_quantity == 5
        assert sold.filled_value == server.orders[sell].spent


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_ordered_twice_in_bad_weather(sqlite_site: Site, seed: int) -> None:
    """Answers get lost before and after acceptance, requests arrive late, refusals and garbage lie: in the
    end every leg was ordered once and every account is on target.
    """
    with at_alpaca(sqlite_site) as (world, server):
        chance = Random(seed)
        mix = world.strategy(SPY="50", TLT="30", cash="20")
        for name in ACCOUNTS:
            server.open_account(name, "1000", GLD="5", SPY="1")
            world.enroll(name, mix)
        # The first of an order is what hurts; later there is calm, so that every run can end.
        calm = world.clock.now + timedelta(minutes=10)
        server.fills = lambda: chance.choice([Decimal(1), Decimal(1), Decimal("0.5"), None])
        server.duplicate_status = chance.choice([422, 409, 403])
        # Some that were accepted do not show for a while. Who then also says that it refused them lies twice.
        server.hides_orders = chance.choice([0, 3, 10])
        lies = not server.hides_orders
        server.draw = weather(seed, 0.15, until=lambda: world.clock.now >= calm, lies=lies)
        while world.open_runs():
            world.settle()
            world.clock.forward(chance.choice([1, 3, 5, 10]))
            if chance.random() < 0.5:
                server.arrive()
            if chance.random() < 0.3:
                for key, order in list(server.orders.items()):
                    if order.status in {"new", "partially_filled"}:
                        server.fill(key)
            assert world.clock.now < calm + timedelta(minutes=10), world.runs()
        assert server.twice() == []
        require_sound(world)
        for name in ACCOUNTS:
            assert {s: round(w, 2) for s, w in weights(server, name).items()} == {"SPY": 50, "TLT": 30}, (
                world.ends(name)
            )


def test_an_order_that_arrives_after_it_was_given_up_on_is_found(sqlite_site: Site) -> None:
    with at_alpaca(sqlite_site) as (world, server):
        server.open_account("ann", "1000")
        world.enroll("ann", world.strategy(SPY="100"))
        server.queued["POST"].append(Fault(hangs_up=True, late=True))
        world.settle()
        assert server.orders == {}
        server.arrive()
        world.clock.forward(QUARANTINE_S - 1)
        world.settle()
        assert world.ends() == ["COMPLETED"]
        assert list(server.posts.values()) == [1]


def test_what_did_not_arrive_within_the_quarantine_is_sent_again_under_the_same_id(sqlite_site: Site) -> None:
    with at_alpaca(sqlite_site) as (world, server):
        server.open_account("ann", "1000")
        world.enroll("ann", world.strategy(SPY="100"))
        server.queued["POST"].append(Fault(hangs_up=True, late=True))
        world.settle()
        world.clock.forward(QUARANTINE_S)
        world.settle()
        assert world.ends() == ["COMPLETED"]
        # Even if the first comes later still, the broker knows the id.
        server.arrive()
        assert list(server.posts.values()) == [2]
        assert len(server.orders) == 1
        require_sound(world)


def test_a_broker_that_lies_twice_about_an_order_has_the_account_held(sqlite_site: Site) -> None:
    """It refuses what it accepts and does not show it: no answer can tell, but the positions do."""
    with at_alpaca(sqlite_site) as (world, server):
        server.open_account("ann", "0", GLD="5")
        world.enroll("ann", world.strategy(SPY="100"))
        server.queued["POST"].append(LIE)
        server.hides_orders = 100
        for _ in range(20):
            world.settle()
            world.clock.forward(5)
        assert [run.state.is_open for run in world.runs()] == [False]
        assert world.record("ann").held == "the broker shows 0 GLD, our fills make it 5"
