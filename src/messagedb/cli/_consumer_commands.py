"""Commands about consumers: their lag, their positions, their parked messages."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from messagedb import Consumer, ValidationError
from messagedb.consumers import ParkedMessage

from ._consumer_arguments import Category, Identifier, normalize_identifier
from ._consumer_rows import PARKED_COLUMNS, build_parked_row
from ._exit import confirm, exit_error, show_user_tracebacks
from ._help import CONSUMERS, RUN, add_command
from ._load_target import load, open_consumers
from ._logging import FormatOption, LevelOption, LogFormat, LogLevel, configure_logging
from ._message_rows import build_message_row as message_row
from ._position_commands import get_position, set_position
from ._release_command import release
from ._resize_command import resize
from ._status_command import status
from ._store import StoreTarget
from ._wait_command import wait

OfStream = Annotated[
    str | None, typer.Option("--stream", help="The parked messages of this stream.")
]
Ids = Annotated[list[UUID] | None, typer.Argument(help="Ids of parked messages.")]

consumers = typer.Typer(no_args_is_help=True, help="The consumers of a store.")
position = typer.Typer(no_args_is_help=True, help="The position of a consumer.")
parked = typer.Typer(no_args_is_help=True, help="Parked messages of a consumer.")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    add_command(app, consume, RUN, "messagedb consume bank:statements --until-caught-up")
    app.add_typer(consumers, name="consumers", rich_help_panel=CONSUMERS)
    app.add_typer(position, name="position", rich_help_panel=CONSUMERS)
    app.add_typer(parked, name="parked", rich_help_panel=CONSUMERS)
    add_command(
        consumers,
        status,
        None,
        "messagedb consumers status",
        "messagedb consumers status --watch",
        "messagedb consumers status account --max-lag 1000",
        "messagedb consumers status order --partitions",
    )
    add_command(
        consumers,
        wait,
        None,
        "messagedb consumers wait account statements --timeout 60",
        "messagedb consumers wait account statements --stream account-1 --position 3",
    )
    add_command(consumers, release, None, "messagedb consumers release order shipping 3")
    add_command(consumers, resize, None, "messagedb consumers resize order shipping 32")
    add_command(
        position, get_position, None, "messagedb position get account statements", name="get"
    )
    add_command(
        position,
        set_position,
        None,
        "messagedb position set account statements beginning",
        "messagedb position set order shipping 4711 --member 3 --size 16",
        name="set",
    )
    _add_parked_commands()


def _add_parked_commands() -> None:
    add_command(
        parked,
        list_parked,
        None,
        "messagedb parked list account statements",
        "messagedb parked list account mails --stream account-123",
        name="list",
    )
    add_command(
        parked,
        show_parked,
        None,
        "messagedb parked show account mails 2bb317f1-acbc-4e3b-8867-4c869f03b6e0",
        name="show",
    )
    add_command(
        parked,
        discard_parked,
        None,
        "messagedb parked discard account statements --all",
        "messagedb parked discard account mails --stream account-123",
        name="discard",
    )
    add_command(
        parked,
        replay_parked,
        None,
        "messagedb parked replay bank:statements --all",
        "messagedb parked replay bank:mails --stream account-123 --until 7",
        name="replay",
    )


def consume(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="module:name of an app, a consumer or a read model, of a list of them, or of a"
            " function that takes a Client and returns them, or of a coroutine function that takes"
            " an AsyncClient."
        ),
    ],
    until_caught_up: Annotated[
        bool,
        typer.Option(
            "--until-caught-up", help="End when every message that is there now is handled."
        ),
    ] = False,
    stop_timeout: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds that handlers have to finish after a signal."),
    ] = 10.0,
    log_level: LevelOption = LogLevel.INFO,
    log_format: FormatOption = LogFormat.TEXT,
) -> None:
    """Run consumers until SIGTERM or Ctrl-C.

    The current messages are finished then. It waits for an unavailable store. Logs go to
    standard error.
    """
    configure_logging(log_level, log_format)
    with show_user_tracebacks(), open_consumers(load(target), ctx.obj, waits=True) as running:
        try:
            running.run("caught_up" if until_caught_up else None, stop_timeout)
        except TimeoutError as error:  # that of a handler is raised as a HandlerError
            raise exit_error(str(error)) from None


def list_parked(
    ctx: typer.Context, category: Category, identifier: Identifier, stream: OfStream = None
) -> None:
    """List a consumer's parked messages, in the order of parking.

    Of a message that holds its stream: how many wait behind it. Of one of these: the position of
    the message that it waits for.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        found = Consumer(
            client, category, identifier=normalize_identifier(identifier)
        ).list_parked()
    found = [each for each in found if stream in (None, each.stream_name)]
    store.output.print_rows(
        PARKED_COLUMNS,
        map(build_parked_row, found),
        total=f"{len(found):,} parked",
        empty="no message of this consumer is parked",
    )


def show_parked(
    ctx: typer.Context,
    category: Category,
    identifier: Identifier,
    id: Annotated[UUID, typer.Argument(help="The id of the parked message.")],
) -> None:
    """Show a parked message with its data, and why it was parked."""
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        (found,) = _select_parked(
            Consumer(client, category, identifier=normalize_identifier(identifier)), [id]
        )
        page = client.get_stream_messages(found.stream_name, position=found.position, batch_size=1)
    row = {**(message_row(page[0]) if page else {}), **build_parked_row(found)}
    store.output.print_record(row)


def discard_parked(
    ctx: typer.Context,
    category: Category,
    identifier: Identifier,
    ids: Ids = None,
    all: Annotated[bool, typer.Option("--all", help="All parked messages.")] = False,
    stream: OfStream = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove parked messages from the list without handling them.

    It asks first.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        consumer = Consumer(client, category, identifier=normalize_identifier(identifier))
        chosen = _select_parked(consumer, _ids_or_all(ids, all, stream))
        chosen = [each for each in chosen if stream in (None, each.stream_name)]
        if not yes:
            confirm(f"Discard {len(chosen):,} parked messages of {consumer.name}?")
        count = (
            consumer.discard_parked(chosen)
            if stream is None
            else consumer.discard_parked(stream_name=stream)
        )
    store.output.print_rows(("discarded",), [{"discarded": count}])


def replay_parked(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(help="The app, or the consumer with its handlers, as for run: mod:name."),
    ],
    ids: Ids = None,
    all: Annotated[bool, typer.Option("--all", help="All parked messages.")] = False,
    stream: OfStream = None,
    until: Annotated[
        int | None, typer.Option(min=0, help="With --stream: up to this position in the stream.")
    ] = None,
) -> None:
    """Call a consumer's handlers with parked messages again.

    Those that succeed are done. Those of a held stream are handled in order; at one that fails the
    stream is left, and the others go on.
    """
    store: StoreTarget = ctx.obj
    wanted = _ids_or_all(ids, all, stream)
    with show_user_tracebacks(), open_consumers(load(target), store) as running:
        counts = running.replay(wanted, stream, until)
    store.output.print_rows(("consumer", "replayed"), counts)


def _ids_or_all(ids: list[UUID] | None, all: bool, stream: str | None) -> list[UUID] | None:
    if bool(ids) + all + (stream is not None) != 1:
        raise ValidationError(
            "name ids of parked messages, or use --all, or --stream. Nothing was changed."
        )
    return ids or None


def _select_parked(consumer: Consumer, ids: list[UUID] | None) -> list[ParkedMessage]:
    found = consumer.list_parked()
    if ids is None:
        return found
    by_id = {each.message_id: each for each in found}
    for id in ids:
        if id not in by_id:
            raise ValidationError(
                f"no parked message of this consumer has the id {id}. Nothing was changed."
            )
    return [by_id[id] for id in ids]
