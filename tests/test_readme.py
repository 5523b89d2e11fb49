"""The README's examples run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.S | re.M)


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_its_terminal_asks_no_other_host() -> None:
    picture = (README.parent / "docs" / "_static" / "terminal.svg").read_text()
    # What rich says about itself and the namespace are no requests.
    assert not re.search(r"""(url\(|href=|src=)["']?https?:""", picture)
    assert "Deposited" in picture


def test_the_quick_starts_are_short() -> None:
    assert [len(example.strip().splitlines()) <= 16 for example in BLOCKS[:2]] == [True, True]


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, "2 Withdrawn {'amount': 2}"),
        (1, "account-123 0 {'amount': 5}"),
        (2, "order-4 {'n': 4}"),
    ],
)
def test_an_example_runs_and_prints_what_it_says(number: int, printed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[number]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
    assert done.stderr == ""


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
    assert len(BLOCKS) == 3
