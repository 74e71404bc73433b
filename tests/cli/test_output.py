"""Colours on a terminal, plain lines in a pipe, and NO_COLOR is respected."""

import os
import pty
import subprocess
import sys

from tests.cli.conftest import Trimtab


def on_a_terminal(trimtab: Trimtab, *arguments: str, **variables: str) -> str:
    ours, theirs = pty.openpty()
    environment = trimtab.environment({"TERM": "xterm", "COLUMNS": "40"} | variables)
    command = [sys.executable, "-m", "trimtab", *arguments]
    with subprocess.Popen(command, cwd=trimtab.folder, env=environment, stdout=theirs) as process:
        os.close(theirs)
        read = b""
        try:
            while part := os.read(ours, 65536):
                read += part
        except OSError:  # how a terminal says that nobody writes to it any more
            pass
        os.close(ours)
    assert process.returncode == 0
    return read.decode().replace("\r\n", "\n")


def test_marks_have_colours_on_a_terminal_only(on_sqlite: Trimtab) -> None:
    plain = on_sqlite.works("audit")
    assert plain.startswith("I1   passed   no order twice")
    coloured = on_a_terminal(on_sqlite, "audit")
    assert coloured.startswith("I1   \x1b[32mpassed\x1b[0m   no order twice")
    assert on_a_terminal(on_sqlite, "audit", NO_COLOR="1") == plain


def test_help_is_plain_everywhere(on_nothing: Trimtab) -> None:
    printed = on_a_terminal(on_nothing, "keys", "create", "--help")
    assert printed.startswith("Usage: trimtab keys create [OPTIONS]\n")
    assert "\x1b" not in printed
