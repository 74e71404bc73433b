"""`trimtab doctor` and `trimtab audit`: is the installation sound, and was everything done as promised?"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

import typer

from trimtab.audit.check import audit
from trimtab.audit.ledger import watched
from trimtab.audit.report import Report, Verdict, lines
from trimtab.audit.report import as_json as report_json
from trimtab.boot import clock_of, database_file, paper_broker, paper_url
from trimtab.cli_open import opened_database, require_file
from trimtab.cli_output import show_json, show_line
from trimtab.core.errors import CannotStart
from trimtab.database import sqlite_path
from trimtab.doctor import Finding, examine
from trimtab.settings import PAPER, Settings, read_settings, shown_settings
from trimtab.store.evidence import read_evidence

app = typer.Typer()


@app.command()
def doctor(
    *,
    settings: Annotated[bool, typer.Option("--settings", help="List all settings instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check settings, database, clock, broker, keys and freezes.

    Every finding comes with its mend. Ends with 1 if anything is fatal.

    Example: trimtab doctor
    """
    if settings:
        _list_settings(as_json=as_json)
        # A bad value is shown with all the others, and is still an error.
        read_settings()
        return
    findings = _findings()
    if as_json:
        fatal = any(finding.level == "fatal" for finding in findings)
        show_json({"ok": not fatal, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _show_finding(finding)
    if any(finding.level == "fatal" for finding in findings):
        raise typer.Exit(1)


def _findings() -> Sequence[Finding]:
    try:
        settings = read_settings()
    except CannotStart as error:
        hint = "correct the environment or the .env file"
        return [Finding(check="settings", level="fatal", text=str(error), hint=hint)]
    return list(examine(settings))


def _show_finding(finding: Finding) -> None:
    show_line(f"{finding.level:8} {finding.check:9} {finding.text}", mark=finding.level)
    if finding.hint:
        show_line(f"{'':18} → {finding.hint}")


def _list_settings(*, as_json: bool) -> None:
    shown = shown_settings()
    if as_json:
        show_json({"settings": [asdict(setting) for setting in shown]})
        return
    for setting in shown:
        show_line(f"{setting.name}={setting.value}")
        default = f"default {setting.default}" if setting.default else "no default"
        show_line(f"    {setting.meaning} ({default})")


@app.command(name="audit")
def run_audit(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Replay the whole database against what Trimtab promises.

    The paper broker's ledger is read with it; of other brokers it says what was not checked. Shares no
    code with the engine, and works beside a running server. Ends with 0 only if no invariant is broken.

    Example: trimtab audit
    """
    report = _report(read_settings())
    if as_json:
        show_json(report_json(report))
    else:
        for line in lines(report):
            # A finding starts with its id, then says its verdict; witnesses are indented.
            verdict = next((each.value for each in Verdict if line[5:].startswith(each)), None)
            show_line(line, mark=verdict)
    if not report.ok:
        raise typer.Exit(1)


def _report(settings: Settings) -> Report:
    require_file(settings)
    is_missing = database_file(settings) is not None and not sqlite_path(paper_url(settings)).exists()
    with opened_database(settings) as db, ExitStack() as closing:
        # Another broker shows balances, but no ledger of how they came about.
        if settings.broker != PAPER or is_missing:
            return audit(db.read(read_evidence), None)
        paper = paper_broker(settings, clock=clock_of(settings, db), closing=closing)
        last = paper.last_entry()
        evidence = db.read(read_evidence)
        accounts = paper.read_accounts()
        balances = {account_id: account.holdings for account_id, account in accounts.items()}
        return audit(evidence, watched(last, paper.read_ledger(), balances=balances))
