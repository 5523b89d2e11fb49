"""The command that waits until a consumer has handled a message."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from messagedb import Client, StreamPositionStore, TablePositionStore, ValidationError

from ._complete import complete_consumed_category, complete_identifier
from ._exit import exit_error
from ._store import StoreTarget


def wait(
    ctx: typer.Context,
    category: Annotated[
        str,
        typer.Argument(
            help="The category that the consumer reads.",
            autocompletion=complete_consumed_category,
        ),
    ],
    identifier: Annotated[
        str,
        typer.Argument(
            help="The consumer's identifier; - for a consumer without one.",
            autocompletion=complete_identifier,
        ),
    ],
    stream: Annotated[
        str | None, typer.Option(help="The stream of the message, with --position.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="Its position in the stream, as write printed it.")
    ] = None,
    global_position: Annotated[
        int | None, typer.Option(min=1, help="Its global position, instead of --position.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="The size of its group; without --stream, wait for all members."),
    ] = None,
    table: Annotated[
        bool | None,
        typer.Option("--table/--no-table", help="Its position is in the table, or in a stream."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait.")] = 60.0,
) -> None:
    """Wait until a consumer has handled a message, in whatever process it runs.

    Without a position it is the last message of the category, so that a script waits until the
    consumer has caught up. Exit code 1 if the time is up: the text says what is stored, and what
    the consumer last reported.
    """
    store: StoreTarget = ctx.obj
    if stream is not None and position is None and global_position is None:
        raise ValidationError("--stream needs --position, the position in the stream.")
    with store.open_client(max_size=2) as client:
        if position is None and global_position is None:
            global_position = _find_last(client, category)
            if global_position is None:
                store.output.print_note(f"category {category!r} has no message to wait for")
                return
        try:
            client.wait_for_consumer(
                category,
                None if identifier == "-" else identifier,
                stream_name=stream,
                position=position,
                global_position=global_position,
                group_size=size,
                position_store=_find_store(table),
                timeout=timeout,
            )
        except TimeoutError as error:
            raise exit_error(str(error)) from None


def _find_last(client: Client, category: str) -> int | None:
    found = client.get_category_messages(category, batch_size=1, direction="backwards")
    return found[0].global_position if found else None


def _find_store(table: bool | None) -> Any:
    if table is None:
        return None
    return TablePositionStore() if table else StreamPositionStore()
