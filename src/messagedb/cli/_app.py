"""The root of the CLI: options that all commands share, and the list of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from messagedb import __version__

from . import (
    _consumer_commands,
    _demo_command,
    _explain_command,
    _export_import_commands,
    _message_commands,
    _new_command,
    _proxy_commands,
    _run_command,
    _schema_commands,
    _server_commands,
    _summary_commands,
    _ui_command,
)
from ._exit import Group
from ._output import Format, Output
from ._store import StoreTarget

app = typer.Typer(
    cls=Group,
    context_settings={"auto_envvar_prefix": "MESSAGEDB", "help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"messagedb {__version__}")
        raise typer.Exit


@app.callback()
def apply_global_options(
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Option(
            show_envvar=True,
            help="The store: a URL or conninfo of PostgreSQL, or embedded:FOLDER. Default: an"
            " embedded store in your data folder.",
        ),
    ] = "",
    schema: Annotated[
        str, typer.Option(show_envvar=False, help="The schema of the message store.")
    ] = "message_store",
    format: Annotated[
        Format | None,
        typer.Option(
            show_envvar=False,
            help="Default: a table on a terminal, or records where it does not fit; JSON lines"
            " into a pipe.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", show_envvar=False, help="The same as --format json.")
    ] = False,
    command_timeout: Annotated[
        float, typer.Option(show_envvar=False, help="Time limit of one statement, in seconds.")
    ] = 30.0,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Print the version, and end.",
        ),
    ] = False,
) -> None:
    """Read a Message DB, follow it, and manage its consumers.

    Every option can be set by an environment variable: `--url` is MESSAGEDB_URL, and the option
    `--batch-size` of `read` is MESSAGEDB_READ_BATCH_SIZE.
    """
    output = Output(Format.JSON if json else format)
    ctx.obj = StoreTarget(url, schema=schema, command_timeout=command_timeout, output=output)


for _commands in (
    _message_commands,
    _summary_commands,
    _run_command,
    _consumer_commands,
    _export_import_commands,
    _server_commands,
    _schema_commands,
    _proxy_commands,
    _ui_command,
    _new_command,
    _demo_command,
    _explain_command,
):
    _commands.add_to(app)
