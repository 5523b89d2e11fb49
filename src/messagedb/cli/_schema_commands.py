"""Commands that install Message DB's interface in a database, upgrade it, and remove it."""

from __future__ import annotations

from typing import Annotated

import typer
from psycopg import sql

from messagedb import Client, IncompatibleServerError, schema

from ._doctor import MARK
from ._exit import confirm, fail
from ._store import Store

_MANY = 1_000_000  # messages are counted up to this number


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(install)
    app.command()(upgrade)
    app.command()(uninstall)


def install(
    ctx: typer.Context,
    script: Annotated[
        bool, typer.Option("--script", help="Print the SQL instead, for a DBA to run.")
    ] = False,
) -> None:
    """Install the Message DB interface in a database; an existing one is not changed.

    The role of the URL must be a superuser, or the database's owner with CREATEROLE.
    """
    store: Store = ctx.obj
    if script:
        print(schema.build_script(schema=store.schema), end="")
        return
    with store.owner_url() as url:
        installed = schema.install(url, schema=store.schema)
    _say(store, "installed", installed, "a Message DB was already there")


def upgrade(ctx: typer.Context) -> None:
    """Update an installation of an older messagedb; a genuine Message DB is not changed."""
    store: Store = ctx.obj
    with store.owner_url() as url:
        changed = schema.upgrade(url, schema=store.schema)
    _say(store, "upgraded", changed, "nothing was out of date")


def uninstall(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the installation of messagedb, with all messages in it. It asks first."""
    store: Store = ctx.obj
    with store.owner_url() as url:
        found = _messages(url, store)
        if found is None:
            raise fail(f"there is no Message DB in schema {store.schema!r}. Nothing was changed.")
        count, is_ours = found
        if is_ours and not yes:  # other installations are refused below
            many = f"more than {_MANY:,}" if count > _MANY else f"{count:,}"
            confirm(f"Drop the Message DB in schema {store.schema!r}, with {many} messages?")
        gone = schema.uninstall(url, schema=store.schema, drop_messages=count > 0)
    _say(store, "uninstalled", gone, "there is no Message DB")


def _messages(url: str, store: Store) -> tuple[int, bool] | None:
    """Return the number of messages, and whether messagedb installed them; None without a store."""
    question = sql.SQL(
        "SELECT (SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS seen),"
        " coalesce(obj_description({}::regprocedure, 'pg_proc'), '')"
    ).format(
        sql.Identifier(store.schema, "messages"),
        sql.Literal(_MANY + 1),
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
    return int(row[0]), str(row[1]).startswith(MARK)


def _say(store: Store, word: str, done: bool, otherwise: str) -> None:
    store.output.line(word if done else f"not {word}: {otherwise}")
    if store.output.is_json:
        store.output.json({word: done})
