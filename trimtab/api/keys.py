"""What a key is made of: an id, a secret of which only the SHA-256 is kept, and what it may do.

Checking a key is in auth.py; storing one is in store/tenants.py.
"""

import secrets
import string
from collections.abc import Collection
from datetime import datetime
from hashlib import sha256
from typing import Literal

from trimtab.store.tenants import Key

KeyState = Literal["active", "expired", "revoked"]

API_KEY_PREFIX = "gldr_sk_"

ALL_SCOPES = frozenset(
    {
        "strategies:read",
        "strategies:write",
        "portfolios:read",
        "portfolios:write",
        "portfolios:withdraw",
        "enroll:write",
        "tenant:read",
        "tenant:write",
        "fees:read",
        "fees:write",
        "admin",
    }
)
# Money leaves and keys are made only by keys that were asked to do so.
DEFAULT_SCOPES = ALL_SCOPES - {"portfolios:withdraw", "admin"}

ID_PREFIX = "TK"
ID_CHARACTERS = string.ascii_uppercase + string.digits
ID_LENGTH = 18
# Letters and digits only: an underscore separates the parts of an API key. 43 of them are 256 bits.
SECRET_CHARACTERS = string.ascii_letters + string.digits
SECRET_LENGTH = 43


def new_key(
    tenant_id: str, scopes: Collection[str], *, now: datetime, expires_at: datetime | None = None
) -> tuple[Key, str]:
    """A key to store, and the secret that is shown once.

    The tenant's name is no part of what is stored, and empty here.
    """
    assert ALL_SCOPES.issuperset(scopes), "only scopes that exist"
    secret = _drawn(SECRET_CHARACTERS, SECRET_LENGTH)
    key = Key(
        key_id=ID_PREFIX + _drawn(ID_CHARACTERS, ID_LENGTH),
        tenant_id=tenant_id,
        tenant_name="",
        secret_hash=hash_secret(secret),
        scopes=frozenset(scopes),
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
    )
    return key, secret


def api_key(key_id: str, secret: str) -> str:
    """Both parts as one text, for the `x-api-key` header."""
    return f"{API_KEY_PREFIX}{key_id}_{secret}"


def hash_secret(secret: str) -> str:
    """One round is enough: the secret is 256 bits of chance, not a password."""
    return sha256(secret.encode()).hexdigest()


def key_state(key: Key, now: datetime) -> KeyState:
    """Whether the key opens anything; `now` is real time, also in the sandbox."""
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.expires_at is None or now < key.expires_at else "expired"


def _drawn(characters: str, length: int) -> str:
    return "".join(secrets.choice(characters) for _ in range(length))
