"""The command that reads a stream, a category or the whole store, and follows new messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from messagedb import ValidationError
from messagedb._operations.workflow_filter import WorkflowFilter

from ._complete import complete_name, complete_stream
from ._help import READ, add_command
from ._message_rows import COLUMNS, build_message_row
from ._parse_time import parse_since
from ._read_pages import Reading, limit_pages
from ._store import StoreTarget

_Name = Annotated[
    str | None,
    typer.Argument(
        help="A stream, such as account-123, or a category, such as account.",
        autocompletion=complete_name,
    ),
]
_All = Annotated[
    bool,
    typer.Option(
        "--all",
        envvar="MESSAGEDB_READ_ALL",
        help="The whole store, in the order of global position.",
    ),
]
_From = Annotated[
    str | None,
    typer.Option(
        "--from",
        envvar="MESSAGEDB_READ_FROM",
        show_envvar=False,
        help="beginning, end, or a position: of a stream from 0, otherwise the global one.",
    ),
]
_Since = Annotated[
    str | None,
    typer.Option(
        show_envvar=False,
        help="A time, such as 2026-05-01T12:00 (UTC unless it has a zone), or how long ago: 10m,"
        " 2h, 7d. Found by some 30 short reads, as no index has times; it may be a little early.",
    ),
]
_Last = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_envvar=False,
        help="So many of the last messages, the newest first. With --follow, begin with them.",
    ),
]
_Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Then continue with new messages, until Ctrl-C.")
]
_Types = Annotated[
    str | None, typer.Option(show_envvar=False, help="Only these message types: A,B.")
]
_Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", min=1, show_envvar=False, help="The largest number of messages."),
]
_Correlation = Annotated[
    str | None,
    typer.Option(
        show_envvar=False,
        autocompletion=complete_name,
        help="Only messages of workflows with this correlation stream, or category. No index"
        " helps: all that is read is looked at.",
    ),
]
_Causation = Annotated[
    str | None,
    typer.Option(
        show_envvar=False,
        autocompletion=complete_stream,
        help="Only effects of the message at this stream and position: account-123/4. No index"
        " helps: all that is read is looked at.",
    ),
]
_TraceId = Annotated[
    str | None,
    typer.Option(
        show_envvar=False,
        help="Only messages of this W3C trace: 32 hexadecimal digits. No index helps: all that is"
        " read is looked at.",
    ),
]
_BatchSize = Annotated[
    int, typer.Option(min=1, show_envvar=False, help="Number of messages per query.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(
        app,
        read,
        READ,
        "messagedb read account --follow",
        "messagedb read account-123 --types Deposited --json",
        "messagedb read --all --last 20",
        "messagedb read --all --since 10m --correlation transfer-9",
    )


def read(
    ctx: typer.Context,
    name: _Name = None,
    whole_store: _All = False,
    start: _From = None,
    since: _Since = None,
    last: _Last = None,
    follow: _Follow = False,
    types: _Types = None,
    limit: _Limit = None,
    correlation: _Correlation = None,
    causation: _Causation = None,
    trace_id: _TraceId = None,
    batch_size: _BatchSize = 1000,
) -> None:
    """Read a stream, a category or the whole store.

    Exit code 1 if it has no message at all. The whole store is safe to continue: a message behind
    a gap waits until no open transaction can fill the gap. --last reads backwards, by the table.
    """
    store: StoreTarget = ctx.obj
    _check_options(name, whole_store, start, since, last, None if follow else limit)
    workflow = WorkflowFilter(correlation, causation, trace_id)
    workflow.check()
    with store.open_client(max_size=1) as client:
        reading = Reading(
            client,
            name,
            start,
            None if since is None else parse_since(since, datetime.now(UTC)),
            tuple(type_name for type_name in (types or "").split(",") if type_name),
            workflow,
            batch_size,
        )
        if follow:
            found = reading.follow_pages(last)
        else:
            found = reading.iter_pages() if last is None else reading.iter_last(last)
        count = store.output.print_pages(
            COLUMNS,
            (
                [build_message_row(message) for message in page]
                for page in limit_pages(found, limit)
            ),
        )
        if not count and not reading.has_messages():
            raise ValidationError(f"{reading.describe()} has no message")


def _check_options(
    name: str | None,
    whole_store: bool,
    start: str | None,
    since: str | None,
    last: int | None,
    limit: int | None,
) -> None:
    """Refuse options that exclude each other.

    Raises:
        BadParameter: two of them do. Nothing was read.
    """
    if name is None and not whole_store:
        raise typer.BadParameter("Missing argument 'NAME', or --all for the whole store")
    if name is not None and whole_store:
        raise typer.BadParameter("a name and --all exclude each other")
    if start is not None and (since is not None or last is not None):
        other = "--since" if since is not None else "--last"
        raise typer.BadParameter(f"--from and {other} exclude each other")
    if last is not None and limit is not None:
        raise typer.BadParameter("--last and --limit exclude each other")
