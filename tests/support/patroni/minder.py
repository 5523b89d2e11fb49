"""Start a program, and keep all processes that it makes: they are signaled together, none is left.

It runs on any Python 3, by itself: ``python3 -c SOURCE COMMAND…``. Standard input says what to do:
``s`` stops all processes, ``c`` continues them; each is answered with a line. When it ends, which
is also when the process that wrote it has died, all processes are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def descendants(of: int) -> set[int]:
    """Return all processes that descend from one and have not ended."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # After the name, which may hold anything, come the state and the parent.
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(path.parent.name)] = int(parent)
    found: set[int] = set()
    new = {of}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new}
        found |= new
    return found


def send(number: int) -> None:
    """Send a signal to all processes, until there is none that has not got it."""
    sent: set[int] = set()
    while new := descendants(os.getpid()) - sent:
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        sent |= new


def obey() -> None:
    """Do what standard input says; at its end kill all, and end."""
    # The process that gave an order may have died before it can be answered.
    with contextlib.suppress(BrokenPipeError):
        while order := os.read(0, 1):
            send({b"s": signal.SIGSTOP, b"c": signal.SIGCONT}[order])
            os.write(1, b"done\n")
    # Stopped first, so that none starts another one, or says to another that it is the last.
    send(signal.SIGSTOP)
    while descendants(os.getpid()):
        send(signal.SIGKILL)
        time.sleep(0.005)
    os._exit(0)


def main() -> None:
    """Start the program, and reap what ends; its daemons become children of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=2)
    threading.Thread(target=obey, daemon=True).start()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()
