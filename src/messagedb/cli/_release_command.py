"""The command that has another process own a partition."""

from __future__ import annotations

from typing import Annotated

import typer

from ._complete import complete_consumed_category, complete_identifier
from ._exit import exit_error
from ._store import StoreTarget


def release(
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
        typer.Argument(help="The consumer's identifier.", autocompletion=complete_identifier),
    ],
    number: Annotated[int, typer.Argument(min=0, help="The number of the partition, from 0.")],
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds to wait for its owner's handler.")
    ] = 10.0,
) -> None:
    """Have another process own a partition.

    Its owner finishes its message, stores the position and gives the partition up; another process
    takes it within about a second. The only process takes it again after five seconds. Exit code 1
    if the owner has not given it up in time: it does so after its message.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        before = client.list_partitions(category, identifier)
        try:
            client.release_partition(category, identifier, number, timeout=timeout)
        except TimeoutError as error:
            raise exit_error(str(error)) from None
    owner = before.partitions[number].owner
    row = {
        "consumer": before.name,
        "partition": number,
        "released_by": None if owner is None else owner.name,
    }
    store.output.print_rows(("consumer", "partition", "released_by"), [row])
