"""How a command ends: one clear line and an exit code, never a traceback for what is foreseen."""

from __future__ import annotations

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

from ._output import printable


class ExitCode(IntEnum):
    """What the command's exit codes mean."""

    OK = 0
    REFUSED = 1  # the store, or what it holds, says no
    USAGE = 2  # the command line is wrong; nothing was done
    UNAVAILABLE = 3  # no store was reached
    INTERRUPTED = 130  # Ctrl-C, as shells count it


class Group(TyperGroup):
    """The commands, each ended by one line where something foreseen went wrong."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line, with the shared options wherever they stand."""
        return super().parse_args(ctx, args if ctx.parent is not None else shared_first(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn what it raises into an exit code."""
        # Of a connection that Ctrl-C took in the middle of a question, psycopg warns.
        logging.getLogger("psycopg").addHandler(logging.NullHandler())
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:  # whoever read has seen enough
            _drop_output()
            raise typer.Exit(ExitCode.OK) from None
        except OSError as error:
            _drop_output()
            raise fail(str(error)) from None
        except psycopg.Error as error:  # of a command's own question
            raise fail(server_said(error)) from None
        except StoreUnavailableError as error:
            raise fail(str(error), ExitCode.UNAVAILABLE) from None
        except MessageDBError as error:
            raise fail(str(error), ExitCode.REFUSED) from None


@contextmanager
def own_code() -> Generator[None]:
    """Run code of the user: what it raises is shown whole, but for what the library says."""
    try:
        yield
    except HandlerError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        raise
    except (OSError, psycopg.Error):
        traceback.print_exc()
        raise typer.Exit(ExitCode.REFUSED) from None


def server_said(error: psycopg.Error) -> str:
    """What the server refused, and what to do, as far as that is known."""
    said = error.diag.message_primary or str(error)
    if isinstance(error, errors.QueryCanceled):
        return f"{said}: it took longer than --command-timeout allows. Nothing was changed."
    if isinstance(error, errors.InsufficientPrivilege):
        return f"{said}: use a role that may, or GRANT message_store to this one. Nothing was done."
    return f"the server refused: {said}. Nothing was changed."


def _drop_output() -> None:
    """Let what is still to be written vanish: the end of the process does not fail on it."""
    with suppress(io.UnsupportedOperation):  # a test's output is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


SHARED = ("--url", "--schema", "--format", "--command-timeout")
"""The options that all commands have in common, each with a value."""

FLAGS = ("--json",)
"""Those without one."""


def shared_first(arguments: list[str]) -> list[str]:
    """The arguments, with the shared options before the command's name, where they belong.

    Example::

        shared_first(["read", "account", "--url", "x"])  # ['--url', 'x', 'read', 'account']
    """
    first: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument == "--":
            rest += [argument, *given]
        elif argument in SHARED:
            first += [argument, *(value for value in [next(given, None)] if value is not None)]
        elif argument in FLAGS or argument.partition("=")[0] in SHARED:
            first.append(argument)
        else:
            rest.append(argument)
    return first + rest


def fail(text: str, code: ExitCode = ExitCode.REFUSED) -> typer.Exit:
    """Write one line to standard error, and give what ends the command.

    Example::

        raise fail("there is no message with this id")
    """
    line = printable(" ".join(text.split()))
    print(f"messagedb: {line}", file=sys.stderr)
    return typer.Exit(code)


def confirm(question: str) -> None:
    """Ask on standard error, and end the command unless the answer is yes. Nothing was done yet."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    if answer.strip().lower() not in ("y", "yes"):
        raise fail("not confirmed. Nothing was changed.")
