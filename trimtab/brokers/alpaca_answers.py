"""The one table that says what an answer to an order means; what is not in it is unknown.

Its words: accepted, refused, duplicate, unknown, and "not sent" where nothing left. A refusal and a
duplicate are only believed once the order has been looked up: that is done where orders are sent.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from trimtab.brokers.alpaca_calls import Answer, NoRoom, Silence


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    NOT_SENT = "not sent"


class Proof(StrEnum):
    """What beside the status must be there."""

    ECHO = "an order with our id"
    ID_USED = "a message that the client order id was used"
    CODE = "the broker's own error, with its numeric code"
    MESSAGE = "an error message in JSON"
    NOTHING = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Answers with one of these statuses and the proof mean the verdict."""

    statuses: range | frozenset[int]
    proof: Proof
    verdict: Verdict
    why: str

    @property
    def shown_statuses(self) -> str:
        if isinstance(self.statuses, range):
            return f"{self.statuses.start}–{self.statuses.stop - 1}"
        return ", ".join(str(status) for status in sorted(self.statuses))


ANY = range(100, 600)
# The first that fits. What is refused here is refused before an order is made.
RULES = (
    Rule(
        statuses=range(200, 300),
        proof=Proof.ECHO,
        verdict=Verdict.ACCEPTED,
        why="it shows the order under our id",
    ),
    Rule(
        statuses=frozenset({400, 403, 409, 422}),
        proof=Proof.ID_USED,
        verdict=Verdict.DUPLICATE,
        why="an order with this id exists: it is looked up and compared",
    ),
    Rule(
        statuses=frozenset({409}),
        proof=Proof.MESSAGE,
        verdict=Verdict.DUPLICATE,
        why="something of ours is in its way: most likely the order itself",
    ),
    Rule(
        statuses=frozenset({400, 422}),
        proof=Proof.MESSAGE,
        verdict=Verdict.REFUSED,
        why="the order is malformed, too small, or of an asset that cannot be traded so",
    ),
    Rule(
        statuses=frozenset({403, 404}),
        proof=Proof.CODE,
        verdict=Verdict.REFUSED,
        why="no buying power, not enough shares, a wash trade; no such account. Gateways say 403 and 404 "
        "too, but without the broker's code",
    ),
    Rule(
        statuses=frozenset({429}),
        proof=Proof.NOTHING,
        verdict=Verdict.UNKNOWN,
        why="the limiter most likely stood before the order, which is no proof",
    ),
    Rule(
        statuses=frozenset({401}),
        proof=Proof.NOTHING,
        verdict=Verdict.UNKNOWN,
        why="the keys are wrong or were revoked. Waiting costs the quarantine; assuming could cost an order",
    ),
    Rule(
        statuses=ANY,
        proof=Proof.NOTHING,
        verdict=Verdict.UNKNOWN,
        why="a proxy's word, a fault after acceptance, a redirect: it proves nothing",
    ),
)

MESSAGE_MAX = 200
_NAMES_ID = re.compile(r"client[ _-]?order[ _-]?id|order id", re.IGNORECASE)
_SAYS_USED = re.compile(r"unique|duplicat|already|exists|in use|been used|taken", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    why: str


def judge(said: Answer | Silence | NoRoom, client_order_id: str) -> Judgement:
    """What the answer to a POST of this order means."""
    match said:
        case NoRoom(until):
            return Judgement(Verdict.NOT_SENT, f"the rate limit leaves no room until {until:%H:%M:%S} UTC")
        case Silence(why=why, left=left):
            return Judgement(Verdict.UNKNOWN if left else Verdict.NOT_SENT, why)
        case Answer(status=status):
            rule = next(r for r in RULES if status in r.statuses and PROOFS[r.proof](said, client_order_id))
            told = _message(said)
            return Judgement(rule.verdict, told or f"the broker answers {status}: {rule.why}")


def is_own_error(answer: Answer) -> bool:
    """Whether the broker itself says no, and not somebody on the way to it."""
    code = answer.body.get("code") if isinstance(answer.body, dict) else None
    return isinstance(code, str) and re.fullmatch(r"[0-9]{3,9}", code, re.ASCII) is not None


def has_message(answer: Answer) -> bool:
    """Whether it is an error in JSON, whoever speaks."""
    return bool(_message(answer))


def _message(answer: Answer) -> str:
    message = answer.body.get("message") if isinstance(answer.body, dict) else None
    if not isinstance(message, str):
        return ""
    # It is stored and shown: whatever else is in it stays outside.
    return "".join(each if each.isprintable() else " " for each in message)[:MESSAGE_MAX].strip()


def _echoes(answer: Answer, client_order_id: str) -> bool:
    return isinstance(answer.body, dict) and answer.body.get("client_order_id") == client_order_id


def _says_used(answer: Answer) -> bool:
    message = _message(answer)
    return bool(_SAYS_USED.search(message)) and bool(
        _NAMES_ID.search(message) or "duplicat" in message.lower()
    )


PROOFS: dict[Proof, Callable[[Answer, str], bool]] = {
    Proof.ECHO: _echoes,
    Proof.ID_USED: lambda answer, _: _says_used(answer),
    Proof.CODE: lambda answer, _: is_own_error(answer),
    Proof.MESSAGE: lambda answer, _: has_message(answer),
    Proof.NOTHING: lambda _answer, _: True,
}
