"""The tables of the paper broker: a ledger that is never rewritten, and the state that follows from it.

They live in a database (SQLite) or a schema (PostgreSQL) of their own, because a broker is another
system. `market` has one row, which every writing transaction locks first: the market does one thing
at a time, so the ledger's numbers rise in the order of its commits and a cursor never misses one.
"""

from collections.abc import Mapping

from trimtab.core.errors import CannotOpenDatabase
from trimtab.database import Database, Dialect, Tx

SCHEMA = "paper"
SCHEMA_VERSION = 4
# Any number will do, as long as nothing else on the server uses it.
PREPARE_LOCK = 7_061_706_572

# INTEGER PRIMARY KEY is SQLite's own row number and costs no index; PostgreSQL's INTEGER is too short.
TYPES: Mapping[Dialect, Mapping[str, str]] = {
    "sqlite": {"decimal": "TEXT", "number": "INTEGER"},
    "postgres": {"decimal": "NUMERIC", "number": "BIGINT"},
}

# As version 1 made them; UPGRADES make the present version of them, in a new database too, so that both
# are alike.
TABLES = (
    """
    CREATE TABLE market (
        id BIGINT PRIMARY KEY CHECK (id = 1),
        schema_version BIGINT NOT NULL,
        last_seq BIGINT NOT NULL,
        faults TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE assets (
        symbol TEXT PRIMARY KEY,
        asset_id TEXT NOT NULL,
        active BIGINT NOT NULL,
        tradable BIGINT NOT NULL,
        fractionable BIGINT NOT NULL,
        price {decimal} CHECK (CAST(price AS REAL) > 0)
    )
    """,
    """
    CREATE TABLE accounts (
        account_id TEXT PRIMARY KEY,
        tenant_id TEXT NOT NULL,
        status TEXT NOT NULL,
        cash {decimal} NOT NULL CHECK (CAST(cash AS REAL) >= 0)
    )
    """,
    """
    CREATE TABLE positions (
        account_id TEXT NOT NULL REFERENCES accounts (account_id),
        symbol TEXT NOT NULL,
        quantity {decimal} NOT NULL CHECK (CAST(quantity AS REAL) > 0),
        PRIMARY KEY (account_id, symbol)
    )
    """,
    """
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
    )
    """,
    "CREATE INDEX orders_of_tenant ON orders (tenant_id, seq)",
    # Nearly every order is final when it is first written, so these two stay almost empty.
    "CREATE INDEX orders_due ON orders (due_at) WHERE state = 'OPEN'",
    "CREATE INDEX orders_open ON orders (account_id) WHERE state = 'OPEN'",
    """
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
    )
    """,
    "CREATE UNIQUE INDEX ledger_executions ON ledger (client_order_id, execution_id) WHERE kind = 'executed'",
    "CREATE UNIQUE INDEX ledger_transfers ON ledger (ref) WHERE kind = 'transfer'",
)

# By the version they start from. The market is locked first, as every writer does, and orders come before
# assets and the ledger, as in every question: processes of the version before may be running, and nobody
# is to wait for somebody who waits.
UPGRADES: Mapping[int, tuple[str, ...]] = {
    1: (
        "SELECT id FROM market FOR UPDATE",
        "ALTER TABLE orders ADD COLUMN worst_price {decimal}",
        "ALTER TABLE orders ADD COLUMN impact_bps_max BIGINT",
        "ALTER TABLE assets ADD COLUMN depth {decimal} CHECK (CAST(depth AS REAL) > 0)",
        "UPDATE market SET schema_version = 2",
    ),
    2: (
        "SELECT id FROM market FOR UPDATE",
        # The symbol that an order was sent under, if its asset was renamed while it was open.
        "ALTER TABLE orders ADD COLUMN sent_as TEXT",
        "ALTER TABLE ledger ADD COLUMN ratio {decimal}",
        "ALTER TABLE ledger ADD COLUMN new_symbol TEXT",
        "CREATE TABLE former_symbols (symbol TEXT PRIMARY KEY, asset_id TEXT NOT NULL)",
        """
        CREATE TABLE corporate_actions (
            number {number} PRIMARY KEY,
            at BIGINT NOT NULL,
            asset_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            symbol TEXT NOT NULL,
            new_symbol TEXT,
            terms {decimal},
            late TEXT
        )
        """,
        "CREATE INDEX corporate_actions_of_asset ON corporate_actions (asset_id, number)",
        "CREATE UNIQUE INDEX one_late_action ON corporate_actions (asset_id) WHERE late IS NOT NULL",
        "UPDATE market SET schema_version = 3",
    ),
    3: (
        "SELECT id FROM market FOR UPDATE",
        # The millisecond in the id of an event: it never falls, whatever the clock does.
        "ALTER TABLE market ADD COLUMN stamp BIGINT NOT NULL DEFAULT 0",
        # Whoever pages through all orders of a tenant can read past those of others: only the sandbox does.
        "DROP INDEX orders_of_tenant",
        "CREATE INDEX orders_of_account ON orders (account_id, seq)",
        # As long as that one, or SQLite would look for open orders there, among all of an account.
        "DROP INDEX orders_open",
        "CREATE INDEX orders_open ON orders (account_id, seq) WHERE state = 'OPEN'",
        "ALTER TABLE ledger ADD COLUMN stamp BIGINT",
        # What the account holds of the symbol after an execution.
        "ALTER TABLE ledger ADD COLUMN position {decimal}",
        """
        CREATE INDEX ledger_changes ON ledger (account_id, seq)
        WHERE kind IN ('opened', 'seeded', 'transfer', 'split', 'renamed', 'paid_out', 'dividend')
        """,
        """
        CREATE TABLE holders (
            account_id TEXT PRIMARY KEY REFERENCES accounts (account_id),
            tenant_id TEXT NOT NULL,
            email TEXT NOT NULL,
            details TEXT NOT NULL,
            UNIQUE (tenant_id, email)
        )
        """,
        """
        CREATE TABLE ach_relationships (
            account_id TEXT PRIMARY KEY REFERENCES accounts (account_id),
            relationship_id TEXT NOT NULL,
            created_at BIGINT NOT NULL,
            details TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE transfers (
            number {number} PRIMARY KEY,
            transfer_id TEXT NOT NULL UNIQUE,
            account_id TEXT NOT NULL REFERENCES accounts (account_id),
            relationship_id TEXT NOT NULL,
            amount {decimal} NOT NULL,
            created_at BIGINT NOT NULL
        )
        """,
        "CREATE INDEX transfers_of_account ON transfers (account_id, number)",
        """
        CREATE TABLE journals (
            number {number} PRIMARY KEY,
            journal_id TEXT NOT NULL UNIQUE,
            tenant_id TEXT NOT NULL,
            from_account TEXT NOT NULL REFERENCES accounts (account_id),
            to_account TEXT NOT NULL REFERENCES accounts (account_id),
            amount {decimal} NOT NULL,
            description TEXT NOT NULL,
            created_at BIGINT NOT NULL
        )
        """,
        "CREATE INDEX journals_of_tenant ON journals (tenant_id, number)",
        "UPDATE market SET stamp = (SELECT COALESCE(MAX(at), 0) / 1000 FROM ledger), schema_version = 4",
    ),
}

GUARDS: Mapping[Dialect, tuple[str, ...]] = {
    "sqlite": (
        """
        CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is never rewritten'); END
        """,
        """
        CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger
        BEGIN SELECT RAISE(ABORT, 'the ledger is never rewritten'); END
        """,
    ),
    "postgres": (
        """
        CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION ''the ledger is never rewritten''; END'
        """,
        """
        CREATE TRIGGER ledger_no_rewrite BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewrite()
        """,
    ),
}


def prepare(db: Database) -> None:
    """Create the tables if they are not there, and upgrade them; refuse those of a later version."""
    db.write(_create_or_upgrade)
    found = db.read(lambda tx: tx.rows("SELECT schema_version FROM market"))[0]["schema_version"]
    if found != SCHEMA_VERSION:
        raise CannotOpenDatabase(
            where="of the paper broker",
            why=f"its tables are of version {found}, this program needs {SCHEMA_VERSION}",
        )


def _create_or_upgrade(tx: Tx) -> None:
    if tx.dialect == "postgres":
        # Two processes that start together would both see that nothing is there.
        tx.execute("SELECT pg_advisory_xact_lock(:lock)", lock=PREPARE_LOCK)
        tx.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    if not _is_there(tx):
        _create(tx)
    found = tx.rows("SELECT schema_version FROM market")[0]["schema_version"]
    for version in range(found, SCHEMA_VERSION):
        for statement in UPGRADES[version]:
            tx.execute(statement.format(**TYPES[tx.dialect]))


def _create(tx: Tx) -> None:
    for statement in TABLES:
        tx.execute(statement.format(**TYPES[tx.dialect]))
    for statement in GUARDS[tx.dialect]:
        tx.execute(statement)
    tx.execute("INSERT INTO market (id, schema_version, last_seq, faults) VALUES (1, 1, 0, '{}')")


def _is_there(tx: Tx) -> bool:
    catalogs: Mapping[Dialect, str] = {
        "sqlite": "SELECT name FROM sqlite_master WHERE name = 'market'",
        "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = :schema AND tablename = 'market'",
    }
    return tx.row(catalogs[tx.dialect], schema=SCHEMA) is not None
