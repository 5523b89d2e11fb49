"""The process that starts PostgreSQL for its clients, watches it, and ends it with the last one.

It is run by its path with ``python -I -S``, in a separate session, with only the standard
library. The arguments are the folder and the bin directory, the first line of standard input is a
JSON object with the rest; the input ends when the client that started us is gone. One JSON line on
standard output says that the server is ready, or why it is not. Standard error is the server's log.

Other users of the folder are known by locks only, which the kernel releases when a process dies in
any way: each client holds ``use.lock`` shared for as long as it uses the server, and
``start.lock`` while it starts or joins it; this process holds ``server.lock`` all its life, and
ends when it gets the other two for itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from messagedb.embedded._cluster import Cluster, StartupError
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from _cluster import Cluster, StartupError

POLL = 0.1
RESTARTS, RESTART_WINDOW, RESTART_LIMIT = 5, 60.0, 300.0


class Supervisor:
    """One server on one folder."""

    def __init__(self, folder: str, binaries: str, request: dict[str, Any]) -> None:
        self.folder = folder
        self.request = request
        self.state = os.path.join(folder, "server.json")
        # A client that can read it over a connection is connected to the server of server.json.
        self.token = os.urandom(16).hex()
        settings = request["settings"] | {"messagedb.server": self.token}
        self.cluster = Cluster(folder, binaries, settings)
        self.locks: list[int] = []
        self.restarts: list[float] = []

    def start(self) -> dict[str, Any]:
        """Start the server, on new data if there is none; return the properties for a client."""
        deadline = time.monotonic() + float(self.request["timeout"])
        self._lock(deadline)
        self.cluster.stop_orphan()
        self._clear_leftovers()
        state = {
            "format": 1,
            "socket_directory": self.cluster.make_socket_directory(),
            "token": self.token,
            "settings": self.request["settings"],
            "supervisor": os.getpid(),
        }
        with open(self.state + ".new", "w", encoding="ascii") as file:
            json.dump(state, file)
        self._chown_to_folder_owner(self.state + ".new")
        # Early, so that the next supervisor finds the socket's directory even if we are killed:
        # clients trust only a connection.
        os.replace(self.state + ".new", self.state)
        self.cluster.make(deadline, sync=not self.request["fast"])
        self.cluster.launch(deadline)
        return state

    def watch(self) -> None:
        """Return when the last client is gone, or PostgreSQL was stopped or keeps dying."""
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        locks = [
            os.open(os.path.join(self.folder, name), os.O_RDWR)
            for name in ("start.lock", "use.lock")
        ]
        starter = True
        while True:
            status = self.cluster.postgres.poll() if self.cluster.postgres else 0
            if status is not None and not self._restart(status):
                return
            # The starter holds use.lock: while it lives there is nothing to try.
            inputs = [wake, 0] if starter else [wake]
            ready, _, _ = select.select(inputs, [], [], None if starter else POLL)
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            if 0 in ready and not os.read(0, 4096):
                starter = False
            if not starter and _lock_all(locks):
                return

    def shut_down(self) -> None:
        """End PostgreSQL and remove the files of a running server. The locks end with us."""
        if not self.locks:
            return  # the folder is another supervisor's
        with contextlib.suppress(OSError):
            os.unlink(self.state)
        self.cluster.stop()
        if self.request["temporary"]:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _lock(self, deadline: float) -> None:
        path = os.path.join(self.folder, "server.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._chown_to_folder_owner(path)
        while not _lock_all([descriptor]):
            if time.monotonic() > deadline:
                raise StartupError("the process that ran the server before did not end in time")
            time.sleep(0.02)
        self.locks.append(descriptor)

    def _clear_leftovers(self) -> None:
        """Remove the files that killed supervisors left behind."""
        owners = {os.geteuid(), os.stat(self.folder).st_uid}
        with contextlib.suppress(OSError):
            owners.add(os.stat(self.cluster.data).st_uid)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with open(self.state, encoding="ascii") as file:
                left = str(json.load(file)["socket_directory"])
            if os.path.basename(left).startswith("mdb-") and os.lstat(left).st_uid in owners:
                shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.unlink(self.state)
        for entry in os.listdir(self.folder):
            if entry.startswith("data.new-"):
                shutil.rmtree(os.path.join(self.folder, entry), ignore_errors=True)

    def _restart(self, status: int) -> bool:
        """Start PostgreSQL again, at the same address, if it died but was not stopped."""
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if now - at < RESTART_WINDOW]
        if status == 0 or len(self.restarts) >= RESTARTS:
            return False
        self.restarts.append(now)
        try:
            self.cluster.launch(now + RESTART_LIMIT)
        except (StartupError, OSError, subprocess.SubprocessError) as exc:
            said = f"messagedb: PostgreSQL ended with status {status} and does not start: {exc}"
            print(said, file=sys.stderr, flush=True)
            return False
        return True

    def _chown_to_folder_owner(self, path: str) -> None:
        """Change the owner of root's files to the folder's owner, who can use them without root."""
        if os.geteuid() == 0:
            owner = os.stat(self.folder)
            os.chown(path, owner.st_uid, owner.st_gid)


def _lock_all(descriptors: list[int]) -> bool:
    """Lock all of them, or none."""
    for position, descriptor in enumerate(descriptors):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for taken in descriptors[:position]:
                fcntl.flock(taken, fcntl.LOCK_UN)
            return False
    return True


def _wake(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor reports the signal."""


def _read_request() -> dict[str, Any]:
    text = b""
    while not text.endswith(b"\n"):
        # By single bytes from the descriptor: a buffer would hide the end from select().
        byte = os.read(0, 1)
        if not byte:
            sys.exit(0)
        text += byte
    order: dict[str, Any] = json.loads(text)
    return order


def main() -> int:
    """Run until the last client is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A signal that is sent to all processes (by a service manager, a closing terminal) is for
        # the clients: we end after them. A handler is set, because an ignored signal is inherited.
        signal.signal(number, _wake)
    os.umask(0o077)
    supervisor = Supervisor(sys.argv[1], sys.argv[2], _read_request())
    answer: dict[str, Any]
    try:
        answer = {"ready": supervisor.start()}
    except StartupError as exc:
        answer = {"error": str(exc)}
    except (OSError, subprocess.SubprocessError) as exc:
        answer = {"error": f"{type(exc).__name__}: {exc}"}
    if "error" in answer:
        answer["log"] = supervisor.cluster.log_tail()
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        if "ready" in answer:
            supervisor.watch()
    finally:
        supervisor.shut_down()
    return 0 if "ready" in answer else 1


if __name__ == "__main__":
    sys.exit(main())
