"""Where each proof is played: an exchange, one Trimtab that may die, clients, and the books of both sides."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.api.world import make_key
from tests.proofs.books import Books, Holdings, holdings_of, read_tables
from tests.proofs.clients import Office, new_clients
from tests.proofs.exchange import Exchange, open_exchange, settings_of
from tests.proofs.lives import Lives, Nest, open_lives
from trimtab.database import open_database

# Longer than anything is under way at the exchange.
QUARANTINE_S = 4
PATIENCE_S = 120
LOOK_S = 0.05
LOG_SHOWN = 3000


@dataclass(slots=True, kw_only=True)
class Stage:
    """`began` is what each account held before anything happened."""

    lives: Lives
    exchange: Exchange
    office: Office
    began: dict[str, Holdings]

    @property
    def database_url(self) -> str:
        return self.lives.settings["TRIMTAB_DATABASE_URL"]

    def books(self, *, forgets: bool = False) -> Books:
        return Books(
            tables=read_tables(self.database_url),
            journal=self.exchange.journal,
            orders=list(self.exchange.orders.values()),
            began=self.began,
            ends=holdings_of(self.exchange),
            prices=self.exchange.prices,
            named={run_id: mix for each in self.office.clients for run_id, mix in each.named.items()},
            strangers=self.exchange.strangers,
            forgets=forgets,
        )

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Until it is so, while the server lives and nobody complains."""
        ends_at = time.monotonic() + PATIENCE_S
        while not what():
            assert not self.office.troubles, self.office.troubles
            assert self.lives.is_alive, self.log()
            assert time.monotonic() < ends_at, self.log()
            time.sleep(LOOK_S)

    def log(self) -> str:
        return self.lives.log.read_text(errors="replace")[-LOG_SHOWN:]

    def await_clients(self, threads: list[threading.Thread]) -> None:
        """Until every client has had its rounds."""
        self.office.enough.set()
        self.wait_for(lambda: not any(thread.is_alive() for thread in threads))
        assert not self.office.troubles, self.office.troubles


@contextmanager
def open_stage(nest: Nest, folder: Path, database_url: str, *, accounts: int, seed: int) -> Iterator[Stage]:
    """A stage on which nothing has happened yet, and no server lives."""
    clients = new_clients(accounts, seed)
    with closing(open_database(database_url)) as db:
        key = make_key(db, "acme")
    with open_exchange(seed) as exchange:
        for number, client in enumerate(clients):
            exchange.open_account(client.account_id, str(1000 + number), GLD="5", SPY="1.5")
        settings = settings_of(exchange, QUARANTINE_S) | {"TRIMTAB_DATABASE_URL": database_url}
        with open_lives(nest, folder, settings) as lives:
            office = Office(url=lives.url, key=key, clients=clients)
            yield Stage(lives=lives, exchange=exchange, office=office, began=holdings_of(exchange))
