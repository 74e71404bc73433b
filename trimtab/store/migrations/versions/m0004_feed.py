"""What readers are told of, and in which order: changes that wait in an outbox, and the feed made of them.

Each commit that changes something of interest leaves one row in the outbox; the publisher turns these
into rows of the feed, under ids that only grow, and removes them (docs/decisions/0008).
"""

from alembic import op

from trimtab.store.ddl import immutable, types

revision = "0004"
down_revision = "0003"

CHANGES = """
-- entries: a JSON list of rows of the feed, without their ids.
CREATE TABLE outbox (
    seq {serial},
    entries TEXT NOT NULL
);

-- The publisher's place: whoever publishes locks it; last_id is the newest event's.
CREATE TABLE feed_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_id {sortable} NOT NULL
);

-- What a run or a strategy became, and when. Of a strategy also what may be called otherwise today.
-- Without references: PostgreSQL locks the rows they name, the publisher would wait for writers and they
-- for it, in another order.
CREATE TABLE feed (
    event_id {sortable} NOT NULL,
    tenant_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    run_id TEXT,
    strategy_id TEXT,
    state TEXT NOT NULL,
    strategy_version INTEGER NOT NULL,
    name TEXT,
    description TEXT,
    PRIMARY KEY (tenant_id, event_id),
    CHECK ((run_id IS NULL) <> (strategy_id IS NULL)),
    CHECK ((strategy_id IS NULL) = (name IS NULL) AND (strategy_id IS NULL) = (description IS NULL))
);
-- A run comes into a state once, and so is published in it once.
CREATE UNIQUE INDEX feed_run ON feed (run_id, state) WHERE run_id IS NOT NULL;
"""


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for statement in CHANGES.format(**types(dialect)).split(";\n"):
        if statement.strip():
            op.execute(statement)
    for statement in immutable(dialect, "feed"):
        op.execute(statement)
