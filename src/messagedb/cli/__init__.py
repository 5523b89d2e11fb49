"""The command ``messagedb``: to look into a store, follow it, and look after its consumers."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command, and end the process with its exit code."""
    try:
        from ._app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        sys.exit(f"messagedb: {error}. The command needs more: pip install 'messagedb[cli]'")
    app(prog_name="messagedb")


_EXTRA = ("platformdirs", "rich", "typer")
