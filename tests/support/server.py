"""A PostgreSQL of a test's own: stopped, killed and started again as the test says."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from messagedb.embedded import find_binaries
from tests.support import unprivileged
from tests.support.backend import make_url

_PATIENCE = 30.0


class OwnServer:
    """A durable server on a socket in a temporary folder, reachable by this user and root only.

    It listens on no port: a client that tries a free port of this machine again and again may in
    the end connect to itself, and the server could then not start any more.

    Args:
        standby_of: another running server to copy and to follow, instead of a new cluster.
        programs: the folder of PostgreSQL's programs; by default the one that messagedb finds.
        copy_of: the data folder of a server that was stopped in order, to begin with a copy of it.
        settings: of the server, beyond those that each has.
        start: False to leave it stopped.
    """

    # What the server gets when the process of the tests has died: that it ends in order.
    death_signal = signal.SIGINT

    def __init__(
        self,
        standby_of: OwnServer | None = None,
        *,
        programs: Path | None = None,
        copy_of: Path | None = None,
        settings: Mapping[str, str] | None = None,
        start: bool = True,
    ) -> None:
        # One thread for all children: each of them dies with the thread that made it.
        self._thread = ThreadPoolExecutor(1, "postgres")
        self._postgres: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="mdbt-", dir="/tmp"))
        self.data = self.folder / "data"
        self._settings = dict(settings or {})
        try:
            postgres = (programs or find_binaries()) / "postgres"
            self._way, postgres = unprivileged.choose(postgres, self.folder)
            self.binaries = postgres.parent
            if copy_of is not None:
                shutil.copytree(copy_of, self.data)
                self._way.own(self.data)
            elif standby_of is None:
                initdb = ["-A", "trust", "-E", "UTF8", "--no-locale", "-U", "postgres", "-N", "-k"]
                self.run("initdb", "-D", str(self.data), *initdb)
            else:
                self.copy(standby_of.url())
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    def url(self, dbname: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """Return the URL of a database of this server."""
        port = self._settings.get("port", "5432")
        place = {"host": str(self.folder), "port": port, "sslmode": "disable"}
        login = {"dbname": dbname, "user": user} | ({"password": password} if password else {})
        return make_url(**place, **login)

    def start(self) -> None:
        """Start the server, and return when it takes connections."""
        self._thread.submit(self._start).result(2 * _PATIENCE)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the server: in order (sessions are ended), or immediately, as in a crash."""
        postgres = self._postgres
        if postgres is not None:
            postgres.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            postgres.wait(_PATIENCE)
            self._postgres = None

    @contextlib.contextmanager
    def frozen(self) -> Generator[None]:
        """Stop all processes of the server for the block, so that it takes calls and is silent."""
        postgres = self._postgres
        assert postgres is not None
        stopped = [postgres.pid]
        try:
            # First the one that starts the others.
            postgres.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, postgres.pid, os.WSTOPPED | os.WNOWAIT)
            for pid in [pid for pid, parent in list_processes() if parent == postgres.pid]:
                stopped.append(pid)
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def listen(self, addresses: str) -> None:
        """Listen on these addresses, beside the socket, from the next start on."""
        self._settings["listen_addresses"] = addresses

    def reload(self) -> None:
        """Let the server read its configuration files again."""
        with psycopg.connect(self.url(), autocommit=True) as conn:
            before = conn.execute("select pg_conf_load_time()").fetchone()
            conn.execute("select pg_reload_conf()")
            until = time.monotonic() + _PATIENCE
            while conn.execute("select pg_conf_load_time()").fetchone() == before:
                assert time.monotonic() < until, "the server did not reload its configuration"
                time.sleep(0.01)

    def add_to_hba(self, lines: Iterable[str]) -> None:
        """Put lines before those that are in ``pg_hba.conf``, and reload it."""
        path = self.data / "pg_hba.conf"
        path.write_text("".join(f"{line}\n" for line in lines) + path.read_text())
        self.reload()

    def near_wraparound(self) -> None:
        """Stop the server and start it where it assigns no transaction id any more.

        Raises:
            FileNotFoundError: there is no program that can do that.
        """
        if not (self.binaries / "pg_resetwal").exists():
            raise FileNotFoundError("pg_resetwal")
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute("create table never_vacuumed ()")
            row = conn.execute(
                "select min(datfrozenxid::text::bigint), pg_relation_filepath('never_vacuumed') "
                "from pg_database group by 2"
            ).fetchone()
        assert row is not None
        # Its limit is three million before the oldest one comes again; a multiple of 65536 would
        # begin a vacuum by itself.
        next_id = row[0] + 2**31 - 1_000_001
        assert next_id % 65536
        self.stop()
        # The vacuum that the server begins by itself would end this state: it fails on this table.
        (self.data / row[1]).unlink()
        self.run("pg_resetwal", "-D", str(self.data), "-x", str(next_id))
        segment = next_id // (4 * 8192 * 32)
        path = self.data / "pg_xact" / f"{segment:04X}"
        path.write_bytes(bytes(8192 * 32))
        self._way.own(path)
        self.start()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(at_once=True)
        if self._postgres is not None:
            self._postgres.kill()
            self._postgres.wait(_PATIENCE)
        self._thread.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def copy(self, primary: str) -> None:
        """Make a standby of a running server, which this one has to have no data for.

        Args:
            primary: the URL of the server to copy and to follow.
        """
        options = ["-D", str(self.data), "-c", "fast", "-R", "-N"]
        self.run("pg_basebackup", "-d", primary, *options)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs, as the server's user; it has to succeed."""

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                self._way.command(self.binaries / program, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd="/",
                env=_environment(),
                timeout=_PATIENCE,
                check=False,
            )

        answer = self._thread.submit(run).result(2 * _PATIENCE)
        assert answer.returncode == 0, f"{program} failed: {answer.stdout}"

    def _start(self) -> None:
        settings = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(self.folder),
            "timezone": "UTC",
            "autovacuum": "off",
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        postgres = self.binaries / "postgres"
        command = self._way.command(
            postgres, "-D", self.data, *options, death_signal=self.death_signal
        )
        until = time.monotonic() + _PATIENCE
        while not self._launch(command, until):
            # Files of a server that was stopped immediately may exist for a moment longer.
            assert time.monotonic() < until, f"the server does not start: {self.log()}"

    def _launch(self, command: list[str], until: float) -> bool:
        with open(self.folder / "server.log", "ab") as log:
            postgres: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
            )
        self._postgres = postgres
        while postgres.poll() is None:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, f"the server is not ready: {self.log()}"
                time.sleep(0.01)
            else:
                return True
        self._postgres = None
        return False

    def log(self) -> str:
        """Return the end of what the server has logged."""
        return (self.folder / "server.log").read_text(errors="replace")[-2000:]


def list_processes() -> Iterator[tuple[int, int]]:
    """Return each process that has not ended, with its parent."""
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-axo", "pid=,ppid=,state="]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in answer.stdout.splitlines():
            pid, parent, state = line.split()
            if not state.startswith("Z"):
                yield int(pid), int(parent)
        return
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, come the state and the parent.
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                yield int(path.parent.name), int(parent)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
