"""Commands that install Message DB's interface in a database, upgrade it, and remove it."""

from __future__ import annotations

from typing import Annotated

import typer
from psycopg import sql

from messagedb import Client, IncompatibleServerError, schema
from messagedb._diagnosis.findings import REVISION_COMMENT

from ._exit import confirm, exit_error
from ._help import OPERATE, add_command
from ._store import StoreTarget

_MAX_COUNTED = 1_000_000  # messages are counted up to this number


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(
        app,
        install,
        OPERATE,
        "messagedb install --url postgresql://postgres@localhost/postgres",
        "messagedb install --script > install.sql",
    )
    add_command(app, upgrade, OPERATE, "messagedb upgrade")
    add_command(app, uninstall, OPERATE, "messagedb uninstall --schema old_store")


def install(
    ctx: typer.Context,
    script: Annotated[
        bool, typer.Option("--script", help="Print the SQL instead, for a DBA to run.")
    ] = False,
) -> None:
    """Install the interface of Message DB in a database.

    An existing one is not changed. The role of the URL must be a superuser, or the database's
    owner with CREATEROLE.
    """
    store: StoreTarget = ctx.obj
    if script:
        print(schema.build_script(schema=store.schema), end="")
        return
    with store.open_owner_url() as url:
        installed = schema.install(url, schema=store.schema)
    _report(store, "installed", installed, "a Message DB was already there")


def upgrade(ctx: typer.Context) -> None:
    """Update an installation of an older messagedb.

    A genuine Message DB is not changed.
    """
    store: StoreTarget = ctx.obj
    with store.open_owner_url() as url:
        changed = schema.upgrade(url, schema=store.schema)
    _report(store, "upgraded", changed, "nothing was out of date")


def uninstall(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the installation of messagedb, with all messages.

    It asks first.
    """
    store: StoreTarget = ctx.obj
    with store.open_owner_url() as url:
        found = _count_messages(url, store)
        if found is None:
            raise exit_error(
                f"there is no Message DB in schema {store.schema!r}. Nothing was changed."
            )
        count, is_ours = found
        if is_ours and not yes:  # other installations are refused below
            many = f"more than {_MAX_COUNTED:,}" if count > _MAX_COUNTED else f"{count:,}"
            confirm(f"Drop the Message DB in schema {store.schema!r}, with {many} messages?")
        gone = schema.uninstall(url, schema=store.schema, drop_messages=count > 0)
    _report(store, "uninstalled", gone, "there is no Message DB")


def _count_messages(url: str, store: StoreTarget) -> tuple[int, bool] | None:
    """Return the number of messages, and whether messagedb installed them; None without a store."""
    question = sql.SQL(
        "SELECT (SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS seen),"
        " coalesce(obj_description({}::regprocedure, 'pg_proc'), '')"
    ).format(
        sql.Identifier(store.schema, "messages"),
        sql.Literal(_MAX_COUNTED + 1),
        sql.Literal(sql.Identifier(store.schema, "message_store_version").as_string() + "()"),
    )
    try:
        with (
            Client(url, schema=store.schema, max_size=1) as client,
            client.transaction(read_only=True) as tx,
        ):
            (row,) = tx.connection.execute(question).fetchall()
    except IncompatibleServerError:
        return None
    return int(row[0]), str(row[1]).startswith(REVISION_COMMENT)


def _report(store: StoreTarget, word: str, done: bool, otherwise: str) -> None:
    store.output.print_line(word if done else f"not {word}: {otherwise}")
    if store.output.is_json:
        store.output.print_json({word: done})
