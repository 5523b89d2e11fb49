"""The Tab key completes commands, options, and the names that the store has."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from messagedb import Client, NewMessage
from tests.cli.conftest import Command
from tests.support.backend import make_url

Process = Callable[..., subprocess.Popen[str]]

# The function of the shell, called as the shell does.
SCRIPT = """
eval "$(_MESSAGEDB_COMPLETE=source_bash messagedb)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_messagedb_completion messagedb
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(process: Process, *words: str, **more: str) -> list[str]:
    """Return the words that are offered in place of the last one, which must be silent."""
    environment = {
        "_MESSAGEDB_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("messagedb", *words)),
        "COMP_CWORD": str(len(words)),
        **more,
    }
    out, error = process(more=environment).communicate(timeout=30)
    assert error == ""
    return out.split()


def test_names_of_the_store_are_completed(
    process: Process, command: Command, category: str
) -> None:
    for stream in (f"{category}-10", f"{category}-11", f"{category}-2", f"{category}-$(reboot)"):
        command("write", stream, "A")
    assert complete(process, "categories", category[:-1]) == [category]
    assert complete(process, "last", category) == [
        *(f"{category}-", f"{category}-10", f"{category}-11", f"{category}-2")
    ]
    assert complete(process, "read", f"{category}-1") == [f"{category}-10", f"{category}-11"]
    assert complete(process, "last", f"{category}-1", "--t") == ["--type"]


def test_identifiers_of_consumers_are_completed(
    process: Process, command: Command, category: str
) -> None:
    command("write", f"{category}-1", "A")
    for identifier in ("first", "second"):
        done = command("position", "set", category, identifier, "end", "--yes")
        assert done.code == 0, done.err
    assert complete(process, "position", "get", category[:-1]) == [category]
    assert complete(process, "position", "get", category, "") == ["first", "second"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="this system has no bash")
def test_bash_completes_names_with_a_colon(command: Command, store_url: str, category: str) -> None:
    command("write", f"{category}:command-1", "A")
    words = ["messagedb", "categories", category, ":", "co"]
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "--norc", "-c", SCRIPT, "bash", *words],
        env={**os.environ, "PATH": path, "MESSAGEDB_URL": store_url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("command\n", "")


def test_an_embedded_store_that_runs_is_asked(process: Process, open_folder: Path) -> None:
    url = f"embedded:{open_folder / 'store'}"
    with Client(url, max_size=1) as client:
        client.write_message("account-1", NewMessage("A"))
        assert complete(process, "categories", "acc", MESSAGEDB_URL=url) == ["account"]


def test_a_store_that_is_away_completes_nothing(
    process: Process, store_url: str, tmp_path: Path
) -> None:
    away = make_url(store_url, host="127.0.0.1", port="1")
    assert complete(process, "last", "acc", MESSAGEDB_URL=away) == []
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        port = str(silent.getsockname()[1])
        hanging = make_url(store_url, host="127.0.0.1", port=port)
        assert complete(process, "last", "acc", MESSAGEDB_URL=hanging) == []
    folder = tmp_path / "store"
    assert complete(process, "last", "acc", MESSAGEDB_URL=f"embedded:{folder}") == []
    assert not folder.exists()
