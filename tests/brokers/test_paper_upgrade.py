"""Tables of an earlier version are upgraded in place, also by several processes at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from types import ModuleType

import pytest

from tests.brokers import paper_v1, paper_v2, paper_v3
from tests.brokers.market import OPENING, TABLES, named, order
from tests.brokers.replay import assert_same, replay
from trimtab.brokers.broker import Accepted
from trimtab.brokers.paper import PaperBroker
from trimtab.brokers.paper_actions import ActionKind, Event
from trimtab.brokers.paper_events import head, read_events
from trimtab.brokers.paper_schema import SCHEMA, prepare
from trimtab.brokers.paper_trading import read_positions
from trimtab.core import ulid
from trimtab.core.run import OrderState, Side
from trimtab.database import Database, open_database

COLUMNS = {
    "sqlite": "SELECT m.name AS place, i.name AS name, lower(i.type) AS type FROM sqlite_master AS m, "
    "pragma_table_info(m.name) AS i WHERE m.type = 'table'",
    "postgres": "SELECT table_name AS place, column_name AS name, data_type AS type "
    "FROM information_schema.columns WHERE table_schema = 'paper'",
}


@pytest.fixture
def unprepared(paper_url: str) -> Iterator[Database]:
    with closing(open_database(paper_url, schema=SCHEMA)) as opened:
        yield opened


def columns(db: Database) -> set[tuple[str, str, str]]:
    rows = db.read(lambda tx: tx.rows(COLUMNS[db.dialect]))
    return {(row["place"], row["name"], row["type"]) for row in rows}


def test_nothing_is_lost_and_what_was_open_goes_on(unprepared: Database) -> None:
    paper_v1.make(unprepared)
    prepare(unprepared)
    assert OPENING.timestamp() * 10**6 == paper_v1.AT
    broker = PaperBroker(unprepared, lambda: OPENING + timedelta(seconds=29))
    assert_same(replay(broker.read_ledger()), broker.read_accounts())
    assert broker.assets(["SPY"])["SPY"].depth is None
    assert isinstance(broker.submit([order("open", Side.SELL, quantity="2")])[0], Accepted), "the same body"
    later = PaperBroker(unprepared, lambda: OPENING + timedelta(seconds=30))
    states = {key: report.state for key, report in later.lookup(named("filled", "open")).items()}
    assert states == {"filled": OrderState.FILLED, "open": OrderState.FILLED}
    assert later.account("ann").holdings.cash == Decimal(1400)
    bounded = order("new", Side.SELL, quantity="1", worst_price="400.01", impact_bps_max="1")
    assert later.submit([bounded]) == later.submit([bounded])
    assert later.lookup(named("new"))["new"].state is OrderState.CANCELED
    assert later.set_asset("SPY", depth=Decimal(1000)).depth == Decimal(1000)


def test_what_version_2_knew_is_kept_and_splits_as_if_it_had_always_been_there(unprepared: Database) -> None:
    paper_v2.make(unprepared)
    prepare(unprepared)
    broker = PaperBroker(unprepared, lambda: OPENING)
    assert broker.assets(["SPY"])["SPY"].depth == Decimal(1_000_000)
    bounded = order("open", Side.SELL, quantity="2", worst_price="390")
    assert isinstance(broker.submit([bounded])[0], Accepted), "the same body"
    done = broker.corporate_action(Event(kind=ActionKind.SPLIT, symbol="SPY", terms=Decimal(2)))
    assert (done.accounts, done.price) == (1, Decimal(200))
    assert broker.account("ann").holdings.positions == {"SPY": Decimal(20)}
    assert broker.lookup(named("open"))["open"].reason == "SPY was split"
    assert_same(replay(broker.read_ledger()), broker.read_accounts())


def test_what_version_3_knew_is_kept_and_its_events_begin_with_the_upgrade(unprepared: Database) -> None:
    paper_v3.make(unprepared)
    prepare(unprepared)
    broker = PaperBroker(unprepared, lambda: OPENING)
    beginning = broker.ask(head)
    assert ulid.number_in(beginning) == ulid.first_of(OPENING) + len(broker.read_ledger())
    accepted = broker.submit([order("new", Side.SELL, quantity="1")])[0]
    assert isinstance(accepted, Accepted)
    told = broker.ask(lambda tx: read_events(tx, "tenant", after=ulid.text_of(0), upto=head(tx), limit=9))
    assert {event.order.client_order_id for event in told} == {"new"}
    positions = broker.ask(lambda tx: read_positions(tx, "ann", now=OPENING))
    assert [position.listing.asset.symbol for position in positions] == ["SPY"]
    assert_same(replay(broker.read_ledger()), broker.read_accounts())


@pytest.mark.parametrize(
    "earlier", [paper_v1, paper_v2, paper_v3], ids=["version 1", "version 2", "version 3"]
)
def test_upgraded_tables_are_like_new_ones(unprepared: Database, earlier: ModuleType) -> None:
    prepare(unprepared)
    new = columns(unprepared)
    if unprepared.dialect == "postgres":
        unprepared.write(lambda tx: tx.execute(f"DROP SCHEMA {SCHEMA} CASCADE"))
    else:
        for table in TABLES:
            unprepared.write(lambda tx, table=table: tx.execute(f"DROP TABLE {table}"))  # type: ignore[misc]
    earlier.make(unprepared)
    assert columns(unprepared) < new
    prepare(unprepared)
    assert columns(unprepared) == new


@pytest.mark.parametrize("is_there", [False, True], ids=["nothing is there", "version 1 is there"])
def test_several_processes_prepare_at_once(unprepared: Database, paper_url: str, *, is_there: bool) -> None:
    if is_there:
        paper_v1.make(unprepared)

    def start() -> int:
        with closing(open_database(paper_url, schema=SCHEMA)) as own:
            prepare(own)
            return len(PaperBroker(own, lambda: OPENING).read_accounts())

    with ThreadPoolExecutor(6) as pool:
        accounts = [started.result() for started in [pool.submit(start) for _ in range(6)]]
    assert accounts == [int(is_there)] * 6
