"""Starts commands without their second of imports: a process that has the program loaded and forks.

Each line on standard input is one command as JSON, each answer the exit code of a process of its own.
"""

import json
import os
import sys
import traceback

# Commands load these themselves, each only what it needs.
import exchange_calendars  # noqa: F401

import trimtab.server
import trimtab.store.migrate  # noqa: F401
from trimtab.cli import main as run_command


def run(folder: str, environment: dict[str, str], arguments: list[str]) -> int:
    """In the forked process: be the command."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["trimtab", *arguments]
    try:
        run_command()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    return 1


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            for number, path in enumerate((os.devnull, request["out"], request["err"])):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
            code = run(request["folder"], request["environment"], request["arguments"])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
