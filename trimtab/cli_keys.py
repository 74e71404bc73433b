"""`trimtab keys`: make, list and revoke the keys that open both dialects."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from trimtab.api.keys import ALL_SCOPES, DEFAULT_SCOPES, api_key, key_state, new_key
from trimtab.boot import database_file, new_id, wall_clock
from trimtab.cli_open import bring_up_to_date, opened_database
from trimtab.cli_output import complain, show_json, show_line, show_table
from trimtab.core.errors import NotFound
from trimtab.database import Tx
from trimtab.settings import Settings, read_settings
from trimtab.store import tenants
from trimtab.store.tenants import Key

app = typer.Typer(help="Make, list and revoke keys.")


@app.command()
def create(
    *,
    tenant: Annotated[str, typer.Option(help="Whose key it is; made if it is new.", metavar="NAME")],
    scopes: Annotated[
        str | None,
        typer.Option(
            help="What it may do, by commas; otherwise all but portfolios:withdraw and admin.",
            metavar="A,B",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="The day, or the instant, from which it opens nothing (UTC).", metavar="DATE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a key and print its secret.

    The secret is not stored and never shown again. The key works at once, also beside a running
    server. A SQLite file that does not exist yet is made.

    Example: trimtab keys create --tenant acme
    """
    name = _tenant_name(tenant)
    allowed = DEFAULT_SCOPES if scopes is None else _scopes(scopes)
    expires_at = None if expires is None else _instant(expires)
    settings = read_settings()
    _make_missing_file(settings)
    now = wall_clock()

    def work(tx: Tx) -> tuple[Key, str]:
        tenant_id = tenants.ensure_tenant(tx, new_id(), name=name, now=now)
        key, secret = new_key(tenant_id, allowed, now=now, expires_at=expires_at)
        tenants.insert_key(tx, key)
        return key, secret

    with opened_database(settings) as db:
        key, secret = db.write(work)
    if expires_at is not None and expires_at <= now:
        complain(f"the new key has expired already, at {expires_at.isoformat()}")
    created = {
        "tenant": name,
        "key_id": key.key_id,
        "secret": secret,
        "api_key": api_key(key.key_id, secret),
        "scopes": sorted(key.scopes),
    }
    if as_json:
        show_json(created)
    else:
        _show_created(created)


def _tenant_name(given: str) -> str:
    name = given.strip()
    if not name or not name.isprintable():
        raise typer.BadParameter("give a name that can be read", param_hint="--tenant")
    return name


def _scopes(given: str) -> frozenset[str]:
    scopes = frozenset(filter(None, (scope.strip() for scope in given.split(","))))
    unknown = sorted(scopes - ALL_SCOPES)
    if unknown or not scopes:
        what = f"no scope {unknown[0]!r}" if unknown else "no scope given"
        raise typer.BadParameter(f"{what}; there are {', '.join(sorted(ALL_SCOPES))}", param_hint="--scopes")
    return scopes


def _instant(given: str) -> datetime:
    try:
        at = datetime.fromisoformat(given)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(
            f"{given!r} is no date; give one as in 2031-12-31", param_hint="--expires"
        ) from error


def _make_missing_file(settings: Settings) -> None:
    """A newcomer makes a key before the first server runs."""
    file = database_file(settings)
    if file is not None and not file.exists():
        bring_up_to_date(settings)


def _show_created(created: Mapping[str, object]) -> None:
    scopes = created["scopes"]
    assert isinstance(scopes, list), "made as a list"
    show_line(f"tenant   {created['tenant']}")
    show_line(f"key id   {created['key_id']}")
    show_line(f"secret   {created['secret']}")
    show_line(f"api key  {created['api_key']}")
    show_line(f"scopes   {', '.join(scopes)}")
    show_line("Keep the secret: it is shown only this once.")


@app.command(name="list")
def list_keys(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """List all keys, oldest first, without their secrets.

    Example: trimtab keys list
    """
    with opened_database(read_settings()) as db:
        keys = db.read(tenants.keys)
    now = wall_clock()
    if as_json:
        show_json({"keys": [_key_json(key, now) for key in keys]})
    elif keys:
        columns = ("key id", "tenant", "state", "created", "expires", "scopes")
        show_table(columns, [_key_cells(key, now) for key in keys])
    else:
        show_line("no keys; make one: trimtab keys create --tenant NAME")


def _key_json(key: Key, now: datetime) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "tenant": key.tenant_name,
        "state": key_state(key, now),
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
    }


def _key_cells(key: Key, now: datetime) -> tuple[str, ...]:
    scopes = "default" if key.scopes == DEFAULT_SCOPES else ",".join(sorted(key.scopes))
    expires = "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}"
    created = f"{key.created_at:%Y-%m-%d %H:%M}"
    return key.key_id, key.tenant_name, key_state(key, now), created, expires, scopes


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="KEY_ID")]) -> None:
    """Revoke a key.

    From now on it opens nothing, also on a running server.

    Example: trimtab keys revoke TK8Q2M5XW0RN4B7VYC1D
    """
    now = wall_clock()
    with opened_database(read_settings()) as db:
        if not db.write(lambda tx: tenants.revoke_key(tx, key_id, now)):
            raise NotFound(noun="key", id=key_id)
    show_line(f"revoked {key_id}")
