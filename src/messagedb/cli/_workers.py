"""Several processes that share the consumers of an app."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from messagedb._concurrency.signals import intercept_signals

log = logging.getLogger("messagedb.run")

_POLL_SECONDS = 0.1
_PARENT_SECONDS = 1.0


def run_workers(commands: Sequence[Sequence[str]], url: str) -> int:
    """Run processes until one of them fails or is killed, or all have ended; stop the others.

    SIGINT and SIGTERM are passed on to all of them. Each is in a separate session, so that a
    terminal's Ctrl-C reaches it once, from here.

    Args:
        commands: the arguments of the CLI, for each process.
        url: the store; it may have a password, so it is passed by the environment.

    Returns:
        The exit code of the first that failed, as a shell reports it; 0 if none did.
    """
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "messagedb.cli", *command, "--parent", str(os.getpid())],
            start_new_session=True,
            env={**os.environ, "MESSAGEDB_URL": url},
        )
        for command in commands
    ]

    def pass_on(number: int) -> None:
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.send_signal(number)

    ended = threading.Event()
    code = 0
    with intercept_signals(pass_on):
        while None in [worker.poll() for worker in workers]:  # each of them, or one is not seen
            failed = next((worker for worker in workers if worker.returncode), None)
            if failed is not None and code == 0:
                code = _to_exit_code(failed.returncode)
                log.error("worker %d has ended with exit code %d: all stop", failed.pid, code)
                pass_on(signal.SIGTERM)
            ended.wait(_POLL_SECONDS)
    last = next((worker.returncode for worker in workers if worker.returncode), 0)
    return code or _to_exit_code(last)


def _to_exit_code(returncode: int) -> int:
    """Return 128 and the number of a signal, as shells do, for a process that was killed by it."""
    return returncode if returncode >= 0 else 128 - returncode


def stop_with_parent(parent: int) -> None:
    """Stop this process, as by SIGTERM, when its parent has died: nothing else would stop it."""

    def watch() -> None:
        ended = threading.Event()
        while os.getppid() == parent:
            ended.wait(_PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="messagedb-parent", daemon=True).start()
