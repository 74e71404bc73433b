"""The command `trimtab`: every command under one roof, and every failure in one line.

Here are the two commands that keep running; the others are in cli_keys, cli_checks and cli_data.
"""

import dataclasses
import logging
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from trimtab import cli_checks, cli_data, cli_keys, cli_paper
from trimtab.boot import database_file
from trimtab.cli_open import bring_up_to_date
from trimtab.cli_output import complain
from trimtab.core.errors import TrimtabError
from trimtab.lock import only_one_server
from trimtab.settings import read_settings

FAILURE = 1
PORT_MAX = 65535

app = typer.Typer(
    help="Keeps many accounts at their target weights.",
    # Help and errors are the same on a terminal, in a pipe and in the documentation.
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the report instead of serving on.")] = False,
    accounts: Annotated[int, typer.Option(help="How many accounts to keep.", min=1, metavar="N")] = 1000,
    port: Annotated[
        int | None,
        typer.Option(help="Where it serves; a free port without it.", min=1, max=PORT_MAX, metavar="P"),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Work in this folder and leave it behind.", metavar="DIR")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Run the main job on eight and a half years of real prices.

    Checks what it did, says what happened, and keeps serving. Works in a folder of its own and never
    touches your database.

    Example: trimtab demo --once --accounts 100
    """
    from trimtab.demo.run import DemoOptions, run_demo

    read_settings()
    options = DemoOptions(once=once, accounts=accounts, port=port, keep=keep, as_json=as_json)
    raise typer.Exit(run_demo(options))


@app.command()
def serve(
    *,
    port: Annotated[
        int | None, typer.Option(help="Instead of TRIMTAB_LISTEN's.", min=1, max=PORT_MAX, metavar="P")
    ] = None,
) -> None:
    """Serve both dialects and run the engine, in one process.

    A SQLite database is made and migrated when needed; a PostgreSQL one by `trimtab migrate`.

    Example: trimtab serve --port 8080
    """
    from trimtab.server import serve as serve_forever

    settings = read_settings()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("trimtab").setLevel(logging.INFO)
    if port is not None:
        settings = dataclasses.replace(settings, port=port)
    file = database_file(settings)
    if file is None:
        serve_forever(settings)
        return
    with only_one_server(file):
        bring_up_to_date(settings)
        serve_forever(settings)


app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_checks.app)
app.add_typer(cli_data.app)
app.add_typer(cli_paper.app)
app.add_typer(cli_data.accounts_app, name="accounts")


def main() -> None:
    # The pool's own warnings would stand above the one line that says the same.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    try:
        code = app(args=sys.argv[1:] or ["--help"], prog_name="trimtab", standalone_mode=False)
    except typer.TyperException as error:
        complain(_usage(error))
        code = error.exit_code
    except typer.Abort:
        code = FAILURE
    except TrimtabError as error:
        complain(str(error))
        code = FAILURE
    except (sqlite3.Error, psycopg.Error) as error:
        complain(f"the database refused: {_first_line(error)}")
        code = FAILURE
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        code = FAILURE
    sys.exit(code)


def _usage(error: typer.TyperException) -> str:
    context: typer.Context | None = getattr(error, "ctx", None)
    problem = error.format_message().rstrip(".")
    return problem if context is None else f"{problem}; see: {context.command_path} --help"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
