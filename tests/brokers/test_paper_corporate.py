"""Corporate actions at the paper broker, each worked out by hand: what every holder has afterwards.

SPY costs $400, TLT $125.50; ann has $1,000 and 10 SPY, bob has $50. cat is of another tenant.
"""

from decimal import Decimal
from typing import Any, cast

import pytest

from tests.brokers.market import Market, named, order, refusal
from tests.brokers.replay import assert_same, replay
from trimtab.brokers.broker import Accepted
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.brokers.paper_corporate import Done, perform
from trimtab.brokers.paper_market import lock_market
from trimtab.core.corporate import Late, Payout, Rename, Split
from trimtab.core.errors import CorporateActionRefused, Malformed, NotFound
from trimtab.core.money import plain
from trimtab.core.run import OrderState, Side
from trimtab.database import Tx

SPLIT, REVERSE, RENAME = ActionKind.SPLIT, ActionKind.REVERSE_SPLIT, ActionKind.RENAME
DELIST, DIVIDEND = ActionKind.DELIST, ActionKind.CASH_DIVIDEND
NANO = "0.000000001"
NONE = Decimal(0)


def act(market: Market, kind: ActionKind, terms: str | None = None, **others: Any) -> Done:
    event = Event(
        kind=kind, **{"symbol": "SPY", "terms": None if terms is None else Decimal(terms), **others}
    )
    return market.broker.corporate_action(event)


def hold(market: Market, **shares: str) -> None:
    """Accounts by name, each with so many SPY and nothing else."""
    for name, quantity in shares.items():
        held = {"SPY": Decimal(quantity)}
        market.broker.open_account(name, f"tenant of {name}", cash=Decimal(0), positions=held)


def shares(market: Market, *names: str) -> list[str]:
    return [plain(market.positions(name).get("SPY", Decimal(0))) for name in names]


def balanced(market: Market) -> None:
    assert_same(replay(market.broker.read_ledger()), market.broker.read_accounts())


# kind, ratio, SPY of cat, then after it, the price, then after it
SPLITS = [
    (SPLIT, "2", ("3.5", "7"), ("400", "200")),
    (SPLIT, "1.5", ("7", "10.5"), ("400", "266.666666666666666666")),
    (SPLIT, "1.5", ("3.333333333", "4.999999999"), ("300", "200")),
    (SPLIT, "1.5", (NANO, NANO), ("300", "200")),
    (SPLIT, "3", ("0.333333333", "0.999999999"), ("100", "33.333333333333333333")),
    (REVERSE, "10", ("25", "2.5"), ("400", "4000")),
    (REVERSE, "10", ("0.123456789", "0.012345678"), ("0.000000000000000001", "0.00000000000000001")),
    (REVERSE, "10", ("0.000000009", "0"), ("400", "4000")),
    (REVERSE, "3", ("1", "0.333333333"), ("400", "1200")),
    (REVERSE, "1.5", ("10", "6.666666666"), ("400", "600")),
]


@pytest.mark.parametrize(("kind", "ratio", "held", "prices"), SPLITS)
def test_a_split_changes_every_holding_and_the_price_at_one_instant(
    market: Market, kind: ActionKind, ratio: str, *, held: tuple[str, str], prices: tuple[str, str]
) -> None:
    (before, after), (price, new_price) = held, prices
    market.broker.set_prices({"SPY": Decimal(price)})
    hold(market, cat=before)
    done = act(market, kind, ratio)
    assert shares(market, "cat") == [after]
    assert done.price == Decimal(new_price) == market.broker.prices(["SPY"])["SPY"]
    assert (done.ref, done.symbol, done.paid, done.late) == (f"{kind}:1", "SPY", NONE, None)
    assert done.accounts == (2 if before != after else 1)
    assert market.cash() == 1000
    assert market.broker.assets(["SPY"])["SPY"].pending is None
    balanced(market)


def test_a_position_of_less_than_a_billionth_of_a_share_is_gone(market: Market) -> None:
    hold(market, cat=NANO, dan="0.00000001")
    act(market, REVERSE, "10")
    assert [market.positions(name) for name in ("cat", "dan")] == [{}, {"SPY": Decimal(NANO)}]
    balanced(market)


@pytest.mark.parametrize(
    ("late", "at_first", "price_at_first"), [(Late.QUANTITY, "10", "200"), (Late.PRICE, "20", "400")]
)
def test_half_a_split_waits_for_the_same_call_and_nothing_is_traded_meanwhile(
    market: Market, late: Late, at_first: str, price_at_first: str
) -> None:
    done = act(market, SPLIT, "2", late=late)
    assert (done.late, done.price) == (late, Decimal(price_at_first))
    assert done.accounts == (0 if late is Late.QUANTITY else 1)
    assert shares(market, "ann") == [at_first]
    asset = market.broker.assets(["SPY"])["SPY"]
    assert asset.pending == Split(id="split:1", symbol="SPY", new=Decimal(2), old=Decimal(1), late=late)
    assert asset.tradable
    assert refusal(market.sell(quantity="1")) == "asset SPY has a split that is not complete"
    assert isinstance(market.buy("TLT", notional="100"), Accepted)
    balanced(market)

    for other in ((SPLIT, "3"), (REVERSE, "2"), (DELIST, None), (DIVIDEND, "1")):
        with pytest.raises(CorporateActionRefused, match=f"is not complete: its {late} is late"):
            act(market, *other)
    with pytest.raises(CorporateActionRefused):
        act(market, SPLIT, "2", late=late)
    with pytest.raises(CorporateActionRefused):
        act(market, RENAME, new_symbol="NEW")

    done = act(market, SPLIT, "2")
    assert (done.ref, done.late, done.price) == ("split:1", None, Decimal(200))
    assert shares(market, "ann") == ["20"]
    asset = market.broker.assets(["SPY"])["SPY"]
    assert asset.actions == (Split(id="split:1", symbol="SPY", new=Decimal(2), old=Decimal(1)),)
    assert isinstance(market.sell(quantity="1"), Accepted)
    balanced(market)


def test_a_late_price_comes_with_the_next_price(market: Market) -> None:
    act(market, SPLIT, "2", late=Late.PRICE)
    market.broker.set_prices({"TLT": Decimal(125)})
    assert market.broker.assets(["SPY"])["SPY"].pending is not None
    market.broker.set_prices({"SPY": Decimal(201)})
    assert market.broker.assets(["SPY"])["SPY"].pending is None
    assert market.broker.prices(["SPY"]) == {"SPY": 201}
    assert shares(market, "ann") == ["20"]


def test_a_late_quantity_waits_through_new_prices(market: Market) -> None:
    act(market, REVERSE, "10", late=Late.QUANTITY)
    market.broker.set_prices({"SPY": Decimal(4100)})
    assert market.broker.assets(["SPY"])["SPY"].pending is not None
    act(market, REVERSE, "10")
    assert (shares(market, "ann"), market.broker.prices(["SPY"])) == (["1"], {"SPY": Decimal(4100)})


def test_a_split_ends_what_is_open_after_what_was_due_is_done(market: Market) -> None:
    market.broker.set_faults({"fill_delay_s": 30})
    due = market.sell(quantity="1")
    market.clock.forward(20)
    waiting = market.sell(quantity="2")
    other = market.buy("TLT", notional="100")
    market.clock.forward(10)
    act(market, SPLIT, "3")
    assert market.report(due).state is OrderState.FILLED
    assert market.report(waiting).state is OrderState.CANCELED
    assert market.report(waiting).reason == "SPY was split"
    assert market.report(other).state is OrderState.OPEN
    assert (shares(market, "ann"), market.cash()) == (["27"], Decimal(1400))
    balanced(market)


def test_a_new_symbol_takes_everything_with_it(market: Market) -> None:
    market.broker.set_asset("SPY", depth=Decimal(1_000_000))
    market.broker.set_faults({"fill_delay_s": 30})
    asset_id = market.broker.assets(["SPY"])["SPY"].asset_id
    sent = order("open", Side.SELL, quantity="4")
    assert isinstance(market.send(sent), Accepted)
    done = act(market, RENAME, new_symbol="NEW")
    assert (done.symbol, done.price, done.accounts) == ("NEW", Decimal(400), 1)
    assert market.positions() == {"NEW": 10}
    assert market.broker.current_prices(["SPY", "NEW"]) == {"NEW": 400}
    renamed = Rename(id="rename:1", symbol="SPY", new_symbol="NEW")
    for symbol in ("SPY", "NEW"):
        asset = market.broker.assets([symbol])[symbol]
        assert (asset.symbol, asset.asset_id, asset.depth) == ("NEW", asset_id, Decimal(1_000_000))
        assert asset.actions == (renamed,)
    assert refusal(market.buy(notional="10")) == "no asset SPY"
    assert isinstance(market.send(sent), Accepted), "sent again, it is the same order"
    market.clock.forward(30)
    report = market.broker.lookup(named("open"))["open"]
    assert (report.state, report.symbol) == (OrderState.FILLED, "NEW")
    # 4 × $400 × (1 - 1,600 / 1,000,000)
    assert (market.positions(), market.cash()) == ({"NEW": Decimal(6)}, Decimal("2597.44"))
    balanced(market)


def test_a_symbol_that_was_given_up_is_nobodys_but_may_be_taken_back(market: Market) -> None:
    act(market, RENAME, new_symbol="MID")
    act(market, RENAME, symbol="MID", new_symbol="NEW")
    for symbol in ("SPY", "MID"):
        assert market.broker.assets([symbol])[symbol].symbol == "NEW"
        with pytest.raises(CorporateActionRefused, match=f"{symbol} is now NEW"):
            market.broker.set_prices({symbol: Decimal(1)})
        with pytest.raises(CorporateActionRefused, match=f"{symbol} is now NEW"):
            market.broker.set_asset(symbol, tradable=False)
        with pytest.raises(CorporateActionRefused, match=f"{symbol} is now NEW"):
            act(market, RENAME, symbol="TLT", new_symbol=symbol)
        with pytest.raises(CorporateActionRefused, match=f"{symbol} is now NEW"):
            hold_of(market, symbol)
        with pytest.raises(NotFound):
            act(market, SPLIT, "2", symbol=symbol)
    assert market.broker.current_prices(["SPY", "MID", "NEW", "TLT"]).keys() == {"NEW", "TLT"}
    act(market, RENAME, symbol="NEW", new_symbol="SPY")
    assert market.broker.assets(["SPY", "MID", "NEW"])["MID"].symbol == "SPY"
    assert market.positions() == {"SPY": 10}
    balanced(market)


def hold_of(market: Market, symbol: str) -> None:
    market.broker.open_account("dan", "tenant", cash=Decimal(0), positions={symbol: Decimal(1)})


def test_a_name_that_is_taken_is_refused(market: Market) -> None:
    hold_of(market, "UNPRICED")
    for taken in ("TLT", "UNPRICED", "SPY"):
        with pytest.raises(CorporateActionRefused, match=f"{taken} is the symbol of another asset"):
            act(market, RENAME, new_symbol=taken)
    assert market.positions() == {"SPY": 10}


def test_a_delisted_asset_stays_and_is_not_traded(market: Market) -> None:
    market.broker.set_faults({"fill_delay_s": 30})
    waiting = market.sell(quantity="2")
    done = act(market, DELIST)
    assert (done.accounts, done.paid, done.price) == (0, NONE, Decimal(400))
    assert market.report(waiting).reason == "SPY was delisted"
    assert market.positions() == {"SPY": 10}
    asset = market.broker.assets(["SPY"])["SPY"]
    assert (asset.active, asset.tradable, asset.actions) == (False, False, ())
    assert refusal(market.sell(quantity="1")) == "asset SPY is not active"
    # A later payout.
    assert act(market, DELIST, "1.25").accounts == 1
    balanced(market)


def test_a_payout_takes_every_share_for_exactly_its_price(market: Market) -> None:
    hold(market, cat=NANO)
    done = act(market, DELIST, "1.234567")
    assert (market.positions("ann"), market.positions("cat")) == ({}, {})
    assert (market.cash("ann"), market.cash("cat")) == (Decimal("1012.34567"), Decimal("0.000000001234567"))
    assert (done.accounts, done.paid) == (2, Decimal("12.345670001234567"))
    assert market.broker.assets(["SPY"])["SPY"].actions == (Payout(id="delist:1", symbol="SPY"),)
    balanced(market)


def test_what_is_worthless_is_taken_for_nothing(market: Market) -> None:
    done = act(market, DELIST, "0")
    assert (market.positions(), market.cash(), done.accounts, done.paid) == ({}, Decimal(1000), 1, NONE)
    balanced(market)


# dollars per share, who holds how much beside ann's 10, what each gets, what is paid in all
DIVIDENDS: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("1", {}, {"ann": "10"}, "10"),
    # 10, 10, 10 at $0.0333…: $0.333 each, $0.999 in all; the cent goes to the earliest of equals.
    ("0.0333", {"cat": "10", "dan": "10"}, {"ann": "0.33", "cat": "0.33", "dan": "0.33"}, "0.99"),
    ("0.0335", {"cat": "10", "dan": "10"}, {"ann": "0.34", "cat": "0.33", "dan": "0.33"}, "1"),
    # $0.10, $0.105 and $0.114 are $0.31 and $0.009: the last cent goes to the largest part of one.
    ("0.01", {"cat": "10.5", "dan": "11.4"}, {"ann": "0.10", "cat": "0.10", "dan": "0.11"}, "0.31"),
    ("0.0004", {"cat": "2"}, {}, "0"),
    ("0.0009", {"cat": "2"}, {"ann": "0.01"}, "0.01"),
]


@pytest.mark.parametrize(("amount", "holders", "parts", "paid"), DIVIDENDS)
def test_a_dividend_is_paid_in_cents_that_sum_to_the_whole(
    market: Market, amount: str, holders: dict[str, str], parts: dict[str, str], paid: str
) -> None:
    hold(market, **holders)
    done = act(market, DIVIDEND, amount)
    got = {name: market.cash(name) - (1000 if name == "ann" else 0) for name in ("ann", *holders)}
    assert {name: part for name, part in got.items() if part} == {k: Decimal(v) for k, v in parts.items()}
    assert (done.paid, done.accounts, done.price) == (Decimal(paid), len(parts), Decimal(400))
    assert market.cash("bob") == 50
    assert market.broker.assets(["SPY"])["SPY"].actions == ()
    balanced(market)


def test_a_hundred_accounts_get_no_cent_more_or_less(market: Market) -> None:
    """Odd cents: 1 to 100 shares at $0.3333, and ann's 10, are 5,060 shares and $1,686.498."""
    hold(market, **{f"holder-{n:03}": str(n) for n in range(1, 101)})
    done = act(market, DIVIDEND, "0.3333")
    got = {n: market.cash(f"holder-{n:03}") for n in range(1, 101)}
    assert done.paid == Decimal("1686.49") == sum(got.values()) + market.cash() - 1000
    for n, part in got.items():
        assert abs(part - n * Decimal("0.3333")) < Decimal("0.011")
        assert part == round(part, 2)
    balanced(market)


def test_what_changed_is_in_the_feed_and_a_dividend_is_no_transfer(market: Market) -> None:
    hold(market, cat="1")
    cursor = market.broker.feed(0).cursor
    for kind, terms, others in (
        (SPLIT, "2", {}),
        (RENAME, None, {"new_symbol": "NEW"}),
        (DIVIDEND, "0.5", {"symbol": "NEW"}),
        (DELIST, "1", {"symbol": "NEW"}),
    ):
        act(market, kind, terms, **others)
        news = market.broker.feed(cursor)
        assert (news.changed, news.transfers) == (frozenset({"ann", "cat"}), ())
        cursor = news.cursor
    act(market, SPLIT, "2", symbol="TLT", late=Late.QUANTITY)
    assert market.broker.feed(cursor).changed == frozenset()


REFUSED: list[tuple[ActionKind, str | None, dict[str, Any], str]] = [
    (SPLIT, "1", {}, "ratio"),
    (SPLIT, "0.5", {}, "ratio"),
    (REVERSE, "10000.1", {}, "ratio"),
    (SPLIT, "1.0000000001", {}, "ratio"),
    (DELIST, "-0.01", {}, "cash_per_share"),
    (DELIST, "1000000000", {}, "cash_per_share"),
    (DIVIDEND, "0", {}, "amount"),
    (DIVIDEND, "1000000000", {}, "amount"),
    # The price would leave what a price may be, upwards and downwards.
    (REVERSE, "10000", {"symbol": "DEAR"}, "ratio"),
    (SPLIT, "2", {"symbol": "CHEAP"}, "ratio"),
    (SPLIT, "10000", {"symbol": "MANY"}, "ratio"),
]


@pytest.mark.parametrize(("kind", "terms", "others", "path"), REFUSED)
def test_terms_that_cannot_be_are_refused_and_nothing_has_happened(
    market: Market, kind: ActionKind, terms: str, others: dict[str, Any], path: str
) -> None:
    prices = {"DEAR": Decimal(999_999_999), "CHEAP": Decimal("1e-18"), "MANY": Decimal(1)}
    market.broker.set_prices(prices)
    market.broker.open_account(
        "eve", "tenant", cash=Decimal(0), positions={**dict.fromkeys(prices, Decimal(10) ** 15)}
    )
    ledger, accounts = market.broker.read_ledger(), market.broker.read_accounts()
    with pytest.raises(Malformed) as refused:
        act(market, kind, terms, **others)
    assert refused.value.path == path
    assert (market.broker.read_ledger(), market.broker.read_accounts()) == (ledger, accounts)
    assert all(not asset.actions for asset in market.broker.assets(["SPY", *prices]).values())


def test_an_unknown_asset_is_not_found(market: Market) -> None:
    with pytest.raises(NotFound):
        act(market, SPLIT, "2", symbol="NONE")


def test_an_asset_that_was_never_priced_splits_too(market: Market) -> None:
    market.broker.set_asset("NEW", tradable=True)
    hold_of(market, "NEW")
    assert act(market, SPLIT, "3", symbol="NEW").price is None
    assert market.positions("dan") == {"NEW": 3}


class PowerCut(Exception):
    pass


class Dying:
    """A transaction that dies before its write number `last`."""

    def __init__(self, tx: Tx, last: int) -> None:
        self._tx = tx
        self._left = last

    def __getattr__(self, name: str) -> Any:
        if name in {"execute", "many", "insert"}:
            if self._left == 0:
                raise PowerCut
            self._left -= 1
        return getattr(self._tx, name)


def die_in(market: Market, event: Event, *, last: int) -> bool:
    """Whether the power was cut before it was done."""
    now = market.clock.now

    def work(tx: Tx) -> None:
        perform(cast("Tx", Dying(tx, last)), lock_market(tx, now), event)

    try:
        market.db.write(work)
    except PowerCut:
        return True
    return False


CRASHES = [
    (Event(kind=SPLIT, symbol="SPY", terms=Decimal("1.5")), {"SPY": "13.5"}, {"SPY": "2.25"}),
    (Event(kind=RENAME, symbol="SPY", new_symbol="NEW"), {"NEW": "9"}, {"NEW": "1.5"}),
    (Event(kind=DELIST, symbol="SPY", terms=Decimal(2)), {}, {}),
    (Event(kind=DIVIDEND, symbol="SPY", terms=Decimal(2)), {"SPY": "9"}, {"SPY": "1.5"}),
]


@pytest.mark.parametrize(("event", "ann", "cat"), [pytest.param(*case, id=case[0].kind) for case in CRASHES])
def test_a_crash_in_the_middle_leaves_nothing_of_it(
    market: Market, event: Event, ann: dict[str, str], cat: dict[str, str]
) -> None:
    """The power is cut before each of its writes in turn; asked again, it is done once. An order of ann's
    to sell one SPY is due and another is open.
    """
    hold(market, cat="1.5")
    market.broker.set_faults({"fill_delay_s": 30})
    market.sell(quantity="1")
    market.clock.forward(30)
    market.sell(quantity="1")
    ledger, accounts = market.broker.read_ledger(), market.broker.read_accounts()
    deaths = 0
    while die_in(market, event, last=deaths):
        deaths += 1
        assert (market.broker.read_ledger(), market.broker.read_accounts()) == (ledger, accounts)
        assert market.broker.assets(["SPY"])["SPY"].symbol == "SPY"
        ledger, accounts = market.broker.read_ledger(), market.broker.read_accounts()
    assert deaths >= 5
    assert market.positions("ann") == {key: Decimal(value) for key, value in ann.items()}
    assert market.positions("cat") == {key: Decimal(value) for key, value in cat.items()}
    balanced(market)
