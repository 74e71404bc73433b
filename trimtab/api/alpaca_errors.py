"""What each known failure is called on Alpaca's wire: one table of status, code and message."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from trimtab.api.alpaca_requests import BadValue, InvalidTradeMarker, MalformedId, Required
from trimtab.api.auth import KeyExpired, KeyInvalid, KeyMissing, RateLimited, ScopeMissing
from trimtab.api.body import NotJson, Undecodable
from trimtab.api.underway import StillRunning
from trimtab.core import errors

log = logging.getLogger(__name__)


class UnknownReference(errors.TrimtabError):
    """An id in a request body that names nothing of the caller's."""


class SubscriptionMissing(errors.TrimtabError):
    """The seed answers an unknown subscription on DELETE in its own way."""


class IdempotencyKeyReused(errors.TrimtabError):
    """The key was sent before, with another body."""


# A message of None is the error's own text.
TABLE: Mapping[type[Exception], tuple[int, int, str | None]] = {
    Undecodable: (400, 40010000, "failed to decode request body"),
    errors.Malformed: (400, 40010001, None),
    Required: (400, 40010001, None),
    BadValue: (400, 40010001, None),
    errors.InvalidStrategy: (400, 40010001, None),
    KeyMissing: (401, 40110000, "unauthorized"),
    KeyInvalid: (401, 40110000, "unauthorized"),
    KeyExpired: (401, 40110000, "unauthorized"),
    ScopeMissing: (403, 40310000, "forbidden"),
    errors.NotFound: (404, 40410000, None),
    StillRunning: (409, 40910000, "the first request with this idempotency key is still running"),
    NotJson: (415, 41510000, "unsupported media type"),
    MalformedId: (422, 42210000, None),
    UnknownReference: (422, 42210000, None),
    SubscriptionMissing: (422, 42210000, "subscription doesn't exist"),
    errors.NothingToDelete: (422, 42210000, "nothing to delete"),
    errors.ClockRunsForward: (422, 42210000, None),
    errors.OutsideCalendar: (422, 42210000, None),
    errors.IneligibleAssets: (422, 42210001, None),
    errors.StrategyInUse: (422, 42210002, None),
    errors.StrategyNotActive: (422, 42210002, "portfolio is not active"),
    errors.AlreadyEnrolled: (422, 42210003, "subscription already exists for account"),
    errors.AccountNotActive: (422, 42210003, "account is not active"),
    errors.InsufficientCash: (422, 42210003, "insufficient cash"),
    InvalidTradeMarker: (422, 42210005, None),
    errors.EnrolledElsewhere: (422, 42210006, "account has an active subscription"),
    errors.NotEnrolled: (422, 42210006, "account has no active subscription: weights are required"),
    errors.RunAlreadyOpen: (422, 42210006, "a run is already in progress for account"),
    errors.RunIsFinal: (422, 42210007, "run cannot be canceled"),
    IdempotencyKeyReused: (422, 42210008, "idempotency key was used with another body"),
    RateLimited: (429, 42910000, "rate limit exceeded"),
    errors.BrokerDown: (503, 50310000, None),
}

# What this wire calls what it does not find.
NOUNS = {"strategy": "portfolio", "enrollment": "subscription"}

AnyRequest = Request[object, object, State]
HUNG_UP = "client disconnected prematurely"


def error_response(_request: AnyRequest, error: Exception) -> Response[dict[str, object]]:
    """The answer to any failure; what nobody foresaw is logged and says nothing of itself."""
    if isinstance(error, HTTPException) and error.detail == HUNG_UP:
        # The framework calls half a body a failure of ours; most who send one do not wait for this.
        error = Undecodable()
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        # Unknown routes, wrong methods, bodies that are too large: the framework's own refusals.
        message = error.detail.lower() or "refused"
        body: dict[str, object] = {"code": error.status_code * 100_000 + 10_000, "message": message}
        headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
        return Response(body, status_code=error.status_code, headers=headers)
    refused = refusal(error)
    if refused is None:
        log.error("unforeseen", exc_info=error)
        text = "internal server error"
        return Response({"code": 50010000, "error": text, "message": text}, status_code=500)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, RateLimited) else {}
    return Response(refused.body, status_code=refused.status, headers=headers)


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    body: dict[str, object]


def refusal(error: Exception) -> Refusal | None:
    """What the table says of a failure; None for what nobody foresaw."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if row is None:
        return None
    status, code, message = row
    return Refusal(status, {"code": code, "message": message or message_of(error)})


def message_of(error: Exception) -> str:
    """The first problem only: this wire has one message."""
    match error:
        case errors.InvalidStrategy(problems=problems):
            return problems[0].text
        case errors.NotFound(noun=noun):
            return not_found(noun)
        case errors.IneligibleAssets(reasons=reasons):
            symbol, why = next(iter(reasons.items()))
            return f"asset {why}: {symbol}"
        case _:
            return str(error)


@contextmanager
def ids_in_body(*, path_id: str | None = None) -> Iterator[None]:
    """An id that names nothing is 422 if it stood in the body, 404 if it stood in the path."""
    try:
        yield
    except errors.NotFound as error:
        if error.id == path_id:
            raise
        raise UnknownReference(not_found(error.noun)) from error


def not_found(noun: str) -> str:
    return f"{NOUNS.get(noun, noun)} not found"
