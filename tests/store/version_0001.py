"""A database as version 0001 left it: its schema, and rows that version wrote itself.

The rows are those of a worker that died on Monday, 2 March 2026, at 15:01 UTC. cat has been rebalanced,
ann's run was about to send a sale (its intent is committed, the request never left), bob's run is QUEUED
and eve has left; one skip was made up.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from trimtab.database import Tx, open_database

HERE = Path(__file__).resolve().parent
MIGRATIONS = HERE.parents[1] / "trimtab" / "store" / "migrations"
ROWS: Mapping[str, list[dict[str, Any]]] = json.loads((HERE / "data" / "rows_of_0001.json").read_text())


def make(url: str) -> None:
    """Run migration 0001 alone, and put the rows in."""
    driver = url if url.startswith("sqlite") else "postgresql+psycopg://" + url.split("://", 1)[1]
    engine = create_engine(driver, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    db = open_database(url)
    db.write(_insert)
    db.close()


def _insert(tx: Tx) -> None:
    for table, rows in ROWS.items():
        for row in rows:
            # The database numbers rows itself, in the order in which they come.
            values = {name: _value(value) for name, value in row.items() if name != "seq"}
            places = ", ".join(f":{name}" for name in values)
            tx.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", **values)  # noqa: S608 - our own names


def _value(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def shown(row: Mapping[str, Any]) -> dict[str, str | None]:
    """A row as text, the same on both databases and in the file."""
    return {name: _shown(value) for name, value in row.items()}


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return str(value["hex"])
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)
