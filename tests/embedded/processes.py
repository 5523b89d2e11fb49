"""Client processes that the tests start, command and kill, and a look at what runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A client: starts or joins, says where, then does what each line of its input says.
PROGRAM = """# a client
import json, os, signal, sys
# A process in the background of a shell is started with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
import psycopg
from messagedb import embedded

def say(**what):
    print(json.dumps(what), flush=True)

order = json.loads(sys.argv[1])
if "uid" in order:
    os.setgroups([]); os.setgid(order["uid"]); os.setuid(order["uid"])
try:
    server = embedded.start(order["folder"], install=False, **order["options"])
except Exception as exc:
    say(error=str(exc), kind=type(exc).__name__)
    sys.exit(1)
say(url=server.url, admin_url=server.admin_url, folder=str(server.folder))
for line in sys.stdin:
    command, _, argument = line.strip().partition(" ")
    if command == "write":
        with psycopg.connect(server.admin_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(1)")
            connection.execute("CREATE TABLE IF NOT EXISTS acknowledged (n bigserial, who int)")
            connection.execute("SELECT pg_advisory_unlock(1)")
            insert = "INSERT INTO acknowledged (who) VALUES (%s) RETURNING n"
            count = 0
            while count != int(argument):
                say(n=connection.execute(insert, [os.getpid()]).fetchone()[0])
                count += 1
    elif command == "program":
        import subprocess
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
        say(pid=child.pid)
    elif command == "fork":
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        say(pid=pid)
    elif command == "stop":
        server.stop()
        say(stopped=True)
    elif command == "exit":
        sys.exit(0)
"""


class ClientProcess:
    """One process that uses an embedded server."""

    def __init__(
        self,
        folder: Path | str | None,
        environment: dict[str, str] | None = None,
        uid: int | None = None,
        **options: Any,
    ) -> None:
        order: dict[str, Any] = {
            "folder": None if folder is None else str(folder),
            "options": options,
        }
        if uid is not None:
            order["uid"] = uid
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path} | (environment or {}),
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def hear(self) -> dict[str, Any]:
        """Read the next thing that it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the client ended without a word"
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self, command: str) -> None:
        """Send it a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command: str) -> dict[str, Any]:
        """Send it a command and read the answer."""
        self.tell(command)
        return self.hear()

    def end(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal, and return its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended."""
        status = self.process.wait(20)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        return status


def until(condition: Callable[[], object], what: str, limit: float = 15.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.01)


def running(folder: Path | str, program: str = "") -> list[int]:
    """Return the processes, zombies and clients excepted, whose command line names the folder."""
    named = (str(folder), program)
    return [
        pid
        for pid, arguments in _processes()
        if all(each in arguments for each in named) and "# a client" not in arguments
    ]


def _processes() -> Iterator[tuple[int, str]]:
    proc = Path("/proc")
    if not (proc / "self" / "cmdline").exists():
        command = ["ps", "-A", "-ww", "-o", "pid=,stat=,args="]
        for line in subprocess.check_output(command, text=True).splitlines():
            pid, state, arguments = line.split(None, 2)
            if not state.startswith("Z"):
                yield int(pid), arguments
        return
    for entry in proc.iterdir():
        if entry.name.isdigit():
            # A zombie has no command line any more.
            with contextlib.suppress(OSError):
                yield int(entry.name), os.fsdecode((entry / "cmdline").read_bytes())


def postmaster(folder: Path | str) -> int:
    """Return the process id of the folder's postmaster."""
    return int((Path(folder) / "data" / "postmaster.pid").read_text().split()[0])


def supervisor(folder: Path | str) -> int:
    """Return the process id of the folder's supervisor."""
    state = json.loads((Path(folder) / "server.json").read_text())
    return int(state["supervisor"])
