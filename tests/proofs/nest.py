"""Starts servers without their seconds of imports: a process that has the program loaded and forks.

Each line on standard input is one server as JSON, each answer the id of its process, which whoever asked may
kill: nobody has to wait for its end.
"""

import json
import os
import signal
import sys
import traceback

from tests.postgres import end_with_parent
from trimtab.boot import read_sessions
from trimtab.cli import main as trimtab


def run(request: dict[str, str], environment: dict[str, str]) -> int:
    """In the forked process: be the server."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["trimtab", "serve", "--port", request["port"]]
    try:
        trimtab()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    return 1


def main() -> None:
    read_sessions("24/7")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's to bury
    parent = os.getpid()
    ask = end_with_parent(parent)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if ask is not None:
                ask()
            for number, path in enumerate((os.devnull, request["log"], request["log"])):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
            code = run(request, request["environment"])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(child, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
