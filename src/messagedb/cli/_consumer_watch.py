"""The status of consumers again and again, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from rich.console import Group
from rich.live import Live
from rich.text import Text

from messagedb import StoreUnavailableError

from ._consumer_table import STATUS_COLUMNS, summarize
from ._layout import Row
from ._output import Output


def watch_rows(output: Output, read_rows: Callable[[], Sequence[Row]], seconds: float) -> NoReturn:
    """Show the rows of consumers in place on a terminal, or one after the other into a pipe.

    While the store is unavailable the last rows stay, with a line that says so.

    Args:
        output: where to show them.
        read_rows: reads them.
        seconds: the time between two reads.
    """
    if output.is_json or not output.console.is_terminal:
        while True:
            try:
                output.print_rows(STATUS_COLUMNS, read_rows())
            except StoreUnavailableError as error:
                output.print_note(str(error))
            output.flush()
            time.sleep(seconds)
    rows: Sequence[Row] = ()
    with Live(console=output.console, auto_refresh=False) as live:
        while True:
            try:
                rows = read_rows()
                note = Text(f"{summarize(rows)}; Ctrl-C ends", "dim")
            except StoreUnavailableError as error:
                note = Text(f"as of the last time: {error}", "red")
            live.update(Group(*output.build_lines(STATUS_COLUMNS, rows), note), refresh=True)
            time.sleep(seconds)
