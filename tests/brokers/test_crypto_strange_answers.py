"""Answers that no exchange should give: an order's fate is said all the same, and a question is answered or
raises BrokerDown.
"""

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from tests.brokers.coins import broker_at, open_coins
from tests.brokers.exchange_server import mangled
from trimtab.brokers.broker import Accepted, NotSent, Refused, Unknown
from trimtab.core.errors import BrokerDown
from trimtab.core.run import Side

ROUNDS = 60


@pytest.mark.parametrize("seed", range(4))
def test_strange_answers_raise_nothing_but_broker_down(seed: int) -> None:
    """And whatever was answered, each order left at most once."""
    chance = Random(seed)
    asked = answered = 0
    with open_coins() as coins:
        coins.server.mangle = partial(mangled, chance=chance)
        for _ in range(ROUNDS):
            broker = broker_at(coins.server, coins.clock)
            orders = [
                coins.order(Side.SELL, "BTC", quantity="0.0001"),
                coins.order(Side.BUY, "ETH", notional="10"),
                coins.order(Side.BUY, "ETH", notional="10", worst_price="3100"),
            ]
            outcomes = broker.submit(orders)
            assert all(isinstance(each, Accepted | Refused | Unknown | NotSent) for each in outcomes)
            questions: list[Callable[[], object]] = [
                partial(broker.accounts, [broker.account_id]),
                partial(broker.assets, ["BTC", "ETH"]),
                partial(broker.prices, ["BTC", "ETH"]),
                partial(broker.lookup, orders),
                partial(broker.cancel, orders),
            ]
            for question in questions:
                asked += 1
                try:
                    question()
                except BrokerDown:
                    continue
                answered += 1
        assert len(set(coins.exchange.accepted)) == len(coins.exchange.accepted) > ROUNDS / 4
    assert asked / 10 < answered < asked
