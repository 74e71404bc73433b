"""The reference pages say what the program says, and every command has an example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import PLAIN, ROOT

COMMANDS = [
    "accounts assign",
    "audit",
    "backup",
    "demo",
    "doctor",
    "freeze",
    "keys create",
    "keys list",
    "keys revoke",
    "migrate",
    "paper",
    "serve",
    "thaw",
]
GROUPS = ["accounts", "keys"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages as they would be written now."""
    folder = tmp_path_factory.mktemp("reference")
    subprocess.run([sys.executable, "-m", "tests.cli.write_docs", folder], cwd=ROOT, env=PLAIN, check=True)
    return folder


@pytest.mark.parametrize("name", ["cli.md", "settings.md"])
def test_a_reference_page_is_current(written: Path, name: str) -> None:
    page = ROOT / "docs" / "reference" / name
    assert page.read_text(encoding="utf-8") == (written / name).read_text(encoding="utf-8"), "run `make docs`"


def test_only_what_works_is_offered_and_all_of_it_with_an_example(written: Path) -> None:
    sections = re.split(
        r"^## trimtab ?(.*)$", (written / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    helps = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert sorted(helps) == sorted(["", *GROUPS, *COMMANDS])
    for command in COMMANDS:
        assert f"Example: trimtab {command}" in helps[command]
