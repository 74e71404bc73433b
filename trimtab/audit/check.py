"""The audit: every invariant that the database and the broker's ledger can show, and the verdicts.

It shares no rule with what it checks: states, tables, ids and targets are written down again here or
worked out from the stored facts, and nothing of the engine or of a broker is imported.
"""

from collections.abc import Callable, Iterable, Iterator

from trimtab.audit import corporate, money, orders, runs, weights
from trimtab.audit.archive import FINAL_RUN_STATES, Archive, Dossier, arrange
from trimtab.audit.comparison import Comparison, compare
from trimtab.audit.ledger import Ledger
from trimtab.audit.report import NONE, Finding, Listing, Report, Verdict
from trimtab.audit.tally import WITNESSES_MAX, Tally
from trimtab.store.evidence import Evidence

TITLES = {
    "I1": "no order twice",
    "I2": "nothing at the broker that was not meant and planned",
    "I3": "no intent lost",
    "I5": "no run without a recorded cause",
    "I6": "at most one open run per account",
    "I7": "executions add up to positions",
    "I8": "cash adds up and is never overdrawn",
    "I9": "every fill applied once",
    "I10": "legal changes of state only",
    "I11": "sells before buys",
    "I12": "targets reached, or a reason why not",
    "I18": "plans are never changed",
}

RUN_CHECKS: tuple[tuple[str, Callable[[Dossier, Tally], None]], ...] = (
    ("I1", orders.ids_follow_from_legs),
    ("I1", orders.legs_are_ordered_once),
    ("I2", orders.orders_follow_the_plan),
    ("I3", orders.fates_are_known_at_the_end),
    ("I10", runs.changes_are_legal),
    ("I18", runs.plans_never_change),
    ("I18", runs.runs_past_the_queue_have_plans),
)
DATABASE_CHECKS: tuple[tuple[str, Callable[[Archive, Tally], None]], ...] = (
    ("I1", orders.orders_have_runs),
    ("I2", orders.executions_keep_their_limit),
    ("I5", runs.causes_are_recorded),
    ("I6", runs.runs_of_an_account_never_overlap),
    ("I9", orders.fills_are_applied_once),
    ("I10", runs.events_have_runs),
    ("I18", runs.plans_have_runs),
)
BROKER_CHECKS: tuple[tuple[str, Callable[[Comparison, Tally], None]], ...] = (
    ("I1", orders.broker_has_each_leg_once),
    ("I2", orders.broker_knows_only_intents),
    ("I3", orders.broker_confirms_fates),
    ("I7", money.positions_follow_from_executions),
    ("I7", money.executions_are_the_brokers),
    ("I7", corporate.shares_follow_from_terms),
    ("I8", money.cash_is_never_overdrawn),
    ("I8", money.adjustments_are_transfers),
    ("I8", corporate.cash_follows_from_terms),
    ("I9", orders.broker_executes_once),
    ("I11", orders.sells_end_before_buys),
)


def audit(evidence: Evidence, ledger: Ledger | None) -> Report:
    """Check everything; without a ledger, what needs the broker's side is not run."""
    archive = arrange(evidence)
    tallies = {invariant: Tally() for invariant in TITLES}
    run_checks = (*RUN_CHECKS, ("I12", weights.targets_are_reached(archive)))
    for dossier in archive.dossiers():
        for invariant, check_run in run_checks:
            check_run(dossier, tallies[invariant])
    for invariant, check_database in DATABASE_CHECKS:
        check_database(archive, tallies[invariant])
    forgotten = NONE
    if ledger is not None:
        both = compare(archive, ledger)
        forgotten = _listing(_forgotten_orders(both))
        for invariant, check_broker in BROKER_CHECKS:
            check_broker(both, tallies[invariant])
    moving = frozenset() if ledger is None else ledger.moving
    return Report(
        findings=tuple(
            _finding(invariant, tally, has_ledger=ledger is not None) for invariant, tally in tallies.items()
        ),
        open_accounts=_listing(sorted(archive.open_accounts)),
        moving_accounts=_listing(sorted(moving)),
        open_orders=_listing(_open_orders(archive)),
        forgotten_orders=forgotten,
    )


def _forgotten_orders(both: Comparison) -> Iterator[str]:
    """Orders that a restored database does not know of, because they came after the copy was made."""
    for found in both.orders.values():
        known = found.client_order_id in both.archive.orders
        if not known and both.archive.is_forgotten(found.first.at):
            yield f"order {found.client_order_id} ({found.first.side} {found.first.symbol})"


def _open_orders(archive: Archive) -> Iterator[str]:
    """Orders whose fate is unknown, and orders that are still open although their run has ended."""
    for order in archive.evidence.orders:
        run = archive.runs.get(order.run_id)
        ended = run is None or run.state in FINAL_RUN_STATES
        if order.state == "SENDING" or (order.state == "OPEN" and ended):
            yield f"{orders.name(order)} is {order.state}"


def _listing(named: Iterable[str]) -> Listing:
    every = tuple(named)
    return Listing(count=len(every), first=every[:WITNESSES_MAX])


def _finding(invariant: str, tally: Tally, *, has_ledger: bool) -> Finding:
    here = {each for each, _ in (*RUN_CHECKS, *DATABASE_CHECKS)} | {"I12"}
    there = {each for each, _ in BROKER_CHECKS}
    if tally.broken:
        verdict = Verdict.FAILED
    else:
        verdict = Verdict.PASSED if has_ledger or invariant in here else Verdict.NOT_RUN
    return Finding(
        id=invariant,
        title=TITLES[invariant],
        verdict=verdict,
        partial=not has_ledger and invariant in here & there,
        checked=tally.checked,
        broken=tally.broken,
        witnesses=tuple(tally.witnesses),
    )
