"""The command that changes the number of a consumer's partitions."""

from __future__ import annotations

from typing import Annotated

import typer

from ._complete import complete_consumed_category, complete_identifier
from ._exit import exit_error
from ._store import StoreTarget


def resize(
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
    size: Annotated[
        int, typer.Argument(min=1, max=32_767, help="The new number of its partitions.")
    ],
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds that the change may take.")
    ] = 60.0,
) -> None:
    """Change the number of a consumer's partitions, while its processes run.

    No message is skipped, and none is handled again unless a process dies meanwhile. Exit code 1 if
    it was not done in time: then it is withdrawn, and the present partitions go on. It is safe to
    run it again; with the present number it withdraws a change. Change the number in the code, too.
    """
    store: StoreTarget = ctx.obj
    with store.open_client(max_size=1) as client:
        before = client.list_partitions(category, identifier)
        try:
            client.resize_partitions(category, identifier, size, timeout=timeout)
        except TimeoutError as error:
            raise exit_error(str(error)) from None
        after = client.list_partitions(category, identifier)
    row = {"consumer": after.name, "old_size": before.size, "size": after.size}
    store.output.print_rows(("consumer", "old_size", "size"), [row])
