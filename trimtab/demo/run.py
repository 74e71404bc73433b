"""The main job on real history: start the product, drive it through HTTP, and say what happened.

The demo works in a folder of its own; the server that runs, and the audit at the end, are the
product's own commands.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from trimtab.core.errors import CannotStart
from trimtab.demo import child
from trimtab.demo.child import Key, Place
from trimtab.demo.client import Client, UnexpectedAnswer
from trimtab.demo.customers import make_customers
from trimtab.demo.figures import read_figures
from trimtab.demo.market import read_market
from trimtab.demo.progress import progress
from trimtab.demo.story import Story
from trimtab.demo.summary import Summary, as_json, show
from trimtab.demo.watch import Watch

# What a shell sees of a program that a signal ended: 128 and the signal's number.
ENDED_BY_SIGNAL = 128
PLAIN_WIDTH = 120
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - the folder in it has a random name and is our own
MEMORY_BYTES_MIN = 2 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """`keep` names the folder to work in and to leave behind; `sessions_max` ends history early."""

    once: bool = False
    accounts: int = 1000
    port: int | None = None
    keep: Path | None = None
    as_json: bool = False
    sessions_max: int | None = None


def run_demo(options: DemoOptions) -> int:
    """The exit code: 0 if the audit found nothing broken and no run ended in ERROR.

    Raises CannotStart and UnexpectedAnswer.
    """
    # What is not the result goes to stderr, so that the result can be piped.
    aside = Console(stderr=True, highlight=False)
    watch = Watch()
    with _ended_by_sigterm(), _folder(options.keep) as folder, ExitStack() as stack:
        place = Place(folder=folder, port=child.free_port(options.port))
        aside.print(f"starting the server in {folder}")
        with watch.time("server_start"):
            server, key = stack.enter_context(child.server(place))
        summary = _play(options, place, key=key, aside=aside, watch=watch)
        if options.as_json:
            sys.stdout.write(json.dumps(as_json(summary), indent=2) + "\n")
            sys.stdout.flush()
        else:
            width = None if sys.stdout.isatty() else PLAIN_WIDTH
            show(Console(highlight=False, width=width), summary)
        if not options.once:
            _serve_on(server, place, key=key, aside=aside)
    return 0 if summary.ok else 1


def _play(options: DemoOptions, place: Place, *, key: Key, aside: Console, watch: Watch) -> Summary:
    market = read_market(options.sessions_max)
    customers = make_customers(options.accounts)
    with closing(Client(place.url, key.key_id, secret=key.secret)) as client:
        story = Story(client, market, customers=customers)
        try:
            with watch.time("sessions"), progress(aside, market.days) as tell:
                story.play(tell)
        except UnexpectedAnswer as error:
            # The log goes with the folder.
            raise UnexpectedAnswer(error.call, f"{error.answer} {child.last_words(place)}") from error
    aside.print("counting runs and orders")
    with watch.time("counting"):
        paid_in = story.course.paid_in
        figures = read_figures(place.database_url, child.TENANT, market=market, paid_in=paid_in)
    aside.print("auditing")
    with watch.time("audit"):
        audit = child.audit(place)
    return Summary(
        days=market.days,
        accounts=len(customers),
        course=story.course,
        figures=figures,
        strayed=story.twins.strayed,
        audit=audit,
        seconds=watch.seconds,
        seconds_in_sessions=story.watch.seconds,
    )


def _serve_on(server: subprocess.Popen[bytes], place: Place, *, key: Key, aside: Console) -> None:
    url = f"{place.url}/v1/rebalancing/portfolios"
    aside.print(f"\nstill serving: curl -u {key.key_id}:{key.secret} {url}", soft_wrap=True)
    aside.print("Ctrl-C ends")
    try:
        server.wait()
    except KeyboardInterrupt:
        return
    raise CannotStart("the server has ended by itself")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="trimtab-demo-", dir=_roomy_memory()) as name:
            yield Path(name)
        return
    folder = keep.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise CannotStart(f"--keep {keep}: {error.strerror}") from error
    if not is_empty:
        raise CannotStart(f"--keep {keep} is not empty: name a new folder")
    yield folder


def _roomy_memory() -> Path | None:
    """A file system in memory with room for the demo, if there is one: what is thrown away at the end
    need not wait for a disk. The commits are the same.
    """
    try:
        free = shutil.disk_usage(MEMORY_FOLDER).free
    except OSError:
        return None
    return MEMORY_FOLDER if free >= MEMORY_BYTES_MIN and os.access(MEMORY_FOLDER, os.W_OK) else None


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let a SIGTERM unwind what is open, as a Ctrl-C does, so that the server ends and the folder goes."""

    def end(number: int, _frame: object) -> None:
        sys.exit(ENDED_BY_SIGNAL + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
