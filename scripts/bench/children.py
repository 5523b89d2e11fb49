"""Programs of this package that run in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def start(module: str, job: bytes) -> subprocess.Popen[bytes]:
    """Start a module of this package, and pass its job by a pipe: addresses may hold a password.

    The job is one line; the child's standard input stays open.
    """
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.{module}"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.write(job + b"\n")
    child.stdin.flush()
    return child


def answer(child: subprocess.Popen[bytes]) -> bytes:
    """Wait for the one line of a child's response.

    Raises:
        RuntimeError: it ended without one; the reason is on standard error.
    """
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"{child.args!r} ended with status {child.wait()} and no answer")
    return line
