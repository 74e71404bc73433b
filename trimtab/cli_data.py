"""Commands that change what is stored: migrate, back up, freeze and thaw, say whose an account is."""

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from trimtab.boot import clock_of, database_file, new_id, paper_url, wall_clock
from trimtab.cli_open import bring_up_to_date, opened_database, require_file
from trimtab.cli_output import complain, show_line
from trimtab.core.errors import CannotStart, WrongSchema, shown_address
from trimtab.database import Database, SqliteDatabase, Tx, open_database, sqlite_path
from trimtab.doctor import scope_of, thaw_account
from trimtab.settings import Settings, read_settings
from trimtab.store import freezes, restores, schema_version, shards, tenants
from trimtab.store.copies import copy_together
from trimtab.store.freezes import Freeze
from trimtab.store.inspection import tenant_names

app = typer.Typer()
accounts_app = typer.Typer(help="Say whose accounts are.")

OLD_COPY = "restored from a backup of an older version: check with `trimtab audit`, then `trimtab thaw`"
TenantOption = Annotated[str | None, typer.Option(help="Only this tenant's accounts.", metavar="T")]
AccountOption = Annotated[str | None, typer.Option(help="Only this account.", metavar="A")]
SymbolOption = Annotated[str | None, typer.Option(help="Only orders of this symbol.", metavar="S")]


@app.command(name="migrate")
def run_migrations() -> None:
    """Bring the database to this version.

    `trimtab serve` and `trimtab demo` do it by themselves on SQLite, never on PostgreSQL.

    Example: trimtab migrate
    """
    found, needed = bring_up_to_date(read_settings()), schema_version.needed_version()
    if found == needed:
        show_line(f"the database has schema {needed} already")
    else:
        show_line(f"migrated from {f'schema {found}' if found else 'nothing'} to schema {needed}")


@app.command()
def freeze(
    *,
    tenant: TenantOption = None,
    account: AccountOption = None,
    symbol: SymbolOption = None,
    reason: Annotated[str, typer.Option(help="Shown wherever the freeze is.", metavar="TEXT")] = "by hand",
    restored: Annotated[
        bool, typer.Option("--restored", help="This database was put back from a copy.")
    ] = False,
) -> None:
    """Let no order leave until `trimtab thaw`.

    Without options everything is frozen. Open orders are cancelled. Works with the server down, and at
    once beside a running one. With --restored everything is frozen until each account has been compared
    with the broker, which the next server does first; copies made by `trimtab backup` are so already.

    Example: trimtab freeze --tenant acme --reason "bad prices"
    """
    settings = read_settings()
    if restored:
        if tenant or account or symbol:
            raise CannotStart("--restored is about the whole database: give it alone")
        _freeze_restored(settings)
        return
    with opened_database(settings) as db:
        scope = db.read(lambda tx: _scope(tx, tenant=tenant, account=account, symbol=symbol, reason=reason))
        now = clock_of(settings, db)()
        db.write(lambda tx: freezes.insert(tx, scope, now))
        _wake(db, now)
        words, options = scope_of(scope, db.read(tenant_names))
        if account is not None and db.read(lambda tx: shards.account(tx, account)) is None:
            complain(f"no account {account} is known yet; it is frozen if it ever comes")
    show_line(f"frozen: {words}; lift it with: trimtab thaw{options}")


def _freeze_restored(settings: Settings) -> None:
    with opened_database(settings) as db:
        now = clock_of(settings, db)()
        db.write(lambda tx: restores.mark(tx, new_id(), now))
    show_line("frozen: everything, until `trimtab serve` has compared it with the broker")


@app.command()
def thaw(*, tenant: TenantOption = None, account: AccountOption = None, symbol: SymbolOption = None) -> None:
    """Lift the freezes with exactly this scope, and an account's hold.

    Without options the freezes that cover everything. An account that Trimtab holds, because the broker
    does not show what its orders say, is released with --account alone: look at it first, for nothing
    else will. Says what it lifted, and what still keeps orders from leaving.

    Example: trimtab thaw --tenant acme
    """
    settings = read_settings()
    with opened_database(settings) as db:
        scope = db.read(lambda tx: _scope(tx, tenant=tenant, account=account, symbol=symbol, reason=""))
        lifted = db.write(
            lambda tx: freezes.remove(
                tx, tenant_id=scope.tenant_id, account_id=scope.account_id, symbol=scope.symbol
            )
        )
        released = db.write(lambda tx: _release(tx, scope))
        _wake(db, clock_of(settings, db)())
        # It locks the rows it reads, which PostgreSQL refuses in a reading transaction.
        left = db.write(freezes.all_freezes)
        held = db.read(shards.all_held)
        names = db.read(tenant_names)
        is_copy = db.read(restores.is_waiting)
    show_line(f"lifted {lifted} {'freeze' if lifted == 1 else 'freezes'}")
    if released is not None:
        show_line(f"released account {account}, which was held: {released}")
    for other in left:
        words, options = scope_of(other, names)
        show_line(f"still frozen: {words} ({other.reason}); lift it with: trimtab thaw{options}")
    for each, why in held.items():
        show_line(f"still held: account {each} ({why}); release it with: {thaw_account(each)}")
    if is_copy:
        show_line("still waiting: `trimtab serve` compares this restored copy with the broker first")


def _release(tx: Tx, scope: Freeze) -> str | None:
    """Why the account of a scope that is one account was held, if it was; it is no longer."""
    if scope.account_id is None or scope.tenant_id is not None or scope.symbol is not None:
        return None
    found = shards.account(tx, scope.account_id)
    if found is not None and found.held is not None:
        shards.release(tx, [scope.account_id])
    return None if found is None else found.held


def _scope(tx: Tx, *, tenant: str | None, account: str | None, symbol: str | None, reason: str) -> Freeze:
    tenant_id = None if tenant is None else _tenant_id(tx, tenant)
    return Freeze(id=new_id(), tenant_id=tenant_id, account_id=account, symbol=symbol, reason=reason)


def _tenant_id(tx: Tx, name: str) -> str:
    """An unknown name is an error and not a new tenant: it would be a misspelt one."""
    tenant_id = tenants.tenant_named(tx, name)
    if tenant_id is None:
        raise CannotStart(f"no tenant {name}: `trimtab keys list` names them")
    return tenant_id


def _wake(db: Database, now: datetime) -> None:
    """Have the engine look at once: open orders must be cancelled, or waiting runs go on.

    In a transaction of its own, so that a freeze holds even while a worker keeps its shard.
    """
    db.write(lambda tx: shards.mark_all_due(tx, now))


@accounts_app.command()
def assign(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    *,
    tenant: Annotated[str, typer.Option(help="Whose it is from now on.", metavar="T")],
) -> None:
    """Say whose a broker account is.

    Otherwise the first tenant that names it claims it.

    Example: trimtab accounts assign 8f2c7a41-9d0e-4b53-a6f8-1c2e3d4b5a69 --tenant acme
    """
    settings = read_settings()
    with opened_database(settings) as db:
        now = clock_of(settings, db)()

        def work(tx: Tx) -> tuple[str, str]:
            wanted = _tenant_id(tx, tenant)
            return wanted, shards.assign(tx, account, tenant_id=wanted, now=now).tenant_id

        wanted, owner = db.write(work)
        names = db.read(tenant_names)
    if owner != wanted:
        raise CannotStart(f"account {account} is {names[owner]}'s already, and stays there")
    show_line(f"account {account} is {tenant}'s")


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Must not exist yet.", show_default=False)],
) -> None:
    """Copy a SQLite database to FILE while it is in use.

    The paper broker's file goes with it, to FILE-paper.db. The copy is frozen until Trimtab, started from
    it, has compared it with the broker: orders that it has forgotten are found, and nothing is ordered twice.

    Example: trimtab backup trimtab-2031-12-31.db
    """
    settings = read_settings()
    source = database_file(settings)
    if source is None:
        raise CannotStart(
            f"PostgreSQL has its own tool: pg_dump --format=custom --file={target}"
            f" '{shown_address(settings.database_url)}'; after pg_restore: `trimtab freeze --restored`,"
            " then serve"
        )
    require_file(settings)
    _require_schema(settings)
    paper = sqlite_path(paper_url(settings))
    targets = {source: target} | ({paper: _paper_beside(target)} if paper.exists() else {})
    _copy(source, targets)
    show_line(f"copied to {' and '.join(str(path) for path in targets.values())}; the copy is frozen")


def _require_schema(settings: Settings) -> None:
    """A database of an older version may be copied, before it is migrated; an empty one is a mistake."""
    with closing(open_database(settings.database_url)) as db:
        if schema_version.found_version(db) is None:
            raise WrongSchema(found=None, needed=schema_version.needed_version())


def _paper_beside(database: Path) -> Path:
    return database.with_name(f"{database.name}-paper.db")


def _copy(source: Path, targets: dict[Path, Path]) -> None:
    """Copy under other names first: a copy that is not whole, or not frozen, never has its name."""
    for target in (targets[source], _paper_beside(targets[source])):
        if target.exists():
            raise CannotStart(f"{target} exists already: name another file")
    partial = {each: target.with_name(f"{target.name}.partial") for each, target in targets.items()}
    try:
        for path in partial.values():
            path.unlink(missing_ok=True)
        copy_together(source, partial)
        _freeze_copy(partial[source])
        for each in reversed(targets):
            partial[each].rename(targets[each])
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def _freeze_copy(path: Path) -> None:
    """A copy of this version compares itself with the broker; one of an older version waits for a person."""
    everything = Freeze(id=new_id(), tenant_id=None, account_id=None, symbol=None, reason=OLD_COPY)
    with closing(SqliteDatabase(path)) as copy:
        if schema_version.found_version(copy) == schema_version.needed_version():
            copy.write(lambda tx: restores.mark(tx, everything.id, wall_clock()))
        else:
            copy.write(lambda tx: freezes.insert(tx, everything, wall_clock()))
