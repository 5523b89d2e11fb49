"""Commands about the server: is it there, which version."""

from __future__ import annotations

import platform
import time
from importlib import metadata

import psycopg
import typer

from messagedb import schema


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(ping)
    app.command()(version)


def version(ctx: typer.Context) -> None:
    """Show the versions of messagedb and of what it works with, on this machine."""
    number = psycopg.pq.version()
    row = {
        "messagedb": metadata.version("messagedb"),
        "python": platform.python_version(),
        "psycopg": psycopg.__version__,
        "libpq": f"{number // 10000}.{number % 10000}",
        "schema": schema.VERSION,
    }
    ctx.obj.output.rows(tuple(row), [row])


def ping(ctx: typer.Context) -> None:
    """Ask the store whether it answers; exit code 0 if so, 3 if it cannot be reached."""
    store = ctx.obj
    begun = time.perf_counter()
    with store.client(max_size=1) as client:
        version = client.message_store_version()
    seconds = round(time.perf_counter() - begun, 4)
    columns = ("message_store_version", "seconds")
    store.output.rows(columns, [{"message_store_version": version, "seconds": seconds}])
