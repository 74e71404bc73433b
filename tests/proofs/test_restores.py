"""Old copies put back while runs are under way, and the broker has gone on."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests import postgres
from tests.proofs.books import AT_ANY_MOMENT, broken, instant, off_target, read_tables
from tests.proofs.clients import at_work
from tests.proofs.exchange import BAD, FAIR
from tests.proofs.lives import Nest
from tests.proofs.stage import Stage, open_stage

PutBack = Callable[[], None]
Copying = Callable[[Stage], PutBack]

DRILLS = 20
ACCOUNTS = 9
WATCHED_S = 5
# Orders are open for seconds, so that the copy has runs in all states.
UNSETTLED = replace(BAD, orders=0.05, waits=0.9, slow_s=2)


def copy_file(stage: Stage) -> PutBack:
    """`trimtab backup`, beside the running server; returns what puts the copy in its place."""
    database = Path(stage.database_url.removeprefix("sqlite:///"))
    copy = database.with_name("copy.db")
    stage.lives.command("backup", str(copy))

    def put_back() -> None:
        for path in (database, *(database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
        copy.rename(database)

    return put_back


def copy_database(stage: Stage) -> PutBack:
    """A copy by the server itself, while nobody is connected; returns what puts it in its place."""
    stage.lives.kill()
    url = urlsplit(stage.database_url)
    name = postgres.database_name(stage.database_url)
    with psycopg.connect(url._replace(path="/postgres").geturl(), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        postgres.create_database(admin, f"{name}_copy", template=name)
    stage.lives.begin()

    def put_back() -> None:
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        with psycopg.connect(url._replace(path="/postgres").geturl(), autocommit=True) as admin:
            postgres.drop_database(admin, name)
            admin.execute(rename.format(sql.Identifier(f"{name}_copy"), sql.Identifier(name)))
        stage.lives.command("freeze", "--restored")

    return put_back


def live_on(stage: Stage, copy: Copying, chance: Random) -> PutBack:
    """Copy at one moment and die at another; what puts the copy in its place."""
    stage.exchange.weather = UNSETTLED
    stage.lives.begin()
    with at_work(stage.office, 1):
        # Portfolios that the copy has never heard of could not be changed afterwards.
        stage.wait_for(lambda: all(client.rounds for client in stage.office.clients))
        time.sleep(chance.uniform(0, 4))
        put_back = copy(stage)
        time.sleep(chance.uniform(0, 6))
        stage.lives.kill()
    return put_back


def come_back(stage: Stage) -> float:
    """Begin from the copy; how many seconds later everything was compared and the freeze had ended."""
    copied = read_tables(stage.database_url)
    assert [row["reason"][:8] for row in copied["freezes"]] == ["restored"]
    sent: list[datetime] = []
    stage.exchange.on_order = lambda: sent.append(datetime.now(UTC))
    began_at = datetime.now(UTC)
    stage.lives.begin()
    stage.wait_for(lambda: not read_tables(stage.database_url)["freezes"])
    (restore,) = read_tables(stage.database_url)["restores"]
    lifted_at = instant(restore["reconciled_at"])
    assert [at for at in sent if at < lifted_at] == []
    return (lifted_at - began_at).total_seconds()


def go_on(stage: Stage) -> None:
    """Every run ends, and then every account comes to new targets."""
    stage.exchange.weather = FAIR
    stage.wait_for(lambda: not open_runs(stage))
    for client in stage.office.clients:
        client.rounds = 0
        runs = read_tables(stage.database_url)["runs"]
        client.named |= {run["id"]: {} for run in runs if run["account_id"] == client.account_id}
    stage.office = replace(stage.office, enough=threading.Event(), stopping=threading.Event())
    with at_work(stage.office, 1) as threads:
        stage.await_clients(threads)
    # What was due when the copy was made may have come in between, and then the targets come after it.
    stage.wait_for(lambda: not astray(stage))


def open_runs(stage: Stage) -> list[str]:
    return [row["id"] for row in read_tables(stage.database_url)["runs"] if row["finished_at"] is None]


def astray(stage: Stage) -> list[str]:
    """What runs are open, and which accounts are not where their clients wanted them last."""
    books = stage.books()
    wanted = {client.account_id: client.targets for client in stage.office.clients}
    off = {each: list(off_target(books.ends[each], wanted[each], books.prices)) for each in wanted}
    return open_runs(stage) + [f"account {each}: {what}" for each, what in off.items() if what]


def drill(stage: Stage, copy: Copying, seed: int) -> str:
    """One line of what happened, or an AssertionError."""
    put_back = live_on(stage, copy, Random(seed))
    put_back()
    copied = read_tables(stage.database_url)
    unfinished = len(open_runs(stage))
    forgotten = len(stage.exchange.orders) - len(copied["orders"])
    seconds = come_back(stage)
    go_on(stage)
    stage.lives.kill()
    found = broken(stage.books(forgets=True))
    line = (
        f"drill {seed}: {unfinished} open runs in the copy, {forgotten} orders that it did not know, compared"
        f" after {seconds:.1f} s: {len(found)} findings"
    )
    assert found == [], line
    assert stage.lives.unforeseen() == ""
    return line


@pytest.fixture
def copying(database_url: str) -> Copying:
    return copy_file if database_url.startswith("sqlite") else copy_database


def test_an_old_copy_moves_nothing_before_it_was_compared_and_orders_nothing_again(
    nest: Nest, tmp_path: Path, database_url: str, copying: Copying
) -> None:
    """Only its beginning: an account that is not what the copy remembers waits a minute for its next plan."""
    with open_stage(nest, tmp_path, database_url, accounts=ACCOUNTS, seed=1) as stage:
        live_on(stage, copying, Random(1))()
        come_back(stage)
        time.sleep(WATCHED_S)
        stage.lives.kill()
        assert broken(stage.books(forgets=True), AT_ANY_MOMENT) == []
        assert stage.lives.unforeseen() == ""


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2, 2 + DRILLS))
def test_old_copies_of_many_moments(
    nest: Nest,
    tmp_path: Path,
    database_url: str,
    copying: Copying,
    seed: int,
) -> None:
    with open_stage(nest, tmp_path, database_url, accounts=ACCOUNTS, seed=seed) as stage:
        print(drill(stage, copying, seed))  # noqa: T201 - the figures
