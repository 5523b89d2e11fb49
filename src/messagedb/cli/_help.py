"""Help of the commands: their groups, and the examples at the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

READ = "Write and read"
RUN = "Run"
CONSUMERS = "Consumers"
OPERATE = "Operate"
DEVELOP = "Develop"
PANELS = (READ, RUN, CONSUMERS, OPERATE, DEVELOP)
"""Groups of commands, in the order of the help."""


class Command(TyperCommand):
    """A command whose help has room on a narrow terminal.

    It does not repeat the variable of each option, as all have one, nor the types of flags and
    numbers, which took a third of the width.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            parameter.show_envvar = False
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            elif parameter.param_type_name == "option" and _is_number(parameter, ctx):
                parameter.metavar = "N"
        super().format_help(ctx, formatter)


def _is_number(parameter: Any, ctx: Any) -> bool:
    # The versions of typer name it differently.
    show = getattr(parameter, "display_type", None) or parameter.make_metavar
    return re.match(r"\W*(int|float)", show(ctx) or "", re.IGNORECASE) is not None


def add_command(
    app: typer.Typer,
    command: Callable[..., Any],
    panel: str | None,
    *examples: str,
    name: str | None = None,
) -> None:
    """Add a command whose help ends with examples.

    Args:
        app: the group.
        command: the function.
        panel: the group's name in the list of commands.
        examples: command lines, which the tests parse.
        name: the command's name, if it is not the function's.
    """
    title = "Example" if len(examples) == 1 else "Examples"
    lines = "\n".join(f"- `{example}`" for example in examples)
    app.command(name, cls=Command, epilog=f"{title}:\n\n{lines}", rich_help_panel=panel)(command)
