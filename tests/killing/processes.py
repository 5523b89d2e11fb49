"""Workers as processes: begun, signaled, killed, and asked how they ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import msgspec

from tests.killing import worker
from tests.killing.worker import Order

# Their modules are imported once, in a separate process that every worker is forked from: a new
# interpreter for each would take longer than the lives of the workers.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.killing.worker"])

# What the log says when a consumer, or one with partitions, handles signals.
_STARTED = ("it has started after", "has joined")


class Forked:
    """A worker that begins within some milliseconds, to be killed soon."""

    def __init__(self, order: Order, log: Path) -> None:
        self.order = order
        self.log = log
        # Those before it have the same log.
        self._log_start = log.stat().st_size if log.exists() else 0
        self._process = _FORKS.Process(target=_logged, args=(order, log), daemon=True)
        self._process.start()

    @property
    def sentinel(self) -> Any:
        """Return the object that is ready when it has ended."""
        return self._process.sentinel

    def kill(self) -> None:
        """Kill it, and wait until it is dead."""
        self._process.kill()
        status = self.wait()
        assert status == -signal.SIGKILL, self.text()

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def stop(self) -> None:
        """Stop it as an operator does, when its consumer runs: until then a signal kills it.

        That its work is done does not show that it runs: what the one before it had sent is still
        done by the server after that one was killed.
        """
        until(lambda: _has_started(_text(self.log, self._log_start)), self.text)
        self.send(signal.SIGTERM)
        assert self.wait() == 0, self.text()

    def wait(self, limit: float = 20.0) -> int:
        """Wait for its end, and return its exit status."""
        self._process.join(limit)
        status = self._process.exitcode
        assert status is not None, f"it has not ended within {limit} s: {self.text()}"
        return status

    def end(self) -> None:
        """Kill it if it is alive."""
        self._process.kill()
        self._process.join()
        self._process.close()

    def text(self) -> str:
        """Return the end of what it has logged."""
        return f"{self.order}\n{_text(self.log)[-3000:]}"


def _logged(order: Order, log: Path) -> None:
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 2)
    worker.main(order)


def wait_for_any(forked: Iterable[Forked], seconds: float) -> None:
    """Wait until one of them has ended, at most so many seconds."""
    wait([each.sentinel for each in forked], max(seconds, 0.0))


class Program:
    """A worker that is a separate program, to test how it ends."""

    def __init__(self, order: Order, log: Path) -> None:
        self.order = order
        self.log = log
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.killing.worker", msgspec.json.encode(order).decode()],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=os.environ | {"PYTHONPATH": path},
            )

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """Stop it as an operator does, when its consumer runs: until then a signal kills it."""
        until(lambda: _has_started(self.text()), self.text)
        self.send(signal.SIGTERM)
        assert self.wait() == 0, self.text()

    def wait(self, limit: float = 10.0) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(limit)

    def end(self) -> None:
        """Kill it if it is alive."""
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        """Return what it has said so far."""
        return _text(self.log)

    def until_said(self, words: str, limit: float = 10.0) -> None:
        """Wait until it has said something."""
        until(lambda: words in self.text(), lambda: f"{words!r} in {self.text()}", limit)


def until(
    condition: Callable[[], object],
    what: Callable[[], str],
    limit: float = 10.0,
    interval: float = 0.01,
) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit} s: {what()}"
        time.sleep(interval)


def until_still(value: Callable[[], int], seconds: float = 0.5) -> int:
    """Poll until a number has not changed for so long, and return it."""
    last, since = value(), time.monotonic()
    deadline = since + 10.0
    while time.monotonic() - since < seconds:
        assert time.monotonic() < deadline, f"it still changes: {last}"
        if (now := value()) != last:
            last, since = now, time.monotonic()
        time.sleep(0.01)
    return last


def _text(log: Path, start: int = 0) -> str:
    return log.read_bytes()[start:].decode(errors="replace") if log.exists() else ""


def _has_started(log: str) -> bool:
    return any(words in log for words in _STARTED)
