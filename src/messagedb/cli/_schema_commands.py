"""Commands that put Message DB's interface into a database, renew it, and take it away."""

from __future__ import annotations

from typing import Annotated

import typer
from psycopg import sql

from messagedb import Client, IncompatibleServerError, schema

from ._ends import confirm, fail
from ._store import Store


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
    """Install the Message DB interface in a database; one that is there is left alone.

    The role of the URL must be a superuser, or the database's owner with CREATEROLE.
    """
    store: Store = ctx.obj
    if script:
        print(schema.script(schema=store.schema), end="")
        return
    with store.owner_url() as url:
        installed = schema.install(url, schema=store.schema)
    _say(store, "installed", installed, "a Message DB was there already")


def upgrade(ctx: typer.Context) -> None:
    """Bring what an older messagedb installed up to date; a genuine Message DB is left alone."""
    store: Store = ctx.obj
    with store.owner_url() as url:
        changed = schema.upgrade(url, schema=store.schema)
    _say(store, "upgraded", changed, "nothing was out of date")


def uninstall(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take away what install has made, with all messages in it. It asks first."""
    store: Store = ctx.obj
    with store.owner_url() as url:
        count = _messages(url, store)
        if count is None:
            raise fail(f"there is no Message DB in schema {store.schema!r}. Nothing was changed.")
        if not yes:
            confirm(f"Drop the Message DB in schema {store.schema!r}, with {count:,} messages?")
        gone = schema.uninstall(url, schema=store.schema, drop_messages=count > 0)
    _say(store, "uninstalled", gone, "there is no Message DB")


def _messages(url: str, store: Store) -> int | None:
    try:
        with (
            Client(url, schema=store.schema, max_size=1) as client,
            client.transaction(read_only=True) as tx,
        ):
            table = sql.Identifier(store.schema, "messages")
            question = sql.SQL("SELECT count(*) FROM {}").format(table)
            row = tx.connection.execute(question).fetchone()
    except IncompatibleServerError:
        return None
    return None if row is None else int(row[0])


def _say(store: Store, word: str, done: bool, otherwise: str) -> None:
    store.output.line(word if done else f"not {word}: {otherwise}")
    if store.output.is_json:
        store.output.json({word: done})
