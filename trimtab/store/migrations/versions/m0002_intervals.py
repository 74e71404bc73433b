"""What Glider's dialect needs: interval schedules, swap preferences, public strategies, enrolment flows.

`next_due_at` is the instant of an enrollment's next scheduled run, `resumptions` how often it was paused
and went on; `owner`, `account_index` and
`chain_ids` say who enrolled it, where that is more than the account itself. An order may carry the
price it must not be worse than and the impact it must not exceed. `valuations` holds one packed block
of equities per shard and day, `daily_prices` the first price that each symbol had on a day.
"""

from alembic import op

from trimtab.core.strategy import Frequency
from trimtab.store.ddl import one_of, types

revision = "0002"
down_revision = "0001"

CHANGES = """
ALTER TABLE tenants ADD COLUMN slippage_bps INTEGER;
ALTER TABLE tenants ADD COLUMN impact_bps INTEGER;
ALTER TABLE tenants ADD COLUMN threshold {decimal};

ALTER TABLE strategies ADD COLUMN frequency TEXT CHECK (frequency IN ({frequencies}));
ALTER TABLE strategies ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1));
ALTER TABLE strategies ADD COLUMN slippage_bps INTEGER;
ALTER TABLE strategies ADD COLUMN impact_bps INTEGER;
ALTER TABLE strategies ADD COLUMN threshold {decimal};
ALTER TABLE strategy_versions ADD COLUMN change_log TEXT;

ALTER TABLE enrollments ADD COLUMN name TEXT;
ALTER TABLE enrollments ADD COLUMN next_due_at BIGINT;
ALTER TABLE enrollments ADD COLUMN resumptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE enrollments ADD COLUMN owner TEXT;
ALTER TABLE enrollments ADD COLUMN account_index INTEGER;
ALTER TABLE enrollments ADD COLUMN chain_ids TEXT;
CREATE INDEX enrollments_owner ON enrollments (tenant_id, owner);

ALTER TABLE orders ADD COLUMN worst_price {decimal};
ALTER TABLE orders ADD COLUMN impact_bps_max INTEGER;

-- Stage one of an enrolment, and what stage two was answered, for whoever asks again.
CREATE TABLE flows (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    owner TEXT NOT NULL,
    strategy_id TEXT NOT NULL REFERENCES strategies (id),
    chain_ids TEXT NOT NULL,
    account_index INTEGER NOT NULL,
    agent TEXT NOT NULL,
    message TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    body_hash TEXT,
    answer_status INTEGER,
    answer TEXT
);
CREATE INDEX flows_expiry ON flows (expires_at);

CREATE TABLE daily_prices (
    symbol TEXT NOT NULL,
    valued_on TEXT NOT NULL,
    price {decimal} NOT NULL,
    PRIMARY KEY (valued_on, symbol)
);

CREATE TABLE valuations (
    shard INTEGER NOT NULL,
    valued_on TEXT NOT NULL,
    valued_at BIGINT NOT NULL,
    block {blob} NOT NULL,
    PRIMARY KEY (shard, valued_on)
);

-- The first version of the mirror that contains it; 0 in rows that are older than all valuations.
ALTER TABLE adjustments ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX adjustments_account ON adjustments (shard, account_id, version);
"""


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    for statement in CHANGES.format(**types(dialect), frequencies=one_of(Frequency)).split(";\n"):
        if statement.strip():
            op.execute(statement)
