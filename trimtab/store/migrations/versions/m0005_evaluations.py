"""What every sweep has found, and what a strategy does about an asset that stops being eligible."""

from alembic import op

from trimtab.store.ddl import types

revision = "0005"
down_revision = "0004"

CHANGES = """
-- One packed block per shard and sweep; a sweep is a writer's first work in its epoch.
CREATE TABLE evaluations (
    shard INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    at BIGINT NOT NULL,
    block {blob} NOT NULL,
    PRIMARY KEY (shard, epoch)
);
CREATE INDEX evaluations_at ON evaluations (shard, at);

ALTER TABLE strategies ADD COLUMN on_ineligible TEXT NOT NULL DEFAULT 'needs_adjustment'
    CHECK (on_ineligible IN ('needs_adjustment', 'freeze_line'));
-- Every run with weights of its own leaves a hidden one, and nobody looks for it again.
CREATE INDEX strategies_listed ON strategies (id) WHERE hidden = 0;
"""


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for statement in CHANGES.format(**types(dialect)).split(";\n"):
        if statement.strip():
            op.execute(statement)
