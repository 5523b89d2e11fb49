"""A program of the tests, with all processes that it makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.patroni import minder
from tests.support.unprivileged import Way

SYSTEM_PYTHON = "/usr/bin/python3"
"""The Python that Debian's Patroni runs on, and that each user may run."""

_PATIENCE = 30.0


class Kept:
    """A running program; it and all processes that it made die with this one, if not before.

    Args:
        way: how to run it.
        command: the program and its arguments.
        log: the file that its output is added to.
    """

    def __init__(self, way: Way, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        source = Path(minder.__file__).read_text()
        # Its life ends with standard input, not with the thread that starts it.
        keeping = way.command(SYSTEM_PYTHON, "-I", "-S", "-c", source, *command, death_signal=0)
        with open(log, "ab") as output:
            self._minder: subprocess.Popen[bytes] = subprocess.Popen(
                keeping,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd="/",
                env=clean_environment(),
                # In a group of ours, stopped processes would make the kernel send SIGHUP to all of
                # them when we die, which ends the minder before it has killed them.
                start_new_session=True,
            )

    @property
    def runs(self) -> bool:
        """True if one of its processes has not ended."""
        return self._minder.poll() is None

    def stop(self) -> None:
        """Stop all of its processes, as SIGSTOP does; return when all have it."""
        self._order(b"s")

    def go_on(self) -> None:
        """Let its stopped processes continue."""
        self._order(b"c")

    def kill(self) -> None:
        """Kill all of its processes together, and return when none is left."""
        assert self._minder.stdin is not None
        assert self._minder.stdout is not None
        self._minder.stdin.close()
        self._minder.wait(_PATIENCE)
        self._minder.stdout.close()

    def tail(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _order(self, order: bytes) -> None:
        assert self._minder.stdin is not None
        assert self._minder.stdout is not None
        self._minder.stdin.write(order)
        self._minder.stdin.flush()
        answer = self._minder.stdout.readline()
        assert answer == b"done\n", f"{order!r} was answered with {answer!r}: {self.tail()}"


def clean_environment() -> dict[str, str]:
    """Return the environment of a system's program: nothing of a virtual environment or libpq."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    return kept | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
