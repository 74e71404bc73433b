"""Hostile requests: whatever comes, the answer has the dialect's shape and the right status, nothing is
stored, and the server has foreseen it.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from tests.api.servers import NO_TLS
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, World, weights

JSON_TYPE = {"content-type": "application/json"}
GOOD: dict[str, Json] = {"name": "N", "description": "", "weights": weights(SPY="100"), "cooldown_days": 0}
UNDECODABLE = {"code": 40010000, "message": "failed to decode request body"}
BODY_MAX_BYTES = 1 << 20
NOBODY = "00000000-0000-4000-8000-000000000000"

WITH_BODY = [
    ("POST", PORTFOLIOS),
    ("PATCH", f"{PORTFOLIOS}/{NOBODY}"),
    ("POST", SUBSCRIPTIONS),
    ("POST", RUNS),
    ("PUT", "/sandbox/clock"),
    ("PUT", "/sandbox/prices"),
    ("PUT", "/sandbox/assets/SPY"),
    ("PUT", "/sandbox/faults"),
    ("POST", "/sandbox/accounts"),
]


def lists(count: int) -> bytes:
    """Lists within lists, `count` deep in all, the innermost of them empty."""
    return b"[" * count + b"]" * count


def text(**fields: str) -> bytes:
    """The good body with some values as they are written here."""
    written = {name: json.dumps(value) for name, value in GOOD.items()} | fields
    return ("{" + ",".join(f'"{name}":{value}' for name, value in written.items()) + "}").encode()


UNDECODABLE_BODIES = {
    "nothing": b"",
    "blank": b" ",
    "half an object": b'{"name":',
    "two objects": b"{}{}",
    "a list": b"[]",
    "a string": b'"name"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "single quotes": b"{'name':'x'}",
    "a comment": b"{}//x",
    "a comma too many": b'{"name":"x",}',
    "NaN": b'{"x":NaN}',
    "Infinity": b'{"x":Infinity}',
    "minus Infinity": b'{"x":[-Infinity]}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "invalid UTF-8": b'{"name":"\xff"}',
    "half a UTF-8 character": b'{"name":"\xc3"}',
    "a surrogate in UTF-8": b'{"name":"\xed\xa0\x80"}',
    "an overlong slash": b'{"name":"\xc0\xaf"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "a lone high surrogate": b'{"name":"\\ud800"}',
    "a lone low surrogate": b'{"x":["\\udfff"]}',
    "surrogates the wrong way round": b'{"name":"\\udc00\\ud800"}',
    "a surrogate in a key": b'{"\\ud800":1}',
    "NUL": b'{"name":"\\u0000"}',
    "NUL within": b'{"x":{"y":["a\\u0000b"]}}',
    "NUL in a key": b'{"\\u0000":1}',
    "a bare NUL": b'{"name":"\x00"}',
    "a bare line feed": b'{"name":"\n"}',
    "a repeated key": b'{"name":"x","name":"y"}',
    "a repeated key within": b'{"weights":[{"type":"cash","type":"asset"}]}',
    "a repeated key in two spellings": b'{"name":"x","n\\u0061me":"y"}',
    "65 deep": b'{"x":' + lists(64) + b"}",
    "65 deep with something in it": b'{"x":' + b"[" * 64 + b"1" + b"]" * 64 + b"}",
    "65 objects deep": b'{"x":' * 65 + b"{}" + b"}" * 65,
    "100,000 deep": b'{"x":' + lists(100_000) + b"}",
    "500,000 open": b"[" * 500_000,
}


@pytest.mark.parametrize("name", UNDECODABLE_BODIES)
def test_what_is_not_strict_json_is_refused_by_every_operation(world: World, name: str) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    before = world.get(PORTFOLIOS)
    clock = world.get("/sandbox/clock")
    for method, path in WITH_BODY:
        target = path.replace(NOBODY, portfolio_id)
        answer = world.http.request(method, target, content=UNDECODABLE_BODIES[name], headers=JSON_TYPE)
        assert (answer.status_code, answer.json()) == (400, UNDECODABLE)
    assert world.get(PORTFOLIOS) == before
    assert world.get("/sandbox/clock") == clock


def test_64_levels_are_not_too_deep(world: World) -> None:
    for body in (b'{"x":' + lists(63) + b"}", b'{"x":' + b"[" * 62 + b"1" + b"]" * 62 + b"}"):
        answer = world.http.post(PORTFOLIOS, content=body, headers=JSON_TYPE)
        assert (answer.status_code, answer.json()["message"]) == (400, "name is required")


NUMBERS = {
    "a million digits": "1" * 1_000_000,
    "a thousand digits": "1" * 1_000,
    "a million decimals": "0." + "1" * 1_000_000,
    "a huge exponent": "1e999999999",
    "a tiny exponent": "1e-999999999",
    "an exponent": "1e2",
    "minus zero": "-0",
    "minus zero with decimals": "-0.00",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_any_size_are_refused_by_their_field(world: World, name: str) -> None:
    number = NUMBERS[name]
    small = {"-0": "must be greater than 0", "-0.00": "must be greater than 0"}.get(number, "invalid value")
    percent = f'[{{"type":"asset","symbol":"SPY","percent":{number}}}]'
    band = f'[{{"type":"drift_band","sub_type":"absolute","percent":{number}}}]'
    day = f'[{{"type":"calendar","sub_type":"monthly","day":{number}}}]'
    for fields, message in (
        ({"weights": percent}, f"weights[0].percent: {small}"),
        ({"rebalance_conditions": band}, f"rebalance_conditions[0].percent: {small}"),
        ({"rebalance_conditions": day}, "rebalance_conditions[0].day: invalid value"),
        ({"name": number}, "name: invalid value"),
    ):
        answer = world.http.post(PORTFOLIOS, content=text(**fields), headers=JSON_TYPE)
        assert (answer.status_code, answer.json()) == (400, {"code": 40010001, "message": message})
    if number != "-0":
        answer = world.http.post(PORTFOLIOS, content=text(cooldown_days=number), headers=JSON_TYPE)
        assert answer.json() == {"code": 40010001, "message": "cooldown_days: invalid value"}
    assert world.get(PORTFOLIOS) == []


def test_an_unknown_number_of_a_million_digits_is_ignored_like_any_unknown_field(world: World) -> None:
    answer = world.http.post(PORTFOLIOS, content=text(unknown="1" * 1_000_000), headers=JSON_TYPE)
    assert answer.status_code == 200


OTHER_TYPES = [
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/xml",
]
OTHER_TYPES += [
    "application/vnd.api+json",
    "application/jsonp",
    "text/json",
    "json",
    "application",
    "*/*",
    ";",
]


@pytest.mark.parametrize("media_type", [None, *OTHER_TYPES])
def test_only_json_is_taken(world: World, media_type: str | None) -> None:
    headers = {} if media_type is None else {"content-type": media_type}
    for method, path in WITH_BODY:
        answer = world.http.request(method, path, content=json.dumps(GOOD).encode(), headers=headers)
        refused = {"code": 41510000, "message": "unsupported media type"}
        assert (answer.status_code, answer.json()) == (415, refused)
    assert world.get(PORTFOLIOS) == []


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/json ;x=y"],
)
def test_json_may_have_parameters(world: World, media_type: str) -> None:
    headers = {"content-type": media_type}
    assert world.http.post(PORTFOLIOS, content=json.dumps(GOOD), headers=headers).status_code == 200


def test_a_mebibyte_is_the_most_a_body_may_have(world: World) -> None:
    body = json.dumps(GOOD).encode()
    full = body + b" " * (BODY_MAX_BYTES - len(body))
    assert world.http.post(PORTFOLIOS, content=full, headers=JSON_TYPE).status_code == 200
    stored = len(world.get(PORTFOLIOS))

    def in_chunks() -> Iterator[bytes]:
        yield full
        yield b" "

    for content in (full + b" ", full * 4, in_chunks):
        assert_too_large(world, content)
    assert len(world.get(PORTFOLIOS)) == stored


def assert_too_large(world: World, content: bytes | Callable[[], Iterator[bytes]]) -> None:
    """The server hangs up on the rest of the body, and that may overtake its answer: then ask again."""
    for _ in range(5):
        with suppress(httpx.TransportError):
            sent = content if isinstance(content, bytes) else content()
            answer = world.http.post(PORTFOLIOS, content=sent, headers=JSON_TYPE)
            assert (answer.status_code, answer.json()["code"]) == (413, 41310000)
            assert isinstance(answer.json()["message"], str)
            return
    pytest.fail("no answer ever came")


UNKNOWN_PATHS = [
    "/v1/",
    "/v1/rebalancing",
    "/v1/rebalancing/",
    "/v1/rebalancing/nothing",
    "/v1/rebalancing/portfolios/a/b",
    "/v1//rebalancing/portfolios/x/y",
    "/v1/watchlists",
    "/v1/beta/",
    "/v1/beta/beta/rebalancing/portfolios",
    "/v1/beta/%ff",
    "/v1/%ff%fe",
    "/v1/%00",
    "/v1/..%2f..%2fetc%2fpasswd",
    "/v3/rebalancing/portfolios",
    "/sandbox/",
    "/sandbox/nothing",
    "/sandbox/accounts/a/b/c",
    "/nothing",
    "//",
    "/%ff",
    "/\u00e9",
    "/" + "x" * 5000,
]


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_an_unknown_path_is_not_found_in_the_dialects_shape(world: World, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = world.http.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
        assert answer.json() == {"code": 40410000, "message": "not found"}


WRONG_METHODS = [
    ("PUT", PORTFOLIOS),
    ("DELETE", PORTFOLIOS),
    ("PATCH", PORTFOLIOS),
    ("POST", f"{PORTFOLIOS}/{NOBODY}"),
    ("PUT", f"{PORTFOLIOS}/{NOBODY}"),
    ("PATCH", f"{SUBSCRIPTIONS}/{NOBODY}"),
    ("DELETE", SUBSCRIPTIONS),
    ("PUT", f"{RUNS}/{NOBODY}"),
    ("DELETE", RUNS),
    ("POST", "/sandbox/clock"),
    ("GET", "/sandbox/prices"),
    ("GET", "/sandbox/settle"),
    ("PUT", "/sandbox/settle"),
    ("POST", "/sandbox/orders"),
    ("GET", "/sandbox/accounts"),
    ("DELETE", f"/sandbox/accounts/{NOBODY}"),
    ("GET", f"/sandbox/accounts/{NOBODY}/cash"),
    ("GET", "/sandbox/assets/SPY"),
    ("POST", "/livez"),
    ("DELETE", "/metrics"),
    ("TRACE", PORTFOLIOS),
    ("NONSENSE", PORTFOLIOS),
]


@pytest.mark.parametrize(("method", "path"), WRONG_METHODS)
def test_a_wrong_method_is_told_the_right_ones(world: World, method: str, path: str) -> None:
    answer = world.http.request(method, path)
    assert answer.status_code == 405
    assert answer.json() == {"code": 40510000, "message": "method not allowed"}
    assert method not in answer.headers["allow"]


def test_no_answer_to_a_stranger_depends_on_what_he_sends(world: World) -> None:
    """Without a key, neither ids nor bodies are looked at."""
    known = world.portfolio(weights(SPY="100"))
    unauthorized = b'{"code":40110000,"message":"unauthorized"}'
    for method, path in WITH_BODY:
        for target in (path, path.replace(NOBODY, known), path.replace(NOBODY, "nonsense")):
            for content in (b"", b"{", lists(1000)):
                answer = httpx.request(method, world.server.url + target, content=content, verify=NO_TLS)
                assert (answer.status_code, answer.content) == (401, unauthorized)


def test_garbage_on_the_wire_ends_nobody_elses_connection(world: World) -> None:
    address = urlsplit(world.server.url)
    assert address.hostname is not None
    assert address.port is not None
    for garbage in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/rebalancing/portfolios HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/rebalancing/portfolios HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}",
        b"POST /v1/rebalancing/portfolios HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
            received = b""
            with suppress(OSError):  # it may hang up before we do
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                received = connection.recv(4096)
        assert not received.startswith(b"HTTP/1.1 5")
    assert world.get(PORTFOLIOS) == []
