"""The lock that keeps two servers off one SQLite file.

It belongs to an open file of the operating system, which lets go of it whenever the process ends,
also by kill -9; the file itself stays and means nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.core.errors import CannotStart


@contextmanager
def only_one_server(database: Path) -> Iterator[None]:
    """Be the only server of this database file until the block ends; CannotStart if there is one."""
    # Two names of one file must lead to one lock.
    real = database.resolve()
    path = real.with_name(f"{real.name}.lock")
    try:
        file = path.open("a+")
    except OSError as error:
        raise CannotStart(f"cannot write {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = f"process {pid}" if (pid := file.read().strip()) else "another process"
            raise CannotStart(f"{holder} serves {database} already: stop it, or name another file") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
