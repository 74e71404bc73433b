"""Keys: three forms of one key, what makes it fail, what it may do, and how often."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.api.conftest import NewWorld, StartServer
from tests.api.servers import NO_TLS
from tests.api.world import PORTFOLIOS, RUNS, SUBSCRIPTIONS, Json, Secret, World, make_key, weights
from trimtab.api.keys import ALL_SCOPES
from trimtab.store import tenants

UNAUTHORIZED = (401, {"code": 40110000, "message": "unauthorized"})
FORBIDDEN = (403, {"code": 40310000, "message": "forbidden"})
CLOCK = "/sandbox/clock"

# Every operation that needs a key, with the scope that it needs.
OPERATIONS = [
    ("POST", PORTFOLIOS, "strategies:write"),
    ("GET", PORTFOLIOS, "portfolios:read"),
    ("GET", f"{PORTFOLIOS}/{{id}}", "portfolios:read"),
    ("PATCH", f"{PORTFOLIOS}/{{id}}", "strategies:write"),
    ("DELETE", f"{PORTFOLIOS}/{{id}}", "strategies:write"),
    ("POST", SUBSCRIPTIONS, "portfolios:write"),
    ("GET", SUBSCRIPTIONS, "portfolios:read"),
    ("GET", f"{SUBSCRIPTIONS}/{{id}}", "portfolios:read"),
    ("DELETE", f"{SUBSCRIPTIONS}/{{id}}", "portfolios:write"),
    ("POST", RUNS, "portfolios:write"),
    ("GET", RUNS, "portfolios:read"),
    ("GET", f"{RUNS}/{{id}}", "portfolios:read"),
    ("DELETE", f"{RUNS}/{{id}}", "portfolios:write"),
    ("GET", CLOCK, None),
    ("PUT", CLOCK, None),
    ("PUT", "/sandbox/prices", None),
    ("PUT", "/sandbox/assets/SPY", None),
    ("POST", "/sandbox/accounts", None),
    ("GET", "/sandbox/accounts/{id}", None),
    ("PUT", "/sandbox/accounts/{id}", None),
    ("POST", "/sandbox/accounts/{id}/cash", None),
    ("PUT", "/sandbox/faults", None),
    ("POST", "/sandbox/settle", None),
    ("GET", "/sandbox/orders", None),
]
SCOPED = [(method, path, scope) for method, path, scope in OPERATIONS if scope is not None]


def basic(text: str | bytes) -> dict[str, str]:
    raw = text.encode() if isinstance(text, str) else text
    return {"Authorization": f"Basic {b64encode(raw).decode()}"}


def forms(key: Secret) -> list[dict[str, str]]:
    """The three ways of sending one key."""
    return [
        basic(f"{key.key_id}:{key.secret}"),
        {"APCA-API-KEY-ID": key.key_id, "APCA-API-SECRET-KEY": key.secret},
        {"x-api-key": key.api_key},
    ]


@pytest.fixture
def stranger(world: World) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=world.server.url, timeout=60, verify=NO_TLS) as client:
        yield client


def answer(client: httpx.Client, headers: dict[str, str], path: str = PORTFOLIOS) -> tuple[int, Json]:
    got = client.get(path, headers=headers)
    return got.status_code, got.json()


def test_a_key_works_in_all_three_forms(world: World, stranger: httpx.Client) -> None:
    portfolio_id = world.portfolio(weights(SPY="100"))
    for headers in forms(world.key):
        status, listed = answer(stranger, headers)
        assert (status, [portfolio["id"] for portfolio in listed]) == (200, [portfolio_id])
    lower = {name.lower(): value for name, value in forms(world.key)[1].items()}
    assert answer(stranger, lower)[0] == 200
    small = {"authorization": forms(world.key)[0]["Authorization"].replace("Basic", "bAsIc")}
    assert answer(stranger, small)[0] == 200


def test_without_a_key_everything_is_closed(stranger: httpx.Client) -> None:
    for method, path, _ in OPERATIONS:
        got = stranger.request(method, path.format(id=uuid4()), headers={"content-type": "application/json"})
        assert (got.status_code, got.json()) == UNAUTHORIZED


def test_a_secret_that_is_not_the_keys_is_refused(world: World, other: World, stranger: httpx.Client) -> None:
    key = world.key
    for secret in ("wrong", "", key.secret[:-1], f"{key.secret}x", key.secret.swapcase(), other.key.secret):
        for headers in forms(Secret(tenant_id=key.tenant_id, key_id=key.key_id, secret=secret)):
            assert answer(stranger, headers) == UNAUTHORIZED


@pytest.mark.parametrize("key_id", ["", "TK" + "A" * 18, "nobody", "' OR 1=1 --", "%", "TK_", "k" * 5000])
def test_an_unknown_key_is_refused(world: World, stranger: httpx.Client, key_id: str) -> None:
    for headers in forms(Secret(tenant_id="", key_id=key_id, secret=world.key.secret)):
        assert answer(stranger, headers) == UNAUTHORIZED


MALFORMED: list[dict[str, str]] = [
    {"Authorization": ""},
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": "Basic é"},
    {"Authorization": "Basic AAA"},
    {"Authorization": "Bearer abc"},
    {"Authorization": "Digest username=x"},
    basic(":"),
    basic("nocolon"),
    basic(b"\xff\xfe:\xff"),
    basic("a\0b:c"),
    basic("é:ü"),
    {"APCA-API-KEY-ID": "TKA"},
    {"APCA-API-SECRET-KEY": "x"},
    {"APCA-API-KEY-ID": "", "APCA-API-SECRET-KEY": ""},
    {"APCA-API-KEY-ID": "é", "APCA-API-SECRET-KEY": "ü"},
    {"x-api-key": ""},
    {"x-api-key": "gldr_sk_"},
    {"x-api-key": "gldr_sk__"},
    {"x-api-key": "gldr_sk_TKA"},
    {"x-api-key": "TKA_secret"},
    {"x-api-key": "é"},
    {"Cookie": "session=1"},
]


@pytest.mark.parametrize("headers", MALFORMED)
def test_malformed_credentials_are_refused(stranger: httpx.Client, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    got = stranger.get(PORTFOLIOS, headers=raw)
    assert (got.status_code, got.json()) == UNAUTHORIZED


def test_a_bad_form_is_not_made_good_by_another(world: World, stranger: httpx.Client) -> None:
    good = forms(world.key)[1]
    assert answer(stranger, good | basic("a:b")) == UNAUTHORIZED
    assert answer(stranger, good | {"Authorization": "Bearer x"}) == UNAUTHORIZED


def test_a_key_in_the_query_is_no_key(world: World, stranger: httpx.Client) -> None:
    assert answer(stranger, {}, f"{PORTFOLIOS}?x-api-key={world.key.api_key}") == UNAUTHORIZED


def test_an_expired_key_is_refused_by_real_time(world: World, stranger: httpx.Client) -> None:
    """The sandbox's clock has nothing to do with it."""
    now = datetime.now(UTC)
    expired = make_key(world.db, "e", expires_at=now - timedelta(seconds=1))
    coming = make_key(world.db, "e", expires_at=now + timedelta(hours=1))
    for headers in forms(expired):
        assert answer(stranger, headers) == UNAUTHORIZED
    for headers in forms(coming):
        assert answer(stranger, headers)[0] == 200


def test_a_revoked_key_is_refused_at_once_and_others_are_not(world: World, stranger: httpx.Client) -> None:
    first, second = make_key(world.db, "r"), make_key(world.db, "r")
    assert all(answer(stranger, headers)[0] == 200 for headers in forms(first))
    world.db.write(lambda tx: tenants.revoke_key(tx, first.key_id, datetime.now(UTC)))
    for headers in forms(first):
        assert answer(stranger, headers) == UNAUTHORIZED
        assert answer(stranger, headers, CLOCK) == UNAUTHORIZED
    assert answer(stranger, forms(second)[0])[0] == 200


def test_two_keys_of_a_tenant_see_the_same(world: World, stranger: httpx.Client) -> None:
    one, two = make_key(world.db, name := str(uuid4())), make_key(world.db, name)
    body = {"name": "N", "description": "", "weights": weights(SPY="100"), "cooldown_days": 0}
    made = stranger.post(PORTFOLIOS, json=body, headers=forms(one)[0]).json()
    assert answer(stranger, forms(two)[2]) == (200, [made])


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_an_operation_needs_its_scope_and_no_other(
    world: World, stranger: httpx.Client, method: str, path: str, scope: str
) -> None:
    name = str(uuid4())
    without = make_key(world.db, name, scopes=ALL_SCOPES - {scope})
    only = make_key(world.db, name, scopes=frozenset({scope}))
    bare = make_key(world.db, name, scopes=frozenset())
    target = path.format(id=uuid4())
    headers = {"content-type": "application/json"}
    for key in (without, bare):
        for content in (b"{}", b"not json"):
            got = stranger.request(method, target, headers=headers | forms(key)[0], content=content)
            assert (got.status_code, got.json()) == FORBIDDEN
    got = stranger.request(method, target, headers=headers | forms(only)[0], content=b"{}")
    assert got.status_code in {200, 400, 404, 422}


def test_the_sandbox_needs_a_key_and_no_scope(world: World, stranger: httpx.Client) -> None:
    bare = make_key(world.db, str(uuid4()), scopes=frozenset())
    assert answer(stranger, forms(bare)[0], CLOCK)[0] == 200
    assert answer(stranger, forms(bare)[0], "/sandbox/orders")[0] == 200


def test_every_answer_to_a_key_tells_its_allowance(world: World) -> None:
    known = world.portfolio(weights(SPY="100"))
    before = None
    for method, path, expect in (
        ("GET", PORTFOLIOS, 200),
        ("GET", f"{PORTFOLIOS}/{known}", 200),
        ("GET", f"{PORTFOLIOS}/{uuid4()}", 404),
        ("GET", f"{PORTFOLIOS}/nonsense", 422),
        ("GET", f"{RUNS}?limit=0", 400),
        ("DELETE", f"{PORTFOLIOS}/{known}", 204),
        ("GET", CLOCK, 200),
    ):
        headers = world.call(method, path, expect=expect).headers
        assert headers["X-RateLimit-Limit"] == "60000"
        reset, remaining = int(headers["X-RateLimit-Reset"]), int(headers["X-RateLimit-Remaining"])
        assert reset % 60 == 0
        assert 0 <= reset - datetime.now(UTC).timestamp() <= 60
        if before is not None and before[0] == reset:
            assert remaining == before[1] - 1
        before = (reset, remaining)


@contextmanager
def within_one_minute() -> Iterator[None]:
    """Whatever is counted per minute is counted anew if the minute ended meanwhile."""
    started = datetime.now(UTC).replace(second=0, microsecond=0)
    yield
    if datetime.now(UTC).replace(second=0, microsecond=0) != started:
        pytest.skip("the minute ended in the middle")


def test_a_key_that_asks_too_often_is_told_to_wait(start_server: StartServer, new_world: NewWorld) -> None:
    server = start_server("sqlite", TRIMTAB_RATE_LIMIT="5")
    world, other = new_world(server), new_world(server)
    with within_one_minute():
        allowed = [world.http.get(PORTFOLIOS) for _ in range(5)]
        refused = [world.http.get(path) for path in (PORTFOLIOS, f"{RUNS}/{uuid4()}", CLOCK)]
        refused.append(world.http.post(PORTFOLIOS, content=b"not json"))
        assert [got.status_code for got in allowed] == [200] * 5
        assert [got.headers["X-RateLimit-Remaining"] for got in allowed] == ["4", "3", "2", "1", "0"]
        for got in refused:
            assert (got.status_code, got.json()) == (
                429,
                {"code": 42910000, "message": "rate limit exceeded"},
            )
            assert got.headers["X-RateLimit-Limit"] == "5"
            assert got.headers["X-RateLimit-Remaining"] == "0"
            assert 1 <= int(got.headers["Retry-After"]) <= 60
        # Another key has an allowance of its own, and what needs no key has none.
        assert other.http.get(PORTFOLIOS).status_code == 200
        assert world.http.get("/livez").status_code == 200
