"""PgBouncer in front of the test server, in transaction mode and in session mode."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.support import unprivileged
from tests.support.backend import make_url

_PATIENCE = 20.0

# The databases that it offers: the mode, and how many connections to the server.
POOLS = {
    "single": ("transaction", 1),
    "pair": ("transaction", 2),
    "many": ("transaction", 40),
    "session": ("session", 10),
    "sessions": ("session", 40),
}


class NoPgBouncerError(Exception):
    """There is no pgbouncer on this machine."""


class PgBouncer:
    """A PgBouncer of the tests' own, on a socket in a temporary folder.

    Args:
        target: the URL of the database to be in front of.

    Raises:
        NoPgBouncerError: it is not installed.
    """

    def __init__(self, target: str) -> None:
        # Debian has it where an ordinary user's PATH does not look.
        places = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
        program = shutil.which("pgbouncer", path=places)
        if program is None:
            raise NoPgBouncerError("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
        self.folder = Path(tempfile.mkdtemp(prefix="mdbb-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        try:
            way, path = unprivileged.choose(Path(program), self.folder)
            self._write_configuration(target)
            way.own(self.folder)
            self._process = self._start(path, way)
        except BaseException:
            self.close()
            raise

    def url(self, pool: str) -> str:
        """Return the URL of one of the `POOLS`."""
        return make_url(host=str(self.folder), port="6432", dbname=pool, user="any")

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_configuration(self, target: str) -> None:
        given = conninfo_to_dict(target)
        server = " ".join(
            f"{name}={given[name]}"
            for name in ("host", "port", "dbname", "user", "password")
            if given.get(name)
        )
        lines = ["[databases]"]
        lines += [
            f"{name} = {server} pool_mode={mode} pool_size={size}"
            for name, (mode, size) in POOLS.items()
        ]
        lines += [
            "[pgbouncer]",
            f"unix_socket_dir = {self.folder}",
            "listen_port = 6432",
            "listen_addr =",
            "auth_type = any",
            "server_check_delay = 0",
            "max_client_conn = 1000",
        ]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")

    def _start(self, program: Path, way: unprivileged.Way) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "wb") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                way.command(program, "-q", self.folder / "pgbouncer.ini"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        until = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("session"), connect_timeout=5).close()
                return process
            alive = process.poll() is None and time.monotonic() < until
            log_text = (self.folder / "log").read_text(errors="replace")
            if not alive:
                process.kill()
                process.wait(_PATIENCE)
            assert alive, f"pgbouncer does not serve: {log_text}"
            time.sleep(0.02)
