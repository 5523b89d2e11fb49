"""Commands that write messages, read them, and trace their causes and effects.

Errors are raised: ``_exit`` prints them and chooses the exit code.
"""

from __future__ import annotations

import sys
from typing import Annotated
from uuid import UUID

import typer

from messagedb import ValidationError

from . import _read_command, _trace_command
from ._complete import complete_stream
from ._help import READ, add_command
from ._message_rows import COLUMNS, build_message_row
from ._parse_input import build_message, parse_expected_version, parse_json_object, parse_messages
from ._store import StoreTarget

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
    _read_command.add_to(app)
    add_command(app, last, READ, "messagedb last account-123 --type Deposited")
    _trace_command.add_to(app)


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
