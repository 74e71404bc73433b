"""One server per SQLite file, and a lock that no dead process holds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from trimtab.core.errors import CannotStart
from trimtab.lock import only_one_server

HOLD = """
import sys, time
from pathlib import Path
from trimtab.lock import only_one_server
with only_one_server(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_server_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    database = tmp_path / "trimtab.db"
    with only_one_server(database):
        with pytest.raises(CannotStart) as refused, only_one_server(database):
            pass
        with only_one_server(tmp_path / "another.db"):
            pass
    assert str(refused.value) == (
        f"process {os.getpid()} serves {database} already: stop it, or name another file"
    )
    with only_one_server(database):
        pass


def test_two_names_of_a_file_are_one_file(tmp_path: Path) -> None:
    database, link = tmp_path / "trimtab.db", tmp_path / "link.db"
    database.touch()
    link.symlink_to(database)
    with only_one_server(database), pytest.raises(CannotStart), only_one_server(link):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    database = tmp_path / "trimtab.db"
    command = [sys.executable, "-c", HOLD, str(database)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CannotStart, match=f"process {holder.pid} serves"), only_one_server(database):
            pass
        holder.kill()
    with only_one_server(database):
        pass


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotStart, match=r"cannot write .*trimtab\.db\.lock: No such file"),
        only_one_server(tmp_path / "nowhere" / "trimtab.db"),
    ):
        pass
