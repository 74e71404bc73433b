"""Which schema a database has, which one this version needs, and the refusal to work on any other."""

from functools import cache
from pathlib import Path

from trimtab.core.errors import WrongSchema
from trimtab.database import Database, Tx

MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def needed_version() -> str:
    """That of the last migration: its file is called `m0001_…`."""
    return max(file.name[1:5] for file in MIGRATIONS.glob("versions/m*.py"))


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
