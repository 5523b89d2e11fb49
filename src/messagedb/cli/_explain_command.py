"""The command ``explain``, which shows the page of an error class."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.theme import Theme

from messagedb import ValidationError

from ._exit import ExitCode, exit_error
from ._explanations import find_explanation, load_explanations
from ._help import DEVELOP, add_command
from ._output import Output

_WIDEST = 88  # columns; longer lines are hard to read


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, explain, DEVELOP, "messagedb explain OutcomeUnknownError", "messagedb explain")


def _complete_error(begun: str) -> list[str]:
    names = [each.error for each in load_explanations()]
    return [name for name in names if name.lower().startswith(begun.lower())]


def explain(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="The class of the error, in any case. Default: a list of all.",
            autocompletion=_complete_error,
        ),
    ] = "",
) -> None:
    """Explain an error: why it is raised, what is true in the database, and what to do.

    The page is part of this installation. No store is used.
    """
    output: Output = ctx.obj.output
    if not name:
        rows = [{"error": each.error, "summary": each.summary} for each in load_explanations()]
        output.print_rows(["error", "summary"], rows)
        return
    try:
        found = find_explanation(name)
    except ValidationError as error:
        raise exit_error(str(error), ExitCode.USAGE) from None
    if output.is_json and output.is_chosen:
        output.print_json(msgspec.to_builtins(found))
    elif output.console.is_terminal:
        _print_page(output.console, found.page)
    else:
        typer.echo(found.page)


def _print_page(console: Console, page: str) -> None:
    # Rich centers headings, in a frame, and code has a black background on a light terminal, too.
    text = re.sub(r"^#+ (.+)$", r"**\1**", page, flags=re.MULTILINE)
    with console.use_theme(Theme({"markdown.code": "cyan"})):
        console.print(Markdown(text), width=min(console.width, _WIDEST))
