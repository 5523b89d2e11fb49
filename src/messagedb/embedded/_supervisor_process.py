"""Start the supervisor of a folder's server, and reap it when it has ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from messagedb._errors import EmbeddedServerError

from . import _folder
from ._binaries import find

_SUPERVISOR = Path(__file__).absolute().with_name("_supervisor.py")
# Additional time for the supervisor, beyond its own limit, to report why it failed.
_ANSWER_LIMIT = 5.0

# Supervisors that this process started. They may continue for other clients, so they are reaped
# without waiting.
_children: set[int] = set()
_children_lock = threading.Lock()


def spawn(
    folder: Path, settings: dict[str, str], *, temporary: bool, deadline: float
) -> tuple[dict[str, Any], int, int]:
    """Start a supervisor and the server with it.

    The caller holds ``start.lock`` and a share of ``use.lock``.

    Returns:
        The supervisor's description of the server; its process id; and the writing end of its
        input, whose end it takes for ours.

    Raises:
        EmbeddedServerError: it could not be started; nothing runs, and nothing is open.
    """
    binaries = find()
    _folder.check_version(folder, binaries.major, binaries.directory)
    order = {
        "settings": settings,
        "temporary": temporary,
        "fast": settings.get("fsync") == "off",
        "timeout": max(1.0, deadline - time.monotonic()),
    }
    log = _folder.open_log(folder)
    order_reader, order_writer = os.pipe()
    answer_reader, answer_writer = os.pipe()
    try:
        process = subprocess.Popen(
            [_interpreter(), "-I", "-S", _SUPERVISOR, folder, binaries.directory],
            stdin=order_reader,
            stdout=answer_writer,
            stderr=log,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
    except OSError as exc:
        os.close(order_writer)
        os.close(answer_reader)
        raise _startup_error(folder, f"its supervisor could not be started: {exc}", []) from exc
    finally:
        for descriptor in (log, order_reader, answer_writer):
            os.close(descriptor)
    with _children_lock:
        _children.add(process.pid)
    # It is reaped below, maybe long after this object is collected, which would log a warning.
    process.returncode = 0
    try:
        os.write(order_writer, json.dumps(order).encode("ascii") + b"\n")
        answer = _read_answer(answer_reader, deadline + _ANSWER_LIMIT)
        if "ready" not in answer:
            raise _startup_error(folder, str(answer.get("error")), answer.get("log") or [])
    except BaseException as exc:
        os.close(order_writer)
        if isinstance(exc, BrokenPipeError):
            raise _startup_error(folder, "its supervisor ended immediately", []) from exc
        if isinstance(exc, TimeoutError):
            # Its child processes end with it, or at the next start at the latest.
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
            raise _startup_error(folder, "it took too long; use a longer timeout", []) from exc
        raise
    finally:
        os.close(answer_reader)
    return answer["ready"], process.pid, order_writer


def reap() -> set[int]:
    """Reap the supervisors of this process that have ended, and return those that have not."""
    with _children_lock:
        for pid in list(_children):
            try:
                ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                ended = True
            if ended:
                _children.discard(pid)
        return set(_children)


def _read_answer(descriptor: int, deadline: float) -> dict[str, Any]:
    text = b""
    while not text.endswith(b"\n"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        piece = os.read(descriptor, 65536)
        if not piece:
            return {"error": "its supervisor ended without a response"}
        text += piece
    answer: dict[str, Any] = json.loads(text)
    return answer


def _startup_error(folder: Path, reason: str, log: list[str]) -> EmbeddedServerError:
    lines = "".join("\n    " + line for line in log)
    tail = f"\nThe last lines of {folder / _folder.LOG}:{lines}" if lines else ""
    return EmbeddedServerError(
        f"the embedded PostgreSQL in {folder} could not be started: {reason}. Nothing was sent;"
        f" data in the folder is unchanged.{tail}"
    )


def _environment() -> dict[str, str]:
    """Return our environment without variables that would affect PostgreSQL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _interpreter() -> str:
    """Return a Python for the supervisor: ours, unless it is embedded in another program."""
    if Path(sys.executable or "-").name.startswith(("python", "pypy")):
        return sys.executable
    found = shutil.which("python3")
    if found is None:
        raise EmbeddedServerError(
            "no Python was found to run the embedded server's supervisor with: this process runs"
            f" in {sys.executable!r}, and there is no python3 on PATH. Nothing was started. Put"
            " one there, or use any PostgreSQL server and pass its URL."
        )
    return found
