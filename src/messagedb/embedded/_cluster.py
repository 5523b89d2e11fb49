"""One PostgreSQL cluster: created, started, and stopped. Standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from messagedb.embedded import _privileges
else:
    # The supervisor runs without site-packages and has put this directory on the path.
    import _privileges

POLL = 0.1
# PostgreSQL's sun_path without the ending NUL, less the file name that it adds.
LONGEST_SOCKET_DIRECTORY = (107 if sys.platform == "linux" else 103) - len("/.s.PGSQL.5432")
# A dead postmaster leaves processes, a zombie or a shared memory segment behind for a moment: then
# the start is tried again.
STALE = re.compile(r"lock file .* already exists|pre-existing shared memory block")
STALE_LIMIT = 15.0
STOP_LIMIT = 30.0


class StartupError(Exception):
    """Reason that the client gets instead of an address."""


class Cluster:
    """The data in a folder, and the PostgreSQL that runs on it.

    Attributes:
        folder: the folder of the embedded server.
        data: PostgreSQL's data directory in it; it exists complete or not at all.
        log: the server's log.
        socket_directory: the directory of its socket, once there is one.
        postgres: the postmaster, once it was started.
    """

    def __init__(self, folder: str, binaries: str, settings: dict[str, str]) -> None:
        self.folder = folder
        self.binaries = binaries
        self.settings = settings
        self.data = os.path.join(folder, "data")
        self.log = os.path.join(folder, "server.log")
        self.log_begin = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.socket_directory = ""
        self.run_as = _privileges.RunAs("as this user")
        self.postgres: subprocess.Popen[bytes] | None = None

    def make(self, deadline: float, *, sync: bool) -> None:
        """Find a way to run PostgreSQL, and create the data directory if there is none."""
        new = self._choose_run_as()
        if os.path.exists(os.path.join(self.data, "PG_VERSION")):
            shutil.rmtree(new, ignore_errors=True)
        else:
            self._initdb(new, deadline, sync=sync)

    def make_socket_directory(self) -> str:
        """Create a directory whose path is short enough for the server's socket, and return it."""
        self.socket_directory = _make_socket_directory()
        return self.socket_directory

    def launch(self, deadline: float) -> None:
        """Start PostgreSQL on the data and return when it accepts connections."""
        settings = {
            "log_min_messages": "log",
            "log_checkpoints": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.settings,
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"' + self.socket_directory.replace('"', '""') + '"',
            "logging_collector": "off",
            "log_destination": "stderr",
            "lc_messages": "C",
        }
        command = [os.path.join(self.binaries, "postgres"), "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        stale_until = time.monotonic() + STALE_LIMIT
        while True:
            self._clear_stale_pid()
            with open(self.log, "ab") as log:
                begin = log.tell()
                self.postgres = _privileges.popen(
                    self.run_as, command, signal.SIGINT, stdout=log, stderr=log
                )
            status = self._wait_until_ready(self.postgres, deadline)
            if status is None:
                return
            with open(self.log, "rb") as log:
                log.seek(begin)
                said = log.read().decode("utf-8", "replace")
            if not STALE.search(said) or time.monotonic() > stale_until:
                reason = re.search(r"FATAL:\s*(.*)", said)
                raise StartupError(
                    f"PostgreSQL ended with status {status}" + (f": {reason[1]}" if reason else "")
                )
            time.sleep(POLL)

    def log_tail(self) -> list[str]:
        """Return the last lines that were logged since we began."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            log.seek(max(self.log_begin, os.path.getsize(self.log) - 8192))
            return log.read().decode("utf-8", "replace").splitlines()[-12:]
        return []

    def stop_orphan(self) -> None:
        """Stop a postmaster of this folder whose supervisor is dead, if the kernel has not."""
        lines = self._postmaster_file()
        if len(lines) < 5 or not lines[0].isdigit():
            return
        deadline = time.monotonic() + STOP_LIMIT
        while _is_accepting(lines[4], lines[3]) and self._postmaster_file()[:1] == lines[:1]:
            # It responds in the directory that its file names, so the number still belongs to it.
            with contextlib.suppress(OSError):
                os.kill(int(lines[0]), signal.SIGINT)
            if time.monotonic() > deadline:
                raise StartupError(
                    f"the PostgreSQL with process id {lines[0]} that is left on the folder does "
                    "not stop"
                )
            time.sleep(POLL)

    def stop(self) -> None:
        """Stop PostgreSQL, immediately if it does not stop in time, and remove its socket."""
        if self.postgres is not None:
            for number, limit in (
                (signal.SIGINT, STOP_LIMIT),
                (signal.SIGQUIT, 5.0),
                (signal.SIGKILL, 5.0),
            ):
                with contextlib.suppress(OSError):
                    self.postgres.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.postgres.wait(limit)
                    break
        if self.socket_directory:
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def _postmaster_file(self) -> list[str]:
        try:
            with open(
                os.path.join(self.data, "postmaster.pid"),
                encoding="utf-8",
                errors="surrogateescape",
            ) as file:
                return file.read().split("\n")
        except OSError:
            return []

    def _clear_stale_pid(self) -> None:
        """Replace the process id in ``postmaster.pid`` if that process is no longer a postmaster.

        PostgreSQL takes any live process of that number for one: a zombie that is never reaped, or
        another process in a new container. The file is kept, with our own number in it, which
        PostgreSQL ignores as its parent's: the rest of the file lets it find out whether processes
        of the dead one still use the shared memory.
        """
        lines = self._postmaster_file()
        if not lines or not lines[0].isdigit() or not os.path.isdir("/proc/self"):
            return
        process = "/proc/" + lines[0]
        try:
            with open(process + "/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            lives = rest.split()[0] != "Z" and name == "postgres"
            if lives and os.path.samefile(process + "/cwd", self.data):
                return
        except OSError:
            return
        with open(
            os.path.join(self.data, "postmaster.pid"),
            "r+",
            encoding="utf-8",
            errors="surrogateescape",
        ) as file:
            file.write("\n".join([str(os.getpid()), *lines[1:]]))
            file.truncate()

    def _choose_run_as(self) -> str:
        """Find a way to run PostgreSQL; return a new directory in the folder that it can use."""
        exists = os.path.isdir(self.data)
        reasons: list[str] = []
        postgres = os.path.join(self.binaries, "postgres")
        for way in _privileges.list_run_as_candidates(
            os.stat(self.data if exists else self.folder), exists=exists
        ):
            new = tempfile.mkdtemp(prefix="data.new-", dir=self.folder)
            self.run_as = way
            if way.uid is None and not way.namespace:
                return new
            try:
                _privileges.chown_tree(new, way)
                reason = _privileges.try_run_as(way, postgres, new)
                if reason is not None and way.uid is not None:
                    # Maybe it cannot reach the programs: then try a copy of them in a place that it
                    # can reach.
                    postgres = self._copy_binaries()
                    reason = _privileges.try_run_as(way, postgres, new)
            except OSError as exc:
                reason = str(exc)
            if reason is None:
                if way.uid is not None:
                    os.chown(self.socket_directory, way.uid, way.gid if way.gid is not None else -1)
                    os.chmod(self.socket_directory, 0o700)
                    if exists and os.stat(self.data).st_uid != way.uid:
                        _privileges.chown_tree(self.data, way)
                return new
            reasons.append(f"{way.name}: {reason}")
            shutil.rmtree(new, ignore_errors=True)
        raise StartupError(
            "PostgreSQL refuses to run as root, and no way to drop root's privileges works here ("
            + "; ".join(reasons)
            + "). Run as an ordinary user, or name a folder that the system user postgres can"
            " reach"
        )

    def _copy_binaries(self) -> str:
        copies = os.path.join(self.socket_directory, "bin")
        if not os.path.isdir(copies):
            os.chmod(self.socket_directory, 0o711)
            self.binaries = _privileges.copy_binaries(self.binaries, copies)
        return os.path.join(self.binaries, "postgres")

    def _initdb(self, new_data_dir: str, deadline: float, *, sync: bool) -> None:
        command = [os.path.join(self.binaries, "initdb"), "--no-instructions"]
        command += [
            "-D",
            new_data_dir,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
        ]
        if not sync:
            command.append("--no-sync")
        status, said = _privileges.run(self.run_as, command, max(1.0, deadline - time.monotonic()))
        if status != 0:
            shutil.rmtree(new_data_dir, ignore_errors=True)
            raise StartupError(f"initdb ended with status {status} and printed:\n{said[-1500:]}")
        # Complete or absent: a start that is killed before this line leaves no incomplete data
        # under the name.
        os.rename(new_data_dir, self.data)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _wait_until_ready(self, postgres: subprocess.Popen[bytes], deadline: float) -> int | None:
        """Return None when PostgreSQL accepts connections, its exit status if it ended."""
        while True:
            lines = self._postmaster_file()
            if len(lines) > 7 and lines[0] == str(postgres.pid) and lines[7].strip() == "ready":
                return None
            status = postgres.poll()
            if status is not None:
                return status
            if time.monotonic() > deadline:
                raise StartupError(
                    "PostgreSQL did not become ready in time (it may be recovering: use a longer"
                    " timeout)"
                )
            time.sleep(0.005)


def _make_socket_directory() -> str:
    # Other users must be able to enter the directory above when root drops its privileges.
    places = [tempfile.gettempdir(), "/tmp"]
    if os.geteuid() == 0:
        places.reverse()
    reasons: list[str] = []
    for place in places:
        if (
            len(os.fsencode(place)) + len("/mdb-12345678") > LONGEST_SOCKET_DIRECTORY
            or not place.isascii()
        ):
            reasons.append(f"{place}: too long, or not ASCII")
            continue
        try:
            return tempfile.mkdtemp(prefix="mdb-", dir=place)
        except OSError as exc:
            reasons.append(f"{place}: {exc.strerror}")
    raise StartupError(
        "no directory for the server's socket could be made (" + "; ".join(reasons) + ")"
    )


def _is_accepting(directory: str, port: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(f"{directory}/.s.PGSQL.{port}")
        except OSError:
            return False
        return True
