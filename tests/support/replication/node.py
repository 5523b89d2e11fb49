"""One of the servers that replicate: a primary or a standby, with a proxy on each of its ways."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import psycopg

from messagedb.testing import FaultProxy
from tests.support.server import OwnServer, list_processes

DATABASE = "store"
"""The database that holds Message DB."""

_PATIENCE = 30.0
_SETTINGS = {
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "hot_standby": "on",
    "shared_buffers": "16MB",
    "wal_keep_size": "256MB",
    "wal_level": "replica",
    "wal_log_hints": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "100ms",
}


class Node(OwnServer):
    """A server that is a primary or a standby; its processes can all be killed simultaneously.

    Attributes:
        name: under which a primary knows it as a standby.
        clients: the proxy by which clients reach it.
        link: the proxy by which it reaches the server that it follows; None for a primary.
    """

    death_signal = signal.SIGQUIT

    def __init__(self, name: str, programs: Path, data: Path) -> None:
        self.name = name
        self.link: FaultProxy | None = None
        self._changed: dict[str, str] = {}
        super().__init__(programs=programs, copy_of=data, settings=_SETTINGS, start=False)
        self.clients = FaultProxy(self.url(DATABASE))

    def set(self, **settings: str) -> None:
        """Change settings of the server, now if it runs and for each later start."""
        self._changed |= settings
        # As ALTER SYSTEM does; written whole, because rewinding copies the other server's file.
        lines = [f"{name} = '{value}'\n" for name, value in self._changed.items()]
        (self.data / "postgresql.auto.conf").write_text("".join(lines))
        if self.runs:
            self.reload()
            # The checkpointer tells the backends whether to wait for standbys; it has read the
            # settings before it answers.
            self.execute("checkpoint")

    @property
    def runs(self) -> bool:
        """True if its main process runs."""
        return self._postgres is not None and self._postgres.poll() is None

    def follow(self, primary: Node) -> None:
        """Make it a standby of another node: when it starts, or now if it is a standby."""
        if self.link is not None:
            self.link.close()
        self.link = FaultProxy(primary.url())
        place = f"host=127.0.0.1 port={self.link.port} user=postgres sslmode=disable"
        if not self.runs:
            sign = self.data / "standby.signal"
            sign.touch()
            self._way.own(sign)
        self.set(
            primary_conninfo=f"{place} gssencmode=disable application_name={self.name}",
            synchronous_standby_names="",
        )

    def promote(self) -> None:
        """Make a running standby a primary, and return when it takes writes."""
        self.execute("select pg_promote(true, 60)")
        until = time.monotonic() + _PATIENCE
        while self.scalar("select pg_is_in_recovery()"):
            assert time.monotonic() < until, f"it is not promoted: {self.log()}"
            time.sleep(0.01)
        if self.link is not None:
            self.link.close()
            self.link = None

    def rewind(self, primary: Node) -> None:
        """Undo what a stopped server has and its new primary has not; then it may follow that."""
        # Of a server that was promoted just now, pg_rewind sees that only after a checkpoint.
        primary.execute("checkpoint")
        self.run("pg_rewind", "-D", str(self.data), f"--source-server={primary.url()}")

    def copy_anew(self, primary: Node) -> None:
        """Replace the data of a stopped server by a backup of another one."""
        shutil.rmtree(self.data)
        self.copy(primary.url())

    def power_cut(self) -> None:
        """Kill all processes of the server simultaneously."""
        postgres, self._postgres = self._postgres, None
        if postgres is None or postgres.poll() is not None:
            return
        # Stopped first, so that it cannot start more of them.
        postgres.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, postgres.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        children = [pid for pid, parent in list_processes() if parent == postgres.pid]
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        postgres.kill()
        postgres.wait(_PATIENCE)
        until = time.monotonic() + _PATIENCE
        while not {pid for pid, _ in list_processes()}.isdisjoint(children):
            assert time.monotonic() < until, "processes of the server are still there"
            time.sleep(0.005)

    def execute(self, statement: str) -> None:
        """Execute a statement as a superuser, beside the proxies."""
        with psycopg.connect(self.url(DATABASE), autocommit=True) as conn:
            conn.execute(statement.encode())

    def scalar(self, query: str) -> object:
        """Return the one value of a query, beside the proxies."""
        with psycopg.connect(self.url(DATABASE), autocommit=True) as conn:
            row = conn.execute(query.encode()).fetchone()
            assert row is not None
            return row[0]

    def received(self) -> int:
        """Return how far a standby has the primary's log, in bytes."""
        lsn = "coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
        value = self.scalar(f"select ({lsn} - '0/0'::pg_lsn)::bigint")
        assert isinstance(value, int)
        return value

    def close(self) -> None:
        """Kill the server, end its proxies, and remove its folder."""
        self.power_cut()
        if self.link is not None:
            self.link.close()
        if hasattr(self, "clients"):
            self.clients.close()
        super().close()
