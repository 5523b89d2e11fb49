"""Commands that the library names to its users: each is one that a terminal takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main

import messagedb
from messagedb.cli._app import app

SOURCE = Path(messagedb.__file__).parent
_NAMED = re.compile(r"(?:`|<code>)(messagedb [^`<\n{]*)(?:`|</code>)")


def find_commands() -> list[str]:
    """Return the commands that sources and templates name as code."""
    files = [
        each
        for pattern in ("*.py", "*.html")
        for each in SOURCE.rglob(pattern)
        if "_sync" not in each.parts
    ]
    return sorted({found for each in files for found in _NAMED.findall(each.read_text())})


@pytest.mark.parametrize("named", find_commands())
def test_a_command_that_a_page_or_an_error_names_can_be_typed(named: str) -> None:
    group: Any = typer.main.get_command(app)
    name, *words = shlex.split(named)
    context: Any = group.make_context(name, words)
    while isinstance(group := context.command, click.Group):
        _, command, words = group.resolve_command(context, [*context.protected_args, *context.args])
        assert command is not None
        context = command.make_context(command.name, words, parent=context, resilient_parsing=False)
