"""Glider's enrolment: a first stage that gives a message to sign, a second that takes the signature.

The flow id is the anchor of idempotency: the same second stage gets the same answer for a day, typed
failures too, and another body under the same flow is a conflict.
"""

import msgspec

from trimtab.api import glider_requests as requests
from trimtab.api.body import fingerprint
from trimtab.api.glider_call import Call, Operation, Raw, success
from trimtab.api.glider_errors import FlowConflict, Invalid, StrategyUnavailable, refusal
from trimtab.api.glider_ids import CHAINS, evm_address, normal_caip, portfolio_id, ulid, uuid_of_ulid
from trimtab.api.glider_signature import signed_by
from trimtab.api.glider_wire import Out, SmartAccountOut, smart_accounts_out
from trimtab.core.enrollment import Enrollment, Flow
from trimtab.core.errors import BrokerDown, NotFound, StrategyNotActive, TrimtabError
from trimtab.engine import flow_actions
from trimtab.engine.enrollment_actions import EnrollRequest
from trimtab.engine.flow_actions import FlowRequest
from trimtab.store import flows
from trimtab.store.flows import Answer

WRITE = "enroll:write"
FLOW_PREFIX = "flow_"
CREATED = 201


class MessageOut(Out):
    raw: str
    kind: str = "ecdsa"


class SignatureOut(Out):
    message: MessageOut
    agent_account_id: str
    account_index: str
    flow_id: str
    account_type: str


class EnrolledOut(Out):
    portfolio_id: str
    portfolio_name: str | None
    strategy_id: str
    smart_accounts: list[SmartAccountOut]


def begin_enrolment(call: Call) -> SignatureOut:
    owner = _owner_in(call)
    account_id = call.names.account_in(owner)
    assert call.caller is not None, "the route needs a key"
    request = FlowRequest(
        key_id=call.caller.key_id,
        owner=owner,
        account_id=account_id,
        strategy_id=uuid_of_ulid(call.body["strategyId"]) or call.body["strategyId"],
        chain_ids=_chain_ids_in(call, owner),
        agent=call.names.agent(call.tenant_id, owner),
    )
    try:
        flow = flow_actions.begin_flow(call.front.desk, call.tenant_id, request)
    except (NotFound, StrategyNotActive) as error:
        raise _unavailable(call, error) from error
    return SignatureOut(
        message=MessageOut(raw=f"0x{flow.message}"),
        agent_account_id=flow.agent,
        account_index=str(flow.account_index),
        flow_id=FLOW_PREFIX + ulid(flow.id),
        account_type="ECDSA",
    )


def enrol(call: Call) -> Raw:
    body_hash = fingerprint(call.sent)
    flow, answered = _flow_in(call)
    if answered is None:
        answered = _second_stage(call, flow, body_hash=body_hash)
    if answered.body_hash != body_hash:
        raise FlowConflict
    return Raw(status=answered.status, text=answered.text)


def _flow_in(call: Call) -> tuple[Flow, Answer | None]:
    """The flow that the body names, of this key, and what it was answered. Raises Invalid."""
    desk, caller = call.front.desk, call.caller
    assert caller is not None, "the route needs a key"
    flow_id = uuid_of_ulid(call.body["flowId"].removeprefix(FLOW_PREFIX))
    now = desk.clock()
    found = None
    if flow_id is not None:
        found = desk.db.read(lambda tx: flows.one(tx, caller.key_id, flow_id, now=now))
    if found is None:
        raise Invalid(["flowId: is unknown or has expired; begin again"])
    return found


def _second_stage(call: Call, flow: Flow, *, body_hash: str) -> Answer:
    """Enroll, or record why not; a broker that is down decides nothing, and may be asked again."""

    def answer(enrollment: Enrollment) -> Answer:
        enrolled = EnrolledOut(
            portfolio_id=portfolio_id(enrollment.id),
            portfolio_name=enrollment.name,
            strategy_id=ulid(enrollment.strategy_id),
            smart_accounts=smart_accounts_out(enrollment, call.names),
        )
        return Answer(body_hash=body_hash, status=CREATED, text=success(enrolled).decode())

    desk = call.front.desk
    try:
        return flow_actions.complete_flow(desk, flow, _checked(call, flow), answer=answer)
    except BrokerDown:
        raise
    except TrimtabError as error:
        typed = _unavailable(call, error) if isinstance(error, NotFound | StrategyNotActive) else error
        status, envelope = refusal(typed)
        text = msgspec.json.encode(envelope).decode()
        return flow_actions.record_answer(desk, flow, Answer(body_hash=body_hash, status=status, text=text))


def _checked(call: Call, flow: Flow) -> EnrollRequest:
    """What the flow lets us enroll, if the second stage agrees with the first and is signed."""
    body = call.body
    given = {
        "ownerAccountId": call.names.owner_in(body["ownerAccountId"]),
        "strategyId": uuid_of_ulid(body["strategyId"]),
        "chainIds": tuple(body["chainIds"]),
        "accountIndex": body["accountIndex"],
        "agentAccountId": normal_caip(body["agentAccountId"]),
    }
    begun = {
        "ownerAccountId": flow.owner,
        "strategyId": flow.strategy_id,
        "chainIds": flow.chain_ids,
        "accountIndex": str(flow.account_index),
        "agentAccountId": flow.agent,
    }
    differing = [f"{name}: is not what the flow began with" for name in begun if given[name] != begun[name]]
    if differing:
        raise Invalid(differing)
    address = evm_address(flow.owner)
    if address is not None and not signed_by(address, flow.message, signature=body["signature"]):
        raise Invalid(["signature: is not the owner's for this message"])
    account_id = call.names.account_in(flow.owner)
    if account_id is None:
        account_id = call.front.desk.broker.wallet(flow.owner, flow.tenant_id, index=flow.account_index)
        if account_id is None:
            raise Invalid(["ownerAccountId: the broker has no wallets"])
    return EnrollRequest(
        account_id=account_id,
        strategy_id=flow.strategy_id,
        name=body.get("portfolioName"),
        owner=None if address is None else flow.owner,
        account_index=flow.account_index,
        chain_ids=flow.chain_ids,
    )


def _owner_in(call: Call) -> str:
    """The owner, in the one spelling it has here. Raises Invalid."""
    owner = call.names.owner_in(call.body["ownerAccountId"])
    if owner is None or (evm_address(owner) is None and call.names.account_in(owner) is None):
        raise Invalid([f"ownerAccountId: must be {call.names.account('<account id>')} or eip155:0:<address>"])
    if call.body.get("accountType", "ECDSA") != "ECDSA":
        raise Invalid(["accountType: signatures of contracts cannot be verified here"])
    return owner


def _chain_ids_in(call: Call, owner: str) -> tuple[int, ...]:
    """The chains of a wallet; for an account of the broker they mean nothing (decisions page, 21)."""
    chain_ids = tuple(call.body["chainIds"])
    if evm_address(owner) is None:
        return chain_ids
    if not chain_ids or len(set(chain_ids)) < len(chain_ids) or not CHAINS.issuperset(chain_ids):
        allowed = ", ".join(map(str, sorted(CHAINS)))
        raise Invalid([f"chainIds: must be different chains among {allowed}"])
    return chain_ids


def _unavailable(call: Call, error: TrimtabError) -> TrimtabError:
    """What is not there is a wrong value in a body, never a missing resource (notes, 9.13)."""
    match error:
        case StrategyNotActive():
            return Invalid(["strategyId: the strategy has an asset that cannot be traded now"])
        case NotFound(noun="account"):
            return Invalid(["ownerAccountId: no such account"])
        case _:
            return StrategyUnavailable(call.body["strategyId"])


_STAGE_ONE = "Begin an enrolment: get the message that the owner signs"

OPERATIONS = (
    Operation(
        method="POST",
        path="/v2/enroll/signature",
        scope=WRITE,
        summary=_STAGE_ONE,
        act=begin_enrolment,
        gives=SignatureOut,
        takes=requests.SIGNATURE_BODY,
    ),
    Operation(
        method="POST",
        path="/v2/enroll",
        scope=WRITE,
        summary="Enroll: the account follows the strategy from now on",
        act=enrol,
        gives=EnrolledOut,
        status=CREATED,
        takes=requests.ENROL_BODY,
    ),
)
