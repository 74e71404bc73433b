"""Every answer that an order can get at Alpaca, and what it is taken for."""

import json
from decimal import Decimal

import pytest

from tests.brokers.alpaca_server import LATE, LOST_AFTER, LOST_BEFORE, Fault, refusal
from tests.brokers.market import order
from tests.brokers.trading import broker_at, trading
from tests.postgres import free_port
from trimtab.brokers.alpaca_answers import Verdict, judge
from trimtab.brokers.alpaca_calls import Answer
from trimtab.brokers.broker import Accepted, NotSent, Refused, Unknown
from trimtab.core.run import OrderState, Side

OURS = "ours"
ECHO = {"client_order_id": OURS}
COUNTED = {"code": "40310000", "message": "no"}
WORDED = {"message": "no"}
USED = {"code": "40010001", "message": "client_order_id must be unique"}

# By status: what an order with our id, an error with a code, one without, one that says that the id was
# used, and no JSON at all are taken for. What is not listed is unknown in every column.
A, R, D, U = Verdict.ACCEPTED, Verdict.REFUSED, Verdict.DUPLICATE, Verdict.UNKNOWN
TABLE = {
    **dict.fromkeys(range(200, 300), (A, U, U, U, U)),
    400: (U, R, R, D, U),
    403: (U, R, U, D, U),
    404: (U, R, U, R, U),
    409: (U, D, D, D, U),
    422: (U, R, R, D, U),
}


def test_the_table_of_answers() -> None:
    bodies: tuple[object, ...] = (ECHO, COUNTED, WORDED, USED, None)
    found = {
        status: tuple(judge(Answer(status=status, body=body), OURS).verdict for body in bodies)
        for status in range(100, 600)
    }
    assert found == {status: TABLE.get(status, (U, U, U, U, U)) for status in range(100, 600)}


@pytest.mark.parametrize(
    ("message", "is_used"),
    [
        ("client_order_id must be unique", True),
        ("client order id already exists", True),
        ("Duplicate order", True),
        ("duplicated clientOrderId", True),
        ("order id has been used", True),
        ("client_order_id must be no more than 128 characters", False),
        ("account already closed", False),
        ("insufficient buying power", False),
    ],
)
def test_words_for_an_id_that_was_used(message: str, is_used: bool) -> None:  # noqa: FBT001
    verdict = judge(Answer(status=422, body={"code": "1000", "message": message}), OURS).verdict
    assert (verdict is Verdict.DUPLICATE) == is_used


BUY = order(OURS, Side.BUY, symbol="TLT", notional="50")
UNKNOWN_FAULTS = {
    "lost before": LOST_BEFORE,
    "lost after": LOST_AFTER,
    "late": LATE,
    "500 after": Fault(takes=True, status=500, body=b'{"message": "oops"}'),
    "502": Fault(status=502, body=b"<html></html>", kind="text/html"),
    "504 after": Fault(takes=True, status=504, body=b"", kind="text/html"),
    "408 after": Fault(takes=True, status=408, body=b"{}"),
    "429": Fault(status=429, body=b'{"code": 42910000, "message": "rate limit exceeded"}'),
    "401": Fault(status=401, body=b'{"code": 40110000, "message": "unauthorized"}'),
    "redirect": Fault(status=307, body=b"", headers={"Location": "/v1/orders"}),
    "garbage": Fault(takes=True, body=b"garbage"),
    "half a body": Fault(takes=True, cut=True),
    "text": Fault(takes=True, kind="text/plain"),
    "another encoding": Fault(takes=True, headers={"Content-Encoding": "gzip"}),
    "no body": Fault(takes=True, status=204, body=b""),
    "empty": Fault(takes=True, body=b"{}"),
    "null": Fault(takes=True, body=b"null"),
    "a list": Fault(takes=True, body=b"[]"),
    "another id": Fault(takes=True, body=b'{"client_order_id": "another"}'),
    "a bad field": Fault(takes=True, body=b'{"client_order_id": "ours", "id": "1", "filled_qty": "NaN"}'),
    "a number that is none": Fault(takes=True, body=b'{"client_order_id": "ours", "filled_qty": NaN}'),
    "the same name twice": Fault(takes=True, body=b'{"client_order_id": "x", "client_order_id": "ours"}'),
    "a deep one": Fault(takes=True, body=b"[" * 200_000),
    "a long one": Fault(takes=True, body=b" " * (9 << 20)),
    "403 of a gateway": Fault(status=403, body=b'{"message": "Forbidden"}'),
    "404 of a gateway": Fault(status=404, body=b'{"message": "no route matched"}'),
}


@pytest.mark.parametrize("name", UNKNOWN_FAULTS)
def test_what_proves_nothing_is_unknown_and_is_not_sent_again(name: str) -> None:
    with trading() as at:
        at.server.queued["POST"].append(UNKNOWN_FAULTS[name])
        assert isinstance(at.send(BUY), Unknown)
        assert [call for call in at.server.calls if call.startswith("POST")] == [
            "POST /v1/trading/accounts/ann/orders"
        ]
        assert len(at.server.orders) == UNKNOWN_FAULTS[name].takes


def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.brokers.alpaca_calls.TOTAL_S", 0.1)
    with trading() as at:
        at.server.queued["POST"].append(Fault(takes=True, drips_s=0.05))
        assert isinstance(at.send(BUY), Unknown)


def test_nothing_has_left_if_nobody_is_there() -> None:
    with trading() as at:
        nobody = broker_at(at.server, at.clock, url=f"http://127.0.0.1:{free_port()}")
        assert isinstance(nobody.submit([BUY])[0], NotSent)
        nobody.close()


def test_an_old_intent_does_not_leave() -> None:
    with trading() as at:
        at.clock.forward(2)
        assert isinstance(at.send(BUY), Accepted)
        at.clock.forward(0.001)
        assert isinstance(at.send(order("later", Side.BUY, notional="50")), NotSent)
        assert list(at.server.orders) == [OURS]


@pytest.mark.parametrize(
    "fault",
    [
        refusal(403, "insufficient buying power"),
        refusal(422, "asset is not tradable"),
        refusal(400, "qty is required"),
        refusal(404, "account not found"),
        Fault(status=422, body=b'{"message": "cost basis must be >= minimal amount of order 1"}'),
    ],
    ids=["403", "422", "400", "404", "422 without a code"],
)
def test_a_refusal_is_looked_up_and_then_believed(fault: Fault) -> None:
    with trading() as at:
        at.server.queued["POST"].append(fault)
        refused = at.send(BUY)
        assert refused == Refused(json.loads(fault.body or b"")["message"])
        assert at.server.calls[-1] == "GET /v1/trading/accounts/ann/orders:by_client_order_id"


def test_what_a_broker_says_is_stored_without_what_cannot_be() -> None:
    said = {"code": "42210000", "message": "no\0\n\ud800" + "x" * 300}
    assert judge(Answer(status=422, body=said), OURS).why == "no   " + "x" * 195


def test_a_refusal_of_what_was_accepted_is_an_acceptance() -> None:
    with trading() as at:
        at.server.queued["POST"].append(
            Fault(takes=True, status=422, body=b'{"code": 42210000, "message": "no"}')
        )
        outcome = at.send(BUY)
        assert isinstance(outcome, Accepted)
        assert outcome.report.state is OrderState.FILLED


def test_a_refusal_that_cannot_be_looked_up_is_unknown() -> None:
    with trading() as at:
        at.server.queued["POST"].append(refusal(422, "no"))
        at.server.queued["GET"] += 3 * [Fault(status=500, body=b"{}")]
        assert isinstance(at.send(BUY), Unknown)


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_a_duplicate_is_looked_up_and_adopted(status: int) -> None:
    with trading() as at:
        at.server.duplicate_status = status
        first, second = at.send(BUY), at.send(BUY)
        assert isinstance(first, Accepted)
        assert second == first
        assert len(at.server.orders) == 1
        assert at.server.posts[OURS] == 2


def test_a_duplicate_that_does_not_show_yet_is_unknown() -> None:
    with trading() as at:
        at.send(BUY)
        at.server.hides_orders = 1
        assert isinstance(at.send(BUY), Unknown)


def test_a_duplicate_is_shown_as_it_is_for_the_engine_to_compare() -> None:
    """A buy of TLT for $50 stands under the id of a sell of SPY."""
    with trading() as at:
        at.send(BUY)
        found = at.send(order(OURS, Side.SELL, quantity="1"))
        assert isinstance(found, Accepted)
        shown = found.report.body
        assert (shown.side, shown.symbol, shown.quantity, shown.notional) == (
            Side.BUY,
            "TLT",
            None,
            Decimal(50),
        )
