"""What each known failure is called on Alpaca's wire: one table of status, code and message."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from trimtab.api.alpaca_shapes import BadValue, MalformedId, Required
from trimtab.api.alpaca_values import InvalidTradeMarker
from trimtab.api.auth import KeyExpired, KeyInvalid, KeyMissing, RateLimited, ScopeMissing
from trimtab.api.body import NotJson, Undecodable
from trimtab.api.hang_up import hang_up
from trimtab.api.stream import TooManyStreams
from trimtab.api.underway import StillRunning
from trimtab.core import errors

log = logging.getLogger(__name__)


class UnknownReference(errors.TrimtabError):
    """An id in a request body that names nothing of the caller's."""


class SubscriptionMissing(errors.TrimtabError):
    """The seed answers an unknown subscription on DELETE in its own way."""


class AlreadyThere(errors.TrimtabError):
    """What there can only be one of: an e-mail address, a bank relationship; the text says which."""


class StillHolds(errors.TrimtabError):
    """An account that is to be closed holds cash or positions: they would be out of reach."""


class NotCovered(errors.TrimtabError):
    """The account lacks the cash or the shares; the text says how much."""


class DuplicateOrder(errors.TrimtabError):
    """The account has an order with this client_order_id."""


class OrderRefused(errors.TrimtabError):
    """The market does not take this order; the text says why."""


@dataclass
class NotCancelable(errors.TrimtabError):
    noun: str

    def __str__(self) -> str:
        return f"{self.noun} is not cancelable"


class ReplyLost(errors.TrimtabError):
    """A fault that was asked for: what was asked is done, and nobody is told."""


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
    NotCovered: (403, 40310000, None),
    errors.NotFound: (404, 40410000, None),
    StillRunning: (409, 40910000, "the first request with this idempotency key is still running"),
    AlreadyThere: (409, 40910001, None),
    NotJson: (415, 41510000, "unsupported media type"),
    MalformedId: (422, 42210000, None),
    UnknownReference: (422, 42210000, None),
    SubscriptionMissing: (422, 42210000, "subscription doesn't exist"),
    errors.NothingToDelete: (422, 42210000, "nothing to delete"),
    errors.ClockRunsForward: (422, 42210000, None),
    errors.CorporateActionRefused: (422, 42210000, None),
    errors.OutsideCalendar: (422, 42210000, None),
    errors.IneligibleAssets: (422, 42210001, None),
    errors.StrategyInUse: (422, 42210002, None),
    errors.StrategyNotActive: (422, 42210002, "portfolio is not active"),
    errors.AlreadyEnrolled: (422, 42210003, "subscription already exists for account"),
    errors.AccountNotActive: (422, 42210003, "account is not active"),
    errors.InsufficientCash: (422, 42210003, "insufficient cash"),
    StillHolds: (422, 42210003, "account still holds cash or positions"),
    InvalidTradeMarker: (422, 42210005, None),
    errors.EnrolledElsewhere: (422, 42210006, "account has an active subscription"),
    errors.NotEnrolled: (422, 42210006, "account has no active subscription: weights are required"),
    errors.RunAlreadyOpen: (422, 42210006, "a run is already in progress for account"),
    errors.RunIsFinal: (422, 42210007, "run cannot be canceled"),
    NotCancelable: (422, 42210007, None),
    # The only code that does not begin with its status: the vendor's.
    DuplicateOrder: (422, 40010001, "client_order_id must be unique"),
    OrderRefused: (422, 42210000, None),
    IdempotencyKeyReused: (422, 42210008, "idempotency key was used with another body"),
    RateLimited: (429, 42910000, "rate limit exceeded"),
    TooManyStreams: (429, 42910001, "too many open event streams"),
    ReplyLost: (500, 50010000, "the reply was lost"),
    errors.BrokerDown: (503, 50310000, None),
}

UNFORESEEN = 50010000
# When each code is answered, in the words of the reference page.
WHEN: Mapping[int, str] = {
    40010000: "the body is not JSON that can be accepted",
    40010001: "a value is missing, malformed or not allowed",
    40110000: "no key, a wrong, expired or revoked one",
    40310000: "the key lacks the scope, the account the cash or the shares",
    40410000: "an id in the path names nothing; an unknown path",
    40510000: "the path has no such method",
    40910000: "the first request with this `Idempotency-Key` is still running",
    40910001: "the e-mail address or the bank relationship is there already",
    41310000: "the body is larger than 1 MiB",
    41510000: "the content type is not JSON",
    42210000: "a malformed id; an id in the body that names nothing; nothing to delete; an order that the "
    "market does not take",
    42210001: "an asset that is unknown, inactive, not tradable or not fractionable",
    42210002: "the portfolio is not active, or is in use",
    42210003: "the account is not active, is subscribed already, lacks the cash or still holds something",
    42210005: "an unknown `trade_marker`",
    42210006: "weights for a subscribed account, none for another, or a run in progress",
    42210007: "a run, an order, a transfer or a journal that cannot be cancelled any more",
    42210008: "the `Idempotency-Key` was used with another body",
    42910000: "more than `TRIMTAB_RATE_LIMIT` requests a minute",
    42910001: "the key has as many event streams open as a key may have at one server",
    UNFORESEEN: "a fault of ours; nothing is half done",
    50310000: "the broker does not answer",
}

# What this wire calls what it does not find.
NOUNS = {"strategy": "portfolio", "enrollment": "subscription", "ach_relationship": "ach relationship"}

AnyRequest = Request[object, object, State]
HUNG_UP = "client disconnected prematurely"


def error_response(request: AnyRequest, error: Exception) -> Response[dict[str, object]]:
    """The answer to any failure; what nobody foresaw is logged and says nothing of itself."""
    if isinstance(error, HTTPException) and error.detail == HUNG_UP:
        # The framework calls half a body a failure of ours; most who send one do not wait for this.
        error = Undecodable()
    told = told_of(error)
    if isinstance(error, ReplyLost):
        hang_up(request.scope["client"])
    elif told.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("unforeseen", exc_info=error)
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    elif isinstance(error, RateLimited):
        headers = {"Retry-After": str(error.retry_after_s)}
    return Response(told.body, status_code=told.status, headers=headers)


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    body: dict[str, object]


def told_of(error: Exception) -> Refusal:
    """Status and body of any failure."""
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        # Unknown routes, wrong methods, bodies that are too large: the framework's own refusals.
        message = error.detail.lower() or "refused"
        return Refusal(error.status_code, {"code": error.status_code * 100_000 + 10_000, "message": message})
    text = "internal server error"
    return refusal(error) or Refusal(500, {"code": UNFORESEEN, "error": text, "message": text})


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
