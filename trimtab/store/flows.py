"""Enrolments between their two stages, and what the second stage was answered.

The first answer stands: whoever sends the same second stage again gets it again, byte for byte.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from trimtab.core.enrollment import Flow
from trimtab.database import Row, Tx, instant, micros

_CHAIN_IDS = msgspec.json.Decoder(tuple[int, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered to the body with this SHA-256."""

    body_hash: str
    status: int
    text: str


def insert(tx: Tx, flow: Flow) -> None:
    """Store a flow; those that have ended meanwhile go."""
    tx.execute("DELETE FROM flows WHERE expires_at <= :now", now=micros(flow.created_at))
    tx.execute(
        """INSERT INTO flows (id, tenant_id, key_id, owner, strategy_id, chain_ids, account_index, agent,
                              message, created_at, expires_at)
           VALUES (:id, :tenant_id, :key_id, :owner, :strategy_id, :chain_ids, :account_index, :agent,
                   :message, :created_at, :expires_at)""",
        id=flow.id,
        tenant_id=flow.tenant_id,
        key_id=flow.key_id,
        owner=flow.owner,
        strategy_id=flow.strategy_id,
        chain_ids=msgspec.json.encode(flow.chain_ids).decode(),
        account_index=flow.account_index,
        agent=flow.agent,
        message=flow.message,
        created_at=micros(flow.created_at),
        expires_at=micros(flow.expires_at),
    )


def one(tx: Tx, key_id: str, flow_id: str, *, now: datetime) -> tuple[Flow, Answer | None] | None:
    """A flow that this key began and that has not ended, with its answer if it has one."""
    row = tx.row(
        "SELECT * FROM flows WHERE id = :id AND key_id = :key_id AND expires_at > :now",
        id=flow_id,
        key_id=key_id,
        now=micros(now),
    )
    return None if row is None else (_flow(row), _answer(row))


def answer(tx: Tx, flow_id: str, given: Answer) -> Answer:
    """Store the answer, unless there is one; the one that stands."""
    tx.execute(
        """UPDATE flows SET body_hash = :body_hash, answer_status = :status, answer = :text
           WHERE id = :id AND answer IS NULL""",
        id=flow_id,
        body_hash=given.body_hash,
        status=given.status,
        text=given.text,
    )
    row = tx.row("SELECT * FROM flows WHERE id = :id", id=flow_id)
    stands = None if row is None else _answer(row)
    return given if stands is None else stands


def _flow(row: Row) -> Flow:
    return Flow(
        id=row["id"],
        tenant_id=row["tenant_id"],
        key_id=row["key_id"],
        owner=row["owner"],
        strategy_id=row["strategy_id"],
        chain_ids=_CHAIN_IDS.decode(row["chain_ids"]),
        account_index=row["account_index"],
        agent=row["agent"],
        message=row["message"],
        created_at=instant(row["created_at"]),
        expires_at=instant(row["expires_at"]),
    )


def _answer(row: Row) -> Answer | None:
    if row["answer"] is None:
        return None
    return Answer(body_hash=row["body_hash"], status=row["answer_status"], text=row["answer"])
