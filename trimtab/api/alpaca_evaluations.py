"""Why a subscription was rebalanced or not, sweep by sweep: beyond the vendor, in the vendor's shapes."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec

from trimtab.api.alpaca_call import READ, Call, Question
from trimtab.api.alpaca_queries import PAGED, cut, page_of
from trimtab.api.alpaca_wire import DecimalText, Instant, Token, Uuid
from trimtab.api.body import instant_text
from trimtab.core.errors import Malformed, NotFound
from trimtab.core.evaluation import Evaluation, NearestLine, Reason
from trimtab.core.money import plain
from trimtab.core.sessions import Sessions, next_firing
from trimtab.core.strategy import BandKind, CalendarRule
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.store import enrollments, evaluations, strategies

# This wire's own words for two things that it calls otherwise.
NAMES = {Reason.STRATEGY_NOT_ACTIVE: "PORTFOLIO_NOT_ACTIVE", Reason.PAUSED: "SUBSCRIPTION_PAUSED"}

Day = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date", "examples": ["2026-11-16"]})]
ReasonText = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": [NAMES.get(reason, reason.value) for reason in Reason]})
]


class DriftOut(msgspec.Struct, kw_only=True):
    """The line nearest to the edge of a band, or farthest beyond it: `symbol` is null for cash. All but
    `band` are points of percent of the account; a negative `distance` is beyond the edge.
    """

    sub_type: BandKind
    band: DecimalText
    symbol: str | None
    target: DecimalText
    actual: DecimalText
    drift: DecimalText
    limit: DecimalText
    distance: DecimalText


class EvaluationOut(msgspec.Struct, kw_only=True):
    evaluated_at: Instant
    portfolio_id: Uuid
    portfolio_version: int
    session_on: Day | None
    outcome: Literal["triggered", "not_triggered", "not_evaluated"]
    reason: ReasonText
    reason_details: str
    run_id: Uuid | None
    drift: list[DriftOut]
    free_cash: DecimalText | None
    invest_cash_min: DecimalText
    cooldown_ends_on: Day | None
    next_calendar_on: Day | None
    next_due_at: Instant | None


class EvaluationsOut(msgspec.Struct, kw_only=True):
    evaluations: list[EvaluationOut]
    next_page_token: Token | None


def list_evaluations(call: Call) -> EvaluationsOut:
    page = page_of(call.query)

    def read(tx: Tx) -> tuple[list[EvaluationOut], str | None]:
        enrollment = enrollments.one(tx, call.tenant_id, call.id)
        if enrollment is None:
            raise NotFound("enrollment", call.id)
        found, token = cut(evaluations.page(tx, enrollment, page), page)
        return _shown(tx, call.desk, found), token

    shown, token = call.desk.db.read(read)
    return EvaluationsOut(evaluations=shown, next_page_token=token)


def _shown(tx: Tx, desk: Desk, found: Sequence[Evaluation]) -> list[EvaluationOut]:
    firing = _firing(tx, desk, {_asked(evaluation) for evaluation in found})
    return [_evaluation_out(each, next_calendar_on=firing[_asked(each)]) for each in found]


# A strategy's id and version, and an instant: when does its calendar rule fire after that?
_Asked = tuple[str, int, datetime]


def _asked(evaluation: Evaluation) -> _Asked:
    return evaluation.strategy_id, evaluation.strategy_version, evaluation.at


def _firing(tx: Tx, desk: Desk, asked: set[_Asked]) -> dict[_Asked, date | None]:
    heads = strategies.heads(tx, {strategy_id for strategy_id, _, _ in asked})
    definitions = strategies.definitions(tx, {(strategy_id, version) for strategy_id, version, _ in asked})
    months = desk.evaluation.quarter_months
    # Many evaluations of one day ask the same.
    known: dict[tuple[str, int, date], date | None] = {}
    answers = {}
    for strategy_id, version, at in asked:
        sessions = desk.calendars[heads[strategy_id].calendar]
        rule = definitions[strategy_id, version].calendar_rule
        key = (strategy_id, version, sessions.day_of(at))
        if key not in known:
            known[key] = (
                None if rule is None else _next_on(sessions, rule, after=key[2], quarter_months=months)
            )
        answers[strategy_id, version, at] = known[key]
    return answers


def _next_on(
    sessions: Sessions, rule: CalendarRule, *, after: date, quarter_months: frozenset[int]
) -> date | None:
    firing = next_firing(sessions, rule, after=after, quarter_months=quarter_months)
    return None if firing is None else firing.on


def _evaluation_out(evaluation: Evaluation, *, next_calendar_on: date | None) -> EvaluationOut:
    return EvaluationOut(
        evaluated_at=instant_text(evaluation.at),
        portfolio_id=evaluation.strategy_id,
        portfolio_version=evaluation.strategy_version,
        session_on=_day(evaluation.session_on),
        outcome=_outcome(evaluation.reason),
        reason=NAMES.get(evaluation.reason, evaluation.reason.value),
        reason_details=_details(evaluation),
        run_id=evaluation.run_id,
        drift=[_drift_out(line) for line in evaluation.nearest],
        free_cash=None if evaluation.free_cash is None else plain(evaluation.free_cash),
        invest_cash_min=plain(evaluation.invest_cash_min),
        cooldown_ends_on=_day(evaluation.cooldown_ends_on),
        next_calendar_on=_day(next_calendar_on),
        next_due_at=None if evaluation.next_due_at is None else instant_text(evaluation.next_due_at),
    )


def _outcome(reason: Reason) -> Literal["triggered", "not_triggered", "not_evaluated"]:
    if reason is Reason.TRIGGERED:
        return "triggered"
    return "not_triggered" if reason.was_evaluated else "not_evaluated"


def _details(evaluation: Evaluation) -> str:
    """The reason as a sentence for people."""
    told = evaluation.details or ""
    match evaluation.reason:
        case Reason.TRIGGERED | Reason.NO_PRICE | Reason.NO_EQUITY | Reason.CORPORATE_ACTION:
            return told
        case Reason.ALREADY_RUN:
            return f"what is due has had its run already: {told}"
        case Reason.OVERTAKEN:
            return f"a client acted at the same moment, so this stays due: {told}"
        case Reason.NOTHING_DUE:
            return f"no condition is met{_about_cash(evaluation)}"
        case Reason.IN_COOLDOWN:
            return f"in the cooldown until {evaluation.cooldown_ends_on}{_about_cash(evaluation)}"
        case reason:
            return HINDRANCES[reason]


HINDRANCES = {
    Reason.RUN_OPEN: "a run of the account has not ended",
    Reason.PAUSED: "the subscription is paused",
    Reason.STRATEGY_NOT_ACTIVE: "the portfolio is not active",
    Reason.ACCOUNT_NOT_ACTIVE: "the account is not active at the broker",
    Reason.MARKET_CLOSED: "the market is closed, or closes within half an hour",
}


def _about_cash(evaluation: Evaluation) -> str:
    """Why free cash is not invested, if there is any."""
    if not evaluation.free_cash or evaluation.free_cash < 0:
        return ""
    if evaluation.invest_cash_min == 0:
        return f"; free cash of ${plain(evaluation.free_cash)} waits for the next rebalance"
    return f"; free cash of ${plain(evaluation.free_cash)} is not above ${plain(evaluation.invest_cash_min)}"


def _drift_out(line: NearestLine) -> DriftOut:
    return DriftOut(
        sub_type=line.band.kind,
        band=plain(line.band.percent),
        symbol=line.symbol,
        target=plain(line.target),
        actual=plain(line.actual),
        drift=plain(line.drift),
        limit=plain(line.limit),
        distance=plain(line.distance),
    )


def _day(on: date | None) -> str | None:
    return None if on is None else on.isoformat()


OPERATIONS = (
    Question(
        path="/v1/rebalancing/subscriptions/{subscription_id}/evaluations",
        scope=READ,
        summary="Why it was rebalanced or not at each evaluation, the latest first",
        act=list_evaluations,
        gives=EvaluationsOut,
        query=PAGED,
        refuses=(
            NotFound("enrollment", ""),
            Malformed("limit", "must be between 1 and 1000"),
            Malformed("page_token", "invalid value"),
        ),
    ),
)
