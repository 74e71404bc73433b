"""How a command begins that works on the database its settings name."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from trimtab.boot import database_file
from trimtab.core.errors import CannotOpenDatabase, CannotStart
from trimtab.database import Database, open_database
from trimtab.settings import Settings
from trimtab.store import schema_version


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The database, which must be there and have this version's schema."""
    require_file(settings)
    with closing(open_database(settings.database_url)) as db:
        schema_version.require_current(db)
        yield db


def require_file(settings: Settings) -> None:
    """Opening a SQLite file that is missing would make an empty one."""
    file = database_file(settings)
    if file is not None and not file.exists():
        raise CannotOpenDatabase(where=str(file), why="there is no such file; `trimtab migrate` makes it")


def bring_up_to_date(settings: Settings) -> str | None:
    """Make or migrate the database; the schema version it had. Raises CannotStart for a newer one."""
    needed = schema_version.needed_version()
    # Opened by us first: an address that leads nowhere is then found within seconds.
    with closing(open_database(settings.database_url)) as db:
        found = schema_version.found_version(db)
    if found is not None and found > needed:
        raise CannotStart(
            f"the database has schema {found}, of a newer Trimtab than this one ({needed}): use that one"
        )
    if found != needed:
        from trimtab.store.migrate import upgrade

        upgrade(settings.database_url)
    return found
