"""Exit of a command: one clear line and an exit code, never a traceback for expected errors."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Any

import psycopg
import typer
from psycopg import errors
from typer.core import TyperGroup

from messagedb import HandlerError, MessageDBError, StoreUnavailableError
from messagedb._errors import name_page

from ._cells import escape_controls
from ._help import PANELS


class ExitCode(IntEnum):
    """Exit codes of the CLI."""

    OK = 0
    REFUSED = 1  # the store, or its contents, do not allow it
    USAGE = 2  # the command line is wrong; nothing was done
    UNAVAILABLE = 3  # no store was reached
    INTERRUPTED = 130  # Ctrl-C, by the convention of shells


class Group(TyperGroup):
    """The group of all commands, which ends each expected error in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line, with the shared options at any place."""
        return super().parse_args(
            ctx, args if ctx.parent is not None else hoist_global_options(args)
        )

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, in the order of their panels."""
        order: dict[object, int] = {panel: at for at, panel in enumerate(PANELS)}
        return sorted(
            super().list_commands(ctx),
            key=lambda name: order.get(
                getattr(self.commands[name], "rich_help_panel", None), len(order)
            ),
        )

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters; those that install completion are no options of a run."""
        found: list[Any] = super().get_params(ctx)
        for parameter in found:
            if parameter.name in ("install_completion", "show_completion"):
                parameter.allow_from_autoenv = parameter.show_envvar = False
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn its errors into an exit code."""
        # If Ctrl-C interrupts a query, psycopg logs a warning about its connection.
        logging.getLogger("psycopg").addHandler(logging.NullHandler())
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:  # the reader has closed the pipe
            _discard_output()
            raise typer.Exit(ExitCode.OK) from None
        except OSError as error:
            _discard_output()
            raise exit_error(str(error)) from None
        except psycopg.Error as error:  # from a command's own query
            raise exit_error(describe_server_error(error)) from None
        except StoreUnavailableError as error:
            raise exit_error(str(error), ExitCode.UNAVAILABLE, page=name_page(error)) from None
        except MessageDBError as error:
            raise exit_error(str(error), ExitCode.REFUSED, page=name_page(error)) from None


@contextmanager
def show_user_tracebacks() -> Generator[None]:
    """Run the user's code: its errors keep their traceback, except this library's own errors."""
    try:
        yield
    except HandlerError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        raise
    except (OSError, psycopg.Error):
        traceback.print_exc()
        raise typer.Exit(ExitCode.REFUSED) from None


def exit_import_error(error: Exception) -> typer.Exit:
    """Print the traceback of a module that fails when it is imported, without our own frames.

    Returns:
        The exception that ends the command.
    """
    frames = error.__traceback__
    while frames is not None and _is_importing(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))
    return typer.Exit(ExitCode.REFUSED)


def _is_importing(file: str) -> bool:
    ours = (os.path.dirname(__file__), os.path.dirname(importlib.__file__))
    return file.startswith(("<frozen importlib", *ours))


def describe_server_error(error: psycopg.Error) -> str:
    """Return what the server refused, and what to do, as far as that is known."""
    said = error.diag.message_primary or str(error)
    if isinstance(error, errors.QueryCanceled):
        return f"{said}: it took longer than --command-timeout allows. Nothing was changed."
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{said}: use a role that may, or GRANT message_store to this one. Nothing was done."
    return f"the server refused: {said}. Nothing was changed."


def _discard_output() -> None:
    """Discard unwritten output, so that the end of the process does not fail on it."""
    with suppress(io.UnsupportedOperation):  # a test's output is not a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


GLOBAL_OPTIONS = ("--url", "--schema", "--format", "--command-timeout")
"""Options that all commands share, each with a value."""

GLOBAL_FLAGS = ("--json",)
"""Shared options without a value."""


def hoist_global_options(arguments: list[str]) -> list[str]:
    """Move the shared options before the command's name, where they belong.

    Example::

        hoist_global_options(["read", "account", "--url", "x"])  # ['--url', 'x', 'read', 'account']
    """
    first: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument == "--":
            rest += [argument, *given]
        elif argument in GLOBAL_OPTIONS:
            first += [argument, *(value for value in [next(given, None)] if value is not None)]
        elif argument in GLOBAL_FLAGS or argument.partition("=")[0] in GLOBAL_OPTIONS:
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def exit_error(text: str, code: ExitCode = ExitCode.REFUSED, *, page: str = "") -> typer.Exit:
    """Write one line to standard error, and return the exception that ends the command.

    The line ends with the way to the error's page, if there is one.

    Example::

        raise exit_error("there is no message with this id")
    """
    line = escape_controls(" ".join(text.split()))
    end = f" [{page}]" if page else ""
    print(f"messagedb: {line}{end}", file=sys.stderr)
    return typer.Exit(code)


def confirm(question: str) -> None:
    """Ask on standard error, and end the command unless the answer is yes. Nothing was done yet."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    if answer.strip().lower() not in ("y", "yes"):
        raise exit_error("not confirmed. Nothing was changed.")
