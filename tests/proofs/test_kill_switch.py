"""`trimtab freeze` from another process, while a server is sending."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.proofs.books import broken
from tests.proofs.clients import at_work
from tests.proofs.exchange import FAIR, SLOW
from tests.proofs.lives import Nest
from tests.proofs.stage import Stage, open_stage

# An intent is not sent any more when it is older than this (notes on reliability, 2.4).
SEND_WITHIN = timedelta(seconds=2)
CANCELED_WITHIN = timedelta(seconds=5)
WATCHED_S = 8


def accepted_after(stage: Stage, at: datetime) -> list[str]:
    return [f.order.client_order_id for f in stage.exchange.journal if f.event == "new" and f.at > at]


def open_at(stage: Stage, at: datetime) -> set[str]:
    """The exchange's ids of orders that were open at this moment."""
    last = {fact.order.id: fact.event for fact in stage.exchange.journal if fact.at <= at}
    return {order_id for order_id, event in last.items() if event in {"new", "partially_filled"}}


def test_a_freeze_from_another_process_stops_a_server_that_is_sending(
    nest: Nest, tmp_path: Path, database_url: str
) -> None:
    with open_stage(nest, tmp_path, database_url, accounts=15, seed=3) as stage:
        stage.exchange.weather = SLOW
        stage.lives.begin()
        with at_work(stage.office, 2) as threads:
            stage.wait_for(lambda: len(stage.exchange.orders) > 10)
            stage.lives.command("freeze", "--reason", "a proof")
            frozen_at = datetime.now(UTC)
            time.sleep(WATCHED_S)
            assert accepted_after(stage, frozen_at + SEND_WITHIN) == []
            canceled = {
                order_id for at, order_id in stage.exchange.canceling if at <= frozen_at + CANCELED_WITHIN
            }
            assert open_at(stage, frozen_at + CANCELED_WITHIN) <= canceled
            assert canceled, "something was open"
            before = len(stage.exchange.orders)

            stage.exchange.weather = FAIR
            stage.lives.command("thaw")
            stage.await_clients(threads)
        stage.lives.kill()
        assert len(stage.exchange.orders) > before, "it went on"
        assert broken(stage.books()) == []
        assert stage.lives.unforeseen() == ""
