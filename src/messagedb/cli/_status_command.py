"""The command that shows how consumers are, once or again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from messagedb import ValidationError

from ._complete import complete_consumed_category
from ._consumer_rows import build_consumer_row, find_lagging
from ._consumer_table import STATUS_COLUMNS, summarize
from ._consumer_watch import watch_rows
from ._exit import exit_error
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
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")
    ] = 2.0,
) -> None:
    """Show who runs each consumer, how far behind it is, and at which message it fails.

    A lag counts all messages of the category, before filters, also those of a group's other
    members. For consumers of other libraries it is not known whether they run. The command reads
    all position records. Exit code 1 if there is no consumer of the category.
    """
    store: StoreTarget = ctx.obj
    is_probe = max_lag is not None or max_lag_seconds is not None
    if watch and is_probe:
        raise ValidationError("--watch shows, and --max-lag checks once: leave one of them out.")
    with store.open_client(max_size=1) as client:
        if watch:
            watch_rows(
                store.output,
                lambda: [build_consumer_row(each) for each in client.list_consumers(category)],
                every,
            )
        found = client.list_consumers(category)
    rows = [build_consumer_row(each) for each in found]
    if category is not None and not found:
        raise exit_error(f"no consumer of category {category!r} {_NOTHING}")
    total, empty = summarize(rows), f"no consumer {_NOTHING}"
    store.output.print_rows(STATUS_COLUMNS, rows, total=total, empty=empty)
    for each in found:
        if each.problem is not None:
            store.output.print_note(f"{each.name}: {each.problem}")
    late = find_lagging(found, max_lag, max_lag_seconds)
    if late:
        raise exit_error("; ".join(late))
