"""Writes the reference pages that are made from the program itself: `python -m tests.cli.write_docs`.

test_docs.py has them written to another folder, and fails when they say something else there.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from trimtab.cli import app
from trimtab.settings import SETTINGS

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
MADE = "<!-- Made by `make docs` from the program itself: change it there. -->"


def command_paths() -> Iterator[tuple[str, ...]]:
    """Every command, the groups before what is in them; the first is `trimtab` itself."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), get_command(app))]
    while waiting:
        path, command = waiting.pop(0)
        yield path
        commands: dict[str, object] = getattr(command, "commands", {})
        waiting[:0] = [((*path, name), each) for name, each in commands.items()]


def help_text(path: tuple[str, ...]) -> str:
    done = CliRunner().invoke(app, [*path, "--help"], prog_name="trimtab")
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def cli_page() -> str:
    intro = (
        "What each command says with `--help`. A failure is one line on standard error; the exit code is 0\n"
        "for success, 1 for failure and 2 for wrong usage. Settings come from the environment: see\n"
        "[settings](settings.md)."
    )
    sections = [
        f"## {' '.join(('trimtab', *path))}\n\n```text\n{help_text(path)}\n```" for path in command_paths()
    ]
    return "\n\n".join(["# The command line", MADE, intro, *sections]) + "\n"


def settings_page() -> str:
    intro = (
        "Environment variables, also read from a `.env` file in the working folder; the environment wins.\n"
        "An unknown `TRIMTAB_` name is an error. `trimtab doctor --settings` shows the values in use."
    )
    rows = [f"| `{each.name}` | {_default(each.default)} | {each.meaning} |" for each in SETTINGS]
    table = "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])
    return f"# Settings\n\n{MADE}\n\n{intro}\n\n{table}\n"


def _default(text: str) -> str:
    return f"`{text}`" if text else "–"


PAGES = {"cli.md": cli_page, "settings.md": settings_page}


def write_pages(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE)
