"""The command line as a whole: its options, its help, and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from psycopg import errors

import messagedb
from messagedb.cli._app import app
from messagedb.cli._exit import describe_server_error, hoist_global_options
from tests.cli.conftest import Command


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each option with the names of the commands that lead to it."""
    for parameter in command.params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            yield path, parameter
    for name, child in getattr(command, "commands", {}).items():
        yield from options(child, (*path, name))


def test_every_option_has_a_twin_in_the_environment() -> None:
    root = typer.main.get_command(app)
    seen = 0
    for path, option in options(root):
        if option.name in ("install_completion", "show_completion", "version"):
            continue
        (long,) = [name for name in option.opts if name.startswith("--")]
        wanted = "_".join(["messagedb", *path, long[2:]]).replace("-", "_").upper()
        by_itself = "_".join(["messagedb", *path, option.name]).replace("-", "_").upper()
        assert (option.envvar or by_itself) == wanted, (path, long)
        assert option.help, (path, long)
        seen += 1
    assert seen > 10


def test_the_version_is_printed_by_each_way_to_start_it(command: Command) -> None:
    wanted = f"messagedb {messagedb.__version__}\n"
    assert command("--version").out == wanted
    for module in ("messagedb", "messagedb.cli"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "MESSAGEDB_VERSION": "1"},
        )
        assert (done.stdout, done.stderr) == (wanted, "")


def test_shared_options_stand_anywhere(command: Command, category: str) -> None:
    assert hoist_global_options(
        ["read", "a", "--url", "x", "-f", "--format=json", "--", "--url"]
    ) == [
        *("--url", "x", "--format=json", "read", "a", "-f", "--", "--url"),
    ]
    assert hoist_global_options(["streams", "--json"]) == ["--json", "streams"]
    assert hoist_global_options(["read", "--url"]) == ["--url", "read"]
    assert command("write", f"{category}-1", "A", "--format", "table").out.startswith("stream name")
    done = command("ping", "--url", "postgresql://localhost:1/x")
    assert (done.code, done.out) == (3, "")
    assert command("ping", "--url").code == 2


def test_the_demo_shows_what_there_is(command: Command) -> None:
    shown = command("demo")
    assert shown.code == 0
    assert [row["type"] for row in shown.rows] == ["Opened", "Deposited", "Withdrawn", "Deposited"]
    assert "is at version 2" in shown.err
    assert "deposited in all: 12" in shown.err


def test_help_names_every_command(command: Command) -> None:
    root = typer.main.get_command(app)
    shown = command("--help")
    assert shown.code == 0
    names = list(getattr(root, "commands", {}))
    assert "read" in names
    for name in names:
        assert f" {name} " in shown.out
    assert command().code == 2  # nothing was asked for


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.QueryCanceled("late"), "late: it took longer than --command-timeout allows"),
        (errors.InsufficientPrivilege("no"), "no: use a role that may, or GRANT message_store"),
        (errors.DivisionByZero("zero"), "the server refused: zero. Nothing was changed."),
    ],
)
def test_an_error_of_the_server_is_described(error: psycopg.Error, text: str) -> None:
    assert describe_server_error(error).startswith(text)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    Path(tmp_path, "typer.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "messagedb.cli", "ping"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'messagedb[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
