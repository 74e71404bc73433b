"""What real brokers need: how old a report is, corrections of executions, live streams, shared budgets."""

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
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
