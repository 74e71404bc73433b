"""Enrolment in two stages: a flow that reserves nothing, and the enrollment it ends in.

The second stage and its answer are one transaction, so that whoever asks again after a crash is
answered as before and nobody is enrolled twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from trimtab.core.enrollment import Enrollment, Flow
from trimtab.core.errors import TrimtabError
from trimtab.database import Tx
from trimtab.engine.desk import Desk
from trimtab.engine.enrollment_actions import EnrollRequest, enroll, require_account
from trimtab.engine.strategy_actions import require_followable
from trimtab.store import enrollments, flows
from trimtab.store.flows import Answer

FLOW_LASTS = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """`account_id` is the account that the owner id names, None if the owner is a wallet."""

    key_id: str
    owner: str
    account_id: str | None
    strategy_id: str
    chain_ids: tuple[int, ...]
    agent: str


def begin_flow(desk: Desk, tenant_id: str, request: FlowRequest) -> Flow:
    """Store the first stage. Raises NotFound for an account or strategy that the tenant may not use,
    AccountNotActive and StrategyNotActive.
    """
    if request.account_id is not None:
        require_account(desk, tenant_id, request.account_id)
    now = desk.clock()
    flow_id = desk.new_id()

    def store(tx: Tx) -> Flow:
        require_followable(tx, tenant_id, request.strategy_id)
        is_wallet = request.account_id is None
        flow = Flow(
            id=flow_id,
            tenant_id=tenant_id,
            key_id=request.key_id,
            owner=request.owner,
            strategy_id=request.strategy_id,
            chain_ids=request.chain_ids,
            account_index=enrollments.wallets(tx, tenant_id, request.owner) if is_wallet else 0,
            agent=request.agent,
            # As hard to guess as the id of the flow, which is chance.
            message=sha256(f"{tenant_id}:{flow_id}".encode()).hexdigest(),
            created_at=now,
            expires_at=now + FLOW_LASTS,
        )
        flows.insert(tx, flow)
        return flow

    return desk.db.write(store)


def complete_flow(
    desk: Desk, flow: Flow, request: EnrollRequest, *, answer: Callable[[Enrollment], Answer]
) -> Answer:
    """Enroll as the flow says, and store what that is answered; the answer that stands, if the flow was
    answered meanwhile. Raises like `enroll`.
    """

    def also(tx: Tx, enrollment: Enrollment) -> None:
        given = answer(enrollment)
        stands = flows.answer(tx, flow.id, given)
        if stands != given:
            raise _Answered(stands)

    try:
        return answer(enroll(desk, flow.tenant_id, request, also=also))
    except _Answered as overtaken:
        return overtaken.answer


@dataclass
class _Answered(TrimtabError):
    """Somebody else was answered first: nothing of ours is to be stored."""

    answer: Answer


def record_answer(desk: Desk, flow: Flow, given: Answer) -> Answer:
    """Store that the second stage was refused; the answer that stands."""
    return desk.db.write(lambda tx: flows.answer(tx, flow.id, given))
