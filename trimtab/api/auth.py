"""Who is calling: three forms of one key, checked in constant time against its stored hash.

HTTP Basic, the `APCA-API-*` headers and `x-api-key` lead to the same row; a dialect says which of them
it takes. A route cannot forget its
scope: the tenant, without which nothing can be read, comes from `admit`.
"""

import hmac
import threading
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trimtab.api.keys import API_KEY_PREFIX, hash_secret, key_state
from trimtab.core.errors import TrimtabError
from trimtab.database import Database
from trimtab.store import tenants

WINDOW_S = 60
NO_HASH = hash_secret("no key has this secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    tenant_id: str
    tenant_name: str
    key_id: str
    scopes: frozenset[str]


class KeyMissing(TrimtabError):
    """No key was sent."""


class KeyInvalid(TrimtabError):
    """The key is unknown, wrong, or revoked."""


class KeyExpired(TrimtabError):
    """The key was valid once."""


@dataclass
class ScopeMissing(TrimtabError):
    scope: str


@dataclass
class RateLimited(TrimtabError):
    retry_after_s: int


@dataclass(frozen=True, slots=True)
class Credentials:
    key_id: str
    secret: str


def credentials(headers: Mapping[str, str]) -> Credentials:
    """The key in any of the headers it may stand in. Raises KeyMissing and KeyInvalid."""
    authorization = headers.get("authorization")
    if authorization is not None:
        return _from_basic(authorization)
    key_id, secret = headers.get("apca-api-key-id"), headers.get("apca-api-secret-key")
    if key_id is not None and secret is not None:
        return Credentials(key_id, secret)
    return credentials_in_api_key(headers)


def credentials_in_api_key(headers: Mapping[str, str]) -> Credentials:
    """The key in `x-api-key`, whatever other headers say. Raises KeyMissing and KeyInvalid."""
    api_key = headers.get("x-api-key")
    if api_key is None:
        raise KeyMissing
    key_id, _, secret = api_key.removeprefix(API_KEY_PREFIX).partition("_")
    if not (api_key.startswith(API_KEY_PREFIX) and secret):
        raise KeyInvalid
    return Credentials(key_id, secret)


def _from_basic(authorization: str) -> Credentials:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise KeyInvalid
    try:
        decoded = b64decode(encoded.strip(), validate=True).decode()
    except (Base64Error, ValueError) as error:
        raise KeyInvalid from error
    key_id, colon, secret = decoded.partition(":")
    if not colon:
        raise KeyInvalid
    return Credentials(key_id, secret)


def authenticate(db: Database, given: Credentials, now: datetime) -> Caller:
    """The caller behind a key; `now` is real time, also in the sandbox. Raises KeyInvalid, KeyExpired.

    An unknown id costs the same comparison as a wrong secret.
    """
    known = None
    if given.key_id.isascii() and given.key_id.isalnum():
        known = db.read(lambda tx: tenants.key(tx, given.key_id))
    expected = NO_HASH if known is None else known.secret_hash
    if not hmac.compare_digest(expected, hash_secret(given.secret)) or known is None or known.revoked_at:
        raise KeyInvalid
    if known.expires_at is not None and known.expires_at <= now:
        raise KeyExpired
    return Caller(
        tenant_id=known.tenant_id, tenant_name=known.tenant_name, key_id=known.key_id, scopes=known.scopes
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a key may still ask of this process in the window that ends at `reset_at_s` (unix time)."""

    limit: int
    remaining: int
    reset_at_s: int


@dataclass(slots=True)
class RateLimit:
    """Requests per key and minute, counted per process: a guard against runaway clients, not a quota."""

    limit: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def spend(self, key_id: str, now: datetime) -> Allowance:
        """Count one request; `remaining` is negative for one too many."""
        window = int(now.timestamp()) // WINDOW_S
        with self._lock:
            started, count = self._counts.get(key_id, (window, 0))
            count = count + 1 if started == window else 1
            self._counts[key_id] = (window, count)
        reset_at_s = (window + 1) * WINDOW_S
        return Allowance(limit=self.limit, remaining=self.limit - count, reset_at_s=reset_at_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where every request of every dialect comes in."""

    db: Database
    wall_clock: Callable[[], datetime]
    rate: RateLimit

    def admit(self, given: Credentials, state: dict[str, object], *, scope: str | None) -> Caller:
        """The caller, if the key is good and has the scope; `state` learns the key's allowance.

        Raises KeyInvalid, KeyExpired, RateLimited and ScopeMissing.
        """
        now = self.wall_clock()
        caller = authenticate(self.db, given, now)
        allowance = self.rate.spend(caller.key_id, now)
        state["allowance"] = allowance
        if allowance.remaining < 0:
            raise RateLimited(max(1, allowance.reset_at_s - int(now.timestamp())))
        if scope is not None and scope not in caller.scopes:
            raise ScopeMissing(scope)
        return caller

    def recheck(self, key_id: str) -> None:
        """Raise KeyInvalid if a key that opened a stream has been revoked since, KeyExpired if its time is
        over.
        """
        known = self.db.read(lambda tx: tenants.key(tx, key_id))
        if known is None or known.revoked_at is not None:
            raise KeyInvalid
        if key_state(known, self.wall_clock()) == "expired":
            raise KeyExpired


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmDoor:
    """Where requests come in to a paper broker that is a program of its own: everybody is the same `firm`.
    Without an `expected` key any is good, but one has to be there.
    """

    firm: Caller
    expected: Credentials | None
    wall_clock: Callable[[], datetime]
    rate: RateLimit

    def admit(self, given: Credentials, state: dict[str, object], *, scope: str | None) -> Caller:
        """The firm; `state` learns the key's allowance.

        Raises KeyInvalid and RateLimited.
        """
        if self.expected is not None and not _is_same(given, self.expected):
            raise KeyInvalid
        now = self.wall_clock()
        allowance = self.rate.spend(given.key_id, now)
        state["allowance"] = allowance
        if allowance.remaining < 0:
            raise RateLimited(max(1, allowance.reset_at_s - int(now.timestamp())))
        assert scope is None or scope in self.firm.scopes, "the firm may do everything"
        return self.firm

    def recheck(self, _key_id: str) -> None:
        """A firm's key is good as long as the program runs."""


def _is_same(given: Credentials, expected: Credentials) -> bool:
    """Compared whole, in constant time: which half is wrong is not told."""
    same_id = hmac.compare_digest(given.key_id.encode(), expected.key_id.encode())
    same_secret = hmac.compare_digest(given.secret.encode(), expected.secret.encode())
    return same_id and same_secret
