"""Root's server runs without root's rights, and nothing of root's is opened for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from messagedb import embedded
from messagedb.errors import EmbeddedServerError
from tests.embedded.processes import ClientProcess, postmaster

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., ClientProcess]

NOBODY = 65534


UNSHARE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000) != 0)"


def test_a_folder_below_a_closed_one(folder: Path) -> None:
    accounts = Path("/etc/passwd").read_bytes()
    closed = folder.with_name("closed")
    closed.mkdir(mode=0o700)
    inner = closed / "far" / "below"
    may_go_there = os.geteuid() != 0
    if may_go_there or subprocess.run([sys.executable, "-c", UNSHARE]).returncode == 0:
        with embedded.start(inner, install=False) as server, psycopg.connect(server.url) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
    else:
        # As in most containers: another user than root cannot get there.
        with pytest.raises(EmbeddedServerError, match="name a folder that the user"):
            embedded.start(inner, install=False)
    status = closed.stat()
    assert (status.st_mode & 0o777, status.st_uid) == (0o700, os.geteuid())
    assert Path("/etc/passwd").read_bytes() == accounts


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_the_server_has_no_rights_of_root(store: Path) -> None:
    with embedded.start(store, install=False):
        status = Path(f"/proc/{postmaster(store)}/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
    assert int(effective.split()[1], 16) == 0


def test_root_serves_the_folder_of_a_user_as_that_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = os.geteuid() == 0
    folder.mkdir()
    # Programs that only the caller can reach, as in a virtual environment below /root.
    closed = folder.with_name("closed")
    installed = embedded.find_binaries().parent
    copied = closed / installed.parent.name / installed.name
    shutil.copytree(installed, copied, ignore=shutil.ignore_patterns("include"))
    libraries = installed.parent.with_name(installed.parent.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    monkeypatch.setenv("MESSAGEDB_POSTGRES_BIN", str(copied / "bin"))
    owner = NOBODY if root else os.geteuid()
    if root:
        os.chown(folder, owner, owner)
    for _ in range(2):
        with embedded.start(folder, install=False) as server:
            with psycopg.connect(server.url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            assert (folder / "data" / "postmaster.pid").stat().st_uid == owner
    assert {path.stat().st_uid for path in folder.rglob("*")} == {owner}
    assert closed.stat().st_mode & 0o777 == 0o700
