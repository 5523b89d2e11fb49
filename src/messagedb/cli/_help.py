"""Help of the commands: their groups, and the examples at the end."""

from __future__ import annotations

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
    """A command whose help does not repeat the variable of each option: all have one."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        for parameter in self.params:
            parameter.show_envvar = False  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


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
