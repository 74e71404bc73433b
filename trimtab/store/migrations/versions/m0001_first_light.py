"""The first schema: tenants, strategies, enrollments, runs with their orders, and the mirror.

Hot tables carry the shard first. The database refuses what code forgets: one open run per account,
one run per account and slot, unique order and execution ids, illegal states and transitions, and any
change to a stored plan or strategy version. Instants are microseconds since 1970 UTC; dates are
ISO text; decimals are NUMERIC on PostgreSQL and text on SQLite, whose numbers lose digits.
"""

from alembic import op

from trimtab.core.run import ORDER_TRANSITIONS, TRANSITIONS, OrderState, RunState
from trimtab.store.ddl import immutable, legal_transitions, one_of, types

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE keys (
    key_id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    secret_hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE sandbox_clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    now_at BIGINT NOT NULL
);

-- epoch: raised by each worker that takes the shard; due_at: when it next needs a worker.
CREATE TABLE shards (
    shard INTEGER PRIMARY KEY,
    accounts INTEGER NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT,
    taken_at BIGINT
);

-- set_aside: dollars raised for a withdrawal; held: why no order may leave, if it may not.
CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    shard INTEGER NOT NULL,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    claimed_at BIGINT NOT NULL,
    set_aside {decimal} NOT NULL,
    held TEXT
);
CREATE INDEX accounts_shard ON accounts (shard);

CREATE TABLE strategies (
    seq {serial},
    id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'needs_adjustment')),
    version INTEGER NOT NULL,
    updated_version INTEGER NOT NULL,
    calendar TEXT NOT NULL,
    hidden INTEGER NOT NULL CHECK (hidden IN (0, 1)),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX strategies_tenant ON strategies (tenant_id, created_at, seq);

CREATE TABLE strategy_versions (
    strategy_id TEXT NOT NULL REFERENCES strategies (id),
    version INTEGER NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (strategy_id, version)
);

CREATE TABLE enrollments (
    seq {serial},
    shard INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    strategy_id TEXT NOT NULL REFERENCES strategies (id),
    state TEXT NOT NULL CHECK (state IN ('active', 'paused', 'ended')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_rebalanced_at BIGINT,
    evaluated_on TEXT NOT NULL,
    evaluated_version INTEGER NOT NULL,
    trade_marker TEXT NOT NULL CHECK (trade_marker IN ('discretionary', 'unsolicited'))
) {hot};
CREATE UNIQUE INDEX enrollments_account ON enrollments (shard, account_id) WHERE state <> 'ended';
CREATE INDEX enrollments_tenant ON enrollments (tenant_id, created_at, seq);
CREATE INDEX enrollments_strategy ON enrollments (strategy_id);

CREATE TABLE runs (
    seq {serial},
    shard INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    strategy_id TEXT NOT NULL REFERENCES strategies (id),
    strategy_version INTEGER NOT NULL,
    enrollment_id TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('full_rebalance', 'invest_cash', 'partial_liquidation')),
    amount {decimal},
    initiator TEXT NOT NULL CHECK (initiator IN ('system', 'api')),
    cause TEXT NOT NULL CHECK (cause <> ''),
    slot TEXT,
    state TEXT NOT NULL CHECK (state IN ({run_states})),
    stop TEXT CHECK (stop IN ('CANCELED', 'TIMED_OUT', 'FAILED')),
    adjusted INTEGER NOT NULL CHECK (adjusted IN (0, 1)),
    orders_sent INTEGER NOT NULL,
    reason TEXT,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deadline_at BIGINT,
    finished_at BIGINT
) {hot};
CREATE UNIQUE INDEX runs_open ON runs (shard, account_id) WHERE state IN ({open_run_states});
CREATE UNIQUE INDEX runs_slot ON runs (shard, account_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX runs_tenant ON runs (tenant_id, created_at, seq);
CREATE INDEX runs_account ON runs (account_id, created_at, seq);

CREATE TABLE plans (
    shard INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    body TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    planned_at BIGINT NOT NULL,
    PRIMARY KEY (shard, run_id)
);

CREATE TABLE orders (
    shard INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    leg INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    client_order_id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('sell', 'buy')),
    quantity {decimal},
    notional {decimal},
    state TEXT NOT NULL CHECK (state IN ({order_states})),
    epoch BIGINT NOT NULL,
    intent_at BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    asset_id TEXT,
    broker_order_id TEXT,
    filled_quantity {decimal} NOT NULL,
    filled_value {decimal} NOT NULL,
    reason TEXT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (shard, run_id, leg, generation),
    CHECK ((quantity IS NULL) <> (notional IS NULL))
) {hot};

CREATE TABLE executions (
    shard INTEGER NOT NULL,
    broker TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    client_order_id TEXT NOT NULL REFERENCES orders (client_order_id),
    quantity {decimal} NOT NULL,
    price {decimal} NOT NULL,
    executed_at BIGINT NOT NULL,
    PRIMARY KEY (broker, execution_id)
);
CREATE INDEX executions_order ON executions (client_order_id);

CREATE TABLE skips (
    shard INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    leg INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('sell', 'buy')),
    notional {decimal} NOT NULL,
    reason TEXT NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (shard, run_id, leg)
);

-- One row per change of a run's state, written with it; number counts from 1 per run.
CREATE TABLE events (
    shard INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id),
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (shard, run_id, number)
);

-- The mirror: one packed block per shard, folded from the broker's feed up to cursor.
CREATE TABLE holdings (
    shard INTEGER PRIMARY KEY,
    version BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    block {blob} NOT NULL
);

-- What changed an account from outside: cash that came or went without a trade of ours.
CREATE TABLE adjustments (
    shard INTEGER NOT NULL,
    broker TEXT NOT NULL,
    ref TEXT NOT NULL,
    account_id TEXT NOT NULL,
    amount {decimal} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (broker, ref)
);

-- The kill switch: empty columns cover everything.
CREATE TABLE freezes (
    id TEXT PRIMARY KEY,
    tenant_id TEXT,
    account_id TEXT,
    symbol TEXT,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
"""


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    names = types(dialect) | {
        "run_states": one_of(RunState),
        "open_run_states": one_of(state for state in RunState if state.is_open),
        "order_states": one_of(OrderState),
    }
    for statement in TABLES.format(**names).split(";\n"):
        if statement.strip():
            op.execute(statement)
    guards = [
        *legal_transitions(dialect, "runs", legal={a: sorted(b) for a, b in TRANSITIONS.items()}),
        *legal_transitions(dialect, "orders", legal={a: sorted(b) for a, b in ORDER_TRANSITIONS.items()}),
        *immutable(dialect, "plans"),
        *immutable(dialect, "strategy_versions"),
        *immutable(dialect, "executions"),
        *immutable(dialect, "events"),
    ]
    for statement in guards:
        op.execute(statement)
