"""The plugin that runs a sample of the tests, alone and with pytest-xdist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = "def test_one(): pass\ndef test_two(): pass\ndef test_three(): pass\n"


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_long_file_gives_its_first_test_and_the_rest_is_counted(
    workers: list[str], tmp_path: Path
) -> None:
    for name in ("test_short.py", "long/test_kills.py", "long/test_waits.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILE)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    plugin = ["-p", "tests.support.sampling", "--first-of=long/*"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *plugin, *workers],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sample: 2 of the 6 tests in long/*" in done.stdout
    assert " 5 passed" in done.stdout
    assert "long/test_kills.py::test_one" in done.stdout
    assert "test_kills.py::test_two" not in done.stdout


def test_a_function_with_many_parameters_gives_one_case(tmp_path: Path) -> None:
    (tmp_path / "test_many.py").write_text(
        "import pytest\nmany = pytest.mark.parametrize('n', [1, 2, 3])\n"
        "@many\ndef test_one(n): pass\n@many\ndef test_two(n): pass\n"
    )
    plugin = ["-p", "tests.support.sampling", "--one-case-of=test_many*"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", *plugin],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sample: 2 of the 6 tests in test_many*" in done.stdout
    assert " 2 passed, 4 deselected" in done.stdout
    for function in ("test_one", "test_two"):
        assert f"test_many.py::{function}[1] PASSED" in done.stdout
