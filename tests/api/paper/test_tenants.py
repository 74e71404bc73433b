"""Another tenant's account is missing: on every route, in every list, in every stream."""

import re
from uuid import uuid4

import httpx
import pytest

from tests.api.paper.face import HOLDER, WITH_ENGINE, Face, Json, events_in
from trimtab.api.alpaca_call import AnyOperation, Command
from trimtab.api.alpaca_routes import PAPER_OPERATIONS

pytestmark = pytest.mark.parametrize("face", WITH_ENGINE, indirect=True)
BODIES: dict[str, Json] = {
    "create_relationship": {"processor_token": "token"},
    "create_transfer": {
        "transfer_type": "ach",
        "relationship_id": str(uuid4()),
        "amount": "5",
        "direction": "INCOMING",
    },
    "create_order": {
        "symbol": "SPY",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "notional": "5",
    },
}
OF_AN_ACCOUNT = [each for each in PAPER_OPERATIONS if "account_id" in each.names]


def ask(http: httpx.Client, operation: AnyOperation, *, account_id: str, other_id: str) -> httpx.Response:
    path = operation.path.replace("{account_id}", account_id).replace("{symbol}", "SPY")
    path = re.sub(r"\{\w+\}", other_id, path)
    body = BODIES.get(operation.act.__name__) if isinstance(operation, Command) else None
    query = {"client_order_id": "mine"} if path.endswith("client_order_id") else {}
    return http.request(operation.method, path, json=body, params=query)


@pytest.mark.parametrize("operation", OF_AN_ACCOUNT, ids=lambda each: each.act.__name__)
def test_a_foreign_account_answers_like_one_that_is_not_there(face: Face, operation: AnyOperation) -> None:
    account = face.account("100")
    order = face.order(account, notional="10", client_order_id="mine")
    for other_id in (order["id"], face.relationship(account)):
        foreign = ask(face.stranger, operation, account_id=account, other_id=other_id)
        missing = ask(face.stranger, operation, account_id=str(uuid4()), other_id=other_id)
        assert (foreign.status_code, foreign.content) == (404, missing.content)
    assert face.cash(account) == "90"
    assert face.call("GET", f"/v1/accounts/{account}")["status"] == "ACTIVE"


def test_lists_and_streams_show_ones_own(face: Face) -> None:
    account = face.account("100")
    face.order(account, notional="10")
    journal = face.journal(face.firm(), account, "5")
    stranger = face.stranger
    assert stranger.get(f"/v1/journals/{journal['id']}").status_code == 404
    assert account not in stranger.get("/v1/accounts").text
    assert account not in stranger.get("/v1/journals").text
    now = face.call("GET", "/sandbox/clock")["now"]
    with stranger.stream("GET", "/v2/events/trades", params={"since": "2026-03-04", "until": now}) as answer:
        assert list(events_in(answer.iter_lines())) == []


def test_cash_is_not_journaled_to_somebody_elses_account(face: Face) -> None:
    account = face.account("100")
    body = {"contact": HOLDER["contact"] | {"email_address": f"{uuid4()}@example.com"}}
    face.stranger.post("/v1/accounts", json=HOLDER | body).raise_for_status()
    firms = [
        each["id"] for each in face.stranger.get("/v1/accounts").json() if each["account_type"] == "firm"
    ]
    for sides in [(firms[0], account), (account, firms[0]), (face.firm(), account)]:
        body = {"entry_type": "JNLC", "from_account": sides[0], "to_account": sides[1], "amount": "5"}
        assert face.stranger.post("/v1/journals", json=body).status_code == 422
    assert face.cash(account) == "100"


def test_an_address_may_be_each_tenants(face: Face) -> None:
    body = face.holder()
    answers = [http.post("/v1/accounts", json=body) for http in (face.http, face.stranger)]
    assert [answer.status_code for answer in answers] == [200, 200]
