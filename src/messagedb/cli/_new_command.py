"""The command ``new``, which writes a small service to start from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from messagedb import ValidationError

from ._exit import ExitCode, exit_error
from ._help import DEVELOP, add_command
from ._output import Output
from ._service_files import build_service_files, check_service_name

_NEXT_STEPS_TEXT = """
Next:

  cd {folder}
  python -m venv .venv && . .venv/bin/activate
  pip install --upgrade pip && pip install --editable . --group dev
  pytest
  messagedb run {name}.service:app --url embedded:data --reload

README.md names the files, and how to call the API.
"""


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    add_command(app, new, DEVELOP, "messagedb new shop", "messagedb new shop --sync")


def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The name of its package, such as shop.")],
    directory: Annotated[
        Path | None, typer.Option(help="The folder to write. Default: one of this name here.")
    ] = None,
    is_async: Annotated[
        bool,
        typer.Option(
            "--async/--sync",
            envvar="MESSAGEDB_NEW_ASYNC",
            help="The variant of the app and its API.",
        ),
    ] = True,
) -> None:
    """Write a small service to start from, with tests.

    It has an entity, a consumer, a read model, an HTTP API, tests, and files for Docker and GitHub.
    The folder must be empty, or not there. No store is used.
    """
    output: Output = ctx.obj.output
    folder = Path(name) if directory is None else directory
    try:
        check_service_name(name)
        _check_folder(folder)
    except ValidationError as error:
        raise exit_error(str(error), ExitCode.USAGE) from None
    written = build_service_files(name, is_async=is_async)
    _write_files(folder, written)
    output.print_rows(["file"], [{"file": str(folder / path)} for path in written])
    place = shlex.quote(str(folder))
    output.print_note(_NEXT_STEPS_TEXT.format(folder=place, name=name).rstrip())


def _check_folder(folder: Path) -> None:
    """Check that nothing of the user's is in the folder.

    Raises:
        ValidationError: something is, or it is no folder.
    """
    if folder.is_dir():
        # A clone of an empty repository is empty.
        found = sorted(each.name for each in folder.iterdir() if each.name != ".git")
        if found:
            raise ValidationError(
                f"The folder {str(folder)!r} is not empty, it has {found[0]!r}: name another one"
                " with --directory. Nothing was written."
            )
    elif folder.exists() or folder.is_symlink():
        raise ValidationError(f"{str(folder)!r} is no folder. Nothing was written.")


def _write_files(folder: Path, contents: Mapping[str, str]) -> None:
    """Write the files, all or none.

    Raises:
        OSError: one could not be written; those that were are removed.
    """
    made: list[Path] = []
    try:
        for path, content in contents.items():
            target = folder / path
            missing = [each for each in (target, *target.parents) if not each.exists()]
            for parent in reversed(missing[1:]):
                parent.mkdir()
                made.append(parent)
            with target.open("x", encoding="utf-8", newline="\n") as file:
                made.append(target)
                file.write(content)
    except OSError:
        for each in reversed(made):
            with suppress(OSError):
                each.rmdir() if each.is_dir() else each.unlink()
        raise
