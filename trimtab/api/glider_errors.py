"""What each known failure is called on Glider's wire: one table of status, code and message.

Every answer is `{"success": false, "error": {code, message, details?}}`; `details` are lines of the form
`path: message`, and left out when there are none.
"""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from litestar import Response
from litestar.exceptions import HTTPException

from trimtab.api import glider_ids
from trimtab.api.auth import KeyExpired, KeyInvalid, KeyMissing, RateLimited, ScopeMissing
from trimtab.api.body import NotJson, Undecodable
from trimtab.api.front import AnyRequest
from trimtab.core import errors

log = logging.getLogger(__name__)

HUNG_UP = "client disconnected prematurely"
UNFORESEEN = (500, "API_000", "Internal server error")
INVALID = "Request validation failed"


@dataclass
class Invalid(errors.TrimtabError):
    """A request that breaks rules of this wire; all that it breaks."""

    problems: Sequence[str]


@dataclass
class Missing(errors.TrimtabError):
    """A path names what is not there; `given` is the id as it came."""

    noun: str
    given: str

    def __str__(self) -> str:
        return f"{NOUNS[self.noun]} with ID {self.given} not found"


@dataclass
class StrategyUnavailable(errors.TrimtabError):
    """An enrolment names a strategy that is not there for it; `given` is the id as it came."""

    given: str

    def __str__(self) -> str:
        return f"Strategy not found or not owned by tenant: {self.given}"


class FlowConflict(errors.TrimtabError):
    """A flow that was answered is sent again with another body."""


# A message of None is made from the error.
TABLE: Mapping[type[Exception], tuple[int, str, str | None]] = {
    Undecodable: (400, "API_002", "Malformed request"),
    NotJson: (415, "API_002", "Malformed request"),
    Invalid: (400, "API_400", INVALID),
    StrategyUnavailable: (400, "API_400", None),
    errors.Malformed: (400, "API_400", INVALID),
    errors.InvalidStrategy: (400, "API_400", INVALID),
    errors.AccountNotActive: (400, "API_400", INVALID),
    KeyMissing: (401, "API_101", "API key is missing: send it in the x-api-key header"),
    KeyInvalid: (401, "API_102", "API key is invalid"),
    KeyExpired: (401, "API_103", "API key has expired"),
    ScopeMissing: (403, "API_104", None),
    Missing: (404, "API_006", None),
    errors.NotFound: (404, "API_006", None),
    errors.StrategyNotActive: (404, "API_006", None),
    FlowConflict: (409, "API_008", "This flowId was used with another body"),
    errors.AlreadyEnrolled: (409, "API_202", "Portfolio already exists for this owner and accountIndex"),
    errors.RunTooSoon: (
        429,
        "API_004",
        "Rebalance for this portfolio finished too recently; see the Retry-After header",
    ),
    RateLimited: (429, "API_004", "Rate limit exceeded; see the Retry-After header"),
    errors.BrokerDown: (503, "API_005", "The broker cannot be reached; try again later"),
    errors.OutsideCalendar: (503, "API_005", "The clock is beyond the known trading calendar"),
}

# The framework's own refusals.
FRAMEWORK_CODES = {HTTPStatus.NOT_FOUND: "API_006", HTTPStatus.METHOD_NOT_ALLOWED: "API_003"}
NOUNS = {"enrollment": "Portfolio", "strategy": "Strategy", "run": "Operation", "account": "Account"}
# Where this wire keeps what the core calls weights.
_WEIGHT = re.compile(r"^weights(\[\d+\])?(?:\.percent)?")


def error_response(_request: AnyRequest, error: Exception) -> Response[dict[str, object]]:
    """The answer to any failure; what nobody foresaw is logged and says nothing of itself."""
    if isinstance(error, HTTPException) and error.detail == HUNG_UP:
        # The framework calls half a body a failure of ours; most who send one do not wait for this.
        error = Undecodable()
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _refusal_of_framework(error)
    status, body = refusal(error)
    return Response(body, status_code=status, headers=_headers(error))


def refusal(error: Exception) -> tuple[int, dict[str, object]]:
    """The status and the envelope of a failure."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if row is None:
        log.error("unforeseen", exc_info=error)
        row = UNFORESEEN
    status, code, message = row
    return status, envelope(code, message or _message(error), details=details_of(error))


def envelope(code: str, message: str, *, details: Sequence[str] = ()) -> dict[str, object]:
    shown: dict[str, object] = {"code": code, "message": message}
    if details:
        shown["details"] = list(details)
    return {"success": False, "error": shown}


def _refusal_of_framework(error: HTTPException) -> Response[dict[str, object]]:
    """Unknown routes, wrong methods, bodies that are too large."""
    status = HTTPStatus(error.status_code)
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    code = FRAMEWORK_CODES.get(status, "API_002")
    details = [f"body: {status.phrase.lower()}"] if code == "API_002" else []
    return Response(envelope(code, status.phrase, details=details), status_code=status, headers=headers)


def _message(error: Exception) -> str:
    match error:
        case errors.NotFound(noun="enrollment", id=id_):
            return str(Missing("enrollment", glider_ids.portfolio_id(id_)))
        case errors.NotFound(noun=noun, id=id_):
            return str(Missing(noun, glider_ids.ulid(id_)))
        case errors.StrategyNotActive(id=id_):
            return str(Missing("strategy", glider_ids.ulid(id_)))
        case ScopeMissing(scope=scope):
            return f"API key lacks the {scope} scope"
        case _:
            return str(error)


def details_of(error: Exception) -> Sequence[str]:
    match error:
        case Invalid(problems=problems):
            return problems
        case StrategyUnavailable():
            return ["strategyId: is not a strategy of yours or a public one"]
        case errors.InvalidStrategy(problems=problems):
            return [_detail(problem) for problem in problems]
        case errors.AccountNotActive():
            return ["ownerAccountId: the account is not active"]
        case NotJson():
            return ["content-type: must be application/json"]
        case Undecodable():
            return ["body: must be a JSON object"]
        case errors.Malformed(path=path, problem=problem):
            return [f"{path}: {problem}"]
        case _:
            return []


def _detail(problem: errors.Problem) -> str:
    """A problem of the core in the words of this wire."""
    if problem.text == "weights must sum to 100":
        return "allocation.assets: Allocation weights must sum to 100"
    found = _WEIGHT.match(problem.path)
    if found is None:
        return f"{problem.path}: {problem.text}"
    line = found.group(1)
    path = f"allocation.assets{line}.weight" if line else "allocation.assets"
    return f"{path}: {problem.text.removeprefix(f'{problem.path}: ')}"


def _headers(error: Exception) -> dict[str, str]:
    """How many whole seconds to wait: rounded up, and never none."""
    match error:
        case errors.RunTooSoon(retry_after=wait):
            return {"Retry-After": str(max(1, math.ceil(wait.total_seconds())))}
        case RateLimited(retry_after_s=seconds):
            return {"Retry-After": str(seconds)}
        case _:
            return {}
