"""Bring a database to this version's schema, and refuse to work on any other."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.exc import OperationalError

from trimtab.core.errors import CannotOpenDatabase, WrongSchema
from trimtab.database import Database, Tx

# A number of our own: whoever migrates a PostgreSQL database holds it, and the next one waits.
ONE_AT_A_TIME = 0x7472696D


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def needed_version() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there is at least one migration"
    return head


def upgrade(url: str) -> None:
    """Run what is missing, in transactions; a no-op on a current database."""
    driver = url if url.startswith("sqlite") else "postgresql+psycopg://" + url.split("://", 1)[1]
    engine = create_engine(driver, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        _begin_before_ddl(engine)
    config = _config()
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        why = str(error.orig).strip().splitlines()[0]
        raise CannotOpenDatabase(where=url.rsplit("@", 1)[-1], why=why) from error
    finally:
        engine.dispose()


def _begin_before_ddl(engine: Engine) -> None:
    """Python's sqlite3 begins no transaction before DDL: a migration cut short would stay half done.

    IMMEDIATE makes a second one wait for the first.
    """
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def found_version(db: Database) -> str | None:
    """The schema version of a database; None if it has no schema of ours."""

    def read(tx: Tx) -> str | None:
        if tx.dialect == "sqlite":
            sql = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
        else:
            sql = "SELECT relname FROM pg_class WHERE oid = to_regclass('alembic_version')"
        if tx.row(sql) is None:
            return None
        row = tx.row("SELECT version_num FROM alembic_version")
        return None if row is None else str(row["version_num"])

    return db.read(read)


def require_current(db: Database) -> None:
    """Raise WrongSchema unless the database has exactly this version's schema."""
    found, needed = found_version(db), needed_version()
    if found != needed:
        raise WrongSchema(found=found, needed=needed)
