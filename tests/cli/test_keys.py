"""`trimtab keys`: what is printed, what is stored, and that the secret is in neither list nor database."""

import json
import re
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from tests.cli.conftest import Trimtab
from trimtab.api.keys import api_key, key_state, new_key
from trimtab.database import open_database
from trimtab.store import tenants

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
DEFAULT = [
    "enroll:write",
    "fees:read",
    "fees:write",
    "portfolios:read",
    "portfolios:write",
    "strategies:read",
    "strategies:write",
    "tenant:read",
    "tenant:write",
]


def test_a_created_key_is_printed_once_and_stored_as_a_hash(trimtab: Trimtab) -> None:
    created = json.loads(trimtab.works("keys", "create", "--tenant", "acme", "--json"))
    assert list(created) == ["tenant", "key_id", "secret", "api_key", "scopes"]
    assert created["tenant"] == "acme"
    assert created["scopes"] == DEFAULT
    assert re.fullmatch(r"TK[A-Z0-9]{18}", created["key_id"])
    assert re.fullmatch(r"[A-Za-z0-9]{43,}", created["secret"])
    assert created["api_key"] == f"gldr_sk_{created['key_id']}_{created['secret']}"

    db = open_database(trimtab.settings["TRIMTAB_DATABASE_URL"])
    stored = db.read(lambda tx: tenants.key(tx, created["key_id"]))
    db.close()
    assert stored is not None
    assert stored.secret_hash == sha256(created["secret"].encode()).hexdigest()
    assert (stored.tenant_name, sorted(stored.scopes)) == ("acme", DEFAULT)


def test_keys_are_listed_without_secrets_and_revoked(trimtab: Trimtab) -> None:
    made = [
        json.loads(trimtab("keys", "create", "--json", "--tenant", "acme", *options).out)
        for options in (
            ("--scopes", "portfolios:read, admin", "--expires", "2031-12-31"),
            ("--expires", "2020-01-01T12:00:00+02:00"),
            (),
        )
    ]
    assert trimtab.works("keys", "revoke", made[2]["key_id"]) == f"revoked {made[2]['key_id']}\n"
    text = trimtab.works("keys", "list", "--json")
    assert not any(each["secret"] in text for each in made)
    listed = json.loads(text)["keys"]
    assert [(each["key_id"], each["state"], each["expires_at"]) for each in listed] == [
        (made[0]["key_id"], "active", "2031-12-31T00:00:00+00:00"),
        (made[1]["key_id"], "expired", "2020-01-01T10:00:00+00:00"),
        (made[2]["key_id"], "revoked", None),
    ]
    assert listed[0]["scopes"] == ["admin", "portfolios:read"]
    assert [line.split()[:3] for line in trimtab.works("keys", "list").splitlines()] == [
        ["key", "id", "tenant"],
        [made[0]["key_id"], "acme", "active"],
        [made[1]["key_id"], "acme", "expired"],
        [made[2]["key_id"], "acme", "revoked"],
    ]


def test_a_newcomer_makes_a_key_before_anything_else(on_nothing: Trimtab) -> None:
    printed = on_nothing.works("keys", "create", "--tenant", "acme")
    assert re.search(r"^api key  gldr_sk_TK\w{18}_\w{43}$", printed, re.MULTILINE)
    assert "1 active" in on_nothing.works("doctor")


def test_an_expired_date_is_taken_and_said(on_sqlite: Trimtab) -> None:
    done = on_sqlite("keys", "create", "--tenant", "acme", "--expires", "2020-01-01")
    assert (done.code, done.err) == (
        0,
        "trimtab: the new key has expired already, at 2020-01-01T00:00:00+00:00\n",
    )


def test_an_unknown_key_cannot_be_revoked(on_sqlite: Trimtab) -> None:
    assert on_sqlite.fails("keys", "revoke", "TKNONE") == "trimtab: no key TKNONE\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "Missing option '--tenant'"),
        (("--tenant", " "), "give a name that can be read"),
        (
            ("--tenant", "a", "--scopes", "portfolios:read,all"),
            "no scope 'all'; there are admin, enroll:write",
        ),
        (("--tenant", "a", "--scopes", ","), "no scope given"),
        (("--tenant", "a", "--expires", "soon"), "'soon' is no date"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    on_nothing: Trimtab, options: tuple[str, ...], complaint: str
) -> None:
    line = on_nothing.fails("keys", "create", *options, code=2)
    assert complaint in line
    assert line.endswith("; see: trimtab keys create --help\n")
    assert list(on_nothing.folder.iterdir()) == []


def test_what_a_key_is_made_of() -> None:
    key, secret = new_key("tenant", ["admin"], now=NOW, expires_at=NOW)
    other, _ = new_key("tenant", ["admin"], now=NOW)
    assert api_key("TKA", "b") == "gldr_sk_TKA_b"
    assert key.secret_hash == sha256(secret.encode()).hexdigest()
    assert key.key_id != other.key_id
    assert key_state(key, NOW) == "expired"
    assert key_state(other, NOW) == "active"


def test_a_key_cannot_have_a_scope_that_does_not_exist() -> None:
    with pytest.raises(AssertionError, match="only scopes that exist"):
        new_key("tenant", ["everything"], now=NOW)
