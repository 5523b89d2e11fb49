"""The data folder that each replicating server begins with, and PostgreSQL's programs for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg

from messagedb import schema
from messagedb.embedded import find_binaries
from messagedb.errors import EmbeddedServerError
from tests.support.replication.node import DATABASE
from tests.support.server import OwnServer

VARIABLE = "MESSAGEDB_TEST_PG_BIN"
_NEEDED = ("initdb", "postgres", "pg_basebackup", "pg_rewind")
_SYSTEM = Path("/usr/lib/postgresql")


class NoProgramsError(Exception):
    """PostgreSQL's programs for replication are not on this machine."""


class Template:
    """A server's data folder with Message DB in it, made once and copied for each server.

    Raises:
        NoProgramsError: the programs are not there.
    """

    def __init__(self) -> None:
        self.programs = find_programs()
        self._server = OwnServer(programs=self.programs)
        try:
            with psycopg.connect(self._server.url(), autocommit=True) as conn:
                conn.execute(f"create database {DATABASE}".encode())
            schema.install(self._server.url(DATABASE))
            self._server.stop()
        except BaseException:
            self.close()
            raise

    @property
    def data(self) -> Path:
        """The data folder of the stopped server."""
        return self._server.data

    def close(self) -> None:
        """Remove the folder."""
        self._server.close()


def find_programs() -> Path:
    """Find the folder of PostgreSQL's programs: the variable's, Debian's newest, messagedb's.

    Raises:
        NoProgramsError: none of them has all of the programs.
    """
    if named := os.environ.get(VARIABLE):
        if missing := _missing(Path(named)):
            raise NoProgramsError(f"{VARIABLE} names {named}, which lacks {', '.join(missing)}")
        return Path(named)
    for folder in _candidates():
        if not _missing(folder):
            return folder
    raise NoProgramsError(
        f"no folder has {', '.join(_NEEDED)} (Debian: apt-get install postgresql; or let "
        f"{VARIABLE} name the folder)"
    )


def _candidates() -> Iterator[Path]:
    folders = [path for path in _SYSTEM.glob("*/bin") if path.parent.name.isdecimal()]
    yield from sorted(folders, key=lambda path: int(path.parent.name), reverse=True)
    try:
        yield find_binaries()
    except EmbeddedServerError:
        return


def _missing(folder: Path) -> list[str]:
    return [name for name in _NEEDED if not os.access(folder / name, os.X_OK)]
