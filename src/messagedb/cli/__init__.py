"""The command-line interface ``messagedb``: read a store, follow it, and manage its consumers."""

from __future__ import annotations

import os
import sys
from typing import TextIO

__all__ = ["main"]


def main() -> None:
    """Run the CLI, and end the process with its exit code."""
    _ready_streams()
    try:
        from ._app import app
        from ._complete import INSTRUCTION, complete_in_bash
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        sys.exit(f"messagedb: {error}. The CLI needs more packages: pip install 'messagedb[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    if os.environ.get(INSTRUCTION) == "complete_bash":
        complete_in_bash(lambda: app(prog_name="messagedb"))
    app(prog_name="messagedb")


_EXTRA = ("platformdirs", "rich", "typer")


def _ready_streams() -> None:
    """Set up standard input and output so that no string breaks them, whatever the locale is."""
    # Streams that the shell has closed are None.
    given: tuple[TextIO | None, ...] = (sys.stdin, sys.stdout, sys.stderr)
    sys.stdin = given[0] or open(os.devnull)  # noqa: SIM115  # to the end of the process
    sys.stdout = given[1] or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = given[2] or open(os.devnull, "w")  # noqa: SIM115
    # A stream that other code has put there may not have the method.
    for stream, settings in (
        (sys.stdin, {"encoding": "utf-8", "errors": "surrogateescape"}),
        (sys.stdout, {"errors": "backslashreplace"}),
    ):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(**settings)
