"""Restart of a run when a source file changes, for development.

Modification times are compared a few times a second. It costs no dependency, and works in every
folder, also of a container or a network.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from messagedb._concurrency.signals import intercept_signals

log = logging.getLogger("messagedb.run")

_POLL_SECONDS = 0.25
_GRACE_SECONDS = 5.0  # beyond the time that handlers have, before the process is killed
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


class SourceWatch:
    """Finds the Python files that have changed below some folders.

    Hidden folders, virtual environments and installed packages are left out.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen = dict(self._scan())

    def find_changes(self) -> list[str]:
        """Return the files that were changed, added or removed since the last call."""
        found = dict(self._scan())
        changed = [
            path
            for path in sorted(found.keys() | self._seen.keys())
            if found.get(path) != self._seen.get(path)
        ]
        self._seen = found
        return changed

    def _scan(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for start in self._folders:
            for folder, folders, files in os.walk(start):
                if "pyvenv.cfg" in files:
                    folders.clear()
                    continue
                folders[:] = [name for name in folders if name[0] != "." and name not in _SKIPPED]
                for name in files:
                    if name.endswith(".py"):
                        path = os.path.join(folder, name)
                        with suppress(OSError):  # it was removed just now
                            stat = os.stat(path)
                            yield path, (stat.st_mtime_ns, stat.st_size)


def run_reloading(
    command: Sequence[str], url: str, folders: Sequence[Path], stop_timeout: float
) -> int:
    """Run a process until SIGINT or SIGTERM, and again whenever a source file changes.

    The old process finishes its current messages before the new one starts. If it has ended, as by
    a syntax error, the next change is waited for.

    Args:
        command: the arguments of the CLI.
        url: the store; it may have a password, so it is passed by the environment.
        folders: those with the source files.
        stop_timeout: seconds that the handlers have to finish.

    Returns:
        The exit code of the last process.
    """
    watch = SourceWatch(folders)
    pause = threading.Event()
    received: list[int] = []
    with intercept_signals(received.append):
        running = _start(command, url)
        has_ended = False
        while not received:
            pause.wait(_POLL_SECONDS)
            changed = watch.find_changes()
            if changed:
                while watch.find_changes():  # of several files, one after the other
                    pause.wait(_POLL_SECONDS)
                log.info("%s: starting again", _describe(changed))
                _stop(running, signal.SIGTERM, stop_timeout)
                running, has_ended = _start(command, url), False
            elif not has_ended and running.poll() is not None:
                has_ended = True
                code = running.returncode
                log.info("ended with exit code %d: it starts again when a file changes", code)
        return _stop(running, received[0], stop_timeout)


def _describe(changed: Sequence[str]) -> str:
    more = f" and {len(changed) - 1} more files have" if len(changed) > 1 else " has"
    return f"{os.path.relpath(changed[0])}{more} changed"


def _start(command: Sequence[str], url: str) -> subprocess.Popen[bytes]:
    # Compiled files are recognized by whole seconds and sizes: a change may be quicker.
    environment = {**os.environ, "MESSAGEDB_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "messagedb.cli", *command, "--parent", str(os.getpid())],
        start_new_session=True,  # a terminal's Ctrl-C reaches it once, from here
        env=environment,
    )


def _stop(running: subprocess.Popen[bytes], number: int, stop_timeout: float) -> int:
    with suppress(ProcessLookupError):
        running.send_signal(number)
    try:
        return running.wait(stop_timeout + _GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        return running.wait()
