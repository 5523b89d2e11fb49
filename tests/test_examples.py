"""Each example runs with one command, and prints what it is to print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import make_sync
import pytest

ROOT = Path(__file__).parents[1]

READ_MODEL = """\
version 1: [('account-1', 35), ('account-2', 7)]
version 2: [('account-1', 35, 2), ('account-2', 7, 1)]
dropped version 1: True
"""

FUNDS_TRANSFER = """\
transfer of 30: transferred
transfer of 500: cancelled
Ada has 70
Bob has 30
"""

READ_MODELS = shlex.quote(f"{ROOT}/examples/read_model")
SERVICE = "examples.order_service.service:app"
COMMANDS = {
    f"{READ_MODELS}/read_model_async.py": READ_MODEL,
    f"{READ_MODELS}/read_model_sync.py": READ_MODEL,
    "-m examples.funds_transfer": FUNDS_TRANSFER,
    "-m examples.funds_transfer --sync": FUNDS_TRANSFER,
    f"-m messagedb --url embedded: run {SERVICE} --until-caught-up --log-level error": "",
}


# What the page says that each of the small ones prints.
PAGE = (ROOT / "docs" / "examples.md").read_text()
SMALL = dict(re.findall(r"^`python -m examples (\w+)`.*?^```text\n(.*?)^```$", PAGE, re.S | re.M))


def test_every_example_is_on_the_page() -> None:
    asynchronous = {path.stem for path in ROOT.glob("examples/asynchronous/[a-z]*.py")}
    assert set(SMALL) == asynchronous
    assert asynchronous == {path.stem for path in ROOT.glob("examples/synchronous/[a-z]*.py")}


def test_the_synchronous_ones_are_made_of_the_others() -> None:
    outcome = make_sync.run(make_sync.job_for_examples(), write=False)
    assert (outcome.changed, outcome.files) == ([], len(SMALL) + 1)


@pytest.mark.parametrize("variant", ["", " --sync"], ids=["asynchronous", "synchronous"])
@pytest.mark.parametrize("name", SMALL)
def test_a_small_example_prints_what_its_page_says(name: str, variant: str, tmp_path: Path) -> None:
    done = run(f"-m examples {name}{variant}", tmp_path)
    assert (done.returncode, done.stdout) == (0, SMALL[name])
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("/")[-1])
def test_an_example_prints_what_it_is_to_print(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == COMMANDS[command]


def test_a_second_run_in_a_store_that_is_kept(tmp_path: Path) -> None:
    for balances in ("Ada has 70\nBob has 30\n", "Ada has 140\nBob has 60\n"):
        done = run("-m examples.funds_transfer embedded:./bank", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(balances)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with some arguments, as a shell would split them."""
    return subprocess.run(
        [sys.executable, "-W", "error", *shlex.split(command)],
        cwd=folder,
        # Where the examples are modules.
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
