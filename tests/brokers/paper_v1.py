"""The paper broker's tables as version 1 made them, and what lay in them: files of it are in use.

Never changed again. ann has $600 and 10 SPY at $400; an order of hers to buy one for $400 was filled,
another, to sell two, is open.
"""

from trimtab.brokers.paper_schema import SCHEMA
from trimtab.database import Database, Tx

AT = 1_772_463_600_000_000
TYPES = {
    "sqlite": {"decimal": "TEXT", "number": "INTEGER"},
    "postgres": {"decimal": "NUMERIC", "number": "BIGINT"},
}
TABLES = """
CREATE TABLE market (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    schema_version BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    faults TEXT NOT NULL
);
CREATE TABLE assets (
    symbol TEXT PRIMARY KEY,
    asset_id TEXT NOT NULL,
    active BIGINT NOT NULL,
    tradable BIGINT NOT NULL,
    fractionable BIGINT NOT NULL,
    price {decimal} CHECK (CAST(price AS REAL) > 0)
);
CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    status TEXT NOT NULL,
    cash {decimal} NOT NULL CHECK (CAST(cash AS REAL) >= 0)
);
CREATE TABLE positions (
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    symbol TEXT NOT NULL,
    quantity {decimal} NOT NULL CHECK (CAST(quantity AS REAL) > 0),
    PRIMARY KEY (account_id, symbol)
);
CREATE TABLE orders (
    seq {number} PRIMARY KEY,
    client_order_id TEXT NOT NULL UNIQUE,
    broker_order_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (account_id),
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity {decimal},
    notional {decimal},
    submitted_at BIGINT NOT NULL,
    delay_us BIGINT NOT NULL,
    state TEXT NOT NULL,
    halves BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    executions BIGINT NOT NULL,
    filled_quantity {decimal} NOT NULL,
    filled_value {decimal} NOT NULL,
    reason TEXT,
    updated_at BIGINT NOT NULL,
    CHECK ((quantity IS NULL) <> (notional IS NULL))
);
CREATE INDEX orders_of_tenant ON orders (tenant_id, seq);
CREATE INDEX orders_due ON orders (due_at) WHERE state = 'OPEN';
CREATE INDEX orders_open ON orders (account_id) WHERE state = 'OPEN';
CREATE TABLE ledger (
    seq {number} PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account_id TEXT NOT NULL,
    client_order_id TEXT,
    broker_order_id TEXT,
    symbol TEXT,
    side TEXT,
    quantity {decimal},
    notional {decimal},
    price {decimal},
    amount {decimal},
    execution_id TEXT,
    ref TEXT,
    reason TEXT
);
CREATE UNIQUE INDEX ledger_executions ON ledger (client_order_id, execution_id) WHERE kind = 'executed';
CREATE UNIQUE INDEX ledger_transfers ON ledger (ref) WHERE kind = 'transfer';
"""
ROWS = """
INSERT INTO market VALUES (1, 1, 5, '{{}}');
INSERT INTO assets VALUES ('SPY', 'asset', 1, 1, 1, '400');
INSERT INTO accounts VALUES ('ann', 'tenant', 'ACTIVE', '600');
INSERT INTO positions VALUES ('ann', 'SPY', '10');
INSERT INTO orders VALUES (3, 'filled', 'b3', 'tenant', 'ann', 'SPY', 'buy', NULL, '400', {at}, 0, 'FILLED',
    0, {at}, 1, '1', '400', NULL, {at});
INSERT INTO orders VALUES (5, 'open', 'b5', 'tenant', 'ann', 'SPY', 'sell', '2', NULL, {at}, 30000000, 'OPEN',
    0, {due}, 0, '0', '0', NULL, {at});
INSERT INTO ledger VALUES (1, {at}, 'opened', 'ann', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '1000', NULL,
    NULL, NULL);
INSERT INTO ledger VALUES (2, {at}, 'seeded', 'ann', NULL, NULL, 'SPY', NULL, '9', NULL, NULL, NULL, NULL,
    NULL, NULL);
INSERT INTO ledger VALUES (3, {at}, 'accepted', 'ann', 'filled', 'b3', 'SPY', 'buy', NULL, '400', NULL, NULL,
    NULL, NULL, NULL);
INSERT INTO ledger VALUES (4, {at}, 'executed', 'ann', 'filled', 'b3', 'SPY', 'buy', '1', NULL, '400', '-400',
    'b3.1', NULL, NULL);
INSERT INTO ledger VALUES (5, {at}, 'accepted', 'ann', 'open', 'b5', 'SPY', 'sell', '2', NULL, NULL, NULL,
    NULL, NULL, NULL);
"""


def make(db: Database) -> None:
    db.write(_make)


def _make(tx: Tx) -> None:
    if tx.dialect == "postgres":
        tx.execute(f"CREATE SCHEMA {SCHEMA}")
    filled_in = (TABLES + ROWS).format(**TYPES[tx.dialect], at=AT, due=AT + 30_000_000)
    for statement in filled_in.split(";\n"):
        if statement.strip():
            tx.execute(statement)
