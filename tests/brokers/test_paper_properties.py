"""Whatever is done to the paper market, its books balance; whoever shares it, its ledger has an order."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.brokers.market import OPENING, TABLES, Clock, Market, named, order
from tests.brokers.replay import NANO, assert_same, replay
from trimtab.brokers.broker import Unknown
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.brokers.paper_orders import read_orders
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.core.corporate import Late
from trimtab.core.errors import BrokerDown, CorporateActionRefused, InsufficientCash, NotFound
from trimtab.core.run import Side
from trimtab.database import Database, open_database

ACCOUNTS = ("ann", "bob")
SYMBOLS = ("SPY", "TLT")
NAMES = (*SYMBOLS, "NEW")
WRITERS = 3
ROUNDS = 15
IDS = [f"order-{n}" for n in range(12)]

amounts = st.one_of(
    st.decimals("0.000000001", "12", places=9).map(lambda d: {"quantity": str(d)}),
    st.decimals("0.01", "1500", places=2).map(lambda d: {"notional": str(d)}),
)
limits = st.fixed_dictionaries(
    {
        "worst_price": st.none() | st.decimals("50", "900", places=3).map(str),
        "impact_bps_max": st.none() | st.sampled_from(["0", "50", "1000"]),
    }
)
orders = st.builds(
    lambda client_order_id, side, symbol, account_id, amount, bounds: order(
        client_order_id, side, symbol=symbol, account_id=account_id, **amount, **bounds
    ),
    st.sampled_from(IDS),
    st.sampled_from(Side),
    st.sampled_from(SYMBOLS),
    st.sampled_from(ACCOUNTS),
    amounts,
    limits,
)
fractions = st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(1)])
faults = st.fixed_dictionaries(
    {},
    optional={
        "reject": st.lists(st.sampled_from(SYMBOLS), max_size=1),
        "partial_fill": fractions,
        "fill_delay_s": st.sampled_from([0, 1, 30]),
        "lost_reply": fractions,
        "duplicate_event": fractions,
        "outage": st.booleans(),
        "seed": st.integers(0, 3),
    },
)
calls = st.one_of(
    st.tuples(st.just("submit"), st.lists(orders, min_size=1, max_size=6)),
    st.tuples(st.just("submit"), st.lists(orders, min_size=1, max_size=6)),
    st.tuples(st.just("cancel"), st.lists(st.sampled_from(IDS), max_size=3)),
    st.tuples(st.just("look"), st.none()),
    st.tuples(st.just("faults"), faults),
    st.tuples(st.just("forward"), st.sampled_from([0.5, 1, 30])),
    st.tuples(
        st.just("transfer"),
        st.tuples(st.sampled_from(ACCOUNTS), st.decimals("-900", "900", places=2).filter(bool)),
    ),
    st.tuples(
        st.just("status"),
        st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(["ACTIVE", "INACTIVE", "ACCOUNT_CLOSED"])),
    ),
    st.tuples(st.just("asset"), st.tuples(st.sampled_from(SYMBOLS), st.booleans(), st.booleans())),
)
depths = st.tuples(
    st.just("depth"),
    st.tuples(
        st.sampled_from(SYMBOLS),
        st.just("endless") | st.sampled_from(["0.01", "700", "33333.33", "1000000"]).map(Decimal),
    ),
)
moves = st.one_of(
    depths,
    st.tuples(
        st.just("prices"),
        st.fixed_dictionaries({symbol: st.decimals("0.01", "900", places=4) for symbol in SYMBOLS}),
    ),
)


ratios = st.sampled_from(["2", "1.5", "3", "1.000000001", "7.3"]).map(Decimal)
actions = st.one_of(
    st.builds(
        Event,
        kind=st.sampled_from([ActionKind.SPLIT, ActionKind.REVERSE_SPLIT]),
        symbol=st.sampled_from(NAMES),
        terms=ratios,
        late=st.sampled_from([None, None, *Late]),
    ),
    st.builds(
        Event,
        kind=st.just(ActionKind.RENAME),
        symbol=st.sampled_from(NAMES),
        new_symbol=st.sampled_from(NAMES),
    ),
    st.builds(
        Event,
        kind=st.just(ActionKind.DELIST),
        symbol=st.sampled_from(NAMES),
        terms=st.none() | st.sampled_from(["0", "1.23", "400"]).map(Decimal),
    ),
    st.builds(
        Event,
        kind=st.just(ActionKind.CASH_DIVIDEND),
        symbol=st.sampled_from(NAMES),
        terms=st.sampled_from(["0.005", "0.333333", "2"]).map(Decimal),
    ),
).map(lambda event: ("action", event))


def do(market: Market, call: str, what: Any, ref: str) -> None:
    broker = market.broker
    match call:
        case "action":
            broker.corporate_action(what)
        case "submit":
            broker.submit(what)
        case "cancel":
            broker.cancel(named(*what))
        case "look":
            broker.lookup(named(*IDS))
        case "faults":
            broker.set_faults(what)
        case "forward":
            market.clock.forward(what)
        case "transfer":
            broker.transfer(ref, what[0], amount=what[1])
        case "status":
            broker.set_status(*what)
        case "asset":
            broker.set_asset(what[0], tradable=what[1], fractionable=what[2])
        case "depth":
            broker.set_asset(what[0], depth=what[1])
        case "prices":
            broker.set_prices(what)


def do_all(market: Market, script: list[tuple[str, Any]]) -> None:
    for number, (call, what) in enumerate(script):
        try:
            do(market, call, what, f"ref-{number}")
        except (BrokerDown, CorporateActionRefused, InsufficientCash, NotFound):
            continue


def empty(db: Database) -> Database:
    """The same database without what the last example left in it."""
    if db.dialect == "postgres":
        db.write(lambda tx: tx.execute(f"DROP SCHEMA {SCHEMA} CASCADE"))
    else:
        for table in TABLES:
            db.write(lambda tx, table=table: tx.execute(f"DROP TABLE {table}"))  # type: ignore[misc]
    prepare(db)
    return db


def assert_books_balance(market: Market) -> None:
    replayed = replay(market.broker.read_ledger())
    assert_same(replayed, market.broker.read_accounts())
    market.broker.set_faults({})
    for client_order_id, report in market.broker.lookup(named(*IDS)).items():
        # The question itself may have matched what was due.
        replayed = replay(market.broker.read_ledger())
        known = replayed.orders[client_order_id]
        assert report.state == known.state
        assert sum(execution.quantity for execution in report.executions) == known.filled
    assert_same(replayed, market.broker.read_accounts())
    assert_nothing_beyond_its_limit(market)


def assert_nothing_beyond_its_limit(market: Market) -> None:
    placed = market.db.read(lambda tx: read_orders(tx, IDS))
    for entry in market.broker.read_ledger():
        if entry.kind == "executed":
            worst = placed[entry.client_order_id or ""].worst_price
            if worst is not None and entry.price is not None:
                assert entry.price <= worst if entry.side == "buy" else entry.price >= worst


suite = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@suite
@given(script=st.lists(st.one_of(calls, moves), max_size=25))
def test_the_books_balance_whatever_happens(paper_database: Database, script: list[tuple[str, Any]]) -> None:
    market = Market(empty(paper_database))
    do_all(market, script)
    assert_books_balance(market)


@suite
@given(script=st.lists(st.one_of(calls, moves, actions), max_size=25))
def test_the_books_balance_through_corporate_actions(
    paper_database: Database, script: list[tuple[str, Any]]
) -> None:
    market = Market(empty(paper_database))
    do_all(market, script)
    assert_books_balance(market)


@suite
@given(script=st.lists(st.one_of(calls, actions), max_size=20), event=actions)
def test_a_split_leaves_what_an_account_is_worth(
    paper_database: Database, script: list[tuple[str, Any]], event: tuple[str, Event]
) -> None:
    """But for less than a billionth of a share, and for what a price loses after its 18th place."""
    asked = replace(event[1], late=None)
    market = Market(empty(paper_database))
    do_all(market, [*script, ("faults", {})])
    market.broker.lookup(named(*IDS))
    priced = market.broker.current_prices([asked.symbol])
    before = {key: account.holdings for key, account in market.broker.read_accounts().items()}
    try:
        done = market.broker.corporate_action(asked)
    except (CorporateActionRefused, NotFound):
        return
    after = {key: account.holdings for key, account in market.broker.read_accounts().items()}
    paid = sum((after[key].cash - before[key].cash for key in after), Decimal(0))
    assert paid == done.paid
    price = done.price
    if asked.kind not in {ActionKind.SPLIT, ActionKind.REVERSE_SPLIT} or asked.symbol not in priced:
        return
    assert price is not None
    if price == priced[asked.symbol]:
        return  # It completed one whose price had come before.
    for key, held in before.items():
        shares = held.positions.get(asked.symbol, Decimal(0))
        now = after[key].positions.get(asked.symbol, Decimal(0))
        if now == shares:
            continue
        lost = shares * priced[asked.symbol] - now * price
        assert 0 <= lost <= price * NANO + now * Decimal("1e-18")


@suite
@given(script=st.lists(calls, max_size=25))
def test_trades_at_fixed_prices_keep_equity(paper_database: Database, script: list[tuple[str, Any]]) -> None:
    market = Market(empty(paper_database))
    do_all(market, script)
    market.broker.set_faults({})
    prices = market.broker.prices(SYMBOLS)
    paid_in = {"ann": Decimal(5000), "bob": Decimal(50)}
    for transfer in market.broker.feed(0).transfers:
        paid_in[transfer.account_id] += transfer.amount
    for account_id, account in market.broker.accounts(ACCOUNTS).items():
        worth = sum(quantity * prices[s] for s, quantity in account.holdings.positions.items())
        assert account.holdings.cash + worth == paid_in[account_id]


@suite
@given(script=st.lists(st.one_of(calls, depths), max_size=25))
def test_depth_only_ever_costs_the_trader(paper_database: Database, script: list[tuple[str, Any]]) -> None:
    """What is missing at the end is what each share traded at, beside the price that stood still."""
    market = Market(empty(paper_database))
    do_all(market, script)
    market.broker.set_faults({})
    prices = market.broker.prices(SYMBOLS)
    worth = {"ann": Decimal(5000), "bob": Decimal(50)}
    for entry in market.broker.read_ledger():
        if entry.kind == "transfer" and entry.amount is not None:
            worth[entry.account_id] += entry.amount
        if entry.kind == "executed" and entry.quantity is not None and entry.price is not None:
            fair = prices[entry.symbol or ""]
            worse_by = entry.price - fair if entry.side == "buy" else fair - entry.price
            assert worse_by >= 0
            worth[entry.account_id] -= worse_by * entry.quantity
    for account_id, account in market.broker.accounts(ACCOUNTS).items():
        held = sum(quantity * prices[s] for s, quantity in account.holdings.positions.items())
        assert account.holdings.cash + held == worth[account_id]


@suite
@given(script=st.lists(st.one_of(calls, moves), max_size=15))
def test_the_same_script_has_the_same_result(paper_database: Database, script: list[tuple[str, Any]]) -> None:
    ledgers = []
    for _ in range(2):
        market = Market(empty(paper_database))
        do_all(market, script)
        ledgers.append(market.broker.read_ledger())
    assert ledgers[0] == ledgers[1]


def test_batches_do_not_change_who_is_hit(paper_database: Database) -> None:
    """Chance belongs to the order, not to the call it came with."""
    sent = [order(f"order-{n}", Side.SELL, quantity="0.5") for n in range(20)]
    hit = []
    for size in (1, 7, 20):
        market = Market(empty(paper_database))
        half = Decimal("0.5")
        market.broker.set_faults({"lost_reply": half, "partial_fill": half, "seed": 3})
        outcomes = [
            outcome for i in range(0, 20, size) for outcome in market.broker.submit(sent[i : i + size])
        ]
        reports = market.broker.lookup(sent)
        hit.append(
            [
                (isinstance(outcome, Unknown), len(reports[sent_order.client_order_id].executions))
                for outcome, sent_order in zip(outcomes, sent, strict=True)
            ]
        )
        open_now = [client_order_id for client_order_id, r in reports.items() if r.state.is_open]
        assert 0 < len(open_now) < 20
    assert hit[0] == hit[1] == hit[2]
    assert 0 < sum(lost for lost, _ in hit[0]) < 20


def trade(url: str, writer: int) -> None:
    """What one process does: sell, buy, send one order that all of them send, and pay in."""
    db = open_database(url, schema=SCHEMA)
    broker = PaperBroker(db, Clock(OPENING))
    for n in range(ROUNDS):
        name = f"{writer}-{n}"
        broker.submit(
            [
                order(f"sell-{name}", Side.SELL, quantity="0.1"),
                order(f"buy-{name}", Side.BUY, symbol="TLT", notional="40"),
                order("same", Side.BUY, notional="1"),
            ]
        )
        broker.transfer(name, "bob", amount=Decimal(1))
    db.close()


def follow(broker: PaperBroker, done: threading.Event) -> list[str]:
    """The transfers that a reader sees who asks again and again from where it was."""
    seen: list[str] = []
    cursor = 0
    while True:
        is_last = done.is_set()
        news = broker.feed(cursor)
        seen += [transfer.ref for transfer in news.transfers]
        cursor = news.cursor
        if is_last:
            return seen


def test_several_processes_share_one_market(paper_database: Database, paper_url: str) -> None:
    market = Market(paper_database)
    done = threading.Event()
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(follow, market.broker, done)
        writers = [pool.submit(trade, paper_url, writer) for writer in range(WRITERS)]
        try:
            for finished in writers:
                finished.result()
        finally:
            done.set()
    ledger = market.broker.read_ledger()
    replayed = replay(ledger)
    assert_same(replayed, market.broker.read_accounts())
    assert len(replayed.orders) == WRITERS * ROUNDS * 2 + 1
    transfers = [entry.ref for entry in ledger if entry.kind == "transfer"]
    assert len(transfers) == WRITERS * ROUNDS
    assert reader.result() == transfers, "the feed misses nothing and repeats nothing"
