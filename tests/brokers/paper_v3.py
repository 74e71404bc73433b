"""The paper broker's tables as version 3 made them, and what lay in them: files of it are in use.

Never changed again. What version 2 had in it, and nothing else.
"""

from tests.brokers import paper_v1, paper_v2
from trimtab.database import Database, Tx

ROWS = """
ALTER TABLE orders ADD COLUMN sent_as TEXT;
ALTER TABLE ledger ADD COLUMN ratio {decimal};
ALTER TABLE ledger ADD COLUMN new_symbol TEXT;
CREATE TABLE former_symbols (symbol TEXT PRIMARY KEY, asset_id TEXT NOT NULL);
CREATE TABLE corporate_actions (number {number} PRIMARY KEY, at BIGINT NOT NULL, asset_id TEXT NOT NULL,
    kind TEXT NOT NULL, symbol TEXT NOT NULL, new_symbol TEXT, terms {decimal}, late TEXT);
CREATE INDEX corporate_actions_of_asset ON corporate_actions (asset_id, number);
CREATE UNIQUE INDEX one_late_action ON corporate_actions (asset_id) WHERE late IS NOT NULL;
UPDATE market SET schema_version = 3;
"""


def make(db: Database) -> None:
    paper_v2.make(db)
    db.write(_make)


def _make(tx: Tx) -> None:
    for statement in ROWS.format(**paper_v1.TYPES[tx.dialect]).split(";\n"):
        if statement.strip():
            tx.execute(statement)
