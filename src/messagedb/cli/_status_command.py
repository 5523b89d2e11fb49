"""The command that shows how consumers are, once or again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from messagedb import Client, ValidationError

from ._complete import complete_consumed_category
from ._consumer_rows import find_lagging
from ._consumer_table import STATUS_COLUMNS, summarize
from ._consumer_watch import watch_rows
from ._exit import exit_error
from ._layout import Row
from ._partition_rows import build_status_rows
from ._store import StoreTarget

_NOTHING = "has stored a position or reported a run: see messagedb run, and messagedb consume"


def status(
    ctx: typer.Context,
    category: Annotated[
        str | None,
        typer.Argument(
            help="Only consumers of this category.", autocompletion=complete_consumed_category
        ),
    ] = None,
    max_lag: Annotated[
        int | None,
        typer.Option(min=0, help="Exit code 1 if a consumer is more messages behind."),
    ] = None,
    max_lag_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Exit code 1 if a consumer's oldest message has waited longer."),
    ] = None,
    partitions: Annotated[
        bool,
        typer.Option("--partitions", help="A row for each partition: its owner, since when."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")
    ] = 2.0,
) -> None:
    """Show who runs each consumer, how far behind it is, and at which message it fails.

    A lag counts all messages of the category, before filters, also those of a group's other
    members. A consumer with partitions is one row, whose lag counts each message once. For
    consumers of other libraries it is not known whether they run. The command reads all position
    records. Exit code 1 if there is no consumer of the category.
    """
    store: StoreTarget = ctx.obj
    is_probe = max_lag is not None or max_lag_seconds is not None
    if watch and is_probe:
        raise ValidationError("--watch shows, and --max-lag checks once: leave one of them out.")
    with store.open_client(max_size=1) as client:
        if watch:
            watch_rows(
                store.output, lambda: _read(client, category, has_partitions=partitions)[0], every
            )
        rows, notes = _read(client, category, has_partitions=partitions)
    if category is not None and not rows:
        raise exit_error(f"no consumer of category {category!r} {_NOTHING}")
    total, empty = summarize(rows), f"no consumer {_NOTHING}"
    store.output.print_rows(STATUS_COLUMNS, rows, total=total, empty=empty)
    for note in notes:
        store.output.print_note(note)
    late = find_lagging(rows, max_lag, max_lag_seconds)
    if late:
        raise exit_error("; ".join(late))


def _read(
    client: Client, category: str | None, *, has_partitions: bool
) -> tuple[list[Row], list[str]]:
    """Return the rows of consumers, and sentences about what is wrong with some."""
    consumers = client.list_consumers(category)
    sets = client.list_partition_sets(category)
    rows = build_status_rows(consumers, sets, has_partitions=has_partitions)
    notes = [f"{each['consumer']}: {each['problem']}" for each in rows if each["problem"]]
    return list(rows), [*notes, *(each.alarm for each in sets if each.alarm is not None)]
