"""Streams whose reader, server or database fails: what was missed comes after the last id, once, in order."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.api import hasty_server
from tests.api.conftest import KINDS, Databases, NewWorld, StartServer
from tests.api.reader import Frame, following, told, until_now
from tests.api.servers import ENDS_WITHIN_S, NO_TLS, Server, answers_with, respawn, running
from tests.api.world import World, weights
from trimtab.boot import open_paper_database, wall_clock
from trimtab.brokers.paper import PaperBroker
from trimtab.database import Tx
from trimtab.settings import load_settings
from trimtab.store import outbox, strategies

HASTY = (str(Path(hasty_server.__file__)),)
WHOLE_RUN = ["run.created QUEUED", "run.status_changed IN_PROGRESS", "run.status_changed COMPLETED_SUCCESS"]
# Each event of a portfolio with this description is 24 kB long: all together are more than lies between two
# sockets, on either side.
LONG = "😀" * 2000
MANY = 600
ROUNDS = 6
ACCOUNT = "6f1d6c1e-5c55-4f0e-9d4a-7a1f5f0d8b21"


@pytest.fixture
def hasty(start_server: StartServer, new_world: NewWorld) -> World:
    """A tenant at a server without patience."""
    world = new_world(start_server("sqlite", HASTY))
    world.open_market()
    return world


def a_run(world: World) -> str:
    return world.run(world.account("1000"), weights(SPY="100"))


def much(world: World) -> None:
    """Leave more to the publisher than a connection holds."""
    portfolio = world.portfolio(weights(SPY="100"))

    def leave(tx: Tx) -> None:
        strategy = replace(strategies.heads(tx, [portfolio])[portfolio], description=LONG)
        for _ in range(10):
            outbox.put(tx, [outbox.of_strategy(strategy)] * (MANY // 10))

    world.db.write(leave)


def until_logged(server: Server, text: str) -> None:
    """Wait until the server has written this to its log."""
    tick = threading.Event()
    for _ in range(2000):
        if text in server.log.read_text():
            return
        tick.wait(0.01)
    raise AssertionError(f"{text!r} was not logged")


def test_who_hears_nothing_knows_that_the_stream_lives(hasty: World) -> None:
    with following(hasty) as reader:
        blocks = reader.blocks()
        assert [next(blocks) for _ in range(5)] == [":heartbeat"] * 5
        a_run(hasty)
        assert told([reader.next()]) == WHOLE_RUN[:1]


def test_of_a_failure_the_reader_is_told_and_goes_on_later(hasty: World) -> None:
    order = hasty.server.log.parent / hasty_server.ORDER
    with following(hasty) as reader:
        a_run(hasty)
        last = reader.next()
        order.touch()
        hasty.settle()
        assert list(reader.frames()) == []
        assert reader.comments[-1] == " internal server error"
    assert "LookupError: as ordered" in hasty.server.unforeseen()
    order.unlink()
    with following(hasty, last_event_id=last.id) as reader:
        assert told(reader.take(2)) == WHOLE_RUN[1:]


def test_a_slow_reader_is_cut_off_and_goes_on_without_loss(hasty: World) -> None:
    much(hasty)
    everything = until_now(hasty)
    assert len(everything) == MANY
    with following(hasty, since="2000-01-01") as reader:
        until_logged(hasty.server, f"a reader of key {hasty.key.key_id} was too slow")
        taken = list(reader.frames())
    assert 0 < len(taken) < MANY
    with following(hasty, last_event_id=taken[-1].id, until_id=everything[-1].id) as reader:
        assert taken + list(reader.frames()) == everything
    assert hasty.server.unforeseen() == ""


def test_who_reads_slowly_keeps_nobody_else_waiting(hasty: World) -> None:
    much(hasty)
    with following(hasty, since="2000-01-01"), following(hasty) as other:
        a_run(hasty)
        hasty.settle()
        assert told(other.take(3)) == WHOLE_RUN


# The end of a server.


def test_a_server_that_is_told_to_end_ends_its_streams(
    start_server: StartServer, new_world: NewWorld
) -> None:
    world = new_world(start_server("sqlite"))
    world.open_market()
    with following(world) as one, following(world, since="2000-01-01") as two:
        a_run(world)
        assert told([one.next(), two.next()]) == WHOLE_RUN[:1] * 2
        world.worth.clear()
        world.server.process.terminate()
        assert (list(one.frames()), list(two.frames())) == ([], [])
        assert world.server.process.wait(timeout=ENDS_WITHIN_S) == 0


def test_a_reader_who_takes_nothing_does_not_keep_a_server(hasty: World) -> None:
    much(hasty)
    with following(hasty, since="2000-01-01"):
        until_logged(hasty.server, "was too slow")
        hasty.server.process.terminate()
        assert hasty.server.process.wait(timeout=ENDS_WITHIN_S) == 0
    assert "stopped, with answers left that nobody took" in hasty.server.log.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_misses_nothing_through_kills_of_the_server(
    kind: str, start_server: StartServer, new_world: NewWorld
) -> None:
    """It is killed at different moments of a settle, and the reader comes back with its last id."""
    world = new_world(start_server(kind))
    world.open_market()
    taken: list[Frame] = []
    for round_ in range(ROUNDS):
        last_event_id = taken[-1].id if taken else "0" * 26
        with following(world, last_event_id=last_event_id) as reader, ThreadPoolExecutor(1) as pool:
            a_run(world)
            taken.append(reader.next())
            pool.submit(world.settle)
            taken += reader.take(round_ % 3)
            world.server.process.kill()
            with suppress(httpx.TransportError):
                taken += reader.frames()
        world.server.process.wait()
        respawn(world.server)
        assert answers_with(world.server, httpx.codes.OK)
    world.settle()
    everything = until_now(world)
    with following(world, last_event_id=taken[-1].id, until_id=everything[-1].id) as reader:
        taken += reader.frames()
    assert taken == everything
    assert told(everything).count("run.created QUEUED") == ROUNDS
    assert told(everything).count("run.status_changed COMPLETED_SUCCESS") == ROUNDS


def test_outside_the_sandbox_a_reader_need_not_wait_for_the_engine(
    start_server: StartServer, new_world: NewWorld
) -> None:
    server = start_server("sqlite", TRIMTAB_SANDBOX="0")
    world = new_world(server)
    settings = load_settings(server.environment, server.log.parent / "no.env")
    paper_db = open_paper_database(settings)
    paper = PaperBroker(paper_db, wall_clock, quarantine=timedelta(seconds=5))
    paper.set_prices({"SPY": Decimal(400)})
    paper.open_account(ACCOUNT, world.key.tenant_id, cash=Decimal(1000), positions={})
    paper_db.close()
    with following(world) as reader:
        run_id = world.run(ACCOUNT, weights(SPY="100"))
        frame = reader.next()
        assert (frame.event, frame.data["payload"]["id"]) == ("run.created", run_id)


# Several servers.


def test_a_reader_is_told_of_what_another_process_did(
    databases: Databases, tmp_path: Path, new_world: NewWorld
) -> None:
    with (
        databases("postgres") as url,
        running(url, tmp_path / "one") as first,
        running(url, tmp_path / "two") as second,
    ):
        here = new_world(first)
        here.open_market()
        with httpx.Client(base_url=second.url, auth=here.http.auth, timeout=60, verify=NO_TLS) as http:
            there = replace(here, server=second, http=http)
            with following(here) as ours, following(there) as theirs:
                a_run(here)
                here.settle()
                a_run(there)
                there.settle()
                frames = ours.take(6)
                assert told(frames) == WHOLE_RUN * 2
                assert theirs.take(6) == frames
        here.worth.clear()
