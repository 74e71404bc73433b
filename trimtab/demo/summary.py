"""What a demo has shown, as one value, as JSON and as text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trimtab.core.money import plain
from trimtab.demo.drift import Strayed, Worst
from trimtab.demo.figures import Figures
from trimtab.demo.story import Asked, Course

SOURCE = "the database"
VERDICTS = {"passed": "green", "failed": "red", "not run": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """`audit` is the report of `trimtab audit --json`; seconds are by what was done in them."""

    days: Sequence[date]
    accounts: int
    course: Course
    figures: Figures
    strayed: Sequence[Strayed]
    audit: Mapping[str, Any]
    seconds: Mapping[str, float]
    seconds_in_sessions: Mapping[str, float]

    @property
    def ok(self) -> bool:
        return bool(self.audit["ok"]) and "ERROR" not in self.figures.by_status

    @property
    def runs_per_second(self) -> float:
        return self.figures.runs / self.seconds["sessions"]


def as_json(summary: Summary) -> dict[str, object]:
    figures = summary.figures
    return {
        "ok": summary.ok,
        "sessions": summary.course.sessions,
        "first_on": summary.days[0].isoformat(),
        "last_on": summary.days[-1].isoformat(),
        "accounts": summary.accounts,
        "deposits": summary.course.deposits,
        "asked_through_v2": _asked_json(summary.course.asked),
        "evaluations": summary.course.evaluated,
        "runs": {
            "total": figures.runs,
            "by_status": figures.by_status,
            "by_type": figures.by_type,
            "by_cause": figures.by_cause,
            "counted_in": SOURCE,
        },
        "orders": figures.orders,
        "traded": plain(figures.traded),
        "turnover_percent_a_year": plain(figures.turnover),
        "worst_drift": [
            {
                "strategy": each.strategy,
                "with_rebalancing": _worst_json(each.kept),
                "without_rebalancing": _worst_json(each.alone),
            }
            for each in summary.strayed
        ],
        "seconds": _rounded(summary.seconds),
        "seconds_in_sessions": _rounded(summary.seconds_in_sessions),
        "seconds_per_thousand_runs": round(1000 / summary.runs_per_second, 3),
        "runs_per_second": round(summary.runs_per_second, 1),
        "audit": summary.audit,
    }


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(each, 3) for name, each in seconds.items()}


def _asked_json(asked: Asked | None) -> dict[str, object] | None:
    if asked is None:
        return None
    return {
        "on": asked.on.isoformat(),
        "operation": asked.operation.operation_id,
        "states": list(asked.states),
    }


def _worst_json(worst: Worst) -> dict[str, str]:
    return {"points": plain(worst.points), "on": worst.on.isoformat()}


def show(console: Console, summary: Summary) -> None:
    console.print()
    console.print(_grid((f"[bold]{name}[/]", escape(fact)) for name, fact in _facts(summary)))
    console.print("\n[bold]worst drift[/] of some accounts at a month's end, in points of percent of equity")
    console.print(_grid([("", "with Trimtab", "left alone"), *map(_strayed_cells, summary.strayed)]))
    verdict = "no invariant is broken" if summary.audit["ok"] else "[red]an invariant is broken[/]"
    console.print(f"\n[bold]audit[/] {verdict}")
    console.print(_grid(_verdicts(summary.audit)))


def _grid(rows: Iterable[Sequence[str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    return table


def _strayed_cells(strayed: Strayed) -> tuple[str, ...]:
    return f"  {strayed.strategy}", _worst_text(strayed.kept), _worst_text(strayed.alone)


def _worst_text(worst: Worst) -> str:
    return f"{worst.points} ({worst.on})"


def _verdicts(audit: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for finding in audit["invariants"]:
        verdict = finding["verdict"]
        checked = f"{finding['title']} ({finding['checked']:,} checked)"
        yield f"  {finding['id']}", f"[{VERDICTS[verdict]}]{verdict}[/]", escape(checked)
        yield from (("", "", escape(witness)) for witness in finding["witnesses"])


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    figures, course, days = summary.figures, summary.course, summary.days
    yield "history", f"{course.sessions:,} sessions, {days[0]} to {days[-1]}"
    yield "accounts", f"{summary.accounts:,}, {course.deposits:,} deposits, {course.evaluated:,} evaluations"
    yield "runs", f"{figures.runs:,} (counted in {SOURCE})"
    yield "  by status", _counts(figures.by_status)
    yield "  by type", _counts(figures.by_type)
    yield "  by cause", _counts(figures.by_cause)
    yield "through /v1", "strategies and their changes, subscriptions, a run that was cancelled"
    if course.asked is not None:
        yield "through /v2", f"rebalance now on {course.asked.on}: {', then '.join(course.asked.states)}"
    yield "orders", f"{figures.orders:,} sent, ${figures.traded:,.0f} traded"
    yield "turnover", f"{figures.turnover} % of mean equity a year, first purchases and deposits included"
    rate = summary.runs_per_second
    yield "speed", f"{1000 / rate:.2f} s per thousand runs, {rate:,.0f} runs a second"
    yield "time", f"{sum(summary.seconds.values()):.1f} s: {_times(summary.seconds)}"
    yield "  of sessions", _times(summary.seconds_in_sessions)


def _times(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {each:.1f}" for name, each in seconds.items())


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
