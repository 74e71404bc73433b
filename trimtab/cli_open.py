"""How every command begins: settings from the environment, and the database they name.

Also how settings are shown to people, without what must stay secret.
"""

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from trimtab.boot import database_file
from trimtab.core.errors import CannotOpenDatabase, CannotStart
from trimtab.database import Database, open_database
from trimtab.settings import SETTINGS, Setting, Settings, load_settings
from trimtab.store import migrate

ENV_FILE = Path(".env")
HIDDEN = "…"
_PASSWORDS = re.compile(r"(?<=://)([^:/]*):.*@|(?<=[?&]password=)[^&]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSetting:
    """A setting with its value as it may be shown to anybody."""

    name: str
    value: str
    default: str
    meaning: str


def read_settings() -> Settings:
    """Raises CannotStart for a value that is wrong and for a TRIMTAB_ name that is not known."""
    return load_settings(os.environ, ENV_FILE)


def shown_settings() -> list[ShownSetting]:
    """Every setting, whether or not its value is a good one."""
    given = dotenv_values(ENV_FILE) | os.environ
    return [
        ShownSetting(
            name=setting.name,
            value=_shown(setting, given.get(setting.name, setting.default) or ""),
            default=setting.default,
            meaning=setting.meaning,
        )
        for setting in SETTINGS
    ]


def _shown(setting: Setting, value: str) -> str:
    return HIDDEN if setting.secret and value else without_passwords(value)


def without_passwords(url: str) -> str:
    return _PASSWORDS.sub(lambda found: f"{found[1]}:{HIDDEN}@" if found[1] is not None else HIDDEN, url)


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The database, which must be there and have this version's schema."""
    require_file(settings)
    with closing(open_database(settings.database_url)) as db:
        migrate.require_current(db)
        yield db


def require_file(settings: Settings) -> None:
    """Opening a SQLite file that is missing would make an empty one."""
    file = database_file(settings)
    if file is not None and not file.exists():
        raise CannotOpenDatabase(where=str(file), why="there is no such file; `trimtab migrate` makes it")


def bring_up_to_date(settings: Settings) -> str | None:
    """Make or migrate the database; the schema version it had. Raises CannotStart for a newer one."""
    needed = migrate.needed_version()
    # Opened by us first: an address that leads nowhere is then found within seconds.
    with closing(open_database(settings.database_url)) as db:
        found = migrate.found_version(db)
    if found is not None and found > needed:
        raise CannotStart(
            f"the database has schema {found}, of a newer Trimtab than this one ({needed}): use that one"
        )
    if found != needed:
        migrate.upgrade(settings.database_url)
    return found
