"""Commands that write and read messages, follow new ones, and trace their effects.

Errors are raised: ``_exit`` prints them and chooses the exit code.
"""

from __future__ import annotations

import sys
from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text
from rich.tree import Tree

from messagedb import Client, ValidationError, streams

from ._causation_tree import Node, build_tree, find_message, iter_effects
from ._cells import escape_controls
from ._complete import complete_stream
from ._help import READ, add_command
from ._message_rows import COLUMNS, build_message_row
from ._parse_input import build_message, parse_expected_version, parse_json_object, parse_messages
from ._read_pages import follow_pages, iter_pages, limit_pages, resolve_start
from ._store import StoreTarget

_MAX_DEPTH = 10  # levels that fit a terminal; deeper nodes show their level as a number

Stream = Annotated[
    str, typer.Argument(help="The stream, such as account-123.", autocompletion=complete_stream)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(
        app,
        write,
        READ,
        "messagedb write account-123 Deposited '{\"amount\": 5}'",
        "messagedb write account-123 - < messages.ndjson",
    )
    add_command(
        app,
        read,
        READ,
        "messagedb read account --follow",
        "messagedb read account-123 --types Deposited --json",
    )
    add_command(app, last, READ, "messagedb last account-123 --type Deposited")
    add_command(app, trace, READ, "messagedb trace account-123/0")


def write(
    ctx: typer.Context,
    stream_name: Stream,
    type: Annotated[
        str,
        typer.Argument(
            help="The message's type. Or - to write the messages of standard input, one JSON"
            " object per line with type, data, metadata and id: all of them, or none."
        ),
    ],
    data: Annotated[
        str | None, typer.Argument(help="A JSON object, or - to read it from standard input.")
    ] = None,
    metadata: Annotated[str | None, typer.Option(show_envvar=False, help="A JSON object.")] = None,
    id: Annotated[
        UUID | None,
        typer.Option(
            show_envvar=False,
            help="The message's UUID. Written twice with the same one, it is stored once.",
        ),
    ] = None,
    expected_version: Annotated[
        str,
        typer.Option(
            show_envvar=False,
            help="any, no-stream, stream-exists, or the position of the stream's last message.",
        ),
    ] = "any",
) -> None:
    """Write a message to a stream, or several together."""
    store: StoreTarget = ctx.obj
    version = parse_expected_version(expected_version)
    if type == "-":
        if data is not None or metadata is not None or id is not None:
            raise ValidationError(
                "with - for the type, data, metadata and id are those of the lines. Nothing was "
                "sent."
            )
        messages = parse_messages(sys.stdin)
    else:
        text = sys.stdin.read() if data == "-" else data
        messages = [
            build_message(
                type, parse_json_object(text, "data"), parse_json_object(metadata, "metadata"), id
            )
        ]
    with store.open_client(max_size=1) as client:
        positions = client.write_messages(stream_name, messages, expected_version=version)
    store.output.print_rows(
        ("stream_name", "position", "type", "id"),
        [
            {
                "stream_name": stream_name,
                "position": position,
                "type": message.type,
                "id": message.id,
            }
            for position, message in zip(positions, messages, strict=True)
        ],
    )


def read(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="A stream, such as account-123, or a category, such as account.")
    ],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            envvar="MESSAGEDB_READ_FROM",
            show_envvar=False,
            help="beginning, end, or a position: of a stream from 0, of a category the global one.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Then continue with new messages, until Ctrl-C.")
    ] = False,
    types: Annotated[
        str | None, typer.Option(show_envvar=False, help="Only these message types: A,B.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=1, show_envvar=False, help="The largest number of messages."
        ),
    ] = None,
    correlation: Annotated[
        str | None,
        typer.Option(
            show_envvar=False,
            help="Only messages of workflows that began in this category.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, show_envvar=False, help="Number of messages per query.")
    ] = 1000,
) -> None:
    """Read a stream or a category; exit code 1 if it has no message at all."""
    store: StoreTarget = ctx.obj
    wanted = tuple(name for name in (types or "").split(",") if name)
    with store.open_client(max_size=1) as client:
        source = follow_pages if follow else iter_pages
        found = source(
            client,
            name,
            resolve_start(start, name, client),
            batch_size=batch_size,
            types=wanted,
            correlation=correlation,
        )
        count = store.output.print_pages(
            COLUMNS,
            (
                [build_message_row(message) for message in page]
                for page in limit_pages(found, limit)
            ),
        )
        if not count and not _has_messages(client, name):
            kind = "category" if streams.is_category(name) else "stream"
            raise ValidationError(f"the {kind} {name!r} has no message")


def _has_messages(client: Client, name: str) -> bool:
    """Return True if a stream or category has any message, whatever was asked for."""
    if streams.is_category(name):
        return bool(client.get_category_messages(name, batch_size=1))
    return client.stream_version(name) >= 0


def last(
    ctx: typer.Context,
    stream_name: Stream,
    type: Annotated[
        str | None, typer.Option(show_envvar=False, help="The last message of this type.")
    ] = None,
) -> None:
    """Show the last message of a stream.

    Exit code 1 if it has none.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        message = client.get_last_stream_message(stream_name, type=type)
    if message is None:
        of_type = "" if type is None else f" of type {type!r}"
        raise ValidationError(f"the stream {stream_name!r} has no message{of_type}")
    store.output.print_rows(COLUMNS, [build_message_row(message)])


def trace(
    ctx: typer.Context,
    message: Annotated[
        str, typer.Argument(help="Its id, or its stream and position: account-123/4.")
    ],
    within: Annotated[
        int,
        typer.Option(min=1, help="Number of global positions after it to search: all are read."),
    ] = 100_000,
) -> None:
    """Show a message and all messages that it caused, as a tree.

    The cause of each message is in its metadata, as following() writes it.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        cause = find_message(client, store.schema, message)
        root = build_tree(cause, iter_effects(client, cause, within))
        head = client.get_store_head()
    if store.output.is_json:
        for depth, node in root.walk():
            store.output.print_json({"depth": depth, **build_message_row(node.message)})
    else:
        store.output.console.print(_build_rich_tree(root), soft_wrap=True)
    if head is not None and head > cause.global_position + within:
        store.output.print_note(
            f"{head - cause.global_position - within:,} later positions were not searched: see"
            " --within"
        )


def _build_rich_tree(root: Node) -> Tree:
    """Return the messages as a tree for a terminal: type, stream, position and time of each."""
    branches: list[Tree] = []
    for depth, node in root.walk():
        message = node.message
        place = escape_controls(f"{message.stream_name}/{message.position}")
        label = Text.assemble(
            f"({depth}) " if depth > _MAX_DEPTH else "",
            (escape_controls(message.type), "bold"),
            f"  {place}  {message.time:%H:%M:%S.%f}",
        )
        del branches[min(depth, _MAX_DEPTH) :]
        branches.append(branches[-1].add(label) if branches else Tree(label))
    return branches[0]
