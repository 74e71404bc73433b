"""What the audit found: a verdict for each invariant; as plain JSON values, and as lines for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

NO_LEDGER = "the broker's ledger cannot be read"


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found about one invariant; `witnesses` are the first of the `broken` things.

    `partial` says that the broker's side of it was not looked at.
    """

    id: str
    title: str
    verdict: Verdict
    partial: bool
    checked: int
    broken: int
    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How many there are, and the first of them."""

    count: int
    first: tuple[str, ...]


NONE = Listing(count=0, first=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Reported and not failed: accounts with open runs, accounts that changed at the broker while they
    were read, orders whose fate is open, and orders that were lost with what a restored copy does not have.
    """

    findings: tuple[Finding, ...]
    open_accounts: Listing
    moving_accounts: Listing
    open_orders: Listing
    forgotten_orders: Listing = NONE

    @property
    def ok(self) -> bool:
        return all(finding.verdict is not Verdict.FAILED for finding in self.findings)


def as_json(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "invariants": [_finding_json(finding) for finding in report.findings],
        "open_accounts": _listing_json(report.open_accounts),
        "moving_accounts": _listing_json(report.moving_accounts),
        "open_orders": _listing_json(report.open_orders),
        "forgotten_orders": _listing_json(report.forgotten_orders),
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "title": finding.title,
        "verdict": finding.verdict.value,
        "partial": finding.partial,
        "checked": finding.checked,
        "broken": finding.broken,
        "witnesses": list(finding.witnesses),
    }


def _listing_json(listing: Listing) -> dict[str, object]:
    return {"count": listing.count, "first": list(listing.first)}


def lines(report: Report) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding_lines(finding)
    yield from _listing_lines(report.open_accounts, "accounts with open runs")
    yield from _listing_lines(report.moving_accounts, "accounts changed while they were read, not compared")
    yield from _listing_lines(report.open_orders, "orders with an open fate")
    yield from _listing_lines(report.forgotten_orders, "orders newer than the backup that was restored")
    failed = [finding.id for finding in report.findings if finding.verdict is Verdict.FAILED]
    yield f"broken: {', '.join(failed)}" if failed else "no invariant is broken"


def _finding_lines(finding: Finding) -> Iterator[str]:
    if finding.verdict is Verdict.NOT_RUN:
        note = NO_LEDGER
    else:
        only = f"; in the database only: {NO_LEDGER}" if finding.partial else ""
        note = f"{finding.checked} checked{only}"
    yield f"{finding.id:4} {finding.verdict.value:8} {finding.title} ({note})"
    yield from (f"       {witness}" for witness in finding.witnesses)
    unnamed = finding.broken - len(finding.witnesses)
    if unnamed:
        yield f"       and {unnamed} more"


def _listing_lines(listing: Listing, what: str) -> Iterator[str]:
    if listing.count:
        dots = ", …" if listing.count > len(listing.first) else ""
        yield f"{what}: {listing.count} ({', '.join(listing.first)}{dots})"
