"""What requests with an Idempotency-Key were answered, for whoever asks again.

`key_id` is the API key's, `idempotency_key` what the client chose.
"""

from alembic import op

from trimtab.store.ddl import types

revision = "0003"
down_revision = "0002"

CHANGES = """
CREATE TABLE replies (
    seq {serial},
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    answer_status INTEGER NOT NULL,
    answer TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (tenant_id, key_id, method, path, idempotency_key)
);
CREATE INDEX replies_expiry ON replies (expires_at);
"""


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for statement in CHANGES.format(**types(dialect)).split(";\n"):
        if statement.strip():
            op.execute(statement)
