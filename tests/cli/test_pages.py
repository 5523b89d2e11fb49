"""The commands that the pages show run as they stand, one page after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from messagedb import Client, NewMessage, embedded

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.S | re.M)
# What installs packages, serves until it is stopped, or needs servers that are not here:
# tests/test_shell_blocks.py has the tests and checks of these.
ELSEWHERE = re.compile(r"^(pip |cd |export |\w+=|messagedb (ui|run|proxy)\b)", re.M)


def find_commands(page: Path) -> list[str]:
    """Return the blocks of a page that this module runs: all about the store of their reader."""
    blocks = BLOCK.findall(page.read_text("utf-8"))
    return [each for each in blocks if "messagedb " in each and not ELSEWHERE.search(each)]


PAGES = [page for page in sorted(ROOT.glob("docs/**/*.md")) if find_commands(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path, open_folder: Path) -> None:
    commands = find_commands(page)
    environment = {name: value for name, value in os.environ.items() if "MESSAGEDB" not in name}
    environment["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment["XDG_DATA_HOME"] = str(open_folder)
    # Where the default store of this environment is: each command joins what runs there.
    store = open_folder / "messagedb" / "store"
    with Client(f"embedded:{open_folder / 'store'}") as client:
        # What the programs of the tutorial have written.
        client.write_message("account-1", NewMessage("Deposited", {"amount": 5}))
    with embedded.start(store) as server:
        done = subprocess.run(
            ["sh", "-e", "-x", "-c", "\n".join(commands)],
            cwd=open_folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        if re.sub(r"^messagedb explain.*\n", "", "".join(commands), flags=re.M):
            assert str(store) in done.stderr  # it says which store it is
            with Client(server.url) as client:
                assert bool(client.get_store_head()) == ("messagedb write" in "".join(commands))
