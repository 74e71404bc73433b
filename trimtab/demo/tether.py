"""Runs `trimtab` as the child of another process, and ends it when that process is gone.

The parent holds the other end of standard input; however the parent ends, kill -9 included, that end
closes. Started with `python -m trimtab.demo.tether COMMAND …`.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock this thread would still hold when the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="tether", daemon=True).start()
    runpy.run_module("trimtab", run_name="__main__", alter_sys=True)
