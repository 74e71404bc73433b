"""What requests with an Idempotency-Key were answered, kept for a day.

The first answer stands, and it is stored in the transaction of its effect: of two requests with one
key, whichever process they came to, one commits; the other finds its answer and stores nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.database import Row, Tx, micros
from trimtab.store.flows import Answer

KEPT = timedelta(hours=24)
# More than one: a backlog shrinks while new answers come.
PRUNED_PER_INSERT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What makes two requests the same one: the API key `key_id`, and the client's `idempotency_key`."""

    tenant_id: str
    key_id: str
    method: str
    path: str
    idempotency_key: str


def one(tx: Tx, anchor: Anchor, *, now: datetime) -> Answer | None:
    row = _row(tx, anchor)
    return None if row is None or row["expires_at"] <= micros(now) else _answer(row)


def keep(tx: Tx, anchor: Anchor, given: Answer, *, now: datetime) -> Answer | None:
    """Store an answer; or the one that stands already, and nothing is stored.

    While another transaction holds an answer that it has not committed, this waits for it.
    """
    stored = tx.execute(
        """INSERT INTO replies (tenant_id, key_id, method, path, idempotency_key, body_hash, answer_status,
                                answer, expires_at)
           VALUES (:tenant_id, :key_id, :method, :path, :idempotency_key, :body_hash, :status, :text,
                   :expires_at)
           ON CONFLICT (tenant_id, key_id, method, path, idempotency_key) DO UPDATE
           SET body_hash = excluded.body_hash, answer_status = excluded.answer_status,
               answer = excluded.answer, expires_at = excluded.expires_at
           WHERE replies.expires_at <= :now""",
        **_scope(anchor),
        body_hash=given.body_hash,
        status=given.status,
        text=given.text,
        expires_at=micros(now + KEPT),
        now=micros(now),
    )
    if stored:
        _prune(tx, now)
        return None
    row = _row(tx, anchor)
    assert row is not None, "the insert met it, and holds it"
    return _answer(row)


def _prune(tx: Tx, now: datetime) -> None:
    """Let some go that nobody can ask for any more; those that somebody else works on are left to him."""
    expired = tx.rows(
        """SELECT seq FROM replies WHERE expires_at <= :now ORDER BY expires_at LIMIT :most
           FOR UPDATE SKIP LOCKED""",
        now=micros(now),
        most=PRUNED_PER_INSERT,
    )
    if expired:
        tx.execute("DELETE FROM replies WHERE seq IN :expired", expired=[row["seq"] for row in expired])


def _row(tx: Tx, anchor: Anchor) -> Row | None:
    return tx.row(
        """SELECT * FROM replies
           WHERE tenant_id = :tenant_id AND key_id = :key_id AND method = :method AND path = :path
             AND idempotency_key = :idempotency_key""",
        **_scope(anchor),
    )


def _scope(anchor: Anchor) -> dict[str, str]:
    return {
        "tenant_id": anchor.tenant_id,
        "key_id": anchor.key_id,
        "method": anchor.method,
        "path": anchor.path,
        "idempotency_key": anchor.idempotency_key,
    }


def _answer(row: Row) -> Answer:
    return Answer(body_hash=row["body_hash"], status=row["answer_status"], text=row["answer"])
