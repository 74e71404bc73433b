"""Acting once per Idempotency-Key: whoever sends the same request again gets its first answer again.

A route does what was asked with an action, and gives its answer to `keep` inside the action's
transaction: effect and answer are one commit, and a crash leaves both or neither. Refusals are kept
too. Failures of ours are not, nor what was refused before the body was understood: those may be tried
again.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID, uuid5

import msgspec
from litestar import Response

from trimtab.api.alpaca_errors import IdempotencyKeyReused, refusal
from trimtab.api.auth import Caller
from trimtab.api.body import Object, fingerprint
from trimtab.api.front import AnyRequest, FrontDesk
from trimtab.core.errors import Malformed, TrimtabError
from trimtab.database import Tx
from trimtab.store import replies
from trimtab.store.flows import Answer
from trimtab.store.replies import Anchor

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}
KEY = re.compile(r"^[!-~](?:[ -~]{0,253}[!-~])?$", re.ASCII)
KEY_RULE = "must be 1 to 255 printable ASCII characters"
# Ids of what requests with a key make at the paper broker are names in this namespace.
ID_NAMESPACE = UUID("5d0c7f0e-43b5-4a76-9c41-0f4f3c7a9d62")

Shown = msgspec.Struct | Sequence[msgspec.Struct]
Keep = Callable[[Tx, Shown], None]
Act = Callable[[Object, Keep], object]
Store = Callable[[Tx, Answer], None]


@dataclass
class _AnsweredBefore(Exception):
    """Nothing of ours is to be stored: this answer stands."""

    answer: Answer


def new_id_of(front: FrontDesk, request: AnyRequest, caller: Caller) -> str:
    """The id of what this request makes. It follows from its key, for a place that cannot commit its effect
    together with the answer: asked again after a crash, that finds what it has made already.
    """
    anchor = _anchor(request, caller)
    if anchor is None:
        return front.desk.new_id()
    name = (anchor.tenant_id, anchor.key_id, anchor.method, anchor.path, anchor.idempotency_key)
    return str(uuid5(ID_NAMESPACE, json.dumps(name)))


def answer_once(
    front: FrontDesk, request: AnyRequest, read: Callable[[], Object], *, caller: Caller, act: Act
) -> Response[bytes]:
    """What `act` gives to `keep` for the JSON in the body; with a key that was used before, what was
    answered then.

    Raises like `act`, Malformed for a bad key, StillRunning and IdempotencyKeyReused.
    """
    anchor = _anchor(request, caller)
    sent = read()
    if anchor is None:
        return response_of(_acted(act, sent, store=_store_nothing))
    with front.underway.claimed(anchor):
        try:
            return response_of(_first_answer(front, anchor, sent, act=act))
        except _AnsweredBefore as before:
            if before.answer.body_hash != fingerprint(sent):
                raise IdempotencyKeyReused from before
            return response_of(before.answer, REPLAYED)


def _anchor(request: AnyRequest, caller: Caller) -> Anchor | None:
    keys = request.headers.getall(HEADER, [])
    if not keys:
        return None
    if len(keys) > 1 or not KEY.fullmatch(keys[0]):
        raise Malformed(HEADER, KEY_RULE)
    return Anchor(
        tenant_id=caller.tenant_id,
        key_id=caller.key_id,
        method=request.method,
        # An id in it may be written in upper case, and is the same one.
        path=request.scope["path"].rstrip("/").lower(),
        idempotency_key=keys[0],
    )


def _first_answer(front: FrontDesk, anchor: Anchor, sent: Object, *, act: Act) -> Answer:
    """Act, and store what that is answered. Raises _AnsweredBefore if the key has its answer."""
    now = front.desk.clock()
    known = front.desk.db.read(lambda tx: replies.one(tx, anchor, now=now))
    if known is not None:
        raise _AnsweredBefore(known)

    def store(tx: Tx, given: Answer) -> None:
        stands = replies.keep(tx, anchor, given, now=now)
        if stands is not None:
            raise _AnsweredBefore(stands)

    try:
        return _acted(act, sent, store=store)
    except TrimtabError as error:
        refused = refusal(error)
        if refused is None or refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        answer = _answer(sent, refused.body, status=refused.status)
    front.desk.db.write(lambda tx: store(tx, answer))
    return answer


def _acted(act: Act, sent: Object, *, store: Store) -> Answer:
    given: list[Answer] = []

    def keep(tx: Tx, shown: Shown) -> None:
        answer = _answer(sent, shown, status=HTTPStatus.OK)
        store(tx, answer)
        given.append(answer)

    act(sent, keep)
    # The last: a transaction that met a deadlock is tried again, and only its last try was committed.
    return given[-1]


def _store_nothing(_tx: Tx, _answer: Answer) -> None:
    """A request without a key is answered once."""


def _answer(sent: Object, shown: object, *, status: int) -> Answer:
    return Answer(body_hash=fingerprint(sent), status=status, text=msgspec.json.encode(shown).decode())


def response_of(answer: Answer, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(
        answer.text.encode(), status_code=answer.status, media_type="application/json", headers=headers
    )
