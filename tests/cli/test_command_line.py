"""The command line as a whole: its options, its help, and what it needs."""

from __future__ import annotations

import os
import re
import shlex
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
from messagedb.cli._help import PANELS
from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]


def options(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each option with the names of the commands that lead to it."""
    for parameter in command.params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            yield path, parameter
    for name, child in getattr(command, "commands", {}).items():
        yield from options(child, (*path, name))


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return each command that is no group, with its name."""
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from commands(child, (*path, name))


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


def test_help_ends_with_examples_that_are_valid() -> None:
    root = typer.main.get_command(app)
    seen = 0
    for path, found in commands(root):
        assert found.epilog, path
        examples = re.findall("- `(.*)`", found.epilog)
        assert examples, path
        for example in examples:
            program, *words = shlex.split(example.split(" < ")[0].split(" > ")[0])
            given = hoist_global_options(words)
            context: Any = root.make_context(program, given.copy())
            rest = [*context._protected_args, *context.args]
            assert tuple(rest[: len(path)]) == path, example
            found.make_context(path[-1], rest[len(path) :], parent=context)
            assert len(example) <= 76, example  # fits a terminal of 80 columns
            seen += 1
    assert seen > 20


def test_help_is_in_groups(command: Command) -> None:
    root: Any = typer.main.get_command(app)
    for name, child in root.commands.items():
        assert child.rich_help_panel in PANELS, name
    shown = command("--help").out
    places = [shown.index(f" {panel} ") for panel in PANELS]
    assert places == sorted(places)
    assert "…" not in shown


def test_the_help_is_not_cut_at_80_columns(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for path, _ in commands(typer.main.get_command(app)):
        shown = command(*path, "--help").out
        assert max(map(len, shown.splitlines())) == 80
        assert "…" not in shown, path
        assert "env var" not in shown  # each option has one


def test_the_pages_name_every_command_and_option() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    root: Any = typer.main.get_command(app)
    for name in root.commands:
        assert re.search(rf"`(?:[^`]*\W)?{name}\b", page), name
    every = "".join(path.read_text() for path in ROOT.glob("docs/*.md"))
    for path, option in options(root):
        (long,) = [name for name in option.opts if name.startswith("--")]
        if not option.hidden:
            assert re.search(rf"{long}\b", every), (path, long)


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
