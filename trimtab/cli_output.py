"""What commands print: colours on a terminal, plain lines everywhere else, errors on stderr."""

import json
from collections.abc import Mapping, Sequence

import typer
from rich.console import Console
from rich.markup import escape

COLOURS: Mapping[str, str] = {
    "ok": "green",
    "passed": "green",
    "active": "green",
    "warning": "yellow",
    "not run": "yellow",
    "expired": "yellow",
    "fatal": "red",
    "failed": "red",
    "revoked": "red",
}
GAP = "  "


def show_json(body: object) -> None:
    typer.echo(json.dumps(body, indent=2, ensure_ascii=False))


def show_line(text: str, *, mark: str | None = None) -> None:
    """One line; on a terminal, the first time that `mark` stands in it, it has its colour."""
    console = Console(highlight=False, soft_wrap=True)
    if mark is None or not console.is_terminal:
        typer.echo(text)
        return
    before, found, after = text.partition(mark)
    console.print(f"{escape(before)}[{COLOURS[mark]}]{escape(found)}[/]{escape(after)}")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns; a line that is too long for the terminal is for the terminal to break."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        show_line(line.rstrip(), mark=next((cell for cell in row if cell in COLOURS), None))


def complain(text: str) -> None:
    """Say on stderr, in one line, what is wrong or worth knowing."""
    typer.echo(f"trimtab: {' '.join(text.split())}", err=True)
