"""The commands of docs/new-service.md, in its order: a service that answers, as a reader has it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sysconfig
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.background_sync import eventually
from tests.support.environment import outside_environment
from tests.support.patroni.programs import free_ports

PAGE = (Path(__file__).parents[2] / "docs" / "new-service.md").read_text("utf-8")
MAKE, FIRST, SECOND = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.S | re.M)


def test_the_commands_of_the_page_make_a_service_that_answers(tmp_path: Path) -> None:
    install_command, new = MAKE.splitlines()
    assert install_command == "pip install 'messagedb[cli]'"
    assert "shop/service.py" in run(new, tmp_path)
    change_folder, environment, install, tests, consume = FIRST.splitlines()
    folder = tmp_path / change_folder.removeprefix("cd ")

    # A new environment, by the second line; what the third one installs is beside this Python.
    run(f'{environment}; python -c "import sys; assert sys.prefix != sys.base_prefix"', folder)
    assert shlex.split(install)[-4:] == ["--editable", ".", "--group", "dev"]
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    assert "messagedb[cli,embedded]" in str(project["dependency-groups"]["dev"])
    assert "6 passed" in run(tests, folder)

    serve, place, show, read = SECOND.splitlines()
    (port,) = map(str, free_ports(1))
    with running(consume, folder), running(f"{serve} --port {port}", folder):
        eventually(lambda: call(place.replace("8000", port), folder).returncode == 0, 60.0)

        def list_states() -> list[str]:
            return [each["state"] for each in json.loads(run(show.replace("8000", port), folder))]

        eventually(lambda: list_states() == ["accepted"], 60.0)
        messages = [json.loads(line) for line in run(read, folder).splitlines()]
    assert [each["type"] for each in messages] == ["Placed", "Accepted"]
    assert messages[0]["data"] == {"item": "lamp", "amount": 40}


def call(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell, as its reader does: with what is installed beside this Python."""
    return subprocess.run(
        ["sh", "-ec", line],
        cwd=folder,
        env=reader_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def run(line: str, folder: Path) -> str:
    """Return the output of a line that succeeds."""
    done = call(line, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(line: str, folder: Path) -> Generator[None]:
    """Run a line until it is stopped, as by Ctrl-C."""
    with (
        (folder / "log").open("a") as log,
        subprocess.Popen(
            ["sh", "-ec", line],
            cwd=folder,
            env=reader_environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield
            assert process.poll() is None, (folder / "log").read_text()
        finally:
            os.killpg(process.pid, signal.SIGINT)


def reader_environment() -> dict[str, str]:
    """Return an environment whose programs are those beside this Python, and that has no store."""
    hidden = ("PYTHONPATH", "MESSAGEDB_URL", "DATABASE_URL")
    environment = {k: v for k, v in outside_environment().items() if k not in hidden}
    programs = os.pathsep.join([sysconfig.get_path("scripts"), environment["PATH"]])
    return {**environment, "PATH": programs}
