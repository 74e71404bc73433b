"""How old a report is, corrections, live streams, budgets, restored copies, orders a minute."""

from alembic import op

revision = "0006"
down_revision = "0005"

CHANGES = """
-- When the broker last changed the order, as far as it is known: what it said before is no news.
ALTER TABLE orders ADD COLUMN reported_at BIGINT;

-- The execution that this one takes back in part or whole, or adds to.
ALTER TABLE executions ADD COLUMN corrects TEXT;

-- How far a broker's live stream has been read.
CREATE TABLE broker_streams (
    broker TEXT PRIMARY KEY,
    cursor TEXT NOT NULL
);

-- What all processes together may still ask of a broker until the window ends.
CREATE TABLE budgets (
    broker TEXT PRIMARY KEY,
    calls_left BIGINT NOT NULL,
    window_ends_at BIGINT NOT NULL
);

-- Copies that somebody began to work with: what the broker did in between is not in them.
CREATE TABLE restores (
    id TEXT PRIMARY KEY,
    copied_at BIGINT NOT NULL,
    begun_at BIGINT,
    reconciled_at BIGINT
);
ALTER TABLE shards ADD COLUMN restored INTEGER NOT NULL DEFAULT 0 CHECK (restored IN (0, 1));

-- Runs that ended with an order cut short: what was on its way may still be executed.
CREATE TABLE watches (
    shard INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    until_at BIGINT NOT NULL,
    PRIMARY KEY (shard, run_id)
);

-- How many orders a tenant sent in each second, where their number a minute is limited.
CREATE TABLE order_rates (
    tenant_id TEXT NOT NULL,
    second_at BIGINT NOT NULL,
    orders BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, second_at)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
