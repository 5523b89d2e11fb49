"""The process between the clients and PostgreSQL: starts it, watches it, ends it with the last client. Standard library only.

It is run by its path with ``python -I -S``, in a session of its own. The arguments are the folder and the bin directory, the
first line of standard input is a JSON object with the rest; the input ends when the client that started us is gone. One JSON
line on standard output says that the server is ready, or why it is not. Standard error is the server's log.

Who else uses the folder is known by locks alone, which the kernel drops when a process dies in whatever way: each client holds
``use.lock`` shared for as long as it uses the server, and ``start.lock`` while it starts or joins it; this process holds
``server.lock`` all its life, and ends when it gets the other two for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from messagedb.embedded import _rights
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import _rights

POLL = 0.1
# PostgreSQL's sun_path without the ending NUL, less the file name that it adds: /.s.PGSQL.5432 and its .lock.
LONGEST_SOCKET_DIRECTORY = (107 if sys.platform == "linux" else 103) - len("/.s.PGSQL.5432.lock")
# A dead postmaster leaves processes, a zombie or a shared memory segment behind for a moment: then the start is tried again.
STALE = re.compile(r"lock file .* already exists|pre-existing shared memory block")
STALE_LIMIT = 15.0
RESTARTS, RESTART_WINDOW, RESTART_LIMIT = 5, 60.0, 300.0
STOP_LIMIT = 30.0


class Failure(Exception):
    """What the client is told instead of an address."""


class Supervisor:
    """One server on one folder."""

    def __init__(self, folder: str, binaries: str, order: dict[str, Any]) -> None:
        self.folder = folder
        self.binaries = binaries
        self.order = order
        self.data = os.path.join(folder, "data")
        self.state = os.path.join(folder, "server.json")
        self.log = os.path.join(folder, "server.log")
        self.log_begin = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.socket_directory = ""
        self.way = _rights.Way("as this user")
        self.postgres: subprocess.Popen[bytes] | None = None
        # A connection that can read it is to the server that server.json speaks of.
        self.token = os.urandom(16).hex()
        self.locks: list[int] = []
        self.restarts: list[float] = []

    def start(self) -> dict[str, Any]:
        """Start the server, with a new cluster if there is none, and give what a client needs to know."""
        deadline = time.monotonic() + float(self.order["timeout"])
        self.locks.append(self._lock("server.lock", deadline))
        self._clear_leftovers()
        self.socket_directory = self._make_socket_directory()
        new = self._choose_way()
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self._initdb(new, deadline)
        else:
            shutil.rmtree(new, ignore_errors=True)
        self._launch(deadline)
        state = {
            "format": 1,
            "socket_directory": self.socket_directory,
            "token": self.token,
            "settings": self.order["settings"],
            "supervisor": os.getpid(),
        }
        with open(self.state + ".new", "w", encoding="ascii") as file:
            json.dump(state, file)
        self._keep_owner(self.state + ".new")
        os.replace(self.state + ".new", self.state)
        return state

    def watch(self) -> None:
        """Return when the last client is gone, or when PostgreSQL was stopped or cannot be kept running."""
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        locks = [
            os.open(os.path.join(self.folder, name), os.O_RDWR)
            for name in ("start.lock", "use.lock")
        ]
        starter = True
        while True:
            status = self.postgres.poll() if self.postgres else 0
            if status is not None and not self._restart(status):
                return
            ready, _, _ = select.select(
                [wake, 0] if starter else [wake], [], [], None if starter else POLL
            )
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            if 0 in ready and not os.read(0, 4096):
                starter = False
            if not starter and self._alone(locks):
                return

    def end(self) -> None:
        """End PostgreSQL and remove what only a running server needs. The locks go with the process."""
        if not self.locks:
            return  # The folder is another supervisor's.
        with contextlib.suppress(OSError):
            os.unlink(self.state)
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
        if self.order["temporary"]:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self) -> list[str]:
        """Give the last lines that were logged since we began."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            log.seek(max(self.log_begin, os.path.getsize(self.log) - 8192))
            return log.read().decode("utf-8", "replace").splitlines()[-12:]
        return []

    def _lock(self, name: str, deadline: float) -> int:
        descriptor = os.open(os.path.join(self.folder, name), os.O_RDWR | os.O_CREAT, 0o600)
        self._keep_owner(os.path.join(self.folder, name))
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise Failure("the process that ran the server before did not end in time")
            time.sleep(0.02)
        return descriptor

    def _alone(self, locks: list[int]) -> bool:
        held = [descriptor for descriptor in locks if _try_lock(descriptor)]
        if len(held) == len(locks):
            return True
        for descriptor in held:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return False

    def _clear_leftovers(self) -> None:
        """End a server that outlived its supervisor, and remove what killed ones left behind."""
        self._end_orphan()
        try:
            with open(self.state, encoding="ascii") as file:
                left = str(json.load(file)["socket_directory"])
            if os.path.basename(left).startswith("mdb-") and os.lstat(left).st_uid in (
                os.geteuid(),
                self._owner().st_uid,
            ):
                shutil.rmtree(left, ignore_errors=True)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        with contextlib.suppress(OSError):
            os.unlink(self.state)
        for entry in os.listdir(self.folder):
            if entry.startswith("data.new-"):
                shutil.rmtree(os.path.join(self.folder, entry), ignore_errors=True)

    def _end_orphan(self) -> None:
        """Stop a postmaster of this folder that has no supervisor: where the kernel does not do it, or is about to."""
        lines = self._postmaster_file()
        if len(lines) < 5 or not lines[0].isdigit():
            return
        deadline = time.monotonic() + STOP_LIMIT
        while _answers(lines[4], lines[3]) and self._postmaster_file()[:1] == lines[:1]:
            # It answers in the directory that its file names, so the number is still its own.
            with contextlib.suppress(OSError):
                os.kill(int(lines[0]), signal.SIGINT)
            if time.monotonic() > deadline:
                raise Failure(
                    f"the PostgreSQL with process id {lines[0]} that is left on the folder does not stop"
                )
            time.sleep(POLL)

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

    def _disown_stale_pid(self) -> None:
        """Let PostgreSQL see that the process in ``postmaster.pid`` is not a postmaster of this data any more.

        It takes any live process of that number for one: a zombie that nobody reaps, or a stranger in a new container. The
        file is kept, with our own number in it, which PostgreSQL passes over as its parent's: the rest of the file lets it
        find out whether processes of the dead one still use the shared memory.
        """
        lines = self._postmaster_file()
        if not lines or not lines[0].isdigit() or not os.path.isdir("/proc/self"):
            return
        process = "/proc/" + lines[0]
        try:
            with open(process + "/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
            if rest.split()[0] != "Z" and name == "postgres":
                if os.path.samefile(process + "/cwd", self.data):
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

    def _make_socket_directory(self) -> str:
        # Others must be able to pass through the directory above when root gives up its rights.
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
        raise Failure(
            "no directory for the server's socket could be made (" + "; ".join(reasons) + ")"
        )

    def _choose_way(self) -> str:
        """Find a way to run PostgreSQL; give a new empty directory in the folder that it can use."""
        exists = os.path.isdir(self.data)
        reasons: list[str] = []
        for way in _rights.ways(os.stat(self.data if exists else self.folder), exists=exists):
            new = tempfile.mkdtemp(prefix="data.new-", dir=self.folder)
            self.way = way
            if way.uid is None and not way.namespace:
                return new
            _rights.give(new, way)
            reason = _rights.probe(
                way, os.path.join(self.binaries, "postgres"), new, dict(os.environ)
            )
            if reason is not None and way.uid is not None:
                with contextlib.suppress(OSError):
                    copies = os.path.join(self.socket_directory, "bin")
                    if not os.path.isdir(copies):
                        os.chmod(self.socket_directory, 0o711)
                        self.binaries = _rights.copy_binaries(self.binaries, copies)
                    reason = _rights.probe(
                        way, os.path.join(self.binaries, "postgres"), new, dict(os.environ)
                    )
            if reason is None:
                if way.uid is not None:
                    os.chown(self.socket_directory, way.uid, way.gid if way.gid is not None else -1)
                    os.chmod(self.socket_directory, 0o700)
                    if exists and os.stat(self.data).st_uid != way.uid:
                        _rights.give(self.data, way)
                return new
            reasons.append(f"{way.name}: {reason}")
            shutil.rmtree(new, ignore_errors=True)
        raise Failure(
            "PostgreSQL refuses to run as root, and no way to give up root's rights works here ("
            + "; ".join(reasons)
            + "). Run as an ordinary user, or name a folder that the user postgres or nobody can reach"
        )

    def _initdb(self, new: str, deadline: float) -> None:
        command = [
            os.path.join(self.binaries, "initdb"),
            "-D",
            new,
            "-U",
            "postgres",
            "-A",
            "trust",
        ]
        command += ["-E", "UTF8", "--no-locale", "--no-instructions"]
        if self.order["fast"]:
            command.append("--no-sync")
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=max(1.0, deadline - time.monotonic()),
            check=False,
            **_rights.popen_arguments(self.way, signal.SIGKILL),
        )
        if answer.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            said = answer.stdout.decode("utf-8", "replace").strip()[-1500:]
            raise Failure(f"initdb ended with status {answer.returncode} and said:\n{said}")
        # Complete or not there: a start that is killed before this line leaves no half-made data under the name.
        os.rename(new, self.data)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _launch(self, deadline: float) -> None:
        """Start PostgreSQL on the data and return when it takes connections."""
        settings = {
            "log_min_messages": "log",
            "log_checkpoints": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.order["settings"],
            "messagedb.server": self.token,
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
            self._disown_stale_pid()
            with open(self.log, "ab") as log:
                begin = log.tell()
                self.postgres = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    **_rights.popen_arguments(self.way, signal.SIGINT),
                )
            status = self._wait_until_ready(self.postgres, deadline)
            if status is None:
                return
            with open(self.log, "rb") as log:
                log.seek(begin)
                said = log.read().decode("utf-8", "replace")
            if not STALE.search(said) or time.monotonic() > stale_until:
                reason = re.search(r"FATAL:\s*(.*)", said)
                raise Failure(
                    f"PostgreSQL ended with status {status}" + (f": {reason[1]}" if reason else "")
                )
            time.sleep(POLL)

    def _wait_until_ready(self, postgres: subprocess.Popen[bytes], deadline: float) -> int | None:
        """Give None when PostgreSQL takes connections, its exit status if it ended instead."""
        while True:
            lines = self._postmaster_file()
            if len(lines) > 7 and lines[0] == str(postgres.pid) and lines[7].strip() == "ready":
                return None
            status = postgres.poll()
            if status is not None:
                return status
            if time.monotonic() > deadline:
                raise Failure(
                    "PostgreSQL did not become ready in time (it may be recovering: give a longer timeout)"
                )
            time.sleep(0.005)

    def _restart(self, status: int) -> bool:
        """Start PostgreSQL again, at the same address, if it died; not if somebody stopped it or if it dies again and again."""
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if now - at < RESTART_WINDOW]
        if status == 0 or len(self.restarts) >= RESTARTS:
            return False
        self.restarts.append(now)
        try:
            self._launch(now + RESTART_LIMIT)
        except (Failure, OSError, subprocess.SubprocessError) as exc:
            print(
                f"messagedb: PostgreSQL ended with status {status} and did not start again: {exc}",
                file=sys.stderr,
            )
            return False
        return True

    def _owner(self) -> os.stat_result:
        return os.stat(self.data if os.path.isdir(self.data) else self.folder)

    def _keep_owner(self, path: str) -> None:
        if os.geteuid() == 0:
            owner = os.stat(self.folder)
            os.chown(path, owner.st_uid, owner.st_gid)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _answers(directory: str, port: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(f"{directory}/.s.PGSQL.{port}")
        except OSError:
            return False
        return True


def _read_order() -> dict[str, Any]:
    text = b""
    while not text.endswith(b"\n"):
        # By single bytes from the descriptor: a buffer would hide the end of the input from select().
        byte = os.read(0, 1)
        if not byte:
            sys.exit(0)
        text += byte
    order: dict[str, Any] = json.loads(text)
    return order


def main() -> int:
    """Run until the last client is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever sends one to everybody (a service manager, a closing terminal) means the clients: we go when they have gone.
        # A handler, because programs that we start would inherit that a signal is ignored.
        signal.signal(number, lambda *_: None)
    os.umask(0o077)
    supervisor = Supervisor(sys.argv[1], sys.argv[2], _read_order())
    answer: dict[str, Any]
    try:
        answer = {"ready": supervisor.start()}
    except Failure as exc:
        answer = {"error": str(exc)}
    except (OSError, subprocess.SubprocessError) as exc:
        answer = {"error": f"{type(exc).__name__}: {exc}"}
    if "error" in answer:
        answer["log"] = supervisor.log_tail()
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        if "ready" in answer:
            supervisor.watch()
    finally:
        supervisor.end()
    return 0 if "ready" in answer else 1


if __name__ == "__main__":
    sys.exit(main())
