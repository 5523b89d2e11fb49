"""The server of a run, and the faults that need its processes, its disk or its administrator."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from messagedb import schema, streams
from tests.support.server import OwnServer

ROLE = "message_store"

_PATIENCE = 10.0
_DISK = 96 * 1024 * 1024
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}


class FaultServer(OwnServer):
    """A server whose messages are on a separate small disk, if this machine can mount one.

    Attributes:
        no_disk: the reason why there is no such disk; empty if there is one.
    """

    def __init__(self, programs: Path | None = None) -> None:
        self.no_disk = ""
        super().__init__(programs=programs, settings=_SETTINGS)
        self._disk = self.folder / "disk"
        try:
            self._mount()
            schema.install(self.url())
            self._prepare_database()
        except BaseException:
            self.close()
            raise

    @property
    def version(self) -> str:
        """The version of PostgreSQL, such as ``18.6``."""
        with psycopg.connect(self.url()) as conn:
            return str(conn.info.parameter_status("server_version"))

    def execute(self, *statements: str) -> None:
        """Execute statements as a superuser."""
        with psycopg.connect(self.url(), autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement.encode())

    def is_up(self) -> bool:
        """Return True if its main process runs."""
        return self._postgres is not None and self._postgres.poll() is None

    def seed(self, category: str, marks: Sequence[str]) -> None:
        """Write messages with these marks to a category."""
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute("set search_path = message_store, public")
            for mark in marks:
                conn.execute(
                    "select write_message(gen_random_uuid()::text, %s, 'Marked',"
                    " jsonb_build_object('mark', %s::text))",
                    [f"{category}-1", mark],
                )

    def marks(self, category: str) -> dict[str, int]:
        """Return how often each mark is stored in a category and those that begin like it."""
        with psycopg.connect(self.url(), autocommit=True) as conn:
            cursor = conn.execute(
                "select data->>'mark', count(*) from message_store.messages"
                " where stream_name like %s || '%%' and data ? 'mark' group by 1",
                [category],
            )
            return {str(mark): int(count) for mark, count in cursor}

    def empty(self) -> None:
        """Remove all messages."""
        self.execute("truncate message_store.messages restart identity")

    def hold_lock(self, category: str) -> psycopg.Connection[tuple[object, ...]]:
        """Return a session that holds a category's lock, as a slow writer does."""
        conn = psycopg.connect(self.url(), autocommit=True)
        conn.execute("select pg_advisory_lock(%s)", [streams.hash_64(category)])
        return conn

    def signal_all(self, number: int) -> None:
        """Send a signal to all processes of the server: the first one first."""
        assert self._postgres is not None
        self._postgres.send_signal(number)
        for pid in _children(self._postgres.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def fill_disk(self) -> None:
        """Fill the disk of the messages, the free space of their table included."""
        descriptor = os.open(self._disk / "ballast", os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(descriptor, bytes(size))
        finally:
            os.close(descriptor)
        until = time.monotonic() + _PATIENCE
        # No row is kept: but an insert that is rolled back uses its page up.
        insert = (
            "insert into message_store.messages (stream_name, type, position, data)"
            " select 'filler-1', 'Filler', n, jsonb_build_object('n', n)"
            " from generate_series(0, 99) n"
        )
        with contextlib.suppress(psycopg.errors.DiskFull), psycopg.connect(self.url()) as conn:
            while time.monotonic() < until:
                conn.execute(insert.encode())
                conn.rollback()

    def free_disk(self) -> None:
        """Make room again."""
        with contextlib.suppress(FileNotFoundError):
            (self._disk / "ballast").unlink()

    def close(self) -> None:
        """Stop the server, unmount its disk, and remove its folder."""
        if self._postgres is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal_all(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(at_once=True)
        if hasattr(self, "_disk") and not self.no_disk:
            subprocess.run(["umount", "-l", str(self._disk)], capture_output=True, check=False)
        super().close()

    def _mount(self) -> None:
        self._disk.mkdir()
        if os.geteuid() != 0:
            self.no_disk = "a small tmpfs can only be mounted by root"
            return
        mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=700", "tmpfs", str(self._disk)]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except OSError as error:
            self.no_disk = f"a small tmpfs cannot be mounted: {error}"
            return
        if done.returncode:
            self.no_disk = f"a small tmpfs cannot be mounted: {done.stderr.strip()}"
            return
        (self._disk / "space").mkdir()
        self._way.own(self._disk)

    def _prepare_database(self) -> None:
        self.execute(
            "create schema models",
            f"grant all on schema models to {ROLE}",
        )
        if not self.no_disk:
            self.execute(
                f"create tablespace small location '{self._disk}/space'",
                "alter table message_store.messages set tablespace small",
            )


def signal_processes(pids: Sequence[int], number: int) -> None:
    """Send a signal to processes; those that have ended are left out."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, come the state and the parent.
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                found.append(int(path.parent.name))
    return found
