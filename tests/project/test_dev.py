"""The two commands of the README, and what ``dev.py`` does before nox begins."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import nox.registry
import pytest

import dev
import noxfile

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run_dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_commands_of_the_readme_are_those_of_dev() -> None:
    (block,) = re.findall(
        r"^```sh\n(python3 dev\.py.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M
    )
    commands = [line.partition("#")[0].split() for line in block.splitlines()]
    assert commands == [["python3", "dev.py", "demo"], ["python3", "dev.py", "test"]]
    assert {command[2] for command in commands} <= dev.COMMANDS.keys()


def test_every_command_names_a_session() -> None:
    sessions = nox.registry.get()
    named = {words[1] for words in dev.COMMANDS.values() if words}
    assert named == {"demo", "tests"}
    assert named <= sessions.keys()
    assert {sessions[name].python for name in named} == {None}  # on the Python of dev.py


def test_the_nox_that_it_installs_is_the_one_that_the_noxfile_needs() -> None:
    (requirement,) = PROJECT["dependency-groups"]["nox"]
    assert requirement == f"nox{nox.needs_version}"


def test_without_a_command_it_prints_its_usage() -> None:
    done = run_dev()
    assert (done.returncode, done.stderr) == (2, "")
    assert "python3 dev.py demo" in done.stdout
    assert run_dev("--help").returncode == 0


def test_an_unknown_command_is_refused_with_those_that_there_are() -> None:
    done = run_dev("tests")
    assert done.returncode == 1
    assert "no command 'tests'; there are: demo, test, nox" in done.stderr


def test_an_older_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    assert "Python 3.11 or later is needed, and this is 3.10" in dev.find_problem()


def test_a_python_that_cannot_make_environments_is_refused_with_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_spec(name: str) -> object:
        return None if name == "ensurepip" else object()

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    assert "apt-get install python3-venv" in dev.find_problem()


def test_a_folder_of_another_user_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dev, "ROOT", tmp_path)

    def access(folder: Path, mode: int) -> bool:
        return folder != tmp_path

    monkeypatch.setattr(os, "access", access)
    assert f"may not write to {tmp_path}" in dev.find_problem()


def test_here_nothing_is_wrong() -> None:
    assert dev.find_problem() == ""


@pytest.mark.parametrize("glob", [*noxfile.LONG, *noxfile.LEFT_OUT])
def test_the_files_that_the_sample_leaves_out_exist(glob: str) -> None:
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/test_*.py")]
    assert fnmatch.filter(files, glob), f"noxfile.py: no file of tests matches {glob}"
