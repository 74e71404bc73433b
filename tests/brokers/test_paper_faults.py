"""Every fault of the paper broker: how it is asked for and what it does to orders."""

from collections import Counter
from decimal import Decimal

import pytest

from tests.brokers.market import OPENING, Market, fills, named, order
from trimtab.brokers.broker import Accepted, Refused, Unknown
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_faults import Faults, parse_faults, stored_faults
from trimtab.core.errors import BrokerDown, Malformed
from trimtab.core.run import OrderState, Side

HALF = Decimal("0.5")
PRICE = Decimal(400)


class TestParsing:
    def test_all_of_them(self) -> None:
        body = {
            "reject": ["TLT"],
            "partial_fill": Decimal("0.5"),
            "fill_delay_s": 30,
            "lost_reply": Decimal("0.1"),
            "duplicate_event": 1,
            "outage": True,
            "seed": Decimal(7),
        }
        faults = Faults(
            reject=("TLT",),
            partial_fill=Decimal("0.5"),
            fill_delay_s=Decimal(30),
            lost_reply=Decimal("0.1"),
            duplicate_event=Decimal(1),
            outage=True,
            seed=7,
        )
        assert parse_faults(body) == faults
        assert stored_faults(faults.to_json()) == faults

    def test_none_of_them(self) -> None:
        assert parse_faults({}) == Faults() == stored_faults("{}")

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"rejects": []}, "rejects"),
            ({"reject": "TLT"}, "reject"),
            ({"reject": None}, "reject"),
            ({"reject": ["TLT", 5]}, "reject[1]"),
            ({"reject": [""]}, "reject[0]"),
            ({"partial_fill": Decimal("1.01")}, "partial_fill"),
            ({"partial_fill": Decimal("-0.1")}, "partial_fill"),
            ({"partial_fill": "0.5"}, "partial_fill"),
            ({"partial_fill": 0.5}, "partial_fill"),
            ({"partial_fill": Decimal("NaN")}, "partial_fill"),
            ({"lost_reply": True}, "lost_reply"),
            ({"duplicate_event": 2}, "duplicate_event"),
            ({"fill_delay_s": -1}, "fill_delay_s"),
            ({"fill_delay_s": 10**9}, "fill_delay_s"),
            ({"fill_delay_s": [30]}, "fill_delay_s"),
            ({"outage": 1}, "outage"),
            ({"outage": "true"}, "outage"),
            ({"seed": Decimal("1.5")}, "seed"),
            ({"seed": 10**18}, "seed"),
            ({"seed": None}, "seed"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, body: dict[str, object], path: str) -> None:
        with pytest.raises(Malformed) as caught:
            parse_faults(body)
        assert caught.value.path == path

    def test_a_mistake_changes_nothing(self, market: Market) -> None:
        market.broker.set_faults({"outage": True})
        with pytest.raises(Malformed):
            market.broker.set_faults({"outage": False, "seed": "x"})
        with pytest.raises(BrokerDown):
            market.broker.prices(["SPY"])

    def test_a_new_set_replaces_the_old_one(self, market: Market) -> None:
        market.broker.set_faults({"reject": ["SPY"]})
        market.broker.set_faults({"partial_fill": HALF})
        assert market.report(market.sell(quantity="1")).state is not OrderState.REFUSED


class TestChance:
    def test_it_depends_on_seed_order_and_fault_only(self) -> None:
        faults = parse_faults({"partial_fill": HALF, "lost_reply": HALF, "seed": 7})
        # Worked out once; they must never change, or a script's result would.
        numbers = range(12)
        assert "".join("ny"[faults.fills_in_halves(n)] for n in numbers) == "nnyyynynnyyy"
        assert "".join("ny"[faults.loses_reply(n)] for n in numbers) == "ynynynnnnyyn"
        other = parse_faults({"partial_fill": HALF, "seed": 8})
        assert "".join("ny"[other.fills_in_halves(n)] for n in numbers) == "ynyyynyyyyyy"

    def test_a_fraction_is_a_probability(self) -> None:
        faults = parse_faults({"lost_reply": Decimal("0.1")})
        hit = sum(faults.loses_reply(n) for n in range(10_000))
        assert 900 < hit < 1100

    def test_never_and_always(self) -> None:
        faults = parse_faults({"lost_reply": 0, "duplicate_event": 1})
        numbers = range(1000)
        assert not any(faults.loses_reply(n) for n in numbers)
        assert all(faults.repeats_event(n) for n in numbers)


class TestReject:
    def test_accepted_then_rejected(self, market: Market) -> None:
        market.broker.set_faults({"reject": ["TLT"], "fill_delay_s": 30})
        outcome = market.buy("TLT", notional="1000")
        assert isinstance(outcome, Accepted)
        assert outcome.report.state is OrderState.REFUSED
        assert outcome.report.reason == "TLT is rejected by the market"
        assert market.report(outcome) == outcome.report
        assert [entry.kind for entry in market.broker.read_ledger()][-2:] == ["accepted", "rejected"]
        assert market.cash() == Decimal(1000)

    def test_it_reserves_nothing_and_touches_no_other_symbol(self, market: Market) -> None:
        market.broker.set_faults({"reject": ["TLT"]})
        rejected = order("rejected", Side.BUY, symbol="TLT", notional="1000")
        other = order("other", Side.BUY, notional="1000")
        market.broker.submit([rejected, other])
        assert market.broker.lookup(named("other"))["other"].state is OrderState.FILLED

    def test_what_is_refused_anyway_is_not_accepted_first(self, market: Market) -> None:
        market.broker.set_faults({"reject": ["TLT"]})
        assert isinstance(market.buy("TLT", notional="1000.01"), Refused)


class TestPartialFill:
    @pytest.mark.parametrize(
        ("side", "amount", "first", "rest"),
        [
            (Side.SELL, {"quantity": "5"}, "2.5", "2.5"),
            (Side.SELL, {"quantity": "0.000000003"}, "0.000000001", "0.000000002"),
            (Side.BUY, {"notional": "1000"}, "1.25", "1.25"),
            # 1.01 / 400 = 0.002525; its half is 0.0012625
            (Side.BUY, {"notional": "1.01"}, "0.0012625", "0.0012625"),
        ],
    )
    def test_half_at_once_and_the_rest_a_second_later(
        self, market: Market, side: Side, amount: dict[str, str], first: str, rest: str
    ) -> None:
        market.broker.set_faults({"partial_fill": 1})
        outcome = market.send(order("one", side, **amount))
        report = market.report(outcome)
        assert (report.state, fills(report)) == (OrderState.OPEN, [(Decimal(first), PRICE)])
        market.clock.forward(0.999999)
        assert market.report(outcome) == report
        market.clock.forward(0.000001)
        report = market.report(outcome)
        assert (report.state, fills(report)) == (
            OrderState.FILLED,
            [(Decimal(first), PRICE), (Decimal(rest), PRICE)],
        )
        assert [e.execution_id for e in report.executions] == [
            f"{report.broker_order_id}:1",
            f"{report.broker_order_id}:2",
        ]

    def test_the_smallest_part_fills_at_once(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1})
        assert market.report(market.sell(quantity="0.000000001")).state is OrderState.FILLED

    @pytest.mark.parametrize(("quantity", "first"), [("1", "1"), ("2", "1"), ("5", "2")])
    def test_whole_shares_stay_whole(self, market: Market, quantity: str, first: str) -> None:
        market.broker.set_asset("SPY", fractionable=False)
        market.broker.set_faults({"partial_fill": 1})
        assert fills(market.report(market.sell(quantity=quantity))) == [(Decimal(first), PRICE)]

    def test_a_fraction_of_what_became_whole_shares_fills_once(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1, "fill_delay_s": 30})
        outcome = market.sell(quantity="0.5")
        market.broker.set_asset("SPY", fractionable=False)
        market.clock.forward(30)
        assert fills(market.report(outcome)) == [(Decimal("0.5"), PRICE)]

    def test_with_a_delay_both_parts_wait(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1, "fill_delay_s": 30})
        outcome = market.sell(quantity="4")
        seen = []
        for _ in range(4):
            report = market.report(outcome)
            seen.append((len(report.executions), report.updated_at - OPENING))
            market.clock.forward(29)
            assert market.report(outcome) == report
            market.clock.forward(1)
        assert [(count, age.total_seconds()) for count, age in seen] == [(0, 0), (1, 30), (2, 60), (2, 60)]

    def test_each_part_at_its_own_price(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1})
        outcome = market.buy(notional="1000")
        market.broker.set_prices({"SPY": Decimal(500)})
        market.clock.forward(1)
        report = market.report(outcome)
        # 1.25 × 400 = 500; the other 500 buy one share at 500.
        assert fills(report) == [(Decimal("1.25"), PRICE), (Decimal(1), Decimal(500))]
        assert (report.state, market.cash()) == (OrderState.FILLED, Decimal(0))

    def test_it_outlives_its_fault(self, market: Market) -> None:
        market.broker.set_faults({"partial_fill": 1})
        outcome = market.sell(quantity="4")
        market.broker.set_faults({})
        market.clock.forward(1)
        assert market.report(outcome).state is OrderState.FILLED


class TestFillDelay:
    def test_nothing_before_the_price_of_the_moment_after(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        outcome = market.sell(quantity="1")
        assert isinstance(outcome, Accepted)
        assert (outcome.report.state, outcome.report.executions) == (OrderState.OPEN, ())
        market.clock.forward(29.999999)
        assert market.report(outcome).state is OrderState.OPEN
        market.broker.set_prices({"SPY": Decimal(410)})
        market.clock.forward(0.000001)
        assert fills(market.report(outcome)) == [(Decimal(1), Decimal(410))]

    def test_fractions_of_a_second(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": Decimal("0.25")})
        outcome = market.sell(quantity="1")
        market.clock.forward(0.249999)
        assert market.report(outcome).state is OrderState.OPEN
        market.clock.forward(0.000001)
        assert market.report(outcome).state is OrderState.FILLED

    @pytest.mark.parametrize(
        "question", ["accounts", "assets", "prices", "lookup", "feed", "submit", "cancel"]
    )
    def test_every_question_matches_what_is_due(self, market: Market, question: str) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        market.sell(quantity="1")
        market.clock.forward(30)
        match question:
            case "feed":
                assert market.broker.feed(0).cursor == 5
            case "submit":
                market.buy(notional="10")
            case "accounts":
                assert market.broker.accounts(["ann"])["ann"].holdings.cash == Decimal(1400)
            case "lookup" | "cancel":
                getattr(market.broker, question)(named("unknown"))
            case _:
                getattr(market.broker, question)(["unknown"])
        assert market.cash() == Decimal(1400)

    def test_a_buy_of_shares_goes_as_far_as_cash_reaches(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        outcome = market.buy(quantity="2.5")
        market.broker.set_prices({"SPY": Decimal(600)})
        market.clock.forward(30)
        report = market.report(outcome)
        # 1000 / 600 = 1.666666666…
        assert fills(report) == [(Decimal("1.666666666"), Decimal(600))]
        assert report.state is OrderState.CANCELED
        assert report.reason == "1.666666666 of 2.5 shares were within reach"
        assert market.cash() == Decimal("0.0000004")

    def test_whole_shares_as_far_as_cash_reaches(self, market: Market) -> None:
        market.broker.set_asset("SPY", fractionable=False)
        market.broker.set_faults({"fill_delay_s": 30})
        outcome = market.buy(quantity="2")
        market.broker.set_prices({"SPY": Decimal(600)})
        market.clock.forward(30)
        assert fills(market.report(outcome)) == [(Decimal(1), Decimal(600))]

    def test_a_buy_after_a_withdrawal(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        first, second = market.buy(notional="600"), market.buy(notional="400")
        market.broker.transfer("out", "ann", amount=Decimal(-400))
        market.clock.forward(30)
        assert market.report(first).state is OrderState.FILLED
        last = market.report(second)
        assert (last.state, last.executions, market.cash()) == (OrderState.CANCELED, (), Decimal(0))

    def test_a_notional_buys_no_more_than_its_notional(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        outcome = market.buy(notional="600")
        market.broker.set_prices({"SPY": Decimal(300)})
        market.clock.forward(30)
        assert fills(market.report(outcome)) == [(Decimal(2), Decimal(300))]

    def test_a_notional_sells_no_more_than_is_held(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        outcome = market.sell(notional="4000")
        market.broker.set_prices({"SPY": Decimal(200)})
        market.clock.forward(30)
        report = market.report(outcome)
        assert (report.state, fills(report)) == (OrderState.CANCELED, [(Decimal(10), Decimal(200))])

    def test_an_asset_that_is_halted_waits(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        outcome = market.sell(quantity="1")
        other = market.buy("TLT", notional="10")
        market.broker.set_asset("SPY", tradable=False)
        market.clock.forward(3600)
        assert market.report(other).state is OrderState.FILLED
        assert market.report(outcome).state is OrderState.OPEN
        market.broker.set_asset("SPY", tradable=True)
        assert market.report(outcome).state is OrderState.FILLED


class TestLostReply:
    def test_accepted_but_unknown(self, market: Market) -> None:
        market.broker.set_faults({"lost_reply": 1})
        assert isinstance(market.send(order("one", Side.SELL, quantity="1")), Unknown)
        assert market.broker.lookup(named("one"))["one"].state is OrderState.FILLED

    def test_a_second_send_is_answered(self, market: Market) -> None:
        market.broker.set_faults({"lost_reply": 1})
        market.send(order("one", Side.SELL, quantity="1"))
        assert isinstance(market.send(order("one", Side.SELL, quantity="1")), Accepted)
        assert market.cash() == Decimal(1400)

    def test_a_refusal_is_not_lost(self, market: Market) -> None:
        market.broker.set_faults({"lost_reply": 1})
        assert isinstance(market.sell(quantity="11"), Refused)


def test_duplicate_event_lists_an_execution_twice(market: Market) -> None:
    market.broker.set_faults({"duplicate_event": 1, "partial_fill": 1})
    outcome = market.sell(quantity="4")
    assert isinstance(outcome, Accepted)
    assert len(outcome.report.executions) == 2
    market.clock.forward(1)
    report = market.report(outcome)
    ids = Counter(execution.execution_id for execution in report.executions)
    assert ids == {f"{report.broker_order_id}:1": 2, f"{report.broker_order_id}:2": 1}
    assert market.cash() == Decimal(2600)


class TestOutage:
    def test_nothing_answers_and_nothing_is_accepted(self, market: Market) -> None:
        market.broker.set_faults({"fill_delay_s": 30})
        market.send(order("open", Side.SELL, quantity="1"))
        market.broker.set_faults({"outage": True})
        market.clock.forward(60)
        asked = market.broker
        questions = (
            lambda: asked.accounts(["ann"]),
            lambda: asked.assets(["SPY"]),
            lambda: asked.prices(["SPY"]),
            lambda: asked.lookup(named("open")),
            lambda: asked.cancel(named("open")),
            lambda: asked.feed(0),
        )
        for ask in questions:
            with pytest.raises(BrokerDown):
                ask()
        before = asked.read_ledger()
        assert isinstance(market.send(order("one", Side.SELL, quantity="1")), Unknown)
        assert asked.read_ledger() == before
        asked.set_faults({})
        assert set(asked.lookup(named("open", "one"))) == {"open"}
        assert market.cash() == Decimal(1400)

    def test_the_owner_may_go_on(self, market: Market) -> None:
        market.broker.set_faults({"outage": True})
        market.broker.set_prices({"SPY": Decimal(401)})
        market.broker.set_asset("SPY", tradable=False)
        market.broker.open_account("cid", "tenant", cash=Decimal(1), positions={})
        market.broker.transfer("ref", "cid", amount=Decimal(1))
        market.broker.set_status("cid", "INACTIVE")
        assert market.broker.account("cid").holdings.cash == Decimal(2)
        assert market.broker.tenant_of("cid") == "tenant"
        assert market.broker.ledger_page("tenant", after=0, limit=10) == []


def test_faults_lie_in_the_database(market: Market) -> None:
    """Another process sees them at once, and so does this one after a restart."""
    market.broker.set_faults({"outage": True})
    another = PaperBroker(market.db, lambda: OPENING)
    with pytest.raises(BrokerDown):
        another.prices(["SPY"])
    another.set_faults({})
    assert market.broker.prices(["SPY"]) == {"SPY": PRICE}
