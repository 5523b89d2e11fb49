"""The command that shows the causes and the effects of a message as a tree."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from messagedb import Message
from messagedb.clients import Trace, TraceNode

from ._cells import build_cell, escape_controls
from ._complete import complete_stream
from ._help import READ, add_command
from ._message_rows import build_message_row
from ._store import StoreTarget
from ._wrapping import stack

_MAX_MESSAGES = 10_000
_INDENT = 4  # columns of a branch
_MAX_DEPTH = 10  # levels that fit a terminal; deeper nodes show their level as a number


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(
        app,
        trace,
        READ,
        "messagedb trace account-123/0",
        "messagedb trace account-123/0 --workflow --within 1000000",
    )


def trace(
    ctx: typer.Context,
    message: Annotated[
        str,
        typer.Argument(
            help="Its id, or its stream and position: account-123/4.",
            autocompletion=complete_stream,
        ),
    ],
    within: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of global positions after it to search for effects. No index leads to"
            " them: the metadata of all these messages is read.",
        ),
    ] = 100_000,
    workflow: Annotated[
        bool,
        typer.Option(
            "--workflow",
            help="Also list the other messages among these that have the same correlation stream"
            " or W3C trace id.",
        ),
    ] = False,
) -> None:
    """Show a message with its causes and all messages that it caused, as a tree.

    The cause of each message is in its metadata, as following() writes it.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        # Only JSON shows the data, which may be large.
        found = client.trace(
            message,
            window=within,
            max_messages=_MAX_MESSAGES,
            include_data=store.output.is_json,
        )
        head = client.get_store_head() or 0
    if store.output.is_json:
        for row in _list_rows(found, workflow):
            store.output.print_json(row)
    else:
        store.output.print_tree(_build_rich_tree(found, store.output.width))
        if workflow:
            for correlated in found.correlated:
                store.output.print_tree(Tree(_describe(correlated, store.output.width)))
    if not workflow and found.correlated:
        store.output.print_note(
            f"{len(found.correlated):,} other messages of its workflow: see --workflow"
        )
    if found.left_out:
        store.output.print_note(f"{found.left_out:,} more messages were found and left out")
    if not found.searched_to and not found.is_complete and not found.left_out:
        store.output.print_note("later messages were not searched on some node: see --within")
    if found.searched_to and head > found.searched_to:
        store.output.print_note(
            f"{head - found.searched_to:,} later positions were not searched: see --within"
        )


def _list_rows(found: Trace, workflow: bool) -> list[dict[str, Any]]:
    """Return the causes with negative depths, the message and its effects, and its workflow."""
    above = len(found.causes)
    rows = [
        {"depth": depth - above, **build_message_row(node.message)}
        for depth, node in found.root.walk()
    ]
    if workflow:
        rows += [{"depth": None, **build_message_row(message)} for message in found.correlated]
    return rows


def _build_rich_tree(found: Trace, width: int | None) -> Tree:
    """Return the messages as a tree for a terminal: type, stream, position and time of each."""
    branches: list[Tree] = []
    for depth, node in found.root.walk():
        shown = min(depth, _MAX_DEPTH)
        left = None if width is None else width - _INDENT * shown
        mark = f"({depth}) " if depth > _MAX_DEPTH else ""
        mark += "→ " if _is_marked(found, node) else ""
        label = _describe(node.message, left, mark)
        del branches[shown:]
        branches.append(branches[-1].add(label) if branches else Tree(label))
    return branches[0]


def _is_marked(found: Trace, node: TraceNode) -> bool:
    """Return True for the traced message in a tree that begins with its causes."""
    return node is found.node and found.root is not found.node


def _describe(message: Message[Any], width: int | None, mark: str = "") -> Text:
    type = Text.assemble(mark, (escape_controls(message.type), "bold"))
    place = Text(escape_controls(f"{message.stream_name}/{message.position}"))
    return stack([type, place, build_cell(message.time).to_text()], width)
