"""Commands about a store's contents: message counts of its streams, categories and types.

Each prints its columns, the number of messages, and their percentage of all messages.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from messagedb import IncompatibleServerError

from ._complete import complete_category, complete_name
from ._help import READ, add_command
from ._layout import Column
from ._node_summary import count_on_nodes
from ._store import StoreTarget
from ._summary_queries import COUNTS, build_summary_query

Limit = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, help="The largest number of rows.")
]

_EMPTY = "the store has no message yet: messagedb write account-123 Opened writes one"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, streams, READ, "messagedb streams 'account-*' --limit 10")
    add_command(app, categories, READ, "messagedb categories --types")
    add_command(app, types, READ, "messagedb types 'Dep*' --categories")


def streams(
    ctx: typer.Context,
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Only streams of this name; * stands for any characters.",
            autocompletion=complete_name,
        ),
    ] = None,
    types: Annotated[bool, typer.Option("--types", help="Each of their types separately.")] = False,
    limit: Limit = None,
) -> None:
    """Count the messages of each stream, the largest first.

    It reads the whole store.
    """
    _show(ctx, ("stream_name", "type") if types else ("stream_name",), pattern, limit)


def categories(
    ctx: typer.Context,
    pattern: Annotated[
        str | None,
        typer.Argument(
            help="Only categories of this name; * stands for any characters.",
            autocompletion=complete_category,
        ),
    ] = None,
    types: Annotated[bool, typer.Option("--types", help="Each of their types separately.")] = False,
    limit: Limit = None,
) -> None:
    """Count the messages of each category, the largest first.

    It reads the whole store.
    """
    _show(ctx, ("category", "type") if types else ("category",), pattern, limit)


def types(
    ctx: typer.Context,
    pattern: Annotated[
        str | None, typer.Argument(help="Only types of this name; * stands for any characters.")
    ] = None,
    streams: Annotated[
        bool, typer.Option("--streams", help="Each type of each stream separately.")
    ] = False,
    categories: Annotated[
        bool, typer.Option("--categories", help="Each type of each category separately.")
    ] = False,
    limit: Limit = None,
) -> None:
    """Count the messages of each type, the largest first.

    It reads the whole store.
    """
    if streams and categories:
        raise typer.BadParameter("use --streams or --categories, not both")
    keys = ("type", "stream_name") if streams else ("type", "category") if categories else ("type",)
    _show(ctx, keys, pattern, limit)


def _show(
    ctx: typer.Context, keys: tuple[str, ...], pattern: str | None, limit: int | None
) -> None:
    store: StoreTarget = ctx.obj
    columns = (*keys, *COUNTS)
    found = _count(store, keys, pattern, limit)
    store.output.print_rows(
        (*keys, Column("message_count", "messages"), Column("percent", "percent of all")),
        (dict(zip(columns, row, strict=True)) for row in found),
        empty=_EMPTY if pattern is None else f"nothing in the store is named {pattern!r}",
    )


def _count(
    store: StoreTarget, keys: tuple[str, ...], pattern: str | None, limit: int | None
) -> list[tuple[Any, ...]]:
    question, parameters = build_summary_query(store.schema, keys, pattern, limit)
    try:
        with store.open_client(max_size=1) as client, client.transaction(read_only=True) as tx:
            return tx.connection.execute(question, parameters).fetchall()
    except IncompatibleServerError:
        # A proxying database has no table, and no transaction.
        counted = count_on_nodes(store, keys, pattern, limit)
        if counted is None:
            raise
        return counted
