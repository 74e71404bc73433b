"""Bring a database to this version's schema. Alembic takes a quarter of a second to load: only who migrates
imports this.
"""

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from trimtab.core.errors import CannotOpenDatabase
from trimtab.store.schema_version import MIGRATIONS

# A number of our own: whoever migrates a PostgreSQL database holds it, and the next one waits.
ONE_AT_A_TIME = 0x7472696D


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


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
    except DBAPIError as error:
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
