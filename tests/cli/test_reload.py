"""For development a run starts again when a file changes, with the new handlers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from messagedb import Client, NewMessage
from messagedb.cli._reload import SourceWatch
from tests.cli.conftest import Command
from tests.support.background_sync import eventually

APP = """
from uuid import uuid5
from messagedb import App, NewMessage

app = App(max_size=2)
consumer = app.consumer("{category}", identifier="copying", poll_interval=0.02)

@consumer.handler
def copy(message, context):
    copied = NewMessage("{type}", id=uuid5(message.id, "copy"))
    context.client.write_message("{category}Copy-1", copied)
"""


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    """Return a client of the store of the tests."""
    with Client(store_url, max_size=2) as client:
        yield client


def read_until(lines: IO[str], wanted: str) -> str:
    """Read lines up to the one that has a string, and return it."""
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        if wanted in line:
            return line
    raise AssertionError("".join(seen))


def test_a_changed_handler_runs(
    process: Callable[..., subprocess.Popen[str]], client: Client, category: str, tmp_path: Path
) -> None:
    file = tmp_path / "app_of_this_test.py"
    file.write_text(APP.format(category=category, type="First"))
    arguments = ("run", "app_of_this_test:app", "--reload")
    client.write_message(f"{category}-1", NewMessage("A"))
    with process(*arguments, stdout=subprocess.DEVNULL, cwd=tmp_path) as running:
        assert running.stderr is not None
        try:
            read_until(running.stderr, "caught up")
            file.write_text("def (\n")
            read_until(running.stderr, "app_of_this_test.py has changed: starting again")
            read_until(running.stderr, "stopped")
            read_until(running.stderr, "SyntaxError")
            read_until(
                running.stderr, "ended with exit code 1: it starts again when a file changes"
            )
            file.write_text(APP.format(category=category, type="Second"))
            pid = re.search(r"as process (\d+)", read_until(running.stderr, "as process"))
            client.write_message(f"{category}-1", NewMessage("A"))
            eventually(lambda: client.stream_version(f"{category}Copy-1") == 1, 20.0)
        finally:
            running.send_signal(signal.SIGTERM)
            _, rest = running.communicate(timeout=20)
    assert running.returncode == 0, rest
    copied = client.get_stream_messages(f"{category}Copy-1")
    assert [message.type for message in copied] == ["First", "Second"]
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid[1]), 0)


def test_several_processes_are_refused(command: Command) -> None:
    done = command("run", "tests.cli.apps_to_run:app", "--reload", "--workers", "2")
    assert (done.code, done.out) == (1, "")
    assert "--reload is for one process" in done.err


def test_only_sources_of_the_application_are_watched(tmp_path: Path) -> None:
    for name in ("app/a.py", ".git/b.py", "venv/c.py", "app/__pycache__/d.py", "app/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    watch = SourceWatch([tmp_path])
    assert watch.find_changes() == []
    for file in tmp_path.rglob("*.*"):
        if file.is_file():
            file.write_text("22")
    assert watch.find_changes() == [str(tmp_path / "app" / "a.py")]
    (tmp_path / "app" / "a.py").unlink()
    (tmp_path / "app" / "new.py").touch()
    names = [os.path.basename(path) for path in watch.find_changes()]
    assert names == ["a.py", "new.py"]
    assert watch.find_changes() == []
