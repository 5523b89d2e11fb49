"""The README's examples run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import outside_environment

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.S | re.M)
FILES = {block.split("\n")[0].removeprefix("# "): block for block in BLOCKS if block[0] == "#"}
EXAMPLES = [block for block in BLOCKS if block[0] != "#"]


def test_the_quick_starts_are_short() -> None:
    assert [len(example.strip().splitlines()) <= 16 for example in EXAMPLES[:2]] == [True, True]


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, "2 Withdrawn {'amount': 2}"),
        (1, "account-123 0 {'amount': 5}"),
        (2, "order-4 {'n': 4}"),
        (3, "Deposited(amount=5, note='')\n"),
        (4, "(Withdrawn(amount=4),)\nLoadedEntity(entity=6, version=1)\n"),
        (5, "1\n"),
        (6, "0\n"),
    ],
)
def test_an_example_runs_and_prints_what_it_says(number: int, printed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLES[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
    assert done.stderr == ""


def test_the_web_application_passes_its_test(tmp_path: Path) -> None:
    assert set(FILES) == {"app.py", "test_app.py"}
    for name, text in FILES.items():
        Path(tmp_path, name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_default_fixture_loop_scope=function"],
        cwd=tmp_path,
        env=outside_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_commands_run(open_folder: Path) -> None:
    (block,) = re.findall(
        r"^```sh\n(\.venv/bin/messagedb.*?)^```$", README.read_text(), re.S | re.M
    )
    commands = block.replace(".venv/bin/messagedb", f"'{sys.executable}' -m messagedb.cli")
    done = subprocess.run(
        ["sh", "-e", "-c", commands],
        cwd=open_folder,
        env={"PATH": os.environ["PATH"], "XDG_DATA_HOME": str(open_folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert '"data":{"amount":5}' in done.stdout


def test_every_example_is_listed_here() -> None:
    assert len(EXAMPLES) == 7
