"""The checks before a commit: hooks with the versions of pyproject.toml, and short subjects."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import noxfile

ROOT = Path(__file__).parents[2]
yaml: Any = importlib.import_module("yaml")
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]


def test_hooks_install_what_the_lint_session_installs() -> None:
    found = {name for hook in HOOKS for name in hook.get("additional_dependencies", [])}
    assert len(found) == 3
    assert found <= set(noxfile.dependencies("lint"))


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_the_script_of_a_hook_exists(hook: dict[str, Any]) -> None:
    program, *arguments = hook["entry"].split()
    if program == "python":
        assert (ROOT / arguments[0]).is_file()
    else:
        assert any(name.startswith(program) for name in hook["additional_dependencies"])


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("x" * 72 + "\n\n" + "a body may have longer lines " * 9, 0),
        ("x" * 73, 1),
        ("# a comment of git\n" + "x" * 73, 1),
        ("Merge " + "x" * 73, 0),
        ("", 0),
    ],
)
def test_a_subject_has_at_most_72_characters(message: str, status: int, tmp_path: Path) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(message)
    script = ROOT / "scripts" / "check_subjects.py"
    done = subprocess.run([sys.executable, str(script), str(file)], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout.startswith("73 characters, 72 are allowed: x") == (status == 1)


def test_every_subject_since_the_rule_is_short() -> None:
    script = ROOT / "scripts" / "check_subjects.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_lowest_versions_are_those_of_pyproject() -> None:
    pins = noxfile.lowest_pins()
    assert {"msgspec==0.21", "psycopg==3.3.6", "typer==0.20", "pytest==8.4"} <= set(pins)
    assert not [pin for pin in pins if pin.startswith("unasync")]  # it has one version only
