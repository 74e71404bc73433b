"""Trade events from the ledger: their ids lead on whatever the clock does, and each shows its order as it
was.
"""

from tests.brokers.market import Market, named
from trimtab.brokers.paper_events import TradeEvent, head, read_events
from trimtab.core import ulid
from trimtab.core.run import OrderState

BEGINNING = ulid.text_of(0)


def events(market: Market, after: str = BEGINNING, *, limit: int = 100) -> list[TradeEvent]:
    return market.broker.ask(lambda tx: read_events(tx, "tenant", after=after, upto=head(tx), limit=limit))


def test_ids_rise_though_the_clock_is_set_back(market: Market) -> None:
    market.buy(notional="10")
    market.clock.forward(-3600)
    market.buy(notional="10")
    found = events(market)
    ids = [each.id for each in found]
    assert ids == sorted(set(ids))
    assert [each.at for each in found][2:] == [market.clock.now] * 2
    assert market.broker.ask(head) >= ids[-1]


def test_whoever_has_read_up_to_an_id_goes_on_from_there(market: Market) -> None:
    for _ in range(3):
        market.buy(notional="10")
    found = events(market)
    for number, each in enumerate(found):
        assert events(market, each.id) == found[number + 1 :]
    assert events(market, limit=2) == found[:2]


def test_an_id_that_only_says_a_time_leads_to_what_came_then(market: Market) -> None:
    market.buy(notional="10")
    market.clock.forward(1)
    market.buy(notional="10")
    before = ulid.text_of(ulid.first_of(market.clock.now) - 1)
    assert events(market, before) == events(market)[2:]
    assert events(market, ulid.text_of(ulid.last_of(market.clock.now))) == []


def test_any_id_leads_to_what_is_greater_and_to_nothing_else(market: Market) -> None:
    for _ in range(7):
        market.buy(notional="10")
        market.clock.forward(0.4)
    found = events(market)
    numbers = [ulid.number_in(each.id) or 0 for each in found]
    times = [ulid.first_of(each.at) + rest for each in found for rest in (-1, 0, 1, ulid.CHANCE)]
    for number in [*numbers, *(n - 1 for n in numbers), *(n + 1 for n in numbers), *times]:
        rest = [each for each, own in zip(found, numbers, strict=True) if own > number]
        assert events(market, ulid.text_of(number)) == rest


def test_another_tenant_sees_nothing(market: Market) -> None:
    market.buy(notional="10")
    assert (
        market.broker.ask(lambda tx: read_events(tx, "other", after=BEGINNING, upto=head(tx), limit=9)) == []
    )


def test_the_last_event_of_an_order_shows_it_as_it_is(market: Market) -> None:
    market.broker.set_faults({"partial_fill": 1, "fill_delay_s": 3, "reject": ["TLT"]})
    market.buy(notional="100")
    market.buy("TLT", notional="100")
    market.sell(quantity="2")
    market.clock.forward(3)
    halves = {each.order.client_order_id: each.order for each in events(market)}
    assert [str(order.filled_quantity) for order in halves.values()] == ["0.125000000", "0", "1.000000000"]
    market.clock.forward(3)
    for name, shown in {each.order.client_order_id: each.order for each in events(market)}.items():
        (now,) = market.broker.lookup(named(name)).values()
        assert (now.state, now.filled, now.updated_at) == (
            shown.state,
            shown.filled_quantity,
            shown.updated_at,
        )
        assert shown.state in {OrderState.FILLED, OrderState.REFUSED}
