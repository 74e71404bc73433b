"""The command that serves the paper broker alone, as another company's server would be."""

import dataclasses
import logging
from typing import Annotated

import typer

from trimtab.api.auth import Credentials
from trimtab.boot import database_file
from trimtab.cli_open import bring_up_to_date
from trimtab.cli_output import show_line
from trimtab.core.errors import CannotStart
from trimtab.lock import only_one_server
from trimtab.settings import PAPER, Settings, read_settings

PORT_DEFAULT = 8001
PORT_MAX = 65535

app = typer.Typer()


@app.command()
def paper(
    *,
    port: Annotated[
        int,
        typer.Option(help="Where it serves, at TRIMTAB_LISTEN's address.", min=1, max=PORT_MAX, metavar="P"),
    ] = PORT_DEFAULT,
    database: Annotated[
        str, typer.Option(help="Its own, as a file or an address.", metavar="FILE-or-URL")
    ] = "trimtab-paper.db",
) -> None:
    """Serve the paper broker alone, speaking Alpaca's Broker API.

    Its clock, prices and faults are set through /sandbox, on loopback only. It takes the key in
    TRIMTAB_ALPACA_KEY_ID and TRIMTAB_ALPACA_SECRET, and any on loopback if there is none.

    Example: trimtab paper --port 9000 --database market.db
    """
    settings = dataclasses.replace(
        read_settings(), broker=PAPER, port=port, database_url=_address(database), sandbox=True
    )
    expected = _expected(settings)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("trimtab").setLevel(logging.INFO)
    file = database_file(settings)
    if file is None:
        _serve(settings, expected)
        return
    with only_one_server(file):
        _serve(settings, expected)


def _serve(settings: Settings, expected: Credentials | None) -> None:
    from trimtab.server import serve_paper

    bring_up_to_date(settings)
    show_line(f"the paper broker is at http://{settings.host}:{settings.port}")
    serve_paper(settings, expected)


def _address(database: str) -> str:
    return database if "://" in database else f"sqlite:///{database}"


def _expected(settings: Settings) -> Credentials | None:
    """The only key that is good; None if any is."""
    key_id, secret = settings.alpaca_key_id, settings.alpaca_secret
    if bool(key_id) != bool(secret):
        raise CannotStart("set both TRIMTAB_ALPACA_KEY_ID and TRIMTAB_ALPACA_SECRET, or neither")
    if not key_id and not settings.is_loopback:
        raise CannotStart(
            f"TRIMTAB_LISTEN is {settings.host}: off loopback the paper broker needs TRIMTAB_ALPACA_KEY_ID "
            "and TRIMTAB_ALPACA_SECRET"
        )
    return Credentials(key_id, secret) if key_id else None
