"""Several processes that share the consumers of an app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from messagedb._concurrency.signals import intercept_signals

_POLL_SECONDS = 0.1
_PARENT_SECONDS = 1.0


def run_workers(commands: Sequence[Sequence[str]], url: str) -> int:
    """Run processes until one of them fails or all have ended; then stop the others.

    SIGINT and SIGTERM are passed on to all of them. Each is in a separate session, so that a
    terminal's Ctrl-C reaches it once, from here.

    Args:
        commands: the arguments of the CLI, for each process.
        url: the store; it may have a password, so it is passed by the environment.

    Returns:
        The exit code of the first that failed; 0 if none did.
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
        while any(worker.poll() is None for worker in workers):
            failed = [worker.returncode for worker in workers if worker.returncode]
            if failed and code == 0:
                code = failed[0]
                pass_on(signal.SIGTERM)
            ended.wait(_POLL_SECONDS)
    return code or next((worker.returncode for worker in workers if worker.returncode), 0)


def stop_with_parent(parent: int) -> None:
    """Stop this process, as by SIGTERM, when its parent has died: nothing else would stop it."""

    def watch() -> None:
        ended = threading.Event()
        while os.getppid() == parent:
            ended.wait(_PARENT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="messagedb-parent", daemon=True).start()
