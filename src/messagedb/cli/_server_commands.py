"""Commands about the server: is it there, which version."""

from __future__ import annotations

import time

import typer


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(ping)


def ping(ctx: typer.Context) -> None:
    """Ask the store whether it answers; exit code 0 if so, 3 if it cannot be reached."""
    store = ctx.obj
    begun = time.perf_counter()
    with store.client(max_size=1) as client:
        version = client.message_store_version()
    seconds = round(time.perf_counter() - begun, 4)
    columns = ("message_store_version", "seconds")
    store.output.rows(columns, [{"message_store_version": version, "seconds": seconds}])
