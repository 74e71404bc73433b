"""Closing a connection without an answer, as a network does that breaks at the wrong moment.

The server's interface has no word for it: an application that answers nothing is answered for, with 500.
So the socket is looked for among the open files of this process, by the address of whoever asked.
"""

import os
import socket
import stat
from pathlib import Path

# Where systems list the open files of a process: Linux, and the others.
LISTS = (Path("/proc/self/fd"), Path("/dev/fd"))


def hang_up(client: tuple[str, int] | None) -> None:
    """Shut the connection of this client; nothing that is written to it afterwards arrives."""
    # The server gives the port as a text.
    address = None if client is None else [str(part) for part in client]
    for number in _open_files():
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as found:
                if [str(part) for part in found.getpeername()[:2]] == address:
                    found.shutdown(socket.SHUT_RDWR)
        except OSError:
            # Closed by now, or not connected: not the one that is meant.
            continue


def _open_files() -> list[int]:
    folder = next(folder for folder in LISTS if folder.exists())
    return [int(entry.name) for entry in folder.iterdir()]
