"""How a demo shows where it is: a bar with the simulated date, or a line for each year."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from trimtab.demo.story import Course

Tell = Callable[[date, Course], None]


@contextmanager
def progress(console: Console, days: Sequence[date]) -> Iterator[Tell]:
    """What to call after each of these days."""
    if not console.is_terminal:
        yield _yearly(console, days)
        return
    columns = (TextColumn("{task.fields[on]}"), BarColumn(None), TextColumn("{task.fields[news]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=len(days), on=days[0], news="")
        yield lambda on, course: bar.update(task, advance=1, on=on, news=_news(course))


def _yearly(console: Console, days: Sequence[date]) -> Tell:
    last_of_years = {day.year: day for day in days}.values()

    def tell(on: date, course: Course) -> None:
        if on in last_of_years:
            console.print(f"{on}  {course.sessions:,} sessions  {_news(course)}", highlight=False)

    return tell


def _news(course: Course) -> str:
    return f"{course.runs_finished:,} runs  {course.orders:,} orders"
