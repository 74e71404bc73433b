"""The paper broker's tables as version 2 made them, and what lay in them: files of it are in use.

Never changed again. What version 1 had in it, and a depth of SPY; ann's order to sell two SPY, which is
open, must not execute below $390.
"""

from tests.brokers import paper_v1
from trimtab.database import Database, Tx

ROWS = """
ALTER TABLE orders ADD COLUMN worst_price {decimal};
ALTER TABLE orders ADD COLUMN impact_bps_max BIGINT;
ALTER TABLE assets ADD COLUMN depth {decimal} CHECK (CAST(depth AS REAL) > 0);
UPDATE assets SET depth = '1000000';
UPDATE orders SET worst_price = '390' WHERE client_order_id = 'open';
UPDATE market SET schema_version = 2;
"""


def make(db: Database) -> None:
    paper_v1.make(db)
    db.write(_make)


def _make(tx: Tx) -> None:
    for statement in ROWS.format(**paper_v1.TYPES[tx.dialect]).split(";\n"):
        if statement.strip():
            tx.execute(statement)
