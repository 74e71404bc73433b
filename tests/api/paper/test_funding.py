"""Accounts and their money over the wire: what is refused, and what a request with a key does once."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.paper.face import Face, Json

KEY = "Idempotency-Key"


def without(body: Json, path: str) -> Json:
    block, _, name = path.partition(".")
    return {**body, block: {k: v for k, v in body[block].items() if k != name}}


@pytest.mark.parametrize("path", ["contact.email_address", "contact.city", "identity.family_name"])
def test_an_account_needs_what_the_client_insists_on(face: Face, path: str) -> None:
    refused = face.refused("POST", "/v1/accounts", without(face.holder(), path), expect=400)
    assert refused == (40010001, f"{path} is required")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contact": None}, "contact is required"),
        ({"contact": "Ann"}, "contact: must be an object"),
        ({"agreements": {}}, "agreements: invalid value"),
        ({"agreements": [{"agreement": "none"}]}, "agreements[0].agreement: invalid value"),
        (
            {"disclosures": {"immediate_family_exposed": "no"}},
            "disclosures.immediate_family_exposed: invalid value",
        ),
        ({"currency": "EUR"}, "currency: invalid value"),
    ],
)
def test_what_is_wrong_with_a_holder_is_said(face: Face, changes: Json, message: str) -> None:
    assert face.refused("POST", "/v1/accounts", face.holder(**changes), expect=400) == (40010001, message)


def test_an_address_opens_one_account(face: Face) -> None:
    body = face.holder()
    face.call("POST", "/v1/accounts", body)
    body["contact"]["email_address"] = body["contact"]["email_address"].upper()
    refused = face.refused("POST", "/v1/accounts", body, expect=409)
    assert refused == (40910001, "email address already exists")


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"amount": "0"}, 400, "amount must be greater than 0"),
        ({"amount": "1.001"}, 400, "amount: at most two decimal places"),
        ({"amount": None}, 400, "amount is required"),
        ({"direction": "UP"}, 400, "direction: invalid value"),
        ({"transfer_type": "wire"}, 400, "transfer_type: invalid value"),
        ({"relationship_id": "mine"}, 422, "invalid relationship_id"),
        ({"relationship_id": str(uuid4())}, 422, "ach relationship not found"),
        ({"direction": "OUTGOING"}, 422, "insufficient cash"),
    ],
)
def test_what_is_wrong_with_a_transfer_is_said(face: Face, changes: Json, status: int, message: str) -> None:
    account = face.account()
    good = {
        "transfer_type": "ach",
        "relationship_id": face.relationship(account),
        "amount": "5",
        "direction": "INCOMING",
    }
    path = f"/v1/accounts/{account}/transfers"
    assert face.refused("POST", path, {**good, **changes}, expect=status)[1] == message
    assert face.call("GET", path) == []


def test_an_account_has_one_bank(face: Face) -> None:
    account = face.account()
    path = f"/v1/accounts/{account}/ach_relationships"
    assert face.refused("POST", path, {}, expect=400) == (40010001, "account_owner_name is required")
    first = face.relationship(account)
    refused = face.refused("POST", path, {"processor_token": "t"}, expect=409)
    assert refused == (40910001, "account has an ach relationship already")
    other = face.account("5")
    assert (
        face.refused("DELETE", f"/v1/accounts/{other}/ach_relationships/{first}", expect=404)[0] == 40410000
    )
    face.call("DELETE", f"{path}/{first}", expect=204)
    assert face.relationship(account) != first


def test_journals_are_between_the_firm_and_a_client_and_covered(face: Face) -> None:
    one, two = face.account("10"), face.account()
    firm = face.firm()
    message = f"cash is journaled between the firm's account, {firm}, and a client's"
    assert face.journal(one, two, "5", expect=422)["message"] == message
    assert face.journal(firm, firm, "5", expect=422)["message"] == message
    refused = face.journal(one, firm, "10.01", expect=403)
    assert refused == {"code": 40310000, "message": "insufficient balance"}
    assert face.journal(firm, str(uuid4()), "5", expect=422)["message"] == "account not found"
    assert face.cash(one) == "10"


def test_many_journals_are_made_together_or_not_at_all(face: Face) -> None:
    one, two = face.account(), face.account()
    entries = [{"to_account": one, "amount": "5"}, {"to_account": two, "amount": "100000000"}]
    body = {"entry_type": "JNLC", "from_account": face.firm(), "entries": entries}
    assert face.refused("POST", "/v1/journals/batch", body, expect=403)[1] == "insufficient balance"
    assert (face.cash(one), face.call("GET", "/v1/journals", to_account=one)) == ("0", [])


def test_an_account_that_is_not_active_takes_no_money(face: Face) -> None:
    account = face.account()
    relationship = face.relationship(account)
    face.call("PUT", f"/sandbox/accounts/{account}", {"status": "INACTIVE"})
    body = {
        "transfer_type": "ach",
        "relationship_id": relationship,
        "amount": "5",
        "direction": "INCOMING",
    }
    refused = face.refused("POST", f"/v1/accounts/{account}/transfers", body, expect=422)
    assert refused == (42210003, "account is not active")


@pytest.mark.parametrize("what", ["account", "transfer", "journal", "order"])
def test_a_request_with_a_key_acts_once(face: Face, what: str) -> None:
    account, firm = face.account("100"), face.firm()
    requests: dict[str, tuple[str, Any]] = {
        "account": ("/v1/accounts", face.holder()),
        "transfer": (
            f"/v1/accounts/{account}/transfers",
            {
                "transfer_type": "ach",
                "relationship_id": face.relationship(account),
                "amount": "5",
                "direction": "INCOMING",
            },
        ),
        "journal": (
            "/v1/journals",
            {"entry_type": "JNLC", "from_account": firm, "to_account": account, "amount": "5"},
        ),
        "order": (
            face.trading(account, "/orders"),
            {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day", "notional": "5"},
        ),
    }
    path, body = requests[what]
    headers = {KEY: str(uuid4())}
    first, second = (face.http.post(path, json=body, headers=headers) for _ in range(2))
    assert (first.status_code, second.headers.get("idempotency-replayed")) == (200, "true")
    assert first.content == second.content
    assert face.cash(account) == {"account": "100", "order": "95"}.get(what, "105")


def test_an_order_whose_answer_was_lost_is_the_same_order_when_it_is_asked_again(face: Face) -> None:
    account = face.account("100")
    path = face.trading(account, "/orders")
    body = {"symbol": "SPY", "side": "buy", "type": "market", "time_in_force": "day", "notional": "5"}
    headers = {KEY: str(uuid4())}
    face.set_faults(lost_reply=1)
    with pytest.raises(Exception, match="without sending a response"):
        face.http.post(path, json=body, headers=headers)
    (order,) = face.call("GET", path, status="all")
    face.set_faults()
    assert face.http.post(path, json=body, headers=headers).json() == order
    assert face.cash(account) == "95"
